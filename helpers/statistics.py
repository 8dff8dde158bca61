"""Intervals and tests. A rate never travels without its n and its interval."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest


@dataclass(frozen=True)
class Rate:
    """A figure with its sample size and 95 % interval. Fractions in 0…1 unless said otherwise."""

    value: float
    n: int
    low: float
    high: float
    counted: str = "n"  # what n counts: items, or "seeds"

    def __str__(self) -> str:
        if math.isnan(self.low):
            return f"{self.value:.1%} (one run: no interval)"
        return f"{self.value:.1%} [{self.low:.1%}–{self.high:.1%}], {self.counted} = {self.n:,}"


def wilson(hits: int, n: int) -> Rate:
    """A proportion with its Wilson score interval at 95 % (Wilson 1927); with n = 0 nothing is known: 0…1."""
    if n == 0:
        return Rate(float("nan"), 0, 0.0, 1.0)
    interval = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    return Rate(hits / n, n, float(interval.low), float(interval.high))


def bootstrap(items: Sequence[Any], statistic: Callable[[Sequence[Any]], float], draws: int = 1000) -> Rate:
    """Any statistic of the items with its percentile bootstrap interval at 95 % (Efron 1979)."""
    if not items:
        return Rate(float("nan"), 0, float("nan"), float("nan"))
    rng = np.random.default_rng(0)
    values = [statistic([items[i] for i in rng.integers(0, len(items), len(items))]) for _ in range(draws)]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Rate(float(statistic(items)), len(items), float(low), float(high))


def bootstrap_mean(values: Sequence[float]) -> Rate:
    """A mean with its percentile bootstrap interval at 95 %."""
    return bootstrap(values, lambda drawn: float(np.mean(drawn)))


def paired_test(one: Sequence[bool], other: Sequence[bool]) -> float:
    """Exact McNemar test: the two-sided p-value that two models on the same items differ only by luck.

    Only the items on which they disagree speak; without any, p = 1.
    """
    better = sum(a and not b for a, b in zip(one, other, strict=True))
    worse = sum(b and not a for a, b in zip(one, other, strict=True))
    return float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
