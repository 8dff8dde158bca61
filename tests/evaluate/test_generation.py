"""Generation, label probabilities and token losses, on the shipped base."""

import copy
from dataclasses import replace

import pytest
import torch

from helpers import cases, evaluate, lab
from helpers.evaluate import generation
from helpers.train import LoadedModel
from helpers.triage import LEVELS

ROWS = cases.write_diverse(8, seed=11)


def test_a_batch_answers_as_one_by_one_does():
    together = [answer.text for answer in evaluate.generate(lab.base_model(), ROWS, max_new_tokens=12)]
    alone = [evaluate.generate(lab.base_model(), [row], max_new_tokens=12)[0].text for row in ROWS]
    assert together == alone


def test_a_cut_answer_says_that_it_was_cut():
    assert {
        answer.finish_reason for answer in evaluate.generate(lab.base_model(), ROWS[:2], max_new_tokens=1)
    } == {"length"}


@pytest.mark.parametrize("heading", ["", "Nivel de Urgencia: "])
def test_a_belief_is_what_each_levels_whole_words_are_worth_one_by_one(heading):
    """The prompt is read once for all five; reading it again with each of them gives the same."""
    base = lab.base_model()
    whole = [[_logprob(base, row, f"{heading}{level}") for level in LEVELS] for row in ROWS[:4]]
    for belief, scores in zip(
        evaluate.label_probabilities(base, ROWS[:4], heading=heading), whole, strict=True
    ):
        expected = torch.softmax(torch.tensor(scores), 0).tolist()
        assert list(belief.values()) == pytest.approx(expected, abs=1e-4)


@torch.inference_mode()
def _logprob(base, row, text):
    loaded = evaluate.load(base)
    prompt = evaluate.prompt_ids(loaded, row)
    answer = loaded.tokenizer.encode(text, add_special_tokens=False)
    logits = loaded.model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].float()
    return float(torch.log_softmax(logits, -1)[range(len(answer)), answer].sum())


def test_label_probabilities_are_a_distribution_over_the_levels():
    for belief in evaluate.label_probabilities(lab.base_model(), ROWS[:3]):
        assert set(belief) == set(LEVELS) and sum(belief.values()) == pytest.approx(1)


def test_a_large_model_reads_fewer_rows_at_a_time_and_means_the_same(monkeypatch):
    base, people, sizes = lab.base_model(), cases.write_diverse(20, seed=3), []
    padded = generation.padded
    monkeypatch.setattr(generation, "padded", lambda *all: sizes.append(len(all[1])) or padded(*all))

    def read():
        beliefs = evaluate.label_probabilities(base, people)
        return [*beliefs[0].values(), *evaluate.answer_logprobs(base, people, [row.answer for row in people])]

    small = read()
    monkeypatch.setattr(generation, "LARGE", 0)
    assert read() == pytest.approx(small, abs=1e-3)
    assert sizes == [20] * 2 + [16, 4] * 2


def test_token_losses_average_to_the_models_own_loss():
    loaded = evaluate.load(lab.base_model())
    row = ROWS[0]
    pieces = evaluate.token_losses(lab.base_model(), [row])[0]
    prompt = loaded.tokenizer.apply_chat_template(row.prompt, add_generation_prompt=True, tokenize=False)
    before = loaded.tokenizer.encode(prompt, add_special_tokens=False)
    after = loaded.tokenizer.encode(row.answer + loaded.tokenizer.eos_token, add_special_tokens=False)
    ids = torch.tensor([before + after])
    labels = torch.tensor([[-100] * len(before) + after])
    with torch.inference_mode():
        expected = loaded.model(input_ids=ids, labels=labels).loss.item()
    assert sum(piece.loss for piece in pieces) / len(pieces) == pytest.approx(expected, rel=1e-4)


def test_exactly_the_level_word_is_marked_as_the_label():
    for row, pieces in zip(ROWS, evaluate.token_losses(lab.base_model(), ROWS), strict=True):
        assert "".join(piece.token for piece in pieces if piece.is_label).strip() == row.level
        assert "".join(piece.token for piece in pieces) == row.answer + "<|im_end|>"


def test_the_token_loss_of_notebook_04_is_the_helpers_loss():
    logits = torch.randn(5, 7)
    targets = torch.tensor([0, 3, 6, 2, 2])
    notebook = -torch.log_softmax(logits, -1).gather(1, targets[:, None]).squeeze(1)
    assert torch.allclose(notebook, torch.nn.functional.cross_entropy(logits, targets, reduction="none"))


def test_the_logprob_of_an_answer_is_the_sum_of_its_token_losses():
    rows = ROWS[:3]
    whole = evaluate.answer_logprobs(lab.base_model(), rows, [row.answer for row in rows])
    losses = evaluate.token_losses(lab.base_model(), rows)
    assert whole == pytest.approx([-sum(piece.loss for piece in pieces) for pieces in losses], abs=1e-2)


def test_a_margin_is_the_difference_of_two_logprobs_and_turns_with_the_pair():
    pair = cases.hard_pairs(ROWS, 5)[0]
    turned = replace(pair, chosen=pair.rejected, rejected=pair.chosen)
    one, other = evaluate.pair_margins(lab.base_model(), [pair, turned])
    good, bad = evaluate.answer_logprobs(lab.base_model(), [pair.example] * 2, [pair.chosen, pair.rejected])
    assert one == pytest.approx(good - bad, abs=1e-3) and other == pytest.approx(-one, abs=1e-6)


def test_no_pairs_have_no_margins():
    assert evaluate.pair_margins(lab.base_model(), []) == []


def test_ches_is_the_papers_formula_over_the_states_that_predict_the_answer():
    pairs = cases.hard_pairs(ROWS, 5)[:3]
    loaded = evaluate.load(lab.base_model())
    for pair, score in zip(pairs, evaluate.ches(lab.base_model(), pairs, batch=2), strict=True):
        sums = []
        for text in (pair.chosen, pair.rejected):
            prompt = evaluate.prompt_ids(loaded, pair.example)
            answer = loaded.tokenizer.encode(text + loaded.tokenizer.eos_token, add_special_tokens=False)
            with torch.inference_mode():
                states = loaded.model.model(input_ids=torch.tensor([prompt + answer])).last_hidden_state[0]
            sums.append(sum(states[len(prompt) - 1 + place] for place in range(len(answer))))
        assert score == pytest.approx(float(sums[0] @ sums[1] - sums[0] @ sums[0]), rel=1e-3)


def test_ches_of_a_pair_whose_sides_are_the_same_is_zero_and_no_pair_has_no_score():
    row = ROWS[0]
    (score,) = evaluate.ches(lab.base_model(), [cases.Pair(row, row.answer, row.answer)])
    assert abs(score) < 1.0  # of numbers in the ten thousands
    assert evaluate.ches(lab.base_model(), []) == []


@pytest.mark.parametrize(
    "setting", [{"repetition_penalty": 1.3}, {"min_new_tokens": 60}, {"num_beams": 3}], ids=str
)
def test_what_a_model_brings_along_for_generation_does_not_change_how_it_is_judged(setting):
    """A saved generation_config may hold a repetition penalty; llama.cpp does not read it, and greedy answers
    part.
    """
    plain = evaluate.generate(lab.base_model(), ROWS, max_new_tokens=60)
    model, tokenizer = evaluate.load(lab.base_model()).model, evaluate.load(lab.base_model()).tokenizer
    own = copy.deepcopy(model.generation_config)
    try:
        model.generation_config.update(**setting)
        judged = evaluate.generate(LoadedModel(model, tokenizer), ROWS, max_new_tokens=60)
        assert judged == plain
        assert all(getattr(model.generation_config, name) == value for name, value in setting.items())
    finally:
        model.generation_config = own
