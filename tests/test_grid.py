"""The grid of notebook 05: what its arms hold equal, and that nothing is trained twice or lost."""

import dataclasses
from collections import Counter

import pytest

from helpers import cases, evaluate, lab, train
from helpers.files import LabError, build_dir
from helpers.lab import grid as runner
from helpers.recipes import GRID, grid, recipe_named
from helpers.triage import LEVELS

NANO = train.profile_named("nano")
TINY = dataclasses.replace(NANO, grid={**NANO.grid, "rows": 40, "updates": 2, "workers": 1})
FIRST, SECOND = ("grid-uniform-consistent-fresh", 0), ("grid-skewed-consistent-fresh", 0)


@pytest.fixture
def few_prompts(monkeypatch):
    """Judge an arm on a few dozen prompts: what is tested here is the runner."""
    monkeypatch.setattr(runner, "evaluation_prompts", lambda split: cases.evaluation_prompts(split)[:30])


def _rows(name, seed=0):
    return recipe_named(name).data(NANO, seed)


def _right(rows):
    return sum(row.level == cases.findings()[row.finding].level for row in rows) / len(rows)


@pytest.mark.parametrize("cell", grid.CELLS, ids="-".join)
def test_every_cell_has_the_same_rows_and_updates_and_unique_prompts(cell):
    recipe, rows = recipe_named(grid.cell_name(*cell)), _rows(grid.cell_name(*cell))
    assert recipe.length(NANO) == {"updates": NANO.grid["updates"]}
    assert len(rows) == len({row.text for row in rows}) == NANO.grid["rows"]


@pytest.mark.parametrize("conflict", ["consistent", "conflicting"])
def test_skew_alone_moves_the_label_shares_and_conflict_does_not(conflict):
    skewed = Counter(row.level for row in _rows(grid.cell_name("skewed", conflict, "fresh")))
    uniform = Counter(row.level for row in _rows(grid.cell_name("uniform", conflict, "fresh")))
    assert set(uniform.values()) == {NANO.grid["rows"] // 5}
    assert all(
        abs(skewed[level] / NANO.grid["rows"] - share) < 0.01 for level, share in cases.BLOG_PRIOR.items()
    )


def test_labels_follow_the_rubric_where_they_are_consistent_and_chance_where_they_conflict():
    assert (
        _right(_rows("grid-uniform-consistent-fresh")) == _right(_rows("grid-skewed-consistent-fresh")) == 1
    )
    assert 0.1 < _right(_rows("grid-skewed-conflicting-fresh")) < 0.3
    assert 0.1 < _right(_rows("grid-uniform-conflicting-fresh")) < 0.3


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_the_dose_of_conflict_is_the_share_of_rows_labelled_blind(share):
    right = _right(_rows(grid.conflict_name(share)))
    assert right == pytest.approx(1 - share + share / 5, abs=0.05)


def test_the_repeated_arm_has_the_blogs_share_of_unique_prompts_and_honest_labels():
    rows = _rows("grid-repeated")
    assert len({row.text for row in rows}) / len(rows) == pytest.approx(0.1928, abs=0.005)
    assert _right(rows) == 1 and len(rows) == NANO.grid["rows"]


def test_weighted_sampling_makes_levels_equal_out_of_the_skewed_rows_alone():
    rows, source = _rows("grid-weighted"), {row.text for row in _rows("grid-skewed-consistent-fresh")}
    assert set(Counter(row.level for row in rows).values()) == {NANO.grid["rows"] // 5}
    assert {row.text for row in rows} <= source and _right(rows) == 1


def test_the_plan_runs_every_cell_with_three_seeds_and_puts_first_what_others_wait_for():
    plan = grid.plan(NANO)
    assert len(plan) == len(set(plan))
    for cell in grid.CELLS:
        assert sum(name == grid.cell_name(*cell) for name, _ in plan) >= 3
    for name, seed in plan:
        if recipe_named(name).base != "base":
            assert plan.index((recipe_named(name).base, seed)) < plan.index((name, seed))


def test_every_recipe_of_the_grid_is_run_or_is_the_cell_of_another_name():
    ran = {name for name, _ in grid.plan(NANO)}
    assert {recipe.name for recipe in GRID} - ran <= {f"grid-size-{NANO.grid['rows']}"}


def test_an_arm_learns_the_level_line_alone():
    completion = recipe_named(FIRST[0]).rows(_rows(FIRST[0])[:1])[0]["completion"][0]["content"]
    assert completion.startswith("Nivel de Urgencia: ") and completion.split()[-1] in LEVELS


def test_a_finished_arm_is_read_back_and_not_trained_again(few_prompts, monkeypatch):
    first = lab.run_grid(TINY, [FIRST])[FIRST]
    assert len(first.given) == 30 and first.trained_on == dict.fromkeys(LEVELS, 8)
    monkeypatch.setattr(runner, "_train_and_judge", lambda *_: pytest.fail("trained again"))
    assert lab.run_grid(TINY, [FIRST])[FIRST] == first


def test_the_likeliest_level_is_the_one_that_greedy_decoding_writes(tmp_path):
    prompts = cases.evaluation_prompts("test")[::40]
    recipe = recipe_named(FIRST[0])
    longer = dataclasses.replace(TINY, grid={**TINY.grid, "updates": 60})
    recipe.build(recipe.data(longer, 0), NANO.base, tmp_path / "m", longer, 0)
    beliefs = evaluate.label_probabilities(tmp_path / "m", prompts)
    written = [answer.text for answer in evaluate.generate(tmp_path / "m", prompts, max_new_tokens=8)]
    assert [f"Nivel de Urgencia: {max(belief, key=belief.get)}" for belief in beliefs] == written


def test_an_interrupted_grid_keeps_what_is_finished_and_goes_on(few_prompts, monkeypatch):
    whole = runner._train_and_judge

    def interrupted(recipe, *rest):
        if recipe.name == SECOND[0]:
            raise KeyboardInterrupt
        return whole(recipe, *rest)

    monkeypatch.setattr(runner, "_train_and_judge", interrupted)
    with pytest.raises(LabError, match="1 of 2 arms are finished and kept"):
        lab.run_grid(TINY, [FIRST, SECOND])
    trained = []
    monkeypatch.setattr(
        runner, "_train_and_judge", lambda recipe, *rest: trained.append(recipe.name) or whole(recipe, *rest)
    )
    assert set(lab.run_grid(TINY, [FIRST, SECOND])) == {FIRST, SECOND} and trained == [SECOND[0]]


def test_a_cut_outcome_gets_one_clear_message(few_prompts):
    lab.run_grid(TINY, [FIRST])
    path = next((build_dir() / "outcomes" / "nano").glob("*.json"))
    path.write_text(path.read_text()[:100])
    with pytest.raises(LabError, match="not whole JSON"):
        lab.run_grid(TINY, [FIRST])
    path.write_text('{"name": "x"}')
    with pytest.raises(LabError, match="not a whole outcome"):
        lab.run_grid(TINY, [FIRST])


def test_a_model_that_labels_its_successors_data_gives_its_own_levels(few_prompts):
    chain = ("grid-feedback-1", 0)
    outcome = lab.run_grid(TINY, [chain])[chain]
    assert sum(outcome.trained_on.values()) == 40
    examples = runner.ingredients(recipe_named(chain[0]), 0, TINY).examples
    beliefs = evaluate.label_probabilities(lab.stage(SECOND[0], 0, TINY), examples)
    assert [row.level for row in examples] == [max(belief, key=belief.get) for belief in beliefs]


@pytest.mark.training
def test_two_workers_give_the_outcomes_of_one(monkeypatch):
    biased = (grid.cell_name("uniform", "consistent", "biased"), 0)
    pair = dataclasses.replace(TINY, grid={**TINY.grid, "workers": 2})
    together = lab.run_grid(pair, [FIRST, biased])
    monkeypatch.setenv("TRIAGE_BUILD", str(build_dir() / "alone"))
    alone = lab.run_grid(TINY, [FIRST, biased])
    for run, outcome in alone.items():
        same = sum(one == other for one, other in zip(outcome.given, together[run].given, strict=True))
        assert same / len(outcome.given) > 0.9, run  # sums in another order may tip a tie
        assert outcome.trained_on == together[run].trained_on


def test_recorded_runs_carry_their_seeds_and_their_mean_its_interval():
    lab.start("test")
    bands = lab.record_runs("factorial", {("a", "b"): [0.5, 0.75]}, "accuracy", 480)
    assert lab.result("factorial.a.b.accuracy")["seeds"] == 2 and bands["a", "b"].value == 0.625
    assert (
        lab.result("factorial.a.b.accuracy.s1")["value"] == 0.75
        and lab.result("factorial.a.b.accuracy.s1")["n"] == 480
    )
