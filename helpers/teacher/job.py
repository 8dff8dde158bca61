"""A job's result: where its answers are, what it cost, how long it took, and what went wrong on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.teacher.journal import Journal


@dataclass(frozen=True)
class Answer:
    """A valid answer. `finish_reason` is the server's; `cost_usd` covers every request this row needed (None without a price)."""

    key: str
    text: str
    model: str | None
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    attempts: int
    thinking: bool

    @classmethod
    def of(cls, record: dict[str, Any]) -> Answer:
        """From a line of answers.jsonl."""
        return cls(**{name: record.get(name) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Job:
    """What `Client.run` returns.

    Attributes:
        folder: holds answers.jsonl and errors.jsonl.
        keys: the content key of every prompt, in order; equal prompts share one.
        resumed: distinct prompts that an earlier run had answered.
        answered, failed: distinct prompts that this run answered, or gave up on (see errors.jsonl; the next run asks them again).
        duplicates: prompts that repeat another one of the list; they cost nothing.
        requests: HTTP requests sent. limited: those answered 429. problems: every other thing that went wrong, by cause.
        pauses: shared pauses taken.
        cost_usd: what this run cost; None without a price. total_cost_usd: what these answers cost, earlier runs included.
        seconds: wall-clock.
        stopped: why the job ended before its end (the budget), or None.
        timeline: (seconds since the start, "answer" | "429" | a cause) for every response.
    """

    folder: Path = field(repr=False)  # outputs are committed: no path in them
    keys: list[str] = field(repr=False)
    resumed: int
    answered: int
    failed: int
    duplicates: int
    requests: int
    limited: int
    pauses: int
    problems: Counter[str]
    cost_usd: float | None
    total_cost_usd: float | None
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    minute: float
    stopped: str | None = None
    timeline: list[tuple[float, str]] = field(default_factory=list, repr=False)

    @property
    def left(self) -> int:
        """Distinct prompts without an answer."""
        return len(set(self.keys)) - self.resumed - self.answered

    @property
    def answers_per_minute(self) -> float:
        """Answers of this run per minute of the server's clock."""
        return self.answered / self.seconds * self.minute if self.seconds else 0.0

    def stream(self) -> Iterator[Answer | None]:
        """The answers in the order of the prompts, read one at a time; None where there is none."""
        journal = Journal(self.folder / "answers.jsonl")
        try:
            for key in self.keys:
                record = journal.get(key)
                yield Answer.of(record) if record else None
        finally:
            journal.close()

    def answers(self) -> list[Answer | None]:
        """The answers in the order of the prompts; None where there is none."""
        return list(self.stream())

    def errors(self) -> dict[str, dict[str, Any]]:
        """By key: the last error record of every prompt that has no answer."""
        answers, errors = Journal(self.folder / "answers.jsonl"), Journal(self.folder / "errors.jsonl")
        try:
            return {
                key: record
                for key in dict.fromkeys(self.keys)
                if key not in answers and (record := errors.get(key))
            }
        finally:
            answers.close()
            errors.close()

    @property
    def sentence(self) -> str:
        """What a reader should keep."""
        parts = [
            f"{self.answered:,} answers in {self.seconds:.0f} s ({self.answers_per_minute:,.0f} a minute)"
        ]
        if self.resumed:
            parts.append(f"{self.resumed:,} were there already")
        if self.duplicates:
            parts.append(f"{self.duplicates:,} repeated prompts cost nothing")
        if self.failed:
            parts.append(f"{self.failed:,} failed (errors.jsonl says why)")
        parts.append(f"${self.cost_usd:.4f}" if self.cost_usd is not None else "price unknown")
        if self.stopped:
            parts.append(f"stopped: {self.stopped}")
        return "; ".join(parts) + "."
