"""Runtimes: transformers, llama-cpp-python, llama.cpp's HTTP server, a browser, and do they answer alike?

Every runtime has `complete(conversations) -> list[Reply]`: `Transformers`, `LlamaCpp`, `Server`, and
`browser.Browser`. `parity` compares two of them, `check` all of a machine's. `phone` makes the page of
`phone/` with a model in it, and `serve` shows it.
"""

from helpers.runtimes import check, parity
from helpers.runtimes.llama import LlamaCpp
from helpers.runtimes.reply import LENGTH, Missing, Reply
from helpers.runtimes.server import Server
from helpers.runtimes.transformers import Transformers
