"""One run of the resilient client: workers, the line in front of the server, and what is done with each outcome."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from helpers.files import LabError
from helpers.teacher.config import Endpoint
from helpers.teacher.journal import Folder
from helpers.teacher.limits import LONGEST_PAUSE, Bucket, Limiter, Meter, Pause, backoff
from helpers.teacher.outcomes import Outcome, of_error, of_response

GRACE = 5.0  # seconds that requests in flight get when the job has to stop: their answers are paid for
WARMER = 0.2  # added to the temperature each time an answer was invalid
KEPT = 2000  # characters of an invalid answer kept in the errors file


@dataclass(frozen=True)
class Settings:
    """`Client`'s arguments."""

    concurrency: int
    max_cost_usd: float | None
    attempts: int
    invalid_attempts: int
    patience: float
    pace: bool
    jitter: bool


@dataclass
class Row:
    """One prompt on its way: how often it was sent, broke, was invalid, and what it cost so far."""

    key: str
    index: int
    characters: int
    sent: int = 0
    broken: int = 0
    invalid: int = 0
    room: int = 1  # factor on the answer's token cap, doubled when an answer was cut
    cost_usd: float = 0.0
    last: str = ""


def open_api(endpoint: Endpoint) -> Any:
    """The `openai` client without its own retries: they know neither jitter nor our limits, and repeat what can only fail."""
    import openai

    for name in (
        "openai",
        "httpx2",
        "httpcore2",
    ):  # at DEBUG they print response headers, and a server may echo the key in one
        logger = logging.getLogger(name)
        logger.setLevel(max(logging.INFO, logger.level))
    return openai.AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.key.reveal(),
        max_retries=0,
        timeout=endpoint.timeout_s,
        http_client=openai.DefaultAsyncHttpxClient(trust_env=False) if endpoint.local else None,
    )


class Run:
    """The state of one run. Counters may be read from another thread while it goes on."""

    def __init__(
        self,
        endpoint: Endpoint,
        settings: Settings,
        files: Folder,
        prompts: Sequence[list[dict[str, str]]],
        todo: list[tuple[str, int]],
        validate: Callable[[str, int], str | None] | None,
    ) -> None:
        self.endpoint, self.settings, self.files, self.prompts, self.validate = (
            endpoint,
            settings,
            files,
            prompts,
            validate,
        )
        self.todo = todo
        self.answered = self.failed = self.requests = self.limited = self.prompt_tokens = (
            self.completion_tokens
        ) = 0
        self.cost_usd = self._reserved = 0.0
        self.spent_before = files.cost_usd
        self.problems: Counter[str] = Counter()
        self.timeline: list[tuple[float, str]] = []
        self.failure: str | None = None  # a sentence for the reader: the job had to stop
        self.crash: BaseException | None = None  # a bug of ours, or of the caller's `validate`
        self.stopped: str | None = None
        self._scale = endpoint.minute / 60
        self._line: Limiter | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = self._last_answer = time.monotonic()
        self._fails_in_a_row = 0
        self._meter = Meter()

    # ---------------------------------------------------------------------------------------------- seen from outside
    @property
    def settled(self) -> int:
        """Rows answered or given up."""
        return self.answered + self.failed

    @property
    def pauses(self) -> int:
        """Shared pauses so far."""
        return self._line.pause.count if self._line else 0

    def note(self, seconds: float) -> str:
        """Rate and cost for the progress line."""
        rate = self.answered / max(seconds, 1e-9) * self.endpoint.minute
        cost = f" · ${self.cost_usd:.3f}" if self.endpoint.cost(1, 1) is not None else ""
        failed = f" · {self.failed} failed" if self.failed else ""
        return f"· {rate:,.0f}/min{cost}{failed}"

    def sentence(self, seconds: float) -> str:
        """What replaces the progress line."""
        return f"{self.answered:,} answers in {seconds:.0f} s {self.note(seconds)}" + (
            f" · stopped: {self.stopped}" if self.stopped else ""
        )

    def give_up(self, why: str) -> None:
        """Stop from another thread."""
        self.failure = self.failure or why
        if self._loop and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._stop.set)

    # ------------------------------------------------------------------------------------------------------- the loop
    async def drive(self) -> None:
        """Settle every row, or stop early with `failure`, `crash` or `stopped` set."""
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._line = self._limiter()
        self._queue = deque(self.todo)
        self._in_flight: set[asyncio.Task[Any]] = set()
        self._started = self._last_answer = time.monotonic()
        async with open_api(self.endpoint) as api:
            self._api = api
            workers = [
                asyncio.create_task(self._work())
                for _ in range(min(self.settings.concurrency, len(self.todo)))
            ]
            stop = asyncio.create_task(self._stop.wait())
            everybody = asyncio.gather(*workers)
            await asyncio.wait({everybody, stop}, return_when=asyncio.FIRST_COMPLETED)
            if self._stop.is_set():
                await self._wind_up(workers)
            stop.cancel()
            await asyncio.gather(everybody, stop, return_exceptions=True)

    def _limiter(self) -> Limiter:
        limits = (
            (self.endpoint.requests_per_minute, self.endpoint.tokens_per_minute)
            if self.settings.pace
            else (None, None)
        )
        buckets = [Bucket(limit, self.endpoint.minute) if limit else None for limit in limits]
        return Limiter(*buckets, Pause(self.settings.jitter, widest=2 * self._scale))

    async def _wind_up(self, workers: list[asyncio.Task[None]]) -> None:
        """Those who wait go home at once; those whose request is on its way get a moment."""
        for worker in set(workers) - self._in_flight:
            worker.cancel()
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=GRACE)
        for worker in workers:
            worker.cancel()

    async def _work(self) -> None:
        try:
            while self._queue and not self._stop.is_set():
                key, index = self._queue.popleft()
                characters = sum(len(str(message.get("content") or "")) for message in self.prompts[index])
                await self._settle(Row(key, index, characters))
        except LabError as error:  # the disk
            self._fail(str(error))
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.crash = self.crash or error
            self._stop.set()

    async def _settle(self, row: Row) -> None:
        """Ask until the row is answered, given up, or the job stops."""
        while not self._stop.is_set():
            guess, dearest = self._meter.guess(row.characters), self._dearest(row)
            if not await self._afford(dearest):
                return
            try:
                await self._line.enter(guess)
                outcome = await self._send(row)
            finally:
                self._reserved -= dearest
            self._count(row, outcome, guess)
            if await self._act(row, outcome):
                return

    async def _send(self, row: Row) -> Outcome:
        """One HTTP request; every exception becomes an outcome."""
        endpoint, task = self.endpoint, asyncio.current_task()
        sampling = {
            "temperature": min(1.0, endpoint.temperature + WARMER * row.invalid),
            endpoint.token_limit_name: endpoint.max_completion_tokens * row.room,
            "extra_body": dict(endpoint.extra_body) or None,
        }
        row.sent += 1
        self.requests += 1
        self._in_flight.add(task)
        try:
            async with asyncio.timeout(
                endpoint.timeout_s
            ):  # a server that drips satisfies every read time-out
                response = await self._api.chat.completions.create(
                    model=endpoint.model, messages=self.prompts[row.index], **sampling
                )
            return of_response(response, endpoint.key.hide, endpoint.codes)
        except Exception as error:
            return of_error(error, endpoint.key.hide)
        finally:
            self._in_flight.discard(task)

    # ---------------------------------------------------------------------------------------------------------- money
    def _dearest(self, row: Row) -> float:
        """The most this request can cost: two characters a token, and an answer that uses all its room."""
        return (
            self.endpoint.cost(row.characters / 2 + 50, self.endpoint.max_completion_tokens * row.room) or 0.0
        )

    async def _afford(self, dearest: float) -> bool:
        """Reserve the most a request can cost; False when the budget does not hold it and nothing in flight can free any."""
        cap = self.settings.max_cost_usd
        while cap is not None and self.spent_before + self.cost_usd + self._reserved + dearest > cap:
            if self._reserved <= 1e-12:
                self.stopped = f"the next request could exceed the budget of ${cap:g} (${self.spent_before + self.cost_usd:.4f} spent)"
                self._stop.set()
                return False
            await asyncio.sleep(0.02)
        self._reserved += dearest
        return True

    def _count(self, row: Row, outcome: Outcome, guess: float) -> None:
        """Tokens, cost, and what the timeline shows."""
        self.timeline.append(
            (time.monotonic() - self._started, "answer" if outcome.kind == "answer" else outcome.cause)
        )
        if outcome.kind != "answer" and outcome.completion_tokens is None:
            if outcome.kind == "limited":
                self._line.settle(guess, 0)  # it was not let in, so it used nothing
            return
        prompt = (
            outcome.prompt_tokens
            if outcome.prompt_tokens is not None
            else round(row.characters * self._meter.per_character)
        )
        completion = (
            outcome.completion_tokens
            if outcome.completion_tokens is not None
            else round(len(outcome.text) * self._meter.per_character)
        )
        self._meter.learn(row.characters, prompt, completion)
        self._line.settle(guess, prompt + completion)
        cost = self.endpoint.cost(prompt, completion) or 0.0
        row.cost_usd += cost
        self.cost_usd += cost
        self.prompt_tokens += prompt
        self.completion_tokens += completion

    # ---------------------------------------------------------------------------------------------- what follows from it
    async def _act(self, row: Row, outcome: Outcome) -> bool:
        """True when the row is settled or the job stops."""
        if outcome.kind == "answer":
            return await self._judge(row, outcome)
        if outcome.kind == "limited":
            self.limited += 1
            return self._pause(outcome)
        self.problems[outcome.cause] += 1
        if outcome.kind == "fatal":
            self._fail(f"{self.endpoint.what}: {outcome.problem}.")
            return True
        self._fails_in_a_row += 1
        if outcome.kind == "refused":
            self._error(row, outcome)
            return self._hopeless(outcome, waited=True)
        row.broken += 1
        if row.broken >= self.settings.attempts:
            self._error(row, outcome)
            return True
        if self._hopeless(outcome, waited=False):
            return True
        if outcome.retry_after is not None:
            return self._pause(outcome)
        await asyncio.sleep(backoff(row.broken, self.endpoint.minute))
        return False

    async def _judge(self, row: Row, outcome: Outcome) -> bool:
        """Does the answer count? A cut or empty one never does."""
        self._fails_in_a_row = 0
        self._last_answer = time.monotonic()
        problem = None
        if outcome.finish_reason == "length":
            problem, row.room = "cut: the answer reached its token limit", min(4, row.room * 2)
        elif not outcome.text:
            problem = "empty: the answer holds nothing" + (" but thinking" if outcome.thinking else "")
        elif self.validate and (wrong := self.validate(outcome.text, row.index)):
            problem = f"invalid: {self.endpoint.key.hide(str(wrong))}"
        if problem is None:
            self._keep(row, outcome)
            return True
        self.problems[problem.split(":")[0]] += 1
        row.invalid += 1
        row.last = outcome.text
        if row.invalid >= self.settings.invalid_attempts:
            self._error(row, Outcome("invalid", problem, 200))
            return True
        return False

    def _pause(self, outcome: Outcome) -> bool:
        """Everybody waits: as long as the server asks, else as long as a backoff over the pauses so far. True when that is too long."""
        seconds = outcome.retry_after
        if seconds is None:
            seconds = 0.25 * self._scale + backoff(
                min(2 + self.pauses_since_answer(), 6), self.endpoint.minute
            )
        if seconds > LONGEST_PAUSE * self._scale:
            self._fail(
                f"{self.endpoint.what} asks to wait {seconds:,.0f} s ({outcome.problem}). Run again after that."
            )
            return True
        if time.monotonic() - self._last_answer > LONGEST_PAUSE * self._scale + seconds:
            self._fail(
                f"{self.endpoint.what} has given no answer for {LONGEST_PAUSE / 60:.0f} minutes, only limits ({outcome.problem}). Run again later."
            )
            return True
        self._line.stop_for(seconds)
        return False

    def pauses_since_answer(self) -> int:
        """A growing number while only 429s come back."""
        return int((time.monotonic() - self._last_answer) / max(1e-3, 2 * self._scale))

    def _hopeless(self, outcome: Outcome, waited: bool) -> bool:
        """Stop when every request fails: at once for refusals of every single row, after `patience` for a dead network."""
        many = self._fails_in_a_row >= max(10, min(self.settings.concurrency, len(self.todo)))
        silent = time.monotonic() - self._last_answer
        patience = self.settings.patience * self._scale * (1.0 if self.answered else 0.2)
        if many and (waited or silent > patience):
            self._fail(
                f"{self.endpoint.what} at {self.endpoint.shown_url}: {self._fails_in_a_row} requests in a row failed, the last with “{outcome.problem}”. "
                "Check the address, the network and the server."
            )
        return waited or self._stop.is_set()

    def _fail(self, why: str) -> None:
        self.failure = self.failure or why
        self._stop.set()

    # -------------------------------------------------------------------------------------------------------- to disk
    def _keep(self, row: Row, outcome: Outcome) -> None:
        record = {
            "key": row.key,
            "text": outcome.text,
            "model": outcome.model,
            "finish_reason": outcome.finish_reason,
        }
        usage = {
            "prompt_tokens": outcome.prompt_tokens or 0,
            "completion_tokens": outcome.completion_tokens or 0,
        }
        more = {
            "cost_usd": self._price(row),
            "attempts": row.sent,
            "thinking": outcome.thinking,
            "at": round(time.time(), 3),
        }
        self.files.answers.append(record | usage | more)
        self.answered += 1

    def _error(self, row: Row, outcome: Outcome) -> None:
        record = {
            "key": row.key,
            "problem": outcome.problem,
            "status": outcome.status,
            "attempts": row.sent,
            "last": row.last[:KEPT],
        }
        self.files.errors.append(record | {"cost_usd": self._price(row), "at": round(time.time(), 3)})
        self.failed += 1

    def _price(self, row: Row) -> float | None:
        return round(row.cost_usd, 9) if self.endpoint.cost(1, 1) is not None else None
