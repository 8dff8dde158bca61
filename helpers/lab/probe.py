"""A process that loads one GGUF, answers, and says what that cost. Started by `lab.weigh` as a script of its own.

It imports llama.cpp's binding and nothing else of ours, so that the memory it measures is the model's. In: one JSON object on standard
input (`path`, `prompts` as token lists, `limit`, `context`). Out: `load_seconds`, `peak_bytes`, `rates`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import llama_cpp


def peak_bytes() -> int:
    """This process's high-water mark of resident memory. Where `/proc` tells it, `ru_maxrss` will not do: a child starts with its parent's."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure(path: str, prompts: list[list[int]], limit: int, context: int) -> dict[str, Any]:
    """Load the file, answer every prompt greedily on one thread."""
    settings = llama_cpp.llama_context_default_params()
    settings.n_ctx = settings.n_batch = settings.n_ubatch = context
    settings.n_threads = settings.n_threads_batch = 1
    llama_cpp.llama_backend_init()
    floor, began = peak_bytes(), time.perf_counter()
    model = llama_cpp.llama_model_load_from_file(os.fsencode(path), llama_cpp.llama_model_default_params())
    state = llama_cpp.llama_init_from_model(model, settings) if model else None
    if not state:
        raise SystemExit(f"llama.cpp refuses {path}")
    seconds = time.perf_counter() - began
    sampler = llama_cpp.llama_sampler_init_greedy()
    vocabulary = llama_cpp.llama_model_get_vocab(model)
    rates = [answer(state, sampler, vocabulary, prompt, limit) for prompt in prompts]
    return {"load_seconds": seconds, "peak_bytes": peak_bytes() - floor, "rates": rates}


def answer(state: Any, sampler: Any, vocabulary: Any, prompt: list[int], limit: int) -> float:
    """Tokens a second of one answer, the prompt's reading not counted."""
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(state), True)
    fed, given, began = prompt, 0, 0.0
    while given < limit:
        tokens = (llama_cpp.llama_token * len(fed))(*fed)  # a name of its own: the batch only points at it
        if llama_cpp.llama_decode(state, llama_cpp.llama_batch_get_one(tokens, len(fed))):
            raise SystemExit("llama.cpp could not compute")
        began = began or time.perf_counter()
        token = llama_cpp.llama_sampler_sample(sampler, state, -1)
        if llama_cpp.llama_vocab_is_eog(vocabulary, token):
            break
        fed, given = [token], given + 1
    return given / (time.perf_counter() - began)


if __name__ == "__main__":
    print(json.dumps(measure(**json.load(sys.stdin))))
