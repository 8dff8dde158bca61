"""Every stage by name: which data, which base, which trainer, which settings. The table of contents of everything that is trained.

A reader looking for a number's origin ends here. Sizes come from the profile (`data/profiles.yaml`), never from this file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.cases import Example, chat_rows, write_diverse, write_from_templates
from helpers.files import LabError
from helpers.train import Profile, TrainingRecord, sft

BASE = "base"


@dataclass(frozen=True)
class Recipe:
    """One stage.

    Attributes:
        name: what `lab.stage` calls it.
        why: one sentence for the reader.
        base: `BASE` or the name of the stage it starts from.
        trainer: name of the trainer in `helpers.train`.
        data: the examples, from profile and seed.
        epochs: passes over the data, from the profile.
    """

    name: str
    why: str
    base: str
    trainer: str
    data: Callable[[Profile, int], Sequence[Example]]
    epochs: Callable[[Profile], float]

    def build(self, examples: Sequence[Example], base: str | Path, out: Path, profile: Profile, seed: int) -> TrainingRecord:
        """Train this stage from `base` into `out`."""
        return sft(chat_rows(examples), base, out, profile, epochs=self.epochs(profile), seed=seed, label=self.name)


def _imbalanced(profile: Profile, seed: int) -> Sequence[Example]:
    """The first rows of the blog's generator: as many as the profile trains on."""
    return write_from_templates(profile.counts["generated"], seed)[: profile.counts["imbalanced"]]


def _balanced(profile: Profile, seed: int) -> Sequence[Example]:
    return write_diverse(profile.counts["balanced"], seed)


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
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
}


def recipe_named(name: str) -> Recipe:
    """The recipe of this name; a clear error lists the names there are."""
    try:
        return RECIPES[name]
    except KeyError:
        raise LabError(f"There is no stage {name!r}. The stages are {', '.join(RECIPES)}; recipes live in helpers/recipes.py.") from None
