"""Notebook 08: what is said of DPO, of the audit and of truncation changes with what was measured."""

import matplotlib.pyplot as plt
import pytest

from helpers import audit, cases, evaluate, lab, show
from helpers.evaluate import wilson
from helpers.lab import readings

TESTS = cases.evaluation_prompts("dev")[:40]


def _rates(label=0.5, actions=0.3, alarms=0.4, disclaimer=0.3, strict=0.05, number=0.5, n=480):
    shares = {
        "label": label,
        "actions": actions,
        "alarms": alarms,
        "disclaimer": disclaimer,
        "strict": strict,
        "number": number,
    }
    return {name: wilson(round(share * n), n) for name, share in shares.items()}


BEFORE, AFTER = _rates(), _rates(actions=0.97, alarms=0.95, disclaimer=0.0, strict=0.0, number=0.35)


def _pairs(n=60):
    people = cases.write_diverse(n, 3)
    chosen = [cases.set_part(row, row.answer, "disclaimer", False) for row in people]
    rejected = [
        row.answer.replace("Qué hacer", "Nada") if place % 2 else row.level_line
        for place, row in enumerate(people)
    ]
    return cases.weak_pairs(people, chosen, rejected)


def test_two_runs_on_the_same_prompts_are_not_counted_as_twice_as_many_prompts():
    whole = evaluate.score(TESTS, [row.answer for row in TESTS])
    bare = evaluate.score(TESTS, [row.level_line for row in TESTS])
    both = readings.measured([whole, bare], "disclaimer")
    assert (both.value, both.n, both.low, both.high) == (0.5, 40, wilson(0, 40).low, wilson(40, 40).high)
    assert readings.measured([whole], "label").value == 1 and readings.measured([bare], "strict").value == 0
    assert readings.measured([bare], "unreadable").value == 0


def test_a_rate_has_moved_only_when_the_intervals_part():
    assert readings.moved(wilson(10, 100), wilson(60, 100)) == "up"
    assert readings.moved(wilson(60, 100), wilson(10, 100)) == "down"
    assert readings.moved(wilson(10, 100), wilson(14, 100)) == "not shown"


def test_the_critical_finding_is_claimed_only_when_structure_rises_and_the_disclaimer_is_nearly_gone():
    assert "**The blog's finding appears**" in readings.dpo_text(BEFORE, AFTER)
    assert "in part" in readings.dpo_text(BEFORE, {**AFTER, "disclaimer": wilson(60, 480)})
    assert "in part" in readings.dpo_text(BEFORE, {**BEFORE, "disclaimer": wilson(0, 480)})
    assert "does not appear" in readings.dpo_text(BEFORE, BEFORE)


def test_the_audit_is_given_its_hits_its_misses_and_what_stays_open():
    foreseen = audit.preferences(_pairs())
    was = {part: BEFORE[part] for part in ("actions", "disclaimer", "number")}
    said = readings.audit_text(
        foreseen, was, {**{part: AFTER[part] for part in was}, "number": BEFORE["number"]}
    )
    assert (
        "right for actions, disclaimer" in said and "undecided: number" in said and "wrong for none" in said
    )
    fallen = readings.audit_text(foreseen, was, {part: AFTER[part] for part in was})
    assert "**wrong: number" in fallen and "has to be worked out" in fallen


def test_truncation_is_ruled_out_only_when_nothing_was_cut():
    stop, cut = ["stop"] * 100, ["stop"] * 50 + ["length"] * 50
    assert "is ruled out" in readings.truncation_text(stop, stop, wilson(0, 300), 320)
    assert "not ruled out**: training" in readings.truncation_text(stop, stop, wilson(9, 300), 320)
    assert "not ruled out**: too many" in readings.truncation_text(stop, cut, wilson(0, 300), 320)


def test_the_log_is_called_green_only_when_it_rose_while_the_disclaimer_fell():
    rising = [0.5, 0.7, 0.9, 1.0, 1.0]
    assert "green" in readings.margins_text(rising, rising, BEFORE["disclaimer"], AFTER["disclaimer"])
    assert "green" not in readings.margins_text(rising, rising, BEFORE["disclaimer"], BEFORE["disclaimer"])
    assert "down by" in readings.margins_text(rising, rising[::-1], BEFORE["disclaimer"], AFTER["disclaimer"])


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ((0.0, 0.45, 0.9), "even rises"),
        ((0.0, 0.3, 0.9), "it stays"),
        ((0.0, 0.1, 0.9), "still falls"),
        ((0.9, 0.3, 0.1), "does not simply"),
    ],
)
def test_the_dose_response_sentence_follows_its_points(after, expected):
    odds = [evaluate.Rate(value, 300, value / 2, value * 2) for value in (0.01, 1.0, 40.0)]
    said = readings.dose_response_text(
        odds, [wilson(round(480 * share), 480) for share in after], BEFORE["disclaimer"], even=1
    )
    assert expected in said and ("follows the pairs**" in said) is (after[0] < after[2])


def test_a_setting_that_saves_the_disclaimer_is_named():
    fallen = AFTER["disclaimer"]
    assert "No setting tried here saves it" in readings.settings_text(
        {"β = 1": fallen, "rate": fallen}, BEFORE["disclaimer"]
    )
    assert "No fall is shown with rate" in readings.settings_text(
        {"β = 1": fallen, "rate": BEFORE["disclaimer"]}, BEFORE["disclaimer"]
    )


def test_the_summary_blames_the_pairs_only_when_they_explain_it():
    foreseen = audit.preferences(_pairs())["disclaimer"]
    assert foreseen.direction == "down"
    assert "Nothing was wrong with the algorithm" in readings.preference_summary(
        BEFORE, AFTER, foreseen, BEFORE["disclaimer"]
    )
    assert "do not explain it" in readings.preference_summary(BEFORE, AFTER, foreseen, AFTER["disclaimer"])
    assert "do not explain it" in readings.preference_summary(BEFORE, BEFORE, foreseen, BEFORE["disclaimer"])


def test_the_blogs_steps_follow_from_its_pairs_and_its_batch():
    assert lab.verdict(lab.claims()["dpo_steps"]).verdict != "the blog disagrees with itself"


def test_the_figures_carry_caption_and_stamp(monkeypatch):
    shown = []
    monkeypatch.setattr("helpers.show.figures.display", shown.append)
    show.before_after(dict.fromkeys(BEFORE, (0.3, 0.6)), BEFORE, AFTER, 2)
    steps = [(float(step), step / 40) for step in range(1, 41)]
    parts = {part: {0: BEFORE[part], 320: AFTER[part]} for part in ("disclaimer", "actions")}
    show.while_margins_rise(steps, steps, parts, 1)
    doses = [
        show.Dose(share, evaluate.Rate(share + 0.1, 300, share + 0.05, share + 1), BEFORE["disclaimer"])
        for share in (0.0, 0.5)
    ]
    show.dose_response(doses, BEFORE["disclaimer"], 1)
    captions = [
        item.data for item in shown if hasattr(item, "data") and str(item.data).startswith("*Figure:")
    ]
    assert (
        len(captions) == 3
        and "blog 30% → 60%" in captions[0]
        and "disclaimer 30% → 0%" in captions[1]
        and "odds ratio 0.6" in captions[2]
    )
    assert not plt.get_fignums()
