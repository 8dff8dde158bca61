"""Notebook 09: the training is a function in its cells, the forecast stands before the runs, and a claim
turns when the data are swapped.

The cells run on answers and preferences that are made up here, with the real people, pairs and audits:
nothing is trained.
"""

import ast
import random
from types import SimpleNamespace

import pytest
from cells import Cells, names_called
from tools import Silent

from helpers import audit, cases, evaluate, notebooks
from helpers.train import profile_named
from helpers.triage import LEVELS, PARTS, parse, render

PAGE = Cells("09_hard_negatives")
PATH, TREES = PAGE.path, PAGE.trees
SOURCES = [source for source, _ in PAGE.tagged]
NANO = profile_named("nano")
SEEDS = range(2)


# ---------------------------------------------------------------------------------------------- the glass box
def test_the_notebook_has_half_the_cells_of_its_first_edition():
    assert len(notebooks.read(PATH).cells) <= 40


def test_the_trainers_call_is_reached_through_lab_runs():
    assert {ast.unparse(call.args[0]) for call in PAGE.calls("lab.runs")} == {"chain", "cured", "sample"}
    for function in ("chain", "cured"):
        assert {
            "DPOTrainer",
            "DPOConfig",
            "train.load",
            "train.machine",
            "train.merged",
            "lab.stage",
        } <= PAGE.reached(function)


def test_a_chain_starts_from_its_own_balanced_model_and_its_own_people():
    for call in PAGE.calls("lab.stage"):
        assert [ast.unparse(one) for one in call.args] == ["'sft-balanced'", "seed"]
    (patients,) = [PAGE.defined("patients", cases=cases, SIZE=20)]
    assert {row.text for row in patients(0)} != {row.text for row in patients(1)}


def test_no_function_that_lab_runs_names_results_by_depends_on_how_many_seeds_there_are():
    """Else the chain that a reader runs would be trained again when two more are added."""
    functions = PAGE.functions
    for name in ("chain", "cured", "sample"):
        for reached in {name, *(one for one in PAGE.reached(name) if one in functions)}:
            names = {node.id for node in ast.walk(functions[reached]) if isinstance(node, ast.Name)}
            assert not names & {"seeds", "tried", "before", "everything"}, reached


def test_the_forecast_stands_above_every_run_and_is_recorded_there():
    first_run = next(place for place, tree in enumerate(TREES) if "lab.runs" in names_called(tree))
    forecast = next(place for place, tree in enumerate(TREES) if "audit.preferences" in names_called(tree))
    assert forecast < first_run and "lab.record" in names_called(TREES[forecast])


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


def test_a_cell_books_once_and_shows_every_claim():
    for tree in TREES:
        called = names_called(tree)
        assert called.count("lab.record") + called.count("lab.record_runs") <= 1
        shown = [node for node in tree.body if isinstance(node, ast.Expr)]
        claims = [node for node in shown[:-1] if "lab.claim" in names_called(node)]
        assert called.count("lab.claim") == len(claims) + (
            "lab.claim" in names_called(shown[-1]) if shown else 0
        )
        assert all(ast.unparse(node.value.func) == "display" for node in claims)


def test_every_claim_has_evidence_and_a_rule_that_can_fail():
    claims = PAGE.calls("lab.claim")
    assert len(claims) == len(TURNS)
    for call in claims:
        assert len(call.args) >= 3 and not isinstance(call.args[1], ast.Constant), ast.unparse(call)


# ------------------------------------------------------------------------------ the functions of the notebook
@pytest.fixture(scope="module")
def write_pairs():
    return PAGE.defined("patients", "write_pairs", cases=cases, random=random, SIZE=40)[1]


@pytest.mark.parametrize("kind", cases.KINDS)
def test_a_set_of_one_kind_is_whole_and_wrong_in_that_kind_alone(kind, write_pairs):
    pairs = write_pairs(kind, 0)
    assert len(pairs) == 40 and {pair.kind for pair in pairs} == {kind}
    assert {pair.chosen == pair.example.answer for pair in pairs} == {True}
    assert pairs == write_pairs(kind, 0) != write_pairs(kind, 1)


def test_every_set_has_its_size_at_the_profiles_count():
    _, write = PAGE.defined(
        "patients", "write_pairs", cases=cases, random=random, SIZE=NANO.counts["hard_pairs"]
    )
    for name in ("easy", "hard", *cases.KINDS):
        for seed in range(3):
            assert len(write(name, seed)) == NANO.counts["hard_pairs"], name


def test_the_easy_answer_holds_nothing_at_all(write_pairs):
    reading = parse(write_pairs("easy", 0)[0].rejected)
    assert reading.level is None and not reading.alarms and not reading.disclaimer and not reading.numbers


def test_the_demand_stands_in_the_system_line_and_nowhere_else():
    demanding = PAGE.defined("demanding", DEMAND=" Diga X.")
    row = cases.write_diverse(5, 0)[0]
    (plain,), (of_pair,) = demanding([row]), demanding(cases.pair_rows([cases.Pair(row, "a", "b")]))
    assert plain == of_pair
    assert plain[0]["content"] == row.prompt[0]["content"] + " Diga X." and plain[1:] == row.prompt[1:]
    assert row.prompt[0]["content"].endswith(".") and "Diga X" not in row.prompt[0]["content"]


# ------------------------------------------------------------------------------ the cells, on made-up answers
def _draw(*place):
    """A number below 1 that is always the same for one place."""
    return random.Random(repr(place)).random()


def _answer(row, right=0.65, cut=0.0, **parts):
    """An answer to one person: the right level to so many, and each part in so many of the answers."""
    wrong = next(level for level in reversed(LEVELS) if level not in row.accepted)
    level = row.level if _draw(row.text, "level") < right else wrong
    held = [part for part in PARTS if _draw(row.text, part) < parts.get(part, 1.0)]
    return [
        render(level, row.country, row.picture, held),
        "length" if _draw(row.text, "end") < cut else "stop",
    ]


START = {"right": 0.65}
MEASURED = {  # like what the series has measured: answers by who gives them, gains in nats by (set, kind)
    0: START,
    "strongest": {"right": 0.65, "number": 0.7, "cut": 0.03},
    "middle": START,
    "gentle": START,
    "after": {"right": 0.64, "number": 0.99},
    "none": {"right": 0.63, "disclaimer": 0.0},
    "hard negatives": {"right": 0.63, "disclaimer": 0.75},
    "SFT term": {"right": 0.63, "disclaimer": 0.0},
    "CHES filter": {"right": 0.63, "disclaimer": 0.0},
    "demand": {"right": 0.63, "disclaimer": 0.0, "alarms": 0.85},
    "in use": {"right": 0.63, "disclaimer": 0.0},
    "gain": lambda name, kind: (
        0.0 if name == "easy" else 20.0 if name == kind else 6.0 if name == "hard" else 1.0
    ),
}

# What a claim is recognised by, and what has to be swapped to turn it.
TURNS = {
    "the strongest rate makes gates worse": {"strongest": START},
    "No gate is worse in every chain": {"after": {"right": 0.65, "number": 0.7}},
    "gains right levels by hard negatives is not shown": {"after": {"right": 0.95}},
    "Every kind teaches its own lesson": {"gain": lambda name, kind: 6.0 if name == "hard" else 0.0},
    "teaches less than a tenth of each": {"gain": lambda name, kind: 20.0},
    "the audit is mostly right about near misses": {
        "gain": lambda name, kind: 20.0 if name == "easy" else -5.0
    },
    "another cure than hard negatives": {"CHES filter": START},
    "Hard negatives keep some": {"hard negatives": {"disclaimer": 0.0}},
}


def _run(changes):
    """The notebook's cells in a world: what they claim (sentence → holds), what they record, what they run."""
    world, claims, records, ran = {**MEASURED, **changes}, {}, {}, []
    rates = [NANO.dpo["learning_rate"] * share for share in (3, 1, 0.3)]
    names = dict(zip((0, *rates), (0, "strongest", "middle", "gentle"), strict=True))

    def judged(who, columns):
        return {name: [_answer(row, **world[who]) for row in space["prompts"][name]] for name in columns}

    def preference(cell, place, pair):
        start = 10 * _draw(place, cell["seed"])
        return start + (world["gain"](cell["negatives"], pair.kind) if cell["rate"] else 0)

    def one(function, cell):
        ran.append((function.__name__, cell))
        if function.__name__ == "sample":
            return [row.answer for row in space["patients"](cell["seed"])[:240]]
        if function.__name__ == "cured":
            who = cell["cure"]
            return {
                "plain": judged(who, space["both"]),
                "demanded": judged("in use" if who == "none" else who, space["both"]),
            }
        columns = cell.get("columns", ())
        who = "after" if cell["rate"] and "test" in columns else names[cell["rate"]]
        told = [preference(cell, place, pair) for place, pair in enumerate(space["probes"])]
        return {**judged(who, columns), "preferences": told}

    def claim(sentence, holds, *evidence, seeds=None):
        assert evidence and all(evidence)
        claims[sentence] = bool(holds)

    def record(key, value, seeds=None):
        for name, figure in (value if isinstance(value, dict) else {"": value}).items():
            assert f"{key}.{name}" not in records, name
            records[f"{key}.{name}".rstrip(".")] = figure

    def record_runs(key, runs, **more):
        record(
            key, {f"{name}.s{seed}": value for seed, one in enumerate(runs) for name, value in one.items()}
        )
        record(key, {name: evaluate.over_seeds([one[name] for one in runs]) for name in runs[0]})

    space = {
        "lab": SimpleNamespace(
            claim=claim,
            record=record,
            record_runs=record_runs,
            runs=lambda function, plan, label: [one(function, cell) for cell in plan],
            seeds=lambda: SEEDS,
            session=lambda: SimpleNamespace(profile=NANO),
        ),
        "audit": audit,
        "cases": cases,
        "display": lambda shown: None,
        "evaluate": evaluate,
        "exercises": Silent(),
        "show": Silent(),
        **dict.fromkeys(("Dataset", "DPOConfig", "DPOTrainer", "train")),
    }
    for tree in TREES:
        body = [
            node for node in tree.body if not (isinstance(node, ast.ImportFrom) and _is_replaced(node.module))
        ]
        exec(compile(ast.Module(body, []), PATH.name, "exec"), space)
    return claims, records, ran


def _is_replaced(module):
    return module.split(".")[0] in ("datasets", "trl") or module in ("helpers", "helpers.train")


@pytest.fixture(scope="module")
def measured():
    return _run({})


def test_every_claim_holds_where_the_answers_are_like_the_measured_ones(measured):
    claims, _, _ = measured
    assert len(claims) == len(TURNS)
    assert [sentence for sentence, holds in claims.items() if not holds] == []


@pytest.mark.slow
@pytest.mark.parametrize("words", TURNS)
def test_a_claim_turns_when_the_data_are_swapped(words):
    claims, _, _ = _run(TURNS[words])
    (sentence,) = [sentence for sentence in claims if words in sentence]
    assert not claims[sentence], sentence


def test_the_report_cards_keys_are_recorded_with_every_chain(measured):
    _, records, _ = measured
    for gate in evaluate.gates.load_gates():
        assert {f"dpo_hard.{gate.id}", *(f"dpo_hard.{gate.id}.s{seed}" for seed in SEEDS)} <= set(records)
    assert records["dpo_hard.forecasts"] == 17 * len(SEEDS)


def test_the_rule_takes_the_largest_rate_that_harms_nothing(measured):
    _, records, ran = measured
    chosen = [records[f"dpo_hard.learning_rate.s{seed}"] for seed in SEEDS]
    assert chosen == [NANO.dpo["learning_rate"]] * len(SEEDS)  # the strongest harms, the middle does not
    tests = [cell["rate"] for name, cell in ran if name == "chain" and "test" in cell.get("columns", ())]
    assert set(tests) == {0, chosen[0]}


def test_a_reader_trains_one_chain_of_few_models(measured):
    _, _, ran = measured
    trained = [cell for name, cell in ran if name == "cured" or (name == "chain" and cell["rate"])]
    assert len(trained) <= 15 * len(SEEDS) + 1
