"""Measurements, claims and the ledger, in one file that several processes share."""

import json
import multiprocessing
from pathlib import Path

import pytest

from helpers import cases, evaluate, lab
from helpers.evaluate import Effect, over_seeds, wilson
from helpers.files import LabError, write_atomic
from helpers.lab.claims import arithmetic
from helpers.train import current_profile, profile_named
from helpers.triage import LEVELS


# ---------------------------------------------------------------------------------------------- results store
def test_a_measurement_is_kept_with_everything_that_makes_it_readable():
    lab.record("test.rate", wilson(3, 4), seeds=2)
    entry = lab.result("test.rate")
    assert entry["value"] == 0.75 and entry["n"] == 4 and entry["seeds"] == 2 and entry["unit"] == "rate"
    stored = json.loads(lab.results_path().read_text())
    assert {"profile", "created", "versions", "machine", "measurements"} == set(stored)


def test_the_seconds_of_sections_are_kept_by_notebook_beside_the_measurements():
    lab.record_sections({"00_one": {"A": 1.0}, "01_two": {"B": 2.0}})
    lab.record_sections({"01_two": {"C": 3.0}})
    lab.record("test.a", 1.0)
    stored = json.loads(lab.results_path().read_text())
    assert stored["sections"] == {"00_one": {"A": 1.0}, "01_two": {"C": 3.0}}
    assert stored["machine"]


def test_a_later_measurement_replaces_an_earlier_one_and_spares_the_others():
    lab.record("test.a", 1.0)
    lab.record("test.b", 2.0)
    lab.record("test.a", 3.0)
    assert lab.result("test.a")["value"] == 3 and lab.result("test.b")["value"] == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Bad key", 1),
        ("nodot", 1),
        ("a.b", float("nan")),
        ("a.b", True),
        ("a.b", None),
        ("a.b", "0.5"),
        ("a.b", {"c": 0.5, "d e": 0.5}),
        ("a.b", evaluate.Rate(1, 2, 2, 3)),
        ("a.b", evaluate.Rate(1, 2, 0, float("nan"))),
    ],
)
def test_what_is_no_measurement_is_refused_and_nothing_is_written(key, value):
    with pytest.raises(LabError):
        lab.record(key, value)
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


def test_a_rate_brings_its_own_n_and_interval_and_a_plain_number_takes_the_n_it_is_given():
    lab.record("test.rate", wilson(3, 4), seeds=1)
    lab.record("test.loss", 0.5, n=10, unit="nats")
    rate, loss = lab.result("test.rate"), lab.result("test.loss")
    assert (rate["n"], rate["unit"], rate["seeds"]) == (4, "rate", 1) and rate["low"] < 0.75 < rate["high"]
    assert (loss["n"], loss["low"], loss["high"], loss["unit"]) == (10, None, None, "nats")


def test_a_dictionary_is_recorded_name_by_name_and_handed_back():
    figures = {"accuracy": wilson(1, 2), "share": {"ROJO": wilson(2, 2)}, "steps": 7}
    assert lab.record("test", figures, seeds=3) is figures
    assert set(lab.measurements()) >= {"test.accuracy", "test.share.ROJO", "test.steps"}
    assert lab.result("test.share.ROJO")["value"] == 1 and lab.result("test.steps")["seeds"] == 3


def test_all_scores_of_a_model_are_recorded_in_one_call_each_under_its_name_and_column():
    prompts = cases.evaluation_prompts("dev")[:40]
    scores = evaluate.score(prompts, evaluate.always("ROJO", prompts))
    lab.record("test", scores, suffix=".vignettes", seeds=1)
    own = json.loads(lab.results_path().read_text())["measurements"]
    assert all(key.endswith(".vignettes") for key in own)
    expected = {
        "accuracy": scores.accuracy,
        "under": scores.under,
        "part.disclaimer": scores.parts["disclaimer"],
    }
    expected |= {f"share.{level}": scores.shares[level] for level in LEVELS}
    for name, rate in expected.items():
        entry = own[f"test.{name}.vignettes"]
        assert (entry["value"], entry["n"]) == (pytest.approx(rate.value), rate.n)


def test_a_rate_of_no_items_is_left_out_of_a_models_scores():
    """Nobody among these must call at once, and a mute model has no kappa: there is nothing to record, and no
    reason to stop.
    """
    prompts = [prompt for prompt in cases.evaluation_prompts("dev") if not prompt.call_now][:5]
    scores = evaluate.score(prompts, [""] * 5)
    lab.record("mute", scores)
    assert lab.result("mute.unreadable")["value"] == 1
    lab.record("chosen", {"kappa": scores.kappa, "accuracy": scores.accuracy})
    assert not {"mute.call", "mute.kappa", "chosen.kappa"} & set(lab.measurements())


def test_two_processes_that_record_at_once_lose_nothing():
    lab.record("test.first", 0)  # what a child would otherwise look up for itself
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=record_many, args=(name,)) for name in ("one", "two")]
    for child in children:
        child.start()
    for child in children:
        child.join()
    own = json.loads(lab.results_path().read_text())
    expected = {f"{name}.n{number}" for name in ("one", "two") for number in range(30)}
    assert set(own["measurements"]) == expected | {"test.first"}
    assert {name: len(claims) for name, claims in own["claims"].items()} == {"one": 30, "two": 30}


def record_many(name):
    lab.start(name)
    for number in range(30):
        lab.record(f"{name}.n{number}", number)
        lab.claim(f"Claim {number}", True, number)


# ----------------------------------------------------------------------------------------------------- claims
def claims_of(notebook):
    return json.loads(lab.results_path().read_text())["claims"].get(notebook)


def test_a_claim_shows_whether_it_holds_and_what_decided_it():
    shown = lab.claim(
        "It says ROJO to nearly everybody", wilson(48, 50).low > 0.8, wilson(48, 50), 0.12345
    ).data
    assert "✓ It says ROJO to nearly everybody" in shown and str(wilson(48, 50)) in shown and "0.123" in shown
    broken = lab.claim("It says ROJO to nearly everybody", False, wilson(2, 50)).data
    assert "✗" in broken and "✓" not in broken and str(wilson(2, 50)) in broken


def test_a_claim_is_recorded_for_its_notebook_with_its_verdict_and_evidence():
    effect = Effect("skew", -0.2, -0.3, -0.1, 0.01)
    lab.start("04_x")
    lab.claim("One", True, wilson(1, 2))
    lab.start("05_y")
    lab.claim("Two", wilson(1, 2).low > 0.9, effect, "p = 0.01")
    assert claims_of("04_x") == {"One": {"holds": True, "evidence": [str(wilson(1, 2))]}}
    assert claims_of("05_y") == {"Two": {"holds": False, "evidence": [str(effect), "p = 0.01"]}}


def test_a_claim_that_compares_seeds_stays_open_where_there_is_one():
    for holds in (True, False):
        assert "○" in lab.claim("Skew costs accuracy", holds, 0.1, seeds=range(1)).data
        assert claims_of(lab.session().notebook) == {
            "Skew costs accuracy": {"holds": None, "evidence": ["0.1"]}
        }
    assert "✗" in lab.claim("Skew costs accuracy", False, 0.1, seeds=range(2)).data


def test_a_reader_trains_one_seed_and_the_committed_pages_show_as_many_as_they_are_told(monkeypatch):
    monkeypatch.delenv(lab.SEEDS, raising=False)
    assert list(lab.seeds()) == [0]
    monkeypatch.setenv(lab.SEEDS, "3")
    assert list(lab.seeds()) == [0, 1, 2]
    monkeypatch.setenv(lab.SEEDS, "none")
    with pytest.raises(LabError, match="TRIAGE_SEEDS='none'"):
        lab.seeds()


def test_a_mean_of_one_run_is_recorded_without_an_interval():
    lab.record("factorial.x", over_seeds([0.5]), seeds=1)
    assert lab.result("factorial.x")["low"] is lab.result("factorial.x")["high"] is None


def test_the_runs_of_several_seeds_are_kept_one_by_one_and_over_the_seeds():
    lab.record_runs("recipe", [{"part": wilson(80, 100)}, {"part": wilson(60, 100)}])
    found = lab.measurements()
    assert (found["recipe.part.s0"]["value"], found["recipe.part.s1"]["value"]) == (0.8, 0.6)
    assert (found["recipe.part.s0"]["n"], found["recipe.part.s0"]["seeds"]) == (100, 1)
    assert found["recipe.part"]["value"] == pytest.approx(0.7)
    assert (found["recipe.part"]["n"], found["recipe.part"]["seeds"]) == (2, 2)


def test_one_run_alone_keeps_the_interval_over_its_items():
    lab.record_runs("recipe", [{"part": wilson(80, 100)}])
    found = lab.measurements()
    assert found["recipe.part"] == found["recipe.part.s0"]


def test_a_claim_without_evidence_is_refused_and_not_recorded():
    with pytest.raises(LabError, match="without evidence"):
        lab.claim("The model is good", True)
    assert not lab.results_path().exists()


def test_a_new_session_of_a_notebook_drops_its_old_claims_at_its_first_one_and_leaves_other_notebooks_alone():
    for notebook, sentence in (("04_x", "Old"), ("05_y", "Other"), ("04_x", "New"), ("05_y", "Again")):
        lab.start(notebook)
        if sentence == "New":
            assert claims_of("04_x").keys() == {"Old"}  # opening a notebook drops nothing
        lab.claim(sentence, True, 1)
    lab.claim("Later", True, 1)
    assert claims_of("04_x").keys() == {"New"} and claims_of("05_y").keys() == {"Again", "Later"}


def test_a_claim_of_one_sentence_is_the_last_one_made():
    lab.start("04_x")
    lab.claim("It holds", True, 1)
    lab.claim("It holds", False, 2)
    assert claims_of("04_x") == {"It holds": {"holds": False, "evidence": ["2"]}}


def test_measurements_and_claims_share_a_file_and_spare_each_other():
    lab.record("test.a", 1.0)
    lab.claim("It holds", True, 1.0)
    lab.record("test.b", 2.0)
    assert {"test.a", "test.b"} <= set(lab.measurements()) and lab.result("test.a")["value"] == 1
    assert claims_of(lab.session().notebook).keys() == {"It holds"}


# ---------------------------------------------------------------------------------------------- claims ledger
@pytest.mark.parametrize("expression", ["__import__('os')", "[1 for _ in 'ab']", "nobody + 1", "'a'"])
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
    assert Path(current_profile().base).is_dir()
