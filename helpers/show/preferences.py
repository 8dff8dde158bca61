"""Figures of notebook 08: what DPO did beside what the blog saw, what rose meanwhile, and the dose that decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt

from helpers.evaluate import Rate
from helpers.show.figures import present, running_mean

GREY, OURS, BLOG, SAFE = "#616161", "#283593", "#ef6c00", "#2e7d32"


def before_after(
    blog: Mapping[str, tuple[float, float]], before: Mapping[str, Rate], after: Mapping[str, Rate], seeds: int
) -> None:
    """An arrow from the SFT model to the DPO model for every measure: the blog's above, ours below.

    Args:
        blog: (SFT, DPO) by measure, fractions. before, after: ours, by the same names.
    """
    figure, axes = plt.subplots(figsize=(9, 0.9 + 0.75 * len(blog)))
    for row, (name, (one, two)) in enumerate(blog.items()):
        for offset, start, end, color, marker, label in (
            (-0.17, one, two, BLOG, "D", "the blog"),
            (0.17, before[name].value, after[name].value, OURS, "o", "here"),
        ):
            axes.annotate(
                "",
                (end, row + offset),
                (start, row + offset),
                arrowprops={"arrowstyle": "->", "color": color, "linewidth": 2.2},
            )
            axes.plot(
                [start], [row + offset], marker, color=color, markersize=6, label=label if not row else None
            )
        for rate in (before[name], after[name]):
            axes.plot(
                [rate.low, rate.high],
                [row + 0.17] * 2,
                color=OURS,
                linewidth=5,
                alpha=0.25,
                solid_capstyle="butt",
            )
    axes.set_yticks(range(len(blog)), list(blog))
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.6, len(blog) - 0.4), xlabel="share of answers")
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_title("From SFT to DPO")
    axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    listed = "; ".join(
        f"{name}: blog {one:.0%} → {two:.0%}, here {before[name].value:.0%} → {after[name].value:.0%}"
        for name, (one, two) in blog.items()
    )
    present(
        figure,
        f"share of answers before (marker) and after DPO (arrowhead), pale bars 95 % intervals: {listed}.",
        n=before[next(iter(blog))].n,
        seeds=seeds,
    )


def while_margins_rise(
    accuracy: Sequence[tuple[float, float]],
    margin: Sequence[tuple[float, float]],
    rates: Mapping[str, Mapping[int, Rate]],
    seeds: int,
) -> None:
    """What a training log shows, and what the answers show, on one axis of pairs read.

    Args:
        accuracy, margin: TRL's reward accuracy and reward margin as (pairs read, value).
        rates: by part of the answer: share of answers that have it, by pairs read (0 is the SFT model).
    """
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 5.2), sharex=True, height_ratios=(1.6, 1))
    pairs, values = zip(*accuracy, strict=True)
    above.plot(
        pairs,
        running_mean(values, 5),
        color=GREY,
        linewidth=2,
        linestyle="-.",
        label="reward accuracy (training log)",
    )
    for (part, by_pairs), color, marker, style in zip(
        rates.items(), (SAFE, OURS, BLOG), ("s", "o", "^"), ("-", "--", ":"), strict=False
    ):
        places = sorted(by_pairs)
        shares = [by_pairs[place].value for place in places]
        error = [
            [by_pairs[place].value - by_pairs[place].low for place in places],
            [by_pairs[place].high - by_pairs[place].value for place in places],
        ]
        above.errorbar(
            places,
            shares,
            yerr=error,
            fmt=marker,
            linestyle=style,
            color=color,
            capsize=3,
            label=f"answers with {part}",
        )
    above.set(ylim=(-0.03, 1.05), ylabel="share")
    above.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    above.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    above.set_title("What the log shows, and what the answers show")
    pairs, values = zip(*margin, strict=True)
    below.plot(pairs, running_mean(values, 5), color=GREY, linewidth=2)
    below.set(xlabel="pairs read", ylabel="reward margin")
    last = {part: by_pairs[max(by_pairs)].value for part, by_pairs in rates.items()}
    first = {part: by_pairs[0].value for part, by_pairs in rates.items()}
    listed = "; ".join(f"{part} {first[part]:.0%} → {last[part]:.0%}" for part in rates)
    present(
        figure,
        f"above: reward accuracy during training (smoothed) and the share of answers with each part, with 95 % intervals, of models that have read so "
        f"many pairs ({listed}); below: the reward margin.",
        n=next(iter(next(iter(rates.values())).values())).n,
        seeds=seeds,
    )


@dataclass(frozen=True)
class Dose:
    """One point of the dose–response: the disclaimer's share in the chosen answers, its odds ratio in the pairs, and its rate after DPO."""

    share: float
    odds: Rate
    after: Rate


def dose_response(doses: Sequence[Dose], before: Rate, seeds: int) -> None:
    """The disclaimer's rate after DPO as a function of its odds ratio in the pairs; the SFT model's rate is the line to stay above."""
    figure, axes = plt.subplots(figsize=(8.5, 4))
    for dose in doses:
        x = [[dose.odds.value - dose.odds.low], [dose.odds.high - dose.odds.value]]
        y = [[dose.after.value - dose.after.low], [dose.after.high - dose.after.value]]
        axes.errorbar([dose.odds.value], [dose.after.value], xerr=x, yerr=y, fmt="o", color=OURS, capsize=3)
        axes.annotate(
            f"{dose.share:.0%}",
            (dose.odds.value, dose.after.value),
            (8, 6),
            textcoords="offset points",
            fontsize=9,
        )
    axes.axhspan(before.low, before.high, color=SAFE, alpha=0.2, label=f"the SFT model, {before.value:.0%}")
    axes.axhline(before.value / 4, color="#c62828", linestyle=":", label="a quarter of it")
    axes.axvline(1, color=GREY, linestyle="--", label="even odds in the pairs")
    axes.set(
        xscale="log",
        ylim=(-0.03, 1.05),
        xlabel="odds ratio of the disclaimer in the pairs (chosen against rejected)",
        ylabel="answers with it after DPO",
    )
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_title("The pairs decide what happens to the disclaimer")
    axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    listed = "; ".join(
        f"{dose.share:.0%} of the chosen: odds ratio {dose.odds.value:.2g}, after {dose.after.value:.0%}"
        for dose in doses
    )
    present(
        figure,
        f"disclaimer rate after DPO against its odds ratio in the pairs, with 95 % intervals; labels give its share among the chosen answers. {listed}.",
        n=doses[0].after.n,
        seeds=seeds,
    )


__all__ = ["Dose", "before_after", "dose_response", "while_margins_rise"]
