"""Notebook 02: perplexity as it is defined, words priced token by token, replay, and what is said and claimed of the figures."""

import ast
import dataclasses
import inspect
import math
from types import SimpleNamespace

import pytest

from helpers import cases, evaluate, lab, notebooks, show, train
from helpers.evaluate import Piece, Rate, TextLoss
from helpers.files import ROOT, LabError
from helpers.lab import readings
from helpers.recipes import medical

NANO = train.profile_named("nano")
TEXTS = ["La vecina riega las plantas por la tarde.", "El paracetamol baja la fiebre.", "Sí."]


def _text(*losses, text="abcdefghij"):
    return TextLoss(text, tuple(Piece(place, place + 1, loss) for place, loss in enumerate(losses)))


def _rate(value, half, n=100):
    return Rate(value, n, value - half, value + half)


def test_perplexity_counts_tokens_and_not_texts():
    rate = evaluate.perplexity([_text(math.log(2)), _text(math.log(8), math.log(8), math.log(8))])
    assert rate.value == pytest.approx(2**2.5) and rate.n == 2 and rate.low <= rate.value <= rate.high


def test_perplexity_of_nothing_is_an_error_and_not_a_number():
    with pytest.raises(LabError, match="at least two tokens"):
        evaluate.perplexity([TextLoss("a", ())])


def test_token_losses_in_a_padded_batch_are_those_of_the_text_alone():
    together = evaluate.text_losses(NANO.base, TEXTS)
    for text, whole in zip(TEXTS, together, strict=True):
        alone = evaluate.text_losses(NANO.base, [text])[0]
        assert whole.text == text
        assert [piece.loss for piece in whole.pieces] == pytest.approx(
            [piece.loss for piece in alone.pieces], abs=1e-3
        )


def test_a_token_loss_is_what_the_model_itself_reports():
    import torch

    loaded = evaluate.load(NANO.base)
    ids = loaded.tokenizer(TEXTS[0], return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        mean = loaded.model(input_ids=ids, labels=ids).loss.item()
    scored = evaluate.text_losses(NANO.base, [TEXTS[0]])[0]
    assert scored.total / len(scored.pieces) == pytest.approx(mean, rel=1e-4)


def test_the_words_of_a_text_cost_together_what_its_letters_tokens_cost():
    before, after = evaluate.text_losses(NANO.base, TEXTS[:1])[0], _text(text=TEXTS[0])
    words = evaluate.words_of(before, after)
    assert [word.word for word in words][-2:] == ["la", "tarde"] and all(
        word.gain == word.before for word in words
    )
    assert sum(word.before for word in words) <= before.total + 1e-6


def test_a_word_of_several_tokens_costs_their_sum_and_a_span_is_a_word():
    before, after = _text(1.0, 2.0, 4.0, text="ab c"), _text(0.5, 0.5, 4.0, text="ab c")
    (word,) = evaluate.words_of(before, after, [(0, 2)])
    assert (word.word, word.before, word.after, word.gain) == ("ab", 3.0, 1.0, 2.0)


def test_losses_of_two_different_texts_are_not_compared():
    with pytest.raises(LabError, match="two different texts"):
        evaluate.words_of(_text(1.0, text="a"), _text(1.0, text="b"))


def test_replay_adds_the_bases_own_kind_of_text_and_no_held_out_one():
    reading, mixed = medical.medical_texts(NANO), medical.medical_with_replay(NANO)
    assert mixed[: len(reading)] == list(reading) and len(mixed) == len(reading) + NANO.counts["replay"]
    assert not set(mixed) & set(medical.medical_texts(NANO, held_out=True))
    assert medical.base_texts(20, 1) == medical.base_texts(20, 1) != medical.base_texts(20, 2)


def test_the_perplexity_sentence_follows_the_figures():
    low, high = _rate(100, 5), _rate(9000, 100)
    assert (
        "90 times lower" in (said := readings.perplexity_text(high, low, _rate(60, 5), 4096))
        and "memory" in said
    )
    assert "worse than a model that finds every token" in said
    assert "**worse**" in readings.perplexity_text(low, high, low, 4096)
    assert "no change is shown" in readings.perplexity_text(low, _rate(102, 5), low, 4096)
    assert "no better than on new ones" in readings.perplexity_text(high, low, _rate(99, 5), 4096)


def test_forgetting_is_claimed_only_where_intervals_part():
    known, worse = {"known": _rate(1.5, 0.02)}, {"known": _rate(6.0, 0.2)}
    assert "4.0 times worse" in readings.forgetting_text(
        known, worse
    ) and "**forgetting**" in readings.forgetting_text(known, worse)
    assert "No forgetting is shown" in readings.forgetting_text(known, {"known": _rate(1.51, 0.02)})
    assert "better" in readings.forgetting_text(worse, known) and "No forgetting" in readings.forgetting_text(
        worse, known
    )


def test_words_read_and_words_new_are_told_apart():
    much, little, none = _rate(0.6, 0.05), _rate(0.3, 0.05), _rate(0.01, 0.05)
    assert "new words gained too" in readings.seen_text(much, little, much)
    assert "what was learnt is these words" in readings.seen_text(much, none, much)
    assert "gained as much" in readings.seen_text(much, much, much)
    assert "learnt" not in readings.seen_text(
        none, none, much
    ) and "60% of its cost [55%–65%]" in readings.seen_text(none, none, much)


def test_the_everyday_texts_name_no_level_of_ours():
    from helpers.triage import LEVELS

    assert not any(level in text for text in cases.general_texts() for level in LEVELS)


def test_the_figures_of_the_notebook_name_what_they_show(monkeypatch):
    shown = []
    monkeypatch.setattr("helpers.show.figures.display", shown.append)
    rates = {"medical": _rate(300, 10), "known": _rate(1.5, 0.1)}
    show.perplexities(rates, {"medical": _rate(30, 1), "known": _rate(7, 0.1)}, 4096, 1)
    words = evaluate.words_of(_text(1.0, 2.0, text="ab"), _text(0.5, 3.0, text="ab"), [(0, 1), (1, 2)])
    show.word_prices(words, [(1, 2)])
    captions = [item.data for item in shown if str(getattr(item, "data", "")).startswith("*Figure:")]
    assert "300.0 → 30.0" in captions[0] and "1 of 2 words got cheaper" in captions[1]


# ------------------------------------------------------------------------- does the task profit? The cells of the notebook
CELLS = {
    cell.id: cell.source
    for cell in notebooks.read(ROOT / "notebooks" / "02_domain_adaptation.ipynb").cells
    if cell.cell_type == "code"
}
TASK = list(CELLS)[list(CELLS).index("nb02-24") : list(CELLS).index("nb02-25e") + 1]
LOST = list(CELLS)[list(CELLS).index("nb02-29") : list(CELLS).index("nb02-29g") + 1]
BASES = {"the base": None, "reading": "cpt", "reading with replay": "cpt-replay"}


def _calls(source):
    return [ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]


def test_the_trainers_call_stands_in_the_function_that_lab_runs_is_given():
    (function,) = [
        node for cell in TASK for node in ast.parse(CELLS[cell]).body if getattr(node, "name", "") == "tuned"
    ]
    asked = set(_calls(ast.unparse(function)))
    assert {
        "SFTTrainer",
        "SFTConfig",
        "Dataset.from_list",
        "train.load",
        "train.machine",
        "train.merged",
    } <= asked
    assert "lab.stage" not in asked  # the starts are built before, once, by the notebook itself
    (given,) = [
        node for cell in TASK for node in ast.walk(ast.parse(CELLS[cell])) if _is_call(node, "lab.runs")
    ]
    assert ast.unparse(given.args[0]) == "tuned"


def _is_call(node, name):
    return isinstance(node, ast.Call) and ast.unparse(node.func) == name


@pytest.fixture
def played(monkeypatch):
    """The cells of the task and of what was lost, run on figures that a test makes up; returns what the claims hold."""
    monkeypatch.setattr("helpers.show.figures.display", lambda *_: None)

    def play(shares, known=(10.0, 1.4), medical=(300.0, 310.0)):
        """shares: of accepted levels by start, seed by seed. known, medical: perplexity after reading, and with replay."""
        prices = {"cpt": (known[0], medical[0]), "cpt-replay": (known[1], medical[1])}
        built, made, held_out = [], [], cases.general_texts()[:3]
        lab.start("02_domain_adaptation")

        def stage(name, seed):
            built.append((name, seed))
            return name

        def runs(function, cells, label):
            assert len(built) == 6 and inspect.isfunction(function)
            return [shares[cell["start"]][cell["seed"]] for cell in cells]

        def losses(model, texts):
            cost = prices[model][texts is held_out]
            return [_text(*[math.log(cost)] * 10) for _ in texts]

        def claim(sentence, holds, *evidence):
            assert evidence
            made.append(bool(holds))

        space = {
            "profile": NANO,
            "lab": SimpleNamespace(stage=stage, runs=runs, claim=claim, record=lab.record),
            "evaluate": SimpleNamespace(**{**vars(evaluate), "text_losses": losses}),
            "show": show,
            "cases": cases,
            "guess": SimpleNamespace(value=0.8),
            "held_out": held_out,
            "sets": {"what the base knew": cases.general_texts()[:4]},
            "before": {"what the base knew": _rate(1.3, 0.1), "medical, held out": _rate(38000, 900)},
            "after": {"what the base knew": _rate(known[0], 0.1), "medical, held out": _rate(medical[0], 9)},
        }
        for cell in (*TASK, *LOST):
            exec(CELLS[cell], space)
        return made

    return play


SAME = {
    "the base": [0.6, 0.58, 0.62],
    "reading": [0.61, 0.57, 0.62],
    "reading with replay": [0.62, 0.58, 0.63],
}


def test_what_the_notebook_claims_holds_on_figures_like_those_of_the_first_edition(played):
    assert played(SAME) == [True, True, True, True]


@pytest.mark.parametrize(
    ("number", "figures"),
    [
        (0, {"shares": {**SAME, "reading": [0.8, 0.78, 0.83]}}),
        (1, {"shares": {**SAME, "reading with replay": [0.4, 0.38, 0.43]}}),
        (2, {"shares": SAME, "known": (1.5, 1.4)}),
        (3, {"shares": SAME, "known": (10.0, 9.0)}),
        (3, {"shares": SAME, "medical": (300.0, 3000.0)}),
    ],
)
def test_each_claim_turns_when_the_figures_do(played, number, figures):
    assert played(**figures) == [place != number for place in range(4)]


def test_every_run_its_mean_and_the_paired_change_are_recorded_under_the_keys_of_the_first_edition(played):
    played(SAME)
    own = {key: entry for key, entry in lab.measurements().items() if key in lab.results.own_keys()}
    for start, name in (
        ("the base", "from_base"),
        ("reading", "from_cpt"),
        ("reading with replay", "from_replay"),
    ):
        values = [own[f"cpt.sft_accuracy.{name}.mean.s{seed}"] for seed in range(3)]
        n = len(cases.evaluation_prompts("test"))
        assert [one["value"] for one in values] == pytest.approx(SAME[start], abs=1 / n)
        assert {(one["n"], one["seeds"], one["unit"]) for one in values} == {(n, 1, "rate")}
        mean = own[f"cpt.sft_accuracy.{name}.mean"]
        assert (mean["value"], mean["n"], mean["seeds"]) == (pytest.approx(sum(SAME[start]) / 3), 3, 3)
    by_hand = evaluate.over_seeds([0.01, -0.01, 0.0])
    change = own["cpt.sft_accuracy.from_cpt.change"]
    assert (change["value"], change["low"], change["high"]) == pytest.approx(
        (by_hand.value, by_hand.low, by_hand.high)
    )
    assert own["cpt.medical_perplexity.replay"]["value"] == pytest.approx(310)


def test_the_function_of_the_notebook_trains_from_the_start_it_is_given_and_judges_what_came_out():
    small = dataclasses.replace(NANO, grid={**NANO.grid, "rows": 8, "updates": 2})
    space = {"profile": small, "starts": {("the base", 0): None}}
    for cell in ("nb02-05", "nb02-24c"):
        exec(CELLS[cell], space)
    space["tests"] = space["tests"][:10]
    assert space["tuned"]("the base", 0) in [hits / 10 for hits in range(11)]
