"""Preference and reward training: DPO and GRPO through TRL, always as LoRA.

With LoRA the reference policy is the same weights without the adapter, so no second model is loaded. Whatever a run could silently spoil
is refused before it starts: sides that `max_length` would cut (the end goes, disclaimer and end-of-turn included), identical or empty sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer

from helpers.cases import Pair, pair_rows, usable
from helpers.files import LabError
from helpers.train.profiles import Profile
from helpers.train.trainers import TrainingRecord, common_arguments, fit, in_steps, refuse_nothing

RewardFunction = Callable[..., list[float]]


def dpo_arguments(
    profile: Profile, settings: dict[str, Any], work: Path, epochs: float, seed: int, steps: int
) -> dict[str, Any]:
    """What `DPOConfig` is called with."""
    return {
        **common_arguments(settings, work, epochs, seed, steps, logs=40),
        "beta": settings["beta"],
        "max_length": profile.max_length,
    }


def conversation_tokens(pair: Pair, tokenizer: Any) -> int:
    """Tokens of the longer of the pair's two conversations, prompt and end-of-turn included."""

    def length(answer: str) -> int:
        chat = [*pair.example.prompt, {"role": "assistant", "content": answer}]
        return len(tokenizer.apply_chat_template(chat, tokenize=True, return_dict=True)["input_ids"])

    return max(length(pair.chosen), length(pair.rejected))


def dpo(
    pairs: Sequence[Pair],
    base: str | Path,
    out: Path,
    profile: Profile,
    *,
    epochs: float = 1,
    seed: int = 0,
    label: str = "DPO",
) -> TrainingRecord:
    """Direct preference optimization (Rafailov et al. 2023) with LoRA; the reference is `base`.

    Args:
        pairs: what is preferred to what; `cases.usable` drops and counts those that teach nothing.
        profile: its `dpo` entry holds β, learning rate and batch.

    Raises:
        LabError: no pairs; identical or empty sides; a side longer than the profile's limit.
    """
    refuse_nothing(pairs)
    settings = profile.dpo
    steps, epochs = in_steps(len(pairs), settings["batch"] * settings["accumulation"], epochs, -1)

    def make(model: Any, tokenizer: Any, lora: Any) -> DPOTrainer:
        _, dropped = usable(pairs, lambda pair: conversation_tokens(pair, tokenizer), profile.max_length)
        if dropped:
            told = ", ".join(f"{count} × {reason}" for reason, count in dropped.items())
            raise LabError(
                f"{sum(dropped.values())} of {len(pairs)} pairs cannot be trained on: {told}. Filter them with `cases.usable` (it counts what "
                f"it drops), or raise max_length={profile.max_length} in data/profiles.yaml."
            )
        return DPOTrainer(
            model=model,
            args=DPOConfig(**dpo_arguments(profile, settings, out, epochs, seed, steps)),
            train_dataset=Dataset.from_list(pair_rows(pairs)),
            processing_class=tokenizer,
            peft_config=lora,
        )

    return fit(make, base, out, profile, rows=len(pairs), epochs=epochs, steps=steps, seed=seed, label=label)


class RewardTrainer(GRPOTrainer):
    """`GRPOTrainer` without a count that transformers makes at every step by walking through every parameter."""

    def floating_point_ops(self, _: dict[str, Any]) -> int:
        """Not counted; see `trainers.SFTTrainer`."""
        return 0


def grpo_arguments(
    profile: Profile, settings: dict[str, Any], work: Path, updates: int, seed: int
) -> dict[str, Any]:
    """What `GRPOConfig` is called with. TRL's `beta` is the weight of the KL term, not DPO's β; 0 loads no reference at all.

    Generation costs a fixed time a token however many answers are written at once, so one generation feeds several optimizer steps.
    """
    return {
        **common_arguments(settings, work, 1, seed, updates, updates, logs=updates),
        "lr_scheduler_type": "constant_with_warmup",  # every step counts alike on the time axis; a decaying rate would look like convergence
        "beta": settings["kl"],
        "num_generations": settings["group"],
        "steps_per_generation": settings["steps_per_generation"],
        "max_completion_length": profile.generate["max_new_tokens"],
        "temperature": settings["temperature"],
        "multi_objective_aggregation": "normalize_then_sum" if settings["apart"] else "sum_then_normalize",
    }


def grpo(
    rows: Sequence[dict[str, Any]],
    reward: RewardFunction | Sequence[RewardFunction],
    base: str | Path,
    out: Path,
    profile: Profile,
    *,
    updates: int,
    seed: int = 0,
    label: str = "GRPO",
) -> TrainingRecord:
    """Group relative policy optimization (Shao et al. 2024) with LoRA: the model's own samples, judged by `reward`.

    Args:
        rows: `prompt` (a chat) and the columns that the reward reads.
        reward: TRL's reward function, `reward(prompts, completions, **columns) -> list[float]`, or several; with `apart` among the
            settings each of them is normalised by its own spread before they are summed.
        profile: its `grpo` entry holds group size, batch (in completions a step), steps a generation, temperature and the weight of the KL term.
        updates: optimizer steps.

    Raises:
        LabError: no rows; a batch that does not hold whole groups.
    """
    refuse_nothing(rows)
    settings = profile.grpo
    if settings["batch"] % settings["group"]:
        raise LabError(
            f"A batch of {settings['batch']} completions does not hold whole groups of {settings['group']}; change data/profiles.yaml."
        )

    def make(model: Any, tokenizer: Any, lora: Any) -> GRPOTrainer:
        return RewardTrainer(
            model=model,
            reward_funcs=reward if callable(reward) else list(reward),
            args=GRPOConfig(**grpo_arguments(profile, settings, out, updates, seed)),
            train_dataset=Dataset.from_list(list(rows)),
            processing_class=tokenizer,
            peft_config=lora,
        )

    epochs = updates * settings["batch"] * settings["accumulation"] / settings["group"] / len(rows)
    return fit(make, base, out, profile, rows=len(rows), epochs=epochs, steps=updates, seed=seed, label=label)
