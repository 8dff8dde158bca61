"""How the offline teacher is limited and how it breaks. Settings and dice; `server` acts on them."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from dataclasses import asdict, dataclass, field, fields
from typing import Any

CHARACTERS_PER_TOKEN = 3.6


def tokens_in(text: str) -> int:
    """A token count good enough for limits and prices: characters over 3.6 (English and Spanish with a 100 k vocabulary run at 3.3 to 4.2)."""
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


def dice(*what: object) -> float:
    """A number in [0, 1) that depends on nothing but its arguments."""
    return (
        int.from_bytes(
            hashlib.sha256("\x1f".join(map(str, what)).encode("utf-8", "replace")).digest()[:7], "big"
        )
        / 2**56
    )


@dataclass(frozen=True)
class Faults:
    """The share of admitted requests that break in each way, 0…1; they exclude one another.

    reset: the connection is torn down. error: 500, 502 with HTML, or 503 with Retry-After. garbage: 200 with half a JSON body.
    cut: half an answer, finish_reason "length". think: an unasked, whole `<think>` block. broken_think: its closing tag alone, or a block that
    never closes. language: the answer in English.
    """

    reset: float = 0.0
    error: float = 0.0
    garbage: float = 0.0
    cut: float = 0.0
    think: float = 0.0
    broken_think: float = 0.0
    language: float = 0.0

    @classmethod
    def storm(cls, total: float = 0.3) -> Faults:
        """Every kind equally often."""
        return cls(*[total / len(fields(cls))] * len(fields(cls)))

    def draw(self, value: float) -> str | None:
        """The fault that a die of [0, 1) chooses, or None."""
        for name, share in asdict(self).items():
            if value < share:
                return name
            value -= share
        return None


@dataclass(frozen=True)
class Options:
    """How an offline teacher behaves.

    Attributes:
        minute: seconds that its minute lasts (60 in the world; 2 makes tests quick). Latency and limits follow it.
        requests_per_minute, tokens_per_minute: sliding-window limits; None for none.
        latency: shortest and longest thinking time, seconds of a 60-second minute. 5 s is usual for an answer of some hundred tokens.
        faults: see `Faults`.
        mistakes: share of translations with a translator's mistake on the first attempt.
        key: the only key accepted; None accepts any.
        credit: requests after which there is none left (`insufficient_quota` as 429, or 402 when `payment` is set); None for endless.
        seed: another seed breaks other requests.
    """

    minute: float = 60.0
    requests_per_minute: float | None = 500
    tokens_per_minute: float | None = 20_000_000
    latency: tuple[float, float] = (2.0, 6.0)
    faults: Faults = field(default_factory=Faults)
    mistakes: float = 0.12
    key: str | None = None
    credit: int | None = None
    payment: bool = False
    seed: int = 0

    @classmethod
    def of(cls, values: dict[str, Any]) -> Options:
        """From plain JSON."""
        return cls(
            **{
                **values,
                "faults": Faults(**values.get("faults", {})),
                "latency": tuple(values.get("latency", (2.0, 6.0))),
            }
        )


class Window:
    """At most `limit` in any window of `seconds`: exact, remembers every entry."""

    def __init__(self, limit: float | None, seconds: float) -> None:
        self.limit, self.seconds, self.used = limit, seconds, 0.0
        self._entries: deque[tuple[float, float]] = deque()

    def _forget(self, now: float) -> None:
        while self._entries and self._entries[0][0] <= now - self.seconds:
            self.used -= self._entries.popleft()[1]

    def wait(self, amount: float, now: float) -> float:
        """Seconds until `amount` fits; 0 when it does now. More than the limit fits into an empty window."""
        self._forget(now)
        if self.limit is None or not self._entries:
            return 0.0
        over = self.used + amount - self.limit
        for at, size in self._entries:
            if over <= 1e-9:
                return 0.0
            over -= size
            if over <= 1e-9:
                return max(1e-3, at + self.seconds - now)
        return max(1e-3, self._entries[-1][0] + self.seconds - now)

    def add(self, amount: float, now: float) -> None:
        """Count `amount` now."""
        self._entries.append((now, amount))
        self.used += amount
