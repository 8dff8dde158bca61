"""Which pairs may lower the probability of their own chosen answer: the CHES score, before any training."""

from collections.abc import Sequence

import torch

from helpers.cases import Pair
from helpers.evaluate.generation import Model, answered, load, padded


@torch.inference_mode()
def ches(source: Model, pairs: Sequence[Pair], *, batch: int = 24) -> list[float]:
    """CHES of every pair: ⟨Σh⁺, Σh⁻⟩ − ‖Σh⁺‖² (Razin et al. 2024, "Unintentional Unalignment").

    h are the last hidden states from which an answer's tokens are predicted, end-of-turn included. The
    higher, the more alike the two sides are inside the model, and the more DPO is expected to lower the
    chosen answer along with the rejected one.
    """
    loaded, scores = load(source), []
    for start in range(0, len(pairs), batch):
        chunk = pairs[start : start + batch]
        texts = [pair.chosen for pair in chunk] + [pair.rejected for pair in chunk]
        prompts, rows = answered(loaded, [pair.example for pair in chunk] * 2, texts)
        inputs = padded(loaded, rows, "right")
        states = loaded.model(**inputs, output_hidden_states=True).hidden_states[-1].float()
        sums = [
            states[place, len(prompt) - 1 : len(row) - 1].sum(0)
            for place, (prompt, row) in enumerate(zip(prompts, rows, strict=True))
        ]
        for chosen, rejected in zip(sums[: len(chunk)], sums[len(chunk) :], strict=True):
            scores.append(float(chosen @ rejected - chosen @ chosen))
    return scores
