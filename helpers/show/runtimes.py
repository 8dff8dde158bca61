"""Figures of notebook 12: one conversation at every depth, the tolerances, the odds, the seeded faults, and the phone's page."""

from __future__ import annotations

import io
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown

from helpers.evaluate import Rate
from helpers.runtimes.faults import FAULTS
from helpers.runtimes.parity import DEPTHS, KL, Parity, Report, Run, shown
from helpers.show.figures import GREY, present, table
from helpers.triage import parse

HEADS = {**{depth: depth for depth in DEPTHS}, "label": "level", KL: "odds (nats)"}
ORDER = ("prompt", "tokens", KL, "label", "text")
DRIFT, HOLDS = "#b71c1c", "#eceff1"
MARKERS = "osD^vP"
_FLOOR = 1e-9  # where the axis of divergences ends: below it a float64 sum over a vocabulary is noise


def side_by_depth(runs: Mapping[str, Run], index: int = 0, tokens: int = 10) -> Markdown:
    """What each run made of one prompt: the end of the rendered prompt, its first tokens, the level, the first line of the text."""
    rows = []
    for name, run in runs.items():
        reply = run.replies[index]
        first = ", ".join(map(str, reply.tokens[:tokens]))
        rows.append(
            {
                "program": name,
                "prompt begins": f"`{reply.prompt[:44]!r}`",
                "tokens": f"{len(reply.tokens)}: {first} …",
                "level": parse(reply.text).level or "—",
                "text begins": reply.text.partition("\n")[0],
            }
        )
    return table(rows)


def parity_table(report: Report) -> Markdown:
    """Every comparison at every depth, beside its tolerance."""
    return table(
        [
            {
                "program": parity.other,
                "against": parity.reference,
                "depth": HEADS[row.depth],
                "tolerance": row.asks,
                "measured, 95 % interval": shown(row),
                "verdict": row.verdict,
            }
            for parity, judged in report.rows
            for row in judged
        ]
    )


def odds_apart(comparisons: Mapping[str, Parity], tolerance: float) -> None:
    """KL at the level's place, a mark a prompt, on a logarithmic axis; the mean as a bar, the tolerance as a line.

    Args:
        comparisons: by name, those whose two sides give odds.
        tolerance: the mean may be so large.
    """
    given = {name: parity for name, parity in comparisons.items() if parity.divergences}
    figure, axes = plt.subplots(figsize=(9, 1.3 + 0.62 * len(given)))
    dice = np.random.default_rng(0)
    for row, parity in enumerate(given.values()):
        values = np.maximum(parity.divergences, _FLOOR)
        axes.scatter(
            values,
            row + dice.uniform(-0.22, 0.22, len(values)),
            s=14,
            alpha=0.45,
            marker=MARKERS[row % len(MARKERS)],
            color="#455a64",
        )
        axes.plot(
            [max(parity.kl.value, _FLOOR)] * 2,
            [row - 0.36, row + 0.36],
            color="black",
            linewidth=3,
            label=None if row else "mean",
        )
    axes.axvline(tolerance, color=DRIFT, linestyle="--", label="tolerance for the mean")
    axes.set_yticks(
        range(len(given)), [f"{name}\nn = {len(parity.divergences):,}" for name, parity in given.items()]
    )
    axes.set(
        xscale="log",
        xlabel="KL to what it is compared with, at the level’s place (nats; logarithmic)",
        ylim=(-0.6, len(given) - 0.4),
    )
    axes.invert_yaxis()
    axes.set_title("How far apart the odds of the levels are")
    axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    listed = "; ".join(
        f"{name} {parity.kl.value:.1e} [{parity.kl.low:.1e}–{parity.kl.high:.1e}]"
        for name, parity in given.items()
    )
    present(
        figure,
        f"divergence of the next-token odds where the level is said, a mark a prompt; the bar is the mean, with its 95 % interval in nats: {listed}. "
        f"Marks at the left edge are {_FLOOR:.0e} or less.",
        n=max(parity.n for parity in given.values()),
    )


def fault_matrix(
    judged: Mapping[str, Report], accuracies: Mapping[str, Rate], sound: Rate, baseline: Rate
) -> None:
    """Which depth sees which fault, and what the fault costs: a matrix of drifts, and accuracies with their intervals beside it.

    Args:
        judged: by fault, its comparison with the sound file, held against the tolerances.
        accuracies: by fault; `sound` is that of the file without a fault, `baseline` of always saying ROJO.
    """
    names = list(judged)
    figure, (axes, beside) = plt.subplots(
        1, 2, figsize=(11.5, 1.5 + 0.55 * len(names)), width_ratios=(len(ORDER), 3), sharey=True, layout=None
    )
    listed = []
    for row, name in enumerate(names):
        found = {held.depth: held for held in judged[name].rows[0][1]}
        for column, depth in enumerate(ORDER):
            held = found[depth]
            drifts = held.holds is False
            value = (
                "—"
                if held.rate is None
                else _short(held.rate.value)
                if depth == KL
                else f"{1 - held.rate.value:.0%}"
            )
            look = {"facecolor": DRIFT, "edgecolor": "#ef9a9a", "hatch": "//"} if drifts else {"color": HOLDS}
            axes.add_patch(plt.Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, **look))
            text = f"✗ {value}" if drifts else value
            box = {"facecolor": DRIFT, "edgecolor": "none", "pad": 1.5} if drifts else None
            axes.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                color="white" if drifts else "black",
                fontsize=10,
                bbox=box,
            )
        seen = [HEADS[depth] for depth in ORDER if found[depth].holds is False]
        listed.append(f"{FAULTS[name].says}: {', '.join(seen) or 'nowhere'}")
        rate = accuracies[name]
        beside.errorbar(
            [rate.value],
            [row],
            xerr=[[rate.value - rate.low], [rate.high - rate.value]],
            fmt="o",
            color="black",
            capsize=4,
            markersize=7,
        )
    axes.set_xticks(range(len(ORDER)), [HEADS[depth] for depth in ORDER])
    axes.set_yticks(range(len(names)), [FAULTS[name].says for name in names])
    axes.set(xlim=(-0.5, len(ORDER) - 0.5), ylim=(len(names) - 0.5, -0.5))
    axes.grid(visible=False)
    axes.set_title("Prompts that differ (✗ beyond the tolerance)")
    beside.axvline(sound.value, color="#2e7d32", linestyle="--", label="without a fault")
    beside.axvline(baseline.value, color=GREY, linestyle=":", label="always ROJO")
    beside.set(xlim=(0, 1), xlabel="accepted level")
    beside.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    beside.set_title("… and the cost")
    beside.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    cost = "; ".join(
        f"{FAULTS[name].says} {rate.value:.0%} [{rate.low:.0%}–{rate.high:.0%}]"
        for name, rate in accuracies.items()
    )
    present(
        figure,
        f"faults seeded on purpose, and the depths at which they drift beyond a tolerance: {'; '.join(listed)}. Right, accuracy with 95 % "
        f"intervals: {cost}; without a fault {sound.value:.0%}, always ROJO {baseline.value:.0%}.",
        n=sound.n,
    )


def _short(nats: float) -> str:
    return f"{nats:.0e}" if nats else "0"


def page_portrait(png: bytes, question: str, gloss: str) -> None:
    """The phone's page with an answer on it."""
    picture = plt.imread(io.BytesIO(png))
    figure, axes = plt.subplots(figsize=(4.1, 4.1 * picture.shape[0] / picture.shape[1]))
    axes.imshow(picture)
    axes.set_axis_off()
    present(
        figure,
        f"the phone’s page in a browser, at a phone’s size, after “{question}” ({gloss}): the level as a colour and as a word.",
        n=1,
    )


__all__ = ["fault_matrix", "odds_apart", "page_portrait", "parity_table", "side_by_depth"]
