"""What makes LoRA training quick on a few CPU cores (`tests/bench_train.py` measures it).

A 4 M-parameter model spends more time moving activations than multiplying matrices, so each piece here saves
a pass over them: the allocator keeps freed buffers, and LoRA adds into the layer's own output.
"""

import ctypes
import gc
import os
import sys
from types import MethodType
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import Linear
from transformers import PreTrainedModel, TrainerCallback

LARGE = 50_000_000  # parameters of a model whose training takes minutes and gigabytes
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LARGEST_KEPT = 32 * 2**20  # the largest value that glibc accepts for M_MMAP_THRESHOLD


def keep_freed_memory() -> None:
    """Ask glibc to reuse large buffers: each step and token frees them, and a fresh page costs a fault."""
    if tune := _of_glibc("mallopt"):
        tune(M_MMAP_THRESHOLD, LARGEST_KEPT)
        tune(M_TRIM_THRESHOLD, 2**31 - 1)


def _of_glibc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None


def hand_back_memory() -> None:
    """Give the kept buffers back to the system once a training is over: whatever comes next needs others."""
    gc.collect()
    if trim := _of_glibc("malloc_trim"):
        trim(0)


def keep_few_kernels(model: PreTrainedModel) -> None:
    """Let oneDNN keep 16 prepared kernels of a large model, not 1,024: one of them holds 10 to 20 MB, and nearly every
    batch and every length of a cache asks for another. For a small model they are small, and worth keeping.

    oneDNN reads the variable when it prepares its first kernel.
    """
    if model.num_parameters() > LARGE:
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")


class HandBack(TrainerCallback):
    """Every few steps, hand back what the allocator kept: of a large model's buffers, of another size in each batch,
    gigabytes lie idle (pocket: 3.5 GB after 40 steps, 1.6 with this, in the same time).
    """

    def on_step_end(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        """Called by the trainer after each optimizer step."""
        if state.global_step % 4 == 0:
            hand_back_memory()


class _FusedLora(torch.autograd.Function):
    """y = xWᵀ + s·(xAᵀ)Bᵀ with the second term added in place; so are both terms of the input's gradient.

    PEFT writes product, scaled copy and sum as three full-sized tensors, twice. W is frozen.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, a: torch.Tensor, b: torch.Tensor, scale: float
    ) -> torch.Tensor:
        rows, a, b = x.reshape(-1, x.shape[-1]), a.to(x.dtype), b.to(x.dtype)
        low = rows @ a.T
        out = (rows @ weight.T).addmm_(low, b.T, alpha=scale)
        ctx.save_for_backward(rows, weight, a, b, low)
        ctx.scale = scale
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, weight, a, b, low = ctx.saved_tensors
        flat = grad.reshape(-1, grad.shape[-1])
        back = flat @ b * ctx.scale
        to_input = (flat @ weight).addmm_(back, a)
        to_a, to_b = (back.T @ rows).float(), (flat.T @ low).float() * ctx.scale
        return to_input.view(*grad.shape[:-1], -1), None, to_a, to_b, None


def _forward(self: Linear, x: torch.Tensor) -> torch.Tensor:
    if self.disable_adapters or self.merged:
        return self.base_layer(x)
    name, weight = self.active_adapters[0], self.base_layer.weight
    return _FusedLora.apply(
        x.to(weight.dtype), weight, self.lora_A[name].weight, self.lora_B[name].weight, self.scaling[name]
    )


def fuse_lora(model: PeftModel) -> None:
    """Give every LoRA layer of `model` the fused forward: one adapter, no dropout, no bias, as of `load`."""
    for module in model.modules():
        if isinstance(module, Linear):
            module.forward = MethodType(_forward, module)
