"""Read safetensors one tensor at a time, and refuse damaged files before anything is made of them."""

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


class _Place(NamedTuple):
    path: Path
    type: str
    shape: tuple[int, ...]


class Weights:
    """The tensors of a model folder, whole or in shards. A `LabError` names what is missing or damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[str, _Place] = {}
        for path in _shards(folder):
            try:  # the library checks that header and data fit each other
                with safe_open(path, "pt") as file:
                    for name in file.keys():  # noqa: SIM118
                        one = file.get_slice(name)
                        self._places[name] = _Place(path, one.get_dtype(), tuple(one.get_shape()))
            except (SafetensorError, OSError) as error:
                how = f"{path} is damaged: {error}. Nothing was written"
                raise LabError(f"{how}. Restore it, or build the stage again.") from None

    def check(self, expected: tuple[Tensor, ...]) -> None:
        """A `LabError` unless these are all weights of that architecture, in its shapes, and no others."""
        sources = {tensor.source: tensor for tensor in expected}
        if missing := [name for name in sources if name not in self._places]:
            raise LabError(f"{self.folder} lacks {_several(missing)}: not the weights of its config.json.")
        # The output layer may be saved although it is the embedding again.
        if unknown := [name for name in self._places if name not in {*sources, "lm_head.weight"}]:
            cause = "an adapter that was not merged, or another architecture"
            raise LabError(f"{self.folder} holds {_several(unknown)}, which no such model has: {cause}.")
        for name, tensor in sources.items():
            path, kind, shape = self._places[name]
            if shape != tensor.stored:
                raise LabError(f"{name} in {path} has the shape {shape}; config.json says {tensor.stored}.")
            if kind not in _TYPES:
                raise LabError(f"{name} in {path} is stored as {kind}; the export reads {', '.join(_TYPES)}.")

    def read(self, tensor: Tensor) -> np.ndarray:
        """A tensor in the shape and type of a 16-bit GGUF, rounded; a `LabError` if it does not fit.

        The file is mapped for this one tensor only: what stays mapped counts as the process's memory.
        """
        path = self._places[tensor.source].path
        with safe_open(path, "pt") as file:
            weight = file.get_tensor(tensor.source).to(_TYPES[tensor.type], copy=True)
        if tensor.add:
            weight += tensor.add
        if not weight.abs().max() < torch.inf:  # of a NaN, too, for which no comparison holds
            what = f"{tensor.source} in {path} holds a weight that is no number or too large for float16"
            raise LabError(f"{what}: training diverged. Train it again, with a lower learning rate.")
        return weight.numpy().reshape(tensor.shape)


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
