"""Many small runs side by side, one a core, each kept when it is done: `runs` for a function of a notebook.

An interrupted experiment goes on where it stopped. What this file does not do: keep weights. A run returns
what was measured.
"""

from __future__ import annotations

import dis
import inspect
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky import process_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from helpers.files import DATA, ROOT, LabError, build_dir, fingerprint, read_json, sha256_of, write_json
from helpers.lab.stages import LIBRARIES
from helpers.progress import Progress, silenced
from helpers.train import current_profile
from helpers.train.hardware import THREADS

# loky starts a worker anew whose memory grew, and says so. Ours keep freed memory on purpose (`train.fast`),
# and a new start costs seconds.
warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
ENOUGH = 8 * 2**30  # bytes that a worker may hold on to

# What can change a run's result besides its own code: how rows are written, models trained and answers
# judged.
WORLD = (
    "helpers/cases",
    "helpers/recipes",
    "helpers/train",
    "helpers/evaluate",
    "helpers/rewards.py",
    "helpers/triage.py",
)
# Data that no run reads. The profile names a result by itself.
OTHER_ROOMS = ("claims", "profiles", "gates", "parity", "teachers")


def runs(
    function: Callable[..., Any],
    cells: Sequence[Mapping[str, Any]],
    label: str = "runs",
    workers: int | None = None,
) -> list[Any]:
    """`function(**cell)` of every cell, in workers with one core each; finished ones are read from disk.

    Args:
        function: of the notebook or of a module; it returns what JSON can hold.
        cells: its keyword arguments, one dictionary a run, as `{"skew": True, "seed": 0}`.
        label: what the progress line says.
        workers: processes, no more than there are cores (default: the profile's). With one, everything runs
            in this process.

    Returns:
        The results in the order of `cells`.

    Raises:
        LabError: interrupted, a worker died, or the disk is full. Finished runs are kept, and the next call
            goes on from there.
    """
    profile = current_profile()
    place = build_dir() / "runs" / profile.name
    common = _common(function)
    paths = [place / f"{function.__name__}-{fingerprint([common, dict(cell)])}.json" for cell in cells]
    results: dict[int, Any] = {number: _read(path) for number, path in enumerate(paths) if path.exists()}
    missing = [number for number in range(len(cells)) if number not in results]
    jobs = [(function, dict(cells[number])) for number in missing]
    with Progress(label, len(missing)) as progress:
        for at, (result, seconds) in side_by_side(_timed, jobs, workers or profile.grid["workers"]):
            number = missing[at]
            write_json(
                paths[number], {"cell": dict(cells[number]), "result": result, "seconds": round(seconds, 1)}
            )
            results[number] = _read(paths[number])  # as a later call will see it: tuples have become lists
            progress.update(1, "· " + ", ".join(f"{value}"[:24] for value in cells[number].values()))
        progress.done(
            f"{label}: {len(cells)} runs, {len(cells) - len(missing)} of them from an earlier call."
        )
    return [results[number] for number in range(len(cells))]


def side_by_side(work: Callable[[Any], Any], jobs: Sequence[Any], workers: int) -> Iterator[tuple[int, Any]]:
    """(number of the job, `work(job)`) as they come; what is passed has to cross process borders.

    Raises:
        LabError: interrupted, or a worker died.
    """
    workers, done = min(workers, cpu_count(), max(1, len(jobs))), 0
    settings = {name: value for name, value in os.environ.items() if name.startswith("TRIAGE_")}
    try:
        if workers == 1:
            results: Iterator[tuple[int, Any]] = ((number, work(job)) for number, job in enumerate(jobs))
        else:
            pool = Parallel(
                workers, backend="loky", return_as="generator_unordered", pre_dispatch=workers, batch_size=1
            )
            results = pool(
                delayed(_in_worker)(work, number, job, settings) for number, job in enumerate(jobs)
            )
        for number, result in results:
            yield number, result
            done += 1
    except KeyboardInterrupt:
        raise LabError(
            f"Interrupted: {done} of {len(jobs)} runs are finished and kept. Run the cell again to go on."
        ) from None
    except TerminatedWorkerError as error:
        raise LabError(
            "A worker died, most likely because memory ran out. "
            f"{done} of {len(jobs)} runs are finished and kept: close other programs and run the cell again, "
            "or set `workers: 1` under `grid` in data/profiles.yaml."
        ) from error


def _in_worker(
    work: Callable[[Any], Any], number: int, job: Any, settings: Mapping[str, str]
) -> tuple[int, Any]:
    """One job with one thread. The notebook alone answers Ctrl-C, and its settings hold here too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process_executor._MAX_MEMORY_LEAK_SIZE = ENOUGH
    os.environ.update(settings)
    os.environ[THREADS] = "1"
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with silenced():
        return number, work(job)


def _timed(job: tuple[Callable[..., Any], dict[str, Any]]) -> tuple[Any, float]:
    function, cell = job
    started = time.time()
    return function(**cell), time.time() - started


def _read(path: Path) -> Any:
    stored = read_json(path)
    if not isinstance(stored, dict) or "result" not in stored:
        raise LabError(
            f"{path.name} under build/runs is not a whole result. Delete it; the next run makes it again."
        )
    return stored["result"]


def _common(function: Callable[..., Any]) -> Any:
    """All that names a result besides the cell: function, world, profile, libraries."""
    versions = {name: version(name) for name in LIBRARIES}
    return [sources(function), _world(), asdict(current_profile()), versions]


def sources(function: Callable[..., Any]) -> dict[str, str]:
    """The source of a function and of the functions and plain values of its module that it uses."""
    gathered: dict[str, str] = {}
    waiting: list[tuple[str, Any]] = [(function.__name__, function)]
    while waiting:
        name, value = waiting.pop()
        if name in gathered or isinstance(value, ModuleType | type):
            continue
        if isinstance(value, FunctionType):
            if value.__module__ != function.__module__:
                continue
            # `def f(rows=ROWS)` took its value when it was defined
            defaults = f"{value.__defaults__} {value.__kwdefaults__}"
            gathered[name] = inspect.getsource(value) + ("" if " at 0x" in defaults else defaults)
            waiting += [
                (used, value.__globals__[used])
                for used in _names(value.__code__)
                if used in value.__globals__
            ]
        elif " at 0x" not in (
            text := repr(value)
        ):  # a value whose text does not change from process to process
            gathered[name] = text
    return gathered


def _names(code: CodeType) -> set[str]:
    """Names that a function looks up outside itself, inner functions included; no attributes."""
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    used = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
    return used.union(*inner)


@lru_cache(maxsize=1)
def _world() -> str:
    """A hash of the helpers and the data that a run's result depends on."""
    files = [
        path
        for part in WORLD
        for path in ([ROOT / part] if part.endswith(".py") else (ROOT / part).rglob("*.py"))
    ]
    files += [
        path
        for path in DATA.rglob("*")
        if path.suffix in (".yaml", ".jsonl", ".jinja", ".safetensors") or path.name == "tokenizer.json"
        if path.stem not in OTHER_ROOMS
    ]
    return fingerprint({str(path.relative_to(ROOT)): sha256_of(path) for path in sorted(files)})
