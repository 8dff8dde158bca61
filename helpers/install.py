"""Make the environment, with the standard library alone: `.venv`, the pinned packages, a line of progress.

`ensure` is called by every command. It does nothing where the pinned packages are already importable (conda,
Colab, a second run).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import venv
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
NEEDED_BYTES = 6 * 2**30  # a full installation with its build folder
# llama.cpp otherwise takes every instruction that the building CPU names. Some machines name AMX and then
# refuse it, and an environment that moves to an older CPU meets the same end: «Illegal instruction». AVX2 is
# what this build keeps.
PORTABLE_BUILD = "-DGGML_NATIVE=OFF"
DIAGNOSES = (
    (
        ("No space left on device",),
        "The disk is full: about 6 GB are needed for the packages and their build.",
    ),
    (
        ("CMAKE_CXX_COMPILER", "No CMAKE_C_COMPILER", "CMake configuration failed", "gcc: not found"),
        "llama-cpp-python is built from source and found no working C++ compiler.",
    ),
    (
        (
            "Temporary failure in name resolution",
            "Failed to establish a new connection",
            "Network is unreachable",
            "Connection refused",
            "No matching distribution found",
            "timed out",
        ),
        "The package index could not be reached, or does not hold a pinned version.",
    ),
)


class InstallError(Exception):
    """What is missing and what to do, in one message."""


def pins() -> dict[str, str]:
    """Pinned versions by package name, from pyproject.toml."""
    import tomllib  # not there before Python 3.11, where `ensure` must still be able to say so

    with (ROOT / "pyproject.toml").open("rb") as stream:
        project = tomllib.load(stream)["project"]
    rows = project["dependencies"] + project["optional-dependencies"]["dev"]
    return dict(row.split("==") for row in rows)


def missing() -> list[str]:
    """Pinned packages that this Python has not, or has in another version."""
    wrong = []
    for name, wanted in pins().items():
        try:
            installed = metadata.version(name).split("+")[0]
        except metadata.PackageNotFoundError:
            installed = ""
        if installed != wanted and not installed.startswith(wanted + "."):
            wrong.append(f"{name}=={wanted}")
    return wrong


def venv_python() -> Path:
    """The interpreter of `.venv`."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def check_python(version: tuple[int, ...] = tuple(sys.version_info)) -> None:
    """Refuse a Python that is too old.

    Raises:
        InstallError: it is older than 3.11.
    """
    if version < (3, 11):
        found = ".".join(map(str, version[:3]))
        how = "Install it and run the same command with it"
        raise InstallError(f"Python 3.11 or newer is needed; this is {found}. {how}.")


def check_machine() -> None:
    """Refuse early what would fail late.

    Raises:
        InstallError: Python is too old, there is no C++ compiler, or the disk is too small.
    """
    check_python()
    if not any(map(shutil.which, (os.environ.get("CXX", "c++"), "c++", "g++", "clang++", "cl"))):
        raise InstallError(
            "There is no C++ compiler, and llama-cpp-python is built from source. Install one "
            "(Debian/Ubuntu: `sudo apt install g++`; macOS: `xcode-select --install`; "
            "Windows: Visual Studio Build Tools) and run the same command again."
        )
    free = shutil.disk_usage(ROOT).free
    if free < NEEDED_BYTES:
        raise InstallError(
            f"The disk is too full: {free / 1e9:.1f} GB free, about {NEEDED_BYTES / 1e9:.0f} GB needed. "
            "Free some space and run the same command again."
        )


def explain(log: str) -> str:
    """The likely cause of a failed pip run, from its log."""
    cause = next((text for signs, text in DIAGNOSES if any(sign in log for sign in signs)), "pip failed.")
    tail = "\n".join(line for line in log.splitlines()[-40:] if "error" in line.lower())[-600:]
    return f"{cause} Mend that and run the same command again; what is installed stays.\n{tail}".rstrip()


def _pip(*arguments: str) -> None:
    """Run pip in `.venv`, showing what it is at in one line."""
    log: list[str] = []
    started = time.time()
    quiet = ("--progress-bar=off", "--disable-pip-version-check")
    command = [str(venv_python()), "-m", "pip", "install", *quiet, *arguments]
    environment = {**os.environ, "CMAKE_ARGS": os.environ.get("CMAKE_ARGS", PORTABLE_BUILD)}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    lively = sys.stdout.isatty()
    for line in process.stdout:
        log.append(line)
        words = line.split()
        if words and words[0] in {"Collecting", "Downloading", "Building", "Installing"}:
            what = f"[{time.time() - started:4.0f} s] {' '.join(words[:4])}"[:100]
            if lively:
                print(f"\r{what:<100}", end="", flush=True)
            elif words[0] in {"Building", "Installing"}:
                print(what, flush=True)
    if lively:
        print()
    if process.wait():
        raise InstallError(explain("".join(log)))


def install() -> None:
    """Create `.venv` and install the pinned packages into it.

    Raises:
        InstallError: see `check_machine`, or pip failed; the message says why.
    """
    check_machine()
    minutes = "The first time takes 5 to 15 minutes, most of it building llama-cpp-python"
    print(f"Installing the pinned packages into .venv. {minutes}.", flush=True)
    if not venv_python().exists():
        venv.create(VENV, with_pip=True)
    started = time.time()
    if wanted := pins().get("llama-cpp-python"):
        # never from pip's cache: a wheel in it may hold another machine's instructions
        _pip("--no-cache-dir", f"llama-cpp-python=={wanted}")
    _pip("--editable", ".[dev]")
    print(f"Installed in {time.time() - started:.0f} s.", flush=True)


def ensure(arguments: list[str]) -> None:
    """Continue in an environment that has the pinned packages: this one, or `.venv`, made now if need be.

    Does not return when it has to switch: the command runs in the other interpreter and this process ends
    with its exit code.
    """
    check_python()
    if not missing():
        os.environ.pop("TRIAGE_ENSURED", None)  # what this process starts may have to switch on its own
        return
    if os.environ.get("TRIAGE_ENSURED"):
        how = "Delete .venv and run the same command again"
        raise InstallError(f"The environment still lacks {', '.join(missing())}. {how}.")
    inside = Path(sys.prefix).resolve() == VENV.resolve()
    question = "import sys; from helpers.install import missing; sys.exit(bool(missing()))"
    probe = [str(venv_python()), "-c", question]
    if inside or not venv_python().exists() or subprocess.run(probe, cwd=ROOT, check=False).returncode:
        install()
    command = [str(venv_python()), "-m", "helpers", *arguments]
    environment = {**os.environ, "TRIAGE_ENSURED": "1"}
    sys.exit(subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode)
