"""The ground floor: an answer is rendered and read back, and any text at all can be read."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from helpers.files import LabError
from helpers.triage import LEVELS, PARTS, SCALE, countries, join_or, messages, parse, render, strip_accents

ALARMS = ("falta de aire", "sudor frío", "desmayo")
some_parts = st.sets(st.sampled_from(PARTS))
some_level = st.sampled_from(LEVELS)
some_country = st.sampled_from(list(countries()))


@given(some_level, some_country, some_parts)
def test_what_is_rendered_is_read_back_part_by_part(level, country, parts):
    reading = parse(render(level, country, ALARMS, parts))
    assert reading.level == level
    assert reading.name_agrees
    assert {part for part in PARTS if reading.has(part, country)} == parts
    assert set(reading.missing(country)) == set(PARTS) - parts


@given(st.text(max_size=400))
@example("<think>")
@example("Nivel de Urgencia:")
@example("Emergencias: " + "9" * 50)
@settings(max_examples=300)
def test_any_text_at_all_can_be_read(text):
    reading = parse(text)
    assert reading.level in (None, *LEVELS)
    assert reading.level is None or reading.levels_named == (reading.level,)


@given(some_level, some_country, st.integers(0, 600))
def test_a_cut_answer_never_shows_a_part_that_was_cut_off(level, country, cut):
    whole = render(level, country, ALARMS)
    reading, full = parse(whole[:cut]), parse(whole)
    assert reading.level in (None, full.level)
    for part in PARTS:
        assert full.has(part) or not reading.has(part)


@given(some_level, some_country)
def test_lower_case_and_missing_accents_are_read_all_the_same(level, country):
    text = strip_accents(render(level, country, ALARMS)).lower()
    assert parse(text).level == level
    assert parse(text).missing(country) == ()


@given(some_level, some_country, st.integers(2, 5))
def test_a_repeated_answer_is_one_answer(level, country, times):
    reading = parse("\n".join([render(level, country, ALARMS)] * times))
    assert reading.level == level
    assert reading.missing(country) == ()


@given(some_level, some_level, some_country)
def test_two_levels_named_are_a_contradiction_and_not_a_level(one, other, country):
    reading = parse(render(one, country, ALARMS) + "\n" + render(other, country, ALARMS))
    assert reading.contradictory == (one != other)
    assert reading.level == (one if one == other else None)


@pytest.mark.parametrize(
    "text",
    ["<think>¿será ROJO?</think>\n{a}", "quizá ROJO, quizá no</think>{a}", "{a}\n<think>ahora reviso si es ROJO", "<THINK>ROJO</THINK>{a}"],
)
def test_thinking_is_set_aside_in_all_its_broken_forms(text):
    reading = parse(text.replace("{a}", render("VERDE", "ES", ALARMS)))
    assert reading.thinking
    assert reading.level == "VERDE"


def test_several_thoughts_between_sentences_are_all_set_aside():
    reading = parse("<think>uno</think>Nivel de Urgencia: VERDE<think>dos<think>tres</think>\nEmergencias: 112<think>")
    assert (reading.level, reading.numbers, reading.thinking) == ("VERDE", ("112",), True)
    assert parse("<think>" * 50_000 + "ROJO").level is None


def test_an_answer_that_is_all_thinking_has_no_level():
    assert parse("<think>Nivel de Urgencia: ROJO").level is None


@pytest.mark.parametrize("text", ["rojo", "ROJO.", "  **Rojo** \n"])
def test_a_bare_level_word_is_a_level(text):
    assert parse(text).level == "ROJO"


@pytest.mark.parametrize("text", ["Tiene flema verde y los labios de color azul.", "", "No sé.", "rojizo", "ROJOS"])
def test_a_colour_that_is_only_a_colour_is_not_a_level(text):
    assert parse(text).level is None


def test_a_level_in_capitals_counts_outside_a_level_line():
    assert parse("En mi opinión esto es NARANJA y debe ir ya.").level == "NARANJA"


@pytest.mark.parametrize(
    "line",
    ["Nivel de Urgencia: **ROJO** — Emergencia", "nivel: rojo", "Clasificación: ROJO (Emergencia)", "## Nivel de urgencia sugerido: Rojo"],
)
def test_other_ways_of_writing_the_level_line_are_read(line):
    assert parse(line).level == "ROJO"


def test_a_level_with_the_wrong_name_beside_it_is_noticed():
    assert parse("Nivel de Urgencia: ROJO — Estándar").name_agrees is False
    assert parse("Nivel de Urgencia: ROJO").name_agrees is None


def test_the_number_of_another_country_does_not_count():
    reading = parse(render("ROJO", "MX", ALARMS))
    assert reading.has("number")
    assert not reading.has("number", "ES")
    assert reading.missing("ES") == ("number",)


def test_a_heading_without_content_is_a_missing_part():
    assert parse("Qué hacer:\nSignos de alarma: \nAviso: x").missing() == ("level", *PARTS)


def test_every_country_has_a_number_and_says_who_answers_it():
    for country in countries().values():
        assert country.numbers and all(number.isdigit() for number in country.numbers)
        assert len(country.source) > 5


def test_an_unknown_country_is_refused_with_the_known_ones():
    with pytest.raises(LabError, match=r"XX.*ES"):
        messages("hola", "XX")


def test_the_chat_names_the_country_and_keeps_the_words():
    system, user = messages("me duele", "GT")
    assert system["role"] == "system" and system["content"]
    assert user == {"role": "user", "content": "me duele País: Guatemala."}


def test_the_last_alarm_sign_is_joined_as_spanish_asks():
    assert join_or(["fiebre", "dolor", "olor raro"]) == "fiebre, dolor u olor raro"
    assert join_or(["fiebre", "hormigueo"]) == "fiebre u hormigueo"
    assert join_or(["fiebre", "dolor"]) == "fiebre o dolor"


def test_the_levels_are_five_and_wait_longer_as_they_get_less_urgent():
    waits = [SCALE[level].wait_minutes for level in LEVELS]
    assert len(waits) == 5 and waits == sorted(set(waits))
