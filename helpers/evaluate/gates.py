"""Acceptance gates: what a model has to show, fixed in `data/gates.yaml` before any model of the present base was judged.

A gate is held against the worse end of a 95 % interval: a good figure on few items is "not shown".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from helpers.cases import Example, evaluation_prompts, vignettes
from helpers.evaluate.effects import Effect, paired_change
from helpers.evaluate.generation import generate
from helpers.evaluate.scoring import MEASURES, kappa, measured, rate
from helpers.files import DATA, LabError, Row, bad_entry, check_entry, read_yaml
from helpers.statistics import Rate
from helpers.triage import parse

PASSES = "passes"
NOT_SHOWN = "not shown"
FAILS = "fails"

KAPPA = "kappa"  # the one measure that is not a share of items
KNOWN = (*(name for name in MEASURES if name not in ("primary_level", "under_triage")), KAPPA)


class Gate(Row):
    """One condition of acceptance.

    Attributes:
        id, says: its name, and what it asks about in one sentence.
        measure: what it looks at: one of `scoring.MEASURES`, or `kappa`.
        bound: a fraction in 0…1.
        at_least: the measure must not be below the bound; otherwise not above it.
        none_seen: not one case may be seen, whatever the bound.
        why: where the bound comes from.
    """

    id: str
    says: str
    measure: str
    bound: float = Field(ge=0, le=1, strict=True)
    at_least: bool
    none_seen: bool = Field(default=False, strict=True)
    why: str

    @property
    def asks(self) -> str:
        """The bound as it is printed: "≥ 95%", "≤ 1%, none seen"."""
        number = f"{self.bound:g}" if self.measure == KAPPA else f"{100 * self.bound:g}%"
        return f"{'≥' if self.at_least else '≤'} {number}{', none seen' if self.none_seen else ''}"

    def meets(self, value: float) -> bool:
        """Is this value on the right side of the bound?"""
        return value >= self.bound if self.at_least else value <= self.bound

    def verdict(self, rate: Rate) -> str:
        """`PASSES` if the interval's worse end meets the bound, `NOT_SHOWN` if only the point does."""
        if rate.n == 0:
            return NOT_SHOWN
        if not self.meets(rate.value) or (self.none_seen and rate.value > 0):
            return FAILS
        return PASSES if self.meets(rate.low if self.at_least else rate.high) else NOT_SHOWN


def load_gates(path: Path = DATA / "gates.yaml", known: Sequence[str] = KNOWN) -> tuple[Gate, ...]:
    """The gates in the order of the file; a `LabError` if there is none, or one is malformed.

    `known`: first words of the measures that may stand there.
    """
    rows = read_yaml(path)
    if not isinstance(rows, dict) or not rows:
        what = "no gates in it, and nothing may be accepted by no gate"
        raise LabError(f"{path}: {what}. Restore the file with `git checkout`.")
    return tuple(_gate(path, name, row, known) for name, row in rows.items())


def _gate(path: Path, name: str, row: Any, known: Sequence[str]) -> Gate:
    sides = [side for side in ("at_least", "at_most") if side in row] if isinstance(row, dict) else []
    if len(sides) != 1:
        raise bad_entry(path, name, "at_least", "needs `at_least` or `at_most`, one of the two")
    side = {"id": name, "bound": row[sides[0]], "at_least": sides == ["at_least"]}
    gate = check_entry(Gate, {key: row[key] for key in row if key not in sides} | side, path, name)
    if gate.measure.partition(" ")[0] not in known:
        told = f"unknown measure {gate.measure!r}; the measures are {', '.join(known)}"
        raise bad_entry(path, name, "measure", told)
    if gate.none_seen and gate.at_least:
        raise bad_entry(path, name, "none_seen", "goes with `at_most` only")
    return gate


class Judged(NamedTuple):
    """A gate, what was measured, and what became of it (`PASSES`, `NOT_SHOWN` or `FAILS`)."""

    gate: Gate
    rate: Rate
    verdict: str

    @property
    def measured(self) -> str:
        """The figure with its 95 % interval and its n, in the unit of the bound."""
        rate = self.rate
        if rate.n and self.gate.measure == KAPPA:
            return f"{rate.value:.2f} [{rate.low:.2f}–{rate.high:.2f}], n = {rate.n:,}"
        return str(rate) if rate.n else "nothing measured"


@dataclass(frozen=True)
class Report:
    """One model against every gate. Displays itself as a table, in a terminal and in a notebook.

    Attributes:
        n: items judged. on: name of their set. rows: one for each gate.
    """

    n: int
    on: str
    rows: tuple[Judged, ...]

    @property
    def passed(self) -> bool:
        """Every gate passes (and there is one)."""
        return bool(self.rows) and all(row.verdict == PASSES for row in self.rows)

    @property
    def conclusion(self) -> str:
        """Accepted or rejected, and how many gates passed, were not shown, and failed."""
        passed, not_shown, failed = (
            sum(row.verdict == name for row in self.rows) for name in (PASSES, NOT_SHOWN, FAILS)
        )
        said = "Accepted" if self.passed else "Rejected"
        counts = f"{passed} passed, {not_shown} not shown, {failed} failed"
        return f"{said} on {self.on} (n = {self.n:,}): of {len(self.rows)} gates {counts}."

    def verdict(self, name: str) -> str:
        """What became of the gate of this name. Raises LabError: there is no such gate."""
        found = {row.gate.id: row.verdict for row in self.rows}
        if name not in found:
            where = f"The gates are {', '.join(found)}; they live in data/gates.yaml"
            raise LabError(f"There is no gate {name!r}. {where}.")
        return found[name]

    def __str__(self) -> str:
        cells = [("gate", "bound", "measured, 95 % interval", "verdict")]
        cells += [(row.gate.id, row.gate.asks, row.measured, row.verdict) for row in self.rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]
        return "\n".join([*lines, self.conclusion])

    def _repr_markdown_(self) -> str:
        lines = [
            "| gate | what it asks about | bound | measured, 95 % interval | verdict |",
            "| --- | --- | --- | --- | --- |",
        ]
        for row in self.rows:
            said = row.verdict if row.verdict == PASSES else f"**{row.verdict}**"
            lines.append(f"| {row.gate.id} | {row.gate.says} | {row.gate.asks} | {row.measured} | {said} |")
        return "\n".join([*lines, "", f"**{self.conclusion}**"])


def judge(examples: Sequence[Example], answers: Sequence[str], on: str = "own items") -> Report:
    """Hold answers, as text, against the gates of `data/gates.yaml`.

    Every gate is judged on its 95 % interval (Wilson; for kappa a percentile bootstrap, which has no width
    when every answer is right).
    """
    rows = [(row, parse(text)) for row, text in zip(examples, answers, strict=True)]
    truth, given = [row.level for row, _ in rows], [said.level for _, said in rows]
    judged = []
    for gate in load_gates():
        found = kappa(truth, given) if gate.measure == KAPPA else rate(rows, gate.measure)
        judged.append(Judged(gate, found, gate.verdict(found)))
    return Report(len(rows), on, tuple(judged))


def check(model: str | Path, on: str = "test") -> Report:
    """Let a model (stage, folder or hub id) answer "vignettes" or a split's prompts, and judge it.

    Raises LabError: the model cannot be read.
    """
    rows = vignettes() if on == "vignettes" else evaluation_prompts(on)
    answers = generate(model, rows, label=f"Answering {on}")
    return judge(rows, [answer.text for answer in answers], on)


def held_by_gate(examples: Sequence[Example], answers: Sequence[str]) -> dict[str, tuple[bool, ...]]:
    """For each gate of `data/gates.yaml` but kappa (no share of items): is the answer as the gate wants it?

    Paired tests and paired intervals need this, not a rate. `missed_urgency` is asked only of items whose
    primary level is ROJO or NARANJA, `call` only of those whose syndrome says to call: they are shorter than
    the others.
    """
    rows = [(row, parse(text)) for row, text in zip(examples, answers, strict=True)]
    return {
        gate.id: tuple(held is gate.at_least for held in measured(rows, gate.measure))
        for gate in load_gates()
        if gate.measure != KAPPA
    }


def gate_changes(
    examples: Sequence[Example], before: Sequence[str], after: Sequence[str]
) -> dict[str, Effect]:
    """How the share of items that are as a gate wants them changes between two models, gate by gate."""
    old, new = held_by_gate(examples, before), held_by_gate(examples, after)
    return {gate: paired_change(gate, old[gate], new[gate]) for gate in old}
