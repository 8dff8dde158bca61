"""Figures and widgets of rewards (notebook 10): price lists, the policy they ask for, and what reward training does to every part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown, display

from helpers.cases import Example
from helpers.evaluate import Rate
from helpers.rewards import TERMS, Reward, gaps, matrix, rojo_threshold
from helpers.show.figures import HATCHES, color_of, present, static, table
from helpers.triage import LEVELS

INK = "#283593"
# Colour never alone: each line has its own dash as well.
STYLES = {
    "actions": ("#6a1b9a", "-"),
    "alarms": ("#ad1457", "--"),
    "disclaimer": ("#00695c", "-."),
    "number": ("#4e342e", ":"),
}
Points = Sequence[tuple[float, float]]


def price_lists(rewards: Mapping[str, Reward]) -> None:
    """What each level earns for each truth, a panel a reward; a wrong level that is charged nothing is framed."""
    figure, panels = plt.subplots(1, len(rewards), figsize=(4.1 * len(rewards), 3.9), squeeze=False)
    for axes, (name, reward) in zip(panels[0], rewards.items(), strict=True):
        amounts = matrix(reward)
        reach = max(1.0, float(np.abs(amounts).max()))
        axes.imshow(amounts, cmap="RdYlGn", vmin=-reach, vmax=reach, alpha=0.6)
        for truth, given in np.ndindex(amounts.shape):
            amount = amounts[truth, given]
            axes.text(given, truth, f"{amount:+.3g}" if amount else "0", ha="center", va="center", fontsize=9)
        for truth, given in gaps(reward):
            place = (LEVELS.index(given) - 0.44, LEVELS.index(truth) - 0.44)
            axes.add_patch(
                plt.Rectangle(place, 0.88, 0.88, fill=False, edgecolor="black", linewidth=2, linestyle="--")
            )
        axes.set_xticks(range(len(LEVELS)), LEVELS, fontsize=8, rotation=30)
        axes.set_yticks(range(len(LEVELS)), LEVELS, fontsize=8)
        axes.set(xlabel="answer", ylabel="truth" if axes is panels[0][0] else "")
        axes.set_title(name)
        axes.grid(False)
    listed = "; ".join(
        f"{name} leaves {len(gaps(reward))} of 20 errors uncharged" for name, reward in rewards.items()
    )
    present(
        figure,
        f"what each answer earns for each truth; dashed frames are errors that cost nothing: {listed}.",
        seeds=None,
    )


def crossing(
    over: float, under: float, others: Sequence[str] = ("NARANJA", "AZUL"), correct: float = 1.0
) -> None:
    """Expected reward of ROJO and of another level along the probability of ROJO; they cross at the threshold.

    Args:
        over, under: charged for every level off. others: what the person has when it is not ROJO, a panel each.
    """
    figure, panels = plt.subplots(
        1, len(others), figsize=(4.8 * len(others), 3.3), sharey=True, squeeze=False
    )
    chance, told = np.linspace(0, 1, 101), []
    for axes, other in zip(panels[0], others, strict=True):
        levels, edge = LEVELS.index(other), rojo_threshold(over, under, other, correct)
        axes.plot(
            chance,
            chance * correct - (1 - chance) * levels * over,
            color=color_of("ROJO"),
            linewidth=2.5,
            label="say ROJO",
        )
        axes.plot(
            chance,
            (1 - chance) * correct - chance * levels * under,
            "--",
            color=INK,
            linewidth=2.5,
            label=f"say {other}",
        )
        axes.axvline(edge, color="black", linestyle=":", label=f"threshold {edge:.0%}")
        axes.axvspan(edge, 1, color=color_of("ROJO"), alpha=0.08)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.set(
            xlabel=f"probability of ROJO (otherwise {other})",
            ylabel="expected reward" if axes is panels[0][0] else "",
        )
        axes.set_title(f"ROJO or {other}?")
        axes.legend(fontsize=8, loc="lower center")
        told.append(f"ROJO against {other} from {edge:.0%}")
    present(
        figure,
        f"expected reward along the probability of ROJO, at {over:g} a level over and {under:g} under: {'; '.join(told)}.",
        seeds=None,
    )


def policy_map(
    shares: np.ndarray,
    overs: Sequence[float],
    unders: Sequence[float],
    n: int,
    marks: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """Heat map of `rewards.policy_map`: the share of people whom the best policy calls ROJO, for every pair of prices.

    Args:
        shares: (overs, unders). n: beliefs it is a share of. marks: price lists to point out, as name → (over, under).
    """
    figure, axes = plt.subplots(figsize=(7.2, 4.4))
    steps = [round(value, 4) for value in overs], [round(value, 4) for value in unders]
    image = axes.pcolormesh(steps[1], steps[0], shares, cmap="Reds", vmin=0, vmax=1, shading="nearest")
    lines = axes.contour(steps[1], steps[0], shares, levels=[0.2, 0.5, 0.9], colors="black", linewidths=1)
    axes.clabel(lines, fmt=lambda value: f"{value:.0%}", fontsize=8)
    for name, (over, under) in (marks or {}).items():
        axes.plot(under, over, "k*", markersize=13)
        axes.annotate(
            name, (under, over), xytext=(8, 6), textcoords="offset points", fontsize=9, fontweight="bold"
        )
    bar = figure.colorbar(image, ax=axes, format=lambda value, _: f"{value:.0%}")
    bar.set_label("people told ROJO")
    axes.set(xlabel="price of one level of under-triage", ylabel="price of one level of over-triage")
    axes.set_title("Whom the prices call ROJO")
    axes.grid(False)
    present(
        figure,
        f"share of people for whom ROJO is the best-paid answer, by the two prices, from {shares.min():.0%} to {shares.max():.0%}; "
        "the beliefs are one model's.",
        n=n,
        seeds=1,
    )


def best_answers(counts: Mapping[str, Sequence[str]], n: int) -> None:
    """Level shares of several policies as stacked bars, the last one the patients' own.

    Args:
        counts: each policy's answers, one a person.
    """
    figure, axes = plt.subplots(figsize=(8.5, 0.55 * len(counts) + 1.1))
    told = []
    for place, (name, given) in enumerate(reversed(counts.items())):
        left, shares = 0.0, {level: sum(one == level for one in given) / len(given) for level in LEVELS}
        for level, share in shares.items():
            axes.barh(
                place,
                share,
                left=left,
                color=color_of(level),
                hatch=HATCHES[level],
                edgecolor="white",
                height=0.7,
            )
            if share > 0.07:
                box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1}
                axes.text(
                    left + share / 2,
                    place,
                    f"{level} {share:.0%}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    bbox=box,
                )
            left += share
        told.insert(0, f"{name}: " + ", ".join(f"{level} {share:.0%}" for level, share in shares.items()))
    axes.set_yticks(range(len(counts)), list(reversed(counts)))
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_title("What the same beliefs become")
    present(figure, f"share of every level among the answers: {'; '.join(told)}.", n=n)


def explore_prices(
    draw: Callable[[float, float], None], points: Sequence[tuple[float, float]], most: float = 3.0
) -> None:
    """Two sliders, over and under; `draw(over, under)` shows the policy at that point. On a static page `points` are drawn instead."""
    if static():
        display(Markdown("*In a live notebook two sliders choose the prices. Here are two points:*"))
        for point in points:
            draw(*point)
        return
    import ipywidgets

    sliders = {
        side: ipywidgets.FloatSlider(
            value=value, min=0, max=most, step=0.05, description=side, continuous_update=False
        )
        for side, value in zip(("over", "under"), points[0], strict=True)
    }
    display(ipywidgets.VBox(list(sliders.values())), ipywidgets.interactive_output(draw, sliders))


def bill_table(
    rewards: Mapping[str, Reward], cases: Sequence[tuple[str, Example, str]], itemised: bool = False
) -> Markdown:
    """A specification as a table: case, truth, and what each reward pays; `itemised` lists the lines of the bill that are not zero.

    Args:
        cases: (what it tests, the person, the answer).
    """
    rows = []
    for told, example, text in cases:
        row = {"case": told, "truth": example.level}
        for name, reward in rewards.items():
            bill = reward.parts_of(example, text)
            lines = [f"{term} {bill[term]:+.2g}" for term in TERMS if bill[term]]
            row[name] = f"**{sum(bill.values()):+.2f}**" + (
                f" ({', '.join(lines)})" if itemised and lines else ""
            )
        rows.append(row)
    return table(rows)


def training(
    curves: Mapping[str, Sequence[Mapping[str, Points]]],
    title: str = "Paid by the reward, judged by the gates",
) -> None:
    """Reward training on one time axis: a column a reward; rows are the reward, accuracy and ROJO, and the parts. A thin line a seed.

    Args:
        curves: for each reward the logged curves of its runs, one mapping a seed (`ArmOutcome.curves`).
    """
    figure, panels = plt.subplots(3, len(curves), figsize=(3.7 * len(curves), 7), sharex=True, squeeze=False)
    for column, (name, runs) in enumerate(curves.items()):
        top, middle, bottom = panels[:, column]
        _lines(top, runs, "reward", INK, "-", "reward")
        _lines(middle, runs, "watch/accuracy", INK, "-", "accuracy")
        _lines(middle, runs, "watch/rojo", color_of("ROJO"), "--", "says ROJO")
        for part, (color, style) in STYLES.items():
            _lines(bottom, runs, f"watch/{part}", color, style, part)
        for axes in (middle, bottom):
            axes.set_ylim(-0.03, 1.03)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        top.set_title(name)
        bottom.set_xlabel("optimizer step")
    for axes, label in zip(panels[:, 0], ("mean reward", "level", "parts present"), strict=True):
        axes.set_ylabel(label)
    for axes in panels[1:, -1]:
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    listed = "; ".join(
        f"{name}: reward {_end(runs, 'reward', 0):.2f} to {_end(runs, 'reward', -1):.2f}, ROJO {_end(runs, 'watch/rojo', 0):.0%} to "
        f"{_end(runs, 'watch/rojo', -1):.0%}, disclaimer {_end(runs, 'watch/disclaimer', 0):.0%} to {_end(runs, 'watch/disclaimer', -1):.0%}"
        for name, runs in curves.items()
    )
    seeds = max(map(len, curves.values()))
    present(
        figure,
        f"sampled answers during training, mean over seeds thick and every seed thin; first and last generation: {listed}.",
        seeds=seeds,
    )


def _mean(runs: Sequence[Mapping[str, Points]], key: str) -> tuple[list[float], list[float]]:
    steps = [step for step, _ in runs[0][key]]
    return steps, [
        sum(values) / len(values)
        for values in zip(*([value for _, value in run[key]] for run in runs), strict=True)
    ]


def _end(runs: Sequence[Mapping[str, Points]], key: str, place: int) -> float:
    return _mean(runs, key)[1][place]


def _lines(
    axes: Any, runs: Sequence[Mapping[str, Points]], key: str, color: str, style: str, label: str
) -> None:
    for run in runs:
        axes.plot(*zip(*run[key], strict=True), style, color=color, linewidth=0.8, alpha=0.5)
    axes.plot(*_mean(runs, key), style, color=color, linewidth=2.5, label=label)


def drift(
    start: Mapping[str, Rate],
    runs: Mapping[str, Sequence[Mapping[str, Rate]]],
    unnamed: Mapping[str, Sequence[str]],
    n: int,
) -> None:
    """Start and end of every figure, a panel a reward: a ring before, a filled mark a seed after, intervals on all.

    Args:
        start: figures of the model before. runs: for each reward the same figures after, one mapping a seed.
        unnamed: the parts that a reward has no price for.
    """
    figure, panels = plt.subplots(
        1, len(runs), figsize=(3.9 * len(runs), 0.6 * len(start) + 1.5), sharey=True, squeeze=False
    )
    names, told = list(start), []
    for axes, (reward, ends) in zip(panels[0], runs.items(), strict=True):
        for place, name in enumerate(reversed(names)):
            rates = [start[name], *(end[name] for end in ends)]
            for seed, rate in enumerate(rates):
                reach = [[max(0.0, rate.value - rate.low)], [max(0.0, rate.high - rate.value)]]
                height = place + 0.22 - 0.22 * seed
                label = None if place else "before" if seed == 0 else f"after, seed {seed - 1}"
                axes.errorbar(
                    rate.value,
                    height,
                    xerr=reach,
                    fmt="oso^D"[seed % 5],
                    mfc=INK if seed else "white",
                    color=INK,
                    capsize=3,
                    label=label,
                )
        axes.set_xlim(-0.04, 1.04)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.set_title(
            f"{reward}\n"
            + (f"no price:\n{', '.join(unnamed[reward])}" if unnamed[reward] else "every part priced"),
            fontsize=9,
        )
        told.append(
            f"{reward}: "
            + ", ".join(
                f"{name} {start[name].value:.0%} to {' and '.join(f'{end[name].value:.0%}' for end in ends)}"
                for name in names
            )
        )
    panels[0][0].set_yticks(
        range(len(names)), [name.replace("rojo_share", "says ROJO") for name in reversed(names)]
    )
    panels[0][-1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    seeds = max(map(len, runs.values()))
    present(
        figure,
        f"test answers before (ring) and after (filled, a mark a seed) training with each reward, 95 % intervals: {'; '.join(told)}.".replace(
            "rojo_share", "says ROJO"
        ),
        n=n,
        seeds=seeds,
    )


def alive_groups(runs: Mapping[str, Sequence[Mapping[str, Points]]]) -> None:
    """Share of groups without any spread of reward along training (`frac_reward_zero_std`): what they teach is nothing."""
    figure, axes = plt.subplots(figsize=(8, 3.2))
    for place, (name, found) in enumerate(runs.items()):
        style = ("-", "--", "-.", ":")[place % 4]
        axes.plot(
            *_mean(found, "frac_reward_zero_std"),
            style,
            marker="osD^v"[place % 5],
            markersize=4,
            linewidth=2,
            label=name,
        )
    axes.set(ylim=(-0.03, 1.05), xlabel="optimizer step", ylabel="groups without spread")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_title("Groups that teach nothing")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    listed = "; ".join(
        f"{name} {np.mean(_mean(found, 'frac_reward_zero_std')[1]):.0%}" for name, found in runs.items()
    )
    present(
        figure,
        f"share of groups whose answers all earn the same, by step; mean over training: {listed}.",
        seeds=max(map(len, runs.values())),
    )
