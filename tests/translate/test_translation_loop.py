"""Translation: what a teacher is asked and how its answer is read, where rows come from, and the loop around
them.
"""

import json
import re
import socket
import sys
import time
import types
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import translate
from helpers.files import LabError
from helpers.translate import COUNTRIES, Row, load_rows


def row(english, spanish=None, ident="x"):
    return Row(ident, "interaction", {"sentence": english}, {"sentence": spanish} if spanish else None)


# ------------------------------------------------------------------------------------------ requests, answers
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
    deep = [messages[0], {"role": "user", "content": "[" * 100_000}]
    assert translate.read_request(deep) is None
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


# ---------------------------------------------------------------------------------------------------- sources
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
    assert "from the hub" in loaded.sentence
    assert [item.label for item in loaded.rows] == ["true", "false", None, None]
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
    assert "shipped sample" in loaded.sentence and len(loaded.rows) == 10 and re.search(why, loaded.sentence)


def test_no_network_and_a_silent_hub_are_known_within_seconds(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("helpers.translate.rows.HUB_SECONDS", 0.3)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "URLError" in load_rows("auto", limit=1).sentence
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        assert "shipped sample" in load_rows("auto", limit=1).sentence
        assert time.monotonic() - started < 3


def test_a_switched_off_hub_is_not_asked(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "switched off" in load_rows("auto", limit=1).sentence
    with pytest.raises(LabError, match="no source 'web'"):
        load_rows("web")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", r"`line 1`: field `\(line\)`"),
        ('{"id": "a"}', "`line 1`: field `sentence`: must be"),
        ('{"id": "a", "sentence": "s", "drug1": "x", "drug2": " "}', "`line 1`: field `drug2`"),
    ],
)
def test_a_malformed_sample_is_refused_with_file_line_and_field(tmp_path, line, said):
    path = tmp_path / "interactions.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(LabError, match=said):
        translate.read_sample(path, "interaction")
    with pytest.raises(LabError, match="is missing"):
        translate.read_sample(Path(tmp_path / "none.jsonl"), "interaction")


# --------------------------------------------------------------------------------------------------- the loop
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
            total_cost_usd=cost,
            stopped=self.stopped,
        )


def failures(result):
    return [item for item in result.items if item.problems]


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
    (failed,) = failures(result)
    assert failed.problems[0].check == "numbers" and "4" in failed.problems[0].detail and failed.sent_back
    assert result.total_cost_usd == 1.25
    assert [item.row for item in result.items] == rows
    assert [item.first["sentence"] for item in result.sent_back] == ["Tome acetaminofén.", "Tome 3 días."]


def test_rows_without_an_answer_fail_with_a_reason_and_do_not_spoil_the_rates():
    result = translate.translate(
        [row("Rest."), row("Go to the ER.")],
        Fake({"Go to the ER.": "Vaya a urgencias."}, stopped="budget"),
        "ES",
    )
    (failed,) = failures(result)
    assert failed.problems[0].check == "answer" and failed.spanish is None
    assert len(result.passed) == 1 and result.stopped == "budget"


def test_an_unknown_country_is_refused_before_anything_is_asked():
    client = Fake({})
    with pytest.raises(LabError, match="No emergency number on file for country 'ZZ'"):
        translate.translate([row("Rest.")], client, "ZZ")
    assert client.calls == []
