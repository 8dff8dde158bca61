"""What this machine can do, and why a choice was made: every decision comes with its reason."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from joblib import cpu_count

from helpers.files import LabError
from helpers.train.profiles import current_profile

PRECISION = "TRIAGE_PRECISION"  # "fp32" or "bf16": overrides the choice below, on a CPU
THREADS = "TRIAGE_THREADS"  # fewer than all, for a process that shares the machine with its siblings


@dataclass(frozen=True)
class Hardware:
    """Device, precision and attention, with the reason for each."""

    device: str
    precision: str
    attention: str
    reason: str

    def arguments(self) -> dict[str, Any]:
        """The `TrainingArguments` that follow, each explicit: the libraries guess wrong on a CPU."""
        return {
            "use_cpu": self.device == "cpu",
            "bf16": self.precision == "bf16",
            "fp16": self.precision == "fp16",
            "gradient_checkpointing": False,
            "dataloader_pin_memory": self.device == "cuda",
        }


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.startswith(("flags", "Features"))), set())


def _unserved() -> str:
    """Why the CUDA card that torch sees is left alone; empty where it is used.

    A build for SM 75 runs on 75 and later cards of that major version; one of PTX (`compute_90`) on every later
    card (CUDA C++ Programming Guide, "Binary Compatibility" and "PTX Compatibility").
    """
    if current_profile().name == "nano":  # a card trains it no faster (notebook 02 on an H100: 89 s)
        return f"{torch.cuda.get_device_name()} is not used: nano and its pages are made for a CPU"
    card = torch.cuda.get_device_capability()
    for name in torch.cuda.get_arch_list():
        kind, _, digits = name.partition("_")
        if not digits:
            return ""  # AMD's names (gfx90a): torch itself says what its build serves
        built = (int(digits.rstrip("af")[:-1]), int(digits.rstrip("af")[-1]))
        if built <= card and (kind == "compute" or built[0] == card[0]):
            return ""
    served = ", ".join(torch.cuda.get_arch_list()) or "none"
    card_name = f"{torch.cuda.get_device_name()} (SM {card[0]}{card[1]})"
    return f"{card_name} is not used: this torch was built for {served}"


@cache
def choose_hardware() -> Hardware:
    """Pick device, precision and threads for this machine.

    A CPU without bf16 instructions emulates them at a fraction of fp32's speed, so bf16 autocast is used only
    where the CPU has it.
    """
    unserved = _unserved() if torch.cuda.is_available() else ""
    if torch.cuda.is_available() and not unserved:
        (major, minor), name = torch.cuda.get_device_capability(), torch.cuda.get_device_name()
        precision = "bf16" if major >= 8 else "fp16"
        # cuDNN's attention prepares each new shape, and nearly every batch has one: two fifths of a step (bench-h100.json).
        torch.backends.cuda.enable_cudnn_sdp(False)
        reason = f"{name}, SM {major}{minor}: {precision}"
        return Hardware("cuda", precision, "sdpa", reason)
    threads = os.environ.get(THREADS, "").strip()
    if threads and not threads.isdecimal():
        raise LabError(f"{THREADS}={threads!r} is no number of threads: set it to one, or unset it.")
    cores = int(threads or cpu_count()) or 1  # a container's quota counts, not the host's cores
    torch.set_num_threads(cores)
    native = _cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"}
    wanted = os.environ.get(PRECISION, "").strip()
    if wanted not in ("", "fp32", "bf16"):
        how = "set it to fp32 or bf16, or unset it"
        raise LabError(f"{PRECISION}={wanted!r} is no precision of a CPU: {how}.")
    precision = wanted or ("bf16" if native else "fp32")
    why = f"bf16 autocast ({sorted(native)[0]})" if native else "fp32 (this CPU has no bf16 instructions)"
    if wanted:
        why = f"{wanted} ({PRECISION} is set)"
    # torch's fused attention is several times slower than plain matrix products on short padded rows
    # (tests/bench_train.py).
    reason = f"CPU, {cores} threads (one a core): {why}, eager attention"
    return Hardware("cpu", precision, "eager", f"{reason}. {unserved}" if unserved else reason)
