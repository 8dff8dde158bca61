"""The experiment that takes the blog's cure apart: one small training run (an *arm*) for every combination of causes.

Every arm has the same number of rows (unless that is what it varies) and the same number of updates. It learns the level line alone,
because the level is the question and the rest of an answer would cost three quarters of the time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import product

from helpers.cases import BLOG_PRIOR, Example, write_diverse
from helpers.recipes.stages import BASE, Recipe
from helpers.train import Profile
from helpers.triage import LEVELS

FACTORS = {
    "skew": ("uniform", "skewed"),
    "conflict": ("consistent", "conflicting"),
    "start": ("fresh", "biased"),
}  # harmless, harmful
CELLS: tuple[tuple[str, str, str], ...] = tuple(product(*FACTORS.values()))
CONFLICTS = (0.0, 0.1, 0.25, 0.5, 1.0)  # share of rows labelled without looking, at the blog's skew
SIZES = (25, 100, 350, 1000, 2000)  # balanced, consistent examples
GENERATIONS = 3  # of a model trained on labels that its predecessor gave
UNIQUE_SHARE = 0.1928  # unique prompts of the blog's 10,000

Data = Callable[[Profile, int], Sequence[Example]]


def cell_name(skew: str, conflict: str, start: str) -> str:
    """The recipe of one cell of the factorial."""
    return f"grid-{skew}-{conflict}-{start}"


BIASED = cell_name("skewed", "conflicting", "fresh")  # what the cells with a biased start continue from


def conflict_name(share: float) -> str:
    """The recipe at this share of conflicting labels, at the blog's skew; the ends are cells of the factorial."""
    ends = {0.0: cell_name("skewed", "consistent", "fresh"), 1.0: BIASED}
    return ends.get(share, f"grid-conflict-{share:.0%}".rstrip("%"))


def size_name(examples: int, profile: Profile) -> str:
    """The recipe with so many balanced, consistent examples; the grid's own size is a cell of the factorial."""
    return (
        cell_name("uniform", "consistent", "fresh")
        if examples == profile.grid["rows"]
        else f"grid-size-{examples}"
    )


def after(stage: str) -> str:
    """The recipe of the balanced, consistent, fresh cell, started from another stage than the base."""
    return f"grid-after-{stage}"


def _mixed(skewed: bool, conflict: float) -> Data:
    return lambda profile, seed: write_diverse(
        profile.grid["rows"], seed, BLOG_PRIOR if skewed else None, conflict=conflict
    )


def _repeated(profile: Profile, seed: int) -> Sequence[Example]:
    """As many rows as any arm, but only the blog's share of them is unique; balanced and consistent all the same."""
    rows = profile.grid["rows"]
    unique = write_diverse(round(rows * UNIQUE_SHARE), seed)
    return [unique[place % len(unique)] for place in range(rows)]


def _weighted(profile: Profile, seed: int) -> Sequence[Example]:
    """The skewed, consistent rows drawn anew with weights that make every level equally frequent: rare rows repeat."""
    rows = _mixed(True, 0.0)(profile, seed)
    by_level = {level: [row for row in rows if row.level == level] for level in LEVELS}
    rng = random.Random(seed)
    drawn = [rng.choice(by_level[level]) for level in LEVELS for _ in range(len(rows) // len(LEVELS))]
    rng.shuffle(drawn)
    return drawn


def _unlabelled(generation: int) -> Data:
    """New prompts for a generation, every level equally frequent among the patients; their labels are the labeller's to give."""
    return lambda profile, seed: write_diverse(profile.grid["rows"], 1000 * generation + seed)


def _arm(name: str, why: str, data: Data, base: str = BASE, labeller: str | None = None) -> Recipe:
    return Recipe(
        name,
        why,
        base,
        "sft",
        data,
        updates=lambda profile: profile.grid["updates"],
        labeller=labeller,
        in_grid=True,
    )


def _cell(skew: str, conflict: str, start: str) -> Recipe:
    data = _mixed(skew == "skewed", 1.0 if conflict == "conflicting" else 0.0)
    why = f"{skew} levels, {conflict} labels, {start} start"
    return _arm(cell_name(skew, conflict, start), why, data, BASE if start == "fresh" else BIASED)


def _sized(examples: int) -> Recipe:
    return _arm(
        f"grid-size-{examples}",
        f"{examples:,} balanced, consistent examples",
        lambda _, seed: write_diverse(examples, seed),
    )


GRID: tuple[Recipe, ...] = (
    *(_cell(*levels) for levels in CELLS),
    *(
        _arm(conflict_name(share), f"the blog's skew, {share:.0%} of the labels blind", _mixed(True, share))
        for share in CONFLICTS
        if 0 < share < 1
    ),
    *(_sized(examples) for examples in SIZES),
    _arm("grid-repeated", "balanced and consistent, but four rows of five repeat another", _repeated),
    _arm("grid-weighted", "the skewed, consistent rows, resampled to equal shares", _weighted),
    *(
        _arm(
            f"grid-feedback-{generation}",
            f"generation {generation} of a model trained on its predecessor's labels",
            _unlabelled(generation),
            labeller=cell_name("skewed", "consistent", "fresh")
            if generation == 1
            else f"grid-feedback-{generation - 1}",
        )
        for generation in range(1, GENERATIONS + 1)
    ),
)

AFTER_CPT: tuple[Recipe, ...] = tuple(
    _arm(after(stage), f"balanced, consistent examples, started from {stage}", _mixed(False, 0.0), base=stage)
    for stage in ("cpt", "cpt-replay")
)


def plan(profile: Profile) -> list[tuple[str, int]]:
    """Every (recipe, seed) of the grid, ordered so that what others wait for comes first."""
    seeds, few = range(profile.grid["seeds"]), range(profile.grid["sweep_seeds"])
    fresh = [cell_name(*cell) for cell in CELLS if cell[2] == "fresh"]
    biased = [cell_name(*cell) for cell in CELLS if cell[2] == "biased"]
    chain = [(f"grid-feedback-{generation}", 0) for generation in range(GENERATIONS, 0, -1)]
    sweeps = [conflict_name(share) for share in CONFLICTS] + [
        size_name(examples, profile) for examples in SIZES
    ]
    wanted = [
        *((BIASED, seed) for seed in seeds),
        (cell_name("skewed", "consistent", "fresh"), 0),
        chain[0],
        *((name, seed) for name in (*fresh, "grid-repeated", "grid-weighted", *biased) for seed in seeds),
        *((name, seed) for name in sweeps for seed in few),
        *chain,
    ]
    return list(dict.fromkeys(wanted))
