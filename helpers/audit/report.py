"""The audit on paper: what is printed, report.html, rows.jsonl, and the thresholds of data/audit.yaml."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from jinja2 import Environment

from helpers.audit.reading import Unreadable
from helpers.files import DATA, Row, arriving, check_entry, read_yaml, write_atomic

MOST_ROWS = 200  # in report.html; rows.jsonl holds every row


@dataclass
class Finding:
    """What one check found: a sentence or two, and rows of a table (the first one its head)."""

    title: str
    says: str
    table: list[tuple[Any, ...]] = field(default_factory=list)


@dataclass
class Report:
    """What the audit found. `measures` are shares of the rows, unless data/audit.yaml says otherwise."""

    source: str
    count: int
    findings: list[Finding]
    measures: dict[str, float]
    advice: dict[int, tuple[str, list[str]]]  # of rows that are not simply kept: drop or look, and why
    heads: list[str]
    labels: list[str]
    more: list[dict[str, Any]] = field(default_factory=list)  # what else is said of each row (pairs)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each row's number, beginning, label and advice: `keep`, `drop` or `look`, with the reasons."""
        for row, head in enumerate(self.heads):
            advice, reasons = self.advice.get(row, ("keep", []))
            label = {"label": self.labels[row]} if self.labels else {}
            more = self.more[row] if self.more else {}
            yield {"row": row + 1, "advice": advice, "reasons": reasons, **label, **more, "text": head}


class Threshold(Row):
    """How much of something a data set may hold: `at_most`, or `at_least`, and the reason."""

    says: str
    at_most: float | None = None
    at_least: float | None = None
    why: str

    def holds(self, value: float) -> bool:
        """Is the value within the bounds?"""
        above = self.at_least is None or value >= self.at_least
        return above and (self.at_most is None or value <= self.at_most)


def thresholds(path: Path = DATA / "audit.yaml") -> dict[str, Threshold]:
    """The bounds of a file, by the measure that each is about. Raises LabError: it is malformed."""
    entries = read_yaml(path)
    if not isinstance(entries, dict):
        raise Unreadable(f"{path} holds no thresholds. Write it like {DATA / 'audit.yaml'}.")
    return {str(name): check_entry(Threshold, entry, path, str(name)) for name, entry in entries.items()}


def judged(report: Report, bounds: dict[str, Threshold]) -> list[tuple[str, bool, str]]:
    """(what is asked, does it hold, the value found) of each bound whose measure could be taken."""
    known = [(bound, report.measures[name]) for name, bound in bounds.items() if name in report.measures]
    return [(bound.says, bound.holds(value), f"{value:.3g}") for bound, value in known]


def printed(report: Report, verdicts: list[tuple[str, bool, str]]) -> str:
    """The report in plain words."""
    lines = [f"{report.source}: {report.count:,} rows"]
    lines += [f"{finding.title}: {finding.says}" for finding in report.findings]
    lines += [f"{'✓' if held else '✗'} {says} (found: {value})" for says, held, value in verdicts]
    return "\n".join(lines)


def write(report: Report, verdicts: list[tuple[str, bool, str]], folder: Path) -> None:
    """Write rows.jsonl and report.html, each whole or not at all. Raises LabError: it cannot be written."""
    with arriving(folder / "rows.jsonl") as path, path.open("w", encoding="utf-8") as stream:
        for row in report.rows():
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    rows = list(islice((row for row in report.rows() if row["advice"] != "keep"), MOST_ROWS))
    page = Environment(autoescape=True, trim_blocks=True).from_string(PAGE)
    write_atomic(folder / "report.html", page.render(report=report, verdicts=verdicts, rows=rows))


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Audit of {{ report.source }}</title>
<style>
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
div { overflow-x: auto } table { border-collapse: collapse; font-size: .9rem } h2 { margin-bottom: .2rem }
th, td { border-bottom: 1px solid #8886; padding: .3rem .6rem; text-align: left; overflow-wrap: anywhere }
</style>
<h1>Audit of {{ report.source }}</h1>
<p>{{ "{:,}".format(report.count) }} rows, counted from 1. rows.jsonl beside this page advises on each.</p>
<ul>
{% for says, held, value in verdicts %}<li>{{ "✓" if held else "✗" }} {{ says }} (found: {{ value }})</li>
{% endfor %}
</ul>
{% for finding in report.findings %}
<h2>{{ finding.title }}</h2>
<p>{{ finding.says }}</p>
{% if finding.table %}<div><table>
<tr>{% for cell in finding.table[0] %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for line in finding.table[1:] %}<tr>{% for cell in line %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>{% endif %}
{% endfor %}
<h2>Rows to drop or to look at</h2>
<p>The first {{ rows | length }}.</p>
<div><table>
<tr><th>row</th><th>advice</th><th>why</th><th>text</th></tr>
{% for row in rows %}
<tr><td>{{ row.row }}</td><td>{{ row.advice }}</td><td>{{ row.reasons | join("; ") }}</td><td>{{ row.text }}</td></tr>
{% endfor %}
</table></div>
</html>
"""
