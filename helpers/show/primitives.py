"""Five figures for the whole series: bars, forest, dots, lines, heat map, each with intervals and stamp.

Another picture is drawn in a cell and ended with `present`. `source` opens a helper in the page.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from IPython.display import Code

from helpers.evaluate import Effect, Rate, over_seeds
from helpers.show.figures import GREY, color_of, present
from helpers.triage import LEVELS

BLUE, ORANGE = "#283593", "#ef6c00"
LINES = (BLUE, ORANGE, "#2e7d32", "#6a1b9a", GREY)
STYLES = ("-", "--", "-.", ":")
FEW = 8  # x values that can all be written under an axis


def _percent(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _plain(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _guides(line: Callable[..., Any], baseline: Mapping[str, float] | None, form: str) -> None:
    """Every baseline as a named dotted line."""
    for place, (name, value) in enumerate((baseline or {}).items()):
        line(value, color=GREY, linestyle=(":", "--")[place % 2], label=f"{name} ({value:{form}})")
    if baseline:
        plt.legend(loc="best", fontsize=8)


def bars(
    values: Mapping[str, Rate | float],
    title: str,
    *,
    caption: str = "",
    baseline: Mapping[str, float] | None = None,
    n: int | None = None,
    seeds: int | None = 1,
) -> None:
    """Shares as horizontal bars with their 95 % intervals; a level's bar has the level's colour.

    Args:
        values: by name, from the top down. baseline: lines to beat, as `{"always ROJO": 0.36}`.
        n: items that each share is of (default: the first rate's). seeds: how many runs the figure stands on.
    """
    figure, axes = plt.subplots(figsize=(7, 0.5 * len(values) + 1.3))
    rates = {name: one if isinstance(one, Rate) else Rate(one, 0, one, one) for name, one in values.items()}
    for place, (name, rate) in enumerate(reversed(rates.items())):
        axes.barh(place, rate.value, color=color_of(name) if name in LEVELS else "#9fa8da", height=0.6)
        axes.plot([rate.low, rate.high], [place, place], color="black", linewidth=1.5)
        axes.text(max(rate.high, rate.value) + 0.015, place, f"{rate.value:.0%}", va="center", fontsize=9)
    axes.set_yticks(range(len(values)), list(reversed(values)))
    highest = max(rate.high for rate in rates.values())
    axes.set(xlim=(0, max(1.0, 1.1 * highest)), title=title)
    _percent(axes.xaxis)
    _guides(axes.axvline, baseline, ".0%")
    shown = {name: one if isinstance(one, Rate) else f"{one:.1%}" for name, one in values.items()}
    listed = "; ".join(f"{name} {one}" for name, one in shown.items())
    n = n or next(iter(rates.values())).n or None  # a plain share has none
    present(figure, f"{caption or title}: {listed}.", n=n, seeds=seeds)


def forest(
    differences: Mapping[str, Rate | Effect | Sequence[Rate | Effect]],
    title: str,
    *,
    caption: str = "",
    n: int | None = None,
    seeds: int | None = None,
    better: str = "",
) -> None:
    """Differences in points with their intervals, one a row; at 0 there is none, right of it is more.

    Args:
        differences: by name, from the top down; several of one name (a run each) stand close together.
        better: what lies to the right, as "more accurate", written under the axis.
    """
    figure, axes = plt.subplots(figsize=(7, 0.5 * len(differences) + 1.3))
    told = []
    for place, (name, several) in enumerate(reversed(differences.items())):
        runs = [several] if isinstance(several, Rate | Effect) else list(several)
        for number, one in enumerate(runs):
            value = one.estimate if isinstance(one, Effect) else one.value
            reach = [[100 * (value - one.low)], [100 * (one.high - value)]]
            color = BLUE if one.low > 0 or one.high < 0 else GREY
            height = place + 0.22 * ((len(runs) - 1) / 2 - number)
            axes.errorbar(100 * value, height, xerr=reach, fmt="o", capsize=4, color=color)
            told.append(f"{name} {100 * value:+.1f} points [{100 * one.low:+.1f}, {100 * one.high:+.1f}]")
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(differences)), list(reversed(differences)))
    unit = "points" + (f" (right: {better})" if better else "")
    axes.set(xlabel=unit, title=title, ylim=(-0.6, len(differences) - 0.4))
    listed = "; ".join(reversed(told))
    present(figure, f"{caption or title}: {listed}. Grey: the interval holds 0.", n=n, seeds=seeds)


def dots(
    groups: Mapping[str, Sequence[float]],
    title: str,
    *,
    caption: str = "",
    baseline: Mapping[str, float] | None = None,
    n: int | None = None,
    seeds: int | None = None,
) -> None:
    """Every run a dot, the mean of each group a bar across, with its t-interval over seeds if runs differ.

    Args:
        groups: the value of every seed, by recipe. n: items of each run. seeds: default the largest group.
    """
    figure, axes = plt.subplots(figsize=(7, 0.55 * len(groups) + 1.3))
    told = []
    for place, (name, values) in enumerate(reversed(groups.items())):
        axes.scatter(values, [place] * len(values), color=BLUE, s=30, zorder=3, alpha=0.8)
        mean = float(np.mean(values))
        axes.plot([mean, mean], [place - 0.25, place + 0.25], color=ORANGE, linewidth=2.5)
        if len(values) > 1 and max(values) > min(values):
            rate = over_seeds(values)
            axes.plot([rate.low, rate.high], [place - 0.3] * 2, color=ORANGE, linewidth=1)
        told.append(f"{name} {', '.join(f'{value:.0%}' for value in values)}")
    axes.set_yticks(range(len(groups)), list(reversed(groups)))
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.6, len(groups) - 0.4), title=title)
    _percent(axes.xaxis)
    _guides(axes.axvline, baseline, ".0%")
    note = "A dot is a run; the thick mark is the mean, the thin line its 95 % interval over seeds."
    runs, listed = seeds or max(map(len, groups.values())), "; ".join(reversed(told))
    present(figure, f"{caption or title}: {listed}. {note}", n=n, seeds=runs)


def lines(
    curves: Mapping[str, Sequence[tuple[float, float]] | Mapping[float, Sequence[float]]],
    title: str,
    *,
    x: str,
    y: str,
    caption: str = "",
    log: str = "",
    baseline: Mapping[str, float] | None = None,
    percent: bool = False,
    n: int | None = None,
    seeds: int | None = 1,
) -> None:
    """Curves; where a point holds several runs, every run is a dot and the line goes through their means.

    Where the curves have few x values, each of them is a tick.

    Args:
        curves: (x, y) points by name, or the values of every seed by x.
        x, y: the axes, with the unit. log: "x", "y" or "xy", the logarithmic ones. percent: y is a share.
    """
    figure, axes = plt.subplots(figsize=(7, 3.4))
    told, places = [], set()
    for (name, points), color, style in zip(curves.items(), cycle(LINES), cycle(STYLES), strict=False):
        if isinstance(points, Mapping):
            for at, values in points.items():
                axes.scatter([at] * len(values), values, color=color, s=22, alpha=0.7, zorder=3)
            points = [(at, float(np.mean(values))) for at, values in points.items()]
        places |= {at for at, _ in points}
        axes.plot(*zip(*points, strict=True), style, color=color, linewidth=2.2, label=name)
        told.append(f"{name} from {_plain(points[0][1])} to {_plain(points[-1][1])}")
    axes.set(xlabel=x, ylabel=y, title=title)
    axes.set_xscale("log" if "x" in log else "linear")
    axes.set_yscale("log" if "y" in log else "linear")
    if len(places) <= FEW:
        axes.set_xticks(sorted(places), [_plain(at) for at in sorted(places)])
        axes.set_xticks([], minor=True)
    if percent:
        _percent(axes.yaxis)
    _guides(axes.axhline, baseline, ".3g")
    if len(curves) > 1:
        axes.legend(fontsize=8)
    present(figure, f"{caption or title}: {'; '.join(told)}.", n=n, seeds=seeds)


def heatmap(
    matrix: Any,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    *,
    caption: str = "",
    form: str = "g",
    x: str = "",
    y: str = "",
    n: int | None = None,
    seeds: int | None = 1,
) -> None:
    """Numbers in a grid, darker for more; names of levels have their colours.

    Args:
        matrix: shape (rows, columns). form: how a number is written, as ".0%".
    """
    values = np.asarray(matrix)
    figure, axes = plt.subplots(figsize=(1.1 * len(columns) + 2, 0.5 * len(rows) + 1.5))
    names: dict[str, Any] = {"xticklabels": columns, "yticklabels": rows}
    sns.heatmap(values, annot=True, fmt=form, cmap="Greys", cbar=False, ax=axes, linewidths=0.5, **names)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        if label.get_text() in LEVELS:
            label.set_color(color_of(label.get_text()))
            label.set_fontweight("bold")
        label.set(rotation=0, fontsize=9)
    axes.set(xlabel=x, ylabel=y, title=title)
    told = []
    for row, line in zip(rows, values, strict=True):
        cells = [(column, value) for column, value in zip(columns, line, strict=True) if value == value]
        told.append(f"{row}: {', '.join(f'{column} {value:{form}}' for column, value in cells)}")
    present(figure, f"{caption or title}: {'; '.join(told)}.", n=n, seeds=seeds)


def source(helper: Callable[..., Any] | type) -> Code:
    """A helper's real source in the page."""
    return Code(inspect.getsource(helper), language="python")
