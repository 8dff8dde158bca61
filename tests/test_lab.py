"""The stage cache, the results store and the claims ledger, with the accidents that befall them."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers import cases, lab, recipes
from helpers.evaluate import wilson
from helpers.files import ROOT, LabError, build_dir, write_atomic, write_json
from helpers.lab.claims import (
    DIRECTION,
    DISAGREES,
    NOT_REPRODUCED,
    NOT_RUN,
    NOT_TESTABLE,
    REPRODUCED,
    arithmetic,
)
from helpers.lab.stages import MANIFEST, damage, stage_key
from helpers.train import current_profile, profile_named

TINY = recipes.Recipe(
    "tiny",
    "a test",
    recipes.BASE,
    "sft",
    lambda profile, seed: cases.write_diverse(16, seed),
    lambda profile: 1,
)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, "tiny", TINY)


def test_a_stage_is_trained_once_and_then_found(tiny, monkeypatch):
    first = lab.stage("tiny")
    assert damage(first.path) is None and (first.path / "model.safetensors").exists()
    monkeypatch.setattr(recipes.Recipe, "build", lambda *_: pytest.fail("trained again"))
    assert lab.stage("tiny") == first


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


def test_the_key_changes_with_data_seed_and_settings_and_with_nothing_else():
    profile, rows = current_profile(), cases.write_diverse(10, 0)
    key = stage_key(TINY, rows, "base", profile, 0)
    assert key == stage_key(TINY, rows, "base", profile, 0)
    slower = dataclasses.replace(profile, sft={**profile.sft, "learning_rate": 1e-4})
    others = {
        stage_key(TINY, rows[1:], "base", profile, 0),
        stage_key(TINY, rows, "base", profile, 1),
        stage_key(TINY, rows, "base", slower, 0),
        stage_key(TINY, rows, "other", profile, 0),
    }
    assert key not in others and len(others) == 4
    assert key == stage_key(TINY, rows, "base", dataclasses.replace(profile, stamp="x"), 0)


def test_an_interrupted_build_leaves_one_message_and_nothing_half_made(tiny, monkeypatch):
    def interrupted(self, examples, base, out, profile, seed):
        write_json(out / "half.json", {})
        raise KeyboardInterrupt

    real = recipes.Recipe.build
    monkeypatch.setattr(recipes.Recipe, "build", interrupted)
    with pytest.raises(LabError, match=r"Interrupted while building tiny.*afresh"):
        lab.stage("tiny")
    assert list((build_dir() / "stages" / "nano").glob("tiny*")) == []
    monkeypatch.setattr(recipes.Recipe, "build", real)
    assert damage(lab.stage("tiny").path) is None


def test_a_stage_with_checkpoints_goes_on_from_the_last_one(tiny, monkeypatch, tmp_path):
    profile = dataclasses.replace(
        current_profile(), sft={**current_profile().sft, "batch": 2, "save_steps": 3}
    )
    from helpers.train import trainers

    steps = []
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
        # A shell that starts tests in the background makes its children ignore Ctrl-C; a reader's terminal does not.
        "import signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from helpers import cases, lab, recipes\nfrom helpers.files import LabError\n"
        "rows = lambda profile, seed: cases.write_diverse(400, seed)\n"
        "recipes.RECIPES['tiny'] = recipes.Recipe('tiny', 'a test', recipes.BASE, 'sft', rows, lambda profile: float(sys.argv[1]))\n"
        "try:\n    print(lab.stage('tiny').name, 'built')\nexcept LabError as error:\n    print(error)\n    sys.exit(1)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TRIAGE_BUILD": str(tmp_path / "build")}
    run = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    process = subprocess.Popen([sys.executable, str(script), "50"], **run)
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
    again = subprocess.run([sys.executable, str(script), "0.1"], **run, check=False, timeout=120)
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
    monkeypatch.setattr(recipes.Recipe, "build", lambda *_: pytest.fail("trained without room to save"))
    with pytest.raises(LabError, match=r"disk under .* is full.*TRIAGE_BUILD"):
        lab.stage("tiny")


def test_a_disk_that_fills_while_saving_loses_nothing_and_says_so(tiny, small_disk, monkeypatch):
    monkeypatch.setenv("TRIAGE_BUILD", str(small_disk))
    monkeypatch.setattr("helpers.lab.stages._check_space", lambda *_: None)
    with pytest.raises(LabError, match=r"disk is full.*Nothing half-made was kept"):
        lab.stage("tiny")
    assert list((small_disk / "stages" / "nano").glob("tiny*")) == []


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
    with pytest.raises(LabError, match=r"nanoo.*nano, colab, gpu"):
        current_profile()


def test_a_lab_error_shows_no_stack_trace_in_a_notebook():
    assert LabError("what, why, what next")._render_traceback_() == ["✗ what, why, what next"]


# ------------------------------------------------------------------------------------------------------ results store
def test_a_measurement_is_kept_with_everything_that_makes_it_readable():
    lab.record_rate("test.rate", wilson(3, 4), seeds=2)
    entry = lab.result("test.rate")
    assert entry["value"] == 0.75 and entry["n"] == 4 and entry["seeds"] == 2 and entry["unit"] == "rate"
    stored = json.loads(lab.results_path().read_text())
    assert {"profile", "created", "versions", "machine", "measurements"} == set(stored)


def test_a_later_measurement_replaces_an_earlier_one_and_spares_the_others():
    lab.record("test.a", 1.0)
    lab.record("test.b", 2.0)
    lab.record("test.a", 3.0)
    assert lab.result("test.a")["value"] == 3 and lab.result("test.b")["value"] == 2


@pytest.mark.parametrize(
    ("key", "value", "extra"),
    [
        ("Bad key", 1, {}),
        ("nodot", 1, {}),
        ("a.b", float("nan"), {}),
        ("a.b", True, {}),
        ("a.b", 1, {"low": 2, "high": 3}),
        ("a.b", 1, {"low": 0}),
    ],
)
def test_what_is_no_measurement_is_refused_and_nothing_is_written(key, value, extra):
    with pytest.raises(LabError):
        lab.record(key, value, **extra)
    assert not lab.results_path().exists()


def test_a_cut_results_file_gets_one_clear_message():
    lab.record("test.a", 1.0)
    lab.results_path().write_text(lab.results_path().read_text()[:40])
    with pytest.raises(LabError, match="not whole JSON"):
        lab.record("test.b", 2.0)


@pytest.mark.parametrize("content", ["[]", "{}", '{"measurements": 3}'])
def test_a_results_file_broken_by_hand_gets_one_clear_message(content):
    write_atomic(lab.results_path(), content)
    with pytest.raises(LabError, match="not a results file"):
        lab.record("test.a", 1.0)


def test_a_measurement_nobody_made_says_how_to_make_it():
    with pytest.raises(LabError, match="make tutorial"):
        lab.result("nothing.here")


def test_the_shipped_results_hold_the_canonical_keys_of_these_notebooks():
    measured = set(json.loads((ROOT / "data" / "results" / "nano.json").read_text())["measurements"])
    diversity = {
        f"diversity.{name}"
        for name in (
            "total",
            "unique",
            "duplicate_rate",
            "near_duplicate_rate",
            "conflict_rate",
            "ceiling_accuracy",
        )
    }
    imbalanced = {
        f"imbalanced.{name}"
        for name in (
            "first_loss",
            "final_loss",
            "label_loss",
            "boilerplate_loss",
            "prior_entropy",
            "accuracy",
            "rojo_share",
        )
    }
    assert diversity | imbalanced <= measured


# ------------------------------------------------------------------------------------------------------ claims ledger
def test_every_claim_is_judged_and_the_blogs_own_arithmetic_holds():
    for claim in lab.claims().values():
        found = lab.verdict(claim, {})
        if claim.id == "distill_minutes":  # the one place where the blog's figures cannot all be true
            assert found.verdict == DISAGREES and "25" in found.because
            continue
        assert found.verdict in (REPRODUCED, NOT_TESTABLE, NOT_RUN), (claim.id, found)


@pytest.mark.parametrize(("value", "expected"), [(0.2, REPRODUCED), (0.3, DIRECTION), (0.9, NOT_REPRODUCED)])
def test_a_verdict_follows_the_measurement(value, expected):
    claim = lab.claims()["sft_accuracy"]
    assert lab.verdict(claim, {claim.test["key"]: {"value": value}}).verdict == expected


def test_a_claim_that_contradicts_the_blogs_other_numbers_is_called_so():
    claim = dataclasses.replace(lab.claims()["sft_steps"], number=4000)
    found = lab.verdict(claim)
    assert found.verdict == DISAGREES and "3,750" in found.because


@pytest.mark.parametrize("expression", ["__import__('os')", "prompts ** 2", "nobody + 1", "'a'"])
def test_claim_arithmetic_is_arithmetic_only(expression):
    with pytest.raises(LabError, match="cannot compute"):
        arithmetic(expression, {"prompts": 1.0})


def test_profiles_hold_the_blogs_settings_where_they_say_so():
    gpu = profile_named("gpu")
    assert (
        gpu.lora["r"],
        gpu.lora["alpha"],
        gpu.max_length,
        gpu.sft["batch"],
        gpu.sft["accumulation"],
        gpu.sft["learning_rate"],
    ) == (
        16,
        32,
        1024,
        2,
        4,
        2e-4,
    )
    steps = (
        gpu.counts["imbalanced"]
        * gpu.counts["imbalanced_epochs"]
        / (gpu.sft["batch"] * gpu.sft["accumulation"])
    )
    assert steps == lab.claims()["sft_steps"].number
    assert Path(current_profile().base).is_dir() and not profile_named("gpu").shipped
