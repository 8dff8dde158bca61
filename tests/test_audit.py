"""The audit's figures on data whose answer is known."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import audit, cases
from helpers.triage import LEVELS


def test_duplicate_rate_counts_repeats():
    assert audit.duplicate_rate(["a", "a", "b", "a"]) == 0.5
    assert audit.duplicate_rate([]) == 0


def test_near_pairs_finds_a_changed_age_and_leaves_strangers_alone():
    texts = [
        "Paciente de 34 años: dolor leve en la rodilla tras correr.",
        "Paciente de 35 años: dolor leve en la rodilla tras correr.",
        "El gato duerme.",
    ]
    assert audit.near_pairs(texts) == [(0, 1)]
    assert audit.near_duplicate_rate(texts) == pytest.approx(2 / 3)
    assert audit.near_pairs(texts[:1], texts[1:]) == [(0, 0)]


@given(st.lists(st.text(alphabet="abc ", min_size=1, max_size=12), min_size=1, max_size=12))
def test_near_pairs_never_reports_a_pair_below_the_threshold(texts):
    assert all(audit.jaccard(texts[i], texts[j]) >= audit.NEAR for i, j in audit.near_pairs(texts))


@given(st.text(max_size=40))
def test_a_text_is_its_own_twin(text):
    assert audit.jaccard(text, text) == 1


def test_distinct_n_is_one_for_new_words_and_falls_with_repetition():
    assert audit.distinct_n(["uno dos tres"], 1) == 1
    assert audit.distinct_n(["uno uno uno uno"], 1) == 0.25
    assert audit.distinct_n(["uno"], 3) == 0


def test_entropy_of_a_fair_die_and_of_a_constant():
    assert audit.entropy(LEVELS) == pytest.approx(math.log(5))
    assert audit.entropy(["ROJO"] * 9) == 0
    assert audit.entropy([]) == 0


def test_conflict_counts_prompts_with_several_labels_and_the_ceiling_they_leave():
    found = audit.label_conflict(["a", "a", "a", "b"], ["ROJO", "ROJO", "AZUL", "VERDE"])
    assert (found.prompts, found.conflicting) == (2, 1)
    assert found.ceiling == 0.75
    assert found.majority == 0.5


def test_the_one_check_condemns_labels_drawn_without_looking():
    found = audit.conflict_of(cases.write_from_templates(10_000, 0))
    assert found.information < 0.05
    assert found.ceiling == pytest.approx(found.shuffled_ceiling, abs=0.01)


def test_the_one_check_acquits_labels_that_follow_from_the_prompt():
    rows = cases.write_from_templates(10_000, 0)
    texts = [row.text for row in rows]
    honest = [cases.findings()[row.finding].level for row in rows]
    found = audit.label_conflict(texts, honest)
    assert found.conflict_rate == 0
    assert found.information == pytest.approx(1)


def test_the_one_check_has_nothing_to_say_when_no_prompt_repeats():
    assert audit.conflict_of(cases.write_diverse(350, 0)).information == 1
    assert audit.label_conflict([], []).conflict_rate == 0


def test_a_phrase_is_found_whole_and_whatever_its_case_or_punctuation():
    index = audit.PhraseIndex(["dolor en el pecho", "tos"])
    assert index.search("Mujer: DOLOR, en el pecho.") == "dolor en el pecho"
    assert index.search("costoso dolor en el pechito") is None


def test_texts_that_say_two_things_in_one_breath_are_found():
    texts = ["la fiebre es ROJO", "la fiebre sube", "el coche es ROJO"]
    assert audit.together(texts, ["ROJO"], ["fiebre"]) == ["la fiebre es ROJO"]
