"""Sentences of notebook 09: what hard negatives do to the gates, what weak ones do, and which negative teaches what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from helpers.audit import FeatureAudit, LengthAudit, PreferenceAudit
from helpers.evaluate import Effect, Rate, paired_test

__all__ = [
    "KIND_GATE",
    "MovedGate",
    "dev_rate_text",
    "dropped_pairs_text",
    "exchanged_text",
    "hard_audit_text",
    "hard_label_text",
    "kinds_confound_text",
    "left_out_text",
    "moved_gates",
    "moved_gates_text",
    "negatives_summary_text",
    "ran_on_text",
    "stirred_text",
    "stronger_text",
    "told_apart_text",
    "unlike_any_other",
    "weak_negatives_audit_text",
    "weak_negatives_text",
]

BETTER, WORSE, NOT_SHOWN = "better", "worse", "not shown"
KIND_GATE = {  # the gate that a kind of near miss breaks
    "off_by_one": "label",
    "no_disclaimer": "disclaimer",
    "wrong_number": "number",
    "no_alarms": "alarms",
    "over_by_two": "over_triage",
}


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


def _listed(rows: Sequence[MovedGate]) -> str:
    return ", ".join(f"**{row.gate}** ({row.before:.1%} → {row.after:.1%})" for row in rows)


def moved_gates_text(name: str, rows: Sequence[MovedGate]) -> str:
    """Which gates an arm moved, in shares of items as the gate wants them."""
    worse, better = ([row for row in rows if row.verdict == verdict] for verdict in (WORSE, BETTER))
    fell = [row for row in rows if row.verdict == NOT_SHOWN and row.after < row.before - 0.005]
    text = f"{name}: "
    text += f"worse in {_listed(worse)}. " if worse else "**no gate is shown to be worse** than before. "
    text += f"Better in {_listed(better)}." if better else "None is shown to be better."
    if fell:
        text += f" Lower, but within luck: {', '.join(f'{row.gate} ({row.before:.1%} → {row.after:.1%})' for row in fell)}."
    return text


def hard_label_text(before: Rate, hard: Sequence[Rate], p: Sequence[float]) -> str:
    """The issue's second target: label accuracy not below the balanced model's."""
    runs = "; ".join(f"{rate.value:.1%} (p = {value:.2g})" for rate, value in zip(hard, p, strict=True))
    mean = sum(rate.value for rate in hard) / len(hard)
    head = f"Accepted level: {before} before; after hard negatives, run by run with the paired test: {runs}."
    if mean < before.low:
        return f"{head} **The mean falls below the interval of the model before**: the target is missed."
    if all(value < 0.05 for value in p) and mean > before.value:
        return f"{head} **Hard negatives raise it in every run.**"
    direction = (
        "a little lower" if mean < before.value else "a little higher" if mean > before.value else "the same"
    )
    return f"{head} The mean is {direction}, and inside the interval of the model before: **no loss is shown, and no gain either**."


def dev_rate_text(chosen: float, harmless: Sequence[float], tried: Sequence[float]) -> str:
    """Which learning rate the dev prompts let through."""
    listed = ", ".join(f"{rate:.1g}" for rate in sorted(tried, reverse=True))
    if not harmless:
        return f"Of {listed}, **every rate makes some gate worse on the dev prompts**; the smallest, {chosen:.1g}, is taken, and the harm is to be expected below."
    if len(harmless) == len(tried):
        return f"Of {listed}, none makes a gate worse that the dev prompts could show; the largest, **{chosen:.1g}**, is taken."
    return f"Of {listed}, {len(tried) - len(harmless)} make some gate worse on the dev prompts. The largest of the others, **{chosen:.1g}**, is taken."


def ran_on_text(rate: float, strong: Rate, gentle: Rate, length: str) -> str:
    """Do answers still end when the push is strong? `length` is where the audit expects length to go."""
    head = f"At rate {rate:.1g} {strong.value:.0%} of the answers run on until they are cut, at the gentlest {gentle.value:.0%}."
    if strong.low <= gentle.high:
        return f"{head} **Answers still end**: no effect of the rate on that is shown."
    if length != "up":
        return (
            f"{head} **A strong push takes the end away**, though the audit expects no push towards length."
        )
    return (
        f"{head} **A strong push takes the end away**: what follows the last line is a second answer, often with another level. The audit names a suspect: "
        "a left-out line always makes the *rejected* side shorter, so longer is preferred. It is a suspect and no proof; nothing here was run to convict it."
    )


def hard_audit_text(found: PreferenceAudit) -> str:
    """What the audit expects of the near misses, by name, before anything is trained."""
    rows: list[FeatureAudit | LengthAudit] = [*found.features, *found.lengths]
    up, down = ([row.name for row in rows if row.direction == way] for way in ("up", "down"))
    text = f"DPO on these pairs will push up: {', '.join(up) or 'nothing that can be shown'}; down: {', '.join(down) or 'nothing that can be shown'}."
    parts = [name for name in ("alarms", "disclaimer", "number") if name in down]
    if parts:
        return f"{text} **A part that safety needs would be trained away: {', '.join(parts)}.** Do not train on them."
    if "ROJO given" in down:
        text += " **Mind ROJO**: it is given more often by the rejected side, so pairs like these can make a model slow to call an emergency."
    elif "ROJO given" in up:
        text += " ROJO stands more often on the chosen side: over-triage may grow."
    else:
        text += " For ROJO itself no push is shown."
    return text


def weak_negatives_audit_text(found: PreferenceAudit) -> str:
    """The disclaimer and the levels in weak pairs, before anything is trained."""
    features = {row.name: row for row in found.features}
    disclaimer, level = features["disclaimer"], features["correct level"]
    if disclaimer.direction == "down":
        text = (
            f"The disclaimer stands in {disclaimer.chosen.value:.0%} of the chosen and {disclaimer.rejected.value:.0%} of the rejected answers: "
            "**it will be pushed down**."
        )
    else:
        text = f"The disclaimer is not pushed down ({disclaimer.chosen.value:.0%} of the chosen, {disclaimer.rejected.value:.0%} of the rejected)."
    differ = level.only_chosen + level.only_rejected
    return f"{text} Only {differ / found.counted:.0%} of the pairs differ in whether the level is right; the other pairs say nothing about triage."


def dropped_pairs_text(name: str, made: int, dropped: Mapping[str, int], used: int) -> str:
    """How many pairs fell out, why, and how many are trained on; fewer left than used means that they are read again."""
    left = made - sum(dropped.values())
    told = ", ".join(
        f"{count:,} with {reason}" if "sides" in reason else f"{count:,} × {reason}"
        for reason, count in dropped.items()
    )
    head = f"{name}: {made:,} pairs made, {sum(dropped.values()):,} dropped{f' ({told})' if told else ''}, {used:,} used."
    return (
        f"{head} Only {left:,} of them differ: each is read about {used / left:.1f} times."
        if 0 < left < used
        else head
    )


def exchanged_text(differ: int, gained: int, lost: int, n: int) -> str:
    """How many levels changed between two models on the same items, and in which direction."""
    if not differ:
        return f"Of {n:,} patients **not one** is given another level."
    stay = differ - gained - lost
    return f"{differ:,} of {n:,} patients are given another level: {gained:,} come right by it, {lost:,} go wrong, {stay:,} are as right or wrong as before."


def kinds_confound_text(table: Mapping[str, Mapping[str, int]]) -> str:
    """Kinds and levels do not mix freely; say which kind is about whom."""
    lines = []
    for kind, counts in table.items():
        total = sum(counts.values())
        absent = [level for level, count in counts.items() if not count]
        top = max(counts, key=lambda level: counts[level])
        if absent:
            lines.append(f"**{kind}** never concerns {' or '.join(absent)}")
        elif counts[top] / total > 0.3:
            lines.append(f"**{kind}** leans to {top} ({counts[top]} of {total})")
    if not lines:
        return "Every kind concerns every level about equally: kind and level can be told apart."
    return f"{'; '.join(lines)}. A kind is so partly a level in disguise: what leaving it out does may be the work of the patients that it was about."


def left_out_text(changes: Mapping[str, Mapping[str, Effect]], yardstick: Mapping[str, Effect]) -> str:
    """Leave one kind out: does its own gate suffer, does another? Only moves larger than what another seed does are told.

    Args:
        changes: gate → kind left out → change of the share of items as the gate wants them.
        yardstick: gate → change between two seeds with all kinds.
    """
    own: list[str] = []
    other: list[str] = []
    for gate, found in changes.items():
        for kind, effect in found.items():
            if effect.present and effect.p < 0.05 and abs(effect.estimate) > abs(yardstick[gate].estimate):
                told = f"without {kind}, {gate} {effect.estimate * 100:+.1f} points [{effect.low * 100:+.1f} to {effect.high * 100:+.1f}]"
                (own if KIND_GATE[kind] == gate and effect.estimate < 0 else other).append(told)
    if not own and not other:
        return (
            "**In what the model writes, no kind is shown to matter**: leaving one out moves no gate beyond luck and beyond what another seed does. "
            "The gates cannot tell you which negative taught what; the next section asks the model itself."
        )
    tests = sum(len(found) for found in changes.values())
    text = (
        f"Left out and missed by its own gate: {'; '.join(own)}. "
        if own
        else "**No kind is shown to be missed by its own gate.** "
    )
    text += f"Other moves: {'; '.join(other)}. " if other else "No other gate moves. "
    shared = [gate for gate, found in changes.items() if _all_one_way(found)]
    if shared:
        text += (
            f"**In {', '.join(shared)} most arms move the same way, whichever kind is missing**: that speaks about the one run they are all held "
            "against, and not about any kind. "
        )
    return f"{text}(One run each and {tests} comparisons: expect one in twenty by luck.)"


def _all_one_way(found: Mapping[str, Effect]) -> bool:
    """Do more than half of the arms show a change in the same direction?"""
    signs = [effect.estimate > 0 for effect in found.values() if effect.present]
    return len(found) > 2 and max(signs.count(True), signs.count(False)) > len(found) / 2


def unlike_any_other(own: Mapping[str, Rate], yardstick: Mapping[str, Rate]) -> list[str]:
    """The kinds whose absence lowers the model's preference by more than luck, and by more than another seed moves it."""
    return [kind for kind, rate in own.items() if rate.low > max(0.0, abs(yardstick[kind].value))]


def told_apart_text(
    margins: Mapping[str, Mapping[str, Rate]], own: Mapping[str, Rate], yardstick: Mapping[str, Rate]
) -> str:
    """Which near misses the model tells apart better after training, and whether each needs its own kind.

    Args:
        margins: "before", "hard" and "weak, blog" → kind → mean preference in nats.
        own: kind → mean difference, all kinds minus the arm without this one, patient by patient. yardstick: the same between two seeds.
    """
    before, hard, weak = margins["before"], margins["hard"], margins["weak, blog"]
    learnt = [kind for kind in before if hard[kind].low > before[kind].high]
    needed = unlike_any_other(own, yardstick)
    spare = [kind for kind in own if kind not in needed]
    lost = [kind for kind in before if weak[kind].high < before[kind].low]
    steps = ", ".join(f"{kind} {before[kind].value:+.1f} → {hard[kind].value:+.1f}" for kind in before)
    text = f"Preference for the good answer, in nats, before → after hard negatives: {steps}. "
    text += (
        f"Clearly larger for {', '.join(learnt)}. " if learnt else "**For no kind is it clearly larger.** "
    )
    if needed:
        sizes = ", ".join(f"{kind} by {own[kind].value:.1f}" for kind in needed)
        text += f"Left out, the preference is smaller (nats, one run each) for {sizes}: **as much as that hangs on the kind's own negatives.** "
    if spare:
        text += f"Not shown to need its own negative: {', '.join(spare)}. "
    if lost:
        worst = min(lost, key=lambda kind: weak[kind].value)
        turned = " and **turns against the good answer**" if weak[worst].high < 0 else ""
        text += f"After the blog's weak pairs the preference *falls* for {', '.join(lost)}; for {worst} to {weak[worst].value:+.1f}{turned}."
    else:
        text += "The blog's weak pairs lower it for no kind."
    return text


def weak_negatives_text(blog: Sequence[MovedGate], whole: Sequence[MovedGate]) -> str:
    """Is it the weak negative that harms, or what the chosen answers lack?"""
    found = {row.gate: row for row in blog}["disclaimer"]
    kept = {row.gate: row for row in whole}["disclaimer"]
    head = (
        f"The disclaimer after the blog's weak pairs: {found.before:.1%} → {found.after:.1%}; with the same writer of the rejected answers but "
        f"whole chosen ones: {kept.after:.1%}."
    )
    if found.verdict == WORSE and kept.verdict != WORSE:
        return f"{head} As far as these sets tell, **the harm is in what the chosen answers lack**, not in the rejected ones being weak."
    if found.verdict == WORSE:
        return f"{head} Both lose it: weak negatives alone are enough here."
    return f"{head} **The blog's loss of the disclaimer does not appear here** at this budget."


def stirred_text(changed: Mapping[str, int], n: int) -> str:
    """How many answers a training changed at all, before anybody is praised for having spoilt nothing.

    Args:
        changed: model → answers that differ from those before, on average over its runs. n: answers.
    """
    listed = "; ".join(f"{name} {count:,} ({count / n:.1%})" for name, count in changed.items())
    head = f"Answers that are not to the letter what they were before, of {n:,}: {listed}."
    if max(changed.values()) < 0.1 * n:
        return (
            f"{head} **Hardly anything moved**, whatever the pairs. That no gate is worse then says little about the pairs: a model left alone "
            "passes that test too."
        )
    still = [name for name, count in changed.items() if count < 0.1 * n]
    text = (
        f"{head} Some pairs did move the model, and a gate that stands after those has stood for something."
    )
    return (
        f"{text} After {' and '.join(still)} little moved, and a gate that stands says little."
        if still
        else text
    )


def stronger_text(gentle: float, strong: float) -> str:
    """Why there is a second rate, and what may not be concluded from it."""
    if strong == gentle:
        return "The rule already took the largest rate; the arms below are the ones above, and nothing new is trained."
    return (
        f"The arms above ({gentle:.1g}) are the test that was planned. **The ones below ({strong:.1g}) were added after their result was known**, "
        "because a model that hardly moved cannot tell two sets of pairs apart. The dev prompts refused this rate: read it as *what these pairs do when "
        "they do something*, not as a recipe."
    )


def negatives_summary_text(
    planned: Sequence[MovedGate],
    changed: float,
    strong: Mapping[str, Sequence[MovedGate]],
    needed: Sequence[str],
) -> str:
    """The notebook in a few lines.

    Args:
        planned: the gates after hard negatives at the rate of the rule. changed: share of answers that this training changed.
        strong: set of pairs → gates at the stronger rate.
        needed: kinds of near miss that the others do not teach.
    """
    names = lambda rows, verdict: ", ".join(row.gate for row in rows if row.verdict == verdict) or "none"  # noqa: E731
    lines = [
        f"- Hard negatives at the rate that the dev prompts allow: gates worse: {names(planned, WORSE)}; better: {names(planned, BETTER)}."
    ]
    if any(row.verdict == WORSE for row in planned):
        lines.append(
            "- **The blog's next step does harm here**: hard negatives are no licence to skip the gates."
        )
    elif any(row.verdict == BETTER for row in planned):
        lines.append("- The blog's next step does no harm that these runs can show, and it helps.")
    elif changed < 0.1:
        lines.append(
            f"- The target (no gate worse) is met, **but emptily**: the training changed {changed:.1%} of the answers. A gain is not shown."
        )
    else:
        lines.append("- The target (no gate worse) is met; **a gain is not shown.**")
    lines += [
        f"- Pushed harder, {name}: gates worse: {names(rows, WORSE)}; better: {names(rows, BETTER)}."
        for name, rows in strong.items()
    ]
    lines.append(
        f"- Near misses that the model tells apart less well, by however little, without negatives of their own kind: {', '.join(needed)}."
        if needed
        else "- No kind of near miss is shown to depend on its own negatives."
    )
    return "\n".join(f"> {line}" for line in lines)
