"""The stage cache: one training, one key, one folder, and the accidents that befall it."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from safetensors import SafetensorError
from transformers import TrainerCallback
from trl import SFTConfig

from helpers import cases, lab, recipes, train
from helpers.files import ROOT, LabError, build_dir, read_yaml, write_atomic, write_json, writing
from helpers.lab.stages import MANIFEST, damage, stage_key
from helpers.train import current_profile, trainers

TINY = recipes.Recipe("tiny", "a test", lambda profile, seed: cases.write_diverse(16, seed), "cpt_epochs")


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, "tiny", TINY)


def test_a_stage_is_trained_once_and_then_found(tiny, monkeypatch):
    first = lab.stage("tiny")
    assert damage(first.path) is None and (first.path / "model.safetensors").exists()
    monkeypatch.setattr(train.SFTTrainer, "train", lambda *_, **__: pytest.fail("trained again"))
    assert lab.stage("tiny") == first


def trainer_in_a_cell(rows=None, base=None, **changed):
    """What a notebook writes out, with the rows and the settings of the recipe `tiny`."""
    profile = current_profile()
    arguments = {
        "num_train_epochs": profile.counts["cpt_epochs"],
        "learning_rate": profile.sft["learning_rate"],
        "lr_scheduler_type": "cosine",
        "warmup_steps": profile.sft["warmup_steps"],
        "max_length": profile.max_length,
        "seed": 0,
    }
    model, tokenizer = train.load(profile, base, seed=0)
    return train.SFTTrainer(
        model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(cases.chat_rows(rows or cases.write_diverse(16, 0))),
        args=SFTConfig(**(arguments | train.machine(profile) | changed)),
    )


@pytest.mark.parametrize("first", ["kept", "built"])
def test_the_same_training_has_one_key_in_a_cell_and_in_a_recipe_and_is_done_once(tiny, monkeypatch, first):
    roads = [lambda: lab.keep("tiny", trainer_in_a_cell()), lambda: lab.stage("tiny")]
    one, other = roads if first == "kept" else reversed(roads)
    made = one()
    monkeypatch.setattr(train.SFTTrainer, "train", lambda *_, **__: pytest.fail("trained again"))
    assert other() == made


def test_other_rows_under_the_same_name_are_another_stage(tiny):
    recipe, cell = lab.stage("tiny"), lab.keep("tiny", trainer_in_a_cell(cases.write_diverse(16, 1)))
    assert (
        recipe.name == cell.name
        and recipe.key != cell.key
        and damage(recipe.path) is damage(cell.path) is None
    )


def test_a_trainer_that_has_been_trained_is_kept_as_it_is():
    trainer = trainer_in_a_cell()
    trainer.train()
    stage = lab.keep("tiny", trainer)
    assert stage.training["steps"] == trainer.state.global_step == 2
    inside, outside = (model.state_dict() for model in (train.merged(trainer).model, train.load_model(stage)))
    assert all(torch.equal(inside[name], outside[name]) for name in inside)


def test_a_trainer_that_was_stopped_half_way_is_not_kept_as_if_it_were_whole(monkeypatch):
    trainer = trainer_in_a_cell(per_device_train_batch_size=4)
    trainer.add_callback(Stopper())
    with pytest.raises(LabError, match="Interrupted"):
        lab.keep("tiny", trainer)
    with pytest.raises(LabError, match=r"stopped at step 3 of 8.*makes the trainer again"):
        lab.keep("tiny", trainer)
    assert list((build_dir() / "stages" / "nano").glob("tiny*")) == []


class Stopper(TrainerCallback):
    """Ctrl-C at the third step."""

    def on_step_end(self, args, state, control, **_):
        if state.global_step == 3:
            raise KeyboardInterrupt


def test_a_model_that_is_nowhere_on_disk_is_no_start_that_a_key_could_name():
    loaded = train.LoadedModel(
        train.load_model(current_profile().base), train.load_tokenizer(current_profile().base)
    )
    with pytest.raises(LabError, match="model in memory"):
        lab.keep("tiny", trainer_in_a_cell(base=loaded))
    assert not (build_dir() / "stages").exists()


def test_a_stage_that_starts_from_a_stage_is_named_by_what_that_was_trained_on(tiny):
    rows = cases.write_diverse(16, 5)
    starts = [lab.stage("tiny", seed) for seed in (0, 1)]
    keys = [lab.keep("next", trainer_in_a_cell(rows, base=start)).key for start in starts]
    assert keys[0] != keys[1] != lab.keep("next", trainer_in_a_cell(rows)).key


def test_a_stage_folder_carries_no_checkpoint_and_nothing_unsigned(tiny):
    stage = lab.stage("tiny")
    signed = set(json.loads((stage.path / MANIFEST).read_text())["files"])
    assert {file.name for file in stage.path.iterdir()} == signed | {MANIFEST}


def test_a_flipped_byte_is_noticed_and_the_stage_built_again(tiny, capsys):
    stage = lab.stage("tiny")
    weights = stage.path / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    again = lab.stage("tiny")
    assert "damaged (model.safetensors has changed" in capsys.readouterr().out
    assert damage(again.path) is None


@pytest.mark.parametrize("accident", ["missing", "cut manifest", "wrong manifest", "no manifest"])
def test_other_damage_is_noticed_too(tiny, accident, capsys):
    stage = lab.stage("tiny")
    if accident == "missing":
        (stage.path / "config.json").unlink()
    elif accident == "wrong manifest":
        (stage.path / MANIFEST).write_text("[]")
    elif accident == "cut manifest":
        (stage.path / MANIFEST).write_text('{"files": {')
    else:
        (stage.path / MANIFEST).unlink()
    assert damage(lab.stage("tiny").path) is None
    assert "damaged" in capsys.readouterr().out


def key_of(rows=None, base="base", profile=None, **changed):
    profile = profile or current_profile()
    config = TINY.config(profile, 0).to_dict() | changed
    return stage_key(TINY.rows(profile, 0) if rows is None else rows, config, base, profile)


def test_the_key_changes_with_whatever_could_change_a_weight():
    profile, rows = current_profile(), TINY.rows(current_profile(), 0)
    changed = {
        key_of(rows.select(range(15))),
        key_of(
            rows.map(lambda row: {"prompt": [*row["prompt"][:-1], row["prompt"][-1] | {"content": "Hola"}]})
        ),
        key_of(seed=1),
        key_of(learning_rate=1e-4),
        key_of(per_device_train_batch_size=8),
        key_of(num_train_epochs=3),
        key_of(base="other"),
        key_of(profile=dataclasses.replace(profile, lora={"r": 4, "alpha": 8})),
        key_of(profile=dataclasses.replace(profile, save_dtype="float16")),
    }
    assert len(changed) == 9 and key_of() not in changed


def test_the_key_does_not_change_with_folders_logs_and_names():
    profile = current_profile()
    same = {
        key_of(),
        key_of(output_dir="elsewhere"),
        key_of(logging_steps=7, logging_first_step=False),
        key_of(report_to=["tensorboard"], run_name="mine", disable_tqdm=False),
        key_of(save_strategy="steps", save_steps=3),
        key_of(profile=dataclasses.replace(profile, stamp="x")),
    }
    assert len(same) == 1


def test_an_interrupted_build_leaves_one_message_and_nothing_half_made(tiny, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(train.SFTTrainer, "train", stopped_by(KeyboardInterrupt()))
        with pytest.raises(LabError, match=r"Interrupted while building tiny.*afresh"):
            lab.stage("tiny")
    assert list((build_dir() / "stages" / "nano").glob("tiny*")) == []
    assert damage(lab.stage("tiny").path) is None


def stopped_by(error):
    """A training that writes something and then fails."""

    def fails(self, **_):
        write_json(Path(self.args.output_dir) / "half.json", {})
        raise error

    return fails


@pytest.mark.parametrize(
    "error", [ConnectionError("no network"), ConnectionRefusedError(111, "refused"), ValueError("x")]
)
def test_what_fails_inside_training_is_said_as_it_is_and_not_called_a_full_disk(tiny, monkeypatch, error):
    monkeypatch.setattr(train.SFTTrainer, "train", stopped_by(error))
    with pytest.raises(type(error)) as raised:
        lab.stage("tiny")
    assert raised.value is error
    assert list((build_dir() / "stages" / "nano").glob("tiny*")) == []


def test_a_stage_with_checkpoints_goes_on_from_the_last_one(tiny, monkeypatch, tmp_path):
    nano, steps = current_profile(), []
    often = {**nano.sft, "batch": 2, "save_steps": 3}
    profile = dataclasses.replace(nano, sft=often, counts={**nano.counts, "cpt_epochs": 1})
    original = trainers._Bar.on_step_end

    def stop_at_five(self, args, state, control, **kwargs):
        steps.append(state.global_step)
        if len(steps) == 5:
            raise KeyboardInterrupt
        original(self, args, state, control, **kwargs)

    monkeypatch.setattr(trainers._Bar, "on_step_end", stop_at_five)
    with pytest.raises(LabError, match="last checkpoint is kept"):
        lab.stage("tiny", profile=profile)
    stage = lab.stage("tiny", profile=profile)
    assert steps == [1, 2, 3, 4, 5, 4, 5, 6, 7, 8]
    assert stage.training["steps"] == 8 and not list(stage.path.glob("checkpoint-*"))


def test_ctrl_c_in_mid_training_is_one_message_and_the_next_run_recovers(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        # A shell that starts tests in the background makes its children ignore Ctrl-C; a reader's terminal
        # does not.
        "import signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from helpers import cases, lab, recipes\nfrom helpers.files import LabError\n"
        "rows = lambda profile, seed: cases.write_diverse(int(sys.argv[1]), seed)\n"
        "recipes.RECIPES['tiny'] = recipes.Recipe('tiny', 'a test', rows, 'balanced_epochs')\n"
        "try:\n    print(lab.stage('tiny').name, 'built')\nexcept LabError as error:\n    print(error)\n    "
        "sys.exit(1)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TRIAGE_BUILD": str(tmp_path / "build")}
    run = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    process = subprocess.Popen([sys.executable, str(script), "2000"], **run)
    shelf = tmp_path / "build" / "stages" / "nano"
    try:
        deadline = time.time() + 60
        while not shelf.exists() and time.time() < deadline:
            time.sleep(0.1)
        time.sleep(5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "Interrupted while building tiny" in out and "Traceback" not in out + err
    assert list(shelf.glob("tiny*")) == []
    again = subprocess.run([sys.executable, str(script), "16"], **run, check=False, timeout=120)
    assert "tiny built" in again.stdout


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    if (
        os.name == "nt"
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_refused_before_training_with_one_message(tiny, small_disk, monkeypatch):
    monkeypatch.setenv("TRIAGE_BUILD", str(small_disk))
    monkeypatch.setattr(
        train.SFTTrainer, "train", lambda *_, **__: pytest.fail("trained without room to save")
    )
    with pytest.raises(LabError, match=r"disk under .* is full.*TRIAGE_BUILD"):
        lab.stage("tiny")


def test_a_disk_that_fills_while_saving_loses_nothing_and_says_so(tiny, small_disk, monkeypatch):
    monkeypatch.setenv("TRIAGE_BUILD", str(small_disk))
    monkeypatch.setattr("helpers.lab.stages._check_space", lambda *_: None)
    with pytest.raises(LabError, match=r"disk is full.*Nothing half-made was kept"):
        lab.stage("tiny")
    assert list((small_disk / "stages" / "nano").glob("tiny*")) == []


def test_a_full_disk_that_safetensors_tells_in_words_is_the_same_message(tmp_path):
    with pytest.raises(LabError, match="the disk is full"), writing(tmp_path / "model"):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    with pytest.raises(SafetensorError), writing(tmp_path / "model"):
        raise SafetensorError("Error while serializing: another one")


@pytest.mark.parametrize(
    ("content", "why"), [(b"", "is empty"), (b"# nothing\n", "is empty"), (b"\xff\xfe", "UTF-8")]
)
def test_a_data_file_that_is_empty_or_of_another_encoding_is_one_message(tmp_path, content, why):
    path = tmp_path / "some.yaml"
    path.write_bytes(content)
    with pytest.raises(LabError, match=f"some.yaml .*{why}"):
        read_yaml(path)


def test_a_relative_build_folder_is_one_place_for_commands_and_notebooks(monkeypatch, tmp_path):
    monkeypatch.setenv("TRIAGE_BUILD", "elsewhere")
    monkeypatch.chdir(tmp_path)
    assert build_dir() == ROOT / "elsewhere"


def test_a_full_disk_leaves_the_old_file_whole(small_disk):
    path = small_disk / "a.json"
    write_atomic(path, "old")
    with pytest.raises(LabError, match="disk is full"):
        write_atomic(path, b"x" * 2**21)
    assert path.read_text() == "old" and [file.name for file in small_disk.iterdir()] == ["a.json"]


def test_a_read_only_folder_gets_one_message_and_keeps_its_files(small_disk):
    write_atomic(small_disk / "a.json", "old")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(LabError, match="read-only"):
        write_atomic(small_disk / "a.json", "new")
    assert (small_disk / "a.json").read_text() == "old"


def test_a_read_only_data_folder_does_not_stop_a_run(tiny, tmp_path):
    """What a run writes goes under build/; data/ is only read."""
    before = {path: path.stat().st_mtime_ns for path in (ROOT / "data").rglob("*")}
    lab.stage("tiny")
    lab.record("test.value", 1.0)
    assert before == {path: path.stat().st_mtime_ns for path in (ROOT / "data").rglob("*")}


def test_an_unknown_stage_is_refused_with_the_known_ones():
    with pytest.raises(LabError, match="sft-imbalanced"):
        lab.stage("sft-imbalancd")


def test_a_wrong_profile_name_is_refused_with_the_known_ones(monkeypatch):
    monkeypatch.setenv("TRIAGE_PROFILE", "nanoo")
    with pytest.raises(LabError, match=r"nanoo.*nano, pocket.*colab, gpu"):
        current_profile()


def test_a_lab_error_shows_no_stack_trace_in_a_notebook():
    assert LabError("what, why, what next")._render_traceback_() == ["✗ what, why, what next"]
