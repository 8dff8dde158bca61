"""How fast LoRA training is on this GPU, and how much memory it takes: `python -m helpers bench-gpu`.

The 1.2 B model has its real shapes and random weights: every step costs what it would, and learns nothing.
Settings are those of the profile `gpu`, which are the blog's. Each engine trains in a process of its own.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.utils.benchmark import Timer
from transformers import AutoModelForCausalLM, Lfm2Config
from trl import SFTConfig

from helpers import cases
from helpers.files import DATA, ROOT, LabError, build_dir, read_json, write_json
from helpers.train import SFTTrainer, choose_hardware, load, load_tokenizer, machine, profile_named
from helpers.train.profiles import VARIABLE

ENGINES = {"transformers": "cards", "unsloth": "gpu"}  # and the profile whose engine is imported first


def matmul_peak(dtype: torch.dtype, device: str = "cpu", size: int = 2048) -> float:
    """This machine's best matrix-multiply rate in FLOP/s, measured on large square matrices."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    timer = Timer("a @ b", globals={"a": a, "b": b}, num_threads=torch.get_num_threads())
    return 2 * size**3 / timer.blocked_autorange(min_run_time=1.5).median


def flops_per_token(frozen: int, trainable: int) -> float:
    """LoRA training: 2 FLOP a weight forward, 2 backward through frozen weights, 6 for the adapter's own (Kaplan et
    al. 2020). The tied embedding counts once, as the output layer; what is computed twice to save memory, once.
    """
    return 4 * frozen + 6 * trainable


def measure(engine: str, folder: str, steps: int) -> dict[str, Any]:
    """Train the model in `folder` for so many optimizer steps: tokens/s, GB, and the share of the matmul peak."""
    profile, hardware = replace(profile_named("gpu"), engine=engine), choose_hardware()
    model, tokenizer = load(profile, folder)
    batch = profile.sft["batch"] * profile.sft["accumulation"]
    rows = Dataset.from_list(cases.chat_rows(cases.write_from_templates(batch * max(steps, 3), 0)))
    settings = machine(profile) | {"save_strategy": "no", "learning_rate": profile.sft["learning_rate"]}
    for wanted in (3, steps):  # kernels are compiled in the first three, which do not count
        config = SFTConfig(max_steps=wanted, max_length=profile.max_length, **settings)
        trainer = SFTTrainer(model, processing_class=tokenizer, train_dataset=rows, args=config)
        trainer.train()
    record, on_gpu = trainer.record, hardware.device == "cuda"
    memory = torch.cuda.max_memory_reserved() / 1e9 if on_gpu else None  # before the matrices below
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(hardware.precision, torch.float32)
    peak = matmul_peak(dtype, hardware.device, 8192 if on_gpu else 1024)
    speed = record.tokens / trainer.seconds
    cost = flops_per_token(model.num_parameters() - record.trainable, record.trainable)
    return {
        "tokens_per_second": speed,
        "peak_memory_gb": memory,
        "share_of_matmul_peak": speed * cost / peak,
        "matmul_peak_tflops": peak / 1e12,
        "trainable": record.trainable,
        "losses": record.losses,
        "versions": {one: version(one) for one in ("torch", "transformers", "trl", "peft", engine)},
    }


def _random_model() -> str:
    """The folder of the 1.2 B model with random weights, made once. Its tokenizer is nano's."""
    out = build_dir() / "bench" / "lfm2-1.2b-random"
    if not (out / "model.safetensors").is_file():
        print("Making 1.2 B random weights (2.3 GB) …", flush=True)
        config = Lfm2Config(**read_json(DATA / "lfm2.5-1.2b.json")["config"])
        load_tokenizer(profile_named("nano").base).save_pretrained(out)
        with torch.device("cuda"):  # where they are drawn in a second
            AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(out)
    return str(out)


def report(size: str = "1.2b", steps: int = 20) -> Path:
    """Measure the engines, print what was found, and keep it under build/bench with device and date.

    Raises LabError: there is no GPU for the 1.2 B model, or an engine failed.
    """
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    if size != "nano" and device == "CPU":
        raise LabError(
            "This machine has no CUDA device, and the training of 1.2 B parameters is measured on one. Run this on "
            "a machine that has one, or try the command itself: `python -m helpers bench-gpu --size nano`."
        )
    folder, found = profile_named("nano").base if size == "nano" else _random_model(), {}
    for engine, profile in ENGINES.items():
        if not find_spec(engine):
            print('Unsloth is not installed (`pip install -e ".[gpu]"`): plain transformers + PEFT alone.')
            continue
        command = [sys.executable, "-m", "helpers.train.bench", engine, folder, str(steps)]
        own = os.environ | {VARIABLE: profile}
        done = subprocess.run(command, env=own, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"Training with {engine} failed. Its last words: {done.stderr.strip()[-600:]}")
        found[engine] = one = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{engine}: {one['tokens_per_second']:,.0f} tokens/s, {one['peak_memory_gb'] or 0:.1f} GB of a GPU at "
            f"most (blog: 5.5), {one['share_of_matmul_peak']:.1%} of {one['matmul_peak_tflops']:.2f} TFLOP/s",
            flush=True,
        )
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    out = build_dir() / "bench" / f"{size}-{device.replace(' ', '-')}-{date[:10]}.json"
    write_json(out, {"device": device, "date": date, "size": size, "steps": steps, "engines": found})
    return out


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
