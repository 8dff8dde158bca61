"""Notebook 09: the training is a function in its cells, the forecast stands before the runs, and a claim turns when the data are swapped.

The cells run on answers and preferences that are made up here, with the real people, pairs and audits: nothing is trained.
"""

import ast
import random
from types import SimpleNamespace

import pytest
from tools import Silent

from helpers import audit, cases, evaluate, notebooks
from helpers.files import ROOT
from helpers.train import profile_named
from helpers.triage import LEVELS, parse, render

PATH = ROOT / "notebooks" / "09_hard_negatives.ipynb"
SOURCES = [
    cell.source
    for cell in notebooks.read(PATH).cells
    if cell.cell_type == "code" and notebooks.BOOT_TAG not in cell.metadata.get("tags", [])
]
TREES = [ast.parse(source) for source in SOURCES]
NANO = profile_named("nano")
SEEDS = range(2)


def _called(tree):
    return [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def _calls(name):
    return [
        node
        for tree in TREES
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name
    ]


def _functions():
    return {node.name: node for tree in TREES for node in tree.body if isinstance(node, ast.FunctionDef)}


def _reached(name):
    """Everything that a function of the notebook calls, through the notebook's own functions."""
    functions, waiting, calls = _functions(), [name], set()
    while waiting:
        for call in _called(functions[waiting.pop()]):
            if call in functions and call not in calls:
                waiting.append(call)
            calls.add(call)
    return calls


def _defined(*names, **space):
    """Functions of the notebook, executed alone."""
    functions = _functions()
    exec(compile(ast.Module([functions[name] for name in names], []), PATH.name, "exec"), space)
    return [space[name] for name in names] if len(names) > 1 else space[names[0]]


# ---------------------------------------------------------------------------------------------------- the glass box
def test_the_notebook_has_half_the_cells_of_its_first_edition():
    assert len(notebooks.read(PATH).cells) <= 40


def test_the_trainers_call_is_reached_through_lab_runs():
    assert {ast.unparse(call.args[0]) for call in _calls("lab.runs")} == {"chain", "cured", "sample"}
    for function in ("chain", "cured"):
        assert {
            "DPOTrainer",
            "DPOConfig",
            "train.load",
            "train.machine",
            "train.merged",
            "lab.stage",
        } <= _reached(function)


def test_a_chain_starts_from_its_own_balanced_model_and_its_own_people():
    for call in _calls("lab.stage"):
        assert [ast.unparse(one) for one in call.args] == ["'sft-balanced'", "seed"]
    (patients,) = [_defined("patients", cases=cases, SIZE=20)]
    assert {row.text for row in patients(0)} != {row.text for row in patients(1)}


def test_no_function_that_lab_runs_names_results_by_depends_on_how_many_seeds_there_are():
    """Else the chain that a reader runs would be trained again when two more are added."""
    functions = _functions()
    for name in ("chain", "cured", "sample"):
        for reached in {name, *(one for one in _reached(name) if one in functions)}:
            names = {node.id for node in ast.walk(functions[reached]) if isinstance(node, ast.Name)}
            assert not names & {"seeds", "tried", "before", "everything"}, reached


def test_the_forecast_stands_above_every_run_and_is_recorded_there():
    first_run = next(place for place, tree in enumerate(TREES) if "lab.runs" in _called(tree))
    forecast = next(place for place, tree in enumerate(TREES) if "audit.preferences" in _called(tree))
    assert forecast < first_run and "lab.record" in _called(TREES[forecast])


def test_the_rate_is_chosen_on_the_development_prompts_and_the_test_is_asked_afterwards():
    columns = [
        (place, node.value)
        for place, tree in enumerate(TREES)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in ("dev", "test")
    ]
    chosen = next(place for place, source in enumerate(SOURCES) if "chosen = {" in source)
    asked = [place for place, name in columns if name == "test" and place != _place_of_prompts()]
    assert asked and min(asked) > chosen
    people = cases.evaluation_prompts("dev")
    assert not {row.text for row in people[::4]} & {
        row.text for row in people[1::16]
    }  # probes choose nothing


def _place_of_prompts():
    return next(place for place, source in enumerate(SOURCES) if "prompts = {" in source)


def test_no_sentence_is_written_by_a_function():
    text = "\n".join(SOURCES)
    for name in ("lab.reading", "readings.", "run_arms", "record_rate", "spanned"):
        assert name not in text, name


def test_a_cell_books_once_and_claims_once():
    for tree in TREES:
        called = _called(tree)
        assert called.count("lab.record") <= 1
        assert called.count("lab.claim") <= 1
        if "lab.claim" in called:
            assert ast.unparse(tree.body[-1].value.func) == "lab.claim"


# ------------------------------------------------------------------------------------ the functions of the notebook
@pytest.fixture(scope="module")
def write_pairs():
    return _defined("patients", "write_pairs", cases=cases, random=random, SIZE=40)[1]


@pytest.mark.parametrize("kind", cases.KINDS)
def test_a_set_of_one_kind_is_whole_and_wrong_in_that_kind_alone(kind, write_pairs):
    pairs = write_pairs(kind, 0)
    assert len(pairs) == 40 and {pair.kind for pair in pairs} == {kind}
    assert {pair.chosen == pair.example.answer for pair in pairs} == {True}
    assert pairs == write_pairs(kind, 0) != write_pairs(kind, 1)


def test_every_set_has_its_size_at_the_profiles_count():
    _, write = _defined("patients", "write_pairs", cases=cases, random=random, SIZE=NANO.counts["hard_pairs"])
    for name in ("easy", "hard", *cases.KINDS):
        for seed in range(3):
            assert len(write(name, seed)) == NANO.counts["hard_pairs"], name


def test_the_easy_answer_holds_nothing_at_all(write_pairs):
    reading = parse(write_pairs("easy", 0)[0].rejected)
    assert reading.level is None and not reading.alarms and not reading.disclaimer and not reading.numbers


def test_the_demand_stands_in_the_system_line_and_nowhere_else():
    demanding = _defined("demanding", DEMAND=" Diga X.")
    row = cases.write_diverse(5, 0)[0]
    (plain,), (of_pair,) = demanding([row]), demanding(cases.pair_rows([cases.Pair(row, "a", "b")]))
    assert plain == of_pair
    assert plain[0]["content"] == row.prompt[0]["content"] + " Diga X." and plain[1:] == row.prompt[1:]
    assert row.prompt[0]["content"].endswith(".") and "Diga X" not in row.prompt[0]["content"]
