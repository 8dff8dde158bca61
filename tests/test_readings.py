"""Computed sentences: each one says one thing when the effect is there and another when it is not."""

import dataclasses

from helpers import cases
from helpers.evaluate import Rate, wilson
from helpers.lab import ClientRun, readings

TESTS = cases.evaluation_prompts("dev")


def test_a_prediction_is_praised_only_when_it_was_close():
    assert "Well seen" in readings.prediction_text(0.21, wilson(96, 480))
    assert "lower" in readings.prediction_text(0.8, wilson(96, 480))
    assert "higher" in readings.prediction_text(0.0, wilson(96, 480))


NAIVE = ClientRun(
    "naive, 5 at once",
    100,
    0,
    6,
    110,
    0,
    2.5,
    500,
    [],
    [{"second": s, "accepted": 1, "broken": 0, "limited": 0} for s in range(60)],
)
FAST = [{"second": s, "accepted": 8, "broken": 0, "limited": 0} for s in range(60)]
HURRIED = dataclasses.replace(
    NAIVE, name="naive, 96 at once", rows=900, lost=90, invalid=60, requests=1300, limited=400, series=FAST
)
RESILIENT = dataclasses.replace(HURRIED, name="resilient", lost=0, invalid=0, requests=1060, limited=1)
UNPACED = dataclasses.replace(RESILIENT, name="no pace", limited=50)


def test_a_pace_that_contradicts_the_minutes_is_called_so():
    assert "disagrees with itself" in readings.pace_text(
        5000, 92, 200, 300
    ) and "54 a minute" in readings.pace_text(5000, 92, 200, 300)
    assert "agree." in readings.pace_text(5000, 20, 200, 300)
    assert "at least 17 minutes" in readings.pace_text(5000, 5, 200, 300)


def test_littles_law_explains_the_gain_only_when_the_product_is_in_the_range():
    assert "does not explain" in readings.in_flight_text(
        5, 15, 30, 200, 300, 54
    ) and "20 s" in readings.in_flight_text(5, 15, 30, 200, 300, 54)
    assert "alone explains" in readings.in_flight_text(5, 40, 30, 200, 300, 54)
    assert "slowed it down" in readings.in_flight_text(5, 60, 30, 200, 300, 54)


def test_a_bill_is_doubted_only_when_it_does_not_fit_the_split():
    assert "11 an example" in readings.bill_text(4.5e6, 1.40, 0.3, 1.2, 0.27, 5000)
    assert "plausible" in readings.bill_text(4.5e6, 2.45, 0.3, 1.2, 0.27, 5000)
    assert "less than the least" in readings.bill_text(4.5e6, 1.0, 0.3, 1.2, 0.27, 5000)


def test_the_clients_reading_says_so_when_the_resilient_one_did_not_win():
    assert "8 times as much" in readings.clients_text(
        NAIVE, HURRIED, RESILIENT
    ) and "not one 429" in readings.clients_text(NAIVE, HURRIED, RESILIENT)
    slow = dataclasses.replace(RESILIENT, series=NAIVE.series, lost=95)
    text = readings.clients_text(dataclasses.replace(NAIVE, limited=3), HURRIED, slow)
    assert (
        "not faster" in text
        and "short of the limit" in text
        and "all the same" in text
        and "no more than" in text
    )


def test_invalid_answers_are_counted_on_both_sides():
    assert "kept 6 answers" in readings.invalid_text(
        NAIVE, RESILIENT
    ) and "kept none" in readings.invalid_text(NAIVE, RESILIENT)
    worse = readings.invalid_text(
        dataclasses.replace(NAIVE, invalid=0), dataclasses.replace(RESILIENT, invalid=2)
    )
    assert "Nothing invalid" in worse and "kept 2 as well" in worse


def test_the_herd_is_tamed_only_when_the_intervals_say_so():
    assert "ends the herd" in readings.herd_text(
        HURRIED, UNPACED, RESILIENT
    ) and "helps already" in readings.herd_text(HURRIED, UNPACED, RESILIENT)
    assert "do not keep" in readings.herd_text(HURRIED, dataclasses.replace(UNPACED, limited=2), RESILIENT)
    assert "did not lower" in readings.herd_text(HURRIED, RESILIENT, UNPACED)
    assert "helps already" not in readings.herd_text(UNPACED, UNPACED, RESILIENT)


def test_the_crash_reading_counts_what_is_missing_doubled_and_paid():
    naive, whole = (
        readings.Crash(200, [70, 140], [0, 0], 200, 200, 350),
        readings.Crash(200, [70, 140], [66, 120], 200, 200, 230),
    )
    assert "nothing lost, nothing doubled" in readings.crash_text(
        naive, whole
    ) and "150 too many" in readings.crash_text(naive, whole)
    hurt = readings.Crash(200, [70, 140], [66, 120], 198, 197, 360)
    text = readings.crash_text(naive, hurt)
    assert "3 rows are missing and 1 doubled" in text and "paid no less" in text


def test_a_budget_that_did_not_hold_or_was_not_needed_is_named():
    assert "the cap held" in readings.budget_text(0.05, 0.06, "the budget", 10, 5)
    assert "did not hold" in readings.budget_text(0.07, 0.06, "the budget", 10, 5)
    assert "nothing to do" in readings.budget_text(0.05, 0.06, None, 10, 0)


def test_the_chosen_set_tells_what_is_missing_and_copes_without_a_price():
    assert "have none" in readings.chosen_text(
        600, 3, 0.1, 700, 5000, [0.2], "t"
    ) and "$0.84" in readings.chosen_text(600, 3, 0.1, 700, 5000, [0.2], "t")
    text = readings.chosen_text(600, 0, None, 0, 5000, [0.18, 0.22], "the offline teacher")
    assert "price unknown" in text and "have none" not in text and "last run" not in text


def test_the_summary_of_notebook_06_changes_with_the_run():
    crashes = (readings.Crash(200, [], [], 200, 200, 350), readings.Crash(200, [], [], 200, 200, 230))
    good = readings.distill_summary_text(NAIVE, HURRIED, RESILIENT, crashes, 5000, 92)
    bad = readings.distill_summary_text(
        NAIVE, HURRIED, dataclasses.replace(RESILIENT, series=NAIVE.series), crashes, 5000, 92
    )
    assert "made the difference" in good and "10 minutes at this pace" in good and good.startswith("Naive")
    assert "did not make the difference" in bad
    assert "Well seen" in readings.pace_prediction_text(
        0.12, NAIVE.limit_share
    ) and "lower" in readings.pace_prediction_text(0.8, NAIVE.limit_share)


def test_a_reading_is_marked_as_computed():
    assert "computed from this run" in readings.reading("x").data
    assert dataclasses.is_dataclass(Rate)
