"""What a recipe is, and the stages of the series: which data, which base, which trainer, which settings.

Sizes come from the profile (`data/profiles.yaml`), never from this file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.cases import BLOG_PRIOR, Example, chat_rows, leave_out, write_diverse, write_from_templates
from helpers.recipes.medical import medical_texts, medical_with_replay
from helpers.train import Profile, TrainingRecord, cpt, sft

BASE = "base"
BLOG_PARTS = {
    "actions": 0.37,
    "alarms": 0.47,
    "disclaimer": 0.33,
}  # of the blog's SFT answers, which had the part
TRAINERS = {"sft": sft, "cpt": cpt}


@dataclass(frozen=True)
class Recipe:
    """One trained thing.

    Attributes:
        name: what `lab.stage` calls it.
        why: one sentence for the reader.
        base: `BASE` or the name of the recipe it starts from.
        trainer: name of the trainer in `helpers.train`.
        data: the examples (texts for continued pre-training), from profile and seed.
        epochs: passes over the data, from the profile; None where `updates` counts.
        updates: optimizer steps, from the profile, whatever the size of the data.
        labeller: name of the recipe whose model labels the data in the rubric's place; None for the labels that `data` gives.
        in_grid: an arm of the factorial: trained with the profile's `grid` settings on the level line alone.
    """

    name: str
    why: str
    base: str
    trainer: str
    data: Callable[[Profile, int], Sequence[Any]]
    epochs: Callable[[Profile], float] | None = None
    updates: Callable[[Profile], int] | None = None
    labeller: str | None = None
    in_grid: bool = False

    def settings(self, profile: Profile) -> Profile:
        """The profile as this recipe uses it."""
        return dataclasses.replace(profile, sft=profile.grid["sft"]) if self.in_grid else profile

    def rows(self, examples: Sequence[Any]) -> list[Any]:
        """The training rows: plain texts, whole answers, or the level line alone in the grid."""
        if self.trainer == "cpt":
            return list(examples)
        return chat_rows(examples, level_only=self.in_grid)

    def length(self, profile: Profile) -> dict[str, float]:
        """How long it is trained: `{"epochs": …}` or `{"updates": …}`."""
        if self.updates:
            return {"updates": self.updates(profile)}
        assert self.epochs is not None
        return {"epochs": self.epochs(profile)}

    def build(
        self, examples: Sequence[Any], base: str | Path, out: Path, profile: Profile, seed: int
    ) -> TrainingRecord:
        """Train this recipe from `base` into `out`."""
        train = TRAINERS[self.trainer]
        return train(
            self.rows(examples),
            base,
            out,
            self.settings(profile),
            **self.length(profile),
            seed=seed,
            label=self.name,
        )


def _imbalanced(profile: Profile, seed: int) -> Sequence[Example]:
    """The first rows of the blog's generator: as many as the profile trains on."""
    return write_from_templates(profile.counts["generated"], seed)[: profile.counts["imbalanced"]]


def _balanced(profile: Profile, seed: int) -> Sequence[Example]:
    return write_diverse(profile.counts["balanced"], seed)


def _weak(profile: Profile, seed: int) -> Sequence[Example]:
    return leave_out(write_diverse(profile.counts["weak"], seed), BLOG_PARTS, seed)


def _alive(profile: Profile, seed: int) -> Sequence[Example]:
    return write_diverse(profile.counts["alive"], seed, BLOG_PRIOR)


STAGES: tuple[Recipe, ...] = (
    Recipe(
        name="sft-imbalanced",
        why="the blog's first fine-tuning: few templates, labels drawn 60/15/10/10/5 without looking at the description",
        base=BASE,
        trainer="sft",
        data=_imbalanced,
        epochs=lambda profile: profile.counts["imbalanced_epochs"],
    ),
    Recipe(
        name="sft-balanced",
        why="the blog's cure: 350 unique prompts, 70 a level, labels from the rubric, fresh from the base",
        base=BASE,
        trainer="sft",
        data=_balanced,
        epochs=lambda profile: profile.counts["balanced_epochs"],
    ),
    Recipe(
        name="cpt",
        why="the base reads the translated medical texts before it learns any task",
        base=BASE,
        trainer="cpt",
        data=medical_texts,
        epochs=lambda profile: profile.counts["cpt_epochs"],
    ),
    Recipe(
        name="cpt-replay",
        why="the same reading, with sentences of the kind that the base knew mixed in",
        base=BASE,
        trainer="cpt",
        data=medical_with_replay,
        epochs=lambda profile: profile.counts["cpt_epochs"],
    ),
    Recipe(
        name="sft-weak",
        why="honest levels, careless answers: each part is there as often as in the answers of the blog's first model",
        base=BASE,
        trainer="sft",
        data=_weak,
        epochs=lambda profile: profile.counts["weak_epochs"],
    ),
    Recipe(
        name="sft-alive",
        why="the blog's skew of levels with honest labels: leaning to ROJO, but still looking at the patient",
        base=BASE,
        trainer="sft",
        data=_alive,
        epochs=lambda profile: profile.counts["alive_epochs"],
    ),
)
