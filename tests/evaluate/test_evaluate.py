"""Scores, intervals and baselines on answers whose truth is known."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import cases, evaluate
from helpers.evaluate.scoring import cost, distance, quadratic_kappa
from helpers.statistics import bootstrap, wilson
from helpers.triage import LEVELS, render

TESTS = cases.evaluation_prompts("dev")
PERFECT = [row.answer for row in TESTS]


def test_wilson_matches_the_published_intervals():
    assert (round(wilson(24, 30).low, 3), round(wilson(24, 30).high, 3)) == (0.627, 0.905)
    assert (round(wilson(6, 30).low, 3), round(wilson(6, 30).high, 3)) == (0.095, 0.373)


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_wilson_interval_holds_its_value_and_stays_in_zero_to_one(a, b):
    rate = wilson(min(a, b), max(a, b))
    assert rate.n == 0 or 0 <= rate.low <= rate.value <= rate.high <= 1


def test_nothing_measured_is_not_a_zero():
    rate = wilson(0, 0)
    assert np.isnan(rate.value) and (rate.low, rate.high) == (0, 1)


def test_the_bootstrap_interval_holds_the_mean_and_is_the_same_every_time():
    values = list(range(50))
    rate = evaluate.bootstrap_mean(values)
    assert rate.low < 24.5 < rate.high
    assert rate == evaluate.bootstrap_mean(values)
    assert np.isnan(bootstrap([], lambda _: 1.0).value)


def test_the_paired_test_hears_only_the_items_that_differ():
    assert evaluate.paired_test([True] * 10, [True] * 10) == 1
    assert evaluate.paired_test([True] * 10 + [True] * 90, [False] * 10 + [True] * 90) == pytest.approx(
        2 * 0.5**10
    )


def test_perfect_answers_score_perfectly_on_everything():
    scores = evaluate.score(TESTS, PERFECT)
    for rate in (
        scores.accuracy,
        scores.primary,
        scores.strict,
        scores.sensitivity,
        *scores.parts.values(),
    ):
        assert rate.value == 1
    assert scores.under.value == scores.over.value == scores.cost.value == 0
    assert scores.kappa.value == pytest.approx(1)


def test_always_rojo_scores_one_in_five_and_no_kappa_and_never_undertriages():
    scores = evaluate.score(TESTS, evaluate.always("ROJO", TESTS))
    assert scores.primary.value == pytest.approx(0.2)
    assert scores.kappa.value == 0
    assert scores.under.value == 0 and scores.over.value > 0.6
    assert scores.shares["ROJO"].value == 1
    assert scores.strict.value == 0


def test_always_azul_costs_more_than_always_rojo():
    worst, loud = (evaluate.score(TESTS, evaluate.always(level, TESTS)) for level in ("AZUL", "ROJO"))
    assert worst.cost.value > loud.cost.value
    assert worst.sensitivity.value == 0 and loud.sensitivity.value == 1


def test_an_unreadable_answer_is_wrong_counted_apart_and_priced_as_azul():
    scores = evaluate.score(TESTS, ["no sé"] * len(TESTS))
    assert scores.accuracy.value == 0
    assert scores.unreadable.value == 1
    assert scores.under.value == scores.over.value == 0
    assert cost(TESTS[0], None) == cost(TESTS[0], "AZUL") == 12


@given(st.sampled_from(LEVELS), st.sampled_from(LEVELS))
def test_cost_is_zero_only_inside_the_accepted_set_and_under_costs_three_times_over(truth, said):
    row = dataclasses.replace(TESTS[0], level=truth, accepted=(truth,))
    steps = distance(row, said)
    assert (cost(row, said) == 0) == (said == truth)
    assert cost(row, said) == (steps if steps > 0 else -3 * steps)


def test_accepted_neighbours_count_as_accurate_but_not_as_primary():
    row = dataclasses.replace(TESTS[0], level="NARANJA", accepted=("ROJO", "NARANJA"))
    scores = evaluate.score([row], ["Nivel de Urgencia: ROJO"])
    assert scores.accuracy.value == 1 and scores.primary.value == 0 and distance(row, "ROJO") == 0


def test_the_number_of_another_country_fails_the_strict_pass():
    row = dataclasses.replace(TESTS[0], country="ES")
    scores = evaluate.score([row], [render(row.level, "MX", row.picture)])
    assert scores.parts["number"].value == 0 and scores.strict.value == 0 and scores.accuracy.value == 1


def test_quadratic_kappa_punishes_far_misses_more_than_near_ones():
    truth = list(LEVELS) * 4
    near = [LEVELS[min(4, LEVELS.index(level) + 1)] for level in truth]
    far = [LEVELS[(LEVELS.index(level) + 3) % 5] for level in truth]
    assert quadratic_kappa(truth, near) > quadratic_kappa(truth, far)


def test_the_confusion_table_counts_every_answer_once():
    given_levels = [None, *[row.level for row in TESTS[1:]]]
    table = evaluate.confusion(TESTS, given_levels)
    assert table.shape == (5, 6) and table.sum() == len(TESTS) and table[:, 5].sum() == 1


@pytest.mark.slow
def test_tfidf_learns_rubric_labels_and_nothing_from_labels_drawn_blindly():
    honest = evaluate.score(TESTS, evaluate.tfidf(cases.write_diverse(1000, 0), TESTS))
    blind = evaluate.score(TESTS, evaluate.tfidf(cases.write_from_templates(2000, 0), TESTS))
    assert honest.primary.low > 0.4 > blind.primary.high


def test_the_keyword_rules_answer_everybody():
    assert evaluate.score(TESTS, evaluate.keyword_rules(TESTS)).unreadable.value == 0
