"""Everything in a GGUF that is not a weight: dimensions, name, vocabulary, special tokens, chat template.

Two things are said that llama.cpp would otherwise guess: whether a BOS is put before a text, and whether an
EOS after it. The guess for an LFM2 is "BOS, yes", and a template that writes its own BOS then gets two.
"""

import logging
from pathlib import Path
from typing import Any

import gguf
import yaml
from transformers import PreTrainedTokenizerBase

from helpers.export.architecture import ELSEWHERE, LFM2, Architecture
from helpers.files import LabError, read_json
from helpers.train import load_tokenizer

# Llama 3's way of cutting a text before the merges.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def architecture_metadata(architecture: Architecture) -> gguf.GGUFWriter:
    """A writer that holds the keys which follow from config.json, for a file of 16-bit weights."""
    writer, config = gguf.GGUFWriter(None, architecture.kind.name), architecture.config
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    if architecture.kind is LFM2:
        writer.add_type(gguf.GGUFType.MODEL)
        widths = (tensor.stored[0] for tensor in architecture.tensors if ".w1." in tensor.source)
        writer.add_feed_forward_length(next(widths))  # transformers may cut the config's number to two thirds
        keys = config.num_key_value_heads
        writer.add_head_count_kv([keys * one for one in architecture.attention])  # 0: a convolution
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        writer.add_layer_norm_rms_eps(config.norm_eps)
        writer.add_shortconv_l_cache(config.conv_L_cache)
    else:
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
        writer.add_rope_freq_base(config.rope_parameters["full_attention"]["rope_theta"])
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_sliding_window(config.sliding_window)
    return writer


def folder_metadata(folder: Path, architecture: Architecture) -> gguf.GGUFWriter:
    """A writer that holds all keys of a model: its architecture's, an LFM2's card's, and its tokenizer's.

    Raises LabError: the tokenizer is missing, damaged, not of its kind, or larger than the vocabulary.
    """
    logging.getLogger("gguf").setLevel(logging.ERROR)  # it explains every key it writes
    writer = architecture_metadata(architecture)
    if architecture.kind is LFM2:
        _add_card(writer, folder, architecture.parameters)
        _add_byte_level_tokenizer(writer, folder, architecture.config.vocab_size)
    else:
        _add_sentencepiece_tokenizer(writer, folder, architecture.config.vocab_size)
    return writer


def _add_card(writer: gguf.GGUFWriter, folder: Path, parameters: int) -> None:
    try:
        card = gguf.Metadata.load(None, folder, None, parameters)
        card.size_label = card.size_label or gguf.size_label(parameters, parameters, 0, 0)
        card.set_gguf_meta_model(writer)
    except (ValueError, yaml.YAMLError) as error:
        how = f"cannot be read ({type(error).__name__}). Mend its head, or remove it."
        raise LabError(f"The model card {folder / 'README.md'} {how}") from None


def metadata_bytes(writer: gguf.GGUFWriter) -> int:
    """Bytes that the writer's keys and values take in the file (the GGUF specification, version 3)."""
    keys = writer.kv_data[0]
    packed = (writer._pack_val(one.value, one.type, add_vtype=True) for one in keys.values())
    return sum(8 + len(key.encode()) for key in keys) + sum(map(len, packed))


def _add_byte_level_tokenizer(writer: gguf.GGUFWriter, folder: Path, size: int) -> None:
    _check_split(folder)
    tokenizer, by_id = _read_tokenizer(folder, size)
    added = tokenizer.added_tokens_decoder
    writer.add_tokenizer_model("gpt2")  # byte-level BPE
    writer.add_tokenizer_pre("lfm2")  # llama.cpp's name for `SPLIT` in an LFM2
    # ids without a token are unused, as llama.cpp has it
    writer.add_token_list([by_id.get(index, f"[PAD{index}]") for index in range(size)])
    writer.add_token_types([_kind(by_id.get(index), added.get(index)) for index in range(size)])
    special = gguf.SpecialVocab(folder, load_merges=True, n_vocab=size)
    ids = tokenizer("a").input_ids  # what it does decides, whatever its files say
    special.add_special_token["bos"] = ids[0] == tokenizer.bos_token_id
    special.add_special_token["eos"] = ids[-1] == tokenizer.eos_token_id
    special.add_to_gguf(writer, quiet=True)


def _add_sentencepiece_tokenizer(writer: gguf.GGUFWriter, folder: Path, size: int) -> None:
    """Gemma's. SentencePiece's scores are the order of the merges, which is the order of the ids."""
    tokenizer, by_id = _read_tokenizer(folder, size)
    added = tokenizer.added_tokens_decoder
    if read_json(folder / "tokenizer.json")["model"].get("byte_fallback") is not True:
        raise LabError(f"The tokenizer in {folder} does not cut texts as Gemma's does. {ELSEWHERE}")
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([by_id.get(index, f"[PAD{index}]") for index in range(size)])
    writer.add_token_scores([-float(index) for index in range(size)])
    kinds = [_kind(by_id.get(index), added.get(index)) for index in range(size)]
    for index, token in by_id.items():
        if token.startswith("<0x") and index not in added:
            kinds[index] = gguf.TokenType.BYTE  # what no token covers is said byte by byte
    writer.add_token_types(kinds)
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_unk_token_id(tokenizer.unk_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(False)  # the chat template writes its own
    writer.add_add_space_prefix(False)
    writer.add_chat_template(tokenizer.chat_template)


def _read_tokenizer(folder: Path, size: int) -> tuple[PreTrainedTokenizerBase, dict[int, str]]:
    """The tokenizer of a folder, and its tokens by id: all below `size`, with a chat template to be asked by."""
    tokenizer = load_tokenizer(folder)
    by_id = {index: token for token, index in tokenizer.get_vocab().items()}
    if (last := max(by_id)) >= size:
        raise LabError(f"The tokenizer in {folder} has ids up to {last:,}, and config.json ends at {size:,}.")
    if not tokenizer.chat_template:
        what = f"The tokenizer in {folder} has no chat template, so nothing can ask it"
        raise LabError(f"{what}. Save it again.")
    return tokenizer, by_id


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
