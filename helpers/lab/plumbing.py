"""A client of the teacher put to the test: one run against an offline teacher, and what can be counted afterwards (notebook 07)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from helpers.evaluate import Rate, bootstrap_mean, wilson
from helpers.teacher import Endpoint, Job, NaiveJob, OfflineTeacher

EDGE = 15  # seconds of a 60-second minute left out at the start: filling is not the pace
THROUGH = 0.95  # share of the requests after which a run only drains: the last few rows, asked again
Chats = Sequence[list[dict[str, str]]]


@dataclass(frozen=True)
class ClientRun:
    """What one client did to one server. Times are on the server's clock, whose minute may last less than sixty seconds.

    Attributes:
        rows: prompts given to the client. lost: those without an answer at the end. invalid: answers it kept that fail the check.
        requests: sent, as the client counts them. limited: those answered 429.
        minutes: how long it took. limit: the server's requests per minute.
        timeline: (minutes since the start, "answer" | "429" | a cause), every response as the client saw it.
        series: the server's own count for each second of a 60-second minute: accepted, broken, limited, in_flight.
    """

    name: str
    rows: int
    lost: int
    invalid: int
    requests: int
    limited: int
    minutes: float
    limit: float
    timeline: list[tuple[float, str]] = field(repr=False)
    series: list[dict[str, int]] = field(repr=False)

    @property
    def busy(self) -> list[dict[str, int]]:
        """The seconds from the first traffic to the last."""
        busy = [row["second"] for row in self.series if row["accepted"] or row["broken"] or row["limited"]]
        return [row for row in self.series if busy and busy[0] <= row["second"] <= busy[-1]]

    @property
    def requests_per_minute(self) -> Rate:
        """Requests that the server let in, per minute, in steady state; the interval is over the seconds."""
        let_in = [float(row["accepted"] + row["broken"]) for row in self.busy]
        sums = list(accumulate(let_in))
        end = next((place for place, total in enumerate(sums, 1) if total >= THROUGH * sums[-1]), 0)
        rate = bootstrap_mean(let_in[EDGE:end] if end > 2 * EDGE else let_in)
        return Rate(60 * rate.value, rate.n, 60 * rate.low, 60 * rate.high)

    @property
    def limit_share(self) -> Rate:
        """The same as a share of the server's limit."""
        rate = self.requests_per_minute
        return Rate(
            rate.value / self.limit,
            rate.n,
            rate.low / self.limit,
            min(rate.high, max(rate.value, self.limit)) / self.limit,
        )

    @property
    def rejected_share(self) -> Rate:
        """Share of the requests that were answered 429."""
        return wilson(self.limited, self.requests)

    @property
    def lost_share(self) -> Rate:
        """Share of the rows without an answer."""
        return wilson(self.lost, self.rows)

    @property
    def invalid_share(self) -> Rate:
        """Share of the kept answers that fail the check."""
        return wilson(self.invalid, self.rows - self.lost)

    @property
    def answers_per_minute(self) -> float:
        """Answers per minute over the whole run, good or bad."""
        return (self.rows - self.lost) / self.minutes


def try_client(
    name: str,
    ask: Callable[[Endpoint, Chats], Job | NaiveJob],
    prompts: Chats,
    problem: Callable[[str, int], str | None],
    **server: Any,
) -> ClientRun:
    """Start an offline teacher, let a client ask it for every prompt, and count.

    Args:
        ask: (endpoint, prompts) → the client's job.
        problem: (text, index of the prompt) → what is wrong with an answer, or None.
        server: the `Options` of the offline teacher.
    """
    with OfflineTeacher(**server) as teacher:
        job = ask(teacher.endpoint, prompts)
        stats = teacher.stats()
    texts = (
        job.texts
        if isinstance(job, NaiveJob)
        else [answer.text if answer else None for answer in job.answers()]
    )
    return ClientRun(
        name=name,
        rows=len(prompts),
        lost=sum(text is None for text in texts),
        invalid=sum(
            text is not None and problem(text, index) is not None for index, text in enumerate(texts)
        ),
        requests=job.requests,
        limited=job.limited,
        minutes=job.seconds / job.minute,
        limit=teacher.options.requests_per_minute or float("inf"),
        timeline=[(at / job.minute, what) for at, what in job.timeline],
        series=stats["series"],
    )
