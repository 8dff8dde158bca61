"""Sentences of notebook 02: what reading medicine buys, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping

from helpers.evaluate import Rate


def _ratio(one: float, two: float) -> str:
    factor = max(one, two) / min(one, two)
    return f"{factor:,.0f}" if factor >= 10 else f"{factor:.1f}"


def _plain(rate: Rate) -> str:
    """A perplexity with its interval."""
    return f"{rate.value:,.1f} [{rate.low:,.1f}–{rate.high:,.1f}]"


def _apart(one: Rate, two: Rate) -> bool:
    return one.high < two.low or two.high < one.low


def perplexity_text(before: Rate, after: Rate, read: Rate, uniform: float) -> str:
    """What the held-out medical texts cost before and after, against blind guessing and against texts that were trained on."""
    head = f"Held-out medical texts: perplexity {_plain(before)} before, **{_plain(after)}** after (n = {after.n} texts)"
    if not _apart(before, after):
        return f"{head}: **no change is shown**."
    if after.value > before.value:
        return f"{head}: reading made it **worse**, by a factor of {_ratio(before.value, after.value)}."
    start = (
        f" Before, it was worse than a model that finds every token of the vocabulary equally likely ({uniform:,.0f}): surer than it should be, of the "
        "wrong words."
        if before.low > uniform
        else ""
    )
    gap = (
        f" On the texts it has read it is {_plain(read)}: part of the gain is memory."
        if _apart(read, after) and read.value < after.value
        else f" On the texts it has read it is {_plain(read)}, no better than on new ones as far as the intervals tell."
    )
    return f"{head}: {_ratio(before.value, after.value)} times lower.{start}{gap}"


def forgetting_text(before: Mapping[str, Rate], after: Mapping[str, Rate]) -> str:
    """For every set of texts that is not medical: better, worse, or not shown."""
    said, lost = [], False
    for name in before:
        one, two = before[name], after[name]
        if not _apart(one, two):
            said.append(f"{name}: no change shown ({_plain(one)} → {_plain(two)})")
        elif two.value < one.value:
            said.append(f"{name}: better ({_plain(one)} → {_plain(two)})")
        else:
            lost = True
            said.append(
                f"{name}: **{_ratio(one.value, two.value)} times worse** ({_plain(one)} → {_plain(two)})"
            )
    end = (
        "What nobody repeats is overwritten: that is **forgetting**, and only a set that the model was good at before can show it"
        if lost
        else "**No forgetting is shown** on these texts in this run"
    )
    return f"{'; '.join(said)}. {end}."


def seen_text(seen: Rate, new: Rate, terms: Rate) -> str:
    """Did words get cheaper because they were read, or also words that were not? Shares of a word's cost that were saved."""
    told = lambda rate: f"{rate.value:.0%} of its cost [{rate.low:.0%}–{rate.high:.0%}] (n = {rate.n:,})"  # noqa: E731
    head = f"A word that occurs in the training texts lost {told(seen)}, a word that does not {told(new)}"
    if seen.low > new.high and new.low > 0:
        head += ": words that were read gained most, but **new words gained too**; the model also learnt how such texts are spelt and built"
    elif seen.low > new.high:
        head += ": **what was learnt is these words**, not medicine at large"
    elif new.low > 0:
        head += ": **new words gained as much**; what was learnt is less these words than how such texts are spelt and built"
    return f"{head}. A term of the glossary lost {told(terms)}."
