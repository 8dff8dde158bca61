"""An exhibit, not a tool: the client that most distillation scripts begin with, and that the blog's author had to rewrite.

The blog does not show its first script; this follows its description (concurrency 5, partial output files, no resume, everybody retrying
at once, crashes without a message). Every line marked ✗ is a mistake kept on purpose; `client` is the same job done properly.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.teacher.config import Endpoint
from helpers.teacher.run import open_api


@dataclass
class NaiveJob:
    """What the naive client leaves: texts in memory (None for a lost row), and the counters that it does not print."""

    texts: list[str | None]
    seconds: float
    minute: float
    requests: int = 0
    limited: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    timeline: list[tuple[float, str]] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Rows without a text."""
        return sum(text is None for text in self.texts)

    @property
    def answers_per_minute(self) -> float:
        """Texts per minute of the server's clock, good or bad."""
        return (len(self.texts) - self.lost) / self.seconds * self.minute if self.seconds else 0.0


def run_naive(
    endpoint: Endpoint,
    prompts: Sequence[list[dict[str, str]]],
    out: Path,
    *,
    concurrency: int = 5,
    retries: int = 3,
    retry_delay: float = 5.0,
) -> NaiveJob:
    """Ask for every prompt the naive way and write one JSON file at the end.

    Args:
        retry_delay: seconds of a 60-second minute between attempts, always the same.
    """
    job = NaiveJob([None] * len(prompts), 0.0, endpoint.minute)
    started = time.monotonic()
    outcome: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(
                _ask_all(
                    endpoint, prompts, job, concurrency, retries, retry_delay * endpoint.minute / 60, started
                )
            )
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=work, daemon=True)  # a notebook has a running loop already
    thread.start()
    thread.join()
    if outcome:
        raise outcome[0]
    job.seconds = time.monotonic() - started
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(
        json.dumps(job.texts, ensure_ascii=False), encoding="utf-8"
    )  # ✗ one file, at the end: a crash before this line loses everything
    return job


async def _ask_all(
    endpoint: Endpoint,
    prompts: Sequence[Any],
    job: NaiveJob,
    concurrency: int,
    retries: int,
    delay: float,
    started: float,
) -> None:
    gate = asyncio.Semaphore(concurrency)  # ✗ a fixed number in flight says nothing about requests a minute
    async with open_api(endpoint) as api:

        async def ask(index: int) -> None:
            async with gate:
                for _ in range(retries):
                    try:
                        job.requests += 1
                        response = await api.chat.completions.create(
                            model=endpoint.model, messages=prompts[index]
                        )
                        job.texts[index] = response.choices[
                            0
                        ].message.content  # ✗ by row number, unchecked: cut, empty or thinking aloud
                        job.timeline.append((time.monotonic() - started, "answer"))
                        return
                    except Exception as error:  # ✗ a wrong key is retried like a hiccup, and nobody is told
                        cause = str(getattr(error, "status_code", None) or type(error).__name__)
                        job.limited += cause == "429"
                        job.problems[cause] += 1
                        job.timeline.append((time.monotonic() - started, cause))
                        await asyncio.sleep(
                            delay
                        )  # ✗ Retry-After ignored, and all who failed together come back together

        await asyncio.gather(
            *(ask(index) for index in range(len(prompts)))
        )  # ✗ equal prompts are all paid for
