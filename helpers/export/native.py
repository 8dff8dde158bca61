"""llama.cpp's own log, kept from the screen: what it says about an error is worth a sentence in ours, the rest is a line a tensor."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import llama_cpp
from llama_cpp._logger import llama_log_callback

_ERROR = 4  # GGML_LOG_LEVEL_ERROR in ggml.h


@contextmanager
def native_log() -> Iterator[list[str]]:
    """Everything llama.cpp says meanwhile goes nowhere, but for its errors, which are added to the list."""
    errors: list[str] = []

    @llama_cpp.llama_log_callback
    def keep(level: int, text: bytes, _: ctypes.c_void_p) -> None:
        if level == _ERROR:
            errors.append(text.decode(errors="replace").strip())

    llama_cpp.llama_log_set(keep, ctypes.c_void_p(0))
    try:
        yield errors
    finally:
        llama_cpp.llama_log_set(llama_log_callback, ctypes.c_void_p(0))
