"""The claims ledger: every number of the blog that these notebooks touch, and a verdict computed from what was measured.

`data/claims.yaml` holds a claim's number, where the blog says it, how it follows from other numbers, and which measurement tests it.
"""

from __future__ import annotations

import ast
import operator
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from helpers.files import DATA, LabError, read_yaml
from helpers.lab.results import measurements, own_keys

REPRODUCED = "reproduced"
DIRECTION = "direction only"
NOT_REPRODUCED = "not reproduced"
NOT_TESTABLE = "not testable here"
DISAGREES = "the blog disagrees with itself"
NOT_RUN = "not run yet"
VERDICTS = (REPRODUCED, DIRECTION, NOT_REPRODUCED, DISAGREES, NOT_RUN, NOT_TESTABLE)

_OPERATIONS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True)
class Claim:
    """One number of the blog.

    Attributes:
        id, number, unit, says: what the blog says, in its own words (short).
        written: further spellings under which the number may stand in a Markdown cell ("80.72").
        follows: arithmetic over other claims' ids that should give the number, with `tolerance`.
        test: `{key, within}` (absolute tolerance on the measured value) and optionally `{above|below: x}` for the direction alone.
        untestable: why nothing here can test it.
        where: the section of the blog that says it.
        built_in: why the measurement had to come out near it, where our reconstruction was given the number; None where it was found.
    """

    id: str
    number: float
    says: str
    unit: str = ""
    written: tuple[str, ...] = ()
    follows: str | None = None
    tolerance: float = 0.0
    test: dict[str, Any] | None = None
    untestable: str | None = None
    where: str = ""
    built_in: str | None = None

    @property
    def stated(self) -> str:
        """The number with its unit, as a table shows it."""
        return (
            f"{100 * self.number:g}%" if self.unit == "rate" else f"{self.number:,.10g} {self.unit}".strip()
        )


@dataclass(frozen=True)
class Verdict:
    """What became of a claim, in one word and one sentence."""

    verdict: str
    because: str


@cache
def claims() -> dict[str, Claim]:
    """Every claim by id.

    Raises:
        LabError: a claim names an unknown field or has neither a test, nor arithmetic, nor a reason why it has none.
    """
    path = DATA / "claims.yaml"
    ledger = {}
    for name, row in read_yaml(path).items():
        try:
            claim = Claim(id=name, **{**row, "written": tuple(map(str, row.get("written", ())))})
        except TypeError as error:
            raise LabError(
                f"{path}: claim {name!r}: {error}. The fields are those of helpers.lab.claims.Claim."
            ) from error
        if not (claim.follows or claim.test or claim.untestable):
            raise LabError(
                f"{path}: claim {name!r} has no `test`, no `follows` and no `untestable`: say how it is judged."
            )
        ledger[name] = claim
    return ledger


def arithmetic(expression: str, numbers: Mapping[str, float]) -> float:
    """Evaluate + − × ÷ over claim ids and numbers; nothing else is understood."""

    def value(node: ast.AST) -> float:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return float(node.value)
        if isinstance(node, ast.Name) and node.id in numbers:
            return numbers[node.id]
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
            return _OPERATIONS[type(node.op)](value(node.left), value(node.right))
        raise LabError(
            f"data/claims.yaml: cannot compute {expression!r}: use claim ids, numbers and + - * / only."
        )

    return value(ast.parse(expression, mode="eval").body)


def verdict(claim: Claim, measured: Mapping[str, Mapping[str, Any]] | None = None) -> Verdict:
    """Judge a claim: the blog's own arithmetic first, then the measurement that tests it."""
    if claim.follows:
        expected = arithmetic(claim.follows, {name: other.number for name, other in claims().items()})
        if abs(expected - claim.number) > claim.tolerance:
            return Verdict(
                DISAGREES, f"{claim.follows} gives {expected:,.4g}, the blog says {claim.number:,g}"
            )
    if claim.test is None:
        if claim.untestable:
            return Verdict(NOT_TESTABLE, claim.untestable)
        return Verdict(REPRODUCED, f"follows from the blog's other numbers: {claim.follows}")
    found = (measurements() if measured is None else measured).get(claim.test["key"])
    if found is None:
        return Verdict(NOT_RUN, f"{claim.test['key']} has not been measured on this machine")
    value, said = found["value"], f"measured {found['value']:.4g} against {claim.number:g}"
    if abs(value - claim.number) <= claim.test["within"]:
        return Verdict(REPRODUCED, said)
    above, below = claim.test.get("above"), claim.test.get("below")
    if (above is not None and value > above) or (below is not None and value < below):
        return Verdict(DIRECTION, said)
    return Verdict(NOT_REPRODUCED, said)


class Entry(NamedTuple):
    """A line of the ledger: a claim, its verdict, the measurement that the verdict stands on, and whose measurement it is."""

    claim: Claim
    verdict: str
    because: str
    found: Mapping[str, Any] | None
    own: bool

    @property
    def measured(self) -> str:
        """The measured value with its interval and n, in the claim's unit; empty where nothing was measured."""
        if self.found is None:
            return ""
        percent = self.claim.unit == "rate"
        show = (
            (lambda value: f"{100 * value:.1f}%")
            if percent
            else (lambda value: f"{value:,.4g}" if value < 10_000 else f"{value:,.0f}")
        )
        low, high, n = (self.found.get(name) for name in ("low", "high", "n"))
        interval = "" if low is None else f" [{show(low)}–{show(high)}]"
        return f"{show(self.found['value'])}{interval}{'' if n is None else f', n = {n:,}'}"


def ledger(
    measured: Mapping[str, Mapping[str, Any]] | None = None, own: Collection[str] | None = None
) -> list[Entry]:
    """Every claim with its verdict, in the order of the file.

    Args:
        measured: measurements by key (default: the shipped ones, overlaid by this machine's).
        own: keys that this machine measured itself (default: those of its results file).
    """
    measured = measurements() if measured is None else measured
    own = own_keys() if own is None else own
    lines = []
    for claim in claims().values():
        judged, key = verdict(claim, measured), (claim.test or {}).get("key", "")
        lines.append(
            Entry(claim, judged.verdict, judged.because, measured.get(key), key in measured and key in own)
        )
    return lines


def tally(lines: Sequence[Entry]) -> dict[str, int]:
    """How many claims got each verdict, in the order of `VERDICTS`."""
    return {name: sum(line.verdict == name for line in lines) for name in VERDICTS}


def report() -> str:
    """Every judged claim in one line each, and the count of verdicts: what a run prints at its end."""
    verdicts = [(claim, verdict(claim)) for claim in claims().values()]
    judged = [(claim, found) for claim, found in verdicts if claim.test]
    width = max(len(claim.says) for claim, _ in judged)
    lines = [f"  {claim.says:<{width}}  {found.verdict}: {found.because}" for claim, found in judged]
    counts = ", ".join(
        f"{number} {name}" for name, number in Counter(found.verdict for _, found in verdicts).most_common()
    )
    return "\n".join(
        ["What the blog says, and what this machine found:", *lines, f"All claims so far: {counts}."]
    )
