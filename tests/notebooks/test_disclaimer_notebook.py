"""Notebook 08: its loss is TRL's, its suspects differ in one thing, and every claim turns when the data are
swapped.

The cells run on answers that are made up here, with the real test wordings; only the tests of the loss and of
CHES load a model.
"""

import ast
import math
import random
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from cells import Cells
from datasets import Dataset
from scipy import stats
from tools import Silent
from trl import DPOConfig

from helpers import audit, cases, evaluate, lab, train
from helpers.train import DPOTrainer, LoadedModel, load_model, load_tokenizer, profile_named
from helpers.triage import PARTS, parse, render

PAGE = Cells("08_dpo_disclaimer_failure")
PATH, TREES = PAGE.path, PAGE.trees
NANO = profile_named("nano")
PAIRS = 2 * NANO.counts["pairs"] // 3
TESTS = cases.evaluation_prompts("test")[::4]


def _nodes(kind):
    return [node for tree in TREES for node in tree.body if isinstance(node, kind)]


def _defined(*names, **space):
    """Functions and constants of the notebook, by name, executed alone."""
    space = {"torch": torch, "cases": cases, "evaluate": evaluate, "audit": audit, "replace": replace} | space
    space |= {"profile": NANO, "PAIRS": PAIRS, "tests": TESTS, "stats": stats}
    body = []
    for node in _nodes((ast.FunctionDef, ast.Assign)):
        targets = [node] if isinstance(node, ast.FunctionDef) else node.targets
        if {getattr(one, "name", getattr(one, "id", "")) for one in targets} & set(names):
            body.append(node)
    exec(compile(ast.Module(body, []), PATH.name, "exec"), space)
    return SimpleNamespace(**{name: space[name] for name in names})


# ---------------------------------------------------------------------------------------------- the glass box
def test_the_trainers_call_stands_in_the_cell_with_the_blogs_beta():
    (config,) = PAGE.calls("DPOConfig")
    settings = {word.arg: ast.unparse(word.value) for word in config.keywords}
    assert settings["beta"] == "0.1"
    assert settings["learning_rate"] == "rate * profile.dpo['learning_rate']"
    assert settings[None] == "train.machine(profile, 'dpo')"
    assert {ast.unparse(call.args[0]) for call in PAGE.calls("lab.runs")} == {"begin", "chain"}


def test_the_forecasts_are_recorded_before_an_arm_is_trained():
    def place(word):
        return next(n for n, tree in enumerate(TREES) if word in ast.unparse(tree))

    assert place("lab.record('dpo_suspect', made_before") < place("arms = run_all(SUSPECTS)")


def test_no_sentence_is_written_by_a_function_and_every_claim_has_evidence():
    text = "\n".join(map(ast.unparse, TREES))
    assert not any(word in text for word in ("lab.reading", "record_rate", "run_arms", "lab.Arm"))
    for call in PAGE.calls("lab.claim"):
        assert len(call.args) >= 3, ast.unparse(call)
        assert not isinstance(call.args[1], ast.Constant)


# ------------------------------------------------------------------------------------------ the loss and CHES
def _random_pairs(n, seed):
    dice = random.Random(seed)
    people = cases.write_diverse(n, seed)

    def some(person):
        parts = [part for part in PARTS if dice.random() < 0.5]
        return render(person.level, person.country, person.picture, parts)

    return [cases.Pair(person, person.answer, some(person)) for person in people]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_loss_of_the_cells_is_trls_on_random_batches_after_a_few_updates(seed):
    pairs = cases.usable(_random_pairs(24, seed))[0]
    model, tokenizer = train.load(NANO, None, seed)
    trainer = DPOTrainer(
        model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(cases.pair_rows(pairs)),
        args=DPOConfig(
            beta=0.1, learning_rate=1e-3, max_steps=3, max_length=400, **train.machine(NANO, "dpo")
        ),
    )
    trainer.train()
    reward = _defined("encode", "token_logps", "answer_logp", "reward").reward

    def loss(pair):
        sides = (pair.chosen, pair.rejected)
        chosen, rejected = (reward(trainer.model, tokenizer, pair.example, text) for text in sides)
        return math.log1p(math.exp(rejected - chosen))

    for batch in (range(0, 4), range(4, 12)):
        inputs = trainer.data_collator([trainer.train_dataset[place] for place in batch])
        with torch.no_grad():
            theirs = trainer.compute_loss(trainer.model, dict(inputs)).item()
        ours = sum(loss(pairs[place]) for place in batch) / len(batch)
        assert ours == pytest.approx(theirs, abs=0.005)
        assert abs(theirs - math.log(2)) > 0.02  # the updates have moved it


@pytest.fixture(scope="module")
def base():
    return LoadedModel(load_model(NANO.base).eval(), load_tokenizer(NANO.base))


def test_a_log_probability_is_the_one_that_evaluate_computes_but_for_the_line_feed(base):
    cells = _defined("encode", "token_logps", "answer_logp", "NOTICE")
    (pair,) = _random_pairs(1, 3)
    whole = cells.answer_logp(base.model, base.tokenizer, pair.example, pair.chosen)
    (known,) = evaluate.answer_logprobs(base, [pair.example], [pair.chosen])
    logps, _ = cells.token_logps(base.model, base.tokenizer, pair.example, pair.chosen)
    assert whole == pytest.approx(known + logps[-1].item(), abs=1e-2)
    line = cells.answer_logp(base.model, base.tokenizer, pair.example, pair.chosen, cells.NOTICE)
    assert whole < line < 0


def test_ches_is_the_papers_formula_over_the_states_that_predict_the_answers_tokens(base):
    cells = _defined("encode", "hidden_sum", "ches")
    (pair,) = _random_pairs(1, 4)

    def direct(text, mean):
        asked = base.tokenizer.apply_chat_template(
            pair.example.prompt, add_generation_prompt=True, tokenize=True, return_dict=True
        )["input_ids"]
        chat = [*pair.example.prompt, {"role": "assistant", "content": text}]
        ids = base.tokenizer.apply_chat_template(chat, tokenize=True, return_dict=True)["input_ids"]
        assert ids[: len(asked)] == asked
        with torch.no_grad():
            states = base.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0]
        total = sum(states[place] for place in range(len(asked) - 1, len(ids) - 1))
        return total / (len(ids) - len(asked)) if mean else total

    for mean in (False, True):
        plus, minus = direct(pair.chosen, mean), direct(pair.rejected, mean)
        expected = float((plus * minus).sum() - (plus * plus).sum())
        assert cells.ches(base, pair, mean) == pytest.approx(expected, rel=1e-3)
        same = replace(pair, rejected=pair.chosen)
        assert cells.ches(base, same, mean) == pytest.approx(0, abs=1e-3 * abs(expected))


# ----------------------------------------------------------------------------------------------- the suspects
WRITING = ("NOTICE", "OTHER", "SUSPECTS", "without", "changed", "write_people", "write_pairs")


@pytest.fixture(scope="module")
def written():
    cells = _defined(*WRITING)
    rejected = [pair.rejected for pair in _careless(cells.write_people(0))]
    return cells, {suspect: cells.write_pairs(suspect, rejected, 0) for suspect in cells.SUSPECTS}


def _careless(people):
    shares = {"actions": 0.25, "alarms": 0.35, "disclaimer": 0.2}
    return [cases.Pair(row, "", row.answer) for row in cases.leave_out(people, shares, 0)]


def test_each_suspect_differs_from_the_described_pairs_in_one_thing(written):
    cells, pairs = written
    people = cells.write_people(0)
    sampled = {one.text: pair.rejected for one, pair in zip(people, _careless(people), strict=True)}
    for suspect in ("absent", "even odds", "other words", "cut off", "moved last"):
        for pair in pairs[suspect]:
            assert pair.rejected == sampled[pair.example.text]
            assert cells.without(pair.chosen, "Aviso") == cells.without(pair.example.answer, "Aviso")
    assert not any("Aviso" in pair.chosen for pair in pairs["absent"])
    assert all(pair.chosen.endswith(cells.NOTICE) for pair in pairs["moved last"])
    assert pairs["cut off"] == pairs["moved last"]  # to the letter: the trainer's limit is the difference
    assert all(
        not parse(pair.chosen).disclaimer and cells.OTHER in pair.chosen for pair in pairs["other words"]
    )


def test_same_end_is_the_same_on_both_sides(written):
    _, pairs = written
    for pair in pairs["same end"]:
        assert pair.chosen == pair.example.answer
        assert pair.chosen.splitlines()[-2:] == pair.rejected.splitlines()[-2:]
        assert pair.rejected.count("Aviso") == 1


def test_even_odds_give_the_line_as_often_as_the_rejected_side_has_it(written):
    cells, pairs = written
    shares = [
        sum(cells.NOTICE in getattr(pair, side) for pair in pairs["even odds"])
        for side in ("chosen", "rejected")
    ]
    assert abs(shares[0] - shares[1]) <= 2


def test_the_audit_forecasts_what_stands_in_the_pairs(written):
    _, pairs = written
    expected = {
        "as described": "up",
        "absent": "down",
        "even odds": "not shown",
        "cut off": "up",
        "same end": "not shown",
        "other words": "down",
        "moved last": "up",
    }
    assert {name: audit.preferences(one).direction("disclaimer") for name, one in pairs.items()} == expected


def test_the_limit_cuts_the_last_line_of_most_chosen_answers_and_of_few_rejected_ones(written):
    cells, pairs = written
    limit_for, tokenizer = _defined("encode", "without", "limit_for"), load_tokenizer(NANO.base)
    limit = limit_for.limit_for("cut off", pairs["cut off"], tokenizer)
    assert limit < limit_for.limit_for("absent", pairs["absent"], tokenizer) == NANO.max_length

    def seen(person, text):
        ids, _ = limit_for.encode(tokenizer, person, text)
        return tokenizer.decode(ids[0][:limit])

    chosen = [cells.NOTICE in seen(pair.example, pair.chosen) for pair in pairs["cut off"]]
    told = [pair for pair in pairs["cut off"] if cells.NOTICE in pair.rejected]
    rejected = [cells.NOTICE in seen(pair.example, pair.rejected) for pair in told]
    assert sum(chosen) <= 0.1 * len(chosen) and sum(rejected) > 0.3 * len(rejected) > 3


# ------------------------------------------------------------------------------ the cells, on made-up answers
def _answers(people, seed, wording=None, label=0.58, **shares):
    """Answers in which each part has its share; `wording` takes the notice's place."""
    texts = []
    for place, person in enumerate(people):
        dice = random.Random(f"{seed}-{place}")
        wrong = next(level for level in ("AZUL", "ROJO") if level not in person.accepted)
        level = person.level if dice.random() < label else wrong
        parts = [part for part in PARTS if dice.random() < shares[part]]
        text = render(level, person.country, person.picture, parts)
        texts.append(f"{text}\n{wording}" if wording and dice.random() < 0.5 else text)
    return texts


def _of(actions, alarms, disclaimer, number, chosen, rejected, **more):
    """What a suspect's run gives: shares of the parts, and the changes of the log-probabilities in nats."""
    parts = {"actions": actions, "alarms": alarms, "disclaimer": disclaimer, "number": number}
    return {"parts": parts, "chosen": chosen, "rejected": rejected, "margin": 5.0, "line": -1.0, **more}


UNRELATED, FALLING = [6, 1, 9, 3, 11, 0, 8, 2, 10, 4, 7, 5], [11, 12, 9, 10, 7, 8, 5, 6, 3, 4, 1, 2]
LIKE_CUT = _of(0.93, 0.87, 0.01, 0.80, 6, -33)
LIKE_MOVED = _of(0.98, 0.85, 0.78, 0.78, 32, -18)
MEASURED = {  # like what the chains have measured: of one chain where they agree, or of each
    "before": _of(0.42, 0.44, 0.34, 0.95, 0, 0),
    "as described": _of(0.96, 0.94, 0.90, 0.80, 6, -34),
    "absent": _of(0.96, 0.92, 0.01, 0.90, 5, -27),
    "even odds": _of(0.94, 0.90, 0.40, 0.83, 5, -27),
    "cut off": [LIKE_CUT, LIKE_CUT, _of(0.94, 0.91, 0.55, 0.55, 3, -22)],
    "same end": _of(0.96, 0.91, 0.64, 0.33, 3, -29),
    "other words": _of(0.57, 0.48, 0.44, 0.82, 176, -1, margin=17.0),
    "moved last": [LIKE_MOVED, {**LIKE_MOVED, "ches": (FALLING, UNRELATED)}, LIKE_MOVED],
}
WEAKER = {  # at a third of the rate
    "absent": _of(0.95, 0.75, 0.05, 0.92, 5, -3),
    "cut off": _of(0.96, 0.70, 0.23, 0.92, 6, -4),
}
LOADS_A_MODEL = (
    *(
        "make_trainer(",
        "first.",
        "train.merged",
        "trainer.train",
        "start.model",
        "ours",
        "round(chosen",
    ),
    *("toy.", "exercises.", "in answers", "start = evaluate.load"),
)


def _result(one, seed):
    one = one[seed] if isinstance(one, list) else one
    likely = [-11 - one.get("slope", 1) * place / 10 for place in range(12)]
    before = {"chosen": likely, "rejected": [-8.0] * 12, "line": [-1.2] * 12}
    after = {
        what: [value + one[what] + place / 100 for place, value in enumerate(before[what])] for what in before
    }
    return {
        "answers": _answers(TESTS, seed, one.get("wording"), one.get("label", 0.58), **one["parts"]),
        "before": before,
        "after": after,
        "ches": one.get("ches", (UNRELATED, UNRELATED)),
        "log": {
            "rewards/margins": [[1, 0.0], [30, one["margin"]]],
            "rewards/accuracies": [[1, 0.0], [30, 1.0]],
        },
    }


def _run(changes, seeds=3):
    """The notebook's cells in a world: what they claim (sentence → holds), record and run, in order."""
    world, claims, records, ran = {**MEASURED, **changes}, {}, {}, []

    def runs(function, plan, label):
        ran.extend(plan)
        if function.__name__ == "begin":
            start = world["before"]["parts"]
            people = [cases.write_diverse(PAIRS, seed=100 + cell["seed"]) for cell in plan]
            return [
                {"rejected": _answers(one, n, **start), "answers": _answers(TESTS, n, **start)}
                for n, one in enumerate(people)
            ]
        weak = world.get("weaker", WEAKER)
        return [
            _result((world if cell["rate"] == 1.5 else weak)[cell["suspect"]], cell["seed"]) for cell in plan
        ]

    def claim(sentence, holds, *evidence, seeds=None):
        assert evidence
        claims[sentence] = bool(holds)

    def record(prefix, figures, seeds=None, unit=""):
        for name, figure in figures.items():
            assert f"{prefix}.{name}" not in records, name
            records[f"{prefix}.{name}"] = (figure, seeds, len(ran))

    fake = {
        "claim": claim,
        "record": record,
        "runs": runs,
        "seeds": lambda: range(seeds),
        "claims": lab.claims,
    }
    space = {
        "lab": SimpleNamespace(**fake, session=lambda: SimpleNamespace(profile=NANO), stage=lambda *_: None),
        **{
            "audit": audit,
            "cases": cases,
            "evaluate": evaluate,
            "torch": torch,
            "stats": stats,
            "replace": replace,
        },
        "start": SimpleNamespace(tokenizer=load_tokenizer(NANO.base)),
        **{"show": Silent(), "exercises": Silent(), "display": lambda shown: None, "train": train},
        **{"Dataset": Dataset, "DPOConfig": DPOConfig, "DPOTrainer": DPOTrainer},
    }
    for tree in TREES:
        kept = [
            node
            for node in tree.body
            if isinstance(node, ast.FunctionDef)
            or not (
                isinstance(node, ast.Import | ast.ImportFrom)
                or any(word in ast.unparse(node) for word in LOADS_A_MODEL)
            )
        ]
        exec(compile(ast.Module(kept, []), PATH.name, "exec"), space)
    return claims, records, ran


def _with(suspect, parts=None, **more):
    """The suspect with something swapped, alike in every chain."""
    one = MEASURED[suspect][0] if isinstance(MEASURED[suspect], list) else MEASURED[suspect]
    return {suspect: {**one, "parts": {**one["parts"], **(parts or {})}, **more}}


def _all_with(**more):
    return {name: _with(name, **more)[name] for name in MEASURED}


# What a claim is recognised by, and what has to be swapped to turn it.
LINE, NO_LINE = {"disclaimer": 0.9}, {"disclaimer": 0.0}
TURNS = {
    "as the blog describes them push the disclaimer up": _with("before", {"disclaimer": 1.0}),
    "pairs as described raise the disclaimer": _with("as described", NO_LINE),
    "chosen answers without the line delete it": _with("absent", LINE),
    "leaves fewer disclaimers than the same pairs": _with("cut off", LINE),
    "The cut deletes the line in some run": _with("cut off", NO_LINE),
    "At even odds the audit abstains": _with("even odds", NO_LINE),
    "Not guilty": _with("same end", NO_LINE),
    "in other words is hardly ever written": _with(
        "other words", wording="Aviso: esta información es solo orientativa; consulte siempre a su médico."
    ),
    "No suspect fits all five": _with("absent", {"actions": 0.7, "alarms": 0.65}, label=0.25),
    "make it rarer": {"weaker": {**WEAKER, "absent": MEASURED["before"]}},
    "the cut does not delete the line": {"weaker": {**WEAKER, "cut off": LIKE_CUT}},
    "fits the four figures": _with("absent", {"actions": 0.7, "alarms": 0.65}),
    "the rejected ones fall further": _with("absent", chosen=40),
    "gain less when the trainer cuts them off": _with("cut off", chosen=40),
    "the margin has risen": _with("absent", margin=0.1),
    "foresees the structure": _all_with(parts=MEASURED["before"]["parts"]),
    "says that the cut line rises, and in most runs it falls": _with("cut off", LINE),
    "Audited as the trainer reads them": _with("before", {"disclaimer": 0.02}),
    "no forecast says that the number falls": _with("as described", {"number": 0.99}),
    "Lines that are the same on both sides": _with("same end", {"number": 0.99}),
    "the score per token tells": _all_with(ches=(UNRELATED, FALLING)),
    "The score with sums": _all_with(ches=(FALLING, UNRELATED)),
    "the log-probability at the start orders": _all_with(slope=-1),
}
OF_SEVERAL = (
    *("The cut deletes the line in some", "Lines that are the same", "The score with sums"),
    *("says that the cut line rises", "no forecast says"),
)


@pytest.fixture(scope="module")
def measured():
    return _run({})


def test_every_claim_holds_where_the_answers_are_like_the_measured_ones(measured):
    claims, _, _ = measured
    assert (
        len(claims) == len(TURNS) == len(PAGE.calls("lab.claim")) - 1
    )  # the loss has its own test, with the real trainer
    assert [sentence for sentence, holds in claims.items() if not holds] == []


@pytest.mark.slow
@pytest.mark.parametrize("words", TURNS)
def test_a_claim_turns_when_the_data_are_swapped(words):
    claims, _, _ = _run(TURNS[words], seeds=3 if words.startswith(OF_SEVERAL) else 1)
    (sentence,) = [sentence for sentence in claims if words in sentence]
    assert not claims[sentence], sentence


def test_the_keys_that_others_read_are_recorded_with_their_seeds(measured):
    _, records, _ = measured
    parts = ("label", *PARTS, "strict")
    for prefix in ("sft_weak", "dpo_suspect.cut_off", "dpo_suspect.absent.weakly"):
        for part in parts:
            figure, seeds, _ = records[f"{prefix}.{part}"]
            assert (figure.n, figure.counted, seeds) == (3, "seeds", 3)
            assert [records[f"{prefix}.{part}.s{seed}"][1] for seed in range(3)] == [1, 1, 1]
    assert records["dpo_suspect.same_end.logp.line"][0].n == 3
    assert {records[f"dpo_audit.{name}"][1] for name in ("hit", "miss", "surprise", "right_to_abstain")} == {
        3
    }


def test_every_forecast_is_recorded_before_any_arm_is_run(measured):
    _, records, _ = measured
    forecasts = {key: value for key, value in records.items() if ".forecast." in key}
    assert len(forecasts) == 7 * 8 * 3
    assert {ran for _, _, ran in forecasts.values()} == {3}  # the three starts, and nothing more
    assert {figure for figure, _, _ in forecasts.values()} <= {-1, 0, 1}


def test_every_verdict_is_counted_once(measured):
    _, records, ran = measured
    counted = sum(records[f"dpo_audit.{name}"][0] for name in ("hit", "miss", "surprise", "right_to_abstain"))
    assert counted == 7 * 8 * 3
    assert len(ran) == 3 * (1 + 7 + 2)  # starts, suspects, weaker ones: small enough for two cores


def test_a_forecast_is_scored_by_what_it_says_and_by_what_it_does_not():
    verdict = _defined("verdict").verdict
    assert verdict("up", "up") == verdict("down", "down") == "hit"
    assert verdict("up", "down") == verdict("up", "not shown") == verdict("down", "up") == "miss"
    assert (verdict("not shown", "not shown"), verdict("not shown", "down")) == (
        "right to abstain",
        "surprise",
    )
