"""Make the environment, with the standard library alone: `.venv`, the packages, a line of progress.

`ensure` is called by every command. It does nothing where the packages are already there, in the ranges of
pyproject.toml (conda, a second run). `.venv` gets the exact versions of constraints.txt.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
import venv
from importlib import metadata
from pathlib import Path

from helpers.machines import COMPILER, SERVED, WITHOUT, InstallError, Machine, explain, within

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
NEEDED_BYTES = 6 * 2**30  # a full installation with its build folder
# llama.cpp otherwise takes every instruction that the building CPU names. Some machines name AMX and then
# refuse it, and an environment that moves to an older CPU meets the same end: «Illegal instruction». AVX2 is
# what this build keeps.
PORTABLE_BUILD = "-DGGML_NATIVE=OFF"


def check_machine() -> None:
    """Refuse early what pip would refuse late: InstallError where this Python or machine has no packages."""
    if why := Machine().refusal():
        how = "Install such a Python, or use such a machine, and run the same command with it"
        raise InstallError(f"{why[0].upper()}{why[1:]}. {SERVED}. {how}.")


def check_disk() -> None:
    """Refuse a disk that is too full: InstallError when less than `NEEDED_BYTES` are free."""
    free = shutil.disk_usage(ROOT).free
    if free < NEEDED_BYTES:
        room = f"{free / 1e9:.1f} GB free, about {NEEDED_BYTES / 1e9:.0f} GB needed"
        raise InstallError(f"The disk is too full: {room}. Free some space and run the same command again.")


def requirements(*extras: str) -> dict[str, str]:
    """Ranges by package name (`{"torch": ">=2.11,<3", …}`) of pyproject.toml, or of some of its extras."""
    import tomllib  # not there before Python 3.11, where `ensure` must still be able to say so

    with (ROOT / "pyproject.toml").open("rb") as stream:
        project = tomllib.load(stream)["project"]
    groups = project["optional-dependencies"]
    rows = [*project["dependencies"], *(row for name in extras for row in groups[name])]
    return dict(re.findall(r"([\w.-]+)(.*)", "\n".join(rows)))


def missing(*extras: str) -> list[str]:
    """Requirements that this Python has not, or has in a version outside their range."""
    wrong = []
    for name, bounds in requirements(*extras).items():
        try:
            found: str | None = metadata.version(name)  # None: a folder without METADATA, of a broken install
            met = bool(found) and within(str(found), bounds)
        except metadata.PackageNotFoundError:
            met = False
        if not met:
            wrong.append(name + bounds)
    return wrong


def has_compiler() -> bool:
    """Can llama-cpp-python be built here?"""
    return any(map(shutil.which, (os.environ.get("CXX") or "c++", "c++", "g++", "clang++", "cl")))


def wanted_extras() -> tuple[str, ...]:
    """What a command needs besides; llama-cpp-python only where it is there or can be built."""
    gguf = os.environ.get("TRIAGE_GGUF") != "0" and (has_compiler() or not missing("gguf"))
    real = os.environ.get("TRIAGE_PROFILE", "").strip() in ("pocket", "rehearsal")
    return ("dev", *(["gguf"] if gguf else []), *(["real"] if real else []))


def venv_python(folder: Path | None = None) -> Path:
    """The interpreter of an environment (default: `.venv`)."""
    return (folder or VENV) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def pip(python: str | Path, *arguments: str, act: str = "install") -> None:
    """`pip install`, or `pip wheel`, with another interpreter: one line with a clock, even while pip is silent.

    Raises InstallError: pip failed; the message says why.
    """
    command = [str(python), "-m", "pip", act, "--progress-bar=off", "--disable-pip-version-check"]
    command += ["--root-user-action=ignore"] if act == "install" else []
    environment = {"CMAKE_ARGS": PORTABLE_BUILD, **os.environ}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    process = subprocess.Popen([*command, *arguments], cwd=ROOT, env=environment, **output)
    lines: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=lambda: any(map(lines.put, process.stdout or ())), daemon=True)
    reader.start()
    lively = sys.stdout.isatty() or "ipykernel" in sys.modules
    log, what, started, told = [], "Starting pip", time.time(), 0.0
    try:
        while reader.is_alive() or not lines.empty():
            try:
                log.append(lines.get(timeout=1))
                words = log[-1].split()[:3] or [""]
            except queue.Empty:
                words = [""]
            if words[0] in ("Building", "Installing", "Collecting", "Downloading"):
                what = " ".join(words)
            seconds = time.time() - started
            if lively:
                print(f"\r{f'[{seconds:4.0f} s] {what}'[:100]:<100}", end="", flush=True)
            elif words[0] in ("Building", "Installing") or seconds - told >= 30:
                print(f"[{seconds:4.0f} s] {what}"[:100], flush=True)
                told = seconds
    finally:
        if reader.is_alive():  # interrupted: two pips in one environment would break it
            process.kill()
    if lively:
        print()
    if process.wait():
        raise InstallError(explain("".join(log)))


def llama_refusal(python: str | Path = sys.executable) -> str:
    """Why llama-cpp-python, which is there, cannot run on this CPU; empty where it can."""
    probe = [str(python), "-c", "import llama_cpp; llama_cpp.llama_backend_init()"]
    code = subprocess.run(probe, cwd=ROOT, capture_output=True, check=False).returncode
    if code not in (-4, 132, 0xC000001D):  # SIGILL, as Python, a shell and Windows tell it
        return ""
    how = "Delete .venv and run the same command again, which builds it anew"
    return f"llama-cpp-python was built for another CPU («Illegal instruction»). {how}. {WITHOUT}"


def install() -> None:
    """Create `.venv` and install the packages into it, in the versions of constraints.txt.

    Raises InstallError: see `check_machine` and `check_disk`, or pip failed; the message says why.
    """
    check_machine()
    check_disk()
    build = "gguf" in wanted_extras()
    wait = "5 to 15 minutes, most of it building llama-cpp-python" if build else "a few minutes"
    print(f"Installing the packages of constraints.txt into .venv. The first time takes {wait}.", flush=True)
    if not build:
        why = "TRIAGE_GGUF=0" if has_compiler() else f"there is no C++ compiler ({COMPILER})"
        print(f"Notebooks 11, 12 and 13 are left out, and llama-cpp-python with them: {why}.", flush=True)
    started = time.time()
    try:
        asked = [str(venv_python()), "-m", "pip", "--version"]  # one that was interrupted has no pip yet
        if not venv_python().exists() or subprocess.run(asked, capture_output=True, check=False).returncode:
            venv.create(VENV, with_pip=True, clear=True)
    except subprocess.CalledProcessError:
        shutil.rmtree(VENV, ignore_errors=True)
        how = "On Debian and Ubuntu: `sudo apt install python3-venv`"
        raise InstallError(f"This Python cannot make an environment (no ensurepip). {how}.") from None
    except OSError as error:
        raise InstallError(f"{VENV} cannot be made: {error.strerror}. Make the folder writable.") from None
    pinned = ("--constraint", "constraints.txt")
    pip(venv_python(), *pinned, "--editable", ".[dev]")
    if build:  # never from pip's cache: a wheel in it may hold another machine's instructions
        pip(venv_python(), *pinned, "--no-cache-dir", *map("".join, requirements("gguf").items()))
        if why := llama_refusal(venv_python()):
            raise InstallError(why)
    print(f"Installed in {time.time() - started:.0f} s.", flush=True)


def ensure(arguments: list[str]) -> None:
    """Continue in an environment that has the packages: this one, or `.venv`, made now if need be.

    Does not return when it has to switch: the command runs in the other interpreter and this process ends
    with its exit code.
    """
    if tuple(sys.version_info) < (3, 11):  # nothing below could even be read
        check_machine()
    lacking = missing(*wanted_extras())
    if not lacking:
        os.environ.pop("TRIAGE_ENSURED", None)  # what this process starts may have to switch on its own
        return
    if os.environ.get("TRIAGE_ENSURED"):
        how = "Delete .venv and run the same command again"
        raise InstallError(f"The environment still lacks {', '.join(lacking)}. {how}.")
    inside = Path(sys.prefix).resolve() == VENV.resolve()
    question = "import sys; from helpers.install import *; sys.exit(bool(missing(*wanted_extras())))"
    probe = [str(venv_python()), "-c", question]
    if inside or not venv_python().exists() or subprocess.call(probe, cwd=ROOT):
        install()
    command = [str(venv_python()), "-m", "helpers", *arguments]
    sys.exit(subprocess.call(command, cwd=ROOT, env={**os.environ, "TRIAGE_ENSURED": "1"}))
