"""The gates item by item: paired tests and paired intervals need this, not a rate."""

from collections.abc import Sequence

from helpers.cases import Example
from helpers.evaluate.effects import Effect, paired_change
from helpers.evaluate.gates import KAPPA, load_gates
from helpers.evaluate.scoring import measured
from helpers.triage import parse


def held_by_gate(examples: Sequence[Example], answers: Sequence[str]) -> dict[str, tuple[bool, ...]]:
    """For each gate of `data/gates.yaml` but kappa (no share of items): is the answer as the gate wants it?

    `missed_urgency` is asked only of items whose primary level is ROJO or NARANJA, `call` only of those whose
    syndrome says to call: they are shorter than the others.
    """
    rows = [(row, parse(text)) for row, text in zip(examples, answers, strict=True)]
    return {
        gate.id: tuple(held is gate.at_least for held in measured(rows, gate.measure))
        for gate in load_gates()
        if gate.measure != KAPPA
    }


def gate_changes(
    examples: Sequence[Example], before: Sequence[str], after: Sequence[str]
) -> dict[str, Effect]:
    """How the share of items that are as a gate wants them changes between two models, gate by gate."""
    old, new = held_by_gate(examples, before), held_by_gate(examples, after)
    return {gate: paired_change(gate, old[gate], new[gate]) for gate in old}
