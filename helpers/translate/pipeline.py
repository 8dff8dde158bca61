"""Translate rows through a teacher, one request a row: ask, check, send back once with the problems named."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from helpers.translate.checks import Problem, check_row
from helpers.translate.glossary import COUNTRIES, glossary
from helpers.translate.rows import Row
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
    """The chat that asks for a translation: style, country (LabError if unknown), rules for its terms."""
    lines = [STYLE.format(country=country_of(country).country)]
    if terms := glossary().used("\n".join(fields.values())):
        lines += ["Terms that must be so:", *(f"- {term.rule(country)}" for term in terms)]
    asked = json.dumps(dict(fields), ensure_ascii=False, indent=1)
    return [{"role": "system", "content": "\n".join(lines)}, {"role": "user", "content": asked}]


def send_back(messages: Messages, answer: str, problems: Sequence[Problem | str]) -> Messages:
    """The chat that returns an answer to the teacher with its problems named."""
    named = "\n".join(f"- {problem}" for problem in problems)
    complaint = f"This translation has problems:\n{named}\nMend them, leave the rest as it is, "
    complaint += "and answer with the whole JSON object again."
    return [*messages, {"role": "assistant", "content": answer}, {"role": "user", "content": complaint}]


class Request(NamedTuple):
    """A request as a teacher reads it: the fields, the country's code, whether it is a second attempt."""

    fields: dict[str, str]
    country: str
    again: bool


def read_request(messages: Sequence[Mapping[str, str]]) -> Request | None:
    """Understand a chat made by `request` or `send_back`; None when it is something else."""
    found = _COUNTRY.search(messages[0]["content"])
    try:
        fields = json.loads(messages[1]["content"]) if found else None
    except (IndexError, ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not all(isinstance(text, str) for text in fields.values()):
        return None
    code = next((code for code in COUNTRIES if country_of(code).country == found[1]), "ES")
    return Request(fields, code, again=len(messages) > 2)


def read_answer(text: str, wanted: Collection[str]) -> dict[str, str]:
    """An answer's fields, whatever stands around the JSON; ValueError says what is wrong with its shape."""
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


@dataclass(frozen=True)
class Translated:
    """What came of a row: Spanish by column (None: no answer was read) and problems, at last and at first."""

    row: Row
    spanish: dict[str, str] | None
    problems: tuple[Problem, ...] = ()
    first: dict[str, str] | None = None
    sent_back: tuple[Problem, ...] = ()

    @property
    def text(self) -> str:
        """The Spanish as one text, for continued pre-training; of an interaction the sentence alone."""
        spanish = self.spanish or {}
        return spanish.get("sentence") or "\n".join(spanish.values())


class Translation:
    """What came of a set of rows, `items` in the order given.

    Attributes:
        passed: the last answer passed every check. sent_back: the first did not.
        total_cost_usd: of all runs (None without a price). stopped: why it ended early (a budget).
    """

    def __init__(self, items: list[Translated], jobs: Sequence[Any]) -> None:
        self.items, self.stopped = items, jobs[-1].stopped
        self.passed = [item for item in items if not item.problems]
        self.sent_back = [item for item in items if item.sent_back]
        costs = [job.total_cost_usd for job in jobs]
        self.total_cost_usd = None if None in costs else sum(costs)


def translate(rows: Sequence[Row], client: Any, country: str) -> Translation:
    """Ask for every row, check, send the failures back once, and check again.

    The client keeps its answers under build/teacher/translation: a killed run goes on where it was.

    Args:
        client: `helpers.teacher.Client`, one floor up, or anything with its `run`.
        country: "ES", "MX" or "GT": whose words are asked for and accepted.

    Raises LabError: the client had to stop (key, credit, network), or the country is unknown.
    """
    prompts = [request(row.fields, country) for row in rows]
    jobs = [_ask(rows, client, prompts, f"Translating for {country}")]
    answers = jobs[0].answers()
    items = [_judge(row, answer, country) for row, answer in zip(rows, answers, strict=True)]
    again = [i for i, item in enumerate(items) if item.problems and item.spanish is not None]
    if again and not jobs[0].stopped:
        mending = [send_back(prompts[i], answers[i].text, items[i].problems) for i in again]
        jobs.append(_ask([rows[i] for i in again], client, mending, "Sending back"))
        for i, answer in zip(again, jobs[1].answers(), strict=True):
            once = items[i]
            twice = once if answer is None else _judge(rows[i], answer, country)
            items[i] = replace(twice, first=once.spanish, sent_back=once.problems)
    return Translation(items, jobs)


def _ask(rows: Sequence[Row], client: Any, prompts: list[Messages], label: str) -> Any:
    """A job of the client, which keeps an answer only when it can be read."""

    def problem(text: str, index: int) -> str | None:
        try:
            read_answer(text, rows[index].fields)
        except ValueError as error:
            return str(error)
        return None

    return client.run(prompts, "translation", validate=problem, label=label)


def _judge(row: Row, answer: Any, country: str) -> Translated:
    if answer is None:
        return Translated(row, None, (Problem("answer", "(row)", "no valid answer came; see errors.jsonl"),))
    spanish = read_answer(answer.text, row.fields)
    return Translated(row, spanish, tuple(check_row(row.fields, spanish, country)), first=spanish)
