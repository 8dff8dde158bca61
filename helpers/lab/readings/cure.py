"""Sentences of notebook 05: the cure, its ingredients taken apart, and what the blog may conclude."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from helpers.evaluate import Effect, Rate, Scores
from helpers.evaluate.gates import Report
from helpers.triage import LEVELS


def points(value: float) -> str:
    """A difference of fractions in percentage points, with its sign."""
    return f"{value * 100:+.0f}"


def span(effect: Effect) -> str:
    """An effect with its interval, in points."""
    return f"{points(effect.estimate)} points [{points(effect.low)} to {points(effect.high)}]"


def cure_text(before: Scores, after: Scores, p_value: float) -> str:
    """Did the balanced set mend the model? Same items, paired."""
    head = f"Accepted level: {before.accuracy} before, {after.accuracy} after; paired test on the same prompts: p = {p_value:.2g}."
    if p_value < 0.05 and after.accuracy.value > before.accuracy.value:
        return f"{head} **The balanced set mends the model**; which of its ingredients did it is another question."
    if p_value < 0.05:
        return f"{head} **The balanced set made it worse in this run.**"
    return f"{head} **No difference is shown in this run.**"


def target_text(name: str, rate: Rate, target: float, baseline: Rate) -> str:
    """A figure against the blog's target and the always-ROJO baseline."""
    if rate.low >= target:
        reached = f"reaches the blog's {target:.0%} with its whole interval"
    elif rate.value >= target:
        reached = f"reaches the blog's {target:.0%}, though its interval goes below"
    elif rate.high >= target:
        reached = f"stays below the blog's {target:.0%}, though the interval does not exclude it"
    else:
        reached = f"**misses** the blog's {target:.0%}"
    parrot = "above" if rate.low > baseline.value else "**not clearly above**"
    return f"{name} {rate} {reached}, and its lower bound is {parrot} the always-ROJO baseline ({baseline.value:.0%})."


def column_text(column: str, model: Scores, rival: Scores, name: str, p_value: float) -> str:
    """The model in a column next to a plain classifier trained on the same rows."""
    head = f"On the {column} (n = {model.n}) the model gives an accepted level in {model.accuracy}; {name} trained on the same rows in {rival.accuracy}"
    if p_value >= 0.05:
        return f"{head}. No difference between the two is shown (p = {p_value:.2g})."
    better = "better" if model.accuracy.value > rival.accuracy.value else "**worse**"
    return f"{head}: the language model is {better} (p = {p_value:.2g})."


def _named(effects: Sequence[Effect], *factors: str) -> Effect:
    return next(effect for effect in effects if set(effect.factors) == set(factors))


def factorial_text(accuracy: Sequence[Effect], rojo: Sequence[Effect]) -> str:
    """What moves accuracy, what moves the share of ROJO, and whether the causes add up."""
    mains = sorted(
        (effect for effect in accuracy if len(effect.factors) == 1), key=lambda effect: effect.estimate
    )
    harmful = [effect for effect in mains if effect.high < 0]
    absent = [effect.name for effect in mains if not effect.present]
    if harmful:
        listed = ", then ".join(f"**{effect.name}** ({span(effect)})" for effect in harmful)
        text = f"What costs accuracy, the largest first: {listed}."
    else:
        text = "**None of the three causes costs accuracy in these runs.**"
    if absent:
        text += f" No effect of {' or '.join(absent)} on accuracy is shown."
    if helpful := [effect.name for effect in mains if effect.low > 0]:
        text += f" Against expectation, {' and '.join(helpful)} *raised* it."
    paints = sorted(
        (effect for effect in rojo if len(effect.factors) == 1 and effect.low > 0),
        key=lambda effect: -effect.estimate,
    )
    if paints:
        text += f" What makes the answers ROJO: {', then '.join(f'**{effect.name}** ({span(effect)})' for effect in paints)}."
    else:
        text += " No single cause makes the answers ROJO."
    both = _named(rojo, "skew", "conflict")
    if both.low > 0:
        return f"{text} The two work together: with both, ROJO rises by {span(both)} more than each alone would give."
    if both.high < 0:
        return f"{text} Together they give less ROJO than the sum of their parts ({span(both)})."
    return f"{text} Skew and conflict simply add up: no interaction is shown ({span(both)})."


def separate_text(
    bands: Mapping[tuple[str, str, str], Rate], rojo: Mapping[tuple[str, str, str], Rate], baseline: float
) -> str:
    """The three cells that the blog never had: skew alone, conflict alone, both."""
    sound, skew = bands["uniform", "consistent", "fresh"], bands["skewed", "consistent", "fresh"]
    conflict, both = bands["uniform", "conflicting", "fresh"], bands["skewed", "conflicting", "fresh"]
    alive = "**alive**" if skew.low > baseline else "**no better than a parrot**"
    dead = "**no better than a parrot**" if conflict.low <= baseline else "**still above a parrot**"
    painted = rojo["skewed", "conflicting", "fresh"].value
    end = "the ruin is painted ROJO" if painted >= 0.9 else f"ROJO is said {painted:.0%} of the time"
    return (
        f"Neither fault: {sound.value:.0%} accepted. Skew alone: {skew.value:.0%}, {alive}. Conflict alone: {conflict.value:.0%}, {dead} "
        f"(ROJO only {rojo['uniform', 'conflicting', 'fresh'].value:.0%}). Both: {both.value:.0%}, and {end}."
    )


def start_text(bands: Mapping[tuple[str, str, str], Rate], effect: Effect) -> str:
    """Does the checkpoint matter when the data are sound? The blog's reason for starting afresh."""
    fresh, biased = bands["uniform", "consistent", "fresh"], bands["uniform", "consistent", "biased"]
    head = (
        f"On sound data a fresh start reaches {fresh.value:.0%} [{fresh.low:.0%}–{fresh.high:.0%}], the biased checkpoint {biased.value:.0%} "
        f"[{biased.low:.0%}–{biased.high:.0%}]"
    )
    overall = f"over all cells the start makes {span(effect)}"
    if biased.high < fresh.low:
        return f"{head}; {overall}. **Starting afresh matters here**, as the blog says."
    if biased.low > fresh.high:
        return (
            f"{head}; {overall}. **The biased checkpoint was the better start**, against what the blog says."
        )
    return (
        f"{head}; {overall}. **That starting afresh is crucial, as the blog says, is not shown here**: "
        "sound data overwrite the bias in the same number of updates."
    )


def duplication_text(repeated: Rate, unique: Rate) -> str:
    """What repeating rows costs when their labels are right."""
    head = (
        f"With consistent labels and four rows of five repeated: {repeated.value:.0%} [{repeated.low:.0%}–{repeated.high:.0%}]; all rows unique: "
        f"{unique.value:.0%} [{unique.low:.0%}–{unique.high:.0%}]."
    )
    if repeated.high < unique.low:
        return f"{head} **Duplication costs accuracy** (it is simply a smaller data set), but it does not make a parrot."
    return f"{head} **At this size no harm of duplication alone is shown.**"


def dose_text(bands: Mapping[float, Rate], rojo: Mapping[float, Rate], baseline: float) -> str:
    """How much conflict it takes, at the blog's skew."""
    clean = bands[min(bands)].value
    half = next(
        (dose for dose in sorted(bands) if bands[dose].value - baseline < (clean - baseline) / 2), None
    )
    taken = next((dose for dose in sorted(rojo) if rojo[dose].value >= 0.9), None)
    lost = (
        f"half of what it knew is gone at {half:.0%} blind labels"
        if half is not None
        else "no dose takes half of what it knew"
    )
    red = (
        f"ROJO to (nearly) everybody from {taken:.0%}"
        if taken is not None
        else "at no dose does it say ROJO to nearly everybody"
    )
    return f"At the blog's skew, {lost} (of the doses tried); {red}."


def size_text(bands: Mapping[float, Rate], baseline: float, passes: int) -> str:
    """What more balanced examples buy, at equal training: every size gets the same `passes` over a row."""
    sizes = sorted(bands)
    best = max(sizes, key=lambda size: bands[size].value)
    near = next(size for size in sizes if bands[size].high >= bands[best].value)
    enough = next((size for size in sizes if bands[size].low > baseline), None)
    larger = [f"{size:,.0f}" for size in sizes if size > passes]
    unread = (
        f"Mind the budget: {passes:,} rows are read in all, so {' and '.join(larger)} examples are **not read even once**, and these points say nothing "
        "about what they could give with more training."
        if larger
        else "Every set is read at least once."
    )
    parrot = (
        f"from {enough:,.0f} examples on it beats a parrot"
        if enough is not None
        else "no size beats a parrot"
    )
    return (
        f"At the same number of updates {parrot}; the best mean is {bands[best].value:.0%} with {best:,.0f}, and {near:,.0f} examples already cannot "
        f"be told from it. {unread}"
    )


def correction_text(fixes: Mapping[str, Rate], rare: Mapping[str, float], level: str) -> str:
    """Logit adjustment and weighted sampling against the skew they are meant to undo.

    Args:
        fixes: accuracy of `plain`, `adjusted`, `weighted` and `balanced`.
        rare: recall of the rarest level for the same four.
        level: that level.
    """
    plain, adjusted, weighted, balanced = (
        fixes[name] for name in ("plain", "adjusted", "weighted", "balanced")
    )
    gain = adjusted.value - plain.value
    if adjusted.low > plain.high:
        verdict = f"**Dividing by the prior gains {points(gain)} points without training anything**"
    elif adjusted.high < plain.low:
        verdict = f"**Dividing by the prior loses {points(-gain)} points here**"
    else:
        verdict = (
            f"Dividing by the prior moves accuracy by {points(gain)} points, within the noise of the seeds"
        )
    return (
        f"Skewed but consistent data: {plain.value:.0%} accepted. {verdict} ({adjusted.value:.0%}); weighted sampling reaches {weighted.value:.0%}, "
        f"balanced data {balanced.value:.0%}. Recall of {level}, the rarest level: {rare['plain']:.0%} plain, {rare['adjusted']:.0%} adjusted, "
        f"{rare['weighted']:.0%} weighted, {rare['balanced']:.0%} balanced."
    )


def mismatch_text(own: Rate, word: Rate, forced: Rate) -> str:
    """The same model under three evaluations."""
    head = f"The same weights: {own.value:.0%} in their own format, {word.value:.0%} when one word is asked for, {forced.value:.0%} forced to choose a word."
    lowest = min(word.value, forced.value)
    if own.low > lowest and own.value - lowest > 0.1:
        return f"{head} **The format of the question alone moves the verdict by {points(own.value - lowest)} points**: hypothesis supported."
    return f"{head} The formats agree: **no mismatch effect is shown**."


def feedback_text(shares: Sequence[Mapping[str, float]], level: str = "ROJO") -> str:
    """Does a model that labels its own training data drift? First and last set of labels against the patients' own shares."""
    first, last = shares[0][level], shares[-1][level]
    gone = [name for name in LEVELS if shares[-1][name] < 0.02]
    head = f"In this one chain, of patients of whom a fifth are {level}, the first model calls {first:.0%} {level}, the last generation {last:.0%}."
    if last - first > 0.05:
        head += " **The bias feeds itself.**"
    elif first - last > 0.05:
        head += " **The bias shrinks from generation to generation here**, against the hypothesis."
    else:
        head += " **The bias is handed down, but it does not grow** in these generations."
    return f"{head} Levels that (nearly) nobody is told in the end: {', '.join(gone) or 'none'}."


def gates_text(reports: Mapping[str, Report]) -> str:
    """Which models the gates would let through."""
    accepted = [name for name, report in reports.items() if report.passed]
    lines = [
        f"{name} passes {sum(verdict == 'passes' for _, _, verdict in report.rows)} of {len(report.rows)}"
        for name, report in reports.items()
    ]
    verdict = f"accepted: {', '.join(accepted)}" if accepted else "**none would be released**"
    return f"{'; '.join(lines)}. By the rule written down before training, {verdict}."


def conclusions_text(
    accuracy: Sequence[Effect],
    bands: Mapping[tuple[str, str, str], Rate],
    baseline: float,
    repeated: Rate,
    start: Effect,
) -> str:
    """What the blog may conclude from its cure, and what it may not."""
    skew, conflict = _named(accuracy, "skew"), _named(accuracy, "conflict")
    alone = bands["skewed", "consistent", "fresh"]
    lines = []
    if conflict.estimate < skew.estimate and conflict.high < 0:
        lines.append(
            f"**Imbalance alone was not the disease.** Contradicting labels move accuracy by {span(conflict)}, skew by {span(skew)}."
        )
    elif skew.high < 0:
        lines.append(
            f"**Imbalance was the larger fault**, as the blog says: {span(skew)} against {span(conflict)} for contradicting labels."
        )
    else:
        lines.append("Neither skew nor conflict is shown to cost accuracy in these runs.")
    if alone.low > baseline:
        lines.append(
            f"A model trained on the blog's skew with honest labels still works ({alone.value:.0%} against a parrot's {baseline:.0%}): it neglects rare levels."
        )
    else:
        lines.append("Skew alone is enough to make a parrot, even with honest labels.")
    sound = bands["uniform", "consistent", "fresh"]
    lines.append(
        "Duplicates with honest labels cost accuracy too."
        if repeated.high < sound.low
        else "Duplicates with honest labels did no harm that these runs can show."
    )
    lines.append(
        f"That the start was *crucial* may be said: {span(start)}."
        if start.high < 0
        else "That a fresh start was *crucial* may not be said from this evidence."
    )
    return "\n".join(f"> - {line}" for line in lines)
