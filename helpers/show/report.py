"""Figures of notebook 14: the ledger as a table and its verdicts as bars."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import matplotlib.pyplot as plt
from IPython.display import Markdown

from helpers.lab import Entry, tally
from helpers.lab.claims import DIRECTION, DISAGREES, NOT_REPRODUCED, NOT_RUN, NOT_TESTABLE, REPRODUCED
from helpers.show.figures import present, table

# sign, colour and hatch of a verdict: never told by colour alone
LOOK = {
    REPRODUCED: ("✓", "#2e7d32", ""),
    DIRECTION: ("↗", "#9ccc65", "//"),
    NOT_REPRODUCED: ("✗", "#c62828", "xx"),
    DISAGREES: ("≠", "#6a1b9a", "\\\\"),
    NOT_RUN: ("…", "#ffb300", ".."),
    NOT_TESTABLE: ("–", "#b0bec5", "--"),
}
BUILT_IN = "◦"


def verdict_bars(lines: Sequence[Entry]) -> None:
    """How many claims got each verdict; the part that was built into the reconstruction is drawn paler."""
    counts = {name: count for name, count in tally(lines).items() if count or name != NOT_RUN}
    figure, axes = plt.subplots(figsize=(8.5, 0.9 + 0.48 * len(counts)))
    listed = []
    for row, (name, count) in enumerate(counts.items()):
        _, color, hatch = LOOK[name]
        built = sum(line.verdict == name and line.claim.built_in is not None for line in lines)
        axes.barh(row, count - built, color=color, hatch=hatch, edgecolor="white", height=0.62)
        axes.barh(
            row,
            built,
            left=count - built,
            color=color,
            alpha=0.35,
            hatch=hatch,
            edgecolor="white",
            height=0.62,
        )
        note = f" ({built} {BUILT_IN} built in)" if built else ""
        axes.text(count + 0.5, row, f"{count}{note}", va="center", fontsize=11)
        listed.append(f"{name} {count}{f', {built} of them built in' if built else ''}")
    axes.set_yticks(range(len(counts)), [f"{name}  {LOOK[name][0]}" for name in counts])
    axes.set(xlim=(0, 1.22 * max(counts.values(), default=1) + 1), xlabel="numbers of the blog")
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_title("The blog's numbers, and what became of them")
    present(
        figure, f"verdicts on the blog's {len(lines)} numbers: {'; '.join(listed)}.", n=len(lines), seeds=None
    )


def ledger_table(lines: Sequence[Entry], verdicts: Collection[str]) -> Markdown:
    """The claims with these verdicts, grouped by verdict in that order: what the blog says, where, and what was measured."""
    rows = [
        {
            "verdict": f"{LOOK[name][0]} {name}",
            "the blog says": f"{line.claim.says}{f' {BUILT_IN}' if line.claim.built_in else ''}",
            "number": line.claim.stated,
            "where": line.claim.where,
            "measured": line.measured or line.because,
            "by": _source(line),
        }
        for name in verdicts
        for line in lines
        if line.verdict == name
    ]
    return table(rows)


def document(text: str) -> Markdown:
    """A Markdown document inside a notebook: its headings lowered by two, so that the notebook's own outline stays whole."""
    return Markdown(re.sub(r"^#", "###", text, flags=re.MULTILINE))


def why_not_tested(lines: Sequence[Entry]) -> Markdown:
    """The claims that nothing here can test, with the reason, one line for each reason."""
    reasons: dict[str, list[str]] = {}
    for line in lines:
        if line.verdict == NOT_TESTABLE:
            reasons.setdefault(line.because, []).append(f"{line.claim.says} ({line.claim.where})")
    return table(
        [
            {"why not": reason, "the blog says": "<br>".join(said), "claims": len(said)}
            for reason, said in reasons.items()
        ]
    )


def _source(line: Entry) -> str:
    if line.found is None:
        return "arithmetic" if line.claim.follows and not line.claim.test else ""
    return f"notebook {(line.found.get('notebook') or '')[:2]}, {'this machine' if line.own else 'shipped'}"


__all__ = ["LOOK", "document", "ledger_table", "verdict_bars", "why_not_tested"]
