"""Figures of notebook 07: throughput, the thundering herd, and what a price list says about a bill."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt

from helpers.lab.plumbing import ClientRun
from helpers.show.figures import present

STYLES = (("#c62828", ":"), ("#ef6c00", "--"), ("#283593", "-"), ("#616161", "-."))


def throughput(runs: Sequence[ClientRun]) -> None:
    """Answers received so far against minutes of the server's clock, the limit as a line."""
    figure, axes = plt.subplots(figsize=(8.5, 3.6))
    longest = max(run.minutes for run in runs)
    for run, (color, style) in zip(runs, STYLES, strict=False):
        times = sorted(at for at, what in run.timeline if what == "answer")
        axes.step(
            [0, *times],
            range(len(times) + 1),
            style,
            where="post",
            color=color,
            linewidth=2.2,
            label=run.name,
        )
    top = axes.get_ylim()[1]
    axes.plot(
        [0, longest],
        [0, longest * runs[0].limit],
        color="black",
        linewidth=1,
        label=f"the limit, {runs[0].limit:,.0f} a minute",
    )
    axes.set(
        xlabel="minutes of the server’s clock", ylabel="answers received", xlim=(0, longest), ylim=(0, top)
    )
    axes.set_title("Answers, as they came")
    axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    said = "; ".join(
        f"{run.name}: {run.answers_per_minute:,.0f} answers a minute over {run.minutes:.1f} minutes"
        for run in runs
    )
    present(
        figure,
        f"answers received over time from the offline teacher, faulty ones included. A client may get ahead of the line once, because the server’s "
        f"window starts empty. {said}.",
        n=sum(run.rows for run in runs),
    )


def herd(runs: Sequence[ClientRun]) -> None:
    """Requests in flight and what became of them, second by second of the server's clock, one column a client."""
    figure, grid = plt.subplots(
        2, len(runs), figsize=(4 * len(runs), 4.6), sharex=True, sharey="row", squeeze=False
    )
    for (above, below), run in zip(grid.T, runs, strict=True):
        seconds = [row["second"] - run.busy[0]["second"] for row in run.busy]
        let_in = [row["accepted"] + row["broken"] for row in run.busy]
        above.fill_between(
            seconds, [row["in_flight"] for row in run.busy], step="mid", linewidth=0, color="#9fa8da"
        )
        below.bar(seconds, let_in, width=1, linewidth=0, color="#90a4ae", label="let in")
        refused = [row["limited"] for row in run.busy]
        below.bar(
            seconds, refused, width=1, linewidth=0, bottom=let_in, color="#c62828", hatch="////", label="429"
        )
        above.set_title(run.name, fontsize=10)
        below.set_xlabel("seconds of the server’s clock", fontsize=9)
        below.axhline(
            run.limit / 60, color="black", linewidth=1, linestyle=":", label="the limit’s even pace"
        )
    grid[0][0].set_ylabel("in flight", fontsize=9)
    grid[1][0].set_ylabel("requests a second", fontsize=9)
    grid[1][-1].legend(fontsize=8, loc="upper right")
    said = "; ".join(f"{run.name}: {run.limited:,} of {run.requests:,} requests answered 429" for run in runs)
    present(
        figure,
        f"above, the most requests in flight in each second of the server’s clock; below, what was let in or answered 429 by the offline teacher. {said}.",
        n=sum(run.requests for run in runs),
    )


def bill(tokens: float, price_in: float, price_out: float, said: float, ours: float) -> None:
    """What so many tokens cost, by the share of them that the teacher wrote."""
    figure, axes = plt.subplots(figsize=(6.5, 3.2))
    cost = lambda share: tokens / 1e6 * (price_in + share * (price_out - price_in))  # noqa: E731
    axes.plot([0, 1], [cost(0), cost(1)], color="#283593", linewidth=2.5, label="price list")
    axes.axhline(said, color="black", linestyle=":", label=f"the blog: ${said:.2f}")
    axes.plot([ours], [cost(ours)], "o", color="#ef6c00", markersize=9, label="our share")
    axes.set(
        xlabel="share of the tokens that the teacher wrote", ylabel="US dollars", xlim=(0, 1), ylim=(0, None)
    )
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_title(f"What {tokens / 1e6:.1f} million tokens cost")
    axes.legend(fontsize=9)
    present(
        figure,
        f"cost of {tokens / 1e6:.1f} million tokens at ${price_in:.2f} (read) and ${price_out:.2f} (written) per million: ${cost(0):.2f} if the "
        f"teacher wrote none of them, ${cost(1):.2f} if it wrote all; at the offline teacher’s share ({ours:.0%}) ${cost(ours):.2f}.",
        seeds=None,
    )


__all__ = ["bill", "herd", "throughput"]
