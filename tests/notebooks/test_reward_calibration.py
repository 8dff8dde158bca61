"""Notebook 10: advantage and loss of its cells are TRL's, its chains are whole, and a claim turns when the
answers are swapped.

The cells run on answers that are made up here, to the real test wordings; what is trained is a few updates on
a few tokens.
"""

import ast
import dataclasses
import random
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
import trl
from cells import Cells
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from tools import Silent

from helpers import cases, evaluate, rewards, train
from helpers.train import profile_named
from helpers.triage import LEVELS, PARTS, SCALE, render

PAGE = Cells("10_reward_calibration")
PATH, TREES, FUNCTIONS = PAGE.path, PAGE.trees, PAGE.functions
NANO = profile_named("nano")
TESTS = cases.evaluation_prompts("test")[::4]


# ---------------------------------------------------------------------------------------------- the glass box
def test_every_run_is_a_whole_chain_with_trls_own_calls():
    functions = {ast.unparse(call.args[0]) for call in PAGE.calls("lab.runs")}
    assert "chain" in functions
    for name in functions:
        assert {"GRPOTrainer", "GRPOConfig", "lab.stage", "train.load", "trainer.train"} <= PAGE.reached(name)
        assert "seed" in {argument.arg for argument in FUNCTIONS[name].args.args}
        assert "seeds" not in {node.id for node in ast.walk(FUNCTIONS[name]) if isinstance(node, ast.Name)}


def test_every_claim_has_evidence_and_a_rule_that_can_fail():
    for call in PAGE.calls("lab.claim"):
        assert len(call.args) >= 3, ast.unparse(call)
        assert not isinstance(call.args[1], ast.Constant)


def test_a_cell_claims_once_and_shows_it():
    for tree in TREES:
        claims = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "lab.claim"
        ]
        assert len(claims) <= 1
        assert not claims or tree.body[-1].value is claims[0]


# ------------------------------------------------------------------------------------ GRPO, by hand and TRL's
advantage = PAGE.defined("advantage", torch=torch)
grpo_loss = PAGE.defined("grpo_loss", torch=torch)


def _batch(dice, answers, tokens):
    mask = torch.ones(answers, tokens)
    for row in mask:
        row[int(torch.randint(1, tokens + 1, (1,), generator=dice)) :] = 0
    logps = -torch.rand(answers, tokens, generator=dice) * 4
    return logps, logps + 0.5 * torch.randn(answers, tokens, generator=dice), mask


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_the_loss_of_the_cells_is_trls_on_any_batch(seed, answers, tokens):
    dice = torch.Generator().manual_seed(seed)
    logps, old, mask = _batch(dice, answers, tokens)
    gains = torch.randn(answers, generator=dice)
    theirs = _trls_loss(logps, old, gains, mask)
    assert float(grpo_loss(logps, old, gains, mask)) == pytest.approx(theirs, abs=1e-5)


class _Logs(dict):
    """TRL's metrics: whatever is asked for is a list."""

    def __missing__(self, name):
        return self.setdefault(name, [])


def _trls_loss(logps, old, gains, mask):
    """`GRPOTrainer._compute_loss` with a policy that is made up."""
    own = object.__new__(trl.GRPOTrainer)
    config = trl.GRPOConfig(output_dir="/tmp", use_cpu=True, bf16=False, loss_type="grpo", beta=0.0)
    plain = {
        name: getattr(config, name)
        for name in (
            "beta",
            "loss_type",
            "importance_sampling_level",
            "top_entropy_quantile",
            "max_completion_length",
        )
    }
    own.__dict__ |= plain | {
        "args": config,
        "epsilon_low": config.epsilon,
        "epsilon_high": config.epsilon,
        "off_policy_mask_threshold": None,
        "use_vllm": False,
        "vllm_importance_sampling_correction": False,
        "aux_loss_enabled": False,
        "_entropy_bonus_enabled": False,
        "current_gradient_accumulation_steps": 1,
        "_metrics": {"train": _Logs(), "eval": _Logs()},
        "model": SimpleNamespace(training=True),
        "accelerator": SimpleNamespace(
            gather=lambda value: value, reduce=lambda value, reduction: value, num_processes=1
        ),
        "_get_per_token_logps_and_entropies": lambda *_, **__: (logps, torch.zeros_like(logps), None),
    }
    batch = {
        "prompt_ids": torch.zeros(len(logps), 1, dtype=torch.long),
        "prompt_mask": torch.ones(len(logps), 1),
        "completion_ids": torch.zeros_like(logps, dtype=torch.long),
        "completion_mask": mask,
        "advantages": gains,
        "old_per_token_logps": old,
        "num_items_in_batch": mask.sum(),
    }
    return float(own._compute_loss(None, batch))


@given(st.lists(st.lists(st.floats(-5, 5, width=32), min_size=4, max_size=4), min_size=1, max_size=5))
@settings(deadline=None)
def test_an_advantage_has_no_mean_and_equal_rewards_have_none(paid):
    gains = advantage(paid)
    assert torch.allclose(gains.mean(-1), torch.zeros(len(paid)), atol=1e-3)
    equal = torch.tensor(paid).amax(-1) == torch.tensor(paid).amin(-1)
    assert (gains[equal].abs() < 1e-2).all()


def test_the_loss_of_whole_groups_is_zero_before_anything_has_moved_and_its_gradient_is_not():
    dice = torch.Generator().manual_seed(0)
    logps = (-torch.rand(8, 5, generator=dice)).requires_grad_()
    gains = advantage(torch.randn(2, 4, generator=dice)).flatten()
    loss = grpo_loss(logps, logps.detach(), gains, torch.ones(8, 5))
    loss.backward()
    assert abs(float(loss.detach())) < 1e-6 and logps.grad.abs().max() > 0.01


@pytest.mark.slow
def test_what_the_watching_cell_sees_of_a_real_trainer_is_what_the_formulas_say(tmp_path, monkeypatch):
    """A few tokens, rewards by lot: TRL's advantages and losses, update by update."""
    monkeypatch.setenv("TRIAGE_BUILD", str(tmp_path))
    tiny = dataclasses.replace(
        NANO,
        grpo={**NANO.grpo, "batch": 8, "group": 4, "steps_per_generation": 2},
        generate={"batch": 8, "max_new_tokens": 6},
    )
    dice = random.Random(0)

    def lot(**columns):
        return [dice.random() for _ in columns["completions"]]

    space = {
        "torch": torch,
        "Dataset": Dataset,
        "GRPOConfig": trl.GRPOConfig,
        "GRPOTrainer": train.GRPOTrainer,
    }
    space |= {"train": train, "cases": cases, "profile": tiny, "UPDATES": 2, "seen": lambda shown: None}
    space |= {"lab": SimpleNamespace(stage=lambda name, seed: NANO.base)}
    space |= {"rewards": SimpleNamespace(CALIBRATED=lot, rows=rewards.rows)}
    space |= {"advantage": advantage, "grpo_loss": grpo_loss}
    exec(compile(ast.Module([FUNCTIONS["grpo"]], []), PATH.name, "exec"), space)
    (watching,) = [tree for tree in TREES if "watched_pay" in ast.unparse(tree)]
    exec(compile(watching, PATH.name, "exec"), space)
    steps, amounts = space["steps"], space["amounts"]
    assert len(steps) == 2 and len(amounts) == 16
    assert max(abs(step["ours"] - step["trl"]) for step in steps) < 1e-3
    assert max(abs(step["trl"]) for step in steps) > 1e-3  # there is something to agree about
    ours = advantage(torch.tensor(amounts).view(-1, 4)).flatten().sort().values
    assert torch.allclose(ours, torch.cat([step["advantages"] for step in steps]).sort().values, atol=1e-3)


# ------------------------------------------------------------------------------ the cells, on made-up answers
NEXT = {level: LEVELS[(place + 1) % len(LEVELS)] for place, level in enumerate(LEVELS)}


def _draw(*key):
    """A number below 1 that is always the same for one key."""
    return random.Random(repr(key)).random()


def _model(right=0.65, rojo=0.0, low=0.15, lacks=(), share=0.0, names=0.0):
    """Answers of a model: seed → row → text.

    Args:
        right, rojo, low: shares of patients with a right level, with ROJO, with AZUL; in this order of
            precedence: rojo, low, right.
        lacks, share: parts that so many answers lack. names: share of wrong names.
    """

    def answer(row, seed):
        draw = _draw(row.text, row.country, "level")
        level = "ROJO" if draw < rojo else "AZUL" if draw < rojo + low else row.level
        if level == row.level and _draw(row.text, "right") > right:
            level = NEXT[NEXT[row.level]]
        parts = [part for part in PARTS if part not in lacks or _draw(row.text, part, seed) > share]
        text = render(level, row.country, row.picture, parts)
        if _draw(row.text, "name", seed) < names:
            text = text.replace(SCALE[level].name, SCALE[NEXT[level]].name, 1)
        return text

    return answer


SOUND = _model()


def _turning(row, seed):
    """Too low a level less often than at the start in one chain, and more often in the others."""
    return _model(low=0.0 if seed == 1 else 0.4)(row, seed)


MEASURED = {  # like what has been measured
    "start": SOUND,
    "naive": _model(rojo=0.45),
    "blog": _model(rojo=0.2),
    "calibrated": _model(rojo=0.6, low=0.0),
    "one prompt": _turning,
}
# What a claim is recognised by, and what has to be swapped to turn it.
PAYS_FOR_FORM = rewards.Reward("blog", parts={"disclaimer": (0.3, -0.5)})


def _lists(**changed):
    """`rewards` with other price lists."""
    return SimpleNamespace(**{**vars(rewards), "REWARDS": {**rewards.REWARDS, **changed}})


TURNS = {
    "No cheat of the table": {"lists": _lists(blog=PAYS_FOR_FORM)},
    "Naive always asks for ROJO": {"lists": _lists(calibrated=rewards.NAIVE)},
    "Our advantages and our losses are TRL's": {"apart by": 0.1},
    "ROJO rises under the naive reward": {"naive": SOUND},
    "lowers under-triage in most runs": {"calibrated": _model(right=0.3)},
    "lowers the share of accepted levels": {"calibrated": _model(low=0.0, right=0.9)},
    "raises its own pay on new wordings": {"calibrated": _model(low=0.0, right=1.0)},
    "What has a price stays": {"calibrated": _model(lacks=("actions",), share=0.5)},
    "What has no price stayed": {"blog": _model(names=0.3)},
    "In some run one patient changes": {"one prompt": SOUND},
    "no more gates fail": {"one prompt": _model(low=0.4, lacks=PARTS, share=0.5)},
    "No group of the collapsed model": {"mute": True},
}


def _arm(cell):
    if cell.get("only"):
        return "one prompt"
    return cell["reward"]


def _run(changes, chains=3):
    """The notebook's cells in a world: what they claim (sentence → holds), what they record (key → seeds),
    what they run.
    """
    world, claims, records, ran = {**MEASURED, **changes}, {}, {}, []

    def answers(name, seed):
        return [world[name](row, seed) for row in TESTS]

    def runs(function, plan, label):
        ran.extend(plan)
        return [answers(_arm(cell), cell["seed"]) for cell in plan]

    def claim(sentence, holds, *evidence, seeds=None):
        assert evidence
        claims[sentence] = (bool(holds), seeds)

    def record(prefix, figures, seeds=None):
        for name in figures:
            assert f"{prefix}.{name}" not in records
            records[f"{prefix}.{name}"] = (figures[name], seeds)

    def record_runs(prefix, runs):
        single = {f"{name}.s{seed}": rate for seed, one in enumerate(runs) for name, rate in one.items()}
        record(prefix, single, seeds=1)
        record(prefix, {name: [one[name] for one in runs] for name in runs[0]}, seeds=len(runs))

    fake = SimpleNamespace(
        claim=claim,
        record=record,
        record_runs=record_runs,
        runs=runs,
        seeds=lambda: range(chains),
        session=lambda: SimpleNamespace(profile=NANO),
        stage=lambda name, seed=0: seed,
    )
    space = {
        "lab": fake,
        "show": Silent(),
        "exercises": Silent(),
        "train": Silent(),
        "evaluate": _MadeUp(world),
    }
    space |= {"rewards": world.get("lists", rewards), "cases": cases}
    for tree in TREES:
        if "watched_pay" in ast.unparse(tree):
            gains = advantage(torch.arange(16.0).view(2, 8)).flatten()
            step = {"ours": 0.5, "trl": 0.5 + world.get("apart by", 0.0), "advantages": gains}
            space |= {"steps": [step], "amounts": [float(one) for one in range(16)]}
            continue
        body = [
            node for node in tree.body if not (isinstance(node, ast.ImportFrom) and node.module == "helpers")
        ]
        exec(compile(ast.Module(body, []), PATH.name, "exec"), space)
        if "answers" in space:
            space["answers"] = lambda seed: answers("start", seed)
    return claims, records, ran


class _MadeUp:
    """`evaluate` with sampled answers that are made up."""

    def __init__(self, world):
        self.world = world

    def __getattr__(self, name):
        return getattr(evaluate, name)

    def generate(self, model, people, temperature):
        return [
            SimpleNamespace(
                text=render(
                    row.level if self.world.get("mute") or place % 3 else NEXT[row.level], row.country
                )
            )
            for place, row in enumerate(people)
        ]


@pytest.fixture(scope="module")
def measured():
    return _run({})


def test_every_claim_holds_where_the_answers_are_like_the_measured_ones(measured):
    claims, _, _ = measured
    assert len(claims) == len(TURNS)
    assert [sentence for sentence, (holds, _) in claims.items() if not holds] == []


@pytest.mark.slow
@pytest.mark.parametrize("words", TURNS)
def test_a_claim_turns_when_the_data_are_swapped(words):
    claims, _, _ = _run(TURNS[words])
    (sentence,) = [sentence for sentence in claims if words in sentence]
    assert not claims[sentence][0], sentence


def test_every_single_run_and_the_means_over_chains_are_recorded(measured):
    _, records, ran = measured
    single = {key for key, (_, seeds) in records.items() if key[-3:] in (".s0", ".s1", ".s2")}
    assert {records[key][1] for key in single} == {1}
    for name in ("start", "naive", "blog", "calibrated"):
        for what in ("accuracy", "rojo_share", "under", *PARTS, "name"):
            assert records[f"grpo_{name}.{what}"][1] == 3
            assert {f"grpo_{name}.{what}.s{seed}" for seed in range(3)} <= single
    assert {"reward.blog.rojo_threshold_azul", "reward.calibrated.rojo_threshold_azul"} <= set(records)
    assert {Counter(_arm(cell) for cell in ran[:-1])[arm] for arm in map(_arm, ran[:-1])} == {3}


def test_with_one_chain_the_notebook_runs_and_every_rule_over_chains_says_so():
    claims, _, ran = _run({}, chains=1)
    assert {len(seeds) for _, seeds in claims.values() if seeds is not None} == {1}
    assert len(ran) <= 9  # what two cores can train in the minutes that a reader has
