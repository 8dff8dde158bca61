"""Sentences of notebook 11's picker: the file for a phone, and what the measurements hold against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from helpers.lab.picker import Advice

__all__ = ["advice_text", "picker_text"]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def advice_text(advice: Advice) -> str:
    """The recommendation for one phone, with everything that the measurements hold against it."""
    phone, chosen = advice.phone, advice.chosen
    head = (
        f"{phone.memory:g} GB of memory, {phone.bandwidth:g} GB/s, at least {phone.wanted:g} tokens a second:"
    )
    if chosen is None:
        tight = [offer.quant for offer in advice.offers if offer.fits]
        why = (
            f"{_listed(tight)} fits, but is too slow even at best"
            if tight
            else "none fits into what an app may fill"
        )
        return f"{head} **no file of this ladder** ({why})."
    text = f"{head} **{chosen.quant}**, {chosen.needed / 1e9:.2f} GB while it answers, at most {chosen.at_most:.0f} tokens a second."
    if chosen.against:
        return f"{text} **Measured against its like on nano: {'; '.join(chosen.against)}.**"
    return f"{text} Nothing was measured against its like on nano."


def picker_text(chosen: Mapping[str, int], total: int) -> str:
    """How often each step is the answer over the phones of the map."""
    listed = ", ".join(f"{quant} {count / total:.0%}" for quant, count in chosen.items())
    return f"Over the phones of this map: {listed}. Memory decides towards the left, bandwidth downwards; where both suffice, no bits are given away."
