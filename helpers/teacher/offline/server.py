"""The offline teacher's HTTP side: an OpenAI-compatible chat endpoint on loopback that limits, delays, breaks and keeps count."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections import Counter
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from helpers.teacher.offline import answers
from helpers.teacher.offline.faults import Options, Window, dice, tokens_in

MODEL = "offline-teacher"
BODY_LIMIT = 1_000_000  # bytes
Reply = tuple[str, int, Any, dict[str, str]]  # what happened (for the counters), status, body, headers
_TRANSPORTS: dict[tuple[str, int], asyncio.Transport] = {}


class Protocol(H11Protocol):
    """uvicorn's, and one that lets a connection be torn down in mid-air."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Remember the transport by its peer."""
        super().connection_made(transport)
        if self.client:
            _TRANSPORTS[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        if self.client:
            _TRANSPORTS.pop(self.client, None)
        super().connection_lost(exc)


def _tear(request: Request) -> None:
    """Reset the connection (RST rather than an orderly end)."""
    transport = _TRANSPORTS.get((request.client.host, request.client.port)) if request.client else None
    if transport is not None:
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        transport.abort()


def _error(what: str, status: int, message: str, code: str, **headers: str) -> Reply:
    return what, status, {"error": {"message": message, "type": code, "code": code, "param": None}}, headers


class Teacher:
    """The endpoint's state: limits, dice, counters."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.requests = Window(options.requests_per_minute, options.minute)
        self.tokens = Window(options.tokens_per_minute, options.minute)
        self.scale = options.minute / 60
        self.started = time.monotonic()
        self.counts: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.in_flight = self.peak = self.tokens_used = self.admitted = 0
        self.seen: Counter[str] = Counter()  # attempts per content, so that a retry throws new dice
        self.series: list[dict[str, int]] = []

    # ----------------------------------------------------------------------------------------------------- counters
    def _bin(self) -> dict[str, int]:
        """The counters of the present second of the scaled clock."""
        second = int((time.monotonic() - self.started) / self.scale)
        while len(self.series) <= second:
            self.series.append(
                {
                    "second": len(self.series),
                    "accepted": 0,
                    "limited": 0,
                    "broken": 0,
                    "tokens": 0,
                    "in_flight": self.in_flight,
                }
            )
        return self.series[second]

    def _note(self, what: str) -> None:
        self.counts[what] += 1
        now = self._bin()
        if what in now:
            now[what] += 1

    def stats(self) -> dict[str, Any]:
        """Everything counted so far; `series` has one entry for each second of a 60-second minute."""
        self._bin()
        totals = {name: self.counts[name] for name in ("accepted", "limited", "broken", "refused")}
        flight = {
            "in_flight": self.in_flight,
            "peak_in_flight": self.peak,
            "tokens": self.tokens_used,
            "faults": dict(self.faults),
        }
        return {
            "model": MODEL,
            **totals,
            **flight,
            "options": asdict(self.options) | {"key": None},
            "series": self.series,
        }

    # ----------------------------------------------------------------------------------------------------- requests
    async def complete(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        now = self._bin()
        now["in_flight"] = max(now["in_flight"], self.in_flight)
        try:
            what, status, body, headers = await self._reply(request)
        finally:
            self.in_flight -= 1
        self._note(what)
        headers = {"x-teacher": MODEL, **headers}
        if isinstance(body, str):
            return Response(
                body,
                status,
                headers,
                media_type="text/html" if body.startswith("<html") else "application/json",
            )
        return JSONResponse(body, status, headers)

    async def _reply(self, request: Request) -> Reply:
        options = self.options
        if options.key is not None and request.headers.get("authorization") != f"Bearer {options.key}":
            return _error("refused", 401, "Incorrect API key provided.", "invalid_api_key")
        raw = await request.body()
        messages = _messages(raw)
        if isinstance(messages, str):
            return _error("refused", 413 if len(raw) > BODY_LIMIT else 400, messages, "invalid_request_error")
        if options.credit is not None and self.admitted >= options.credit:
            return _error(
                "refused",
                402 if options.payment else 429,
                "You exceeded your current quota.",
                "insufficient_quota",
            )
        prompt = sum(tokens_in(message["content"]) + 4 for message in messages)
        now = time.monotonic()
        wait = max(self.requests.wait(1, now), self.tokens.wait(prompt, now))
        if wait > 0:
            after = f"{wait:.0f}" if options.minute >= 60 and wait >= 1 else f"{wait:.3f}"
            return _error(
                "limited",
                429,
                "Rate limit reached, try again later.",
                "rate_limit_exceeded",
                **{"retry-after": after},
            )
        self.requests.add(1, now)
        self.tokens.add(prompt, now)
        self.admitted += 1
        return await self._admitted(request, messages, prompt)

    async def _admitted(self, request: Request, messages: list[dict[str, str]], prompt: int) -> Reply:
        content = json.dumps(messages, sort_keys=True)
        self.seen[content] += 1
        throw = (self.options.seed, content, self.seen[content])
        low, high = self.options.latency
        await asyncio.sleep((low + (high - low) * dice("latency", *throw)) * self.scale)
        fault = self.options.faults.draw(dice("fault", *throw))
        if fault:
            self.faults[fault] += 1
        if fault == "reset":
            _tear(request)
            return "broken", 500, "", {}
        if fault == "error":
            return _server_error(dice("which", *throw), self.scale)
        text = answers.answer(messages, self.options.mistakes, self.options.seed)
        text, reason = _spoil(text, fault, messages, dice("how", *throw))
        completion = tokens_in(text)
        self.tokens.add(completion, time.monotonic())
        self.tokens_used += prompt + completion
        self._bin()["tokens"] += prompt + completion
        body = _completion(text, reason, prompt, completion)
        if fault == "garbage":
            whole = json.dumps(body, ensure_ascii=False)
            return "broken", 200, whole[: len(whole) // 2], {}
        return ("accepted" if fault in (None, "think") else "broken"), 200, body, {}

    def app(self) -> Starlette:
        """The ASGI application."""

        async def stats(_: Request) -> Response:
            return JSONResponse(self.stats())

        async def models(_: Request) -> Response:
            return JSONResponse(
                {
                    "object": "list",
                    "data": [{"id": MODEL, "object": "model", "owned_by": "triage-lab", "created": 0}],
                }
            )

        return Starlette(
            routes=[
                Route("/v1/chat/completions", self.complete, methods=["POST"]),
                Route("/v1/models", models),
                Route("/stats", stats),
            ]
        )


def _messages(raw: bytes) -> list[dict[str, str]] | str:
    """The chat of a request body, or what is wrong with it."""
    if len(raw) > BODY_LIMIT:
        return f"The body is larger than {BODY_LIMIT} bytes."
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return "The body is not JSON."
    messages = body.get("messages") if isinstance(body, dict) else None
    shaped = isinstance(messages, list) and all(
        isinstance(row, dict) and isinstance(row.get("content"), str) and isinstance(row.get("role"), str)
        for row in messages
    )
    if not messages or not shaped:
        return "'messages' must be a non-empty list of {role, content} objects with texts."
    if body.get("stream"):
        return "This teacher does not stream."
    return messages


def _server_error(which: float, scale: float) -> Reply:
    if which < 1 / 3:
        return "broken", 502, "<html><body><h1>502 Bad Gateway</h1></body></html>", {}
    if which < 2 / 3:
        return _error(
            "broken", 503, "The engine is overloaded.", "overloaded", **{"retry-after": f"{0.5 * scale:.3f}"}
        )
    return _error("broken", 500, "The server had an error.", "server_error")


def _spoil(text: str, fault: str | None, messages: list[dict[str, str]], how: float) -> tuple[str, str]:
    """The text as a fault leaves it, and its finish_reason."""
    if fault == "cut":
        return text[: len(text) // 2], "length"
    if fault == "language":
        return answers.english_answer(messages), "stop"
    if fault == "think":
        return f"<think>\n{answers.thinking(messages)}\n</think>\n\n{text}", "stop"
    if fault == "broken_think":
        muttered = answers.thinking(messages)
        return (f"{muttered}\n</think>\n\n{text}" if how < 0.5 else f"<think>\n{muttered}\n{text}"), "stop"
    return text, "stop"


def _completion(text: str, reason: str, prompt: int, completion: int) -> dict[str, Any]:
    return {
        "id": "chatcmpl-offline",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": reason,
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
    }
