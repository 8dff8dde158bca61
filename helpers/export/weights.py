"""Read safetensors one tensor at a time, and refuse damaged files before anything is made of them.

Files are read, never mapped: a mapped file counts as the process's memory for as long as its pages stay.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from helpers.export.architecture import Tensor
from helpers.files import LabError, read_json

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_TYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}
_SLAB = 1 << 24  # weights converted at a time, so that the largest tensor is not in memory two or three times


class _Place(NamedTuple):
    path: Path
    type: str
    shape: tuple[int, ...]
    start: int


class Weights:
    """The tensors of a model folder, whole or in shards. A `LabError` names what is missing, cut off or not safetensors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[str, _Place] = {}
        for path in _shards(folder):
            self._places |= _read_places(path)

    def check(self, expected: tuple[Tensor, ...]) -> None:
        """A `LabError` unless these are the weights of that architecture: all, no others, its shapes, 16- or 32-bit floats."""
        sources = {tensor.source: tensor for tensor in expected}
        if missing := [name for name in sources if name not in self._places]:
            raise LabError(f"{self.folder} lacks {_several(missing)}: not the weights of its config.json.")
        known = {
            *sources,
            "lm_head.weight",
        }  # the output layer may be saved although it is the embedding again
        if unknown := [name for name in self._places if name not in known]:
            cause = "an adapter that was not merged, or another architecture"
            raise LabError(f"{self.folder} holds {_several(unknown)}, which no such LFM2 has: {cause}.")
        for name, tensor in sources.items():
            path, kind, shape, _ = self._places[name]
            if shape != tensor.stored:
                raise LabError(f"{name} in {path} has the shape {shape}; config.json says {tensor.stored}.")
            if kind not in _TYPES:
                raise LabError(f"{name} in {path} is stored as {kind}; the export reads {', '.join(_TYPES)}.")

    def read(self, tensor: Tensor) -> np.ndarray:
        """A tensor in the shape and type of a 16-bit GGUF; a `LabError` if it does not fit. Memory: the result and one slab."""
        place = self._places[tensor.source]
        kind, done = _TYPES[place.type], 0
        out = np.empty(math.prod(place.shape), np.float32 if tensor.type == "F32" else np.float16)
        with place.path.open("rb", buffering=0) as stream:
            stream.seek(place.start)
            while done < len(out):
                part = out[done : done + _SLAB]
                buffer = bytearray(len(part) * kind.itemsize)
                if stream.readinto(buffer) != len(buffer):
                    raise _damaged(place.path, "it ended while it was being read")
                torch.from_numpy(part).copy_(torch.frombuffer(buffer, dtype=kind))  # rounds to nearest
                if not _all_finite(part):
                    how = "a weight that is not a number or too large for float16 (65,504): training diverged"
                    raise LabError(
                        f"{tensor.source} in {place.path} holds {how}. Train it again, with a lower learning rate."
                    )
                done += len(part)
        return out.reshape(tensor.shape)


def _all_finite(part: np.ndarray) -> bool:
    """No infinity and no NaN. For float16 from the bits: several times as fast as numpy's own test."""
    if part.dtype == np.float32:
        return bool(np.isfinite(part).all())
    return bool((part.view(np.uint16) & 0x7FFF).max(initial=0) < 0x7C00)


def _damaged(path: Path, how: object) -> LabError:
    return LabError(f"{path} is damaged: {how}. Nothing was written. Restore it, or build the stage again.")


def _several(names: list[str]) -> str:
    return f"{names[0]}{f' and {len(names) - 1} more tensors' if len(names) > 1 else ''}"


def _shards(folder: Path) -> list[Path]:
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if not (folder / INDEX).is_file():
        raise LabError(f"There is no {SINGLE} in {folder}. Give a saved model: a stage, or data/nano-base.")
    paths = [folder / name for name in sorted(set(read_json(folder / INDEX).get("weight_map", {}).values()))]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise LabError(f"{folder} lacks {', '.join(missing)}, which {INDEX} names: a copy not finished.")
    return paths


def _read_places(path: Path) -> dict[str, _Place]:
    """Where each tensor lies: 8 bytes of length, a JSON header, then the data. The library checks that they fit each other."""
    try:
        with safe_open(path, "np"):
            pass
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from None
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        rows = json.loads(stream.read(length))
    rows.pop("__metadata__", None)
    starts = {name: 8 + length + row["data_offsets"][0] for name, row in rows.items()}
    return {n: _Place(path, row["dtype"], tuple(row["shape"]), starts[n]) for n, row in rows.items()}
