"""How fast to ask: token buckets in first-come order, one pause that all workers share, full-jitter backoff, and a guess of a request's size.

Times are seconds of the clock given (`time.monotonic`); nothing here knows about HTTP.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

HEADROOM = 0.985  # of the server's limit in any minute: its window sees our requests through a network that bunches them
BURST = (
    0.05  # of a minute's amount that may be made up for after a stall (a busy machine, a garbage collection)
)
LONGEST_PAUSE = 600.0  # of a real minute's seconds; a server that asks for more is not worth waiting for
Clock = Callable[[], float]


class Bucket:
    """A token bucket that starts empty (the server's window may hold what an earlier run sent), and a log of the last minute.

    The bucket alone would have to choose: a small one loses for good what a stall left unused, a large one overruns the server's sliding
    window when it makes up for it. The log settles it: a stall is made up for, and no minute ever holds more than `HEADROOM` of the limit.
    """

    def __init__(self, per_minute: float, minute: float = 60.0, clock: Clock = time.monotonic) -> None:
        self.rate = per_minute / minute
        self.capacity = max(1.0, BURST * per_minute)
        self.most, self.minute = max(1.0, HEADROOM * per_minute), minute
        self._level, self._at, self._clock = 0.0, clock(), clock
        self._log: deque[tuple[float, float]] = deque()
        self._logged = 0.0

    def _refill(self) -> float:
        now = self._clock()
        self._level = min(self.capacity, self._level + (now - self._at) * self.rate)
        self._at = now
        while self._log and self._log[0][0] <= now - self.minute:
            self._logged -= self._log.popleft()[1]
        return now

    def delay(self, amount: float) -> float:
        """Seconds until `amount` may be taken. More than fits is let through when nothing is in its way, and paid off afterwards."""
        now = self._refill()
        return max(
            0.0,
            (min(amount, self.capacity) - self._level) / self.rate,
            self._window_delay(min(amount, self.most), now),
        )

    def _window_delay(self, amount: float, now: float) -> float:
        over = self._logged + amount - self.most
        for at, size in self._log:
            if over <= 1e-9:
                return 0.0
            over -= size
            if over <= 1e-9:
                return at + self.minute - now
        return 0.0

    def take(self, amount: float) -> None:
        """Take `amount` (negative: give back); the level may fall below zero."""
        now = self._refill()
        self._level = min(self.capacity, self._level - amount)
        self._log.append((now, amount))
        self._logged += amount

    def empty(self) -> None:
        """Forget what was saved up."""
        self._refill()
        self._level = min(self._level, 0.0)


class Pause:
    """One pause for everybody. Each worker leaves it at a moment of its own, so that they do not all come back at once."""

    def __init__(self, jitter: bool = True, widest: float = 2.0, clock: Clock = time.monotonic) -> None:
        self.jitter, self.widest, self._clock = jitter, widest, clock
        self._until = self._began = clock()
        self.count = 0

    def begin(self, seconds: float) -> None:
        """Pause for at least `seconds` from now; a longer pause already begun stays."""
        now = self._clock()
        if now + seconds > self._until:
            if now >= self._until:
                self.count += 1
                self._began = now
            self._until = now + seconds

    def left(self) -> float:
        """Seconds still to wait."""
        return max(0.0, self._until - self._clock())

    async def over(self) -> None:
        """Return when the pause is over and this worker's own moment has come; never before."""
        while (left := self.left()) > 0:
            spread = min(self.widest, self._until - self._began) if self.jitter else 0.0
            await asyncio.sleep(left + random.uniform(0, spread))


class Limiter:
    """The queue in front of the server: first come, first served, large requests included."""

    def __init__(self, requests: Bucket | None, tokens: Bucket | None, pause: Pause) -> None:
        self.requests, self.tokens, self.pause = requests, tokens, pause
        self._line = asyncio.Lock()  # asyncio's locks are first come, first served

    async def enter(self, tokens: float) -> None:
        """Return when one request of about so many tokens may be sent; it is then counted."""
        while True:
            await self.pause.over()
            async with self._line:
                while not self.pause.left():
                    delay = max(
                        self.requests.delay(1) if self.requests else 0.0,
                        self.tokens.delay(tokens) if self.tokens else 0.0,
                    )
                    if delay <= 0:
                        self._count(tokens)
                        return
                    await asyncio.sleep(delay)

    def _count(self, tokens: float) -> None:
        if self.requests:
            self.requests.take(1)
        if self.tokens:
            self.tokens.take(tokens)

    def settle(self, guessed: float, used: float) -> None:
        """Correct the token count when the answer says what it really used."""
        if self.tokens:
            self.tokens.take(used - guessed)

    def stop_for(self, seconds: float) -> None:
        """Begin the shared pause, and come back from it without a burst."""
        self.pause.begin(seconds)
        for bucket in (self.requests, self.tokens):
            if bucket:
                bucket.empty()


def backoff(attempt: int, minute: float = 60.0, first: float = 0.5, longest: float = 30.0) -> float:
    """Seconds before attempt number `attempt` + 1: uniform in [0, min(longest, first·2^attempt)] ("full jitter", AWS 2015).

    `first` and `longest` are seconds of a 60-second minute; a faster clock shortens them.
    """
    return random.uniform(0, min(longest, first * 2 ** min(attempt, 16))) * minute / 60


def retry_after(headers: object, now: Callable[[], float] = time.time) -> float | None:
    """Seconds that a response's Retry-After (or retry-after-ms) asks for; None without a usable one."""
    get = getattr(headers, "get", None)
    if get is None:
        return None
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = str(get(name) or "").strip()
        try:
            seconds = float(text) / scale
        except ValueError:
            seconds = _until_date(text, now)
        if math.isfinite(seconds) and seconds >= 0 and text:
            return seconds
    return None


def _until_date(text: str, now: Callable[[], float]) -> float:
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now())
    except (ValueError, TypeError, OverflowError):
        return math.nan


@dataclass
class Meter:
    """Guesses a request's tokens before it is sent, from what answers have used so far.

    No tokenizer is needed: tokens per character of the prompt and tokens per answer are learnt (exponential means).
    """

    per_character: float = 0.3
    completion: float = 300.0
    weight: float = 0.05
    seen: int = 0

    def guess(self, characters: int) -> float:
        """Prompt and answer together."""
        return characters * self.per_character + self.completion

    def learn(self, characters: int, prompt_tokens: float, completion_tokens: float) -> None:
        """Take an answer's usage into account; the first few count more."""
        self.seen += 1
        share = max(self.weight, 1 / (self.seen + 1))
        if characters:
            self.per_character += share * (prompt_tokens / characters - self.per_character)
        self.completion += share * (completion_tokens - self.completion)
