"""Export at full size, in one run: `python tests/bench_export.py [folder for 10 GB of files]`.

Random bfloat16 weights in the shapes of LFM2.5-1.2B are exported to F16 and to Q5_K_M, beside llama.cpp's own
converter. Targets: sizes within 0.1 % of the prediction, peak memory of the export ≤ 1 GB above an interpreter
with its imports, time ≤ 1× the converter's. Times are of the conversion, imports left out on both sides. Every
measurement is a process of its own, so that peaks of memory are its own.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import upstream
from safetensors.torch import save_file

from helpers import export
from helpers.files import DATA, ROOT, read_json

PAIRS = 3


def build(folder: Path) -> None:
    """The weights in four shards, and the nano base's tokenizer: ids it has not are marked unused."""
    shutil.copytree(
        DATA / "nano-base",
        folder,
        ignore=shutil.ignore_patterns("*.safetensors", "config.json", "training.json"),
    )
    config = read_json(export.LARGE)["config"]
    (folder / "config.json").write_text(json.dumps(config))
    noise = (torch.randn(1 << 22, generator=torch.Generator().manual_seed(0)) * 0.02).bfloat16()
    tensors, where = export.read_architecture(config).tensors, {}
    for shard in range(4):
        part = tensors[shard::4]
        name = f"model-{shard + 1:05}-of-00004.safetensors"
        save_file(
            {
                one.source: noise.repeat(-(-_count(one) // len(noise)))[: _count(one)].reshape(one.stored)
                for one in part
            },
            folder / name,
        )
        where |= {one.source: name for one in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))


def _count(tensor: export.Tensor) -> int:
    return torch.Size(tensor.stored).numel()


def ours(model: Path, out: Path, quant: str) -> float:
    """Seconds of one export."""
    began = time.perf_counter()
    export.export(model, out, quant)
    return time.perf_counter() - began


def measured(command: list[str]) -> tuple[float, float]:
    """What a process prints last: seconds, and its peak of resident memory in MB."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    seconds, megabytes = map(float, done.stdout.split()[-2:])
    return seconds, megabytes


def in_a_process(*arguments: object) -> tuple[float, float]:
    """`ours` in a fresh interpreter."""
    return measured([sys.executable, __file__, *map(str, arguments)])


def main(folder: Path) -> None:
    """Build, export, convert; print numbers and ratios."""
    model, out = folder / "model", folder / "out.gguf"
    build(model)
    source = upstream.fetch(metadata.version("llama-cpp-python"))
    floor = in_a_process("imports", model, out)[1]
    print(f"interpreter with imports {floor:,.0f} MB", flush=True)
    pairs = []
    for _ in range(PAIRS):
        mine = in_a_process("F16", model, out)
        size = out.stat().st_size
        out.unlink()
        theirs = measured(upstream.command(source, model, out))
        print(
            f"  F16 {mine[0]:.1f} s, {mine[1]:,.0f} MB   llama.cpp's converter {theirs[0]:.1f} s, "
            f"{theirs[1]:,.0f} MB",
            flush=True,
        )
        print(f"  {size:,} bytes, theirs {out.stat().st_size:,}", flush=True)
        out.unlink()
        pairs.append((mine, theirs))
    ratio = statistics.median(mine[0] / theirs[0] for mine, theirs in pairs)
    print(
        f"F16: time {ratio:.2f}× llama.cpp's converter, memory "
        f"{max(mine[1] for mine, _ in pairs) - floor:,.0f} MB above the imports"
    )
    report("F16", size, model)
    seconds, peak = in_a_process("Q5_K_M", model, out)
    print(f"Q5_K_M: {seconds:.1f} s (F16 on the way), memory {peak - floor:,.0f} MB above the imports")
    report("Q5_K_M", out.stat().st_size, model)


def report(quant: str, size: int, model: Path) -> None:
    """A size beside its prediction."""
    predicted = export.predict_folder(model, quant).bytes
    print(f"{quant}: {size:,} bytes, predicted {predicted:,}: {size / predicted - 1:+.4%}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        step, model, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
        seconds = 0.0 if step == "imports" else ours(model, out, step)
        print(seconds, upstream.peak_memory())
    else:
        place = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build"
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place) as temporary:
            main(Path(temporary))
