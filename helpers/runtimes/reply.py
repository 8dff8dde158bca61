"""What every runtime answers with, so that they can be compared: prompt, tokens, text, odds of the level."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from helpers.files import LabError
from helpers.triage import LEVEL_HEADING, LEVELS

STOP, LENGTH = "stop", "length"


class Missing(LabError):
    """This machine has not what a runtime needs."""


@dataclass(frozen=True)
class Reply:
    """What one runtime made of one conversation.

    Attributes:
        prompt: as this runtime rendered it from its own copy of the chat template.
        tokens: the prompt tokens it fed to the model, BOS included.
        text: the greedy answer, stripped.
        finish_reason: "stop" (the model closed its turn) or "length" (it was cut).
        logprobs: log-probabilities, in nats, of the likeliest tokens at the level's place (see
            `level_place`); None where not told.
    """

    prompt: str
    tokens: tuple[int, ...]
    text: str
    finish_reason: str
    logprobs: dict[int, float] | None = None


def level_place(encode: Callable[[str], Sequence[int]]) -> tuple[int, ...]:
    """The answer's tokens that stand before the level, whichever level follows.

    Not the tokens of the heading with a blank behind it: a byte-level tokenizer puts the blank into the
    level's own token (" ROJO"), and a model that is fed a lone blank stands at a place no training text has.
    """
    answers = [encode(f"{LEVEL_HEADING} {level}") for level in LEVELS]
    columns = zip(*answers, strict=False)
    return tuple(column[0] for column in takewhile(lambda column: len(set(column)) == 1, columns))
