"""What a recipe is, and the stages of the series: which data, which base, which settings.

Sizes come from the profile (`data/profiles.yaml`), never from this file.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset
from trl import SFTConfig

from helpers.cases import BLOG_PRIOR, chat_rows, leave_out, write_diverse, write_from_templates
from helpers.recipes.medical import medical_texts
from helpers.train import Profile, SFTTrainer, load, machine

BASE = "base"
BLOG_PARTS = {"actions": 0.37, "alarms": 0.47, "disclaimer": 0.33}  # of the blog's SFT answers had the part


@dataclass(frozen=True)
class Recipe:
    """One trained thing.

    Attributes:
        name: what `lab.stage` calls it. why: one sentence for the reader.
        data: the examples (texts for continued pre-training), from profile and seed.
        epochs: name of the profile's count that holds the passes over the data.
        task: entry of the profile with its settings: `sft` or `cpt`.
        base: `BASE` or the name of the recipe it starts from.
    """

    name: str
    why: str
    data: Callable[[Profile, int], Sequence[Any]]
    epochs: str
    task: str = "sft"
    base: str = BASE

    def rows(self, profile: Profile, seed: int = 0) -> Dataset:
        """The training rows: chats with whole answers, or plain texts."""
        examples = self.data(profile, seed)
        return Dataset.from_list(
            [{"text": text} for text in examples] if self.task == "cpt" else chat_rows(examples)
        )

    def config(self, profile: Profile, seed: int = 0) -> SFTConfig:
        """How it is trained: what notebooks 02, 04 and 05 write out in a cell."""
        settings = getattr(profile, self.task)
        return SFTConfig(
            num_train_epochs=profile.counts[self.epochs],
            learning_rate=settings["learning_rate"],
            lr_scheduler_type="cosine",
            warmup_steps=settings["warmup_steps"],
            max_length=profile.max_length,
            seed=seed,
            **machine(profile, self.task),
        )

    def trainer(self, profile: Profile, seed: int = 0, base: Any = None) -> SFTTrainer:
        """The trainer, ready to start from `base` (default: the profile's)."""
        model, tokenizer = load(profile, base, seed)
        rows, config = self.rows(profile, seed), self.config(profile, seed)
        return SFTTrainer(model, processing_class=tokenizer, train_dataset=rows, args=config)


STAGES: tuple[Recipe, ...] = (
    Recipe(
        "sft-imbalanced",
        "the blog's first fine-tuning: few templates, labels drawn 60/15/10/10/5 without looking at the "
        "description",
        # the first rows of the blog's generator: as many as the profile trains on
        lambda profile, seed: write_from_templates(profile.counts["generated"], seed)[
            : profile.counts["imbalanced"]
        ],
        "imbalanced_epochs",
    ),
    Recipe(
        "sft-balanced",
        "the blog's cure: 350 unique prompts, 70 a level, labels from the rubric, fresh from the base",
        lambda profile, seed: write_diverse(profile.counts["balanced"], seed),
        "balanced_epochs",
    ),
    Recipe(
        "cpt",
        "the base reads the translated medical texts before it learns any task",
        lambda profile, _: medical_texts(profile),  # every seed reads the same
        "cpt_epochs",
        task="cpt",
    ),
    Recipe(
        "sft-weak",
        "honest levels, careless answers: each part is there as often as in the answers of the blog's first "
        "model",
        lambda profile, seed: leave_out(write_diverse(profile.counts["weak"], seed), BLOG_PARTS, seed),
        "weak_epochs",
    ),
    Recipe(
        "sft-alive",
        "the blog's skew of levels with honest labels: ROJO is right for most rows",
        lambda profile, seed: write_diverse(profile.counts["alive"], seed, BLOG_PRIOR),
        "alive_epochs",
    ),
)
