"""How fast the SFT path is against plain TRL, in one run: `python tests/bench_train.py`.

Plain is `SFTTrainer` with TRL's defaults (batch 8, gradient checkpointing, random order) and the same LoRA,
data and number of epochs. Ratios, never
timed assertions: what it prints is for reading. A second pair holds the learning settings equal, to show that
    speed costs no loss.
Every measurement is a process of its own, because our path also tunes the process's memory allocator.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from datasets import Dataset, disable_progress_bars
from tools import fine_tuned, with_lora
from trl import SFTConfig, SFTTrainer

from helpers import cases, train
from helpers.train.bench import flops_per_token, matmul_peak

ROWS = 800
EQUAL = {"batch": 8, "accumulation": 1, "learning_rate": 2e-3, "warmup_steps": 1, "save_steps": 0}
PROFILE = train.profile_named("nano")


def plain(rows: list, epochs: int, **settings: object) -> tuple[float, float]:
    """TRL as it comes, its own preparation included. Returns tokens a second and the mean loss of the last
    quarter.
    """
    with tempfile.TemporaryDirectory() as folder:
        arguments = SFTConfig(
            output_dir=folder,
            num_train_epochs=epochs,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            logging_steps=5,
            use_cpu=True,
            **settings,
        )
        started = time.perf_counter()
        trainer = SFTTrainer(
            model=with_lora(PROFILE),
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=train.load_tokenizer(PROFILE.base),
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


def ours(rows: list, epochs: int, profile: train.Profile, seed: int = 0) -> tuple[float, float, int]:
    """Our path. Returns tokens a second, the mean loss of the last quarter, and trainable parameters."""
    with tempfile.TemporaryDirectory() as folder:
        record = fine_tuned(rows, Path(folder) / "out", profile, seed=seed, epochs=epochs, warmup_steps=10)
        return record.tokens / record.seconds, tail([loss for _, loss in record.losses]), record.trainable


def measure(way: str, seed: int) -> dict[str, float]:
    """One measurement, after a short warm-up that is not counted."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    disable_progress_bars()
    rows = cases.chat_rows(cases.write_from_templates(ROWS, 0))
    if way.startswith("plain"):
        settings: dict[str, object] = {"seed": seed}
        if way == "plain-equal":
            settings |= {
                "learning_rate": EQUAL["learning_rate"],
                "lr_scheduler_type": "cosine",
                "warmup_steps": 1,
            }
        plain(rows[:64], 1, **settings)
        speed, loss = plain(rows, 1, **settings)
        return {"speed": speed, "loss": loss, "trainable": 0}
    profile = dataclasses.replace(PROFILE, sft=EQUAL) if way == "ours-equal" else PROFILE
    ours(rows[:64], 1, profile)
    speed, loss, trainable = ours(rows, 1, profile, seed)
    return {"speed": speed, "loss": loss, "trainable": trainable}


def in_a_process(way: str, seed: int = 0) -> dict[str, float]:
    """`measure` in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, __file__, way, str(seed)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure each way three times, alternating, and print ratios."""
    print(train.choose_hardware().reason, flush=True)
    runs = [(in_a_process("plain"), in_a_process("ours")) for _ in range(3)]
    speeds = {name: [run[place]["speed"] for run in runs] for place, name in enumerate(("plain", "ours"))}
    middle = {name: statistics.median(values) for name, values in speeds.items()}
    print(
        f"plain TRL defaults  {middle['plain']:9,.0f} tokens/s   runs {[round(v) for v in speeds['plain']]}"
    )
    ratios = [f"{ours / plain:.2f}" for plain, ours in zip(speeds["plain"], speeds["ours"], strict=True)]
    print(
        f"our SFT path        {middle['ours']:9,.0f} tokens/s   runs {[round(v) for v in speeds['ours']]}   "
        f"ratio {' / '.join(ratios)}"
    )
    dtype = torch.bfloat16 if train.choose_hardware().precision == "bf16" else torch.float32
    rate = middle["ours"] * flops_per_token(
        train.load_model(PROFILE.base).num_parameters(), int(runs[0][1]["trainable"])
    )
    peak = matmul_peak(dtype)
    print(
        f"achieved {rate / 1e9:,.0f} GFLOP/s of {peak / 1e9:,.0f} measured {dtype} matrix-multiply peak: "
        f"{rate / peak:.0%}",
        flush=True,
    )
    for way in ("plain-equal", "ours-equal"):
        losses = [in_a_process(way, seed)["loss"] for seed in range(3)]
        spread = statistics.stdev(losses)
        print(
            f"same batch, rate and schedule, {way:<11}: last-quarter loss {statistics.mean(losses):.4f}, sd "
            f"over seeds {spread:.4f}",
            flush=True,
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
    else:
        main()
