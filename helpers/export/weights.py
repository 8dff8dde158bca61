"""Read safetensors one tensor at a time, and refuse damaged files before anything is made of them.

Files are read, never mapped: a mapped file counts as the process's memory for as long as its pages stay.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from helpers.export.architecture import Tensor
from helpers.files import LabError, read_json

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_TYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}
_SLAB = (
    1 << 24
)  # weights converted at a time: what keeps the largest tensor from being in memory two or three times


class _Place(NamedTuple):
    path: Path
    type: str
    shape: tuple[int, ...]
    start: int


def _damaged(path: Path, how: str) -> LabError:
    return LabError(
        f"{path} is damaged: {how}. Nothing was written. Restore the file, or delete the stage and build it again."
    )


class Weights:
    """The tensors of a model folder, whole or in shards.

    Raises:
        LabError: no safetensors in the folder, a shard is missing, or a file is cut off or not safetensors.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[str, _Place] = {}
        for path in _shards(folder):
            self._places |= _read_places(path)

    def check(self, expected: tuple[Tensor, ...]) -> None:
        """Are these the weights of that architecture: all of them, no others, in the shapes its config.json says?

        Raises:
            LabError: a tensor is missing, unknown, of another shape, or of a type that is not a 16- or 32-bit float.
        """
        sources = {tensor.source: tensor for tensor in expected}
        if missing := [name for name in sources if name not in self._places]:
            raise LabError(
                f"{self.folder} lacks {_several(missing)}: the weights are not whole, or not those of its config.json."
            )
        tied = (
            set() if "lm_head.weight" in sources else {"lm_head.weight"}
        )  # saved although it is the embedding again
        if unknown := [name for name in self._places if name not in sources and name not in tied]:
            said = "an adapter that was not merged, or another architecture"
            raise LabError(
                f"{self.folder} holds {_several(unknown)}, which an LFM2 of its config.json has not: {said}."
            )
        for name, tensor in sources.items():
            place = self._places[name]
            if place.shape != tensor.stored:
                raise LabError(
                    f"{name} in {place.path} has the shape {place.shape}; config.json says {tensor.stored}. Save the model again."
                )
            if place.type not in _TYPES:
                raise LabError(
                    f"{name} in {place.path} is stored as {place.type}; the export reads {', '.join(_TYPES)}."
                )

    def read(self, tensor: Tensor) -> np.ndarray:
        """A tensor in the shape and type of a 16-bit GGUF. Memory: the result and one slab.

        Raises:
            LabError: a weight is not a number, or too large for float16.
        """
        place = self._places[tensor.source]
        out = np.empty(math.prod(place.shape), np.float32 if tensor.type == "F32" else np.float16)
        done = 0
        for slab in _slabs(place):
            part = out[done : done + len(slab)]
            torch.from_numpy(part).copy_(slab)  # rounds to nearest, as numpy does
            if not _all_finite(part):
                raise LabError(
                    f"{tensor.source} in {place.path} holds a weight that is not a number or too large for float16 (65,504): "
                    "training diverged, or the file is damaged. Train the stage again with a lower learning rate."
                )
            done += len(slab)
        return out.reshape(tensor.shape)


def _all_finite(part: np.ndarray) -> bool:
    """No infinity and no NaN. For float16 from the bits: several times as fast as numpy's own test."""
    if part.dtype == np.float32:
        return bool(np.isfinite(part).all())
    return bool((part.view(np.uint16) & 0x7FFF).max(initial=0) < 0x7C00)


def _several(names: list[str]) -> str:
    return f"{names[0]}{f' and {len(names) - 1} more tensors' if len(names) > 1 else ''}"


def _shards(folder: Path) -> list[Path]:
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if not (folder / INDEX).is_file():
        raise LabError(
            f"There is no {SINGLE} in {folder}. Give the folder of a saved model: a stage, or data/nano-base."
        )
    named = read_json(folder / INDEX).get("weight_map", {})
    paths = [folder / name for name in sorted(set(named.values()))]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise LabError(
            f"{folder} lacks {', '.join(missing)}, which {INDEX} names: the download or the copy was not finished."
        )
    return paths


def _read_places(path: Path) -> dict[str, _Place]:
    """Where each tensor lies: 8 bytes of length, a JSON header, then the data, without gaps (the safetensors format)."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > size - 8:
            raise _damaged(path, "its header is cut off")
        raw = stream.read(length)
    try:
        found = [_row(name, row) for name, row in json.loads(raw).items() if name != "__metadata__"]
    except (ValueError, AttributeError, KeyError, TypeError):
        raise _damaged(path, "its header is not readable") from None
    places, expected = {}, 0
    for name, (type_name, shape, start, end) in sorted(found, key=lambda row: row[1][2]):
        if start != expected or (
            type_name in _TYPES and end - start != math.prod(shape) * _TYPES[type_name].itemsize
        ):
            raise _damaged(path, f"the place of {name} does not follow from its shape")
        places[name] = _Place(path, type_name, shape, 8 + length + start)
        expected = end
    if size != 8 + length + expected:
        raise _damaged(path, f"it has {size:,} bytes, and its header speaks of {8 + length + expected:,}")
    return places


def _row(name: str, row: dict) -> tuple[str, tuple[str, tuple[int, ...], int, int]]:
    start, end = row["data_offsets"]
    return name, (str(row["dtype"]), tuple(map(int, row["shape"])), int(start), int(end))


def _slabs(place: _Place) -> Iterator[torch.Tensor]:
    """The tensor's weights in its stored type, one slab after another."""
    kind, left = _TYPES[place.type], math.prod(place.shape)
    with place.path.open("rb", buffering=0) as stream:
        stream.seek(place.start)
        while left:
            buffer = bytearray(min(left, _SLAB) * kind.itemsize)
            if stream.readinto(buffer) != len(buffer):
                raise _damaged(place.path, "it ended while it was being read")
            left -= len(buffer) // kind.itemsize
            yield torch.frombuffer(buffer, dtype=kind)
