"""What an LFM2 is made of, from its config.json alone: its dimensions, and every tensor with both its names and its shape.

Only `Lfm2ForCausalLM` is known here. Another architecture has other tensors, other names and other rules of quantization.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gguf

from helpers.files import LabError

SUPPORTED = "Lfm2ForCausalLM"
NAME = gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.LFM2]


@dataclass(frozen=True)
class Tensor:
    """One weight.

    Attributes:
        name: in the GGUF ("blk.0.ffn_up.weight").
        source: in the safetensors ("model.layers.0.feed_forward.w3.weight").
        stored: its shape in the safetensors, rows first.
    """

    name: str
    source: str
    stored: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in the GGUF, rows first: a convolution's kernels lose their dimension of 1."""
        return (self.stored[0], self.stored[2]) if len(self.stored) == 3 else self.stored

    @property
    def type(self) -> str:
        """Type in a 16-bit file: "F16", or "F32" for what llama.cpp reads in full precision only, norms and short convolutions."""
        return "F32" if len(self.stored) != 2 else "F16"


@dataclass(frozen=True)
class Architecture:
    """The dimensions of an LFM2.

    Attributes:
        hidden, feed_forward, heads, kv_heads, vocabulary, context, kernel: widths and counts; `kernel` is the convolutions' length.
        attention: for every layer, is it attention (else a gated short convolution)?
        rope_theta, norm_eps: base of the rotary embedding, epsilon of the norms.
        tied: the output layer is the embedding.
    """

    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int
    kernel: int
    attention: tuple[bool, ...]
    rope_theta: float
    norm_eps: float
    tied: bool

    def __post_init__(self) -> None:
        sizes = (
            self.hidden,
            self.feed_forward,
            self.heads,
            self.kv_heads,
            self.vocabulary,
            self.context,
            self.kernel,
            self.layers,
        )
        if min(sizes) < 1 or self.hidden % self.heads or self.heads % self.kv_heads:
            raise ValueError("sizes that do not divide, or are below 1")
        if not (
            0 < self.norm_eps < 1 and 0 < self.rope_theta < math.inf
        ):  # on another epsilon llama.cpp ends the process
            raise ValueError("a constant out of its range")

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.attention)

    @property
    def kv_heads_by_layer(self) -> list[int]:
        """Key-value heads of every layer; 0 is how llama.cpp knows a convolution."""
        return [self.kv_heads if attention else 0 for attention in self.attention]

    @cached_property
    def tensors(self) -> tuple[Tensor, ...]:
        """Every tensor, in the order of the forward pass."""
        names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LFM2, self.layers)
        found = (
            (names.get_name(source, try_suffixes=(".weight",)), source, shape)
            for source, shape in self._sources()
        )
        return tuple(Tensor(str(name), source, shape) for name, source, shape in found)

    @property
    def parameters(self) -> int:
        """Number of weights; a tied output layer counts once."""
        return sum(math.prod(tensor.stored) for tensor in self.tensors)

    def _sources(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield "model.embed_tokens.weight", (self.vocabulary, self.hidden)
        for index, attention in enumerate(self.attention):
            for part, shape in {
                **(self._attention() if attention else self._convolution()),
                **self._common(),
            }.items():
                yield f"model.layers.{index}.{part}.weight", shape
        yield "model.embedding_norm.weight", (self.hidden,)
        if not self.tied:
            yield "lm_head.weight", (self.vocabulary, self.hidden)

    def _common(self) -> dict[str, tuple[int, ...]]:
        wide, narrow = (self.feed_forward, self.hidden), (self.hidden, self.feed_forward)
        norm = (self.hidden,)
        return {
            "operator_norm": norm,
            "ffn_norm": norm,
            "feed_forward.w1": wide,
            "feed_forward.w2": narrow,
            "feed_forward.w3": wide,
        }

    def _attention(self) -> dict[str, tuple[int, ...]]:
        head = self.hidden // self.heads
        square, keys = (self.hidden, self.hidden), (self.kv_heads * head, self.hidden)
        shapes = {
            "q_proj": square,
            "k_proj": keys,
            "v_proj": keys,
            "out_proj": square,
            "q_layernorm": (head,),
            "k_layernorm": (head,),
        }
        return {f"self_attn.{part}": shape for part, shape in shapes.items()}

    def _convolution(self) -> dict[str, tuple[int, ...]]:
        in_shape, out_shape = (3 * self.hidden, self.hidden), (self.hidden, self.hidden)
        return {
            "conv.conv": (self.hidden, 1, self.kernel),
            "conv.in_proj": in_shape,
            "conv.out_proj": out_shape,
        }


def read_architecture(config: Mapping[str, Any]) -> Architecture:
    """The architecture a config.json describes, in the spellings of transformers and of the hub's older LFM2 files.

    Raises:
        LabError: it is not an LFM2, lacks a dimension, or uses an option that llama.cpp's LFM2 has not.
    """
    _check_known(config)
    rope = config.get("rope_parameters") or {}
    try:
        return Architecture(
            hidden=int(config["hidden_size"]),
            feed_forward=_feed_forward(config),
            heads=int(config["num_attention_heads"]),
            kv_heads=int(config["num_key_value_heads"]),
            vocabulary=int(config["vocab_size"]),
            context=int(config["max_position_embeddings"]),
            kernel=int(config["conv_L_cache"]),
            attention=_attention_layers(config),
            rope_theta=float(rope.get("rope_theta", config.get("rope_theta", 1e6))),
            norm_eps=float(config["norm_eps"]),
            tied=bool(config.get("tie_embedding", config.get("tie_word_embeddings", True))),
        )
    except KeyError as error:
        raise LabError(
            f"The model's config.json has no {error.args[0]!r}, so its tensors' sizes are unknown. Save the model again."
        ) from None
    except (TypeError, ValueError) as error:
        raise LabError(
            f"The model's config.json holds what cannot be a size ({error}). Save the model again."
        ) from None


def _check_known(config: Mapping[str, Any]) -> None:
    if not isinstance(config, Mapping):
        raise LabError("The model's config.json is not a list of settings. Save the model again.")
    names = config.get("architectures") or [config.get("model_type", "nothing")]
    if SUPPORTED not in names:
        raise LabError(
            f"The model is a {', '.join(map(str, names))}; the export knows {SUPPORTED} only. "
            "For another architecture use llama.cpp's own convert_hf_to_gguf.py."
        )
    rope = (config.get("rope_parameters") or config.get("rope_scaling") or {}).get("rope_type", "default")
    if rope != "default":
        raise LabError(
            f"The model scales its rotary embedding ({rope!r}), which the export does not write. Use convert_hf_to_gguf.py."
        )
    if config.get("conv_bias"):
        raise LabError(
            "The model's convolutions have a bias, and llama.cpp's LFM2 has no place for one: it would answer differently."
        )


def _feed_forward(config: Mapping[str, Any]) -> int:
    """The real width: LFM2's config gives one to be cut to two thirds and rounded up (`Lfm2MLP` in transformers)."""
    width = int(config.get("block_ff_dim") or config["intermediate_size"])
    if not config.get("block_auto_adjust_ff_dim", True):
        return width
    width, multiple = int(2 * width / 3), int(config.get("block_multiple_of", 256))
    if (factor := config.get("block_ffn_dim_multiplier", 1.0)) is not None:
        width = int(factor * width)
    return multiple * ((width + multiple - 1) // multiple)


def _attention_layers(config: Mapping[str, Any]) -> tuple[bool, ...]:
    count = int(config["num_hidden_layers"])
    if (types := config.get("layer_types")) is not None:
        if len(types) != count:
            raise ValueError(f"{len(types)} layer_types for {count} layers")
        return tuple(name != "conv" for name in types)
    indices = config.get("full_attn_idxs")
    return tuple(indices is None or index in indices for index in range(count))
