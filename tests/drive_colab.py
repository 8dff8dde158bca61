"""A notebook's first cell in an environment like Colab's, for real: `python tests/drive_colab.py PYTHON [NOTEBOOK]`, by hand.

PYTHON is an environment that holds what Colab holds (August 2026: Python 3.13, torch 2.11, numpy 2.1.3, transformers 5.15,
peft 0.20, datasets 4.0, ipywidgets 7.7.1). `google.colab` is a stand-in, and GitHub is this checkout. Four runs: without a
network; with pip killed while it installs; whole; and once more. Then the versions before and after.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from helpers.install import ROOT

STAND_IN = """
import google.colab  # a stand-in, in this folder
import numpy  # Colab's kernel has it loaded
"""
VERSIONS = "from importlib.metadata import version; print({name: version(name) for name in ('torch', 'numpy', 'ipywidgets')})"
DEAD = {
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_EXTRA_INDEX_URL": "",
    "PIP_FIND_LINKS": "",
    "PIP_CONFIG_FILE": os.devnull,
}


def origin(folder: Path, cell: str) -> dict[str, str]:
    """The environment variables that lead git from GitHub to a copy of this checkout that has the release's tag."""
    url, tag = re.search(r'"(https://github[^"]+)"', cell)[1], re.search(r'--branch=([^"]+)"', cell)[1]
    subprocess.run(["git", "clone", "--quiet", "--bare", str(ROOT), str(folder / "origin")], check=True)
    subprocess.run(["git", "-C", str(folder / "origin"), "tag", "--force", tag, "HEAD"], check=True)
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{folder / 'origin'}.insteadOf",
        "GIT_CONFIG_VALUE_0": url,
    }


def first_cell(python: str, cell: str, folder: Path, environment: dict[str, str], kill: bool = False) -> str:
    """What the cell prints; `kill` ends everything half a second after pip began to install."""
    command = [python, "-u", "-c", STAND_IN + cell]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    printed = []
    for line in process.stdout:
        printed.append(line)
        if kill and "Installing collected" in line:
            time.sleep(0.5)
            os.killpg(process.pid, signal.SIGKILL)
    return "".join(printed) + f"(exit code {process.wait()})"


def main() -> None:
    """The four runs, each with what a reader would read."""
    python, name = sys.argv[1], (sys.argv[2:] or ["00"])[0]
    page = json.loads(next((ROOT / "notebooks").glob(f"{name}*.ipynb")).read_text(encoding="utf-8"))
    cell = next(
        "".join(one["source"]) for one in page["cells"] if "bootstrap" in one["metadata"].get("tags", [])
    )
    checked = cell.split("from helpers import lab")[0]  # without torch, which takes a while
    subprocess.run([python, "-c", VERSIONS], check=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "google" / "colab").mkdir(parents=True)
        (folder / "google" / "colab" / "__init__.py").touch()
        github = origin(folder, cell)
        for what, code, more in (
            ("no network", checked, DEAD),
            ("killed while it installs", checked, {}),
            ("whole", cell, {}),
            ("again", checked, {}),
        ):
            started = time.time()
            printed = first_cell(python, code, folder, github | more, kill="killed" in what)
            print(f"--- {what}: {time.time() - started:.0f} s\n{printed[-1500:]}", flush=True)
    subprocess.run([python, "-c", VERSIONS], check=True)
    subprocess.run([python, "-m", "pip", "check"], check=False)


if __name__ == "__main__":
    main()
