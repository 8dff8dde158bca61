"""What came back: an answer, a limit, something broken, a request refused, or a reason to stop. Pure functions, no network.

answer   a text with a reason why it ended and its token counts
limited  429 (or MiniMax's code for it): everybody pauses, the request waits its turn again
broken   5xx, a reset, a time-out, garbage: tried again after a backoff
refused  this request is at fault (400, 413, 422): not tried again
fatal    the key, the credit or the address is at fault: the job stops at once
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from helpers.teacher.limits import retry_after
from helpers.triage import strip_thinking

NO_CREDIT = (
    "insufficient_quota",
    "insufficient_balance",
    "insufficient balance",
    "exceeded your current quota",
    "billing_hard_limit",
    "credit balance",
)
ADVICE = {
    "key": "Check the key (a new line or a missing letter is the usual cause) and that it is allowed to use this model, then run again",
    "credit": "Add credit at the provider, or choose another teacher (unset the key to use the offline teacher), then run again",
    "address": "Check OPENAI_BASE_URL (it ends in /v1) and the model's name, then run again",
}


@dataclass(frozen=True)
class Outcome:
    """One request's result; `problem` is free of keys. Token counts are None when the server did not say."""

    kind: str
    problem: str = ""
    status: int | None = None
    retry_after: float | None = None
    text: str = ""
    finish_reason: str | None = None
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    thinking: bool = False

    @property
    def cause(self) -> str:
        """A word for counting: "429", "500", "timeout", "connection", "garbage"…"""
        return (
            str(self.status)
            if self.status and self.status != 200
            else self.problem.split(":")[0].split(" (")[0] or self.kind
        )


def of_error(error: BaseException, hide: Callable[[str], str]) -> Outcome:
    """Sort an exception of the `openai` package (or of what is under it)."""
    import openai

    if isinstance(error, openai.APIStatusError):
        body = error.body if isinstance(error.body, Mapping) else {}
        said = hide(_said(body) or str(error.message))[:300]
        signs = f"{body.get('code')} {body.get('type')} {said}".lower()
        return _of_status(error.status_code, said, signs, retry_after(error.response.headers))
    if isinstance(error, (openai.APITimeoutError, TimeoutError)):
        return Outcome("broken", "timeout")
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__ or error
        return Outcome("broken", f"connection: {type(cause).__name__} {hide(str(cause))[:200]}".rstrip())
    if isinstance(error, (openai.APIError, json.JSONDecodeError, UnicodeDecodeError)):
        return Outcome("broken", f"garbage: {hide(str(error))[:200]}")
    return Outcome("refused", f"not sent: {type(error).__name__}: {hide(str(error))[:200]}")


def _said(body: Mapping[str, Any]) -> str:
    message = body.get("message") or body.get("detail") or body.get("error")
    return (
        message
        if isinstance(message, str)
        else json.dumps(message, ensure_ascii=False, default=str)
        if message
        else ""
    )


def _of_status(status: int, said: str, signs: str, wait: float | None) -> Outcome:
    if status == 402 or (status in (403, 429) and any(sign in signs for sign in NO_CREDIT)):
        return Outcome("fatal", f"no credit (HTTP {status}: {said}). {ADVICE['credit']}", status)
    if status in (401, 403):
        return Outcome("fatal", f"the key was refused (HTTP {status}: {said}). {ADVICE['key']}", status)
    if status == 404:
        return Outcome("fatal", f"no such address or model (HTTP 404: {said}). {ADVICE['address']}", status)
    if status == 429:
        return Outcome("limited", said, status, wait)
    if status in (408, 409, 425) or status >= 500:
        return Outcome("broken", f"HTTP {status}: {said}", status, wait)
    return Outcome("refused", f"HTTP {status}: {said}", status)


def of_response(response: Any, hide: Callable[[str], str], codes: Mapping[str, list[int]]) -> Outcome:
    """Read a chat completion, whatever shape a server gave it."""
    complaint = _complaint(response, codes)
    if complaint:
        kind, code, said = complaint
        said = hide(str(said))[:300]
        advice = {
            "refused": f"the key was refused (code {code}: {said}). {ADVICE['key']}",
            "no_credit": f"no credit (code {code}: {said}). {ADVICE['credit']}",
        }
        return Outcome(
            {"limited": "limited"}.get(kind, "fatal" if kind in advice else "broken"),
            advice.get(kind, f"code {code}: {said}"),
        )
    try:
        choice = response.choices[0]
        content = choice.message.content
    except (AttributeError, IndexError, TypeError):
        return Outcome("broken", "garbage: the response is no chat completion")
    if not isinstance(content, str):
        return Outcome("broken", "garbage: the answer holds no text", **_usage(response))
    text, thinking = strip_thinking(content)
    return Outcome(
        "answer",
        text=hide(text.strip()),
        finish_reason=choice.finish_reason if isinstance(choice.finish_reason, str) else None,
        model=response.model if isinstance(response.model, str) else None,
        thinking=thinking,
        **_usage(response),
    )


def _complaint(response: Any, codes: Mapping[str, list[int]]) -> tuple[str, Any, Any] | None:
    """An error that came with HTTP 200: MiniMax's base_resp, or an `error` object."""
    extra = getattr(response, "model_extra", None) or {}
    base = extra.get("base_resp")
    if isinstance(base, Mapping) and base.get("status_code"):
        code = base["status_code"]
        kind = next((name for name, listed in codes.items() if code in listed), "other")
        return kind, code, base.get("status_msg", "")
    if extra.get("error"):
        return "other", "200", extra["error"]
    return None


def _usage(response: Any) -> dict[str, int | None]:
    usage = getattr(response, "usage", None)
    found = {name: getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")}
    return {name: value if isinstance(value, int) and value >= 0 else None for name, value in found.items()}
