"""Notebook 05's computed sentences: each says one thing when the effect is there and another when it is not."""

import pytest

from helpers import cases, evaluate
from helpers.evaluate import Effect, Rate, gates, wilson
from helpers.lab import readings
from helpers.recipes import grid

DEV = cases.evaluation_prompts("dev")
SICK, SOUND = (
    evaluate.score(DEV, evaluate.always("ROJO", DEV)),
    evaluate.score(DEV, [row.answer for row in DEV]),
)


def _rate(value, half=0.02):
    return Rate(value, 3, max(0, value - half), min(1, value + half))


def _effect(names, estimate, half=0.02):
    return Effect(tuple(names.split()), estimate, estimate - half, estimate + half, 0.01)


def _effects(skew=0.0, conflict=0.0, start=0.0, both=0.0):
    return [
        _effect("skew", skew),
        _effect("conflict", conflict),
        _effect("start", start),
        _effect("skew conflict", both),
    ]


def _bands(sound=0.8, skew=0.7, conflict=0.22, both=0.25, biased=0.8):
    values = {
        ("uniform", "consistent"): sound,
        ("skewed", "consistent"): skew,
        ("uniform", "conflicting"): conflict,
        ("skewed", "conflicting"): both,
    }
    return {
        cell: _rate(biased if cell == ("uniform", "consistent", "biased") else values[cell[:2]])
        for cell in grid.CELLS
    }


def test_the_cure_is_praised_only_when_the_paired_test_shows_it():
    assert "mends the model" in readings.cure_text(SICK, SOUND, 1e-9)
    assert "worse" in readings.cure_text(SOUND, SICK, 1e-9)
    assert "No difference is shown" in readings.cure_text(SICK, SICK, 1.0)


@pytest.mark.parametrize(
    ("hits", "said"),
    [
        (95, "with its whole interval"),
        (82, "though its interval goes below"),
        (77, "does not exclude it"),
        (40, "**misses**"),
    ],
)
def test_the_blogs_target_is_held_against_the_interval(hits, said):
    assert said in readings.target_text("Accuracy", wilson(hits, 100), 0.8, wilson(20, 100))


def test_a_model_near_the_parrot_is_not_called_above_it():
    assert "**not clearly above**" in readings.target_text("Accuracy", wilson(22, 100), 0.8, wilson(20, 100))
    assert "is above" in readings.target_text("Accuracy", wilson(80, 100), 0.8, wilson(20, 100))


def test_the_rival_on_vignettes_wins_loses_or_ties_by_the_paired_test():
    assert "better" in readings.column_text("vignettes", SOUND, SICK, "TF-IDF", 0.001)
    assert "**worse**" in readings.column_text("vignettes", SICK, SOUND, "TF-IDF", 0.001)
    assert "No difference" in readings.column_text("vignettes", SICK, SOUND, "TF-IDF", 0.2)


def test_causes_are_named_in_the_order_of_their_effect_and_absent_ones_are_called_absent():
    text = readings.factorial_text(_effects(-0.1, -0.5), _effects(0.4, 0.1, both=0.2))
    assert text.index("**conflict**") < text.index("**skew**") and "No effect of start" in text
    assert "answers ROJO: **skew**" in text and "work together" in text


def test_without_effects_the_factorial_names_no_cause():
    text = readings.factorial_text(_effects(), _effects())
    assert (
        "None of the three causes" in text and "No single cause" in text and "no interaction is shown" in text
    )


def test_an_effect_against_expectation_is_said_to_be_one():
    text = readings.factorial_text(_effects(skew=0.1, conflict=-0.3), _effects(0.4, both=-0.2))
    assert "Against expectation, skew *raised* it" in text and "less ROJO than the sum" in text


def test_the_separate_cells_are_called_alive_or_parrots_by_their_intervals():
    text = readings.separate_text(_bands(), _bands(0.2, 0.3, 0.4, 1.0), 0.25)
    assert (
        "Skew alone: 70%, **alive**" in text
        and "Conflict alone: 22%, **no better than a parrot**" in text
        and "painted ROJO" in text
    )
    text = readings.separate_text(_bands(skew=0.25, conflict=0.6), _bands(both=0.5), 0.25)
    assert (
        "25%, **no better than a parrot**" in text
        and "still above a parrot" in text
        and "50% of the time" in text
    )


def test_the_start_is_called_crucial_only_when_it_is():
    assert "Starting afresh matters" in readings.start_text(_bands(biased=0.5), _effect("start", -0.2))
    assert "is not shown here" in readings.start_text(_bands(), _effect("start", 0.0))
    assert "better start" in readings.start_text(_bands(biased=0.95), _effect("start", 0.1))


def test_duplication_is_blamed_only_when_it_costs_something():
    assert "costs accuracy" in readings.duplication_text(_rate(0.5), _rate(0.8))
    assert "no harm" in readings.duplication_text(_rate(0.8), _rate(0.8))


def test_the_dose_reading_names_where_half_is_lost_and_where_all_is_red_or_says_nowhere():
    doses = {0.0: _rate(0.7), 0.5: _rate(0.6), 1.0: _rate(0.25)}
    assert "gone at 100%" in readings.dose_text(doses, {0.0: _rate(0.2), 1.0: _rate(1.0)}, 0.25)
    flat = readings.dose_text(dict.fromkeys(doses, _rate(0.7)), dict.fromkeys(doses, _rate(0.2)), 0.25)
    assert "no dose takes half" in flat and "at no dose" in flat


def test_the_size_reading_follows_the_curve():
    text = readings.size_text({25: _rate(0.3), 350: _rate(0.79), 2000: _rate(0.8)}, 0.25, 880)
    assert (
        "from 25 examples on" in text
        and "350 examples already" in text
        and "so 2,000 examples are **not read even once**" in text
    )
    alone = readings.size_text({25: _rate(0.25)}, 0.25, 880)
    assert "no size beats a parrot" in alone and "at least once" in alone


@pytest.mark.parametrize(
    ("adjusted", "said"), [(0.8, "gains +20"), (0.4, "loses +20"), (0.61, "within the noise")]
)
def test_dividing_by_the_prior_is_judged_by_its_interval(adjusted, said):
    fixes = {"plain": _rate(0.6), "adjusted": _rate(adjusted), "weighted": _rate(0.7), "balanced": _rate(0.8)}
    rare = {"plain": 0.1, "adjusted": 0.5, "weighted": 0.4, "balanced": 0.8}
    assert said in readings.correction_text(fixes, rare, "AZUL")


def test_a_mismatch_is_announced_only_when_the_formats_disagree():
    assert "hypothesis supported" in readings.mismatch_text(wilson(80, 100), wilson(2, 100), wilson(50, 100))
    assert "no mismatch effect" in readings.mismatch_text(wilson(80, 100), wilson(79, 100), wilson(80, 100))


def test_the_feedback_reading_says_grows_shrinks_or_stays():
    shares = lambda rojo: {"ROJO": rojo, "NARANJA": 1 - rojo, "AMARILLO": 0.0, "VERDE": 0.0, "AZUL": 0.0}  # noqa: E731
    assert "feeds itself" in readings.feedback_text([shares(0.3), shares(0.6)])
    assert "shrinks" in readings.feedback_text([shares(0.6), shares(0.3)])
    assert "does not grow" in readings.feedback_text([shares(0.3), shares(0.31)])
    assert "nobody is told in the end: NARANJA, AMARILLO" in readings.feedback_text(
        [shares(0.6), shares(1.0)]
    )


def test_the_gates_reading_releases_only_what_passed():
    sick, sound = (
        gates.judge(DEV, evaluate.always("ROJO", DEV)),
        gates.judge(DEV, [row.answer for row in DEV]),
    )
    assert "none would be released" in readings.gates_text({"sick": sick})
    assert "accepted: sound" in readings.gates_text({"sick": sick, "sound": sound})


def test_the_conclusions_turn_with_the_evidence():
    here = readings.conclusions_text(_effects(-0.1, -0.5), _bands(), 0.25, _rate(0.8), _effect("start", 0.0))
    assert (
        "Imbalance alone was not the disease" in here
        and "still works" in here
        and "may not be said" in here
        and "-50 points" in here
        and "no harm" in here
    )
    there = readings.conclusions_text(
        _effects(-0.5, -0.1), _bands(skew=0.25), 0.25, _rate(0.3), _effect("start", -0.3)
    )
    assert (
        "Imbalance was the larger fault" in there
        and "Skew alone is enough" in there
        and "*crucial* may be said" in there
    )
    assert "Neither skew nor conflict" in readings.conclusions_text(
        _effects(), _bands(), 0.25, _rate(0.8), _effect("start", 0.0)
    )
