"""The audit on paper: what is printed, report.html, rows.jsonl, and the thresholds of data/audit.yaml."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment

from helpers.audit.reading import Unreadable
from helpers.files import DATA, Row, arriving, check_entry, read_yaml, write_atomic

MOST_ROWS = 200  # in report.html; rows.jsonl holds every row
ADVISED = ("row", "advice", "why", "text")


class Finding(NamedTuple):
    """What one check found: a sentence or two, and rows of a table (the first one its head)."""

    title: str
    says: str
    table: list[tuple[Any, ...]] | tuple[()] = ()


@dataclass
class Report:
    """What the audit found. `measures` are shares of the rows, unless data/audit.yaml says otherwise."""

    source: str
    count: int
    heads: list[str]  # the beginning of each row
    labels: list[str]  # of each row; empty if there are none
    findings: list[Finding] = field(default_factory=list)
    measures: dict[str, float] = field(default_factory=dict)
    advice: dict[int, tuple[str, list[str]]] = field(default_factory=dict)  # drop or look, and why; else keep
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
    at_most: float = float("inf")
    at_least: float = float("-inf")
    why: str


def thresholds(path: Path = DATA / "audit.yaml") -> dict[str, Threshold]:
    """The bounds of a file, by the measure that each is about. Raises LabError: it is malformed."""
    entries = read_yaml(path)
    if not isinstance(entries, dict):
        raise Unreadable(f"{path} holds no thresholds. Write it like {DATA / 'audit.yaml'}.")
    return {str(name): check_entry(Threshold, entry, path, str(name)) for name, entry in entries.items()}


def judged(report: Report, bounds: dict[str, Threshold]) -> list[tuple[str, bool, str]]:
    """(what is asked, does it hold, the value found) of each bound whose measure could be taken."""
    return [
        (bound.says, bound.at_least <= report.measures[name] <= bound.at_most, f"{report.measures[name]:.3g}")
        for name, bound in bounds.items()
        if name in report.measures
    ]


def printed(report: Report, verdicts: list[tuple[str, bool, str]]) -> str:
    """The report in plain words."""
    lines = [f"{report.source}: {report.count:,} rows"]
    lines += [f"{finding.title}: {finding.says}" for finding in report.findings]
    lines += [f"{'✓' if held else '✗'} {says} (found: {value})" for says, held, value in verdicts]
    return "\n".join(lines)


def write(report: Report, verdicts: list[tuple[str, bool, str]], folder: Path) -> None:
    """Write rows.jsonl and report.html, each whole or not at all. Raises LabError: it cannot be written."""
    with arriving(folder / "rows.jsonl") as path, path.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in report.rows())
    rows = list(islice((row for row in report.rows() if row["advice"] != "keep"), MOST_ROWS))
    table = [(row["row"], row["advice"], "; ".join(row["reasons"]), row["text"]) for row in rows]
    advised = Finding("Rows to drop or to look at", f"The first {len(rows)}.", [ADVISED, *table])
    page = Environment(autoescape=True, trim_blocks=True).from_string(PAGE)
    findings = [*report.findings, advised]
    write_atomic(folder / "report.html", page.render(report=report, findings=findings, verdicts=verdicts))


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
{% for finding in findings %}
<h2>{{ finding.title }}</h2>
<p>{{ finding.says }}</p>
{% if finding.table %}<div><table>
<tr>{% for cell in finding.table[0] %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for line in finding.table[1:] %}<tr>{% for cell in line %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>{% endif %}
{% endfor %}
</html>
"""
