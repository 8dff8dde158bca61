"""The resilient client: ask a teacher for thousands of answers and lose none, whatever happens on the way.

    client = Client(endpoint, max_cost_usd=2.0)
    job = client.run(prompts, "distillation", validate=problem_of)
    texts = [answer.text for answer in job.answers() if answer]

Run it again after any accident, `kill -9` included, and it goes on where it was: answers are keyed by content and appended as they come.
`helpers.teacher.run` holds the work of one run; `naive` beside it is the exhibit of how not to do it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from helpers.files import LabError, build_dir
from helpers.progress import Progress
from helpers.teacher.config import Endpoint
from helpers.teacher.job import Job
from helpers.teacher.journal import Folder
from helpers.teacher.run import Run, Settings

Messages = list[dict[str, str]]
Validate = Callable[[str, int], str | None]


def content_key(model: str, messages: Messages) -> str:
    """The name of a request: a hash of the model and of every message. Row numbers change when a list is edited; this does not."""
    canonical = json.dumps([model, messages], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Client:
    """A client for one teacher. It can be used from a script and from a notebook alike (it runs its own event loop in a thread).

    Args:
        endpoint: see `config`.
        concurrency: requests in flight at most. Enough for the limit is limit × latency: 500 a minute at 7 s is 58.
        max_cost_usd: the job's folder never costs more than this, earlier runs included; None for no cap.
        attempts: how often one row may break (5xx, resets, time-outs, garbage) before it goes to the errors file.
        invalid_attempts: how often its answer may fail `validate` or be cut before it goes there.
        patience: seconds of a 60-second minute without a single answer, every request failing, after which the job stops.
        pace, jitter: leave both on; notebook 07 turns them off to show what they are for.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        concurrency: int = 64,
        max_cost_usd: float | None = None,
        attempts: int = 8,
        invalid_attempts: int = 4,
        patience: float = 90.0,
        pace: bool = True,
        jitter: bool = True,
    ) -> None:
        if max_cost_usd is not None and endpoint.cost(1, 1) is None:
            raise LabError(
                f"A budget was set, but the price of {endpoint.what} is unknown. Give it: "
                "dataclasses.replace(endpoint, price_in=…, price_out=…), in US dollars for a million tokens."
            )
        self.endpoint = endpoint
        self.settings = Settings(
            max(1, concurrency),
            max_cost_usd,
            max(1, attempts),
            max(1, invalid_attempts),
            patience,
            pace,
            jitter,
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
            out: the job's name (a folder under build/teacher/), or a folder.
            validate: (text, index of the prompt) → what is wrong with the answer, or None. An answer counts when nothing is; until then
                it is asked again with other sampling. Answers that were cut (`finish_reason` "length") or empty never count.
            label: text of the progress line; None for none.

        Raises:
            LabError: the key was refused, there is no credit, the server cannot be reached, the disk is full, or the run was
                interrupted. What was answered is kept.
        """
        folder = Path(out) if isinstance(out, Path) else build_dir() / "teacher" / out
        keys = [content_key(self.endpoint.model, messages) for messages in prompts]
        first = {key: index for index, key in reversed(list(enumerate(keys)))}
        with Folder(folder) as files:
            todo = [(key, first[key]) for key in dict.fromkeys(keys) if key not in files.answers]
            run = Run(self.endpoint, self.settings, files, prompts, todo, validate)
            for journal in (files.answers, files.errors):
                if journal.repaired and label:
                    print(f"{journal.path.name}: {journal.repaired}.", flush=True)
            seconds = self._drive(run, label) if todo else 0.0
            job = self._job(run, files, keys, len(first) - len(todo), seconds)
            answered = len(files.answers)
        if run.failure is not None:
            raise LabError(
                f"{run.failure} {answered:,} answers are kept in {folder}; the same call goes on from there."
            )
        if label and not todo:
            print(job.sentence, flush=True)
        return job

    def _drive(self, run: Run, label: str | None) -> float:
        """Run the event loop in a thread of its own and draw the progress line in this one."""
        started = time.monotonic()
        thread = threading.Thread(target=lambda: asyncio.run(run.drive()), name="teacher-client", daemon=True)
        progress = Progress(label, len(run.todo)) if label else None
        thread.start()
        try:
            while thread.is_alive():
                thread.join(0.1)
                if progress and run.settled > progress.count:
                    progress.update(run.settled - progress.count, run.note(time.monotonic() - started))
        except KeyboardInterrupt:
            run.give_up("Interrupted.")
            thread.join(10)
        finally:
            seconds = time.monotonic() - started
            if progress:
                if run.failure is None and run.crash is None:
                    progress.done(run.sentence(seconds))
                progress.__exit__(None, None, None)
        if run.crash is not None:
            raise run.crash
        return seconds

    def _job(self, run: Run, files: Folder, keys: list[str], resumed: int, seconds: float) -> Job:
        priced = self.endpoint.cost(1, 1) is not None
        return Job(
            folder=files.path,
            keys=keys,
            resumed=resumed,
            answered=run.answered,
            failed=run.failed,
            duplicates=len(keys) - len(set(keys)),
            requests=run.requests,
            limited=run.limited,
            pauses=run.pauses,
            problems=run.problems,
            cost_usd=run.cost_usd if priced else None,
            total_cost_usd=_total_cost(files, keys) if priced else None,
            prompt_tokens=run.prompt_tokens,
            completion_tokens=run.completion_tokens,
            seconds=seconds,
            minute=self.endpoint.minute,
            stopped=run.stopped,
            timeline=run.timeline,
        )


def _total_cost(files: Folder, keys: Sequence[str]) -> float:
    """What the answers and errors of these keys cost, over all runs."""
    asked, total = set(keys), 0.0
    for journal in (files.answers, files.errors):
        everything = len(journal) <= len(asked) and all(key in asked for key in journal.keys())  # noqa: SIM118 (a journal is no dict)
        if everything:
            total += journal.cost_usd
        else:
            total += sum(float((journal.get(key) or {}).get("cost_usd") or 0.0) for key in asked)
    return total
