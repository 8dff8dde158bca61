"""The profile `laptop` without its weights: random ones of LFM2.5-350M's shapes go through every stage, a few steps
each. `make test-laptop` (minutes, about 8 GB of memory; what the model writes means nothing).

It asks whether a model of that size trains, answers, merges and becomes a file on this machine, and prints the
estimate that a reader sees before a training.
"""

import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import drive
import psutil
import torch
from transformers import Lfm2Config, Lfm2ForCausalLM

from helpers import cases, evaluate, export, train
from helpers.runtimes import LlamaCpp

drive.STEPS = 2
NANO = train.profile_named("nano")
ATTENTION = (2, 5, 8, 10, 12, 14)
SHAPES = {
    "hidden_size": 1024,
    "intermediate_size": 6656,  # 4,608 after the adjustment that the config asks for
    "block_auto_adjust_ff_dim": True,
    "block_multiple_of": 256,
    "layer_types": ["full_attention" if place in ATTENTION else "conv" for place in range(16)],
    "num_hidden_layers": 16,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "vocab_size": 65_536,
}


def random_model(folder: Path) -> None:
    """Weights of the right shapes with nano's tokenizer: the larger vocabulary's other tokens are never used."""
    tokenizer = train.load_tokenizer(NANO.base)
    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    torch.manual_seed(0)
    model = Lfm2ForCausalLM(Lfm2Config(**SHAPES, **special))
    print(f"{model.num_parameters():,} parameters", flush=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    """A line a stage: seconds, loss, memory."""
    with TemporaryDirectory() as place:
        base = Path(place) / "base"
        random_model(base)
        profile = replace(train.profile_named("laptop"), model=str(base))
        for make in (drive.sft, drive.dpo, drive.grpo):
            trainer = make(profile)
            trainer.train()
            record = trainer.record
            told = f"{record.steps} steps in {record.seconds:.0f} s, loss {record.losses[-1][1]:.3f}"
            print(f"{make.__name__}: {told}, {record.trainable:,} trained weights, {_memory()}", flush=True)
        out = Path(place) / "merged"
        train.merge_and_save(trainer.model, trainer.processing_class, out, profile)
        people = cases.evaluation_prompts("dev")[:4]
        started = time.time()
        evaluate.generate(str(out), people, max_new_tokens=20)
        print(
            f"answers: {len(people)} of 20 tokens in {time.time() - started:.0f} s, {_memory()}", flush=True
        )
        file = export.export(out, Path(place) / "model.gguf", "Q5_K_M")
        with LlamaCpp(file.path) as model:
            model.complete(people[:1], max_new_tokens=5)
        print(
            f"file: {file.path.stat().st_size / 1e6:,.0f} MB, and llama.cpp answers from it, {_memory()}",
            flush=True,
        )


def _memory() -> str:
    return f"{psutil.Process().memory_info().rss / 1e9:.1f} GB"


if __name__ == "__main__":
    main()
