"""The resilient client: ask a teacher for thousands of answers and lose none, whatever happens on the way.

After any accident, `kill -9` included, the next run goes on where it was. Notebook 07 builds its four ideas.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from filelock import FileLock, Timeout

from helpers.files import LabError, build_dir, writing
from helpers.progress import Progress
from helpers.teacher.config import Endpoint
from helpers.teacher.journal import Journal, content_key
from helpers.teacher.limits import Line, backoff
from helpers.teacher.outcomes import Outcome, of_answer, of_error, problem_of

Chats = Sequence[list[dict[str, str]]]
Validate = Callable[[str, int], str | None]
LOCK_S = 10.0  # whoever only reads a finished job lets go of its folder much sooner
GRACE_S = 5.0  # for answers in flight when the job has to stop: they are paid for
# Seconds of a 60-second minute: without any answer while every request fails, and the longest pause that is
# worth waiting for.
PATIENCE, LONGEST_PAUSE = 90.0, 600.0


@dataclass
class Client:
    """A client for one teacher, for scripts and notebooks alike (it runs its own event loop in a thread).

    Attributes:
        concurrency: requests in flight at most. Enough is limit × latency: for 500 a minute at 7 s, 58.
        max_cost_usd: the job's folder never costs more than this, earlier runs included; None for no cap.
        attempts: how often one row may break (5xx, resets, time-outs, garbage) before it is given up.
        invalid_attempts: how often its answer may be cut or fail `validate` before that.
    """

    endpoint: Endpoint
    concurrency: int = 64
    max_cost_usd: float | None = None
    attempts: int = 8
    invalid_attempts: int = 4

    def __post_init__(self) -> None:
        if self.max_cost_usd is not None and self.endpoint.cost(1, 1) is None:
            raise LabError(f"The price of {self.endpoint.what} is unknown: set price_in, price_out.")

    def run(
        self, prompts: Chats, out: str | Path, validate: Validate | None = None, label: str | None = "Asking"
    ) -> "Job":
        """Return when every prompt is answered, by this run or an earlier one, or given up.

        Args:
            prompts: chats ({"role", "content"} messages). Equal ones are asked once.
            out: a name under build/teacher/, or a folder; answers.jsonl and errors.jsonl are written there.
            validate: (text, index of the prompt) → what is wrong with the answer, or None. A wrong answer is
                asked again with other sampling, as is one that was cut, is empty or thinks aloud.
            label: text of the progress line; None for none.

        Raises LabError: no key, credit, model, server or disk space, or interrupted. Answers are kept.
        """
        folder = out if isinstance(out, Path) else build_dir() / "teacher" / out
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                with FileLock(folder / ".lock", timeout=LOCK_S):
                    job = Job(self, prompts, folder, validate)
                    job.run(label)
            except Timeout:
                raise LabError(f"Another run is writing to {folder}. Wait, or rename this job.") from None
            except LabError as error:
                kept = f"{len(job.kept):,} answers are kept in {folder}"
                raise LabError(f"{error} {kept}; the same call goes on from there.") from None
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
    """One run and its result: workers take rows from a queue, stand in line, send, and do what follows.

    Attributes:
        resumed: rows that an earlier run had answered. left: rows without an answer.
        answered, failed: rows that this run answered, or gave up on (the next one asks them again).
        requests: HTTP requests sent.
        cost_usd: of this run; total_cost_usd: of these rows over all runs; both None without a price.
        stopped: why the job ended before its end (the budget), or None. sentence: what a reader should keep.
    """

    def __init__(self, client: Client, prompts: Chats, folder: Path, validate: Validate | None) -> None:
        self.client, self.endpoint, self.prompts, self.validate = client, client.endpoint, prompts, validate
        self.keys = [content_key(self.endpoint.model, messages) for messages in prompts]
        self.kept, self.lost = Journal(folder / "answers.jsonl"), Journal(folder / "errors.jsonl")
        rows = {key: index for index, key in enumerate(self.keys)}
        self.queue = deque((key, index) for key, index in rows.items() if key not in self.kept)
        self.left, self.resumed = len(self.queue), len(rows) - len(self.queue)
        self.answered = self.failed = self.requests = self.fails_in_a_row = 0
        self.spent = self.reserved = self.seconds = 0.0
        self.before = self.paid({*self.kept, *self.lost})
        self.scale, self.priced = self.endpoint.minute / 60, self.endpoint.cost(1, 1) is not None
        self.stopped: str | None = None
        self.ending = False  # nobody begins anything more
        self.last_answer = time.monotonic()
        self.usual = float(self.endpoint.max_completion_tokens)  # of an answer, for the limit in tokens

    def answers(self) -> list[Any]:
        """For each prompt None, or text, model, finish_reason, thinking, token counts, cost_usd, attempts."""
        return [SimpleNamespace(**self.kept[key]) if key in self.kept else None for key in self.keys]

    def paid(self, keys: set[str]) -> float:
        """US dollars for the answers and errors of these keys, over all runs."""
        files = self.kept, self.lost
        return sum(file.get(key, {}).get("cost_usd") or 0.0 for file in files for key in keys)

    def run(self, label: str | None) -> None:
        """Run the event loop in a thread of its own (a notebook has one); draw the progress in this one."""
        started, progress = time.monotonic(), Progress(label, self.left) if label else None
        with progress or nullcontext(), self.kept.file, self.lost.file, ThreadPoolExecutor(1) as thread:
            work = thread.submit(asyncio.run, self.drive())
            try:
                while wait([work], 0.1).not_done:
                    self.seconds = time.monotonic() - started
                    if progress and (more := self.answered + self.failed - progress.count):
                        progress.update(more, f"· ${self.spent:.3f}" if self.priced else "")
                work.result()
            except KeyboardInterrupt:
                self.ending = True  # the end of the block waits for what is in flight
                raise LabError("Interrupted.") from None
        self.cost_usd = self.spent if self.priced else None
        self.total_cost_usd = self.paid(set(self.keys)) if self.priced else None
        rate = self.answered / self.seconds * self.endpoint.minute if self.seconds else 0.0
        self.sentence = f"{self.answered:,} answers in {self.seconds:.0f} s ({rate:,.0f} a minute)"
        self.sentence += f"; {self.resumed:,} were there already" if self.resumed else ""
        self.sentence += f"; {self.failed:,} failed (errors.jsonl says why)" if self.failed else ""
        self.sentence += f"; ${self.spent:.4f}" if self.priced else "; price unknown"
        self.sentence += f"; stopped: {self.stopped}." if self.stopped else "."
        if progress:
            progress.done(self.sentence)

    async def drive(self) -> None:
        """Settle every row, or stop early: a worker raised, the budget is spent, the reader interrupted."""
        if not self.queue:
            return
        import openai

        # At DEBUG they print headers, and a server may echo the key.
        for logger in map(logging.getLogger, ("openai", "httpx2", "httpcore2")):
            logger.setLevel(max(logging.INFO, logger.level))
        endpoint = self.endpoint
        self.line = Line(endpoint.requests_per_minute, endpoint.minute, endpoint.tokens_per_minute)
        # The package's own retries know neither our limits nor our table, and repeat what can only fail.
        fields = {"base_url": endpoint.base_url, "timeout": endpoint.timeout_s, "max_retries": 0}
        fields["http_client"] = openai.DefaultAsyncHttpxClient(trust_env=not endpoint.local)
        async with openai.AsyncOpenAI(api_key=endpoint.key.get_secret_value(), **fields) as self.api:
            count = min(self.client.concurrency, self.left)
            workers = busy = {asyncio.create_task(self.work()) for _ in range(count)}
            while busy and not self.ending:
                done, busy = await asyncio.wait(busy, timeout=0.1, return_when=asyncio.FIRST_EXCEPTION)
                self.ending = self.ending or any(worker.exception() for worker in done)
            if busy:
                await asyncio.wait(busy, timeout=GRACE_S)
            for worker in workers:
                worker.cancel()
            for result in await asyncio.gather(*workers, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result

    async def work(self) -> None:
        """Take rows until none is left or the job ends."""
        while self.queue and not self.ending:
            key, index = self.queue.popleft()
            row = Row(key, index, sum(len(str(one.get("content") or "")) for one in self.prompts[index]))
            while not (await self.attempt(row) or self.ending):
                pass

    async def attempt(self, row: Row) -> bool:
        """Ask once; True when the row is settled."""
        room = self.endpoint.max_completion_tokens * row.room
        guess = row.characters / 4 + self.usual
        dearest = self.endpoint.cost(row.characters / 2 + 50, room) or 0.0  # two characters a token
        if not await self.afford(dearest):
            return True
        try:
            await self.line.enter(guess)
            if self.ending:
                return True
            outcome = await self.send(row, room)
        finally:
            self.reserved -= dearest
        cost = self.endpoint.cost(outcome.prompt_tokens, outcome.completion_tokens) or 0.0
        row.cost_usd, self.spent = row.cost_usd + cost, self.spent + cost
        if outcome.kind != "answer":
            return await self.recover(row, outcome)
        self.line.tokens.take(outcome.prompt_tokens + outcome.completion_tokens - guess)
        self.usual += 0.1 * (outcome.completion_tokens - self.usual)
        return self.judge(row, outcome)

    async def afford(self, dearest: float) -> bool:
        """Reserve the most a request can cost; False when the budget cannot hold it any more."""
        cap = self.client.max_cost_usd
        while cap is not None and (paid := self.before + self.spent) + self.reserved + dearest > cap:
            if self.reserved <= 1e-12:
                self.stopped = f"the next request could exceed the budget of ${cap:g} (${paid:.4f} spent)"
                self.ending = True
                return False
            await asyncio.sleep(0.02)
        self.reserved += dearest
        return True

    async def send(self, row: Row, room: int) -> Outcome:
        """One HTTP request; every exception becomes an outcome."""
        endpoint, row.sent, self.requests = self.endpoint, row.sent + 1, self.requests + 1
        try:
            # The package's own time-out is for one read, and a server that drips satisfies it.
            async with asyncio.timeout(endpoint.timeout_s):
                response = await self.api.chat.completions.with_raw_response.create(
                    model=endpoint.model,
                    messages=self.prompts[row.index],
                    temperature=min(1.0, endpoint.temperature + 0.2 * row.invalid),
                    extra_body={endpoint.token_limit_name: room, **endpoint.extra_body},
                )
            return of_answer(response.http_response.json(), row.characters, endpoint)
        except Exception as error:
            return of_error(error, endpoint)

    def judge(self, row: Row, outcome: Outcome) -> bool:
        """Does the answer count? True when the row is settled."""
        self.fails_in_a_row, self.last_answer = 0, time.monotonic()
        problem = problem_of(outcome)
        if outcome.finish_reason == "length":
            row.room = min(4, row.room * 2)
        if problem is None and self.validate and (wrong := self.validate(outcome.text, row.index)):
            problem = f"invalid: {self.endpoint.hide(str(wrong))}"
        if problem is None:
            names = ("text", "model", "finish_reason", "thinking", "prompt_tokens", "completion_tokens")
            self.keep(self.kept, row, **{name: getattr(outcome, name) for name in names})
            self.answered, self.left = self.answered + 1, self.left - 1
            return True
        row.invalid, row.last = row.invalid + 1, outcome.text
        return row.invalid >= self.client.invalid_attempts and self.give_up(row, problem)

    async def recover(self, row: Row, outcome: Outcome) -> bool:
        """No answer came: stop the job, give the row up (True), or wait before it is asked again."""
        silent, what = (time.monotonic() - self.last_answer) / self.scale, outcome.problem
        if outcome.kind == "wait":
            self.pause(outcome, silent)
            return False
        if outcome.kind == "fatal":
            self.fail(f"{what}.")
        self.fails_in_a_row, row.broken = self.fails_in_a_row + 1, row.broken + 1
        settled = outcome.kind == "refuse" or row.broken >= self.client.attempts
        if settled:
            self.give_up(row, what)
        hopeless = outcome.kind == "refuse" or silent > PATIENCE * (1.0 if self.answered else 0.2)
        if hopeless and self.fails_in_a_row >= max(10, min(self.client.concurrency, len(self.queue))):
            failed = f"{self.fails_in_a_row} requests in a row failed, the last with “{what}”"
            self.fail(f"{self.endpoint.shown_url}: {failed}. Check the address, the network and the server.")
        if not settled and outcome.retry_after is not None:
            self.pause(outcome, silent)
        elif not settled:
            await asyncio.sleep(backoff(row.broken, self.endpoint.minute))
        return settled

    def pause(self, outcome: Outcome, silent: float) -> None:
        """Everybody waits: as long as the server asks, else the longer, the longer it was silent."""
        seconds, what = outcome.retry_after, outcome.problem
        if seconds is None:
            seconds = 0.25 * self.scale + backoff(min(2 + int(silent / 2), 6), self.endpoint.minute)
        if max(seconds / self.scale, silent) > LONGEST_PAUSE:
            told = f"no answer for {silent:,.0f} s, and the server asks to wait {seconds:,.0f} s ({what})"
            self.fail(f"{told}. Run again later.")
        self.line.stop_for(seconds)

    def fail(self, why: str) -> NoReturn:
        """Stop the job with a sentence for the reader."""
        self.ending = True
        raise LabError(f"{self.endpoint.what}: {why}")

    def give_up(self, row: Row, problem: str) -> bool:
        """Write the row to the errors file, in place of an earlier run's record and with its cost added."""
        row.cost_usd += self.lost.get(row.key, {}).get("cost_usd") or 0.0
        self.failed += 1
        return self.keep(self.lost, row, problem=problem, last=row.last[:2000])

    def keep(self, journal: Journal, row: Row, **fields: Any) -> bool:
        """Append a record with what the row cost; True: it is settled."""
        cost = {"cost_usd": round(row.cost_usd, 9) if self.priced else None, "attempts": row.sent}
        journal.append({"key": row.key, **fields, **cost, "at": round(time.time(), 3)})
        return True
