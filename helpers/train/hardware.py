"""What this machine can do, and why a choice was made. Every decision comes with its reason, for readers
whose numbers differ.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from helpers.files import LabError

PRECISION = "TRIAGE_PRECISION"  # "fp32" or "bf16": overrides the choice below, on a CPU
THREADS = "TRIAGE_THREADS"  # fewer than all, for a process that shares the machine with its siblings


@dataclass(frozen=True)
class Hardware:
    """Device, precision and threads, with the reason for each."""

    device: str
    precision: str
    threads: int
    attention: str
    reason: str

    def arguments(self) -> dict[str, Any]:
        """The `TrainingArguments` that follow. TRL and transformers guess wrong on a CPU, so each is
        explicit.
        """
        return {
            "use_cpu": self.device == "cpu",
            "bf16": self.precision == "bf16",
            "fp16": self.precision == "fp16",
            "gradient_checkpointing": False,
            "dataloader_pin_memory": self.device == "cuda",
        }


def _cpu_flags() -> set[str]:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as stream:
            return next(
                (set(line.split()) for line in stream if line.startswith(("flags", "Features"))), set()
            )
    except OSError:
        return set()


@cache
def choose_hardware() -> Hardware:
    """Pick device, precision and threads for this machine.

    A CPU without bf16 instructions emulates them at a fraction of fp32's speed, so bf16 autocast is used only
    where the CPU has it.
    """
    if torch.cuda.is_available():
        name, (major, minor) = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
        precision = "bf16" if major >= 8 else "fp16"
        return Hardware(
            "cuda", precision, torch.get_num_threads(), "sdpa", f"{name}, SM {major}{minor}: {precision}"
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = int(os.environ.get(THREADS) or cores)
    torch.set_num_threads(cores)
    native = _cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"}
    wanted = os.environ.get(PRECISION, "").strip()
    if wanted not in ("", "fp32", "bf16"):
        raise LabError(
            f"{PRECISION}={wanted!r} is no precision of a CPU: set it to fp32 or bf16, or unset it."
        )
    precision = wanted or ("bf16" if native else "fp32")
    why = f"bf16 autocast ({sorted(native)[0]})" if native else "fp32 (this CPU has no bf16 instructions)"
    if wanted:
        why = f"{wanted} ({PRECISION} is set)"
    # torch's fused attention is several times slower than plain matrix products on short padded rows
    # (tests/bench_train.py).
    return Hardware(
        "cpu", precision, cores, "eager", f"CPU, {cores} threads (one a core): {why}, eager attention"
    )
