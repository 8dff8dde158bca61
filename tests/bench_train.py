"""How fast the SFT path is against plain TRL, in one run: `python tests/bench_train.py`.

Plain is `SFTTrainer` with TRL's defaults (batch 8, gradient checkpointing, random order) and the same LoRA, data and number of epochs. Ratios, never
timed assertions: what it prints is for reading. A second pair holds the learning settings equal, to show that speed costs no loss.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from datasets import Dataset, disable_progress_bars
from trl import SFTConfig, SFTTrainer

from helpers import cases, train
from helpers.train import loading

ROWS = 800
PROFILE = train.profile_named("nano")


def matmul_peak(dtype: torch.dtype, size: int = 2048, seconds: float = 1.5) -> float:
    """This machine's best matrix-multiply rate in FLOP/s, measured on large square matrices."""
    a, b = torch.randn(size, size, dtype=dtype), torch.randn(size, size, dtype=dtype)
    for _ in range(3):
        a @ b
    started, runs = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        a @ b
        runs += 1
    return 2 * size**3 * runs / (time.perf_counter() - started)


def flops_per_token(base: torch.nn.Module, trainable: int) -> float:
    """LoRA training: 2 FLOP a weight forward, 2 backward through frozen weights, 6 for the adapter's own (Kaplan et al. 2020)."""
    frozen = sum(weight.numel() for name, weight in base.named_parameters())  # the tied embedding counts once, as the output layer
    return 4 * frozen + 6 * trainable


def plain(rows: list, epochs: int, **settings: object) -> tuple[float, float]:
    """TRL as it comes. Returns tokens a second and the mean loss of the last quarter."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = SFTConfig(
            output_dir=folder,
            num_train_epochs=epochs,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            logging_steps=5,
            seed=0,
            use_cpu=True,
            **settings,
        )
        started = time.perf_counter()
        trainer = SFTTrainer(
            model=loading.AutoModelForCausalLM.from_pretrained(PROFILE.base),
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=train.load_tokenizer(PROFILE.base),
            peft_config=loading.lora_config(PROFILE),
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
        seconds = time.perf_counter() - started
        history = [row for row in trainer.state.log_history if "loss" in row]
        return history[-1]["num_tokens"] / seconds, tail([float(row["loss"]) for row in history])


def tail(losses: list[float]) -> float:
    """Mean of the last quarter."""
    last = losses[-max(1, len(losses) // 4) :]
    return sum(last) / len(last)


def ours(rows: list, epochs: int, profile: train.Profile) -> tuple[float, float, int]:
    """Our path. Returns tokens a second, the mean loss of the last quarter, and trainable parameters."""
    with tempfile.TemporaryDirectory() as folder:
        record = train.sft(rows, profile.base, Path(folder) / "out", profile, epochs=epochs, label="ours")
        return record.tokens / record.seconds, tail([loss for _, loss in record.losses]), record.trainable


def main() -> None:
    """Warm up, measure each way twice, alternating, and print ratios."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    disable_progress_bars()
    rows = cases.chat_rows(cases.write_from_templates(ROWS, 0))
    print(train.choose_hardware().reason)
    ours(rows[:64], 1, PROFILE)
    speeds: dict[str, list[float]] = {"plain": [], "ours": []}
    trainable = 0
    for _ in range(2):
        speeds["plain"].append(plain(rows, 1)[0])
        speed, _, trainable = ours(rows, 1, PROFILE)
        speeds["ours"].append(speed)
    best = {name: max(values) for name, values in speeds.items()}
    print(f"plain TRL defaults  {best['plain']:9,.0f} tokens/s   runs {[round(v) for v in speeds['plain']]}")
    print(
        f"our SFT path        {best['ours']:9,.0f} tokens/s   runs {[round(v) for v in speeds['ours']]}   ratio {best['ours'] / best['plain']:.2f}×"
    )
    dtype = torch.bfloat16 if train.choose_hardware().precision == "bf16" else torch.float32
    rate, peak = best["ours"] * flops_per_token(train.load_model(PROFILE.base), trainable), matmul_peak(dtype)
    print(f"achieved {rate / 1e9:,.0f} GFLOP/s of {peak / 1e9:,.0f} measured {dtype} matrix-multiply peak: {rate / peak:.0%}")
    single, _ = plain(rows, 1, bf16=False)
    print(f"plain TRL in fp32   {single:9,.0f} tokens/s   ratio {best['ours'] / single:.2f}× (TRL's own default is bf16 autocast)")
    same = {"batch": 8, "accumulation": 1, "learning_rate": 2e-3, "warmup_steps": 1, "save_steps": 0}
    equal = dataclasses.replace(PROFILE, sft=same)
    _, plain_loss = plain(rows, 1, learning_rate=2e-3, lr_scheduler_type="cosine", warmup_steps=1)
    _, our_loss, _ = ours(rows, 1, equal)
    print(f"same learning settings: last-quarter loss plain {plain_loss:.4f}, ours {our_loss:.4f}, difference {our_loss - plain_loss:+.4f}")


if __name__ == "__main__":
    main()
