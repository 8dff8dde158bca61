"""Many small runs side by side, one a core, each kept when it is done: `runs` for a function of a notebook.

An interrupted experiment goes on where it stopped. No weights are kept: a run returns what was measured.
"""

import dis
import inspect
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky import process_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from helpers.files import DATA, ROOT, LabError, build_dir, fingerprint, read_json, sha256_of, write_json
from helpers.lab.session import uses
from helpers.lab.stages import VERSIONS
from helpers.progress import Progress, silenced
from helpers.train import current_profile, quieten
from helpers.train.fast import hand_back_memory
from helpers.train.hardware import THREADS

# loky starts a worker anew whose memory grew, and says so. Ours keep freed memory on purpose (`train.fast`),
# and a new start costs seconds.
warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
ENOUGH = 8 * 2**30  # bytes that a worker may hold on to

# What can change a run's result besides its own code: how rows are written, models trained, answers judged.
ROOMS = ("cases", "recipes", "train", "evaluate")
FILES = ("rewards.py", "triage.py")
# Data that no run reads. The profile names a result by itself.
OTHER_ROOMS = ("audit", "claims", "fsdp", "profiles", "gates", "own-gates", "parity", "teachers", "workshop")


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
        workers: processes, no more than cores (default: the profile's); with 1, all runs in this one.

    Returns:
        The results in the order of `cells`.

    Raises LabError: interrupted, a worker died, or the disk is full; the next call goes on from there.
    """
    profile = current_profile()
    place = build_dir() / "runs" / profile.name
    # all that names a result besides the cell: function, world, profile, libraries
    common = [sources(function), _world(), asdict(profile), VERSIONS]
    uses(f"runs of {function.__name__}-{fingerprint(common)[:6]}")
    paths = [place / f"{function.__name__}-{fingerprint([common, dict(cell)])}.json" for cell in cells]
    for path in filter(Path.exists, paths):
        _read(path)  # a damaged one is refused before anything runs
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    jobs = [(function, dict(cells[number])) for number in missing]
    with Progress(label, len(missing)) as progress:
        for at, (result, seconds) in side_by_side(_timed, jobs, workers or profile.grid["workers"]):
            cell = dict(cells[missing[at]])
            write_json(paths[missing[at]], {"cell": cell, "result": result, "seconds": round(seconds, 1)})
            progress.update(1, "· " + ", ".join(f"{value}"[:24] for value in cell.values()))
        earlier = len(cells) - len(missing)
        progress.done(f"{label}: {len(cells)} runs, {earlier} of them from an earlier call.")
    return [_read(path) for path in paths]  # as a later call will see them: tuples have become lists


def side_by_side(work: Callable[[Any], Any], jobs: Sequence[Any], workers: int) -> Iterator[tuple[int, Any]]:
    """(number of the job, `work(job)`) as they come; a `LabError` if interrupted, or if a worker died."""
    workers, done = min(workers, cpu_count(), max(1, len(jobs))), 0
    settings = {name: value for name, value in os.environ.items() if name.startswith("TRIAGE_")}
    try:
        if workers == 1:
            results: Iterator[tuple[int, Any]] = ((number, work(job)) for number, job in enumerate(jobs))
        else:
            hand_back_memory()  # what this process kept of earlier cells is theirs now
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
        kept = f"{done} of {len(jobs)} runs are finished and kept"
        raise LabError(f"Interrupted: {kept}. Run the cell again to go on.") from None
    except TerminatedWorkerError as error:
        what = "A worker died, most likely because memory ran out"
        how = "Close other programs, or set `workers: 1` under `grid` in data/profiles.yaml"
        kept = f"{done} of {len(jobs)} runs are finished and kept"
        raise LabError(f"{what}. {kept}. {how}, and run the cell again.") from error


def _in_worker(
    work: Callable[[Any], Any], number: int, job: Any, settings: Mapping[str, str]
) -> tuple[int, Any]:
    """One job with one thread. The notebook alone answers Ctrl-C, and its settings hold here too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process_executor._MAX_MEMORY_LEAK_SIZE = ENOUGH
    os.environ.update(settings)
    os.environ[THREADS] = "1"
    quieten()
    with silenced():
        result = work(job)
    hand_back_memory()  # a worker that waits for the next call holds a model's buffers otherwise
    return number, result


def _timed(job: tuple[Callable[..., Any], dict[str, Any]]) -> tuple[Any, float]:
    function, cell = job
    started = time.time()
    return function(**cell), time.time() - started


def _read(path: Path) -> Any:
    stored = read_json(path)
    if not isinstance(stored, dict) or "result" not in stored:
        how = "Delete it; the next run makes it again"
        raise LabError(f"{path.name} under build/runs is not a whole result. {how}.")
    return stored["result"]


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
            known = value.__globals__
            waiting += [(used, known[used]) for used in _names(value.__code__) if used in known]
        elif " at 0x" not in repr(value):  # a value whose text does not change from process to process
            gathered[name] = repr(value)
    return gathered


def _names(code: CodeType) -> set[str]:
    """Names that a function looks up outside itself, inner functions included; no attributes."""
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    used = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
    return used.union(*inner)


@lru_cache(maxsize=1)
def _world() -> str:
    """A hash of the helpers and the data that a run's result depends on."""
    files = [ROOT / "helpers" / name for name in FILES]
    files += [path for room in ROOMS for path in (ROOT / "helpers" / room).rglob("*.py")]
    files += [
        path
        for path in DATA.rglob("*")
        if path.suffix in (".yaml", ".jsonl", ".jinja", ".safetensors") or path.name == "tokenizer.json"
        if path.stem not in OTHER_ROOMS
    ]
    return fingerprint({str(path.relative_to(ROOT)): sha256_of(path) for path in sorted(files)})
