"""Notebook 14's decision and its paper: which checkpoint is best, and a model card generated from what was measured.

No figure is typed here: a test reads this file and refuses a digit in any of its texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.cases import evaluation_prompts
from helpers.evaluate import Rate, load
from helpers.evaluate.gates import FAILS, PASSES, Judged, Report, load_gates
from helpers.files import ROOT, build_dir, write_atomic
from helpers.lab.results import measurements
from helpers.lab.session import versions_of
from helpers.lab.stages import Stage
from helpers.recipes import recipe_named
from helpers.train import current_profile
from helpers.triage import LEVELS

NEITHER = "by this lab's own gates it may not be used, for anything but learning how such a model fails"


def passed(report: Report) -> int:
    """How many gates a model passes."""
    return sum(row.verdict == PASSES for row in report.rows)


def best_of(reports: Mapping[str, Report]) -> str:
    """The model that passes most gates; among equals the one whose accepted level is better at the interval's lower end."""

    def rank(name: str) -> tuple[int, float]:
        label = next(row.rate for row in reports[name].rows if row.gate.measure == "accepted_level")
        return passed(reports[name]), label.low

    return max(reports, key=rank)


def recorded_report(prefix: str, measured: Mapping[str, Mapping[str, Any]] | None = None) -> Report | None:
    """Gates from the results store, for a model that is not kept as a stage: `<prefix>.<gate>`. A gate without a record is not shown.

    Returns:
        The report, with the n of the record; None when nothing is recorded under the prefix.
    """
    measured = measurements() if measured is None else measured
    found = {gate: measured.get(f"{prefix}.{gate.id}") for gate in load_gates()}
    if not any(found.values()):
        return None
    nothing = Rate(float("nan"), 0, 0.0, 1.0)
    rates = {
        gate: Rate(row["value"], row["n"], row["low"], row["high"]) if row else nothing
        for gate, row in found.items()
    }
    return Report(
        max(rate.n for rate in rates.values()),
        prefix,
        tuple(Judged(gate, rate, gate.verdict(rate)) for gate, rate in rates.items()),
    )


Columns = Mapping[str, Report]


def model_card(model: Stage, columns: Columns, rivals: Mapping[str, Mapping[str, Rate]]) -> str:
    """The card of a stage, in Markdown.

    Args:
        model: the stage.
        columns: its gates in each column of `cases.COLUMNS`, the test wordings first.
        rivals: accuracy of each baseline in the same columns.
    """
    test = next(iter(columns.values()))
    sections = [
        f"# Model card: {model.name}, seed {model.seed}, profile {current_profile().name}",
        f"**Not a medical device. {test.conclusion}** {_decision(test)}",
        *_what_it_is(model),
        *_data(model, columns),
        *_recipe(model),
        *_gates(columns, rivals),
        *_failures(columns, rivals),
        *_untested(model),
        "## Licence",
        f"{(ROOT / 'LICENSE').read_text(encoding='utf-8').splitlines()[0]}, weights included (trained from `{_base_name()}`). "
        "Another profile's base model keeps its publisher's licence.",
    ]
    return "\n\n".join(sections) + "\n"


def write_card(text: str) -> Path:
    """Write the card to `build/model_card.md`, whole or not at all.

    Raises:
        LabError: the disk is full or read-only.
    """
    path = build_dir() / "model_card.md"
    write_atomic(path, text)
    return path


def _decision(report: Report) -> str:
    if report.passed:
        return "It passed the gates of this lab, which are no clinical standard: a clinical evaluation would come before any use."
    return f"Not to be released: {NEITHER}."


def _base_name() -> str:
    profile = current_profile()
    return str(Path(profile.base).relative_to(ROOT)) if profile.shipped else profile.base


def _what_it_is(model: Stage) -> list[str]:
    size = sum(weights.numel() for weights in load(model).model.parameters())
    return [
        "## What it is, and what for",
        f"A language model of {size:,} parameters that answers a Spanish description of a complaint with one of {len(LEVELS)} levels of urgency "
        f"({', '.join(LEVELS)}), what to do, alarm signs, a notice and the country's emergency number. Recipe: {model.why}.",
        "- **Intended use**: education. It exists so that its failures can be studied.\n"
        "- **Not intended**: deciding about anybody's care. Whoever is worried about somebody calls the emergency number.\n"
        "- **Not covered**: children, pregnancy and mental health without a professional beside them, although such patients are among the invented ones.",
    ]


def _data(model: Stage, columns: Columns) -> list[str]:
    examples = recipe_named(model.name).data(current_profile(), model.seed)
    levels = Counter(row.level for row in examples)
    countries = sorted({row.country for row in evaluation_prompts("test") if row.country})
    return [
        "## Data",
        f"- **Training**: {len(examples):,} synthetic rows, {len({row.text for row in examples}):,} different prompts; "
        + ", ".join(f"{level} {levels[level]:,}" for level in LEVELS)
        + ". No real patient is in them. The rubric is the lab's own.\n"
        f"- **Judged on**: {', '.join(f'{name} (n = {report.n:,})' for name, report in columns.items())}. The base has read paraphrases of the test wordings; the "
        f"other columns are new to base and fine-tuning. Countries: {', '.join(countries)}. Nothing was tuned on any of them.",
    ]


def _recipe(model: Stage) -> list[str]:
    profile, record = current_profile(), model.training
    recipe = recipe_named(model.name)
    settings = getattr(profile, recipe.task)
    rows = {
        "base": f"`{_base_name()}`",
        "method": f"{recipe.task}, LoRA r = {profile.lora['r']}, alpha = {profile.lora['alpha']}",
        "learning rate": f"{settings['learning_rate']:g}",
        "batch": f"{settings['batch']} × {settings['accumulation']}",
        "length": f"{record['rows']:,} rows × {record['epochs']:g} epochs, {record['steps']:,} steps, {record['seconds']:,.0f} s",
        "seed": str(model.seed),
        "key": f"`{model.key}`",
        "versions": ", ".join(f"{name} {number}" for name, number in versions_of().items()),
    }
    return [
        "## Training",
        "| | |\n| --- | --- |\n" + "\n".join(f"| {name} | {value} |" for name, value in rows.items()),
    ]


def _gates(columns: Columns, rivals: Mapping[str, Mapping[str, Rate]]) -> list[str]:
    lines = [
        f"| gate | bound |{''.join(f' {name} | verdict |' for name in columns)}",
        "| --- | --- |" + " --- | --- |" * len(columns),
    ]
    for row in zip(*(report.rows for report in columns.values()), strict=True):
        cells = "".join(f" {one.measured} | {one.verdict} |" for one in row)
        lines.append(f"| {row[0].gate.id} | {row[0].gate.asks} |{cells}")
    beside = "\n".join(
        f"- {name}: {'; '.join(f'{rate} ({column})' for column, rate in rates.items())}."
        for name, rates in rivals.items()
    )
    return [
        "## Acceptance gates",
        "Written down in `data/gates.yaml` before any model was judged; held against the worse end of the interval (95 %).",
        "\n".join(lines),
        f"Accepted level of what it has to beat:\n\n{beside}",
    ]


def _failures(columns: Columns, rivals: Mapping[str, Mapping[str, Rate]]) -> list[str]:
    lines = [
        f"- On {on}, **{row.gate.id}** {'fails' if row.verdict == FAILS else 'is not shown'}: {row.gate.says[0].lower()}{row.gate.says[1:].rstrip('.')} "
        f"in {row.measured}; asked for {row.gate.asks}."
        for on, report in columns.items()
        for row in report.rows
        if row.verdict != PASSES
    ]
    for column, report in columns.items():
        label = next(row.rate for row in report.rows if row.gate.measure == "accepted_level")
        lines += [
            f"- On {column} it is **not above** {name}: {label} against {rates[column]}."
            for name, rates in rivals.items()
            if label.value <= rates[column].value
        ]
    return [
        "## Known failures",
        "\n".join(lines) or "None of the gates found one, which is not the same as none.",
    ]


def _untested(model: Stage) -> list[str]:
    measured = measurements()
    lines = [
        "- No clinician has read its answers, and no patient has.",
        "- Every item is synthetic or was written by the lab: how real people describe real complaints was not measured.",
        f"- One seed (seed {model.seed}); what another seed would give was not judged by these gates.",
        "- One question, one answer: no follow-up questions, no attempts to mislead it, no language but Spanish.",
        "- Fairness between groups of people was not measured.",
    ]
    sweep = f"sweep_size.{model.training['rows']}.accuracy"
    spread = [row["value"] for key, row in measured.items() if key.startswith(f"{sweep}.s")]
    if model.name == "sft-balanced" and len(spread) > 1:
        lines.append(
            f"- How much a seed matters: as many rows, level line alone, gave between {min(spread):.1%} and {max(spread):.1%} accepted levels in "
            f"{len(spread)} runs (notebook {measured[sweep]['notebook'][:2]})."
        )
    missing = [
        name
        for name, key in {
            "a smaller file (quantization)": "quant.",
            "another program than this one": "parity.",
        }.items()
        if not any(row.startswith(key) for row in measured)
    ]
    lines += [f"- As {name}: no measurement is in the results store." for name in missing]
    return ["## What was not tested", "\n".join(lines)]


__all__ = ["best_of", "model_card", "passed", "recorded_report", "write_card"]
