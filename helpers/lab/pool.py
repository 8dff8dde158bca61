"""Many small trainings, one a core: the processes behind `run_grid` and `run_arms`."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from helpers.files import LabError
from helpers.progress import silenced
from helpers.train.hardware import THREADS

# transformers and trl import these at their first use, which would be once a worker
IMPORTED_LATE = (
    "trl.trainer.dpo_trainer",
    "trl.trainer.grpo_trainer",
    "trl.trainer.sft_trainer",
    "transformers.models.lfm2.modeling_lfm2",
)


def in_workers(
    work: Callable[..., Any], jobs: Sequence[Any], shared: tuple[Any, ...], workers: int
) -> Iterator[tuple[Any, Any]]:
    """`work(job, *shared)` of every job, in this process or in several, as they come; what is passed has to cross process borders.

    Args:
        work: a function of a module; it keeps what it has finished on disk, so that an interrupted run goes on from there.
        workers: processes, no more than there are cores.

    Raises:
        LabError: interrupted, or a worker died.
    """
    workers = min(workers, os.cpu_count() or 1)
    if workers == 1:
        for done, job in enumerate(jobs):
            try:
                yield job, work(job, *shared)
            except KeyboardInterrupt:
                raise _interrupted(done, len(jobs)) from None
        return
    context = _context()
    cores = context.Queue()
    for core in range(workers):
        cores.put(core)
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_worker, initargs=(cores, dict(os.environ))
    )
    done = 0
    try:
        futures = {pool.submit(_in_worker, work, job, shared): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()
            done += 1
    except KeyboardInterrupt:
        raise _interrupted(done, len(jobs)) from None
    except BrokenProcessPool as error:
        raise LabError(
            f"A worker died, most likely because memory ran out. {done} of {len(jobs)} arms are finished and kept: close other "
            "programs and run the cell again, or set `workers: 1` under `grid` in data/profiles.yaml."
        ) from error
    finally:
        _stop(pool)


def _context() -> Any:
    """How workers are born. A forked torch can hang in its thread pool, so never from this process.

    The fork server imports the libraries once and has computed nothing: its children start in milliseconds, where a spawned process
    spends seconds on its imports at every call. Windows has no such server.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["helpers.lab.arms", "helpers.lab.grid", *IMPORTED_LATE])
    return context


def _interrupted(done: int, total: int) -> LabError:
    return LabError(
        f"Interrupted: {done} of {total} arms are finished and kept. Run the cell again to go on."
    )


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the workers now: a finished arm is on disk, an unfinished one leaves nothing."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


def _start_worker(cores: Any, environment: dict[str, str]) -> None:
    """One core to a worker. The owner alone answers Ctrl-C, and what it has set since the fork server started holds here too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(environment)
    core = cores.get()
    os.environ[THREADS] = "1"
    if hasattr(os, "sched_setaffinity"):
        own = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {own[core % len(own)]})


def _in_worker(work: Callable[..., Any], job: Any, shared: tuple[Any, ...]) -> Any:
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with silenced():
        return work(job, *shared)
