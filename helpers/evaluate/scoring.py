"""From answers to figures: accuracy, recall, under- and over-triage, the safety cut, kappa, asymmetric cost,
and an answer's parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import cohen_kappa_score

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
    """Everything measured on one set of answers. Every rate is over all n items; an unreadable answer counts
    as wrong.

    Attributes:
        accuracy: the level is in the accepted set.
        primary: the level is the primary one.
        recall: per primary level, share of items answered with an accepted level.
        shares: per level (and `UNREADABLE`), share of answers.
        under, over: less (more) urgent than every accepted level. Unreadable answers are neither; see
            `unreadable`.
        sensitivity: of items whose primary level is ROJO or NARANJA, share answered ROJO or NARANJA.
        kappa: quadratic weighted kappa between primary and given level, over readable answers.
        cost: mean asymmetric cost an item (see `COSTS`), in levels.
        parts: share of answers that hold each part; the number has to be the country's.
        call: of items whose syndrome says to call before travelling, share of answers that say so first.
        strict: accepted level and every part; a person who must call is told to.
    """

    n: int
    accuracy: Rate
    primary: Rate
    recall: dict[str, Rate]
    shares: dict[str, Rate]
    under: Rate
    over: Rate
    unreadable: Rate
    sensitivity: Rate
    kappa: Rate
    cost: Rate
    parts: dict[str, Rate]
    call: Rate
    strict: Rate
    correct: tuple[bool, ...]
    given: tuple[str | None, ...]


def distance(example: Example, given: str | None) -> int:
    """Levels between the answer and the accepted set: negative is under-triage, positive over-triage, 0
    accepted.

    An unreadable answer (None) is placed at AZUL.
    """
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


def score(examples: Sequence[Example], answers: Sequence[str]) -> Scores:
    """Score full answers, as text. See `Scores` for what each figure is."""
    readings = [parse(answer) for answer in answers]
    given = [reading.level for reading in readings]
    pairs = list(zip(examples, given, strict=True))

    def rate(
        of: Callable[[Example, str | None], bool], among: Callable[[Example], bool] = lambda _: True
    ) -> Rate:
        chosen = [of(example, level) for example, level in pairs if among(example)]
        return wilson(sum(chosen), len(chosen))

    def recall(name: str) -> Rate:
        return rate(lambda row, level: level in row.accepted, lambda row: row.level == name)

    def share(name: str) -> Rate:
        return rate(lambda _, level: (level or UNREADABLE) == name)

    correct = tuple(level in example.accepted for example, level in pairs)
    whole = [
        ok and not reading.missing(row.country, row.call_now)
        for ok, reading, row in zip(correct, readings, examples, strict=True)
    ]
    readable = [(example.level, level) for example, level in pairs if level]
    return Scores(
        n=len(examples),
        accuracy=wilson(sum(correct), len(correct)),
        primary=rate(lambda row, level: level == row.level),
        recall={name: recall(name) for name in LEVELS},
        shares={name: share(name) for name in (*LEVELS, UNREADABLE)},
        under=rate(lambda row, level: level is not None and distance(row, level) < 0),
        over=rate(lambda row, level: level is not None and distance(row, level) > 0),
        unreadable=rate(lambda _, level: level is None),
        sensitivity=rate(lambda _, level: level in URGENT, lambda row: row.level in URGENT),
        kappa=bootstrap(readable, lambda drawn: quadratic_kappa(*zip(*drawn, strict=True)), draws=200),
        cost=bootstrap_mean([cost(example, level) for example, level in pairs]),
        parts={part: _part_rate(part, examples, readings) for part in PARTS},
        call=_call_rate(examples, readings),
        strict=wilson(sum(whole), len(whole)),
        correct=correct,
        given=tuple(given),
    )


def _part_rate(part: str, examples: Sequence[Example], readings: Sequence[Reading]) -> Rate:
    return wilson(
        sum(reading.has(part, row.country) for reading, row in zip(readings, examples, strict=True)),
        len(readings),
    )


def _call_rate(examples: Sequence[Example], readings: Sequence[Reading]) -> Rate:
    calls = [reading.calls for reading, row in zip(readings, examples, strict=True) if row.call_now]
    return wilson(sum(calls), len(calls))


def confusion(examples: Sequence[Example], given: Sequence[str | None]) -> np.ndarray:
    """Counts by primary level (rows, ROJO first) and given level (columns, the last one for unreadable):
    shape (5, 6).
    """
    columns = (*LEVELS, None)
    table = np.zeros((len(LEVELS), len(columns)), dtype=int)
    for example, level in zip(examples, given, strict=True):
        table[LEVELS.index(example.level), columns.index(level)] += 1
    return table
