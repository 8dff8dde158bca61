"""A re-run laid beside the shipped results, key by key: the same, as far as chance allows.

Two runs of one recipe differ by the items (each rate's interval knows that) and by the run (seeds of one
recipe scatter, and so do two kinds of machine). Both go into a two-sided z-test, at 1 % for all keys together
(Bonferroni).
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from scipy.stats import chi2, norm

Measurements = Mapping[str, Mapping[str, Any]]

MACHINE = {"s", "tokens/s", "requests/min", "USD"}  # units that tell about the machine or the day
# What a client did to a server whose clock is scaled depends on how busy the machine was; its claims are
# tested all the same. How long a training would take is this machine's speed.
CLIENTS = "naive|hurried|semaphore|paced|backoff|herd|resilient|cost_usd"
MACHINE_KEYS = re.compile(rf"\.(peak_bytes|training_days)$|^distill\.({CLIENTS})\b")
EXACT = re.compile(r"^(diversity\.(total|unique|share)|size_1b2\.|translation\.rows)")
SEED = re.compile(r"\.s(\d+)$")
ALPHA = 0.01
NEGLIGIBLE = 1e-4  # rounding, as in a divergence of a millionth of a nat
RELATIVE = 0.3  # of a trained figure without an interval: a bound against nonsense, not a test


def differences(shipped: Measurements, own: Measurements, *, other_machine: bool = False) -> list[str]:
    """Every key of a re-run that does not agree with the shipped results, as one sentence each.

    Args:
        shipped, own: measurements by key, as a results file holds them.
        other_machine: the re-run was made on another kind of machine (precision, threads). Sums in another
            order lead training elsewhere, as another seed does; rates are then allowed four times the
            scatter, and what is no rate (margins, losses) is not compared.
    """
    last_seed = max(map(_seed_of, own), default=0)
    compared = {
        key
        for key, entry in shipped.items()
        if entry["unit"] not in MACHINE and not MACHINE_KEYS.search(key)
        if _seed_of(key) <= last_seed
        # where fewer seeds were run, each of them is compared, and not what stands on all
        if own.get(key, entry)["seeds"] == entry["seeds"]
    }
    missing = [f"{key}: shipped, but not measured in this run" for key in compared if key not in own]
    extra = [f"{key}: measured in this run, but not shipped" for key in own if key not in shipped]
    common = [key for key in own if key in compared]
    if other_machine:
        common = [key for key in common if EXACT.search(key) or shipped[key]["unit"] == "rate"]
    scatter, limit = between_runs(shipped), float(norm.ppf(1 - ALPHA / (2 * max(1, len(common)))))
    apart: list[str] = []
    for key in common:
        run = (4 if other_machine else 1) * max(scatter[""], scatter.get(SEED.sub("", key), 0.0))
        apart += _disagreement(key, shipped[key], own[key], run, limit)
    return sorted(missing + extra) + apart


def between_runs(measured: Measurements) -> dict[str, float]:
    """Standard deviation of a rate between runs of one recipe: of every recipe, and under "" the usual one.

    The usual one comes from the median of the variances, and not from their mean: a few recipes end anywhere
    (blind labels, say) and would excuse every other key. The median of a variance with k degrees of freedom
    is below its mean by the factor chi2.median(k) / k.
    """
    groups: dict[str, list[float]] = defaultdict(list)
    for key, entry in measured.items():
        if SEED.search(key) and entry["unit"] == "rate":
            groups[SEED.sub("", key)].append(entry["value"])
    several = {name: values for name, values in groups.items() if len(values) > 1}
    own = {name: float(np.std(values, ddof=1)) for name, values in several.items()}
    variances = [
        own[name] ** 2 * (len(v) - 1) / float(chi2.median(len(v) - 1)) for name, v in several.items()
    ]
    return {"": math.sqrt(np.median(variances)) if variances else 0.0, **own}


def _seed_of(key: str) -> int:
    """The seed that a key names (`….s2`), else 0."""
    found = SEED.search(key)
    return int(found[1]) if found else 0


def _disagreement(
    key: str, one: Mapping[str, Any], other: Mapping[str, Any], scatter: float, limit: float
) -> Iterator[str]:
    a, b = one["value"], other["value"]
    told = f"{key} ({other['notebook']}): shipped {a:.6g}, this run {b:.6g}"
    if one["unit"] != other["unit"]:
        yield f"{key}: the unit was {one['unit']!r} and is {other['unit']!r}"
    elif EXACT.search(key):
        if a != b:
            yield f"{told}; it has to be the same"
    elif one["low"] is None or other["low"] is None:
        if abs(a - b) > RELATIVE * max(abs(a), abs(b)) + 1e-9 and not (
            isinstance(a, int) and abs(a - b) <= 2
        ):
            yield f"{told}; more than {RELATIVE:.0%} apart"
    else:
        errors = [(entry["high"] - entry["low"]) / (2 * 1.96) for entry in (one, other)]
        run = scatter if one["unit"] == "rate" else scatter * max(abs(a), abs(b))
        expected = math.sqrt(sum(error**2 for error in errors) + 2 * (run if one["seeds"] else 0.0) ** 2)
        if abs(a - b) > limit * expected + NEGLIGIBLE:
            errors_apart = abs(a - b) / expected if expected else math.inf
            yield f"{told}; {errors_apart:.1f} standard errors apart, {limit:.1f} allowed"
