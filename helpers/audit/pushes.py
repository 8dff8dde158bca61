"""What DPO will push on a reader's own pairs: feature by feature, and what differs in each row."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from helpers.audit.preferences import FEATURES, FEWEST, Feature, Side, preferences
from helpers.audit.reading import Item
from helpers.audit.report import Finding, Report
from helpers.cases import Pair
from helpers.triage import PARTS

MOST_LINES = 20  # lines of the answers that become features, the most frequent first
SHARE = 0.05  # of the answers of one side, at least, hold such a line


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _ends(line: str, side: Side) -> bool:
    return _lines(side.text)[-1:] == [line]


def _holds(line: str, side: Side) -> bool:
    return line in _lines(side.text)


def _matches(pattern: str, side: Side) -> bool:
    return bool(re.search(pattern, side.text, re.MULTILINE))


def features_of(pairs: list[Pair]) -> dict[str, Feature]:
    """Features that these answers have: frequent lines, a common end, a list, a question; triage parts if any.

    None needs a rubric: a number is present here, not right.
    """
    found: dict[str, Feature] = {
        "has a list": partial(_matches, r"^\s*([-*•]|\d+[.)])\s"),
        "asks a question": partial(_matches, r"\?"),
    }
    least, frequent = max(FEWEST, SHARE * len(pairs)), Counter[str]()
    for texts in ([pair.chosen for pair in pairs], [pair.rejected for pair in pairs]):
        counts = Counter(line for text in texts for line in set(_lines(text)))
        frequent |= Counter({line: times for line, times in counts.items() if times >= least})
    ends = Counter(
        line for pair in pairs for text in (pair.chosen, pair.rejected) for line in _lines(text)[-1:]
    )
    for line, times in ends.most_common(1):
        if times >= least:
            found[f"ends with “{line[:60]}”"] = partial(_ends, line)
    for line, _ in frequent.most_common(MOST_LINES):
        found[f"has the line “{line[:60]}”"] = partial(_holds, line)
    if any(Side(None, text).reading.level for pair in pairs[:100] for text in (pair.chosen, pair.rejected)):
        found |= {name: FEATURES[name] for name in ("readable level", "ROJO given")}
        found |= {part: partial(_part, part) for part in PARTS}
    return found


def _part(part: str, side: Side) -> bool:
    return side.reading.has(part)


def _as_read(item: Item, lengths: Any) -> Pair:
    """The pair as a trainer reads it: sides cut at the most tokens of a row."""

    def cut(side: str) -> str:
        if not lengths or not lengths.too_long([item._replace(answer=side, rejected="")]):
            return side
        asked = lengths.of([f"{item.system}\n{item.text}"])[0] + round(lengths.frame[0] * item.turns)
        ids = lengths.tokenizer(side, add_special_tokens=False)["input_ids"]
        return lengths.tokenizer.decode(ids[: max(0, lengths.limit - asked)])

    return Pair(None, cut(item.answer), cut(item.rejected))


def pushes(report: Report, every: list[Item], lengths: Any, reasons: dict[int, list[str]]) -> None:
    """Add to the report what the pairs push, and to each row what only one of its sides has."""
    pairs = [_as_read(item, lengths) for item in every]
    for row, pair in enumerate(pairs):
        if pair.fault:
            reasons.setdefault(row, []).insert(0, f"nothing to learn: {pair.fault}")
    faults = sum(pair.fault is not None for pair in pairs)
    report.measures["faults"] = faults / len(pairs)
    if faults == len(pairs):
        report.findings.append(Finding("What DPO will push", "Nothing: in no pair do two answers differ."))
        return
    asked = features_of(pairs)
    found = preferences(pairs, asked)
    report.more = [_differences(pair, asked) for pair in pairs]
    report.measures["length_push"] = abs(found["words"].difference.value) / max(1.0, found["words"].rejected)
    says = f"{found} Each feature is tested on its own at 5 %: of twenty that nothing pushes, one will seem pushed."
    table: list[tuple[Any, ...]] = [
        ("feature", "in chosen", "in rejected", "only chosen / only rejected", "push")
    ]
    for one in found.features:
        counts = f"{one.only_chosen:,} / {one.only_rejected:,}"
        table.append(
            (one.name, f"{one.chosen.value:.1%}", f"{one.rejected.value:.1%}", counts, one.direction)
        )
    table += [
        (one.name, f"{one.chosen:,.0f}", f"{one.rejected:,.0f}", "", one.direction) for one in found.lengths
    ]
    report.findings.append(Finding("What DPO will push", says, table))


def _differences(pair: Pair, asked: dict[str, Callable[[Side], bool]]) -> dict[str, Any]:
    one, other = Side(None, pair.chosen), Side(None, pair.rejected)
    has = {name: (bool(feature(one)), bool(feature(other))) for name, feature in asked.items()}
    return {
        "words chosen − rejected": len(pair.chosen.split()) - len(pair.rejected.split()),
        "only chosen": [name for name, (a, b) in has.items() if a and not b],
        "only rejected": [name for name, (a, b) in has.items() if b and not a],
    }
