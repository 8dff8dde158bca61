"""Sentences of notebook 11: how small the files are, where on the ladder the answers change, and what a file costs to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from helpers.cases import Example
from helpers.evaluate import bootstrap_mean, paired_test
from helpers.evaluate.gates import Report
from helpers.evaluate.scoring import distance
from helpers.export import BLOG, Exported, Prediction, as_listed
from helpers.lab.costs import Cost
from helpers.lab.ladder import WHOLE, Compared, Step, agreement, first_shown
from helpers.lab.picker import FAITHFUL

__all__ = [
    "block_text",
    "close_calls_text",
    "costs_text",
    "faithful_text",
    "fallbacks_text",
    "first_change_text",
    "gates_down_text",
    "lie_text",
    "moved_gates",
    "moved_gates_text",
    "no_model_agreement_text",
    "quantization_summary_text",
    "rounding_text",
    "same_text_text",
    "sizes_text",
    "table_1b2_text",
    "worst_hit_text",
]

MISSED = "is below it"
BETTER, WORSE, NOT_SHOWN = "better", "worse", "not shown"


@dataclass(frozen=True)
class MovedGate:
    """One gate before and after, on the same items.

    Attributes:
        before, after: share of items that are as the gate wants them; after: mean of the runs.
        p: of every run, the exact paired test against the model before.
        verdict: better or worse if *every* run is at 5 %, in one direction; else not shown.
    """

    gate: str
    before: float
    after: float
    p: tuple[float, ...]
    verdict: str


def moved_gates(
    before: Mapping[str, Sequence[bool]], runs: Sequence[Mapping[str, Sequence[bool]]]
) -> list[MovedGate]:
    """What became of every gate: each run of an arm against the model before, item by item (`evaluate.held_by_gate`)."""
    rows = []
    for gate, held in before.items():
        steps = [sum(run[gate]) - sum(held) for run in runs]
        p = tuple(paired_test(run[gate], held) for run in runs)
        shown = all(value < 0.05 for value in p)
        verdict = BETTER if shown and min(steps) > 0 else WORSE if shown and max(steps) < 0 else NOT_SHOWN
        share = sum(sum(run[gate]) for run in runs) / (len(runs) * len(held))
        rows.append(MovedGate(gate, sum(held) / len(held), share, p, verdict))
    return rows


def _shares(rows: Sequence[MovedGate]) -> str:
    return ", ".join(f"**{row.gate}** ({row.before:.1%} → {row.after:.1%})" for row in rows)


def moved_gates_text(name: str, rows: Sequence[MovedGate]) -> str:
    """Which gates an arm moved, in shares of items as the gate wants them."""
    worse, better = ([row for row in rows if row.verdict == verdict] for verdict in (WORSE, BETTER))
    fell = [row for row in rows if row.verdict == NOT_SHOWN and row.after < row.before - 0.005]
    text = f"{name}: "
    text += f"worse in {_shares(worse)}. " if worse else "**no gate is shown to be worse** than before. "
    text += f"Better in {_shares(better)}." if better else "None is shown to be better."
    if fell:
        text += f" Lower, but within luck: {', '.join(f'{row.gate} ({row.before:.1%} → {row.after:.1%})' for row in fell)}."
    return text


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _below(compared: Mapping[str, Compared]) -> list[Compared]:
    return [row for quant, row in compared.items() if quant != WHOLE]


def block_text(equal: int, blocks: int, bits: float) -> str:
    """Our few lines against llama.cpp's file, block by block."""
    head = f"{blocks:,} blocks of the first feed-forward layer, cut by our lines and by llama.cpp: {equal:,} are the same, byte for byte."
    if equal < blocks:
        return f"{head} **{blocks - equal:,} differ**: what is written above is not what the file holds."
    return f"{head} **That is all of Q8_0**, at {bits:g} bits a weight: the numbers, and their share of one scale."


def rounding_text(naive: Mapping[int, float], steps: Mapping[str, tuple[float, float]]) -> str:
    """What a bit is worth, and whether llama.cpp's smaller steps do better than plain rounding with as many bits.

    Args:
        naive: relative error by bits, of plain rounding with one scale a block.
        steps: bits a weight and relative error of each step's file.
    """
    bits = sorted(naive)
    worth = [naive[few] / naive[more] for few, more in pairwise(bits) if few > 2]
    ratio = float(np.exp(np.mean(np.log(worth))))
    text = f"Above the smallest steps a bit more divides the error of plain rounding by {ratio:.1f}. "
    spent, error = steps["Q2_K"]
    plain = float(np.exp(np.interp(spent - 0.5, bits, np.log([naive[one] for one in bits]))))
    said = f"Q2_K spends {spent:.1f} bits a weight on these layers and errs by {error:.0%} of a weight's usual size; plain rounding with as many, by {plain:.0%}"
    if error < plain:
        return f"{text}{said}. **The k-quants buy their accuracy with cleverer scales, not with bits.**"
    return f"{text}{said}. Here the cleverer scales of the k-quants buy nothing."


def sizes_text(files: Mapping[str, Exported], predicted: Mapping[str, int]) -> str:
    """Sizes on disk, and whether each was predicted to the byte."""
    whole = files[WHOLE].bytes
    listed = ", ".join(
        f"{quant} {file.bytes / 1e6:.2f} MB (−{1 - file.bytes / whole:.0%})"
        for quant, file in files.items()
        if quant != WHOLE
    )
    wrong = [quant for quant, file in files.items() if file.bytes != predicted[quant]]
    head = f"F16 takes {whole / 1e6:.2f} MB; {listed}."
    if wrong:
        return f"{head} **{_listed(wrong)}: not the size that the config predicts.**"
    return f"{head} **Every file has the size that was predicted from the config, to the byte.**"


def fallbacks_text(files: Mapping[str, Exported]) -> str:
    """Which tensors could not have the type their step asks for."""
    fell = {quant: file.fallbacks for quant, file in files.items() if file.fallbacks}
    if not fell:
        return (
            "**No tensor fell back.** Every row of this model fills whole blocks of 256 weights, so each step is the recipe that its name promises; "
            "a model whose rows do not fit would be given larger types here and there, and its file would not be what it is called."
        )
    lines = [f"{quant}: {len(found)} tensors, as {found[0]}" for quant, found in fell.items()]
    return f"**Some tensors fell back to another type**: {'; '.join(lines)}. Those steps are not quite what they are called."


def table_1b2_text(predictions: Mapping[str, Prediction]) -> str:
    """Do the predicted sizes give the blog's figures, and in which unit?"""
    same = [quant for quant, said in BLOG.items() if predictions[quant].listed == said]
    lines = [f"{quant} {predictions[quant].bytes:,} bytes → `{predictions[quant].listed}`" for quant in BLOG]
    head = f"Predicted from the config alone and read as `ls -lh` does, in powers of 1,024 and rounded up: {'; '.join(lines)}."
    whole, fifth = predictions[WHOLE].bytes, predictions["Q5_K_M"].bytes
    if len(same) < len(BLOG):
        odd = [f"{quant} ({BLOG[quant]})" for quant in BLOG if quant not in same]
        return f"{head} **{_listed(odd)} of the blog is not that size**: what it measured is another file, or was read in another unit."
    return (
        f"{head} **All {len(BLOG)} are the blog's figures, to the unit.** So its MB are MiB: in decimal units Q5_K_M takes {fifth / 1e6:.0f} MB, "
        f"and the same F16 file is both its `{as_listed(whole)}` and the {whole / 1e9:.1f} GB of its heading. "
        f"Computed on bytes, Q5_K_M is {1 - fifth / whole:.1%} smaller."
    )


def first_change_text(compared: Mapping[str, Compared], guess: str) -> str:
    """From which step on somebody gets another level, against the reader's guess."""
    rows = _below(compared)
    first = next((row.quant for row in rows if row.agreement.value < 1), None)
    listed = ", ".join(f"{row.quant} {round((1 - row.agreement.value) * row.agreement.n)}" for row in rows)
    head = f"Of {rows[0].agreement.n} people, so many get another level than from F16: {listed}."
    if first is None:
        return f"{head} You said {guess}; **no level changed anywhere on the ladder**."
    verdict = "as you said" if first == guess else f"you said {guess}"
    return f"{head} **The first change comes at {first}** ({verdict})."


def lie_text(compared: Mapping[str, Compared]) -> str:
    """Where the answers are shown to change, where they are shown not to, and where these people are too few to tell."""
    rows = _below(compared)
    kept = [row.quant for row in rows if row.agreement.low >= FAITHFUL]
    unsure = [row.quant for row in rows if row.agreement.low < FAITHFUL <= row.agreement.high]
    first = first_shown(compared, FAITHFUL)
    falls = next((row for row in rows if row.change.p < 0.05 and row.change.estimate < 0), None)
    text = f"Held against {FAITHFUL:.0%}: " + (
        f"{_listed(kept)} {'is' if len(kept) == 1 else 'are'} shown to keep so many levels. "
        if kept
        else "no step is shown to keep so many levels. "
    )
    if unsure:
        text += f"Of {_listed(unsure)} the interval holds {FAITHFUL:.0%}: {rows[0].agreement.n} people are too few to say. "
    if first:
        text += f"**{first} is the first step shown to change more** ({compared[first].agreement}). "
    else:
        text += "**No step is shown to change more.** "
    if falls:
        return (
            text
            + f"Accuracy is first shown to fall at {falls.quant}: {falls.change.estimate * 100:+.1f} points, paired p = {falls.change.p:.2g}."
        )
    worst = min(rows, key=lambda row: row.change.estimate)
    return text + (
        f"**Accuracy is not shown to fall anywhere** (lowest: {worst.quant}, {worst.change.estimate * 100:+.1f} points [{worst.change.low * 100:+.1f} to "
        f"{worst.change.high * 100:+.1f}], paired p = {worst.change.p:.2g}): a level may change and be no worse, and accuracy alone would have seen nothing."
    )


def faithful_text(compared: Mapping[str, Compared], steps: Sequence[str]) -> str:
    """The bar that was set beforehand for the steps a phone would use: the share that agrees, as a figure and as an interval."""
    told, missed = [], []
    for quant in steps:
        rate = compared[quant].agreement
        how = "shown" if rate.low >= FAITHFUL else "met, but not shown" if rate.value >= FAITHFUL else MISSED
        told.append(f"{quant} {rate.value:.2%} ({how})")
        missed += [quant] if how == MISSED else []
    head = f"The bar, set before these people were asked: {FAITHFUL:.0%} of them keep their level. {', '.join(told)}."
    return (
        f"{head} **{_listed(missed)} {'misses' if len(missed) == 1 else 'miss'} it.**"
        if missed
        else f"{head} **None misses it.**"
    )


def close_calls_text(steps: Mapping[str, Step]) -> str:
    """Were the changed levels close calls of the F16 model?"""
    whole, told = steps[WHOLE], []
    typical = float(np.median(whole.margins))
    for quant, step in steps.items():
        changed = whole.margins[[not same for same in agreement(whole, step)]]
        if len(changed):
            told.append((quant, float(np.median(changed)), float(changed.max())))
    if not told:
        return "No level changed, so there is nothing to explain."
    listed = ", ".join(f"{quant} {median:.2f} (largest {largest:.2f})" for quant, median, largest in told)
    head = f"The F16 model's likeliest level leads the next by {typical:.1f} nats for the median person. Among those whose level changed: {listed}."
    sure = [quant for quant, _, largest in told if largest >= typical]
    if sure:
        return f"{head} **Most changes are close calls, but {_listed(sure)} also overrules the model where it was as sure as usual.**"
    return f"{head} **Every change was a close call**: people between two levels, for whom the whole model hesitated too."


def worst_hit_text(person: Example, before: str | None, after: str | None, quant: str) -> str:
    """One person's two levels beside what the rubric accepts."""
    accepted, off = _listed(person.accepted), distance(person, after)
    head = (
        f"The rubric accepts {accepted} here. F16 says {before}, {quant} says {after or 'nothing readable'}"
    )
    if off < 0:
        return f"{head}: **{-off} {'level' if off == -1 else 'levels'} less urgent than it may be**, in an answer as well-formed as the first."
    if off > 0:
        return f"{head}: {off} {'level' if off == 1 else 'levels'} more urgent than it need be. Nobody whom F16 told right is told too little."
    return f"{head}: right both times. Nobody whom F16 told right is told wrong."


def no_model_agreement_text(others: Mapping[str, Mapping[str, Compared]], main: str) -> str:
    """What the same steps do to other models: agreement follows how sure a model is, not how good it is."""
    lines = []
    for name, compared in others.items():
        rows = _below(compared)
        listed = ", ".join(f"{row.quant} {row.agreement.value:.1%}" for row in rows)
        lines.append(f"**{name}** (accuracy of F16 {compared[WHOLE].accuracy.value:.0%}): {listed}")
    text = "; ".join(lines) + "."
    worse = [
        name
        for name, compared in others.items()
        if compared[WHOLE].accuracy.high < others[main][WHOLE].accuracy.low
    ]
    steady = [name for name in worse if min(row.agreement.value for row in _below(others[name])) >= FAITHFUL]
    if steady:
        return (
            f"{text} **{_listed(steady)} keeps its levels down to the smallest file, and is worse than {main} on every step**: agreement says that nothing changed, "
            "not that anything was right."
        )
    return f"{text} Agreement is a property of the model as much as of the step: a bar met by one model says nothing of the next."


def same_text_text(compared: Mapping[str, Compared]) -> str:
    """How many answers stay the same to the letter, beside the levels."""
    rows = [(row, row.same_text) for row in _below(compared) if row.same_text]
    listed = ", ".join(f"{row.quant} {same_text.value:.0%}" for row, same_text in rows)
    head = f"To the letter the same answer as F16's: {listed}."
    looser = [row.quant for row, same_text in rows if same_text.high < row.agreement.low]
    if looser:
        return (
            f"{head} **Wordings change before levels do** (shown for {_listed(looser)}): another alarm sign, another order. "
            "Whether that matters, the gates must say."
        )
    return f"{head} Wordings are not shown to change more often than levels."


def gates_down_text(reports: Mapping[str, Report]) -> str:
    """Which gates stand differently on a smaller file than on F16."""
    whole, moved = reports[WHOLE], []
    for quant, report in reports.items():
        pairs = zip(whole.rows, report.rows, strict=True)
        changed = [
            f"{new.gate.id} ({old.verdict} → {new.verdict})"
            for old, new in pairs
            if old.verdict != new.verdict
        ]
        moved += [f"{quant}: {', '.join(changed)}"] if changed else []
    accepted = (
        "is accepted"
        if whole.passed
        else f"is not accepted itself ({whole.conclusion.split(': ', 1)[-1].rstrip('.')})"
    )
    head = f"The F16 file {accepted}."
    if not moved:
        return f"{head} **No gate stands differently on any smaller file.**"
    return (
        f"{head} **Gates that stand differently on a smaller file**: {'; '.join(moved)}. "
        "Near a bound one person flips a verdict; what is shown, the paired table says."
    )


def costs_text(costs: Mapping[str, Cost], files: Mapping[str, Exported]) -> str:
    """Is the smaller file faster and lighter here? Speed is compared answer by answer with F16's."""
    whole = costs[WHOLE]
    faster, slower = [], []
    for quant, cost in costs.items():
        if quant == WHOLE:
            continue
        ratio = bootstrap_mean([one / other for one, other in zip(cost.rates, whole.rates, strict=True)])
        if ratio.low > 1:
            faster.append(f"{quant} ({ratio.value:.2f}×)")
        elif ratio.high < 1:
            slower.append(f"{quant} ({ratio.value:.2f}×)")
    text = f"F16 writes {whole.speed.value:,.0f} tokens a second on one core. "
    text += f"Faster: {_listed(faster)}. " if faster else "No smaller file is shown to be faster. "
    text += f"Slower: {_listed(slower)}. " if slower else ""
    over = {quant: cost.peak - files[quant].bytes for quant, cost in costs.items()}
    light = min(costs, key=lambda quant: costs[quant].peak)
    text += (
        f"Memory at its peak goes from {whole.peak / 1e6:.1f} MB to {costs[light].peak / 1e6:.1f} MB ({light}); between {min(over.values()) / 1e6:.1f} and "
        f"{max(over.values()) / 1e6:.1f} MB of it are not the file. "
    )
    unordered = [costs[quant].peak for quant in costs] != sorted(
        (costs[quant].peak for quant in costs), reverse=True
    )
    text += (
        "**Smaller on disk is not always smaller in memory**: llama.cpp repacks some types for this processor. "
        if unordered
        else ""
    )
    loads = [1000 * cost.load for cost in costs.values()]
    return (
        f"{text}Loading takes {min(loads):.0f} to {max(loads):.0f} ms, the file being in the system's cache."
    )


def quantization_summary_text(
    compared: Mapping[str, Compared],
    costs: Mapping[str, Cost],
    predictions: Mapping[str, Prediction],
    reports: Mapping[str, Report],
) -> str:
    """What the notebook found, a line each."""
    rows, first = _below(compared), first_shown(compared, FAITHFUL)
    small, last = rows[-1], rows[-1].quant
    same = sum(predictions[quant].listed == said for quant, said in BLOG.items())
    moved = [
        quant
        for quant, report in reports.items()
        if [row.verdict for row in report.rows] != [row.verdict for row in reports[WHOLE].rows]
    ]
    rate = lambda quant: costs[quant].speed.value / costs[WHOLE].speed.value  # noqa: E731
    lines = [
        f"{last} is {small.reduction:.0%} smaller than F16 and gives {1 - small.agreement.value:.1%} of the people another level; Q8_0 is "
        f"{compared['Q8_0'].reduction:.0%} smaller and does so for {1 - compared['Q8_0'].agreement.value:.1%}.",
        f"**{first} is the first step shown to keep fewer than {FAITHFUL:.0%} of the levels.**"
        if first
        else f"**No step is shown to keep fewer than {FAITHFUL:.0%} of the levels.**",
        f"Gates stand differently on {_listed(moved)}."
        if moved
        else "No gate stands differently on a smaller file.",
        f"{same} of the blog's {len(BLOG)} sizes follow from the config of the real model, to the unit.",
        f"{last} writes at {rate(last):.2f}× the speed of F16 here. A file of a few MB fits a processor's cache; the real one does not.",
    ]
    return "\n".join(f"> - {line}" for line in lines)
