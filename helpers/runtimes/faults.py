"""Faults seeded on purpose: a model that is not quite the one that was tested, in the ways this happens to people.

A test that never fails proves nothing; each fault here shows at which depth a comparison of runtimes catches it. Most are written into
a copy of the GGUF, two lie in how the runtime feeds or stops the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf

from helpers.cases import Example
from helpers.export import quantize, read_header
from helpers.files import LabError, writing
from helpers.runtimes.llama import LlamaCpp

TEMPLATE, EOS, ADD_BOS = (
    "tokenizer.chat_template",
    "tokenizer.ggml.eos_token_id",
    "tokenizer.ggml.add_bos_token",
)
# Another family's way of asking (Alpaca's), as a converter that guesses writes it.
OTHER_FAMILY = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}### Instruction:\n{{ message['content'] }}\n\n"
    "{% else %}{{ message['content'] }}\n\n{% endif %}{% endfor %}### Response:\n"
)


class AsksForBos(LlamaCpp):
    """Tokenizes a rendered prompt as it would a bare text: where the file says so, with a BOS before it, and the template wrote one too."""

    def prompt(self, example: Example) -> tuple[str, list[int]]:
        """As rendered, and with one BOS too many if the file says so."""
        rendered, _ = super().prompt(example)
        return rendered, self.encode(rendered, add_special=True)


class TrustsEos(LlamaCpp):
    """Stops at the file's EOS alone, as loops written by hand do; llama.cpp itself also knows turn-ending tokens by name."""

    def ends(self, token: int) -> bool:
        """Is it the token that the file calls EOS?"""
        return token == self.eos


@dataclass(frozen=True)
class Fault:
    """One way to be wrong.

    Attributes:
        name: key in tables and results.
        says: what it is, in a few words.
        story: how it happens to people.
        runtime: what runs the file.
        write: makes the faulty copy: (healthy F16, out).
    """

    name: str
    says: str
    story: str
    write: Callable[[Path, Path], object]
    runtime: type[LlamaCpp] = LlamaCpp

    def seed(self, whole: str | Path, out: str | Path, **settings: Any) -> LlamaCpp:
        """The faulty model, loaded; close it as any other.

        Raises:
            LabError: `whole` is no F16 file of ours, or `out` cannot be written.
        """
        self.write(Path(whole), Path(out))
        return self.runtime(out, **settings)


def rewrite(whole: Path, out: Path, changed: Mapping[str, Any]) -> None:
    """A copy of a GGUF with other values for some of its keys; the weights stay as they are.

    Raises:
        LabError: `whole` is damaged or lacks one of the keys, or `out` cannot be written.
    """
    header = read_header(whole)
    if absent := [key for key in changed if key not in header.metadata]:
        raise LabError(f"{whole} has no {', '.join(absent)} to change. Export the model again.")
    reader = gguf.GGUFReader(whole)
    writer = gguf.GGUFWriter(out, header.metadata["general.architecture"])
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, changed.get(name, header.metadata[name]), field.types[0], inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    with writing(out):
        try:
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()


def _template(change: Callable[[str], str]) -> Callable[[Path, Path], None]:
    return lambda whole, out: rewrite(whole, out, {TEMPLATE: change(read_header(whole).chat_template)})


def _without_system(template: str) -> str:
    """The same template, handed only what is not a system line."""
    return "{%- set messages = messages | rejectattr('role', 'equalto', 'system') | list -%}" + template


def _add_bos(whole: Path, out: Path) -> None:
    rewrite(whole, out, {ADD_BOS: True})


def _wrong_eos(whole: Path, out: Path) -> None:
    rewrite(whole, out, {EOS: read_header(whole).metadata["tokenizer.ggml.padding_token_id"]})


FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault(
            "double_bos",
            "BOS twice",
            "the template writes a BOS and the tokenizer adds another",
            _add_bos,
            AsksForBos,
        ),
        Fault(
            "no_system",
            "system line dropped",
            "an app sends only what the person typed",
            _template(_without_system),
        ),
        Fault(
            "other_template",
            "another family's template",
            "a converter guessed the template",
            _template(lambda _: OTHER_FAMILY),
        ),
        Fault("wrong_eos", "wrong EOS id", "the file names another token as the end of a text", _wrong_eos),
        Fault(
            "trusted_eos",
            "wrong EOS id, trusted",
            "the same file in a runtime that stops at that id alone",
            _wrong_eos,
            TrustsEos,
        ),
        Fault(
            "swapped_quant",
            "Q2_K named F16",
            "the small file was uploaded under the large one's name",
            lambda w, o: quantize(w, o, "Q2_K"),
        ),
    )
}
