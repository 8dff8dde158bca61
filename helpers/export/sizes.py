"""How large the file will be, to the byte, before it is written, and without the weights.

A GGUF is a list of keys, a list of tensors, and the tensors' data, each padded to 32 bytes. All of it follows from config.json and the
step of the ladder, except the tokenizer and the model's name, which take the same space on every step.

The 1.2 B model is described by `data/lfm2.5-1.2b.json`. The blog's sizes of it are what `ls -lh` prints: powers of 1,024, rounded up.
"""

from __future__ import annotations

import math
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
BLOG = {
    "F16": "2.2G",
    "Q5_K_M": "805M",
    "Q4_K_M": "698M",
    "Q2_K": "462M",
}  # as printed by the blog, which writes GB and MB
_PREFIX = 24  # magic, version, number of tensors, number of keys


@dataclass(frozen=True)
class Prediction:
    """A file that is not there yet.

    Attributes:
        quant: the step of the ladder.
        bytes: size of the file.
        parameters: number of weights.
        tensors: what each tensor becomes.
    """

    quant: str
    bytes: int
    parameters: int
    tensors: tuple[Choice, ...]

    @property
    def bits_per_weight(self) -> float:
        """Mean bits a weight, over the weights alone."""
        return 8 * sum(choice.bytes for choice in self.tensors) / self.parameters

    @property
    def listed(self) -> str:
        """The size as `ls -lh` prints it."""
        return as_listed(self.bytes)

    @property
    def fallbacks(self) -> tuple[Choice, ...]:
        """Tensors that get another type than the step asks for."""
        return tuple(choice for choice in self.tensors if choice.fell_back)


def predict(config: Mapping[str, Any], quant: str, other_bytes: int = 0) -> Prediction:
    """The file from a config.json's content alone.

    Args:
        config: what config.json holds.
        quant: a step of `LADDER`.
        other_bytes: keys that do not follow from the config: tokenizer, name, licence. Without them the size falls short by so much.

    Raises:
        LabError: unknown step or architecture.
    """
    architecture = read_architecture(config)
    choices = choose_types(architecture, quant)
    keys = metadata_bytes(architecture_metadata(architecture)) + other_bytes
    return Prediction(quant, file_bytes(choices, keys), architecture.parameters, choices)


def predict_folder(folder: str | Path, quant: str) -> Prediction:
    """The file that `export(folder, …, quant)` would write, to the byte. The weights are neither needed nor read.

    Raises:
        LabError: unknown step or architecture, or a tokenizer that cannot be exported.
    """
    config = read_json(Path(folder) / "config.json")
    architecture = read_architecture(config)
    every, known = folder_metadata(Path(folder), architecture), architecture_metadata(architecture)
    return predict(config, quant, metadata_bytes(every) - metadata_bytes(known))


def predict_large(quant: str) -> Prediction:
    """LFM2.5-1.2B on a step of the ladder, with the space its tokenizer takes.

    Raises:
        LabError: unknown step.
    """
    described = read_json(LARGE)
    return predict(described["config"], quant, described["other_bytes"])


def file_bytes(choices: Sequence[Choice], keys: int) -> int:
    """Size of a GGUF with these tensors, and keys and values of `keys` bytes."""
    head = _PREFIX + keys + sum(_entry(choice) for choice in choices)
    return _padded(head) + sum(_padded(choice.bytes) for choice in choices)


def as_listed(size: int) -> str:
    """A size as `ls -lh` prints it: powers of 1,024, rounded **up**; one decimal below 10 ("2.2G", "805M")."""
    value, unit = float(size), ""
    for unit in ("", "K", "M", "G"):
        if value < 1024 or unit == "G":
            break
        value /= 1024
    if unit and value < 10:
        tenths = math.ceil(value * 10)
        return f"{tenths / 10:.1f}{unit}" if tenths < 100 else f"10{unit}"
    return f"{math.ceil(value)}{unit}"


def _entry(choice: Choice) -> int:
    """A line in the list of tensors: name, number of dimensions, dimensions, type, place."""
    return 8 + len(choice.tensor.name.encode()) + 4 + 8 * len(choice.tensor.shape) + 4 + 8


def _padded(size: int) -> int:
    return -(-size // gguf.GGUF_DEFAULT_ALIGNMENT) * gguf.GGUF_DEFAULT_ALIGNMENT
