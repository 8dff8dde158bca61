"""What the links between wordings are worth: one fine-tuning, from bases with and without paraphrases.

`python -m helpers pretrain --compare` runs it (more than half an hour on two cores) and writes
`data/nano-base/columns.json`, from which the card is made.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from helpers import evaluate
from helpers.cases import COLUMNS, Example, columns, write_diverse
from helpers.files import DATA, build_dir, read_json, write_atomic, write_json
from helpers.lab.claims import difference
from helpers.lab.stages import stage
from helpers.pretrain.build import card, pretrain
from helpers.train import profile_named

SHIPPED = DATA / "nano-base"
SMALLER = 100_000  # documents of the two bases that are made for the comparison
STAGE = "sft-balanced"
SEED = 0


def compare(say: Any = print) -> None:
    """Pretrain two smaller bases that differ in one thing, fine-tune them and the shipped one, judge all.

    Writes {"documents": …, "rates": {base: {column: a rate's parts}}} and the base's card, with this in it.
    """
    profile, prompts = profile_named("nano"), columns()
    bases: dict[str, Path] = {"as shipped": SHIPPED}
    for name, linked in {"smaller, with the links": True, "smaller, without the links": False}.items():
        bases[name] = build_dir() / "comparison" / ("linked" if linked else "apart")
        say(f"Pretraining the base «{name}», {SMALLER:,} documents.")
        pretrain(bases[name], {"documents": SMALLER, "linked": linked})
    rates: dict[str, dict[str, Any]] = {}
    for name, base in bases.items():
        model = stage(STAGE, SEED, replace(profile, model=str(base)))
        rates[name] = {
            column: _judged(items, [answer.text for answer in evaluate.generate(model, items, label=column)])
            for column, items in prompts.items()
        }
    rows = write_diverse(profile.counts["balanced"], SEED)
    for column, items in prompts.items():
        baselines = evaluate.baselines(rows, items)
        for name in ("TF-IDF, same rows", "naive Bayes, all training texts", "always ROJO"):
            rates.setdefault(f"*{name}*", {})[column] = _judged(items, baselines[name])
    compared = {"documents": SMALLER, "stage": STAGE, "seed": SEED, "rates": rates}
    write_json(SHIPPED / "columns.json", compared)
    write_atomic(SHIPPED / "README.md", card(read_json(SHIPPED / "training.json"), table(compared)))


def _judged(items: list[Example], answers: list[str]) -> dict[str, Any]:
    return asdict(evaluate.score(items, answers).accuracy)


def table(compared: dict[str, Any]) -> str:
    """The comparison in Markdown, for the card."""
    lines = [
        f"| {compared['stage']}, seed {compared['seed']}, from the base | {' | '.join(COLUMNS)} |",
        "| --- " * (len(COLUMNS) + 1) + "|",
    ]
    for name, row in compared["rates"].items():
        cells = ("{value:.0%} [{low:.0%}–{high:.0%}], n = {n}".format(**row[column]) for column in COLUMNS)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    linked, apart = (
        {column: evaluate.Rate(**rate) for column, rate in row.items()}
        for name, row in compared["rates"].items()
        if name.startswith("smaller")
    )
    gaps = {column: difference(linked[column], apart[column]) for column in COLUMNS}
    shown = [column for column, gap in gaps.items() if not gap.low <= 0 <= gap.high]
    told = f"The smaller bases read {compared['documents']:,} documents, and are one run each."
    told += (
        " A CPU that rounds otherwise trains other models of the same recipe (page 05 may differ a little)."
    )
    lines += [
        "",
        f"{told} With and without the links they are shown to differ in: {', '.join(shown) or 'no column'}.",
    ]
    return "\n".join(lines)
