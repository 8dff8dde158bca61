"""Computed sentences: each one says one thing when the effect is there and another when it is not."""

import dataclasses

from helpers import cases
from helpers.evaluate import Rate, wilson
from helpers.lab import readings

TESTS = cases.evaluation_prompts("dev")


def test_a_prediction_is_praised_only_when_it_was_close():
    assert "Well seen" in readings.prediction_text(0.21, wilson(96, 480))
    assert "lower" in readings.prediction_text(0.8, wilson(96, 480))
    assert "higher" in readings.prediction_text(0.0, wilson(96, 480))


def test_a_reading_is_marked_as_computed():
    assert "computed from this run" in readings.reading("x").data
    assert dataclasses.is_dataclass(Rate)
