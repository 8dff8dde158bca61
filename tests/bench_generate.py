"""Batched generation against one by one and against llama.cpp, in one run: `python tests/bench_generate.py
[model folder]`.

The same prompts, model and limit, greedy; every way is measured twice, in turn, after a warm-up that is not
counted. Target: a batch gives ≥ 8 × the answers a second of one by one. The model is the shipped base unless
    a stage's folder is given. llama.cpp needs a GGUF, which
`helpers.export` writes. On a machine that others use, TRIAGE_THREADS=1 gives steadier ratios: one thread
waits for no other.
"""

from __future__ import annotations

import importlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers

from helpers import cases, evaluate, train

PROFILE = train.profile_named("nano")
PROMPTS = cases.evaluation_prompts("dev")[
    : PROFILE.generate["batch"]
]  # one full batch, as the notebooks fill them
LIMIT = PROFILE.generate["max_new_tokens"]
RUNS = 2

Way = Callable[[list[cases.Example]], list[str]]


def batched(model: str) -> Way:
    """All prompts at once, as the notebooks do."""
    return lambda prompts: [answer.text for answer in evaluate.generate(model, prompts)]


def one_by_one(model: str) -> Way:
    """The same function, a prompt a call."""
    return lambda prompts: [evaluate.generate(model, [prompt])[0].text for prompt in prompts]


def llama_cpp(model: str, folder: Path) -> Way | str:
    """llama.cpp on the same prompts in the same tokens, one by one (it has no batched call in Python); or why
    it cannot be measured.
    """
    try:
        export = importlib.import_module("helpers.export").export
    except ImportError:
        return "helpers.export is not in this checkout, and without it there is no GGUF"
    try:
        from llama_cpp import Llama
    except ImportError:
        return "llama-cpp-python is not installed"
    whole = export(model, folder / "f16.gguf")
    threads = torch.get_num_threads()
    engine = Llama(
        str(whole.path),
        n_ctx=1024,
        n_threads=threads,
        n_threads_batch=threads,
        logits_all=False,
        verbose=False,
    )
    loaded = evaluate.load(model)

    def run(prompts: list[cases.Example]) -> list[str]:
        texts = []
        for prompt in prompts:
            rendered = loaded.tokenizer.apply_chat_template(
                prompt.prompt, add_generation_prompt=True, tokenize=False
            )
            ids = loaded.tokenizer.encode(rendered, add_special_tokens=False)
            texts.append(
                engine.create_completion(ids, max_tokens=LIMIT, temperature=0.0)["choices"][0]["text"].strip()
            )
        return texts

    return run


def measure(ways: dict[str, Way]) -> dict[str, tuple[list[float], list[str]]]:
    """Seconds of every run of every way, and what it wrote."""
    for way in ways.values():
        way(PROMPTS[:4])
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    texts: dict[str, list[str]] = {}
    for _ in range(RUNS):
        for name, way in ways.items():
            started = time.perf_counter()
            texts[name] = way(PROMPTS)
            seconds[name].append(time.perf_counter() - started)
            print(f"  {name}: {seconds[name][-1]:.2f} s", flush=True)
    return {name: (seconds[name], texts[name]) for name in ways}


def main() -> None:
    """Print seconds, tokens a second and ratios."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = sys.argv[1] if len(sys.argv) > 1 else PROFILE.base
    tokenizer = evaluate.load(model).tokenizer
    print(
        f"{train.choose_hardware().reason}; {len(PROMPTS)} prompts, at most {LIMIT} tokens each", flush=True
    )
    with tempfile.TemporaryDirectory() as folder:
        ways: dict[str, Way] = {"batched": batched(model), "one by one": one_by_one(model)}
        third = llama_cpp(model, Path(folder))
        if isinstance(third, str):
            print(f"llama.cpp: SKIPPED, {third}", flush=True)
        else:
            ways["llama.cpp"] = third
        done = measure(ways)
    ours, written = done["batched"]
    for name, (seconds, texts) in done.items():
        lengths = [len(tokenizer.encode(text, add_special_tokens=False)) for text in texts]
        tokens = sum(lengths)
        same = sum(one == other for one, other in zip(written, texts, strict=True))
        print(
            f"{name:<11} {statistics.median(seconds):7.2f} s   {tokens / statistics.median(seconds):7,.0f} "
            f"tokens/s   "
            f"runs {[round(value, 2) for value in seconds]}   {tokens / len(texts):.0f} tokens an answer "
            f"(longest {max(lengths)}), {same} of {len(texts)} as batched"
        )
        if name != "batched":
            ratios = [theirs / own for theirs, own in zip(seconds, ours, strict=True)]
            print(
                f"  batched is {statistics.median(ratios):.1f} × as fast as {name} (runs "
                f"{' / '.join(f'{ratio:.1f}' for ratio in ratios)})"
            )


if __name__ == "__main__":
    main()
