"""Figures and widgets. One message each, level colours with their names, intervals, and the stamp of the run.

Every figure goes through `present`, which adds the stamp and a caption (the alt text for readers who cannot
see it).
"""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
from IPython.display import HTML, Markdown, display
from matplotlib.figure import Figure

from helpers.evaluate.gates import Report
from helpers.evaluate.scoring import UNREADABLE
from helpers.lab import session
from helpers.triage import LEVELS, SCALE, parse

GREY = "#616161"
VERDICTS = {"passes": ("✓", "#e8f5e9"), "not shown": ("?", "#fff8e1"), "fails": ("✗", "#ffebee")}
HATCHES = ("", "//", "..", "\\\\", "xx")  # of the levels: colour never alone
sns.set_theme(
    style="whitegrid",
    context="notebook",
    rc={"figure.dpi": 110, "axes.titleweight": "bold", "axes.titlelocation": "left"},
)


def stamp_text(n: int | None = None, seeds: int | None = 1) -> str:
    """`nano · synthetic micro-world · n=… · seeds=…`"""
    parts = [session().stamp]
    if n is not None:
        parts.append(f"n={n:,}")
    if seeds is not None:
        parts.append(f"seeds={seeds}")
    return " · ".join(parts)


def present(figure: Figure, caption: str, *, n: int | None = None, seeds: int | None = 1) -> None:
    """Stamp the figure, show it with its caption, and close it."""
    figure.tight_layout()
    figure.text(0.995, -0.02, stamp_text(n, seeds), ha="right", va="top", fontsize=8, color=GREY)
    display(figure)
    plt.close(figure)
    display(Markdown(f"*Figure: {caption}*"))


def color_of(level: str) -> str:
    """A level's colour; grey for an unreadable answer."""
    return SCALE[level].color if level in SCALE else GREY


def table(rows: Sequence[Mapping[str, Any]]) -> Markdown:
    """Rows as a Markdown table; a `Rate` shows its n and interval."""
    if not rows:
        return Markdown("*(nothing to show)*")
    heads = list(rows[0])
    cell = lambda value: str(value).replace("|", "\\|").replace("\n", "<br>")  # noqa: E731
    lines = ["| " + " | ".join(heads) + " |", "| " + " | ".join("---" for _ in heads) + " |"]
    lines += ["| " + " | ".join(cell(row[head]) for head in heads) + " |" for row in rows]
    return Markdown("\n".join(lines))


def answer_card(text: str, answer: str, gloss: str = "") -> HTML:
    """A person's words, their English gloss, and the model's answer beside a bar in its level's colour."""
    color = color_of(parse(answer).level or UNREADABLE)
    head = f"<b>{html.escape(text)}</b>" if text else ""
    note = f'<div style="color:{GREY};font-size:90%">{html.escape(gloss)}</div>' if gloss else ""
    lines = "<br>".join(html.escape(line) for line in answer.splitlines())
    style = f"border-left:6px solid {color};padding:4px 12px;margin:6px 0"
    return HTML(f'<div style="{style}">{head}{note}<div style="margin-top:6px">{lines}</div></div>')


def running_mean(values: Sequence[float]) -> list[float]:
    """Mean of each value with four neighbours on either side; fewer at the ends."""
    windows = [values[max(0, place - 4) : place + 5] for place in range(len(values))]
    return [sum(window) / len(window) for window in windows]


@dataclass
class Prediction:
    """What the reader expects, kept for the cell that shows the truth."""

    question: str
    value: float


def static() -> bool:
    """Is this notebook being run for the page rather than by a person? (`python -m helpers run` sets it.)"""
    return os.environ.get("TRIAGE_STATIC") == "1"


def predict(question: str, default: float = 0.5) -> Prediction:
    """Ask the reader for a percentage with a slider; on a static page, say what was assumed."""
    prediction = Prediction(question, default)
    if static():
        text = "On this static page the slider stands at {:.0%}; in a live notebook it is yours to move."
        display(Markdown(f"*Prediction: {question} {text.format(default)}*"))
        return prediction
    display(Markdown(f"*{question} Move the slider, or write the share into `.value` in a new cell.*"))
    try:
        import ipywidgets

        slider = ipywidgets.IntSlider(
            value=round(default * 100), min=0, max=100, description="%", continuous_update=False
        )
        slider.observe(lambda change: setattr(prediction, "value", change["new"] / 100), "value")
        display(slider)
    except (
        Exception
    ) as error:  # widgets break in many ways (version, page, extension); no answer hangs on one
        print(f"No slider here ({type(error).__name__}).")
    return prediction


def finding(losses: Sequence[tuple[int, float]], shares: Mapping[str, float], n: int) -> Figure:
    """The README's figure: the beautiful loss beside what the model says. Returned, not shown."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2))
    steps, values = zip(*losses, strict=True)
    left.plot(steps, running_mean(values), linewidth=2.5, color="#283593")
    left.set(xlabel="training step", ylabel="mean loss (nats a token)", yscale="log", title="Training loss")
    right.bar(
        LEVELS,
        [shares[level] for level in LEVELS],
        color=[color_of(level) for level in LEVELS],
        hatch=HATCHES,
    )
    right.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    right.axhline(1 / len(LEVELS), color=GREY, linestyle=":", label="what the patients have")
    right.set(ylim=(0, 1.05), ylabel="share of answers", title="What the model tells the patients")
    right.legend()
    figure.tight_layout()
    figure.text(0.995, -0.02, stamp_text(n), ha="right", va="top", fontsize=8, color=GREY)
    return figure


def gates(reports: Mapping[str, Report]) -> None:
    """One column a model, one row a gate: the figure and whether it passes, is not shown, or fails."""
    names, first = list(reports), next(iter(reports.values()))
    figure, axes = plt.subplots(figsize=(3.4 + 1.6 * len(names), 0.36 * len(first.rows) + 1.1))
    for row, (gate, _, _) in enumerate(first.rows):
        for column, name in enumerate(names):
            _, rate, verdict = reports[name].rows[row]
            sign, shade = VERDICTS[verdict]
            axes.add_patch(
                plt.Rectangle((column, row), 1, 1, facecolor=shade, edgecolor="white", linewidth=2)
            )
            value = (
                "–" if not rate.n else f"{rate.value:.2f}" if gate.measure == "kappa" else f"{rate.value:.0%}"
            )
            axes.text(column + 0.5, row + 0.5, f"{sign} {value}", ha="center", va="center", fontsize=10)
    bounds = [f"{gate.id}  {gate.asks}" for gate, _, _ in first.rows]
    axes.set_yticks([row + 0.5 for row in range(len(bounds))], bounds)
    axes.set_xticks([column + 0.5 for column in range(len(names))], names)
    axes.xaxis.tick_top()
    axes.set(xlim=(0, len(names)), ylim=(len(bounds), 0))
    axes.grid(False)
    axes.tick_params(length=0)
    listed = "; ".join(
        f"{name}: {sum(v == 'passes' for _, _, v in report.rows)} of {len(report.rows)} pass"
        for name, report in reports.items()
    )
    present(
        figure,
        f"acceptance gates, judged on the interval (✓ passes, ? not shown, ✗ fails): {listed}.",
        n=first.n,
    )
