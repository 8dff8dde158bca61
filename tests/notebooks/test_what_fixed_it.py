"""Notebook 06: the experiment is a function in its cells, every claim has evidence, and a claim turns when
the data are swapped.

The cells run on answers that are made up here, with the real test wordings: nothing is trained.
"""

import ast
import random
from collections import Counter
from types import SimpleNamespace

import exercises
import pytest
from cells import Cells, names_called
from tools import Silent

from helpers import cases, evaluate
from helpers.train import profile_named
from helpers.triage import LEVELS

PAGE = Cells("06_what_fixed_it")
PATH, TAGGED, TREES = PAGE.path, PAGE.tagged, PAGE.trees
NANO = profile_named("nano")
TESTS = cases.evaluation_prompts("test")[::2]
SEEDS = 3


# ---------------------------------------------------------------------------------------------- the glass box
def test_the_trainers_calls_stand_in_the_cells_and_are_reached_through_lab_runs():
    assert {ast.unparse(call.args[0]) for call in PAGE.calls("lab.runs")} == {"run"}
    assert {
        "SFTTrainer",
        "SFTConfig",
        "train.load",
        "train.machine",
        "train.merged",
        "trainer.train",
        "Dataset.from_list",
        "cases.chat_rows",
        "cases.write_diverse",
        "evaluate.label_probabilities",
    } <= PAGE.reached("run")


def test_the_settings_of_the_trainer_come_from_the_profiles_grid():
    (config,) = PAGE.calls("SFTConfig")
    settings = {word.arg: ast.unparse(word.value) for word in config.keywords}
    assert settings["max_steps"] == "profile.grid['updates']"
    assert settings["learning_rate"] == "profile.grid['learning_rate']"
    assert settings[None] == "train.machine(profile, 'grid')"
    for name in ("nano", "colab", "gpu"):
        grid = profile_named(name).grid
        assert set(grid) == {
            "rows", "updates", "workers", "batch", "accumulation", "learning_rate", "warmup_steps", "save_steps",
        }  # fmt: skip


def test_no_sentence_is_written_by_a_function():
    text = "\n".join(source for source, _ in TAGGED)
    for name in (
        "lab.reading",
        "readings.",
        "run_grid",
        "record_rate",
        "factorial_effects",
        "helpers.recipes",
    ):
        assert name not in text, name


def test_a_cell_books_once_and_claims_once():
    for tree in TREES:
        called = names_called(tree)
        assert called.count("lab.record") <= 1
        assert called.count("lab.claim") <= 1
        if "lab.claim" in called:  # a cell shows its last expression
            assert ast.unparse(tree.body[-1].value.func) == "lab.claim"


def test_every_claim_has_evidence_and_a_rule_that_can_fail():
    claims = PAGE.calls("lab.claim")
    assert len(claims) == len(TURNS)
    for call in claims:
        assert len(call.args) >= 3, ast.unparse(call)
        assert not isinstance(call.args[1], ast.Constant)


def test_every_figure_over_seeds_says_how_many():
    for name in ("show.forest", "show.lines"):
        for call in PAGE.calls(name):
            assert "seeds" in {word.arg for word in call.keywords}, ast.unparse(call)


# ------------------------------------------------------------------------------ the functions of the notebook
@pytest.fixture(scope="module")
def write_rows():
    return PAGE.defined("write_rows", cases=cases, ROWS=NANO.grid["rows"])


def _right(rows):
    return sum(row.level in row.accepted for row in rows) / len(rows)


@pytest.mark.parametrize("skew", ["uniform", "skewed"])
def test_blind_labels_leave_the_shares_of_the_levels_alone(skew, write_rows):
    honest, blind = write_rows(skew=skew), write_rows(skew=skew, conflict=1.0)
    assert Counter(row.level for row in honest) == Counter(row.level for row in blind)
    assert len(honest) == len(blind) == NANO.grid["rows"]
    assert _right(honest) == 1 and 0.2 < _right(blind) < 0.5


def test_skew_leaves_the_labels_honest_and_has_the_blogs_shares(write_rows):
    rows = write_rows(skew="skewed")
    count = Counter(row.level for row in rows)
    assert _right(rows) == 1
    assert all(abs(count[level] / len(rows) - share) < 0.01 for level, share in cases.BLOG_PRIOR.items())


def test_repeated_rows_are_as_many_and_as_honest_and_seldom_unique(write_rows):
    rows = write_rows(unique=67)
    assert len(rows) == NANO.grid["rows"] and _right(rows) == 1
    assert len({row.text for row in rows}) == 67


def test_another_seed_writes_other_rows_and_the_same_seed_the_same(write_rows):
    assert write_rows(seed=1) == write_rows(seed=1) != write_rows(seed=2)


def test_a_difference_is_the_paired_one_over_the_seeds():
    difference, points = PAGE.defined("difference", "points", evaluate=evaluate)
    values = {"a": [0.50, 0.60, 0.70], "b": [0.40, 0.51, 0.59]}
    assert difference(values, "a", "b") == evaluate.over_seeds([0.40 - 0.50, 0.51 - 0.60, 0.59 - 0.70])
    assert points(difference(values, "a", "b")).startswith("-10.0 points [-12.5, -7.5]")
    assert "%" not in points(difference(values, "a", "b"))


def test_a_main_effect_is_the_mean_of_two_simple_effects_and_the_interaction_their_whole_difference():
    main = PAGE.defined("main_effects", evaluate=evaluate, cells=("neither", "skew", "conflict", "both"))
    values = {"neither": [0.8, 0.9], "skew": [0.7, 0.9], "conflict": [0.4, 0.5], "both": [0.5, 0.3]}
    effects = {name: effect.value for name, effect in main(values).items()}
    simple = {"alone": -0.05, "on top": -0.05}  # of skew: 0.80 − 0.85 and 0.40 − 0.45
    assert effects["skew"] == pytest.approx((simple["alone"] + simple["on top"]) / 2)
    assert effects["conflict"] == pytest.approx(((0.45 - 0.85) + (0.4 - 0.8)) / 2)
    assert effects["skew_conflict"] == pytest.approx(simple["on top"] - simple["alone"])
    lone = main({"neither": [0.2, 0.2], "skew": [0.2, 0.2], "conflict": [0.2, 0.2], "both": [0.6, 0.6]})
    assert lone["skew_conflict"].value == pytest.approx(0.4)  # not halved


def test_the_prior_correction_leaves_nothing_of_a_belief_that_was_only_the_prior():
    adjusted = PAGE.defined("adjusted")
    assert list(adjusted(cases.BLOG_PRIOR, cases.BLOG_PRIOR).values()) == pytest.approx([0.2] * 5)
    assert exercises.problems("divide_by_prior", adjusted) == []


def test_the_prior_correction_never_adds_rojo_and_never_takes_azul_away():
    adjusted, likeliest = PAGE.defined("adjusted", "likeliest")
    dice = random.Random(0)
    for _ in range(2000):
        belief = {level: dice.random() for level in LEVELS}
        plain, new = likeliest(belief), likeliest(adjusted(belief, cases.BLOG_PRIOR))
        assert new != "ROJO" or plain == "ROJO"
        assert plain != "AZUL" or new == "AZUL"


def test_accuracy_counts_accepted_levels_among_the_patients_asked_for():
    accuracy = PAGE.defined("accuracy", tests=TESTS, LEVELS=LEVELS)
    assert accuracy({"levels": [row.level for row in TESTS]}) == 1
    parrot = {"levels": ["AZUL"] * len(TESTS)}
    assert accuracy(parrot, ["AZUL"]) == 1 and accuracy(parrot, ["ROJO"]) == 0
    assert accuracy(parrot) == evaluate.score(TESTS, evaluate.always("AZUL", TESTS)).accuracy.value


# ------------------------------------------------------------------------------ the cells, on made-up answers
def _belief(level, other=None):
    """Sure of one level; with `other`, nearly as sure of that one."""
    belief = dict.fromkeys(LEVELS, 0.02)
    return {**belief, level: 0.92} if other is None else {**belief, level: 0.55, other: 0.39}


def _wrong(row):
    return next(level for level in reversed(LEVELS) if level not in row.accepted)


def _draw(place):
    """A number below 1 that is always the same for one place."""
    return random.Random(place).random()


def _mostly(*shares):
    """The right level to so many of the patients, seed by seed; the lowest wrong one to the others."""

    def answer(place, row, seed):
        return _belief(row.level if _draw(place) < shares[seed] else _wrong(row))

    return answer


def _always(*levels):
    return lambda place, row, seed: _belief(levels[seed % len(levels)])


def _leaning(*wavering):
    """Mostly right, but most AZUL patients are called NARANJA with AZUL close behind; ROJO ones waver too, so
    many a seed.
    """

    def answer(place, row, seed):
        if row.level == "AZUL":
            return _belief("NARANJA", "AZUL") if _draw(place) < 0.8 else _belief("AZUL")
        if row.level == "ROJO" and _draw(place) < wavering[seed]:
            return _belief("ROJO", "AZUL")
        return _belief(row.level if _draw(place) < (0.66, 0.71, 0.76)[seed] else _wrong(row))

    return answer


def _of(shares):
    return lambda place, row, seed: dict(shares)


ROJO, PERFECT = _always("ROJO"), _mostly(1, 1, 1)
SKEWED = _leaning(0.3, 0.7, 0.9)
MEASURED = {  # like what the series has measured
    "neither": _mostly(0.60, 0.58, 0.62),
    "skew": SKEWED,
    "conflict": _always("ROJO", "AZUL", "NARANJA"),
    "both": _of(cases.BLOG_PRIOR),
    "mended": _mostly(0.66, 0.62, 0.63),
    "generation 1": SKEWED,
    "generation 2": SKEWED,
    "repeated": _mostly(0.45, 0.50, 0.55),
    "0.1": _mostly(0.60, 0.64, 0.62),
    "0.25": ROJO,
    "1000": _mostly(0.59, 0.55, 0.66),
}

# What a claim is recognised by, and what has to be swapped to turn it; `obeys` is the model that replies with
# one word.
TURNS = {
    "Skewed levels and blind labels together: every run says ROJO": {"both": PERFECT},
    "Skewed levels with honest labels: every run beats every parrot": {"skew": ROJO},
    "Blind labels cost accuracy": {"conflict": MEASURED["neither"]},
    "Skew with honest labels is not shown to cost accuracy": {"neither": PERFECT, "skew": ROJO},
    "not shown to raise the share of ROJO": {"skew": ROJO},
    "every run gives one level to most people": {"conflict": PERFECT},
    "takes help away from AZUL patients": {"skew": PERFECT},
    "fresh start is crucial for accuracy is not shown": {"mended": ROJO},
    "not shown to say ROJO more often than a fresh one": {"mended": ROJO},
    "Duplicates alone do not bring the collapse back": {"repeated": ROJO},
    "With a tenth of blind labels": {"0.1": ROJO},
    "With a quarter of the labels blind": {"0.25": PERFECT},
    "more examples than the blog used are not shown to help": {"1000": PERFECT},
    "prior correction helps more of the AZUL patients": {"skew": PERFECT},
    "Prior correction is not shown to raise accuracy": {"skew": _leaning(0, 0, 0)},
    "hardly ever replies with one word": {"obeys": True},
    "the share of ROJO is not shown to grow": {"generation 2": ROJO},
    "believes roughly in the blog's shares": {"both": PERFECT},
}


def _arm(cell):
    """The name of a cell of the design, from its arguments."""
    if cell.get("rows"):
        return str(cell["rows"])
    if cell.get("unique"):
        return "repeated"
    skewed, conflict = cell.get("skew") == "skewed", cell.get("conflict", 0.0)
    if conflict in (0.0, 1.0):
        return {(False, 0.0): "neither", (True, 0.0): "skew", (False, 1.0): "conflict", (True, 1.0): "both"}[
            skewed, conflict
        ]
    return str(conflict) if skewed else "conflict"


def _judged(answer, seed):
    beliefs = [answer(place, row, seed) for place, row in enumerate(TESTS)]
    return {"levels": [max(belief, key=belief.get) for belief in beliefs], "beliefs": beliefs}


class _MadeUp:
    """`evaluate` with a model that is made up."""

    def __init__(self, obeys):
        self.obeys = obeys

    def __getattr__(self, name):
        return getattr(evaluate, name)

    def label_probabilities(self, model, people, heading="Nivel de Urgencia: "):
        return [MEASURED["neither"](place, row, 0) for place, row in enumerate(people)]

    def generate(self, model, people, max_new_tokens, label):
        words = [
            max(MEASURED["neither"](place, row, 0).items(), key=lambda pair: pair[1])[0]
            for place, row in enumerate(people)
        ]
        one_word = self.obeys and "una sola palabra" in people[0].text
        return [
            SimpleNamespace(text=word if one_word else f"Nivel de Urgencia: {word} — X") for word in words
        ]


def _run(changes):
    """The notebook's cells in a world: what they claim (sentence → holds), what they record (key → figure,
    seeds), what they run.
    """
    world, claims, records, ran = {**MEASURED, **changes}, {}, {}, []

    def runs(function, plan, label):
        ran.extend(plan)
        results = []
        for cell in plan:
            one = _judged(world[_arm(cell)], cell["seed"])
            numbers = range(1, cell.get("generations", 0) + 1)
            one["generations"] = [_judged(world[f"generation {number}"], cell["seed"]) for number in numbers]
            results.append(
                {**one, "mended": _judged(world["mended"], cell["seed"])} if cell.get("mend") else one
            )
        return results

    def claim(sentence, holds, *evidence, seeds=None):
        assert evidence
        claims[sentence] = bool(holds)

    def record(prefix, figures, seeds=None):
        figures = figures if isinstance(figures, dict) else {"": figures}
        for name, figure in figures.items():
            key = f"{prefix}.{name}".rstrip(".")
            if isinstance(figure, dict):
                record(key, figure, seeds)
                continue
            assert key not in records, key
            records[key] = (figure, seeds)

    space = {
        "lab": SimpleNamespace(
            claim=claim,
            record=record,
            runs=runs,
            seeds=lambda: range(SEEDS),
            session=lambda: SimpleNamespace(profile=NANO),
            stage=lambda name: name,
        ),
        "train": Silent(),
        "Dataset": None,
        "SFTConfig": None,
        "SFTTrainer": None,
        "cases": cases,
        "display": lambda shown: None,
        "evaluate": _MadeUp(world.get("obeys", False)),
        "exercises": Silent(),
        "show": Silent(),
    }
    for tree in TREES:
        body = [
            node for node in tree.body if not (isinstance(node, ast.ImportFrom) and _is_replaced(node.module))
        ]
        exec(compile(ast.Module(body, []), PATH.name, "exec"), space)
    return claims, records, ran


def _is_replaced(module):
    return module.split(".")[0] in ("datasets", "trl", "IPython") or module in ("helpers", "helpers.train")


@pytest.fixture(scope="module")
def measured():
    return _run({})


def test_every_claim_holds_where_the_answers_are_like_the_measured_ones(measured):
    claims, _, _ = measured
    assert len(claims) == len(TURNS)
    assert [sentence for sentence, holds in claims.items() if not holds] == []


@pytest.mark.slow
@pytest.mark.parametrize("words", TURNS)
def test_a_claim_turns_when_the_data_are_swapped(words):
    claims, _, _ = _run(TURNS[words])
    (sentence,) = [sentence for sentence in claims if words in sentence]
    assert not claims[sentence], sentence


CELLS = (
    "uniform.consistent.fresh",
    "skewed.consistent.fresh",
    "uniform.conflicting.fresh",
    "skewed.conflicting.fresh",
)
OUTCOMES = ("accuracy", "rojo_share")


def test_the_keys_that_others_read_are_recorded_with_their_seeds(measured):
    _, records, _ = measured
    means = {
        f"factorial.{cell}.{what}" for cell in (*CELLS, "uniform.consistent.biased") for what in OUTCOMES
    }
    single = {f"{key}.s{seed}" for key in means for seed in range(SEEDS)}
    means |= {
        f"factorial.effect.{name}.{what}"
        for name in ("skew", "conflict", "skew_conflict", "start")
        for what in OUTCOMES
    }
    simple = ("skew", "skew_blind", "conflict", "conflict_skewed", "both")
    means |= {f"factorial.simple.{name}.{what}" for name in simple for what in (*OUTCOMES, "azul_helped")}
    means |= {"duplication.unique.accuracy", "duplication.repeated.accuracy"}
    means |= {f"sweep_conflict.{dose}.{what}" for dose in (0, 10, 25, 100) for what in OUTCOMES}
    sizes = {f"sweep_size.{size}.accuracy" for size in (67, 350, 1000)}
    single |= {f"{key}.s{seed}" for key in sizes for seed in range(SEEDS)}
    means |= sizes
    means |= {f"correction.{way}.accuracy" for way in ("plain", "adjusted", "balanced")}
    means |= {f"feedback.generation{number}.{what}" for number in (0, 1, 2) for what in OUTCOMES}
    ways = ("own_format", "one_word", "forced_word")
    single |= {f"mismatch.{part}{way}" for part in ("", "rojo.") for way in ways}
    assert set(records) == means | single
    assert {key for key, (_, seeds) in records.items() if seeds == SEEDS} == means
    assert {key for key, (_, seeds) in records.items() if seeds == 1} == single
    assert {records[key][0].n for key in single} == {len(TESTS)}
    assert {(records[key][0].n, records[key][0].counted) for key in means} == {(SEEDS, "seeds")}


def test_the_effects_follow_by_hand_from_the_single_runs(measured):
    _, records, _ = measured
    for what in OUTCOMES:
        neither, skew, conflict, both = (
            [records[f"factorial.{cell}.{what}.s{seed}"][0].value for seed in range(SEEDS)] for cell in CELLS
        )
        rows = list(zip(neither, skew, conflict, both, strict=True))
        by_hand = {
            "simple.skew": [s - n for n, s, c, b in rows],
            "simple.conflict": [c - n for n, s, c, b in rows],
            "effect.skew": [(s - n + b - c) / 2 for n, s, c, b in rows],
            "effect.conflict": [(c - n + b - s) / 2 for n, s, c, b in rows],
            "effect.skew_conflict": [b - c - s + n for n, s, c, b in rows],
        }
        for name, values in by_hand.items():
            recorded, expected = records[f"factorial.{name}.{what}"][0], evaluate.over_seeds(values)
            assert (recorded.value, recorded.low, recorded.high) == pytest.approx(
                (expected.value, expected.low, expected.high)
            )


def test_the_same_runs_have_the_same_figure_wherever_they_are_shown(measured):
    _, records, _ = measured
    sound, skewed, both = CELLS[0], CELLS[1], CELLS[3]
    for one, other in (
        ("duplication.unique", f"factorial.{sound}"),
        ("correction.balanced", f"factorial.{sound}"),
        ("sweep_size.67", "duplication.repeated"),
        ("sweep_size.350", f"factorial.{sound}"),
        ("correction.plain", f"factorial.{skewed}"),
        ("sweep_conflict.0", f"factorial.{skewed}"),
        ("feedback.generation0", f"factorial.{skewed}"),
        ("sweep_conflict.100", f"factorial.{both}"),
    ):
        assert records[f"{one}.accuracy"] == records[f"{other}.accuracy"]


def test_every_arm_has_the_same_seeds_and_the_whole_is_small_enough_for_two_cores(measured):
    _, _, ran = measured
    plan = ran[:-1]  # the last one is the reader's own
    assert {Counter(_arm(cell) for cell in plan)[arm] for arm in map(_arm, plan)} == {SEEDS}
    trainings = sum(1 + cell.get("mend", False) + cell.get("generations", 0) for cell in ran)
    assert trainings <= 36
