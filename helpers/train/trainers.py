"""Supervised fine-tuning and continued pre-training, through TRL's `SFTTrainer`, and what every trainer of ours shares.

Both return what happened as a `TrainingRecord` and leave a whole merged model in `out`. Batches are length-grouped and padded to their
longest row; LFM2 is never packed here, because on a CPU its convolution fallback leaks one document into the next.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import transformers
from datasets import Dataset, disable_progress_bars
from transformers import PrinterCallback, TrainerCallback
from transformers.trainer_utils import get_last_checkpoint
from trl import SFTConfig, SFTTrainer

from helpers.files import LabError, write_json
from helpers.progress import Progress
from helpers.train.fast import AnswerLossTrainer, fuse_lora, keep_freed_memory
from helpers.train.hardware import choose_hardware
from helpers.train.loading import load_for_training, merge_and_save
from helpers.train.profiles import Profile

CURVES = (
    "reward",
    "frac_reward_zero_std",
    "kl",
    "completions/",
    "watch/",
)  # kept of what TRL logs: names that begin so


@dataclass(frozen=True)
class TrainingRecord:
    """What a run was and what it cost.

    `losses` are (step, mean loss in nats a trained token); `curves` holds what else the trainer logged, by TRL's name for it, likewise.
    """

    rows: int
    epochs: float
    steps: int
    seconds: float
    tokens: int
    trainable: int
    losses: list[tuple[int, float]]
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Keep it beside the weights."""
        write_json(folder / "training.json", asdict(self))


class _Bar(TrainerCallback):
    """Moves the progress line."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.note = progress, ""

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        if logs and "loss" in logs:
            self.note = f"· loss {float(logs['loss']):.3f}"

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.progress.update(state.global_step - self.progress.count, self.note)


def common_arguments(
    settings: dict[str, Any],
    work: Path,
    epochs: float,
    seed: int,
    steps: int,
    updates: int = -1,
    logs: int = 60,
) -> dict[str, Any]:
    """What every trainer's configuration is called with.

    Args:
        settings: the trainer's entry of the profile.
        updates: above 0 it overrides `epochs`, as `max_steps` does in transformers.
        logs: about so many points on a curve.
    """
    save = settings["save_steps"]
    return {
        "output_dir": str(work),
        "num_train_epochs": epochs,
        "max_steps": updates,
        "per_device_train_batch_size": settings["batch"],
        "gradient_accumulation_steps": settings["accumulation"],
        "learning_rate": settings["learning_rate"],
        "lr_scheduler_type": "cosine",
        "warmup_steps": min(settings["warmup_steps"], max(1, steps // 10)),
        "logging_steps": max(1, steps // logs),
        "logging_first_step": True,
        "save_strategy": "steps" if save else "no",
        "save_steps": save or 500,
        "save_total_limit": 1,
        "report_to": [],
        "disable_tqdm": True,
        "seed": seed,
        **choose_hardware().arguments(),
    }


def sft_arguments(
    profile: Profile,
    settings: dict[str, Any],
    work: Path,
    epochs: float,
    seed: int,
    steps: int,
    updates: int = -1,
) -> dict[str, Any]:
    """What `SFTConfig` is called with. Separate, so that a test can hold it against the installed signatures."""
    return {
        **common_arguments(settings, work, epochs, seed, steps, updates),
        "max_length": profile.max_length,
        "packing": False,
        "train_sampling_strategy": "group_by_length",
    }


def sft(
    rows: Sequence[dict[str, Any]],
    base: str | Path,
    out: Path,
    profile: Profile,
    *,
    epochs: float = 1,
    updates: int = -1,
    seed: int = 0,
    label: str = "SFT",
) -> TrainingRecord:
    """LoRA fine-tuning on `prompt`/`completion` chats; the loss falls on the completion only.

    Args:
        rows: conversational prompt/completion rows (`cases.chat_rows`).
        base: stage folder or hub id to start from.
        out: folder for the merged model; `out.parent / "checkpoints"` style resumption uses `out` itself.
        epochs: passes over the rows; `updates` above 0 counts optimizer steps instead.
        label: what the progress line calls it.

    Raises:
        LabError: no rows; a row longer than the profile's limit (its tail, where the disclaimer is, would be cut silently).
    """
    return _run(rows, base, out, profile, profile.sft, epochs, updates, seed, label)


def cpt(
    texts: Sequence[str],
    base: str | Path,
    out: Path,
    profile: Profile,
    *,
    epochs: float,
    seed: int = 0,
    label: str = "CPT",
) -> TrainingRecord:
    """Continued pre-training with LoRA on plain texts; every token is a target."""
    return _run([{"text": text} for text in texts], base, out, profile, profile.cpt, epochs, -1, seed, label)


def _run(
    rows: Sequence[dict[str, Any]],
    base: str | Path,
    out: Path,
    profile: Profile,
    settings: dict[str, Any],
    epochs: float,
    updates: int,
    seed: int,
    label: str,
) -> TrainingRecord:
    refuse_nothing(rows)
    steps, epochs = in_steps(len(rows), settings["batch"] * settings["accumulation"], epochs, updates)

    def make(model: Any, tokenizer: Any, lora: Any) -> SFTTrainer:
        _refuse_cut_rows(rows, tokenizer, profile)
        return (
            AnswerLossTrainer if lora else SFTTrainer
        )(  # an engine that has put LoRA on itself has its own fast paths
            model=model,
            args=SFTConfig(**sft_arguments(profile, settings, out, epochs, seed, steps, updates)),
            train_dataset=Dataset.from_list(list(rows)),
            processing_class=tokenizer,
            peft_config=lora,
        )

    return fit(make, base, out, profile, rows=len(rows), epochs=epochs, steps=steps, seed=seed, label=label)


def refuse_nothing(rows: Sequence[Any]) -> None:
    """Raise a clear error on an empty data set."""
    if not rows:
        raise LabError(
            "There is nothing to train on: the data set is empty. Check the recipe's data function."
        )


def in_steps(rows: int, batch: int, epochs: float, updates: int) -> tuple[int, float]:
    """Optimizer steps and epochs of a run over so many rows; `updates` above 0 counts steps instead of epochs."""
    in_epoch = max(1, math.ceil(rows / batch))
    return (updates, updates / in_epoch) if updates > 0 else (math.ceil(in_epoch * epochs), epochs)


def fit(
    make: Callable[[Any, Any, Any], Any],
    base: str | Path,
    out: Path,
    profile: Profile,
    *,
    rows: int,
    epochs: float,
    steps: int,
    seed: int,
    label: str,
) -> TrainingRecord:
    """What every training run does around its trainer: quiet libraries, a seed, the progress line, resumption, the merge, the record.

    Args:
        make: (model, tokenizer, LoRA configuration or None) → a TRL trainer.
    """
    disable_progress_bars()
    transformers.logging.set_verbosity_error()
    transformers.set_seed(seed)
    model, tokenizer, lora = load_for_training(base, profile, seed)
    with Progress(label, steps) as progress:
        trainer = make(model, tokenizer, lora)
        started = time.time()
        trainer.add_callback(_Bar(progress))
        trainer.remove_callback(PrinterCallback)
        if lora and choose_hardware().device == "cpu":
            keep_freed_memory()
            fuse_lora(trainer.model)
        trainer.train(resume_from_checkpoint=get_last_checkpoint(str(out)) if out.is_dir() else None)
        record = _record(trainer, rows, epochs, time.time() - started)
        progress.done(
            f"{label}: {record.rows:,} rows × {epochs:.3g} epochs, {record.steps:,} steps, {record.tokens:,} tokens in {record.seconds:.0f} s."
        )
    merge_and_save(trainer.model, base, tokenizer, out, profile)
    record.save(out)
    return record


def _refuse_cut_rows(rows: Sequence[dict[str, Any]], tokenizer: Any, profile: Profile) -> None:
    """Count the rows that `max_length` would cut, and refuse: what is cut is the end, disclaimer and end-of-turn included."""

    def length(row: dict[str, Any]) -> int:
        if "text" in row:
            return len(tokenizer.encode(row["text"]))
        return len(
            tokenizer.apply_chat_template(row["prompt"] + row["completion"], tokenize=True, return_dict=True)[
                "input_ids"
            ]
        )

    # The longest in characters will do: tokenizing every row twice is not worth it.
    longest = sorted(rows, key=lambda row: len(str(row)))[-32:]
    cut = [size for size in map(length, longest) if size > profile.max_length]
    if cut:
        raise LabError(
            f"{len(cut)} of the longest rows exceed max_length={profile.max_length} (up to {max(cut)} tokens); "
            "their ends would be cut. Raise max_length in data/profiles.yaml or shorten them."
        )


def _record(trainer: Any, rows: int, epochs: float, seconds: float) -> TrainingRecord:
    history = trainer.state.log_history
    return TrainingRecord(
        rows=rows,
        epochs=epochs,
        steps=trainer.state.global_step,
        seconds=round(seconds, 1),
        tokens=getattr(trainer, "tokens", 0)
        or int(max((row["num_tokens"] for row in history if "num_tokens" in row), default=0)),
        trainable=sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad),
        losses=_curve(history, "loss"),
        curves={
            name: _curve(history, name)
            for name in sorted({name for row in history for name in row if name.startswith(CURVES)})
        },
    )


def _curve(history: Sequence[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    return [(row["step"], float(row[name])) for row in history if name in row]
