"""What a notebook's first cell starts: which notebook, on what machine, with which versions, and why."""

import os
import platform
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from itertools import count

from helpers.files import DATA, ROOT, LabError, read_json
from helpers.train import Profile, choose_hardware, current_profile, quieten
from helpers.train.profiles import VARIABLE

SHOWN = ("torch", "transformers", "trl", "peft", "datasets")


@dataclass(frozen=True)
class Session:
    """The running notebook, its profile and its machine; the opening line of every notebook.

    Attributes:
        used: keys of the models and runs that the notebook has asked for so far.
        figures: numbers of the figures to come.
    """

    notebook: str
    profile: Profile
    versions: dict[str, str]
    machine: str
    seconds: float | None = None
    used: list[str] = field(default_factory=list, repr=False)
    figures: Iterator[int] = field(default_factory=lambda: count(1), repr=False)

    def origin(self, seeds: int | None) -> str:
        """Where the next figure comes from: notebook, commit, models and runs so far, seeds, how to draw it again."""
        number, several = next(self.figures), f" --seeds {seeds}" if seeds and seeds > 1 else ""
        behind = ", ".join(self.used) or "nothing trained"
        which = {None: "no seed", 1: "seed 0"}.get(seeds, f"seeds 0 to {(seeds or 1) - 1}")
        again = f"`python -m helpers run {self.notebook[:2]} --figure {number}{several}`"
        return f"{self.notebook}, figure {number} · commit {commit()} · {behind} · {which} · {again}"

    def _repr_markdown_(self) -> str:
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        lines = [
            f"**Profile `{self.profile.name}`**: {self.profile.what}.",
            f"**Machine**: {self.machine}.",
            f"**Versions**: Python {platform.python_version()}, {versions}.",
        ]
        if self.seconds:
            minutes = f"{self.seconds / 60:.1f} min"
            lines.append(f"**Time**: {minutes} when this profile was last measured from an empty cache.")
        return "  \n".join(lines)


@cache
def commit() -> str:
    """The commit of the code, with a + where files differ from it; "unknown" outside a repository."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--exclude=*", "--abbrev=9", "--dirty=+"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


_running: Session | None = None
SEEDS = "TRIAGE_SEEDS"  # how many whole chains of training an experiment runs: one unless set


def seeds() -> range:
    """The seeds of an experiment: 0 alone, or as many as TRIAGE_SEEDS (`run --seeds 3`) says."""
    wanted = os.environ.get(SEEDS, "").strip() or "1"
    if not wanted.isdecimal() or int(wanted) < 1:
        raise LabError(f"{SEEDS}={wanted!r} is no number of seeds: set it to 1 or more, or unset it.")
    return range(int(wanted))


def versions_of() -> dict[str, str]:
    """Installed versions of `SHOWN`."""
    return {name: version(name).split("+")[0] for name in SHOWN}


def start(notebook: str, profile: str = "nano") -> Session:
    """Begin a notebook: fix the profile (TRIAGE_PROFILE's or this), see the machine, quieten libraries.

    Raises LabError: an unknown profile.
    """
    global _running
    os.environ[VARIABLE] = os.environ.get(VARIABLE) or profile
    now = current_profile()
    quieten()
    shipped = DATA / "results" / f"{now.name}.json"
    known = read_json(shipped)["measurements"] if shipped.exists() else {}
    seconds = known.get(f"series.{notebook}.seconds", {}).get("value")
    _running = Session(notebook, now, versions_of(), choose_hardware().reason, seconds)
    return _running


def uses(key: str) -> None:
    """Note that the running notebook stands on this model or these runs."""
    if _running and key not in _running.used:
        _running.used.append(key)


def session() -> Session:
    """The running session; outside a notebook, one without a notebook's name."""
    return _running or start("")
