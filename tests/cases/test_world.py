"""The micro-world counted: people's voices, no word that gives the level away, safe answers for everybody who
must call.
"""

import re

import pytest
from wordings import owned_phrases, profile

from helpers import audit, cases, evaluate
from helpers.files import DATA, read_yaml
from helpers.triage import LEVELS, URGENT, countries, parse, strip_accents

SIGNS = list(cases.findings().values())
SYNDROMES = cases.syndromes()
MOST_SHARE = 0.75  # of a phrase's uses may be one level's
PEOPLE = [*cases.vignettes(), *cases.vignettes("dev"), *cases.evaluation_prompts("syndromes")]


# ----------------------------------------------------------------------------------------------------- voices
def test_training_wordings_are_the_words_of_people():
    counted = profile(SIGNS)
    print(counted)
    assert counted["first person"] >= 0.35
    assert counted["figure"] >= 0.40
    assert counted["typed as on a phone"] >= 0.20
    assert counted["several"] >= 0.40
    assert counted["age decides"] >= 0.10
    assert counted["median words"] >= 20
    assert all(counted[f"negation, {level}"] >= 0.25 for level in LEVELS)


def test_the_wordings_of_every_country_are_there_and_a_prompt_comes_from_the_country_whose_words_it_uses():
    regions = {wording.region for finding in SIGNS for wording in finding.wordings["train"]}
    assert regions == {None, *countries()} - {"XX"}
    spoken = {
        wording.text: wording.region
        for finding in SIGNS
        for split in cases.SPLITS
        for wording in finding.wordings[split]
    }
    for row in cases.evaluation_prompts("test"):
        own = next(region for text, region in spoken.items() if text[1:] in row.text)
        assert own in (None, row.country), row.text


# ------------------------------------------------------------------------------------- no word says the level
def test_no_word_or_pair_of_words_gives_the_level_away():
    rows = [(text, finding.level) for finding in SIGNS for text in (finding.term, *finding.texts("train"))]
    excused = read_yaml(DATA / "word_exceptions.yaml")
    assert len(excused) <= 30 and all(str(reason).strip() for reason in excused.values())
    owned = [row for row in owned_phrases(*zip(*rows, strict=True)) if row.share > MOST_SHARE]
    for row in owned_phrases(*zip(*rows, strict=True))[:10]:
        print(
            f"{row.share:4.0%} {row.level:9} {row.texts:3} "
            f"{row.phrase}{'  (excused)' if row.phrase in excused else ''}"
        )
    assert [row for row in owned if row.phrase not in excused] == []
    assert set(excused) <= {row.phrase for row in owned}, "an exception that is not needed any more"


def test_all_words_together_carry_less_far_than_they_did_in_the_first_world():
    """The first edition's figures with the same classifier: 79 % primary on its test wordings; held-out
    syndromes it had none.
    """
    tests, unseen = cases.evaluation_prompts("test"), cases.evaluation_prompts("syndromes")
    known, strange = (evaluate.score(rows, evaluate.naive_bayes(rows)) for rows in (tests, unseen))
    print(
        f"naive Bayes on every training text: test wordings {known.primary}, held-out syndromes "
        f"{strange.primary} (primary)"
    )
    assert known.primary.value < 0.75
    assert strange.primary.value < 0.60


@pytest.mark.xfail(
    strict=True,
    reason="missed: the richer the wordings of people, the further their words carry to other people's free texts",
)
def test_all_words_together_do_not_carry_to_free_texts():
    scores = evaluate.score(cases.vignettes(), evaluate.naive_bayes(cases.vignettes()))
    print(
        f"naive Bayes on every training text, free vignettes: accepted {scores.accuracy}, primary "
        f"{scores.primary}"
    )
    assert scores.accuracy.value <= 0.65


# -------------------------------------------------------------------------------------------------- syndromes
def test_there_are_ninety_syndromes_and_a_fifth_of_them_of_every_level_is_held_out():
    held = [row for row in SYNDROMES.values() if row.held_out]
    assert len(SYNDROMES) >= 90 and len(held) >= len(SYNDROMES) / 5
    assert {row.level for row in held} == set(LEVELS)
    assert set(cases.held_out()) == {row.key for row in held}
    assert len(cases.evaluation_prompts("syndromes")) >= 200


def test_every_syndrome_that_may_be_trained_on_is_told_by_some_finding():
    assert {row.key for row in SYNDROMES.values() if not row.held_out} == {
        finding.syndrome.key for finding in SIGNS
    }


def test_one_syndrome_has_one_set_of_levels_everywhere():
    for row in [
        *PEOPLE,
        *cases.evaluation_prompts("dev"),
        *cases.evaluation_prompts("test"),
        *cases.write_diverse(500, 0),
    ]:
        rule = SYNDROMES[row.syndrome]
        assert (row.level, row.accepted) == (rule.level, rule.accepted), row.text


def test_no_training_text_is_of_a_held_out_syndrome():
    trained = [*cases.write_diverse(2000, 0), *cases.write_from_templates(2000, 0)]
    assert not any(SYNDROMES[row.syndrome].held_out for row in trained)
    held = [row.text for row in cases.evaluation_prompts("syndromes")]
    assert audit.near_pairs(held, [row.text for row in trained]) == []


def test_a_question_is_not_followed_by_another_one():
    told = [row.text for split in ("dev", "test", "syndromes") for row in cases.evaluation_prompts(split)]
    told += [row.text for row in cases.write_diverse(2000, 0)]
    asked_twice = re.compile(r"\? ¿(?:Qué hago|Usted qué dice|Adónde llamo)\?$")
    assert list(filter(asked_twice.search, told)) == []


def test_facts_of_a_syndrome_have_a_source_by_body_title_and_year_without_an_address():
    table = read_yaml(DATA / "syndromes.yaml")
    assert {row["source"] for row in table["syndromes"].values()} <= set(table["sources"])
    for name, source in table["sources"].items():
        assert (
            {"body", "title", "year"} <= set(source)
            and "http" not in str(source)
            and 1990 <= source["year"] <= 2026
        ), name


# ----------------------------------------------------------------------------------------------- safe answers
@pytest.mark.parametrize("name", [row.key for row in SYNDROMES.values() if row.call_now])
def test_a_person_with_this_syndrome_is_told_to_call_first_in_every_country(name):
    told = [*PEOPLE, *cases.evaluation_prompts("dev"), *cases.evaluation_prompts("test")]
    mine = [row for row in told if row.syndrome == name]
    assert mine
    for row in mine:
        for code in countries():
            reading = parse(cases.Example(row.text, row.level, row.accepted, code, name).answer)
            assert reading.calls and reading.missing(code, call_now=True) == (), (row.text, code)


def test_whoever_may_wait_is_never_one_who_must_call():
    for row in SYNDROMES.values():
        assert row.call_now or row.level != "ROJO"
        assert not row.call_now or set(row.accepted) <= set(URGENT), row.key
        assert not (row.level in URGENT and set(row.accepted) & {"VERDE", "AZUL"}), row.key


def _tells(text: str, sign: str) -> bool:
    """Is this sign told as present: its words, and no negation shortly before them?"""
    plain = strip_accents(text).lower()
    found = re.search(rf"\b{re.escape(strip_accents(sign))}\b", plain)
    return bool(found) and not {"no", "ni", "sin", "niega", "nunca"} & set(
        plain[max(0, found.start() - 45) : found.start()].split()
    )


def test_an_alarm_sign_is_not_what_an_urgent_person_already_tells():
    everybody = [
        (finding.syndrome, text)
        for finding in SIGNS
        for split in cases.SPLITS
        for text in finding.texts(split)
    ]
    everybody += [(row.picture, row.text) for row in PEOPLE]
    told = [
        (text, sign)
        for rule, text in everybody
        for sign in rule.alarm_signs
        if rule.level not in ("VERDE", "AZUL") and _tells(text, sign)
    ]
    assert told == []


def test_first_aid_is_given_where_seconds_count():
    seconds = (
        "paro_cardiorrespiratorio",
        "atragantamiento",
        "hemorragia_incontenible",
        "convulsion_en_curso",
        "hipoglucemia_con_confusion",
    )
    assert [row.key for row in SYNDROMES.values() if row.level == "ROJO" and not row.first_aid] == []
    for name in (
        *seconds,
        "anafilaxia",
        "causticacion_ocular",
        "quemadura_grave",
        "inconsciente",
        "sobredosis_respiratoria",
    ):
        assert SYNDROMES[name].first_aid, name


# -------------------------------------------------------------------------------------------------- vignettes
def test_there_are_two_hundred_test_vignettes_and_sixty_for_tuning_all_levels_alike():
    assert len(cases.vignettes()) >= 200 and len(cases.vignettes("dev")) >= 60
    for rows in (cases.vignettes(), cases.vignettes("dev")):
        counts = [sum(row.level == level for row in rows) for level in LEVELS]
        assert max(counts) - min(counts) <= 2, counts
    assert not {row.text for row in cases.vignettes()} & {row.text for row in cases.vignettes("dev")}


def test_no_training_text_or_term_repeats_a_vignette():
    plain = {strip_accents(row.text).lower().strip(" .") for row in PEOPLE}
    plain |= {text.removeprefix("paciente con ") for text in plain}
    said = {
        strip_accents(text).lower() for finding in SIGNS for text in (finding.term, *finding.texts("train"))
    }
    assert not plain & said
