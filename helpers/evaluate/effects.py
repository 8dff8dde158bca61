"""Differences between models (with intervals over items) and between recipes (over seeds).

The unit of a recipe is a training run, not an answer: hundreds of answers of one model say how good *that*
model is, and only other seeds say how good the recipe is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from helpers.files import LabError
from helpers.statistics import Rate, bootstrap_mean, paired_test


@dataclass(frozen=True)
class Effect:
    """A difference with its 95 % interval, in units of the outcome (a fraction), and what makes it (`name`).

    `p`: two-sided p-value that there is none.
    """

    name: str
    estimate: float
    low: float
    high: float
    p: float

    def __str__(self) -> str:
        points, low, high = (100 * one for one in (self.estimate, self.low, self.high))
        return f"{self.name}: {points:+.1f} points [{low:+.1f}, {high:+.1f}]"


def over_seeds(values: Sequence[float | Rate]) -> Rate:
    """Mean of one recipe's runs with a 95 % t-interval over the seeds; `n` is the number of runs.

    One run alone says nothing about the next: a number then comes back without an interval (nan), and a
    `Rate` as it is, with the interval over its items. For a difference of two recipes whose runs share their
    seeds, pass the differences, seed by seed: the interval is then a paired one. It is not cut at 0 or 1,
    because it speaks of the mean of runs. Raises LabError: there is no run.
    """
    if not values:
        raise LabError("There is no run to take together. Train at least one seed.")
    if len(values) == 1 and isinstance(values[0], Rate):
        return values[0]
    numbers = [one.value if isinstance(one, Rate) else float(one) for one in values]
    mean = float(np.mean(numbers))
    if len(numbers) == 1:
        return Rate(mean, 1, math.nan, math.nan, "seeds")
    reach = float(stats.t.ppf(0.975, len(numbers) - 1)) * float(stats.sem(numbers))
    return Rate(mean, len(numbers), mean - reach, mean + reach, "seeds")


def paired_change(name: str, before: Sequence[bool], after: Sequence[bool]) -> Effect:
    """How much a share of the same items changes between two models, with a bootstrap interval over items.

    It speaks of these two models; what another seed of the same recipe would do is not in the interval.
    """
    change = bootstrap_mean([float(b) - float(a) for a, b in zip(before, after, strict=True)])
    return Effect(name, change.value, change.low, change.high, paired_test(after, before))
