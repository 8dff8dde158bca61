"""Export: a model folder becomes one GGUF file, on a step of the ladder F16 … Q2_K.

whole = export(stage, "build/export/f16.gguf")              # written here, tensor by tensor
small = quantize(whole.path, "build/export/q4.gguf", "Q4_K_M")  # by llama.cpp
predict_large("Q5_K_M")                                     # LFM2.5-1.2B to the byte, from its config alone
"""

from helpers.export.architecture import Tensor, read_architecture, whole_architecture
from helpers.export.convert import Exported, export, native_log, quantize, write_f16
from helpers.export.header import Header, read_header, renderer
from helpers.export.sizes import LADDER, LARGE, choose_types, predict_folder, predict_large
