"""Preference pairs: near misses are wrong in one thing only, doses are exact, and what teaches nothing is
dropped and counted.
"""

import random
import re
from collections import Counter
from dataclasses import fields, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import cases
from helpers.files import LabError
from helpers.triage import LEVELS, country_of, parse

EXAMPLES = cases.write_diverse(400, 0)
# What `parse` may read differently in each kind; everything else has to be the same.
LEVEL_FIELDS = {"level", "levels_named", "actions"}
DIFFERS = {
    "off_by_one": LEVEL_FIELDS,
    "over_by_two": LEVEL_FIELDS,
    "no_disclaimer": {"disclaimer"},
    "no_alarms": {"alarms"},
    "wrong_number": {"numbers"},
}
# What may change along with it: whom to call follows the level, and the neutral sentence of an unlisted
# country is a number line too.
FOLLOWS = {
    "off_by_one": {"alarms", "calls", "called"},
    "over_by_two": {"alarms", "calls", "called"},
    "no_alarms": {"called"},
    "wrong_number": {"called", "neutral_number"},
}
an_example = st.sampled_from(EXAMPLES)
a_seed = st.integers(0, 1000)


def _changed(one, other):
    """The fields of the reading that differ; which number a sentence names is the business of `numbers` and
    `called`.
    """

    def plain(value):
        return (
            re.sub(r"al (?:\d+(?: o al \d+)?|numero de emergencias de su pais)", "al N", value)
            if isinstance(value, str)
            else value
        )

    before, after = parse(one), parse(other)
    return {
        field.name
        for field in fields(before)
        if plain(getattr(before, field.name)) != plain(getattr(after, field.name))
    }


def _only(kind, changed):
    """Did what the kind spoils change, and nothing else but what follows from it?"""
    return DIFFERS[kind] <= changed <= DIFFERS[kind] | FOLLOWS.get(kind, set())


@given(an_example, st.sampled_from(cases.KINDS), a_seed)
def test_a_near_miss_differs_in_exactly_the_intended_part(example, kind, seed):
    text = cases.near_miss(example, kind, random.Random(seed))
    assert text is None or _only(kind, _changed(example.answer, text))


@given(an_example, st.sampled_from(["off_by_one", "over_by_two"]), a_seed)
def test_a_wrong_level_is_as_far_off_as_its_kind_says_never_accepted_and_consistent(example, kind, seed):
    text = cases.near_miss(example, kind, random.Random(seed))
    if text is None:
        return
    given_level = parse(text).level
    place, accepted = LEVELS.index(given_level), [LEVELS.index(level) for level in example.accepted]
    assert given_level not in example.accepted
    assert text == replace(example, level=given_level).answer
    if kind == "off_by_one":
        assert abs(place - LEVELS.index(example.level)) == min(abs(place - other) for other in accepted) == 1
    else:
        assert place == min(accepted) - 2


@given(an_example, a_seed)
def test_a_wrong_number_shares_nothing_with_the_right_ones(example, seed):
    numbers = parse(cases.near_miss(example, "wrong_number", random.Random(seed))).numbers
    assert numbers and not set(numbers) & set(country_of(example.country).numbers)


def test_the_number_that_colombia_shares_with_guatemala_is_wrong_in_neither():
    for code in ("CO", "GT"):
        example = replace(EXAMPLES[0], country=code)
        given_numbers = {
            parse(cases.near_miss(example, "wrong_number", random.Random(seed))).numbers for seed in range(60)
        }
        assert len(given_numbers) > 1 and not any("123" in numbers for numbers in given_numbers)


def test_nothing_is_two_levels_above_the_two_most_urgent():
    for example in EXAMPLES:
        impossible = cases.near_miss(example, "over_by_two", random.Random(0)) is None
        assert impossible == bool({"ROJO", "NARANJA"} & set(example.accepted))


def test_no_level_is_off_by_one_when_all_neighbours_are_accepted():
    example = replace(EXAMPLES[0], level="ROJO", accepted=("ROJO", "NARANJA"))
    assert cases.near_miss(example, "off_by_one", random.Random(0)) is None


def test_a_mislabelled_example_has_no_near_miss():
    example = replace(EXAMPLES[0], level="AZUL", accepted=("ROJO",))
    with pytest.raises(LabError, match="not among the accepted levels"):
        cases.near_miss(example, "no_alarms", random.Random(0))


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(LabError, match=r"no near miss of kind 'rude'.*off_by_one"):
        cases.near_miss(EXAMPLES[0], "rude", random.Random(0))


def test_hard_pairs_give_every_kind_its_equal_share_and_every_example_one_pair():
    pairs = cases.hard_pairs(EXAMPLES, seed=0)
    assert [pair.example for pair in pairs] == EXAMPLES
    assert Counter(pair.kind for pair in pairs) == dict.fromkeys(cases.KINDS, 80)
    assert all(
        pair.chosen == pair.example.answer and _only(pair.kind, _changed(pair.chosen, pair.rejected))
        for pair in pairs
    )
    assert pairs == cases.hard_pairs(EXAMPLES, seed=0) != cases.hard_pairs(EXAMPLES, seed=1)


def test_weak_pairs_need_one_answer_of_each_for_every_example():
    pairs = cases.weak_pairs(EXAMPLES[:2], ["a", "b"], ["c", "d"])
    assert [(pair.example, pair.chosen, pair.rejected) for pair in pairs] == [
        (EXAMPLES[0], "a", "c"),
        (EXAMPLES[1], "b", "d"),
    ]
    with pytest.raises(LabError, match="2 examples, 1 chosen and 2 rejected"):
        cases.weak_pairs(EXAMPLES[:2], ["a"], ["c", "d"])


def test_usable_drops_what_teaches_nothing_and_counts_it_by_reason():
    sides = [("a", "b"), ("a", "a "), ("", "b"), ("a", " \n"), ("", "")]
    pairs = [cases.Pair(EXAMPLES[0], *texts) for texts in sides]
    kept, dropped = cases.usable(pairs)
    assert kept == pairs[:1]
    assert dropped == {
        "identical sides": 2,
        "empty chosen": 1,
        "empty rejected": 1,
    }


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=8))
def test_usable_loses_no_pair_without_counting_it(sides):
    pairs = [cases.Pair(EXAMPLES[0], *texts) for texts in sides]
    kept, dropped = cases.usable(pairs)
    assert len(kept) + dropped.total() == len(pairs)


# ------------------------------------------------------------------------------------------ doses of one part
def _dosed(example, text, share):
    (pair,) = cases.with_disclaimers([cases.Pair(example, text, "x")], share, 0)
    return pair.chosen


@given(an_example)
def test_a_disclaimer_taken_away_and_added_again_leaves_the_answer_as_it_was(example):
    without = _dosed(example, example.answer, 0)
    assert parse(without).missing(example.country) == ("disclaimer",)
    assert _dosed(example, without, 0) == without
    assert _dosed(example, without, 1) == example.answer == _dosed(example, example.answer, 1)


@given(an_example, st.text(max_size=80), st.sampled_from([0, 1]))
def test_on_any_text_the_disclaimer_is_set_or_the_failure_is_said(example, text, share):
    try:
        assert parse(_dosed(example, text, share)).disclaimer == share
    except LabError as error:
        assert "disclaimer" in str(error)  # noqa: PT017 (either outcome is right)


def test_a_disclaimer_that_cannot_be_told_apart_is_said_and_not_left():
    with pytest.raises(LabError, match="Could not remove the disclaimer"):
        _dosed(EXAMPLES[0], "Esto no sustituye\na su médico", 0)


@pytest.mark.slow
@given(st.integers(0, 100), a_seed)
def test_the_dose_of_disclaimers_is_exact_and_nothing_else_changes(percent, seed):
    pairs = cases.hard_pairs(EXAMPLES[:50], 0)
    dosed = cases.with_disclaimers(pairs, percent / 100, seed)
    assert sum(parse(pair.chosen).disclaimer for pair in dosed) == round(percent / 100 * 50)
    assert [replace(new, chosen="") for new in dosed] == [replace(old, chosen="") for old in pairs]
    assert all(
        _changed(new.chosen, old.chosen) <= {"disclaimer"} for new, old in zip(dosed, pairs, strict=True)
    )


def test_doses_with_one_seed_are_nested():
    pairs = cases.hard_pairs(EXAMPLES[:50], 0)
    carriers = [
        {n for n, pair in enumerate(cases.with_disclaimers(pairs, share, 3)) if parse(pair.chosen).disclaimer}
        for share in (0, 0.2, 0.6, 1)
    ]
    assert all(less < more for less, more in pairwise(carriers))


def test_a_share_beyond_the_whole_is_refused():
    with pytest.raises(LabError, match="fraction from 0 to 1"):
        cases.with_disclaimers([], 50, 0)


def test_a_dose_that_makes_both_sides_the_same_is_counted_and_left_out():
    # Notebook 08 once sent such a pair to training, where it is refused.
    person = cases.evaluation_prompts("dev")[0]
    bare = _dosed(person, person.answer, 0)
    kept, dropped = cases.usable(cases.with_disclaimers([cases.Pair(person, bare, person.answer)], 1.0, 0))
    assert kept == [] and dropped == {"identical sides": 1}
    assert cases.usable([cases.Pair(person, bare, person.answer)])[1] == {}
