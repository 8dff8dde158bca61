"""Export: a model folder becomes one GGUF file, on a step of the ladder F16, Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q2_K.

whole = export(stage, "build/export/f16.gguf")              # written here, tensor by tensor
small = quantize(whole.path, "build/export/q4.gguf", "Q4_K_M")  # by llama.cpp
check_template(stage, small.path)                           # does it ask in the same words?
predict_large("Q5_K_M")                                     # LFM2.5-1.2B to the byte, from its config alone
"""

from helpers.export.architecture import Architecture, Tensor, read_architecture
from helpers.export.convert import Exported, export, quantize, whole_architecture
from helpers.export.header import Header, StoredTensor, read_header
from helpers.export.ladder import LADDER, Choice, choose_types
from helpers.export.native import native_log
from helpers.export.sizes import BLOG, LARGE, Prediction, as_listed, predict, predict_folder, predict_large
from helpers.export.template import CONVERSATIONS, TemplateCheck, check_template, renderer

__all__ = [
    "BLOG",
    "CONVERSATIONS",
    "LADDER",
    "LARGE",
    "Architecture",
    "Choice",
    "Exported",
    "Header",
    "Prediction",
    "StoredTensor",
    "TemplateCheck",
    "Tensor",
    "as_listed",
    "check_template",
    "choose_types",
    "export",
    "native_log",
    "predict",
    "predict_folder",
    "predict_large",
    "quantize",
    "read_architecture",
    "read_header",
    "renderer",
    "whole_architecture",
]
