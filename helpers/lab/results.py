"""The results store: what the notebooks measured, one JSON a profile.

A run writes `build/results/<profile>.json`; the copy in `data/results/` is what the committed notebooks show
and is refreshed by `python -m helpers run --write`.
"""

import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from IPython.display import Markdown

from helpers.evaluate import Rate, Scores, over_seeds
from helpers.files import DATA, LabError, build_dir, read_json, write_json, writing
from helpers.lab.session import Session, session, versions_of
from helpers.train import choose_hardware, current_profile

KEY = re.compile(r"[a-z0-9_]+(\.[A-Za-z0-9_]+)+")
SCORED = ("accuracy", "primary", "under", "over", "unreadable", "sensitivity", "kappa", "strict", "call")


def results_path() -> Path:
    """Where this profile's run writes."""
    return build_dir() / "results" / f"{current_profile().name}.json"


def shipped_path() -> Path:
    """The committed copy of this profile's results."""
    return DATA / "results" / f"{current_profile().name}.json"


def _stored(path: Path) -> dict[str, Any]:
    """A results file, or a clear error when somebody's edit broke it."""
    stored = read_json(path)
    if not isinstance(stored, dict) or not isinstance(stored.get("measurements"), dict):
        raise LabError(f"{path} is not a results file (no `measurements`). Delete it; a run writes it anew.")
    return stored


def measurements() -> dict[str, dict[str, Any]]:
    """Every measurement of this profile: the shipped ones, overlaid by this machine's own runs."""
    merged: dict[str, dict[str, Any]] = {}
    for path in (shipped_path(), results_path()):
        if path.exists():
            merged |= _stored(path)["measurements"]
    return merged


def own_keys() -> frozenset[str]:
    """The keys that this machine has measured itself; the other ones come from the shipped results."""
    return frozenset(_stored(results_path())["measurements"]) if results_path().exists() else frozenset()


def result(key: str) -> dict[str, Any]:
    """One measurement: value, n, low, high, seeds, unit, notebook; a `LabError` if there is none."""
    found = measurements().get(key)
    if found is None:
        how = "Run the notebook that records it, or `make tutorial`"
        raise LabError(f"Nothing has been measured under {key!r} yet. {how}.")
    return found


def record(
    key: str,
    value: Any,
    *,
    n: int | None = None,
    seeds: int | None = None,
    unit: str = "",
    suffix: str = "",
) -> Any:
    """Keep a measurement, or all of a model's at once, and hand it back.

    Args:
        key: dotted name, as `imbalanced.accuracy`; a prefix where `value` holds several.
        value: a number (rates as fractions, losses in nats, times in seconds), a `Rate` with its n and
            interval, `Scores`, or a dictionary of these, whose names are added to the key.
        n: sample size of a plain number.
        seeds: how many runs the value stands on.
        unit: "", "rate", "nats", "s", "rows", …
        suffix: of every key, as `.vignettes` for a column.

    Raises LabError: a malformed key, no finite number, or an interval that does not hold the value.
    """
    plain = {"n": n, "low": None, "high": None, "seeds": seeds, "unit": unit}
    entries = {name + suffix: entry for name, entry in _entries(key, value, plain)}
    for name, entry in entries.items():
        _check(name, entry)
    with _open_results() as stored:
        stored["measurements"] = dict(sorted({**stored["measurements"], **entries}.items()))
    return value


def _entries(key: str, value: Any, plain: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(key, entry) of everything that `value` holds."""
    if isinstance(value, Scores):
        rates = {name: getattr(value, name) for name in SCORED}
        value = rates | {"share": value.shares, "part": value.parts}
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _entries(f"{key}.{name}", inner, plain)
        return
    if isinstance(value, Rate):
        if not value.n:
            return  # of no items, as kappa of no readable answer, there is nothing to record
        known = not math.isnan(value.low)  # one run of a recipe: there is no interval
        bounds = {"low": value.low if known else None, "high": value.high if known else None}
        plain = plain | bounds | {"n": value.n, "unit": plain["unit"] or "rate"}
        value = value.value
    entry = {"value": value, **plain, "notebook": session().notebook}
    yield key, {name: _short(one) for name, one in entry.items()}


def _short(number: Any) -> Any:
    return float(f"{number:.12g}") if isinstance(number, float) else number


def _check(key: str, entry: Mapping[str, Any]) -> None:
    if not KEY.fullmatch(key):
        raise LabError(f"{key!r} is not a measurement key: use dotted names such as `imbalanced.accuracy`.")
    value, low, high = entry["value"], entry["low"], entry["high"]
    numbers = [value, *(bound for bound in (low, high) if bound is not None)]
    told = f"{key}: {value!r} with interval [{low!r}, {high!r}]"
    if any(
        isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number)
        for number in numbers
    ):
        raise LabError(f"{told} is not a finite measurement; nothing was recorded.")
    if low is not None and not low - 1e-9 <= value <= high + 1e-9:
        raise LabError(f"{told}, which does not hold the value; nothing was recorded.")


@contextmanager
def _open_results() -> Iterator[dict[str, Any]]:
    """The stored results, read, changed and written under one lock: two notebooks lose nothing."""
    path = results_path()
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{path}.lock")
    with lock:
        stored = _stored(path) if path.exists() else {"profile": current_profile().name, "measurements": {}}
        yield stored
        machine = choose_hardware().reason
        stored |= {"created": time.strftime("%Y-%m-%d"), "versions": versions_of(), "machine": machine}
        write_json(path, stored)


def record_runs(key: str, runs: Sequence[Mapping[str, Any]], **more: Any) -> None:
    """Keep the same figures of several runs: each as `key.name.s0`, …, and over the seeds as `key.name`.

    Args:
        runs: figures by name, one mapping a run in the order of the seeds. more: as of `record`.
    """
    single = {f"{name}.s{seed}": value for seed, one in enumerate(runs) for name, value in one.items()}
    record(key, single, seeds=1, **more)
    record(key, {name: over_seeds([one[name] for one in runs]) for name in runs[0]}, seeds=len(runs), **more)


def record_sections(seconds: Mapping[str, Mapping[str, float]]) -> None:
    """Keep how many seconds each section of a notebook took, by notebook and heading."""
    with _open_results() as stored:
        stored["sections"] = {**stored.get("sections", {}), **seconds}


_begun: dict[str, Session] = {}  # the session of each notebook whose earlier claims were dropped


def claim(sentence: str, holds: Any, *evidence: Any, seeds: Sequence[int] | None = None) -> Markdown:
    """A sentence about this run and the rule that decides it: shown with its evidence, recorded, and tested.

    Args:
        sentence: what a student should take away, in plain words.
        holds: the rule, computed from this run's measurements, as `scores.shares["ROJO"].low > 0.95`.
        evidence: the figures that the rule looked at: a `Rate`, an `Effect`, a number, or a short text.
        seeds: of the runs, where the rule compares runs of several seeds. With one alone the claim stays
            open: neither ✓ nor ✗.

    Raises LabError: there is no evidence.
    """
    if not evidence:
        raise LabError(f"{sentence!r} stands without evidence. Name the figures that decide it.")
    notebook = session().notebook
    verdict = None if seeds is not None and len(seeds) < 2 else bool(holds)
    shown = [f"{one:.3g}" if isinstance(one, float) else str(one) for one in evidence]
    with _open_results() as stored:
        claims = stored.setdefault("claims", {})
        if _begun.get(notebook) is not session():
            claims.pop(notebook, None)
            _begun[notebook] = session()
        claims.setdefault(notebook, {})[sentence] = {"holds": verdict, "evidence": shown}
    mark, reason = VERDICTS[verdict]
    return Markdown(f"> {mark} {sentence}  \n> <small>{' · '.join(shown)}</small>{reason}")


VERDICTS = {
    True: ("✓", ""),
    False: (
        "✗ **Not in this run.**",
        " The rule that decides stands in the cell; a run on another machine can differ where the effect is"
        " small.",
    ),
    None: ("○ **Open in this run.**", " One seed cannot decide it: `make seeds` trains three."),
}
