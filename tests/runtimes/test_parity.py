"""Parity: what counts as the same, which depth sees which fault, and a tolerance that is exceeded fails the
build.
"""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax
from tools import rewrite_gguf

from helpers.cases import evaluation_prompts
from helpers.export import export, read_header
from helpers.files import DATA, ROOT, LabError
from helpers.runtimes import LlamaCpp, Reply, check, parity
from helpers.runtimes.parity import DEPTHS, KL, Run, compare, divergence, judge

BASE = DATA / "nano-base"


def _reply(level="ROJO", prompt="p", tokens=(1, 2, 3), logprobs=None, tail=""):
    return Reply(prompt, tokens, f"Nivel de Urgencia: {level}{tail}", "stop", logprobs)


def _run(*replies, logits=None, name="other"):
    return Run(name, replies, logits)


# -------------------------------------------------------------------------------------------------- comparing
def test_a_run_agrees_with_itself_at_every_depth_and_has_no_first_difference():
    run = _run(_reply(), _reply("AZUL"), logits=np.random.default_rng(0).normal(size=(2, 9)))
    found = compare(run, run)
    assert all(found.measured[depth].value == 1 and found.measured[depth].n == 2 for depth in DEPTHS)
    assert not found.first and found.measured[KL].value == pytest.approx(0, abs=1e-12)


def test_each_depth_sees_its_own_difference_and_says_where():
    reference = _run(_reply(), _reply())
    other = _run(_reply(), _reply("VERDE", prompt="pq", tokens=(1, 1, 2, 3)))
    found = compare(reference, other)
    assert {depth: found.measured[depth].value for depth in DEPTHS} == dict.fromkeys(DEPTHS, 0.5)
    assert found.first == {
        "prompt": "prompt of prompt 1, character 1: 'p' | 'pq'",
        "tokens": "tokens of prompt 1, token 1: (1, 2, 3) | (1, 1, 2, 3)",
        "label": "label of prompt 1: ROJO | VERDE",
        "text": "text of prompt 1, character 19: 'e Urgencia: ROJO' | 'e Urgencia: VERDE'",
    }


def test_another_text_with_the_same_level_differs_in_the_text_alone():
    found = compare(_run(_reply()), _run(_reply(tail=" — Emergencia")))
    assert set(found.first) == {"text"}


def test_two_unreadable_answers_have_the_same_label():
    unread = Reply("p", (1,), "no sé", "stop")
    assert compare(_run(unread), _run(unread)).measured["label"].value == 1


logits = st.lists(st.floats(-20, 20), min_size=6, max_size=6)


@given(logits, logits)
def test_a_divergence_is_never_negative_and_a_coarser_look_never_sees_more(one, two):
    p, q = log_softmax(np.array(one)), log_softmax(np.array(two))
    whole = divergence(p, q)
    assert whole >= -1e-9
    assert divergence(p[:3], q[:3]) <= whole + 1e-6


def test_the_odds_of_a_few_tokens_are_compared_on_those_tokens():
    scores = np.array([[2.0, 1.0, 0.0, -9.0]])
    exact = {token: float(log_softmax(scores)[0][token]) for token in (0, 1)}
    found = compare(_run(_reply(), logits=scores), _run(_reply(logprobs=exact)))
    assert found.measured[KL].value == pytest.approx(0, abs=1e-9)
    off = compare(_run(_reply(), logits=scores), _run(_reply(logprobs={0: exact[0] - 0.5, 1: exact[1]})))
    assert off.measured[KL].value > 0.01


def test_without_odds_on_one_side_there_is_no_divergence():
    assert compare(_run(_reply()), _run(_reply(), logits=np.zeros((1, 3)))).measured.get(KL) is None
    assert compare(_run(_reply(), logits=np.zeros((1, 3))), _run(_reply())).measured.get(KL) is None


# ---------------------------------------------------------------------------------------------------- judging
def test_drift_fails_the_report_and_is_shown_with_its_first_place():
    report = judge(
        [(compare(_run(_reply(), name="llama_cpp"), _run(_reply("AZUL"), name="browser")), "file")]
    )
    assert report.exit_code == 1
    assert "DRIFT" in str(report) and "First difference, browser: label of prompt 0: ROJO | AZUL" in str(
        report
    )


def test_what_is_not_given_is_not_judged_and_nothing_judged_is_no_pass():
    report = judge([(compare(_run(_reply()), _run(_reply())), "file")])
    assert report.exit_code == 0 and "not given" in str(report)
    assert judge([]).exit_code == 1


def test_every_tolerance_has_a_reason_and_the_three_kinds_are_there():
    for kind in ("export", "quantized", "file"):
        assert all(row["why"] for row in parity.tolerances(kind).values())
    for kind, least in (("export", 1), ("file", 1), ("quantized", 0.99)):
        assert parity.tolerances(kind)["label"]["at_least"] == least
    assert parity.tolerances("export")["kl"]["at_most"] == 0.001


@pytest.mark.parametrize(
    "row",
    [
        "{at_least: 2, why: x}",
        "{at_most: 0.5, why: x}",
        "{at_least: 1.0}",
        "{at_least: 1.0, at_most: 1.0, why: x}",
        "1.0",
    ],
)
def test_a_malformed_tolerance_is_named(tmp_path, row):
    (tmp_path / "parity.yaml").write_text(f"file:\n  label: {row}\n")
    with pytest.raises(LabError, match=r"file\.label"):
        parity.tolerances("file", tmp_path / "parity.yaml")
    with pytest.raises(LabError, match="no comparison"):
        parity.tolerances("export", tmp_path / "parity.yaml")


def test_prompts_are_spread_evenly_and_none_is_no_comparison():
    examples = evaluation_prompts("dev")
    few = check.evenly(examples, 10)
    assert len(few) == 10 and few[0] == examples[0] and few[9] == examples[9 * len(examples) // 10]
    assert check.evenly(examples, 10**6) == list(examples)
    with pytest.raises(LabError, match="at least one"):
        check.evenly(examples, 0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return export(BASE, tmp_path_factory.mktemp("gguf") / "base.gguf").path


def without_system(whole, out):
    """A copy of the file whose template drops the system line."""
    drop = "{%- set messages = messages | rejectattr('role', 'equalto', 'system') | list -%}"
    rewrite_gguf(whole, out, {"tokenizer.chat_template": drop + read_header(whole).chat_template})
    return out


# ------------------------------------------------------------------------------------------- the command line
def test_the_whole_check_passes_on_a_sound_export_and_fails_on_a_faulty_file(whole, tmp_path):
    assert check.check(BASE, whole, runtimes=["llama_cpp", "server"], on="dev", prompts=2).exit_code == 0
    faulty = without_system(whole, tmp_path / "faulty.gguf")
    report = check.check(BASE, faulty, runtimes=["llama_cpp"], on="dev", prompts=2)
    assert report.exit_code == 1 and "First difference, llama_cpp: prompt of prompt 0, character" in str(
        report
    )


def test_a_machine_without_a_browser_goes_on_unless_the_browser_was_asked_for(whole, monkeypatch, capsys):
    monkeypatch.setenv("CHROMIUM", "/no/such/program")
    monkeypatch.setattr(
        check, "Transformers", lambda _: LlamaCpp(whole)
    )  # faster, and not what is tested here
    assert check.check(BASE, whole, on="dev", prompts=2).exit_code == 0
    assert "Left out: the browser" in capsys.readouterr().out
    with pytest.raises(LabError, match="CHROMIUM"):
        check.check(BASE, whole, runtimes=["browser"], on="dev", prompts=2)


def test_the_command_refuses_a_damaged_file_in_one_line(tmp_path):
    (tmp_path / "cut.gguf").write_bytes(b"GGUF\x03\x00")
    command = [
        sys.executable,
        "-m",
        "helpers",
        "parity",
        str(BASE),
        "--file",
        str(tmp_path / "cut.gguf"),
        "--prompts",
        "2",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "not a whole GGUF" in done.stderr and "Traceback" not in done.stderr
