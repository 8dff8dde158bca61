"""Sentences of notebook 10: what a reward asks for, what it gets, and what it forgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from helpers.evaluate import Rate
from helpers.lab.readings.common import points
from helpers.rewards import Reward, always_optimal, gaps, rojo_threshold
from helpers.triage import PARTS

KEPT = 0.95  # a part counts as kept from here on, as in data/gates.yaml


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def price_gaps_text(rewards: Mapping[str, Reward]) -> str:
    """How many errors each price list leaves uncharged, on which side, and whether ROJO can ever be beaten under it."""
    lines = []
    for name, reward in rewards.items():
        holes = gaps(reward)
        under = sum(_is_under(truth, given) for truth, given in holes)
        unnamed = [part for part in PARTS if part not in reward.parts]
        text = f"**{name}** charges nothing for {under} of the 10 ways to under-triage and {len(holes) - under} of the 10 ways to over-triage"
        text += f", and has no price for {_listed(unnamed)}" if unnamed else ", and prices every part"
        if always_optimal(reward, "ROJO"):
            text += ". No belief makes any answer better than ROJO"
        lines.append(f"{text}.")
    return "<br>".join(lines)


def _is_under(truth: str, given: str) -> bool:
    from helpers.triage import LEVELS

    return LEVELS.index(given) > LEVELS.index(truth)


def threshold_text(over: float, under: float) -> str:
    """From which probability ROJO is the best-paid answer, near and far, and where it is always."""
    near, far = rojo_threshold(over, under, "NARANJA"), rojo_threshold(over, under, "AZUL")
    limit = (
        f"Raise the price of over-triage instead and it moves towards {rojo_threshold(1e9, under, 'AZUL'):.0%}; "
        f"raise that of under-triage and it moves towards {rojo_threshold(over, 1e9, 'AZUL'):.0%}, which is *ROJO on the slightest suspicion*"
    )
    return f"At {over:g} a level over and {under:g} a level under, ROJO is the best answer from {near:.0%} against NARANJA and from {far:.0%} against AZUL. {limit}."


def suspicion_text(blog: float, ours: float) -> str:
    """The patient between ROJO and AZUL: from which probability on each price list sends the ambulance."""
    if blog > ours:
        return (
            f"Under the blog's prices a person with a chance of ROJO of anything **below {blog:.0%}** is best told AZUL, if that is the other possibility; "
            f"under ours the line is {ours:.0%}. **A reward against over-triage alone asks for under-triage.**"
        )
    return f"The blog's prices say ROJO from {blog:.0%} on, ours from {ours:.0%}: the blog's list is no bolder than ours here."


def map_text(shares: Mapping[str, float], truth: float, n: int) -> str:
    """The same beliefs under several price lists: how many people each calls ROJO."""
    listed = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    most, least = max(shares, key=lambda name: shares[name]), min(shares, key=lambda name: shares[name])
    text = f"One model, one set of beliefs about {n} people, of whom {truth:.0%} are ROJO. Called ROJO by the best policy of each price list: {listed}."
    if shares[most] - shares[least] > 0.02:
        return f"{text} **Between {least} and {most} nothing was learnt and nothing forgotten: only the prices differ.**"
    return f"{text} **The prices make no difference to speak of for this model's beliefs.**"


def naive_text(start: Mapping[str, Rate], end: Mapping[str, Rate]) -> str:
    """Did "urgent is safe" paint everything ROJO, with a rising reward?

    Args:
        start, end: figures by name; `end` holds `reward_first` and `reward_last` too.
    """
    first, last, rojo = end["reward_first"], end["reward_last"], end["rojo_share"]
    rising = last.low > first.high
    head = (
        f"The reward of the test answers went from {first.value:+.2f} to {last.value:+.2f} [{last.low:+.2f} to {last.high:+.2f}]; ROJO from "
        f"{start['rojo_share'].value:.0%} to {rojo.value:.0%} [{rojo.low:.0%}–{rojo.high:.0%}]; accuracy from {start['accuracy'].value:.0%} to "
        f"{end['accuracy'].value:.0%}."
    )
    if rising and rojo.value >= 0.9 and end["accuracy"].high < start["accuracy"].low:
        return f"{head} **The reward rose while the model got worse: it was paid for saying ROJO, and it says ROJO.**"
    if rising and rojo.low > start["rojo_share"].high:
        return f"{head} **The reward amplified the lean to ROJO**, though not all the way to everybody."
    if rising:
        return f"{head} The reward rose; **that it amplified ROJO is not shown in this run**."
    return f"{head} **The reward did not rise in this run**, so nothing follows from it."


def _fell(part: str, start: Mapping[str, Rate], runs: Sequence[Mapping[str, Rate]]) -> int:
    """In how many runs a part lies below the start, interval against interval."""
    return sum(run[part].high < start[part].low for run in runs)


def drift_text(
    name: str, reward: Reward, start: Mapping[str, Rate], runs: Sequence[Mapping[str, Rate]]
) -> str:
    """What became of the parts that a reward has no price for, and of those it pays; every run speaks for itself.

    Args:
        start: figures before; runs: the same after, one mapping a seed.
    """
    text = []
    for kind, parts in (
        ("no price for", [p for p in PARTS if p not in reward.parts]),
        ("a price on", [p for p in PARTS if p in reward.parts]),
    ):
        if not parts:
            continue
        told, still = [], []
        for part in parts:
            values = " and ".join(f"{run[part].value:.0%}" for run in runs)
            if fell := _fell(part, start, runs):
                told.append(
                    f"**{part}** fell in {fell} of {len(runs)} runs (from {start[part].value:.0%} to {values})"
                )
            else:
                still.append(f"{part} ({values})")
        told += [f"no fall is shown of {_listed(still)}"] if still else []
        text.append(f"{kind} {_listed(parts)}: {'; '.join(told)}")
    return f"**{name}**, " + ". With ".join(text) + "."


def coherence_text(start: Rate, ends: Mapping[str, Sequence[Rate]]) -> str:
    """Does the name beside the level still belong to it ("ROJO — Emergencia")? No reward here has a price for that."""
    listed = "; ".join(
        f"{name} {' and '.join(f'{rate.value:.0%}' for rate in runs)}" for name, runs in ends.items()
    )
    head = f"The name beside the level is the level's own in {start.value:.0%} of the start's answers; after training, a figure a run: {listed}."
    torn = [name for name, runs in ends.items() if any(rate.high < start.low for rate in runs)]
    if torn:
        return (
            f"{head} **With {_listed(torn)} the answer contradicts itself**: the rewarded word was changed, and the sentence around it was not. "
            "Of the three, none charges for it: a hole in ours, too."
        )
    return f"{head} No run is shown to contradict itself more than the start, though nothing charges for it."


def calibrated_text(start: Mapping[str, Rate], end: Mapping[str, Rate], change: Rate) -> str:
    """Did pricing every gate keep every gate, and did the cost that was priced go down?"""
    lowest = min(PARTS, key=lambda part: end[part].value)
    sure = all(end[part].low >= KEPT for part in PARTS)
    if sure:
        gates = f"Every part stays at {KEPT:.0%} or above with its whole interval (lowest: {lowest}, {end[lowest].value:.1%})"
    elif end[lowest].value >= KEPT:
        gates = f"Every part stays at {KEPT:.0%} or above, though an interval goes below (lowest: {lowest}, {end[lowest]})"
    else:
        gates = f"**{lowest} falls below {KEPT:.0%}** ({end[lowest]}), price or no price"
    cost = f"the asymmetric cost a person changes by {change.value:+.2f} levels [{change.low:+.2f} to {change.high:+.2f}]"
    if change.high < 0:
        verdict = (
            f"{cost}: **cheaper errors, and nothing lost**"
            if end[lowest].value >= KEPT
            else f"{cost}: **cheaper errors, at that price**"
        )
    elif change.low > 0:
        verdict = f"{cost}: **dearer errors, against what the reward asks for**"
    else:
        verdict = f"{cost}: **no change of cost is shown**"
    moved = points(end["accuracy"].value - start["accuracy"].value)
    return f"{gates}; {verdict}. Accuracy moves by {moved} points, ROJO's share from {start['rojo_share'].value:.0%} to {end['rojo_share'].value:.0%}."


def blog_reward_text(start: Mapping[str, Rate], end: Mapping[str, Rate], change: Rate) -> str:
    """What the blog's own reward did to its three aims: accuracy, ROJO, the disclaimer; and to under-triage, which it leaves out."""
    accuracy, under = (
        points(end["accuracy"].value - start["accuracy"].value),
        points(end["under"].value - start["under"].value),
    )
    head = f"The blog's reward moves accuracy by {accuracy} points, under-triage by {under}, the disclaimer to {end['disclaimer'].value:.0%}."
    if end["under"].low > start["under"].high:
        head += " **Under-triage, which it does not price, grew.**"
    elif end["under"].high < start["under"].low:
        head += " Under-triage fell although nothing charges for it: better levels come with fewer misses."
    else:
        head += " No change of under-triage is shown: that hole in the price list stayed unused in so short a training."
    word = "falls" if change.high < 0 else "rises" if change.low > 0 else "is not shown to change"
    return f"{head} The asymmetric cost {word} ({change.value:+.2f} levels [{change.low:+.2f} to {change.high:+.2f}])."


def collapsed_text(
    spread: float, living: float, before: Mapping[str, Rate], after: Mapping[str, Rate]
) -> str:
    """Can our reward rescue a model that says ROJO to everybody?

    Args:
        spread: share of groups in which every level earns the same, sampled from the collapsed start; living: from the living one.
    """
    head = (
        f"By the level alone, {spread:.0%} of the collapsed start's groups have no spread of reward ({living:.0%} of the living one's). "
        f"After training ROJO goes from {before['rojo_share'].value:.0%} to {after['rojo_share'].value:.0%}, "
        f"accuracy from {before['accuracy'].value:.0%} to {after['accuracy'].value:.0%}."
    )
    if after["accuracy"].low > before["accuracy"].high:
        return f"{head} **It was rescued, in part, against what we expected**: its samples still held something to choose from."
    if spread > 0.5:
        return f"{head} **Not rescued**: where every answer of a group earns the same there is nothing to prefer, so nothing is learnt."
    return (
        f"{head} **Not rescued, though its groups do spread**: there was something to choose from, "
        "and these steps did not turn it into a look at the patient."
    )


def leash_text(
    free: Mapping[str, Rate], held: Mapping[str, Rate], start: Mapping[str, Rate], beta: float
) -> str:
    """The naive reward with a KL term: what the leash holds back."""
    rojo = f"ROJO {start['rojo_share'].value:.0%} at the start, {free['rojo_share'].value:.0%} without, {held['rojo_share'].value:.0%} with"
    parts = {part: held[part].value for part in PARTS}
    lowest, free_lowest = min(parts.values()), min(free[part].value for part in PARTS)
    text = f"With a KL term of weight {beta:g}: {rojo}; the worst-kept part {free_lowest:.0%} without, {lowest:.0%} with."
    softer = held["rojo_share"].high < free["rojo_share"].low
    safer = lowest > free_lowest + 0.05
    if softer and safer:
        grew = (
            " ROJO grew all the same: the prices still ask for it."
            if held["rojo_share"].low > start["rojo_share"].high
            else ""
        )
        return f"{text} **The leash holds back both the slide to ROJO and the loss of parts.**{grew}"
    if safer:
        return f"{text} **The leash keeps what the reward does not name, but not the level**: it slows drift, it does not mend a wrong price."
    if softer:
        return f"{text} **The leash slows the slide to ROJO**, but not the loss of parts."
    return f"{text} **At this weight no difference is shown.**"


def unreadable_price_text(share: float, reward: Reward, spread: float, without: float) -> str:
    """Does the price of an unreadable answer drown the other prices within its group?

    Args:
        share: groups of sampled answers with an unreadable one in them. spread: mean standard deviation of reward in those groups.
        without: the same with the unreadable ones set aside.
    """
    price = f"An unreadable answer is charged {reward.unreadable:g}"
    if share == 0:
        return f"{price}; not one group of the start's samples holds any, so the price stays a threat."
    head = f"{price}; {share:.0%} of the start's groups hold one. In those the reward spreads by {spread:.2f}, and by {without:.2f} with it set aside"
    if spread > 2 * without:
        return f"{head}: **there it drowns what the others differ in**, and a group spends its step on being readable."
    return f"{head}: it does not drown the rest."


def loudness_text(spreads: Mapping[str, float], fell: Sequence[str]) -> str:
    """How loud each part's price is beside the level's, within a group, and whether a priced part fell all the same.

    Args:
        spreads: standard deviation within a group, of "the level" and of every part. fell: priced parts that fell in some run.
    """
    level = spreads["the level"]
    parts = {name: value for name, value in spreads.items() if name != "the level"}
    listed = ", ".join(f"{name} {value:.2f}" for name, value in parts.items())
    head = f"Within a group the amounts for the level spread by {level:.2f}; those for the parts: {listed}."
    quiet = [part for part in fell if parts[part] < level / 3]
    if quiet:
        return (
            f"{head} {_listed(quiet)} had a price and fell all the same. **A price less than a third as loud as the level's is easily drowned**: "
            "an update that helps the level may undo the part and still be paid. Set prices against each other's spread, or give the part a gate."
        )
    if fell:
        return f"{head} {_listed(fell)} fell although the price is not drowned by the level's: this run does not say why."
    return f"{head} No priced part is shown to have fallen."


def cheats_text(earned: Mapping[str, Mapping[str, float]], honest: Mapping[str, float]) -> str:
    """Which cheats earn as much as an honest, right answer, under each reward.

    Args:
        earned: for each reward what every cheat earns; honest: what the right and whole answer earns.
    """
    lines = []
    for name, paid in earned.items():
        winners = [cheat for cheat, amount in paid.items() if amount >= honest[name] - 1e-9]
        lines.append(
            f"**{name}** pays {_listed(winners)} as much as the honest answer"
            if winners
            else f"**{name}** pays every cheat less than the honest answer"
        )
    return "; ".join(lines) + "."


def rewards_summary_text(
    start: Mapping[str, Rate],
    runs: Mapping[str, Sequence[Mapping[str, Rate]]],
    rewards: Mapping[str, Reward],
    change: Mapping[str, Rate],
) -> str:
    """What the three rewards got, a line each, and what may be said.

    Args:
        runs: for each reward the figures of every seed.
    """
    lines, forgotten = [], []
    for name, found in runs.items():
        lost = [
            f"{part} in {fell} of {len(found)} runs" for part in PARTS if (fell := _fell(part, start, found))
        ]
        ends = {
            key: " and ".join(f"{run[key].value:.0%}" for run in found) for key in ("accuracy", "rojo_share")
        }
        lines.append(
            f"**{name}**: accuracy {start['accuracy'].value:.0%} → {ends['accuracy']}, ROJO {start['rojo_share'].value:.0%} → {ends['rojo_share']}, "
            f"cost {change[name].value:+.2f} [{change[name].low:+.2f} to {change[name].high:+.2f}]; "
            + (f"lost {_listed(lost)}." if lost else "no loss of a part shown.")
        )
        unnamed = [part for part in PARTS if part not in rewards[name].parts and _fell(part, start, found)]
        forgotten += [f"{name} ({_listed(unnamed)})"] if unnamed else []
    if forgotten:
        lines.append(
            f"**What a reward does not name is left to chance**, and it went with {_listed(forgotten)}."
        )
    else:
        lines.append("That unnamed parts decay is not shown in these runs.")
    for name in runs:
        if all(part in rewards[name].parts for part in PARTS):
            lost = [part for part in PARTS if _fell(part, start, runs[name])]
            lines.append(
                f"**A price on every part did not keep every part**: {_listed(lost)} fell with {name} too."
                if lost
                else f"A price on every part kept every part, with {name}."
            )
    return "\n".join(f"> - {line}" for line in lines)
