"""Computed sentences: each one says one thing when the effect is there and another when it is not."""

import dataclasses

import pytest

from helpers import cases, evaluate
from helpers.audit import LabelConflict
from helpers.evaluate import Rate, wilson
from helpers.lab import readings

TESTS = cases.evaluation_prompts("dev")


def test_duplicates_are_named_the_problem_only_when_they_are():
    assert "80.72%" in readings.duplicates_text(10_000, 1_928, 0.5)
    assert "**not** the problem" in readings.duplicates_text(10_000, 9_900, 0.0)


def test_conflict_condemns_blind_labels_and_acquits_honest_ones():
    assert "worth nothing" in readings.conflict_text(LabelConflict(100, 90, 0.68, 0.68, 0.6))
    assert "follow from the prompts" in readings.conflict_text(LabelConflict(100, 0, 1.0, 0.68, 0.6))


def test_the_collapse_is_announced_only_when_one_level_is_said_to_nearly_everybody():
    collapsed = evaluate.score(TESTS, evaluate.always("ROJO", TESTS))
    healthy = evaluate.score(TESTS, [row.answer for row in TESTS])
    assert "textbook curve" in readings.collapse_text(1.8, 0.09, collapsed) and "parrot" in readings.collapse_text(1.8, 0.09, collapsed)
    assert "no collapse in this run" in readings.collapse_text(1.8, 0.04, healthy)


def test_a_collapse_onto_another_level_is_called_by_its_name():
    assert "VERDE" in readings.collapse_text(1.8, 0.09, evaluate.score(TESTS, evaluate.always("VERDE", TESTS)))


@pytest.mark.parametrize(("label", "expected"), [(1.2, "nothing else"), (0.2, "**does** know"), (2.0, "not even learnt")])
def test_the_token_reading_follows_where_the_label_loss_lies(label, expected):
    text = readings.token_text(Rate(label, 400, label - 0.02, label + 0.02), Rate(0.002, 400, 0.001, 0.003), 1.2, 75)
    assert expected in text


def test_the_floor_is_computed_and_compared_with_the_blogs_loss():
    assert "**0.016**: the same" in readings.floor_text(1.2, 75, 0.02, 0.016)
    assert "not the blog's" in readings.floor_text(1.2, 10, 0.12, 0.016)


def test_the_bases_ignorance_is_claimed_only_when_chance_is_inside_the_interval():
    assert "no idea of levels" in readings.knowledge_text(wilson(96, 480))
    assert "**better than chance**" in readings.knowledge_text(wilson(300, 480))
    assert "No better than chance" in readings.knowledge_text(wilson(40, 480))


def test_a_prediction_is_praised_only_when_it_was_close():
    assert "Well seen" in readings.prediction_text(0.21, wilson(96, 480))
    assert "lower" in readings.prediction_text(0.8, wilson(96, 480))
    assert "higher" in readings.prediction_text(0.0, wilson(96, 480))


def test_the_skew_reading_gives_the_largest_gap_to_the_blog():
    shares = dict(cases.BLOG_PRIOR, ROJO=0.57, AZUL=0.08)
    assert "3.0 points" in readings.shares_text(shares, cases.BLOG_PRIOR)


def test_the_summary_of_notebook_04_changes_with_the_run():
    collapsed = evaluate.score(TESTS, evaluate.always("ROJO", TESTS))
    healthy = evaluate.score(TESTS, [row.answer for row in TESTS])
    sick = readings.summary_text(0.3, 0.03, collapsed, Rate(1.2, 400, 1.1, 1.3), 1.2, 75)
    well = readings.summary_text(0.3, 0.29, healthy, Rate(0.1, 400, 0.0, 0.2), 1.2, 75)
    assert "collapsed" in sick and "no better" in sick and "nothing about the patient" in sick
    assert "no collapse" in well and "hardly fell" in well and "something else" in well and "not the 20%" in well


def test_a_reading_is_marked_as_computed():
    assert "computed from this run" in readings.reading("x").data
    assert dataclasses.is_dataclass(Rate)
