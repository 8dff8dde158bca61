"""Translate rows through a teacher: ask, check, send back once with the problems named, and say what passed, what failed and why.

The client is anything with `run(prompts, out, validate=, label=)` that returns a job with `answers()` and `cost_usd`
(`helpers.teacher.Client`, one floor up).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from helpers.translate.checks import CHECKS, Problem, check_row, chrf
from helpers.translate.glossary import Glossary, glossary
from helpers.translate.prompts import Messages, read_answer, request, send_back
from helpers.translate.rows import Row


@dataclass(frozen=True)
class Translated:
    """A row that passed every check: its Spanish by column, and the problems of its first attempt when it was sent back."""

    row: Row
    spanish: dict[str, str]
    sent_back: tuple[Problem, ...] = ()

    @property
    def text(self) -> str:
        """The Spanish as one text, for continued pre-training."""
        columns = ("sentence",) if self.row.kind == "interaction" else tuple(self.spanish)
        return "\n".join(self.spanish[column] for column in columns if column in self.spanish)


@dataclass(frozen=True)
class Failed:
    """A row that did not pass: why, its last Spanish (None when no answer could be read), and the first attempt's problems."""

    row: Row
    problems: tuple[Problem, ...]
    spanish: dict[str, str] | None = None
    sent_back: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Translation:
    """What came of a set of rows.

    Attributes:
        country: whose Spanish was asked for.
        passed, failed: every row is in one of the two, in the order given.
        cost_usd: what the requests of this call cost (rows answered in an earlier run cost nothing again); None without a price.
        total_cost_usd: what all their answers cost, earlier runs included.
        requests: HTTP requests sent by this call.
        stopped: why the job ended early (a budget), or None.
        first_problems: rows by check that their first answer failed.
        first: the first answer of every row, in the order of the rows; None where none could be read.
    """

    country: str
    passed: list[Translated]
    failed: list[Failed]
    cost_usd: float | None
    total_cost_usd: float | None
    requests: int
    stopped: str | None = None
    first_problems: Counter[str] = field(default_factory=Counter)
    first: list[dict[str, str] | None] = field(default_factory=list, repr=False)

    @property
    def sent_back(self) -> list[Translated | Failed]:
        """Every row whose first answer did not pass."""
        return [item for item in (*self.passed, *self.failed) if item.sent_back]

    @property
    def cost_per_thousand_rows(self) -> float | None:
        """US dollars for a thousand rows at this cost."""
        total = len(self.passed) + len(self.failed)
        return None if self.total_cost_usd is None or not total else 1000 * self.total_cost_usd / total

    @property
    def foreign(self) -> set[str]:
        """Ids of the rows whose first answer was empty or not Spanish: their numbers, words and length were not looked at."""
        items = (*self.passed, *self.failed)
        return {
            item.row.id
            for item in items
            if any(p.check in ("present", "language") for p in (item.sent_back or _last(item)))
        }

    def rate(self, check: str, among: Callable[[Row], object] | None = None) -> tuple[int, int]:
        """(rows without a problem of this check on the *first* attempt, rows answered); `among` narrows to the rows it holds for."""
        answered = [
            item
            for item in (*self.passed, *self.failed)
            if not any(p.field == "(row)" for p in (*item.sent_back, *_last(item)))
        ]
        answered = [item for item in answered if among is None or among(item.row)]
        clean = [
            item
            for item in answered
            if all(problem.check != check for problem in (item.sent_back or _last(item)))
        ]
        return len(clean), len(answered)

    def table(self) -> list[dict[str, Any]]:
        """One line per check: rows that failed it at first, of those mended by the second request, and rows lost to it."""
        lines = []
        for check in (*CHECKS, "answer"):
            first = [
                i
                for i in (*self.passed, *self.failed)
                if any(p.check == check for p in (i.sent_back or _last(i)))
            ]
            mended = [item for item in first if isinstance(item, Translated)]
            lost = [item for item in self.failed if any(problem.check == check for problem in item.problems)]
            lines.append(
                {"check": check, "failed at first": len(first), "mended": len(mended), "lost": len(lost)}
            )
        return lines

    def chrf(self) -> float | None:
        """Corpus chrF of the passed rows that have a reference, in 0…100; None when none has one."""
        pairs = [
            (item.spanish[column], item.row.reference[column])
            for item in self.passed
            if item.row.reference
            for column in item.spanish
        ]
        return chrf(*zip(*pairs, strict=True)) if pairs else None


def _last(item: Translated | Failed) -> tuple[Problem, ...]:
    return item.problems if isinstance(item, Failed) else ()


def _judge(
    row: Row, answer: Any, country: str, using: Glossary
) -> tuple[dict[str, str] | None, tuple[Problem, ...]]:
    """An answer's fields and problems."""
    if answer is None:
        return None, (Problem("answer", "(row)", "no valid answer came; see the job's errors file"),)
    try:
        spanish = read_answer(answer.text, row.fields)
    except ValueError as error:
        return None, (Problem("answer", "(row)", str(error)),)
    return spanish, tuple(check_row(row.fields, spanish, country, using))


def _validator(rows: Sequence[Row]) -> Any:
    def problem(text: str, index: int) -> str | None:
        try:
            read_answer(text, rows[index].fields)
        except ValueError as error:
            return str(error)
        return None

    return problem


def translate(
    rows: Sequence[Row],
    client: Any,
    country: str = "ES",
    *,
    out: str = "translation",
    using: Glossary | None = None,
) -> Translation:
    """Ask for every row, check, send the failures back once, and check again.

    Args:
        client: see the module's first lines.
        country: "ES", "MX" or "GT": whose words are asked for and accepted.
        out: name of the job; the client keeps its answers under it, so that a killed run goes on where it was.
        using: another glossary than the shipped one.

    Raises:
        LabError: the country is unknown, or the client had to stop (a refused key, no credit, no network). Answers are kept.
    """
    using = using or glossary()
    prompts: list[Messages] = [request(row.fields, country, using) for row in rows]
    first = client.run(prompts, out, validate=_validator(rows), label=f"Translating for {country}")
    answers = first.answers()
    judged = [_judge(row, answer, country, using) for row, answer in zip(rows, answers, strict=True)]
    again = [i for i, (_, problems) in enumerate(judged) if problems and answers[i] is not None]
    jobs, second = [first], {}
    if again and not first.stopped:
        mending = [send_back(prompts[i], answers[i].text, judged[i][1]) for i in again]
        jobs.append(
            client.run(mending, out, validate=_validator([rows[i] for i in again]), label="Sending back")
        )
        for i, answer in zip(again, jobs[-1].answers(), strict=True):
            second[i] = _judge(rows[i], answer, country, using) if answer is not None else judged[i]
    passed, failed = [], []
    for i, row in enumerate(rows):
        sent_back = judged[i][1] if i in second else ()
        spanish, problems = second.get(i, judged[i])
        if problems or spanish is None:
            failed.append(Failed(row, problems, spanish, sent_back))
        else:
            passed.append(Translated(row, spanish, sent_back))
    return Translation(
        country=country,
        passed=passed,
        failed=failed,
        cost_usd=_sum(job.cost_usd for job in jobs),
        total_cost_usd=_sum(job.total_cost_usd for job in jobs),
        requests=sum(job.requests for job in jobs),
        stopped=next((job.stopped for job in jobs if job.stopped), None),
        first_problems=Counter(
            problem.check for _, problems in judged for problem in {p.check: p for p in problems}.values()
        ),
        first=[spanish for spanish, _ in judged],
    )


def _sum(costs: Any) -> float | None:
    known = list(costs)
    return None if any(cost is None for cost in known) else sum(known)
