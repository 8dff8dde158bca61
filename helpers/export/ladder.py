"""The ladder F16 … Q2_K, and which type each tensor gets on each step: llama.cpp's rules, for LFM2.

The rules are those of `llama_tensor_get_type_impl` and `tensor_type_fallback` in llama.cpp's `src/llama-quant.cpp`, as shipped with
the pinned llama-cpp-python. A test quantizes with llama.cpp itself and finds the same types.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import gguf

from helpers.export.architecture import Architecture, Tensor
from helpers.files import LabError

LADDER: dict[str, gguf.LlamaFileType] = {
    "F16": gguf.LlamaFileType.MOSTLY_F16,
    "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "Q6_K": gguf.LlamaFileType.MOSTLY_Q6_K,
    "Q5_K_M": gguf.LlamaFileType.MOSTLY_Q5_K_M,
    "Q4_K_M": gguf.LlamaFileType.MOSTLY_Q4_K_M,
    "Q2_K": gguf.LlamaFileType.MOSTLY_Q2_K,
}
# A row that is no multiple of 256 cannot hold a k-quant's blocks; these have blocks of 32.
_INSTEAD = {"Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}


@dataclass(frozen=True)
class Choice:
    """A tensor and its type on one step of the ladder."""

    tensor: Tensor
    type: str

    @property
    def bytes(self) -> int:
        """Size of its data, without the padding behind it."""
        weights, size = block_of(self.type)
        return math.prod(self.tensor.shape) // weights * size


def block_of(type_name: str) -> tuple[int, int]:
    """Weights in a block of this type, and the bytes that block takes."""
    return gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[type_name]]


def check_step(quant: str) -> gguf.LlamaFileType:
    """llama.cpp's number for a step of the ladder; a `LabError` if there is no such step."""
    if quant not in LADDER:
        steps = f"{', '.join(LADDER)}, from the largest file to the smallest"
        raise LabError(f"There is no quantization {quant!r} here. The ladder is {steps}.")
    return LADDER[quant]


def choose_types(architecture: Architecture, quant: str) -> tuple[Choice, ...]:
    """The type of every tensor, in the order of `Architecture.tensors`; a `LabError` if there is no such step."""
    check_step(quant)
    values = [tensor.name for tensor in architecture.tensors if "attn_v" in tensor.name]
    choices = []
    for tensor in architecture.tensors:
        plain = quant == "F16" or tensor.type == "F32"
        wanted = tensor.type if plain else _wanted(tensor.name, architecture, quant, values)
        choices.append(Choice(tensor, _fitting(wanted, tensor.shape[-1])))
    return tuple(choices)


def _wanted(name: str, architecture: Architecture, quant: str, values: list[str]) -> str:
    basis, config = quant.removesuffix("_M"), architecture.config
    if quant in ("Q8_0", "Q6_K"):
        return basis
    if name == "output.weight" or (config.tie_word_embeddings and name == "token_embd.weight"):
        return "Q6_K"  # the layer whose errors go straight into the logits
    if quant == "Q2_K":
        if (
            "attn_v" in name
        ):  # llama.cpp asks layer 0 for its heads a key, and an LFM2's is a convolution, which has none
            first = (
                config.num_attention_heads // config.num_key_value_heads if architecture.attention[0] else 0
            )
            return "Q4_K" if first >= 4 else "Q3_K"
        return "Q3_K" if "ffn_down" in name or "attn_output" in name else basis
    if "attn_v" in name:
        return "Q6_K" if _more_bits(values.index(name), len(values)) else basis
    if "ffn_down" in name:
        return "Q6_K" if _more_bits(int(name.split(".")[1]), architecture.layers) else basis
    return basis


def _more_bits(index: int, count: int) -> bool:
    """The "M" of Q5_K_M: more bits for the first and last eighth of the layers, and for every third between."""
    return index < count // 8 or index >= 7 * count // 8 or (index - count // 8) % 3 == 2


def _fitting(wanted: str, row: int) -> str:
    for kind in (wanted, _INSTEAD.get(wanted, wanted)):
        if row % block_of(kind)[0] == 0:
            return kind
    return "F16"
