"""The arms of notebooks 08 to 10: small preference and reward trainings of one model, one a core, judged by what they write.

An arm names a base, its data and what it changes in the profile's settings; its *outcome* is the answers it gives afterwards and the
curves of its training, kept on disk under a hash of everything that went in. The weights are not kept.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from helpers.cases import Example, Pair, pair_rows
from helpers.evaluate import Answer, Scores, generate, pair_margins, score
from helpers.files import LabError, build_dir, fingerprint, read_json, write_json
from helpers.lab.runs import side_by_side
from helpers.lab.stages import LIBRARIES, Stage
from helpers.progress import Progress
from helpers.rewards import Reward, text_of
from helpers.train import Profile, TrainingRecord, current_profile, dpo, grpo
from helpers.triage import PARTS, parse


@dataclass(frozen=True)
class Arm:
    """One preference or reward training.

    Attributes:
        name: what figures and tables call it.
        base: the stage it starts from.
        data: pairs for DPO; examples for GRPO, which answers them itself.
        reward: what GRPO is paid by; None for DPO.
        settings: what differs from the profile's `dpo` or `grpo` entry, as `{"beta": 0.3}`.
        updates: optimizer steps of GRPO; DPO reads its pairs once.
        probes: pairs that it is *not* trained on; afterwards the outcome holds by how much it prefers the chosen side of each.
    """

    name: str
    base: Stage
    data: Sequence[Any]
    seed: int = 0
    reward: Reward | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    updates: int = 0
    probes: tuple[Pair, ...] = ()

    @property
    def trainer(self) -> str:
        """The profile entry and trainer it uses: `dpo`, or `grpo` where there is a reward."""
        return "dpo" if self.reward is None else "grpo"

    def profile(self, profile: Profile) -> Profile:
        """The profile as this arm uses it."""
        changed: dict[str, Any] = {self.trainer: {**getattr(profile, self.trainer), **self.settings}}
        return replace(profile, **changed)

    def key(self, prompts: Sequence[Example], temperature: float, profile: Profile) -> str:
        """The hash that names its outcome: anything that could change an answer is in it."""
        own = self.profile(profile)
        rows = pair_rows(self.data) if self.reward is None else reward_rows(self.data)
        return fingerprint(
            {
                "base": self.base.key,
                "data": rows,
                "reward": repr(self.reward),
                "settings": [
                    own.engine,
                    own.max_length,
                    own.lora,
                    getattr(own, self.trainer),
                    own.generate,
                    own.save_dtype,
                    self.updates,
                ],
                "versions": {name: version(name) for name in LIBRARIES},
                "seed": self.seed,
                "asked": [[row.prompt for row in prompts], temperature],
            }
            | ({"probes": pair_rows(self.probes)} if self.probes else {})
        )

    def train(self, out: Path, profile: Profile) -> TrainingRecord:
        """Train it into `out`."""
        own = self.profile(profile)
        if self.reward is None:
            return dpo(self.data, str(self.base), out, own, seed=self.seed, label=self.name)
        first, *others = self.reward.split() if own.grpo["apart"] else [self.reward]
        watched: list[Any] = [Watched(first), *others]
        return grpo(
            reward_rows(self.data),
            watched,
            str(self.base),
            out,
            own,
            updates=self.updates,
            seed=self.seed,
            label=self.name,
        )


def reward_rows(examples: Sequence[Example]) -> list[dict[str, Any]]:
    """Rows for GRPO: the chat, and the columns that a reward reads."""
    return [
        {
            "prompt": row.prompt,
            "accepted": list(row.accepted),
            "level": row.level,
            "country": row.country,
            "syndrome": row.syndrome,
        }
        for row in examples
    ]


class Watched:
    """A reward that also counts, at every step, what its samples look like: the gates on the same time axis as the reward."""

    def __init__(self, reward: Reward) -> None:
        self.reward, self.__name__ = reward, reward.__name__

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float]:
        """The reward's amounts; the shares go to TRL's log as `watch/…`."""
        log = columns.get("log_metric") or (lambda *_: None)
        readings = [parse(text_of(completion)) for completion in completions]
        rows = list(zip(readings, columns["accepted"], columns["country"], strict=True))
        log("watch/accuracy", sum(reading.level in accepted for reading, accepted, _ in rows) / len(rows))
        log("watch/rojo", sum(reading.level == "ROJO" for reading, *_ in rows) / len(rows))
        log("watch/unreadable", sum(reading.level is None for reading, *_ in rows) / len(rows))
        for part in PARTS:
            log(f"watch/{part}", sum(reading.has(part, country) for reading, _, country in rows) / len(rows))
        return self.reward(prompts, completions, **columns)


@dataclass(frozen=True)
class ArmOutcome:
    """What an arm wrote to the prompts it was judged on, and how its training went.

    Attributes:
        texts, finish: the answers, and why each ended ("stop" or "length").
        rows: pairs or prompts it was trained on. seconds: of training.
        curves: what TRL logged, by name, as (step, value).
        margins: of the arm's probes, as `evaluate.pair_margins` gives them.
    """

    name: str
    seed: int
    key: str
    texts: tuple[str, ...]
    finish: tuple[str, ...]
    rows: int
    seconds: float
    curves: dict[str, list[list[float]]]
    margins: tuple[float, ...] = ()
    prompts: tuple[Example, ...] = field(repr=False, compare=False, default=())

    @cached_property
    def scores(self) -> Scores:
        """Its answers, scored."""
        return score(self.prompts, self.texts)

    def curve(self, name: str) -> list[tuple[float, float]]:
        """(step, value) of a logged quantity.

        Raises:
            LabError: nothing of that name was logged.
        """
        if name not in self.curves:
            raise LabError(f"{self.name} logged no {name!r}. It logged {', '.join(self.curves)}.")
        return [(step, value) for step, value in self.curves[name]]


def run_arms(
    arms: Sequence[Arm],
    prompts: Sequence[Example],
    *,
    temperature: float = 0.0,
    profile: Profile | None = None,
    label: str = "arms",
) -> list[ArmOutcome]:
    """The outcome of every arm, in order; trained now where it is not there yet.

    Args:
        prompts: what each is asked afterwards. temperature: how it answers (see `evaluate.generate`).

    Raises:
        LabError: interrupted, a worker died, or the disk is full; finished arms are kept.
    """
    profile = profile or current_profile()
    jobs = [(arm, tuple(prompts), temperature) for arm in arms]
    found: dict[int, ArmOutcome] = {}
    work = partial(_outcome, profile=profile)
    with Progress(label, len(jobs)) as progress:
        for number, outcome in side_by_side(work, jobs, profile.grid["workers"]):
            found[number] = outcome
            progress.update(1, f"· {outcome.name} (seed {outcome.seed})")
        progress.done(f"{label}: {len(jobs)} models trained, each asked {len(prompts):,} times.")
    return [found[number] for number in range(len(arms))]


def _outcome(job: tuple[Arm, tuple[Example, ...], float], profile: Profile) -> ArmOutcome:
    arm, prompts, temperature = job
    key = arm.key(prompts, temperature, profile)
    path = build_dir() / "outcomes" / profile.name / f"arm-{key}.json"
    if not path.exists():
        with tempfile.TemporaryDirectory() as folder:
            record = arm.train(Path(folder) / "model", profile)
            answers = generate(
                Path(folder) / "model", prompts, temperature=temperature, seed=arm.seed, profile=profile
            )
            margins = pair_margins(Path(folder) / "model", arm.probes)
        write_json(path, _stored(arm, key, answers, record, margins))
    return _read(path, arm, prompts)


def _stored(
    arm: Arm, key: str, answers: Sequence[Answer], record: TrainingRecord, margins: Sequence[float]
) -> dict[str, Any]:
    texts, finish = [answer.text for answer in answers], [answer.finish_reason for answer in answers]
    curves: dict[str, Any] = {"loss": record.losses, **record.curves}
    outcome = ArmOutcome(
        arm.name,
        arm.seed,
        key,
        tuple(texts),
        tuple(finish),
        record.rows,
        record.seconds,
        curves,
        tuple(margins),
    )
    return {name: value for name, value in asdict(outcome).items() if name != "prompts"}


def _read(path: Path, arm: Arm, prompts: tuple[Example, ...]) -> ArmOutcome:
    stored = read_json(path)
    try:
        lists = {name: tuple(stored[name]) for name in ("texts", "finish")}
        lists["margins"] = tuple(stored.get("margins", ()))
        whole = ArmOutcome(**{**stored, **lists, "name": arm.name, "prompts": prompts})
        if not len(whole.texts) == len(whole.finish) == len(prompts):
            raise ValueError("an answer is missing")
    except (KeyError, TypeError, ValueError) as error:
        raise LabError(
            f"{path.name} under build/outcomes is not a whole outcome. Delete it; the next run trains that arm again."
        ) from error
    return whole


def sampled(stage: Stage, examples: Sequence[Example], *, temperature: float, seed: int = 0) -> list[Answer]:
    """A stage's own sampled answers, kept on disk: rejected sides are made of them, and they are asked for again at every run.

    Args:
        temperature: of the sampling, above 0.

    Raises:
        LabError: the temperature is 0, or the file of an earlier run is not whole.
    """
    if temperature <= 0:
        raise LabError(
            f"Sampling needs a temperature above 0, not {temperature}. For the likeliest answers use `evaluate.generate`."
        )
    asked = [[row.prompt for row in examples], temperature, seed, stage.key, current_profile().generate]
    versions = {name: version(name) for name in LIBRARIES}
    path = (
        build_dir() / "samples" / f"{stage.name}-{fingerprint({'asked': asked, 'versions': versions})}.json"
    )
    if not path.exists():
        answers = generate(
            stage, examples, temperature=temperature, seed=seed, label=f"Sampling {stage.name}"
        )
        write_json(path, {"answers": [[answer.text, answer.finish_reason] for answer in answers]})
    try:
        kept = [Answer(text, why) for text, why in read_json(path)["answers"]]
    except (KeyError, TypeError, ValueError):
        kept = []
    if len(kept) != len(examples):
        raise LabError(
            f"{path.name} under build/samples does not hold {len(examples)} answers. Delete it; the next run samples them again."
        )
    return kept
