"""Load a base model, put LoRA on it, and merge it back: two engines behind the same four functions.

`transformers` is the plain road (CPU and GPU); `unsloth` is imported only when a profile asks for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
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


def load_tokenizer(source: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a stage folder or hub id.

    Raises:
        LabError: it cannot be fetched or read.
    """
    try:
        return AutoTokenizer.from_pretrained(str(source))
    except (OSError, ValueError) as error:
        raise _explain_load(error, str(source)) from error


def load_model(source: str | Path) -> PreTrainedModel:
    """A model for generation or training, on the device this machine offers; float32 on a CPU, half precision on a GPU.

    Raises:
        LabError: it cannot be fetched or read.
    """
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


def lora_config(profile: Profile) -> LoraConfig:
    """LoRA on every linear layer of LFM2, by LFM2's own module names."""
    return LoraConfig(
        r=profile.lora["r"],
        lora_alpha=profile.lora["alpha"],
        lora_dropout=0.0,
        target_modules=list(LFM2_TARGETS),
        task_type="CAUSAL_LM",
    )


def load_for_training(
    source: str | Path, profile: Profile, seed: int
) -> tuple[Any, PreTrainedTokenizerBase, LoraConfig | None]:
    """Model, tokenizer and the LoRA configuration the trainer still has to apply (None when the engine has applied it).

    With bf16 autocast the frozen weights are stored in bf16 too: the products are the same, and no step casts them again.
    """
    if profile.engine == "unsloth":
        return (*_unsloth_load(str(source), profile, seed), None)
    model = load_model(source)
    return (
        model.to(torch.bfloat16) if choose_hardware().precision == "bf16" else model,
        load_tokenizer(source),
        lora_config(profile),
    )


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
