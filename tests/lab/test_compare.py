"""A re-run beside the shipped results: what is told apart, and what is not."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from helpers.lab.reruns import between_runs, differences


def entry(value, n=None, low=None, high=None, seeds=None, unit="rate"):
    return {
        "value": value,
        "n": n,
        "low": low,
        "high": high,
        "seeds": seeds,
        "unit": unit,
        "notebook": "03_x",
    }


SHIPPED = {
    "diversity.unique": entry(1909, unit="rows"),
    "balanced.accuracy": entry(0.60, 480, 0.556, 0.643, 1),
    "factorial.a.accuracy": entry(0.60, 3, 0.5, 0.7, 3),
    **{
        f"factorial.a.accuracy.s{seed}": entry(value, 480, value - 0.04, value + 0.04, 1)
        for seed, value in enumerate((0.57, 0.6, 0.63))
    },
    "imbalanced.final_loss": entry(0.02, seeds=1, unit="nats"),
    "quant.F16.load_seconds": entry(1.0, unit="s"),
}


def changed(key, **more):
    own = copy.deepcopy(SHIPPED)
    own[key] |= more
    return differences(SHIPPED, own)


def test_the_same_results_do_not_differ():
    assert differences(SHIPPED, copy.deepcopy(SHIPPED)) == []


def test_a_count_has_to_be_the_same_to_the_unit():
    assert "has to be the same" in changed("diversity.unique", value=1910)[0]


def test_a_small_change_of_a_trained_rate_is_chance_and_a_large_one_is_not():
    assert changed("balanced.accuracy", value=0.63, low=0.586, high=0.672) == []
    assert "standard errors apart" in changed("balanced.accuracy", value=0.30, low=0.26, high=0.34)[0]


def test_a_loss_without_an_interval_may_move_a_little_and_not_tenfold():
    assert changed("imbalanced.final_loss", value=0.022) == []
    assert "more than 30%" in changed("imbalanced.final_loss", value=0.2)[0]


def test_a_divergence_of_a_millionth_of_a_nat_is_rounding():
    one = {"parity.a.kl": entry(1e-6, 24, 3e-7, 2e-6, unit="nats")}
    other = {"parity.a.kl": entry(2e-5, 24, 1.9e-5, 2.1e-5, unit="nats")}
    assert differences(one, other) == []


def test_seconds_are_the_machines_own_affair():
    assert changed("quant.F16.load_seconds", value=60.0) == []


def test_the_days_that_a_training_would_take_are_the_machines_own_affair_and_those_at_a_limit_are_not():
    def days(key, value):
        return {f"distill.million.{key}": entry(value, 600)}

    assert differences(days("training_days", 0.33), days("training_days", 0.19)) == []
    assert differences(days("teacher_days", 1.8), days("teacher_days", 0.9)) != []


def test_a_key_that_is_missing_or_new_is_named():
    own = {key: value for key, value in SHIPPED.items() if key != "balanced.accuracy"} | {
        "new.key": entry(1, unit="")
    }
    assert [line.split(":")[0] for line in differences(SHIPPED, own)] == ["balanced.accuracy", "new.key"]


def test_a_changed_unit_is_named():
    assert "the unit was" in changed("imbalanced.final_loss", unit="bits")[0]


@given(st.floats(0.0, 1.0))
def test_no_rate_differs_from_itself(value):
    one = {"a.b": entry(value, 100, max(0.0, value - 0.1), min(1.0, value + 0.1), 1)}
    assert differences(one, copy.deepcopy(one)) == []


def _recipe(name, *values):
    return {
        f"{name}.s{seed}": entry(value, 240, max(0.0, value - 0.06), min(1.0, value + 0.06), 1)
        for seed, value in enumerate(values)
    }


def test_the_scatter_between_runs_is_that_of_the_recipe_in_the_middle():
    calm, usual, wild = (
        _recipe("a", 0.60, 0.60, 0.60),
        _recipe("b", 0.57, 0.60, 0.63),
        _recipe("c", 0.0, 0.5, 1.0),
    )
    corrected = 0.03 * (2 / chi2.median(2)) ** 0.5  # the median of three seeds' variance lies below its mean
    assert between_runs(SHIPPED)[""] == pytest.approx(corrected)
    assert between_runs(calm | usual | wild)[""] == pytest.approx(corrected)


def test_an_unstable_recipe_excuses_no_other_key():
    steady = {key: row for place in range(3) for key, row in _recipe(f"b{place}", 0.57, 0.6, 0.63).items()}
    shipped = SHIPPED | steady | _recipe("wild", 0.0, 0.0, 1.0)
    own = copy.deepcopy(shipped)
    own["balanced.accuracy"] |= {"value": 0.30, "low": 0.26, "high": 0.34}
    assert any(line.startswith("balanced.accuracy") for line in differences(shipped, own))


def test_an_unstable_recipe_is_judged_by_its_own_scatter():
    shipped = SHIPPED | _recipe("wild", 0.0, 0.0, 1.0)
    own = copy.deepcopy(shipped)
    for seed, value in enumerate((1.0, 0.0, 0.0)):
        own[f"wild.s{seed}"] = _recipe("wild", *[value] * 3)[f"wild.s{seed}"]
    assert not [line for line in differences(shipped, own) if "wild.s" in line]


def test_on_another_kind_of_machine_counts_stay_exact_and_training_gets_room():
    own = copy.deepcopy(SHIPPED)
    own["diversity.unique"]["value"] = 1910
    own["balanced.accuracy"] |= {"value": 0.38, "low": 0.337, "high": 0.424}
    own["imbalanced.final_loss"]["value"] = 0.05
    assert len(differences(SHIPPED, own)) == 3
    (line,) = differences(SHIPPED, own, other_machine=True)
    assert line.startswith("diversity.unique")


def test_without_repeated_seeds_there_is_no_scatter_to_speak_of():
    assert between_runs({}) == between_runs(_recipe("a", 0.6)) == {"": 0.0}


def test_a_run_of_one_seed_is_compared_by_that_seed_and_not_by_the_mean_of_three():
    own = copy.deepcopy(SHIPPED)
    for seed in (1, 2):
        del own[f"factorial.a.accuracy.s{seed}"]
    own["factorial.a.accuracy"] = entry(0.57, 480, 0.53, 0.61, 1)
    assert differences(SHIPPED, own) == []
    own["factorial.a.accuracy.s0"] = entry(0.2, 480, 0.16, 0.24, 1)
    assert "factorial.a.accuracy.s0" in differences(SHIPPED, own)[0]


def test_a_seed_that_was_trained_and_not_recorded_is_missing():
    own = copy.deepcopy(SHIPPED)
    del own["factorial.a.accuracy.s1"]
    assert differences(SHIPPED, own) == ["factorial.a.accuracy.s1: shipped, but not measured in this run"]


def test_what_a_client_did_to_a_server_is_not_compared_and_what_it_brought_home_is():
    clients = {
        "distill.semaphore.rejected_share": entry(0.26, 254, 0.21, 0.32),
        "distill.chosen": entry(600, unit="rows"),
    }
    own = copy.deepcopy(clients)
    own["distill.semaphore.rejected_share"]["value"] = 0.9
    assert differences(clients, own) == []
    own["distill.chosen"]["value"] = 300
    assert "distill.chosen" in differences(clients, own)[0]
