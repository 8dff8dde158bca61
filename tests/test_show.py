"""Figures carry stamp and caption, colour never stands alone, and widgets have a static side."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers import cases, evaluate, export, lab, show
from helpers.evaluate import wilson
from helpers.evaluate.generation import TokenLoss
from helpers.lab import ClientRun
from helpers.lab.costs import Cost
from helpers.lab.ladder import Step, log_softmax
from helpers.recipes import grid
from helpers.triage import LEVELS

SERIES = [
    {"second": second, "accepted": 3, "limited": second % 2, "broken": 1, "tokens": 0, "in_flight": 5}
    for second in range(40)
]
CLIENT = ClientRun(
    "naive, 5 at once", 10, 1, 2, 160, 20, 0.7, 500, [(0.1, "answer"), (0.2, "429"), (0.3, "answer")], SERIES
)
TESTS = cases.evaluation_prompts("dev")[:50]
SCORES = evaluate.score(TESTS, evaluate.always("ROJO", TESTS))


@pytest.fixture
def shown(monkeypatch):
    """What a cell would display: figures' texts and Markdown."""
    seen = []
    monkeypatch.setattr(show.figures, "display", seen.append)
    lab.start("test")
    return seen


CELLS = {cell: [0.5, 0.6, 0.7] for cell in grid.CELLS}
CELL_BANDS = evaluate.over_seeds(CELLS)
DOSES = {0.0: [0.8, 0.7], 1.0: [0.2, 0.2]}
DOSE_BANDS = evaluate.over_seeds(DOSES)
EVEN = dict.fromkeys(LEVELS, 0.2)
EFFECTS = [
    evaluate.Effect(("skew",), -0.2, -0.3, -0.1, 0.01),
    evaluate.Effect(("skew", "start"), 0.0, -0.1, 0.1, 0.9),
]

STEPS = {
    quant: Step(quant, 1, log_softmax(np.eye(6)[[1, 2, level]] * [[0.5], [2], [3]]), (1, 2, 3, 4, 5))
    for quant, level in (("F16", 3), ("Q8_0", 3), ("Q2_K", 4))
}
LADDER = lab.ladder.compare(STEPS, TESTS[:3])
FILES = {quant: export.Exported(None, quant, 100, {}, ()) for quant in STEPS}
COSTS = {quant: Cost(quant, (0.1, 0.2), (200, 300), (10.0, 12.0)) for quant in STEPS}
EVIDENCE = dict.fromkeys(
    export.LADDER,
    lab.picker.Evidence(wilson(9, 10), evaluate.gates.judge(TESTS, evaluate.always("ROJO", TESTS))),
)


def _advise(memory, bandwidth):
    return lab.picker.recommend(lab.picker.Phone(memory, bandwidth), EVIDENCE)


DRAW = {
    "bits_map": lambda: show.bits_map(
        {quant: export.predict_large(quant) for quant in export.LADDER}, "LFM2.5-1.2B"
    ),
    "error_by_bits": lambda: show.error_by_bits({2: 0.4, 8: 0.01}, {"Q8_0": (8.5, 0.01), "Q2_K": (2.6, 0.3)}),
    "ladder_levels": lambda: show.ladder_levels(LADDER, "Q2_K"),
    "close_calls": lambda: show.close_calls(STEPS),
    "other_models": lambda: show.other_models({"one": LADDER, "other": LADDER}),
    "file_costs": lambda: show.file_costs(COSTS, FILES),
    "phone_map": lambda: show.phone_map(_advise, [2, 12], [4, 32]),
    "factorial": lambda: show.factorial(CELLS, CELLS, CELL_BANDS, CELL_BANDS, 0.25, 480),
    "effects": lambda: show.effects({"on accuracy": EFFECTS, "on ROJO": EFFECTS}, 480, 3),
    "sweep": lambda: show.sweep(
        DOSES, DOSES, DOSE_BANDS, DOSE_BANDS, title="x", axis="y", baseline=0.25, n=480
    ),
    "generations": lambda: show.generations([("one", EVEN), ("two", EVEN)], 350),
    "gates_moved": lambda: show.gates_moved(
        {"before": {"label": wilson(4, 5)}, "after": {"label": wilson(3, 5)}}, 5, 2
    ),
    "left_out": lambda: show.left_out(
        {"label": {"without no_alarms": EFFECTS[0], "the other seed": EFFECTS[1]}}, 480
    ),
    "told_apart": lambda: show.told_apart(
        {"before": {"no_alarms": wilson(1, 5)}, "after": {"no_alarms": wilson(4, 5)}}, 5, 2
    ),
    "verdict_bars": lambda: show.verdict_bars(lab.ledger()),
    "gates": lambda: show.gates({"sick": evaluate.gates.judge(TESTS, evaluate.always("ROJO", TESTS))}),
    "throughput": lambda: show.throughput([CLIENT, CLIENT]),
    "herd": lambda: show.herd([CLIENT, CLIENT]),
    "bill": lambda: show.bill(4_500_000, 0.3, 1.2, 1.4, 0.25),
    "label_shares": lambda: show.label_shares(cases.BLOG_PRIOR, cases.BLOG_PRIOR, 100),
    "unique_growth": lambda: show.unique_growth([(1, 1), (2, 1)], [(1, 1), (2, 2)]),
    "conflict_bars": lambda: show.conflict_bars(0.68, 0.68, 0.6, 1.0, 100),
    "loss_curve": lambda: show.loss_curve([(1, 2.0), (2, 0.1)], 0.016),
    "confusion_matrix": lambda: show.confusion_matrix(TESTS, SCORES, "x"),
    "rates": lambda: show.rates([("a", wilson(1, 5)), ("b", wilson(4, 5))], "x", prediction=0.5),
    "token_bars": lambda: show.token_bars(
        [TokenLoss("a", 0.1, False), TokenLoss(" ROJO", 1.2, True)], [0.1, 1.2], 1.2, 10, 5
    ),
}


@pytest.mark.parametrize("name", DRAW)
def test_a_figure_comes_with_its_stamp_and_its_caption(name, shown):
    DRAW[name]()
    figure, caption = shown
    assert any("nano · synthetic micro-world" in text.get_text() for text in figure.texts)
    assert caption.data.startswith("*Figure:") and len(caption.data) > 40
    assert not plt.get_fignums()


def test_level_bars_have_a_pattern_and_a_name_beside_their_colour(shown):
    DRAW["label_shares"]()
    axes = shown[0].axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == list(LEVELS)
    assert len({bar.get_hatch() for bar in axes.patches}) == 5


def test_a_table_shows_rates_with_n_and_interval_and_survives_pipes():
    text = show.table([{"a|b": "x|y\nz", "rate": wilson(1, 5)}]).data
    assert "n = 5" in text and "x\\|y<br>z" in text
    assert "nothing" in show.table([]).data


def test_an_answer_card_escapes_what_a_person_typed():
    card = show.answer_card("<script>alert(1)</script>", "Nivel de Urgencia: ROJO — Emergencia", "gloss").data
    assert "<script>" not in card and "ROJO" in card and show.color_of("ROJO") in card


def test_a_prediction_on_a_static_page_says_what_was_assumed(shown):
    guess = show.predict("How many?", default=0.3)
    assert guess.value == 0.3 and "30%" in shown[0].data


def test_a_prediction_in_a_live_notebook_follows_the_slider(monkeypatch, shown):
    monkeypatch.delenv("TRIAGE_STATIC")
    guess = show.predict("How many?", default=0.3)
    shown[0].children[1].value = 80
    assert guess.value == 0.8


def test_the_session_shows_profile_machine_and_versions():
    text = lab.start("04_imbalanced_sft")._repr_markdown_()
    assert "nano" in text and "threads" in text and "torch 2.13.0" in text


def test_the_readmes_figure_carries_the_stamp():
    figure = show.finding([(1, 2.0), (2, 0.1)], dict.fromkeys(LEVELS, 0.2), 10)
    assert any("n=10" in text.get_text() for text in figure.texts)
    plt.close(figure)


def test_the_grid_explorer_draws_measured_points_only_and_both_ends_on_a_static_page(shown, monkeypatch):
    monkeypatch.setattr(show.cure, "display", shown.append)
    drawn = []
    show.explore_grid(
        lambda skew, conflict: drawn.append((skew, conflict)),
        ["uniform", "skewed"],
        {"uniform": [0.0, 1.0], "skewed": [0.0, 0.5, 1.0]},
    )
    assert drawn == [("uniform", 0.0), ("skewed", 1.0)]


def test_the_grid_explorer_offers_only_the_rates_measured_at_the_chosen_skew(shown, monkeypatch):
    seen = []
    monkeypatch.setattr(show.cure, "static", lambda: False)
    monkeypatch.setattr(show.cure, "display", lambda *things: seen.extend(things))
    show.explore_grid(
        lambda skew, conflict: None, ["uniform", "skewed"], {"uniform": [0.0, 1.0], "skewed": [0.0, 0.5, 1.0]}
    )
    skew, conflict = seen[0].children
    assert [value for _, value in conflict.options] == [0.0, 1.0]
    skew.value = "skewed"
    assert [value for _, value in conflict.options] == [0.0, 0.5, 1.0]


def test_answers_are_compared_side_by_side_with_the_rubrics_reason(shown, monkeypatch):
    monkeypatch.setattr(show.cure, "display", lambda *things: shown.extend(things))
    people = cases.vignettes()[:3]
    show.compare_answers(people, {"model": [row.answer for row in people]}, first=2)
    text = " ".join(getattr(thing, "data", "") for thing in shown)
    assert people[2].text in text and people[2].rationale in text and "<b></b>" not in text


def test_every_group_of_tensors_has_its_bits_and_the_shares_are_whole():
    found = show.quantization.bits_by_group(export.predict_large("Q2_K"))
    assert sum(share for _, share in found.values()) == pytest.approx(1)
    assert (
        found["embedding, also output"][0] == 6.5625
        and found["norms and kernels"][0] == 32.0
        and len(found) == 11
    )
    assert show.quantization.group_of("blk.1.attn_q_norm.weight") == "norms and kernels"


def test_the_map_of_phones_counts_what_it_recommends(shown):
    assert show.phone_map(_advise, [2, 12], [4, 32]) == {"F16": 1, "Q2_K": 1, "none": 2}


def test_a_guessed_step_is_kept_and_follows_the_drop_down(shown, monkeypatch):
    said = []
    monkeypatch.setattr(show.quantization, "display", said.append)
    assert show.predict_step("Which?", ["Q8_0", "Q2_K"], "Q2_K").value == "Q2_K" and "Q2_K" in said[0].data
    monkeypatch.delenv("TRIAGE_STATIC")
    guess = show.predict_step("Which?", ["Q8_0", "Q2_K"], "Q2_K")
    said[1].children[1].value = "Q8_0"
    assert guess.value == "Q8_0"


def test_the_picker_draws_its_points_on_a_static_page_and_follows_its_sliders_in_a_live_one(monkeypatch):
    drawn, seen = [], []
    monkeypatch.setattr(show.picker, "display", lambda *things: seen.extend(things))
    show.pick_file(lambda *phone: drawn.append(phone), [(4, 16, 8), (2, 7, 8)])
    assert drawn == [(4, 16, 8), (2, 7, 8)]
    monkeypatch.delenv("TRIAGE_STATIC")
    show.pick_file(lambda memory, bandwidth, wanted: drawn.append((memory, bandwidth, wanted)), [(4, 16, 8)])
    seen[-2].children[0].value = 8
    assert drawn[-1] == (8, 16, 8)


def test_the_tables_of_the_ladder_and_of_offers_carry_intervals_and_objections():
    assert "95 %" not in show.ladder_table(LADDER).data and "n = 3" in show.ladder_table(LADDER).data
    text = show.offers_table(_advise(12, 64)).data
    assert "→ | F16 |" in text and "gates not passed: format, label" in text
