"""Translation: the glossary, what must be kept, what a teacher is asked, where rows come from, the loop, and the checks on trial."""

import ast
import json
import re
import socket
import sys
import time
import types
import unicodedata
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import notebooks, teacher, translate
from helpers.files import LabError
from helpers.teacher.offline import answers
from helpers.translate import (
    COUNTRIES,
    Row,
    check_row,
    glossary_problems,
    load_rows,
    number_problems,
    trial,
)
from helpers.translate.glossary import fold
from helpers.translate.numbers import fits, without_partner

SAMPLE = load_rows("sample").rows


def row(english, spanish=None, ident="x"):
    return Row(ident, "interaction", {"sentence": english}, {"sentence": spanish} if spanish else None)


# ----------------------------------------------------------------------------------------------------------- glossary
@pytest.mark.parametrize(
    ("english", "spanish", "country"),
    [
        ("Take acetaminophen.", "Tome paracetamol.", "ES"),
        ("Take Tylenol or Advil.", "Tome paracetamol o ibuprofeno.", "MX"),
        ("Go to the ER now.", "Vaya ya a urgencias.", "MX"),
        ("Go to the ER now.", "Vaya ya a la emergencia.", "GT"),
        ("She had a stroke.", "Tuvo un derrame cerebral.", "GT"),
        ("She had a stroke.", "Sufrió un ICTUS.", "GT"),
        ("Check your blood pressure.", "Mídase la tensión arterial.", "ES"),
        ("Avoid grapefruit juice.", "Evite el jugo de toronja.", "MX"),
        ("Side effects are rare.", "Los efectos secundarios son raros.", "ES"),
        ("Pregnant women", "Mujeres embarazadas", "GT"),
        ("rashes", "erupciones", "ES"),
        ("heart failure", "insuficiencia cardiaca", "ES"),
        ("Over the counter medicines", "Medicamentos sin receta", "ES"),
    ],
)
def test_a_translation_that_uses_the_glossarys_words_passes(english, spanish, country):
    assert glossary_problems(english, spanish, country) == []


@pytest.mark.parametrize(
    ("english", "spanish", "country", "named"),
    [
        ("Take acetaminophen.", "Tome acetaminofén.", "ES", "paracetamol"),
        ("Take Tylenol.", "Tome Tylenol.", "ES", "paracetamol"),
        ("Take Tylenol.", "Tome paracetamol (Tylenol).", "ES", "Tylenol"),
        ("Go to the emergency room.", "Vaya a la sala de emergencias.", "MX", "urgencias"),
        ("Go to the ER.", "Vaya a la emergencia.", "ES", "urgencias"),  # Guatemala's word, asked for Spain
        ("Avoid grapefruit juice.", "Evite el jugo de toronja.", "ES", "zumo de pomelo"),
        ("Avoid grapefruit juice.", "Evite el jugo de uva.", "MX", "jugo de toronja"),
        ("She had a stroke.", "Tuvo un golpe.", "MX", "accidente cerebrovascular"),
        ("He is constipated? No: constipation.", "Tiene constipación.", "ES", "estreñimiento"),
        ("heart failure", "fallo del corazón", "ES", "insuficiencia cardíaca"),
        ("the drug", "la droga", "ES", "medicamento"),
        ("She is pregnant.", "Está esperando.", "ES", "embarazada"),
    ],
)
def test_a_translation_that_does_not_is_refused_and_told_the_right_word(english, spanish, country, named):
    problems = glossary_problems(english, spanish, country)
    assert problems and any(named in problem for problem in problems)


def test_terms_match_whole_words_and_the_longer_of_two_wins():
    used = [
        term.en[0]
        for term in translate.glossary().used(
            "High blood pressure, heart failure; coldness, shots, drugstores, herself."
        )
    ]
    assert used == ["high blood pressure", "heart failure", "vaccine", "pharmacy"]


def test_phrases_in_which_a_word_means_something_else_do_not_count():
    assert glossary_problems("He had heat stroke.", "Tuvo un golpe de calor.", "ES") == []
    assert (
        glossary_problems(
            "Call the emergency number or go to the ER.",
            "Llame al número de emergencias o vaya a urgencias.",
            "ES",
        )
        == []
    )
    assert glossary_problems("Go to the ER.", "Vaya a emergencias.", "ES")


@given(st.text(max_size=60), st.text(max_size=60), st.sampled_from(COUNTRIES))
def test_any_two_texts_can_be_checked_and_folding_keeps_positions(english, spanish, country):
    assert len(fold(spanish)) == len(unicodedata.normalize("NFC", spanish))
    for problem in check_row({"sentence": english}, {"sentence": spanish}, country):
        assert problem.check in translate.CHECKS and str(problem)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{kind: drug, en: [x], es: []}", "field `es`: "),
        ("{kind: drog, en: [x], es: [y]}", "field `kind`: "),
        ("{kind: drug, en: x, es: [y]}", "field `en`: "),
        ("{kind: drug, en: [x], es: [y], avoid: [3]}", "field `avoid`: "),
        ("{kind: drug, en: [x], es: [y], avoid: [' ']}", "field `avoid`: "),
        ("{kind: drug, en: [x], es: [y], regional: {FR: z}}", "field `regional`: "),
        ("{kind: drug, en: [x], es: [y], avoid: [Y]}", "both accepted and to be avoided"),
        ("{kind: drug, en: [Aspirin], es: [y]}", "'aspirin' is already a term in "),
        ("{kind: drug, en: [x], es: [y], note: z}", "field `note`: "),
        ("just text", "field `(entry)`: "),
    ],
)
def test_a_malformed_glossary_is_refused_with_file_line_and_field(tmp_path, entry, said):
    path = tmp_path / "glossary.yaml"
    path.write_text(f"# terms\n- {{kind: drug, en: [aspirin], es: [aspirina]}}\n- {entry}\n")
    with pytest.raises(LabError, match=rf"glossary\.yaml:3: .*{re.escape(said)}"):
        translate.load_glossary(path)


# ------------------------------------------------------------------------------------------------------------ numbers
@pytest.mark.parametrize(
    ("english", "spanish"),
    [
        ("2 tablets of 500 mg every 8 hours", "dos comprimidos de 500 mg cada 8 horas"),
        ("0.5 mg", "0,5 mg"),
        (".5 mg", "0,5 mg"),
        ("1,500 patients", "1.500 pacientes"),
        ("12,500 patients", "12 500 pacientes"),
        ("1,234,567.5 g", "1.234.567,5 g"),
        ("5 to 10 mg", "5 mg a 10 mg"),
        ("5 mg to 10 mg", "de 5 a 10 mg"),
        ("a 24-hour test", "una prueba de 24 horas"),
        ("In the 19th century", "En el siglo XIX"),
        ("twice a day for eleven days", "2 veces al día durante 11 días"),
        ("35 years", "treinta y cinco años"),
        ("2 billion people", "2000 millones de personas"),
        ("50% of 10 patients, 1 hour", "el 50 % de 10 pacientes, una hora"),
        ("1 in 10 had a rash; wait 1 hour", "una de cada 10 tuvo una erupción; espere 1 hora"),
        ("vitamin B12, COVID-19", "vitamina B12, COVID-19"),
        ("150 mg/day", "150 mg/día"),
        ("200 units of insulin", "200 unidades de insulina"),
        ("100 mcg", "100 microgramos"),
        ("5 mL", "5 mililitros"),
        (
            "first 1.5 mg, then 1,500 mg",
            "primero 1.500 mg, luego 1,5 mg",
        ),  # the partner that fits both is not wasted
    ],
)
def test_numbers_and_units_are_kept_in_either_convention_and_in_words(english, spanish):
    assert number_problems(english, spanish) == []


@pytest.mark.parametrize(
    ("english", "spanish"),
    [
        ("500 mg", "500 mcg"),
        ("500 mg", "500"),
        ("0.5 mg", "5 mg"),
        ("0.125 mg", "125 mg"),
        ("1,500 patients", "150 pacientes"),
        ("2 tablets of 500 mg", "500 mg"),
        ("24 hours", "24 días"),
        ("101 °F", "38,3 °C"),
        ("50%", "50"),
        ("no figure here", "unas 3 veces"),
        ("150 mg/dL", "150 mg/L"),
        ("10 and 10 and 10", "10 y 10"),
        ("2.5 mL", "2.5 L"),
        ("13 years", "30 años"),
        ("1,500 mg", "1,5 mg"),
        ("one tablet and 1 hour", "un comprimido"),
        ("2 teaspoons", "2 cucharadas"),
    ],
)
def test_a_number_lost_changed_or_invented_is_named(english, spanish):
    problems = number_problems(english, spanish)
    assert problems and all(re.search(r"“.*\d.*”", problem) for problem in problems)


@given(st.lists(st.integers(0, 5000), max_size=6), st.sampled_from(["mg", "ml", "%", "horas"]))
def test_the_same_figures_in_any_order_are_kept_and_one_more_is_invented(numbers, unit):
    english = " then ".join(f"{number:,} {unit.replace('horas', 'hours')}" for number in numbers)
    spanish = " luego ".join(f"{number:,} {unit}".replace(",", ".") for number in reversed(numbers))
    assert number_problems(english, spanish) == []
    assert number_problems(english, spanish + " luego 7777")


@given(st.text(max_size=60), st.sampled_from(["en", "es"]))
def test_any_text_can_be_read_for_numbers_and_keeps_its_own(text, language):
    numbers = translate.numbers_in(text, language)
    assert all(one.values for one in numbers)
    assert without_partner(numbers, numbers, fits) == []


@pytest.mark.parametrize(
    "text", ["5" + " " * 5000, "5 , " * 2000, "5-" * 1000, "1." * 5000, "veinte y " * 1000]
)
def test_no_text_keeps_the_check_of_numbers_busy(text):
    started = time.monotonic()
    number_problems("5 mg", text)
    assert time.monotonic() - started < 5


@given(st.lists(st.integers(0, 6), max_size=6), st.lists(st.integers(0, 6), max_size=6))
def test_as_many_numbers_as_possible_get_a_partner(ours, theirs):
    near = lambda one, other: abs(one - other) <= 1  # noqa: E731
    alone = without_partner(ours, theirs, near)
    best = (
        max(
            sum(near(one, other) for one, other in zip(ours, order, strict=False))
            for order in permutations([*theirs, *[99] * len(ours)], len(ours))
        )
        if len(ours) + len(theirs) < 7
        else len(ours) - len(alone)
    )
    assert len(ours) - len(alone) == best


# -------------------------------------------------------------------------------------------------- language and length
@pytest.mark.parametrize(
    "spanish",
    [
        "Take the tablets with food and do not drink alcohol.",
        "Tome las pastillas con comida. Do not drink alcohol while you are taking it.",
        "Tome los comprimidos con comida y do not drink alcohol with it porque es malo.",
        "Tome os comprimidos com comida e não beba álcool, pois isso pode ser ruim para você.",
        "Prenez les comprimés avec de la nourriture et ne buvez pas d'alcool.",
        "请随餐服用药片，不要饮酒。",
        "Принимайте таблетки с едой",
    ],
)
def test_text_left_in_english_or_put_into_another_language_is_noticed(spanish):
    assert translate.language_problems(
        "Take the tablets with food and do not drink alcohol with it.", spanish
    )


def test_spanish_and_names_are_left_in_peace():
    assert (
        translate.language_problems("Take the tablets with food.", "Tome los comprimidos con comida.") == []
    )
    assert (
        translate.language_problems("warfarin", "warfarin") == []
    )  # too short to judge; the glossary knows it
    english = "The New England Journal of Medicine reported it."
    assert translate.language_problems(english, "El New England Journal of Medicine lo publicó.") == []


@given(st.text(max_size=200))
def test_a_copy_of_more_than_three_words_is_always_noticed_and_no_text_breaks_the_check(text):
    problems = translate.language_problems(text, text)
    assert problems or len(re.findall(r"[^\W\d_]+", text.lower())) <= 3


def test_a_text_too_short_or_too_long_was_cut_or_embroidered():
    english = "Call your doctor if the pain does not go away within two days."
    assert translate.length_problems(english, "Llame a su médico si el dolor no cede en dos días.") == []
    assert translate.length_problems(english, "Llame a su médico.")
    assert translate.length_problems(english, "Llame a su médico. " * 12)


def test_chrf_of_a_row_joins_its_columns_and_knows_the_reference():
    reference = {"a": "la casa azul", "b": "y el mar"}
    assert translate.row_chrf({"b": "y el mar", "a": "la casa azul"}, reference) == 100
    assert 20 < translate.row_chrf({"a": "la casa roja", "b": "y el mar"}, reference) < 90


# ----------------------------------------------------------------------------------------------- the shipped references
def test_every_reference_passes_every_check_in_every_country():
    wrong = []
    for country in COUNTRIES:
        for item in SAMPLE:
            spanish = {
                field: answers.in_country(item.fields[field], text, country)
                for field, text in item.reference.items()
            }
            wrong += [
                (item.id, country, str(problem)) for problem in check_row(item.fields, spanish, country)
            ]
    assert wrong == []


def test_regional_words_replace_the_general_ones_with_their_articles():
    english = "Go to the ER: a stroke. The ER is open. Out of the ER."
    spanish = "Acuda a urgencias: un ictus. El servicio de urgencias está abierto. Salga de urgencias."
    assert answers.in_country(english, spanish, "GT") == (
        "Acuda a la emergencia: un derrame cerebral. El servicio de urgencias está abierto. Salga de la emergencia."
    )
    assert answers.in_country(english, spanish, "ES") == spanish


def test_the_sample_has_its_size_false_claims_and_no_row_twice():
    assert len(SAMPLE) >= 300 and len({json.dumps(item.fields) for item in SAMPLE}) == len(SAMPLE)
    kept, dropped = translate.drop_false_claims(SAMPLE)
    assert dropped["false"] >= 20 and len(kept) + dropped.total() == len(SAMPLE)
    assert all(item.label == "true" for item in kept if item.kind == "article") and any(
        item.kind == "interaction" for item in kept
    )


# --------------------------------------------------------------------------------------------------- requests, answers
def test_the_instructions_hold_the_terms_that_occur_and_no_others():
    system = translate.request({"sentence": "Take Tylenol."}, "GT")[0]["content"]
    assert (
        "Guatemala" in system
        and "Tylenol → paracetamol (never Tylenol)" in system
        and "warfarina" not in system
    )


@given(
    st.dictionaries(st.sampled_from(["claim", "explanation", "sentence"]), st.text(max_size=40), min_size=1),
    st.sampled_from(COUNTRIES),
)
def test_a_request_is_read_back_as_it_was_written_and_so_is_its_answer(fields, country):
    messages = translate.request(fields, country)
    asked = translate.read_request(messages)
    assert (asked.fields, asked.country, asked.again) == (fields, country, False)
    assert translate.read_request(translate.send_back(messages, "x", ["y"])).again
    for shape in ("{}", "```json\n{}\n```", "Claro:\n{}", "<think>a {{</think>{}", "{}\n"):
        answer = json.dumps(fields, ensure_ascii=False)
        if "think>" not in answer.lower():
            assert translate.read_answer(shape.replace("{}", answer), fields) == fields


@pytest.mark.parametrize("tag", ["think", "thinking", "THINKING", "mm:think", "think "])
@pytest.mark.parametrize(
    "form", ["<{tag}>{notes}</{tag}>{answer}", "{notes}</{tag}> {answer}", "<{tag}></{tag}>{answer}"]
)
def test_the_notes_of_a_thinking_model_are_no_part_of_its_answer(tag, form):
    text = form.format(tag=tag, notes='{"sentence": "a note"}', answer='{"sentence": "Es así."}')
    assert translate.read_answer(text, ["sentence"]) == {"sentence": "Es así."}


@given(st.text(max_size=120))
def test_any_text_is_read_as_an_answer_or_refused_with_a_reason(text):
    try:
        assert set(translate.read_answer(text, ["sentence"])) == {"sentence"}
    except ValueError as error:
        assert str(error).startswith(("the answer", "a field"))  # noqa: PT017 (either outcome is right)


@pytest.mark.parametrize(
    "text",
    [
        '<thinking> {"sentence": "x"}',
        "<reasoning></thinking> no JSON",
        '{"other": "x"}',
        '{"sentence": 3}',
        '{"sentence": "x", "b": "y"}',
        "hola",
        '{"sentence": "x"',
        "[" * 9000,
        "{" * 9000 + "}",
    ],
)
def test_an_answer_of_another_shape_is_refused(text):
    with pytest.raises(ValueError, match="answer"):
        translate.read_answer(text, ["sentence"])


# ------------------------------------------------------------------------------------------------------------- sources
def _hub(monkeypatch, tables=None, error=None):
    """A `datasets` of our own, and a hub that shows signs of life."""
    asked = []

    def load_dataset(name, split, streaming):
        asked.append((name, split, streaming))
        if error:
            raise error
        return tables[name]

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    monkeypatch.setattr("helpers.translate.rows.check_hub", lambda name: None)
    return asked


PUBHEALTH = [
    {
        "claim_id": "9",
        "claim": "A",
        "explanation": "B",
        "main_text": "C",
        "label": 2,
        "subjects": "Health",
        "sources": "x",
    },
    {"claim": "A", "explanation": None, "main_text": "C", "label": "False", "subjects": ""},
    {"claim": "A", "explanation": "B", "main_text": "C", "label": -1, "subjects": ""},
    {"claim": "", "explanation": None, "main_text": "", "label": 1, "subjects": ""},
]
DDI = [{"sentence": "S", "drug1": "x", "drug2": "y", "relation": "effect"}]
TABLES = {"OpenMed/PubHealth-Processed": PUBHEALTH, "OpenMed/DDI-Corpus-Processed": DDI}


def test_the_real_sets_are_loaded_and_normalised_when_the_hub_answers(monkeypatch):
    asked = _hub(monkeypatch, TABLES)
    loaded = load_rows("auto", limit=50)
    assert asked == [
        ("OpenMed/PubHealth-Processed", "train", True),
        ("OpenMed/DDI-Corpus-Processed", "train", True),
    ]
    assert loaded.source == "hub" and [item.label for item in loaded.rows] == ["true", "false", None, None]
    assert (
        loaded.rows[0].id == "9"
        and loaded.rows[0].reference is None
        and loaded.rows[1].fields == {"claim": "A", "main_text": "C"}
    )
    kept, dropped = translate.drop_false_claims(loaded.rows)
    assert [item.kind for item in kept] == ["article", "interaction"] and dropped == {
        "false": 1,
        "unlabelled": 1,
    }
    assert len(load_rows("auto", limit=1).rows) == 2


@pytest.mark.parametrize(
    ("tables", "error", "why"),
    [
        (None, ConnectionError("boom"), "ConnectionError: boom"),
        (None, RuntimeError(""), "no reason given"),
        ({name: [] for name in TABLES}, None, "no longer has the columns"),
        ({name: [{"text": "x"}] for name in TABLES}, None, r"found: text"),
    ],
)
def test_a_hub_that_fails_is_replaced_by_the_sample_and_says_why(monkeypatch, tables, error, why):
    _hub(monkeypatch, tables, error)
    loaded = load_rows("auto", limit=5)
    assert loaded.source == "sample" and len(loaded.rows) == 10 and re.search(why, loaded.sentence)
    with pytest.raises(LabError, match=why):
        load_rows("hub")


def test_no_network_and_a_silent_hub_are_known_within_seconds(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("helpers.translate.rows.HUB_SECONDS", 0.3)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "URLError" in load_rows("auto", limit=1).sentence
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        assert load_rows("auto", limit=1).source == "sample"
        assert time.monotonic() - started < 3


def test_a_switched_off_hub_is_not_asked(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "switched off" in load_rows("auto", limit=1).sentence
    with pytest.raises(LabError, match="no source 'web'"):
        load_rows("web")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", r":1: field `\(line\)`"),
        ('{"id": "a"}', ":1: field `sentence`: must be"),
        ('{"id": "a", "sentence": "s", "drug1": "x", "drug2": " "}', ":1: field `drug2`"),
    ],
)
def test_a_malformed_sample_is_refused_with_file_line_and_field(tmp_path, line, said):
    path = tmp_path / "interactions.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(LabError, match=said):
        translate.read_sample(path, "interaction")
    with pytest.raises(LabError, match="is missing"):
        translate.read_sample(Path(tmp_path / "none.jsonl"), "interaction")


# ------------------------------------------------------------------------------------------------------------ the loop
class Reply:
    def __init__(self, text):
        self.text = text


class Fake:
    """A client that answers from two dictionaries: first attempts and second ones."""

    def __init__(self, first, second=None, stopped=None):
        self.first, self.second, self.stopped, self.calls = first, second or {}, stopped, []

    def run(self, prompts, out, *, validate, label):
        self.calls.append(prompts)
        texts = []
        for index, messages in enumerate(prompts):
            asked = translate.read_request(messages)
            text = (self.second if asked.again else self.first).get(asked.fields["sentence"])
            answer = None if text is None else json.dumps({"sentence": text})
            texts.append(Reply(answer) if answer and validate(answer, index) is None else None)
        cost = 0.25 * len(prompts)
        return types.SimpleNamespace(
            answers=lambda: texts,
            cost_usd=cost,
            total_cost_usd=cost,
            requests=len(prompts),
            stopped=self.stopped,
        )


def test_failures_are_sent_back_once_with_their_problems_named():
    rows = [
        row("Take 500 mg of acetaminophen.", "Tome 500 mg de paracetamol."),
        row("Go to the ER.", "Vaya a urgencias."),
        row("Rest today, please."),
    ]
    first = {
        "Take 500 mg of acetaminophen.": "Tome acetaminofén.",
        "Go to the ER.": "Vaya a urgencias.",
        "Rest today, please.": "Tome 3 días.",
    }
    second = {
        "Take 500 mg of acetaminophen.": "Tome 500 mg de paracetamol.",
        "Rest today, please.": "Descanse 4 días.",
    }
    client = Fake(first, second)
    result = translate.translate(rows, client, "ES")
    complaint = client.calls[1][0][-1]["content"]
    assert (
        "“500 mg” is missing" in complaint
        and "acetaminophen → paracetamol (never acetaminofén" in complaint
        and len(client.calls[1]) == 2
    )
    assert [item.spanish["sentence"] for item in result.passed] == [
        "Tome 500 mg de paracetamol.",
        "Vaya a urgencias.",
    ]
    (failed,) = result.failed
    assert failed.problems[0].check == "numbers" and "4" in failed.problems[0].detail and failed.sent_back
    assert (result.cost_usd, result.total_cost_usd, result.requests) == (1.25, 1.25, 5)
    assert [item.row for item in result.items] == rows
    assert [item.first["sentence"] for item in result.sent_back] == ["Tome acetaminofén.", "Tome 3 días."]


def test_rows_without_an_answer_fail_with_a_reason_and_do_not_spoil_the_rates():
    result = translate.translate(
        [row("Rest."), row("Go to the ER.")],
        Fake({"Go to the ER.": "Vaya a urgencias."}, stopped="budget"),
        "ES",
    )
    assert [item.problems[0].check for item in result.failed] == ["answer"] and result.stopped == "budget"
    assert len(result.passed) == 1 and result.failed[0].spanish is None


def test_an_unknown_country_is_refused_before_anything_is_asked():
    client = Fake({})
    with pytest.raises(LabError, match="No emergency number on file for country 'ZZ'"):
        translate.translate([row("Rest.")], client, "ZZ")
    assert client.calls == []


# ------------------------------------------------------------------------------------------------------- the checks on trial
ENGLISH = "Do not take more than 400 mg of acetaminophen before 10 mg of warfarin."
SPANISH = "No tome más de 400 mg de paracetamol antes de 10 mg de warfarina."
MISTAKES = {**translate.LOOKED_FOR, **translate.NOT_LOOKED_FOR, **translate.HARMLESS}
TRUE = translate.drop_false_claims(SAMPLE)[0]


@pytest.mark.parametrize(
    ("mistake", "expected"),
    [
        (trial.forbidden_word, "No tome más de 400 mg de acetaminofén antes de 10 mg de warfarina."),
        (trial.lost_number, "No tome más de mg de paracetamol antes de 10 mg de warfarina."),
        (trial.left_in_english, ENGLISH),
        (trial.exchanged_numbers, "No tome más de 10 mg de paracetamol antes de 400 mg de warfarina."),
        (trial.opposite_word, "No tome menos de 400 mg de paracetamol antes de 10 mg de warfarina."),
        (trial.lost_no, "Tome más de 400 mg de paracetamol antes de 10 mg de warfarina."),
        (trial.lost_sentence, SPANISH),
        (trial.correct_synonym, SPANISH),
    ],
)
def test_a_mistake_is_planted_once_and_nothing_else_changes(mistake, expected):
    assert mistake(ENGLISH, SPANISH) == expected


def test_the_last_sentence_goes_only_where_there_are_several():
    assert trial.lost_sentence("", "Uno es así. Dos es así. Tres es así.") == "Uno es así. Dos es así."


@given(st.text(max_size=80), st.text(max_size=80), st.sampled_from(sorted(MISTAKES)))
def test_a_mistake_can_be_planted_in_any_text(english, spanish, name):
    assert isinstance(MISTAKES[name](english, spanish), str)


def _noticed(mistake):
    """For every place where it can be planted: do the checks notice?"""
    hits = []
    for one in TRUE:
        column = max(one.fields, key=lambda name: len(one.fields[name]))
        spanish = mistake(one.fields[column], one.reference[column])
        if spanish != one.reference[column]:
            hits.append(bool(check_row(one.fields, {**one.reference, column: spanish}, "ES")))
    return hits


@pytest.mark.parametrize(
    ("name", "at_least", "at_most"),
    [
        *((name, 0.95, 1) for name in translate.LOOKED_FOR),
        ("two numbers exchanged", 0.4, 0.7),
        ("a word turned into its opposite", 0, 0.05),
        ("a “no” lost", 0, 0.05),
        *((name, 0, 0) for name in translate.HARMLESS),
    ],
)
def test_the_checks_notice_what_they_look_for_and_are_blind_to_the_rest(name, at_least, at_most):
    hits = _noticed(MISTAKES[name])
    assert len(hits) > 40 and at_least <= sum(hits) / len(hits) <= at_most


def test_the_offline_teachers_mistakes_are_told_from_its_clean_answers():
    endpoint, some = teacher.described("offline", base_url="http://127.0.0.1:1/v1"), TRUE[:20]
    clean = [
        {name: answers.in_country(text, one.reference[name], "GT") for name, text in one.fields.items()}
        for one in some
    ]
    assert not any(teacher.planted_mistakes(endpoint, some, clean, "GT"))
    clean[3] = {**clean[3], "claim": some[3].fields["claim"]}
    planted = teacher.planted_mistakes(endpoint, some, [*clean[:-1], None], "GT")
    assert planted == [place == 3 for place in range(len(some))]
    assert teacher.planted_mistakes(teacher.described("minimax"), some, clean, "GT") == []


def _counts_negations():
    """The check that notebook 01 defines inline."""
    chapter = next(one for one in notebooks.chapters() if one.name == "01_translation")
    source = next(
        cell.source for cell in notebooks.read(chapter.path).cells if "def counts_negations" in cell.source
    )
    tree, space = ast.parse(source), {"re": re}
    tree.body = [node for node in tree.body if not isinstance(node, ast.Expr)]
    exec(compile(tree, "01", "exec"), space)
    return space["counts_negations"]


COUNTS = _counts_negations()


@pytest.mark.parametrize(
    ("english", "spanish", "kept"),
    [
        ("Do not stop. Never take two.", "No pare. No tome nunca dos.", True),
        ("Do not stop. Never take two.", "No pare. Tome dos.", False),
        ("It doesn't cross it without help.", "No la atraviesa sin ayuda.", True),
        ("Notice the nose at noon.", "Fíjese en la nariz por la noche.", True),
        ("Put nothing in the mouth.", "No introduzca nada en la boca.", True),
        ("Put nothing in the mouth.", "Introduzca nada en la boca.", True),  # the hole that is left
    ],
)
def test_the_notebooks_check_of_negations_counts_by_sentence(english, spanish, kept):
    assert COUNTS(english, spanish) is kept


@given(st.text(max_size=80), st.text(max_size=80))
def test_the_notebooks_check_of_negations_takes_any_text(english, spanish):
    assert COUNTS(english, spanish) in (True, False)
    assert COUNTS("Rest now", spanish)
