"""Export: the file against llama.cpp's own converter, the prediction against the file, and what is refused."""

import json
import random
import shutil
import subprocess
import tracemalloc
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
import pytest
import torch
import upstream
from safetensors.torch import load_file, save_file
from transformers import Lfm2Config, Lfm2ForCausalLM

from helpers import export, train
from helpers.export import convert, sizes, weights
from helpers.export.metadata import architecture_metadata, metadata_bytes
from helpers.files import DATA, LabError, read_json

NANO = DATA / "nano-base"
STEPS = tuple(export.LADDER)
KQUANTS = STEPS[1:]
SHIPPED = load_file(NANO / "model.safetensors")

# What our file says differently from llama.cpp's own converter, and why.
EXPLAINED = {
    "tokenizer.ggml.add_bos_token": "theirs leaves it out, and llama.cpp then adds a BOS to one the chat template has written already",
    "tokenizer.ggml.add_eos_token": "theirs leaves it out; said, so that no runtime has to guess",
}


@pytest.fixture(scope="module")
def ladder(tmp_path_factory):
    """The nano base on every step."""
    folder = tmp_path_factory.mktemp("ladder")
    return {quant: export.export(NANO, folder / f"{quant}.gguf", quant, threads=1) for quant in STEPS}


def _folder(path, tensors=None, config=None, **files):
    """A model folder like the nano base's, with other weights, other config values, or other files."""
    shutil.copytree(NANO, path)
    if tensors is not None:
        save_file(tensors, path / "model.safetensors")
    for name, changes in {"config.json": config or {}, **files}.items():
        value = read_json(path / name)
        (path / name).write_text(json.dumps(value | changes))
    return path


def _random(path, **config):
    """A folder of random weights in the shapes that config.json asks for."""
    merged = read_json(NANO / "config.json") | config
    dice = torch.Generator().manual_seed(0)
    shapes = {tensor.source: tensor.stored for tensor in export.read_architecture(merged).tensors}
    return _folder(
        path, {name: torch.randn(shape, generator=dice).half() for name, shape in shapes.items()}, config
    )


def _said(path):
    """Keys with their kinds and values, and tensors, as gguf's own reader sees them."""
    reader = gguf.GGUFReader(path)
    keys = {
        name: (field.types, field.contents())
        for name, field in reader.fields.items()
        if not name.startswith("GGUF.")
    }
    return keys, {tensor.name: tensor for tensor in reader.tensors}


# ------------------------------------------------------------------------------------------------------- the file
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
    (our_keys, our_tensors), (their_keys, their_tensors) = _said(ladder["F16"].path), _said(theirs)
    differing = {key for key in our_keys | their_keys if our_keys.get(key) != their_keys.get(key)}
    assert differing == set(EXPLAINED)
    assert not differing & set(their_keys), "nothing of theirs is missing or has another value"
    assert set(our_tensors) == set(their_tensors)
    for name, ours in our_tensors.items():
        assert ours.tensor_type == their_tensors[name].tensor_type, name
        assert list(ours.shape) == list(their_tensors[name].shape), name
        assert np.array_equal(ours.data, their_tensors[name].data), name


def test_every_weight_comes_back_as_it_was(ladder):
    _, tensors = _said(ladder["F16"].path)
    for tensor in export.read_architecture(read_json(NANO / "config.json")).tensors:
        stored = SHIPPED[tensor.source].numpy()
        assert np.array_equal(
            tensors[tensor.name].data, stored.reshape(tensor.shape).astype(tensors[tensor.name].data.dtype)
        ), tensor


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_shards_of_other_floats_are_rounded_to_the_nearest(tmp_path, dtype, monkeypatch):
    monkeypatch.setattr(weights, "_SLAB", 10_000)  # so that a tensor is many slabs
    dice = torch.Generator().manual_seed(0)
    tensors = {name: torch.randn(value.shape, generator=dice).to(dtype) for name, value in SHIPPED.items()}
    folder = _folder(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[:20], "model-00002-of-00002.safetensors": names[20:]}
    for shard, members in shards.items():
        save_file({name: tensors[name] for name in members}, folder / shard)
    index = {"weight_map": {name: shard for shard, members in shards.items() for name in members}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    _, written = _said(export.export(folder, tmp_path / "out.gguf").path)
    architecture = export.read_architecture(read_json(NANO / "config.json"))
    for tensor in architecture.tensors:
        wanted = tensors[tensor.source].to(torch.float32 if tensor.type == "F32" else torch.float16)
        assert np.array_equal(written[tensor.name].data, wanted.reshape(tensor.shape).numpy()), tensor


def test_memory_is_bounded_by_the_largest_tensor_and_not_by_the_model(tmp_path):
    folder = _random(
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
    largest = max(tensor.n_bytes for tensor in _said(done.path)[1].values())
    assert done.bytes > 50e6 and peak < 3 * largest + 8e6


# ------------------------------------------------------------------------------------------------------- the prediction
@pytest.mark.parametrize("quant", STEPS)
def test_the_predicted_size_is_the_size_to_the_byte(ladder, quant):
    done, predicted = ladder[quant], export.predict_folder(NANO, quant)
    assert predicted.bytes == done.bytes == done.path.stat().st_size
    assert {choice.tensor.name: choice.type for choice in predicted.tensors} == done.types
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
    folder = _random(tmp_path / "model", **VARIANTS[name])
    whole = export.export(folder, tmp_path / "f16.gguf")
    for quant in KQUANTS:
        done, predicted = (
            export.quantize(whole.path, tmp_path / "out.gguf", quant, threads=1),
            export.predict_folder(folder, quant),
        )
        assert {choice.tensor.name: choice.type for choice in predicted.tensors} == done.types, quant
        assert predicted.bytes == done.bytes, quant
        assert predicted.fallbacks == done.fallbacks


def test_a_fallback_names_the_tensor_the_types_and_the_reason(tmp_path):
    done = export.export(
        _random(tmp_path / "model", **VARIANTS["rows of 320"]), tmp_path / "out.gguf", "Q4_K_M", threads=1
    )
    fell = {choice.tensor.name: (choice.wanted, choice.type) for choice in done.fallbacks}
    assert fell["blk.0.ffn_up.weight"] == ("Q4_K", "Q5_0")
    assert fell["token_embd.weight"] == ("Q6_K", "Q8_0")
    assert "blk.0.ffn_down.weight" not in fell  # its rows are as long as the feed-forward layer is wide
    assert "Q5_0 instead of Q4_K (rows of 320, not a multiple of 256)" in str(done)


def test_rows_that_fit_no_block_stay_in_16_bits(tmp_path):
    done = export.export(
        _random(tmp_path / "model", **VARIANTS["rows of 80"]), tmp_path / "out.gguf", "Q8_0", threads=1
    )
    assert done.types["blk.0.ffn_up.weight"] == "F16" and done.types["blk.0.ffn_down.weight"] == "Q8_0"


def test_nothing_falls_back_in_the_nano_base(ladder):
    assert not any(done.fallbacks for done in ladder.values())


def test_the_large_model_is_described_as_transformers_builds_it():
    config = read_json(export.LARGE)["config"]
    with torch.device("meta"):
        model = Lfm2ForCausalLM(Lfm2Config(**config))
    built = {
        name: tuple(value.shape) for name, value in model.state_dict().items() if name != "lm_head.weight"
    }
    assert {tensor.source: tensor.stored for tensor in export.read_architecture(config).tensors} == built
    assert export.predict_large("F16").parameters == 1_170_340_608


def test_the_blogs_four_sizes_are_the_predicted_ones_rounded_up_in_powers_of_1024():
    assert {quant: export.predict_large(quant).listed for quant in export.BLOG} == export.BLOG


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


@pytest.mark.parametrize(
    ("size", "listed"),
    [
        (0, "0"),
        (1023, "1023"),
        (1024, "1.0K"),
        (1025, "1.1K"),
        (10 * 1024, "10K"),
        (804 * 2**20 + 1, "805M"),
        (2**31, "2.0G"),
        (2**41, "2048G"),
    ],
)
def test_sizes_are_listed_as_ls_does(size, listed):
    assert export.as_listed(size) == listed


# ------------------------------------------------------------------------------------------------------- what a runtime makes of it
@pytest.mark.parametrize("quant", STEPS)
def test_every_step_loads_in_llama_cpp_and_answers(ladder, quant):
    model = llama_cpp.Llama(str(ladder[quant].path), n_ctx=256, n_threads=1, verbose=False)
    answer = model.create_chat_completion(list(export.CONVERSATIONS[0]), max_tokens=12, temperature=0)
    assert answer["choices"][0]["message"]["content"].strip()
    assert model.token_eos() == 4 and model.token_bos() == 1
    model.close()


def test_llama_cpp_reads_the_same_tokens_and_adds_no_second_bos(ladder):
    tokenizer = train.load_tokenizer(NANO)
    model = llama_cpp.Llama(str(ladder["F16"].path), vocab_only=True, verbose=False)
    prompt = tokenizer.apply_chat_template(
        list(export.CONVERSATIONS[2]), tokenize=False, add_generation_prompt=True
    )
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
    ids = tokenizer.apply_chat_template(
        list(export.CONVERSATIONS[0]), add_generation_prompt=True, return_dict=False
    )
    model = llama_cpp.Llama(str(ladder["F16"].path), n_ctx=256, n_threads=1, logits_all=True, verbose=False)
    model.eval(ids)
    ours = torch.tensor(model.scores[: len(ids)]).log_softmax(-1)
    with torch.no_grad():
        theirs = reference(torch.tensor([ids])).logits[0].float().log_softmax(-1)
    assert (theirs.exp() * (theirs - ours)).sum(-1).max() < 1e-3
    model.close()


# ------------------------------------------------------------------------------------------------------- the template
def test_tokenizer_and_gguf_write_the_same_prompts(ladder):
    check = export.check_template(NANO, ladder["Q4_K_M"].path)
    assert check.same and check.checked == len(export.CONVERSATIONS) and "same prompts" in str(check)


@pytest.mark.parametrize(
    "change",
    [
        ("<|im_end|>\n", "<|im_end|>"),
        ("{{- bos_token -}}", ""),
        ("message['content']", "message['content'] | trim"),
    ],
)
def test_a_changed_template_is_found(tmp_path, change):
    folder = _folder(tmp_path / "model")
    template = (folder / "chat_template.jinja").read_text().replace(*change)
    (folder / "chat_template.jinja").write_text(template)
    done = export.export(folder, tmp_path / "out.gguf")
    check = export.check_template(NANO, done.path)
    assert not check.same and "other prompts" in str(check)
    assert export.check_template(folder, done.path).same


def test_a_tokenizer_without_a_template_is_refused(tmp_path):
    folder = _folder(tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(LabError, match="no chat template"):
        export.export(folder, tmp_path / "out.gguf")


# ------------------------------------------------------------------------------------------------------- what is refused
def _refused(folder, out, match, quant="F16"):
    """The export says why, and leaves nothing behind."""
    with pytest.raises(LabError, match=match):
        export.export(folder, out / "new" / "model.gguf", quant)
    assert not list(out.rglob("*.gguf*"))


def test_an_unknown_step_names_the_ladder(tmp_path):
    _refused(NANO, tmp_path, "no quantization 'Q3_K_S'.*F16, Q8_0", "Q3_K_S")


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, "LlamaForCausalLM; the export knows Lfm2ForCausalLM only"),
        ({"conv_bias": True}, "convolutions have a bias"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "'yarn'"),
        ({"layer_types": ["conv"]}, "1 layer_types for 4 layers"),
        ({"hidden_size": "wide"}, "cannot be a size"),
        ({"num_attention_heads": 0}, "below 1"),
        ({"num_key_value_heads": 3}, "do not divide"),
        ({"vocab_size": 4095}, r"shape \(4096, 256\); config.json says \(4095, 256\)"),
        (
            {"num_hidden_layers": 5, "layer_types": None, "full_attn_idxs": [1, 3]},
            r"lacks model.layers.4.\S+ and 7 more",
        ),
    ],
)
def test_a_config_that_cannot_be_exported_says_why(tmp_path, config, match):
    _refused(_folder(tmp_path / "model", config=config), tmp_path, match)


def test_a_missing_dimension_is_named(tmp_path):
    folder = _folder(tmp_path / "model")
    config = read_json(folder / "config.json")
    del config["conv_L_cache"]
    (folder / "config.json").write_text(json.dumps(config))
    _refused(folder, tmp_path, "no 'conv_L_cache'")


def test_a_missing_tensor_is_named(tmp_path):
    tensors = {name: value for name, value in SHIPPED.items() if name != "model.layers.2.conv.in_proj.weight"}
    _refused(_folder(tmp_path / "model", tensors), tmp_path, r"lacks model\.layers\.2\.conv\.in_proj\.weight")


def test_an_adapter_that_was_not_merged_is_refused(tmp_path):
    tensors = SHIPPED | {"model.layers.0.conv.in_proj.lora_A.weight": torch.zeros(2, 2)}
    _refused(_folder(tmp_path / "model", tensors), tmp_path, "not merged")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e5])
def test_a_weight_that_float16_cannot_hold_is_refused(tmp_path, value):
    tensors = {name: tensor.float() for name, tensor in SHIPPED.items()}
    tensors["model.layers.3.feed_forward.w1.weight"][5, 7] = value
    _refused(
        _folder(tmp_path / "model", tensors), tmp_path, r"layers\.3\.feed_forward\.w1.*too large for float16"
    )


def test_integers_are_refused(tmp_path):
    tensors = SHIPPED | {"model.embedding_norm.weight": torch.ones(256, dtype=torch.int8)}
    _refused(_folder(tmp_path / "model", tensors), tmp_path, "stored as I8")


@pytest.mark.parametrize("keep", [0, 5, 100, 4000, 5000, 1_000_000, -1])
def test_cut_off_weights_are_refused(tmp_path, keep):
    folder = _folder(tmp_path / "model")
    raw = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(raw[:keep])
    _refused(folder, tmp_path, "is damaged")


def test_a_damaged_header_of_the_weights_is_refused_or_caught_by_the_shapes(tmp_path):
    folder, dice = _folder(tmp_path / "model"), random.Random(0)
    raw = (folder / "model.safetensors").read_bytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    architecture = export.read_architecture(read_json(NANO / "config.json"))
    for _ in range(200):
        place = dice.randrange(end)
        damaged = raw[:place] + bytes([raw[place] ^ (1 << dice.randrange(8))]) + raw[place + 1 :]
        (folder / "model.safetensors").write_bytes(damaged)
        try:
            weights.Weights(folder).check(architecture.tensors)
        except LabError:
            continue
        # What passes must be a change without meaning: in the free-text metadata, or in white space.
        assert {n: p.shape for n, p in weights.Weights(folder)._places.items()} == {
            n: tuple(v.shape) for n, v in SHIPPED.items()
        }


def test_a_folder_without_weights_or_with_a_missing_shard_is_refused(tmp_path):
    folder = _folder(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    _refused(folder, tmp_path, "no model.safetensors")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "part.safetensors"}}')
    _refused(folder, tmp_path, "lacks part.safetensors")


def test_a_tokenizer_that_cuts_texts_differently_is_refused(tmp_path):
    _refused(
        _folder(tmp_path / "model", **{"tokenizer.json": {"pre_tokenizer": {"type": "Whitespace"}}}),
        tmp_path,
        "does not cut texts",
    )


@pytest.mark.parametrize("quant", ["F16", "Q4_K_M"])
def test_a_disk_too_small_is_refused_before_anything_is_written(tmp_path, monkeypatch, quant):
    monkeypatch.setattr(
        convert.shutil,
        "disk_usage",
        lambda _: shutil._ntuple_diskusage(10**9, 10**9, 8_300_000 if quant == "Q4_K_M" else 8_200_000),
    )
    monkeypatch.setattr(convert, "_write_f16", lambda *_: pytest.fail("it began to write"))
    _refused(NANO, tmp_path, "MB are free there. Nothing was written", quant)


def test_an_export_that_breaks_off_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    out = tmp_path / "model.gguf"
    out.write_bytes(b"old")
    read, left = weights.Weights.read, iter(range(7))

    def breaks(self, tensor):
        if next(left, None) is None:
            raise OSError(28, "No space left on device")
        return read(self, tensor)

    monkeypatch.setattr(weights.Weights, "read", breaks)
    for quant in ("F16", "Q2_K"):
        with pytest.raises(LabError, match="the disk is full"):
            export.export(NANO, out, quant)
        assert out.read_bytes() == b"old" and [
            path.name for path in tmp_path.iterdir() if path.name != "build"
        ] == ["model.gguf"]


def test_a_quantization_that_fails_says_so_and_leaves_nothing(ladder, tmp_path, monkeypatch):
    monkeypatch.setattr(convert.llama_cpp, "llama_model_quantize", lambda *_: 1)
    with pytest.raises(LabError, match=r"could not quantize .* to Q6_K: code 1"):
        export.quantize(ladder["F16"].path, tmp_path / "out.gguf", "Q6_K")
    assert not list(tmp_path.glob("*gguf*"))


def test_what_llama_cpp_says_is_part_of_the_message(ladder, tmp_path):
    said = convert._run_llama_cpp(ladder["F16"].path, tmp_path / "no" / "such" / "folder.gguf", 7, 1)
    assert said and "failed to quantize" in said


@pytest.mark.parametrize(
    ("key", "value", "other"),
    [
        ("feed_forward_length", 768, 512),
        ("block_count", 4, 0x2004),
        ("block_count", 4, 5),
        ("attention.head_count", 4, 0),
    ],
)
def test_a_gguf_whose_dimensions_and_tensors_disagree_is_refused_before_llama_cpp_sees_it(
    ladder, tmp_path, key, value, other
):
    raw, before = ladder["F16"].path.read_bytes(), f"lfm2.{key}".encode() + (4).to_bytes(4, "little")
    assert raw.count(before + value.to_bytes(4, "little")) == 1
    (tmp_path / "odd.gguf").write_bytes(
        raw.replace(before + value.to_bytes(4, "little"), before + other.to_bytes(4, "little"))
    )
    with pytest.raises(LabError, match="dimensions"):
        export.quantize(tmp_path / "odd.gguf", tmp_path / "out.gguf", "Q4_K_M")


def test_quantizing_twice_is_refused(ladder, tmp_path):
    with pytest.raises(LabError, match="quantized already"):
        export.quantize(ladder["Q8_0"].path, tmp_path / "out.gguf", "Q4_K_M")


# ------------------------------------------------------------------------------------------------------- damaged GGUFs
def test_a_cut_off_gguf_is_refused_wherever_the_cut_is(ladder, tmp_path):
    raw, cut = ladder["Q4_K_M"].path.read_bytes(), tmp_path / "cut.gguf"
    places = [0, 3, 4, 20, 24, 25, 100, 1000, 50_000, 100_000, 130_000, len(raw) // 2, len(raw) - 1]
    for place in places:
        cut.write_bytes(raw[:place])
        with pytest.raises(LabError, match="not a whole GGUF"):
            export.read_header(cut)
        with pytest.raises(LabError, match="not a whole GGUF"):
            export.quantize(cut, tmp_path / "out.gguf", "Q2_K")
        with pytest.raises(LabError, match="not a whole GGUF"):
            export.check_template(NANO, cut)


def test_noise_in_a_header_is_read_or_refused_but_never_runs_away(ladder, tmp_path):
    raw, noisy, dice = ladder["Q2_K"].path.read_bytes(), tmp_path / "noisy.gguf", random.Random(0)
    spots = [*range(0, 200), *(dice.randrange(140_000) for _ in range(200))]
    refused = 0
    for place in spots:
        noisy.write_bytes(raw[:place] + bytes([raw[place] ^ (1 << dice.randrange(8))]) + raw[place + 1 :])
        try:
            export.read_header(noisy)
        except LabError:
            refused += 1
    assert refused > 50


def test_a_file_that_is_no_gguf_or_is_not_there_is_refused(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"PK\x03\x04" * 100)
    with pytest.raises(LabError, match="does not begin like one"):
        export.read_header(tmp_path / "x.gguf")
    with pytest.raises(LabError, match="cannot be read"):
        export.read_header(tmp_path / "none.gguf")


def test_our_reader_and_ggufs_agree(ladder):
    header = export.read_header(ladder["Q5_K_M"].path)
    keys, tensors = _said(header.path)
    assert header.metadata == {name: value for name, (_, value) in keys.items()}
    assert {n: (t.type, t.offset, t.bytes) for n, t in header.tensors.items()} == {
        n: (t.tensor_type.name, t.data_offset, t.n_bytes) for n, t in tensors.items()
    }
    assert header.token("bos") == "<|startoftext|>" and header.token("eos") == "<|im_end|>"
    assert Path(header.path).stat().st_size == header.bytes
