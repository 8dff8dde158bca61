"""Everything in a GGUF that is not a weight: dimensions, name, vocabulary, special tokens, chat template.

Two things are said that llama.cpp would otherwise guess: whether a BOS is put before a text, and whether an
EOS after it. The guess for an LFM2 is "BOS, yes", and a template that writes its own BOS then gets two.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import yaml

from helpers.export.architecture import ELSEWHERE, NAME, Architecture
from helpers.files import LabError, read_json
from helpers.train import load_tokenizer

# Llama 3's way of cutting a text before the merges; "lfm2" is llama.cpp's name for it in an LFM2.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PRE_TOKENIZER = "lfm2"


def architecture_metadata(architecture: Architecture) -> gguf.GGUFWriter:
    """A writer that holds the keys which follow from config.json, for a file of 16-bit weights."""
    writer, config = gguf.GGUFWriter(None, NAME), architecture.config
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(architecture.feed_forward)
    writer.add_head_count(config.num_attention_heads)
    keys = config.num_key_value_heads
    writer.add_head_count_kv([keys * attention for attention in architecture.attention])  # 0: a convolution
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_shortconv_l_cache(config.conv_L_cache)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    return writer


def folder_metadata(folder: Path, architecture: Architecture) -> gguf.GGUFWriter:
    """A writer that holds all keys of a model: its architecture's, its card's, and its tokenizer's.

    Raises LabError: the tokenizer is missing, damaged, not of LFM2's kind, or larger than the vocabulary.
    """
    logging.getLogger("gguf").setLevel(logging.ERROR)  # it explains every key it writes
    writer = architecture_metadata(architecture)
    parameters = architecture.parameters
    try:
        card = gguf.Metadata.load(None, folder, None, parameters)
        card.size_label = card.size_label or gguf.size_label(parameters, parameters, 0, 0)
        card.set_gguf_meta_model(writer)
    except (ValueError, yaml.YAMLError) as error:
        how = f"cannot be read ({type(error).__name__}). Mend its head, or remove it."
        raise LabError(f"The model card {folder / 'README.md'} {how}") from None
    _add_tokenizer(writer, folder, architecture)
    return writer


def metadata_bytes(writer: gguf.GGUFWriter) -> int:
    """Bytes that the writer's keys and values take in the file (the GGUF specification, version 3)."""
    keys = writer.kv_data[0]
    packed = (writer._pack_val(one.value, one.type, add_vtype=True) for one in keys.values())
    return sum(8 + len(key.encode()) for key in keys) + sum(map(len, packed))


def _add_tokenizer(writer: gguf.GGUFWriter, folder: Path, architecture: Architecture) -> None:
    _check_split(folder)
    tokenizer = load_tokenizer(folder)
    tokens, types = _tokens(tokenizer, architecture.config.vocab_size, folder)
    writer.add_tokenizer_model("gpt2")  # byte-level BPE
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    special = gguf.SpecialVocab(folder, load_merges=True, n_vocab=architecture.config.vocab_size)
    ids = tokenizer("a").input_ids  # what it does decides, whatever its files say
    ends = {"bos": ids[0] == tokenizer.bos_token_id, "eos": ids[-1] == tokenizer.eos_token_id}
    special.add_special_token |= ends
    if not special.chat_template:
        raise LabError(
            f"The tokenizer in {folder} has no chat template, so nothing can ask it. Save it again."
        )
    special.add_to_gguf(writer, quiet=True)


def _check_split(folder: Path) -> None:
    """llama.cpp cuts texts by rules it knows by name; the wrong name gives other tokens without any error."""
    tokenizer = read_json(folder / "tokenizer.json")
    before = tokenizer.get("pre_tokenizer") or {}
    steps = before.get("pretokenizers", [before])
    patterns = [step.get("pattern", {}).get("Regex") for step in steps if step.get("type") == "Split"]
    kinds = tokenizer.get("model", {}).get("type"), steps[-1].get("type")
    if kinds != ("BPE", "ByteLevel") or patterns != [SPLIT]:
        raise LabError(f"The tokenizer in {folder} does not cut texts as LFM2's does. {ELSEWHERE}")


def _tokens(tokenizer: Any, size: int, folder: Path) -> tuple[list[str], Sequence[gguf.TokenType]]:
    """Text and kind of every token id below `size`; ids without a token are unused, as llama.cpp has it."""
    by_id = {index: token for token, index in tokenizer.get_vocab().items()}
    if (last := max(by_id)) >= size:
        raise LabError(f"The tokenizer in {folder} has ids up to {last:,}, and config.json ends at {size:,}.")
    added, ids = tokenizer.added_tokens_decoder, range(size)
    return [by_id.get(one, f"[PAD{one}]") for one in ids], [_kind(one, by_id, added) for one in ids]


def _kind(index: int, by_id: dict[int, str], added: dict[int, Any]) -> gguf.TokenType:
    if index not in by_id:
        return gguf.TokenType.UNUSED
    if index not in added:
        return gguf.TokenType.NORMAL
    looks_special = by_id[index].startswith("<|") and by_id[index].endswith("|>")
    return gguf.TokenType.CONTROL if added[index].special or looks_special else gguf.TokenType.USER_DEFINED
