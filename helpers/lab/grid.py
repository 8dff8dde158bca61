"""Run the grid of notebook 05: many small trainings, one a core, each kept as soon as it is done.

An *outcome* is what an arm answered on the test wordings, without its weights; only models that other arms start from, or that label
other arms' data, stay on disk as stages. An interrupted grid goes on where it stopped.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.cases import Example, evaluation_prompts
from helpers.evaluate import Rate, label_probabilities, over_seeds, wilson
from helpers.files import LabError, build_dir, read_json, write_json
from helpers.lab.pool import in_workers
from helpers.lab.results import record_rate
from helpers.lab.stages import ingredients, stage
from helpers.progress import Progress
from helpers.recipes import GRID, Recipe, grid, recipe_named
from helpers.train import Profile, current_profile
from helpers.triage import LEVEL_HEADING

Run = tuple[str, int]  # recipe, seed
KEPT = {recipe.base for recipe in GRID} | {recipe.labeller for recipe in GRID}


@dataclass(frozen=True)
class Outcome:
    """What one arm answered, and what it was trained on.

    Attributes:
        given: the level it finds likeliest for every prompt of `evaluation_prompts("test")`.
        beliefs: its probabilities over the five levels, in the order of `LEVELS`, for the same prompts.
        trained_on: how many training rows carried each level.
    """

    name: str
    seed: int
    key: str
    given: tuple[str, ...]
    beliefs: tuple[dict[str, float], ...]
    trained_on: dict[str, int]
    seconds: float
    loss: float

    @property
    def answers(self) -> list[str]:
        """Its answers as text, for the scorer that every model meets."""
        return [f"{LEVEL_HEADING} {level}" for level in self.given]

    @property
    def accuracy(self) -> Rate:
        """Share of test wordings answered with an accepted level."""
        prompts = evaluation_prompts("test")
        return wilson(
            sum(level in prompt.accepted for level, prompt in zip(self.given, prompts, strict=True)),
            len(prompts),
        )

    def share(self, level: str) -> Rate:
        """Share of test wordings answered with this level."""
        return wilson(self.given.count(level), len(self.given))


def gather(
    outcomes: Mapping[Run, Outcome], names: Mapping[Any, str], measure: Callable[[Outcome], float]
) -> dict[Any, list[float]]:
    """A figure of every run, grouped by what the reader calls the recipe: `names` maps that to the recipe's name."""
    return {
        key: [measure(outcome) for (recipe, _), outcome in outcomes.items() if recipe == name]
        for key, name in names.items()
    }


def record_runs(prefix: str, runs: Mapping[Any, Sequence[float]], measure: str, n: int) -> dict[Any, Rate]:
    """Keep every run under `<prefix>.<group>.<measure>.s<seed>` and the mean of each group with its interval over seeds.

    Args:
        runs: groups as `gather` gives them; a tuple becomes dotted names, a number stays one.
        n: items that a single run was judged on.

    Returns:
        The means, as `evaluate.over_seeds` gives them.
    """
    bands = over_seeds(runs)
    for group, values in runs.items():
        key = f"{prefix}.{'.'.join(group) if isinstance(group, tuple) else group}.{measure}"
        for seed, value in enumerate(values):
            record_rate(f"{key}.s{seed}", wilson(round(value * n), n), seeds=1)
        record_rate(key, bands[group], seeds=len(values))
    return bands


def run_grid(profile: Profile | None = None, runs: Sequence[Run] | None = None) -> dict[Run, Outcome]:
    """Every outcome of the grid (or of some runs of it), trained now where it is not there yet.

    Raises:
        LabError: interrupted, a worker died, or the disk is full; finished arms are kept and the next call goes on from there.
    """
    profile = profile or current_profile()
    wanted = list(runs or grid.plan(profile))
    outcomes: dict[Run, Outcome] = {}
    with Progress("grid", len(wanted)) as progress:
        for run, outcome in in_workers(_outcome, wanted, (profile,), profile.grid["workers"]):
            outcomes[run] = outcome
            progress.update(1, f"· {run[0]} (seed {run[1]})")
        updates = sum(profile.grid["updates"] for _ in wanted)
        progress.done(
            f"Grid: {len(wanted)} models, {updates:,} updates in all, each judged on {len(evaluation_prompts('test'))} test wordings."
        )
    return {run: outcomes[run] for run in wanted}


def _outcome(run: Run, profile: Profile) -> Outcome:
    """One arm: from its file, or trained and judged now."""
    name, seed = run
    recipe = recipe_named(name)
    plan = ingredients(recipe, seed, profile)
    path = build_dir() / "outcomes" / profile.name / f"{name}-s{seed}-{plan.key}.json"
    if path.exists():
        return _read(path)
    outcome = _train_and_judge(recipe, plan.examples, plan.base, plan.key, profile, seed)
    write_json(
        path,
        {**vars(outcome), "beliefs": [[round(p, 6) for p in belief.values()] for belief in outcome.beliefs]},
    )
    return _read(path)


def _train_and_judge(
    recipe: Recipe, examples: Sequence[Example], base: str, key: str, profile: Profile, seed: int
) -> Outcome:
    prompts = evaluation_prompts("test")
    if recipe.name in KEPT:
        kept = stage(recipe.name, seed, profile)
        record, beliefs = kept.training, label_probabilities(kept, prompts)
    else:
        with tempfile.TemporaryDirectory() as folder:
            trained = recipe.build(examples, base, Path(folder) / "model", profile, seed)
            record, beliefs = vars(trained), label_probabilities(Path(folder) / "model", prompts)
    given = tuple(max(belief, key=belief.get) for belief in beliefs)
    counts = {level: sum(row.level == level for row in examples) for level in beliefs[0]}
    tail = [loss for _, loss in record["losses"][-5:]]
    return Outcome(
        recipe.name, seed, key, given, tuple(beliefs), counts, record["seconds"], sum(tail) / len(tail)
    )


def _read(path: Path) -> Outcome:
    """An outcome from its file.

    Raises:
        LabError: the file is cut off or was edited.
    """
    stored = read_json(path)
    try:
        levels = tuple(stored["trained_on"])
        beliefs = tuple(dict(zip(levels, row, strict=True)) for row in stored["beliefs"])
        return Outcome(**{**stored, "given": tuple(stored["given"]), "beliefs": beliefs})
    except (KeyError, TypeError, ValueError) as error:
        raise LabError(
            f"{path.name} under build/outcomes is not a whole outcome. Delete it; the next run trains that arm again."
        ) from error
