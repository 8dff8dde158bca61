"""Preference pairs: two answers to one person. Weak pairs, near misses, and doses of the disclaimer."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from helpers.cases.writers import Example
from helpers.files import LabError
from helpers.triage import LEVELS, PARTS, countries, country_of, number_line, parse, render


@dataclass(frozen=True)
class Pair:
    """A preferred and a dispreferred answer to one person; `kind`: what is wrong with the latter."""

    example: Example
    chosen: str
    rejected: str
    kind: str = ""

    @property
    def fault(self) -> str | None:
        """Why nothing can be learned from this pair, or None: sides that do not differ, or an empty one."""
        chosen, rejected = self.chosen.strip(), self.rejected.strip()
        if chosen == rejected:
            return "identical sides"
        return "empty chosen" if not chosen else "empty rejected" if not rejected else None


def pair_rows(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    """Rows in TRL's conversational preference form."""

    def turn(text: str) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": text}]

    return [
        {"prompt": pair.example.prompt, "chosen": turn(pair.chosen), "rejected": turn(pair.rejected)}
        for pair in pairs
    ]


def usable(pairs: Iterable[Pair]) -> tuple[list[Pair], Counter[str]]:
    """The pairs that can teach something, in order, and how many were dropped for which reason."""
    every = list(pairs)
    kept = [pair for pair in every if not pair.fault]
    return kept, Counter(pair.fault for pair in every if pair.fault)


def weak_pairs(examples: Sequence[Example], chosen: Sequence[str], rejected: Sequence[str]) -> list[Pair]:
    """A pair for each example, preferred only because of who wrote it; a `LabError` if lengths differ."""
    if not len(examples) == len(chosen) == len(rejected):
        counts = f"{len(examples):,} examples, {len(chosen):,} chosen and {len(rejected):,} rejected answers"
        raise LabError(f"{counts} cannot be paired: every example needs one of each, in the same order.")
    return [Pair(*sides) for sides in zip(examples, chosen, rejected, strict=True)]


# ------------------------------------------------------------------------------------------------ near misses
def _off_by_one(example: Example, rng: random.Random) -> str | None:
    place = LEVELS.index(example.level)
    neighbours = [level for level in LEVELS[max(0, place - 1) : place + 2] if level not in example.accepted]
    return render(rng.choice(neighbours), example.country, example.picture) if neighbours else None


def _over_by_two(example: Example, _: random.Random) -> str | None:
    place = min(LEVELS.index(level) for level in example.accepted) - 2
    return render(LEVELS[place], example.country, example.picture) if place >= 0 else None


def _wrong_number(example: Example, rng: random.Random) -> str:
    right = set(country_of(example.country).numbers)
    # 123 is Colombia's and also one of Guatemala's: a number is only wrong where it shares nothing with ours.
    elsewhere = [
        code for code, country in countries().items() if country.numbers and not right & set(country.numbers)
    ]
    own, other = country_of(example.country), country_of(rng.choice(elsewhere))
    return example.answer.replace(own.call, other.call).replace(number_line(own), number_line(other))


def _without(part: str, example: Example, _: random.Random) -> str:
    return replace(example, parts=tuple(name for name in PARTS if name != part)).answer


_NEAR_MISSES: dict[str, Callable[[Example, random.Random], str | None]] = {
    "off_by_one": _off_by_one,
    "no_disclaimer": partial(_without, "disclaimer"),
    "wrong_number": _wrong_number,
    "no_alarms": partial(_without, "alarms"),
    "over_by_two": _over_by_two,
}
KINDS: tuple[str, ...] = tuple(_NEAR_MISSES)


def near_miss(example: Example, kind: str, rng: random.Random) -> str | None:
    """The good answer with exactly one thing wrong, or None where that cannot be.

    `off_by_one` gives a neighbouring level that is not accepted, `over_by_two` the one two steps above the
    most urgent accepted level; name and action then follow the wrong level. `wrong_number` calls a number
    that does not work here, in every line. `no_disclaimer` and `no_alarms` leave out a line. Raises
    LabError: no such kind, or the example's own answer is not right (its level is not accepted), so nothing
    can be *near* it.
    """
    if kind not in KINDS:
        raise LabError(f"There is no near miss of kind {kind!r}. Known kinds: {', '.join(KINDS)}.")
    if example.level not in example.accepted:
        what = f"is not among the accepted levels ({', '.join(example.accepted)})"
        raise LabError(
            f"The label {example.level} of {example.text!r} {what}: its answer cannot be the chosen one. "
            "Build hard pairs from examples without label conflict."
        )
    return _NEAR_MISSES[kind](example, rng)


def hard_pairs(examples: Sequence[Example], seed: int) -> list[Pair]:
    """One pair for each example: its right answer against a near miss, `kind` saying which.

    Every example takes the kind that was used least so far and is possible for it. Kinds so rotate, and one
    that some examples cannot have (nothing is two levels above ROJO) catches up on the others. Ties go by
    lot, so that kinds and levels go together no more than they must. Raises LabError: as `near_miss`.
    """
    rng = random.Random(seed)
    used = dict.fromkeys(KINDS, 0)
    pairs = []
    for example in examples:
        for kind in sorted(used, key=lambda kind: (used[kind], rng.random())):
            rejected = near_miss(example, kind, rng)
            if rejected is not None:
                used[kind] += 1
                pairs.append(Pair(example, example.answer, rejected, kind))
                break
    return pairs


# ------------------------------------------------------------------------------------ doses of the disclaimer
def with_disclaimers(pairs: Sequence[Pair], share: float, seed: int) -> list[Pair]:
    """The same pairs in order, with the disclaimer in exactly round(share·n) of the chosen answers.

    Doses are nested: with one seed, the answers that carry it at 20 % also carry it at 40 %. The rejected
    answers are left alone. Raises LabError: a share not within 0…1, or an answer whose line is unclear.
    """
    if not 0 <= share <= 1:
        how = "Give a fraction from 0 to 1"
        raise LabError(f"A share of {share} of the answers cannot carry the disclaimer. {how}.")
    order = random.Random(seed).sample(range(len(pairs)), len(pairs))
    carries = set(order[: round(share * len(pairs))])
    return [
        replace(pair, chosen=_set_disclaimer(pair.chosen, pair.example.country, n in carries))
        for n, pair in enumerate(pairs)
    ]


def _set_disclaimer(text: str, country: str, present: bool) -> str:
    """A rendered answer with the disclaimer's line added before the number's, or taken away."""
    if parse(text).disclaimer == present:
        return text
    lines = [line for line in text.splitlines() if not parse(line).disclaimer]
    if present:
        place = next((n for n, line in enumerate(lines) if parse(line).has("number")), len(lines))
        lines[place:place] = render(LEVELS[0], country, parts=["disclaimer"]).splitlines()[1:]
    changed = "\n".join(lines)
    if parse(changed).disclaimer != present:
        what = f"Could not {'add' if present else 'remove'} the disclaimer"
        raise LabError(f"{what}: its line cannot be told apart in {text[:200]!r}.")
    return changed
