"""llama.cpp's own converter, to hold ours against: it is in the source package of llama-cpp-python, and in no
wheel.

`fetch` gets the package once, with pip, into `build/sources/`. Run as a script (`python tests/upstream.py
SOURCE MODEL --outfile …`) this file runs the converter with one change: it knows tokenizers by a hash of what
they do to one text, and ours is not in its list. The last line printed holds the seconds it took, imports
left out, and the process's peak of resident memory in MB.
"""

import runpy
import subprocess
import sys
import tarfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WANTED = ("convert_hf_to_gguf.py", "conversion/", "gguf-py/gguf/")


class Unobtainable(Exception):
    """Why there is no source package."""


def fetch(version: str) -> Path:
    """The folder with `convert_hf_to_gguf.py`, of this version of llama-cpp-python."""
    target = ROOT / "build" / "sources" / f"llama-cpp-python-{version}"
    if not target.is_dir():
        partial = target.with_suffix(".part")
        partial.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary",
            "llama-cpp-python",
            "--dest",
            str(partial),
        ]
        done = subprocess.run(
            [*command, f"llama-cpp-python=={version}"], capture_output=True, text=True, check=False
        )
        found = list(partial.glob("*.tar.gz"))
        if done.returncode or not found:
            raise Unobtainable(
                f"pip could not fetch the source package of llama-cpp-python {version}: "
                f"{done.stderr.strip()[-200:]}"
            )
        _unpack(found[0], partial)
        found[0].unlink()
        partial.rename(target)
    return target


def _unpack(archive: Path, target: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            _, _, inner = member.name.partition("/vendor/llama.cpp/")
            if inner.startswith(WANTED):
                member.name = inner
                tar.extract(member, target, filter="data")


def command(source: Path, model: Path, out: Path) -> list[str]:
    """How to convert `model` to F16 with the converter in `source`."""
    return [sys.executable, __file__, str(source), str(model), "--outfile", str(out), "--outtype", "f16"]


def peak_memory() -> float:
    """This process's peak of resident memory in MB (Linux). `ru_maxrss` will not do: a child starts with its
    parent's.
    """
    line = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")
    )
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    where = sys.argv.pop(1)
    sys.path.insert(0, where)
    from conversion import base

    base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "lfm2"
    sys.argv[0] = str(Path(where) / "convert_hf_to_gguf.py")
    began = time.perf_counter()
    runpy.run_path(sys.argv[0], run_name="__main__")
    print(f"{time.perf_counter() - began:.3f} {peak_memory():.1f}")
