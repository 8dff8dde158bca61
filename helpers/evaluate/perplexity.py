"""How surprised a model is by a text: loss token by token, perplexity with an interval, and the loss of chosen words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from helpers.evaluate.generation import load
from helpers.files import LabError
from helpers.statistics import Rate, bootstrap


@dataclass(frozen=True)
class Piece:
    """One token of a text: where it stands (characters) and its loss in nats, −log p(token | tokens before it)."""

    start: int
    end: int
    loss: float


@dataclass(frozen=True)
class TextLoss:
    """A text with the loss of each of its tokens; the first token has nothing before it and is not scored."""

    text: str
    pieces: tuple[Piece, ...]

    @property
    def total(self) -> float:
        """Nats over the whole text."""
        return sum(piece.loss for piece in self.pieces)

    def over(self, start: int, end: int) -> float:
        """Nats of the tokens that touch these characters: what it costs to write that word."""
        return sum(piece.loss for piece in self.pieces if piece.start < end and piece.end > start)


@dataclass(frozen=True)
class Word:
    """One word of a text and what it costs two models to write it, in nats; `gain` is what the second one saves."""

    word: str
    start: int
    end: int
    before: float
    after: float

    @property
    def gain(self) -> float:
        """Nats saved: above 0 the second model expects the word more."""
        return self.before - self.after


def words_of(before: TextLoss, after: TextLoss, spans: Sequence[tuple[int, int]] | None = None) -> list[Word]:
    """The words of a text that two models have read, or whatever else stands at `spans` (start, end in characters).

    A word may be several tokens; it costs their sum. Those without a scored token (the first of a text) are left out.

    Raises:
        LabError: the two did not read the same text.
    """
    if before.text != after.text:
        raise LabError(
            "These are the losses of two different texts. Pass the same text's losses under two models."
        )
    spans = [found.span() for found in re.finditer(r"\w+", before.text)] if spans is None else spans
    scored = [
        (start, end)
        for start, end in spans
        if any(piece.start < end and piece.end > start for piece in before.pieces)
    ]
    return [
        Word(before.text[start:end], start, end, before.over(start, end), after.over(start, end))
        for start, end in scored
    ]


@torch.inference_mode()
def text_losses(source: str | Path, texts: Sequence[str], batch: int = 32) -> list[TextLoss]:
    """The loss of every token of every text, as continued pre-training sees it (a start token first where the tokenizer has one).

    Args:
        source: stage folder, base folder or hub id.
        texts: plain texts; one without a second token has no pieces.
    """
    loaded = load(source)
    rows = [loaded.tokenizer(text, return_offsets_mapping=True) for text in texts]
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]["input_ids"]))
    found: list[TextLoss] = [TextLoss(text, ()) for text in texts]
    for start in range(0, len(order), batch):
        chunk = order[start : start + batch]
        padded = loaded.tokenizer.pad(
            {"input_ids": [rows[index]["input_ids"] for index in chunk]},
            padding_side="right",
            return_tensors="pt",
        )
        inputs = {name: padded[name].to(loaded.model.device) for name in ("input_ids", "attention_mask")}
        logits = loaded.model(**inputs).logits[:, :-1].float()
        losses = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), inputs["input_ids"][:, 1:], reduction="none"
        ).tolist()
        for index, row in zip(chunk, losses, strict=True):
            spans = rows[index]["offset_mapping"][1:]
            pieces = (
                Piece(begin, end, loss) for (begin, end), loss in zip(spans, row, strict=False) if end > begin
            )
            found[index] = TextLoss(texts[index], tuple(pieces))
    return found


def perplexity(losses: Sequence[TextLoss]) -> Rate:
    """exp(mean loss a token): the number of equally likely tokens that would be as hard to guess. `n` counts texts.

    The interval is a percentile bootstrap over texts, not tokens: the tokens of a text depend on each other.

    Raises:
        LabError: no text has a token to score.
    """
    counted = [(loss.total, len(loss.pieces)) for loss in losses if loss.pieces]
    if not counted:
        raise LabError("Perplexity needs a text of at least two tokens; there is none among these.")
    return bootstrap(
        counted,
        lambda drawn: float(np.exp(sum(nats for nats, _ in drawn) / sum(tokens for _, tokens in drawn))),
    )
