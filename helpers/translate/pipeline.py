"""Translate rows through a teacher: ask, check, send back once with the problems named, and say what passed, what failed and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from helpers.translate.checks import Problem, check_row
from helpers.translate.prompts import Messages, read_answer, request, send_back
from helpers.translate.rows import Row


@dataclass(frozen=True)
class Translated:
    """What came of a row: its Spanish by column (None when no answer could be read) and what is wrong with it (nothing: it passed).

    `first` is the first answer, `sent_back` its problems, when it had any.
    """

    row: Row
    spanish: dict[str, str] | None
    problems: tuple[Problem, ...] = ()
    first: dict[str, str] | None = None
    sent_back: tuple[Problem, ...] = ()

    @property
    def text(self) -> str:
        """The Spanish as one text, for continued pre-training; of an interaction the sentence alone."""
        spanish = self.spanish or {}
        columns = ("sentence",) if self.row.kind == "interaction" else tuple(spanish)
        return "\n".join(spanish[column] for column in columns if column in spanish)


@dataclass(frozen=True)
class Translation:
    """What came of a set of rows, in the order given.

    `cost_usd` and `requests` are of this call, `total_cost_usd` is with earlier runs; costs are None without a price.
    `stopped` says why the job ended early (a budget).
    """

    items: list[Translated]
    cost_usd: float | None
    total_cost_usd: float | None
    requests: int
    stopped: str | None = None

    @property
    def passed(self) -> list[Translated]:
        """The rows that passed every check, at the first attempt or the second."""
        return [item for item in self.items if not item.problems]

    @property
    def failed(self) -> list[Translated]:
        """The rows that did not."""
        return [item for item in self.items if item.problems]

    @property
    def sent_back(self) -> list[Translated]:
        """The rows whose first answer did not pass."""
        return [item for item in self.items if item.sent_back]


def translate(
    rows: Sequence[Row], client: Any, country: str = "ES", *, out: str = "translation"
) -> Translation:
    """Ask for every row, check, send the failures back once, and check again.

    Args:
        client: `helpers.teacher.Client`, one floor up, or anything with its `run`.
        country: "ES", "MX" or "GT": whose words are asked for and accepted.
        out: name of the job; the client keeps its answers under it, so that a killed run goes on where it was.

    Raises:
        LabError: the country is unknown, or the client had to stop (a refused key, no credit, no network). Answers are kept.
    """
    prompts = [request(row.fields, country) for row in rows]
    jobs = [_ask(rows, client, prompts, out, f"Translating for {country}")]
    answers = jobs[0].answers()
    items = [_judge(row, answer, country) for row, answer in zip(rows, answers, strict=True)]
    again = [i for i, item in enumerate(items) if item.problems and item.spanish is not None]
    if again and not jobs[0].stopped:
        mending = [send_back(prompts[i], answers[i].text, items[i].problems) for i in again]
        jobs.append(_ask([rows[i] for i in again], client, mending, out, "Sending back"))
        for i, answer in zip(again, jobs[1].answers(), strict=True):
            once = items[i]
            twice = once if answer is None else _judge(rows[i], answer, country)
            items[i] = replace(twice, first=once.spanish, sent_back=once.problems)
    costs = [job.cost_usd for job in jobs], [job.total_cost_usd for job in jobs]
    now, in_all = (None if None in known else sum(known) for known in costs)
    return Translation(items, now, in_all, sum(job.requests for job in jobs), jobs[-1].stopped)


def _ask(rows: Sequence[Row], client: Any, prompts: list[Messages], out: str, label: str) -> Any:
    """A job of the client, which keeps an answer only when it can be read."""

    def problem(text: str, index: int) -> str | None:
        try:
            read_answer(text, rows[index].fields)
        except ValueError as error:
            return str(error)
        return None

    return client.run(prompts, out, validate=problem, label=label)


def _judge(row: Row, answer: Any, country: str) -> Translated:
    """An answer's fields and problems; every answer of a job can be read."""
    if answer is None:
        return Translated(
            row, None, (Problem("answer", "(row)", "no valid answer came; see the job's errors file"),)
        )
    spanish = read_answer(answer.text, row.fields)
    return Translated(row, spanish, tuple(check_row(row.fields, spanish, country)), first=spanish)
