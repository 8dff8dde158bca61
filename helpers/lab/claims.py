"""The ledger: every statement of the blog, and a verdict computed from what was measured.

`data/claims.yaml` holds what the blog says, where, and how it is judged: by a measurement, by the blog's
other numbers, by a source, or not at all.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from helpers.evaluate import Rate, wilson
from helpers.files import DATA, LabError, read_yaml
from helpers.lab.results import measurements, own_keys

REPRODUCED, DIRECTION, NOT_REPRODUCED = "reproduced", "direction only", "not reproduced"
UNDECIDED, DEPENDS, NOT_RUN = "undecided", "depends on what is measured", "not run yet"
DISAGREES, CONSISTENT = "the blog disagrees with itself", "agrees with the blog's other numbers"
RIGHT, WRONG, NOT_TESTABLE = "right by its source", "wrong by its source", "not testable here"
JUDGED = (REPRODUCED, DIRECTION, DEPENDS, UNDECIDED, NOT_REPRODUCED)
VERDICTS = (*JUDGED, NOT_RUN, DISAGREES, CONSISTENT, RIGHT, WRONG, NOT_TESTABLE)
COLUMNS = ("wordings", "syndromes", "vignettes", "elsewhere")  # the last: no patients are judged
SIGNS = {REPRODUCED: "✓", DIRECTION: "↗", UNDECIDED: "?", NOT_REPRODUCED: "✗", NOT_RUN: "…"}


def difference(one: Rate, other: Rate) -> Rate:
    """One minus the other, with a 95 % interval from the intervals of both (Newcombe 1998, method 10)."""
    gap = one.value - other.value
    low = gap - math.hypot(one.value - one.low, other.high - other.value)
    high = gap + math.hypot(one.high - one.value, other.value - other.low)
    return Rate(gap, min(one.n, other.n), low, high)


def judge(
    ours: Rate, blog: Rate, within: float, above: float | None = None, below: float | None = None
) -> str:
    """A number: near, not to be told apart, at least on the side that the blog means, or none of these."""
    gap = difference(ours, blog)
    inside = blog.low - within <= ours.low and ours.high <= blog.high + within
    if abs(gap.value) <= within and inside:
        return "reproduced"
    if gap.low <= 0 <= gap.high:
        return "undecided"
    if (above is not None and ours.low > above) or (below is not None and ours.high < below):
        return "direction only"
    return "not reproduced"


def compare(one: Rate, other: Rate, asks: str, within: float = 0.0) -> str:
    """A sentence: is one `more` or `less` than the other, or the `same` give or take `within`?"""
    gap = difference(one, other)
    if asks == "same" and -within <= gap.low and gap.high <= within:
        return "reproduced"
    if gap.low <= 0 <= gap.high:
        return "undecided"
    said = "more" if gap.low > 0 else "less"
    return "reproduced" if said == asks else "not reproduced"


@dataclass(frozen=True)
class Check:
    """One way to judge a statement.

    Attributes:
        metric: what is measured: accepted, primary, ROJO share, …
        keys: by column: the measurement's key; for a sentence a pair of it and another key, or a number.
        within: how near is near. above, below: what counts as the direction of a number.
        asks: for a sentence: `more`, `less` or `same`.
        points: what is measured is a difference of shares, to be shown in points.
    """

    metric: str
    keys: Mapping[str, tuple[Any, ...]]
    within: float = 0.0
    above: float | None = None
    below: float | None = None
    asks: str = ""
    points: bool = False


@dataclass(frozen=True)
class Claim:
    """One statement of the blog.

    Attributes:
        id, says, where: its name, the blog's own words (short), and the section they stand in.
        number, unit: if it is one. of: how many patients its rate is of.
        written: the spellings under which the number may stand in a Markdown cell ("80.72").
        follows: arithmetic over other claims' ids that should give the number, with `tolerance`.
        contradicts: what else in the blog it cannot be true beside.
        tests: the measurements that judge it. source: `holds` and `because`, where a document decides.
        untestable: why nothing here can test it.
        built_in: why our own construction gives the result; it proves nothing then.
        rests_on: the statement that it follows from, or that tells of the same event.
        note: what a reader of the verdict has to know.
    """

    id: str
    says: str
    where: str
    number: float | None = None
    unit: str = ""
    of: int | None = None
    written: tuple[str, ...] = ()
    follows: str | None = None
    tolerance: float = 0.0
    contradicts: str | None = None
    tests: tuple[Check, ...] = ()
    source: Mapping[str, Any] | None = None
    untestable: str | None = None
    built_in: str | None = None
    rests_on: str | None = None
    note: str = ""

    @property
    def rate(self) -> Rate:
        """The number, with the interval that its sample leaves where that is known."""
        assert self.number is not None, f"{self.id} is judged as a number and has none"
        if self.of:
            return wilson(round(self.number * self.of), self.of)
        return Rate(self.number, 0, self.number, self.number)


@cache
def claims() -> dict[str, Claim]:
    """Every statement by id.

    Raises LabError: an unknown field or column, a `rests_on` that is no statement, or no way to judge one.
    """
    path = DATA / "claims.yaml"
    ledger: dict[str, Claim] = {}
    for name, row in read_yaml(path).items():
        try:
            tests = tuple(map(_test, row.pop("tests", ())))
            written = tuple(map(str, row.pop("written", ())))
            ledger[name] = Claim(id=name, tests=tests, written=written, **row)
        except (TypeError, ValueError) as error:
            how = "The fields are those of helpers.lab.claims.Claim"
            raise LabError(f"{path}: claim {name!r}: {error}. {how}.") from error
    for name, claim in ledger.items():
        if not (claim.follows or claim.contradicts or claim.tests or claim.source or claim.untestable):
            ways = "`tests`, `follows`, `contradicts`, `source`, `untestable`"
            raise LabError(f"{path}: claim {name!r} has none of {ways}: say how it is judged.")
        if claim.rests_on and claim.rests_on not in ledger:
            raise LabError(f"{path}: claim {name!r} rests on {claim.rests_on!r}, which is not a claim.")
    return ledger


def _test(row: Mapping[str, Any]) -> Check:
    per_column = {column: row[column] for column in row if column in COLUMNS}
    keys = {column: tuple(key) if isinstance(key, list) else (key,) for column, key in per_column.items()}
    test = Check(keys=keys, **{name: value for name, value in row.items() if name not in COLUMNS})
    if not keys or any((len(key) == 2) != bool(test.asks) for key in keys.values()):
        raise ValueError(f"the test of {test.metric!r} needs a key a column, and a pair of them with `asks`")
    return test


def arithmetic(expression: str, numbers: Mapping[str, float]) -> float:
    """A sum over claim ids and numbers; LabError if pandas cannot compute it."""
    import pandas as pd

    try:
        return float(pd.eval(expression, local_dict=dict(numbers), global_dict={}))
    except Exception as error:  # pandas has an exception of its own for every kind of mistake
        how = "use claim ids, numbers and + - * / only"
        raise LabError(f"data/claims.yaml: cannot compute {expression!r} ({error}): {how}.") from error


class Cell(NamedTuple):
    """One verdict: a statement, judged by one test in one column. `str` shows the sign and the figures."""

    test: Check
    column: str
    verdict: str
    rows: tuple[Mapping[str, Any], ...]
    own: bool

    def __str__(self) -> str:
        ours = self.rows[0]
        beside = self.rows if not self.test.points or self.rows[-1]["value"] else self.rows[:1]
        figures = " against ".join(self._figure(row) for row in beside)
        seeds, n = ours.get("seeds") or 1, ours.get("n")
        counted = f", {seeds} seeds" if seeds > 1 else f", n = {n:,}" if n else ""
        alone = "" if ours.get("low") is not None else " (value alone)"
        return f"{SIGNS[self.verdict]} {figures}{counted}{alone}"

    def _figure(self, row: Mapping[str, Any]) -> str:
        """A value with its interval: differences of shares in points, shares in per cent, others plain."""
        share = self.rows[0].get("unit") == "rate"
        form = "+.1f" if self.test.points else ".1f" if share else ",.4g" if row["value"] < 10_000 else ",.0f"
        unit = " points" if self.test.points else "%" if share else ""
        numbers = (row["value"], row.get("low"), row.get("high"))
        value, *bounds = (format(100 * one if share else one, form) for one in numbers if one is not None)
        return f"{value}{unit}" + (f" [{' to '.join(bounds)}]" if bounds else "")


class Entry(NamedTuple):
    """A line of the ledger: a statement, its verdict and why, and a cell for every metric and column."""

    claim: Claim
    verdict: str
    because: str
    cells: tuple[Cell, ...]

    @property
    def counts(self) -> bool:
        """Did a measurement say what neither our construction nor another statement says already? Only these
        results are counted in the headline.
        """
        return self.verdict in JUDGED and not (self.claim.built_in or self.claim.rests_on)


def verdict(claim: Claim, measured: Mapping[str, Mapping[str, Any]] | None = None) -> Entry:
    """Judge a statement: the blog against itself first, then the measurements, then a source."""
    cells = _cells(claim, measurements() if measured is None else measured)
    if claim.contradicts:
        return Entry(claim, DISAGREES, claim.contradicts, cells)
    if claim.follows and claim.number is not None:
        numbers = {name: one.number for name, one in claims().items() if one.number is not None}
        expected = arithmetic(claim.follows, numbers)
        if abs(expected - claim.number) > claim.tolerance:
            said = f"{claim.follows} gives {expected:,.4g}, the blog says {claim.number:,g}"
            return Entry(claim, DISAGREES, said, cells)
    if claim.tests:
        return Entry(claim, _overall({cell.verdict for cell in cells}), claim.note, cells)
    if claim.source:
        return Entry(claim, RIGHT if claim.source["holds"] else WRONG, claim.source["because"], ())
    if claim.follows:
        return Entry(claim, CONSISTENT, claim.follows, ())
    return Entry(claim, NOT_TESTABLE, claim.untestable or "", ())


def _overall(found: set[str]) -> str:
    """One verdict for all cells: "depends" needs a cell that speaks for the blog beside one that does not."""
    if not found:
        return NOT_RUN
    if len(found) == 1:
        return found.pop()
    return DEPENDS if found & {REPRODUCED, DIRECTION} else NOT_REPRODUCED


def _cells(claim: Claim, measured: Mapping[str, Mapping[str, Any]]) -> tuple[Cell, ...]:
    """The verdict of every metric and column whose measurements are there."""
    own, cells = own_keys(), []
    for test in claim.tests:
        for column, keys in test.keys.items():
            if any(isinstance(key, str) and key not in measured for key in keys):
                continue
            rows = tuple(measured[key] if isinstance(key, str) else {"value": key} for key in keys)
            ours, *other = map(_rate, rows)
            judged = (
                compare(ours, other[0], test.asks, test.within)
                if test.asks
                else judge(ours, claim.rate, test.within, test.above, test.below)
            )
            cells.append(Cell(test, column, judged, rows, keys[0] in own))
    return tuple(cells)


def _rate(row: Mapping[str, Any]) -> Rate:
    """A measurement as a rate; one without an interval is judged by its value alone."""
    low, high = (row["value"] if row.get(bound) is None else row[bound] for bound in ("low", "high"))
    return Rate(row["value"], row.get("n") or 0, low, high)


def ledger(measured: Mapping[str, Mapping[str, Any]] | None = None) -> list[Entry]:
    """Every statement with its verdict, in the order of the file (default: by `lab.measurements`)."""
    measured = measurements() if measured is None else measured
    return [verdict(claim, measured) for claim in claims().values()]


def tally(lines: Sequence[Entry]) -> dict[str, int]:
    """How many statements got each verdict, in the order of `VERDICTS`."""
    return {name: sum(line.verdict == name for line in lines) for name in VERDICTS}


def report() -> str:
    """The independent results in one line each, and the count of verdicts: what a run prints at its end."""
    lines = ledger()
    counted = [line for line in lines if line.counts]
    if not counted:
        return "None of the blog's statements is judged by what this profile measured."
    counts = ", ".join(f"{count} {name}" for name, count in tally(counted).items() if count)
    total = f"Of the blog's {len(lines)} statements {len(counted)} are independent results: {counts}."
    return "\n".join([*(f"  {line.verdict}: {line.claim.says}" for line in counted), total])
