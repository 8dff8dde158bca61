"""Sentences of notebook 02: what reading medicine buys, what it costs, and whether the task profits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from helpers.evaluate import Rate
from helpers.lab.readings.common import points


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


def later_text(base: Rate, after: Rate, replay: Rate, gains: Mapping[str, Rate]) -> str:
    """Does the task profit? `gains` are paired differences of runs against the base, by starting point, with their intervals."""

    def told(name: str, rate: Rate) -> str:
        gain = gains[name]
        return f"{rate.value:.0%} after {name} ({points(gain.value)} points [{points(gain.low)} to {points(gain.high)}])"

    reading, mixed = gains
    head = f"{base.value:.0%} from the base, {told(reading, after)}, {told(mixed, replay)}; {base.n} runs from each start, compared seed by seed"
    one, two = gains[reading], gains[mixed]
    if one.high < 0:
        end = "**Reading medicine first made the task worse**: what the base knew about complaints was worth more than the reading"
    elif one.low > 0:
        end = "**Reading medicine first helped the task**"
    else:
        end = "**No effect of the reading on the task is shown** with so few runs"
    if one.high < 0 and two.value > one.value:
        kept = "most of" if two.high >= 0 else "some of"
        end += f". Replay gives {kept} it back"
        end += ", and nothing beyond it is shown" if two.low <= 0 <= two.high else ""
    elif two.low > 0:
        end += ". With replay it helps"
    return f"{head}. {end}."


def adaptation_summary(
    medical: tuple[Rate, Rate], own: Sequence[tuple[float, float]], gains: Mapping[str, Rate]
) -> str:
    """Notebook 02 in a few sentences.

    Args:
        medical: perplexity of the held-out medical texts before and after.
        own: for every run, perplexity of the base's own kind of text before and after.
        gains: as in `later_text`.
    """
    factors = [after / before for before, after in own]
    cheap = (
        f"The perplexity of new medical texts went from {medical[0].value:,.0f} to {medical[1].value:,.0f}"
    )
    span = f"{min(factors):.1f} to {max(factors):.1f}" if len(factors) > 1 else f"{factors[0]:.1f}"
    if min(factors) > 1.05:
        paid = (
            f"that of what the base had learnt before rose to {span} times what it was ({len(factors)} runs)"
        )
    else:
        paid = f"that of what the base had learnt before stayed about where it was ({span} times, {len(factors)} runs)"
    gain = next(iter(gains.values()))
    task = (
        "the task profited"
        if gain.low > 0
        else "the task **suffered**"
        if gain.high < 0
        else "the task showed **no difference** beyond the noise"
    )
    return f"{cheap}; {paid}; {task}. A falling perplexity says that a model expects a text, and nothing about what it can do with it."
