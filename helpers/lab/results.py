"""The results store: what the notebooks measured, one JSON a profile.

A run writes `build/results/<profile>.json`; the copy in `data/results/` is what the committed notebooks show and is refreshed by
`python -m helpers run --write`.
"""

from __future__ import annotations

import math
import re
import time
from pathlib import Path
from typing import Any

from helpers.evaluate import Rate
from helpers.files import DATA, LabError, build_dir, read_json, write_json
from helpers.lab.session import session, versions_of
from helpers.train import choose_hardware, current_profile

KEY = re.compile(r"[a-z0-9_]+(\.[A-Za-z0-9_]+)+")


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
        raise LabError(
            f"{path} is not a results file (it has no `measurements`). Delete it; the next run writes it again."
        )
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
    """One measurement: value, n, low, high, seeds, unit, notebook.

    Raises:
        LabError: nothing has been measured under this key.
    """
    try:
        return measurements()[key]
    except KeyError:
        raise LabError(
            f"Nothing has been measured under {key!r} yet. Run the notebook that records it (design: canonical keys), or `make tutorial`."
        ) from None


def record(
    key: str,
    value: float,
    *,
    n: int | None = None,
    low: float | None = None,
    high: float | None = None,
    seeds: int | None = None,
    unit: str = "",
) -> float:
    """Keep a measurement and hand its value back.

    Args:
        key: dotted name, as `imbalanced.accuracy`.
        value: rates as fractions, losses in nats, times in seconds.
        n, low, high: sample size and 95 % interval; all three or none.
        seeds: how many runs the value stands on.
        unit: "", "rate", "nats", "s", "rows", …

    Raises:
        LabError: a malformed key, a value that is not a finite number, or an interval that does not hold the value.
    """
    if not KEY.fullmatch(key):
        raise LabError(f"{key!r} is not a measurement key: use dotted names such as `imbalanced.accuracy`.")
    given = [number for number in (value, low, high) if number is not None]
    if any(isinstance(number, bool) or not math.isfinite(number) for number in given):
        raise LabError(
            f"{key}: {value!r} with interval [{low!r}, {high!r}] is not a finite measurement; nothing was recorded."
        )
    if (low is None) != (high is None) or (
        low is not None and high is not None and not low - 1e-9 <= value <= high + 1e-9
    ):
        raise LabError(
            f"{key}: the interval [{low}, {high}] does not hold the value {value}; nothing was recorded."
        )
    value, low, high = (
        None if number is None else float(f"{number:.12g}") if isinstance(number, float) else number
        for number in (value, low, high)
    )
    entry = {
        "value": value,
        "n": n,
        "low": low,
        "high": high,
        "seeds": seeds,
        "unit": unit,
        "notebook": session().notebook,
    }
    path = results_path()
    stored = _stored(path) if path.exists() else {"profile": current_profile().name, "measurements": {}}
    stored |= {
        "created": time.strftime("%Y-%m-%d"),
        "versions": versions_of(),
        "machine": choose_hardware().reason,
    }
    stored["measurements"][key] = entry
    stored["measurements"] = dict(sorted(stored["measurements"].items()))
    write_json(path, stored)
    return value


def record_rate(key: str, rate: Rate, *, seeds: int | None = None, unit: str = "rate") -> Rate:
    """`record` for a figure that already carries its n and interval."""
    record(key, rate.value, n=rate.n, low=rate.low, high=rate.high, seeds=seeds, unit=unit)
    return rate
