"""The ladder F16 … Q2_K: which type each tensor gets on each step, and how large the file will be.

The types follow llama.cpp's rules for LFM2 and Gemma 3: `llama_tensor_get_type_impl` and `tensor_type_fallback` of its
`src/llama-quant.cpp`, as shipped with the pinned llama-cpp-python. A test quantizes with llama.cpp itself.

All sizes follow from config.json and the step, except the tokenizer's and the model's name, which take the same
space on every step.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf
from gguf.quants import quant_shape_to_byte_shape

from helpers.export.architecture import Architecture, Tensor, read_architecture
from helpers.export.metadata import architecture_metadata, folder_metadata, metadata_bytes
from helpers.files import DATA, LabError, read_json

LARGE = DATA / "lfm2.5-1.2b.json"
LADDER = {
    step: gguf.LlamaFileType[f"MOSTLY_{step}"] for step in ("F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q2_K")
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
        return math.prod(quant_shape_to_byte_shape(self.tensor.shape, gguf.GGMLQuantizationType[self.type]))


def choose_types(architecture: Architecture, quant: str) -> tuple[Choice, ...]:
    """The type of every tensor, in the architecture's order; a `LabError` if there is no such step."""
    if quant not in LADDER:
        raise LabError(f"There is no quantization {quant!r} here. The ladder is {', '.join(LADDER)}.")
    return tuple(Choice(tensor, _type_of(tensor, architecture, quant)) for tensor in architecture.tensors)


def _type_of(tensor: Tensor, architecture: Architecture, quant: str) -> str:
    if quant == "F16" or tensor.type == "F32":
        return tensor.type
    wanted, row = _wanted(tensor.name, architecture, quant), tensor.shape[-1]
    for kind in (wanted, _INSTEAD.get(wanted, wanted)):
        if row % gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]][0] == 0:
            return kind
    return "F16"


def _wanted(name: str, architecture: Architecture, quant: str) -> str:
    basis, config = quant.removesuffix("_M"), architecture.config
    if quant in ("Q8_0", "Q6_K"):
        return basis
    if name == "output.weight" or (config.tie_word_embeddings and name == "token_embd.weight"):
        return "Q6_K"  # the layer whose errors go straight into the logits
    if quant == "Q2_K":
        if "attn_v" in name:  # llama.cpp asks layer 0 for its heads a key; a convolution has none
            heads_a_key = config.num_attention_heads // config.num_key_value_heads
            return "Q4_K" if architecture.attention[0] and heads_a_key >= 4 else "Q3_K"
        return "Q3_K" if "ffn_down" in name or "attn_output" in name else basis
    if "attn_v" not in name and "ffn_down" not in name:
        return basis
    # The "M" of Q5_K_M: more bits for the first and last eighth of such layers, and every third between.
    part = name.split(".")[2]
    alike = [one.name for one in architecture.tensors if part in one.name]
    index, eighth = alike.index(name), len(alike) // 8
    more_bits = index < eighth or index >= 7 * len(alike) // 8 or (index - eighth) % 3 == 2
    return "Q6_K" if more_bits else basis


@dataclass(frozen=True)
class Prediction:
    """A file that is not there yet: its size, number of weights, and what each tensor becomes."""

    bytes: int
    parameters: int
    tensors: tuple[Choice, ...]

    @property
    def bits_per_weight(self) -> float:
        """Mean bits a weight, over the weights alone."""
        return 8 * sum(choice.bytes for choice in self.tensors) / self.parameters


def predict_folder(folder: str | Path, quant: str) -> Prediction:
    """The file that `export(folder, …, quant)` would write, to the byte; no weight is read. Its errors."""
    architecture = read_architecture(read_json(Path(folder) / "config.json"))
    return _predict(architecture, quant, metadata_bytes(folder_metadata(Path(folder), architecture)))


def predict_large(quant: str) -> Prediction:
    """LFM2.5-1.2B on a step of the ladder, with the space its tokenizer, name and licence take."""
    described = read_json(LARGE)
    architecture = read_architecture(described["config"])
    keys = metadata_bytes(architecture_metadata(architecture)) + described["other_bytes"]
    return _predict(architecture, quant, keys)


def _predict(architecture: Architecture, quant: str, keys: int) -> Prediction:
    choices = choose_types(architecture, quant)
    return Prediction(file_bytes(choices, keys), architecture.parameters, choices)


def file_bytes(choices: Sequence[Choice], keys: int) -> int:
    """Size of a GGUF with these tensors, and keys and values of `keys` bytes."""
    # a line in the list of tensors: name, number of dimensions, dimensions, type, place
    lines = (8 + len(one.tensor.name.encode()) + 4 + 8 * len(one.tensor.shape) + 4 + 8 for one in choices)
    # before the keys: magic, version, number of tensors, number of keys
    parts = [24 + keys + sum(lines), *(choice.bytes for choice in choices)]
    return sum(gguf.GGUFWriter.ggml_pad(part, gguf.GGUF_DEFAULT_ALIGNMENT) for part in parts)
