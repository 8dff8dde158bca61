"""The ladder of notebook 10: one model on every step F16 … Q2_K, each file asked the same people, and weighed.

What a file answers is kept on disk under a hash of the file, the people and the libraries. What it costs (`weigh`) is measured in a
fresh process a file, one after another, with nothing loaded but llama.cpp.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from helpers.cases import Example
from helpers.export import LADDER, Exported, export, quantize
from helpers.files import LabError, build_dir, fingerprint, read_json, sha256_of, write_atomic, write_json
from helpers.lab.pool import in_workers
from helpers.lab.stages import Stage
from helpers.progress import Progress
from helpers.runtimes import LlamaCpp
from helpers.train import Profile, current_profile
from helpers.triage import LEVEL_HEADING, LEVELS

WHOLE = "F16"  # what every other step is held against
PROBE = Path(__file__).with_name("probe.py")
REAL = "LiquidAI/LFM2.5-1.2B-Instruct"
_FILES = ("*.safetensors", "*.json", "*.jinja")
_VERSIONS = ("llama-cpp-python", "gguf")


@dataclass(frozen=True)
class Step:
    """One file of the ladder, and what it says to the people it was asked about.

    Attributes:
        quant, bytes: the step, and the size of its file.
        scores: log-probabilities over the whole vocabulary at the level's place, in nats: shape (people, vocabulary).
        levels: the five levels' tokens there, ROJO first.
        texts, finish: its answers in full to the first people (none, if only levels were asked for), and why each ended.
    """

    quant: str
    bytes: int
    scores: np.ndarray = field(repr=False)
    levels: tuple[int, ...]
    texts: tuple[str, ...] = field(repr=False, default=())
    finish: tuple[str, ...] = field(repr=False, default=())

    @cached_property
    def likeliest(self) -> np.ndarray:
        """The likeliest token at the level's place, for every person."""
        return self.scores.argmax(1)

    @cached_property
    def given(self) -> tuple[str | None, ...]:
        """The level it gives every person: None where the likeliest token is none of the five."""
        names = dict(zip(self.levels, LEVELS, strict=True))
        return tuple(names.get(int(token)) for token in self.likeliest)

    @cached_property
    def margins(self) -> np.ndarray:
        """How far the likeliest token leads the next, in nats, for every person: a close call is near 0."""
        best = np.sort(self.scores, axis=1)[:, -2:]
        return best[:, 1] - best[:, 0]


def agreement(whole: Step, step: Step) -> list[bool]:
    """For every person: do both give the same level?"""
    return [bool(same) for same in whole.likeliest == step.likeliest]


def divergence(whole: Step, step: Step) -> np.ndarray:
    """KL(whole ‖ step) at the level's place over the whole vocabulary, in nats, for every person."""
    return np.maximum((np.exp(whole.scores) * (whole.scores - step.scores)).sum(1), 0.0)  # below 0 is rounding


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logits to log-probabilities, in double precision."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


# ---------------------------------------------------------------------------------------------------------------- files
def files_of(model: Stage | str | Path, quants: Sequence[str] = tuple(LADDER)) -> dict[str, Exported]:
    """A model's file on every step, written anew: the F16 once, the others quantized from it by llama.cpp.

    Args:
        model: a stage, or the folder of any LFM2.

    Raises:
        LabError: see `helpers.export.export`.
    """
    name = f"{model.name}-s{model.seed}-{model.key}" if isinstance(model, Stage) else Path(model).name
    folder = build_dir() / "outcomes" / current_profile().name / "gguf" / name
    files = {WHOLE: export(model, folder / f"{WHOLE}.gguf")}
    with Progress(f"{name}: the ladder", len(quants)) as progress:
        for quant in quants:
            files[quant] = files.get(quant) or quantize(files[WHOLE].path, folder / f"{quant}.gguf", quant)
            progress.update(1, quant)
        progress.done(f"{name}: {len(files)} files, {sum(file.bytes for file in files.values()) / 1e6:,.1f} MB together.")
    return files


def fetch_real(name: str = REAL, **hub: Any) -> Path:
    """The real model's folder, from the Hugging Face hub or its cache (2.3 GB): what `files_of` makes a ladder of.

    Args:
        hub: passed to `huggingface_hub.snapshot_download`.

    Raises:
        LabError: the hub does not answer, or does not give the model.
    """
    try:
        return Path(snapshot_download(name, allow_patterns=list(_FILES), **hub))
    except (OSError, HfHubHTTPError, HFValidationError, ValueError) as error:
        raise LabError(
            f"Could not fetch {name} ({type(error).__name__}): no network, no such model, or a licence to accept on the hub first. "
            "Nothing else in this notebook needs it: leave FETCH at False and everything runs on the shipped model."
        ) from error


# -------------------------------------------------------------------------------------------------------------- answers
@dataclass(frozen=True)
class _Job:
    model: str
    quant: str
    path: Path
    out: Path
    people: tuple[Example, ...]
    writes: bool


def climb(
    ladders: Mapping[str, Mapping[str, Exported]], people: Sequence[Example], *, writes: Sequence[str] = ()
) -> dict[str, dict[str, Step]]:
    """Every file of every ladder asked the same people; asked now where it was not yet.

    Args:
        ladders: each model's files by step.
        writes: the models that also write their answers in full; the others are asked for the level's place alone.

    Raises:
        LabError: interrupted, a worker died, or a file that llama.cpp refuses; what is finished is kept.
    """
    profile, jobs = current_profile(), []
    for model in sorted(ladders, key=lambda name: name not in writes):  # the long ones first
        for quant, file in ladders[model].items():
            jobs.append(_Job(model, quant, file.path, _outcome_path(file.path, people, model in writes, profile), tuple(people), model in writes))
    with Progress("The ladder", len(jobs)) as progress:
        for job, _ in in_workers(_ask, [job for job in jobs if not job.out.exists()], (profile,), profile.grid["workers"]):
            progress.update(1, f"· {job.model} {job.quant}")
        progress.done(f"The ladder: {len(jobs)} files, each asked about {len(people):,} people.")
    found: dict[str, dict[str, Step]] = {model: {} for model in ladders}
    for job in jobs:
        found[job.model][job.quant] = _read(job)
    return found


def _outcome_path(file: Path, people: Sequence[Example], writes: bool, profile: Profile) -> Path:
    asked = [[row.prompt for row in people], writes, profile.generate["max_new_tokens"], profile.max_length]
    key = fingerprint({"file": sha256_of(file), "asked": asked, "versions": {name: version(name) for name in _VERSIONS}})
    return build_dir() / "outcomes" / profile.name / f"step-{key}.npz"


def _ask(job: _Job, profile: Profile) -> None:
    with LlamaCpp(job.path, threads=1, profile=profile) as runtime:
        scores = runtime.label_logits(job.people)
        replies = runtime.complete(job.people) if job.writes else []
        levels = [runtime.encode(f"{LEVEL_HEADING} {level}")[len(runtime.place)] for level in LEVELS]
    texts, finish = [reply.text for reply in replies], [reply.finish_reason for reply in replies]
    content = io.BytesIO()
    np.savez_compressed(content, scores=scores, said=json.dumps({"levels": levels, "texts": texts, "finish": finish}))
    write_atomic(job.out, content.getvalue())


def _read(job: _Job) -> Step:
    try:
        with np.load(job.out) as stored:
            scores, said = log_softmax(stored["scores"]), json.loads(str(stored["said"]))
        step = Step(job.quant, job.path.stat().st_size, scores, tuple(said["levels"]), tuple(said["texts"]), tuple(said["finish"]))
        if len(scores) != len(job.people) or len(step.texts) != len(job.people) * job.writes:
            raise ValueError("an answer is missing")
    except (OSError, KeyError, TypeError, ValueError, EOFError) as error:
        raise LabError(f"{job.out.name} under build/outcomes is not a whole outcome. Delete it; the next run asks that file again.") from error
    if len(set(step.levels)) < len(LEVELS):
        raise LabError("This model's tokenizer begins two levels with the same token, so their first tokens do not tell them apart.")
    return step


# ----------------------------------------------------------------------------------------------------------------- cost
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


def weigh(files: Mapping[str, Exported], people: Sequence[Example], *, rounds: int = 3) -> dict[str, Cost]:
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
    key = fingerprint([order, rounds, {quant: sha256_of(file.path) for quant, file in files.items()}, [version(name) for name in _VERSIONS]])
    path = build_dir() / "outcomes" / profile.name / f"cost-{key}.json"
    if not path.exists():
        runs: dict[str, list[dict[str, Any]]] = {quant: [] for quant in files}
        with Progress("What each file costs", rounds * len(files)) as progress:
            for _ in range(rounds):
                for quant, file in files.items():
                    runs[quant].append(_probe(file.path, order))
                    progress.update(1, quant)
            progress.done(f"What each file costs: {rounds * len(files)} fresh processes, {len(people)} answers in each.")
        write_json(path, runs)
    return {quant: _cost(quant, found) for quant, found in read_json(path).items()}


def _probe(path: Path, order: Mapping[str, Any]) -> dict[str, Any]:
    asked = json.dumps({"path": str(path), **order})
    done = subprocess.run([sys.executable, str(PROBE)], input=asked, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"The process that measures {path.name} failed: {done.stderr.strip()[-200:]}. Close other programs and run the cell again.")
    return json.loads(done.stdout)


def _cost(quant: str, runs: Sequence[Mapping[str, Any]]) -> Cost:
    loads, peaks = tuple(run["load_seconds"] for run in runs), tuple(run["peak_bytes"] for run in runs)
    return Cost(quant, loads, peaks, tuple(rate for run in runs for rate in run["rates"]))
