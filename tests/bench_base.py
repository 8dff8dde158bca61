"""How soon does a base learn? `python tests/bench_base.py [FOLDER …]`: notebook 06's recipe from each base, judged on dev.

The loss of pretraining does not tell it: two bases with the same loss learnt the levels after 180 and after 330 updates.
Nor does it tell whether a base has learnt which emergency number belongs to which country: most had not.
"""

import sys
import time
from dataclasses import replace

from datasets import Dataset
from trl import SFTConfig

from helpers import cases, evaluate, train
from helpers.triage import countries, number_line

NANO = train.profile_named("nano")


def learnt(base: str, seed: int, updates: int) -> dict[str, float]:
    """Accepted levels on dev after so many updates on the level alone."""
    model, tokenizer = train.load(NANO, base, seed)
    rows = Dataset.from_list(cases.chat_rows(cases.write_diverse(NANO.grid["rows"], seed), level_only=True))
    config = SFTConfig(
        max_steps=updates,
        learning_rate=NANO.grid["learning_rate"],
        lr_scheduler_type="cosine",
        warmup_steps=NANO.grid["warmup_steps"],
        max_length=NANO.max_length,
        seed=seed,
        **train.machine(NANO, "grid"),
    )
    trainer = train.SFTTrainer(model, processing_class=tokenizer, train_dataset=rows, args=config)
    trainer.train()
    tuned, right = train.merged(trainer), {}
    columns = {"vignettes": cases.vignettes("dev"), "wordings": cases.evaluation_prompts("dev")[::2]}
    for name, people in columns.items():
        beliefs = evaluate.label_probabilities(tuned, people)
        held = [
            max(belief, key=belief.get) in one.accepted for belief, one in zip(beliefs, people, strict=True)
        ]
        right[name] = sum(held) / len(held)
    return right


def countries_known(base: str) -> str:
    """Of the countries with numbers: for how many is their own number line the likeliest answer?"""
    lands, person = [land for land in countries().values() if land.numbers], cases.vignettes("dev")[0]
    lines, known = [f"Emergencias: {number_line(land)}." for land in lands], 0
    for place, land in enumerate(lands):
        said = evaluate.answer_logprobs(base, [replace(person, country=land.code)] * len(lands), lines)
        known += said[place] > max(said) - 1e-3
    return f"{known} of {len(lands)}"


if __name__ == "__main__":
    for base in sys.argv[1:] or [NANO.base]:
        print(f"{base}: knows the numbers of {countries_known(base)} countries")
        for seed in range(3):
            started = time.time()
            told = {n: {k: f"{v:.0%}" for k, v in learnt(base, seed, n).items()} for n in (220, 440)}
            print(f"{base}, seed {seed}: {told}, {time.time() - started:.0f} s", flush=True)
