"""Export: a model folder becomes one GGUF file, on a step of the ladder F16, Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q2_K.

whole = export(stage, "build/export/f16.gguf")              # written here, tensor by tensor
small = quantize(whole.path, "build/export/q4.gguf", "Q4_K_M")  # by llama.cpp
predict_large("Q5_K_M")                                     # LFM2.5-1.2B to the byte, from its config alone
"""

from helpers.export.architecture import Tensor, read_architecture, whole_architecture
from helpers.export.convert import Exported, export, quantize, write_f16
from helpers.export.header import Header, read_header, renderer
from helpers.export.ladder import LADDER, choose_types
from helpers.export.native import native_log
from helpers.export.sizes import LARGE, predict_folder, predict_large

__all__ = [
    "LADDER",
    "LARGE",
    "Exported",
    "Header",
    "Tensor",
    "choose_types",
    "export",
    "native_log",
    "predict_folder",
    "predict_large",
    "quantize",
    "read_architecture",
    "read_header",
    "renderer",
    "whole_architecture",
    "write_f16",
]
