"""Load a base model, put LoRA on it, and merge it back: two engines behind the same functions.

`transformers` is the plain road (CPU and GPU); `unsloth` is imported only when a profile asks for it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from helpers.files import LabError
from helpers.train.engine import import_unsloth
from helpers.train.hardware import choose_hardware
from helpers.train.profiles import LFM2_TARGETS, Profile


def _explain_load(error: Exception, source: str) -> LabError:
    if Path(source).is_dir():
        return LabError(
            f"The model in {source} cannot be read ({type(error).__name__}). "
            "Restore it with `git checkout`, or delete the stage, and run again."
        )
    return LabError(
        f"Could not fetch {source} ({type(error).__name__}): no network, no such model, or a licence to accept on the hub first. "
        "Check the connection, or set TRIAGE_PROFILE=nano, which needs no download."
    )


def load_tokenizer(source: Any) -> PreTrainedTokenizerBase:
    """The tokenizer of a stage, folder, hub id or `LoadedModel`.

    Raises:
        LabError: it cannot be fetched or read.
    """
    if isinstance(source, LoadedModel):
        return source.tokenizer
    try:
        return AutoTokenizer.from_pretrained(str(source))
    except (OSError, ValueError) as error:
        raise _explain_load(error, str(source)) from error


def load_model(source: Any) -> PreTrainedModel:
    """A model for generation or training, on the device this machine offers; float32 on a CPU, half precision on a GPU.

    Raises:
        LabError: it cannot be fetched or read.
    """
    if isinstance(source, LoadedModel):
        return copy.deepcopy(source.model)
    hardware = choose_hardware()
    dtype = {"cuda": torch.bfloat16 if hardware.precision == "bf16" else torch.float16}.get(
        hardware.device, torch.float32
    )
    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(source), dtype=dtype, attn_implementation=hardware.attention, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise _explain_load(error, str(source)) from error
    return model.to(hardware.device)


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory with its tokenizer; it can be passed wherever a folder can."""

    model: Any
    tokenizer: Any


def lora_config(profile: Profile) -> LoraConfig:
    """LoRA on every linear layer of LFM2, by LFM2's own module names."""
    return LoraConfig(
        r=profile.lora["r"],
        lora_alpha=profile.lora["alpha"],
        lora_dropout=0.0,
        target_modules=list(LFM2_TARGETS),
        task_type="CAUSAL_LM",
    )


def load(profile: Profile, base: Any = None, seed: int = 0) -> tuple[Any, PreTrainedTokenizerBase]:
    """A base model with a fresh LoRA adapter on it, ready for a TRL trainer: PEFT's on a CPU, Unsloth's on a GPU.

    Args:
        profile: its engine, its LoRA sizes and, where `base` is not given, its base.
        base: stage, folder, hub id or `LoadedModel`. seed: of the adapter's random half.

    Raises:
        LabError: the base cannot be fetched or read, or Unsloth is not installed.
    """
    source = base or profile.base
    transformers.set_seed(seed)
    if profile.engine == "unsloth":
        return _unsloth_load(str(source), profile, seed)
    tokenizer, model = load_tokenizer(source), load_model(source)
    if choose_hardware().precision == "bf16":
        model = model.to(torch.bfloat16)  # frozen weights: the products are the same, and no step casts them again
    model = get_peft_model(model, lora_config(profile))
    model.source = source  # what `merged` folds the adapter into, in full precision
    return model, tokenizer


def load_for_training(
    source: str | Path, profile: Profile, seed: int
) -> tuple[Any, PreTrainedTokenizerBase, LoraConfig | None]:
    """Model, tokenizer and the LoRA configuration that DPO and GRPO apply themselves (None when the engine has applied it).

    Those two take the model without its adapter as their reference, so TRL has to put the adapter on.
    """
    if profile.engine == "unsloth":
        return (*_unsloth_load(str(source), profile, seed), None)
    model = load_model(source)
    return (
        model.to(torch.bfloat16) if choose_hardware().precision == "bf16" else model,
        load_tokenizer(source),
        lora_config(profile),
    )


def merged(trainer: Any) -> LoadedModel:
    """What a trainer has learnt, folded into its base's weights, in memory: `evaluate` takes it like a folder."""
    source = getattr(trainer.model, "source", None) or trainer.model.peft_config["default"].base_model_name_or_path
    whole = with_adapter(load_model(source), trainer.model).merge_and_unload()
    return LoadedModel(whole.eval(), trainer.processing_class)


def merge_and_save(
    model: Any, source: str | Path, tokenizer: PreTrainedTokenizerBase, out: Path, profile: Profile
) -> None:
    """Fold LoRA into the base's weights and save a whole model: every stage folder can be loaded, exported or trained on alone."""
    whole = with_adapter(load_model(source), model) if profile.engine == "transformers" else model
    whole.merge_and_unload().to(getattr(torch, profile.save_dtype)).save_pretrained(out)
    tokenizer.save_pretrained(out)


def with_adapter(base: PreTrainedModel, trained: PeftModel) -> PeftModel:
    """The trained adapter on a base in full precision: merging into bf16 weights would round the adapter away."""
    fresh = get_peft_model(base, trained.peft_config["default"])
    set_peft_model_state_dict(fresh, get_peft_model_state_dict(trained))
    return fresh


def unsloth_load_arguments(source: str, profile: Profile) -> dict[str, Any]:
    """What `FastLanguageModel.from_pretrained` is called with: 16-bit LoRA as in the blog, not 4-bit."""
    return {
        "model_name": source,
        "max_seq_length": profile.max_length,
        "dtype": None,
        "load_in_4bit": False,
        "load_in_16bit": True,
    }


def unsloth_lora_arguments(profile: Profile, seed: int) -> dict[str, Any]:
    """What `FastLanguageModel.get_peft_model` is called with."""
    return {
        "r": profile.lora["r"],
        "lora_alpha": profile.lora["alpha"],
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(LFM2_TARGETS),
        "use_gradient_checkpointing": "unsloth",
        "random_state": seed,
    }


def _unsloth_load(source: str, profile: Profile, seed: int) -> tuple[Any, PreTrainedTokenizerBase]:
    fast = import_unsloth()
    try:
        model, tokenizer = fast.from_pretrained(**unsloth_load_arguments(source, profile))
    except (OSError, ValueError) as error:
        raise _explain_load(error, source) from error
    return fast.get_peft_model(model, **unsloth_lora_arguments(profile, seed)), tokenizer
