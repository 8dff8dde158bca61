"""Notebook 10: advantage and loss of its cells are TRL's, its chains are whole, and a claim turns when the answers are swapped.

The cells run on answers that are made up here, to the real test wordings; what is trained is a few updates on a few tokens.
"""

import ast
from types import SimpleNamespace

import pytest
import torch
import trl
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import cases, notebooks
from helpers.files import ROOT
from helpers.train import profile_named

PATH = ROOT / "notebooks" / "10_reward_calibration.ipynb"
TREES = [
    ast.parse(cell.source)
    for cell in notebooks.read(PATH).cells
    if cell.cell_type == "code" and notebooks.BOOT_TAG not in cell.metadata.get("tags", [])
]
NANO = profile_named("nano")
FUNCTIONS = {node.name: node for tree in TREES for node in tree.body if isinstance(node, ast.FunctionDef)}
DEV, TESTS = cases.evaluation_prompts("dev")[::3], cases.evaluation_prompts("test")[::3]


def _calls(name):
    return [
        node
        for tree in TREES
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name
    ]


def _defined(*names, **space):
    """Functions of the notebook, executed alone."""
    exec(compile(ast.Module([FUNCTIONS[name] for name in names], []), PATH.name, "exec"), space)
    return space[names[-1]]


# ------------------------------------------------------------------------------------------------------- the glass box
def _reached(name):
    """Everything that a function of the notebook calls, through the notebook's own functions."""
    waiting, calls = [name], set()
    while waiting:
        for node in ast.walk(FUNCTIONS[waiting.pop()]):
            if isinstance(node, ast.Call) and (call := ast.unparse(node.func)) not in calls:
                calls.add(call)
                waiting += [call] if call in FUNCTIONS else []
    return calls


def test_every_run_is_a_whole_chain_with_trls_own_calls():
    functions = {ast.unparse(call.args[0]) for call in _calls("lab.runs")}
    assert "chain" in functions
    for name in functions:
        assert {"GRPOTrainer", "GRPOConfig", "lab.stage", "train.load", "trainer.train"} <= _reached(name)
        assert "seed" in {argument.arg for argument in FUNCTIONS[name].args.args}
        assert "seeds" not in {node.id for node in ast.walk(FUNCTIONS[name]) if isinstance(node, ast.Name)}


def test_every_claim_has_evidence_and_a_rule_that_can_fail():
    for call in _calls("lab.claim"):
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


# -------------------------------------------------------------------------------------------------- GRPO, by hand and TRL's
advantage = _defined("advantage", torch=torch)
grpo_loss = _defined("grpo_loss", torch=torch)


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
