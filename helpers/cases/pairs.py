"""Preference pairs: two answers to one person, of which one is preferred."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from helpers.cases.writers import Example


@dataclass(frozen=True)
class Pair:
    """A preferred and a dispreferred answer to the same person. `kind` says what is wrong with the rejected one, where that is known."""

    example: Example
    chosen: str
    rejected: str
    kind: str = ""


def pair_rows(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    """Rows in TRL's conversational preference form."""

    def turn(text: str) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": text}]

    return [{"prompt": pair.example.prompt, "chosen": turn(pair.chosen), "rejected": turn(pair.rejected)} for pair in pairs]
