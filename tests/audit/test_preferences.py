"""The preference audit on pairs whose push was planted, and on pairs that push nothing."""

import math
import random
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from helpers import audit, cases
from helpers.files import LabError
from helpers.triage import PARTS, render

EXAMPLES = cases.write_diverse(300, 0)
FLIPPED = {"up": "down", "down": "up", "not shown": "not shown"}


def _answer(example, rng, shares):
    """An answer that holds each part with its planted probability."""
    parts = [part for part in PARTS if rng.random() < shares.get(part, 0.5)]
    return render(example.level, example.country, example.picture, parts)


def _planted(seed, chosen, rejected, n=300):
    rng = random.Random(seed)
    return [cases.Pair(row, _answer(row, rng, chosen), _answer(row, rng, rejected)) for row in EXAMPLES[:n]]


def _marked(counts):
    """Pairs in which a mark is on both sides, only chosen, only rejected, on neither; `counts` times."""
    sides = [("x a", "x b"), ("x a", "b"), ("a", "x b"), ("a", "b")]
    return [
        cases.Pair(EXAMPLES[0], *texts)
        for texts, count in zip(sides, counts, strict=True)
        for _ in range(count)
    ]


MARK = {"mark": lambda side: "x" in side.text}


# ------------------------------------------------------------------------------------------------- directions
def test_planted_odds_are_predicted_in_their_direction():
    found = audit.preferences(
        _planted(0, {"disclaimer": 0.1, "actions": 0.9, "number": 0.8}, {"disclaimer": 0.6, "number": 0.6})
    )
    assert [found.direction(name) for name in ("disclaimer", "actions", "number")] == ["down", "up", "up"]
    assert found.direction("readable level") == "not shown"


@pytest.mark.slow
def test_a_feature_that_nothing_pushes_is_called_pushed_no_more_often_than_the_test_allows():
    called = [
        audit.preferences(_planted(seed, {}, {}, n=80)).direction(part) != "not shown"
        for seed in range(60)
        for part in PARTS
    ]
    assert np.mean(called) < 0.05 + 2 * math.sqrt(0.05 * 0.95 / len(called))


def test_what_both_sides_always_have_is_not_pushed():
    found = audit.preferences(
        _planted(0, dict.fromkeys(PARTS, 1.0), {**dict.fromkeys(PARTS, 1.0), "alarms": 0.0})
    )
    assert found["disclaimer"].only_chosen == found["disclaimer"].only_rejected == 0
    assert (found.direction("disclaimer"), found["disclaimer"].p, found.direction("alarms")) == (
        "not shown",
        1,
        "up",
    )


def test_five_pairs_cannot_show_anything_and_six_can():
    assert audit.preferences(_marked((0, 5, 0, 0)), MARK).direction("mark") == "not shown"
    assert audit.preferences(_marked((0, 6, 0, 0)), MARK).direction("mark") == "up"


def test_swapping_the_sides_flips_every_direction_and_inverts_every_odds_ratio():
    pairs = _planted(1, {"disclaimer": 0.2, "actions": 0.9}, {"disclaimer": 0.6})
    there, back = (
        audit.preferences(pairs),
        audit.preferences([replace(pair, chosen=pair.rejected, rejected=pair.chosen) for pair in pairs]),
    )
    for one, other in zip((*there.features, *there.lengths), (*back.features, *back.lengths), strict=True):
        assert other.direction == FLIPPED[one.direction]
    for one, other in zip(there.features, back.features, strict=True):
        assert (one.only_chosen, one.chosen) == (other.only_rejected, other.rejected)
        assert one.odds_ratio.value == pytest.approx(1 / other.odds_ratio.value)
        assert one.odds_ratio.low == pytest.approx(1 / other.odds_ratio.high)


def test_the_order_of_the_pairs_changes_nothing():
    pairs = _planted(2, {"disclaimer": 0.2}, {})
    one, other = audit.preferences(pairs), audit.preferences(random.Random(0).sample(pairs, len(pairs)))
    assert one.features == other.features
    for a, b in zip(one.lengths, other.lengths, strict=True):
        assert a.difference.value == pytest.approx(b.difference.value)
        assert a.difference.low == pytest.approx(b.difference.low)


def test_weak_pairs_whose_chosen_answers_lack_the_disclaimer_foretell_its_loss():
    pairs = [
        cases.Pair(row, render(row.level, row.country, row.picture, ["actions", "alarms"]), row.answer)
        for row in EXAMPLES
    ]
    found = audit.preferences(cases.with_disclaimers(pairs, 0.3, 0))
    assert (found.direction("disclaimer"), found["disclaimer"].only_rejected) == ("down", 210)
    even = audit.preferences(cases.with_disclaimers(pairs, 1, 0))
    assert even.direction("disclaimer") == "not shown"


def test_near_misses_push_what_they_spoil_and_nothing_else():
    found = audit.preferences(cases.hard_pairs(EXAMPLES, 0))
    assert {row.name for row in found.features if row.direction != "not shown"} == {
        "alarms",
        "disclaimer",
        "number",
        "correct level",
    }
    assert all(row.direction != "down" for row in found.features)


# ---------------------------------------------------------------------------------------------------- figures
def test_the_odds_ratio_and_its_interval_equal_a_hand_computation():
    row = audit.preferences(_marked((10, 20, 5, 15)), MARK)["mark"]
    a, b, c, d = 30.5, 20.5, 15.5, 35.5  # with and without the mark, chosen then rejected, ½ added
    ratio, error = a * d / (b * c), math.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    assert row.odds_ratio.value == pytest.approx(ratio)
    assert row.odds_ratio.low == pytest.approx(ratio * math.exp(-1.959964 * error))
    assert row.odds_ratio.high == pytest.approx(ratio * math.exp(1.959964 * error))
    assert (row.chosen.value, row.rejected.value, row.chosen.n) == (0.6, 0.3, 50)


def test_the_sign_test_hears_only_the_pairs_that_differ():
    few, many = (
        audit.preferences(_marked((0, 12, 3, 0)), MARK)["mark"],
        audit.preferences(_marked((90, 12, 3, 90)), MARK)["mark"],
    )
    by_hand = 2 * sum(math.comb(15, k) for k in range(4)) / 2**15
    assert few.p == many.p == pytest.approx(by_hand)
    assert (many.only_chosen, many.only_rejected, many.direction) == (12, 3, "up")


def test_a_longer_chosen_side_pushes_the_length_up_with_students_interval():
    rng = random.Random(0)
    pairs = [
        cases.Pair(row, "sí " * rng.randint(20, 60), "no " * rng.randint(10, 50)) for row in EXAMPLES[:40]
    ]
    found = audit.preferences(pairs)
    gaps = [len(pair.chosen) - len(pair.rejected) for pair in pairs]
    interval = stats.ttest_1samp(gaps, 0).confidence_interval()
    difference = found["characters"].difference
    assert (difference.value, difference.low, difference.high) == pytest.approx((np.mean(gaps), *interval))
    assert found.direction("characters") == found.direction("words") == "up"


def test_one_pair_says_nothing_about_length():
    found = audit.preferences([cases.Pair(EXAMPLES[0], "largo largo", "corto")])
    assert (found["words"].difference.value, found.direction("words")) == (1, "not shown")


# --------------------------------------------------------------------------------------------------- features
def test_each_feature_is_read_where_it_stands():
    row = replace(EXAMPLES[0], level="ROJO", accepted=("ROJO", "NARANJA"), country="ES")
    whole = {name: has(audit.Side(row, row.answer)) for name, has in audit.FEATURES.items()}
    assert all(whole.values()) and set(PARTS) < set(whole)
    foreign = audit.Side(row, render("AZUL", "MX", row.picture))
    assert [name for name, has in audit.FEATURES.items() if not has(foreign)] == [
        "number",
        "correct level",
        "ROJO given",
    ]
    assert not any(has(audit.Side(row, "no sé")) for has in audit.FEATURES.values())


def test_features_of_ones_own_take_the_place_of_the_usual_ones():
    assert [row.name for row in audit.preferences(_marked((1, 1, 1, 1)), MARK).features] == ["mark"]


# ------------------------------------------------------------------------------------------- degenerate pairs
def test_degenerate_pairs_are_counted_and_left_out_of_the_figures():
    good = _marked((1, 1, 1, 1))
    sides = [("x", "x"), ("", "x"), ("x", " ")]
    found = audit.preferences([*good, *(cases.Pair(EXAMPLES[0], *texts) for texts in sides), good[0]], MARK)
    assert (found.pairs, found.counted) == (8, 5)
    assert found.faults == {"identical sides": 1, "empty chosen": 1, "empty rejected": 1}
    assert found["mark"].chosen.n == 5


@pytest.mark.parametrize("sides", [[], [("a", "a")], [("", "b"), ("a", "")]])
def test_without_a_usable_pair_the_audit_says_so(sides):
    with pytest.raises(
        LabError, match=r"None of \d pairs can be audited .*Give pairs with two different answers"
    ):
        audit.preferences([cases.Pair(EXAMPLES[0], *texts) for texts in sides])


def test_an_unknown_feature_is_refused_with_the_known_ones():
    with pytest.raises(LabError, match=r"no feature 'tone'.*mark, characters, words"):
        audit.preferences(_marked((1, 1, 0, 0)), MARK).direction("tone")


@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), min_size=1, max_size=8))
def test_any_texts_are_audited_or_refused_in_words(sides):
    pairs = [cases.Pair(EXAMPLES[n], *texts) for n, texts in enumerate(sides)]
    try:
        found = audit.preferences(pairs)
    except LabError:
        assert not cases.usable(pairs)[0]
        return
    assert found.counted + sum(found.faults.values()) == len(pairs)
    assert found._repr_markdown_() and str(found)
    for row in found.features:
        assert 0 < row.odds_ratio.low <= row.odds_ratio.value <= row.odds_ratio.high < math.inf


def test_english_and_very_long_texts_are_audited_in_good_time():
    long = "The patient should see a doctor: urgency, level, emergency. " * 1700
    start = time.monotonic()
    found = audit.preferences([cases.Pair(row, long + "a", long + "b") for row in EXAMPLES[:6]])
    assert found["characters"].chosen > 100_000
    assert time.monotonic() - start < 20


def test_the_table_has_a_line_for_each_feature_and_the_sentence_names_what_is_pushed():
    found = audit.preferences(_planted(0, {"disclaimer": 0.1}, {"disclaimer": 0.6}))
    table = found._repr_markdown_().splitlines()
    assert all(
        any(line.startswith(f"| {name} |") for line in table)
        for name in (*audit.FEATURES, "characters", "words")
    )
    assert all(line.count("|") == 7 for line in table if line.startswith("|"))
    assert "disclaimer down" in str(found) and str(found).startswith(
        "288 of 300 pairs counted (left out: 12 with identical sides)."
    )
