"""Figures and widgets. One message each, level colours with their names, intervals, and the stamp of the run.

Every figure goes through `present`, which adds the stamp and a caption (the alt text for readers who cannot
see it).
"""

import html
import os
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
from IPython.display import HTML, Markdown, display
from matplotlib.figure import Figure
from scipy.ndimage import uniform_filter1d

from helpers.evaluate.gates import Judged, Report
from helpers.lab import session
from helpers.triage import LEVELS, SCALE, parse

GREY = "#616161"
VERDICTS = {"fails": ("✗", "#ffebee"), "not shown": ("?", "#fff8e1"), "passes": ("✓", "#e8f5e9")}
HATCHES = ("", "//", "..", "\\\\", "xx")  # of the levels: colour never alone
sns.set_theme(
    style="whitegrid",
    context="notebook",
    rc={"figure.dpi": 110, "axes.titleweight": "bold", "axes.titlelocation": "left"},
)


def _stamp(figure: Figure, n: int | None, seeds: int | None) -> None:
    """`nano · synthetic micro-world · n=… · seeds=…` under a figure."""
    counts = [] if n is None else [f"n={n:,}"]
    counts += [] if seeds is None else [f"seeds={seeds}"]
    text = " · ".join([session().profile.stamp, *counts])
    figure.tight_layout()
    figure.text(0.995, -0.02, text, ha="right", va="top", fontsize=8, color=GREY)


def present(figure: Figure, caption: str, *, n: int | None = None, seeds: int | None = 1) -> None:
    """Stamp the figure, show it with its caption and its origin, and close it."""
    _stamp(figure, n, seeds)
    display(figure)
    plt.close(figure)
    origin = f"  \n<small>{session().origin(seeds)}</small>" if session().notebook else ""
    display(Markdown(f"*Figure: {caption}*{origin}"))


def color_of(level: str | None) -> str:
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


def answer_card(text: str, answer: str, gloss: str) -> HTML:
    """A person's words, their English gloss, and the model's answer beside a bar in its level's colour."""
    head = f"<b>{html.escape(text)}</b>"
    note = f'<div style="color:{GREY};font-size:90%">{html.escape(gloss)}</div>'
    lines = "<br>".join(html.escape(line) for line in answer.splitlines())
    style = f"border-left:6px solid {color_of(parse(answer).level)};padding:4px 12px;margin:6px 0"
    return HTML(f'<div style="{style}">{head}{note}<div style="margin-top:6px">{lines}</div></div>')


def static() -> bool:
    """Is this notebook being run for the page rather than by a person? (`python -m helpers run` sets it.)"""
    return os.environ.get("TRIAGE_STATIC") == "1"


def predict(question: str, default: float = 0.5) -> SimpleNamespace:
    """Ask the reader for a percentage with a slider; on a static page, say what was assumed.

    What comes back keeps the answer as `.value`, for the cell that shows the truth.
    """
    prediction = SimpleNamespace(value=default)
    if static():
        text = "On this static page the slider stands at {:.0%}; in a live notebook it is yours to move."
        display(Markdown(f"*Prediction: {question} {text.format(default)}*"))
        return prediction
    display(Markdown(f"*{question} Move the slider, or write the share into `.value` in a new cell.*"))

    def slider(widgets: Any) -> Any:
        start = round(default * 100)
        one = widgets.IntSlider(start, min=0, max=100, description="%", continuous_update=False)
        one.observe(lambda change: setattr(prediction, "value", change["new"] / 100), "value")
        return one

    _live("slider", slider)
    return prediction


def patient_box(belief: Callable[[str], Mapping[str, float]], text: str) -> None:
    """A box to type a patient into, and the model's share of each level under it, anew for every text.

    Args:
        belief: the five shares for a text. text: stands in the box at first; a static page shows it alone.
    """
    if static():
        note = "<p><i>In a live notebook this text stands in a box that you can type into.</i></p>"
        display(HTML(f"<p><b>{html.escape(text)}</b></p>{_shares(belief(text))}{note}"))
        return

    def box(widgets: Any) -> Any:
        shown = widgets.HTML(_shares(belief(text)))
        typed = widgets.Textarea(text, continuous_update=False, layout={"width": "95%"})
        typed.observe(lambda change: setattr(shown, "value", _shares(belief(change["new"]))), "value")
        return widgets.VBox([typed, shown])

    _live("box", box)


def _live(name: str, make: Callable[[Any], Any]) -> None:
    """Show a widget, or say that there is none: they break in many ways, and no answer hangs on one."""
    try:
        import ipywidgets

        display(make(ipywidgets))
    except Exception as error:
        print(f"No {name} here ({type(error).__name__}).")


def _shares(belief: Mapping[str, float]) -> str:
    """Levels with their shares as bars, in HTML."""
    line = '<div style="white-space:nowrap"><span style="display:inline-block;width:7em">{}</span>{} {:.0%}</div>'
    block = '<span style="display:inline-block;height:0.8em;width:{:.1f}em;background:{}"></span>'
    return "".join(
        line.format(level, block.format(18 * share, color_of(level)), share)
        for level, share in belief.items()
    )


def finding(losses: Sequence[tuple[int, float]], shares: Mapping[str, float], n: int) -> Figure:
    """The README's figure: the beautiful loss beside what the model says. Returned, not shown."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2))
    steps, values = zip(*losses, strict=True)
    smooth = uniform_filter1d(values, size=9, mode="nearest")  # nine values at a time
    left.plot(steps, smooth, linewidth=2.5, color="#283593")
    left.set(xlabel="training step", ylabel="mean loss (nats a token)", yscale="log", title="Training loss")
    heights, colors = [shares[level] for level in LEVELS], [color_of(level) for level in LEVELS]
    right.bar(LEVELS, heights, color=colors, hatch=HATCHES)
    right.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    right.axhline(1 / len(LEVELS), color=GREY, linestyle=":", label="what the patients have")
    right.set(ylim=(0, 1.05), ylabel="share of answers", title="What the model tells the patients")
    right.legend()
    _stamp(figure, n, seeds=1)
    return figure


def gates(reports: Mapping[str, Report]) -> None:
    """One column a model, one row a gate: the figure and whether it passes, is not shown, or fails."""
    rows = list(zip(*(report.rows for report in reports.values()), strict=True))
    order, first = list(VERDICTS), next(iter(reports.values()))
    codes = [[order.index(one.verdict) for one in row] for row in rows]
    marks = [[f"{VERDICTS[one.verdict][0]} {_short(one)}" for one in row] for row in rows]
    figure, axes = plt.subplots(figsize=(3.4 + 1.6 * len(reports), 0.36 * len(rows) + 1.1))
    look = {"cmap": [shade for _, shade in VERDICTS.values()], "annot_kws": {"color": "black", "size": 10}}
    sns.heatmap(codes, annot=marks, fmt="", cbar=False, linewidths=2, vmin=0, vmax=2, ax=axes, **look)
    axes.set_yticks(axes.get_yticks(), [f"{row[0].gate.id}  {row[0].gate.asks}" for row in rows], rotation=0)
    axes.set_xticks(axes.get_xticks(), list(reports))
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    passed = {name: sum(row.verdict == "passes" for row in report.rows) for name, report in reports.items()}
    listed = "; ".join(f"{name}: {count} of {len(rows)} pass" for name, count in passed.items())
    caption = "acceptance gates, judged on the interval (✓ passes, ? not shown, ✗ fails)"
    present(figure, f"{caption}: {listed}.", n=first.n)


def _short(one: Judged) -> str:
    return f"{one.rate.value:{'.2f' if one.gate.measure == 'kappa' else '.0%'}}" if one.rate.n else "–"
