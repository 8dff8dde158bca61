"""Runtimes: the same prompts through transformers, llama-cpp-python, llama.cpp's HTTP server and a browser, and do they agree?

Every runtime has `complete(conversations) -> list[Reply]`: `Transformers`, `LlamaCpp`, `Server`, and the browser's.
"""

from helpers.runtimes.llama import LlamaCpp
from helpers.runtimes.reply import LENGTH, STOP, Reply, Runtime, level_place

__all__ = ["LENGTH", "STOP", "LlamaCpp", "Reply", "Runtime", "level_place"]
