"""TRL's three trainers under their own names and signatures, made for a small model on a few CPU cores.

Batches of rows are length-grouped and padded to their longest row; LFM2 is never packed here, because on a
CPU its convolution fallback leaks one document into the next.
"""

import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil
import torch
import transformers
import trl
from accelerate.state import AcceleratorState
from datasets import Dataset, disable_progress_bars
from peft import get_peft_model_state_dict
from transformers import PrinterCallback, TrainerCallback

from helpers.files import LabError, build_dir
from helpers.progress import Progress
from helpers.train.fast import LARGE, HandBack, fuse_lora, hand_back_memory
from helpers.train.hardware import choose_hardware
from helpers.train.profiles import Profile

PROCESSES = int(os.environ.get("WORLD_SIZE", 1))  # they train together, and share the profile's batch
CURVES = ("logps/", "reward", "frac_reward_zero_std", "kl", "completions/")  # kept of TRL's log


def quieten() -> None:
    """Turn off the libraries' own bars and hints: what a reader should see is said here."""
    disable_progress_bars()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


@dataclass(frozen=True)
class TrainingRecord:
    """What a run was and what it cost.

    `losses` are (step, mean loss in nats a trained token); `curves` likewise, by TRL's names.
    """

    rows: int
    epochs: float
    steps: int
    seconds: float
    tokens: int
    trainable: int
    losses: list[tuple[int, float]]
    curves: dict[str, list[tuple[int, float]]]


class _Bar(TrainerCallback):
    def __init__(self, progress: Progress) -> None:
        self.progress, self.note = progress, ""

    def on_log(self, *_: Any, logs: dict[str, Any] | None = None, **__: Any) -> None:
        if logs and "loss" in logs:
            self.note = f"· loss {float(logs['loss']):.3f}"

    def on_step_end(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        self.progress.update(state.global_step - self.progress.count, self.note)


def machine(profile: Profile, task: str = "sft") -> dict[str, Any]:
    """The arguments of a TRL configuration that follow from the machine and the model's size, and teach
    nothing.

    Args:
        task: entry of the profile that holds batch size and checkpoints: `sft`, `cpt`, `grid`, `dpo` or
            `grpo`
    """
    settings = getattr(profile, task)
    # Rows of one length side by side: less padding. Preference pairs and prompts to be answered are not rows
    # of tokens.
    grouped = {} if task in ("dpo", "grpo") else {"train_sampling_strategy": "group_by_length"}
    return {
        "output_dir": str(build_dir() / "trainer"),
        "per_device_train_batch_size": max(1, settings["batch"] // PROCESSES),
        "gradient_accumulation_steps": settings["accumulation"],
        **grouped,
        "logging_steps": 0.02,  # of all steps
        "logging_first_step": True,
        "save_strategy": "steps" if settings["save_steps"] else "no",
        "save_steps": settings["save_steps"] or 500,
        "save_total_limit": 1,
        "report_to": [],
        "disable_tqdm": True,
        **choose_hardware().arguments(),
    }


class _OnFewCores:
    """What our trainers add to TRL's: a progress line, quick LoRA layers on a CPU, and the run's record."""

    label = "Training"  # what the progress line calls it
    tokens = 0
    seconds = 0.0

    def __init__(self, model: Any, args: Any = None, train_dataset: Any = None, **more: Any) -> None:
        quieten()
        if not train_dataset:
            raise LabError(
                "There is nothing to train on: the data set is empty. Check the recipe's data function."
            )
        # As they were handed over: `lab.keep` names the result by both.
        self.rows, self.settings = train_dataset, args.to_dict()
        super().__init__(model=model, args=args, train_dataset=train_dataset, **more)  # type: ignore[call-arg]
        self.remove_callback(PrinterCallback)  # type: ignore[attr-defined]
        # Unsloth, once it is imported, has changed the libraries, and brings quick layers of its own. Several
        # processes: the wrapper that adds up their gradients must see the forward pass.
        alone = PROCESSES == 1 and "unsloth" not in sys.modules
        on_cpu = choose_hardware().device == "cpu" and hasattr(self.model, "peft_config")  # type: ignore[attr-defined]
        self.fast = alone and on_cpu
        if self.fast:
            fuse_lora(self.model)  # type: ignore[attr-defined]

    def train(self, *arguments: Any, **more: Any) -> Any:
        """As TRL's, with a progress line."""
        trainer: Any = self
        if not AcceleratorState._shared_state:  # making another configuration resets what accelerate shares
            trainer.create_accelerator_and_postprocess()
        started = time.time()
        if self.fast and trainer.model.num_parameters() > LARGE:
            trainer.add_callback(HandBack())
            if hasattr(self, "expected"):
                print(trainer.expected(), flush=True)
        with Progress(self.label, self.planned[0]) as progress:
            trainer.add_callback(_Bar(progress))
            result = super().train(*arguments, **more)  # type: ignore[misc]
            self.seconds = time.time() - started
            record = self.record
            progress.done(
                f"{self.label}: {record.rows:,} rows × {record.epochs:.3g} epochs, {record.steps:,} steps, "
                f"{record.tokens:,} tokens in {record.seconds:.0f} s."
            )
        if self.fast:
            trainer.model.zero_grad()
            hand_back_memory()
        return result

    @property
    def planned(self) -> tuple[int, float]:
        """Optimizer steps and epochs of the whole run; `max_steps` above 0 wins over `num_train_epochs`."""
        args = self.args  # type: ignore[attr-defined]
        batch = args.per_device_train_batch_size * args.gradient_accumulation_steps * PROCESSES
        in_epoch = max(1, math.ceil(len(self.rows) / batch))
        if args.max_steps > 0:
            return args.max_steps, args.max_steps / in_epoch
        return math.ceil(in_epoch * args.num_train_epochs), args.num_train_epochs

    @property
    def record(self) -> TrainingRecord:
        """What the run was and what it cost."""
        trainer: Any = self
        history = trainer.state.log_history
        curves = sorted({name for row in history for name in row if name.startswith(CURVES)})
        counted = max((int(row["num_tokens"]) for row in history if "num_tokens" in row), default=0)
        return TrainingRecord(
            rows=len(self.rows),
            epochs=trainer.state.epoch or 0.0,
            steps=trainer.state.global_step,
            seconds=round(self.seconds, 1),
            tokens=self.tokens or counted,
            trainable=sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad),
            losses=_curve(history, "loss"),
            curves={name: _curve(history, name) for name in curves},
        )

    def adapter(self) -> dict[str, torch.Tensor]:
        """The trained adapter. Where each process holds a part of it (FSDP), all of them have to ask."""
        trainer: Any = self
        whole = trainer.accelerator.get_state_dict(trainer.model) if PROCESSES > 1 else None
        return get_peft_model_state_dict(trainer.model, state_dict=whole)

    def floating_point_ops(self, _: dict[str, Any]) -> int:
        """Not counted: walking through every parameter takes a tenth of a small model's step."""
        return 0


class SFTTrainer(_OnFewCores, trl.SFTTrainer):
    """TRL's `SFTTrainer` with its own arguments, made for a small model on a few CPU cores.

    On a CPU the loss multiplies by the vocabulary at trained tokens only, once. TRL computes it in
    checkpointed chunks, with entropy and accuracy at every step: right for 65,536 tokens on a GPU, a tenth of
    the time here. The mathematics is the same (a test holds the two equal).

    Raises LabError: no rows; a row longer than `max_length`, whose end would be cut silently.
    """

    def __init__(
        self,
        model: Any,
        args: Any = None,
        train_dataset: Dataset | None = None,
        processing_class: Any = None,
        **more: Any,
    ) -> None:
        _refuse_cut_rows(train_dataset, processing_class, args.max_length)
        super().__init__(
            model=model, args=args, train_dataset=train_dataset, processing_class=processing_class, **more
        )

    def expected(self) -> str:
        """Minutes and memory of the run here: its longest rows are computed first, with gradients.

        So a machine without enough memory says so before the work begins, not when the longest rows come.
        """
        batch = self.args.per_device_train_batch_size
        lengths = [len(ids) for ids in self.train_dataset["input_ids"]]
        longest = sorted(range(len(lengths)), key=lengths.__getitem__)[-batch:]
        inputs = self._prepare_inputs(self.data_collator([self.train_dataset[place] for place in longest]))
        for _ in range(2):  # the first one prepares kernels
            started = time.time()
            self.compute_loss(self.model, inputs).backward()
        rate = int(inputs["attention_mask"].sum()) / (time.time() - started)
        self.model.zero_grad()
        self.tokens = 0
        minutes = sum(lengths) * self.planned[1] / rate / 60
        memory = psutil.Process().memory_info().rss / 1e9
        return f"{self.label}: about {minutes:.0f} min and {memory:.1f} GB of memory on this machine."

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Mean cross-entropy of the next token over the `num_items_in_batch` trained tokens, in nats."""
        if not self.fast:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        causal = model.get_base_model()
        with self.accelerator.autocast():
            hidden = causal.model(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False
            ).last_hidden_state
            targets = inputs["labels"][:, 1:]
            trained = targets != -100
            logits = causal.lm_head(hidden[:, :-1][trained])
        self.tokens += int(inputs["attention_mask"].sum())
        total = trained.sum() if num_items_in_batch is None else num_items_in_batch
        return torch.nn.functional.cross_entropy(logits.float(), targets[trained], reduction="sum") / total


class DPOTrainer(_OnFewCores, trl.DPOTrainer):
    """TRL's `DPOTrainer` with its own arguments. `cases.usable` drops cut or worthless pairs before.

    On a CPU it multiplies by the vocabulary at the answers' tokens only, as TRL does with Liger's kernels,
    and keeps no entropy: a third less time. The mathematics is the same (a test holds the two equal).

    Raises LabError: no pairs.
    """

    label = "DPO"

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        if self.fast:
            self.use_liger_kernel = True  # TRL's name for the way through the method below

    def _get_per_token_logps_and_entropies(
        self, model: Any, model_kwargs: dict[str, Any], input_ids: torch.Tensor, completion_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, Any]:
        if not self.fast:
            return super()._get_per_token_logps_and_entropies(model, model_kwargs, input_ids, completion_mask)
        causal, answer = model.get_base_model(), completion_mask[:, 1:].bool()
        with self.accelerator.autocast():
            outputs = causal.model(**model_kwargs)
            logits = causal.lm_head(outputs.last_hidden_state[:, :-1][answer])
        losses = torch.nn.functional.cross_entropy(logits.float(), input_ids[:, 1:][answer], reduction="none")
        logps = losses.new_zeros(answer.shape).masked_scatter(answer, -losses)
        return logps, torch.zeros_like(logps), outputs


class GRPOTrainer(_OnFewCores, trl.GRPOTrainer):
    """TRL's `GRPOTrainer` with its own arguments. Raises LabError: no prompts."""

    label = "GRPO"


def _refuse_cut_rows(rows: Any, tokenizer: Any, limit: int | None) -> None:
    """Refuse rows that `max_length` would cut: their ends, disclaimer and end-of-turn included."""

    def length(row: dict[str, Any]) -> int:
        if "text" in row:
            return len(tokenizer.encode(row["text"]))
        chat = row["prompt"] + row["completion"]
        return len(tokenizer.apply_chat_template(chat, tokenize=True, return_dict=True)["input_ids"])

    if limit is None:
        return
    # The longest in characters will do: tokenizing every row twice is not worth it.
    longest = sorted(rows, key=lambda row: len(str(row)))[-32:]
    cut = [size for size in map(length, longest) if size > limit]
    if cut:
        raise LabError(
            f"{len(cut)} of the longest rows exceed max_length={limit} (up to {max(cut)} tokens); "
            "their ends would be cut. Raise max_length in data/profiles.yaml or shorten them."
        )


def _curve(history: Sequence[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    return [(row["step"], float(row[name])) for row in history if name in row]
