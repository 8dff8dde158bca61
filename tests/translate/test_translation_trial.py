"""The checks on trial: the mistakes that notebook 01 plants, what the checks notice of them, and its check of
negations.
"""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import notebooks, teacher, translate
from helpers.files import ROOT
from helpers.teacher.offline import answers
from helpers.translate import check_row


def _notebook(*wanted):
    """The functions and constants that notebook 01 defines with these names, its own imports included."""
    space = {}
    for cell in notebooks.read(ROOT / "notebooks" / "01_translation.ipynb").cells:
        if cell.cell_type == "code" and notebooks.BOOT_TAG not in cell.metadata.get("tags", []):
            for node in ast.parse(cell.source).body:
                names = {getattr(node, "name", "")} | {
                    target.id for target in getattr(node, "targets", []) if isinstance(target, ast.Name)
                }
                if isinstance(node, ast.Import | ast.ImportFrom) or names & set(wanted):
                    exec(compile(ast.Module([node], []), "01", "exec"), space)
    return [space[name] for name in wanted]


# ---------------------------------------------------------------------------------------- the checks on trial
ENGLISH = "Do not take more than 400 mg of acetaminophen before 10 mg of warfarin."
SPANISH = "No tome más de 400 mg de paracetamol antes de 10 mg de warfarina."
FUNCTIONS = (
    "forbidden_word",
    "lost_number",
    "left_in_english",
    "exchanged_numbers",
    "opposite_word",
    "lost_no",
)
FUNCTIONS += ("lost_sentence", "correct_synonym")
*_, LOOKED_FOR, MISTAKES, COUNTS = _notebook(
    *("NUMBER", "OPPOSITES", "SYNONYMS", "ENGLISH", "SPANISH", "exchange", *FUNCTIONS, "NOT_LOOKED_FOR"),
    *("LOOKED_FOR", "mistakes", "counts_negations"),
)
BY_NAME = {mistake.__name__: mistake for mistake in MISTAKES.values()}
TRUE = translate.drop_false_claims(translate.load_rows("sample").rows)[0]


@pytest.mark.parametrize(
    ("mistake", "expected"),
    [
        ("forbidden_word", "No tome más de 400 mg de acetaminofén antes de 10 mg de warfarina."),
        ("lost_number", "No tome más de mg de paracetamol antes de 10 mg de warfarina."),
        ("left_in_english", ENGLISH),
        ("exchanged_numbers", "No tome más de 10 mg de paracetamol antes de 400 mg de warfarina."),
        ("opposite_word", "No tome menos de 400 mg de paracetamol antes de 10 mg de warfarina."),
        ("lost_no", "Tome más de 400 mg de paracetamol antes de 10 mg de warfarina."),
        ("lost_sentence", SPANISH),
        ("correct_synonym", SPANISH),
    ],
)
def test_a_mistake_is_planted_once_and_nothing_else_changes(mistake, expected):
    assert BY_NAME[mistake](ENGLISH, SPANISH) == expected


def test_the_last_sentence_goes_only_where_there_are_several():
    assert BY_NAME["lost_sentence"]("", "Uno es así. Dos es así. Tres es así.") == "Uno es así. Dos es así."


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
        *((name, 0.95, 1) for name in LOOKED_FOR),
        ("two numbers exchanged", 0.4, 0.7),
        ("a word turned into its opposite", 0, 0.05),
        ("a “no” lost", 0, 0.05),
        ("no mistake: a correct synonym", 0, 0),
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
