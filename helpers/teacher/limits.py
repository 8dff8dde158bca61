"""How fast to ask: token bucket, full-jitter backoff, Retry-After (notebook 07 builds them), the queue."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime


class TokenBucket:
    """Permits drip in just below the server's rate. It starts empty: an earlier run may have used it up."""

    def __init__(self, per_minute: float, minute: float = 60.0, clock: Callable = time.monotonic) -> None:
        self.rate = 0.97 * per_minute / minute  # permits a second
        self.capacity = max(1.0, 0.02 * per_minute)
        self.level, self.clock, self.at = 0.0, clock, clock()

    def delay(self, amount: float = 1) -> float:
        """Seconds until `amount` may be taken. More than the bucket holds goes when it is full, as a debt."""
        now = self.clock()
        self.level = min(self.capacity, self.level + (now - self.at) * self.rate)
        self.at = now
        return max(0.0, (min(amount, self.capacity) - self.level) / self.rate)

    def take(self, amount: float = 1) -> None:
        """Take `amount` (negative: give back)."""
        self.level -= amount


def backoff(attempt: int, minute: float = 60.0, first: float = 0.5, longest: float = 30.0) -> float:
    """Seconds, uniform in [0, min(longest, first·2^attempt)] of a minute ("full jitter", Brooker 2015)."""
    return random.uniform(0, min(longest, first * 2 ** min(attempt, 16))) * minute / 60


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a response asks to wait (`retry-after-ms`, or `retry-after`: seconds, a date), or None."""
    asked = headers.get("retry-after", "")
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        elif asked.endswith("GMT"):
            seconds = max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
        else:
            seconds = float(asked)
    except ValueError:
        return None
    return seconds if 0 <= seconds < 1e9 else None


class Line:
    """The queue in front of the server, first come, first served; a 429 stops it for everybody."""

    def __init__(self, requests: float | None, minute: float, tokens: float | None = None) -> None:
        # Limits a minute; without a known one there is hardly a wait.
        self.requests, self.tokens = (TokenBucket(limit or 1e12, minute) for limit in (requests, tokens))
        self.minute, self.until, self.lock = minute, 0.0, asyncio.Lock()

    async def enter(self, tokens: float = 0) -> None:
        """Return when a request of about so many tokens may be sent; it is then counted."""
        while (pause := self.pause()) > 0:
            await asyncio.sleep(pause + backoff(2, self.minute))  # everybody leaves at a moment of its own
        async with self.lock:  # asyncio's locks are first come, first served
            while (wait := max(self.pause(), self.requests.delay(), self.tokens.delay(tokens))) > 0:
                await asyncio.sleep(wait)
            self.requests.take()
            self.tokens.take(tokens)

    def pause(self) -> float:
        """Seconds that are left of a stop."""
        return self.until - time.monotonic()

    def stop_for(self, seconds: float) -> None:
        """Nobody enters for so long, and what the buckets had saved is gone: no burst afterwards."""
        self.until = max(self.until, time.monotonic() + seconds)
        for bucket in (self.requests, self.tokens):
            bucket.level = min(bucket.level, 0.0)
