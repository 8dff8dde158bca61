"""What a teacher is asked, and how its answer is read: one request a row, the row's fields as a JSON object in both directions."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from helpers.translate.checks import Problem
from helpers.translate.glossary import COUNTRIES, glossary
from helpers.triage import country_of, strip_thinking

Messages = list[dict[str, str]]
TASK = "Translate medical text from English into Spanish"
STYLE = f"""{TASK} for readers in {{country}}.
- Plain, correct Spanish of that country, as a health worker there would write it; address the reader as "usted".
- Say everything the source says and nothing else. Keep every number, unit and dose as it is: convert nothing.
- Use international drug names; a brand becomes its generic name.
- Answer with one JSON object that has the same keys as the request, and with nothing else."""
_COUNTRY = re.compile(rf"{re.escape(TASK)} for readers in (.+?)\.\n")


def request(fields: Mapping[str, str], country: str) -> Messages:
    """The chat that asks for a row's translation: style, country, and the glossary's rules for the terms that occur (others cost tokens).

    Raises:
        LabError: the country is unknown.
    """
    lines = [STYLE.format(country=country_of(country).country)]
    if terms := glossary().used("\n".join(fields.values())):
        lines += ["Terms that must be so:", *(f"- {term.rule(country)}" for term in terms)]
    asked = json.dumps(dict(fields), ensure_ascii=False, indent=1)
    return [{"role": "system", "content": "\n".join(lines)}, {"role": "user", "content": asked}]


def send_back(messages: Messages, answer: str, problems: Sequence[Problem | str]) -> Messages:
    """The chat that returns an answer to the teacher with its problems named."""
    named = "\n".join(f"- {problem}" for problem in problems)
    complaint = f"This translation has problems:\n{named}\nMend them, leave the rest as it is, and answer with the whole JSON object again."
    return [*messages, {"role": "assistant", "content": answer}, {"role": "user", "content": complaint}]


class Request(NamedTuple):
    """A translation request as a teacher reads it: the fields, the country's code, and whether it is a second attempt."""

    fields: dict[str, str]
    country: str
    again: bool


def read_request(messages: Sequence[Mapping[str, str]]) -> Request | None:
    """Understand a chat made by `request` or `send_back`; None when it is something else."""
    found = _COUNTRY.search(messages[0]["content"])
    try:
        fields = json.loads(messages[1]["content"]) if found else None
    except (IndexError, ValueError):
        return None
    if not isinstance(fields, dict) or not all(isinstance(text, str) for text in fields.values()):
        return None
    code = next((code for code in COUNTRIES if country_of(code).country == found[1]), "ES")
    return Request(fields, code, again=len(messages) > 2)


def read_answer(text: str, wanted: Collection[str]) -> dict[str, str]:
    """The fields of an answer. Thinking, code fences and a sentence around the object are forgiven; another shape is not.

    Raises:
        ValueError: no JSON object with exactly the wanted keys and texts, or notes of a thinking model in them; the message says what was found.
    """
    answer = strip_thinking(text)[0]
    start, end = answer.find("{"), answer.rfind("}")
    if start < 0 or end < start:
        raise ValueError("the answer holds no JSON object")
    try:
        fields = json.loads(answer[start : end + 1], strict=False)
    except (ValueError, RecursionError):
        raise ValueError("the answer's JSON object cannot be read") from None
    if not all(isinstance(value, str) for value in fields.values()):
        raise ValueError("a field of the answer is not a text")
    if set(fields) != set(wanted):
        raise ValueError(f"the answer has the keys {sorted(fields)}, not {sorted(wanted)}")
    return {field: fields[field] for field in wanted}
