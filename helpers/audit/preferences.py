"""What a set of preference pairs will push, read from the pairs alone and before anything is trained on them.

DPO raises what the chosen answers have more often than the rejected ones *of the same pairs*, and lowers the opposite (Rafailov et al.
2023). Nobody has to mean it: where the chosen answers seldom carry the disclaimer and the rejected ones do, it is trained away.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from scipy import stats
from statsmodels.stats.contingency_tables import Table2x2

from helpers.audit.phrases import words
from helpers.cases import Example, Pair
from helpers.files import LabError
from helpers.statistics import Rate, paired_test, wilson
from helpers.triage import LEVELS, PARTS, Reading, parse, strip_accents, strip_thinking

UP, DOWN, NOT_SHOWN = "up", "down", "not shown"
ALPHA = 0.05
FEWEST = 6  # pairs that differ: with fewer no exact sign test reaches 5 %, even if all point the same way
CARRIES = 0.3  # correlation from which one feature can carry another (a "medium" one, Cohen 1988)
_LEVEL_OPENS = re.compile(r"\W*(?:nivel|urgencia|triaje|clasificacion|rojo|naranja|amarillo|verde|azul)\b")


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


def _level_first(side: Side) -> bool:
    first = strip_thinking(side.text)[0].lstrip().partition("\n")[0]
    return bool(_LEVEL_OPENS.match(strip_accents(first).lower())) and parse(first).level is not None


FEATURES: dict[str, Feature] = {
    **{part: partial(_has, part) for part in PARTS},  # the number has to be the person's own country's
    "correct level": lambda side: side.reading.level in side.example.accepted,
    "readable level": lambda side: side.reading.level is not None,
    "ROJO given": lambda side: side.reading.level == "ROJO",
    "level first": _level_first,
}


@dataclass(frozen=True)
class FeatureAudit:
    """One yes-or-no feature of an answer, on both sides of the pairs.

    Attributes:
        chosen, rejected: share of the chosen (rejected) answers that have it, with Wilson's interval.
        odds_ratio: odds of it among the chosen over the odds among the rejected, with ½ added to each of the four counts (Haldane 1956,
            Anscombe 1956) and Woolf's (1955) logarithmic 95 % interval. It describes the two *sets* of answers; 1 is even.
        only_chosen, only_rejected: pairs in which one side alone has it. Where both agree, DPO sees no difference in it.
        p: exact two-sided sign test on those pairs (McNemar's): that either side is equally likely to be the one.
        direction: where DPO will push it: `up` or `down` if p is below 5 %, else `not shown`.
        carried_by: if not shown: the features that *are* pushed and whose differences between the sides go with this one's.
        carried: where these would carry it, `up` or `down`; `not shown` without any, or when they pull against each other evenly. A
            risk, no prediction.
    """

    name: str
    chosen: Rate
    rejected: Rate
    odds_ratio: Rate
    only_chosen: int
    only_rejected: int
    p: float
    direction: str
    carried_by: tuple[str, ...] = ()
    carried: str = NOT_SHOWN


@dataclass(frozen=True)
class LengthAudit:
    """The length of an answer (`name` is its unit), on both sides of the pairs.

    Attributes:
        chosen, rejected: mean length.
        difference: mean of chosen − rejected over the pairs, with Student's t-interval at 95 %, in the unit.
        direction: where DPO will push it: the sign of the difference, if its interval leaves out 0 and at least `FEWEST` pairs differ.
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
        counted: pairs the figures are about: those whose sides differ and are not empty.
        faults: pairs left out, by reason (see `cases.Pair.fault`).
        repeats: counted pairs that repeat an earlier one to the letter. They are trained on again, so they count again, and p-values
            are then too small.
        worse: counted pairs whose chosen level is further from the accepted ones than the rejected (no readable level is furthest).
        features, lengths: see `FeatureAudit` and `LengthAudit`.
        parting: share of the chosen text before the first character in which the sides differ, mean with t-interval.
    """

    pairs: int
    counted: int
    faults: dict[str, int]
    repeats: int
    worse: int
    features: tuple[FeatureAudit, ...]
    lengths: tuple[LengthAudit, ...]
    parting: Rate

    def __getitem__(self, name: str) -> FeatureAudit | LengthAudit:
        """The audit of one feature or length.

        Raises:
            LabError: there is none of that name.
        """
        found = {row.name: row for row in (*self.features, *self.lengths)}
        if name not in found:
            raise LabError(f"The audit has no feature {name!r}. It has: {', '.join(found)}.")
        return found[name]

    def direction(self, name: str) -> str:
        """Where DPO will push a feature or a length: `up`, `down` or `not shown`.

        Raises:
            LabError: there is none of that name.
        """
        return self[name].direction

    def __str__(self) -> str:
        pushed = [
            f"{row.name} {row.direction}"
            for row in (*self.features, *self.lengths)
            if row.direction != NOT_SHOWN
        ]
        return f"{self._counts()} DPO will push: {', '.join(pushed) or 'nothing that can be shown'}."

    def _repr_markdown_(self) -> str:
        rows = [
            f"| {row.name} | {row.chosen.value:.1%} | {row.rejected.value:.1%} | {_odds_text(row.odds_ratio)} "
            f"| {row.only_chosen:,} / {row.only_rejected:,} | {_push_text(row)} |"
            for row in self.features
        ]
        rows += [
            f"| {row.name} | {row.chosen:,.0f} | {row.rejected:,.0f} | | | {row.direction} |"
            for row in self.lengths
        ]
        head = "| feature | in chosen | in rejected | odds ratio [95 % interval] | only chosen / only rejected | DPO will push |"
        return "\n".join([head, "|---|---|---|---|---|---|", *rows, "", self._counts()])

    def _counts(self) -> str:
        left_out = ", ".join(f"{count:,} with {reason}" for reason, count in self.faults.items())
        return (
            f"{self.counted:,} of {self.pairs:,} pairs counted (left out: {left_out or 'none'}). {self.repeats:,} repeat another, in "
            f"{self.worse:,} the chosen level is worse than the rejected. The sides part after {self.parting.value:.0%} of the chosen text."
        )


def preferences(pairs: Sequence[Pair], features: Mapping[str, Feature] | None = None) -> PreferenceAudit:
    """Predict, feature by feature, the direction in which DPO on these pairs will push.

    Each feature is tested on its own at 5 %: of twenty that nothing pushes, expect one to be called pushed.

    Args:
        pairs: any pairs, with any texts.
        features: name → question about one answer; `FEATURES` if not given.

    Raises:
        LabError: no pair can teach anything.
    """
    faults = Counter(pair.fault for pair in pairs)
    usable = [pair for pair in pairs if pair.fault is None]
    if not usable:
        found = (
            ", ".join(f"{count:,} with {reason}" for reason, count in faults.items()) or "the list is empty"
        )
        raise LabError(
            f"None of {len(pairs):,} pairs can be audited ({found}). Give pairs with two different answers, neither empty."
        )
    chosen = [Side(pair.example, pair.chosen) for pair in usable]
    rejected = [Side(pair.example, pair.rejected) for pair in usable]
    asked = FEATURES if features is None else features
    held = {
        name: (
            np.array([bool(has(side)) for side in chosen]),
            np.array([bool(has(side)) for side in rejected]),
        )
        for name, has in asked.items()
    }
    return PreferenceAudit(
        pairs=len(pairs),
        counted=len(usable),
        faults={reason: count for reason, count in faults.items() if reason},
        repeats=len(usable)
        - len({(pair.example.text, pair.example.country, pair.chosen, pair.rejected) for pair in usable}),
        worse=sum(_levels_off(one) > _levels_off(other) for one, other in zip(chosen, rejected, strict=True)),
        features=_with_carriers([_feature(name, *sides) for name, sides in held.items()], held),
        lengths=tuple(
            _length(name, measure, usable)
            for name, measure in (("characters", len), ("words", lambda text: len(words(text))))
        ),
        parting=_mean([_shared(pair.chosen, pair.rejected) / len(pair.chosen) for pair in usable], 0.0, 1.0),
    )


def _levels_off(side: Side) -> int:
    """Levels between the one given and the nearest accepted one; more than any distance when none can be read."""
    given = side.reading.level
    if given is None:
        return len(LEVELS)
    return min(abs(LEVELS.index(given) - LEVELS.index(level)) for level in side.example.accepted)


def _shared(one: str, other: str) -> int:
    """Characters before two texts first differ."""
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _feature(name: str, chosen: np.ndarray, rejected: np.ndarray) -> FeatureAudit:
    n = len(chosen)
    with_it, without = (
        np.array([chosen.sum(), rejected.sum()]),
        np.array([(~chosen).sum(), (~rejected).sum()]),
    )
    table = Table2x2(np.column_stack([with_it, without]) + 0.5, shift_zeros=False)
    more, less = int((chosen & ~rejected).sum()), int((rejected & ~chosen).sum())
    p = paired_test(chosen.tolist(), rejected.tolist())
    return FeatureAudit(
        name=name,
        chosen=wilson(int(with_it[0]), n),
        rejected=wilson(int(with_it[1]), n),
        odds_ratio=Rate(float(table.oddsratio), n, *map(float, table.oddsratio_confint(ALPHA))),
        only_chosen=more,
        only_rejected=less,
        p=p,
        direction=_sign(more - less) if p < ALPHA else NOT_SHOWN,
    )


def _sign(value: float) -> str:
    return UP if value > 0 else DOWN if value < 0 else NOT_SHOWN


def _with_carriers(
    rows: Sequence[FeatureAudit], held: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> tuple[FeatureAudit, ...]:
    """Add to each feature that is not pushed those that may carry it.

    A disclaimer at even odds has been seen to double under DPO, because it sat in structured answers and structure was pushed. The sign
    of it: over the pairs, the differences chosen − rejected (−1, 0 or 1) in the two features correlate.
    """
    gaps = {name: chosen.astype(int) - rejected.astype(int) for name, (chosen, rejected) in held.items()}
    pushed = [row for row in rows if row.direction != NOT_SHOWN]
    return tuple(_carried(row, pushed, gaps) if row.direction == NOT_SHOWN else row for row in rows)


def _carried(
    row: FeatureAudit, pushed: Sequence[FeatureAudit], gaps: Mapping[str, np.ndarray]
) -> FeatureAudit:
    links = {other: _link(gaps[row.name], gaps[other.name]) for other in pushed}
    pull = sum(link if other.direction == UP else -link for other, link in links.items())
    return replace(
        row, carried_by=tuple(other.name for other, link in links.items() if link), carried=_sign(pull)
    )


def _link(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's correlation (for yes or no: phi) if it is `CARRIES` or more and shown at 5 %; else 0, as for a constant."""
    if len(one) < FEWEST or not np.ptp(one) or not np.ptp(other):
        return 0.0
    found = stats.pearsonr(one, other)
    return float(found.statistic) if abs(found.statistic) >= CARRIES and found.pvalue < ALPHA else 0.0


def _length(name: str, measure: Callable[[str], int], pairs: Sequence[Pair]) -> LengthAudit:
    chosen, rejected = (
        np.array([measure(text) for text in texts])
        for texts in zip(*((p.chosen, p.rejected) for p in pairs), strict=True)
    )
    difference = _mean(chosen - rejected)
    shown = (difference.low > 0 or difference.high < 0) and np.count_nonzero(chosen - rejected) >= FEWEST
    return LengthAudit(
        name,
        float(chosen.mean()),
        float(rejected.mean()),
        difference,
        _sign(difference.value) if shown else NOT_SHOWN,
    )


def _mean(values: Sequence[float] | np.ndarray, least: float = -np.inf, most: float = np.inf) -> Rate:
    """A mean with Student's t-interval at 95 %, kept within `least`…`most`; of one value nothing is known but those bounds."""
    mean, n = float(np.mean(values)), len(values)
    reach = float(stats.t.ppf(1 - ALPHA / 2, n - 1) * stats.sem(values)) if n > 1 else np.inf
    return Rate(mean, n, max(least, mean - reach), min(most, mean + reach))


def _odds_text(odds: Rate) -> str:
    return f"{odds.value:.2f} [{odds.low:.2f}–{odds.high:.2f}]"


def _push_text(row: FeatureAudit) -> str:
    if not row.carried_by:
        return row.direction
    return f"{row.direction} (may be carried {row.carried} by {', '.join(row.carried_by)})"
