"""Figures carry stamp and caption, colour never stands alone, and widgets have a static side."""

import inspect
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.colors as mcolors
import matplotlib.pyplot as plt
import pytest

from helpers import cases, evaluate, lab, show
from helpers.evaluate import wilson
from helpers.lab.session import commit, uses
from helpers.triage import LEVELS

TESTS = cases.evaluation_prompts("dev")[:50]
SCORES = evaluate.score(TESTS, evaluate.always("ROJO", TESTS))


@pytest.fixture
def shown(monkeypatch):
    """What a cell would display: figures' texts and Markdown."""
    seen = []
    monkeypatch.setattr(show.figures, "display", seen.append)
    lab.start("test")
    return seen


SHARES = {level: wilson(place + 1, 10) for place, level in enumerate(LEVELS)} | {"other": wilson(9, 10)}
SEEDS = {"clean": [0.8, 0.75, 0.85], "blind": [0.2, 0.2, 0.2], "one run": [0.5]}
DIFFERENCES = {
    "harm": evaluate.over_seeds([-0.2, -0.25, -0.15]),
    "nothing": evaluate.over_seeds([0.01, -0.01]),
}
CURVES = {"by dose": {0.1: [0.8, 0.7], 1.0: [0.2, 0.3]}, "points": [(0.1, 0.5), (1.0, 0.4)]}
BASELINE = {"always ROJO": 0.36, "your prediction": 0.8}
COUNTS = [[3, 1], [0, 4]]
EFFECTS = [
    evaluate.Effect("skew", -0.2, -0.3, -0.1, 0.01),
    evaluate.Effect("skew × start", 0.0, -0.1, 0.1, 0.9),
]

DRAW = {
    "gates": lambda: show.gates({"sick": evaluate.gates.judge(TESTS, evaluate.always("ROJO", TESTS))}),
    "bars": lambda: show.bars(SHARES, "Shares", baseline=BASELINE),
    "forest": lambda: show.forest(DIFFERENCES, "Differences", n=480, seeds=3),
    "dots": lambda: show.dots(SEEDS, "Runs", baseline=BASELINE, n=480),
    "lines": lambda: show.lines(CURVES, "Doses", x="dose", y="accuracy", baseline=BASELINE, log="x"),
    "heatmap": lambda: show.heatmap(
        COUNTS, ["ROJO", "b"], ["x", "AZUL"], "Counts", caption="counts of pairs"
    ),
}


@pytest.mark.parametrize("name", DRAW)
def test_a_figure_comes_with_its_stamp_and_its_caption(name, shown):
    DRAW[name]()
    figure, caption = shown
    assert any("nano · synthetic micro-world" in text.get_text() for text in figure.texts)
    assert caption.data.startswith("*Figure:") and len(caption.data) > 40
    assert not plt.get_fignums()


# ---------------------------------------------------------------------------------------- the five primitives
def _drawn(name, shown):
    """The axes of this figure, its stamp and its caption."""
    DRAW[name]()
    figure, caption = shown
    return figure.axes[0], figure.texts[-1].get_text(), caption.data


def _spans(axes):
    """(from, to, height) of every level line that is drawn: intervals, and nothing dotted."""
    ends = ((line.get_xdata(), line.get_ydata()) for line in axes.lines if line.get_linestyle() == "-")
    return [(x[0], x[-1], y[0]) for x, y in ends if len(x) == 2 and y[0] == y[-1]]


def _rows(axes):
    """What is written beside each height."""
    return dict(zip([tick.get_text() for tick in axes.get_yticklabels()], axes.get_yticks(), strict=True))


def test_bars_have_their_intervals_and_a_levels_bar_has_its_colour_and_its_name(shown):
    axes, stamp, caption = _drawn("bars", shown)
    rows, spans = _rows(axes), {height: (low, high) for low, high, height in _spans(axes)}
    assert list(rows) == list(reversed(SHARES)) and "n=10" in stamp and "seeds=1" in stamp
    for bar, name in zip(axes.patches, rows, strict=True):
        assert bar.get_width() == pytest.approx(SHARES[name].value)
        assert spans[rows[name]] == (SHARES[name].low, SHARES[name].high)
        is_level = mcolors.same_color(bar.get_facecolor(), show.color_of(name))
        assert is_level == (name in LEVELS) and f"{name} {SHARES[name]}" in caption


def test_a_plain_share_is_drawn_without_an_interval(shown):
    show.bars({"plain": 0.25}, "Shares")
    assert [(low, high) for low, high, _ in _spans(shown[0].axes[0])] == [(0.25, 0.25)] and "25.0%" in shown[
        1
    ].data


def test_a_forest_shows_points_intervals_and_the_line_of_no_difference(shown):
    axes, stamp, caption = _drawn("forest", shown)
    rows = _rows(axes)
    for bars, name in zip(axes.containers, rows, strict=True):
        rate, segment = DIFFERENCES[name], bars.lines[2][0].get_segments()[0]
        assert segment[:, 0] == pytest.approx([100 * rate.low, 100 * rate.high])
        assert set(segment[:, 1]) == {rows[name]}
        clear = mcolors.same_color(bars.lines[0].get_color(), show.primitives.BLUE)
        assert clear == (not rate.low <= 0 <= rate.high)
    assert any(list(line.get_xdata()) == [0, 0] for line in axes.lines)
    assert "seeds=3" in stamp and "harm -20.0 points" in caption and "%" not in caption


def test_several_runs_of_one_row_stand_beside_each_other(shown):
    show.forest({"a": list(DIFFERENCES.values()), "b": DIFFERENCES["harm"]}, "Runs")
    figure, caption = shown
    heights = [bars.lines[0].get_ydata()[0] for bars in figure.axes[0].containers]
    assert len(heights) == len(set(heights)) == 3 and max(abs(h - round(h)) for h in heights) < 0.5
    assert caption.data.count("a -20.0 points") == 1 and caption.data.count("a +0.0 points") == 1


def test_an_effect_is_drawn_like_a_rate(shown):
    show.forest({"skew": EFFECTS[0]}, "Effects")
    segment = shown[0].axes[0].containers[0].lines[2][0].get_segments()[0]
    assert segment[:, 0] == pytest.approx([-30, -10])


def test_dots_show_every_seed_its_mean_and_the_interval_where_there_is_one(shown):
    axes, stamp, caption = _drawn("dots", shown)
    rows = _rows(axes)
    for dots, name in zip(axes.collections, rows, strict=True):
        assert sorted(dots.get_offsets()[:, 0]) == sorted(SEEDS[name]) and set(dots.get_offsets()[:, 1]) == {
            rows[name]
        }
    means = [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1][: len(SEEDS)]
    assert means == pytest.approx([0.5, 0.2, 0.8])
    rate = evaluate.over_seeds(SEEDS["clean"])  # the other two groups cannot have one
    assert [(low, high) for low, high, _ in _spans(axes)] == [pytest.approx((rate.low, rate.high))]
    assert "seeds=3" in stamp and "clean 80%, 75%, 85%" in caption


def test_lines_go_through_the_means_and_show_every_run_as_a_dot(shown):
    axes, _, _ = _drawn("lines", shown)
    by_dose, points = axes.lines[0], axes.lines[1]
    assert list(by_dose.get_ydata()) == pytest.approx([0.75, 0.25]) and list(points.get_ydata()) == [0.5, 0.4]
    assert sorted(place for dots in axes.collections for place in dots.get_offsets()[:, 1]) == [
        0.2,
        0.3,
        0.7,
        0.8,
    ]
    assert axes.get_xscale() == "log" and axes.get_yscale() == "linear"
    assert len({line.get_linestyle() for line in axes.lines[:2]}) == 2  # colour never alone


@pytest.mark.parametrize(("log", "places"), [("x", (67, 350, 1000)), ("", (0.0, 0.1, 0.25, 1.0))])
def test_few_points_have_their_own_ticks_written_plainly(log, places, shown):
    show.lines({"a": {at: [0.5, 0.6] for at in places}}, "Few", x="x", y="y", log=log)
    axes = shown[0].axes[0]
    assert list(axes.get_xticks()) == list(places) and not list(axes.get_xticks(minor=True))
    written = [label.get_text() for label in axes.get_xticklabels(which="both")]
    assert written == (["67", "350", "1,000"] if log else ["0", "0.1", "0.25", "1"])


def test_many_points_leave_the_ticks_to_the_axis(shown):
    show.lines({"a": [(place, place) for place in range(1, 40)]}, "Many", x="x", y="y")
    assert len(shown[0].axes[0].get_xticks()) < 20


def test_every_curve_is_drawn_however_many_there_are(shown):
    curves = {f"curve {number}": [(0, number), (1, number)] for number in range(7)}
    show.lines(curves, "Many", x="x", y="y")
    drawn = shown[0].axes[0].lines
    assert [line.get_label() for line in drawn] == list(curves)
    assert len({(line.get_color(), line.get_linestyle()) for line in drawn}) == 7


@pytest.mark.parametrize("name", ["bars", "dots", "lines"])
def test_a_baseline_is_drawn_and_named(name, shown):
    axes, _, _ = _drawn(name, shown)
    along = "get_ydata" if name == "lines" else "get_xdata"
    drawn = [getattr(line, along)()[0] for line in axes.lines if line.get_linestyle() in (":", "--")]
    assert set(BASELINE.values()) <= set(drawn)
    told = " ".join(text.get_text() for text in axes.get_legend().get_texts())
    assert all(baseline in told for baseline in BASELINE)


def test_a_heat_map_writes_its_numbers_and_colours_the_names_of_levels(shown):
    axes, _, caption = _drawn("heatmap", shown)
    assert "ROJO: x 3, AZUL 1; b: x 0, AZUL 4" in caption
    assert [text.get_text() for text in axes.texts] == ["3", "1", "0", "4"]
    names = {
        label.get_text(): label.get_color() for label in (*axes.get_xticklabels(), *axes.get_yticklabels())
    }
    assert set(names) == {"ROJO", "b", "x", "AZUL"}
    assert all(mcolors.same_color(names[level], show.color_of(level)) for level in ("ROJO", "AZUL"))


@pytest.mark.parametrize("helper", [evaluate.over_seeds, evaluate.Rate, show.source])
def test_source_shows_the_helper_as_it_stands_in_its_file(helper):
    shown = show.source(helper).data
    assert shown in Path(inspect.getsourcefile(helper)).read_text(encoding="utf-8")
    assert shown.startswith(("def", "class", "@dataclass")) and helper.__name__ in shown


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
    shown[1].value = 80
    assert guess.value == 0.8


def test_the_box_on_a_static_page_shows_its_text_and_the_five_shares(shown):
    show.patient_box(lambda _: dict.fromkeys(LEVELS, 0.2), "Me duele <aquí>")
    page = shown[0].data
    assert "Me duele &lt;aquí&gt;" in page and page.count("20%") == len(LEVELS)


def test_the_box_in_a_live_notebook_asks_again_for_every_text(monkeypatch, shown):
    monkeypatch.delenv("TRIAGE_STATIC")
    show.patient_box(lambda text: {level: float(level == text) for level in LEVELS}, "ROJO")
    box, bars = shown[0].children
    before = bars.value
    box.value = "AZUL"
    assert before != bars.value and bars.value.endswith("100%</div>")


def test_under_a_figure_stands_where_it_comes_from_and_how_to_draw_it_again(shown):
    lab.start("05_balanced_sft")
    uses("sft-balanced-s0-abcdef")
    for _ in range(2):
        show.bars(SHARES, "Shares", seeds=3)
    line = shown[3].data
    for part in (
        "figure 2",
        commit(),
        "sft-balanced-s0-abcdef",
        "seeds 0 to 2",
        "run 05 --figure 2 --seeds 3",
    ):
        assert part in line


def test_without_a_repository_the_commit_is_unknown_and_a_figure_is_drawn_all_the_same(monkeypatch, tmp_path):
    alone = commit.__wrapped__
    monkeypatch.setitem(alone.__globals__, "ROOT", tmp_path)
    assert alone() == "unknown"


def test_the_session_shows_profile_machine_and_versions():
    text = lab.start("04_imbalanced_sft")._repr_markdown_()
    assert "nano" in text and "threads" in text and "torch 2.13.0" in text


def test_the_readmes_figure_carries_the_stamp():
    figure = show.finding([(1, 2.0), (2, 0.1)], dict.fromkeys(LEVELS, 0.2), 10)
    assert any("n=10" in text.get_text() for text in figure.texts)
    plt.close(figure)
