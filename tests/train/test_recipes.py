"""The recipes of the series: which rows each trains on, and its settings in every profile; and answers that
are drawn.
"""

import dataclasses
import math
import shutil
from collections import Counter

import pytest
import torch

from helpers import cases, evaluate, train
from helpers.recipes import BASE as BASE_NAME
from helpers.recipes import STAGES, recipe_named, stages
from helpers.triage import LEVELS, PARTS, parse

NANO = train.profile_named("nano")
BASE = NANO.base
EXAMPLES = cases.write_diverse(8, 0)


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


# --------------------------------------------------------------------------------------------------- sampling
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
