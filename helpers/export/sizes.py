"""How large the file will be, to the byte, before it is written, and without the weights.

A GGUF is a list of keys, a list of tensors, and the tensors' data, each padded to 32 bytes. All of it follows from config.json and the
step of the ladder, except the tokenizer and the model's name, which take the same space on every step. The 1.2 B model is described by
`data/lfm2.5-1.2b.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf

from helpers.export.architecture import read_architecture
from helpers.export.ladder import Choice, choose_types
from helpers.export.metadata import architecture_metadata, folder_metadata, metadata_bytes
from helpers.files import DATA, read_json

LARGE = DATA / "lfm2.5-1.2b.json"
_PREFIX = 24  # magic, version, number of tensors, number of keys


@dataclass(frozen=True)
class Prediction:
    """A file that is not there yet: its step of the ladder, its size, its number of weights, and what each tensor becomes."""

    quant: str
    bytes: int
    parameters: int
    tensors: tuple[Choice, ...]

    @property
    def bits_per_weight(self) -> float:
        """Mean bits a weight, over the weights alone."""
        return 8 * sum(choice.bytes for choice in self.tensors) / self.parameters


def predict(config: Mapping[str, Any], quant: str, other_bytes: int = 0) -> Prediction:
    """The file from a config.json's content alone; a `LabError` for an unknown step or architecture.

    `other_bytes` is the space of the keys that do not follow from the config: tokenizer, name, licence.
    """
    architecture = read_architecture(config)
    choices = choose_types(architecture, quant)
    keys = metadata_bytes(architecture_metadata(architecture)) + other_bytes
    return Prediction(quant, file_bytes(choices, keys), architecture.parameters, choices)


def predict_folder(folder: str | Path, quant: str) -> Prediction:
    """The file that `export(folder, …, quant)` would write, to the byte. The weights are not read. Errors as there."""
    config = read_json(Path(folder) / "config.json")
    architecture = read_architecture(config)
    every, known = folder_metadata(Path(folder), architecture), architecture_metadata(architecture)
    return predict(config, quant, metadata_bytes(every) - metadata_bytes(known))


def predict_large(quant: str) -> Prediction:
    """LFM2.5-1.2B on a step of the ladder, with the space its tokenizer takes."""
    described = read_json(LARGE)
    return predict(described["config"], quant, described["other_bytes"])


def file_bytes(choices: Sequence[Choice], keys: int) -> int:
    """Size of a GGUF with these tensors, and keys and values of `keys` bytes."""
    # a line in the list of tensors: name, number of dimensions, dimensions, type, place
    lines = (8 + len(one.tensor.name.encode()) + 4 + 8 * len(one.tensor.shape) + 4 + 8 for one in choices)
    return _padded(_PREFIX + keys + sum(lines)) + sum(_padded(choice.bytes) for choice in choices)


def _padded(size: int) -> int:
    return -(-size // gguf.GGUF_DEFAULT_ALIGNMENT) * gguf.GGUF_DEFAULT_ALIGNMENT
