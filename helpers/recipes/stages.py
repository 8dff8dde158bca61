"""What a recipe is, and the stages of the series: which data, which base, which trainer, which settings.

Sizes come from the profile (`data/profiles.yaml`), never from this file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.cases import Example, chat_rows, write_diverse, write_from_templates
from helpers.train import Profile, TrainingRecord, sft

BASE = "base"


@dataclass(frozen=True)
class Recipe:
    """One trained thing.

    Attributes:
        name: what `lab.stage` calls it.
        why: one sentence for the reader.
        base: `BASE` or the name of the recipe it starts from.
        trainer: name of the trainer in `helpers.train`.
        data: the examples, from profile and seed.
        epochs: passes over the data, from the profile; None where `updates` counts.
        updates: optimizer steps, from the profile, whatever the size of the data.
        labeller: name of the recipe whose model labels the data in the rubric's place; None for the labels that `data` gives.
        in_grid: an arm of the factorial: trained with the profile's `grid` settings on the level line alone.
    """

    name: str
    why: str
    base: str
    trainer: str
    data: Callable[[Profile, int], Sequence[Example]]
    epochs: Callable[[Profile], float] | None = None
    updates: Callable[[Profile], int] | None = None
    labeller: str | None = None
    in_grid: bool = False

    def settings(self, profile: Profile) -> Profile:
        """The profile as this recipe uses it."""
        return dataclasses.replace(profile, sft=profile.grid["sft"]) if self.in_grid else profile

    def rows(self, examples: Sequence[Example]) -> list[dict[str, Any]]:
        """The training rows: whole answers, or the level line alone in the grid."""
        return chat_rows(examples, level_only=self.in_grid)

    def length(self, profile: Profile) -> dict[str, float]:
        """How long it is trained: `{"epochs": …}` or `{"updates": …}`."""
        if self.updates:
            return {"updates": self.updates(profile)}
        assert self.epochs is not None
        return {"epochs": self.epochs(profile)}

    def build(self, examples: Sequence[Example], base: str | Path, out: Path, profile: Profile, seed: int) -> TrainingRecord:
        """Train this recipe from `base` into `out`."""
        return sft(self.rows(examples), base, out, self.settings(profile), **self.length(profile), seed=seed, label=self.name)


def _imbalanced(profile: Profile, seed: int) -> Sequence[Example]:
    """The first rows of the blog's generator: as many as the profile trains on."""
    return write_from_templates(profile.counts["generated"], seed)[: profile.counts["imbalanced"]]


def _balanced(profile: Profile, seed: int) -> Sequence[Example]:
    return write_diverse(profile.counts["balanced"], seed)


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
)
