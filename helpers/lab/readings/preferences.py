"""Sentences of notebook 08: what DPO did to the safety line, whether the audit foresaw it, and what it was not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from helpers.audit import FeatureAudit, PreferenceAudit
from helpers.evaluate import Rate, Scores, spanned, wilson


def measured(scores: Sequence[Scores], name: str) -> Rate:
    """A rate of notebook 08's table, over one set of answers or several runs' (`spanned`): label, unreadable, strict, or one of the parts."""
    rates = [
        one.accuracy
        if name == "label"
        else one.strict
        if name == "strict"
        else one.unreadable
        if name == "unreadable"
        else one.parts[name]
        for one in scores
    ]
    return spanned(rates)


def moved(before: Rate, after: Rate) -> str:
    """ "up", "down" or "not shown": do the intervals keep the two apart?"""
    if after.low > before.high:
        return "up"
    return "down" if after.high < before.low else "not shown"


def dpo_text(before: Mapping[str, Rate], after: Mapping[str, Rate]) -> str:
    """Did the blog's critical finding appear? Needs the rates of actions, alarms, disclaimer and strict."""
    rose = [part for part in ("actions", "alarms") if moved(before[part], after[part]) == "up"]
    lost, kept = before["disclaimer"], after["disclaimer"]
    gone = kept.high < lost.value / 4
    structure = " and ".join(
        f"{part} {before[part].value:.0%} → {after[part].value:.0%}" for part in ("actions", "alarms")
    )
    safety = f"the disclaimer {lost.value:.0%} → {kept.value:.1%} [{kept.low:.1%}–{kept.high:.1%}]"
    if len(rose) == 2 and gone:
        return (
            f"**The blog's finding appears**: {structure} rise, and {safety} falls below a quarter of what it was. Strict pass: "
            f"{before['strict'].value:.1%} before, {after['strict'].value:.1%} after."
        )
    if moved(lost, kept) == "down":
        return f"The disclaimer falls ({safety}), {'with' if rose else 'without'} more structure ({structure}); **the finding appears in part**."
    return f"**The finding does not appear in this run**: {safety}; {structure}."


def audit_text(audit: PreferenceAudit, before: Mapping[str, Rate], after: Mapping[str, Rate]) -> str:
    """Prediction and outcome, feature by feature."""
    right, wrong, open_ = [], [], []
    for name in before:
        predicted, happened = audit.direction(name), moved(before[name], after[name])
        told = f"{name} (predicted {predicted}, {before[name].value:.0%} → {after[name].value:.0%})"
        if predicted == happened:
            right.append(name)
        elif "not shown" in (predicted, happened):
            open_.append(told)
        else:
            wrong.append(told)
    said = [f"The audit's sign was right for {', '.join(right) or 'nothing'}"]
    if open_:
        said.append(f"undecided: {'; '.join(open_)}")
    said.append(f"**wrong: {'; '.join(wrong)}**" if wrong else "wrong for none")
    end = (
        "The audit reads which way the pairs pull; it cannot know whether the model is able to follow. A number that depends on the person's country "
        "has to be worked out, and pulling does not teach that"
        if any(text.startswith("number") for text in (*wrong, *open_))
        else "The audit took seconds, and no training"
    )
    return f"{'; '.join(said)}. {end}."


def truncation_text(before: Sequence[str], after: Sequence[str], cut_pairs: Rate, limit: int) -> str:
    """Was the disclaimer lost because it stands last and something was cut? Finish reasons of both models; share of pairs that were cut."""
    one, two = (wilson(list(reasons).count("length"), len(reasons)) for reasons in (before, after))
    head = f"Pairs longer than the {limit} tokens that training reads: {cut_pairs}. Answers cut by the limit of generation: {one} before, {two} after"
    if cut_pairs.value == 0 and two.high < 0.1:
        return f"{head}. **Truncation is ruled out**: nothing was cut in training, and the answers that lack the line ended by themselves."
    if cut_pairs.value > 0:
        return f"{head}. **Truncation is not ruled out**: training never saw some endings, and the disclaimer stands near the end."
    return f"{head}. **Truncation is not ruled out**: too many answers did not end by themselves."


def margins_text(accuracy: Sequence[float], margin: Sequence[float], before: Rate, after: Rate) -> str:
    """Would the log have warned anybody?"""
    tail = max(1, len(accuracy) // 5)
    end, start = sum(accuracy[-tail:]) / tail, sum(accuracy[:tail]) / tail
    grew = sum(margin[-tail:]) / tail - sum(margin[:tail]) / tail
    head = f"Reward accuracy {start:.0%} → {end:.0%}, reward margin {'up' if grew > 0 else 'down'} by {abs(grew):.1f}"
    if grew > 0 and moved(before, after) == "down":
        return f"{head}, while the disclaimer went from {before.value:.0%} to {after.value:.0%}. **Every curve of the log is green, and the safety line is gone.**"
    return f"{head}; the disclaimer went from {before.value:.0%} to {after.value:.0%}."


def dose_response_text(odds: Sequence[Rate], after: Sequence[Rate], before: Rate, even: int) -> str:
    """Does the odds ratio in the pairs decide? `even` is the place of the dose at which the pairs are balanced."""
    ordered = [
        rate.value for _, rate in sorted(zip(odds, after, strict=True), key=lambda pair: pair[0].value)
    ]
    rises = all(two >= one - 0.03 for one, two in pairwise(ordered)) and ordered[-1] > ordered[0] + 0.1
    head = (
        f"From the smallest odds ratio to the largest the disclaimer's rate goes from {ordered[0]:.0%} to {ordered[-1]:.0%}: "
        f"{'**it follows the pairs**' if rises else '**it does not simply follow the pairs in this run**'}"
    )
    balanced = after[even]
    if balanced.high < before.low:
        middle = f"With the disclaimer balanced in the pairs it still falls ({before.value:.0%} → {balanced.value:.0%})"
    elif balanced.low > before.high:
        middle = (
            f"With the disclaimer balanced in the pairs it does not fall; it even rises ({before.value:.0%} → {balanced.value:.0%}): it stands in the "
            "structure that is pushed up, which may carry it along"
        )
    else:
        middle = (
            f"With the disclaimer balanced in the pairs it stays ({before.value:.0%} → {balanced.value:.0%})"
        )
    return f"{head}. {middle}."


def settings_text(rates: Mapping[str, Rate], before: Rate) -> str:
    """Could another β or learning rate have saved it? Disclaimer rates by setting."""
    kept = [name for name, rate in rates.items() if moved(before, rate) != "down"]
    listed = "; ".join(f"{name}: {rate.value:.0%}" for name, rate in rates.items())
    if not kept:
        return (
            f"Disclaimer after DPO, {listed} ({before.value:.0%} before). **No setting tried here saves it**: they change how fast the pairs are "
            "followed, not where to."
        )
    return (
        f"Disclaimer after DPO, {listed} ({before.value:.0%} before). No fall is shown with {', '.join(kept)}: a run that learns less loses less. The "
        "table says whether it also gained less."
    )


def preference_summary(
    before: Mapping[str, Rate], after: Mapping[str, Rate], foreseen: FeatureAudit, balanced: Rate
) -> str:
    """Notebook 08 in a few sentences."""
    said = f"The pairs held the disclaimer at an odds ratio of {foreseen.odds_ratio.value:.2g}; the audit said *{foreseen.direction}* before any training"
    change = {
        part: f"{before[part].value:.0%} to {after[part].value:.0%}" for part in ("disclaimer", "actions")
    }
    done = f"DPO took it from {change['disclaimer']}, and actions from {change['actions']}"
    mended = (
        f"the same training on pairs that hold it evenly left it at {balanced.value:.0%}"
        if balanced.value >= before["disclaimer"].low
        else f"pairs that hold it evenly did not save it either ({balanced.value:.0%})"
    )
    end = (
        "Nothing was wrong with the algorithm; the specification was written in the pairs, and nobody had read it."
        if foreseen.direction == "down"
        and moved(before["disclaimer"], after["disclaimer"]) == "down"
        and balanced.value >= before["disclaimer"].low
        else "**In this run the pairs alone do not explain it.**"
    )
    return f"{said}. {done}; {mended}. {end}"


__all__ = [
    "audit_text",
    "dose_response_text",
    "dpo_text",
    "margins_text",
    "measured",
    "moved",
    "preference_summary",
    "settings_text",
    "truncation_text",
]
