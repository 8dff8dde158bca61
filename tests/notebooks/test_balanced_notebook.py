"""Notebook 05: the trainer's call stands in a cell, every claim has evidence, and a claim turns when the data
are swapped.

Its cells run here on answers that are made up, with the real test sets, the real baselines and the real
scoring. Nothing is trained.
"""

import ast
from types import SimpleNamespace

import exercises
import pytest
from tools import Silent

from helpers import cases, evaluate, lab, notebooks
from helpers.evaluate import scoring
from helpers.evaluate.gates import Gate, load_gates
from helpers.files import ROOT
from helpers.statistics import bootstrap
from helpers.train import profile_named
from helpers.triage import LEVELS, render

PATH = ROOT / "notebooks" / "05_balanced_sft.ipynb"
CELLS = [
    cell
    for cell in notebooks.read(PATH).cells
    if cell.cell_type == "code" and notebooks.BOOT_TAG not in cell.metadata.get("tags", [])
]
TREES = [ast.parse(cell.source) for cell in CELLS]


def _calls(*trees):
    return [node for tree in trees or TREES for node in ast.walk(tree) if isinstance(node, ast.Call)]


def _name(call):
    return ast.unparse(call.func)


def _called(*trees):
    return [_name(call) for call in _calls(*trees)]


# ---------------------------------------------------------------------------------------------- the glass box
@pytest.mark.parametrize(
    "name",
    [
        "SFTTrainer",
        "SFTConfig",
        "train.load",
        "train.machine",
        "train.merged",
        "Dataset.from_list",
        "binomtest",
    ],
)
def test_the_librarys_call_stands_in_a_cell(name):
    assert name in _called()


def test_the_balanced_stage_is_what_the_trainer_in_its_cell_made():
    (cell,) = [tree for tree in TREES if "lab.keep" in _called(tree)]
    assert {"train.load", "SFTTrainer", "SFTConfig"} <= set(_called(cell))
    (keep,) = [call for call in _calls() if _name(call) == "lab.keep"]
    assert ast.unparse(keep) == "lab.keep('sft-balanced', trainer)"
    assert [call.args[0].value for call in _calls() if _name(call) == "lab.stage"] == ["sft-imbalanced"]


def test_nothing_of_the_experiment_on_causes_is_left():
    names = {node.id for tree in TREES for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for tree in TREES for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not names & {
        "grid",
        "run_grid",
        "runs",
        "reading",
        "readings",
        "factorial",
        "main_effect",
        "divide_by_prior",
    }


def test_a_cell_records_once_and_claims_once_and_shows_its_claim():
    for tree in TREES:
        assert _called(tree).count("lab.record") <= 1
        assert _called(tree).count("lab.claim") <= 1
        if "lab.claim" in _called(tree):  # a page shows what a cell's last expression returns
            assert _name(tree.body[-1].value) == "lab.claim"


def test_every_claim_has_a_rule_and_evidence():
    for call in [call for call in _calls() if _name(call) == "lab.claim"]:
        assert len(call.args) >= 3, ast.unparse(call)
        assert not isinstance(call.args[1], ast.Constant), f"a claim that cannot fail: {ast.unparse(call)}"


def test_the_rule_that_is_shown_for_a_gate_is_the_rule_of_the_gates():
    shown = [node for tree in TREES for node in tree.body if getattr(node, "name", "") == "verdict"]
    space = {"evaluate": evaluate}
    exec(compile(ast.Module(shown, []), "verdict", "exec"), space)
    gate = Gate(id="x", says="x", measure="actions", bound=0.95, at_least=True, why="x")
    for hits, n in ((29, 30), (290, 300), (2900, 3000), (2700, 3000), (30, 30), (100, 100), (0, 10)):
        assert space["verdict"](hits, n, 0.95) == gate.verdict(evaluate.wilson(hits, n))


def test_people_who_are_not_urgent_and_unreadable_answers_are_told_apart_in_the_exercise():
    def every_miss(truth, told):
        return sum(a != b for a, b in zip(truth, told, strict=True)) / len(truth)

    def readable_only(truth, told):
        urgent = [answer for level, answer in zip(truth, told, strict=True) if level in LEVELS[:2] and answer]
        return sum(answer not in LEVELS[:2] for answer in urgent) / max(1, len(urgent))

    assert exercises.problems("missed_urgency", every_miss)
    assert exercises.problems("missed_urgency", readable_only)


# ------------------------------------------------------------------------------ the cells, on made-up answers
def _always_rojo(_, row):
    return render("ROJO", row.country, row.picture)


def _right(_, row):
    return render(row.level, row.country, row.picture)


def _often_right(place, row):
    """Three answers of five are right; the others say the lowest level that the rubric does not accept."""
    wrong = next(level for level in reversed(LEVELS) if level not in row.accepted)
    return render(wrong if place % 5 < 2 else row.level, row.country, row.picture)


MEASURED = {"imbalanced": _always_rojo, "balanced": _often_right}  # like what the series has measured
SWAPPED = {"imbalanced": _often_right, "balanced": _always_rojo}
FLAWLESS = {"imbalanced": _always_rojo, "balanced": _right}

# What a claim is recognised by, and the world in which it must turn.
TURNS = {
    "does not give all four one level": SWAPPED,
    "to fewer than half": SWAPPED,
    "mend the model": SWAPPED,
    "the cure has a price": SWAPPED,
    "word counts trained on the same rows are better": FLAWLESS,
    "is not shown to beat word counts": FLAWLESS,
    "a word counter that has read every training text is better": FLAWLESS,
    "is not reached": FLAWLESS,
    "misses more urgent people than its gate allows": FLAWLESS,
    "neither may be released": FLAWLESS,
}


class _MadeUp:
    """`evaluate` with answers from a world instead of a model."""

    def __init__(self, world):
        self.world = world

    def __getattr__(self, name):
        return getattr(evaluate, name)

    def generate(self, model, people, label=""):
        return [SimpleNamespace(text=self.world[model](place, row)) for place, row in enumerate(people)]

    def ask(self, model, text, country):
        row = cases.Example(text, LEVELS[len(text) % 5], (LEVELS[len(text) % 5],), country)
        return self.world[model](4, row)  # of every five, the last is answered rightly


class _Trainer:
    def __init__(self, *arguments, **more):
        pass

    def train(self):
        pass


def _run(world):
    """The notebook's cells in this world: what they claim (sentence → holds) and what they record (key →
    figure).
    """
    claims, records = {}, {}

    def claim(sentence, holds, *evidence):
        assert evidence
        claims[sentence] = bool(holds)

    def record(prefix, figures, seeds=None):
        records.update({f"{prefix}.{name}": figure for name, figure in figures.items()})

    space = {
        "lab": SimpleNamespace(
            claim=claim,
            claims=lab.claims,
            keep=lambda name, trainer: "balanced",
            record=record,
            session=lambda: SimpleNamespace(profile=profile_named("nano")),
            stage=lambda name: "imbalanced",
        ),
        "train": SimpleNamespace(
            load=lambda profile: (None, None), machine=lambda profile: {}, merged=lambda trainer: "balanced"
        ),
        "Dataset": SimpleNamespace(from_list=len),
        "SFTConfig": dict,
        "SFTTrainer": _Trainer,
        "cases": cases,
        "display": lambda shown: None,
        "evaluate": _MadeUp(world),
        "exercises": Silent(),
        "show": Silent(),
    }
    for tree in TREES:
        body = [
            node for node in tree.body if not (isinstance(node, ast.ImportFrom) and _is_replaced(node.module))
        ]
        exec(compile(ast.Module(body, []), PATH.name, "exec"), space)
    return claims, records


def _is_replaced(module):
    return module.split(".")[0] in ("datasets", "trl", "IPython") or module in ("helpers", "helpers.train")


@pytest.fixture(scope="module")
def few_draws():
    """Kappa's interval from a tenth of the draws: no claim here hangs on its width, and it is nearly all of
    the time.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            scoring,
            "bootstrap",
            lambda items, statistic, draws: bootstrap(items, statistic, draws=draws // 10),
        )
        yield


@pytest.fixture(scope="module")
def measured(few_draws):
    return _run(MEASURED)


@pytest.fixture(scope="module")
def turned(few_draws):
    return {"swapped": _run(SWAPPED)[0], "flawless": _run(FLAWLESS)[0]}


@pytest.mark.slow
def test_every_claim_holds_where_the_answers_are_like_the_measured_ones(measured):
    claims, _ = measured
    assert len(claims) == len(TURNS)
    assert [sentence for sentence, holds in claims.items() if not holds] == []


@pytest.mark.slow
@pytest.mark.parametrize("words", TURNS)
def test_a_claim_turns_when_the_data_are_swapped(words, turned):
    claims = turned["swapped" if TURNS[words] is SWAPPED else "flawless"]
    (sentence,) = [sentence for sentence in claims if words in sentence]
    assert not claims[sentence], sentence


@pytest.mark.slow
def test_the_keys_that_others_read_are_recorded(measured):
    _, records = measured
    keys = {
        f"balanced.{name}"
        for name in ("accuracy.test", "primary", "strict_pass", "under_triage", "over_triage", "kappa")
    }
    new_to_the_base = [suffix for suffix in cases.COLUMNS.values() if suffix]
    keys |= {
        f"balanced.{name}{suffix}"
        for name in ("accuracy", "primary", "strict_pass", "call")
        for suffix in new_to_the_base
    }
    keys.add("balanced.missed_urgency.vignettes")
    rivals = ("always_rojo", "keywords", "tfidf", "naive_bayes")
    keys |= {f"baseline.{rival}.accuracy{suffix}" for rival in rivals for suffix in cases.COLUMNS.values()}
    keys |= {f"gates.{model}.{gate.id}" for model in ("imbalanced", "balanced") for gate in load_gates()}
    assert set(records) == keys


@pytest.mark.slow
def test_a_figure_is_recorded_under_the_column_it_comes_from(measured):
    _, records = measured
    people = {
        suffix: len(rows)
        for suffix, rows in zip(cases.COLUMNS.values(), cases.columns().values(), strict=True)
    }
    for suffix, n in people.items():
        assert records[f"baseline.tfidf.accuracy{suffix}"].n == n
        assert records[f"balanced.accuracy{suffix or '.test'}"].n == n
    judged = evaluate.gates.judge(
        rows := cases.vignettes(), [_often_right(place, row) for place, row in enumerate(rows)]
    )
    assert records["balanced.missed_urgency.vignettes"] in [
        row.rate for row in judged.rows if row.gate.id == "missed_urgency"
    ]
    assert records["baseline.always_rojo.accuracy"] == records["gates.imbalanced.label"]
