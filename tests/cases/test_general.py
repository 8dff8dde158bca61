"""The everyday texts that show forgetting: their form, no medicine in them, and nothing that the base has
read.
"""

import re
import unicodedata
from collections import Counter

import pytest

from helpers import audit, cases
from helpers.cases import general
from helpers.files import LabError
from helpers.pretrain.corpus import Writer, write_corpus
from helpers.translate.glossary import find_spanish, glossary

TEXTS = cases.general_texts()
NAMES = {
    "Elena",
    "Inés",
    "Navidad",
    "Oaxaca",
    "Pilar",
    "Ramiro",
    "Trueno",
}  # invented people, a holiday, a city, a rabbit
# What patients and charts say and the glossary does not list; whole words, accents and plurals do not matter.
PATIENT_WORDS = (
    "ahogo", "alergia", "ambulancia", "análisis", "antibiótico", "ardor", "asma", "calentura", "cáncer", "cansancio", "catarro", "cefalea",
    "cicatriz", "cirugía", "clínica", "contagio", "convulsión", "crónico", "cuadro clínico", "curar", "desmayo", "diabetes", "diagnóstico",
    "diarrea", "doctor", "doctora", "doler", "dolor", "dosis", "duele", "embarazo", "emergencia", "enfermar", "enfermedad", "enfermera",
    "enfermero", "enfermo", "enferma", "escalofrío", "fallecer", "fatiga", "fiebre", "fractura", "fracturar", "grave", "herida", "herido",
    "hinchazón", "hinchado", "hospital", "infección", "inflamación", "inyección", "jarabe", "jaqueca", "lesión", "mareo", "mareado",
    "médica", "médico", "medicina", "migraña", "molestia", "moretón", "muerte", "náusea", "operación", "paciente", "padecer", "pastilla",
    "picazón", "píldora", "pomada", "quemadura", "radiografía", "salud", "sangrar", "sangre", "síntoma", "sudor", "terapia", "termómetro",
    "tobillo torcido", "tos", "toser", "tratamiento", "tumor", "urgencia", "urgente", "vacunar", "virus", "vomitar", "vómito",
)  # fmt: skip


def spanish_of(term):
    return (*term.es, *term.regional.values())


def test_there_are_160_distinct_texts_of_12_to_35_words():
    assert len(TEXTS) == len({text.lower() for text in TEXTS}) == 160
    assert [text for text in TEXTS if not 12 <= len(audit.words(text)) <= 35] == []


def test_every_text_is_normalised_and_ends_as_a_sentence_does():
    for text in TEXTS:
        assert unicodedata.normalize("NFC", text) == text == " ".join(text.split()), text
        assert text[-1] in ".?!" and text.lstrip("¿¡«—")[0].isupper(), text


def test_marks_that_open_are_closed():
    for text in TEXTS:
        assert all(
            text.count(opening) == text.count(closing) for opening, closing in ("¿?", "¡!", "«»", "()")
        ), text


def test_no_capital_stands_inside_a_sentence_but_the_few_invented_names():
    inside = re.compile(r"(?<=[\w,;:] )[A-ZÁÉÍÓÚÑ]\w*")
    assert {word for text in TEXTS for word in inside.findall(text)} <= NAMES


def test_no_text_holds_a_glossary_term_or_a_patients_word():
    spellings = {spelling for term in glossary().terms for spelling in spanish_of(term)}
    assert [text for text in TEXTS if find_spanish((*sorted(spellings), *PATIENT_WORDS), text)] == []


def test_no_text_holds_a_finding_or_an_alarm_sign_of_the_micro_world():
    said = {
        text
        for finding in cases.findings().values()
        for split in cases.SPLITS
        for text in finding.texts(split)
    }
    signs = {sign for syndrome in cases.syndromes().values() for sign in syndrome.alarm_signs}
    medical = audit.PhraseIndex(said | signs)
    assert [text for text in TEXTS if medical.search(text)] == []


@pytest.mark.parametrize(
    "text", ["Me tomé dos pastillas y se me pasó.", "Fue a la farmacia.", "Le recomendaron vacunas."]
)
def test_the_search_for_medicine_finds_it(text):
    assert find_spanish(
        (*PATIENT_WORDS, *(spelling for term in glossary().terms for spelling in spanish_of(term))), text
    )


def test_no_text_is_a_near_duplicate_or_built_on_the_pattern_of_another():
    assert audit.near_pairs(TEXTS, threshold=0.5) == []
    tokens = [audit.words(text) for text in TEXTS]
    runs = Counter(run for row in tokens for run in {tuple(row[i : i + 4]) for i in range(len(row) - 3)})
    assert [run for run, count in runs.items() if count > 1] == []
    assert max(Counter(tuple(row[:2]) for row in tokens).values()) <= 3


def test_no_sentence_of_a_text_is_in_the_pretraining_corpus():
    documents = write_corpus(20_000, seed=0)
    corpus = "\n".join(document.text for document in documents).lower()
    sentences = [sentence for text in TEXTS for sentence in re.split(r"(?<=[.?!]) ", text)]
    assert [sentence for sentence in (*TEXTS, *sentences) if sentence.lower() in corpus] == []
    writer = Writer(seed=0)
    drawn = (document for _ in range(1000) for document in (writer._general(), writer._color()))
    everyday = sorted({document.text for document in drawn})
    assert len(everyday) > 500 and audit.near_pairs(TEXTS, everyday, threshold=0.5) == []


def test_the_texts_share_everyday_words_with_the_pretraining_corpus():
    writer = Writer(seed=0)
    texts = [writer._general().text for _ in range(1000)]
    everyday = {word for text in texts for word in audit.words(text) if len(word) > 3}
    used = {word for text in TEXTS for word in audit.words(text)}
    assert len(everyday & used) >= len(everyday) / 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is missing"),
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"Uno.\n\nDos.\n", ":2: a blank line"),
        (b"ma\xf1ana", "UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(content, said, tmp_path):
    path = tmp_path / "general.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LabError, match=said) as caught:
        general.load_general(path)
    assert str(path) in str(caught.value)


def test_the_shipped_texts_are_read_once():
    assert cases.general_texts() is cases.general_texts()
