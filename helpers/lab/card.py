"""Every checkpoint against the gates, and a model card: both from the results store alone.

The card's words stand in `data/model_card.md`; its figures are filled in here, and none is typed.
"""

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from safetensors import safe_open

from helpers.cases import COLUMNS
from helpers.evaluate import Rate
from helpers.evaluate.gates import FAILS, NOT_SHOWN, PASSES, Gate, Judged, Report, load_gates
from helpers.files import DATA, ROOT, LabError, build_dir, write_atomic
from helpers.lab.claims import difference
from helpers.lab.results import measurements
from helpers.recipes import recipe_named
from helpers.train import current_profile
from helpers.triage import LEVELS

Measured = Mapping[str, Mapping[str, Any]]
FAMILIES = ("gates.", "factorial.", "sweep_", "feedback.", "duplication.", "cpt.", "sft_", "dpo_", "grpo_")
# Names of a gate's figure.
ALIASES = {"label": ("label", "accuracy", "mean"), "over_triage": ("over_triage", "over")}
NO_CHECKPOINT = {"effect", "simple", "dev", "margin"}  # parts of a key that name no trained model
# What a base has read, and under which terms the weights of the card stand: (our code's licence, the base).
OUR_BASE = (
    "The base has read the test wordings, without a level; the other columns are new to base and fine-tuning.",
    "{0}, weights included (trained from `{1}`). Another profile's base model keeps its publisher's licence.",
)
OTHER_BASE = (
    "They are new to the fine-tuning; what the base has read is its publisher's to say.",
    "{0} for the code alone: the weights were trained from `{1}` and keep the terms of its publisher.",
)
NOTHING = Rate(math.nan, 0, 0.0, 1.0)


def rate_of(row: Mapping[str, Any] | None) -> Rate:
    """A recorded rate; without an interval its bounds are not numbers, so no gate is passed by it."""
    if row is None:
        return NOTHING
    low, high = (math.nan if row[bound] is None else row[bound] for bound in ("low", "high"))
    return Rate(row["value"], row["n"] or row["seeds"] or 1, low, high)


def recorded(prefix: str, suffix: str = "", measured: Measured | None = None) -> Report:
    """A model against every gate, by the records `<prefix>.<gate><suffix>`; without one it is not shown."""
    measured = measurements() if measured is None else measured

    def found(gate: Gate, run: str = "") -> Mapping[str, Any] | None:
        names = (f"{prefix}.{name}{run}{suffix}" for name in ALIASES.get(gate.id, (gate.id,)))
        return next((measured[name] for name in names if name in measured), None)

    rates = [(gate, rate_of(found(gate))) for gate in load_gates()]
    rows = tuple(Judged(gate, one, gate.verdict(one)) for gate, one in rates)
    on = next((name for name, ending in COLUMNS.items() if ending == suffix), prefix)
    # over seeds a rate counts runs; how many patients each of them was asked stands with the first one
    patients = max(rate_of(found(gate, ".s0")).n or one.n for gate, one in rates)
    return Report(patients, on, rows)


def checkpoints(measured: Measured | None = None) -> dict[str, tuple[Report, int]]:
    """Every trained model with a figure that a gate asks for: its report on test wordings, and its seeds.

    Raises LabError: the balanced model of notebook 05, the one that the card is of, has no such figure.
    """
    measured = measurements() if measured is None else measured
    names = {name for gate in load_gates() for name in ALIASES.get(gate.id, (gate.id,))}
    seeds: dict[str, int] = {}
    for key, row in measured.items():
        prefix, _, name = key.rpartition(".")
        if name in names and key.startswith(FAMILIES) and not NO_CHECKPOINT & set(prefix.split(".")):
            seeds[prefix] = max(seeds.get(prefix, 1), row["seeds"] or 1)
    if "gates.balanced" not in seeds:
        raise LabError(
            f"The profile {current_profile().name} has no figures of the balanced model. Run notebook 05 with it first; "
            "04 and 06 to 10 add the other models."
        )
    return {prefix: (recorded(prefix, "", measured), count) for prefix, count in seeds.items()}


def model_card(measured: Measured | None = None) -> str:
    """The card of `sft-balanced`, in Markdown; refused while a column has no record."""
    measured = measurements() if measured is None else measured
    profile, recipe = current_profile(), recipe_named("sft-balanced")
    columns = {name: recorded("gates.balanced", suffix, measured) for name, suffix in COLUMNS.items()}
    if missing := [name for name, report in columns.items() if not report.n]:
        raise LabError(f"The balanced model was not judged on {', '.join(missing)}: run notebooks 05 and 14.")
    test, rows, config = next(iter(columns.values())), recipe.data(profile, 0), recipe.config(profile)
    share, levels = "sweep_size.350.accuracy", Counter(row.level for row in rows)
    seeds = [f"{row['value']:.1%}" for key, row in measured.items() if key.startswith(f"{share}.s")]
    folder, ours = Path(profile.base), (ROOT / profile.model).is_dir()  # a folder that is not ours: pocket's
    read, licence = OUR_BASE if ours else OTHER_BASE
    base = profile.model if "/" in profile.model else profile.what  # a folder or hub id, or pocket's words
    code = (ROOT / "LICENSE").read_text(encoding="utf-8").splitlines()[0]
    lora = f"LoRA r = {profile.lora['r']}, alpha = {profile.lora['alpha']}"
    rate, length = f"learning rate {config.learning_rate:g}", f"{config.max_length:,} tokens"
    accepted = "It passed the gates of this lab, which are no clinical standard."
    fields = {
        "name": recipe.name,
        "profile": profile.name,
        "conclusion": test.conclusion,
        "decision": accepted if all(report.passed for report in columns.values()) else "Not to be released.",
        "parameters": f"{_parameters(folder):,}" if folder.is_dir() else "its base's number of",
        "levels": ", ".join(LEVELS),
        "why": recipe.why,
        "rows": f"{len(rows):,}",
        "unique": f"{len({row.text for row in rows}):,}",
        "shares": ", ".join(f"{level} {levels[level]:,}" for level in LEVELS),
        "columns": ", ".join(f"{name} (n = {report.n:,})" for name, report in columns.items()),
        "recipe": f"{lora}; {rate}; {config.num_train_epochs:g} epochs; rows of at most {length}.",
        "gates": _gates(columns),
        "rivals": "\n".join(_rivals(columns, measured)[0]),
        "failures": "\n".join(_failures(columns) + _rivals(columns, measured)[1])
        or "No gate found one, which is not the same as none.",
        "seeds": ", ".join(seeds) or "not run",
        "read": read,
        "licence": licence.format(code, base),
    }
    return Template((DATA / "model_card.md").read_text(encoding="utf-8")).substitute(fields)


def write_card(text: str) -> Path:
    """Write the card to `build/model_card.md`, whole or not at all."""
    write_atomic(path := build_dir() / "model_card.md", text)
    return path


def _parameters(folder: Path) -> int:
    with safe_open(str(folder / "model.safetensors"), "np") as weights:
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118


def _gates(columns: Mapping[str, Report]) -> str:
    lines = [f"| gate | bound |{''.join(f' {name} | verdict |' for name in columns)}"]
    lines.append("| --- | --- |" + " --- | --- |" * len(columns))
    for row in zip(*(report.rows for report in columns.values()), strict=True):
        cells = "".join(f" {one.measured} | {one.verdict} |" for one in row)
        gate = row[0].gate
        lines.append(f"| **{gate.id}**: {gate.says} | {gate.asks} |{cells}")
    return "\n".join(lines)


def _failures(columns: Mapping[str, Report]) -> list[str]:
    said = {FAILS: "fails", NOT_SHOWN: "is not shown"}
    return [
        f"- On {on}, **{row.gate.id}** {said[row.verdict]}: {row.measured}; asked for {row.gate.asks}."
        for on, report in columns.items()
        for row in report.rows
        if row.verdict != PASSES
    ]


def _rivals(columns: Mapping[str, Report], measured: Measured) -> tuple[list[str], list[str]]:
    """What every baseline scores, and on which columns the model is not shown to be above it."""
    names = sorted({key.split(".")[1] for key in measured if key.startswith("baseline.")})
    scores, failures = [], []
    for name in names:
        rates = {on: rate_of(measured.get(f"baseline.{name}.accuracy{COLUMNS[on]}")) for on in columns}
        scores.append(f"- {name}: {'; '.join(f'{rate} ({on})' for on, rate in rates.items() if rate.n)}.")
        for on, rate in rates.items():
            label = next(row.rate for row in columns[on].rows if row.gate.id == "label")
            gap = difference(label, rate)
            if rate.n and not gap.low > 0:
                told = "**below**" if gap.high < 0 else "**not shown to be above**"
                failures.append(f"- On {on} it is {told} {name}: {label} against {rate}.")
    return scores, failures
