"""What the links between wordings are worth: the same fine-tuning from bases that did and did not read paraphrases of dev and test wordings.

`python -m helpers pretrain --compare` runs it (about half an hour on two cores) and writes `data/nano-base/columns.json`, from which the card is made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from helpers import evaluate, train
from helpers.cases import COLUMNS, Example, columns, write_diverse
from helpers.files import DATA, build_dir, read_json, write_atomic, write_json
from helpers.pretrain.build import card, pretrain
from helpers.recipes import recipe_named
from helpers.statistics import Rate
from helpers.train import Profile, profile_named

SMALLER = 30_000  # documents of the two bases that are made for the comparison
STAGE = "sft-balanced"
SEED = 0


def compare(say: Any = print) -> dict[str, Any]:
    """Pretrain two smaller bases that differ in one thing, fine-tune them and the shipped one alike, judge all in the three columns.

    Returns:
        {"documents": …, "rates": {base: {column: {"value", "low", "high", "n"}}}}, as written to `data/nano-base/columns.json`.
    """
    profile, prompts, place = profile_named("nano"), columns(), build_dir() / "comparison"
    bases: dict[str, Path] = {"as shipped": DATA / "nano-base"}
    for name, linked in {"smaller, with the links": True, "smaller, without the links": False}.items():
        bases[name] = place / ("linked" if linked else "apart")
        say(f"Pretraining the base «{name}», {SMALLER:,} documents.")
        pretrain(bases[name], {"documents": SMALLER, "linked": linked})
    rates = {name: _judged(base, profile, prompts) for name, base in bases.items()}
    rows = write_diverse(profile.counts["balanced"], SEED)
    for name in ("TF-IDF, same rows", "naive Bayes, all training texts", "always ROJO"):
        rates[f"*{name}*"] = {
            column: _rate(evaluate.baselines(rows, items)[name], items) for column, items in prompts.items()
        }
    found = {
        "documents": SMALLER,
        "stage": STAGE,
        "seed": SEED,
        "rates": {name: _plain(row) for name, row in rates.items()},
    }
    write_json(DATA / "nano-base" / "columns.json", found)
    return found


def _judged(base: Path, profile: Profile, prompts: dict[str, list[Example]]) -> dict[str, Rate]:
    recipe = recipe_named(STAGE)
    trainer = recipe.trainer(profile, SEED, base)
    trainer.label = base.name
    trainer.train()
    model = train.merged(trainer)
    return {
        name: _rate([answer.text for answer in evaluate.generate(model, items, label=name)], items)
        for name, items in prompts.items()
    }


def _rate(answers: list[str], items: list[Example]) -> Rate:
    return evaluate.score(items, answers).accuracy


def _plain(row: dict[str, Rate]) -> dict[str, dict[str, float]]:
    return {
        column: {"value": rate.value, "low": rate.low, "high": rate.high, "n": rate.n}
        for column, rate in row.items()
    }


def table(found: dict[str, Any]) -> str:
    """The comparison in Markdown, for the card."""
    lines = [
        f"| {found['stage']}, seed {found['seed']}, from the base | {' | '.join(COLUMNS)} |",
        "| --- " * (len(COLUMNS) + 1) + "|",
    ]
    for name, row in found["rates"].items():
        cells = (
            f"{row[column]['value']:.0%} [{row[column]['low']:.0%}–{row[column]['high']:.0%}], n = {row[column]['n']}"
            for column in COLUMNS
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    floor = found["rates"]["*always ROJO*"]
    small = [row for name, row in found["rates"].items() if name.startswith("smaller")]
    if all(row[column]["low"] <= floor[column]["high"] for row in small for column in COLUMNS):
        lines += [
            "",
            "Neither smaller base learnt more than always ROJO knows: this size cannot tell what the links are worth.",
        ]
    return "\n".join(lines)


def write_card() -> None:
    """Write the base's card anew, with the comparison in it where it has been made."""
    place = DATA / "nano-base"
    compared = place / "columns.json"
    write_atomic(
        place / "README.md",
        card(read_json(place / "training.json"), table(read_json(compared)) if compared.exists() else ""),
    )
