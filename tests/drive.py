"""Train the nano base a few steps with SFT, DPO and GRPO through one engine, as the notebooks' cells do, and save
what came out: `python tests/drive.py ENGINE FOLDER`. A process of its own, since Unsloth changes the libraries
that it is imported with.
"""

import json
import random
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from helpers import train  # before the libraries: Unsloth, if it is wanted, comes first

# isort: split
import torch
from datasets import Dataset
from trl import DPOConfig, GRPOConfig, SFTConfig

from helpers import cases, rewards

STEPS = 6
NANO = train.profile_named("nano")


def sft(profile):
    model, tokenizer = train.load(profile, seed=0)
    config = SFTConfig(
        max_steps=STEPS,
        learning_rate=profile.sft["learning_rate"],
        lr_scheduler_type="cosine",
        warmup_steps=2,
        max_length=profile.max_length,
        seed=0,
        **train.machine(profile),
    )
    data = Dataset.from_list(cases.chat_rows(cases.write_diverse(96, 0)))
    return train.SFTTrainer(model, processing_class=tokenizer, train_dataset=data, args=config)


def dpo(profile):
    model, tokenizer = train.load(profile, seed=0)
    rows, dice = cases.write_diverse(48, 0), random.Random(0)
    pairs = [cases.Pair(row, row.answer, cases.near_miss(row, "no_disclaimer", dice)) for row in rows]
    return train.DPOTrainer(
        model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(cases.pair_rows(pairs)),
        args=DPOConfig(
            beta=0.1,
            learning_rate=profile.dpo["learning_rate"],
            lr_scheduler_type="cosine",
            warmup_steps=2,
            max_length=profile.max_length,
            max_steps=STEPS,
            seed=0,
            **train.machine(profile, "dpo"),
        ),
    )


def grpo(profile):
    model, tokenizer = train.load(profile, seed=0)
    config = GRPOConfig(
        num_generations=profile.grpo["group"],
        steps_per_generation=profile.grpo["steps_per_generation"],
        max_completion_length=24,
        temperature=profile.grpo["temperature"],
        loss_type="grpo",
        beta=0.0,
        multi_objective_aggregation="sum_then_normalize",
        learning_rate=profile.grpo["learning_rate"],
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=2,
        max_steps=STEPS,
        seed=0,
        **train.machine(profile, "grpo"),
    )
    rows = Dataset.from_list(rewards.rows(cases.write_diverse(48, 0)))
    return train.GRPOTrainer(
        model, processing_class=tokenizer, reward_funcs=[rewards.CALIBRATED], train_dataset=rows, args=config
    )


def main(engine, folder):
    profile, told = replace(NANO, engine=engine), {}
    for make in (sft, dpo, grpo):
        trainer = make(profile)
        own = [weight for weight in trainer.model.parameters() if weight.requires_grad]
        trainer.train()
        record = trainer.record
        train.merge_and_save(trainer.model, trainer.processing_class, folder / make.__name__, profile)
        told[make.__name__] = {
            "trainer": [one.__module__ for one in type(trainer).__mro__],
            "seconds": record.seconds,
            "trainable": record.trainable,
            "adapter": sorted({str(weight.dtype) for weight in own}),
            "frozen": sorted({str(w.dtype) for w in trainer.model.parameters() if not w.requires_grad}),
            "losses": record.losses,
            "curves": record.curves,
        }
    known = (
        "torch",
        "transformers",
        "trl",
        "peft",
        *(["unsloth", "unsloth_zoo"] if engine == "unsloth" else []),
    )
    told["versions"] = {name: version(name) for name in known}
    (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    torch.manual_seed(0)
    main(sys.argv[1], Path(sys.argv[2]))
