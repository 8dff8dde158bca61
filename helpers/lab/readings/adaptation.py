"""Sentences of notebook 02: what reading medicine buys, what it costs, and whether the task profits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from helpers.evaluate import Rate
from helpers.lab.readings.cure import points


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
            said.append(f"{name}: **{_ratio(one.value, two.value)} times worse** ({_plain(one)} → {_plain(two)})")
    end = (
        "What nobody repeats is overwritten: that is **forgetting**, and only a set that the model was good at before can show it"
        if lost
        else "**No forgetting is shown** on these texts in this run"
    )
    return f"{'; '.join(said)}. {end}."


def seen_text(seen: Rate, new: Rate, terms_seen: Rate, terms_new: Rate) -> str:
    """Did words get cheaper because they were read, or also words that were not? Gains in nats a word."""
    nats = lambda rate: f"{rate.value:.1f} [{rate.low:.1f}–{rate.high:.1f}] nats (n = {rate.n})"  # noqa: E731
    head = f"A word that occurs in the training texts got cheaper by {nats(seen)}, a word that does not by {nats(new)}"
    if seen.low > new.high:
        head += ": **most of what was learnt is these words**, not medicine at large"
    elif new.low > 0:
        head += ": new words gain as well, so it is **more than a word list**"
    terms = f"Among the glossary’s terms: {nats(terms_seen)} for those it has read"
    terms += f", {nats(terms_new)} for those it has not" if terms_new.n else "; every one of them was read in training"
    return f"{head}. {terms}."


def later_text(base: Mapping[int, Rate], cpt: Mapping[int, Rate], gains: Mapping[int, Rate]) -> str:
    """Does the task profit? `gains` are paired differences of runs, after reading minus before, with their intervals."""
    said = [
        f"with {size:,} examples {base[size].value:.0%} from the base and {cpt[size].value:.0%} after reading, a difference of "
        f"{points(gains[size].value)} points [{points(gains[size].low)} to {points(gains[size].high)}]"
        for size in sorted(gains)
    ]
    if all(gain.high < 0 for gain in gains.values()):
        end = "**Reading medicine first made the task worse**, at every size: what the base knew about complaints was worth more than the reading"
    elif all(gain.low > 0 for gain in gains.values()):
        end = "**Reading medicine first helped the task**, at every size"
    elif any(gain.high < 0 for gain in gains.values()):
        end = "**Reading medicine first made the task worse** where the interval excludes zero, and helped nowhere that could be shown"
        if any(gain.low > 0 for gain in gains.values()):
            end = "**It helped at one size and hurt at another**"
    elif any(gain.low > 0 for gain in gains.values()):
        end = "**Reading medicine first helped** where the interval excludes zero"
    else:
        end = "**No effect on the task is shown** with so few runs: every interval holds zero"
    runs = next(iter(gains.values())).n
    return f"{'; '.join(said)} ({runs} runs from each start, same seeds). {end}.".replace("with", "With", 1)


def adaptation_summary(medical: tuple[Rate, Rate], own: Sequence[tuple[float, float]], gains: Mapping[int, Rate]) -> str:
    """Notebook 02 in three sentences.

    Args:
        medical: perplexity of the held-out medical texts before and after.
        own: for every run, perplexity of the base's own kind of text before and after.
    """
    factors = [after / before for before, after in own]
    cheap = f"Medical perplexity went from {medical[0].value:,.0f} to {medical[1].value:,.0f}"
    span = f"{min(factors):.1f} to {max(factors):.1f}" if len(factors) > 1 else f"{factors[0]:.1f}"
    if min(factors) > 1.05:
        paid = f"the perplexity of what the base had learnt first rose to {span} times what it was ({len(factors)} runs)"
    else:
        paid = f"what the base had learnt first stayed about where it was ({span} times, {len(factors)} runs)"
    largest = max(gains)
    if gains[largest].low > 0:
        task = "the task profited"
    elif gains[largest].high < 0:
        task = "the task **suffered**"
    else:
        task = "the task showed **no difference** beyond the noise of the runs"
    return f"{cheap}; {paid}; and at {largest:,} examples {task}. A falling perplexity says that a model expects a text, and nothing about what it can do."
