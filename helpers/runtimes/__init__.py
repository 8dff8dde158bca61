"""Runtimes: the same prompts through transformers, llama-cpp-python, llama.cpp's HTTP server and a browser, and do they agree?

Every runtime has `complete(conversations) -> list[Reply]`: `Transformers`, `LlamaCpp`, `Server`, and the browser's. `parity` compares two
of them, `check` all of a machine's, `faults` breaks one on purpose.
"""

from helpers.runtimes import check, faults, parity
from helpers.runtimes.llama import LlamaCpp
from helpers.runtimes.reply import LENGTH, STOP, Reply, Runtime, level_place
from helpers.runtimes.server import Server
from helpers.runtimes.transformers import Transformers

__all__ = [
    "LENGTH",
    "STOP",
    "LlamaCpp",
    "Reply",
    "Runtime",
    "Server",
    "Transformers",
    "check",
    "faults",
    "level_place",
    "parity",
]
