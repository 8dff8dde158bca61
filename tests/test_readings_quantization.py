"""Sentences of notebook 11: each changes its wording with the result."""

from dataclasses import replace

import numpy as np
import pytest

from helpers import cases, evaluate, export, lab
from helpers.evaluate import Effect, wilson
from helpers.evaluate.gates import PASSES, Judged
from helpers.lab import readings
from helpers.lab.costs import Cost
from helpers.lab.ladder import Compared, Step, log_softmax
from helpers.statistics import Rate

PEOPLE = cases.evaluation_prompts("dev")[:100]


def _row(quant, same=480, n=480, change=0.0, p=1.0, text=480, accuracy=400, bytes=50):
    effect = Effect((quant,), change, change - 0.02, change + 0.02, p)
    return Compared(
        quant,
        bytes,
        1 - bytes / 100,
        wilson(same, n),
        Rate(0.01, n, 0.005, 0.02),
        wilson(accuracy, n),
        effect,
        1,
        2,
        wilson(text, n),
    )


def _ladder(*rows):
    return {"F16": _row("F16", bytes=100)} | {row.quant: row for row in rows}


def _file(quant, bytes=50, fallbacks=()):
    return export.Exported(None, quant, bytes, {}, fallbacks)


def _step(quant, winners, leads):
    logits = np.zeros((len(winners), 6))
    logits[range(len(winners)), winners] = leads
    return Step(quant, 1, log_softmax(logits), (1, 2, 3, 4, 5))


def _cost(quant, rate, peak):
    return Cost(quant, (0.01, 0.02), (peak, peak), (rate, rate * 1.01, rate * 0.99))


def test_a_block_that_differs_is_said():
    assert "same, byte for byte. **That is all of Q8_0**, at 8.5 bits" in readings.block_text(10, 10, 8.5)
    assert "**1 differ**" in readings.block_text(9, 10, 8.5)


def test_the_k_quants_are_praised_only_when_they_err_less():
    naive = {bits: 2.0**-bits for bits in range(2, 9)}
    better, worse = ({"Q2_K": (3.0, error)} for error in (0.05, 0.9))
    assert "divides the error of plain rounding by 2.0" in readings.rounding_text(naive, better)
    assert "cleverer scales, not with bits" in readings.rounding_text(naive, better)
    assert "buy nothing" in readings.rounding_text(naive, worse)


def test_a_size_that_was_not_predicted_is_said():
    files = {"F16": _file("F16", 100), "Q8_0": _file("Q8_0", 53)}
    text = readings.sizes_text(files, {"F16": 100, "Q8_0": 53})
    assert "Q8_0 0.00 MB (−47%)" in text and "to the byte" in text
    assert "**Q8_0: not the size" in readings.sizes_text(files, {"F16": 100, "Q8_0": 54})


def test_fallbacks_are_named_with_their_reason():
    assert "No tensor fell back" in readings.fallbacks_text({"Q8_0": _file("Q8_0")})
    choice = export.Choice(export.Tensor("blk.0.ffn_up.weight", "x", (512, 160)), "Q5_K", "Q5_1")
    text = readings.fallbacks_text({"Q8_0": _file("Q8_0"), "Q5_K_M": _file("Q5_K_M", fallbacks=(choice,))})
    assert (
        "Q5_K_M: 1 tensors, as blk.0.ffn_up.weight: Q5_1 instead of Q5_K (rows of 160" in text
        and "not quite what they are called" in text
    )


def test_the_blogs_sizes_are_recognised_or_doubted():
    large = {quant: export.predict_large(quant) for quant in export.LADDER}
    text = readings.table_1b2_text(large)
    assert (
        "All 4 are the blog's figures" in text
        and "843 MB" in text
        and "2.3 GB of its heading" in text
        and "64.0% smaller" in text
    )
    odd = large | {"Q2_K": replace(large["Q2_K"], bytes=500_000_000)}
    assert "**Q2_K (462M) of the blog is not that size**" in readings.table_1b2_text(odd)


def test_the_first_change_is_held_against_the_guess():
    rows = _ladder(_row("Q8_0"), _row("Q2_K", 400))
    assert "Q8_0 0, Q2_K 80. **The first change comes at Q2_K** (as you said)" in readings.first_change_text(
        rows, "Q2_K"
    )
    assert "(you said Q8_0)" in readings.first_change_text(rows, "Q8_0")
    assert "no level changed anywhere" in readings.first_change_text(_ladder(_row("Q8_0")), "Q8_0")


def test_where_it_lies_is_told_by_interval_and_by_paired_test():
    shown = readings.lie_text(
        _ladder(_row("Q8_0"), _row("Q5_K_M", 475), _row("Q2_K", 400, change=-0.1, p=0.001))
    )
    assert (
        "Q8_0 is shown to keep so many" in shown
        and "Of Q5_K_M the interval holds 99%: 480 people are too few" in shown
    )
    assert (
        "**Q2_K is the first step shown to change more**" in shown
        and "fall at Q2_K: -10.0 points, paired p = 0.001" in shown
    )
    calm = readings.lie_text(_ladder(_row("Q8_0", 475)))
    assert (
        "no step is shown to keep" in calm
        and "**No step is shown to change more.**" in calm
        and "not shown to fall anywhere" in calm
    )


def test_the_bar_is_met_shown_or_missed():
    text = readings.faithful_text(
        _ladder(_row("Q8_0"), _row("Q6_K", 478), _row("Q5_K_M", 470)), ["Q8_0", "Q6_K", "Q5_K_M"]
    )
    assert (
        "Q8_0 100.00% (shown)" in text
        and "Q6_K 99.58% (met, but not shown)" in text
        and "**Q5_K_M misses it.**" in text
    )
    assert "Q8_0 and Q6_K miss it" in readings.faithful_text(
        _ladder(_row("Q8_0", 1), _row("Q6_K", 1)), ["Q8_0", "Q6_K"]
    )
    assert "None misses it" in readings.faithful_text(_ladder(_row("Q8_0")), ["Q8_0"])


def test_changes_are_close_calls_or_not():
    whole = _step("F16", [1, 2, 3], [0.1, 5.0, 5.0])
    close = {"F16": whole, "Q8_0": _step("Q8_0", [2, 2, 3], [1.0] * 3)}
    assert "Q8_0 0.10 (largest 0.10). **Every change was a close call**" in readings.close_calls_text(close)
    overruled = {"F16": whole, "Q8_0": whole, "Q2_K": _step("Q2_K", [2, 3, 3], [1.0] * 3)}
    assert "but Q2_K also overrules" in readings.close_calls_text(overruled)
    assert "nothing to explain" in readings.close_calls_text({"F16": whole, "Q8_0": whole})


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ("VERDE", "**2 levels less urgent than it may be**"),
        ("AMARILLO", "**1 level less urgent"),
        (None, "Q2_K says nothing readable: **3 levels less urgent"),
        ("ROJO", "1 level more urgent than it need be"),
        ("NARANJA", "right both times"),
    ],
)
def test_the_worst_hit_person_is_told_by_the_rubric(after, said):
    person = replace(PEOPLE[0], level="NARANJA", accepted=("NARANJA",))
    assert said in readings.worst_hit_text(person, "NARANJA", after, "Q2_K")


def test_a_broken_model_that_agrees_with_itself_is_named():
    good, broken = _ladder(_row("Q8_0", 470)), {"F16": _row("F16", accuracy=100), "Q8_0": _row("Q8_0")}
    text = readings.no_model_agreement_text({"good": good, "broken": broken}, "good")
    assert "**broken keeps its levels" in text and "not that anything was right" in text
    assert "says nothing of the next" in readings.no_model_agreement_text({"good": good}, "good")


def test_wordings_change_before_levels_or_are_not_shown_to():
    assert "shown for Q2_K" in readings.same_text_text(_ladder(_row("Q8_0"), _row("Q2_K", text=300)))
    assert "not shown to change more often" in readings.same_text_text(_ladder(_row("Q8_0")))


def _report(wrong):
    answers = [row.answer for row in PEOPLE[wrong:]]
    return evaluate.gates.judge(PEOPLE, evaluate.always("ROJO", PEOPLE[:wrong]) + answers, on="dev")


def test_gates_that_stand_differently_are_named():
    sound, sick = _report(0), _report(60)
    assert "No gate stands differently" in readings.gates_down_text({"F16": sound, "Q2_K": sound})
    text = readings.gates_down_text({"F16": sound, "Q2_K": sick})
    assert "Q2_K: " in text and f"label ({PASSES} → fails)" in text
    assert "is not accepted itself (of 12 gates" in readings.gates_down_text({"F16": sick, "Q2_K": sick})
    everything = evaluate.gates.Report(
        100, "dev", tuple(Judged(gate, rate, PASSES) for gate, rate, _ in sound.rows)
    )
    assert "The F16 file is accepted." in readings.gates_down_text({"F16": everything, "Q2_K": everything})


def test_speed_and_memory_are_told_either_way():
    files = {"F16": _file("F16", 100), "Q8_0": _file("Q8_0", 50), "Q2_K": _file("Q2_K", 20)}
    quick = {"F16": _cost("F16", 100, 300), "Q8_0": _cost("Q8_0", 200, 200), "Q2_K": _cost("Q2_K", 50, 100)}
    text = readings.costs_text(quick, files)
    assert (
        "Faster: Q8_0 (2.00×). Slower: Q2_K (0.50×)." in text
        and "repacks" not in text
        and "10 to 10 ms" not in text
    )
    same = {"F16": _cost("F16", 100, 100), "Q8_0": _cost("Q8_0", 100, 200)}
    text = readings.costs_text(same, files)
    assert (
        "No smaller file is shown to be faster" in text
        and "**Smaller on disk is not always smaller in memory**" in text
    )


def test_advice_says_what_why_and_what_is_against_it():
    evidence = dict.fromkeys(export.LADDER, lab.picker.Evidence(wilson(480, 480), _report(60)))
    text = readings.advice_text(lab.picker.recommend(lab.picker.Phone(12, 64), evidence))
    assert "**F16**" in text and "gates not passed: format, label" in text
    clean = lab.picker.Evidence(wilson(480, 480), evaluate.gates.Report(1, "x", _report(0).rows[7:8]))
    sound = readings.advice_text(
        lab.picker.recommend(lab.picker.Phone(12, 64), dict.fromkeys(export.LADDER, clean))
    )
    assert "Nothing was measured against" in sound
    assert "none fits" in readings.advice_text(lab.picker.recommend(lab.picker.Phone(1, 64), evidence))
    assert "too slow even at best" in readings.advice_text(
        lab.picker.recommend(lab.picker.Phone(12, 1), evidence)
    )
    assert "Q8_0 75%, none 25%" in readings.picker_text({"Q8_0": 3, "none": 1}, 4)


def test_the_summary_switches_line_by_line():
    large = {quant: export.predict_large(quant) for quant in export.LADDER}
    costs = {quant: _cost(quant, 100, 100) for quant in ("F16", "Q8_0", "Q2_K")}
    rows, reports = (
        _ladder(_row("Q8_0"), _row("Q2_K", 400, bytes=20)),
        {"F16": _report(0), "Q8_0": _report(0), "Q2_K": _report(60)},
    )
    text = readings.quantization_summary_text(rows, costs, large, reports)
    assert (
        "Q2_K is 80% smaller than F16 and gives 16.7% of the people" in text
        and "**Q2_K is the first step shown" in text
    )
    assert (
        "stand differently on Q2_K" in text
        and "4 of the blog's 4 sizes" in text
        and "1.00× the speed" in text
    )
    calm = readings.quantization_summary_text(
        _ladder(_row("Q8_0")), costs, large, {"F16": _report(0), "Q8_0": _report(0)}
    )
    assert "**No step is shown to keep fewer" in calm and "No gate stands differently" in calm


GOOD = [row.answer for row in PEOPLE]
BARE = [replace(row, parts=("actions", "alarms", "number")).answer for row in PEOPLE]
HELD, HELD_BARE = evaluate.held_by_gate(PEOPLE, GOOD), evaluate.held_by_gate(PEOPLE, BARE)
SAME, LOST = readings.moved_gates(HELD, [HELD, HELD]), readings.moved_gates(HELD, [HELD_BARE, HELD_BARE])
WON = readings.moved_gates(HELD_BARE, [HELD, HELD])


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
