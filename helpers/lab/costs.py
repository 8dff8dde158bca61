"""What a file costs to run: load time, peak memory, speed. Measured in fresh processes of one thread, one after another.

Each process (`probe.py`) has nothing loaded but llama.cpp. The measurements are kept on disk under a hash of the files and the libraries.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from helpers.cases import Example
from helpers.evaluate import Rate, bootstrap_mean
from helpers.export import Exported
from helpers.files import LabError, build_dir, fingerprint, read_json, sha256_of, write_json
from helpers.lab.ladder import LIBRARIES, WHOLE
from helpers.lab.results import record, record_rate
from helpers.progress import Progress
from helpers.runtimes import LlamaCpp
from helpers.train import current_profile

PROBE = Path(__file__).with_name("probe.py")


@dataclass(frozen=True)
class Cost:
    """What one file costs to run, from fresh processes of one thread.

    Attributes:
        load_seconds: one value a process; the file's pages are in the system's cache by then.
        peak_bytes: one value a process: the high-water mark of resident memory above the interpreter with llama.cpp imported. It holds the
            pages of the file that were read, repacked weights, the cache of the context, and work buffers.
        rates: tokens a second, one value an answer; the prompt's reading is not counted.
    """

    quant: str
    load_seconds: tuple[float, ...]
    peak_bytes: tuple[int, ...]
    rates: tuple[float, ...]

    @property
    def speed(self) -> Rate:
        """Mean tokens a second over the answers."""
        return bootstrap_mean(self.rates)

    @property
    def load(self) -> float:
        """Median load time in seconds."""
        return statistics.median(self.load_seconds)

    @property
    def peak(self) -> int:
        """The highest of the processes' peaks, in bytes."""
        return max(self.peak_bytes)


def weigh(files: Mapping[str, Exported], people: Sequence[Example], *, rounds: int = 5) -> dict[str, Cost]:
    """Load time, peak memory and speed of every file. The steps take turns, so that a machine that slows down slows all of them.

    Args:
        people: answered once a round. rounds: fresh processes a file.

    Raises:
        LabError: a process failed.
    """
    profile = current_profile()
    size = profile.max_length + profile.generate["max_new_tokens"]
    with LlamaCpp(files[WHOLE].path, threads=1) as runtime:
        prompts = [runtime.prompt(row)[1] for row in people]
    order = {"prompts": prompts, "limit": profile.generate["max_new_tokens"], "context": size}
    key = fingerprint(
        [
            order,
            rounds,
            {quant: sha256_of(file.path) for quant, file in files.items()},
            [version(name) for name in LIBRARIES],
        ]
    )
    path = build_dir() / "outcomes" / profile.name / f"cost-{key}.json"
    if not path.exists():
        runs: dict[str, list[dict[str, Any]]] = {quant: [] for quant in files}
        with Progress("What each file costs", rounds * len(files)) as progress:
            for _ in range(rounds):
                for quant, file in files.items():
                    runs[quant].append(_probe(file.path, order))
                    progress.update(1, quant)
            progress.done(
                f"What each file costs: {rounds * len(files)} fresh processes, {len(people)} answers in each."
            )
        write_json(path, runs)
    return {quant: _cost(quant, found) for quant, found in read_json(path).items()}


def _probe(path: Path, order: Mapping[str, Any]) -> dict[str, Any]:
    asked = json.dumps({"path": str(path), **order})
    done = subprocess.run(
        [sys.executable, str(PROBE)], input=asked, capture_output=True, text=True, check=False
    )
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1:] or [f"code {done.returncode}"]
        raise LabError(
            f"The process that measures {path.name} failed ({why[0][-200:]}). Close other programs and run the cell again."
        )
    return json.loads(done.stdout)


def _cost(quant: str, runs: Sequence[Mapping[str, Any]]) -> Cost:
    loads, peaks = tuple(run["load_seconds"] for run in runs), tuple(run["peak_bytes"] for run in runs)
    return Cost(quant, loads, peaks, tuple(rate for run in runs for rate in run["rates"]))


def record_costs(costs: Mapping[str, Cost]) -> None:
    """Keep what every step costs under `quant.<STEP>.…`."""
    for quant, cost in costs.items():
        record_rate(f"quant.{quant}.tokens_per_second", cost.speed, unit="tokens/s")
        record(f"quant.{quant}.load_seconds", cost.load, unit="s")
        record(f"quant.{quant}.peak_bytes", cost.peak, unit="bytes")
