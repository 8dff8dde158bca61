"""transformers: the model as it was trained and evaluated, and so the reference of every other runtime."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers.cases import Example
from helpers.evaluate import generate, load, next_logits, prompt_ids, rendered_prompt
from helpers.runtimes.reply import Reply, level_place


class Transformers:
    """A model folder, answered by `helpers.evaluate`, in float32 on a CPU; a `LabError` if it holds none."""

    name = "transformers"

    def __init__(self, source: str | Path) -> None:
        self.source, self._loaded = source, load(source)

    def complete(self, conversations: Sequence[Example], *, max_new_tokens: int | None = None) -> list[Reply]:
        """Greedy answers, in the order of `conversations`."""
        answers, model = generate(self.source, conversations, max_new_tokens=max_new_tokens), self._loaded
        return [
            Reply(rendered_prompt(model, row), tuple(prompt_ids(model, row)), said.text, said.finish_reason)
            for row, said in zip(conversations, answers, strict=True)
        ]

    def label_logits(self, examples: Sequence[Example]) -> np.ndarray:
        """Logits at the level's place: shape (examples, vocabulary), float32."""
        place = level_place(lambda text: self._loaded.tokenizer.encode(text, add_special_tokens=False))
        return next_logits(self.source, examples, place)
