"""What a set of preference pairs will push, read from the pairs alone and before anything is trained on them.

DPO raises what the chosen answers have more often than the rejected ones *of the same pairs*, and lowers the
opposite (Rafailov et al. 2023). Nobody has to mean it: where the chosen answers seldom carry the disclaimer
and the rejected ones do, it is trained away. What this file cannot see: what a trainer cuts off, and what a
model does with features on which both sides agree (notebook 08).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

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
FEATURES: dict[str, Feature] = {
    # the number has to be the person's own country's
    **{part: lambda side, part=part: side.reading.has(part, side.example.country) for part in PARTS},
    "correct level": lambda side: side.reading.level in side.example.accepted,
    "readable level": lambda side: side.reading.level is not None,
    "ROJO given": lambda side: side.reading.level == "ROJO",
}


@dataclass(frozen=True)
class FeatureAudit:
    """One yes-or-no feature of an answer, on both sides of the pairs.

    `odds_ratio`: odds of it among the chosen over the odds among the rejected, with ½ added to each of the four
    counts (Haldane 1956, Anscombe 1956) and Woolf's (1955) logarithmic 95 % interval. It describes the two
    *sets* of answers; 1 is even.
    """

    name: str
    chosen: Rate  # share of these answers that have it, with Wilson's interval
    rejected: Rate
    odds_ratio: Rate
    only_chosen: int  # pairs in which this side alone has it: DPO sees a difference in no other
    only_rejected: int
    p: float  # exact two-sided sign test on those pairs (McNemar's): both sides are equally likely
    direction: str  # where DPO will push it: `up` or `down` if p is below 5 %, else `not shown`


@dataclass(frozen=True)
class LengthAudit:
    """The length of an answer (`name` is its unit), on both sides of the pairs."""

    name: str
    chosen: float  # mean length
    rejected: float
    # mean of chosen − rejected over the pairs, with Student's t-interval at 95 %, in the unit
    difference: Rate
    direction: str  # sign of the difference, if its interval leaves out 0 and `FEWEST` pairs or more differ


@dataclass(frozen=True)
class PreferenceAudit:
    """What a set of pairs will push. Prints as a table."""

    pairs: int  # handed in
    counted: int  # whose sides differ and are not empty; repeats count, and p-values are then too small
    faults: dict[str, int]  # pairs left out, by reason (see `cases.Pair.fault`)
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

    def rows(self) -> list[tuple[str, ...]]:
        """What a table shows: name, both sides, odds ratio, pairs with one side only, direction."""
        found = []
        for row in self.features:
            sides = (f"{row.chosen.value:.1%}", f"{row.rejected.value:.1%}")
            odds = f"{row.odds_ratio.value:.2f} [{row.odds_ratio.low:.2f}–{row.odds_ratio.high:.2f}]"
            only = f"{row.only_chosen:,} / {row.only_rejected:,}"
            found.append((row.name, *sides, odds, only, row.direction))
        for row in self.lengths:
            found.append((row.name, f"{row.chosen:,.0f}", f"{row.rejected:,.0f}", "", "", row.direction))
        return found

    def __str__(self) -> str:
        pushed = [f"{name} {push}" for name, *_, push in self.rows() if push != NOT_SHOWN]
        return f"{self._counts()} DPO will push: {', '.join(pushed) or 'nothing that can be shown'}."

    def _repr_markdown_(self) -> str:
        head = "| feature | in chosen | in rejected | odds ratio [95 % interval] "
        head += "| only chosen / only rejected | DPO will push |\n" + "|---" * 6 + "|"
        rows = ["".join(f"| {cell} " if cell else "| " for cell in row) + "|" for row in self.rows()]
        return "\n".join([head, *rows, "", self._counts()])

    def _counts(self) -> str:
        left_out = _listed(self.faults) or "none"
        return f"{self.counted:,} of {self.pairs:,} pairs counted (left out: {left_out})."


def _listed(faults: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} with {reason}" for reason, count in faults.items())


def preferences(pairs: Sequence[Pair], features: Mapping[str, Feature] = FEATURES) -> PreferenceAudit:
    """Predict, feature by feature, the direction in which DPO on these pairs will push.

    Each feature is tested on its own at 5 %: of twenty that nothing pushes, expect one to be called pushed.

    Args:
        pairs: any pairs, with any texts.
        features: name → question about one answer.

    Raises LabError: no pair can teach anything.
    """
    kept, dropped = usable(pairs)
    faults = dict(sorted(dropped.items()))
    if not kept:
        what = f"None of {len(pairs):,} pairs can be audited ({_listed(faults) or 'the list is empty'})"
        raise LabError(f"{what}. Give pairs with two different answers, neither empty.")
    chosen = [Side(pair.example, pair.chosen) for pair in kept]
    rejected = [Side(pair.example, pair.rejected) for pair in kept]
    measures = {"characters": len, "words": lambda text: len(words(text))}
    return PreferenceAudit(
        pairs=len(pairs),
        counted=len(kept),
        faults=faults,
        features=tuple(
            _feature(name, map(has, chosen), map(has, rejected)) for name, has in features.items()
        ),
        lengths=tuple(
            _length(name, [of(side.text) for side in chosen], [of(side.text) for side in rejected])
            for name, of in measures.items()
        ),
    )


def _direction(value: float, shown: bool) -> str:
    return NOT_SHOWN if not shown else UP if value > 0 else DOWN


def _feature(name: str, chosen: Iterable[bool], rejected: Iterable[bool]) -> FeatureAudit:
    one, other = list(map(bool, chosen)), list(map(bool, rejected))
    n, ones, others = len(one), sum(one), sum(other)
    table = Table2x2(np.array([[ones, n - ones], [others, n - others]]) + 0.5, shift_zeros=False)
    odds = Rate(float(table.oddsratio), n, *map(float, table.oddsratio_confint(ALPHA)))
    more = sum(a > b for a, b in zip(one, other, strict=True))
    less = sum(a < b for a, b in zip(one, other, strict=True))
    p = paired_test(one, other)
    direction = _direction(more - less, p < ALPHA)
    return FeatureAudit(name, wilson(ones, n), wilson(others, n), odds, more, less, p, direction)


def _length(name: str, chosen: list[int], rejected: list[int]) -> LengthAudit:
    gaps = np.subtract(chosen, rejected)
    mean, n = float(gaps.mean()), len(gaps)
    reach = float(stats.t.ppf(1 - ALPHA / 2, n - 1) * stats.sem(gaps)) if n > 1 else np.inf
    gap = Rate(mean, n, mean - reach, mean + reach)
    direction = _direction(mean, abs(mean) > reach and np.count_nonzero(gaps) >= FEWEST)
    return LengthAudit(name, float(np.mean(chosen)), float(np.mean(rejected)), gap, direction)
