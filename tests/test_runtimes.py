"""The runtimes: the same prompts in, the same answers out, and a damaged file is one message."""

import numpy as np
import pytest

from helpers.cases import Example, evaluation_prompts
from helpers.evaluate import generate, label_probabilities
from helpers.export import export
from helpers.files import DATA, LabError
from helpers.runtimes import LENGTH, LlamaCpp
from helpers.train import load_tokenizer
from helpers.triage import LEVELS

BASE = DATA / "nano-base"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return export(BASE, tmp_path_factory.mktemp("gguf") / "base.gguf").path


@pytest.fixture(scope="module")
def llama(whole):
    with LlamaCpp(whole) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def examples():
    return evaluation_prompts("dev")[::40]


# ------------------------------------------------------------------------------------------------------------ llama.cpp
def test_llama_cpp_puts_the_prompt_that_the_tokenizer_puts_token_for_token(llama, examples):
    tokenizer = load_tokenizer(BASE)
    for example, reply in zip(examples, llama.complete(examples, max_new_tokens=1), strict=True):
        rendered = tokenizer.apply_chat_template(example.prompt, add_generation_prompt=True, tokenize=False)
        assert reply.prompt == rendered
        assert reply.tokens == tuple(tokenizer.encode(rendered, add_special_tokens=False))


def test_the_context_is_emptied_between_prompts(llama, examples):
    together = llama.complete(examples[:3], max_new_tokens=30)
    assert together == [llama.complete([example], max_new_tokens=30)[0] for example in examples[:3]]


def test_a_cut_answer_says_so_and_has_as_many_tokens_as_were_allowed(llama, examples):
    before = llama.new_tokens
    (reply,) = llama.complete(examples[:1], max_new_tokens=4)
    assert reply.finish_reason == LENGTH and llama.new_tokens - before == 4


def test_the_logits_stand_where_the_level_is_said(llama, examples):
    tokenizer = load_tokenizer(BASE)
    logits = llama.label_logits(examples)
    assert logits.shape == (len(examples), len(tokenizer)) and np.isfinite(logits).all()
    levels = [tokenizer.encode(f" {level}", add_special_tokens=False)[0] for level in LEVELS]
    for row, belief in zip(logits, label_probabilities(BASE, examples), strict=True):
        odds = np.exp(row[levels] - row[levels].max())
        np.testing.assert_allclose(odds / odds.sum(), list(belief.values()), atol=2e-3)


def test_speed_is_counted_for_prompts_and_answers_apart(whole, examples):
    with LlamaCpp(whole) as runtime:
        assert runtime.load_seconds > 0 and np.isnan(runtime.tokens_per_second)
        runtime.complete(examples[:2], max_new_tokens=5)
        assert 0 < runtime.new_tokens <= 10 and runtime.prompt_tokens > 40
        assert runtime.tokens_per_second > 0 and runtime.prompt_seconds > 0


def test_a_prompt_longer_than_the_context_is_refused_with_its_length(llama):
    with pytest.raises(LabError, match="does not fit the context"):
        llama.complete([Example("ay " * 3000, LEVELS[0], (LEVELS[0],), "ES")])


def test_llama_cpp_and_transformers_answer_alike(llama, examples):
    texts = [answer.text for answer in generate(BASE, examples, max_new_tokens=30)]
    same = sum(reply.text == text for reply, text in zip(llama.complete(examples, max_new_tokens=30), texts, strict=True))
    assert same >= 0.8 * len(examples)
