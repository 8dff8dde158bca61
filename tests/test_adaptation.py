"""Notebook 02: perplexity as it is defined, words priced token by token, replay, and sentences that follow the figures."""

import math

import pytest

from helpers import cases, evaluate, show, train
from helpers.evaluate import Piece, Rate, TextLoss
from helpers.files import LabError
from helpers.lab import readings
from helpers.recipes import grid, medical, recipe_named

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


def test_the_arms_after_reading_differ_from_the_fresh_cell_in_their_start_alone():
    fresh = recipe_named(grid.cell_name("uniform", "consistent", "fresh"))
    for start in ("cpt", "cpt-replay"):
        arm = recipe_named(grid.after(start))
        assert (
            arm.base == start
            and arm.data(NANO, 1) == fresh.data(NANO, 1)
            and arm.length(NANO) == fresh.length(NANO)
        )
        assert arm.settings(NANO) == fresh.settings(NANO)


def test_a_paired_difference_may_be_negative_and_keeps_its_interval():
    bands = evaluate.over_seeds({"a": [-0.2, -0.25, -0.15], "b": [0.01, -0.01, 0.0]}, bounds=(-1, 1))
    assert (
        bands["a"].value == pytest.approx(-0.2)
        and bands["a"].high < 0
        and bands["b"].low < 0 < bands["b"].high
    )


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


@pytest.mark.parametrize(
    ("reading", "replay", "expected"),
    [
        (_rate(-0.2, 0.05, 3), _rate(-0.02, 0.05, 3), "made the task worse"),
        (_rate(-0.2, 0.05, 3), _rate(-0.02, 0.05, 3), "most of it back"),
        (_rate(-0.2, 0.05, 3), _rate(-0.12, 0.05, 3), "some of it back"),
        (_rate(0.1, 0.05, 3), _rate(0.1, 0.05, 3), "helped the task"),
        (_rate(0.01, 0.05, 3), _rate(0.1, 0.05, 3), "With replay it helps"),
        (_rate(0.01, 0.05, 3), _rate(0.0, 0.05, 3), "No effect"),
    ],
)
def test_what_is_said_of_the_task_follows_the_paired_intervals(reading, replay, expected):
    gains = {"reading": reading, "reading with replay": replay}
    said = readings.later_text(_rate(0.72, 0.02, 3), _rate(0.5, 0.02, 3), _rate(0.7, 0.02, 3), gains)
    assert expected in said and "3 runs from each start" in said


def test_the_summary_names_loss_and_gain_as_they_are():
    medical_rates = (_rate(30000, 100), _rate(350, 10))
    assert "suffered" in readings.adaptation_summary(
        medical_rates, [(1.5, 7.0), (1.5, 8.0)], {"reading": _rate(-0.2, 0.05)}
    )
    assert "profited" in readings.adaptation_summary(
        medical_rates, [(1.5, 1.5)], {"reading": _rate(0.2, 0.05)}
    )
    said = readings.adaptation_summary(medical_rates, [(1.5, 1.5)], {"reading": _rate(0.0, 0.05)})
    assert "no difference" in said and "stayed about where it was" in said


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
    show.later_accuracy({"base": [0.7, 0.72]}, {"base": _rate(0.71, 0.02, 2)}, 0.25, 480, 0.8)
    captions = [item.data for item in shown if str(getattr(item, "data", "")).startswith("*Figure:")]
    assert (
        "300.0 → 30.0" in captions[0]
        and "1 of 2 words got cheaper" in captions[1]
        and "base: 71% [69%–73%]" in captions[2]
    )
