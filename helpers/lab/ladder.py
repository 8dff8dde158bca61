"""The ladder of notebook 11: one model on every step F16 … Q2_K, each file asked the same people and held against the F16 file.

What a file answers is kept on disk under a hash of the file, the people and the libraries. What it costs is in `costs`.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from helpers.cases import Example
from helpers.evaluate import Effect, Rate, bootstrap_mean, paired_change, wilson
from helpers.evaluate.scoring import distance
from helpers.export import LADDER, Exported, Prediction, export, quantize
from helpers.files import LabError, build_dir, fingerprint, sha256_of, write_atomic
from helpers.lab.results import record, record_rate
from helpers.lab.runs import side_by_side
from helpers.lab.stages import Stage
from helpers.progress import Progress
from helpers.runtimes import LlamaCpp
from helpers.runtimes.parity import divergence, log_softmax
from helpers.train import Profile, current_profile
from helpers.triage import LEVEL_HEADING, LEVELS

WHOLE = "F16"  # what every other step is held against
REAL = "LiquidAI/LFM2.5-1.2B-Base"
_FILES = ("*.safetensors", "*.json", "*.jinja")
LIBRARIES = ("llama-cpp-python", "gguf")


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


def divergences(whole: Step, step: Step) -> list[float]:
    """KL(whole ‖ step) at the level's place over the whole vocabulary, in nats, for every person."""
    return [divergence(p, q) for p, q in zip(whole.scores, step.scores, strict=True)]


def worst_hit(whole: Step, step: Step, people: Sequence[Example]) -> int:
    """The person whom the whole model told right and the step tells most levels too little; too much, if none is told too little."""
    right = np.array([level in row.accepted for level, row in zip(whole.given, people, strict=True)])
    off = np.array([distance(row, level) for level, row in zip(step.given, people, strict=True)]) * right
    return int(off.argmin() if off.min() < 0 else off.argmax())


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
    files = {WHOLE: export(str(model), folder / f"{WHOLE}.gguf")}
    with Progress(f"{name}: the ladder", len(quants)) as progress:
        for quant in quants:
            files[quant] = files.get(quant) or quantize(files[WHOLE].path, folder / f"{quant}.gguf", quant)
            progress.update(1, quant)
        progress.done(
            f"{name}: {len(files)} files, {sum(file.bytes for file in files.values()) / 1e6:,.1f} MB together."
        )
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
            jobs.append(
                _Job(
                    model,
                    quant,
                    file.path,
                    _outcome_path(file.path, people, model in writes, profile),
                    tuple(people),
                    model in writes,
                )
            )
    with Progress("The ladder", len(jobs)) as progress:
        missing = [job for job in jobs if not job.out.exists()]
        for number, _ in side_by_side(partial(_ask, profile=profile), missing, profile.grid["workers"]):
            job = missing[number]
            progress.update(1, f"· {job.model} {job.quant}")
        progress.done(f"The ladder: {len(jobs)} files, each asked about {len(people):,} people.")
    found: dict[str, dict[str, Step]] = {model: {} for model in ladders}
    for job in jobs:
        found[job.model][job.quant] = _read(job)
    return found


def _outcome_path(file: Path, people: Sequence[Example], writes: bool, profile: Profile) -> Path:
    asked = [[row.prompt for row in people], writes, profile.generate["max_new_tokens"], profile.max_length]
    key = fingerprint(
        {"file": sha256_of(file), "asked": asked, "versions": {name: version(name) for name in LIBRARIES}}
    )
    return build_dir() / "outcomes" / profile.name / f"step-{key}.npz"


def _ask(job: _Job, profile: Profile) -> None:
    threads = None if profile.grid["workers"] == 1 else 1  # a worker has one core
    with LlamaCpp(job.path, threads=threads, profile=profile) as runtime:
        scores = runtime.label_logits(job.people)
        replies = runtime.complete(job.people) if job.writes else []
        levels = [runtime.encode(f"{LEVEL_HEADING} {level}")[len(runtime.place)] for level in LEVELS]
    texts, finish = [reply.text for reply in replies], [reply.finish_reason for reply in replies]
    content = io.BytesIO()
    np.savez_compressed(
        content, scores=scores, said=json.dumps({"levels": levels, "texts": texts, "finish": finish})
    )
    write_atomic(job.out, content.getvalue())


def _read(job: _Job) -> Step:
    try:
        with np.load(job.out) as stored:
            scores, said = log_softmax(stored["scores"]), json.loads(str(stored["said"]))
        step = Step(
            job.quant,
            job.path.stat().st_size,
            scores,
            tuple(said["levels"]),
            tuple(said["texts"]),
            tuple(said["finish"]),
        )
        if len(scores) != len(job.people) or len(step.texts) != len(job.people) * job.writes:
            raise ValueError("an answer is missing")
    except (OSError, KeyError, TypeError, ValueError, EOFError, BadZipFile) as error:
        raise LabError(
            f"{job.out.name} under build/outcomes is not a whole outcome. Delete it; the next run asks that file again."
        ) from error
    if len(set(step.levels)) < len(LEVELS):
        raise LabError(
            "This model's tokenizer begins two levels with the same token, so their first tokens do not tell them apart."
        )
    return step


# ----------------------------------------------------------------------------------------------------------- comparisons
@dataclass(frozen=True)
class Compared:
    """One step held against the F16 file, on the same people.

    Attributes:
        agreement: share of people with the same level. kl: mean KL(F16 ‖ step) at the level's place, in nats.
        accuracy: share of people given an accepted level. change: of that share, paired with F16's.
        sooner, later: people moved to a more urgent and to a less urgent level.
        same_text: share of people who read the same answer to the letter; None where nobody was answered in full.
    """

    quant: str
    bytes: int
    reduction: float
    agreement: Rate
    kl: Rate
    accuracy: Rate
    change: Effect
    sooner: int
    later: int
    same_text: Rate | None


def compare(steps: Mapping[str, Step], people: Sequence[Example]) -> dict[str, Compared]:
    """Every step against F16, F16 itself included."""
    whole = steps[WHOLE]
    right = {
        quant: [level in row.accepted for level, row in zip(step.given, people, strict=True)]
        for quant, step in steps.items()
    }
    return {quant: _compared(whole, step, right[WHOLE], right[quant]) for quant, step in steps.items()}


def _compared(whole: Step, step: Step, before: Sequence[bool], after: Sequence[bool]) -> Compared:
    same = agreement(whole, step)
    moves = [
        LEVELS.index(new) - LEVELS.index(old)
        for old, new in zip(whole.given, step.given, strict=True)
        if old and new
    ]
    equal = [one == other for one, other in zip(whole.texts, step.texts, strict=True)]
    return Compared(
        step.quant,
        step.bytes,
        1 - step.bytes / whole.bytes,
        wilson(sum(same), len(same)),
        bootstrap_mean(divergences(whole, step)),
        wilson(sum(after), len(after)),
        paired_change(step.quant, before, after),
        sum(move < 0 for move in moves),
        sum(move > 0 for move in moves),
        wilson(sum(equal), len(equal)) if equal else None,
    )


def first_shown(compared: Mapping[str, Compared], bound: float) -> str | None:
    """The first step, going down, whose agreement is shown to be below the bound: the whole 95 % interval is."""
    return next((quant for quant, row in compared.items() if row.agreement.high < bound), None)


def record_ladder(compared: Mapping[str, Compared]) -> None:
    """Keep every figure of one model's ladder under `quant.<STEP>.…`."""
    for quant, row in compared.items():
        record(f"quant.{quant}.bytes", row.bytes, unit="bytes")
        record(f"quant.{quant}.reduction", row.reduction, unit="rate")
        record_rate(f"quant.{quant}.label_agreement", row.agreement, seeds=1)
        record_rate(f"quant.{quant}.kl", row.kl, seeds=1, unit="nats")
        record_rate(f"quant.{quant}.accuracy", row.accuracy, seeds=1)
        change = Rate(row.change.estimate, row.agreement.n, row.change.low, row.change.high)
        record_rate(f"quant.{quant}.accuracy_change", change, seeds=1)
        if row.same_text:
            record_rate(f"quant.{quant}.text_agreement", row.same_text, seeds=1)


def record_sizes(predictions: Mapping[str, Prediction]) -> None:
    """Keep the real model's predicted sizes under `size_1b2.<STEP>.…`, in bytes, in GB, and as `ls -lh` rounds them."""
    whole = predictions[WHOLE].bytes
    for quant, file in predictions.items():
        record(f"size_1b2.{quant}.bytes", file.bytes, unit="bytes")
        record(f"size_1b2.{quant}.gigabytes", file.bytes / 1e9, unit="GB")
        record(f"size_1b2.{quant}.reduction", 1 - file.bytes / whole, unit="rate")
        record(f"size_1b2.{quant}.listed_mib", math.ceil(file.bytes / 2**20), unit="MiB")
        record(f"size_1b2.{quant}.listed_gib", math.ceil(10 * file.bytes / 2**30) / 10, unit="GiB")
        record(f"size_1b2.{quant}.bits_per_weight", file.bits_per_weight, unit="bits")
