"""Can the exact set be had on every machine that readers have? `python tests/resolve_pins.py`, by hand: it asks an index.

uv (`pip install uv`) resolves for other systems and Pythons than this one; nothing is downloaded but metadata and
nothing is built. A line a machine: how many packages, and which of them constraints.txt does not name. `--lowest`
asks instead for the lower end of every range.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from helpers.install import ROOT, requirements

MACHINES = (
    "x86_64-manylinux_2_28",
    "aarch64-manylinux_2_28",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-msvc",
)
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
ONLY_LINUX = "x86_64-manylinux_2_28"  # Unsloth's triton, xformers and bitsandbytes


def resolve(machine: str, python: str, lowest: bool) -> tuple[bool, str]:
    """Does it resolve, and the list of packages or uv's own last words."""
    extras = ("dev", "gguf", "real", "site") + (("gpu",) if machine == ONLY_LINUX and not lowest else ())
    how = ["--resolution", "lowest-direct"] if lowest else ["--constraint", "constraints.txt"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "uv", "pip", "compile", "-", "--quiet", "--no-annotate", "--no-header"),
            *("--python-platform", machine, "--python-version", python, *how),
            *("--only-binary", ":all:", "--no-binary", "llama-cpp-python"),
        ],
        input="\n".join(map("".join, requirements(*extras).items())),
        cwd=ROOT,
        env={**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0, done.stdout if done.returncode == 0 else done.stderr[-600:]


def main() -> int:
    """Ask for each machine; exit code 1 if one of them cannot have the set."""
    lowest, failed = "--lowest" in sys.argv[1:], 0
    named = set(re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    for machine in MACHINES:
        for python in PYTHONS:
            found, text = resolve(machine, python, lowest)
            packages = set(re.findall(r"^([\w.-]+)==", text, re.MULTILINE))
            unnamed = sorted(name for name in packages - named if not lowest)
            what = f"{len(packages)} packages" + (f", not named: {', '.join(unnamed)}" if unnamed else "")
            print(f"{'✓' if found else '✗'} {machine} Python {python}: {what if found else text}", flush=True)
            failed += not found
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
