"""A model folder becomes one file: F16 written here, tensor by tensor; the others quantized by llama.cpp.

The folder holds a whole model: stages are saved with LoRA merged in. Files appear whole or not at all.
"""

import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
from llama_cpp._logger import llama_log_callback

from helpers.export.architecture import Architecture, read_architecture, whole_architecture
from helpers.export.header import read_header
from helpers.export.metadata import folder_metadata, metadata_bytes
from helpers.export.sizes import LADDER, choose_types, file_bytes
from helpers.export.weights import Weights
from helpers.files import LabError, arriving, read_json, writing


@dataclass(frozen=True)
class Exported:
    """A finished GGUF: the file, its step of the ladder and its size."""

    path: Path
    quant: str
    bytes: int

    def __str__(self) -> str:
        return f"{self.path.name}: {self.quant}, {self.bytes:,} bytes"


def export(model_folder: str | Path, out: str | Path, quant: str = "F16") -> Exported:
    """Write the model in `model_folder` as a GGUF. Memory: twice the largest tensor and some 100 MB.

    Args:
        model_folder: a saved LFM2 or Gemma 3 with its tokenizer (safetensors, whole or in shards).
        out: the file to write; replaced if it exists.
        quant: a step of `LADDER`.

    Raises LabError: unknown step or architecture, a tensor missing, unknown or damaged, a tokenizer that is
    not the architecture's, too little disk (checked first), or a failed write. Nothing half-made is left.
    """
    folder, out = Path(model_folder), Path(out)
    architecture = read_architecture(read_json(folder / "config.json"))
    weights = Weights(folder)
    weights.check(architecture.tensors)
    writer = folder_metadata(folder, architecture)
    keys = metadata_bytes(writer)
    _check_disk(out, sum(file_bytes(choose_types(architecture, step), keys) for step in {"F16", quant}))
    if quant == "F16":
        with arriving(out) as path:
            with closing(writer):
                write_f16(path, architecture, weights, writer)
            return Exported(out, quant, read_header(path).bytes)  # only a whole file gets its name
    with writing(out), tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as place:
        whole = Path(place) / "f16.gguf"
        with closing(writer):
            write_f16(whole, architecture, weights, writer)
        return quantize(whole, out, quant)


def write_f16(path: Path, architecture: Architecture, weights: Weights, writer: gguf.GGUFWriter) -> None:
    """Write a GGUF of 16-bit weights; `writer` holds its keys already. Memory holds one tensor at a time."""
    numpy = {"F16": np.dtype(np.float16), "F32": np.dtype(np.float32)}
    for one in architecture.tensors:
        size = int(np.prod(one.shape)) * numpy[one.type].itemsize
        writer.add_tensor_info(one.name, one.shape, numpy[one.type], size)
    writer.write_header_to_file(path)  # magic number, version, how many keys and tensors
    writer.write_kv_data_to_file()  # the keys
    writer.write_ti_data_to_file()  # name, shape, type and place of every tensor
    for one in architecture.tensors:
        writer.write_tensor_data(weights.read(one))  # from the safetensors, rounded to 16 bits


def quantize(whole: str | Path, out: str | Path, quant: str) -> Exported:
    """Quantize `whole`, a file that `export(…, "F16")` wrote, with llama.cpp; the rest as for `export`.

    Raises LabError: unknown step, full disk, llama.cpp failed, or `whole` is damaged, quantized or of an unknown kind.
    """
    out, header = Path(out), read_header(whole)
    architecture = whole_architecture(header)
    if any(tensor.type not in ("F16", "F32") for tensor in header.tensors.values()):
        raise LabError(f"{header.path} is quantized already, and twice adds the errors up. Start from F16.")
    keys = header.bytes - sum(tensor.bytes for tensor in header.tensors.values())  # and the list of tensors
    _check_disk(out, file_bytes(choose_types(architecture, quant), keys))
    with arriving(out) as path:
        if problem := _run_llama_cpp(header.path, path, LADDER[quant]):
            what = f"llama.cpp could not quantize {header.path} to {quant}: {problem}"
            raise LabError(f"{what}. Export the model again; if it stays, free disk.")
        return Exported(out, quant, read_header(path).bytes)


def _check_disk(out: Path, needed: int) -> None:
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(out.parent).free
    if free < needed:
        sizes = f"{needed / 1e6:,.1f} MB are needed for {out}, and {free / 1e6:,.1f} MB are free there"
        raise LabError(f"{sizes}. Nothing was written. Free some space, or give another folder.")


def _run_llama_cpp(whole: Path, out: Path, step: gguf.LlamaFileType) -> str:
    """Quantize; returns what llama.cpp said went wrong, or nothing."""
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = step
    settings.max_buf_size = 64 << 20  # bytes of rows that llama.cpp holds at a time
    with native_log() as errors:
        failed = llama_cpp.llama_model_quantize(os.fsencode(whole), os.fsencode(out), ctypes.byref(settings))
    return (" ".join(errors) or f"code {failed}") if failed else ""


@contextmanager
def native_log() -> Iterator[list[str]]:
    """Keep llama.cpp's log from the screen while the block runs; its errors go into the list."""
    errors: list[str] = []

    @llama_cpp.llama_log_callback
    def keep(level: int, text: bytes, _: ctypes.c_void_p) -> None:
        if level == 4:  # GGML_LOG_LEVEL_ERROR in ggml.h
            errors.append(text.decode(errors="replace").strip())

    llama_cpp.llama_log_set(keep, ctypes.c_void_p(0))
    try:
        yield errors
    finally:
        llama_cpp.llama_log_set(llama_log_callback, ctypes.c_void_p(0))
