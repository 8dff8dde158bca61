"""Export: the file against llama.cpp's own converter, the prediction against the file, and what a runtime
makes of it.
"""

import json
import math
import subprocess
import tracemalloc
from dataclasses import replace
from importlib import metadata

import llama_cpp
import numpy as np
import pytest
import torch
import upstream
from exported import CONVERSATIONS, NANO, SHIPPED, model_folder, random_folder, read_back, types_in
from safetensors.torch import save_file

from helpers import export, lab, train
from helpers.export import sizes
from helpers.export.metadata import architecture_metadata, metadata_bytes
from helpers.files import LabError, read_json

STEPS = tuple(export.LADDER)
KQUANTS = STEPS[1:]

# What our file says differently from llama.cpp's own converter, and why.
EXPLAINED = {
    "tokenizer.ggml.add_bos_token": "theirs leaves it out, and llama.cpp then adds a BOS to one the chat template has written already",
    "tokenizer.ggml.add_eos_token": "theirs leaves it out; said, so that no runtime has to guess",
}


# --------------------------------------------------------------------------------------------------- the file
def test_the_file_is_what_llama_cpps_own_converter_writes_but_for_what_is_explained(ladder, tmp_path):
    try:
        source = upstream.fetch(metadata.version("llama-cpp-python"))
    except upstream.Unobtainable as reason:
        pytest.skip(str(reason))
    theirs = tmp_path / "theirs.gguf"
    done = subprocess.run(upstream.command(source, NANO, theirs), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    model, bos = llama_cpp.Llama(str(theirs), vocab_only=True, verbose=False), b"<|startoftext|>"
    assert model.tokenize(bos, add_bos=True, special=True) == [1, 1], (
        "what EXPLAINED says of their BOS is no longer so"
    )
    model.close()
    (our_keys, our_tensors), (their_keys, their_tensors) = read_back(ladder["F16"].path), read_back(theirs)
    differing = {key for key in our_keys | their_keys if our_keys.get(key) != their_keys.get(key)}
    assert differing == set(EXPLAINED)
    assert not differing & set(their_keys), "nothing of theirs is missing or has another value"
    assert set(our_tensors) == set(their_tensors)
    for name, ours in our_tensors.items():
        assert ours.tensor_type == their_tensors[name].tensor_type, name
        assert list(ours.shape) == list(their_tensors[name].shape), name
        assert np.array_equal(ours.data, their_tensors[name].data), name


def test_every_weight_comes_back_as_it_was(ladder):
    _, tensors = read_back(ladder["F16"].path)
    for tensor in export.read_architecture(read_json(NANO / "config.json")).tensors:
        stored = SHIPPED[tensor.source].numpy()
        assert np.array_equal(
            tensors[tensor.name].data, stored.reshape(tensor.shape).astype(tensors[tensor.name].data.dtype)
        ), tensor


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_shards_of_other_floats_are_rounded_to_the_nearest(tmp_path, dtype):
    dice = torch.Generator().manual_seed(0)
    tensors = {name: torch.randn(value.shape, generator=dice).to(dtype) for name, value in SHIPPED.items()}
    folder = model_folder(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[:20], "model-00002-of-00002.safetensors": names[20:]}
    for shard, members in shards.items():
        save_file({name: tensors[name] for name in members}, folder / shard)
    index = {"weight_map": {name: shard for shard, members in shards.items() for name in members}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    _, written = read_back(export.export(folder, tmp_path / "out.gguf").path)
    architecture = export.read_architecture(read_json(NANO / "config.json"))
    for tensor in architecture.tensors:
        wanted = tensors[tensor.source].to(torch.float32 if tensor.type == "F32" else torch.float16)
        assert np.array_equal(written[tensor.name].data, wanted.reshape(tensor.shape).numpy()), tensor


def test_memory_is_bounded_by_the_largest_tensor_and_not_by_the_model(tmp_path):
    folder = random_folder(
        tmp_path / "model",
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=8,
        layer_types=["conv"] * 8,
    )
    tracemalloc.start()
    try:
        done = export.export(folder, tmp_path / "out.gguf")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    largest = max(tensor.n_bytes for tensor in read_back(done.path)[1].values())
    assert done.bytes > 50e6 and peak < 3 * largest + 8e6


# --------------------------------------------------------------------------------------------- the prediction
@pytest.mark.parametrize("quant", STEPS)
def test_the_predicted_size_is_the_size_to_the_byte(ladder, quant):
    done, predicted = ladder[quant], export.predict_folder(NANO, quant)
    assert predicted.bytes == done.bytes == done.path.stat().st_size
    assert {choice.tensor.name: choice.type for choice in predicted.tensors} == types_in(done.path)
    assert predicted.parameters == read_json(NANO / "training.json").get("parameters", 4_067_328)


def test_bits_a_weight_fall_from_step_to_step(ladder):
    bits = [export.predict_folder(NANO, quant).bits_per_weight for quant in STEPS]
    assert bits == sorted(bits, reverse=True) and 16 < bits[0] < 16.1


VARIANTS = {
    "rows of 320": {
        "hidden_size": 320,
        "num_attention_heads": 5,
        "num_key_value_heads": 1,
        "intermediate_size": 512,
    },
    "rows of 80": {
        "hidden_size": 80,
        "num_attention_heads": 5,
        "num_key_value_heads": 1,
        "intermediate_size": 96,
    },
    "attention first": {
        "num_attention_heads": 8,
        "num_hidden_layers": 9,
        "layer_types": ["full_attention"] * 8 + ["conv"],
        "intermediate_size": 256,
    },
    "its own output layer": {"tie_word_embeddings": False, "intermediate_size": 256},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_rules_are_llama_cpps_for_other_shapes_too(tmp_path, name):
    folder = random_folder(tmp_path / "model", **VARIANTS[name])
    whole = export.export(folder, tmp_path / "f16.gguf")
    for quant in KQUANTS:
        done, predicted = (
            export.quantize(whole.path, tmp_path / "out.gguf", quant),
            export.predict_folder(folder, quant),
        )
        assert {choice.tensor.name: choice.type for choice in predicted.tensors} == types_in(done.path), quant
        assert predicted.bytes == done.bytes, quant


def test_a_row_that_fills_no_super_block_gets_a_type_with_small_blocks(tmp_path):
    folder = random_folder(tmp_path / "model", **VARIANTS["rows of 320"])
    types = types_in(export.export(folder, tmp_path / "out.gguf", "Q4_K_M").path)
    assert types["blk.0.ffn_up.weight"] == "Q5_0"
    assert types["token_embd.weight"] == "Q8_0"
    assert types["blk.0.ffn_down.weight"] == "Q4_K"  # its rows are as long as the layer is wide


def test_rows_that_fit_no_block_stay_in_16_bits(tmp_path):
    folder = random_folder(tmp_path / "model", **VARIANTS["rows of 80"])
    types = types_in(export.export(folder, tmp_path / "out.gguf", "Q8_0").path)
    assert types["blk.0.ffn_up.weight"] == "F16" and types["blk.0.ffn_down.weight"] == "Q8_0"


def test_the_large_model_has_the_published_number_of_weights():
    assert export.predict_large("F16").parameters == 1_170_340_608


def test_the_blogs_four_sizes_are_the_predicted_ones_rounded_up_in_powers_of_1024():
    blog = lab.claims()
    for name, quant in {"model_size": "Q5_K_M", "size_q4": "Q4_K_M", "size_q2": "Q2_K"}.items():
        assert math.ceil(export.predict_large(quant).bytes / 2**20) == blog[name].number
    assert math.ceil(10 * export.predict_large("F16").bytes / 2**30) / 10 == blog["size_f16"].number


def test_two_published_files_leave_the_same_room_for_the_tokenizer():
    config = read_json(export.LARGE)
    assert export.predict_large("Q6_K").bytes == 962_842_912
    choices = export.choose_types(export.read_architecture(config["config"]), "Q5_K_M")
    small = [
        replace(one, type="Q5_K") if one.type == "Q6_K" and "embd" not in one.tensor.name else one
        for one in choices
    ]  # Q5_K_S
    keys = (
        metadata_bytes(architecture_metadata(export.read_architecture(config["config"])))
        + config["other_bytes"]
    )
    assert abs(sizes.file_bytes(small, keys) - 825_249_472) < 1000


# --------------------------------------------------------------------------------- what a runtime makes of it
@pytest.mark.parametrize("quant", STEPS)
def test_every_step_loads_in_llama_cpp_and_answers(ladder, quant):
    model = llama_cpp.Llama(str(ladder[quant].path), n_ctx=256, n_threads=1, verbose=False)
    answer = model.create_chat_completion(list(CONVERSATIONS[0]), max_tokens=12, temperature=0)
    assert answer["choices"][0]["message"]["content"].strip()
    assert model.token_eos() == 4 and model.token_bos() == 1
    model.close()


def test_llama_cpp_reads_the_same_tokens_and_adds_no_second_bos(ladder):
    tokenizer = train.load_tokenizer(NANO)
    model = llama_cpp.Llama(str(ladder["F16"].path), vocab_only=True, verbose=False)
    prompt = tokenizer.apply_chat_template(list(CONVERSATIONS[2]), tokenize=False, add_generation_prompt=True)
    words = [
        tokenizer.decode([index]) for index in range(5, len(tokenizer))
    ]  # llama.cpp takes a whole word before it merges
    texts = [
        prompt,
        *(text for text in words if "\ufffd" not in text),
        "¿Fiebre de 39,5 °C?\n\n 🚑 l'enfant",
        "a\r\n  b",
    ]
    for text in texts:
        assert model.tokenize(text.encode(), add_bos=True, special=True) == tokenizer(text).input_ids, text
    assert tokenizer(prompt).input_ids.count(tokenizer.bos_token_id) == 1
    model.close()


def test_the_logits_are_those_of_transformers(ladder):
    tokenizer, reference = train.load_tokenizer(NANO), train.load_model(NANO)
    ids = tokenizer.apply_chat_template(list(CONVERSATIONS[0]), add_generation_prompt=True, return_dict=False)
    model = llama_cpp.Llama(str(ladder["F16"].path), n_ctx=256, n_threads=1, logits_all=True, verbose=False)
    model.eval(ids)
    ours = torch.tensor(model.scores[: len(ids)]).log_softmax(-1)
    with torch.no_grad():
        theirs = reference(torch.tensor([ids])).logits[0].float().log_softmax(-1)
    assert (theirs.exp() * (theirs - ours)).sum(-1).max() < 1e-3
    model.close()


# ----------------------------------------------------------------------------------------------- the template
def _prompts(folder, file):
    """Every conversation as the folder's tokenizer writes it, and as the template in the file does."""
    tokenizer, render = train.load_tokenizer(folder), export.renderer(export.read_header(file))
    asked = {"tokenize": False, "add_generation_prompt": True}
    return [(tokenizer.apply_chat_template(list(one), **asked), render(one)) for one in CONVERSATIONS]


def test_tokenizer_and_gguf_write_the_same_prompts(ladder):
    assert all(theirs == ours for theirs, ours in _prompts(NANO, ladder["Q4_K_M"].path))


@pytest.mark.parametrize(
    "change",
    [
        ("<|im_end|>\n", "<|im_end|>"),
        ("{{- bos_token -}}", ""),
        ("message['content']", "message['content'] | trim"),
    ],
)
def test_a_changed_template_is_found(tmp_path, change):
    folder = model_folder(tmp_path / "model")
    template = (folder / "chat_template.jinja").read_text().replace(*change)
    (folder / "chat_template.jinja").write_text(template)
    done = export.export(folder, tmp_path / "out.gguf")
    assert any(theirs != ours for theirs, ours in _prompts(NANO, done.path))
    assert all(theirs == ours for theirs, ours in _prompts(folder, done.path))


def test_a_tokenizer_without_a_template_is_refused(tmp_path):
    folder = model_folder(tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(LabError, match="no chat template"):
        export.export(folder, tmp_path / "out.gguf")
