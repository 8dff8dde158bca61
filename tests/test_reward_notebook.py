"""Notebook 10: its computed sentences switch with the result, its figures carry stamp and caption, and GRPO's settings are TRL's."""

import dataclasses
import inspect

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from trl import GRPOConfig

from helpers import cases, evaluate, exercises, lab, rewards, show, train
from helpers.evaluate import Rate, wilson
from helpers.files import LabError
from helpers.lab import ArmOutcome, readings
from helpers.train import alignment, profiles
from helpers.triage import LEVELS, PARTS

DEV = cases.evaluation_prompts("dev")[:50]
WHOLE, SHOUTED = [row.answer for row in DEV], evaluate.always("ROJO", DEV)
SOUND, PARROT = evaluate.score(DEV, WHOLE), evaluate.score(DEV, SHOUTED)
NAMES = (
    "reward",
    "watch/accuracy",
    "watch/rojo",
    *(f"watch/{part}" for part in PARTS),
    "frac_reward_zero_std",
)
CURVES = {name: [[2, 0.5], [4, 0.75]] for name in NAMES}
START = {"accuracy": 0.6, "rojo_share": 0.25, "under": 0.2, **dict.fromkeys(PARTS, 0.98)}


def _rate(value, half=0.02):
    return Rate(value, 480, value - half, value + half)


def _figures(**changed):
    return {
        name: _rate(value)
        for name, value in (START | {"reward_first": 0.2, "reward_last": 0.9} | changed).items()
    }


def _outcome(name, texts, seed=0):
    return ArmOutcome(
        name, seed, "k", tuple(texts), ("stop",) * len(texts), 400, 10.0, CURVES, prompts=tuple(DEV)
    )


@pytest.fixture
def shown(monkeypatch):
    seen = []
    monkeypatch.setattr(show.figures, "display", seen.append)
    lab.start("test")
    return seen


BELIEFS = [[0.2] * 5, [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]]
GRID = np.linspace(0, 2, 5)
ENDS = {name: [{part: _rate(0.5) for part in START}] * 2 for name in ("naive", "calibrated")}
UNNAMED = {"naive": PARTS, "calibrated": ()}
DRAW = {
    "price_lists": lambda: show.price_lists(rewards.REWARDS),
    "crossing": lambda: show.crossing(0.25, 0.75),
    "policy_map": lambda: show.policy_map(
        rewards.policy_map(GRID, GRID, BELIEFS), GRID, GRID, 3, {"ours": (0.25, 0.75)}
    ),
    "best_answers": lambda: show.best_answers({"one": ["ROJO", "AZUL"], "the patients": ["AZUL", "AZUL"]}, 2),
    "training": lambda: show.training({"naive": [CURVES, CURVES], "blog": [CURVES]}),
    "drift": lambda: show.drift({name: _rate(value) for name, value in START.items()}, ENDS, UNNAMED, 480),
    "alive_groups": lambda: show.alive_groups({name: [CURVES] for name in ("a", "b", "c", "d", "e")}),
}


@pytest.mark.parametrize("name", DRAW)
def test_a_figure_comes_with_its_stamp_and_its_caption(name, shown):
    DRAW[name]()
    figure, caption = shown
    assert any("nano · synthetic micro-world" in text.get_text() for text in figure.texts)
    assert caption.data.startswith("*Figure:") and len(caption.data) > 40
    assert not plt.get_fignums()


def test_price_lists_frame_every_error_that_costs_nothing(shown):
    show.price_lists({"blog": rewards.BLOG})
    assert len(shown[0].axes[0].patches) == len(rewards.gaps(rewards.BLOG)) == 19


def test_the_lines_of_a_training_figure_differ_in_more_than_colour(shown):
    DRAW["training"]()
    bottom = shown[0].axes[4]
    assert len({line.get_linestyle() for line in bottom.lines if line.get_linewidth() > 2}) == len(PARTS)


def test_sliders_give_way_to_points_on_a_static_page(monkeypatch):
    drawn = []
    monkeypatch.setenv("TRIAGE_STATIC", "1")
    show.explore_prices(lambda over, under: drawn.append((over, under)), [(0.25, 0.75), (0, 2)])
    assert drawn == [(0.25, 0.75), (0, 2)]


def test_sliders_choose_the_prices_in_a_live_notebook(monkeypatch):
    seen, drawn = [], []
    monkeypatch.delenv("TRIAGE_STATIC", raising=False)
    monkeypatch.setattr(show.rewards, "display", lambda *shown: seen.extend(shown))
    show.explore_prices(lambda over, under: drawn.append((over, under)), [(0.25, 0.75)])
    seen[0].children[0].value = 1.0
    assert drawn == [(0.25, 0.75), (1.0, 0.75)]


def test_a_bill_names_the_lines_that_are_not_zero():
    text = show.bill_table({"blog": rewards.BLOG}, [("right", DEV[0], WHOLE[0])], itemised=True).data
    assert "**+1.30** (correct +1, disclaimer +0.3)" in text
    assert "correct +1" not in show.bill_table({"blog": rewards.BLOG}, [("right", DEV[0], WHOLE[0])]).data


# -------------------------------------------------------------------------------------------------------- taken together
def test_runs_taken_together_keep_the_widest_interval_and_the_n_of_one():
    both = evaluate.spanned([wilson(10, 100), wilson(30, 100)])
    assert both.value == pytest.approx(0.2) and both.n == 100
    assert both.low == wilson(10, 100).low and both.high == wilson(30, 100).high
    with pytest.raises(LabError, match="at least one seed"):
        evaluate.spanned([])


def test_pay_is_the_mean_reward_and_a_change_of_cost_is_paired():
    assert lab.rewarded.pay(rewards.NAIVE, DEV, [SHOUTED, SHOUTED]).value == 1.0
    change = lab.rewarded.change_of_cost(DEV, PARROT, [SOUND])
    assert change.value == pytest.approx(SOUND.cost.value - PARROT.cost.value) and change.high < 0
    assert lab.rewarded.change_of_cost(DEV, SOUND, [SOUND, SOUND]).value == 0


def test_an_arms_figures_are_recorded_under_its_key(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIAGE_BUILD", str(tmp_path))
    lab.start("test")
    found = lab.rewarded.record_outcomes(
        "grpo_naive", rewards.NAIVE, [_outcome("naive", SHOUTED), _outcome("naive", SHOUTED, 1)], WHOLE
    )
    assert found["rojo_share"].value == 1.0
    for name in ("reward_first", "reward_last", "accuracy", "rojo_share", *PARTS, "cost"):
        assert lab.result(f"grpo_naive.{name}")["seeds"] == 2
    assert lab.result("grpo_naive.reward_last")["value"] == 1.0


def test_an_answer_is_coherent_when_the_levels_name_is_its_own():
    assert lab.rewarded.coherent(WHOLE).value == 1.0
    assert lab.rewarded.coherent([WHOLE[0].replace("— ", "— no "), "", "ROJO"]).value == 0.0


# ------------------------------------------------------------------------------------------------------------- sentences
def test_gaps_are_counted_by_side_and_a_reward_that_only_ever_asks_for_rojo_is_named():
    text = readings.price_gaps_text(rewards.REWARDS)
    naive, blog, ours = text.split("<br>")
    assert (
        "0 of the 10 ways to under-triage and 10 of the 10 ways to over-triage" in naive
        and "better than ROJO" in naive
    )
    assert (
        "10 of the 10 ways to under-triage and 9" in blog
        and "no price for actions, alarms and number" in blog
    )
    assert (
        "0 of the 10 ways to under-triage and 0" in ours
        and "prices every part" in ours
        and "better than ROJO" not in ours
    )


def test_the_threshold_is_told_near_and_far():
    assert "from 42% against NARANJA and from 33% against AZUL" in readings.threshold_text(0.25, 0.75)


def test_the_suspicion_line_is_told_either_way():
    assert "asks for under-triage" in readings.suspicion_text(0.6, 0.33)
    assert "no bolder" in readings.suspicion_text(0.2, 0.33)


def test_the_map_speaks_only_when_prices_matter():
    assert "only the prices differ" in readings.map_text({"naive": 1.0, "blog": 0.2}, 0.2, 480)
    assert "no difference to speak of" in readings.map_text({"naive": 0.2, "blog": 0.2}, 0.2, 480)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rojo_share": 0.98, "accuracy": 0.25}, "while the model got worse"),
        ({"rojo_share": 0.6, "accuracy": 0.4}, "not all the way"),
        ({}, "not shown in this run"),
        ({"rojo_share": 0.98, "reward_last": 0.2}, "did not rise"),
    ],
)
def test_the_naive_reward_is_judged_by_reward_rojo_and_accuracy(changed, said):
    assert said in readings.naive_text(_figures(), _figures(**changed))


def test_drift_tells_run_by_run_what_fell():
    runs = [_figures(disclaimer=0.05), _figures()]
    text = readings.drift_text("naive", rewards.NAIVE, _figures(), runs)
    assert (
        "no price for actions, alarms, disclaimer and number: **disclaimer** fell in 1 of 2 runs (from 98% to 5% and 98%)"
        in text
    )
    assert "no fall is shown of actions (98% and 98%), alarms" in text
    assert "With a price on disclaimer" in readings.drift_text("blog", rewards.BLOG, _figures(), runs)
    assert "no price" not in readings.drift_text("ours", rewards.CALIBRATED, _figures(), runs)


def test_an_answer_that_contradicts_itself_is_told_by_reward():
    torn = readings.coherence_text(_rate(0.9), {"naive": [_rate(0.1), _rate(0.9)], "blog": [_rate(0.9)]})
    assert "With naive the answer contradicts itself" in torn and "10% and 90%" in torn
    assert "No run is shown" in readings.coherence_text(_rate(0.9), {"naive": [_rate(0.9)]})


@pytest.mark.parametrize(
    ("part", "half", "change", "said"),
    [
        (0.99, 0.01, -0.2, ("with its whole interval", "nothing lost")),
        (0.96, 0.03, -0.2, ("though an interval goes below", "nothing lost")),
        (0.80, 0.02, -0.2, ("**number falls below 95%**", "at that price")),
        (0.99, 0.01, 0.2, ("with its whole interval", "dearer errors")),
        (0.99, 0.01, 0.0, ("with its whole interval", "no change of cost")),
    ],
)
def test_the_calibrated_reward_is_judged_by_gates_and_cost(part, half, change, said):
    end = _figures() | {name: _rate(0.99, 0.01) for name in PARTS} | {"number": _rate(part, half)}
    text = readings.calibrated_text(_figures(), end, _rate(change, 0.05))
    assert all(words in text for words in said)


def test_the_blogs_reward_is_judged_by_what_it_leaves_out():
    grown = readings.blog_reward_text(_figures(), _figures(under=0.4), _rate(0.2))
    assert "which it does not price, grew" in grown and "rises" in grown
    fell = readings.blog_reward_text(_figures(), _figures(under=0.1), _rate(-0.2))
    assert "although nothing charges" in fell and "falls" in fell
    still = readings.blog_reward_text(_figures(), _figures(), _rate(0.0))
    assert "stayed unused" in still and "not shown to change" in still


def test_a_collapsed_start_is_rescued_or_not_and_why():
    low = _figures(accuracy=0.25, rojo_share=0.97)
    assert "nothing to prefer" in readings.collapsed_text(0.9, 0.2, low, low)
    assert "a look at the patient" in readings.collapsed_text(0.3, 0.2, low, low)
    assert "against what we expected" in readings.collapsed_text(0.9, 0.2, low, _figures(accuracy=0.5))


@pytest.mark.parametrize(
    ("rojo", "disclaimer", "said"),
    [
        (0.4, 0.9, "both the slide to ROJO and the loss of parts.** ROJO grew"),
        (0.25, 0.9, "both the slide to ROJO and the loss of parts.**"),
        (0.97, 0.9, "slows drift"),
        (0.4, 0.1, "slows the slide"),
        (0.97, 0.1, "no difference is shown"),
    ],
)
def test_the_leash_is_judged_on_level_and_parts(rojo, disclaimer, said):
    free = _figures(rojo_share=0.97, disclaimer=0.1)
    assert said in readings.leash_text(
        free, _figures(rojo_share=rojo, disclaimer=disclaimer), _figures(), 0.1
    )


def test_the_price_of_an_unreadable_answer_drowns_the_others_or_not():
    ours = rewards.CALIBRATED
    assert "stays a threat" in readings.unreadable_price_text(0.0, ours, 0.0, 0.0)
    assert "drowns what the others" in readings.unreadable_price_text(0.2, ours, 1.5, 0.3)
    assert "does not drown" in readings.unreadable_price_text(0.2, ours, 0.9, 0.8)


def test_a_priced_part_that_fell_was_drowned_or_not():
    spreads = {"the level": 0.9, **dict.fromkeys(PARTS, 0.05)}
    assert "is easily drowned" in readings.loudness_text(spreads, ["number"])
    assert "does not say why" in readings.loudness_text(spreads | {"number": 0.8}, ["number"])
    assert "No priced part" in readings.loudness_text(spreads, [])


def test_cheats_that_pay_are_named():
    text = readings.cheats_text(
        {"naive": {"empty": -1, "ROJO, whole": 1}, "ours": {"empty": -4}}, {"naive": 1, "ours": 1.4}
    )
    assert "**naive** pays ROJO, whole as much" in text and "**ours** pays every cheat less" in text


def test_the_summary_names_what_was_forgotten_or_says_that_nothing_was():
    change = {"naive": _rate(0.5), "calibrated": _rate(-0.2)}
    runs = {"naive": [_figures(disclaimer=0.1), _figures()], "calibrated": [_figures(), _figures()]}
    forgot = readings.rewards_summary_text(_figures(), runs, rewards.REWARDS, change)
    assert "it went with naive (disclaimer)" in forgot and "lost disclaimer in 1 of 2 runs" in forgot
    assert "kept every part, with calibrated" in forgot
    drowned = readings.rewards_summary_text(
        _figures(), {"calibrated": [_figures(number=0.4)]}, rewards.REWARDS, change
    )
    assert "did not keep every part**: number fell" in drowned
    kept = readings.rewards_summary_text(_figures(), {"naive": [_figures()]}, rewards.REWARDS, change)
    assert "not shown in these runs" in kept and "no loss of a part shown" in kept


# -------------------------------------------------------------------------------------------------------------- settings
@pytest.mark.parametrize("name", ["nano", "colab", "gpu"])
def test_grpo_is_called_with_what_trl_knows_and_generates_whole_groups(name, tmp_path):
    profile = profiles.profile_named(name)
    arguments = alignment.grpo_arguments(profile, profile.grpo, tmp_path, 10, 0)
    assert set(arguments) <= set(inspect.signature(GRPOConfig).parameters)
    assert profile.grpo["batch"] % profile.grpo["group"] == 0
    assert profile.grpo["steps_per_generation"] % profile.grpo["accumulation"] == 0


def test_a_batch_that_cuts_a_group_is_refused_before_training(tmp_path):
    profile = train.current_profile()
    odd = {**profile.grpo, "batch": profile.grpo["group"] + 1}
    with pytest.raises(LabError, match="whole groups"):
        train.grpo(
            [{"prompt": []}], rewards.NAIVE, "x", tmp_path, dataclasses.replace(profile, grpo=odd), updates=1
        )


@pytest.mark.parametrize("p", [0.2, 0.35, 0.6])
def test_the_exercise_on_prices_inverts_the_threshold(p):
    def solution(p, under, correct=1.0):
        return max(0.0, (p * (2 * correct + 4 * under) - correct) / (4 * (1 - p)))

    assert not exercises.problems("over_price", solution)
    over = solution(p, 2.0)
    assert over == 0 or rewards.rojo_threshold(over, 2.0, LEVELS[-1]) == pytest.approx(p)
