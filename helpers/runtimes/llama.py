"""llama.cpp in this process, by way of llama-cpp-python's low-level calls: load once, one context for all prompts, greedy decoding.

The file is checked before llama.cpp sees it (`checked`), because llama.cpp ends the whole process on some damaged files.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from helpers.cases import Example
from helpers.export import Header, native_log, read_header, renderer, whole_architecture
from helpers.files import LabError
from helpers.runtimes.reply import LENGTH, STOP, Reply, level_place
from helpers.train import Profile, current_profile


class LlamaCpp:
    """A GGUF, loaded and ready to answer. Close it, or use it in a `with` block.

    Args:
        path: the file.
        threads: for prompts and answers; chosen by the file's size if not given.
        profile: whose context length and answer length; the current one if not given.

    Attributes:
        name: "llama_cpp", its name in results.
        load_seconds: what loading took.
        place: the answer's tokens before the level.
        eos: the token that the file calls the end of a text.
        prompt_tokens, prompt_seconds, new_tokens, new_seconds: work done so far and the time it took, prompts and answers apart.

    Raises:
        LabError: there is no such file, it is damaged, no LFM2, or llama.cpp refuses it.
    """

    name = "llama_cpp"

    def __init__(
        self, path: str | Path, *, threads: int | None = None, profile: Profile | None = None
    ) -> None:
        settings = profile or current_profile()
        self.path, self._model, self._context = Path(path), None, None
        self._limit, self._size = settings.generate["max_new_tokens"], context_size(settings)
        header = checked(self.path)
        self._render = renderer(header)
        self.prompt_tokens, self.prompt_seconds, self.new_tokens, self.new_seconds = 0, 0.0, 0, 0.0
        started = time.perf_counter()
        self._load(threads or default_threads(header.bytes))
        self.load_seconds = time.perf_counter() - started
        self.place = level_place(self.encode)

    def _load(self, threads: int) -> None:
        context = llama_cpp.llama_context_default_params()
        context.n_ctx = context.n_batch = context.n_ubatch = self._size
        context.n_threads = context.n_threads_batch = threads
        with native_log() as said:
            llama_cpp.llama_backend_init()
            self._model = llama_cpp.llama_model_load_from_file(
                os.fsencode(self.path), llama_cpp.llama_model_default_params()
            )
            self._context = llama_cpp.llama_init_from_model(self._model, context) if self._model else None
        if not self._context:
            self.close()
            raise LabError(
                f"llama.cpp refuses {self.path}: {' '.join(said) or 'it does not say why'}. Export the model again."
            )
        self._vocabulary: Any = llama_cpp.llama_model_get_vocab(self._model)
        self._count = llama_cpp.llama_vocab_n_tokens(self._vocabulary)
        self.eos = llama_cpp.llama_vocab_eos(self._vocabulary)

    def __enter__(self) -> LlamaCpp:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free model and context; a second time does nothing."""
        with native_log():
            if self._context:
                llama_cpp.llama_free(self._context)
            if self._model:
                llama_cpp.llama_model_free(self._model)
        self._context = self._model = None

    @property
    def tokens_per_second(self) -> float:
        """Answer tokens a second so far, prompts not counted; NaN before the first answer."""
        return self.new_tokens / self.new_seconds if self.new_seconds else float("nan")

    def complete(self, conversations: Sequence[Example], *, max_new_tokens: int | None = None) -> list[Reply]:
        """Greedy answers, in the order of `conversations`.

        Raises:
            LabError: a prompt does not fit the context.
        """
        with native_log():
            return [self._answer(example, max_new_tokens or self._limit) for example in conversations]

    def label_logits(self, examples: Sequence[Example]) -> np.ndarray:
        """Logits at the level's place: shape (examples, vocabulary), float32.

        Raises:
            LabError: a prompt does not fit the context.
        """
        with native_log():
            return np.stack(
                [self._start([*self.prompt(example)[1], *self.place]).copy() for example in examples]
            )

    def prompt(self, example: Example) -> tuple[str, list[int]]:
        """A conversation as this runtime feeds it: rendered by the file's own template, and its tokens. The template writes the BOS."""
        rendered = self._render(example.prompt)
        return rendered, self.encode(rendered)

    def encode(self, text: str, *, add_special: bool = False) -> list[int]:
        """Text to tokens. `add_special` puts a BOS before it if the file says so, which doubles the one that the template wrote."""
        raw = text.encode()
        room = len(raw) + 2  # no token is shorter than a byte
        tokens = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self._vocabulary, raw, len(raw), tokens, room, add_special, True)
        return list(tokens[:count])

    def decode(self, tokens: Sequence[int]) -> str:
        """Tokens to text, special tokens left out."""
        buffer, pieces = ctypes.create_string_buffer(512), []
        for token in tokens:
            size = llama_cpp.llama_token_to_piece(self._vocabulary, token, buffer, len(buffer), 0, False)
            pieces.append(buffer.raw[: max(size, 0)])
        return b"".join(pieces).decode(errors="replace")

    def ends(self, token: int) -> bool:
        """Does this token end an answer? llama.cpp counts the file's EOS and the turn-ending tokens that it knows by name."""
        return llama_cpp.llama_vocab_is_eog(self._vocabulary, token)

    def _answer(self, example: Example, limit: int) -> Reply:
        rendered, tokens = self.prompt(example)
        scores, given, reason = self._start(tokens), [], LENGTH
        started = time.perf_counter()
        for left in range(limit, 0, -1):
            token = int(scores.argmax())
            if self.ends(token):
                reason = STOP
                break
            given.append(token)
            if left == 1 or len(tokens) + len(given) >= self._size:
                break
            scores = self._feed([token])
        self.new_tokens += len(given)
        self.new_seconds += time.perf_counter() - started
        return Reply(rendered, tuple(tokens), self.decode(given).strip(), reason)

    def _start(self, tokens: Sequence[int]) -> np.ndarray:
        """Forget everything and read a prompt; the logits after it, valid until the next call."""
        if not 0 < len(tokens) < self._size:
            raise LabError(
                f"A prompt of {len(tokens):,} tokens does not fit the context of {self._size:,}: shorten it, or raise the profile's max_length."
            )
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        started = time.perf_counter()
        scores = self._feed(tokens)
        self.prompt_tokens += len(tokens)
        self.prompt_seconds += time.perf_counter() - started
        return scores

    def _feed(self, tokens: Sequence[int]) -> np.ndarray:
        fed = (llama_cpp.llama_token * len(tokens))(*tokens)  # a name of its own: the batch only points at it
        if code := llama_cpp.llama_decode(self._context, llama_cpp.llama_batch_get_one(fed, len(tokens))):
            raise LabError(
                f"llama.cpp could not compute with {self.path} (code {code}). Load the model again; if it stays, export it again."
            )
        return np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(self._context, -1), (self._count,))


def context_size(profile: Profile) -> int:
    """Tokens of the longest row and of the longest answer."""
    return profile.max_length + profile.generate["max_new_tokens"]


def default_threads(model_bytes: int) -> int:
    """All cores, but one for a model that fits a cache: there the threads would wait for each other longer than they compute."""
    return 1 if model_bytes < 100e6 else os.cpu_count() or 1


def checked(path: Path) -> Header:
    """The header of a GGUF that llama.cpp can be trusted with.

    Raises:
        LabError: it cannot be read, is damaged, no LFM2, or not of one piece.
    """
    header = read_header(path)
    size, tokens = whole_architecture(header).vocabulary, header.metadata.get("tokenizer.ggml.tokens", [])
    if (
        not len(tokens) == len({text for text in tokens if isinstance(text, str)}) == size
        or header.metadata.get("tokenizer.ggml.model") != "gpt2"
    ):
        raise LabError(
            f"{path} does not hold the {size:,} different tokens of a byte-level vocabulary. Delete it and export the model again."
        )
    return header
