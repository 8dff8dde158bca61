"""What came back and what follows: an answer, or a row of `outcomes` in data/teachers.yaml. No network."""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from helpers.teacher.config import TABLE, Endpoint
from helpers.teacher.limits import retry_after
from helpers.triage import strip_thinking

_WAIT = re.compile(r"(?:retry|try again) (?:in|after) ((?:\d+(?:\.\d+)? ?(?:h|ms|m|s))+)", re.IGNORECASE)
_SECONDS = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
_TAG = re.compile(r"(?i)[<\[◁]\W{0,3}(?:\w{1,9}[:_])?(?:think|reasoning|thought)|(?:think|thinking)[>▷\]]")


class Outcome(NamedTuple):
    """One request's result. kind: "answer", "fatal", "wait", "refuse", "retry"; problem: without the key."""

    kind: str
    problem: str = ""
    retry_after: float | None = None
    text: str = ""
    finish_reason: str | None = None
    model: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    thinking: bool = False


def of_error(error: BaseException, endpoint: Endpoint) -> Outcome:
    """Sort an exception of the `openai` package, or of what is under it."""
    import openai  # takes a second: only when it is needed

    if isinstance(error, openai.APIStatusError):
        wait = retry_after(error.response.headers)
        return _of_body(error.status_code, error.body or str(error.message), endpoint, wait)
    causes = {
        "timeout": openai.APITimeoutError | TimeoutError,
        "connection": openai.APIConnectionError,
        "garbage": openai.APIError | json.JSONDecodeError | UnicodeDecodeError,
    }
    origin = error.__cause__ or error
    cause = next((name for name, kinds in causes.items() if isinstance(error, kinds)), "not sent")
    told = endpoint.hide(f"{cause}: {type(origin).__name__} {origin}")[:200]
    return Outcome("retry" if cause in causes else "refuse", told)


def of_answer(body: Any, asked: int, endpoint: Endpoint) -> Outcome:
    """Read a chat completion, or an error with HTTP 200; uncounted tokens are taken as four characters."""
    choice = _at(body, "choices", 0)
    for part in (body, choice):
        error, base = _at(part, "error"), _at(part, "base_resp")
        if error or _at(base, "status_code"):
            return _of_body(200, error or base, endpoint, None)
    reason, content = _at(choice, "finish_reason"), _at(choice, "message", "content")
    usage = {"prompt_tokens": asked // 4, "completion_tokens": len(str(content or "")) // 4}
    usage |= {name: count for name in usage if isinstance(count := _at(body, "usage", name), int)}
    if reason == "content_filter" or _at(choice, "message", "refusal"):
        return Outcome("refuse", "refused: the provider's filter withheld the answer", **usage)
    if not isinstance(content, str):
        return Outcome("retry", "garbage: no chat completion with a text", **usage)
    text, thinking = strip_thinking(content)
    told = {"text": endpoint.hide(text.strip()), "finish_reason": reason, "model": _at(body, "model")}
    return Outcome("answer", **told, **usage, thinking=thinking)


def problem_of(outcome: Outcome) -> str | None:
    """Why an answer cannot count, whatever was asked; None when nothing speaks against it."""
    if outcome.finish_reason == "length":
        return "cut: the answer reached its token limit"
    if not outcome.text:
        return "empty: the answer holds nothing" + (" but thinking" if outcome.thinking else "")
    return "thinking: a tag of a thinking model is left in the answer" if _TAG.search(outcome.text) else None


def _at(value: Any, *path: str | int) -> Any:
    """What stands at the end of a path through parsed JSON; None where the path breaks off."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _of_body(status: int, body: Any, endpoint: Endpoint, wait: float | None) -> Outcome:
    """What the first row of the table says that fits a status and an error body."""
    codes, said = _read(body)
    codes |= set(re.findall(r"\((\d{4,5})\)", said))  # MiniMax: "insufficient balance (1008)"
    for row in TABLE["outcomes"]:
        fits = codes & set(row.get("codes", ())) or re.search(row.get("says", "(?!)"), said, re.IGNORECASE)
        if re.fullmatch(row.get("status", ".*"), str(status)) and (fits or not {"codes", "says"} & set(row)):
            break
    told = f"HTTP {status}: {endpoint.hide(said)[:300]}"
    if row["kind"] == "fatal":
        fields = {"model": endpoint.model, "date": endpoint.price_date or "their day"}
        what, advice = (text.format(**fields) for text in TABLE["advice"][row["why"]])
        return Outcome("fatal", f"{what} ({told}). {advice}")
    return Outcome(row["kind"], told, wait or _asked(said))


def _read(body: Any) -> tuple[set[str], str]:
    """The codes and the words of an error body: a text, or nested in `error`, `detail` or a list."""
    if isinstance(body, list):
        return _read(body[0]) if body else (set(), "")
    if not isinstance(body, Mapping):
        return set(), str(body or "")
    codes = {str(body[name]) for name in ("code", "type", "status", "status_code") if body.get(name)}
    for name in ("error", "message", "status_msg", "detail", "msg"):
        if body.get(name):
            inner, said = _read(body[name])
            return codes | inner, said
    return codes, json.dumps(body, ensure_ascii=False, default=str)


def _asked(said: str) -> float | None:
    """Seconds that the words ask to wait, as in "Please try again in 9m38.016s"."""
    found = _WAIT.search(said)
    parts = re.findall(r"([\d.]+) ?(h|ms|m|s)", found[1].lower()) if found else []
    return sum(float(number) * _SECONDS[unit] for number, unit in parts) if parts else None
