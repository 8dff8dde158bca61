"""Notebook 12: what is said of parity, of faults and of their cost changes with what was measured."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython.display import Markdown

from helpers import show
from helpers.evaluate import wilson
from helpers.lab import readings
from helpers.runtimes import Reply, faults, parity
from helpers.runtimes.parity import Run, compare, judge


def _run(name="other", levels=("ROJO",) * 10, prompt="p", tail="", logits=None):
    replies = tuple(Reply(prompt, (1, 2), f"Nivel de Urgencia: {level}{tail}", "stop") for level in levels)
    return Run(name, replies, logits)


SOUND = _run("llama_cpp", logits=np.zeros((10, 4)))
MOVED = _run(logits=np.tile([0.0, 0.0, 0.0, 2.0], (10, 1)))
OTHER_LEVEL = ("AZUL", *("ROJO",) * 9)


def _judged(**runs):
    return {name: judge([(compare(SOUND, run), "file")]) for name, run in runs.items()}


def test_one_model_is_claimed_only_when_nothing_drifts_and_what_was_left_out_is_said():
    same = compare(_run("transformers"), _run("llama_cpp"))
    said = readings.same_model_text(judge([(same, "export")]))
    assert (
        "**One model, as far as these prompts can tell.**" in said
        and "Not compared on this machine: browser, server" in said
    )
    assert "95 % interval from 72.2%" in said
    drifts = readings.same_model_text(
        judge([(compare(_run("transformers"), _run("llama_cpp", OTHER_LEVEL)), "export")])
    )
    assert "**drifts in label, text**" in drifts and "**Not one model: the build fails.**" in drifts


def test_a_difference_of_texts_is_called_a_phrasing_only_when_the_levels_agree():
    assert "Not one of 10 answers" in readings.texts_text(compare(_run(), _run()))
    assert "none in its level" in readings.texts_text(compare(_run(), _run(tail=" —")))
    assert "**this is no matter of phrasing**" in readings.texts_text(
        compare(_run(), _run(levels=OTHER_LEVEL))
    )


def test_the_depth_that_sees_a_fault_is_named_and_so_are_the_faults_that_none_sees():
    judged = _judged(
        no_system=_run(prompt="q", logits=SOUND.logits),
        swapped_quant=_run(levels=OTHER_LEVEL, logits=MOVED.logits),
        wrong_eos=SOUND,
    )
    assert readings.caught_at(judged) == {
        "no_system": ("prompt",),
        "swapped_quant": ("label", "text", "kl"),
        "wrong_eos": (),
    }
    said = readings.faults_text(judged, guess=1.0)
    assert "notices 1 of 3 faults (you said 100%)" in said
    assert "blind to system line dropped" in said and "system line dropped: prompt" in said
    assert (
        "No depth drifts beyond its tolerance for wrong EOS id" in said
        and "**you need more than one**" in said
    )
    assert "(as you said)" in readings.faults_text(judged, guess=0.33)


def test_one_depth_that_sees_everything_is_said_to():
    judged = _judged(swapped_quant=_run(levels=OTHER_LEVEL, logits=SOUND.logits))
    said = readings.faults_text(judged, guess=0.0)
    assert (
        "One depth sees every fault that any sees: label, text" in said
        and "blind" not in said
        and "No depth drifts" not in said
    )


def test_the_sleeping_fault_is_told_only_when_it_sleeps_in_one_program_and_wakes_in_the_other():
    same, other = compare(SOUND, SOUND), compare(SOUND, _run(tail=" y más"))
    assert "sleep in a file" in readings.eos_text(same, other)
    assert "sleep" not in readings.eos_text(same, same) and "sleep" not in readings.eos_text(other, other)


def test_a_cost_is_claimed_only_when_the_intervals_part():
    sound, baseline = wilson(80, 100), wilson(25, 100)
    said = readings.fault_cost_text(
        {"other_template": wilson(20, 100), "double_bos": wilson(79, 100)}, sound, baseline
    )
    assert (
        "**another family's template 20% [13%–29%]**" in said
        and "Not shown to cost accuracy here: BOS twice" in said
    )
    assert "No fault is shown to be worse" in readings.fault_cost_text(
        {"double_bos": wilson(79, 100)}, sound, baseline
    )
    assert "Not shown" not in readings.fault_cost_text({"other_template": wilson(20, 100)}, sound, baseline)


def test_the_conclusions_count_what_was_caught_where():
    report = judge([(compare(_run("transformers"), _run("llama_cpp")), "export")])
    judged = _judged(
        no_system=_run(prompt="q", logits=SOUND.logits),
        swapped_quant=_run(levels=OTHER_LEVEL, logits=MOVED.logits),
    )
    said = readings.parity_text(report, judged)
    assert "**One model in every program compared** (llama_cpp)" in said
    assert (
        "Of 2 faults" in said
        and "2 drift beyond a tolerance at some depth, 1 in the level, 1 already in the prompt" in said
    )
    broken = judge([(compare(_run("transformers"), _run("llama_cpp", OTHER_LEVEL)), "export")])
    assert "**The programs do not agree**" in readings.parity_text(broken, judged)


@pytest.fixture
def shown(monkeypatch):
    """What `present` displayed: figures are kept open, captions collected."""
    said = []
    monkeypatch.setattr(
        "helpers.show.figures.display",
        lambda thing: said.append(thing.data if isinstance(thing, Markdown) else thing),
    )
    yield said
    plt.close("all")


def test_every_figure_is_captioned_with_its_figures(shown):
    show.odds_apart(
        {
            "same": compare(SOUND, SOUND),
            "moved": compare(SOUND, MOVED),
            "without odds": compare(SOUND, _run()),
        },
        0.001,
    )
    assert "same 0.0e+00" in shown[-1] and "moved" in shown[-1] and "without odds" not in shown[-1]
    judged = _judged(**{name: _run(levels=OTHER_LEVEL) for name in faults.FAULTS})
    show.fault_matrix(judged, dict.fromkeys(faults.FAULTS, wilson(5, 10)), wilson(8, 10), wilson(2, 10))
    assert "BOS twice: level, text" in shown[-1] and "without a fault 80%, always ROJO 20%" in shown[-1]
    picture = io.BytesIO()
    plt.imsave(picture, np.zeros((20, 10, 3)), format="png")
    show.page_portrait(picture.getvalue(), "dolor", "pain")
    assert "“dolor” (pain)" in shown[-1]


def test_a_fault_that_drifts_is_marked_by_more_than_its_colour(shown):
    show.fault_matrix(
        _judged(no_system=_run(prompt="q", logits=SOUND.logits)),
        {"no_system": wilson(8, 10)},
        wilson(8, 10),
        wilson(2, 10),
    )
    texts = [text.get_text() for text in shown[0].axes[0].texts]
    assert texts[0] == "✗ 100%" and texts[3] == "0%"


def test_the_tables_show_every_depth_and_what_each_program_made_of_a_person():
    report = judge([(compare(SOUND, _run(levels=OTHER_LEVEL)), "file")])
    table = show.parity_table(report).data
    assert table.count("\n") == 6 and "DRIFT" in table and "not given" in table and "| level |" in table
    sides = show.side_by_depth({"one": SOUND, "two": _run(levels=("nada",) * 10)}).data
    assert "| one |" in sides and "ROJO" in sides and "| — |" in sides


def test_the_tolerances_of_the_data_file_are_those_that_the_issue_asks_for():
    for kind in ("export", "file"):
        assert parity.tolerances(kind)["label"]["at_least"] == 1.0
    assert parity.tolerances("quantized")["label"]["at_least"] == 0.99
