"""What an LFM2 is made of, from its config.json alone: every tensor with both its names and its shape.

Only `Lfm2ForCausalLM` is known here: another architecture has other tensors, names and rules of quantization.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gguf
import torch
from transformers import Lfm2Config, Lfm2ForCausalLM

from helpers.export.header import Header
from helpers.files import LabError

NAME = gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.LFM2]
ELSEWHERE = "Use llama.cpp's own convert_hf_to_gguf.py, which knows more kinds."
_KEYS = {  # a dimension's name in config.json, and in a GGUF behind "lfm2."
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "vocab_size": "vocab_size",
    "max_position_embeddings": "context_length",
    "conv_L_cache": "shortconv.l_cache",
    "norm_eps": "attention.layer_norm_rms_epsilon",
}


@dataclass(frozen=True)
class Tensor:
    """One weight: its name in the GGUF and in the safetensors, and its shape there, rows first."""

    name: str
    source: str
    stored: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in the GGUF, rows first: a convolution's kernels lose their dimension of 1."""
        return (self.stored[0], self.stored[2]) if len(self.stored) == 3 else self.stored

    @property
    def type(self) -> str:
        """Type in a 16-bit file: "F16", or "F32" for the norms and convolutions of llama.cpp."""
        return "F32" if len(self.stored) != 2 else "F16"


class Architecture:
    """An LFM2 as transformers builds it from its config, without weights.

    Raises ValueError: no model can be built from this config, or llama.cpp would end the process on it.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        try:
            self.config = Lfm2Config(**config)
            with torch.device("meta"):
                model = Lfm2ForCausalLM(self.config)
        except Exception as error:  # a config.json that is noise fails in many ways
            raise ValueError(" ".join(str(error).split())) from None  # in one line
        heads, keys = self.config.num_attention_heads, self.config.num_key_value_heads
        if self.config.hidden_size % heads or heads % keys or not 0 < self.config.norm_eps < 1:
            raise ValueError("sizes that do not divide, or a constant out of its range")
        tied = {"lm_head.weight"} if self.config.tie_word_embeddings else set()
        names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LFM2, self.config.num_hidden_layers)
        self.tensors = tuple(
            Tensor(str(names.get_name(source, try_suffixes=(".weight",))), source, tuple(weight.shape))
            for source, weight in model.state_dict().items()
            if source not in tied
        )

    @property
    def attention(self) -> list[bool]:
        """For every layer, is it attention (else a gated short convolution)?"""
        return [kind != "conv" for kind in self.config.layer_types]

    @property
    def parameters(self) -> int:
        """Number of weights; a tied output layer counts once."""
        return sum(math.prod(tensor.stored) for tensor in self.tensors)


def read_architecture(config: Mapping[str, Any]) -> Architecture:
    """The architecture a config.json describes; a `LabError` if it is no LFM2 that llama.cpp can run."""
    if not isinstance(config, Mapping):
        raise LabError("The model's config.json is not a list of settings. Save the model again.")
    names = ", ".join(map(str, config.get("architectures") or [config.get("model_type", "nothing")]))
    rope = (config.get("rope_parameters") or config.get("rope_scaling") or {}).get("rope_type", "default")
    problem = (
        ("Lfm2ForCausalLM" not in names and f"is a {names}; the export knows Lfm2ForCausalLM only")
        or (rope != "default" and f"scales its rotary embedding ({rope!r}), which is not written here")
        or (config.get("conv_bias") and "has convolutions with a bias, which llama.cpp's LFM2 has not")
    )
    if problem:
        raise LabError(f"The model {problem}. {ELSEWHERE}")
    try:
        return Architecture(config)
    except ValueError as error:
        raise LabError(f"The model's config.json describes no model ({error}). Save it again.") from None


def whole_architecture(header: Header) -> Architecture:
    """The architecture that a GGUF describes, all of whose tensors it holds.

    Raises LabError: it is no LFM2, or a dimension or tensor is missing, unknown or of another shape.
    """
    data, again = header.metadata, "Delete it and export the model again."
    if (kind := data.get("general.architecture", "GGUF of no kind")) != NAME:
        raise LabError(f"{header.path} is a {kind}, not an LFM2.")
    try:
        kv_heads = data["lfm2.attention.head_count_kv"]
        if not data["lfm2.block_count"] == len(kv_heads) <= len(header.tensors):
            raise ValueError("layers are counted in two ways")  # on this llama.cpp ends the process
        config = {name: data[f"lfm2.{key}"] for name, key in _KEYS.items()}
        config["num_key_value_heads"], config["num_hidden_layers"] = max(kv_heads), len(kv_heads)
        config["layer_types"] = ["full_attention" if count else "conv" for count in kv_heads]
        config["rope_parameters"] = {"rope_type": "default", "rope_theta": data["lfm2.rope.freq_base"]}
        config["tie_word_embeddings"] = "output.weight" not in header.tensors
        architecture = Architecture(config | {"block_auto_adjust_ff_dim": False})
    except (KeyError, TypeError, ValueError) as error:
        raise LabError(f"{header.path} does not say all its dimensions ({error}). {again}") from None
    held = {name: tensor.shape for name, tensor in header.tensors.items()}
    if {tensor.name: tensor.shape for tensor in architecture.tensors} != held:
        raise LabError(f"{header.path} does not hold the tensors that its own dimensions ask for. {again}")
    return architecture
