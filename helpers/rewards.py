"""Rewards for reinforcement learning: what an answer is paid for.

A `Reward` is a list of prices, called as TRL calls its reward functions; `NAIVE`, `BLOG` and `CALIBRATED` are
three of them. `matrix` reads off the prices what each level earns. What the file does not hold: the policy
that prices ask for (notebook 10 derives it in its cells).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from helpers.cases import Example
from helpers.evaluate import COSTS
from helpers.evaluate.scoring import distance
from helpers.files import LabError
from helpers.triage import LEVELS, PARTS, country_of, parse

TERMS = ("correct", "under", "over", "unreadable", "urgent_enough", *PARTS)  # the lines of a bill
COLUMNS = ("accepted", "country", "level", "syndrome")  # of the dataset, that a reward reads
Completion = str | Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Reward:
    """Prices for one answer. Frozen, and complete in its `repr`.

    Attributes:
        name: what TRL logs it by.
        correct: paid for an accepted level.
        under, over: charged (so give a positive number) for every level below or above the accepted set.
        unreadable: charged for an answer without a level, or with two.
        urgent_enough: (paid, otherwise) for a readable level at least as urgent as some accepted one.
        cells: amounts by (truth, answer) that stand in for the three level prices there. The truth is the
            primary level; an accepted answer is its own truth, so no cell can charge for it.
        parts: (present, absent) amounts for any of `PARTS`; the number has to be the person's own country's,
            and the actions have to say to call first where the syndrome does.

    Raises LabError: a price that is no finite number, a negative charge, or an unknown cell or part.
    """

    name: str
    correct: float = 0.0
    under: float = 0.0
    over: float = 0.0
    unreadable: float = 0.0
    urgent_enough: tuple[float, float] = (0.0, 0.0)
    cells: Mapping[tuple[str, str], float] = field(default_factory=dict, hash=False)
    parts: Mapping[str, tuple[float, float]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        charges = (self.under, self.over, self.unreadable)
        pairs = [self.urgent_enough, *self.parts.values()]
        prices = [self.correct, *charges, *self.cells.values(), *(price for pair in pairs for price in pair)]
        what = f"Reward {self.name!r}"
        if not all(map(math.isfinite, prices)):
            how = "every price must be a finite number, or training follows nonsense"
            raise LabError(f"{what}: {how}. Prices: {prices}.")
        if min(charges) < 0:
            how = "`under`, `over` and `unreadable` are charged, so a negative one pays"
            raise LabError(f"{what}: {how}. Drop the sign.")
        named = [(level, "cells", LEVELS) for cell in self.cells for level in cell]
        named += [(part, "parts", PARTS) for part in self.parts]
        for name, where, known in named:
            if name not in known:
                raise LabError(f"{what}: `{where}` names {name!r}. Known are {', '.join(known)}.")

    @property
    def __name__(self) -> str:
        """The name TRL logs a reward function by."""
        return self.name

    def __call__(
        self,
        prompts: Sequence[Any],  # noqa: ARG002 (TRL's signature)
        completions: Sequence[Completion],
        **columns: Any,
    ) -> list[float]:
        """The reward of every completion, as `trl.GRPOTrainer` asks for it (TRL 1.14, all by keyword).

        Args:
            completions: texts, or lists of chat messages.
            columns: the dataset's. Read are `accepted` (levels), `country` (ISO code), `level` (the primary
                one; only with `cells`) and `syndrome` (a name of `data/syndromes.yaml`; without it nobody is
                held to call first).

        Raises LabError: a column that is missing, of another length, or holds no level or known country.
        """
        told = [self._column(name, columns.get(name), len(completions)) for name in COLUMNS]
        rows = zip(zip(*told, strict=True), completions, strict=True)
        return [self.of(_example(*row), text_of(answer)) for row, answer in rows]

    def _column(self, column: str, values: Sequence[Any] | None, rows: int) -> Sequence[Any]:
        if values is None and (column == "syndrome" or (column == "level" and not self.cells)):
            return [None] * rows
        if values is None:
            what = f"Reward {self.name!r} needs the column `{column}` and got none"
            raise LabError(f"{what}. Keep it in the dataset, beside `prompt`.")
        if len(values) != rows:
            what = f"{len(values)} values in the column `{column}` for {rows} completions"
            how = "Repeat every row once for each of its completions, as TRL does"
            raise LabError(f"Reward {self.name!r}: {what}. {how}.")
        return values

    def of(self, example: Example, text: str) -> float:
        """The reward of one answer, as text."""
        return math.fsum(self.parts_of(example, text).values())

    def parts_of(self, example: Example, text: str) -> dict[str, float]:
        """The itemised bill: an amount for each of `TERMS`; a cell's is booked under the term it replaces."""
        reading = parse(text)
        bill = dict.fromkeys(TERMS, 0.0) | self.level_bill(example, reading.level)
        missing = reading.missing(example.country, example.call_now)
        for part, (present, absent) in self.parts.items():
            bill[part] = float(absent if part in missing else present)
        return bill

    def level_bill(self, example: Example, level: str | None) -> dict[str, float]:
        """The amounts for the answer's level alone: the terms that apply to it, None being no level."""
        paid, otherwise = self.urgent_enough
        if level is None:
            return {"unreadable": 0.0 - self.unreadable, "urgent_enough": float(otherwise)}
        steps = distance(example, level)
        term = "correct" if steps == 0 else "over" if steps > 0 else "under"
        price = {"correct": self.correct, "over": -steps * self.over, "under": steps * self.under}[term]
        truth = level if level in example.accepted else example.level
        return {
            term: 0.0 + self.cells.get((truth, level), price),
            "urgent_enough": float(paid if steps >= 0 else otherwise),
        }


def rows(examples: Sequence[Example]) -> list[dict[str, Any]]:
    """Rows for GRPO: the chat up to the model's turn, and the columns that a reward reads."""
    columns = ((one, {name: getattr(one, name) for name in COLUMNS}) for one in examples)
    return [{"prompt": one.prompt, **row, "accepted": [*one.accepted]} for one, row in columns]


def _example(accepted: Sequence[str], country: str, level: str | None, syndrome: str | None) -> Example:
    if not accepted or any(named not in LEVELS for named in (*accepted, level or accepted[0])):
        what = f"A row accepts {accepted!r} with the primary level {level!r}; nothing can be priced by that"
        how = f"`accepted` is a list of one or more of {', '.join(LEVELS)}, `level` is one of them"
        raise LabError(f"{what}. {how}.")
    return Example("", level or accepted[0], tuple(accepted), country_of(country).code, syndrome)


def text_of(completion: Completion) -> str:
    """The words of a completion: the text itself, or what its assistant messages say, one after another."""
    if isinstance(completion, str):
        return completion
    # A truncated turn may reach us as an empty message; a content that is no text says nothing to read.
    contents = [turn.get("content") for turn in completion if turn.get("role", "assistant") == "assistant"]
    return "\n".join(content for content in contents if isinstance(content, str))


def matrix(reward: Reward) -> np.ndarray:
    """What a level earns: shape (5, 5), rows the only accepted level, columns the answer, ROJO first."""
    truths = [Example("", level, (level,), "") for level in LEVELS]
    return np.array([[sum(reward.level_bill(truth, level).values()) for level in LEVELS] for truth in truths])


# "Urgent is safe": nothing is dearer than missing urgency, so calling everyone ROJO is never wrong.
NAIVE = Reward("naive", urgent_enough=(1.0, -1.0))

# The blog's, as it describes it. Under-triage is not priced at all, and over-triage in one cell of ten.
BLOG = Reward("blog", correct=1.0, cells={("AZUL", "ROJO"): -0.5}, parts={"disclaimer": (0.3, -0.5)})

# One price for every gate. A level off costs what the evaluation's asymmetric cost says, a quarter each. The
# number is the dearest part, because another country's may reach nobody. The four parts move the sum by 1.2 in
# all: less than what lies between a right level and a wrong one (1.25 or more), so no part ever pays for a
# wrong level. An unreadable level costs more than the worst error (3.0) and all the parts together: saying
# nothing clearly is never a way out.
CALIBRATED = Reward(
    "calibrated",
    correct=1.0,
    under=0.25 * COSTS["under"],
    over=0.25 * COSTS["over"],
    unreadable=4.5,
    parts={part: (0.3, -0.3) if part == "number" else (0.1, -0.1) for part in PARTS},
)

REWARDS: dict[str, Reward] = {reward.name: reward for reward in (NAIVE, BLOG, CALIBRATED)}
