"""Figures and widgets. One message each, the level colours with their names, intervals drawn, and the stamp of the run.

Every figure goes through `present`, which adds the stamp and a caption (the alt text for readers who cannot see it).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from IPython.display import HTML, Markdown, display
from matplotlib.figure import Figure

from helpers.cases import Example
from helpers.evaluate import Rate, Scores, confusion
from helpers.evaluate.generation import TokenLoss
from helpers.evaluate.scoring import UNREADABLE
from helpers.lab import session
from helpers.triage import LEVELS, SCALE

GREY = "#616161"
HATCHES = dict(zip(LEVELS, ("", "//", "..", "\\\\", "xx"), strict=True))  # colour never alone
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
    """A person's words, their English gloss, and the model's answer, the level line in the level's colour and word."""
    import html

    from helpers.triage import parse

    level = parse(answer).level
    color = color_of(level or UNREADABLE)
    head = f"<b>{html.escape(text)}</b>" if text else ""
    note = f'<div style="color:{GREY};font-size:90%">{html.escape(gloss)}</div>' if gloss else ""
    lines = "<br>".join(html.escape(line) for line in answer.splitlines())
    return HTML(
        f'<div style="border-left:6px solid {color};padding:4px 12px;margin:6px 0">{head}{note}<div style="margin-top:6px">{lines}</div></div>'
    )


def levels_table() -> Markdown:
    """The five levels of our rubric."""
    return table(
        [
            {
                "level": level,
                "name": f"{s.name} ({s.gloss})",
                "wait in a hospital": f"{s.wait_minutes} min",
                "means": s.means,
                "at home": (s.call_first or s.action).format(call="al 911", place="a urgencias"),
            }
            for level, s in SCALE.items()
        ]
    )


def _level_bars(
    axes: Any, values: Sequence[float], levels: Sequence[str], errors: np.ndarray | None = None
) -> None:
    bars = axes.bar(
        range(len(levels)),
        values,
        color=[color_of(level) for level in levels],
        yerr=errors,
        capsize=4,
        edgecolor="white",
        linewidth=1,
    )
    for bar, level in zip(bars, levels, strict=True):
        bar.set_hatch(HATCHES.get(level, ""))
    axes.set_xticks(range(len(levels)), levels, fontsize=9)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def label_shares(shares: Mapping[str, float], expected: Mapping[str, float], n: int) -> None:
    """Bar chart of label shares with the blog's distribution as ticks."""
    figure, axes = plt.subplots(figsize=(6.5, 3.2))
    _level_bars(axes, [shares[level] for level in LEVELS], LEVELS)
    axes.scatter(
        range(len(LEVELS)),
        [expected[level] for level in LEVELS],
        marker="_",
        s=900,
        color="black",
        label="the blog",
        zorder=3,
    )
    axes.axhline(1 / len(LEVELS), color=GREY, linestyle=":", label="balanced")
    axes.set_title("Which labels the generator gave")
    axes.set_ylabel("share of examples")
    axes.legend()
    listed = ", ".join(f"{level} {shares[level]:.0%}" for level in LEVELS)
    present(
        figure,
        f"share of the generated examples with each label ({listed}), with the blog's shares as black marks.",
        n=n,
    )


def unique_growth(counts: Sequence[tuple[int, int]], diverse: Sequence[tuple[int, int]]) -> None:
    """Unique prompts against prompts written, for the template writer and the diverse one."""
    figure, axes = plt.subplots(figsize=(6.5, 3.4))
    for points, name, style in ((diverse, "diverse writer", "-"), (counts, "template writer", "--")):
        axes.plot(*zip(*points, strict=True), style, linewidth=2.5, label=name)
    axes.set(xlabel="prompts written", ylabel="unique prompts")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_title("How much is new")
    axes.legend()
    written, unique = counts[-1]
    present(
        figure,
        f"unique prompts as more are written; the template writer has {unique:,} of {written:,}, the diverse one {diverse[-1][1]:,}.",
        n=written,
    )


def conflict_bars(ceiling: float, shuffled: float, majority: float, clean: float, n: int) -> None:
    """The one check as a picture: best reachable accuracy, real labels against shuffled ones."""
    figure, axes = plt.subplots(figsize=(6.5, 2.8))
    names = [
        "diverse set: best possible",
        "template set: best possible",
        "… with labels shuffled",
        "always the commonest label",
    ]
    values = [clean, ceiling, shuffled, majority]
    axes.barh(names[::-1], values[::-1], color=["#90a4ae", "#78909c", "#c62828", "#2e7d32"], height=0.6)
    for place, value in enumerate(values[::-1]):
        axes.text(value + 0.01, place, f"{value:.1%}", va="center")
    axes.set_xlim(0, 1.15)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_title("The best any classifier could reach")
    present(
        figure,
        f"accuracy ceilings: diverse set {clean:.0%}, template set {ceiling:.1%}, the same with shuffled labels {shuffled:.1%}, majority {majority:.1%}.",
        n=n,
    )


def running_mean(values: Sequence[float], width: int = 9) -> list[float]:
    """Mean of each value with its neighbours, the window cut at the ends."""
    half = width // 2
    windows = [values[max(0, place - half) : place + half + 1] for place in range(len(values))]
    return [sum(window) / len(window) for window in windows]


def loss_curve(
    losses: Sequence[tuple[int, float]], blog_final: float, prediction: float | None = None
) -> None:
    """Training loss on a logarithmic axis, the blog's final loss as a line."""
    figure, axes = plt.subplots(figsize=(6.5, 3.2))
    steps, values = zip(*losses, strict=True)
    axes.plot(steps, values, linewidth=1, color="#9fa8da", label="logged")
    axes.plot(steps, running_mean(values), linewidth=2.5, color="#283593", label="running mean")
    axes.axhline(blog_final, color="black", linestyle=":", label=f"the blog's final loss ({blog_final})")
    axes.set(xlabel="step", ylabel="mean loss (nats a token)", yscale="log")
    axes.set_title("Training loss")
    axes.legend()
    present(
        figure,
        f"training loss by step on a logarithmic axis, from {values[0]:.2f} to {values[-1]:.3f}.",
        n=len(values),
    )


def confusion_matrix(examples: Sequence[Example], scores: Scores, title: str) -> None:
    """Rows: what the rubric says. Columns: what the model said."""
    counts = confusion(examples, scores.given)
    used = counts if counts[:, -1].any() else counts[:, :-1]
    columns = [*LEVELS, UNREADABLE][: used.shape[1]]
    figure, axes = plt.subplots(figsize=(6, 3.8))
    sns.heatmap(
        used,
        annot=True,
        fmt="d",
        cmap="Greys",
        cbar=False,
        xticklabels=columns,
        yticklabels=LEVELS,
        ax=axes,
        linewidths=0.5,
        linecolor="white",
    )
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_color(color_of(label.get_text()))
        label.set_fontweight("bold")
        label.set_rotation(0)
        label.set_fontsize(9)
    axes.set(xlabel="the model said", ylabel="the rubric says")
    axes.set_title(title)
    said = ", ".join(
        f"{level} {int(total)}" for level, total in zip(columns, used.sum(0), strict=True) if total
    )
    present(
        figure,
        f"confusion matrix; the model's answers in all: {said}. Primary accuracy {scores.primary}.",
        n=scores.n,
    )


def rates(
    rows: Sequence[tuple[str, Rate]],
    title: str,
    *,
    prediction: float | None = None,
    caption: str = "",
    seeds: int = 1,
) -> None:
    """Named rates with their 95 % intervals; the reader's prediction as a dashed line."""
    figure, axes = plt.subplots(figsize=(6.5, 0.55 * len(rows) + 1.2))
    for place, (_, rate) in enumerate(reversed(rows)):
        axes.errorbar(
            rate.value,
            place,
            xerr=[[rate.value - rate.low], [rate.high - rate.value]],
            fmt="o",
            capsize=5,
            color="#283593",
        )
        axes.text(min(rate.high, 0.82) + 0.02, place + 0.13, f"{rate.value:.1%}", fontsize=9)
    if prediction is not None:
        axes.axvline(prediction, color="#ef6c00", linestyle="--", label="your prediction")
        axes.legend(loc="lower right")
    axes.set_yticks(range(len(rows)), [name for name, _ in reversed(rows)])
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_title(title)
    listed = "; ".join(f"{name} {rate}" for name, rate in rows)
    present(figure, f"{caption or title}: {listed}.", n=rows[0][1].n, seeds=seeds)


def token_bars(
    pieces: Sequence[TokenLoss], means: Sequence[float], prior_entropy: float, n: int, alike: int
) -> None:
    """Loss token by token along one answer, the label against the entropy of the prior.

    Args:
        pieces: the tokens of one answer.
        means: mean loss at each of its places: the label's over all `n` answers, the others' over the `alike` answers of this shape.
        prior_entropy: H(prior) in nats.
    """
    figure, axes = plt.subplots(figsize=(11, 3.4))
    colors = ["#c62828" if piece.is_label else "#90a4ae" for piece in pieces]
    axes.bar(range(len(pieces)), means, color=colors, width=0.85)
    axes.axhline(
        prior_entropy,
        color="black",
        linestyle=":",
        label=f"entropy of the label prior, {prior_entropy:.2f} nats",
    )
    axes.set_xticks(
        range(len(pieces)),
        [piece.token.replace("\n", "⏎").strip() or "␣" for piece in pieces],
        rotation=90,
        fontsize=7,
    )
    axes.set(ylabel="loss (nats)", xlim=(-1, len(pieces)))
    axes.set_title("Loss, token by token")
    axes.legend()
    label = next(mean for piece, mean in zip(pieces, means, strict=True) if piece.is_label)
    present(
        figure,
        f"mean loss at each place of an answer; the label word costs {label:.2f} nats (over {n} answers), the dotted line is the "
        f"prior's entropy; the other places are means over the {alike} answers of this shape.",
        n=n,
    )


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
        display(
            Markdown(
                f"*Prediction: {question} On this static page the slider stands at {default:.0%}; in a live notebook it is yours to move.*"
            )
        )
        return prediction
    import ipywidgets

    slider = ipywidgets.IntSlider(
        value=round(default * 100), min=0, max=100, description="%", continuous_update=False
    )
    slider.observe(lambda change: setattr(prediction, "value", change["new"] / 100), "value")
    display(ipywidgets.VBox([ipywidgets.Label(question), slider]))
    return prediction


def finding(losses: Sequence[tuple[int, float]], shares: Mapping[str, float], n: int) -> Figure:
    """The README's figure: the beautiful loss beside what the model says. Returned, not shown."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2))
    steps, values = zip(*losses, strict=True)
    left.plot(steps, running_mean(values), linewidth=2.5, color="#283593")
    left.set(xlabel="training step", ylabel="mean loss (nats a token)", yscale="log", title="Training loss")
    _level_bars(right, [shares[level] for level in LEVELS], LEVELS)
    right.axhline(1 / len(LEVELS), color=GREY, linestyle=":", label="what the patients have")
    right.set(ylim=(0, 1.05), ylabel="share of answers", title="What the model tells the patients")
    right.legend()
    figure.tight_layout()
    figure.text(0.995, -0.02, stamp_text(n), ha="right", va="top", fontsize=8, color=GREY)
    return figure
