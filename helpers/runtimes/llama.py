"""llama.cpp in this process, by llama-cpp-python's `Llama`: one context for all prompts, greedy decoding.

The file is `checked` before llama.cpp sees it, which ends the whole process on some damaged files.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import llama_cpp
import numpy as np
from joblib import cpu_count

from helpers.cases import Example
from helpers.export import Header, native_log, read_header, renderer, whole_architecture
from helpers.export.architecture import LFM2
from helpers.files import LabError
from helpers.runtimes.reply import LENGTH, STOP, Reply, level_place
from helpers.train import current_profile


class LlamaCpp(AbstractContextManager):
    """A GGUF, loaded and ready to answer, for a `with` block.

    `place` holds the answer's tokens before the level.
    Raises LabError: there is no such file, it is damaged, of an unknown kind, or llama.cpp refuses it.
    """

    name = "llama_cpp"

    def __init__(self, path: str | Path) -> None:
        self.path, profile = Path(path), current_profile()
        self._limit = profile.generate["max_new_tokens"]
        self._size = profile.max_length + self._limit
        header = checked(self.path)
        self._render, cores = renderer(header), default_threads(header.bytes)
        settings = dict.fromkeys(("n_ctx", "n_batch", "n_ubatch"), self._size)
        self._llama = opened(self.path, n_threads=cores, n_threads_batch=cores, **settings)
        self.place = level_place(self.encode)

    def __exit__(self, *_: object) -> None:
        with native_log():
            self._llama.close()

    def complete(self, conversations: Sequence[Example], *, max_new_tokens: int | None = None) -> list[Reply]:
        """Greedy answers, in order; a `LabError` if a prompt does not fit the context."""
        with native_log():
            return [self._answer(example, max_new_tokens or self._limit) for example in conversations]

    def label_logits(self, examples: Sequence[Example]) -> np.ndarray:
        """Logits at the level's place: shape (examples, vocabulary), float32; errors as of `complete`."""
        with native_log():
            return np.stack([self._start([*self.prompt(row)[1], *self.place]).copy() for row in examples])

    def prompt(self, example: Example) -> tuple[str, list[int]]:
        """A conversation as it is fed: rendered by the file's template, BOS included, and its tokens."""
        rendered = self._render(example.prompt)
        return rendered, self.encode(rendered)

    def encode(self, text: str) -> list[int]:
        """Text to tokens; special tokens are read, and none is added."""
        return self._llama.tokenize(text.encode(), add_bos=False, special=True)

    def _answer(self, example: Example, limit: int) -> Reply:
        rendered, tokens = self.prompt(example)
        scores, answer, reason = self._start(tokens), [], LENGTH
        vocabulary = llama_cpp.llama_model_get_vocab(self._llama.model)
        for left in range(min(limit, self._size - len(tokens)), 0, -1):
            token = int(scores.argmax())
            if llama_cpp.llama_vocab_is_eog(vocabulary, token):  # the file's EOS, and others known by name
                reason = STOP
                break
            answer.append(token)
            if left > 1:
                scores = self._feed([token])
        text = self._llama.detokenize(answer).decode(errors="replace").strip()  # without special tokens
        return Reply(rendered, tuple(tokens), text, reason)

    def _start(self, tokens: Sequence[int]) -> np.ndarray:
        """Forget everything and read a prompt; the logits after it, valid until the next call."""
        if not 0 < len(tokens) < self._size:
            sizes = f"A prompt of {len(tokens):,} tokens does not fit the context of {self._size:,}"
            raise LabError(f"{sizes}: shorten it, or raise the profile's max_length.")
        self._llama.reset()
        return self._feed(tokens)

    def _feed(self, tokens: Sequence[int]) -> np.ndarray:
        try:
            self._llama.eval(tokens)
        except RuntimeError as error:
            what = f"llama.cpp could not compute with {self.path} ({error})"
            raise LabError(f"{what}. Export it again.") from None
        return np.ctypeslib.as_array(llama_cpp.llama_get_logits(self._llama.ctx), (self._llama.n_vocab(),))


def opened(path: str | Path, **settings: int) -> llama_cpp.Llama:
    """A GGUF in llama.cpp, which stays quiet; a `LabError` with its own words if it refuses the file."""
    with native_log() as errors:
        try:
            return llama_cpp.Llama(str(path), verbose=False, **settings)
        except (ValueError, RuntimeError) as error:
            said = " ".join(errors) or error
            raise LabError(f"llama.cpp refuses {path}: {said}. Export or fetch the file again.") from None


def default_threads(model_bytes: int) -> int:
    """All cores, but one for a model that fits a cache: there threads wait longer than they compute."""
    return 1 if model_bytes < 100e6 else cpu_count()


def checked(path: Path) -> Header:
    """The header of a GGUF; a `LabError` if llama.cpp cannot be trusted with it (damaged, of an unknown kind)."""
    header, again = read_header(path), "Delete it and export the model again."
    architecture = whole_architecture(header)
    size, tokens = architecture.config.vocab_size, header.metadata.get("tokenizer.ggml.tokens", [])
    different = len({text for text in tokens if isinstance(text, str)})
    kind = (
        "gpt2" if architecture.kind is LFM2 else "llama"
    )  # llama.cpp's names for byte-level BPE, SentencePiece
    if not len(tokens) == different == size or header.metadata.get("tokenizer.ggml.model") != kind:
        raise LabError(
            f"{path} does not hold the {size:,} different tokens of its kind of tokenizer. {again}"
        )
    if not 0 < header.metadata[f"{architecture.kind.name}.rope.freq_base"] < float("inf"):
        raise LabError(f"{path} holds no usable base of its positions. {again}")
    return header
