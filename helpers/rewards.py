"""Rewards for reinforcement learning: what an answer is paid for, and which policy those prices ask for.

A `Reward` is a list of prices, called as TRL calls its reward functions; `NAIVE`, `BLOG` and `CALIBRATED` are three of them. The
second half needs no model: `matrix`, `optimal` and `policy_map` read off the prices what a policy that only maximises them will answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from helpers.cases import Example
from helpers.evaluate import COSTS, Rate, wilson
from helpers.evaluate.scoring import distance
from helpers.files import LabError
from helpers.triage import LEVELS, PARTS, country_of, parse

TERMS = ("correct", "under", "over", "unreadable", "urgent_enough", *PARTS)  # the lines of a bill
Completion = str | Sequence[Mapping[str, Any]]
T = TypeVar("T")
Belief = Mapping[str, float] | Sequence[float] | np.ndarray
_TIE = 1e-9  # expected rewards closer than this are equal: sums of decimals differ in their last digits


@dataclass(frozen=True)
class Reward:
    """Prices for one answer. Frozen, and complete in its `repr`: fingerprint that to know when a price has changed.

    Attributes:
        name: what TRL logs it by.
        correct: paid for an accepted level.
        under, over: charged (so give a positive number) for every level below or above the accepted set, see `evaluate.scoring.distance`.
        unreadable: charged for an answer without a level, or with two.
        urgent_enough: (paid, otherwise) for a readable level at least as urgent as some accepted one.
        cells: amounts by (truth, answer) that stand in for the three level prices there. The truth is the primary level; an
            accepted answer is its own truth, so that no cell can charge for what the rubric accepts.
        parts: (present, absent) amounts for any of `triage.PARTS`; the number has to be the person's own country's, and the actions have to say
            to call first where the syndrome does.

    Raises:
        LabError: a price is not a finite number, a charge is negative, or a cell or part has an unknown name.
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
        pairs = [self.urgent_enough, *self.parts.values()]
        prices = [
            self.correct,
            self.under,
            self.over,
            self.unreadable,
            *self.cells.values(),
            *(price for pair in pairs for price in pair),
        ]
        if not all(math.isfinite(price) for price in prices):
            raise LabError(
                f"Reward {self.name!r}: every price must be a finite number, or training follows nonsense. Prices: {prices}."
            )
        if min(self.under, self.over, self.unreadable) < 0:
            raise LabError(
                f"Reward {self.name!r}: `under`, `over` and `unreadable` are charged, so a negative one pays. Drop the sign."
            )
        if unknown := [level for cell in self.cells for level in cell if level not in LEVELS]:
            raise LabError(
                f"Reward {self.name!r}: `cells` names {unknown[0]!r}. A cell is (truth, answer), both of {', '.join(LEVELS)}."
            )
        if unknown := [part for part in self.parts if part not in PARTS]:
            raise LabError(
                f"Reward {self.name!r}: `parts` names {unknown[0]!r}. The parts are {', '.join(PARTS)}."
            )

    @property
    def __name__(self) -> str:
        """The name TRL logs a reward function by."""
        return self.name

    def __call__(
        self,
        prompts: Sequence[Any],  # noqa: ARG002 (TRL's signature)
        completions: Sequence[Completion],
        *,
        accepted: Sequence[Sequence[str]] | None = None,
        country: Sequence[str] | None = None,
        level: Sequence[str] | None = None,
        syndrome: Sequence[str | None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float]:
        """The reward of every completion, as `trl.GRPOTrainer` asks for it (TRL 1.14; it passes everything by keyword).

        Args:
            prompts: not looked at; the columns say what is right.
            completions: texts, or lists of chat messages.
            accepted, country, level: the dataset's columns: accepted levels, ISO code, primary level. Only a reward
                with `cells` looks at `level`.
            syndrome: names of `data/syndromes.yaml`; without them nobody is held to call first.
            log_metric: TRL's logger; it gets the mean of each of `TERMS`, as "name/term": which of them a policy lives on.

        Raises:
            LabError: a column is missing, of another length than `completions`, or holds what is no level or known country.
        """
        nothing = [None] * len(completions)
        rows = zip(
            self._column("accepted", accepted, len(completions)),
            self._column("country", country, len(completions)),
            self._column("level", level, len(completions)) if self.cells or level is not None else nothing,
            syndrome or nothing,
            strict=True,
        )
        examples = [_example(*row) for row in rows]
        bills = [
            self.parts_of(row, text_of(answer)) for row, answer in zip(examples, completions, strict=True)
        ]
        if log_metric and bills:
            for term in TERMS:
                log_metric(f"{self.name}/{term}", sum(bill[term] for bill in bills) / len(bills))
        return [math.fsum(bill.values()) for bill in bills]

    def _column(self, column: str, values: Sequence[T] | None, rows: int) -> Sequence[T]:
        """The values of a column, refused where they are missing or not one for each completion."""
        if values is None:
            raise LabError(
                f"Reward {self.name!r} needs the column `{column}` and got none. Keep it in the dataset, beside `prompt`."
            )
        if len(values) != rows:
            raise LabError(
                f"Reward {self.name!r}: {len(values)} values in the column `{column}` for {rows} completions, so it is unclear which "
                "belongs to which. Repeat every row once for each of its completions, as TRL does."
            )
        return values

    def of(self, example: Example, text: str) -> float:
        """The reward of one answer, as text."""
        return math.fsum(self.parts_of(example, text).values())

    def parts_of(self, example: Example, text: str) -> dict[str, float]:
        """The itemised bill: an amount for each of `TERMS`, summing to the reward. A cell's is booked under the term it stands in for."""
        reading = parse(text)
        bill = dict.fromkeys(TERMS, 0.0) | self.level_bill(example, reading.level)
        absent_parts = reading.missing(example.country, example.call_now)
        for part, (present, absent) in self.parts.items():
            bill[part] = float(present if part not in absent_parts else absent)
        return bill

    def split(self) -> list[Reward]:
        """The same prices as several rewards, whose amounts sum to this one's: the level, and each part by itself.

        GRPO divides a group's rewards by their spread. In one sum the dearest term sets that spread and a cheap one is drowned; given
        apart, each term is divided by its own (GDPO, arXiv 2601.05242; TRL's `normalize_then_sum`).
        """
        level = replace(self, name=f"{self.name}-level", parts={})
        return [
            level,
            *(Reward(f"{self.name}-{part}", parts={part: prices}) for part, prices in self.parts.items()),
        ]

    def level_bill(self, example: Example, given: str | None) -> dict[str, float]:
        """The amounts for the level alone: the terms that apply to it, None being no level."""
        paid, otherwise = self.urgent_enough
        if given is None:
            return {"unreadable": 0.0 - self.unreadable, "urgent_enough": float(otherwise)}
        steps = distance(example, given)
        term = "correct" if steps == 0 else "over" if steps > 0 else "under"
        price = {"correct": self.correct, "over": -steps * self.over, "under": steps * self.under}[term]
        truth = given if given in example.accepted else example.level
        return {
            term: 0.0 + self.cells.get((truth, given), price),
            "urgent_enough": float(paid if steps >= 0 else otherwise),
        }


def _example(accepted: Sequence[str], country: str, level: str | None, syndrome: str | None) -> Example:
    """A row of the dataset's columns, checked."""
    if not accepted or any(named not in LEVELS for named in (*accepted, level or accepted[0])):
        raise LabError(
            f"A row accepts {accepted!r} with the primary level {level!r}; nothing can be priced by that. "
            f"`accepted` is a list of one or more of {', '.join(LEVELS)}, `level` is one of them."
        )
    return Example("", level or accepted[0], tuple(accepted), country_of(country).code, syndrome)


def text_of(completion: Completion) -> str:
    """The words of a completion: the text itself, or what its assistant messages say, one after another."""
    if isinstance(completion, str):
        return completion
    # A truncated turn may reach us as an empty message, and a content that is no text says nothing that can be read.
    said = [
        message.get("content") for message in completion if message.get("role", "assistant") == "assistant"
    ]
    return "\n".join(content for content in said if isinstance(content, str))


# ---------------------------------------------------------------------------------------------------- three rewards
# "Urgent is safe": nothing is dearer than missing urgency, so calling everyone ROJO is never wrong.
NAIVE = Reward("naive", urgent_enough=(1.0, -1.0))

# The blog's, as it describes it. Under-triage is not priced at all, and over-triage in one cell of ten.
BLOG = Reward("blog", correct=1.0, cells={("AZUL", "ROJO"): -0.5}, parts={"disclaimer": (0.3, -0.5)})

# One price for every gate. A level off costs what the evaluation's asymmetric cost says, a quarter each. The number is the dearest part,
# because another country's reaches nobody. The four parts move the sum by 1.2 in all: less than what lies between a right level and a
# wrong one (1.25 or more), so no part ever pays for a wrong level. An unreadable level costs more than the worst error (3.0) and all the
# parts together: saying nothing clearly is never a way out.
_PARTS = {part: (0.3, -0.3) if part == "number" else (0.1, -0.1) for part in PARTS}
CALIBRATED = Reward(
    "calibrated",
    correct=1.0,
    under=0.25 * COSTS["under"],
    over=0.25 * COSTS["over"],
    unreadable=4.5,
    parts=_PARTS,
)

REWARDS: dict[str, Reward] = {reward.name: reward for reward in (NAIVE, BLOG, CALIBRATED)}


# ------------------------------------------------------------------------------------------- from prices to a policy
def matrix(reward: Reward) -> np.ndarray:
    """What a level earns: shape (5, 5), rows the truth (the only accepted level), columns the answer, ROJO first."""
    truths = [Example("", level, (level,), "") for level in LEVELS]
    return np.array([[sum(reward.level_bill(truth, given).values()) for given in LEVELS] for truth in truths])


def _table(of: Reward | np.ndarray) -> np.ndarray:
    table = matrix(of) if isinstance(of, Reward) else np.asarray(of, dtype=float)
    if table.shape != (len(LEVELS), len(LEVELS)):
        raise LabError(
            f"A reward matrix has the shape (5, 5), truth by answer; this one has {table.shape}. `matrix(reward)` makes one."
        )
    return table


def _shares(belief: Belief) -> np.ndarray:
    """A belief as a vector over `LEVELS`; a level that a mapping leaves out has no share."""
    if isinstance(belief, Mapping):
        shares, stray = np.array([belief.get(level, 0.0) for level in LEVELS]), set(belief) - set(LEVELS)
    else:
        shares, stray = np.asarray(belief, dtype=float), set()
    if stray or shares.shape != (len(LEVELS),) or not (shares >= 0).all() or abs(shares.sum() - 1) > 1e-4:
        raise LabError(
            f"{belief} is no belief: it holds the share of each of {', '.join(LEVELS)}, none negative, 1 in all. Normalise it."
        )
    return shares


def expected(of: Reward | np.ndarray, belief: Belief) -> dict[str, float]:
    """The mean reward of answering each level, when the truth is distributed as `belief`: Σ belief[truth] · matrix[truth, answer].

    Args:
        of: a reward, or a (5, 5) matrix of truth by answer.
        belief: shares of the levels that sum to 1: a mapping by level (as from `evaluate.label_probabilities`) or a vector, ROJO first.

    Raises:
        LabError: the matrix has another shape, or the belief is none.
    """
    return dict(zip(LEVELS, (_shares(belief) @ _table(of)).tolist(), strict=True))


def _unbeaten(of: Reward | np.ndarray, belief: Belief) -> list[str]:
    """The levels that no other earns more than, the more urgent first."""
    earned = expected(of, belief)
    return [level for level in LEVELS if earned[level] >= max(earned.values()) - _TIE]


def optimal(of: Reward | np.ndarray, belief: Belief) -> str:
    """The level that earns most under a belief; between equals, the more urgent. Arguments and errors as for `expected`."""
    return _unbeaten(of, belief)[0]


def best_constant(of: Reward | np.ndarray, shares: Belief) -> str:
    """The best single answer to everybody, when the levels occur in these shares: not to read a prompt is to believe the prior."""
    return optimal(of, shares)


def always_optimal(
    of: Reward | np.ndarray, level: str, beliefs: Sequence[Belief] | np.ndarray | None = None
) -> bool:
    """Does no answer earn more than `level`, whichever of these beliefs holds? (A tie counts.)

    Without `beliefs`, under any belief at all: expected reward is linear in the belief, so the five certainties speak for the rest.
    """
    return all(
        level in _unbeaten(of, belief) for belief in (np.eye(len(LEVELS)) if beliefs is None else beliefs)
    )


def rojo_threshold(over: float, under: float, other: str = "AZUL", correct: float = 1.0) -> float:
    """The probability of ROJO, against `other`, from which answering ROJO earns most.

    Let d be the levels between the two. ROJO earns p·c − (1−p)·d·o, the other (1−p)·c − p·d·u; they are equal at
    p = (c + d·o) / (2c + d·(o + u)). A level between the two moves in a straight line from one to the other without the c that either
    end may earn, and one beyond `other` is charged for more levels, so neither is ever the best.

    Args:
        over, under: charged for every level off, both ≥ 0.
        other: the level the person has when it is not ROJO.
        correct: paid for the right level, > 0.

    Raises:
        LabError: a price is out of range, or `other` is not one of the four.
    """
    if other not in LEVELS[1:]:
        raise LabError(f"A threshold lies between ROJO and one of {', '.join(LEVELS[1:])}, not {other!r}.")
    if not (over >= 0 and under >= 0 and correct > 0):
        raise LabError(
            f"A threshold needs over ≥ 0, under ≥ 0, correct > 0; got {over}, {under}, {correct}. Charges take no minus sign."
        )
    levels = LEVELS.index(other)
    return (correct + levels * over) / (2 * correct + levels * (over + under))


def policy_map(
    overs: Sequence[float],
    unders: Sequence[float],
    beliefs: Sequence[Belief] | np.ndarray,
    correct: float = 1.0,
) -> np.ndarray:
    """For each pair of prices, the share of the beliefs under which ROJO earns most (a tie counts): shape (overs, unders), in 0…1.

    Args:
        overs, unders: charged for every level off.
        beliefs: n beliefs, each as for `expected`.
        correct: paid for the right level.

    Raises:
        LabError: there is no belief, or one is none.
    """
    if len(beliefs) == 0:
        raise LabError(
            "A policy map needs at least one belief to take a share of. `evaluate.label_probabilities` gives a model's."
        )
    shares = np.stack([_shares(belief) for belief in beliefs])
    place = np.arange(len(LEVELS))
    too_urgent = np.maximum(place[:, None] - place[None, :], 0)  # levels of over-triage, truth by answer
    over, under = (
        np.asarray(overs, float)[:, None, None, None],
        np.asarray(unders, float)[None, :, None, None],
    )
    # Axes: over, under, belief, answer.
    earned = correct * shares - over * (shares @ too_urgent) - under * (shares @ too_urgent.T)
    return (earned[..., 0] >= earned.max(axis=-1) - _TIE).mean(axis=-1)


def gaps(of: Reward | np.ndarray) -> list[tuple[str, str]]:
    """Holes in a reward: the (truth, answer) cells where a wrong level earns 0 or more, so that nothing charges for the error.

    Zero is what an answer earns that no term speaks of. Training compares answers with each other and cannot see a zero, but the
    reader of a price list can: each cell here is an error that somebody forgot to price, or pays for.
    """
    holes = (_table(of) >= 0) & ~np.eye(len(LEVELS), dtype=bool)
    return [(LEVELS[truth], LEVELS[given]) for truth, given in np.argwhere(holes)]


def zero_std_share(groups: Sequence[Sequence[float]]) -> Rate:
    """Share of groups whose rewards are all equal. GRPO pays an answer for being better than its group, so these teach nothing.

    Source: Shao et al. 2024 (advantage = (reward − mean) / standard deviation, within a group); TRL logs it as `frac_reward_zero_std`.

    Raises:
        LabError: a group is empty.
    """
    if any(len(group) == 0 for group in groups):
        raise LabError(
            "A group without rewards is neither equal nor unequal. Pass the rewards of one prompt's completions as one group."
        )
    return wilson(sum(max(group) - min(group) < _TIE for group in groups), len(groups))
