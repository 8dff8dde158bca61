"""What a model is made of, from its config.json alone: every tensor with both its names and its shape.

Two kinds are known: LFM2, and Gemma 3 (text). Another one has other tensors, names and rules of quantization.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gguf
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    Lfm2Config,
    Lfm2ForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
)

from helpers.export.header import Header
from helpers.files import LabError

ELSEWHERE = "Use llama.cpp's own convert_hf_to_gguf.py, which knows more kinds."


@dataclass(frozen=True)
class Kind:
    """A kind of model: how llama.cpp and transformers call it, and its dimensions.

    `keys` gives a dimension's name in config.json, and in a GGUF behind the kind's name and a point.
    """

    arch: gguf.MODEL_ARCH
    config: type[PretrainedConfig]
    model: type[PreTrainedModel]
    keys: dict[str, str]

    @property
    def name(self) -> str:
        """llama.cpp's name: "lfm2"."""
        return gguf.MODEL_ARCH_NAMES[self.arch]


_SHARED = {
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "vocab_size": "vocab_size",
    "max_position_embeddings": "context_length",
    "num_hidden_layers": "block_count",
    "num_key_value_heads": "attention.head_count_kv",
}
_LFM2 = {"conv_L_cache": "shortconv.l_cache", "norm_eps": "attention.layer_norm_rms_epsilon"}
_GEMMA3 = {"head_dim": "attention.key_length", "rms_norm_eps": "attention.layer_norm_rms_epsilon"}
LFM2 = Kind(gguf.MODEL_ARCH.LFM2, Lfm2Config, Lfm2ForCausalLM, _SHARED | _LFM2)
GEMMA3 = Kind(gguf.MODEL_ARCH.GEMMA3, Gemma3TextConfig, Gemma3ForCausalLM, _SHARED | _GEMMA3)
KINDS = (LFM2, GEMMA3)


@dataclass(frozen=True)
class Tensor:
    """One weight: its name in the GGUF and in the safetensors, and its shape there, rows first."""

    name: str
    source: str
    stored: tuple[int, ...]
    add: int = 0  # llama.cpp's Gemma multiplies by a norm's weight, transformers' by 1 + weight

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in the GGUF, rows first: a convolution's kernels lose their dimension of 1."""
        return (self.stored[0], self.stored[2]) if len(self.stored) == 3 else self.stored

    @property
    def type(self) -> str:
        """Type in a 16-bit file: "F16", or "F32" for the norms and convolutions of llama.cpp."""
        return "F32" if len(self.stored) != 2 else "F16"


class Architecture:
    """A model as transformers builds it from its config, without weights.

    Raises ValueError: no model can be built from this config, or llama.cpp would end the process on it.
    """

    def __init__(self, kind: Kind, config: Mapping[str, Any]) -> None:
        self.kind = kind
        try:
            self.config: Any = kind.config(**config)
            with torch.device("meta"):
                model = kind.model(self.config)
        except Exception as error:  # a config.json that is noise fails in many ways
            raise ValueError(" ".join(str(error).split())) from None  # in one line
        heads, keys = self.config.num_attention_heads, self.config.num_key_value_heads
        own = kind is LFM2 and self.config.hidden_size % heads  # Gemma's heads have a width of their own
        epsilon = self.config.norm_eps if kind is LFM2 else self.config.rms_norm_eps
        if own or heads % keys or not 0 < epsilon < 1:
            raise ValueError("sizes that do not divide, or a constant out of its range")
        tied = {"lm_head.weight"} if self.config.tie_word_embeddings else set()
        names = gguf.get_tensor_name_map(kind.arch, self.config.num_hidden_layers)
        self.tensors = tuple(
            Tensor(
                str(names.get_name(source, try_suffixes=(".weight",))),
                source,
                tuple(weight.shape),
                add=int(kind is GEMMA3 and source.endswith("norm.weight")),
            )
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
    """The architecture a config.json describes; a `LabError` if it is none that is known here and to llama.cpp."""
    if not isinstance(config, Mapping):
        raise LabError("The model's config.json is not a list of settings. Save the model again.")
    names = ", ".join(map(str, config.get("architectures") or [config.get("model_type", "nothing")]))
    kind = next((kind for kind in KINDS if kind.model.__name__ in names), None)
    if kind is None:
        known = " and ".join(kind.model.__name__ for kind in KINDS)
        raise LabError(f"The model is a {names}; the export knows {known} only. {ELSEWHERE}")
    ropes = config.get("rope_parameters") or config.get("rope_scaling") or {}
    layered = [one for one in ropes.values() if isinstance(one, Mapping)]  # Gemma 3 has two, by kind of layer
    scaled = {str(one.get("rope_type", "default")) for one in layered or [ropes]} - {"default"}
    problem = (
        scaled and f"scales its rotary embedding ({', '.join(sorted(scaled))}), which is not written here"
    ) or (config.get("conv_bias") and "has convolutions with a bias, which llama.cpp's LFM2 has not")
    if problem:
        raise LabError(f"The model {problem}. {ELSEWHERE}")
    try:
        architecture = Architecture(kind, config)
    except ValueError as error:
        raise LabError(f"The model's config.json describes no model ({error}). Save it again.") from None
    if kind is GEMMA3 and not _usual_attention(architecture.config):
        raise LabError(
            f"The model's attention is not the one that llama.cpp builds for a Gemma 3. {ELSEWHERE}"
        )
    return architecture


def _usual_attention(config: Any) -> bool:
    """llama.cpp has these of a Gemma 3 in its code, and reads none of them from the file."""
    full = [kind == "full_attention" for kind in config.layer_types]
    return (
        full == [layer % 6 == 5 for layer in range(len(full))]
        and config.rope_parameters["sliding_attention"]["rope_theta"] == 10_000
        and config.query_pre_attn_scalar == config.head_dim
        and not (config.attn_logit_softcapping or config.final_logit_softcapping)
    )


def whole_architecture(header: Header) -> Architecture:
    """The architecture that a GGUF describes, all of whose tensors it holds.

    Raises LabError: it is of no kind known here, or a dimension or tensor is missing, unknown or of another shape.
    """
    data, again = header.metadata, "Delete it and export the model again."
    name = data.get("general.architecture", "GGUF of no kind")
    kind = next((kind for kind in KINDS if kind.name == name), None)
    if kind is None:
        raise LabError(f"{header.path} is a {name}, not one of {', '.join(kind.name for kind in KINDS)}.")
    try:
        config = {setting: data[f"{kind.name}.{key}"] for setting, key in kind.keys.items()}
        layers = config["num_hidden_layers"]
        if kind is LFM2:
            kv_heads = config["num_key_value_heads"]  # one a layer; 0: a convolution
            config["num_key_value_heads"] = max(kv_heads)
            config["layer_types"] = ["full_attention" if count else "conv" for count in kv_heads]
            config["rope_parameters"] = {"rope_type": "default", "rope_theta": data["lfm2.rope.freq_base"]}
            config["block_auto_adjust_ff_dim"] = False
        counted = len(config["layer_types"]) if kind is LFM2 else layers
        if not layers == counted <= len(header.tensors):
            raise ValueError("layers are counted in two ways")  # on this llama.cpp ends the process
        config["tie_word_embeddings"] = "output.weight" not in header.tensors
        architecture = Architecture(kind, config)
    except (KeyError, TypeError, ValueError) as error:
        raise LabError(f"{header.path} does not say all its dimensions ({error}). {again}") from None
    held = {name: tensor.shape for name, tensor in header.tensors.items()}
    if {tensor.name: tensor.shape for tensor in architecture.tensors} != held:
        raise LabError(f"{header.path} does not hold the tensors that its own dimensions ask for. {again}")
    return architecture
