"""The offline teacher's HTTP side: an OpenAI-compatible chat endpoint on loopback that limits, delays, breaks and keeps count."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from helpers.teacher.offline import answers
from helpers.teacher.offline.answers import dice

MODEL = "offline-teacher"
BODY_LIMIT = 1_000_000  # bytes
SHAPE = (
    "'messages' must be a non-empty list of {role, content} objects with texts; this teacher does not stream."
)


def tokens_in(text: str) -> int:
    """A token count good enough for limits and prices (English and Spanish run at 3.3 to 4.2 characters a token)."""
    return math.ceil(len(text) / 3.6)


class Faults(BaseModel):
    """The share of admitted requests that break in each way, 0…1; they exclude one another.

    reset: the connection is torn. error: 500, 502 with HTML, or 503 with Retry-After. garbage: 200 with half a JSON body. cut: half an answer,
    finish_reason "length". think: an unasked, whole `<think>` block. broken_think: a closing tag alone, in several spellings, or a block
    that never closes. language: the answer in English.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
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
        return cls(**dict.fromkeys(cls.model_fields, total / len(cls.model_fields)))

    def draw(self, value: float) -> str | None:
        """The fault that a die of [0, 1) chooses, or None."""
        for name, share in self:
            if value < share:
                return name
            value -= share
        return None


class Options(BaseModel):
    """How an offline teacher behaves. Seconds are those of a 60-second minute.

    Attributes:
        minute: seconds that its minute lasts (60 in the world; 2 makes tests quick). Everything below follows it.
        requests_per_minute: the limit of a sliding minute; None for none.
        burst: the requests are limited as gateways do it: so many at once, refilled at the rate above; `Retry-After` in whole seconds, the same
            for all who were refused together.
        latency: shortest and longest thinking time.
        outage: (first, last) second in which every request gets 503, with the same end as `Retry-After`.
        faults: see `Faults`. mistakes: share of translations with a translator's mistake on the first attempt.
        key: the only key accepted; None accepts any.
        credit: requests after which there is none left (`insufficient_quota` as 429, or 402 when `payment` is set); None for endless.
        seed: another seed breaks other requests.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    minute: float = 60.0
    requests_per_minute: float | None = 500
    burst: int | None = None
    latency: tuple[float, float] = (2.0, 6.0)
    outage: tuple[float, float] | None = None
    faults: Faults = Faults()
    mistakes: float = 0.12
    key: str | None = None
    credit: int | None = None
    payment: bool = False
    seed: int = 0


class Window:
    """At most `limit` in any window of `seconds`: exact, remembers every entry."""

    def __init__(self, limit: float | None, seconds: float) -> None:
        self.limit, self.seconds = limit or math.inf, seconds
        self.entries: deque[float] = deque()

    def wait(self, now: float) -> float:
        """Seconds until one more fits, or 0, and it is counted."""
        while self.entries and self.entries[0] <= now - self.seconds:
            self.entries.popleft()
        if len(self.entries) >= self.limit:
            return max(1e-3, self.entries[0] + self.seconds - now)
        self.entries.append(now)
        return 0.0


class Gateway:
    """At most `burst` at once, refilled at the limit's rate; who is refused hears the next whole second, as everybody else does."""

    def __init__(self, limit: float, burst: int, second: float) -> None:
        self.rate, self.burst, self.second = limit / 60 / second, burst, second
        self.level, self.at = float(burst), 0.0

    def wait(self, now: float) -> float:
        """0 when one more fits, and it is counted; else the time to the first whole second at which it would."""
        self.level, self.at = min(self.burst, self.level + (now - self.at) * self.rate), now
        if self.level >= 1:
            self.level -= 1
            return 0.0
        free = now + (1 - self.level) / self.rate
        return math.ceil(free / self.second) * self.second - now


def _error(what: str, status: int, message: str, code: str, wait: float | None = None) -> Response:
    headers = {"x-what": what} | ({} if wait is None else {"retry-after": f"{wait:.3f}".removesuffix(".000")})
    return JSONResponse(
        {"error": {"message": message, "type": code, "code": code, "param": None}}, status, headers
    )


async def _torn() -> AsyncIterator[bytes]:
    yield b"{"
    raise ConnectionResetError  # uvicorn drops the connection in the middle of the body


class Teacher:
    """The endpoint's state: limits, dice, counters."""

    def __init__(self, options: Options) -> None:
        self.options, self.second = options, options.minute / 60
        limit = options.requests_per_minute
        self.requests: Window | Gateway = Window(limit, options.minute)
        if options.burst and limit:
            self.requests = Gateway(limit, options.burst, self.second)
        self.started: float | None = None  # at the first request
        self.counts: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()  # attempts per content, so that a retry throws new dice
        self.in_flight = self.peak = self.admitted = 0
        self.series: list[dict[str, int]] = []

    @property
    def clock(self) -> float:
        """Real seconds since the first request."""
        self.started = self.started or time.monotonic()
        return time.monotonic() - self.started

    def bin(self) -> dict[str, int]:
        """The counters of the present second of the scaled clock."""
        while len(self.series) <= int(self.clock / self.second):
            row = {"second": len(self.series), "accepted": 0, "limited": 0, "broken": 0}
            self.series.append(row | {"in_flight": self.in_flight})
        return self.series[-1]

    def stats(self) -> dict[str, Any]:
        """Everything counted so far; `series` has one entry for each second of a 60-second minute."""
        names = ("accepted", "limited", "broken", "refused")
        flight = {"in_flight": self.in_flight, "peak_in_flight": self.peak}
        return (
            {name: self.counts[name] for name in names}
            | flight
            | {"faults": self.faults, "series": self.series}
        )

    async def complete(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        self.in_flight += 1
        self.peak, now = max(self.peak, self.in_flight), self.bin()
        now["in_flight"] = max(now["in_flight"], self.in_flight)
        try:
            response = await self.reply(request)
        finally:
            self.in_flight -= 1
        what, now = response.headers["x-what"], self.bin()
        self.counts[what] += 1
        if what in now:
            now[what] += 1
        return response

    async def reply(self, request: Request) -> Response:
        """Refuse the request, or let it in."""
        options, raw = self.options, await request.body()
        if options.key is not None and request.headers.get("authorization") != f"Bearer {options.key}":
            return _error("refused", 401, "Incorrect API key provided.", "invalid_api_key")
        messages = _messages(raw)
        if messages is None:
            return _error("refused", 413 if len(raw) > BODY_LIMIT else 400, SHAPE, "invalid_request_error")
        if options.credit is not None and self.admitted >= options.credit:
            return _error("refused", 402 if options.payment else 429, "You exceeded your current quota.", "insufficient_quota")  # fmt: skip
        now = self.clock
        first, last = options.outage or (math.inf, 0.0)
        if first <= now / self.second < last:
            return _error(
                "broken", 503, "The service is unavailable.", "unavailable", last * self.second - now
            )
        if (wait := self.requests.wait(now)) > 0:
            return _error("limited", 429, "Rate limit reached.", "rate_limit_exceeded", wait)
        self.admitted += 1
        return await self.answer(messages)

    async def answer(self, messages: list[dict[str, str]]) -> Response:
        """Think, then answer or break, as the dice of this content and attempt say."""
        content = json.dumps(messages, sort_keys=True)
        self.seen[content] += 1
        throw, (low, high) = (self.options.seed, content, self.seen[content]), self.options.latency
        await asyncio.sleep((low + (high - low) * dice("latency", *throw)) * self.second)
        fault, which = self.options.faults.draw(dice("fault", *throw)), dice("which", *throw)
        self.faults.update([fault] if fault else [])
        broken = {"x-what": "broken"}
        if fault == "reset":
            return StreamingResponse(_torn(), headers=broken | {"content-length": "1000"})
        if fault == "error" and which < 1 / 3:
            return Response("<html><h1>502 Bad Gateway</h1></html>", 502, broken, "text/html")
        if fault == "error":
            wait = 0.5 * self.second if which < 2 / 3 else None
            return _error("broken", 503 if wait else 500, "The engine is overloaded.", "server_error", wait)
        text = answers.answer(messages, self.options.mistakes, self.options.seed)
        text, reason = _spoil(text, fault, messages, which)
        read, written = sum(tokens_in(message["content"]) + 4 for message in messages), tokens_in(text)
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        body: dict[str, Any] = {
            "id": "chatcmpl-offline",
            "object": "chat.completion",
            "created": 0,
            "model": MODEL,
        }
        body["usage"] = usage
        body["choices"] = [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}]
        if fault == "garbage":
            return Response(json.dumps(body)[: len(text) // 2], 200, broken, "application/json")
        return JSONResponse(body, 200, {"x-what": "accepted" if fault in (None, "think") else "broken"})

    def app(self) -> Starlette:
        """The ASGI application."""

        async def stats(_: Request) -> Response:
            return JSONResponse(self.stats())

        async def models(_: Request) -> Response:
            return JSONResponse({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

        complete = Route("/v1/chat/completions", self.complete, methods=["POST"])
        return Starlette(routes=[complete, Route("/v1/models", models), Route("/stats", stats)])


def _messages(raw: bytes) -> list[dict[str, str]] | None:
    """The chat of a request body; None when it is none."""
    try:
        body = json.loads(raw) if len(raw) <= BODY_LIMIT else {}
        messages = [{name: row[name] for name in ("role", "content")} for row in body["messages"]]
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    texts = all(isinstance(value, str) for row in messages for value in row.values())
    return messages if messages and texts and not body.get("stream") else None


def _spoil(text: str, fault: str | None, messages: list[dict[str, str]], which: float) -> tuple[str, str]:
    """The text as a fault leaves it, and its finish_reason."""
    muttered = f"La persona pregunta: «{messages[-1]['content'][:80]}». Podría ser ROJO o VERDE; reviso la escala antes de responder."
    tag = ("think", "thinking", "mm:think")[int(which * 6) % 3]
    spoilt = {
        "cut": text[: len(text) // 2],
        "language": answers.english_answer(messages),
        "think": f"<{tag}>\n{muttered}\n</{tag}>\n\n{text}",
        "broken_think": f"{muttered}\n</{tag}>\n\n{text}" if which < 0.5 else f"<{tag}>\n{muttered}\n{text}",
    }
    return spoilt.get(fault or "", text), "length" if fault == "cut" else "stop"
