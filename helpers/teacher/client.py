"""The resilient client: ask a teacher for thousands of answers and lose none, whatever happens on the way.

    job = Client(endpoint, max_cost_usd=2.0).run(prompts, "distillation", validate=problem_of)
    texts = [answer.text for answer in job.answers() if answer]

Run it again after any accident, `kill -9` included, and it goes on where it was. Notebook 07 builds its four ideas one by one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from filelock import FileLock, Timeout

from helpers.files import LabError, build_dir, writing
from helpers.progress import Progress
from helpers.teacher.config import Endpoint
from helpers.teacher.journal import Journal, content_key
from helpers.teacher.limits import Line, backoff
from helpers.teacher.outcomes import Outcome, of_error, of_response, problem_of

Messages = list[dict[str, str]]
Validate = Callable[[str, int], str | None]
LOCK_S = 10.0  # whoever only reads a finished job lets go of its folder much sooner
GRACE_S = 5.0  # for requests in flight when the job has to stop: their answers are paid for
LONGEST_PAUSE = 600.0  # seconds of a 60-second minute; a server that asks for more is not worth waiting for


@dataclass
class Client:
    """A client for one teacher, for scripts and notebooks alike (it runs its own event loop in a thread).

    Attributes:
        concurrency: requests in flight at most. Enough for a limit is limit × latency: 500 a minute at 7 s is 58.
        max_cost_usd: the job's folder never costs more than this, earlier runs included; None for no cap.
        attempts: how often one row may break (5xx, resets, time-outs, garbage) before it goes to the errors file.
        invalid_attempts: how often its answer may fail `validate` or be cut before it goes there.
        patience: seconds of a 60-second minute without a single answer, every request failing, after which the job stops.
    """

    endpoint: Endpoint
    _: KW_ONLY
    concurrency: int = 64
    max_cost_usd: float | None = None
    attempts: int = 8
    invalid_attempts: int = 4
    patience: float = 90.0

    def __post_init__(self) -> None:
        if self.max_cost_usd is not None and self.endpoint.cost(1, 1) is None:
            raise LabError(
                f"A budget was set, but the price of {self.endpoint.what} is unknown. Give it, in US dollars for a million tokens: "
                'endpoint.model_copy(update={"price_in": …, "price_out": …}).'
            )

    def run(
        self,
        prompts: Sequence[Messages],
        out: str | Path,
        *,
        validate: Validate | None = None,
        label: str | None = "Asking the teacher",
    ) -> Job:
        """Get an answer to every prompt, those of earlier runs included, and return when all are answered or given up.

        Args:
            prompts: chats ({"role", "content"} messages). Equal ones are asked once.
            out: the job's name (a folder under build/teacher/), or a folder. It gets answers.jsonl and errors.jsonl.
            validate: (text, index of the prompt) → what is wrong with the answer, or None. An answer counts when nothing is; until then
                it is asked again with other sampling. Answers that were cut, are empty or think aloud never count.
            label: text of the progress line; None for none.

        Raises:
            LabError: the key was refused, there is no credit, the model is gone, the server cannot be reached, the disk is full, or
                the run was interrupted. What was answered is kept.
        """
        folder = Path(out) if isinstance(out, Path) else build_dir() / "teacher" / out
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                with FileLock(folder / ".lock").acquire(timeout=LOCK_S):
                    job = Job(self, prompts, folder, validate)
                    job.run(label)
            except Timeout:
                raise LabError(
                    f"Another run is writing to {folder}. Wait for it, stop it, or give this job another name (`out=`)."
                ) from None
        if job.failure is not None:
            raise LabError(
                f"{job.failure} {len(job.kept):,} answers are kept in {folder}; the same call goes on from there."
            )
        return job


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


class Job:
    """One run and its result: workers take rows from a queue, stand in line, send, and do what the outcome asks. Repeated prompts are one row.

    Attributes:
        resumed: rows that an earlier run had answered. answered, failed: rows that this run answered, or gave up on (the next one asks them again).
        requests: HTTP requests sent; limited: those answered 429. problems: everything else that went wrong, by cause.
        stopped: why the job ended before its end (the budget), or None.
    """

    def __init__(
        self, client: Client, prompts: Sequence[Messages], folder: Path, validate: Validate | None
    ) -> None:
        self.client, self.endpoint, self.prompts, self.validate = client, client.endpoint, prompts, validate
        self.keys = [content_key(self.endpoint.model, messages) for messages in prompts]
        self.kept, self.lost = Journal(folder / "answers.jsonl"), Journal(folder / "errors.jsonl")
        rows = {key: index for index, key in reversed(list(enumerate(self.keys)))}
        self.queue = deque((key, rows[key]) for key in dict.fromkeys(self.keys) if key not in self.kept)
        self.resumed = len(rows) - len(self.queue)
        self.answered = self.failed = self.requests = self.limited = self.fails_in_a_row = 0
        self.spent = self.reserved = self.seconds = 0.0
        self.before = sum(
            row.get("cost_usd") or 0.0 for file in (self.kept, self.lost) for row in file.values()
        )
        self.scale, self.priced = self.endpoint.minute / 60, self.endpoint.cost(1, 1) is not None
        self.problems: Counter[str] = Counter()
        self.failure: str | None = None  # a sentence for the reader: the job had to stop
        self.crash: BaseException | None = None  # a bug of ours, or of the caller's `validate`
        self.stopped: str | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.last_answer = time.monotonic()

    # --------------------------------------------------------------------------------------------------- what came of it
    @property
    def left(self) -> int:
        """Rows without an answer."""
        return len(set(self.keys)) - self.resumed - self.answered

    @property
    def cost_usd(self) -> float | None:
        """What this run cost; None without a price."""
        return self.spent if self.priced else None

    @property
    def total_cost_usd(self) -> float | None:
        """What the answers and errors of these rows cost, over all runs; None without a price."""
        if not self.priced:
            return None
        files = (self.kept, self.lost)
        return sum(file.get(key, {}).get("cost_usd") or 0.0 for file in files for key in set(self.keys))

    def answers(self) -> list[Any]:
        """In the order of the prompts, None where there is none: text, model, finish_reason, thinking, prompt_tokens, completion_tokens,
        cost_usd (every request that the row needed in that run), attempts.
        """
        return [SimpleNamespace(**self.kept[key]) if key in self.kept else None for key in self.keys]

    def errors(self) -> dict[str, dict[str, Any]]:
        """By key: the last error record of every prompt that has no answer."""
        return {key: self.lost[key] for key in self.keys if key in self.lost and key not in self.kept}

    @property
    def sentence(self) -> str:
        """What a reader should keep."""
        rate = self.answered / self.seconds * self.endpoint.minute if self.seconds else 0.0
        parts = [f"{self.answered:,} answers in {self.seconds:.0f} s ({rate:,.0f} a minute)"]
        parts += [f"{self.resumed:,} were there already"] * bool(self.resumed)
        parts += [f"{self.failed:,} failed (errors.jsonl says why)"] * bool(self.failed)
        parts += [f"${self.spent:.4f}" if self.priced else "price unknown"]
        return "; ".join(parts + [f"stopped: {self.stopped}"] * bool(self.stopped)) + "."

    def __repr__(self) -> str:
        return f"Job({self.sentence!r})"

    # ------------------------------------------------------------------------------------------------------- the loop
    def run(self, label: str | None) -> None:
        """Run the event loop in a thread of its own and draw the progress line in this one."""
        for journal in (self.kept, self.lost):
            if journal.repaired and label:
                print("A line that a crash had cut off was removed; it will be asked again.", flush=True)
        if self.queue:
            started, progress = time.monotonic(), Progress(label, len(self.queue)) if label else None
            thread = threading.Thread(target=lambda: asyncio.run(self.drive()), daemon=True)
            thread.start()
            try:
                while thread.is_alive():
                    thread.join(0.1)
                    self.seconds = time.monotonic() - started
                    if progress and (more := self.answered + self.failed - progress.count):
                        progress.update(more, f"· ${self.spent:.3f}" if self.priced else "")
            except KeyboardInterrupt:
                self.fail("Interrupted.")
                thread.join(GRACE_S + 5)
            if progress and self.failure is None and self.crash is None:
                progress.done(self.sentence)
            elif progress:
                progress.__exit__(None, None, None)
        elif label:
            print(self.sentence, flush=True)
        self.kept.file.close()
        self.lost.file.close()
        if self.crash is not None:
            raise self.crash

    def fail(self, why: str) -> None:
        """Stop the job, from any thread."""
        self.failure = self.failure or why
        if self.loop:
            self.loop.call_soon_threadsafe(self.stop.set)

    async def drive(self) -> None:
        """Settle every row, or stop early with `failure`, `crash` or `stopped` set."""
        import openai

        for name in (
            "openai",
            "httpx2",
            "httpcore2",
        ):  # at DEBUG they print headers, and a server may echo the key
            logging.getLogger(name).setLevel(max(logging.INFO, logging.getLogger(name).level))
        endpoint, self.loop, self.stop = self.endpoint, asyncio.get_running_loop(), asyncio.Event()
        self.line = Line(endpoint.requests_per_minute, endpoint.minute)
        self.in_flight: set[Any] = set()
        async with (
            openai.AsyncOpenAI(
                base_url=endpoint.base_url,
                api_key=endpoint.key.get_secret_value(),
                max_retries=0,  # the package's own know neither jitter nor our limits, and repeat what can only fail
                timeout=endpoint.timeout_s,
                http_client=openai.DefaultAsyncHttpxClient(trust_env=not endpoint.local),
            ) as self.api
        ):
            count = min(self.client.concurrency, len(self.queue))
            workers = [asyncio.create_task(self.work()) for _ in range(count)]
            stop, everybody = asyncio.create_task(self.stop.wait()), asyncio.gather(*workers)
            await asyncio.wait({everybody, stop}, return_when=asyncio.FIRST_COMPLETED)
            for worker in set(workers) - self.in_flight:  # those who wait go home at once
                worker.cancel()
            if self.in_flight:
                await asyncio.wait(self.in_flight, timeout=GRACE_S)
            for task in (*workers, stop):
                task.cancel()
            await asyncio.gather(everybody, stop, return_exceptions=True)

    async def work(self) -> None:
        """Take rows until none is left or the job stops."""
        try:
            while self.queue and not (self.failure or self.stop.is_set()):
                key, index = self.queue.popleft()
                row = Row(key, index, sum(len(str(one.get("content") or "")) for one in self.prompts[index]))
                while not (await self.attempt(row) or self.failure or self.stop.is_set()):
                    pass
        except Exception as error:
            self.crash = self.crash or error
            self.stop.set()

    async def attempt(self, row: Row) -> bool:
        """Ask once; True when the row is settled."""
        room = self.endpoint.max_completion_tokens * row.room
        dearest = (
            self.endpoint.cost(row.characters / 2 + 50, room) or 0.0
        )  # two characters a token, all room used
        if not await self.afford(dearest):
            return True
        try:
            await self.line.enter()
            outcome = await self.send(row, room)
        finally:
            self.reserved -= dearest
        self.count(row, outcome)
        return await self.act(row, outcome)

    async def send(self, row: Row, room: int) -> Outcome:
        """One HTTP request; every exception becomes an outcome."""
        task, endpoint = asyncio.current_task(), self.endpoint
        row.sent, self.requests = row.sent + 1, self.requests + 1
        self.in_flight.add(task)
        try:
            async with asyncio.timeout(
                endpoint.timeout_s
            ):  # a server that drips satisfies every read time-out
                response = await self.api.chat.completions.create(
                    model=endpoint.model,
                    messages=self.prompts[row.index],
                    temperature=min(1.0, endpoint.temperature + 0.2 * row.invalid),
                    extra_body={endpoint.token_limit_name: room, **endpoint.extra_body},
                )
            return of_response(response, endpoint)
        except Exception as error:
            return of_error(error, endpoint)
        finally:
            self.in_flight.discard(task)

    # ---------------------------------------------------------------------------------------------------------- money
    async def afford(self, dearest: float) -> bool:
        """Reserve the most a request can cost; False when the budget does not hold it and nothing in flight can free any."""
        cap = self.client.max_cost_usd
        while cap is not None and self.before + self.spent + self.reserved + dearest > cap:
            if self.reserved <= 1e-12:
                spent = self.before + self.spent
                self.stopped = f"the next request could exceed the budget of ${cap:g} (${spent:.4f} spent)"
                self.stop.set()
                return False
            await asyncio.sleep(0.02)
        self.reserved += dearest
        return True

    def count(self, row: Row, outcome: Outcome) -> None:
        """Cost; tokens that the server does not tell are estimated, four characters each."""
        prompt, completion = outcome.prompt_tokens, outcome.completion_tokens
        if outcome.kind == "answer" or completion is not None:
            prompt = row.characters // 4 if prompt is None else prompt
            completion = len(outcome.text) // 4 if completion is None else completion
            cost = self.endpoint.cost(prompt, completion) or 0.0
            row.cost_usd, self.spent = row.cost_usd + cost, self.spent + cost

    # ---------------------------------------------------------------------------------------------- what follows from it
    async def act(self, row: Row, outcome: Outcome) -> bool:
        """True when the row is settled or the job stops."""
        if outcome.kind == "answer":
            return self.judge(row, outcome)
        if outcome.kind == "wait":
            self.limited += 1
            return self.pause(outcome)
        self.problems[outcome.cause] += 1
        if outcome.kind == "fatal":
            self.fail(f"{self.endpoint.what}: {outcome.problem}.")
            return True
        self.fails_in_a_row, row.broken = self.fails_in_a_row + 1, row.broken + 1
        patience = self.client.patience * self.scale * (1.0 if self.answered else 0.2)
        hopeless = outcome.kind == "refuse" or time.monotonic() - self.last_answer > patience
        if hopeless and self.fails_in_a_row >= max(10, min(self.client.concurrency, len(self.queue))):
            self.fail(
                f"{self.endpoint.what} at {self.endpoint.shown_url}: {self.fails_in_a_row} requests in a row failed, the last with "
                f"“{outcome.problem}”. Check the address, the network and the server."
            )
        if outcome.kind == "refuse" or row.broken >= self.client.attempts:
            self.give_up(row, outcome.problem)
            return True
        if outcome.retry_after is not None:
            return self.pause(outcome)
        await asyncio.sleep(backoff(row.broken, self.endpoint.minute))
        return False

    def judge(self, row: Row, outcome: Outcome) -> bool:
        """Does the answer count?"""
        self.fails_in_a_row, self.last_answer = 0, time.monotonic()
        problem = problem_of(outcome)
        if outcome.finish_reason == "length":
            row.room = min(4, row.room * 2)
        if problem is None and self.validate and (wrong := self.validate(outcome.text, row.index)):
            problem = f"invalid: {self.endpoint.hide(str(wrong))}"
        if problem is None:
            fields = {name: getattr(outcome, name) for name in ("text", "model", "finish_reason", "thinking")}
            tokens = {name: getattr(outcome, name) or 0 for name in ("prompt_tokens", "completion_tokens")}
            self.keep(self.kept, row, fields | tokens)
            self.answered += 1
            return True
        self.problems[problem.split(":")[0]] += 1
        row.invalid, row.last = row.invalid + 1, outcome.text
        if row.invalid >= self.client.invalid_attempts:
            self.give_up(row, problem)
        return row.invalid >= self.client.invalid_attempts

    def pause(self, outcome: Outcome) -> bool:
        """Everybody waits: as long as the server asks, else a growing time. True when that is too long."""
        silent, seconds = (time.monotonic() - self.last_answer) / self.scale, outcome.retry_after
        if seconds is None:
            seconds = 0.25 * self.scale + backoff(min(2 + int(silent / 2), 6), self.endpoint.minute)
        if seconds > LONGEST_PAUSE * self.scale:
            self.fail(
                f"{self.endpoint.what} asks to wait {seconds:,.0f} s ({outcome.problem}). Run again after that."
            )
        elif silent > LONGEST_PAUSE:
            self.fail(
                f"{self.endpoint.what} gives no answers, only limits ({outcome.problem}). Run again later."
            )
        self.line.stop_for(seconds)
        return self.failure is not None

    def give_up(self, row: Row, problem: str) -> None:
        """Write the row to the errors file."""
        self.keep(self.lost, row, {"problem": problem, "last": row.last[:2000]})
        self.failed += 1

    def keep(self, journal: Journal, row: Row, fields: dict[str, Any]) -> None:
        """Append a record with what the row cost."""
        cost = round(row.cost_usd, 9) if self.priced else None
        more = {"cost_usd": cost, "attempts": row.sent, "at": round(time.time(), 3)}
        journal.append({"key": row.key, **fields, **more})
