"""Parity: is what runs there the model that was tested here? Two runs over the same prompts, compared at four depths and by the odds.

The depths, from shallow to deep: the rendered prompt, its tokens, the label, the full text. A fault that a shallow depth shows need not
reach a deep one, and the other way round. What each runtime is compared with, and how far it may drift, is `data/parity.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.cases import Example
from helpers.files import DATA, LabError, read_yaml
from helpers.runtimes.reply import Reply, Runtime
from helpers.statistics import Rate, bootstrap_mean, wilson
from helpers.triage import parse

DEPTHS = ("prompt", "tokens", "label", "text")
KL = "kl"
NOTICED = 1e-4  # `gap` looks at tokens that the reference gives at least this probability: below it, logarithms of almost nothing differ


@dataclass(frozen=True)
class Run:
    """What one runtime made of all prompts.

    Attributes:
        name: the runtime's.
        replies: one for each prompt.
        logits: at the level's place, (prompts, vocabulary); None where the runtime gives none, or only a few in its replies.
    """

    name: str
    replies: tuple[Reply, ...]
    logits: np.ndarray | None = None

    @property
    def levels(self) -> list[str | None]:
        """The level of every answer, as the one parser reads it."""
        return [parse(reply.text).level for reply in self.replies]

    def part(self, which: slice) -> Run:
        """The same run on some of its prompts, to compare with a runtime that was asked only those."""
        return Run(self.name, self.replies[which], None if self.logits is None else self.logits[which])


def run(runtime: Runtime, examples: Sequence[Example], *, odds: bool = True) -> Run:
    """Ask a runtime everything, and for the odds of the levels where it can tell them (and `odds` is wanted)."""
    replies = tuple(runtime.complete(examples))
    known = getattr(runtime, "label_logits", None)
    return Run(runtime.name, replies, known(examples) if known and odds else None)


@dataclass(frozen=True)
class Difference:
    """The first prompt on which two runs differ at some depth, and where in it.

    Attributes:
        index, at: which prompt, and the character (prompt, text) or token (tokens) of the first difference; 0 for a label.
        reference, other: what each has there.
    """

    depth: str
    index: int
    at: int
    reference: str
    other: str

    def __str__(self) -> str:
        where = {"tokens": f", token {self.at}", "label": ""}.get(self.depth, f", character {self.at}")
        return f"{self.depth} of prompt {self.index}{where}: {self.reference} | {self.other}"


@dataclass(frozen=True)
class Parity:
    """Two runs over the same prompts, compared.

    Attributes:
        reference, other: the runtimes' names.
        n: prompts.
        same: for each depth, on which prompts they agree.
        first: for each depth, the first difference; depths without one are absent.
        divergences: KL(reference ‖ other) at the level's place in nats, one for each prompt whose odds both give. Where the other gives
            only its likeliest tokens, the rest counts as one token, and the figure is a lower bound.
        gap: largest difference of log-probabilities there, over tokens that the reference gives at least `NOTICED`.
    """

    reference: str
    other: str
    n: int
    same: Mapping[str, tuple[bool, ...]]
    first: Mapping[str, Difference]
    divergences: tuple[float, ...] = ()
    gap: float | None = None

    @property
    def kl(self) -> Rate | None:
        """Mean of the divergences with a bootstrap interval; None where one of the two gives no odds."""
        return bootstrap_mean(self.divergences) if self.divergences else None

    @property
    def agreement(self) -> dict[str, Rate]:
        """For each depth, the share of prompts on which they agree, with its interval."""
        return {depth: wilson(sum(same), len(same)) for depth, same in self.same.items()}

    def measured(self, depth: str) -> Rate | None:
        """The figure at a depth, or the KL; None where it is not given."""
        return self.kl if depth == KL else self.agreement.get(depth)


def compare(reference: Run, other: Run) -> Parity:
    """Hold `other` against `reference`, depth by depth.

    Raises:
        LabError: they did not answer the same number of prompts.
    """
    if len(reference.replies) != len(other.replies):
        raise LabError(
            f"{reference.name} answered {len(reference.replies):,} prompts and {other.name} {len(other.replies):,}: "
            "they can be compared only on the same ones. Run both again."
        )
    pairs = {depth: list(zip(_seen(reference, depth), _seen(other, depth), strict=True)) for depth in DEPTHS}
    same = {depth: tuple(a == b for a, b in rows) for depth, rows in pairs.items()}
    first = {depth: _first(depth, pairs[depth], held) for depth, held in same.items() if not all(held)}
    rows = _odds(reference, other)
    gap = max((float(np.abs(p - q)[p > np.log(NOTICED)].max(initial=0.0)) for p, q in rows), default=None)
    divergences = tuple(divergence(p, q) for p, q in rows)
    return Parity(reference.name, other.name, len(other.replies), same, first, divergences, gap)


def _seen(run: Run, depth: str) -> Sequence[Any]:
    return run.levels if depth == "label" else [getattr(reply, depth) for reply in run.replies]


def _first(depth: str, rows: Sequence[tuple[Any, Any]], held: Sequence[bool]) -> Difference:
    index = held.index(False)
    one, two = rows[index]
    if depth == "label":
        return Difference(depth, index, 0, str(one), str(two))
    at = next(
        (place for place, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two))
    )
    around = slice(max(0, at - 2), at + 4) if depth == "tokens" else slice(max(0, at - 12), at + 28)
    return Difference(depth, index, at, repr(one[around]), repr(two[around]))


def _odds(reference: Run, other: Run) -> list[tuple[np.ndarray, np.ndarray]]:
    """Log-probabilities of both at the level's place, over the tokens that both give, prompt by prompt."""
    if reference.logits is None:
        return []
    truth = log_softmax(reference.logits)
    if other.logits is not None:
        return list(zip(truth, log_softmax(other.logits), strict=True))
    given = [(row, reply.logprobs) for row, reply in zip(truth, other.replies, strict=True) if reply.logprobs]
    return [(row[list(few)], np.array(list(few.values()))) for row, few in given]


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    """KL(p ‖ q) in nats from log-probabilities; what the given tokens leave over counts as one more token."""
    p, q = (np.append(logs, np.log(max(1 - np.exp(logs).sum(), 1e-12))) for logs in (p, q))
    return float(np.exp(p) @ (p - q))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities in float64, over the last axis."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Judged:
    """A depth of one comparison: what was measured, what may be (None: not judged), and whether it holds (None: nothing to judge)."""

    depth: str
    rate: Rate | None
    asks: str
    holds: bool | None

    @property
    def verdict(self) -> str:
        """In a word or two."""
        return {True: "holds", False: "DRIFT", None: "not given" if self.rate is None else "not judged"}[
            self.holds
        ]


@dataclass(frozen=True)
class Report:
    """Comparisons held against `data/parity.yaml`. Displays itself as a table, in a terminal and in a notebook."""

    rows: tuple[tuple[Parity, tuple[Judged, ...]], ...]

    @property
    def passed(self) -> bool:
        """Something was judged, and nothing drifted beyond its tolerance."""
        verdicts = [judged.holds for _, held in self.rows for judged in held]
        return True in verdicts and False not in verdicts

    @property
    def exit_code(self) -> int:
        """0 when everything holds, 1 on drift."""
        return 0 if self.passed else 1

    def __str__(self) -> str:
        cells = [("runtime", "against", "depth", "tolerance", "measured, 95 % interval", "verdict")]
        for parity, held in self.rows:
            cells += [
                (parity.other, parity.reference, row.depth, row.asks, shown(row), row.verdict) for row in held
            ]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in cells
        ]
        drifted = [(parity, row.depth) for parity, held in self.rows for row in held if row.holds is False]
        lines += [
            f"First difference, {parity.other}: {parity.first[depth]}"
            for parity, depth in drifted
            if depth in parity.first
        ]
        return "\n".join(
            [*lines, f"{len(drifted)} of {len(cells) - 1} figures drifted beyond their tolerance."]
        )


def shown(row: Judged) -> str:
    """A measured figure as it is printed."""
    if row.rate is None:
        return "—"
    return (
        f"{row.rate.value:.1e} nats [{row.rate.low:.1e}–{row.rate.high:.1e}], n = {row.rate.n:,}"
        if row.depth == KL
        else str(row.rate)
    )


def tolerances(kind: str, path: Path = DATA / "parity.yaml") -> dict[str, dict[str, Any]]:
    """The tolerances of one kind of comparison ("export", "quantized", "file"), by depth.

    Raises:
        LabError: the file lacks that kind, or a tolerance is malformed; the message names it.
    """
    known = read_yaml(path)
    if not isinstance(known, dict) or kind not in known:
        raise LabError(f"{path}: there is no comparison {kind!r}. Restore the file with `git checkout`.")
    for depth, row in known[kind].items():
        bounds = (
            [row[side] for side in ("at_least", "at_most") if side in row] if isinstance(row, dict) else []
        )
        side = "at_most" if depth == KL else "at_least"
        sound = (
            len(bounds) == 1
            and side in row
            and isinstance(bounds[0], int | float)
            and 0 <= bounds[0] <= 1
            and row.get("why")
        )
        if depth not in (*DEPTHS, KL) or not sound:
            raise LabError(
                f"{path}: {kind}.{depth} needs `{side}` between 0 and 1 and a `why`. See the others for the form."
            )
    return known[kind]


def judge(comparisons: Sequence[tuple[Parity, str]], path: Path = DATA / "parity.yaml") -> Report:
    """Hold each comparison against the tolerances of its kind."""
    return Report(tuple((parity, _judged(parity, tolerances(kind, path))) for parity, kind in comparisons))


def _judged(parity: Parity, allowed: Mapping[str, Mapping[str, Any]]) -> tuple[Judged, ...]:
    rows = []
    for depth in (*DEPTHS, KL):
        rate, bound = parity.measured(depth), allowed.get(depth, {})
        asks = (
            f"≥ {100 * bound['at_least']:g}%"
            if "at_least" in bound
            else f"≤ {bound['at_most']:g}"
            if bound
            else "—"
        )
        holds = None
        if rate is not None and bound:
            holds = rate.value >= bound["at_least"] if "at_least" in bound else rate.value <= bound["at_most"]
        rows.append(Judged(depth, rate, asks, holds))
    return tuple(rows)
