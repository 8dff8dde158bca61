"""Figures of notebook 11: bits and errors, where on the ladder levels change, and what a file costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown, display

from helpers.export import Exported, Prediction
from helpers.lab.costs import Cost
from helpers.lab.ladder import WHOLE, Compared, Step, agreement
from helpers.lab.picker import FAITHFUL
from helpers.show.figures import GREY, present, static, table

INK, WARN = "#283593", "#c62828"
MARKS = ("o", "s", "^", "D", "v")
GROUPS = {  # part of a tensor's name → what a reader calls it
    "token_embd": "embedding, also output",
    "attn_q": "attention: queries",
    "attn_k.": "attention: keys",
    "attn_v": "attention: values",
    "attn_output": "attention: output",
    "shortconv.in_proj": "convolution: in",
    "shortconv.out_proj": "convolution: out",
    "ffn_gate": "feed-forward: gate",
    "ffn_up": "feed-forward: up",
    "ffn_down": "feed-forward: down",
}
REST = "norms and kernels"


@dataclass
class StepGuess:
    """Which step the reader named, kept for the cell that shows the truth."""

    question: str
    value: str


def predict_step(question: str, steps: Sequence[str], default: str) -> StepGuess:
    """Ask the reader for a step of the ladder; on a static page, say what was assumed."""
    guess = StepGuess(question, default)
    if static():
        display(
            Markdown(
                f"*Prediction: {question} On this static page the choice stands at {default}; in a live notebook it is yours.*"
            )
        )
        return guess
    import ipywidgets

    chosen = ipywidgets.Dropdown(options=list(steps), value=default, description="step")
    chosen.observe(lambda change: setattr(guess, "value", change["new"]), "value")
    display(ipywidgets.VBox([ipywidgets.Label(question), chosen]))
    return guess


def group_of(name: str) -> str:
    """What a reader calls the tensor of this GGUF name."""
    return (
        next((group for part, group in GROUPS.items() if part in f"{name}."), REST)
        if "norm" not in name
        else REST
    )


def bits_by_group(prediction: Prediction) -> dict[str, tuple[float, float]]:
    """For every group of tensors: bits a weight, and the share of all weights it holds."""
    held: dict[str, list[Any]] = {}
    for choice in prediction.tensors:
        held.setdefault(group_of(choice.tensor.name), []).append(choice)
    counts = {
        group: sum(int(np.prod(choice.tensor.shape)) for choice in found) for group, found in held.items()
    }
    bits = {group: 8 * sum(choice.bytes for choice in found) / counts[group] for group, found in held.items()}
    order = [group for group in (*GROUPS.values(), REST) if group in held]
    return {group: (bits[group], counts[group] / prediction.parameters) for group in order}


def bits_map(predictions: Mapping[str, Prediction], what: str) -> None:
    """Bits a weight for every group of tensors on every step: dark is many, and the number stands in the cell."""
    found = {quant: bits_by_group(prediction) for quant, prediction in predictions.items()}
    groups = found[WHOLE]
    values = np.array([[found[quant][group][0] for quant in found] for group in groups])
    figure, axes = plt.subplots(figsize=(8.6, 0.36 * len(groups) + 1.5))
    axes.imshow(np.log2(values), cmap="Blues", aspect="auto", vmin=0.5, vmax=5.6)
    for (row, column), value in np.ndenumerate(values):
        axes.text(
            column,
            row,
            f"{value:.2f}".rstrip("0").rstrip("."),
            ha="center",
            va="center",
            color="white" if value > 12 else "black",
        )
    axes.set_xticks(
        range(len(found)), [f"{quant}\nØ {one.bits_per_weight:.2f}" for quant, one in predictions.items()]
    )
    axes.set_yticks(
        range(len(groups)),
        [
            f"{group}  ({share:.1%})" if share > 0.0005 else f"{group}  (few)"
            for group, (_, share) in groups.items()
        ],
    )
    axes.xaxis.tick_top()
    axes.grid(False)
    axes.tick_params(length=0)
    axes.set_title(f"{what}: bits a weight, by what the weight does", pad=12)
    listed = "; ".join(f"{quant} {one.bits_per_weight:.2f} on average" for quant, one in predictions.items())
    kept = ", ".join(f"{quant} {found[quant]['embedding, also output'][0]:.2f}" for quant in found)
    present(
        figure,
        f"bits a weight in {what}, by group of tensors (its share of the weights in brackets): {listed}; the embedding: {kept}.",
        seeds=None,
    )


def error_by_bits(naive: Mapping[int, float], steps: Mapping[str, tuple[float, float]]) -> None:
    """Relative rounding error against bits a weight: plain rounding as a line, the files of the ladder as marks.

    Args:
        naive: relative error by bits, of one 16-bit scale for 32 weights, drawn at bits + ½.
        steps: bits a weight and relative error of every step's file.
    """
    figure, axes = plt.subplots(figsize=(7, 3.8))
    bits = sorted(naive)
    axes.plot(
        [one + 0.5 for one in bits],
        [naive[one] for one in bits],
        "--",
        marker=".",
        color=GREY,
        label="plain rounding, a scale for 32 weights",
    )
    for place, (quant, (spent, error)) in enumerate(steps.items()):
        axes.plot(
            spent,
            error,
            MARKS[place % 5],
            color=INK,
            markersize=8,
            label="llama.cpp's files" if not place else None,
        )
        axes.annotate(
            quant, (spent, error), textcoords="offset points", xytext=(-6, -12), ha="right", fontsize=9
        )
    axes.set(xlabel="bits a weight, scales included", ylabel="rounding error ÷ weight", yscale="log")
    axes.set(xlim=(1.5, 9.2), ylim=(0.6 * min(error for _, error in steps.values()), 1))
    axes.set_yticks([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5], ["0.5%", "1%", "2%", "5%", "10%", "20%", "50%"])
    axes.set_title("What a bit buys")
    axes.legend(fontsize=8)
    listed = "; ".join(f"{quant} {spent:.2f} bits, {error:.1%}" for quant, (spent, error) in steps.items())
    present(
        figure,
        f"root-mean-square rounding error of the feed-forward layers' weights as a share of their size: {listed}.",
    )


def ladder_levels(compared: Mapping[str, Compared], guess: str | None = None) -> None:
    """Left: share of people who keep F16's level. Right: KL at the level's place. Down the ladder, with 95 % intervals."""
    rows = [row for quant, row in compared.items() if quant != WHOLE]
    names = [row.quant for row in rows]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.7))
    for axes, rates in ((left, [row.agreement for row in rows]), (right, [row.kl for row in rows])):
        reach = [[rate.value - rate.low for rate in rates], [rate.high - rate.value for rate in rates]]
        axes.errorbar(
            range(len(rows)), [rate.value for rate in rates], yerr=reach, fmt="o-", capsize=5, color=INK
        )
        axes.set_xticks(range(len(rows)), names)
        axes.set_xlim(-0.4, len(rows) - 0.4)
    left.axhline(FAITHFUL, color="black", linestyle=":", label=f"the bar, {FAITHFUL:.0%}")
    if guess in names:
        left.axvline(
            names.index(guess), color="#ef6c00", linestyle="--", label="your prediction: first change"
        )
    left.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    left.set_title("Who keeps the level")
    left.legend(fontsize=8, loc="lower left")
    right.set(yscale="log", ylabel="nats")
    right.set_title("KL(F16 ‖ step) at the level")
    listed = "; ".join(
        f"{row.quant} agreement {row.agreement}, KL {row.kl.value:.2g} nats [{row.kl.low:.2g}–{row.kl.high:.2g}]"
        for row in rows
    )
    present(
        figure,
        f"share of people given the level that F16 gives them, and the divergence of the odds at that place: {listed}.",
        n=rows[0].agreement.n,
    )


def close_calls(steps: Mapping[str, Step]) -> None:
    """One row a step: by how much the F16 model's level leads the next, a thin line a person; people whose level changed are crosses."""
    whole = steps[WHOLE]
    lower = {quant: step for quant, step in steps.items() if quant != WHOLE}
    figure, axes = plt.subplots(figsize=(9, 0.55 * len(lower) + 1.4))
    told = []
    for place, (quant, step) in enumerate(reversed(lower.items())):
        changed = np.array([not same for same in agreement(whole, step)])
        axes.plot(
            whole.margins[~changed],
            np.full((~changed).sum(), place - 0.12),
            "|",
            color="#b0bec5",
            markersize=9,
        )
        axes.plot(whole.margins[changed], np.full(changed.sum(), place + 0.14), "x", color=WARN, markersize=7)
        told.insert(
            0,
            f"{quant} {changed.sum()}"
            + (f", the surest at {whole.margins[changed].max():.2f} nats" if changed.any() else ""),
        )
    axes.axvline(np.median(whole.margins), color="black", linestyle=":", label="the median person")
    axes.plot([], [], "x", color=WARN, label="level changed")
    axes.plot([], [], "|", color="#b0bec5", label="level kept")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_yticks(range(len(lower)), list(reversed(lower)))
    axes.set_ylim(-0.6, len(lower) - 0.4)
    axes.set_xlabel("lead of the F16 model's level over the next (nats)")
    axes.set_title("Whose level changes?")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    present(
        figure,
        f"every person by how sure the F16 model is; changed levels are crosses: {'; '.join(told)}.",
        n=len(whole.margins),
    )


def other_models(ladders: Mapping[str, Mapping[str, Compared]]) -> None:
    """Label agreement down the ladder for several models, a mark and a line style each, with 95 % intervals."""
    figure, axes = plt.subplots(figsize=(8, 3.4))
    told = []
    for place, (name, compared) in enumerate(ladders.items()):
        rows = [row for quant, row in compared.items() if quant != WHOLE]
        reach = [
            [row.agreement.value - row.agreement.low for row in rows],
            [row.agreement.high - row.agreement.value for row in rows],
        ]
        where = [one + 0.1 * (place - 1) for one in range(len(rows))]
        style, label = ("-", "--", ":")[place % 3], f"{name} (accuracy {compared[WHOLE].accuracy.value:.0%})"
        axes.errorbar(
            where,
            [row.agreement.value for row in rows],
            yerr=reach,
            fmt=MARKS[place] + style,
            capsize=4,
            label=label,
        )
        told.append(f"{name} {', '.join(f'{row.quant} {row.agreement.value:.1%}' for row in rows)}")
    axes.axhline(FAITHFUL, color="black", linestyle=":", linewidth=1)
    axes.set_xticks(range(len(rows)), [row.quant for row in rows])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_title("The same steps, other models")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    present(
        figure,
        f"share of people who keep the level of each model's own F16 file: {'; '.join(told)}.",
        n=rows[0].agreement.n,
    )


def ladder_table(compared: Mapping[str, Compared]) -> Markdown:
    """The measured ladder in figures, every rate with its interval."""
    return table(
        [
            {
                "step": row.quant,
                "bytes": f"{row.bytes:,}",
                "smaller by": f"{row.reduction:.1%}",
                "same level as F16": row.agreement,
            }
            | {
                "KL (nats)": f"{row.kl.value:.2g} [{row.kl.low:.2g}–{row.kl.high:.2g}]",
                "accuracy": row.accuracy,
            }
            | {
                "change of accuracy, paired": f"{row.change.estimate * 100:+.1f} points [{row.change.low * 100:+.1f} to {row.change.high * 100:+.1f}]"
            }
            | {"p": f"{row.change.p:.2g}", "more urgent": row.sooner, "less urgent": row.later}
            for row in compared.values()
        ]
    )


def file_costs(costs: Mapping[str, Cost], files: Mapping[str, Exported]) -> None:
    """Three panels down the ladder: tokens a second, memory at its peak (the file's own part marked), load time."""
    names, places = list(costs), range(len(costs))
    figure, (speed, memory, load) = plt.subplots(1, 3, figsize=(11.5, 3.5))
    rates = [cost.speed for cost in costs.values()]
    reach = [[rate.value - rate.low for rate in rates], [rate.high - rate.value for rate in rates]]
    speed.errorbar(places, [rate.value for rate in rates], yerr=reach, fmt="o", capsize=5, color=INK)
    speed.set(ylim=(0, None), title="Tokens a second")
    speed.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    sizes, peaks = [files[quant].bytes / 1e6 for quant in names], [cost.peak / 1e6 for cost in costs.values()]
    memory.bar(places, peaks, color="#c5cae9", edgecolor="white", hatch="//", label="peak above the imports")
    memory.bar(places, sizes, color=INK, width=0.35, label="the file")
    memory.set(title="Memory (MB)", ylim=(0, 1.35 * max(peaks)))
    memory.legend(fontsize=8, loc="upper right")
    for place, cost in enumerate(costs.values()):
        load.plot(
            [place] * len(cost.load_seconds), [1000 * one for one in cost.load_seconds], ".", color=GREY
        )
        load.plot(place, 1000 * cost.load, "_", color=INK, markersize=18, markeredgewidth=2.5)
    load.set(ylim=(0, None), title="Load time (ms)")
    for axes in (speed, memory, load):
        axes.set_xticks(places, names, fontsize=8, rotation=30)
    listed = "; ".join(
        f"{quant} {cost.speed.value:,.0f} tokens/s, {cost.peak / 1e6:.1f} MB, {1000 * cost.load:.0f} ms"
        for quant, cost in costs.items()
    )
    loads = len(next(iter(costs.values())).load_seconds)
    caption = f"one thread, {loads} fresh processes a file; bars of speed are 95 % intervals over answers, lines of load time are medians: {listed}."
    present(figure, caption, n=rates[0].n)
