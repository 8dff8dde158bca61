"""What a notebook's first cell does before torch is imported, with the standard library alone.

In Colab and Kaggle it installs what is missing. Everywhere it says what would end in an error later: a kernel of
another environment, a torchvision of another torch.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import re
import sys
import sysconfig
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from helpers import install
from helpers.machines import COMPILER, InstallError, within

NOTEBOOK_EXTRAS = {"11": ("gguf",), "12": ("gguf",), "13": ("gguf", "real")}
PROFILE_EXTRAS = {"colab": ("gpu",), "gpu": ("gpu",), "pocket": ("real",), "rehearsal": ("real",)}
# The host's own builds: its GPU driver, its compiled packages and its page fit these versions and no others.
KEPT = ("torch", "torchvision", "torchaudio", "numpy", "ipywidgets")
INLINE = "module://matplotlib_inline.backend_inline"


def host() -> str:
    """The service that runs this notebook: Kaggle, Colab, or none."""
    if "KAGGLE_KERNEL_RUN_TYPE" in os.environ:
        return "Kaggle"
    return "Colab" if "google.colab" in sys.modules else ""


def extras_of(notebook: str) -> tuple[str, ...]:
    """Extras of pyproject.toml that a notebook needs under this profile; llama-cpp-python from 11 on only."""
    profile = os.environ.get("TRIAGE_PROFILE", "").strip()
    return tuple(dict.fromkeys(NOTEBOOK_EXTRAS.get(notebook[:2], ()) + PROFILE_EXTRAS.get(profile, ())))


def prepare(notebook: str) -> None:
    """Make sure that this kernel can run a notebook; installs what is missing in Colab and Kaggle.

    Raises InstallError: packages are missing and this is not the place to install them, pip failed (the next
    run goes on from there), or what was installed needs a restart of the session.
    """
    if tuple(sys.version_info) < (3, 11):
        install.check_machine()
    extras = extras_of(notebook)
    if host():
        _install_once(extras)
    elif lacking := install.missing(*extras):
        raise InstallError(
            f"This notebook's kernel ({sys.executable}) lacks {', '.join(lacking)}. {advice(lacking)}"
        )
    settle()


def settle() -> None:
    """Put right, or say, what other programs left in this process's surroundings."""
    os.environ.setdefault("PYTHONUTF8", "1")  # of what this process starts, whatever the locale says
    own, others = f"{sys.prefix}/share/jupyter", os.environ.get("JUPYTER_PATH", "")
    if not others.startswith(own):  # this environment's kernels come before those that others have named
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, (own, others)))
    # Some packages install a top-level `tests` of their own; the notebooks mean this repository's.
    spec = importlib.machinery.ModuleSpec("tests", None, is_package=True)
    spec.submodule_search_locations = [str(install.ROOT / "tests")]
    sys.modules.setdefault("tests", importlib.util.module_from_spec(spec))
    if "ipykernel" in sys.modules and os.environ.get("MPLBACKEND") not in (None, INLINE):
        print(f"MPLBACKEND={os.environ['MPLBACKEND']} is put aside: figures are drawn in the page.")
        os.environ["MPLBACKEND"] = INLINE
    for name in ("torchvision", "torchaudio", "torchao"):
        if why := mismatch(name):
            print(f"{why} It is left out here, and not needed: `pip uninstall {name}` mends it.")
            sys.modules[name] = None  # type: ignore[assignment]  # as if it were not installed


def give_home() -> None:
    """A user of a container may have no folder of its own, and Jupyter, matplotlib and datasets write into it."""
    if os.name == "posix" and not os.access(os.path.expanduser("~"), os.W_OK):  # noqa: PTH111  # no Path.home()
        home = install.ROOT / Path(os.environ.get("TRIAGE_BUILD") or "build").expanduser() / "home"
        try:
            home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            how = "Set TRIAGE_BUILD to a folder that you may write to"
            raise InstallError(f"{home} cannot be made: {error.strerror}. {how}.") from None
        print(f"Your home folder may not be written to: {home} stands in for it.", flush=True)
        os.environ["HOME"] = str(home)


def mismatch(name: str) -> str:
    """Why a package that others import where they find it would end in an error; empty if it would not.

    torchvision and torchaudio are made for one torch ("operator torchvision::nms does not exist" with another);
    peft refuses to make an adapter beside an old torchao.
    """
    versions = _versions((name, "torch"))
    if len(versions) < 2:
        return ""
    if name == "torchao" and not within(versions[name], ">=0.16"):
        return f"torchao {versions[name]} is older than peft accepts (0.16)."
    wanted = re.search(r"^torch *\(?==([\d.]+)", "\n".join(metadata.requires(name) or ()), re.MULTILINE)
    if not wanted or within(versions["torch"], f"=={wanted[1]}"):
        return ""
    beside = f"torch {versions['torch']} is installed"
    return f"{name} {versions[name]} was made for torch {wanted[1]}, and {beside}."


def advice(lacking: Sequence[str]) -> str:
    """What to do about packages that are missing."""
    names = {re.split("[<>=]", name)[0] for name in lacking}
    if names == {"llama-cpp-python"} and not install.has_compiler():
        return f"llama-cpp-python is built from source, by a C++ compiler ({COMPILER}); then run `make tutorial`."
    if install.venv_python().exists() and Path(sys.prefix).resolve() != install.VENV.resolve():
        return f"Choose the kernel of {install.VENV} instead, or start with `make lab`, which does."
    for extra in ("real", "gpu"):  # what `make tutorial` does not install
        if names & (set(install.requirements(extra)) - set(install.requirements())):
            command = f'{sys.executable} -m pip install -c constraints.txt -e ".[{extra}]"'
            return f"In {install.ROOT}, run: {command}"
    return "Run `make tutorial` (or `python3 -m helpers run 00`) once, then `make lab`."


def _install_once(extras: tuple[str, ...]) -> None:
    """Install what is missing into the host's own Python. The marker lies in that Python: it goes with it."""
    marker = Path(sysconfig.get_path("purelib"), "-".join(("triage-lab", *extras)) + ".installed")
    if marker.exists() and not install.missing(*extras):
        return
    before, kept = _loaded(), [f"{one}=={version}" for one, version in _versions(KEPT).items()]
    print(f"Installing what {host()} lacks: {', '.join(install.missing(*extras)) or 'checking'}.", flush=True)
    constraints = marker.with_suffix(".constraints")
    constraints.write_text("\n".join(kept), encoding="utf-8")
    wanted = map("".join, install.requirements(*extras).items())
    install.pip(sys.executable, "--constraint", str(constraints), *wanted)
    constraints.replace(marker)
    importlib.invalidate_caches()
    if changed := [name for name, version in before.items() if _versions([name]).get(name) != version]:
        how = "Restart the session (menu Runtime or Run), then run this cell again"
        raise InstallError(f"Installed. {', '.join(changed)} had been in use in another version. {how}.")


def _versions(names: tuple[str, ...] | list[str]) -> dict[str, str]:
    """Installed versions of those that are installed."""
    return {one.name: one.version for name in names for one in metadata.distributions(name=name)}


def _loaded() -> dict[str, str]:
    """Versions of the packages that this process has imported."""
    packages = metadata.packages_distributions()
    return _versions(sorted({one for name in sys.modules for one in packages.get(name, ())}))
