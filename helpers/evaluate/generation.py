"""Make answers and look inside the model: batched generation, label probabilities, loss token by token."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig

from helpers.cases import Example, Pair
from helpers.progress import Progress
from helpers.train import LoadedModel, current_profile, load_model, load_tokenizer
from helpers.train.fast import LARGE, hand_back_memory
from helpers.triage import LEVEL_HEADING, LEVELS

Model = str | PathLike[str] | LoadedModel  # a stage is a path


@dataclass(frozen=True)
class Answer:
    """A generated text and why it ended: `stop` (the model closed its turn) or `length` (it was cut)."""

    text: str
    finish_reason: str


def load(source: Model) -> LoadedModel:
    """Load a stage, a folder or a hub id; the last few are kept in memory. A loaded model is handed back."""
    return source if isinstance(source, LoadedModel) else _load(str(source))


@lru_cache(maxsize=2)
def _load(source: str) -> LoadedModel:
    return LoadedModel(load_model(source).eval(), load_tokenizer(source))


def rendered_prompt(loaded: LoadedModel, example: Example) -> str:
    """The conversation as the tokenizer's chat template writes it, up to where the answer begins."""
    return loaded.tokenizer.apply_chat_template(example.prompt, add_generation_prompt=True, tokenize=False)


def prompt_ids(loaded: LoadedModel, example: Example) -> list[int]:
    """The rendered prompt's tokens; its BOS is the template's own."""
    return loaded.tokenizer.encode(rendered_prompt(loaded, example), add_special_tokens=False)


def padded(loaded: LoadedModel, rows: Sequence[Sequence[int]], side: str) -> dict[str, torch.Tensor]:
    """Rows of tokens as the model's inputs, padded on the "left" or the "right"."""
    batch = loaded.tokenizer.pad(
        {"input_ids": [list(row) for row in rows]}, padding_side=side, return_tensors="pt"
    )
    return {name: batch[name].to(loaded.model.device) for name in ("input_ids", "attention_mask")}


def batches(rows: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Places of the rows, the shortest first, `size` at a time: so that little padding is computed."""
    order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
    return (order[start : start + size] for start in range(0, len(order), size))


def _at_once(loaded: LoadedModel) -> int:
    """Rows to read at a time, where nobody says it: the caches and logits of a large model's rows fill gigabytes."""
    return 16 if loaded.model.num_parameters() > LARGE else 64


@contextmanager
def plain_decoding(model: Any) -> Iterator[None]:
    """Only the special tokens of the model's own generation settings count inside the block.

    A saved `generation_config` may hold a repetition penalty or a least length. transformers obeys it, and
    llama.cpp does not read it, so the same model would answer differently there.
    """
    own = model.generation_config
    special = {name: getattr(own, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    model.generation_config = GenerationConfig(**special)
    try:
        yield
    finally:
        model.generation_config = own


@torch.inference_mode()
def generate(
    source: Model,
    examples: Sequence[Example],
    *,
    max_new_tokens: int | None = None,
    label: str | None = None,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[Answer]:
    """Answers in the order of `examples`.

    The model's own `generation_config` is set aside (`plain_decoding`): these arguments alone decide.

    Args:
        max_new_tokens: cut after so many (default: the profile's).
        label: text of the progress line; None for none.
        temperature: 0 takes the likeliest token; above it, tokens are drawn from all, repeatably by `seed`.
    """
    loaded, settings = load(source), current_profile().generate
    limit = max_new_tokens or settings["max_new_tokens"]
    prompts = [prompt_ids(loaded, example) for example in examples]
    answers: dict[int, Answer] = {}  # by the place of the prompt
    progress = Progress(label, len(prompts)) if label else None
    how: dict[str, Any] = {"do_sample": False}
    if temperature:
        torch.manual_seed(seed)
        how = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    for chunk in batches(prompts, settings["batch"]):
        batch = padded(loaded, [prompts[index] for index in chunk], "left")
        with plain_decoding(loaded.model):
            output = loaded.model.generate(
                **batch, max_new_tokens=limit, **how, pad_token_id=loaded.tokenizer.pad_token_id
            )
        for index, row in zip(chunk, output[:, batch["input_ids"].shape[1] :], strict=True):
            stopped = bool((row == loaded.tokenizer.eos_token_id).any())
            answers[index] = Answer(
                loaded.tokenizer.decode(row, skip_special_tokens=True).strip(),
                "stop" if stopped else "length",
            )
        if progress:
            progress.update(len(chunk))
    if loaded.model.num_parameters() > LARGE:
        hand_back_memory()  # gigabytes of caches
    if progress:
        progress.done(f"{label}: {len(prompts):,} answers.")
    return [answers[place] for place in range(len(prompts))]


def ask(source: Model, text: str, country: str = "ES") -> str:
    """One person's words, one answer."""
    return generate(source, [Example(text, LEVELS[0], (LEVELS[0],), country)])[0].text


def belief(source: Model, text: str, country: str = "ES") -> dict[str, float]:
    """One person's words, the model's share of each level, before it writes anything."""
    return label_probabilities(source, [Example(text, LEVELS[0], (LEVELS[0],), country)])[0]


@torch.inference_mode()
def label_probabilities(
    source: Model,
    examples: Sequence[Example],
    *,
    heading: str = f"{LEVEL_HEADING} ",
    batch: int | None = None,
) -> list[dict[str, float]]:
    """The model's belief over the five levels at the label's place, normalised over the five.

    Each level's words are scored whole after `heading`, so that a tokenizer that cuts a level in pieces is
    treated fairly. The prompt is read once; what it left in the model's cache serves all five.
    """
    loaded = load(source)
    options = [loaded.tokenizer.encode(f"{heading}{level}", add_special_tokens=False) for level in LEVELS]
    # tokens that all five begin with
    shared = next(place for place, tokens in enumerate(zip(*options, strict=False)) if len(set(tokens)) > 1)
    rests = [option[shared:] for option in options]
    prompts = [[*prompt_ids(loaded, example), *options[0][:shared]] for example in examples]
    found: list[dict[str, float]] = [{}] * len(prompts)
    for chunk in batches(prompts, batch or _at_once(loaded)):
        for index, scores in zip(chunk, _scored(loaded, [prompts[one] for one in chunk], rests), strict=True):
            found[index] = dict(zip(LEVELS, torch.softmax(scores, 0).tolist(), strict=True))
    return found


def _scored(
    loaded: LoadedModel, prompts: Sequence[Sequence[int]], options: Sequence[list[int]]
) -> torch.Tensor:
    """Log-probability of each option, all its tokens counted, after each prompt: (prompts, options)."""
    read = padded(loaded, prompts, "left")
    seen = loaded.model(**read, use_cache=True, logits_to_keep=1)
    scores = torch.log_softmax(seen.logits[:, -1].float(), -1)[:, [option[0] for option in options]]
    longest, n, cache = max(map(len, options)) - 1, len(options), seen.past_key_values
    padded_options = [[*option, *option[-1:] * (longest + 1 - len(option))] for option in options]
    tokens = torch.tensor(padded_options, device=scores.device).repeat(len(prompts), 1)
    mask = read["attention_mask"].repeat_interleave(n, 0)
    cache.reorder_cache(torch.arange(len(prompts), device=scores.device).repeat_interleave(n))
    # the tokens after each option's first; LFM2's convolutions take one at a time
    for step in range(longest):
        mask = torch.cat((mask, torch.ones_like(mask[:, :1])), 1)
        after = loaded.model(tokens[:, step : step + 1], attention_mask=mask, past_key_values=cache).logits
        each = torch.log_softmax(after[:, -1].float(), -1).gather(1, tokens[:, step + 1, None])
        real = torch.tensor([step + 1 < len(option) for option in options], device=scores.device)
        scores = scores + each.view(len(prompts), n) * real
    return scores


@torch.inference_mode()
def next_logits(source: Model, examples: Sequence[Example], said: Sequence[int] = ()) -> np.ndarray:
    """Logits over the token after the answer's tokens `said`: shape (examples, vocabulary), float32."""
    loaded = load(source)
    rows = [[*prompt_ids(loaded, example), *said] for example in examples]
    found = np.empty((len(rows), loaded.model.config.vocab_size), np.float32)
    for chunk in batches(rows, _at_once(loaded)):
        inputs = padded(loaded, [rows[index] for index in chunk], "left")
        found[chunk] = loaded.model(**inputs, logits_to_keep=1).logits[:, -1].float().cpu().numpy()
    return found


def answered(
    loaded: LoadedModel, examples: Sequence[Example], texts: Sequence[str]
) -> tuple[list[list[int]], list[list[int]]]:
    """Tokens of each prompt, and of each prompt with its answer and the end-of-turn."""
    prompts = [prompt_ids(loaded, example) for example in examples]
    closed = [text + loaded.tokenizer.eos_token for text in texts]
    answers = [loaded.tokenizer.encode(text, add_special_tokens=False) for text in closed]
    return prompts, [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]


@torch.inference_mode()
def answer_logprobs(source: Model, examples: Sequence[Example], texts: Sequence[str]) -> list[float]:
    """log p(text | prompt) of any whole answer, end-of-turn included, in nats, in the order of `examples`.

    A sum: a longer answer is less likely for its length alone.
    """
    loaded, found = load(source), [0.0] * len(texts)
    prompts, rows = answered(loaded, examples, texts)
    for chunk in batches(rows, _at_once(loaded)):
        logits = loaded.model(**padded(loaded, [rows[index] for index in chunk], "right")).logits.float()
        for place, index in enumerate(chunk):
            start, row = len(prompts[index]), rows[index]
            steps = torch.log_softmax(logits[place, start - 1 : len(row) - 1], -1)
            answer = torch.tensor(row[start:], device=logits.device)
            found[index] = float(steps.gather(1, answer[:, None]).sum())
    return found


def pair_margins(source: Model, pairs: Sequence[Pair]) -> list[float]:
    """log p(chosen) − log p(rejected) of each pair: above 0 the better answer is likelier, as a whole."""
    sides = [(pair.example, text) for pair in pairs for text in (pair.chosen, pair.rejected)]
    asked = {(row.text, row.country, text): row for row, text in sides}
    scored = answer_logprobs(source, list(asked.values()), [text for *_, text in asked])
    known = dict(zip(asked, scored, strict=True))
    values = [known[row.text, row.country, text] for row, text in sides]
    return [chosen - rejected for chosen, rejected in zip(values[::2], values[1::2], strict=True)]


@dataclass(frozen=True)
class TokenLoss:
    """One answer token: its text, its loss in nats, and whether it is part of the level word."""

    token: str
    loss: float
    is_label: bool


@torch.inference_mode()
def token_losses(source: Model, examples: Sequence[Example]) -> list[list[TokenLoss]]:
    """Cross-entropy of every token of each row's own answer (its `level`, right or wrong), end-of-turn too.

    This is the training loss before it is averaged: −log p(token | prompt, tokens before it).
    """
    loaded, found = load(source), []
    for example in examples:
        prompt, text = prompt_ids(loaded, example), example.answer + loaded.tokenizer.eos_token
        answer = loaded.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids = torch.tensor([prompt + answer["input_ids"]], device=loaded.model.device)
        logits = loaded.model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float()
        losses = torch.nn.functional.cross_entropy(logits, ids[0, len(prompt) :], reduction="none").tolist()
        start = text.index(example.level)
        end = start + len(example.level)
        spans = zip(answer["offset_mapping"], losses, strict=True)
        found.append([TokenLoss(text[a:b], loss, a < end and b > start) for (a, b), loss in spans])
    return found
