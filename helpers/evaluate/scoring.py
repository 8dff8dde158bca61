"""From answers to figures: accuracy, recall, under- and over-triage, kappa, cost, and an answer's parts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from helpers.cases import Example
from helpers.statistics import Rate, bootstrap, bootstrap_mean, wilson
from helpers.triage import LEVELS, PARTS, URGENT, Reading, parse

# Cost of being one level off. Ours, not a clinical standard: missing urgency is priced three times as high as
# overdoing it, and an answer without a readable level costs as much as saying AZUL, because a person told
# nothing may stay at home.
COSTS = {"under": 3.0, "over": 1.0}
UNREADABLE = "—"


@dataclass(frozen=True)
class Scores:
    """Everything measured on one set of answers, over all its items; an unreadable answer counts as wrong.

    Attributes:
        accuracy: the level is in the accepted set.
        primary: the level is the primary one.
        shares: per level, share of answers.
        under, over: less (more) urgent than every accepted level; `unreadable` answers are neither.
        sensitivity: of items whose primary level is ROJO or NARANJA, share answered ROJO or NARANJA.
        kappa: quadratic weighted kappa between primary and given level (computed when it is asked for).
        cost: mean asymmetric cost an item (see `COSTS`), in levels.
        parts: share of answers that hold each part; the number has to be the country's.
        call: of items whose syndrome says to call before travelling, share of answers that say so first.
        strict: accepted level and every part; a person who must call is told to.
        primary_levels, given, correct: item by item, the rubric's level, the answer's, and whether it is accepted.
    """

    accuracy: Rate
    primary: Rate
    shares: dict[str, Rate]
    under: Rate
    over: Rate
    unreadable: Rate
    sensitivity: Rate
    cost: Rate
    parts: dict[str, Rate]
    call: Rate
    strict: Rate
    primary_levels: tuple[str, ...]
    correct: tuple[bool, ...]
    given: tuple[str | None, ...]

    @cached_property
    def kappa(self) -> Rate:  # noqa: D102
        return kappa(self.primary_levels, self.given)


def distance(example: Example, given: str | None) -> int:
    """Levels from the accepted set: negative is under-triage, 0 accepted; no level (None) counts as AZUL."""
    accepted = [LEVELS.index(level) for level in example.accepted]
    place = LEVELS.index(given) if given else len(LEVELS) - 1
    return max(0, min(accepted) - place) - max(0, place - max(accepted))


def cost(example: Example, given: str | None) -> float:
    """Asymmetric cost of one answer: `COSTS["under"]` or `COSTS["over"]` a level."""
    steps = distance(example, given)
    return COSTS["over"] * steps if steps > 0 else -COSTS["under"] * steps


def quadratic_kappa(truth: Sequence[str], given: Sequence[str]) -> float:
    """Cohen's kappa with quadratic weights (the usual one in triage studies); 0 for a constant answer."""
    if len(set(given)) < 2 or len(set(truth)) < 2:
        return 0.0
    return float(cohen_kappa_score(truth, given, labels=list(LEVELS), weights="quadratic"))


Measure = Callable[[Example, Reading], bool | None]  # of one answer; None: not asked of this item


def _steps(row: Example, said: Reading) -> int:
    """As `distance`, but an unreadable answer is neither under- nor over-triage."""
    return distance(row, said.level) if said.level else 0


MEASURES: dict[str, Measure] = {
    "one_level": lambda _, said: said.level is not None,
    "accepted_level": lambda row, said: said.level in row.accepted,
    "primary_level": lambda row, said: said.level == row.level,
    **{part: partial(lambda part, row, said: said.has(part, row.country), part) for part in PARTS},
    "call": lambda row, said: said.calls if row.call_now else None,
    "strict": lambda row, said: said.level in row.accepted and not said.missing(row.country, row.call_now),
    "missed_urgency": lambda row, said: said.level not in URGENT if row.level in URGENT else None,
    "under_triage": lambda row, said: _steps(row, said) < 0,
    "two_levels_under": lambda row, said: _steps(row, said) <= -2,
    "over_triage": lambda row, said: _steps(row, said) > 0,
}


def measured(rows: Sequence[tuple[Example, Reading]], measure: str) -> tuple[bool, ...]:
    """One of `MEASURES`, item by item; items of which it is not asked are left out."""
    return tuple(held for row, said in rows if (held := MEASURES[measure](row, said)) is not None)


def rate(rows: Sequence[tuple[Example, Reading]], measure: str) -> Rate:
    """The share of items of which one of `MEASURES` holds."""
    held = measured(rows, measure)
    return wilson(sum(held), len(held))


def kappa(truth: Sequence[str], given: Sequence[str | None]) -> Rate:
    """Quadratic weighted kappa of primary and given level, over readable answers (percentile bootstrap)."""
    readable = [(level, said) for level, said in zip(truth, given, strict=True) if said]
    return bootstrap(readable, lambda drawn: quadratic_kappa(*zip(*drawn, strict=True)), draws=200)


def score(examples: Sequence[Example], answers: Sequence[str]) -> Scores:
    """Score full answers, as text. See `Scores` for what each figure is."""
    rows = [(row, parse(answer)) for row, answer in zip(examples, answers, strict=True)]
    given = [said.level for _, said in rows]
    urgent = [said.level in URGENT for row, said in rows if row.level in URGENT]
    return Scores(
        accuracy=rate(rows, "accepted_level"),
        primary=rate(rows, "primary_level"),
        shares={level: wilson(given.count(level), len(given)) for level in LEVELS},
        under=rate(rows, "under_triage"),
        over=rate(rows, "over_triage"),
        unreadable=wilson(given.count(None), len(given)),
        sensitivity=wilson(sum(urgent), len(urgent)),
        cost=bootstrap_mean([cost(row, said.level) for row, said in rows]),
        parts={part: rate(rows, part) for part in PARTS},
        call=rate(rows, "call"),
        strict=rate(rows, "strict"),
        primary_levels=tuple(row.level for row in examples),
        correct=measured(rows, "accepted_level"),
        given=tuple(given),
    )


def confusion(examples: Sequence[Example], given: Sequence[str | None]) -> np.ndarray:
    """Counts by primary level (rows, ROJO first) and given one (the last for unreadable): shape (5, 6)."""
    said = [level or UNREADABLE for level in given]
    names = [*LEVELS, UNREADABLE]
    return confusion_matrix([row.level for row in examples], said, labels=names)[: len(LEVELS)]
