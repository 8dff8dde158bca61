"""The ground floor: an answer is rendered and read back, and any text at all can be read."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from helpers import triage
from helpers.cases import syndromes
from helpers.files import LabError
from helpers.triage import (
    LEVELS,
    PARTS,
    SCALE,
    URGENT,
    countries,
    join_or,
    messages,
    parse,
    render,
    strip_accents,
    strip_thinking,
)

some_parts = st.sets(st.sampled_from(PARTS))
some_level = st.sampled_from(LEVELS)
some_country = st.sampled_from(list(countries()))
some_syndrome = st.sampled_from(list(syndromes().values()))


@given(some_level, some_country, some_syndrome, some_parts)
def test_what_is_rendered_is_read_back_part_by_part(level, country, syndrome, parts):
    answer = render(level, country, syndrome, parts)
    reading = parse(answer)
    assert reading.level == level
    assert reading.name_agrees
    assert {part for part in PARTS if reading.has(part, country)} == parts
    assert set(reading.missing(country)) == set(PARTS) - parts
    assert ("Primeros auxilios:" in answer) == (bool(syndrome.first_aid) and "actions" in parts)


@given(st.text(max_size=400))
@example("<think>")
@example("Nivel de Urgencia:")
@example("Emergencias: " + "9" * 50)
@settings(max_examples=300)
def test_any_text_at_all_can_be_read(text):
    reading = parse(text)
    assert reading.level in (None, *LEVELS)
    assert reading.level is None or reading.levels_named == (reading.level,)


@given(some_level, some_country, some_syndrome, st.integers(0, 900))
def test_a_cut_answer_never_shows_a_part_that_was_cut_off(level, country, syndrome, cut):
    whole = render(level, country, syndrome)
    reading, full = parse(whole[:cut]), parse(whole)
    assert reading.level in (None, full.level)
    for part in PARTS:
        assert full.has(part) or not reading.has(part)


@given(some_level, some_country, some_syndrome)
def test_lower_case_and_missing_accents_are_read_all_the_same(level, country, syndrome):
    text = strip_accents(render(level, country, syndrome)).lower()
    assert parse(text).level == level
    assert parse(text).missing(country) == ()


@given(some_level, some_country, some_syndrome, st.integers(2, 5))
def test_a_repeated_answer_is_one_answer(level, country, syndrome, times):
    reading = parse("\n".join([render(level, country, syndrome)] * times))
    assert reading.level == level
    assert reading.missing(country) == ()


@given(some_level, some_level, some_country, some_syndrome)
def test_two_levels_named_are_a_contradiction_and_not_a_level(one, other, country, syndrome):
    reading = parse(render(one, country, syndrome) + "\n" + render(other, country, syndrome))
    assert reading.contradictory == (one != other)
    assert reading.level == (one if one == other else None)


@pytest.mark.parametrize(
    "text",
    [
        "<think>¿será ROJO?</think>\n{a}",
        "quizá ROJO, quizá no</think>{a}",
        "{a}\n<think>ahora reviso si es ROJO",
        "<THINK>ROJO</THINK>{a}",
    ],
)
def test_thinking_is_set_aside_in_all_its_broken_forms(text):
    answer = text.replace("{a}", render("VERDE", "ES"))
    assert strip_thinking(answer)[1]
    assert parse(answer).level == "VERDE"


def test_several_thoughts_between_sentences_are_all_set_aside():
    text = "<think>uno</think>Nivel de Urgencia: VERDE<think>dos<think>tres</think>\nEmergencias: 112<think>"
    reading = parse(text)
    assert (reading.level, reading.numbers, strip_thinking(text)[1]) == ("VERDE", ("112",), True)
    assert parse("<think>" * 50_000 + "ROJO").level is None


def test_an_answer_that_is_all_thinking_has_no_level():
    assert parse("<think>Nivel de Urgencia: ROJO").level is None


@pytest.mark.parametrize("text", ["rojo", "ROJO.", "  **Rojo** \n"])
def test_a_bare_level_word_is_a_level(text):
    assert parse(text).level == "ROJO"


@pytest.mark.parametrize(
    "text", ["Tiene flema verde y los labios de color azul.", "", "No sé.", "rojizo", "ROJOS"]
)
def test_a_colour_that_is_only_a_colour_is_not_a_level(text):
    assert parse(text).level is None


def test_a_level_in_capitals_counts_outside_a_level_line():
    assert parse("En mi opinión esto es NARANJA y debe ir ya.").level == "NARANJA"


@pytest.mark.parametrize(
    "line",
    [
        "Nivel de Urgencia: **ROJO** — Emergencia",
        "nivel: rojo",
        "Clasificación: ROJO (Emergencia)",
        "## Nivel de urgencia sugerido: Rojo",
    ],
)
def test_other_ways_of_writing_the_level_line_are_read(line):
    assert parse(line).level == "ROJO"


def test_a_level_with_the_wrong_name_beside_it_is_noticed():
    assert parse("Nivel de Urgencia: ROJO — Estándar").name_agrees is False
    assert parse("Nivel de Urgencia: ROJO").name_agrees is None


def test_the_number_of_another_country_does_not_count():
    reading = parse(render("ROJO", "MX"))
    assert reading.has("number")
    assert not reading.has("number", "ES")
    assert reading.missing("ES") == ("number",)


def test_a_heading_without_content_is_a_missing_part():
    assert parse("Qué hacer:\nSignos de alarma: \nAviso: x").missing() == ("level", *PARTS)


def test_every_country_but_the_unlisted_one_has_a_number_and_says_which_service_answers_it():
    for code, country in countries().items():
        assert bool(country.numbers) == (code != "XX")
        assert all(number.isdigit() and service for number, service in country.services)


def test_a_number_without_a_source_is_refused_by_file_entry_and_field(tmp_path, monkeypatch):
    (tmp_path / "emergency_numbers.yaml").write_text(
        'BO: {country: Bolivia, numbers: {"118": ambulancia}, place: a emergencias}'
    )
    monkeypatch.setattr(triage, "DATA", tmp_path)
    with pytest.raises(LabError, match=r"emergency_numbers\.yaml: entry `BO`: field `source`"):
        countries.__wrapped__()


def test_an_unlisted_country_gets_its_own_number_named_without_digits():
    text = render("ROJO", "XX")
    assert not any(char.isdigit() for char in text) and text.count("número de emergencias de su país") >= 2
    assert parse(text).has("number", "XX") and not parse(text).has("number", "MX")


def test_a_foreign_number_anywhere_in_the_answer_spoils_the_number():
    text = render("ROJO", "MX").replace("al 911", "al 112")
    assert parse(text).numbers == ("911",) and not parse(text).has("number", "MX")


def test_an_answer_without_its_number_names_no_number_anywhere():
    for code in countries():
        assert not any(
            char.isdigit() for char in render("NARANJA", code, parts={"actions", "alarms", "disclaimer"})
        )


@given(some_country, some_syndrome)
def test_whoever_must_call_is_told_to_call_before_anything_else(country, syndrome):
    reading = parse(render(syndrome.level, country, syndrome))
    assert reading.calls == syndrome.call_now
    assert "actions" not in reading.missing(country, call_now=syndrome.call_now)


@given(some_level, some_country, some_syndrome)
def test_no_answer_speaks_of_a_waiting_room_or_of_driving_oneself(level, country, syndrome):
    text = render(level, country, syndrome).lower().replace("sin esperar", "")  # the opposite of waiting
    assert "espera" not in text and "minutos:" not in text
    assert "conduzca" not in text or "no conduzca" in text or "conduzca por usted" in text


@given(some_level, some_country, some_syndrome)
def test_the_alarm_line_says_what_to_do_and_whom_to_call(level, country, syndrome):
    alarms = next(
        line for line in render(level, country, syndrome).splitlines() if line.startswith("Signos de alarma")
    )
    assert "si aparece" in alarms and "llam" in alarms and countries()[country].call in alarms


def test_where_the_first_number_does_not_reach_everybody_an_answer_names_the_second_too():
    for code in ("AR", "PE"):
        first, second = countries()[code].numbers
        reading = parse(render("ROJO", code))
        assert reading.called == (first, second) and not reading.missing(code, call_now=True)


def test_an_alarm_line_begins_with_a_singular_sign_because_its_verb_is_singular():
    singular_in_s = {"tos", "pus"}
    firsts = {rule.alarm_signs[0].split()[0] for rule in syndromes().values()}
    assert {word for word in firsts if word.endswith("s")} <= singular_in_s


@pytest.mark.parametrize(
    "action",
    [
        "Vaya a urgencias y llame si no puede",
        "Acuda hoy a su centro y llame",
        "Espere en casa; si empeora, llame",
        "Repose y llame mañana",
        "",
    ],
)
def test_a_call_that_comes_second_is_no_call(action):
    assert not parse(f"Nivel de Urgencia: NARANJA\nQué hacer: {action}.").calls


def test_below_orange_there_is_a_way_for_people_who_live_hours_away():
    for level in LEVELS:
        if level not in URGENT:
            assert any(word in SCALE[level].action for word in ("lejos", "horas de camino"))


def test_an_unknown_country_is_refused_with_the_known_ones():
    with pytest.raises(LabError, match=r"QQ.*ES"):
        messages("hola", "QQ")


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
