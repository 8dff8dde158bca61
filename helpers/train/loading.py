"""Load a base model, put LoRA on it, and merge it back: two engines behind the same functions.

`transformers` is the plain road (CPU and GPU); `unsloth` is imported only when a profile asks for it.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)

from helpers.files import LabError, read_json, write_json
from helpers.train.engine import import_unsloth
from helpers.train.fast import keep_few_kernels, keep_freed_memory
from helpers.train.hardware import choose_hardware
from helpers.train.profiles import LORA_TARGETS, Profile


@contextmanager
def explained(source: Any) -> Iterator[None]:
    """Turn a library's error about a model that cannot be fetched or read into one that says what to do."""
    try:
        yield
    except (OSError, ValueError, SafetensorError) as error:
        if Path(str(source)).is_dir():
            raise LabError(
                f"The model in {source} cannot be read ({type(error).__name__}). "
                "Restore it with `git checkout`, or delete the stage, and run again."
            ) from error
        raise LabError(
            f"Could not fetch {source} ({type(error).__name__}): no network, no such model, or a licence to "
            "accept on the hub first. "
            "Check the connection, or set TRIAGE_PROFILE=nano, which needs no download."
        ) from error


def working_dtype() -> torch.dtype:
    """The number format of a model's weights on this machine: float32 on a CPU, half precision on a GPU."""
    hardware = choose_hardware()
    if hardware.device == "cpu":
        return torch.float32
    return torch.bfloat16 if hardware.precision == "bf16" else torch.float16


def load_tokenizer(source: Any) -> PreTrainedTokenizerBase:
    """The tokenizer of a stage, folder, hub id or `LoadedModel`; a `LabError` if it cannot be had."""
    if isinstance(source, LoadedModel):
        return source.tokenizer
    with explained(source):
        return AutoTokenizer.from_pretrained(str(source))


def load_model(source: Any, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """A model for generation or training, on this machine's device, in `dtype` or else `working_dtype()`.

    Raises LabError: it cannot be fetched or read.
    """
    hardware, dtype = choose_hardware(), dtype or working_dtype()
    if hardware.device == "cpu":
        keep_freed_memory()
    if isinstance(source, LoadedModel):
        return copy.deepcopy(source.model).to(dtype)
    with explained(source):
        model = AutoModelForCausalLM.from_pretrained(
            str(source), dtype=dtype, attn_implementation=hardware.attention, use_safetensors=True
        )
    keep_few_kernels(model)
    return model.to(hardware.device)


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory with its tokenizer; it can be passed wherever a folder can."""

    model: Any
    tokenizer: Any


def load(profile: Profile, base: Any = None, seed: int = 0) -> tuple[Any, PreTrainedTokenizerBase]:
    """A base model with a fresh LoRA adapter on it, ready for a TRL trainer: PEFT's, or Unsloth's where the
    profile asks for it.

    Args:
        profile: its engine, its LoRA sizes and, where `base` is not given, its base.
        base: stage, folder, hub id or `LoadedModel`. seed: of the adapter's random half.

    Raises:
        LabError: the base cannot be fetched or read, or Unsloth is not installed.
    """
    source = base or profile.base
    sizes = {"r": profile.lora["r"], "lora_alpha": profile.lora["alpha"], "lora_dropout": 0.0}
    set_seed(seed)
    if profile.engine == "unsloth":
        FastLanguageModel = import_unsloth()
        with explained(source):
            model, tokenizer = FastLanguageModel.from_pretrained(
                str(source), max_seq_length=profile.max_length, load_in_4bit=False, load_in_16bit=True
            )
        model = FastLanguageModel.get_peft_model(
            model,
            target_modules=list(LORA_TARGETS[model.config.model_type]),  # each family's own names
            random_state=seed,
            use_gradient_checkpointing="unsloth",
            **sizes,
        )
    else:
        model, tokenizer = load_model(source), load_tokenizer(source)
        if choose_hardware().precision == "bf16":
            model = model.to(
                torch.bfloat16
            )  # frozen weights: the products are the same, and no step casts them again
        targets = list(LORA_TARGETS[model.config.model_type])  # each family's own names
        # Below the first of them no gradient is computed, which saves a large part of a step's time.
        layers = list(range(profile.lora.get("first_layer", 0), model.config.num_hidden_layers))
        model = get_peft_model(
            model,
            LoraConfig(target_modules=targets, layers_to_transform=layers, task_type="CAUSAL_LM", **sizes),
        )
    model.source = source  # what `merged` and `lab.keep` fold the adapter into, in full precision
    return model, tokenizer


def base_of(model: PeftModel) -> Any:
    """What an adapter was put on: stage, folder, hub id or `LoadedModel`."""
    return getattr(model, "source", None) or model.peft_config["default"].base_model_name_or_path


def merged(trainer: Any) -> LoadedModel:
    """What a trainer has learnt, folded into its base in memory: `evaluate` takes it like a folder."""
    whole = folded(trainer.model).to(working_dtype())
    return LoadedModel(whole.eval(), trainer.processing_class)


def merge_and_save(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    out: Path,
    profile: Profile,
    adapter: dict[str, torch.Tensor] | None = None,
) -> None:
    """Fold LoRA into the base's weights and save a whole model, which can be loaded, exported or trained on.

    `adapter`: its weights, where `model` holds a part of them only (`trainer.adapter()`).
    """
    folded(model, adapter).to(getattr(torch, profile.save_dtype)).save_pretrained(out)
    save_tokenizer(tokenizer, out)


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """Save a tokenizer so that transformers 4, and what is built on it, can read it too.

    transformers 5 writes a class and a field that only itself knows (transformers#47553).
    """
    tokenizer.save_pretrained(out)
    config = read_json(out / "tokenizer_config.json")
    if config["tokenizer_class"] == "TokenizersBackend":
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        config["additional_special_tokens"] = config.pop("extra_special_tokens", [])
    here = ("backend", "is_local", "local_files_only")  # of the machine that saved it
    write_json(out / "tokenizer_config.json", {key: v for key, v in config.items() if key not in here})


def folded(trained: PeftModel, adapter: dict[str, torch.Tensor] | None = None) -> PreTrainedModel:
    """The trained adapter folded into its base in float32: in 16 bits small changes are lost (peft#1388)."""
    fresh = get_peft_model(load_model(base_of(trained), torch.float32), trained.peft_config["default"])
    set_peft_model_state_dict(fresh, adapter or get_peft_model_state_dict(trained))
    return fresh.merge_and_unload()
