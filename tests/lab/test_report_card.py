"""Notebook 14: the rule of a verdict, the ledger that counts independent results only, the matrix of
checkpoints, and the card.
"""

import ast
import dataclasses
import re
import shutil
import sys

import exercises
import pandas as pd
import pytest

from helpers import cases, lab, notebooks
from helpers.evaluate import Rate, wilson
from helpers.evaluate.gates import FAILS, NOT_SHOWN, PASSES
from helpers.files import DATA, ROOT, LabError, read_json
from helpers.lab import card
from helpers.lab.claims import (
    DEPENDS,
    DIRECTION,
    DISAGREES,
    NOT_REPRODUCED,
    NOT_RUN,
    REPRODUCED,
    UNDECIDED,
    VERDICTS,
    Check,
    arithmetic,
    compare,
    difference,
    judge,
)

CLAIMS, LEDGER = lab.claims(), sys.modules["helpers.lab.claims"]
SHIPPED = read_json(lab.shipped_path())["measurements"]


def _row(value, low=None, high=None, n=100, seeds=1, unit="rate"):
    return {"value": value, "low": low, "high": high, "n": n, "seeds": seeds, "unit": unit}


# --------------------------------------------------------------------------------------------------- the rule
def test_the_interval_of_a_difference_is_newcombes():
    """The worked example of Newcombe (1998, table II, example a): 56/70 against 48/80."""
    gap = difference(wilson(56, 70), wilson(48, 80))
    assert (gap.low, gap.value, gap.high) == pytest.approx((0.0524, 0.2, 0.3339), abs=5e-4)


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        (wilson(380, 480), REPRODUCED),
        (Rate(0.75, 3, 0.20, 1.0), UNDECIDED),  # near in the mean, and as wide as a guess
        (wilson(13, 20), UNDECIDED),
        (wilson(280, 480), DIRECTION),
        (wilson(200, 480), NOT_REPRODUCED),
        (Rate(0.75, 0, 0.75, 0.75), REPRODUCED),  # a value alone
        (Rate(0.55, 0, 0.55, 0.55), DIRECTION),
    ],
)
def test_a_number_is_judged_by_value_interval_and_tolerance(ours, expected):
    assert judge(ours, wilson(24, 30), within=0.1, above=0.5) == expected


def test_two_values_without_interval_are_compared_as_they_are():
    alone = lambda value: Rate(value, 0, value, value)  # noqa: E731
    assert (
        judge(alone(805), alone(805), 0) == REPRODUCED and judge(alone(806), alone(805), 0) == NOT_REPRODUCED
    )
    assert compare(alone(7), alone(12), "same") == NOT_REPRODUCED
    assert compare(alone(12), alone(12), "same") == REPRODUCED
    assert compare(alone(7), alone(12), "less") == REPRODUCED


def test_a_sentence_is_judged_by_the_difference_alone():
    many, few = wilson(300, 480), wilson(170, 480)
    assert [compare(many, few, asks) for asks in ("more", "less", "same")] == [
        REPRODUCED,
        NOT_REPRODUCED,
        NOT_REPRODUCED,
    ]
    assert compare(wilson(7, 30), wilson(6, 30), "more") == UNDECIDED
    assert compare(wilson(470, 480), wilson(470, 480), "same", 0.05) == REPRODUCED


# --------------------------------------------------------------------------------------------- the statements
def test_every_statement_says_where_it_stands_and_is_judged_once():
    lines = lab.ledger(SHIPPED)
    assert [line.claim.id for line in lines] == list(CLAIMS)
    assert sum(lab.tally(lines).values()) == len(lines) and set(lab.tally(lines)) == set(VERDICTS)
    assert [claim.id for claim in CLAIMS.values() if not claim.where or not claim.says] == []


def test_what_the_ledger_asks_for_is_measured():
    asked = {
        key
        for claim in CLAIMS.values()
        for test in claim.tests
        for keys in test.keys.values()
        for key in keys
        if isinstance(key, str)
    }
    assert asked <= set(SHIPPED)


def test_nothing_rests_on_what_rests_on_something_else_and_no_reason_is_empty():
    for claim in CLAIMS.values():
        assert claim.built_in is None or len(claim.built_in) > 10
        if claim.rests_on:
            lead = CLAIMS[claim.rests_on]
            assert not lead.rests_on and lead.tests, claim.id


def test_the_headline_counts_no_repetition_nothing_built_in_and_nothing_unmeasured():
    counted = [line for line in lab.ledger(SHIPPED) if line.counts]
    assert counted and len({line.claim.id for line in counted}) < len(CLAIMS) / 3
    for line in counted:
        assert line.cells and line.claim.built_in is None and line.claim.rests_on is None
        assert line.verdict not in (DISAGREES, NOT_RUN)
    names = {line.claim.id for line in counted}
    assert "all_rojo" in names and not names & {
        "sft_accuracy",
        "size_q2",
        "distill_rate_before",
        "share_rojo",
    }


def test_a_statement_whose_cells_differ_depends_on_what_is_measured():
    line = lab.verdict(CLAIMS["sft_accuracy"], SHIPPED)
    assert line.verdict == DEPENDS and {cell.test.metric for cell in line.cells} == {"primary", "accepted"}
    cause = lab.verdict(CLAIMS["cause_imbalance"], SHIPPED)
    assert len({cell.test.metric for cell in cause.cells}) == 4


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1.0, 1.0), REPRODUCED),
        ((1.0, 0.0), DEPENDS),
        ((0.6, 0.0), DEPENDS),
        ((1.0, None), DEPENDS),
        ((0.0, None), NOT_REPRODUCED),  # no cell speaks for the blog, one speaks against it
        ((None, None), UNDECIDED),
        ((), NOT_RUN),
    ],
)
def test_a_statement_depends_on_the_measure_only_where_some_measure_speaks_for_it(values, expected):
    rows = {f"x.{i}": _row(v) if v is not None else _row(0.5, 0.0, 1.0, n=1) for i, v in enumerate(values)}
    tests = tuple(Check(name, {"wordings": (name,)}, 0.02, above=0.55) for name in rows or {"x.9": None})
    claim = dataclasses.replace(CLAIMS["all_rojo"], tests=tests)
    assert lab.verdict(claim, rows).verdict == expected


@pytest.mark.parametrize(("value", "expected"), [(0.2, REPRODUCED), (0.5, NOT_REPRODUCED), (0.0, DIRECTION)])
def test_a_verdict_follows_the_measurement_and_says_when_it_is_a_value_alone(value, expected):
    claim = dataclasses.replace(
        CLAIMS["sft_accuracy"], tests=(Check("primary", {"wordings": ("x.y",)}, 0.03, below=0.4),)
    )
    line = lab.verdict(claim, {"x.y": _row(value)})
    assert line.verdict == expected and "(value alone)" in str(line.cells[0])
    assert "value alone" not in str(lab.verdict(claim, {"x.y": _row(0.2, 0.1, 0.3)}).cells[0])


def test_cells_show_points_for_differences_and_seeds_for_runs():
    cause = {cell.test.metric: str(cell) for cell in lab.verdict(CLAIMS["cause_imbalance"], SHIPPED).cells}
    assert all("points" in text and "%" not in text and "3 seeds" in text for text in cause.values())
    rojo = lab.verdict(CLAIMS["all_rojo"], {"imbalanced.share.ROJO": _row(1.0, 0.99, 1.0, 480)})
    assert [str(cell) for cell in rojo.cells] == ["✓ 100.0% [99.0 to 100.0], n = 480"]
    sizes = lab.verdict(CLAIMS["model_size"], {"size_1b2.Q5_K_M.listed_mib": _row(805, n=None, unit="MiB")})
    assert str(sizes.cells[0]) == "✓ 805 (value alone)"


def test_the_settled_verdicts_of_the_blogs_arithmetic():
    verdicts = {name: lab.verdict(CLAIMS[name], SHIPPED).verdict for name in CLAIMS if CLAIMS[name].follows}
    wrong = {name for name, verdict in verdicts.items() if verdict == DISAGREES}
    assert wrong == {"distill_minutes", "reduction_q5", "reduction_q4"}
    assert verdicts["sft_steps"] == verdicts["dpo_steps"] and verdicts["reduction_q2"] == REPRODUCED
    assert lab.verdict(CLAIMS["size_limit"], SHIPPED).verdict == REPRODUCED


def test_a_sum_that_goes_wrong_is_called_so():
    line = lab.verdict(dataclasses.replace(CLAIMS["sft_steps"], number=4000))
    assert line.verdict == DISAGREES and "3,750" in line.because


def test_the_facts_about_the_world_are_those_of_the_data():
    from helpers.files import read_yaml

    config = read_json(DATA / "lfm2.5-1.2b.json")["config"]
    assert config["num_hidden_layers"] - len(config["full_attn_idxs"]) == 10 and config["conv_L_cache"]
    numbers = {code: row["numbers"] for code, row in read_yaml(DATA / "emergency_numbers.yaml").items()}
    assert "112" in numbers["ES"] and "911" in numbers["MX"] and not {"112", "911"} & set(numbers["GT"])
    chest = cases.syndrome_of("sindrome_coronario")
    assert chest.call_now and "AMARILLO" not in chest.accepted


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("x: {says: a, where: b}", "say how it is judged"),
        ("x: {says: a, where: b, untestable: c, colour: d}", "colour"),
        ("x: {says: a, where: b, tests: [{metric: m, wordings: [k, 1]}]}", "needs a key"),
        ("x: {says: a, where: b, tests: [{metric: m}]}", "needs a key"),
        ("x: {says: a, where: b, untestable: c, rests_on: y}", "rests on 'y'"),
    ],
)
def test_a_malformed_ledger_is_refused_with_the_claims_name(row, expected, tmp_path, monkeypatch):
    (tmp_path / "claims.yaml").write_text(row)
    monkeypatch.setattr(LEDGER, "DATA", tmp_path)
    with pytest.raises(LabError, match=re.escape(expected)) as caught:
        lab.claims.__wrapped__()
    assert "'x'" in str(caught.value)


def test_where_no_statement_of_the_blog_was_measured_the_report_says_so_in_one_line(monkeypatch):
    monkeypatch.setattr(LEDGER, "measurements", dict)
    monkeypatch.setattr(LEDGER, "own_keys", set)
    assert lab.report().startswith("None of the blog's statements")


def test_the_report_at_the_end_of_a_run_names_independent_results_only(monkeypatch):
    monkeypatch.setattr(LEDGER, "measurements", lambda: SHIPPED)
    text = lab.report()
    assert CLAIMS["all_rojo"].says in text and CLAIMS["size_q2"].says not in text
    assert f"Of the blog's {len(CLAIMS)} statements" in text


# -------------------------------------------------------------------------------------------- thirty patients
def _inline(name, **space):
    chapter = next(chapter for chapter in notebooks.PLAN if chapter.name.startswith("14"))
    for cell in notebooks.read(chapter.path).cells:
        for node in ast.parse(cell.source).body if cell.cell_type == "code" else ():
            if isinstance(node, ast.FunctionDef) and node.name == name:
                exec(compile(ast.Module([node], []), name, "exec"), space)
                return space[name]
    raise AssertionError(name)


def test_thirty_is_the_smallest_sample_that_fits_every_rate_of_the_blog():
    possible = _inline("possible")
    rates = [f"{100 * claim.number:.3g}" for claim in CLAIMS.values() if claim.of == 30]
    assert {"6.7", "37", "80", "0"} <= set(rates)
    assert [n for n in range(1, 31) if all(possible(rate, n) for rate in rates)] == [30]
    for claim in CLAIMS.values():
        if claim.of == 30:
            assert claim.rate.low <= claim.number <= claim.rate.high and claim.rate.n == 30


def test_the_sum_written_in_the_notebook_agrees_with_the_helper():
    blog = {name: claim.number for name, claim in CLAIMS.items() if claim.number is not None}
    checked = _inline("checked", blog=blog, pd=pd)
    following = [claim for claim in CLAIMS.values() if claim.follows]
    assert len(following) > 5
    for claim in following:
        assert checked(claim)["gives"] == f"{arithmetic(claim.follows, blog):,.5g}"
        assert (checked(claim)[""] == "✓") == (lab.verdict(claim, {}).verdict != DISAGREES), claim.id


# --------------------------------------------------------------------------------- once more, without helpers
def test_the_way_without_us_calls_none_of_our_helpers_but_to_show_and_to_claim():
    cells = notebooks.read(next(one for one in notebooks.PLAN if one.name.startswith("14")).path).cells
    heads = [cell.source.startswith(("## Once more", "## Exercises")) for cell in cells]
    begin, end = (place for place, head in enumerate(heads) if head)
    trees = [ast.parse(cell.source) for cell in cells[begin:end] if cell.cell_type == "code"]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {"trl", "peft", "transformers", "datasets"} <= modules
    assert not any(module.startswith(("helpers", "tests")) for module in modules)
    attributes = [
        node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    ]
    ours = {
        ast.unparse(node)
        for node in attributes
        if node.value.id in ("lab", "show", "cases", "evaluate", "train", "export")
    }
    assert ours <= {"lab.session", "lab.claim", "show.table"}


# ------------------------------------------------------------------------------------------------- the matrix
def test_a_recorded_report_judges_what_is_recorded_and_shows_nothing_else():
    found = card.recorded("x", "", {"x.accuracy": _row(0.9, 0.88, 0.92), "x.disclaimer": _row(0.5, 0.4, 0.6)})
    assert [found.verdict(gate) for gate in ("label", "disclaimer", "kappa")] == [PASSES, FAILS, NOT_SHOWN]
    assert found.n == 100 and card.recorded("y", "", {}).n == 0


def test_a_single_run_without_an_interval_passes_no_gate():
    found = card.recorded("x", "", {"x.label": _row(0.99, n=None), "x.actions": _row(0.2, n=None)})
    assert [found.verdict(gate) for gate in ("label", "actions")] == [NOT_SHOWN, FAILS]


def test_the_matrix_holds_every_family_with_its_seeds_and_no_effect_or_single_seed():
    rows = card.checkpoints(SHIPPED)
    for family in ("gates.balanced", "cpt.", "sft_weak", "dpo_", "grpo_naive", "factorial."):
        assert any(name.startswith(family) for name in rows), family
    assert not any("effect" in name or "simple" in name or re.search(r"\.s\d", name) for name in rows)
    assert rows["cpt.sft_accuracy.from_cpt"][1] == 3 and rows["gates.balanced"][1] == 1
    report, seeds = rows["dpo_hard"]
    assert (report.n, seeds) == (120, 3), "how many patients each run was asked, and how many runs"


@pytest.mark.parametrize("measured", [{}, {"gates.imbalanced.label": _row(0.4, 0.3, 0.5)}])
def test_without_the_figures_of_notebook_05_one_message_says_what_to_run(measured):
    with pytest.raises(LabError, match="Run notebook 05"):
        card.checkpoints(measured)


# --------------------------------------------------------------------------------------------------- the card
def _with_columns(measured, source="gates.imbalanced"):
    """Results in which the balanced model was judged on all columns; figures of another model where it was
    not.
    """
    gates = [key.rsplit(".", 1)[1] for key in measured if key.startswith("gates.balanced.")]
    return measured | {
        f"gates.balanced.{gate}{suffix}": measured[f"{source}.{gate}"]
        for gate in gates
        for suffix in (".syndromes", ".vignettes")
        if f"{source}.{gate}" in measured
    }


def test_the_template_holds_no_figure():
    text = (DATA / "model_card.md").read_text(encoding="utf-8")
    assert re.findall(r"\d+", text.replace("95 %", "")) == []


def test_the_card_says_what_it_is_for_how_it_fails_and_what_nobody_looked_at():
    text = card.model_card(_with_columns(SHIPPED))
    for heading in (
        "what for",
        "Data",
        "Training",
        "Acceptance gates",
        "Known failures",
        "not tested",
        "Licence",
    ):
        assert re.search(rf"^## .*{heading}", text, re.MULTILINE), heading
    for words in ("Not a medical device", "education", "pregnancy and mental health", "MIT", "ROJO 70"):
        assert words in text
    assert "350 different prompts" in text and "Not to be released" in text and "$" not in text
    for row in card.recorded("gates.balanced", "", SHIPPED).rows:
        assert row.measured in text and (f"On test wordings, **{row.gate.id}** fails" in text) == (
            row.verdict == FAILS
        )
    assert "not shown to be above** tfidf" in text


@pytest.mark.parametrize("profile", ["laptop", "pocket"])
def test_weights_that_others_made_are_never_put_under_our_licence(profile, tmp_path, monkeypatch):
    """Pocket's folder is built outside the repository, where its build folder is."""
    shutil.copytree(DATA / "nano-base", tmp_path / "base")
    monkeypatch.setattr("helpers.pocket.base", lambda: tmp_path / "base")
    monkeypatch.setenv("TRIAGE_PROFILE", profile)
    text = card.model_card(_with_columns(SHIPPED))
    assert {"laptop": "LFM2.5-350M", "pocket": "Gemma"}[profile] in text.partition("## Licence")[2]
    assert "weights included" not in text and "keep the terms of its publisher" in text
    assert "has read the test wordings" not in text  # only our own base has read them


def test_a_card_without_a_column_is_refused():
    with pytest.raises(LabError, match="held-out syndromes"):
        card.model_card({key: row for key, row in SHIPPED.items() if not key.endswith(".syndromes")})


def test_the_card_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIAGE_BUILD", str(tmp_path))
    assert card.write_card("# x\n").read_text() == "# x\n"
    assert list(tmp_path.iterdir()) == [tmp_path / "model_card.md"]
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("TRIAGE_BUILD", str(blocked / "below"))
    with pytest.raises(LabError):
        card.write_card("# x\n")


def test_how_the_texts_were_made_is_said_the_same_everywhere():
    said = "Texts and labels were drafted with the help of a language model"
    sentences = {
        re.search(rf"{said}[^.]*\.", path.read_text(encoding="utf-8").replace("\n", " "))[0]
        for path in (ROOT / "README.md", DATA / "README.md", DATA / "model_card.md")
    }
    assert len(sentences) == 1
    for path in (ROOT / "README.md", DATA / "README.md", DATA / "model_card.md"):
        assert not re.search(r"hand-written|by hand", path.read_text(encoding="utf-8"))


# ---------------------------------------------------------------------------------------------- the exercises
def test_the_exercises_are_not_passed_by_the_usual_mistakes():
    import math

    wald = lambda hits, n, bound: hits / n - 1.96 * math.sqrt(hits / n * (1 - hits / n) / n) >= bound  # noqa: E731
    whole = lambda percent, decimals, n: percent * n / 100 == int(percent * n / 100)  # noqa: E731
    assert exercises.problems("passes_gate", wald) and exercises.problems("could_be", whole)
