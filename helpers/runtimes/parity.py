"""Parity: is what runs there the model that was tested here? Two runs, compared at four depths and by odds.

The depths, from shallow to deep: the rendered prompt, its tokens, the label, the full text. A fault that a
shallow depth shows need not reach a deep one, and the other way round. The bounds are in `data/parity.yaml`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import log_softmax

from helpers.cases import Example
from helpers.files import DATA, LabError, read_yaml
from helpers.runtimes.reply import Reply
from helpers.statistics import Rate, bootstrap_mean, wilson
from helpers.triage import parse

DEPTHS = ("prompt", "tokens", "label", "text")
KL = "kl"


@dataclass(frozen=True)
class Run:
    """What one runtime made of all prompts: its replies, and its logits at the level's place if told."""

    name: str
    replies: tuple[Reply, ...]
    logits: np.ndarray | None = None

    def seen(self, depth: str) -> list[Any]:
        """What there is to compare at a depth, prompt by prompt; the label as the one parser reads it."""
        if depth == "label":
            return [parse(reply.text).level for reply in self.replies]
        return [getattr(reply, depth) for reply in self.replies]


def run(runtime: Any, examples: Sequence[Example]) -> Run:
    """Ask a runtime everything, and for the odds of the levels where it can tell them."""
    replies, told = tuple(runtime.complete(examples)), getattr(runtime, "label_logits", None)
    return Run(runtime.name, replies, told(examples) if told else None)


@dataclass(frozen=True)
class Parity:
    """Two runs over the same prompts, compared.

    Attributes:
        reference, other: the runtimes' names.
        measured: for each depth, the share of prompts on which they agree. At `KL`, where both tell odds, the
            mean KL(reference ‖ other) at the level's place in nats; where only the likeliest tokens are told,
            the rest counts as one: a lower bound.
        first: for each depth with a difference, the first one, in words.
    """

    reference: str
    other: str
    measured: Mapping[str, Rate]
    first: Mapping[str, str]


def compare(reference: Run, other: Run) -> Parity:
    """Hold `other` against `reference`, which answered the same prompts, depth by depth."""
    measured, first = {}, {}
    for depth in DEPTHS:
        rows = list(zip(reference.seen(depth), other.seen(depth), strict=True))
        same = [one == two for one, two in rows]
        measured[depth] = wilson(sum(same), len(same))
        if False in same:
            index = same.index(False)
            where = ": {} | {}".format(*rows[index]) if depth == "label" else _where(*rows[index])
            first[depth] = f"{depth} of prompt {index}{where}"
    if told := _divergences(reference, other):
        measured[KL] = bootstrap_mean(told)
    return Parity(reference.name, other.name, measured, first)


def _where(one: str | tuple, two: str | tuple) -> str:
    """The first place at which two texts or token lists differ, and what each has there."""
    at = next(place for place, (a, b) in enumerate(zip_longest(one, two)) if a != b)
    around = slice(max(0, at - 12), at + 28) if isinstance(one, str) else slice(max(0, at - 2), at + 4)
    unit = "character" if isinstance(one, str) else "token"
    return f", {unit} {at}: {one[around]!r} | {two[around]!r}"


def _divergences(reference: Run, other: Run) -> list[float]:
    if reference.logits is None:
        return []
    truth = log_softmax(reference.logits.astype(np.float64), axis=-1)
    if other.logits is not None:
        theirs = log_softmax(other.logits.astype(np.float64), axis=-1)
        return [divergence(p, q) for p, q in zip(truth, theirs, strict=True)]
    told = [(row, reply.logprobs) for row, reply in zip(truth, other.replies, strict=True) if reply.logprobs]
    return [divergence(row[list(few)], np.array(list(few.values()))) for row, few in told]


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    """KL(p ‖ q) in nats from log-probabilities; what the given tokens leave over counts as one more token."""
    p, q = (np.append(logs, np.log(max(1 - np.exp(logs).sum(), 1e-12))) for logs in (p, q))
    return float(np.exp(p) @ (p - q))


class Judged(NamedTuple):
    """A depth of one comparison: what was asked for, and does it hold (None: nothing to judge)?"""

    parity: Parity
    depth: str
    asks: str
    holds: bool | None

    @property
    def cells(self) -> tuple[str, ...]:
        """A line of the report's table."""
        rate = self.parity.measured.get(self.depth)
        shown, verdict = ("—", "not given") if rate is None else (str(rate), "not judged")
        if rate is not None and self.depth == KL:
            shown = f"{rate.value:.1e} nats [{rate.low:.1e}–{rate.high:.1e}], n = {rate.n:,}"
        if self.holds is not None:
            verdict = "holds" if self.holds else "DRIFT"
        return self.parity.other, self.parity.reference, self.depth, self.asks, shown, verdict


@dataclass(frozen=True)
class Report:
    """Comparisons held against `data/parity.yaml`; as text, a table with every drift's first place."""

    rows: tuple[Judged, ...]

    @property
    def exit_code(self) -> int:
        """0 when something was judged and nothing drifted beyond its tolerance, else 1."""
        verdicts = {row.holds for row in self.rows}
        return 0 if True in verdicts and False not in verdicts else 1

    def __str__(self) -> str:
        head = ("runtime", "against", "depth", "tolerance", "measured, 95 % interval", "verdict")
        cells = [head, *(row.cells for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]
        drifted = [row for row in self.rows if row.holds is False]
        told = [(row.parity.other, row.parity.first[row.depth]) for row in drifted if row.depth != KL]
        lines += [f"First difference, {name}: {where}" for name, where in told]
        lines.append(f"{len(drifted)} of {len(self.rows)} figures drifted beyond their tolerance.")
        return "\n".join(lines)


def tolerances(kind: str, path: Path = DATA / "parity.yaml") -> dict[str, dict[str, Any]]:
    """The tolerances of "export", "quantized" or "file", by depth; a `LabError` if they are malformed."""
    known = read_yaml(path)
    if not isinstance(known, dict) or kind not in known:
        raise LabError(f"{path}: there is no comparison {kind!r}. Restore the file with `git checkout`.")
    for depth, row in known[kind].items():
        side = "at_most" if depth == KL else "at_least"
        sound = depth in (*DEPTHS, KL) and isinstance(row, dict) and set(row) == {side, "why"} and row["why"]
        if not sound or not isinstance(row[side], int | float) or not 0 <= row[side] <= 1:
            raise LabError(f"{path}: {kind}.{depth} needs `{side}` between 0 and 1 and a `why`.")
    return known[kind]


def judge(comparisons: Sequence[tuple[Parity, str]]) -> Report:
    """Hold each comparison against the tolerances of its kind."""
    rows = []
    for parity, kind in comparisons:
        allowed = tolerances(kind)
        for depth in (*DEPTHS, KL):
            rate, bound = parity.measured.get(depth), allowed.get(depth, {})
            asks, holds = "—", None
            if "at_least" in bound:
                asks, holds = f"≥ {100 * bound['at_least']:g}%", rate and rate.value >= bound["at_least"]
            elif bound:
                asks, holds = f"≤ {bound['at_most']:g}", rate and rate.value <= bound["at_most"]
            rows.append(Judged(parity, depth, asks, holds))
    return Report(tuple(rows))
