"""Figures of notebook 09: the gates before and after, what each kind of negative moves, and which near misses a model tells apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt

from helpers.evaluate import Effect, Rate
from helpers.evaluate.gates import load_gates
from helpers.show.figures import GREY, present

ARM_STYLES = (
    ("#212121", "D"),
    ("#283593", "o"),
    ("#c62828", "s"),
    ("#ef6c00", "^"),
    ("#2e7d32", "v"),
)  # colour and marker together


def _errors(rate: Rate) -> list[list[float]]:
    return [[max(0.0, rate.value - rate.low)], [max(0.0, rate.high - rate.value)]]


def _rows(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), list(reversed(names)))
    axes.set_ylim(-0.6, len(names) - 0.4)


def gates_moved(arms: Mapping[str, Mapping[str, Rate]], n: int, seeds: int) -> None:
    """Every gate that is a share, for every model: the model before first; the arms as `evaluate.spanned` takes their runs together.

    Args:
        arms: model → gate → rate, all with the same gates.
        n: items that a single model was judged on.
    """
    bounds = {gate.id: gate for gate in load_gates()}
    names = list(next(iter(arms.values())))
    figure, axes = plt.subplots(figsize=(9.5, 0.62 * len(names) + 1.3))
    step = 0.7 / len(arms)
    for (name, rates), (place, (color, marker)) in zip(arms.items(), enumerate(ARM_STYLES), strict=False):
        for row, gate in enumerate(reversed(names)):
            height = row + 0.3 - place * step
            label = name if not row else None
            axes.errorbar(
                rates[gate].value,
                height,
                xerr=_errors(rates[gate]),
                fmt=marker,
                color=color,
                capsize=3,
                markersize=5,
                label=label,
            )
    for row, gate in enumerate(reversed(names)):
        axes.plot([bounds[gate].bound] * 2, [row - 0.42, row + 0.42], color=GREY, linestyle=":", linewidth=2)
    _rows(axes, [f"{gate}  {bounds[gate].asks}" for gate in names])
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_title("The gates, before and after")
    axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    listed = "; ".join(
        f"{name}: " + ", ".join(f"{gate} {rate.value:.1%}" for gate, rate in rates.items())
        for name, rates in arms.items()
    )
    present(
        figure,
        f"gate by gate (the dotted mark is the bound), an arm is the mean of its seeds, its whiskers hold every seed's own interval. {listed}.",
        n=n,
        seeds=seeds,
    )


def left_out(changes: Mapping[str, Mapping[str, Effect]], n: int, seeds: int = 1) -> None:
    """What leaving a kind of negative out changes: a row a kind, a panel a measure; a cross where the interval holds zero.

    Args:
        changes: measure → row ("without …", or a yardstick) → change against all kinds.
    """
    kinds = list(next(iter(changes.values())))
    figure, panels = plt.subplots(
        1,
        len(changes),
        figsize=(2.1 * len(changes) + 1.6, 0.45 * len(kinds) + 1.4),
        sharey=True,
        squeeze=False,
    )
    for axes, (measure, found) in zip(panels[0], changes.items(), strict=True):
        for row, kind in enumerate(reversed(kinds)):
            effect = found[kind]
            error = [[effect.estimate - effect.low], [effect.high - effect.estimate]]
            color = "#c62828" if effect.present else GREY
            axes.errorbar(
                effect.estimate, row, xerr=error, fmt="o" if effect.present else "x", color=color, capsize=3
            )
        axes.axvline(0, color="black", linewidth=1)
        axes.set_title(measure, fontsize=10)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value * 100:+.1f}")
        axes.tick_params(labelsize=8)
        axes.set_xlabel("points", fontsize=8)
        _rows(axes, kinds)
    listed = "; ".join(
        f"{measure}: "
        + ", ".join(
            f"{kind} {e.estimate * 100:+.1f} [{e.low * 100:+.1f} to {e.high * 100:+.1f}]"
            for kind, e in found.items()
        )
        for measure, found in changes.items()
    )
    present(
        figure,
        "change in percentage points when a kind of near miss is left out, against all kinds at the same number of pairs, 95 % interval over items; "
        f"no whiskers where no item changed. {listed}.",
        n=n,
        seeds=seeds,
    )


def told_apart(margins: Mapping[str, Mapping[str, Rate]], n: int, seeds: int) -> None:
    """By how many nats a model prefers the good answer to a near miss that it never saw, kind by kind.

    Args:
        margins: model → kind → mean of log p(good) − log p(near miss) with its interval over people.
    """
    kinds = list(next(iter(margins.values())))
    figure, axes = plt.subplots(figsize=(8.5, 0.75 * len(kinds) + 1.3))
    step = 0.7 / len(margins)
    for (name, rates), (place, (color, marker)) in zip(margins.items(), enumerate(ARM_STYLES), strict=False):
        for row, kind in enumerate(reversed(kinds)):
            height = row + 0.3 - place * step
            label = name if not row else None
            axes.errorbar(
                rates[kind].value,
                height,
                xerr=_errors(rates[kind]),
                fmt=marker,
                color=color,
                capsize=3,
                markersize=5,
                label=label,
            )
    axes.axvline(0, color="black", linewidth=1)
    axes.set_xlabel("log p(good answer) − log p(near miss), nats")
    _rows(axes, kinds)
    axes.set_title("Which near misses it tells apart")
    axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    listed = "; ".join(
        f"{name}: " + ", ".join(f"{kind} {rate.value:+.1f}" for kind, rate in rates.items())
        for name, rates in margins.items()
    )
    present(
        figure,
        f"mean preference in nats for the good answer over a near miss of test people, mean over seeds with 95 % interval over people. {listed}.",
        n=n,
        seeds=seeds,
    )
