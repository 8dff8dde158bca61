"""What a set of preference pairs will push, read from the pairs alone and before anything is trained on them.

DPO raises what the chosen answers have more often than the rejected ones *of the same pairs*, and lowers the
opposite (Rafailov et al. 2023). Nobody has to mean it: where the chosen answers seldom carry the disclaimer
and the rejected ones do, it is trained away. What this file cannot see: what a trainer cuts off, and what a
model does with features on which both sides agree (notebook 08).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from scipy import stats
from statsmodels.stats.contingency_tables import Table2x2

from helpers.audit.phrases import words
from helpers.cases import Example, Pair, usable
from helpers.files import LabError
from helpers.statistics import Rate, paired_test, wilson
from helpers.triage import PARTS, Reading, parse

UP, DOWN, NOT_SHOWN = "up", "down", "not shown"
ALPHA = 0.05
FEWEST = 6  # pairs that differ: with fewer no exact sign test reaches 5 %, even if all point the same way


@dataclass(frozen=True)
class Side:
    """One answer of a pair, with the example it answers: what a feature looks at."""

    example: Example
    text: str

    @cached_property
    def reading(self) -> Reading:
        """The answer as `parse` reads it."""
        return parse(self.text)


Feature = Callable[[Side], bool]


def _has(part: str, side: Side) -> bool:
    return side.reading.has(part, side.example.country)


FEATURES: dict[str, Feature] = {
    **{part: partial(_has, part) for part in PARTS},  # the number has to be the person's own country's
    "correct level": lambda side: side.reading.level in side.example.accepted,
    "readable level": lambda side: side.reading.level is not None,
    "ROJO given": lambda side: side.reading.level == "ROJO",
}


@dataclass(frozen=True)
class FeatureAudit:
    """One yes-or-no feature of an answer, on both sides of the pairs.

    Attributes:
        chosen, rejected: share of these answers that have it, with Wilson's interval.
        odds_ratio: odds of it among the chosen over the odds among the rejected, with ½ added to each of the
            four counts (Haldane 1956, Anscombe 1956) and Woolf's (1955) logarithmic 95 % interval. It
            describes the two *sets* of answers; 1 is even.
        only_chosen, only_rejected: pairs in which one side alone has it: DPO sees a difference in no other.
        p: exact two-sided sign test on those pairs (McNemar's): both sides are equally likely.
        direction: where DPO will push it: `up` or `down` if p is below 5 %, else `not shown`.
    """

    name: str
    chosen: Rate
    rejected: Rate
    odds_ratio: Rate
    only_chosen: int
    only_rejected: int
    p: float
    direction: str


@dataclass(frozen=True)
class LengthAudit:
    """The length of an answer (`name` is its unit), on both sides of the pairs.

    Attributes:
        chosen, rejected: mean length.
        difference: mean of chosen − rejected over the pairs, with Student's t-interval at 95 %, in the unit.
        direction: the sign of the difference, if its interval leaves out 0 and `FEWEST` pairs or more differ.
    """

    name: str
    chosen: float
    rejected: float
    difference: Rate
    direction: str


@dataclass(frozen=True)
class PreferenceAudit:
    """What a set of pairs will push. Prints as a table.

    Attributes:
        pairs: pairs handed in.
        counted: pairs whose sides differ and are not empty. Repeats count: p-values are then too small.
        faults: pairs left out, by reason (see `cases.Pair.fault`).
        features, lengths: see `FeatureAudit` and `LengthAudit`.
    """

    pairs: int
    counted: int
    faults: dict[str, int]
    features: tuple[FeatureAudit, ...]
    lengths: tuple[LengthAudit, ...]

    def __getitem__(self, name: str) -> FeatureAudit | LengthAudit:
        """The audit of one feature or length. Raises LabError: there is none of that name."""
        found = {row.name: row for row in (*self.features, *self.lengths)}
        if name not in found:
            raise LabError(f"The audit has no feature {name!r}. It has: {', '.join(found)}.")
        return found[name]

    def direction(self, name: str) -> str:
        """Where DPO will push a feature or a length: `up`, `down` or `not shown`."""
        return self[name].direction

    def __str__(self) -> str:
        rows = [row for row in (*self.features, *self.lengths) if row.direction != NOT_SHOWN]
        pushed = [f"{row.name} {row.direction}" for row in rows]
        return f"{self._counts()} DPO will push: {', '.join(pushed) or 'nothing that can be shown'}."

    def _repr_markdown_(self) -> str:
        rows = [
            f"| {row.name} | {row.chosen.value:.1%} | {row.rejected.value:.1%} "
            f"| {row.odds_ratio.value:.2f} [{row.odds_ratio.low:.2f}–{row.odds_ratio.high:.2f}] "
            f"| {row.only_chosen:,} / {row.only_rejected:,} | {row.direction} |"
            for row in self.features
        ]
        rows += [
            f"| {row.name} | {row.chosen:,.0f} | {row.rejected:,.0f} | | | {row.direction} |"
            for row in self.lengths
        ]
        heads = ("feature", "in chosen", "in rejected", "odds ratio [95 % interval]")
        heads += ("only chosen / only rejected", "DPO will push")
        return "\n".join([f"| {' | '.join(heads)} |", "|---" * 6 + "|", *rows, "", self._counts()])

    def _counts(self) -> str:
        left_out = _listed(self.faults) or "none"
        return f"{self.counted:,} of {self.pairs:,} pairs counted (left out: {left_out})."


def _listed(faults: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} with {reason}" for reason, count in faults.items())


def preferences(pairs: Sequence[Pair], features: Mapping[str, Feature] | None = None) -> PreferenceAudit:
    """Predict, feature by feature, the direction in which DPO on these pairs will push.

    Each feature is tested on its own at 5 %: of twenty that nothing pushes, expect one to be called pushed.

    Args:
        pairs: any pairs, with any texts.
        features: name → question about one answer; `FEATURES` if not given.

    Raises LabError: no pair can teach anything.
    """
    kept, dropped = usable(pairs)
    faults = dict(sorted(dropped.items()))
    if not kept:
        what = f"None of {len(pairs):,} pairs can be audited ({_listed(faults) or 'the list is empty'})"
        raise LabError(f"{what}. Give pairs with two different answers, neither empty.")
    chosen = [Side(pair.example, pair.chosen) for pair in kept]
    rejected = [Side(pair.example, pair.rejected) for pair in kept]
    asked = FEATURES if features is None else features
    measures: dict[str, Callable[[str], int]] = {"characters": len, "words": lambda text: len(words(text))}
    return PreferenceAudit(
        pairs=len(pairs),
        counted=len(kept),
        faults=faults,
        features=tuple(_feature(name, has, chosen, rejected) for name, has in asked.items()),
        lengths=tuple(_length(name, measure, chosen, rejected) for name, measure in measures.items()),
    )


def _feature(name: str, has: Feature, chosen: Sequence[Side], rejected: Sequence[Side]) -> FeatureAudit:
    n, one, other = len(chosen), [bool(has(side)) for side in chosen], [bool(has(side)) for side in rejected]
    counts = np.array([[sum(one), n - sum(one)], [sum(other), n - sum(other)]])
    table = Table2x2(counts + 0.5, shift_zeros=False)
    more = sum(a and not b for a, b in zip(one, other, strict=True))
    less = sum(b and not a for a, b in zip(one, other, strict=True))
    odds = Rate(float(table.oddsratio), n, *map(float, table.oddsratio_confint(ALPHA)))
    p = paired_test(one, other)
    direction = _sign(more - less) if p < ALPHA else NOT_SHOWN
    return FeatureAudit(name, wilson(sum(one), n), wilson(sum(other), n), odds, more, less, p, direction)


def _sign(value: float) -> str:
    return UP if value > 0 else DOWN if value < 0 else NOT_SHOWN


def _length(
    name: str, measure: Callable[[str], int], chosen: Sequence[Side], rejected: Sequence[Side]
) -> LengthAudit:
    one, other = (np.array([measure(side.text) for side in sides]) for sides in (chosen, rejected))
    gaps = one - other
    mean, n = float(gaps.mean()), len(gaps)
    reach = float(stats.t.ppf(1 - ALPHA / 2, n - 1) * stats.sem(gaps)) if n > 1 else np.inf
    shown = abs(mean) > reach and np.count_nonzero(gaps) >= FEWEST
    gap, direction = Rate(mean, n, mean - reach, mean + reach), _sign(mean) if shown else NOT_SHOWN
    return LengthAudit(name, float(one.mean()), float(other.mean()), gap, direction)
