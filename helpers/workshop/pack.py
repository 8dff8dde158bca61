"""What a class gets, written down: the students' notebooks, the guide, and one zip for a room without network."""

import re
import shutil
import sys
import sysconfig
import zipfile
from importlib import metadata
from pathlib import Path

import nbformat

from helpers import install
from helpers.files import ROOT, LabError, arriving, build_dir, write_atomic
from helpers.machines import InstallError
from helpers.notebooks import PLAN
from helpers.workshop.guide import guide_text
from helpers.workshop.pages import student
from helpers.workshop.plans import page

NAME = "triage-lab-workshop"  # the folder in the zip
TREES = ("helpers", "data", "phone", "tests/exercises")
FILES = ("README.md", "LICENSE", "CITATION.cff", "pyproject.toml", "constraints.txt", "Makefile")
KEPT = ("stages", "runs", "corpus")  # of build/: what earlier notebooks leave for later ones
# caches, locks, half-made stages, and names that begin with a dot
LEFT_OUT = re.compile(r"(^|/)(\.|__pycache__/|node_modules/)|\.partial(/|$)|\.(lock|pyc)$")
REQUIREMENTS = "requirements.txt"

START = """# Start

This folder holds everything for the class; no network is needed. It was made for Python {python} on
{system}. Open a terminal in this folder. The first command makes the environment (some minutes, once):

```bash
{make}
```

The second one opens JupyterLab with notebook 00:

```bash
{start}
```

On Windows write `py` for `python3`, and `.venv\\Scripts\\python` for `.venv/bin/python`.{more}
"""
MAKE = (
    "python3 -m venv .venv && .venv/bin/python -m pip install --no-index --find-links wheels "
    f"--requirement wheels/{REQUIREMENTS}"
)


def write(out: Path) -> Path:
    """Write the notebooks for students and the guide below `out`; what was there from an earlier run goes."""
    shutil.rmtree(out / "notebooks", ignore_errors=True)
    for chapter in PLAN:
        edition = student(chapter, page(chapter))
        write_atomic(out / "notebooks" / chapter.path.name, nbformat.writes(edition) + "\n")
    write_atomic(out / "guide.md", guide_text())
    return out


def wheels(folder: Path) -> None:
    """Fetch a wheel of every package into `folder`, in the versions of this environment, or build it.

    Torch is named with its build, because it is a part of every checkpoint's key.

    Raises LabError: pip failed, with its reason.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    torch = metadata.version("torch")
    own = install.requirements("dev") | {"torch": f"=={torch}"}
    more = install.requirements("gguf") if "gguf" in install.wanted_extras() else {}
    wanted = [name + bounds for name, bounds in own.items()]
    built = [name + bounds for name, bounds in more.items() if name not in own]
    into = ("--constraint", "constraints.txt", "--wheel-dir", str(folder.resolve()))
    try:
        install.pip(sys.executable, *into, *wanted, act="wheel")
        if built:  # never from pip's cache: see `install.install`
            install.pip(sys.executable, *into, "--no-cache-dir", *built, act="wheel")
    except InstallError as error:
        how = f"Torch is asked for as {torch}; PIP_EXTRA_INDEX_URL names the index it came from"
        raise LabError(f"The wheels could not be collected. {error} {how}.") from error
    write_atomic(folder / REQUIREMENTS, "\n".join([*wanted, *built, ""]))


def contents(out: Path, root: Path = ROOT) -> dict[str, Path]:
    """Where every file of the zip comes from, by its name in the zip's folder.

    Args:
        out: where `write` and `wheels` have put theirs. root: the checkout.
    """
    found = {name: root / name for name in FILES if (root / name).is_file()}
    places = [("", root, TREES), ("", out, ("notebooks", "wheels")), ("build/", build_dir(), KEPT)]
    for above, folder, trees in places:
        files = [path for tree in trees for path in (folder / tree).rglob("*") if path.is_file()]
        names = {path.relative_to(folder).as_posix(): path for path in files}
        found |= {above + name: path for name, path in names.items() if not LEFT_OUT.search(name)}
    return found


def checkpoints() -> str:
    """Which trained stages a zip of now holds, and how to have more."""
    named = sorted(path.parent.name for path in (build_dir() / "stages").glob("*/*/manifest.json"))
    held = f"Checkpoints in it: {', '.join(named) or 'none'}."
    return f"{held} `python -m helpers run 00 04` or `train NAME` makes more; then pack again."


def start_page(gguf: bool) -> str:
    """START.md: two commands."""
    start = f"{'' if gguf else 'TRIAGE_GGUF=0 '}.venv/bin/python -m helpers lab"
    more = "" if gguf else " Notebooks 11 and 12 are left out: llama-cpp-python is not among the wheels."
    python, system = sysconfig.get_python_version(), sysconfig.get_platform()
    return START.format(python=python, system=system, make=MAKE, start=start, more=more)


def pack_zip(out: Path, root: Path = ROOT) -> Path:
    """Everything in one zip, `out`/triage-lab-workshop.zip; wheels are stored as they are."""
    found = contents(out, root)
    gguf = any(name.startswith("wheels/llama_cpp_python") for name in found)
    target = out / f"{NAME}.zip"
    with arriving(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{NAME}/START.md", start_page(gguf))
        for name, path in sorted(found.items()):
            kind = zipfile.ZIP_STORED if name.startswith("wheels/") else zipfile.ZIP_DEFLATED
            archive.write(path, f"{NAME}/{name}", compress_type=kind)
    return target
