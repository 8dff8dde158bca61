"""What DPO will push on a reader's own pairs: feature by feature, and what differs in each row."""

import re
from collections import Counter
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


def features_of(pairs: list[Pair]) -> dict[str, Feature]:
    """Features that these answers have: frequent lines, a common end, a list, a question; triage parts if any.

    None needs a rubric: a number is present here, not right.
    """
    found: dict[str, Feature] = {
        "has a list": lambda side: bool(re.search(r"^\s*([-*•]|\d+[.)])\s", side.text, re.MULTILINE)),
        "asks a question": lambda side: "?" in side.text,
    }
    sides = [pair.chosen for pair in pairs], [pair.rejected for pair in pairs]
    least, texts = max(FEWEST, SHARE * len(pairs)), [*sides[0], *sides[1]]
    for line, times in Counter(line for text in texts for line in _lines(text)[-1:]).most_common(1):
        if times >= least:
            found[f"ends with “{line[:60]}”"] = lambda side, line=line: _lines(side.text)[-1:] == [line]
    chosen, rejected = (
        Counter(line for text in side for line in dict.fromkeys(_lines(text))) for side in sides
    )
    for line, times in (chosen | rejected).most_common(MOST_LINES):  # of the side that has it more often
        if times >= least:
            found[f"has the line “{line[:60]}”"] = lambda side, line=line: line in _lines(side.text)
    if any(Side(None, text).reading.level for side in sides for text in side[:100]):
        found |= {name: FEATURES[name] for name in ("readable level", "ROJO given")}
        found |= {part: lambda side, part=part: side.reading.has(part) for part in PARTS}
    return found


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
    faults = {row: pair.fault for row, pair in enumerate(pairs) if pair.fault}
    for row, fault in faults.items():
        reasons.setdefault(row, []).insert(0, f"nothing to learn: {fault}")
    report.measures["faults"] = len(faults) / len(pairs)
    if len(faults) == len(pairs):
        report.findings.append(Finding("What DPO will push", "Nothing: in no pair do two answers differ."))
        return
    asked = features_of(pairs)
    found = preferences(pairs, asked)
    report.more = [_differences(pair, asked) for pair in pairs]
    report.measures["length_push"] = abs(found["words"].difference.value) / max(1.0, found["words"].rejected)
    says = f"{found} Each feature is tested on its own at 5 %: of twenty that nothing pushes, one will seem pushed."
    table = [("feature", "in chosen", "in rejected", "only chosen / only rejected", "push")]
    table += [(name, chosen, rejected, only, push) for name, chosen, rejected, _, only, push in found.rows()]
    report.findings.append(Finding("What DPO will push", says, table))


def _differences(pair: Pair, asked: dict[str, Feature]) -> dict[str, Any]:
    one, other = Side(None, pair.chosen), Side(None, pair.rejected)
    has = {name: (feature(one), feature(other)) for name, feature in asked.items()}
    return {
        "words chosen − rejected": len(pair.chosen.split()) - len(pair.rejected.split()),
        "only chosen": [name for name, (a, b) in has.items() if a and not b],
        "only rejected": [name for name, (a, b) in has.items() if b and not a],
    }
