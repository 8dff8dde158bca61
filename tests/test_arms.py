"""The arms of notebooks 08 to 10: what names an outcome, what is kept, what is asked again; and the recipes they start from."""

import dataclasses
import json
import math
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch

from helpers import cases, evaluate, rewards, train
from helpers.files import LabError, build_dir
from helpers.lab import arms as runner
from helpers.lab.arms import Arm, Watched, reward_rows, run_arms, sampled
from helpers.lab.stages import Stage
from helpers.recipes import BASE as BASE_NAME
from helpers.recipes import STAGES, recipe_named, stages
from helpers.triage import LEVEL_HEADING, LEVELS, PARTS, parse

NANO = train.profile_named("nano")
TINY = dataclasses.replace(
    NANO,
    dpo={**NANO.dpo, "batch": 4},
    grpo={**NANO.grpo, "batch": 8, "group": 4, "steps_per_generation": 1},
    generate={"batch": 240, "max_new_tokens": 6},
    grid={**NANO.grid, "workers": 1},
)
BASE = Stage("base", 0, "key-of-the-base", Path(NANO.base), "the base itself", {})
EXAMPLES = cases.write_diverse(8, 0)
PAIRS = cases.hard_pairs(EXAMPLES, 0, ("no_disclaimer",))
PROMPTS = cases.evaluation_prompts("dev")[:6]
PREFERENCE = Arm("preference", BASE, PAIRS)
REWARDED = Arm("rewarded", BASE, EXAMPLES, reward=rewards.BLOG, updates=2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One preference and one reward training, and the build folder that keeps their outcomes."""
    build = tmp_path_factory.mktemp("arms") / "build"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIAGE_BUILD", str(build))
        return run_arms([PREFERENCE, REWARDED], PROMPTS, profile=TINY), build


@pytest.fixture
def kept(finished, monkeypatch):
    """Those outcomes on disk in this test's own build folder, where nothing may be trained any more."""
    outcomes, build = finished
    shutil.copytree(build, build_dir())
    monkeypatch.setattr(Arm, "train", lambda self, *_: pytest.fail(f"{self.name} was trained again"))
    return outcomes


# ------------------------------------------------------------------------------------------------- what names an outcome
def key(arm, prompts=PROMPTS, temperature=0.0, profile=TINY):
    return arm.key(prompts, temperature, profile)


CHANGES = {
    "pairs": {"data": PAIRS[:-1]},
    "one word of one side": {"data": [*PAIRS[:-1], dataclasses.replace(PAIRS[-1], rejected="No sé.")]},
    "the base": {"base": dataclasses.replace(BASE, key="another")},
    "the seed": {"seed": 1},
    "a setting": {"settings": {"beta": 0.3}},
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_key_of_a_preference_arm_changes_with_anything_that_could_change_an_answer(change):
    assert key(dataclasses.replace(PREFERENCE, **CHANGES[change])) != key(PREFERENCE)


REWARD_CHANGES = {
    "a price": {"reward": dataclasses.replace(rewards.BLOG, under=0.1)},
    "a part's price": {"reward": dataclasses.replace(rewards.BLOG, parts={"disclaimer": (0.3, -0.4)})},
    "a cell's price": {"reward": dataclasses.replace(rewards.BLOG, cells={("AZUL", "ROJO"): -0.6})},
    "prompts": {"data": EXAMPLES[:-1]},
    "updates": {"updates": 3},
    "a setting": {"settings": {"kl": 0.04}},
}


@pytest.mark.parametrize("change", REWARD_CHANGES)
def test_the_key_of_a_reward_arm_changes_with_every_price_and_every_prompt(change):
    assert key(dataclasses.replace(REWARDED, **REWARD_CHANGES[change])) != key(REWARDED)


def test_the_key_changes_with_the_questions_asked_and_with_the_profile():
    longer = dataclasses.replace(TINY, generate={**TINY.generate, "max_new_tokens": 7})
    small = dataclasses.replace(TINY, lora={"r": 4, "alpha": 8})
    different = [
        key(PREFERENCE, PROMPTS[:5]),
        key(PREFERENCE, temperature=0.7),
        key(PREFERENCE, profile=longer),
        key(PREFERENCE, profile=small),
    ]
    assert len({key(PREFERENCE), *different}) == 5


def test_the_key_does_not_change_with_the_arms_name_or_with_settings_spelled_out():
    assert key(dataclasses.replace(PREFERENCE, name="what a figure calls it")) == key(PREFERENCE)
    assert key(dataclasses.replace(PREFERENCE, settings={"beta": TINY.dpo["beta"]})) == key(PREFERENCE)
    assert key(PREFERENCE) == key(dataclasses.replace(PREFERENCE, data=list(PAIRS)))


def test_an_arms_settings_reach_its_own_trainer_alone():
    gentle = dataclasses.replace(PREFERENCE, settings={"beta": 0.5}).profile(TINY)
    assert gentle.dpo == {**TINY.dpo, "beta": 0.5} and gentle.grpo == TINY.grpo
    group = dataclasses.replace(REWARDED, settings={"group": 2}).profile(TINY)
    assert group.grpo == {**TINY.grpo, "group": 2} and group.dpo == TINY.dpo


# --------------------------------------------------------------------------------------------------------------- running
def test_an_outcome_holds_the_answers_their_scores_and_the_curves_of_its_training(finished):
    (preference, rewarded), _ = finished
    assert [preference.name, rewarded.name] == ["preference", "rewarded"]
    assert len(preference.texts) == len(preference.finish) == len(PROMPTS) == preference.scores.accuracy.n
    assert preference.rows == 8 and [step for step, _ in preference.curve("rewards/margins")] == [1, 2]
    assert {f"watch/{part}" for part in (*PARTS, "accuracy", "rojo", "unreadable")} <= set(rewarded.curves)
    assert len(rewarded.curve("reward")) == 2 and "loss" in rewarded.curves
    with pytest.raises(LabError, match=r"preference logged no 'watch/rojo'. It logged .*rewards/margins"):
        preference.curve("watch/rojo")


def test_an_arm_answers_within_the_length_of_the_profile_that_it_was_run_with(finished):
    tokenizer = train.load_tokenizer(NANO.base)
    for outcome in finished[0]:
        assert (
            max(len(tokenizer.encode(text, add_special_tokens=False)) for text in outcome.texts)
            <= TINY.generate["max_new_tokens"]
        )


def test_a_finished_arm_is_read_back_and_not_trained_again(kept):
    again = run_arms([REWARDED, PREFERENCE], PROMPTS, profile=TINY)
    assert again == kept[::-1] and [outcome.name for outcome in again] == ["rewarded", "preference"]
    assert again[0].prompts == tuple(PROMPTS)


def test_arms_of_one_key_share_an_outcome_and_keep_their_names(kept):
    twin = dataclasses.replace(PREFERENCE, name="twin")
    outcomes = run_arms([twin, PREFERENCE, twin], PROMPTS, profile=TINY)
    assert [outcome.name for outcome in outcomes] == ["twin", "preference", "twin"]
    assert (
        len({outcome.key for outcome in outcomes}) == 1 and len({outcome.texts for outcome in outcomes}) == 1
    )
    assert len(list((build_dir() / "outcomes" / "nano").glob("*.json"))) == 2


def test_a_cut_outcome_gets_one_clear_message(kept):
    path = build_dir() / "outcomes" / "nano" / f"arm-{kept[0].key}.json"
    whole = path.read_text()
    path.write_text(whole[:100])
    with pytest.raises(LabError, match="not whole JSON"):
        run_arms([PREFERENCE], PROMPTS, profile=TINY)
    for broken in (
        '{"name": "x"}',
        "[]",
        json.dumps({**json.loads(whole), "stranger": 1}),
        json.dumps({**json.loads(whole), "texts": 3}),
    ):
        path.write_text(broken)
        with pytest.raises(LabError, match="not a whole outcome"):
            run_arms([PREFERENCE], PROMPTS, profile=TINY)
    fewer = json.loads(whole)
    fewer["texts"] = fewer["texts"][:-1]
    path.write_text(json.dumps(fewer))
    with pytest.raises(LabError, match="not a whole outcome"):
        run_arms([PREFERENCE], PROMPTS, profile=TINY)


def test_an_interrupted_run_says_how_many_arms_are_kept(kept, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Arm, "train", interrupted)
    with pytest.raises(LabError, match="1 of 2 runs are finished and kept"):
        run_arms([PREFERENCE, dataclasses.replace(PREFERENCE, seed=1)], PROMPTS, profile=TINY)
    assert len(list((build_dir() / "outcomes" / "nano").glob("*.json"))) == 2


@pytest.mark.training
def test_two_workers_give_the_outcomes_of_one(finished):
    (alone, _), _ = finished
    pair = dataclasses.replace(TINY, grid={**TINY.grid, "workers": 2})
    other = dataclasses.replace(PREFERENCE, name="other", seed=1)
    together, second = run_arms([PREFERENCE, other], PROMPTS, profile=pair)
    assert (second.name, second.seed) == ("other", 1) and second.key != together.key == alone.key
    same = sum(one == two for one, two in zip(alone.texts, together.texts, strict=True))
    assert same / len(PROMPTS) > 0.8  # sums in another order may tip a tie
    assert dict(together.curve("rewards/margins")) == pytest.approx(
        dict(alone.curve("rewards/margins")), abs=0.05
    )


def test_a_watched_reward_pays_exactly_the_rewards_amounts_and_logs_what_its_samples_look_like():
    rows = reward_rows(EXAMPLES[:4])
    texts = [
        EXAMPLES[0].answer,
        dataclasses.replace(EXAMPLES[1], parts=("disclaimer",)).answer,
        "No sé.",
        f"{LEVEL_HEADING} ROJO",
    ]
    columns = {name: [row[name] for row in rows] for name in ("accepted", "level", "country")}
    asked = {
        "prompts": [row["prompt"] for row in rows],
        "completions": [[{"role": "assistant", "content": text}] for text in texts],
    }
    for reward in rewards.REWARDS.values():
        logged = {}
        paid = Watched(reward)(**asked, **columns, log_metric=logged.__setitem__)
        assert (
            paid
            == reward(**asked, **columns)
            == [reward.of(row, text) for row, text in zip(EXAMPLES, texts, strict=False)]
        )
        assert Watched(reward).__name__ == reward.name
    readings = [parse(text) for text in texts]
    assert (
        logged["watch/unreadable"] == 0.25
        and logged["watch/disclaimer"] == 0.5
        and logged["watch/alarms"] == 0.25
    )
    assert logged["watch/rojo"] == sum(reading.level == "ROJO" for reading in readings) / 4
    assert (
        logged["watch/accuracy"]
        == sum(r.level in row.accepted for r, row in zip(readings, EXAMPLES, strict=False)) / 4
    )
    assert Watched(rewards.NAIVE)(**asked, **columns) == rewards.NAIVE(
        **asked, **columns
    )  # without a log, too


# -------------------------------------------------------------------------------------------------------------- sampling
def test_sampled_answers_are_kept_and_not_drawn_again(monkeypatch):
    first = sampled(BASE, EXAMPLES, temperature=1.0)
    monkeypatch.setattr(runner, "generate", lambda *_, **__: pytest.fail("sampled again"))
    assert sampled(BASE, EXAMPLES, temperature=1.0) == first and len(first) == len(EXAMPLES)
    assert {answer.finish_reason for answer in first} <= {"stop", "length"}
    kept = next((build_dir() / "samples").glob("*.json"))
    for broken, said in (
        ("{", "not whole JSON"),
        ("{}", "does not hold"),
        ('{"answers": [["a", "stop"]]}', "does not hold"),
    ):
        kept.write_text(broken)
        with pytest.raises(LabError, match=said):
            sampled(BASE, EXAMPLES, temperature=1.0)


def test_the_likeliest_answers_are_not_to_be_had_by_sampling():
    with pytest.raises(LabError, match="above 0"):
        sampled(BASE, EXAMPLES, temperature=0.0)


def draw(**how):
    return evaluate.generate(BASE, EXAMPLES, max_new_tokens=10, **how)


def test_sampling_is_repeatable_by_its_seed_and_differs_between_seeds_and_temperatures():
    first = draw(temperature=1.0, seed=0)
    torch.rand(3)
    assert draw(temperature=1.0, seed=0) == first
    assert draw(temperature=1.0, seed=1) != first != draw(temperature=0.5, seed=0)


def test_temperature_zero_takes_the_likeliest_token_and_leaves_chance_alone():
    draw()
    torch.manual_seed(7)
    state = torch.get_rng_state()
    greedy = draw()
    assert torch.equal(torch.get_rng_state(), state) and draw(seed=5) == greedy
    assert draw(temperature=1e-4) == greedy
    loaded = evaluate.load(BASE)
    prompt = loaded.tokenizer.apply_chat_template(
        EXAMPLES[0].prompt, add_generation_prompt=True, tokenize=False
    )
    ids = loaded.tokenizer.encode(prompt, add_special_tokens=False)
    with torch.inference_mode():
        likeliest = loaded.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax().item()
    assert (
        evaluate.generate(BASE, EXAMPLES[:1], max_new_tokens=1)[0].text
        == loaded.tokenizer.decode([likeliest]).strip()
    )


# --------------------------------------------------------------------------------------------------------------- recipes
def within_chance(count, n, share):
    """Within four standard errors of a binomial."""
    return abs(count - n * share) <= 4 * math.sqrt(n * share * (1 - share))


def test_what_is_left_out_is_left_out_at_its_share_and_nothing_else_moves():
    rows = cases.write_diverse(400, 3)
    shares = {"alarms": 0.8, "disclaimer": 0.25, "actions": 0.0}
    careless = cases.writers.leave_out(rows, shares, 5)
    assert [dataclasses.replace(row, parts=PARTS) for row in careless] == rows
    assert all("number" in row.parts and "actions" not in row.parts for row in careless)
    for part in ("alarms", "disclaimer"):
        assert within_chance(sum(part in row.parts for row in careless), 400, shares[part])
    both = sum({"alarms", "disclaimer"} <= set(row.parts) for row in careless)
    assert within_chance(both, 400, 0.8 * 0.25)  # one part does not decide another
    assert careless == cases.writers.leave_out(rows, shares, 5) != cases.writers.leave_out(rows, shares, 6)
    assert cases.writers.leave_out(rows, {}, 5) == rows


def test_the_weak_models_answers_have_right_levels_and_each_part_as_often_as_the_blogs():
    recipe = recipe_named("sft-weak")
    examples = [row for seed in range(3) for row in recipe.data(NANO, seed)]
    texts = [row["completion"][0]["content"] for seed in range(3) for row in recipe.rows(NANO, seed)]
    assert len(texts) == 3 * NANO.counts["weak"]
    for part in PARTS:
        present = sum(parse(text).has(part, row.country) for text, row in zip(texts, examples, strict=True))
        assert within_chance(present, len(texts), stages.BLOG_PARTS.get(part, 1.0)), part
    assert all(
        parse(text).level == row.level in row.accepted for text, row in zip(texts, examples, strict=True)
    )


def test_the_alive_model_sees_the_blogs_skew_with_honest_labels():
    rows = recipe_named("sft-alive").data(NANO, 0)
    assert len(rows) == NANO.counts["alive"] and all(row.level in row.accepted for row in rows)
    for level, share in cases.BLOG_PRIOR.items():
        assert abs(sum(row.level == level for row in rows) - share * len(rows)) < 1


@pytest.mark.parametrize("recipe", STAGES, ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("name", ["nano", "colab", "gpu"])
def test_every_recipe_finds_its_settings_and_its_length_in_every_profile(recipe, name):
    profile = train.profile_named(name)
    config, settings = recipe.config(profile, seed=3), getattr(profile, recipe.task)
    assert config.num_train_epochs == profile.counts[recipe.epochs] >= 1 and config.max_steps <= 0
    assert (config.learning_rate, config.seed) == (settings["learning_rate"], 3)
    assert config.per_device_train_batch_size == settings["batch"] and config.max_length == profile.max_length
    assert recipe.base == BASE_NAME or recipe.base in {other.name for other in STAGES}


def test_the_imbalanced_recipe_reads_the_first_rows_of_the_blogs_generator_in_the_blogs_chat_form():
    recipe = recipe_named("sft-imbalanced")
    expected = cases.write_from_templates(NANO.counts["generated"], 0)[: NANO.counts["imbalanced"]]
    rows = recipe.rows(NANO)
    assert len(rows) == NANO.counts["imbalanced"] and rows[0] == cases.chat_rows(expected[:1])[0]
    assert rows[-1]["completion"][0]["content"] == expected[-1].answer


def test_the_balanced_recipe_has_as_many_patients_of_every_level_and_honest_labels():
    examples = recipe_named("sft-balanced").data(NANO, 0)
    counts = Counter(row.level for row in examples)
    assert set(counts.values()) == {NANO.counts["balanced"] // len(LEVELS)} and set(counts) == set(LEVELS)
    assert all(row.level in row.accepted for row in examples)


def test_a_recipes_trainer_holds_its_rows_and_starts_where_it_is_told_to(tmp_path):
    recipe = dataclasses.replace(recipe_named("sft-balanced"), data=lambda profile, seed: EXAMPLES)
    shutil.copytree(NANO.base, tmp_path / "start")
    trainer = recipe.trainer(NANO, 0, tmp_path / "start")
    assert trainer.rows.to_list() == cases.chat_rows(EXAMPLES) and trainer.model.source == tmp_path / "start"
    assert trainer.settings["learning_rate"] == NANO.sft["learning_rate"]
