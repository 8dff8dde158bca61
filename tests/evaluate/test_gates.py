"""Acceptance gates: who is accepted, who is rejected and by which gate, and what a malformed file says."""

import os
import re
import subprocess
import sys

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import __main__ as command_line
from helpers import cases, evaluate, lab
from helpers.evaluate import gates
from helpers.evaluate.gates import FAILS, NOT_SHOWN, PASSES
from helpers.files import DATA, ROOT, LabError
from helpers.triage import LEVELS, PARTS, URGENT, render

TEST = cases.evaluation_prompts("test")
PERFECT = [row.answer for row in TEST]
RULES = yaml.safe_load((DATA / "gates.yaml").read_text())


def _answer(row, level=None, country=None, parts=PARTS):
    return render(level or row.level, country or row.country, row.picture, parts)


def _instead(changes):
    """The perfect sheet with some answers changed: {index: answer}."""
    return [changes.get(index, answer) for index, answer in enumerate(PERFECT)]


def _with(report, verdict):
    return {row.gate.id for row in report.rows if row.verdict == verdict}


def _rate(report, name):
    return next(row.rate for row in report.rows if row.gate.id == name)


# ---------------------------------------------------------------------------------------------------- judging
@pytest.fixture(scope="module")
def perfect():
    return gates.judge(TEST, PERFECT, on="test")


def test_a_perfect_answer_sheet_is_accepted(perfect):
    assert perfect.passed and perfect.n == 480
    assert _with(perfect, PASSES) == set(RULES)


def test_always_rojo_is_rejected_even_when_the_form_is_perfect():
    bare = gates.judge(TEST, evaluate.always("ROJO", TEST))
    assert not bare.passed
    dressed = gates.judge(TEST, [_answer(row, "ROJO") for row in TEST])
    assert _with(dressed, FAILS) == {"label", "strict", "over_triage", "kappa"}


def test_always_azul_is_rejected_for_the_urgency_it_misses():
    report = gates.judge(TEST, [_answer(row, "AZUL") for row in TEST])
    assert {"missed_urgency", "two_levels_under"} <= _with(report, FAILS) and report.verdict(
        "over_triage"
    ) == PASSES


def test_right_levels_without_a_disclaimer_fail_the_disclaimer_and_the_strict_pass_and_nothing_else():
    report = gates.judge(TEST, [_answer(row, parts=set(PARTS) - {"disclaimer"}) for row in TEST])
    assert _with(report, FAILS) == {"disclaimer", "strict"} and not _with(report, NOT_SHOWN)


@pytest.mark.parametrize("part", ["actions", "alarms"])
def test_every_part_of_the_answer_has_a_gate_of_its_own(part):
    report = gates.judge(TEST, [_answer(row, parts=set(PARTS) - {part}) for row in TEST])
    assert _with(report, FAILS) == {part, "strict"} | ({"call"} if part == "actions" else set())


def test_the_guatemalan_number_given_to_mexicans_fails_the_number_and_nothing_else():
    report = gates.judge(TEST, [_answer(row, country="GT" if row.country == "MX" else None) for row in TEST])
    assert _with(report, FAILS) == {"number"} and not _with(report, NOT_SHOWN)


def test_answers_that_name_two_levels_fail_the_format():
    def undecided(row):
        other = next(level for level in LEVELS if level != row.level)
        return _answer(row).replace("Nivel de Urgencia:", f"Nivel de Urgencia: {other} o")

    calm = [index for index, row in enumerate(TEST) if row.level not in URGENT]
    report = gates.judge(TEST, _instead({index: undecided(TEST[index]) for index in calm[:12]}))
    assert _rate(report, "format").value == 468 / 480
    assert _with(report, FAILS) == {"format"}


def test_one_answer_two_levels_too_low_among_480_is_one_too_many():
    index = next(index for index, row in enumerate(TEST) if row.accepted == ("ROJO",))
    report = gates.judge(TEST, _instead({index: _answer(TEST[index], "AMARILLO")}))
    assert _with(report, FAILS) == {"two_levels_under"} and not report.passed
    assert _rate(report, "two_levels_under").value < 0.01  # under its bound, and refused all the same


def test_one_level_too_low_is_not_two():
    index = next(index for index, row in enumerate(TEST) if row.accepted == ("ROJO",))
    assert gates.judge(TEST, _instead({index: _answer(TEST[index], "NARANJA")})).passed


def test_two_levels_are_counted_from_the_least_urgent_accepted_level():
    index = next(index for index, row in enumerate(TEST) if row.accepted == ("ROJO", "NARANJA"))
    report = gates.judge(TEST, _instead({index: _answer(TEST[index], "AMARILLO")}))
    assert report.verdict("two_levels_under") == PASSES and _rate(report, "missed_urgency").value == 1 / 192


def test_perfect_answers_on_twenty_prompts_do_not_show_what_twenty_cannot_show():
    report = gates.judge(TEST[:20], PERFECT[:20])
    assert not report.passed and not _with(report, FAILS)
    assert _with(report, NOT_SHOWN) == {"format", *PARTS, "call", "missed_urgency", "two_levels_under"}


@pytest.mark.parametrize(("n", "verdict"), [(380, NOT_SHOWN), (381, PASSES)])
def test_none_seen_takes_as_many_items_as_the_gate_says(n, verdict):
    assert "381 or more" in RULES["two_levels_under"]["why"]
    assert gates.judge(TEST[:n], PERFECT[:n]).verdict("two_levels_under") == verdict


def test_an_unreadable_answer_to_an_urgent_item_is_a_miss():
    urgent = [index for index, row in enumerate(TEST) if row.level in URGENT]
    report = gates.judge(TEST, _instead(dict.fromkeys(urgent[:12], "no sé")))
    assert _rate(report, "missed_urgency").value == 12 / 192 and report.verdict("missed_urgency") == FAILS
    calm = [index for index, row in enumerate(TEST) if row.level not in URGENT]
    assert _rate(gates.judge(TEST, _instead(dict.fromkeys(calm[:12], "no sé"))), "missed_urgency").value == 0


def test_the_interval_decides_and_not_the_point():
    calm = [index for index, row in enumerate(TEST) if set(row.accepted) <= {"VERDE", "AZUL"}]
    report = gates.judge(TEST, _instead({index: _answer(TEST[index], "AMARILLO") for index in calm[:85]}))
    rate = _rate(report, "label")
    assert rate.low < RULES["label"]["at_least"] <= rate.value
    assert report.verdict("label") == NOT_SHOWN and not report.passed and not _with(report, FAILS)


def test_the_interval_decides_for_an_upper_bound_too():
    urgent = [
        index for index, row in enumerate(TEST) if row.level == "NARANJA" and row.accepted[-1] == "NARANJA"
    ]
    report = gates.judge(TEST, _instead({index: _answer(TEST[index], "AMARILLO") for index in urgent[:8]}))
    rate = _rate(report, "missed_urgency")
    assert rate.value <= 0.05 < rate.high and report.verdict("missed_urgency") == NOT_SHOWN


def test_nothing_is_accepted_on_no_items_or_by_no_gates():
    empty = gates.judge([], [])
    assert not empty.passed and _with(empty, NOT_SHOWN) == set(RULES) and "nothing measured" in str(empty)
    assert not gates.Report(5, "test", ()).passed


_PIECES = st.sampled_from(
    [
        "Nivel de Urgencia: ROJO",
        "azul",
        "<think>",
        "</think>",
        "Qué hacer: ir.",
        "Emergencias: 112",
        "no sustituye",
        "\n",
        ":",
    ]
)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.one_of(st.text(max_size=40), st.lists(_PIECES, max_size=6).map(" ".join)), min_size=5, max_size=5
    )
)
def test_any_text_at_all_is_judged_and_none_is_accepted_on_five_items(answers):
    report = gates.judge(TEST[:5], answers)
    assert {row.verdict for row in report.rows} <= {PASSES, NOT_SHOWN, FAILS}
    assert not report.passed and str(report) and report._repr_markdown_()


# ------------------------------------------------------------------------------------------------- the report
def test_both_tables_hold_every_gate_and_end_with_the_conclusion(perfect):
    conclusion = "Accepted on test (n = 480): of 12 gates 12 passed, 0 not shown, 0 failed."
    text, table = str(perfect).splitlines(), perfect._repr_markdown_().splitlines()
    assert text[-1] == conclusion and table[-1] == f"**{conclusion}**"
    assert (
        [line.split()[0] for line in text[1:-1]] == [line.split()[1] for line in table[2:-2]] == list(RULES)
    )
    assert (
        len({line.index(word) for line, word in zip(text[1:-1], [PASSES] * 12, strict=True)}) == 1
    )  # aligned


def test_a_rejection_counts_what_passed_what_was_not_shown_and_what_failed():
    report = gates.judge(TEST[:20], ["no sé"] * 20)
    counts = [len(_with(report, verdict)) for verdict in (PASSES, NOT_SHOWN, FAILS)]
    assert report.conclusion.startswith("Rejected on own items (n = 20)")
    assert [
        int(number) for number in re.findall(r"(\d+) (?:passed|not shown|failed)", report.conclusion)
    ] == counts


def test_a_gate_that_does_not_exist_has_no_verdict():
    with pytest.raises(LabError, match=r"no gate 'fluency'.*format, label"):
        gates.judge(TEST[:5], PERFECT[:5]).verdict("fluency")


# --------------------------------------------------------------------------------------------------- the file
def test_the_shipped_gates_are_the_agreed_ones_and_each_says_why():
    bounds = {gate.id: (gate.at_least, gate.bound) for gate in gates.load_gates()}
    assert bounds == {
        "format": (True, 0.98),
        "label": (True, 0.80),
        **dict.fromkeys(PARTS, (True, 0.95)),
        "call": (True, 0.95),
        "strict": (True, 0.60),
        "missed_urgency": (False, 0.05),
        "two_levels_under": (False, 0.01),
        "over_triage": (False, 0.35),
        "kappa": (True, 0.61),
    }
    assert [gate.id for gate in gates.load_gates() if gate.none_seen] == ["two_levels_under"]
    assert {gate.measure for gate in gates.load_gates()} == set(gates.KNOWN)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"measure": "fluency"}, r"unknown measure 'fluency'; the measures are one_level"),
        ({"at_lest": 0.9}, r"field `at_lest`"),
        ({"at_least": 80}, r"field `bound`.*less than or equal to 1"),
        ({"at_least": -0.1}, r"field `bound`.*greater than or equal to 0"),
        ({"at_least": True}, r"field `bound`.*valid number"),
        ({"at_least": "0,8"}, r"field `bound`.*valid number"),
        ({"at_least": float("nan")}, r"field `bound`"),
        ({"at_least": None}, r"field `bound`.*valid number"),
        ({"at_most": 0.9}, r"`at_least` or `at_most`, one of the two"),
        ({"none_seen": True}, r"`none_seen`.*`at_most` only"),
        ({"why": " "}, r"field `why`"),
        ({"says": 3}, r"field `says`"),
    ],
)
def test_a_malformed_gate_is_named_with_its_file_and_its_fault(tmp_path, change, message):
    path = tmp_path / "gates.yaml"
    path.write_text(yaml.safe_dump({"format": RULES["format"], "label": {**RULES["label"], **change}}))
    with pytest.raises(LabError, match=rf"gates\.yaml: entry `label`: .*{message}"):
        gates.load_gates(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label: {says: x, measure: strict, why: x}", r"entry `label`: .*needs `at_least` or `at_most`"),
        ("label: 0.8", r"entry `label`: "),
        ("", r"is empty"),
        ("- label", r"no gates in it"),
        ("label: {says: a: b}", r"gates\.yaml:1: "),
    ],
)
def test_a_file_that_holds_no_gates_is_refused(tmp_path, text, message):
    (tmp_path / "gates.yaml").write_text(text)
    with pytest.raises(LabError, match=message):
        gates.load_gates(tmp_path / "gates.yaml")


# ---------------------------------------------------------------------------------------- models and commands
@pytest.fixture
def answering(monkeypatch):
    """Replace the model: every item is answered by the function given. Returns what was asked of which model."""
    asked = []

    def use(of):
        def generate(source, examples, **_):
            asked.append((str(source), len(examples)))
            return [evaluate.Answer(of(row), "stop") for row in examples]

        monkeypatch.setattr(gates, "generate", generate)
        return asked

    return use


def _command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["helpers", *arguments])
    return command_line.main()


def test_check_asks_the_named_items_and_judges_what_the_model_says(answering):
    asked = answering(_answer)
    assert gates.check("m").on == "test" and gates.check("m", on="dev").passed
    assert not gates.check("m", on="vignettes").passed  # 200 items cannot rule out one in a hundred
    assert asked == [("m", 480), ("m", 480), ("m", 200)]


def test_the_command_prints_the_table_and_exits_with_zero_for_an_accepted_model(
    answering, monkeypatch, capsys, perfect
):
    asked = answering(_answer)
    assert _command(monkeypatch, "gate", "base") == 0
    assert asked == [(lab.base_model(), 480)]
    assert capsys.readouterr().out == f"{perfect}\n"


def test_the_command_exits_with_one_for_a_rejected_model_and_takes_a_folder(
    answering, monkeypatch, capsys, tmp_path
):
    asked = answering(lambda row: _answer(row, "ROJO"))
    assert _command(monkeypatch, "gate", str(tmp_path), "--on", "dev") == 1
    assert asked == [(str(tmp_path), 480)]
    assert "Rejected on dev (n = 480)" in capsys.readouterr().out


def test_the_command_judges_the_stage_of_the_seed_it_is_given(answering, monkeypatch):
    asked = answering(_answer)
    monkeypatch.setattr(lab, "stage", lambda name, seed: f"{name}-s{seed}")
    assert _command(monkeypatch, "gate", "sft-balanced", "--seed", "2") == 0
    assert asked == [("sft-balanced-s2", 480)]


def test_a_folder_without_a_model_is_one_message(monkeypatch, capsys, tmp_path):
    assert _command(monkeypatch, "gate", str(tmp_path)) == 1
    assert re.search(r"✗ The model in .* cannot be read", capsys.readouterr().err)


@pytest.mark.slow
def test_an_unknown_stage_is_one_message_without_a_stack_trace_and_builds_nothing(tmp_path):
    command = [sys.executable, "-m", "helpers", "gate", "sft-balancd"]
    environment = {**os.environ, "TRIAGE_BUILD": str(tmp_path / "build")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout == "" and not (tmp_path / "build").exists()
    assert (
        "There is no stage or folder 'sft-balancd'" in done.stderr
        and "sft-balanced" in done.stderr
        and "Traceback" not in done.stderr
    )
