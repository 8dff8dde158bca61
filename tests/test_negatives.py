"""Notebook 09: sentences that turn with the result, gates item by item, changes over seeds, and log-probabilities of whole answers."""

from dataclasses import replace

import pytest

from helpers import audit, cases, evaluate, lab
from helpers.evaluate import Effect, Rate
from helpers.files import LabError
from helpers.lab import readings
from helpers.lab.arms import Arm
from helpers.train import current_profile
from helpers.triage import LEVELS, PARTS

DEV = cases.evaluation_prompts("dev")[:60]
GOOD = [row.answer for row in DEV]
BARE = [replace(row, parts=("actions", "alarms", "number")).answer for row in DEV]
HELD, HELD_BARE = evaluate.held_by_gate(DEV, GOOD), evaluate.held_by_gate(DEV, BARE)
SAME, LOST = readings.moved_gates(HELD, [HELD, HELD]), readings.moved_gates(HELD, [HELD_BARE, HELD_BARE])
WON = readings.moved_gates(HELD_BARE, [HELD, HELD])
PEOPLE = cases.write_diverse(100, 5)
HARD = cases.hard_pairs(PEOPLE, 5)


def _rate(value, half=0.02):
    return Rate(value, 480, value - half, value + half)


# ------------------------------------------------------------------------------------------------------ item by item
@pytest.mark.parametrize(
    "answers", [GOOD, BARE, evaluate.always("ROJO", DEV), evaluate.always("AZUL", DEV), [""] * len(DEV)]
)
def test_the_gates_item_by_item_add_up_to_the_gates_rates(answers):
    held = evaluate.held_by_gate(DEV, answers)
    bad_news = ("missed_urgency", "two_levels_under", "over_triage")
    rows = {
        row.gate.id: row.rate
        for row in evaluate.gates.judge(DEV, answers).rows
        if row.gate.measure != "kappa"
    }
    assert set(held) == set(rows)
    for gate, items in held.items():
        share = sum(items) / len(items)
        assert (1 - share if gate in bad_news else share) == pytest.approx(rows[gate].value), gate


# ------------------------------------------------------------------------------------------------------ paired change
def test_a_paired_change_counts_the_items_that_turned():
    found = evaluate.paired_change("x", [True] * 60 + [False] * 40, [True] * 40 + [False] * 60)
    assert found.estimate == pytest.approx(-0.2) and found.present and found.p < 0.001 and found.name == "x"


def test_no_item_changed_has_no_width_and_is_not_present():
    found = evaluate.paired_change("x", [True, False], [True, False])
    assert (found.estimate, found.low, found.high, found.p) == (0, 0, 0, 1) and not found.present


# ------------------------------------------------------------------------------------------------------ probabilities
def test_the_logprob_of_an_answer_is_the_sum_of_its_token_losses():
    rows = DEV[:3]
    whole = evaluate.answer_logprobs(lab.base_model(), rows, [row.answer for row in rows], batch=2)
    losses = evaluate.token_losses(lab.base_model(), rows)
    assert whole == pytest.approx([-sum(piece.loss for piece in pieces) for pieces in losses], abs=1e-2)


def test_a_margin_is_the_difference_of_two_logprobs_and_turns_with_the_pair():
    pair = HARD[0]
    turned = replace(pair, chosen=pair.rejected, rejected=pair.chosen)
    one, other = evaluate.pair_margins(lab.base_model(), [pair, turned])
    good, bad = evaluate.answer_logprobs(lab.base_model(), [pair.example] * 2, [pair.chosen, pair.rejected])
    assert one == pytest.approx(good - bad, abs=1e-3) and other == pytest.approx(-one, abs=1e-6)


def test_no_pairs_have_no_margins_and_unequal_lists_are_refused():
    assert evaluate.pair_margins(lab.base_model(), []) == []
    with pytest.raises(LabError, match="one text for every example"):
        evaluate.answer_logprobs(lab.base_model(), DEV[:2], ["x"])


def test_probes_change_an_arms_key_and_their_absence_does_not():
    stage = lab.Stage("x", 0, "k", __import__("pathlib").Path("x"), "", {})
    arm = Arm("a", stage, HARD)
    profile = current_profile()
    assert arm.key(DEV, 0.0, profile) == Arm("b", stage, HARD, probes=()).key(DEV, 0.0, profile)
    assert arm.key(DEV, 0.0, profile) != replace(arm, probes=tuple(HARD[:2])).key(DEV, 0.0, profile)


# ----------------------------------------------------------------------------------------------------------- sentences
def test_a_gate_is_worse_or_better_only_when_every_run_says_so():
    assert {row.verdict for row in SAME} == {"not shown"}
    assert {row.gate for row in LOST if row.verdict == "worse"} == {"disclaimer", "strict"}
    assert {row.gate for row in WON if row.verdict == "better"} == {"disclaimer", "strict"}
    assert all(row.verdict == "not shown" for row in readings.moved_gates(HELD, [HELD_BARE, HELD]))


def test_the_moved_gates_are_named_with_both_shares():
    assert "no gate is shown to be worse" in readings.moved_gates_text(
        "hard", SAME
    ) and "None is shown" in readings.moved_gates_text("h", SAME)
    assert "worse in **disclaimer** (100.0% → 0.0%)" in readings.moved_gates_text("weak", LOST)
    assert "Better in **disclaimer**" in readings.moved_gates_text("hard", WON)
    mixed = readings.moved_gates_text("x", readings.moved_gates(HELD, [HELD_BARE, HELD]))
    assert "within luck: disclaimer" in mixed


@pytest.mark.parametrize(
    ("after", "p", "said"),
    [
        ([0.7, 0.7], [0.001, 0.001], "target is missed"),
        ([0.9, 0.9], [0.01, 0.02], "raise it in every run"),
        ([0.81, 0.81], [0.4, 0.6], "a little higher"),
        ([0.79, 0.79], [0.4, 0.6], "a little lower"),
        ([0.9, 0.7], [0.01, 0.01], "the same"),
    ],
)
def test_label_accuracy_is_held_against_the_model_before(after, p, said):
    assert said in readings.hard_label_text(_rate(0.8), [_rate(value) for value in after], p)


def test_the_rate_is_said_to_be_harmless_only_if_the_dev_prompts_say_so():
    assert "every rate makes some gate worse" in readings.dev_rate_text(1e-4, [], [1e-3, 1e-4])
    assert "none makes a gate worse" in readings.dev_rate_text(1e-3, [1e-3, 1e-4], [1e-3, 1e-4])
    assert "1 make some gate worse" in readings.dev_rate_text(1e-4, [1e-4], [1e-3, 1e-4])


def test_answers_without_an_end_are_blamed_on_the_rate_only_when_they_are_more():
    assert "names a suspect" in readings.ran_on_text(1e-3, _rate(0.4), _rate(0.01), "up")
    assert "expects no push" in readings.ran_on_text(1e-3, _rate(0.4), _rate(0.01), "not shown")
    assert "Answers still end" in readings.ran_on_text(1e-3, _rate(0.01), _rate(0.01), "up")


def _pairs(chosen, rejected):
    return [cases.Pair(row, chosen(row), rejected(row)) for row in PEOPLE]


def test_the_audit_of_near_misses_warns_of_what_it_finds():
    lame = audit.preferences(_pairs(lambda row: replace(row, parts=PARTS[:2]).answer, lambda row: row.answer))
    assert "trained away: disclaimer, number" in readings.hard_audit_text(lame)
    urgent = [row for row in PEOPLE if "ROJO" not in row.accepted]
    rojo = [cases.Pair(row, row.answer, replace(row, level="ROJO").answer) for row in urgent]
    assert "Mind ROJO" in readings.hard_audit_text(audit.preferences(rojo))
    turned = [replace(pair, chosen=pair.rejected, rejected=pair.chosen) for pair in rojo]
    assert "over-triage may grow" in readings.hard_audit_text(audit.preferences(turned))
    even = [pair for pair in HARD if pair.kind == "wrong_number"]
    assert "no push is shown" in readings.hard_audit_text(audit.preferences(even))


def test_the_audit_of_weak_pairs_finds_the_disclaimer_or_not():
    bare = audit.preferences(
        _pairs(lambda row: replace(row, parts=("actions", "alarms", "number")).answer, lambda row: row.answer)
    )
    assert "will be pushed down" in readings.weak_negatives_audit_text(
        bare
    ) and "Only 0%" in readings.weak_negatives_audit_text(bare)
    assert "is not pushed down" in readings.weak_negatives_audit_text(audit.preferences(HARD))


def test_dropped_pairs_are_counted_with_their_reasons():
    assert "none" not in readings.dropped_pairs_text(
        "a", 10, {}, 10
    ) and "0 dropped, 10 used" in readings.dropped_pairs_text("a", 10, {}, 10)
    text = readings.dropped_pairs_text("a", 10, {"identical sides": 6, "longer than the limit": 1}, 6)
    assert (
        "6 with identical sides, 1 × longer than the limit" in text
        and "Only 3 of them differ: each is read about 2.0 times" in text
    )


def test_the_levels_exchanged_are_counted_in_both_directions():
    assert "not one" in readings.exchanged_text(0, 0, 0, 480)
    assert "5 come right by it, 3 go wrong, 2 are as right or wrong" in readings.exchanged_text(10, 5, 3, 480)


def test_the_confound_of_kind_and_level_is_named_where_there_is_one():
    even = {"no_alarms": dict.fromkeys(LEVELS, 10)}
    assert "told apart" in readings.kinds_confound_text(even)
    skew = {
        "over_by_two": {**dict.fromkeys(LEVELS, 10), "ROJO": 0},
        "off_by_one": {**dict.fromkeys(LEVELS, 5), "ROJO": 30},
    }
    text = readings.kinds_confound_text(skew)
    assert "never concerns ROJO" in text and "leans to ROJO (30 of 50)" in text and "in disguise" in text


def _changes(label=0.0, number=0.0):
    effect = lambda value: Effect(("x",), value, value - 0.01, value + 0.01, 0.01)  # noqa: E731
    return {
        "label": {"off_by_one": effect(label), "wrong_number": effect(0.0)},
        "number": {"off_by_one": effect(number), "wrong_number": effect(0.0)},
    }


def test_a_kind_left_out_is_missed_by_its_own_gate_by_another_or_by_none():
    still = {gate: Effect(("x",), 0.0, 0.0, 0.0, 1.0) for gate in ("label", "number")}
    assert "no kind is shown to matter" in readings.left_out_text(_changes(), still)
    own = readings.left_out_text(_changes(label=-0.1), still)
    assert (
        "missed by its own gate: without off_by_one, label -10.0 points" in own
        and "No other gate moves" in own
    )
    other = readings.left_out_text(_changes(number=-0.1), still)
    assert "No kind is shown to be missed" in other and "Other moves: without off_by_one, number" in other
    noisy = still | {"label": Effect(("x",), 0.2, 0.1, 0.3, 0.01)}
    assert "no kind is shown to matter" in readings.left_out_text(_changes(label=-0.1), noisy)


def _margins(hard, weak):
    return {
        "before": {"no_alarms": _rate(2.0)},
        "hard": {"no_alarms": _rate(hard)},
        "weak, blog": {"no_alarms": _rate(weak)},
    }


def test_what_the_model_tells_apart_is_read_from_the_intervals():
    still = {"no_alarms": _rate(0.0)}
    text = readings.told_apart_text(_margins(5.0, -1.0), {"no_alarms": _rate(1.0)}, still)
    assert (
        "Clearly larger for no_alarms" in text and "for no_alarms by 1.0" in text and "turns against" in text
    )
    text = readings.told_apart_text(_margins(2.0, 2.0), {"no_alarms": _rate(0.0)}, still)
    assert (
        "For no kind is it clearly larger" in text
        and "Not shown to need its own negative: no_alarms" in text
        and "for no kind" in text
    )
    assert "turns against" not in readings.told_apart_text(
        _margins(2.0, 1.0), {"no_alarms": _rate(0.0)}, still
    )


def test_a_kind_is_needed_only_beyond_luck_and_beyond_another_seed():
    assert readings.unlike_any_other({"a": _rate(1.0)}, {"a": _rate(0.0)}) == ["a"]
    assert readings.unlike_any_other({"a": _rate(0.01)}, {"a": _rate(0.0)}) == []
    assert readings.unlike_any_other({"a": _rate(1.0)}, {"a": _rate(-1.5)}) == []


def test_the_weak_pairs_are_blamed_for_what_the_chosen_side_lacks_or_not_at_all():
    assert "in what the chosen answers lack" in readings.weak_negatives_text(LOST, SAME)
    assert "Both lose it" in readings.weak_negatives_text(LOST, LOST)
    assert "does not appear here" in readings.weak_negatives_text(SAME, SAME)


def test_a_training_that_changed_nothing_is_not_praised_for_spoiling_nothing():
    assert "Hardly anything moved" in readings.stirred_text({"hard": 7}, 480)
    mixed = readings.stirred_text({"hard": 7, "weak": 300}, 480)
    assert "did move the model" in mixed and "After hard little moved" in mixed
    assert "little moved" not in readings.stirred_text({"weak": 300}, 480)


def test_arms_that_all_move_one_way_are_read_as_the_reference_run_moving():
    up = {kind: Effect(("x",), 0.04, 0.02, 0.06, 0.01) for kind in cases.KINDS}
    text = readings.left_out_text(
        {"missed_urgency": up}, {"missed_urgency": Effect(("x",), 0.01, 0.0, 0.03, 0.2)}
    )
    assert "the same way, whichever kind is missing" in text


def test_a_rate_added_afterwards_is_said_to_be_one():
    assert "added after their result was known" in readings.stronger_text(1e-4, 3e-4)
    assert "nothing new is trained" in readings.stronger_text(1e-3, 1e-3)


def test_the_summary_turns_with_the_evidence():
    strong = {"hard": SAME, "weak": LOST}
    empty = readings.negatives_summary_text(SAME, 0.02, strong, [])
    assert (
        "emptily" in empty
        and "Pushed harder, weak: gates worse: disclaimer, strict" in empty
        and "No kind of near miss" in empty
    )
    assert "a gain is not shown" in readings.negatives_summary_text(SAME, 0.4, strong, [])
    helped = readings.negatives_summary_text(WON, 0.4, strong, ["no_alarms"])
    assert "and it helps" in helped and "own kind: no_alarms" in helped
    assert "does harm here" in readings.negatives_summary_text(LOST, 0.4, strong, [])
