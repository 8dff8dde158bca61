"""The offline teacher's process: a chat endpoint on loopback that limits, delays, breaks and keeps count."""

import asyncio
import json
import math
import os
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Self

import uvicorn
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from helpers.teacher.offline import answers
from helpers.teacher.offline.answers import dice


class Faults(BaseModel, frozen=True, extra="forbid"):
    """The share of admitted requests that break in each way, 0…1; they exclude one another.

    reset: the connection is torn. error: 500, 502 with HTML, or 503 with Retry-After. garbage: half a body of
    JSON. cut: half an answer, finish_reason "length". think: an unasked, whole `<think>` block.
    broken_think: a closing tag alone, or a block that never closes. language: the answer in English.
    """

    reset: float = 0.0
    error: float = 0.0
    garbage: float = 0.0
    cut: float = 0.0
    think: float = 0.0
    broken_think: float = 0.0
    language: float = 0.0

    @classmethod
    def storm(cls, total: float) -> Self:
        """Every kind equally often."""
        return cls(**dict.fromkeys(cls.model_fields, total / len(cls.model_fields)))


class Options(BaseModel, frozen=True, extra="forbid"):
    """How an offline teacher behaves. Seconds are those of a 60-second minute.

    Attributes:
        minute: seconds that its minute lasts (2 makes tests quick). Everything below follows it.
        requests_per_minute: the limit; None for none.
        burst: so many at once (None: a tenth of the limit), refilled at the limit's rate.
        latency: shortest and longest thinking time.
        outage: (first, last) second in which every request gets 503, with the same end as `Retry-After`.
        faults: see `Faults`. mistakes: share of translations with a mistake on the first attempt.
    """

    minute: float = 60.0
    requests_per_minute: float | None = 500
    burst: int | None = None
    latency: tuple[float, float] = (2.0, 6.0)
    outage: tuple[float, float] | None = None
    faults: Faults = Faults()
    mistakes: float = 0.12


class Gateway:
    """At most `burst` at once, refilled at the limit's rate; the refused all hear the same whole second."""

    def __init__(self, limit: float, burst: float, second: float) -> None:
        self.rate, self.burst, self.second = limit / 60 / second, burst, second
        self.level, self.at = burst, 0.0

    def wait(self, now: float) -> float:
        """0 when one more fits, and it is counted; else the time to the first whole second when it would."""
        self.level, self.at = min(self.burst, self.level + (now - self.at) * self.rate), now
        if self.level >= 1:
            self.level -= 1
            return 0.0
        free = now + (1 - self.level) / self.rate
        return math.ceil(free / self.second) * self.second - now


class Teacher:
    """The endpoint's state (limits, dice, counters) and its two routes."""

    def __init__(self, options: Options) -> None:
        self.options, self.second, limit = options, options.minute / 60, options.requests_per_minute or 1e9
        self.gateway = Gateway(limit, options.burst or max(1, limit / 10), self.second)
        self.started, self.in_flight = 0.0, 0  # `started`: the first request
        self.counts = Counter(accepted=0, limited=0, broken=0, refused=0)
        self.faults, self.seen = Counter(), Counter()  # `seen`: by content, so that a retry throws new dice
        self.series: list[dict[str, int]] = []

    def bin(self) -> dict[str, int]:
        """The counters of the present second of the scaled clock."""
        while len(self.series) <= int((time.monotonic() - self.started) / self.second):
            none = dict.fromkeys(self.counts, 0)
            self.series.append({"second": len(self.series), **none, "in_flight": self.in_flight})
        return self.series[-1]

    async def stats(self, _: Request) -> Response:
        """GET /stats: all that was counted; `series` has an entry for each second of a 60-second minute."""
        return JSONResponse({**self.counts, "faults": self.faults, "series": self.series})

    async def complete(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        self.in_flight, self.started = self.in_flight + 1, self.started or time.monotonic()
        now = self.bin()
        now["in_flight"] = max(now["in_flight"], self.in_flight)
        try:
            what, response = await self.reply(request)
        finally:
            self.in_flight -= 1
        self.counts[what] += 1
        self.bin()[what] += 1
        return response

    async def reply(self, request: Request) -> tuple[str, Response]:
        """Refuse the request, or think and then answer it or break: what it counts as, and the response."""
        options, now = self.options, time.monotonic() - self.started
        try:
            chat = json.loads(await request.body())["messages"]
            messages = [{name: str(one[name]) for name in ("role", "content")} for one in chat]
            asked = messages[-1]["content"]
        except (ValueError, LookupError, TypeError, RecursionError):
            return "refused", _error(400, "'messages' must be a list of {role, content} objects with texts.")
        first, last = options.outage or (math.inf, 0.0)
        if first <= now / self.second < last:
            return "broken", _error(503, "The service is unavailable.", last * self.second - now)
        if (wait := self.gateway.wait(now)) > 0:
            return "limited", _error(429, "Rate limit reached.", wait)
        content = json.dumps(messages, sort_keys=True)
        self.seen[content] += 1
        throw, (low, high) = (content, self.seen[content]), options.latency
        await asyncio.sleep((low + (high - low) * dice("latency", *throw)) * self.second)
        value, which = dice("fault", *throw), dice("which", *throw)
        fault = next((name for name, share in options.faults if (value := value - share) < 0), None)
        if fault:
            self.faults[fault] += 1
        if fault == "reset":
            return "broken", StreamingResponse(_torn(), headers={"content-length": "1000"})
        if fault == "error" and which < 1 / 3:
            return "broken", Response("<html><h1>502 Bad Gateway</h1></html>", 502, media_type="text/html")
        if fault == "error":
            status, wait = (503, 0.5 * self.second) if which < 2 / 3 else (500, None)
            return "broken", _error(status, "The engine is overloaded.", wait)
        text = _spoilt(answers.answer(messages, options.mistakes), fault, asked, which)
        raw = json.dumps(_completion(messages, text, "length" if fault == "cut" else "stop"))
        raw = raw[: len(text) // 2] if fault == "garbage" else raw
        what = "accepted" if fault in (None, "think") else "broken"
        return what, Response(raw, media_type="application/json")


def _error(status: int, message: str, wait: float | None = None) -> Response:
    headers = {} if wait is None else {"retry-after": f"{wait:.3f}".removesuffix(".000")}
    return JSONResponse({"error": {"message": message, "type": "offline_teacher"}}, status, headers)


async def _torn() -> AsyncIterator[bytes]:
    yield b"{"
    raise ConnectionResetError  # uvicorn drops the connection in the middle of the body


def tokens_in(text: str) -> int:
    """A count good enough for prices: English and Spanish run at 3.3 to 4.2 characters a token."""
    return math.ceil(len(text) / 3.6)


def _completion(messages: list[dict[str, str]], text: str, reason: str) -> dict[str, Any]:
    """A chat completion as OpenAI's API sends it."""
    read, written = sum(tokens_in(message["content"]) + 4 for message in messages), tokens_in(text)
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
    head = {"id": "chatcmpl-offline", "object": "chat.completion", "created": 0, "model": "offline-teacher"}
    return {**head, "usage": usage, "choices": [choice]}


def _spoilt(text: str, fault: str | None, asked: str, which: float) -> str:
    """The text as a fault leaves it."""
    doubt = "Podría ser ROJO o VERDE; reviso la escala antes de responder."
    muttered = f"La persona pregunta: «{asked[:80]}». {doubt}"
    tag = ("think", "thinking", "mm:think")[int(which * 6) % 3]
    english = "Urgency level: urgent. What to do: see a health worker today. This is not medical advice."
    spoilt = {
        "cut": text[: len(text) // 2],
        "language": english,
        "think": f"<{tag}>\n{muttered}\n</{tag}>\n\n{text}",
        "broken_think": f"{muttered}\n</{tag}>\n\n{text}" if which < 0.5 else f"<{tag}>\n{muttered}\n{text}",
    }
    return spoilt.get(fault or "", text)


def _end_with_owner() -> None:
    sys.stdin.buffer.read()  # its other end is the owner's, and closes by whatever death the owner ends
    os._exit(0)


def main() -> None:
    """Serve on loopback and a free port, which is printed; options are JSON, the first argument."""
    threading.Thread(target=_end_with_owner, daemon=True).start()
    answers.triage_answer("País: México.")  # loads the rubric, or the first request would look slow
    teacher = Teacher(Options.model_validate_json(sys.argv[1]))
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    complete = Route("/v1/chat/completions", teacher.complete, methods=["POST"])
    app = Starlette(routes=[complete, Route("/stats", teacher.stats)])
    config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none", timeout_keep_alive=75)
    print(listener.getsockname()[1], flush=True)
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
