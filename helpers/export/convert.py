"""A model folder becomes one file: F16 written here, tensor by tensor; the other steps of the ladder quantized by llama.cpp.

The folder holds a whole model: stages are saved with LoRA merged in. Files appear whole or not at all.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import gguf
import llama_cpp
import numpy as np

from helpers.export.architecture import Architecture, read_architecture
from helpers.export.header import Header, read_header
from helpers.export.ladder import Choice, check_step, choose_types
from helpers.export.metadata import folder_metadata, metadata_bytes
from helpers.export.native import native_log
from helpers.export.sizes import file_bytes
from helpers.export.weights import Weights
from helpers.files import LabError, read_json, writing

QUANTIZER_MEMORY = 64 << 20  # bytes of rows that llama.cpp holds at a time
_NUMPY = {"F16": np.dtype(np.float16), "F32": np.dtype(np.float32)}


@dataclass(frozen=True)
class Exported:
    """A finished GGUF.

    Attributes:
        path: the file.
        quant: its step on the ladder.
        bytes: its size.
        types: type of every tensor, by name, as the file says.
        fallbacks: tensors whose rows do not fill whole blocks of the type they should have had.
    """

    path: Path
    quant: str
    bytes: int
    types: dict[str, str]
    fallbacks: tuple[Choice, ...]

    def __str__(self) -> str:
        said = f"{self.path.name}: {self.quant}, {self.bytes:,} bytes"
        return f"{said}; fell back: {'; '.join(map(str, self.fallbacks))}" if self.fallbacks else said


def export(model_folder: str | Path, out: str | Path, quant: str = "F16", *, threads: int = 0) -> Exported:
    """Write the model in `model_folder` as a GGUF. Memory: the largest tensor and some 100 MB, whatever the model's size.

    Args:
        model_folder: a saved `Lfm2ForCausalLM` with its tokenizer (safetensors, whole or in shards).
        out: the file to write; replaced if it exists.
        quant: a step of `LADDER`.
        threads: for the quantization; 0 for all cores.

    Raises:
        LabError: unknown step or architecture, a tensor missing, unknown or damaged, a tokenizer that llama.cpp would read differently,
            too little disk (checked before writing), or a write that failed. Nothing half-made is left.
    """
    folder, out = Path(model_folder), Path(out)
    check_step(quant)
    architecture = read_architecture(read_json(folder / "config.json"))
    weights = Weights(folder)
    weights.check(architecture.tensors)
    writer = folder_metadata(folder, architecture)
    steps = {"F16", quant}
    _check_disk(
        out, sum(file_bytes(choose_types(architecture, step), metadata_bytes(writer)) for step in steps)
    )
    if quant == "F16":
        with _arriving(out) as path:
            _write_f16(path, architecture, weights, writer)
            done = _exported(read_header(path), quant, architecture)
        return replace(done, path=out)
    with writing(out), tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as place:
        whole = Path(place) / "f16.gguf"
        _write_f16(whole, architecture, weights, writer)
        return quantize(whole, out, quant, threads=threads)


def quantize(whole: str | Path, out: str | Path, quant: str, *, threads: int = 0) -> Exported:
    """Quantize a 16-bit GGUF of an LFM2 with llama.cpp; the way to climb down the whole ladder from one F16 file.

    Args:
        whole: a file that `export(…, "F16")` wrote.
        out, quant, threads: as for `export`.

    Raises:
        LabError: unknown step, `whole` is damaged, not a whole LFM2 or quantized already, too little disk, or llama.cpp failed.
    """
    out, step, header = Path(out), check_step(quant), read_header(Path(whole))
    architecture = whole_architecture(header)
    if any(tensor.type not in ("F16", "F32") for tensor in header.tensors.values()):
        raise LabError(
            f"{header.path} is quantized already, and quantizing twice adds the errors up. Start from the F16 file."
        )
    data = sum(tensor.bytes for tensor in header.tensors.values())
    _check_disk(
        out, file_bytes(choose_types(architecture, quant), header.bytes - data)
    )  # all that is not data, as good as the same
    with _arriving(out) as path:
        if problem := _run_llama_cpp(header.path, path, step, threads):
            raise LabError(
                f"llama.cpp could not quantize {header.path} to {quant}: {problem}. Export the model again; if it stays, free disk."
            )
        done = _exported(read_header(path), quant, architecture)
    return replace(done, path=out)


def whole_architecture(header: Header) -> Architecture:
    """The architecture that a GGUF describes, all of whose tensors it holds.

    Raises:
        LabError: it is not an LFM2, a dimension is missing, or a tensor is missing, unknown or of another shape.
    """
    architecture = architecture_of(header)
    if {tensor.name: tensor.shape for tensor in architecture.tensors} != {
        name: tensor.shape for name, tensor in header.tensors.items()
    }:
        raise LabError(
            f"{header.path} does not hold the tensors that its own dimensions ask for. Delete it and export the model again."
        )
    return architecture


def architecture_of(header: Header) -> Architecture:
    """The architecture that a GGUF describes.

    Raises:
        LabError: it is not an LFM2, or a dimension is missing.
    """
    data = header.metadata
    if data.get("general.architecture") != "lfm2":
        raise LabError(
            f"{header.path} is a {data.get('general.architecture', 'GGUF of no architecture')}, not an LFM2."
        )
    try:
        kv_heads = data["lfm2.attention.head_count_kv"]
        if data["lfm2.block_count"] != len(kv_heads):  # on this llama.cpp ends the process
            raise ValueError("layers are counted in two ways")
        return Architecture(
            hidden=data["lfm2.embedding_length"],
            feed_forward=data["lfm2.feed_forward_length"],
            heads=data["lfm2.attention.head_count"],
            kv_heads=max(kv_heads),
            vocabulary=data["lfm2.vocab_size"],
            context=data["lfm2.context_length"],
            kernel=data["lfm2.shortconv.l_cache"],
            attention=tuple(count > 0 for count in kv_heads),
            rope_theta=data["lfm2.rope.freq_base"],
            norm_eps=data["lfm2.attention.layer_norm_rms_epsilon"],
            tied="output.weight" not in header.tensors,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LabError(
            f"{header.path} does not say all its dimensions ({error}). Export the model again."
        ) from None


def _exported(header: Header, quant: str, architecture: Architecture) -> Exported:
    types = {name: tensor.type for name, tensor in header.tensors.items()}
    fallbacks = tuple(choice for choice in choose_types(architecture, quant) if choice.fell_back)
    return Exported(header.path, quant, header.bytes, types, fallbacks)


def _check_disk(out: Path, needed: int) -> None:
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(out.parent).free
    if free < needed:
        raise LabError(
            f"{out} and what is written on the way to it need {needed / 1e6:,.1f} MB, and {free / 1e6:,.1f} MB are free there. "
            "Nothing was written. Free some space, or give another folder."
        )


@contextmanager
def _arriving(out: Path) -> Iterator[Path]:
    """A path to write to; the file gets its name `out` only when the block ends without an error, and else is removed."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    with writing(out):
        try:
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            temporary.replace(out)
        finally:
            temporary.unlink(missing_ok=True)


def _write_f16(path: Path, architecture: Architecture, weights: Weights, writer: gguf.GGUFWriter) -> None:
    for choice in choose_types(architecture, "F16"):
        kind = gguf.GGMLQuantizationType[choice.type]
        writer.add_tensor_info(
            choice.tensor.name, choice.tensor.shape, _NUMPY[choice.type], choice.bytes, raw_dtype=kind
        )
    try:
        writer.write_header_to_file(path)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in architecture.tensors:
            writer.write_tensor_data(weights.read(tensor))
    finally:
        writer.close()


def _run_llama_cpp(whole: Path, out: Path, step: gguf.LlamaFileType, threads: int) -> str:
    """Quantize; returns what llama.cpp said went wrong, or nothing. Its log, a line a tensor, is kept from the screen."""
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype, settings.nthread, settings.max_buf_size = int(step), threads, QUANTIZER_MEMORY
    with native_log() as said:
        failed = llama_cpp.llama_model_quantize(os.fsencode(whole), os.fsencode(out), ctypes.byref(settings))
    return (" ".join(said) or f"code {failed}") if failed else ""
