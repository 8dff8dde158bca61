"""What every runtime answers with, so that runtimes can be held against each other: prompt, tokens, text, and the odds of the level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol

from helpers.cases import Example
from helpers.triage import LEVEL_HEADING, LEVELS

STOP, LENGTH = "stop", "length"


@dataclass(frozen=True)
class Reply:
    """What one runtime made of one conversation.

    Attributes:
        prompt: as this runtime rendered it from its own copy of the chat template.
        tokens: the prompt tokens it fed to the model, BOS included; empty where it gives none.
        text: the greedy answer, stripped.
        finish_reason: "stop" (the model closed its turn) or "length" (it was cut).
        logprobs: log-probabilities, in nats, over the next token at the level's place (see `level_place`): the whole vocabulary or the
            likeliest few; None where the runtime gives none.
    """

    prompt: str
    tokens: tuple[int, ...]
    text: str
    finish_reason: str
    logprobs: dict[int, float] | None = None


class Runtime(Protocol):
    """Anything that runs the model: it renders, tokenizes and answers by its own means."""

    name: str

    def complete(self, conversations: Sequence[Example], *, max_new_tokens: int | None = None) -> list[Reply]:
        """Greedy answers, in the order of `conversations`."""


def level_place(encode: Callable[[str], Sequence[int]]) -> tuple[int, ...]:
    """The answer's tokens that stand before the level, whichever level follows.

    Not the tokens of the heading with a blank behind it: a byte-level tokenizer puts the blank into the level's own token (" ROJO"), and
    a model that is fed a lone blank stands at a place no training text has.

    Args:
        encode: text to tokens, without special tokens.
    """
    answers = [encode(f"{LEVEL_HEADING} {level}") for level in LEVELS]
    return tuple(
        column[0] for column in takewhile(lambda column: len(set(column)) == 1, zip(*answers, strict=False))
    )
