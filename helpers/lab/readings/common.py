"""Sentences computed from results. Each one changes its wording when the effect is absent from this run.

A reading is Markdown that was never typed: its numbers come from arguments, so it cannot outlive the run that produced them. The tests
call every function with results that show the effect and with results that do not.
"""

from __future__ import annotations

from collections.abc import Mapping

from IPython.display import Markdown

from helpers.evaluate import Effect, Rate
from helpers.evaluate.gates import Report


def reading(text: str) -> Markdown:
    """A computed sentence, marked as such."""
    return Markdown(f"> **Reading (computed from this run).** {text}")


def prediction_text(guess: float, measured: Rate) -> str:
    """The reader's prediction beside the measurement."""
    gap = guess - measured.value
    if abs(gap) < 0.05:
        return f"You predicted {guess:.0%}; measured {measured}. Well seen."
    return f"You predicted {guess:.0%}; measured {measured}: {abs(gap):.0%} {'lower' if gap > 0 else 'higher'} than you thought."


def points(value: float) -> str:
    """A difference of fractions in percentage points, with its sign."""
    return f"{value * 100:+.0f}"


def span(effect: Effect) -> str:
    """An effect with its interval, in points."""
    return f"{points(effect.estimate)} points [{points(effect.low)} to {points(effect.high)}]"


def gates_text(reports: Mapping[str, Report]) -> str:
    """Which models the gates would let through."""
    accepted = [name for name, report in reports.items() if report.passed]
    lines = [
        f"{name} passes {sum(verdict == 'passes' for _, _, verdict in report.rows)} of {len(report.rows)}"
        for name, report in reports.items()
    ]
    verdict = f"accepted: {', '.join(accepted)}" if accepted else "**none would be released**"
    return f"{'; '.join(lines)}. By the rule written down before training, {verdict}."
