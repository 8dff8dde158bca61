"""A Gemma 3 folder as one GGUF, tensor by tensor. `helpers.export` knows LFM2 only: other tensors, other names."""

from contextlib import closing
from pathlib import Path

import gguf
from safetensors import safe_open
from tokenizers import AddedToken
from transformers import AutoConfig, AutoTokenizer, Gemma3TextConfig, PreTrainedTokenizerBase

from helpers.files import LabError, arriving


def write_gguf(folder: str | Path, out: Path) -> Path:
    """Write the model in `folder` (one safetensors file) as a 16-bit GGUF; llama.cpp quantizes it from there.

    Raises LabError: no Gemma 3, or the disk is full. Nothing half-made is left.
    """
    config = AutoConfig.from_pretrained(str(folder))
    if not isinstance(config, Gemma3TextConfig):
        what = f"{folder} holds a {config.model_type}; this writes Gemma 3"
        raise LabError(f"{what}. Use `helpers.export` for LFM2.")
    if config.query_pre_attn_scalar != config.head_dim:
        raise LabError(f"{folder} scales its attention in a way that llama.cpp does not know.")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GEMMA3, config.num_hidden_layers)
    with arriving(out) as path, closing(gguf.GGUFWriter(path, "gemma3")) as writer:
        _add_dimensions(writer, config)
        _add_tokenizer(writer, AutoTokenizer.from_pretrained(str(folder)))
        with safe_open(Path(folder) / "model.safetensors", "pt") as weights:
            for source in weights.keys():  # noqa: SIM118
                if source == "lm_head.weight":  # the embedding again
                    continue
                weight = weights.get_tensor(source)
                # llama.cpp's Gemma multiplies by the norm's weight, transformers' by 1 + weight
                weight = weight.float() + 1 if source.endswith("norm.weight") else weight.half()
                writer.add_tensor(names.get_name(source, try_suffixes=(".weight",)), weight.numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    return out


def _add_dimensions(writer: gguf.GGUFWriter, config: Gemma3TextConfig) -> None:
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["full_attention"]["rope_theta"])
    writer.add_sliding_window(config.sliding_window)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: PreTrainedTokenizerBase) -> None:
    """SentencePiece's scores are the order of the merges, which is the order of the ids."""
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    added = tokenizer.added_tokens_decoder
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(number) for number in range(len(tokens))])
    writer.add_token_types([_kind(token, added.get(number)) for number, token in enumerate(tokens)])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_unk_token_id(tokenizer.unk_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(False)  # the chat template writes its own
    writer.add_add_space_prefix(False)
    writer.add_chat_template(tokenizer.chat_template)


def _kind(token: str, added: AddedToken | None) -> gguf.TokenType:
    if added is not None:
        return gguf.TokenType.CONTROL if added.special else gguf.TokenType.USER_DEFINED
    return gguf.TokenType.BYTE if token.startswith("<0x") else gguf.TokenType.NORMAL
