"""Intervals over seeds, and the recorded effects of notebook 06: every figure is recomputed here by other
means.
"""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from helpers import cases, evaluate
from helpers.evaluate import gate_changes, over_seeds, paired_change, wilson
from helpers.files import ROOT, LabError


def test_the_interval_over_seeds_is_the_students_t_interval_of_one_groups_runs():
    values = [0.57, 0.6, 0.66]
    rate, plain = over_seeds(values), stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert rate.value == pytest.approx(0.61) and (rate.n, rate.counted) == (3, "seeds")
    assert (rate.low, rate.high) == pytest.approx((plain.low, plain.high))


def test_a_paired_difference_may_be_negative_and_reach_over_zero_and_one():
    harm, nothing = over_seeds([-0.2, -0.25, -0.15]), over_seeds([0.01, -0.01, 0.0])
    assert harm.value == pytest.approx(-0.2) and harm.high < 0
    assert nothing.low < 0 < nothing.high
    assert over_seeds([0.9, 1.0]).high > 1  # of the mean of runs: it is not cut where a share would end


def test_runs_that_agree_to_the_last_digit_leave_no_interval():
    rate = over_seeds([0.25, 0.25, 0.25])
    assert rate.low == rate.value == rate.high == 0.25


def test_over_seeds_says_that_it_counts_seeds():
    assert "seeds = 2" in str(over_seeds([0.5, 0.6])) and "n =" not in str(over_seeds([0.5, 0.6]))


def test_one_run_says_nothing_about_the_next_so_its_mean_has_no_interval():
    alone = over_seeds([0.5])
    assert (alone.value, alone.n) == (0.5, 1)
    assert math.isnan(alone.low) and math.isnan(alone.high)
    assert "no interval" in str(alone)


def test_one_run_that_brings_an_interval_over_its_items_keeps_it():
    rate = wilson(5, 10)
    assert over_seeds([rate]) == rate
    assert over_seeds([rate, wilson(7, 10)]) == over_seeds([0.5, 0.7])


def test_without_a_run_there_is_nothing_to_take_together():
    with pytest.raises(LabError, match="at least one seed"):
        over_seeds([])


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.floats(-1, 1))
def test_the_mean_lies_inside_its_interval_which_moves_along_with_the_runs(values, step):
    rate, moved = over_seeds(values), over_seeds([value + step for value in values])
    assert rate.low - 1e-9 <= rate.value <= rate.high + 1e-9
    expected = (rate.value + step, rate.low + step, rate.high + step)
    assert (moved.value, moved.low, moved.high) == pytest.approx(expected, abs=1e-6)


NEITHER, SKEW, BLIND, BOTH, MENDED = (
    "uniform.consistent.fresh",
    "skewed.consistent.fresh",
    "uniform.conflicting.fresh",
    "skewed.conflicting.fresh",
    "uniform.consistent.biased",
)
CONTRASTS = {  # what each recorded effect of notebook 06 is, run by run
    "simple.skew": {SKEW: 1, NEITHER: -1},
    "simple.skew_blind": {BOTH: 1, BLIND: -1},
    "simple.conflict": {BLIND: 1, NEITHER: -1},
    "simple.conflict_skewed": {BOTH: 1, SKEW: -1},
    "simple.both": {BOTH: 1, NEITHER: -1},
    "effect.skew": {SKEW: 0.5, BOTH: 0.5, NEITHER: -0.5, BLIND: -0.5},
    "effect.conflict": {BLIND: 0.5, BOTH: 0.5, NEITHER: -0.5, SKEW: -0.5},
    "effect.skew_conflict": {BOTH: 1, NEITHER: 1, SKEW: -1, BLIND: -1},
    "effect.start": {MENDED: 1, NEITHER: -1},
}


@pytest.mark.parametrize("outcome", ["accuracy", "rojo_share"])
@pytest.mark.parametrize("effect", CONTRASTS)
def test_the_recorded_effects_follow_from_the_recorded_runs(effect, outcome):
    """The committed figures of notebook 06, recomputed from its single runs."""
    stored = json.loads((ROOT / "data" / "results" / "nano.json").read_text())["measurements"]
    if f"factorial.simple.skew.{outcome}" not in stored:
        pytest.skip("the shipped results are older than notebook 06")
    shown = stored[f"factorial.{effect}.{outcome}"]
    runs = [
        sum(
            weight * stored[f"factorial.{cell}.{outcome}.s{seed}"]["value"]
            for cell, weight in CONTRASTS[effect].items()
        )
        for seed in range(shown["seeds"])
    ]
    reach = stats.t.ppf(0.975, len(runs) - 1) * stats.sem(runs)
    assert len(runs) >= 3 and shown["value"] == pytest.approx(sum(runs) / len(runs), abs=1e-9)
    assert shown["high"] - shown["value"] == pytest.approx(reach, abs=1e-9)
    assert shown["value"] - shown["low"] == pytest.approx(reach, abs=1e-9)


DEV = cases.evaluation_prompts("dev")[:60]
GOOD = [row.answer for row in DEV]
BARE = [replace(row, parts=("actions", "alarms", "number")).answer for row in DEV]


@pytest.mark.parametrize(
    "answers", [GOOD, BARE, evaluate.always("ROJO", DEV), evaluate.always("AZUL", DEV), [""] * len(DEV)]
)
def test_the_gates_item_by_item_add_up_to_the_gates_rates(answers):
    held = evaluate.held_by_gate(DEV, answers)
    bad_news = ("missed_urgency", "two_levels_under", "over_triage")
    rows = {
        row.gate.id: row.rate
        for row in evaluate.gates.judge(DEV, answers).rows
        if row.gate.measure != "kappa"
    }
    assert set(held) == set(rows)
    for gate, items in held.items():
        share = sum(items) / len(items)
        assert (1 - share if gate in bad_news else share) == pytest.approx(rows[gate].value), gate


def test_a_paired_change_counts_the_items_that_turned():
    found = paired_change("x", [True] * 60 + [False] * 40, [True] * 40 + [False] * 60)
    assert found.estimate == pytest.approx(-0.2) and found.high < 0 and found.p < 0.001 and found.name == "x"


def test_no_item_changed_has_no_width_and_is_not_present():
    found = paired_change("x", [True, False], [True, False])
    assert (found.estimate, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_the_changes_of_the_gates_are_paired_over_the_same_items():
    found = gate_changes(DEV, GOOD, BARE)
    assert found["disclaimer"].estimate == found["strict"].estimate == -1 and found["disclaimer"].p < 0.001
    assert {gate for gate, one in found.items() if one.estimate} == {"disclaimer", "strict"}
