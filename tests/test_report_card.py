"""Notebook 14: the ledger counts, the sentences turn with the results, and the card holds no typed figure."""

import ast
import dataclasses
import math
import re

import nbformat
import pytest

from helpers import cases, evaluate, exercises, lab, notebooks, show
from helpers.evaluate import wilson
from helpers.evaluate.gates import FAILS, NOT_SHOWN, PASSES, judge
from helpers.files import ROOT, LabError, read_json
from helpers.lab import card
from helpers.lab.claims import (
    DIRECTION,
    DISAGREES,
    NOT_REPRODUCED,
    NOT_RUN,
    NOT_TESTABLE,
    REPRODUCED,
    VERDICTS,
    arithmetic,
)
from helpers.lab.readings import report as said
from helpers.triage import PARTS, render

TESTS = cases.evaluation_prompts("test")
PERFECT = judge(TESTS, [row.answer for row in TESTS], on="test")
PARROT = judge(TESTS, evaluate.always("ROJO", TESTS), on="test")
MUTE = judge(TESTS, [""] * len(TESTS), on="test")
NO_NOTICE = judge(
    TESTS,
    [render(row.level, row.country, row.picture, set(PARTS) - {"disclaimer"}) for row in TESTS],
    on="test",
)
FEW = judge(TESTS[:20], [row.answer for row in TESTS[:20]], on="test")
EXACT = {
    claim.test["key"]: {"value": claim.number, "notebook": "03_x"}
    for claim in lab.claims().values()
    if claim.test
}


def _row(value, low=None, high=None, n=480):
    return {"value": value, "low": low, "high": high, "n": n, "notebook": "05_x"}


# ------------------------------------------------------------------------------------------------------------- the ledger
def test_every_claim_is_in_the_ledger_once_and_the_counts_add_up():
    lines = lab.ledger({}, ())
    assert [line.claim.id for line in lines] == list(lab.claims())
    assert sum(lab.tally(lines).values()) == len(lines) and set(lab.tally(lines)) == set(VERDICTS)


def test_every_claim_says_where_the_blog_makes_it():
    assert [claim.id for claim in lab.claims().values() if not claim.where] == []


def test_a_number_that_was_built_in_has_a_measurement_and_a_reason():
    built = [claim for claim in lab.claims().values() if claim.built_in is not None]
    assert built and all(claim.test and len(claim.built_in) > 10 for claim in built)


def test_measuring_exactly_the_blogs_numbers_reproduces_every_testable_one():
    lines = lab.ledger(EXACT, EXACT)
    assert all(line.verdict in (REPRODUCED, DISAGREES) for line in lines if line.claim.test)
    assert "100% reproduced" in said.ledger_text(lines, 0.5) and "more than" in said.ledger_text(lines, 0.5)


def test_the_ledger_knows_whose_measurement_it_is():
    some = dict(list(EXACT.items())[:3])
    held = lambda own: [line.own for line in lab.ledger(some, own) if line.found]  # noqa: E731
    assert held(()) == [False] * 3 and held(some) == [True] * 3
    assert "None of the 3" in said.sources_text(lab.ledger(some, ())) and "shipped" in said.sources_text(
        lab.ledger(some, ())
    )
    assert "All 3" in said.sources_text(lab.ledger(some, some))
    assert "1 of the 3" in said.sources_text(lab.ledger(some, list(some)[:1]))
    assert "no measurements" in said.sources_text(lab.ledger({}, ()))


def test_own_keys_are_those_of_this_machines_results_file(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIAGE_BUILD", str(tmp_path))
    assert lab.results.own_keys() == frozenset()
    lab.record("x.y", 1.0)
    assert lab.results.own_keys() == {"x.y"}


def test_a_measurement_is_shown_with_interval_and_n_in_the_claims_unit():
    key = lab.claims()["sft_accuracy"].test["key"]
    (line,) = [
        line for line in lab.ledger({key: _row(0.2, 0.167, 0.238)}, ()) if line.claim.id == "sft_accuracy"
    ]
    assert line.measured == "20.0% [16.7%–23.8%], n = 480" and line.claim.stated == "20%"


def test_the_reading_of_the_ledger_tells_built_in_numbers_from_found_ones_and_waits_for_what_was_not_run():
    text = said.ledger_text(
        lab.ledger({"diversity.share.ROJO": _row(0.6), "imbalanced.share.ROJO": _row(0.1)}, ()), 0.5
    )
    assert (
        "close to" in text
        and "1 of the 2 numbers" in text
        and "**0 were reproduced**" in text
        and "wait for a notebook" in text
    )
    assert "fewer than" in said.ledger_text(lab.ledger({"imbalanced.share.ROJO": _row(0.1)}, ()), 0.9)
    assert "Do not take" not in said.ledger_text(lab.ledger({"imbalanced.share.ROJO": _row(0.1)}, ()), 0.9)
    assert "Nothing has been measured" in said.ledger_text(lab.ledger({}, ()), 0.5)


def test_the_tables_hold_every_claim_once():
    lines = lab.ledger({}, ())
    text = (
        show.ledger_table(lines, [name for name in VERDICTS if name != NOT_TESTABLE]).data
        + show.why_not_tested(lines).data
    )
    for line in lines:
        assert line.claim.says.replace("|", "\\|") in text
    assert "arithmetic" in show.ledger_table(lines, [REPRODUCED]).data
    assert (
        "05, shipped"
        in show.ledger_table(lab.ledger({"imbalanced.share.ROJO": _row(1.0)}, ()), [REPRODUCED]).data
    )


# --------------------------------------------------------------------------------------------------------- the arithmetic
def _inline(name):
    chapter = next(chapter for chapter in notebooks.PLAN if chapter.name.startswith("14"))
    for cell in notebooks.read(chapter.path).cells:
        if cell.cell_type == "code":
            for node in ast.parse(cell.source).body:
                if isinstance(node, ast.FunctionDef) and node.name == name:
                    space = {}
                    exec(compile(ast.Module([node], []), name, "exec"), space)
                    return space[name]
    raise AssertionError(name)


def test_the_check_written_in_the_notebook_agrees_with_the_helper():
    checked, blog = _inline("checked"), {name: claim.number for name, claim in lab.claims().items()}
    following = [claim for claim in lab.claims().values() if claim.follows]
    assert len(following) > 5
    for claim in following:
        computed, agrees = checked(claim, blog)
        assert computed == pytest.approx(arithmetic(claim.follows, blog))
        assert agrees == (lab.verdict(claim, {}).verdict != DISAGREES), claim.id


def test_the_reading_of_the_arithmetic_names_what_disagrees():
    lines = lab.ledger({}, ())
    assert "1 does not" in said.arithmetic_text(lines) and "25" in said.arithmetic_text(lines)
    assert "every one agrees" in said.arithmetic_text([line for line in lines if line.verdict != DISAGREES])
    wrong = [line for line in lines if line.verdict == DISAGREES]
    assert "2 do not" in said.arithmetic_text(wrong * 2)


# -------------------------------------------------------------------------------------------------------------- the gates
def test_the_best_model_passes_most_gates_and_a_tie_goes_to_the_better_label():
    assert card.best_of({"parrot": PARROT, "perfect": PERFECT, "mute": MUTE}) == "perfect"
    label = next(place for place, row in enumerate(PARROT.rows) if row.gate.measure == "accepted_level")
    rows = list(PARROT.rows)
    rows[label] = rows[label]._replace(rate=wilson(200, 480))
    better = dataclasses.replace(PARROT, rows=tuple(rows))
    assert card.best_of({"parrot": PARROT, "better": better}) == "better"
    assert "perfect 12" in said.choice_text("perfect", {"perfect": PERFECT})


def test_a_recorded_report_judges_what_is_recorded_and_shows_nothing_else():
    measured = {"x.label": _row(0.9, 0.88, 0.92), "x.disclaimer": _row(0.5, 0.4, 0.6)}
    found = card.recorded_report("x", measured)
    assert (found.verdict("label"), found.verdict("disclaimer"), found.verdict("kappa")) == (
        PASSES,
        FAILS,
        NOT_SHOWN,
    )
    assert card.recorded_report("y", measured) is None


def test_the_sentence_says_none_only_when_none_passes_and_why():
    none = said.ship_text({"parrot": PARROT, "silent": NO_NOTICE}, "silent")
    assert "None." in none and "disclaimer fails" in none and "would not help" in none
    assert "would be accepted" in said.ship_text({"parrot": PARROT, "perfect": PERFECT}, "perfect")
    assert "more test items might show it" in said.ship_text({"few": FEW}, "few")


def test_the_parrots_gates_are_named_and_so_is_who_passes_no_more():
    assert "**mute passes no more" in said.parrot_text({"mute": MUTE, "parrot": PARROT}, "parrot")
    assert "a and mute pass no more" in said.parrot_text(
        {"a": MUTE, "mute": MUTE, "parrot": PARROT}, "parrot"
    )
    assert "Every model passes more" in said.parrot_text({"perfect": PERFECT, "parrot": PARROT}, "parrot")


# ----------------------------------------------------------------------------------------------------------- the findings
YES = {
    "imbalanced.share.ROJO": _row(1.0, 0.99, 1.0),
    "imbalanced.boilerplate_loss": _row(0.01, 0.009, 0.011),
    "imbalanced.label_loss": _row(1.2, 1.1, 1.3),
    "imbalanced.prior_entropy": _row(1.2),
    "balanced.accuracy.test": _row(0.8, 0.76, 0.84),
    "baseline.always_rojo.accuracy": _row(0.25, 0.21, 0.29),
    "sft_weak.actions": _row(0.3, 0.25, 0.35),
    "dpo_weak.actions": _row(0.9, 0.85, 0.95),
    "sft_weak.disclaimer": _row(0.3, 0.25, 0.35),
    "dpo_weak.disclaimer": _row(0.0, 0.0, 0.01),
    "grpo_start.rojo_share": _row(0.2, 0.15, 0.25),
    "grpo_naive.rojo_share": _row(1.0, 0.99, 1.0),
    "distill.naive.requests_per_minute": _row(40, 30, 50),
    "distill.resilient.requests_per_minute": _row(400, 390, 410),
    "factorial.simple.skew.accuracy": _row(-0.5, -0.6, -0.4),
    "factorial.simple.conflict.accuracy": _row(-0.1, -0.2, 0.0),
    "factorial.simple.skew.rojo_share": _row(0.7, 0.6, 0.8),
    "factorial.simple.conflict.rojo_share": _row(0.1, 0.0, 0.2),
    "factorial.effect.start.accuracy": _row(-0.2, -0.3, -0.1),
}
UNDECIDED = {key: _row(0.9 if key == "imbalanced.share.ROJO" else 0.0, -1.0, 1.0) for key in YES}
UNDECIDED["imbalanced.boilerplate_loss"] = _row(0.2, 0.1, 0.3)
SWAP = {
    "balanced.accuracy.test": "baseline.always_rojo.accuracy",
    "sft_weak.actions": "dpo_weak.actions",
    "sft_weak.disclaimer": "dpo_weak.disclaimer",
    "grpo_start.rojo_share": "grpo_naive.rojo_share",
    "distill.naive.requests_per_minute": "distill.resilient.requests_per_minute",
    "factorial.simple.skew.accuracy": "factorial.simple.conflict.accuracy",
    "factorial.simple.skew.rojo_share": "factorial.simple.conflict.rojo_share",
}
NO = YES | {one: YES[other] for one, other in SWAP.items()} | {other: YES[one] for one, other in SWAP.items()}
NO |= {"imbalanced.share.ROJO": _row(0.3, 0.2, 0.4), "imbalanced.label_loss": _row(0.2, 0.1, 0.3)}
NO |= {"factorial.effect.start.accuracy": _row(0.2, 0.1, 0.3)}


def test_a_finding_is_right_against_undecided_or_unmeasured_by_its_measurements():
    verdicts = lambda measured: {verdict for _, verdict, _ in said.findings(measured)}  # noqa: E731
    assert verdicts(YES) == {said.RIGHT} and verdicts({}) == {said.UNMEASURED}
    assert {says: verdict for says, verdict, _ in said.findings(NO) if verdict != said.AGAINST} == {}
    by_name = {says: verdict for says, verdict, _ in said.findings(UNDECIDED)}
    loss = "the training loss does not show it"
    assert by_name.pop(loss) == said.AGAINST and set(by_name.values()) == {said.NOT_SHOWN}


@pytest.mark.parametrize(
    ("accuracy", "rojo_share", "verdict"),
    [
        (YES, YES, said.RIGHT),
        (NO, NO, said.AGAINST),
        (NO, UNDECIDED, said.AGAINST),
        (UNDECIDED, NO, said.AGAINST),
        (YES, UNDECIDED, said.NOT_SHOWN),
        (YES, NO, said.NOT_SHOWN),
        (NO, YES, said.NOT_SHOWN),
    ],
)
def test_the_first_cause_is_judged_on_both_outcomes(accuracy, rojo_share, verdict):
    source = {"accuracy": accuracy, "rojo_share": rojo_share}
    simple = [f"factorial.simple.{cause}.{what}" for cause in ("skew", "conflict") for what in source]
    measured = YES | {key: source[key.rsplit(".", 1)[-1]][key] for key in simple}
    (found,) = [found for says, found, _ in said.findings(measured) if "first cause" in says]
    assert found == verdict


def test_a_biased_start_that_costs_accuracy_speaks_for_a_fresh_one():
    (line,) = [one for one in said.findings(YES) if "afresh" in one[0]]
    assert line[1] == said.RIGHT and "a biased start moves accuracy by -20 points" in line[2]


def test_the_findings_are_grouped_under_what_became_of_them():
    assert "is right, here too" in said.right_text(YES) and "speak against" not in said.right_text(YES)
    assert "speak against" in said.right_text(NO) and "do not show" in said.right_text(UNDECIDED)
    assert "Not measured yet" in said.right_text({})


def test_the_findings_ask_for_keys_that_the_series_records():
    assert {key for finding in said.FINDINGS for key in finding.keys} <= set(lab.measurements())


def test_what_we_saw_turns_with_the_results():
    sick = said.report_card_text(lab.ledger(EXACT, ()), {"parrot": PARROT}, "parrot", YES)
    assert (
        "none passes every gate" in sick
        and "1 of the blog's numbers disagrees" in sick
        and "8 of 8 hold" in sick
    )
    calm = [line for line in lab.ledger({}, ()) if line.verdict != DISAGREES]
    well = said.report_card_text(calm, {"perfect": PERFECT}, "perfect", {})
    assert (
        "accepted by every gate: perfect" in well
        and "agrees with itself" in well
        and "none has been measured" in well
    )
    assert "8 not measured" in well


# --------------------------------------------------------------------------------------------------------------- the card
@pytest.fixture
def make(monkeypatch):
    """A card without a trained model: only its parameter count would be needed."""
    import torch

    tiny = torch.nn.Linear(10, 3)
    monkeypatch.setattr(card, "load", lambda _: evaluate.generation.LoadedModel(tiny, None))
    record = {"rows": 350, "epochs": 12, "steps": 264, "seconds": 50.0}
    stage = lab.Stage("sft-balanced", 0, "abc", ROOT, "the cure", record)
    rivals = {"TF-IDF": {"test wordings": wilson(300, 480), "vignettes": wilson(110, 160)}}
    return lambda test, free: card.model_card(stage, {"test wordings": test, "vignettes": free}, rivals)


def test_no_figure_is_typed_into_the_card():
    tree = ast.parse((ROOT / "helpers/lab/card.py").read_text(encoding="utf-8"))
    documentation = {
        ast.get_docstring(node, clean=False)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.FunctionDef)
    }
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    formats = re.compile(r"^[,.\d]*[%fg]$")  # :.1% and its like
    typed = [
        text
        for text in texts
        if text not in documentation
        and not formats.match(text)
        and re.search(r"\d", re.sub("95 %|utf-8", "", text))
    ]
    assert typed == []


def test_the_card_says_what_it_is_for_how_it_fails_and_what_nobody_looked_at(make):
    text = make(PARROT, FEW)
    for heading in (
        "what for",
        "Data",
        "Training",
        "Acceptance gates",
        "Known failures",
        "What was not tested",
        "Licence",
    ):
        assert re.search(rf"^## .*{heading}", text, re.MULTILINE), heading
    assert (
        "Not a medical device" in text
        and "education" in text
        and "children, pregnancy and mental health" in text
        and "No clinician" in text
        and "MIT" in text
        and "33 parameters" in text
    )
    for row in PARROT.rows:
        assert row.measured in text
        assert (f"**{row.gate.id}** fails" in text) == (row.verdict == FAILS)
    assert f"ROJO {70}" in text and "350 different prompts" in text


def test_the_card_of_a_perfect_model_still_asks_for_a_clinical_evaluation(make):
    text = make(PERFECT, PERFECT)
    assert (
        "Accepted" in text
        and "clinical evaluation" in text
        and "not the same as none" in text
        and "Not to be released" not in text
    )
    assert "not above" in make(PERFECT, PARROT)


def test_the_card_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIAGE_BUILD", str(tmp_path))
    assert card.write_card("# x\n").read_text() == "# x\n" and list(tmp_path.iterdir()) == [
        tmp_path / "model_card.md"
    ]
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("TRIAGE_BUILD", str(blocked / "below"))
    with pytest.raises(LabError):
        card.write_card("# x\n")


def test_the_reading_of_the_card_compares_test_and_vignettes():
    assert "another story" in said.card_text("x", PERFECT, PARROT)
    assert "cannot be told apart" in said.card_text("x", PARROT, PARROT)


def test_the_committed_notebook_shows_the_verdicts_of_the_shipped_results():
    notebook = nbformat.read(ROOT / "notebooks" / "14_report_card.ipynb", as_version=4)
    shown = "\n".join(
        str(output.get("data", {}).get("text/markdown", ""))
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )
    assert "Model card: sft-" in shown and "Which one would you ship?" in shown
    counts = lab.tally(lab.ledger(read_json(lab.shipped_path())["measurements"], ()))
    for name in (REPRODUCED, DIRECTION, NOT_REPRODUCED, DISAGREES, NOT_TESTABLE):
        assert re.search(rf"[:;] {name} {counts[name]}[,;.]", shown), (
            f"{name} {counts[name]}: run notebook 14 again"
        )
    assert (f"{NOT_RUN} {counts[NOT_RUN]}" in shown) == bool(counts[NOT_RUN])


def test_a_documents_headings_go_below_the_notebooks_own():
    assert show.document("# A\n\n## B\ntext # c").data == "### A\n\n#### B\ntext # c"


# ---------------------------------------------------------------------------------------------------------- the exercises
def test_the_exercises_are_not_passed_by_the_usual_mistakes():
    direction_first = lambda m, c, w, a: (  # noqa: E731
        "direction only" if m > a else "reproduced" if abs(m - c) <= w else "not reproduced"
    )
    wald = lambda hits, n, bound: hits / n - 1.96 * math.sqrt(hits / n * (1 - hits / n) / n) >= bound  # noqa: E731
    assert exercises.problems("verdict_of", direction_first) and exercises.problems("passes_gate", wald)
