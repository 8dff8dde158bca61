"""The audit on data whose answer is known, and the cells of notebook 03 that call it."""

import ast
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import audit, cases, notebooks
from helpers.triage import LEVELS

NOTEBOOK = "03_diversity_collapse"
ROWS = st.lists(
    st.tuples(st.text(alphabet="ab ñ,", max_size=9), st.sampled_from(LEVELS)), min_size=1, max_size=12
)


def _cells():
    (chapter,) = [chapter for chapter in notebooks.PLAN if chapter.name == NOTEBOOK]
    return [cell.source for cell in notebooks.read(chapter.path).cells if cell.cell_type == "code"]


def _defined(name, **space):
    """A function of the notebook that no helper holds."""
    for source in _cells():
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                exec(compile(ast.Module([node], []), NOTEBOOK, "exec"), space)
    return space[name]


audit_rows = _defined("audit_rows", near_pairs=audit.near_pairs)


# ------------------------------------------------------------------------------------------ copies and labels
def test_duplicate_rate_counts_repeats():
    assert audit.duplicate_rate(["a", "a", "b", "a"]) == 0.5
    assert audit.duplicate_rate([]) == 0


def test_entropy_of_a_fair_die_and_of_a_constant():
    assert audit.entropy(LEVELS) == pytest.approx(math.log(5))
    assert audit.entropy(["ROJO"] * 9) == 0
    assert audit.entropy([]) == 0


def test_a_text_with_two_labels_is_in_conflict_and_a_repeated_label_is_not():
    assert audit.conflicting(["a", "b", "a", "b"], ["ROJO", "ROJO", "AZUL", "ROJO"]) == ["a"]
    assert audit.conflicting([], []) == []


@given(ROWS)
def test_conflict_does_not_depend_on_the_order_of_the_rows(rows):
    texts, labels = zip(*rows, strict=True)
    assert set(audit.conflicting(texts, labels)) == set(audit.conflicting(texts[::-1], labels[::-1]))


# ------------------------------------------------------------------------------------------------ near copies
def test_near_pairs_finds_a_changed_age_and_leaves_strangers_alone():
    texts = [
        "Paciente de 34 años: dolor leve en la rodilla tras correr.",
        "Paciente de 35 años: dolor leve en la rodilla tras correr.",
        "El gato duerme.",
    ]
    assert audit.near_pairs(texts) == [(0, 1)]
    assert audit.near_pairs(texts[:1], texts[1:]) == [(0, 0)]


@given(st.lists(st.text(alphabet="abc ", min_size=1, max_size=12), min_size=1, max_size=12))
def test_near_pairs_never_reports_a_pair_below_the_threshold(texts):
    assert all(audit.jaccard(texts[i], texts[j]) >= 0.8 for i, j in audit.near_pairs(texts))


@given(st.text(max_size=40), st.text(max_size=40))
def test_similarity_is_symmetric_between_0_and_1_and_a_text_is_its_own_twin(one, other):
    assert audit.jaccard(one, one) == 1
    assert 0 <= audit.jaccard(one, other) == audit.jaccard(other, one) <= 1


@given(st.text(max_size=40))
def test_case_and_punctuation_make_no_difference_to_a_sketch(text):
    assert audit.sketch(text).jaccard(audit.sketch(f"  ¡{text}!")) == 1


def test_a_sketch_estimates_the_exact_similarity():
    rows = [row.text for row in cases.write_diverse(60, 0)]
    gaps = [
        abs(audit.sketch(a).jaccard(audit.sketch(b)) - audit.jaccard(a, b))
        for a, b in zip(rows, rows[1:] + rows[:1], strict=True)
    ]
    assert sum(gaps) / len(gaps) < 0.05


def test_nearly_every_pair_that_is_similar_enough_is_found():
    texts = list(dict.fromkeys(row.text for row in cases.write_from_templates(300, 0)))
    every = [(i, j) for j in range(len(texts)) for i in range(j)]
    similar = {(i, j) for i, j in every if audit.jaccard(texts[i], texts[j]) >= 0.8}
    assert len(similar & set(audit.near_pairs(texts))) >= 0.95 * len(similar) > 0


def test_a_chain_of_near_copies_is_one_family_named_after_its_first_text():
    texts = ["otra cosa", "abcdefghijkl", "abcdefghijklmno", "abcdefghijklmnopqrs"]
    assert audit.jaccard(texts[1], texts[3]) < 0.6 < audit.jaccard(texts[1], texts[2])
    assert audit.families(texts) == [0, 1, 1, 1]
    assert audit.families([]) == []


def test_a_family_of_template_prompts_is_a_term_in_its_templates():
    rows = list({row.text: row for row in cases.write_from_templates(2000, 0)}.values())
    groups = audit.families([row.text for row in rows])
    terms = {}
    for row, group in zip(rows, groups, strict=True):
        terms.setdefault(group, set()).add(row.finding)
    assert len(terms) == pytest.approx(len({row.finding for row in rows}), rel=0.1)
    assert sum(len(several) == 1 for several in terms.values()) > 0.9 * len(terms)


# --------------------------------------------------------------------------------------- labels from the text
def _judged(texts, labels, groups=None):
    groups = audit.families(texts) if groups is None else groups
    return audit.predictability(labels, audit.guess_new_texts(texts, labels, groups), groups)


@pytest.fixture(scope="module")
def templates():
    rows = list({row.text: row for row in cases.write_from_templates(10_000, 0)}.values())
    return rows, audit.families([row.text for row in rows])


def test_labels_drawn_without_looking_cannot_be_predicted_and_the_rubrics_labels_can(templates):
    rows, groups = templates
    texts = [row.text for row in rows]
    assert _judged(texts, [row.level for row in rows], groups).high < 0.3
    assert _judged(texts, [cases.findings()[row.finding].level for row in rows], groups).low > 0.5


def test_unique_prompts_with_honest_labels_pass_and_with_labels_dealt_anew_they_fail():
    """The check of the first edition condemned every set of unique prompts, or passed it, whatever the
    labels.
    """
    rows = cases.write_diverse(800, 0)
    texts, labels = [row.text for row in rows], [row.level for row in rows]
    groups = audit.families(texts)
    assert audit.duplicate_rate(texts) == 0 and audit.conflicting(texts, labels) == []
    assert _judged(texts, labels, groups).low > 0.4
    assert _judged(texts, random.Random(0).sample(labels, len(labels)), groups).high < 0.3


def test_one_lot_for_every_term_fools_a_random_split_and_not_the_families(templates):
    rows, groups = templates
    dice = random.Random(1)
    lots = {term: dice.choice(LEVELS) for term in sorted({row.finding for row in rows})}
    texts, labels = [row.text for row in rows], [lots[row.finding] for row in rows]
    assert audit.conflicting(texts, labels) == []
    assert _judged(texts, labels, range(len(texts))).low > 0.7
    assert _judged(texts, labels, groups).high < 0.3


def test_no_family_stands_on_both_sides_of_a_split(monkeypatch):
    texts, labels = [f"texto {number}" for number in range(40)], ["ROJO", "AZUL"] * 20
    groups = [number // 4 for number in range(40)]
    splits = []

    def spy(classifier, texts, labels, groups, cv):
        splits.extend(cv.split(texts, labels, groups))
        return labels

    monkeypatch.setattr("helpers.audit.diversity.cross_val_predict", spy)
    audit.guess_new_texts(texts, labels, groups)
    assert len(splits) == 5
    for train, test in splits:
        assert not {groups[row] for row in train} & {groups[row] for row in test}


def test_predictability_averages_the_levels_and_counts_families():
    always = audit.predictability(["ROJO"] * 3 + ["AZUL"], ["ROJO"] * 4, [0, 1, 2, 3])
    assert always.value == 0.5 and always.n == 4
    assert str(always).endswith("families = 4")
    perfect = audit.predictability(LEVELS * 4, LEVELS * 4, list(range(20)))
    assert (perfect.low, perfect.value, perfect.high) == (1, 1, 1)


def test_rows_that_are_right_together_make_a_wider_interval_than_as_many_rows_alone():
    labels = ["ROJO", "AZUL"] * 50
    guesses = [label if place // 10 % 2 else "VERDE" for place, label in enumerate(labels)]
    together = audit.predictability(labels, guesses, [place // 10 for place in range(100)])
    alone = audit.predictability(labels, guesses, range(100))
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


# ------------------------------------------------------------------------------------------ reasons for a row
def test_a_row_gets_the_reason_and_the_row_that_it_is_about():
    mild, severe = "Paciente con dolor leve en la rodilla.", "Paciente con dolor leve en la rodilla, 2."
    rows = audit_rows([mild, "tos", mild, "tos", severe], ["VERDE", "AZUL", "ROJO", "AZUL", "VERDE"])
    assert rows == [
        {"row": 2, "reason": "contradicts", "other row": 0},
        {"row": 3, "reason": "repeats", "other row": 1},
        {"row": 4, "reason": "nearly repeats", "other row": 0},
    ]
    assert audit_rows([], []) == audit_rows(["tos"], ["VERDE"]) == []


@given(ROWS)
def test_reasons_point_back_and_say_what_the_two_rows_are(rows):
    texts, labels = zip(*rows, strict=True)
    reasons = audit_rows(texts, labels)
    assert len({one["row"] for one in reasons}) == len(reasons)
    for one in reasons:
        row, other = one["row"], one["other row"]
        assert other < row
        assert one["reason"].startswith("nearly") == (texts[row] != texts[other])
        assert one["reason"].endswith("contradicts") == (labels[row] != labels[other])


@given(ROWS)
def test_the_rows_without_a_reason_hold_every_text_or_a_near_copy_of_it_and_no_copies(rows):
    texts, labels = zip(*rows, strict=True)
    bad = {one["row"] for one in audit_rows(texts, labels)}
    good = [text for row, text in enumerate(texts) if row not in bad]
    assert len(set(good)) == len(good)
    assert audit_rows(good, ["ROJO"] * len(good)) == []


# ----------------------------------------------------------------------------------------------- the notebook
def test_the_cells_of_the_notebook_call_the_libraries_themselves():
    calls = {
        getattr(node.func, "attr", getattr(node.func, "id", ""))
        for source in _cells()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
    }
    libraries = {"MinHash", "MinHashLSH", "TfidfVectorizer", "LogisticRegression"}
    assert libraries | {"StratifiedGroupKFold", "cross_val_predict"} <= calls


# ---------------------------------------------------------------------------------------------------- phrases
def test_a_phrase_is_found_whole_and_whatever_its_case_or_punctuation():
    index = audit.PhraseIndex(["dolor en el pecho", "tos"])
    assert index.search("Mujer: DOLOR, en el pecho.") == "dolor en el pecho"
    assert index.search("costoso dolor en el pechito") is None


def test_texts_that_say_two_things_in_one_breath_are_found():
    texts = ["la fiebre es ROJO", "la fiebre sube", "el coche es ROJO"]
    assert audit.together(texts, ["ROJO"], ["fiebre"]) == ["la fiebre es ROJO"]
