"""Two processes train what one trains: gradients are added up under gloo, as on several cards under NCCL."""

import json
import os
import subprocess
import sys

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from safetensors.torch import load_file
from transformers.models.lfm2 import modeling_lfm2

from helpers import train
from helpers.files import DATA, ROOT

SCRIPT = """
import sys
from datasets import Dataset
from trl import SFTConfig
from helpers import cases, lab, train
from helpers.lab.stages import RANK

lab.session()
profile = train.current_profile()
model, tokenizer = train.load(profile, seed=0)
rows = Dataset.from_list(cases.chat_rows(cases.write_diverse(64, seed=0)))
machine = train.machine(profile) | {"train_sampling_strategy": "random", "logging_steps": 1}
args = SFTConfig(max_steps=6, learning_rate=1e-3, max_length=profile.max_length, seed=0, **machine)
trainer = train.SFTTrainer(model, processing_class=tokenizer, train_dataset=rows, args=args)
kept = lab.keep("together", trainer)
if not RANK:
    print(kept.path)
"""


def _train(folder, processes):
    script = folder / "script.py"
    script.write_text(SCRIPT)
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    settings = {"TRIAGE_BUILD": str(folder), "TRIAGE_PRECISION": "fp32", "TRIAGE_THREADS": "1"}
    environment = os.environ | settings | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*start, str(script)], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (stage,) = (folder / "stages" / "nano").glob("together-*")
    return stage.name, json.loads((stage / "training.json").read_text())


KILLED = """
import os, signal
from pathlib import Path
from datasets import Dataset
from transformers import TrainerCallback
from trl import SFTConfig
from helpers import cases, lab, train

lab.session()
profile = train.current_profile()
model, tokenizer = train.load(profile, seed=0)
rows = Dataset.from_list(cases.chat_rows(cases.write_diverse(64, seed=0)))
machine = train.machine(profile) | {"save_strategy": "steps", "save_steps": 2, "logging_steps": 1}
args = SFTConfig(max_steps=6, learning_rate=1e-3, max_length=profile.max_length, seed=0, **machine)
trainer = train.SFTTrainer(model, processing_class=tokenizer, train_dataset=rows, args=args)


class Kill(TrainerCallback):
    def on_step_end(self, _, state, *__, **___):
        if state.global_step == 5 and not Path("killed").exists() and "{kill}":
            Path("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)


trainer.add_callback(Kill())
lab.keep("long", trainer)
"""


def _run(folder, kill):
    folder.mkdir(exist_ok=True)
    (folder / "script.py").write_text(KILLED.replace("{kill}", kill))
    settings = {"TRIAGE_BUILD": str(folder), "TRIAGE_PRECISION": "fp32", "TRIAGE_THREADS": "1"}
    environment = os.environ | settings | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "script.py"],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.training
def test_a_long_stage_that_was_killed_goes_on_from_its_checkpoint_to_the_same_weights(tmp_path):
    killed = _run(tmp_path / "killed", "yes")
    assert killed.returncode == -9
    again, whole = _run(tmp_path / "killed", "yes"), _run(tmp_path / "whole", "")
    assert again.returncode == whole.returncode == 0, again.stderr + whole.stderr
    weights = [
        load_file(next((tmp_path / name / "stages" / "nano").glob("long-*")) / "model.safetensors")
        for name in ("killed", "whole")
    ]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=1e-4, atol=1e-6)


@pytest.mark.training
def test_two_processes_reach_the_loss_of_one_at_the_same_global_batch_and_keep_one_stage(tmp_path):
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    (alone, one), (together, two) = (_train(folder, count) for count, folder in enumerate(folders, 1))
    assert alone == together  # the same key: a notebook finds what a cluster has trained
    assert one["steps"] == two["steps"] == 6
    for (_, a), (_, b) in zip(one["losses"], two["losses"], strict=True):
        assert b == pytest.approx(a, rel=0.02)


SHARDED = """
import torch
from peft import get_peft_model_state_dict
from torch.distributed import destroy_process_group, get_rank, init_process_group
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import fully_shard
from torch.distributed.device_mesh import init_device_mesh
from helpers import train

init_process_group("gloo")
mesh = init_device_mesh("cpu", (2,))
model, _ = train.load(train.profile_named("nano"), seed=0)
before = {name: weight.clone() for name, weight in get_peft_model_state_dict(model).items()}
for block in model.get_base_model().model.layers:
    fully_shard(block, mesh=mesh)
fully_shard(model, mesh=mesh)
part = next(iter(model.get_base_model().model.layers[0].parameters()))
assert part.to_local().numel() < part.numel()
options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True, cpu_offload=True)  # as accelerate's
after = get_peft_model_state_dict(model, state_dict=get_model_state_dict(model, options=options))
if get_rank() == 0:  # the others get nothing
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
destroy_process_group()
"""


@pytest.mark.training
def test_the_adapter_of_a_model_in_parts_is_put_together_again(tmp_path):
    (tmp_path / "script.py").write_text(SHARDED)
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "TRIAGE_PRECISION": "fp32"}
    done = subprocess.run(
        [*start, "script.py"], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_settings_for_several_cards_are_read_by_accelerate_and_name_a_block_of_the_model():
    settings = load_config_from_file(str(DATA / "fsdp.yaml"))
    assert settings.distributed_type == "FSDP" and settings.fsdp_config["fsdp_version"] == 2
    assert hasattr(modeling_lfm2, settings.fsdp_config["fsdp_transformer_layer_cls_to_wrap"])
    assert train.profile_named("cards").engine == "transformers"
