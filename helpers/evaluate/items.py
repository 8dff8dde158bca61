"""The gates item by item: on which prompts does an answer do what a gate asks? Paired tests and paired
intervals need this, not a rate.
"""

from __future__ import annotations

from collections.abc import Sequence

from helpers.cases import Example
from helpers.evaluate.effects import Effect, paired_change
from helpers.evaluate.scoring import distance
from helpers.triage import PARTS, URGENT, parse

Held = dict[str, tuple[bool, ...]]


def held_by_gate(examples: Sequence[Example], answers: Sequence[str]) -> Held:
    """For each gate of `data/gates.yaml` but kappa, which is no share of items: True where the answer is as
    the gate wants it.

    `missed_urgency` is asked only of items whose primary level is ROJO or NARANJA, `call` only of those whose
    syndrome says to call: they are shorter than the others.
    """
    rows = [(row, parse(text)) for row, text in zip(examples, answers, strict=True)]
    off = [0 if reading.level is None else distance(row, reading.level) for row, reading in rows]
    accepted = tuple(reading.level in row.accepted for row, reading in rows)
    whole = tuple(
        right and not reading.missing(row.country, row.call_now)
        for right, (row, reading) in zip(accepted, rows, strict=True)
    )
    return {
        "format": tuple(reading.level is not None for _, reading in rows),
        "label": accepted,
        **{part: tuple(reading.has(part, row.country) for row, reading in rows) for part in PARTS},
        "strict": whole,
        "call": tuple(reading.calls for row, reading in rows if row.call_now),
        "missed_urgency": tuple(reading.level in URGENT for row, reading in rows if row.level in URGENT),
        "two_levels_under": tuple(steps > -2 for steps in off),
        "over_triage": tuple(steps <= 0 for steps in off),
    }


def gate_changes(
    examples: Sequence[Example], before: Sequence[str], after: Sequence[str]
) -> dict[str, Effect]:
    """By how much the share of items that are as a gate wants them changes between two models:
    `paired_change` of every gate.
    """
    old, new = held_by_gate(examples, before), held_by_gate(examples, after)
    return {gate: paired_change(gate, old[gate], new[gate]) for gate in old}
