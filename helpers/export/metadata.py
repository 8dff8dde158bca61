"""Everything in a GGUF that is not a weight: dimensions, name, vocabulary, special tokens, chat template.

Two things are said that llama.cpp would otherwise guess: whether a BOS is put before a text, and whether an
EOS after it. The guess for an LFM2 is "BOS, yes", and a template that writes its own BOS then gets two.
"""

import logging
from pathlib import Path
from typing import Any

import gguf
import yaml

from helpers.export.architecture import ELSEWHERE, NAME, Architecture
from helpers.files import LabError, read_json
from helpers.train import load_tokenizer

# Llama 3's way of cutting a text before the merges.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def architecture_metadata(architecture: Architecture) -> gguf.GGUFWriter:
    """A writer that holds the keys which follow from config.json, for a file of 16-bit weights."""
    writer, config = gguf.GGUFWriter(None, NAME), architecture.config
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    widths = (tensor.stored[0] for tensor in architecture.tensors if ".w1." in tensor.source)
    writer.add_feed_forward_length(next(widths))  # transformers may cut the config's number to two thirds
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
    by_id = {index: token for token, index in tokenizer.get_vocab().items()}
    size, last, added = architecture.config.vocab_size, max(by_id), tokenizer.added_tokens_decoder
    if last >= size:
        raise LabError(f"The tokenizer in {folder} has ids up to {last:,}, and config.json ends at {size:,}.")
    writer.add_tokenizer_model("gpt2")  # byte-level BPE
    writer.add_tokenizer_pre("lfm2")  # llama.cpp's name for `SPLIT` in an LFM2
    # ids without a token are unused, as llama.cpp has it
    writer.add_token_list([by_id.get(index, f"[PAD{index}]") for index in range(size)])
    writer.add_token_types([_kind(by_id.get(index), added.get(index)) for index in range(size)])
    special = gguf.SpecialVocab(folder, load_merges=True, n_vocab=size)
    ids = tokenizer("a").input_ids  # what it does decides, whatever its files say
    special.add_special_token["bos"] = ids[0] == tokenizer.bos_token_id
    special.add_special_token["eos"] = ids[-1] == tokenizer.eos_token_id
    if not special.chat_template:
        what = f"The tokenizer in {folder} has no chat template, so nothing can ask it"
        raise LabError(f"{what}. Save it again.")
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


def _kind(token: str | None, added: Any) -> gguf.TokenType:
    if token is None:
        return gguf.TokenType.UNUSED
    if added is None:
        return gguf.TokenType.NORMAL
    special = added.special or (token.startswith("<|") and token.endswith("|>"))
    return gguf.TokenType.CONTROL if special else gguf.TokenType.USER_DEFINED
