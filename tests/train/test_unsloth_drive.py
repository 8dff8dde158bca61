"""Unsloth driven: SFT, DPO, GRPO and the merged save of the nano base, on the CPU, beside the same steps with plain
transformers + PEFT. `make test-unsloth` makes the environment for it.

Without a GPU, Unsloth trains with a backend of its own (`unsloth_zoo.cpu`: transformers and PEFT, with its gradient
checkpointing, its convolution and its changes of TRL). So this is our use of its interface, and what we make of its
model; its Triton kernels are not in it. Both sides compute in float32: bfloat16's rounding (2⁻⁸) would hide what is
looked for.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from safetensors.torch import load_file

from helpers import train
from helpers.files import ROOT, read_json

pytestmark = [
    pytest.mark.skipif(
        not find_spec("unsloth"),
        reason="Unsloth, the extra `gpu`, is not in this environment: `make test-unsloth` makes one and runs this",
    ),
    pytest.mark.timeout(3600),
]
# Measured over six steps: losses differ by 1.3e-7 nats at most, the change of the weights by 3e-5 of its length (Adam
# divides by small gradients, which enlarges float32's rounding). A rate, α or rank that is 1 % off, or a layer left
# out, moves either by more than a hundredth. What lies between is room for the sums of other CPUs.
LOSS, CHANGE = 1e-5, 1e-3
STAGES = ("sft", "dpo", "grpo")
ALIKE = {"TRIAGE_PRECISION": "fp32", "UNSLOTH_CPU_BF16": "0", "UNSLOTH_FORCE_CPU": "1"}


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """What both engines did, by name: the record that `tests/drive.py` leaves, and where its models are."""
    found = {}
    for engine, profile in {"transformers": "nano", "unsloth": "gpu"}.items():  # `gpu` imports Unsloth first
        out = tmp_path_factory.mktemp(engine)
        environment = os.environ | ALIKE | {"TRIAGE_PROFILE": profile, "TRIAGE_BUILD": str(out / "build")}
        done = subprocess.run(
            [sys.executable, "tests/drive.py", engine, str(out)],
            env=environment | {"PYTHONPATH": str(ROOT)}, cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        found[engine] = json.loads((out / "told.json").read_text()) | {"folder": out, "said": done.stdout}
    return found


def weights(driven, engine, stage):
    return load_file(driven[engine]["folder"] / stage / "model.safetensors")


def test_unsloth_trained_and_not_something_that_stands_for_it(driven):
    assert f"Unsloth {driven['unsloth']['versions']['unsloth']}: " in driven["unsloth"]["said"]
    assert "Unsloth (CPU): Lfm2ForCausalLM" in driven["unsloth"]["said"]
    assert "nsloth" not in driven["transformers"]["said"]


@pytest.mark.parametrize("stage", STAGES)
def test_as_many_parameters_are_trained_and_all_of_them_in_float32(driven, stage):
    for engine in driven:
        assert driven[engine][stage]["trainable"] == 303_104
        assert driven[engine][stage]["adapter"] == ["torch.float32"]


@pytest.mark.parametrize("stage", STAGES)
def test_the_losses_of_every_step_are_those_of_plain_transformers(driven, stage):
    """GRPO's too: its answers are drawn with the same random numbers, and 3,000 tokens come out the same."""
    plain, unsloth = (dict(driven[engine][stage]["losses"]) for engine in driven)
    assert len(plain) == 6 and len(set(plain.values())) > 3
    assert unsloth == pytest.approx(plain, abs=LOSS)
    for name, curve in driven["transformers"][stage]["curves"].items():
        assert dict(driven["unsloth"][stage]["curves"][name]) == pytest.approx(dict(curve), abs=1e-3), name


@pytest.mark.parametrize("stage", STAGES)
def test_the_merged_weights_are_those_of_plain_transformers(driven, stage):
    base = train.load_model(train.profile_named("nano").base).state_dict()
    plain, unsloth = (weights(driven, engine, stage) for engine in driven)
    assert plain.keys() == unsloth.keys()
    changed = [name for name in plain if not torch.equal(plain[name], base[name])]
    assert {name.split(".")[-2] for name in changed} == set(train.LORA_TARGETS["lfm2"])
    assert all(torch.equal(plain[name], unsloth[name]) for name in plain.keys() - set(changed))
    change, other = (
        torch.cat([(side[name] - base[name]).flatten() for name in changed]) for side in (plain, unsloth)
    )
    assert change.norm() > 0.1
    assert (change - other).norm() < CHANGE * change.norm()


@pytest.mark.parametrize("stage", STAGES)
def test_the_merged_folder_is_read_and_used_without_unsloth(driven, stage):
    tokenizer = train.load_tokenizer(driven["unsloth"]["folder"] / stage)
    model = train.load_model(driven["unsloth"]["folder"] / stage)
    asked = tokenizer("Me duele el pecho", return_tensors="pt")
    with torch.no_grad():
        mine = model(**asked).logits
        other = train.load_model(driven["transformers"]["folder"] / stage)(**asked).logits
    assert torch.allclose(mine, other, atol=1e-3)
    ours, theirs = (read_json(driven[engine]["folder"] / stage / "config.json") for engine in driven)
    assert ours == theirs  # nothing of Unsloth's is written into it
