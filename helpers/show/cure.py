"""Figures and widgets of the experiment that takes the cure apart (notebook 05), and of the acceptance gates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from IPython.display import Markdown, display

from helpers.cases import Example
from helpers.evaluate import Effect, Rate
from helpers.evaluate.gates import Report
from helpers.show.figures import GREY, HATCHES, answer_card, color_of, present, static
from helpers.triage import LEVELS

ACCURACY, ROJO = "#283593", color_of("ROJO")
Cell = tuple[str, str, str]  # skew, conflict, start
CONDITIONS = {
    ("uniform", "consistent"): "balanced levels,\nconsistent labels",
    ("skewed", "consistent"): "skewed levels,\nconsistent labels",
    ("uniform", "conflicting"): "balanced levels,\ncontradicting labels",
    ("skewed", "conflicting"): "skewed levels,\ncontradicting labels",
}


def _percent(axes: Any, which: str = "y") -> None:
    getattr(axes, f"{which}axis").set_major_formatter(lambda value, _: f"{value:.0%}")


def _error(rate: Rate) -> list[list[float]]:
    return [[rate.value - rate.low], [rate.high - rate.value]]


def factorial(
    accuracy: Mapping[Cell, Sequence[float]],
    rojo: Mapping[Cell, Sequence[float]],
    bands: Mapping[Cell, Rate],
    rojo_bands: Mapping[Cell, Rate],
    baseline: float,
    n: int,
) -> None:
    """The whole experiment in one look: accuracy above, share of ROJO below, a dot for every run.

    Args:
        accuracy, rojo: the runs of every cell.
        bands, rojo_bands: their means with intervals over seeds.
        baseline: accuracy of always saying ROJO.
        n: test wordings a run is judged on.
    """
    figure, panels = plt.subplots(2, 1, figsize=(9, 5.6), sharex=True)
    for axes, runs, means, title in (
        (panels[0], accuracy, bands, "How often the level is acceptable"),
        (panels[1], rojo, rojo_bands, "How often it says ROJO"),
    ):
        for place, condition in enumerate(CONDITIONS):
            for side, start in ((-0.2, "fresh"), (0.2, "biased")):
                cell = (*condition, start)
                axes.bar(
                    place + side,
                    means[cell].value,
                    0.36,
                    color=ACCURACY if start == "fresh" else "#9fa8da",
                    hatch="" if start == "fresh" else "//",
                    edgecolor="white",
                    yerr=_error(means[cell]),
                    capsize=3,
                    label=f"{start} start" if place == 0 else None,
                )
                axes.scatter([place + side] * len(runs[cell]), runs[cell], s=14, color="black", zorder=3)
        axes.set_title(title)
        axes.set_ylim(0, 1.02)
        _percent(axes)
    panels[0].axhline(baseline, color=ROJO, linestyle=":", label="always ROJO")
    panels[1].axhline(1 / len(LEVELS), color=GREY, linestyle=":", label="patients")
    for axes in panels:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2, fontsize=8, ncols=3)
    panels[1].set_xticks(range(len(CONDITIONS)), CONDITIONS.values())
    listed = "; ".join(
        f"{' / '.join(cell)} {rate.value:.0%}, ROJO {rojo_bands[cell].value:.0%}"
        for cell, rate in bands.items()
    )
    seeds = len(next(iter(accuracy.values())))
    present(
        figure,
        f"accuracy on test wordings and share of ROJO in the eight cells, mean over runs with 95 % interval: {listed}.",
        n=n,
        seeds=seeds,
    )


def effects(outcomes: Mapping[str, Sequence[Effect]], n: int, seeds: int) -> None:
    """Effect sizes with intervals, one panel an outcome; what crosses zero is not shown to exist."""
    figure, panels = plt.subplots(1, len(outcomes), figsize=(10, 3.2), sharey=True)
    for axes, (title, found) in zip(panels, outcomes.items(), strict=True):
        for place, effect in enumerate(reversed(found)):
            error = [[effect.estimate - effect.low], [effect.high - effect.estimate]]
            color = ACCURACY if effect.present else GREY
            axes.errorbar(
                effect.estimate, place, xerr=error, fmt="o" if effect.present else "x", capsize=4, color=color
            )
        axes.axvline(0, color="black", linewidth=1)
        axes.set_title(title)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value * 100:+.0f}")
        axes.set_xlabel("points (harmful minus harmless)")
        axes.set_yticks(range(len(found)), [effect.name for effect in reversed(found)])
    listed = "; ".join(
        f"{title}: "
        + ", ".join(
            f"{e.name} {e.estimate * 100:+.0f} [{e.low * 100:+.0f} to {e.high * 100:+.0f}]" for e in found
        )
        for title, found in outcomes.items()
    )
    present(
        figure,
        f"estimated effects in percentage points with 95 % intervals; a cross where the interval holds zero. {listed}.",
        n=n,
        seeds=seeds,
    )


def sweep(
    accuracy: Mapping[float, Sequence[float]],
    rojo: Mapping[float, Sequence[float]],
    bands: Mapping[float, Rate],
    rojo_bands: Mapping[float, Rate],
    *,
    title: str,
    axis: str,
    baseline: float,
    n: int,
    logarithmic: bool = False,
    mark: float | None = None,
) -> None:
    """Accuracy and share of ROJO along one dose, with interval bands and a dot for every run.

    Args:
        accuracy, rojo, bands, rojo_bands: as in `factorial`, by dose.
        baseline: accuracy of always saying ROJO.
        mark: a dose to point out (the blog's).
    """
    figure, axes = plt.subplots(figsize=(9.5, 3.6))
    doses = sorted(bands)
    for runs, means, color, style, name in (
        (accuracy, bands, ACCURACY, "-", "accuracy"),
        (rojo, rojo_bands, ROJO, "--", "says ROJO"),
    ):
        axes.plot(doses, [means[dose].value for dose in doses], style, color=color, linewidth=2.5, label=name)
        axes.fill_between(
            doses,
            [means[dose].low for dose in doses],
            [means[dose].high for dose in doses],
            color=color,
            alpha=0.15,
        )
        for dose in doses:
            axes.scatter([dose] * len(runs[dose]), runs[dose], s=14, color=color, zorder=3)
    axes.axhline(baseline, color=GREY, linestyle=":", label="accuracy of always ROJO")
    if mark is not None:
        axes.axvline(mark, color="black", linestyle="-.", linewidth=1, label="the blog's")
    if logarithmic:
        axes.set_xscale("log")
        axes.set_xticks(doses, [f"{dose:,.0f}" for dose in doses])
        axes.minorticks_off()
    else:
        _percent(axes, "x")
    _percent(axes)
    axes.set(xlabel=axis, ylim=(0, 1.02))
    axes.set_title(title)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    shown = (lambda dose: f"{dose:,.0f}") if logarithmic else (lambda dose: f"{dose:.0%}")
    listed = "; ".join(
        f"{shown(dose)}: accuracy {bands[dose].value:.0%}, ROJO {rojo_bands[dose].value:.0%}"
        for dose in doses
    )
    present(
        figure,
        f"{title.lower()}, mean over runs with 95 % band: {listed}.",
        n=n,
        seeds=max(map(len, accuracy.values())),
    )


def generations(shares: Sequence[tuple[str, Mapping[str, float]]], n: int) -> None:
    """Label shares, one stacked bar a generation; the last one is what the patients have."""
    figure, axes = plt.subplots(figsize=(8, 0.6 * len(shares) + 1.2))
    for place, (_, share) in enumerate(reversed(shares)):
        left = 0.0
        for level in LEVELS:
            axes.barh(
                place,
                share[level],
                left=left,
                color=color_of(level),
                hatch=HATCHES[level],
                edgecolor="white",
                height=0.7,
            )
            if share[level] > 0.06:
                label = f"{level} {share[level]:.0%}"
                box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1}
                axes.text(
                    left + share[level] / 2, place, label, ha="center", va="center", fontsize=7, bbox=box
                )
            left += share[level]
    axes.set_yticks(range(len(shares)), [name for name, _ in reversed(shares)])
    axes.set_xlim(0, 1)
    _percent(axes, "x")
    axes.set_title("Who labels the next training set?")
    listed = "; ".join(
        f"{name}: " + ", ".join(f"{level} {share[level]:.0%}" for level in LEVELS) for name, share in shares
    )
    present(figure, f"share of every level, generation by generation: {listed}.", n=n)


VERDICTS = {"passes": ("✓", "#e8f5e9"), "not shown": ("?", "#fff8e1"), "fails": ("✗", "#ffebee")}


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


def explore_grid(
    draw: Callable[[str, float], None], skews: Sequence[str], conflicts: Mapping[str, Sequence[float]]
) -> None:
    """Sliders over the measured grid; `draw(skew, conflict)` shows one point. On a static page two points are drawn instead.

    Args:
        skews: the measured skews.
        conflicts: for each skew, the conflict rates that were measured; nothing in between is made up.
    """
    if static():
        display(Markdown("*In a live notebook two sliders choose the point. Here are the two ends:*"))
        for skew, conflict in ((skews[0], conflicts[skews[0]][0]), (skews[-1], conflicts[skews[-1]][-1])):
            draw(skew, conflict)
        return
    import ipywidgets

    skew = ipywidgets.SelectionSlider(options=list(skews), description="skew")
    conflict = ipywidgets.SelectionSlider(
        options=[(f"{c:.0%}", c) for c in conflicts[skews[0]]], description="conflict"
    )
    skew.observe(
        lambda change: setattr(conflict, "options", [(f"{c:.0%}", c) for c in conflicts[change["new"]]]),
        "value",
    )
    display(
        ipywidgets.VBox([skew, conflict]),
        ipywidgets.interactive_output(draw, {"skew": skew, "conflict": conflict}),
    )


def compare_answers(
    examples: Sequence[Example], answers: Mapping[str, Sequence[str]], first: int = 0
) -> None:
    """The same person, every model's answer side by side; a drop-down chooses the person. Static pages show `first`."""

    def draw(place: int) -> None:
        example = examples[place]
        display(
            Markdown(
                f"**{example.text}**  \n*{example.gloss}*  \nThe rubric accepts {', '.join(example.accepted)}: {example.rationale}"
            )
        )
        for name, given in answers.items():
            display(Markdown(f"**{name}**"), answer_card("", given[place]))

    if static():
        display(Markdown("*In a live notebook a drop-down chooses among all vignettes. Here is one:*"))
        draw(first)
        return
    import ipywidgets

    options = [(f"{example.id} · {example.text[:70]}", place) for place, example in enumerate(examples)]
    chosen = ipywidgets.Dropdown(options=options, value=first, description="person")
    display(chosen, ipywidgets.interactive_output(draw, {"place": chosen}))
