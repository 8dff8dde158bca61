"""Export: what is refused, what a broken write leaves behind, and damaged files."""

import random
import shutil
from pathlib import Path

import pytest
import torch
from exported import NANO, SHIPPED, model_folder, read_back

from helpers import export
from helpers.export import convert, weights
from helpers.files import LabError, read_json


# -------------------------------------------------------------------------------------------- what is refused
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
        (
            {"architectures": ["LlamaForCausalLM"]},
            "LlamaForCausalLM; the export knows Lfm2ForCausalLM and Gemma3",
        ),
        ({"conv_bias": True}, "convolutions with a bias"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "yarn"),
        ({"layer_types": ["conv"]}, r"`num_hidden_layers` \(4\) must be equal"),
        ({"hidden_size": "wide"}, "describes no model.*wide"),
        ({"num_attention_heads": 0}, "describes no model"),
        ({"num_key_value_heads": 3}, "do not divide"),
        ({"vocab_size": 4095}, r"shape \(4096, 256\); config.json says \(4095, 256\)"),
        (
            {"num_hidden_layers": 5, "layer_types": None, "full_attn_idxs": [1, 3]},
            r"lacks model.layers.4.\S+ and 7 more",
        ),
    ],
)
def test_a_config_that_cannot_be_exported_says_why(tmp_path, config, match):
    _refused(model_folder(tmp_path / "model", config=config), tmp_path, match)


def test_a_missing_tensor_is_named(tmp_path):
    tensors = {name: value for name, value in SHIPPED.items() if name != "model.layers.2.conv.in_proj.weight"}
    _refused(
        model_folder(tmp_path / "model", tensors), tmp_path, r"lacks model\.layers\.2\.conv\.in_proj\.weight"
    )


def test_an_adapter_that_was_not_merged_is_refused(tmp_path):
    tensors = SHIPPED | {"model.layers.0.conv.in_proj.lora_A.weight": torch.zeros(2, 2)}
    _refused(model_folder(tmp_path / "model", tensors), tmp_path, "not merged")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e5])
def test_a_weight_that_float16_cannot_hold_is_refused(tmp_path, value):
    tensors = {name: tensor.float() for name, tensor in SHIPPED.items()}
    tensors["model.layers.3.feed_forward.w1.weight"][5, 7] = value
    _refused(
        model_folder(tmp_path / "model", tensors),
        tmp_path,
        r"layers\.3\.feed_forward\.w1.*too large for float16",
    )


def test_integers_are_refused(tmp_path):
    tensors = SHIPPED | {"model.embedding_norm.weight": torch.ones(256, dtype=torch.int8)}
    _refused(model_folder(tmp_path / "model", tensors), tmp_path, "stored as I8")


@pytest.mark.parametrize("keep", [0, 5, 100, 4000, 5000, 1_000_000, -1])
def test_cut_off_weights_are_refused(tmp_path, keep):
    folder = model_folder(tmp_path / "model")
    raw = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(raw[:keep])
    _refused(folder, tmp_path, "is damaged")


def test_a_damaged_header_of_the_weights_is_refused_or_caught_by_the_shapes(tmp_path):
    folder, dice = model_folder(tmp_path / "model"), random.Random(0)
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
    folder = model_folder(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    _refused(folder, tmp_path, "no model.safetensors")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "part.safetensors"}}')
    _refused(folder, tmp_path, "lacks part.safetensors")


def test_a_tokenizer_that_cuts_texts_differently_is_refused(tmp_path):
    _refused(
        model_folder(tmp_path / "model", **{"tokenizer.json": {"pre_tokenizer": {"type": "Whitespace"}}}),
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
    monkeypatch.setattr(convert, "write_f16", lambda *_: pytest.fail("it began to write"))
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
    said = convert._run_llama_cpp(ladder["F16"].path, tmp_path / "no" / "such" / "folder.gguf", 7)
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


# ---------------------------------------------------------------------------------------------- damaged GGUFs
def test_a_cut_off_gguf_is_refused_wherever_the_cut_is(ladder, tmp_path):
    raw, cut = ladder["Q4_K_M"].path.read_bytes(), tmp_path / "cut.gguf"
    places = [0, 3, 4, 20, 24, 25, 100, 1000, 50_000, 100_000, 130_000, len(raw) // 2, len(raw) - 1]
    for place in places:
        cut.write_bytes(raw[:place])
        with pytest.raises(LabError, match="not a whole GGUF"):
            export.read_header(cut)
        with pytest.raises(LabError, match="not a whole GGUF"):
            export.quantize(cut, tmp_path / "out.gguf", "Q2_K")


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
    keys, tensors = read_back(header.path)
    assert header.metadata == {name: value for name, (_, value) in keys.items()}
    assert {n: (t.type, t.offset, t.bytes) for n, t in header.tensors.items()} == {
        n: (t.tensor_type.name, t.data_offset, t.n_bytes) for n, t in tensors.items()
    }
    assert header.token("bos") == "<|startoftext|>" and header.token("eos") == "<|im_end|>"
    assert Path(header.path).stat().st_size == header.bytes
