"""Trim the vocabulary of a language model to what a language needs: a phone that speaks Spanish needs no Korean.

BPE builds a token by merging two tokens, again and again. A kept token is reachable only if the tokens on the
way to it are kept, so all of these stay. Then every text that was counted is cut into the same tokens as
before, and any other text still comes back whole from its tokens; it may take more of them.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable

from tokenizers import Tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from helpers.files import LabError


def needed(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str], also: Collection[str] = ()) -> list[int]:
    """Ids of the tokens that `texts` are cut into, of all tokens on the way to them, and of what must never go.

    Args:
        texts: any language; what they need is kept.
        also: special tokens to keep, beside BOS, EOS, padding and unknown.

    Returns:
        Ids in ascending order. Single characters of the kept tokens and the 256 bytes are among them.
    """
    whole = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    ids = whole["vocab"]
    ways: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for left, right in map(tuple, whole["merges"]):
        ways[left + right].append((left, right))
    special = [tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token, *also]
    names = dict(zip(ids.values(), ids, strict=True))
    cut = tokenizer.backend_tokenizer.encode_batch(list(texts), add_special_tokens=False)
    waiting = {token for row in cut for token in row.tokens} & ids.keys()
    waiting |= {names[number] for number in _bytes(ids)}
    kept: set[str] = set()
    while waiting:
        token = waiting.pop()
        kept.add(token)
        waiting |= {part for way in ways[token] for part in way} - kept
    every = tokenizer.get_vocab()
    return sorted({every[token] for token in kept} | {every[token] for token in special if token})


def _bytes(ids: dict[str, int]) -> list[int]:
    """The tokens for single bytes: `<0x41>` where BPE falls back on them, else the alphabet of byte-level BPE."""
    fallback = [ids[f"<0x{byte:02X}>"] for byte in range(256) if f"<0x{byte:02X}>" in ids]
    return fallback or [number for token, number in ids.items() if len(token) == 1]


def trim(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, keep: Collection[int]
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A model and a tokenizer that know the tokens `keep` (ids of `needed`) and no others, in their old order.

    The rows of the embedding and of the output layer are copied; for a text made of kept tokens, the logits of
    kept tokens are the old ones.

    Raises LabError: the tokenizer is no BPE, or a token that it cannot do without is not kept.
    """
    return _fewer_rows(model, sorted(keep)), _fewer_tokens(tokenizer, sorted(keep))


def _fewer_tokens(tokenizer: PreTrainedTokenizerFast, keep: list[int]) -> PreTrainedTokenizerFast:
    place = {number: index for index, number in enumerate(keep)}
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    if parts["model"]["type"] != "BPE":
        raise LabError(f"This tokenizer is a {parts['model']['type']}; only BPE can be trimmed here.")
    names = ("bos_token", "eos_token", "pad_token", "unk_token")
    special = {name: getattr(tokenizer, name) for name in names}
    lost = [token for token in special.values() if token and tokenizer.get_vocab()[token] not in place]
    if lost:
        raise LabError(f"{', '.join(lost)} would be trimmed away. Keep the special tokens: use `needed`.")
    vocab = {token: place[number] for token, number in parts["model"]["vocab"].items() if number in place}
    merges = [[a, b] for a, b in parts["model"]["merges"] if a in vocab and b in vocab and a + b in vocab]
    parts["model"] |= {"vocab": vocab, "merges": merges}
    added = [one for one in parts["added_tokens"] if one["id"] in place]
    parts["added_tokens"] = [one | {"id": place[one["id"]]} for one in added]
    # a template that puts a BOS before each text names it by its id
    for one in ((parts.get("post_processor") or {}).get("special_tokens") or {}).values():
        one["ids"] = [place[number] for number in one["ids"]]
    inner = Tokenizer.from_str(json.dumps(parts, ensure_ascii=False))
    fresh = PreTrainedTokenizerFast(tokenizer_object=inner, **special)
    fresh.chat_template = tokenizer.chat_template
    return fresh


def _fewer_rows(model: PreTrainedModel, keep: list[int]) -> PreTrainedModel:
    settings = model.config.to_dict()
    settings.pop("quantization_config", None)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        settings[name] = keep.index(settings[name]) if settings.get(name) in keep else None
    fresh = type(model)(type(model.config)(**settings | {"vocab_size": len(keep)})).to(model.dtype)
    weights = model.state_dict()
    for name in weights:
        if name == "lm_head.weight" or name.endswith("embed_tokens.weight"):
            weights[name] = weights[name][keep]
    fresh.load_state_dict(weights)
    return fresh.eval()
