"""What the tests of the export share: model folders made from the nano base, and a GGUF as gguf's own reader
sees it.
"""

import json
import shutil

import gguf
import torch
from safetensors.torch import load_file, save_file

from helpers import export, triage
from helpers.files import DATA, read_json

NANO = DATA / "nano-base"
SHIPPED = load_file(NANO / "model.safetensors")
ASKED = triage.messages("Dolor en el pecho y sudor frío desde hace 20 minutos.", "GT")
CONVERSATIONS = (
    ASKED,
    ASKED[1:],
    [
        *ASKED,
        {"role": "assistant", "content": "Nivel de Urgencia: NARANJA"},
        {"role": "user", "content": "¿Y si se me pasa?"},
    ],
    [{"role": "system", "content": ""}, {"role": "user", "content": "  espacios y\n\nlíneas \t vacías \n"}],
    [{"role": "user", "content": "{{ 7 * 7 }} {% if x %} <b>&amp;</b> \"comillas\" 'simples' \\n 🚑 ñandú"}],
    [{"role": "user", "content": "a"}, {"role": "user", "content": "dos mensajes seguidos"}],
)


def model_folder(path, tensors=None, config=None, **files):
    """A model folder like the nano base's, with other weights, other config values, or other files."""
    shutil.copytree(NANO, path)
    if tensors is not None:
        save_file(tensors, path / "model.safetensors")
    for name, changes in {"config.json": config or {}, **files}.items():
        value = read_json(path / name)
        (path / name).write_text(json.dumps(value | changes))
    return path


def random_folder(path, **config):
    """A folder of random weights in the shapes that config.json asks for."""
    merged = read_json(NANO / "config.json") | config
    dice = torch.Generator().manual_seed(0)
    shapes = {tensor.source: tensor.stored for tensor in export.read_architecture(merged).tensors}
    return model_folder(
        path, {name: torch.randn(shape, generator=dice).half() for name, shape in shapes.items()}, config
    )


def read_back(path):
    """Keys with their kinds and values, and tensors, as gguf's own reader sees them."""
    reader = gguf.GGUFReader(path)
    keys = {
        name: (field.types, field.contents())
        for name, field in reader.fields.items()
        if not name.startswith("GGUF.")
    }
    return keys, {tensor.name: tensor for tensor in reader.tensors}


def types_in(path):
    """The type of every tensor in a GGUF, by name."""
    return {name: tensor.type for name, tensor in export.read_header(path).tensors.items()}
