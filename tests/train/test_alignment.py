"""Preference and reward training: TRL's own trainers with quick LoRA layers keep their reference, their loss
and their direction.
"""

import dataclasses
import math
import random

import pytest
import torch
from datasets import Dataset
from trl import DPOConfig, GRPOConfig

from helpers import cases, evaluate, train
from helpers.files import LabError

NANO = train.profile_named("nano")
TINY = dataclasses.replace(
    NANO,
    dpo={**NANO.dpo, "batch": 8},
    grpo={**NANO.grpo, "batch": 64, "group": 16, "steps_per_generation": 1},
)
EXAMPLES = cases.write_diverse(24, 0)
DICE = random.Random(0)
PAIRS = [cases.Pair(row, row.answer, cases.near_miss(row, "no_disclaimer", DICE)) for row in EXAMPLES]


def preference(pairs, **settings):
    model, tokenizer = train.load(TINY)
    config = DPOConfig(beta=0.1, max_length=TINY.max_length, **settings, **train.machine(TINY, "dpo"))
    rows = Dataset.from_list(cases.pair_rows(pairs))
    return train.DPOTrainer(model, processing_class=tokenizer, train_dataset=rows, args=config)


def rewarded(reward, examples, **settings):
    model, tokenizer = train.load(TINY)
    config = GRPOConfig(
        beta=0.0, num_generations=16, steps_per_generation=1, max_completion_length=2, seed=0,
        lr_scheduler_type="constant", **settings, **train.machine(TINY, "grpo"),
    )  # fmt: skip
    rows = Dataset.from_list([{"prompt": row.prompt} for row in examples])
    return train.GRPOTrainer(
        model, processing_class=tokenizer, reward_funcs=reward, train_dataset=rows, args=config
    )


@pytest.fixture(scope="module")
def preferred():
    """A model that was shown, 24 times twice, that the answer with the disclaimer is preferred."""
    trainer = preference(PAIRS, num_train_epochs=2, learning_rate=1e-3)
    trainer.train()
    return trainer


# -------------------------------------------------------------------------------------------------------- DPO
def test_the_preferred_side_gains_probability_over_the_other_for_every_pair(preferred):
    some = PAIRS[::3]
    before, after = (
        evaluate.pair_margins(NANO.base, some),
        evaluate.pair_margins(train.merged(preferred), some),
    )
    assert min(b - a for a, b in zip(before, after, strict=True)) > 0


def test_a_preference_training_starts_at_the_reference_and_its_curves_say_where_it_went(preferred):
    record = preferred.record
    assert record.rows == 24 and record.steps == 6 and record.tokens > 0
    assert record.losses[0] == (1, pytest.approx(math.log(2), abs=1e-3))
    margins = record.curves["rewards/margins"]
    assert margins[0] == (1, pytest.approx(0, abs=1e-3)) and margins[-1][1] > 0.1
    assert {"logps/chosen", "logps/rejected", "rewards/accuracies"} <= set(record.curves)


def test_the_reference_is_the_base_without_its_adapter_although_the_adapters_forward_was_replaced():
    trainer, few = preference(PAIRS[:4], max_steps=1), PAIRS[:4]
    torch.manual_seed(0)
    for name, weight in trainer.model.named_parameters():
        if "lora_B.default" in name:  # as if trained: a reference that saw the adapter would be far off
            torch.nn.init.normal_(weight, std=0.2)
    batch = next(iter(trainer.get_train_dataloader()))
    chosen, rejected = trainer.compute_ref_log_probs(trainer.model, batch)
    for side, text in ((chosen, "chosen"), (rejected, "rejected")):
        own = evaluate.answer_logprobs(NANO.base, EXAMPLES[:4], [getattr(pair, text) for pair in few])
        assert sorted(side.tolist()) == pytest.approx(sorted(own), rel=0.03, abs=0.1)  # bf16 against float32
    trainer.compute_loss(trainer.model, batch)
    assert abs(trainer._metrics["train"]["rewards/chosen"][0]) > 0.01  # and the policy did see it


@pytest.mark.parametrize("losses", [["sigmoid"], ["sigmoid", "sft"]])
def test_the_loss_and_its_gradient_are_trls_own(losses):
    ours = preference(PAIRS[:4], max_steps=1, loss_type=losses)
    torch.manual_seed(0)
    for name, weight in ours.model.named_parameters():
        if "lora_B.default" in name:
            torch.nn.init.normal_(weight, std=0.2)  # so far from its start that the loss is not log 2
    batch = next(iter(ours.get_train_dataloader()))
    found = []
    for quick in (True, False):
        ours.fast = ours.use_liger_kernel = quick
        ours.model.zero_grad()
        loss = ours.compute_loss(ours.model, dict(batch))
        loss.backward()
        grads = [w.grad.flatten() for w in ours.model.parameters() if w.grad is not None]
        found.append((loss.item(), torch.cat(grads).float()))
    (quick, gradient), (slow, expected) = found
    assert quick == pytest.approx(slow, rel=0.01) and abs(slow - math.log(2)) > 0.01
    assert torch.cosine_similarity(gradient, expected, dim=0) > 0.999  # bf16


def test_no_pairs_and_no_prompts_are_refused():
    with pytest.raises(LabError, match="nothing to train on"):
        preference([], max_steps=1)
    with pytest.raises(LabError, match="nothing to train on"):
        rewarded(lambda completions, **_: [0.0] * len(completions), [], max_steps=1)


# ------------------------------------------------------------------------------------------------------- GRPO
def test_equal_rewards_teach_nothing_and_the_weights_stay_where_they_were():
    trainer = rewarded(lambda completions, **_: [0.5] * len(completions), EXAMPLES[:4], max_steps=2)
    trainer.train()
    assert [share for _, share in trainer.record.curves["frac_reward_zero_std"]] == [1.0, 1.0]
    before, after = train.load_model(NANO.base).state_dict(), train.merged(trainer).model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_planted_reward_raises_its_own_mean():
    """The base begins about one answer in six with this word."""

    def begins_with_this(completions, **_):
        return [float(completion[0]["content"].startswith("Este")) for completion in completions]

    trainer = rewarded(begins_with_this, EXAMPLES[:8], max_steps=8, learning_rate=4e-3)
    trainer.train()
    rewards = [value for _, value in trainer.record.curves["reward"]]
    assert len(rewards) == 8 and sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.3
