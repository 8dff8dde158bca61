"""Read what a GGUF says about itself, and refuse a damaged one before a native library trips over it.

llama.cpp stops the process on some damaged files, and gguf's reader counts for hours through a length that is
noise. Here every length is held against the rest of the file. A bit flipped inside the weights is not seen.
"""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import gguf
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from helpers.files import LabError

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_TYPES = {kind.value: kind for kind in gguf.GGMLQuantizationType}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as the file lists it: type by name, shape (rows first), place and bytes of its data."""

    name: str
    type: str
    shape: tuple[int, ...]
    offset: int
    bytes: int


@dataclass(frozen=True)
class Header:
    """What a GGUF says about itself: every key with its value, and the tensors by name in their order."""

    path: Path
    bytes: int
    metadata: dict[str, Any]
    tensors: dict[str, StoredTensor]

    @property
    def chat_template(self) -> str:
        """The Jinja template; empty when there is none."""
        return self.metadata.get("tokenizer.chat_template", "")

    def token(self, role: str) -> str:
        """Text of the token with this role ("bos", "eos"); empty when there is none."""
        index = self.metadata.get(f"tokenizer.ggml.{role}_token_id")
        tokens = self.metadata.get("tokenizer.ggml.tokens", [])
        return tokens[index] if isinstance(index, int) and 0 <= index < len(tokens) else ""


def read_header(path: str | Path) -> Header:
    """Read and check a GGUF's header, not its weights; a `LabError` if it is missing, cut or no GGUF."""
    path = Path(path)
    try:
        with path.open("rb") as stream:
            return _Reader(stream, path).header()
    except OSError as error:
        raise LabError(f"{path} cannot be read ({error.strerror}). Export the model first.") from error
    except ValueError as error:
        how = "a name in it is not text" if isinstance(error, UnicodeDecodeError) else error
        raise LabError(f"{path} is not a whole GGUF: {how}. Delete it and export the model again.") from None


def renderer(header: Header) -> Callable[[Any], str]:
    """The chat template inside a GGUF as a function of messages, rendered as llama-cpp-python does it.

    Raises LabError: the template is missing or not Jinja; when it is called: it refuses the conversation.
    """
    template, again = header.chat_template, "Export the model again."
    if not template:
        raise LabError(f"{header.path} carries no chat template, so nothing could ask it. {again}")
    what = f"The chat template in {header.path}"
    try:
        formatter = Jinja2ChatFormatter(template, header.token("eos"), header.token("bos"))
    except Exception as error:
        raise LabError(f"{what} is not valid Jinja ({error}). {again}") from error

    def render(messages: Any) -> str:
        try:
            return formatter(messages=list(messages)).prompt
        except Exception as error:  # jinja2's own errors, and whatever the template itself raises
            raise LabError(f"{what} cannot render a conversation ({error}). {again}") from error

    return render


class _Reader:
    """Reads on through an open file; a ValueError says how it is damaged, and `read_header` the rest."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self.stream, self.path, self.size, self.at = stream, path, path.stat().st_size, 0

    def take(self, count: int) -> bytes:
        if count > self.size - self.at:
            raise ValueError("it ends in the middle of its header")
        self.at += count
        return self.stream.read(count)

    def number(self, code: str) -> Any:
        return struct.unpack(f"<{code}", self.take(struct.calcsize(f"<{code}")))[0]

    def text(self) -> str:
        return self.take(self.number("Q")).decode()

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind in _NUMBERS:
            return self.number(_NUMBERS[kind])
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY or depth > 1:
            raise ValueError(f"a value in it is of an unknown kind ({kind})")
        inner, count = self.number("I"), self.number("Q")
        if inner in _NUMBERS:
            raw = self.take(count * struct.calcsize(f"<{_NUMBERS[inner]}"))
            return list(struct.unpack(f"<{count}{_NUMBERS[inner]}", raw))
        if count > self.size - self.at:  # an item takes more than a byte
            raise ValueError("a list in it is longer than the file")
        return [self.value(inner, depth + 1) for _ in range(count)]

    def header(self) -> Header:
        if self.take(4) != b"GGUF":
            raise ValueError("it does not begin like one")
        version, tensors, keys = self.number("I"), self.number("Q"), self.number("Q")
        if version not in (2, 3):
            raise ValueError(f"it is of version {version}, and 2 and 3 are known")
        if tensors + keys > self.size:
            raise ValueError("it counts more entries than it has bytes")
        metadata = {self.text(): self.value(self.number("I")) for _ in range(keys)}
        entries = [self.entry() for _ in range(tensors)]
        alignment = metadata.get("general.alignment", gguf.GGUF_DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or alignment <= 0:
            raise ValueError("its alignment is not a size")
        start = gguf.GGUFWriter.ggml_pad(self.at, alignment)
        placed = {entry.name: replace(entry, offset=start + entry.offset) for entry in entries}
        if len(placed) != tensors or len(metadata) != keys:
            raise ValueError("two entries have the same name")
        for entry in placed.values():
            if entry.offset + entry.bytes > self.size:
                raise ValueError(f"it ends before the weights of {entry.name} do ({self.size:,} bytes)")
        return Header(self.path, self.size, metadata, placed)

    def entry(self) -> StoredTensor:
        name, dimensions = self.text(), self.number("I")
        if not 1 <= dimensions <= 4:
            raise ValueError(f"{name} has {dimensions} dimensions")
        shape = tuple(reversed([self.number("Q") for _ in range(dimensions)]))
        kind, offset = self.number("I"), self.number("Q")
        if kind not in _TYPES:
            raise ValueError(f"{name} is of an unknown type ({kind})")
        weights, size = gguf.GGML_QUANT_SIZES[_TYPES[kind]]
        if shape[-1] % weights:
            raise ValueError(f"the rows of {name} are not whole blocks")
        return StoredTensor(name, _TYPES[kind].name, shape, offset, math.prod(shape) // weights * size)
