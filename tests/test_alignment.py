"""Preference and reward training: honest arguments, what is refused, the reference, and a planted feature that has to be learned."""

import dataclasses
import inspect
import math

import pytest
import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer, GRPOConfig

from helpers import cases, evaluate, train
from helpers.cases import Pair
from helpers.files import LabError
from helpers.lab.arms import reward_rows
from helpers.train import alignment, fast, loading, trainers

NANO = train.profile_named("nano")
TINY = dataclasses.replace(
    NANO,
    dpo={**NANO.dpo, "batch": 8, "warmup_steps": 1},
    grpo={**NANO.grpo, "batch": 8, "group": 4, "warmup_steps": 1, "steps_per_generation": 1},
    generate={"batch": 240, "max_new_tokens": 6},
)
EXAMPLES = cases.write_diverse(24, 0)
PAIRS = cases.hard_pairs(EXAMPLES, 0, ("no_disclaimer",))
GOOD = PAIRS[0]


@pytest.fixture(scope="module")
def preferred(tmp_path_factory):
    """A model that was shown, 24 times twice, that the answer with the disclaimer is preferred."""
    out = tmp_path_factory.mktemp("dpo") / "model"
    return train.dpo(PAIRS, NANO.base, out, TINY, epochs=2), out


def log_probability(model, tokenizer, example, text):
    """Of an answer and its end-of-turn, in nats."""
    prompt = tokenizer.apply_chat_template(example.prompt, add_generation_prompt=True, tokenize=False)
    before = tokenizer.encode(prompt, add_special_tokens=False)
    after = tokenizer.encode(text + tokenizer.eos_token, add_special_tokens=False)
    ids = torch.tensor([before + after])
    with torch.inference_mode():
        logs = torch.log_softmax(model(input_ids=ids).logits[0, len(before) - 1 : -1].float(), -1)
    return logs.gather(1, ids[0, len(before) :, None]).sum().item()


def weights(source):
    return train.load_model(source).state_dict()


# ---------------------------------------------------------------------------------------------------------- arguments
@pytest.mark.parametrize("name", ["nano", "colab", "gpu"])
def test_every_argument_of_a_preference_or_reward_training_exists_in_the_installed_trl(name, tmp_path):
    profile = train.profile_named(name)
    asked = alignment.dpo_arguments(profile, profile.dpo, tmp_path, 1, 0, 100)
    assert set(asked) <= set(inspect.signature(DPOConfig).parameters)
    assert asked["beta"] == profile.dpo["beta"] and asked["max_length"] == profile.max_length
    asked = alignment.grpo_arguments(profile, profile.grpo, tmp_path, 10, 0)
    assert set(asked) <= set(inspect.signature(GRPOConfig).parameters)
    assert asked["beta"] == profile.grpo["kl"] and asked["max_steps"] == 10 and asked["logging_steps"] == 1
    assert profile.grpo["batch"] % profile.grpo["group"] == 0


def test_a_curve_has_about_as_many_points_as_were_asked_for_and_warming_up_never_takes_a_short_run():
    asked = trainers.common_arguments(NANO.dpo, "x", 1, 0, 400, logs=40)
    assert asked["logging_steps"] == 10 and asked["warmup_steps"] == NANO.dpo["warmup_steps"]
    assert trainers.common_arguments(NANO.dpo, "x", 1, 0, 6)["warmup_steps"] == 1


# --------------------------------------------------------------------------------------------------------------- DPO
def test_the_preferred_side_gains_probability_over_the_other_for_every_pair(preferred):
    _, out = preferred
    tokenizer, before, after = (
        train.load_tokenizer(NANO.base),
        train.load_model(NANO.base),
        train.load_model(out),
    )

    def margin(model, pair):
        return log_probability(model, tokenizer, pair.example, pair.chosen) - log_probability(
            model, tokenizer, pair.example, pair.rejected
        )

    gains = [margin(after, pair) - margin(before, pair) for pair in PAIRS[::3]]
    assert min(gains) > 0


def test_a_preference_training_starts_at_the_reference_and_its_curves_say_where_it_went(preferred):
    record, _ = preferred
    assert record.rows == 24 and record.steps == 6 and record.tokens > 0
    assert record.losses[0] == (1, pytest.approx(math.log(2), abs=1e-3))
    margins = record.curves["rewards/margins"]
    assert margins[0] == (1, pytest.approx(0, abs=1e-3)) and margins[-1][0] == 6
    assert margins[-1][1] > 0.1 and record.losses[-1][1] < record.losses[0][1] - 0.05
    assert {"rewards/chosen", "rewards/rejected", "rewards/accuracies"} <= set(record.curves)


def a_trainer(pairs, tmp_path):
    return DPOTrainer(
        model=train.load_model(NANO.base),
        args=DPOConfig(**{**alignment.dpo_arguments(TINY, TINY.dpo, tmp_path, 1, 0, 1), "bf16": False}),
        train_dataset=Dataset.from_list(cases.pair_rows(pairs)),
        processing_class=train.load_tokenizer(NANO.base),
        peft_config=loading.lora_config(NANO),
    )


def test_the_reference_is_the_base_without_its_adapter_although_the_adapters_forward_was_replaced(tmp_path):
    trainer = a_trainer(PAIRS[:4], tmp_path)
    assert trainer.ref_model is None
    fast.fuse_lora(trainer.model)
    torch.manual_seed(0)  # the mean margin of four pairs can be near 0 by chance
    for name, weight in trainer.model.named_parameters():
        if "lora_B" in name:  # as if trained: a reference that saw the adapter would be far off
            torch.nn.init.normal_(weight, std=0.2)
    batch = next(iter(trainer.get_train_dataloader()))
    chosen, rejected = trainer.compute_ref_log_probs(trainer.model, batch)
    base, tokenizer = train.load_model(NANO.base), trainer.processing_class
    for side, text in ((chosen, "chosen"), (rejected, "rejected")):
        own = [log_probability(base, tokenizer, pair.example, getattr(pair, text)) for pair in PAIRS[:4]]
        assert sorted(side.tolist()) == pytest.approx(sorted(own), rel=3e-4, abs=0.02)
    trainer.compute_loss(trainer.model, batch)
    assert abs(trainer._metrics["train"]["rewards/chosen"][0]) > 0.01  # and the policy did see it


def test_a_pairs_length_is_that_of_its_longer_side_as_trl_will_see_it(tmp_path):
    swapped = Pair(GOOD.example, GOOD.rejected, GOOD.chosen)
    tokenizer = train.load_tokenizer(NANO.base)
    row = a_trainer([GOOD], tmp_path).train_dataset[0]
    longest = len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
    assert (
        longest <= alignment.conversation_tokens(GOOD, tokenizer) <= longest + 1
    )  # the newline after the last turn
    assert alignment.conversation_tokens(GOOD, tokenizer) == alignment.conversation_tokens(swapped, tokenizer)


BAD = {
    "identical sides": Pair(GOOD.example, GOOD.chosen, GOOD.chosen + "\n"),
    "empty chosen": Pair(GOOD.example, " ", GOOD.rejected),
    "empty rejected": Pair(GOOD.example, GOOD.chosen, ""),
    "longer than the limit": Pair(GOOD.example, GOOD.chosen, GOOD.rejected + " muy" * 400),
}


@pytest.mark.parametrize("reason", BAD)
def test_pairs_that_cannot_teach_are_refused_with_their_number_and_nothing_is_written(reason, tmp_path):
    with pytest.raises(LabError, match=rf"2 of 5 pairs cannot be trained on: 2 × {reason}.*cases\.usable"):
        train.dpo([*PAIRS[:3], BAD[reason], BAD[reason]], NANO.base, tmp_path / "out", TINY)
    assert list(tmp_path.iterdir()) == []


def test_every_reason_is_counted_in_one_message(tmp_path):
    with pytest.raises(LabError, match=r"4 of 6 pairs") as error:
        train.dpo([*PAIRS[:2], *BAD.values()], NANO.base, tmp_path / "out", TINY)
    assert all(f"1 × {reason}" in str(error.value) for reason in BAD)


def test_no_pairs_and_no_prompts_are_refused(tmp_path):
    with pytest.raises(LabError, match="empty"):
        train.dpo([], NANO.base, tmp_path, TINY)
    with pytest.raises(LabError, match="empty"):
        train.grpo([], lambda **_: [], NANO.base, tmp_path, TINY, updates=1)


def test_what_usable_keeps_can_be_trained_on(tmp_path):
    tokenizer = train.load_tokenizer(NANO.base)
    mixed = [*PAIRS[:4], *BAD.values()]
    kept, dropped = cases.usable(
        mixed, lambda pair: train.alignment.conversation_tokens(pair, tokenizer), TINY.max_length
    )
    assert kept == PAIRS[:4] and dropped == dict.fromkeys(BAD, 1)
    record = train.dpo(kept, NANO.base, tmp_path / "out", TINY)
    assert record.rows == 4 and record.steps == 1
    assert evaluate.load(tmp_path / "out").model.config.model_type == "lfm2"


# -------------------------------------------------------------------------------------------------------------- GRPO
def test_a_batch_that_does_not_hold_whole_groups_is_refused_and_nothing_is_written(tmp_path):
    odd = dataclasses.replace(TINY, grpo={**TINY.grpo, "batch": 10, "group": 4})
    with pytest.raises(
        LabError, match=r"batch of 10 completions does not hold whole groups of 4.*profiles\.yaml"
    ):
        train.grpo(reward_rows(EXAMPLES), lambda **_: [], NANO.base, tmp_path / "out", odd, updates=1)
    assert list(tmp_path.iterdir()) == []


def test_equal_rewards_teach_nothing_and_the_weights_stay_where_they_were(tmp_path):
    record = train.grpo(
        reward_rows(EXAMPLES[:4]),
        lambda completions, **_: [0.5] * len(completions),
        NANO.base,
        tmp_path / "out",
        TINY,
        updates=2,
    )
    assert record.steps == 2 and [share for _, share in record.curves["frac_reward_zero_std"]] == [1.0, 1.0]
    assert record.curves["reward"] == [(1, 0.5), (2, 0.5)]
    before, after = weights(NANO.base), weights(tmp_path / "out")
    assert set(before) == set(after) and all(torch.equal(before[name], after[name]) for name in before)


def begins_with_this(completions, **_):
    """A planted reward: the base begins some one in six of its answers so."""
    return [float(completion[0]["content"].startswith("Este")) for completion in completions]


def test_a_planted_reward_raises_its_own_mean(tmp_path):
    settings = {**TINY.grpo, "batch": 64, "group": 16, "learning_rate": 4e-3}
    planted = dataclasses.replace(TINY, grpo=settings, generate={"batch": 240, "max_new_tokens": 2})
    record = train.grpo(
        reward_rows(EXAMPLES[:8]), begins_with_this, NANO.base, tmp_path / "out", planted, updates=8
    )
    rewards = [value for _, value in record.curves["reward"]]
    assert (
        len(rewards) == 8 and sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.4
    )  # 0.72 to 0.81 with five seeds
    before, after = weights(NANO.base), weights(tmp_path / "out")
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_passes_over_the_prompts_count_every_accumulated_batch(tmp_path):
    """Two batches of 8 completions make one update: four groups of 4, so four of the eight prompts, half a pass."""
    twice = dataclasses.replace(
        TINY, grpo={**TINY.grpo, "accumulation": 2}, generate={"batch": 240, "max_new_tokens": 2}
    )
    seen = []

    def reward(prompts, completions, **_):
        seen.extend(prompt[-1]["content"] for prompt in prompts)
        return [0.0] * len(completions)

    record = train.grpo(reward_rows(EXAMPLES[:8]), reward, NANO.base, tmp_path / "out", twice, updates=1)
    assert len(set(seen)) == 4 and record.epochs == pytest.approx(0.5)


def test_prices_given_apart_reach_trl_as_several_rewards_normalised_each(tmp_path):
    apart = dataclasses.replace(NANO, grpo={**NANO.grpo, "apart": True})
    assert (
        alignment.grpo_arguments(apart, apart.grpo, tmp_path, 2, 0)["multi_objective_aggregation"]
        == "normalize_then_sum"
    )
    assert (
        alignment.grpo_arguments(NANO, NANO.grpo, tmp_path, 2, 0)["multi_objective_aggregation"]
        == "sum_then_normalize"
    )
