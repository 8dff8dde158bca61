"""How surprised a model is by a text: the loss of every token. Notebook 02 turns it into perplexity."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from helpers.evaluate.generation import batches, load, padded


@dataclass(frozen=True)
class TextLoss:
    """A text with the loss of its tokens in nats, −log p(token | tokens before it).

    `spans`: where each token stands (start, end in characters). The first one is not scored.
    """

    text: str
    spans: tuple[tuple[int, int], ...] = ()
    losses: tuple[float, ...] = ()

    def over(self, start: int, end: int) -> float:
        """Nats of the tokens that touch these characters: what it costs to write that word."""
        tokens = zip(self.spans, self.losses, strict=True)
        return sum(loss for (first, last), loss in tokens if first < end and last > start)


@torch.inference_mode()
def text_losses(source: Any, texts: Sequence[str]) -> list[TextLoss]:
    """The loss of every token of every text, as continued pre-training sees it (with a start token if any).

    A text without a second token has no losses.
    """
    loaded = load(source)
    rows = [loaded.tokenizer(text, return_offsets_mapping=True) for text in texts]
    ids = [row["input_ids"] for row in rows]
    scored = [TextLoss(text) for text in texts]
    for chunk in batches(ids, 32):
        inputs = padded(loaded, [ids[index] for index in chunk], "right")
        logits = loaded.model(**inputs).logits[:, :-1].float()
        losses = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), inputs["input_ids"][:, 1:], reduction="none"
        ).tolist()
        for index, row in zip(chunk, losses, strict=True):
            spans = rows[index]["offset_mapping"][1:]
            tokens = [(span, loss) for span, loss in zip(spans, row, strict=False) if span[1] > span[0]]
            scored[index] = TextLoss(texts[index], *zip(*tokens, strict=True))
    return scored
