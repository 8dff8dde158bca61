"""The factorial's statistics: planted effects come back, and every figure is recomputed here by other means."""

import json
import random
from itertools import product

import pytest
from scipy import stats

from helpers.evaluate import factorial_effects, over_seeds
from helpers.files import ROOT, LabError
from helpers.recipes import grid

NAMES = ("skew", "conflict", "start")


def _runs(truth, noise=0.01, seeds=3):
    rng = random.Random(0)
    return [
        (levels, truth(*levels) + rng.gauss(0, noise))
        for levels in product((0, 1), repeat=3)
        for _ in range(seeds)
    ]


def _half_difference(runs, chosen):
    sign = lambda levels: 1 if sum(1 - levels[index] for index in chosen) % 2 == 0 else -1  # noqa: E731
    plus = [value for levels, value in runs if sign(levels) > 0]
    minus = [value for levels, value in runs if sign(levels) < 0]
    return sum(plus) / len(plus) - sum(minus) / len(minus)


def test_planted_effects_are_found_and_absent_ones_are_not():
    found = {
        effect.name: effect
        for effect in factorial_effects(NAMES, _runs(lambda s, c, b: 0.8 - 0.1 * s - 0.5 * c))
    }
    assert found["skew"].estimate == pytest.approx(-0.1, abs=0.02) and found["skew"].present
    assert found["conflict"].estimate == pytest.approx(-0.5, abs=0.02) and found["conflict"].high < 0
    assert not found["start"].present and not found["skew × conflict"].present
    assert found["conflict"].p < 1e-6 < found["start"].p


def test_an_interaction_is_half_the_difference_of_one_effect_with_and_without_the_other():
    found = {effect.name: effect for effect in factorial_effects(NAMES, _runs(lambda s, c, b: 0.4 * s * c))}
    assert found["skew × conflict"].estimate == pytest.approx(0.2, abs=0.02)


def test_every_estimate_is_a_difference_of_two_halves_of_the_runs():
    runs = _runs(lambda s, c, b: 0.7 - 0.1 * s * c + 0.05 * b * c * s, noise=0.05)
    for effect in factorial_effects(NAMES, runs):
        chosen = [NAMES.index(name) for name in effect.factors]
        assert effect.estimate == pytest.approx(_half_difference(runs, chosen)), effect.name


def test_the_interval_is_the_t_interval_of_the_noise_within_cells():
    runs = _runs(lambda s, c, b: 0.5, noise=0.05)
    cells = {}
    for levels, value in runs:
        cells.setdefault(levels, []).append(value)
    within = sum((value - sum(v) / 3) ** 2 for v in cells.values() for value in v) / 16
    half = stats.t.ppf(0.975, 16) * (within * 4 / 24) ** 0.5
    for effect in factorial_effects(NAMES, runs):
        assert effect.high - effect.estimate == pytest.approx(half)


def test_one_run_a_cell_is_refused_because_its_noise_is_unknown():
    with pytest.raises(LabError, match="at least two seeds"):
        factorial_effects(NAMES, _runs(lambda s, c, b: 0.5, seeds=1))


def test_intervals_over_seeds_pool_the_noise_of_all_groups():
    bands = over_seeds({"a": [0.5, 0.7], "b": [0.2, 0.2]})
    half = stats.t.ppf(0.975, 2) * (0.02 / 2) ** 0.5 / 2**0.5
    assert bands["a"].value == pytest.approx(0.6) and bands["a"].n == 2
    assert bands["a"].low == pytest.approx(max(0, 0.6 - half)) and bands["b"].high == pytest.approx(
        min(1, 0.2 + half)
    )


def test_without_repeats_nothing_is_claimed_about_the_noise():
    assert (over_seeds({"a": [0.5]})["a"].low, over_seeds({"a": [0.5]})["a"].high) == (0.0, 1.0)


def test_the_recorded_effects_follow_from_the_recorded_runs():
    """The committed figures of notebook 05, recomputed from its single runs without statsmodels."""
    stored = json.loads((ROOT / "data" / "results" / "nano.json").read_text())["measurements"]
    for outcome in ("accuracy", "rojo_share"):
        runs = []
        for cell in grid.CELLS:
            key = f"factorial.{'.'.join(cell)}.{outcome}"
            values = [stored[f"{key}.s{seed}"]["value"] for seed in range(stored[key]["seeds"])]
            assert len(values) >= 3 and stored[key]["value"] == pytest.approx(
                sum(values) / len(values), abs=1e-9
            )
            levels = tuple(
                int(level == pair[1]) for level, pair in zip(cell, grid.FACTORS.values(), strict=True)
            )
            runs += [(levels, value) for value in values]
        for size in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)):
            key = f"factorial.effect.{'_'.join(NAMES[index] for index in size)}.{outcome}"
            assert stored[key]["value"] == pytest.approx(_half_difference(runs, size), abs=1e-6), key
