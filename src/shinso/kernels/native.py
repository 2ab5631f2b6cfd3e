"""Whether native kernels may be used here, and what a tensor must be for them."""

import functools
import importlib
import os
from types import ModuleType

import torch
from torch import Tensor
from torch.autograd import forward_ad


@functools.cache
def native(name: str) -> ModuleType | None:
    """The module `shinso.kernels.NAME_native`, or None where it cannot run; decided once per process."""
    if os.environ.get("SHINSO_KERNELS", "") == "plain":
        return None
    try:
        return importlib.import_module(f"shinso.kernels.{name}_native")
    except (ImportError, OSError, RuntimeError):
        return None


def supported(*tensors: Tensor) -> bool:
    """Dense float32 tensors in the CPU's memory, and nobody who looks at the code instead of running it."""
    return all(t.dtype == torch.float32 and t.device.type == "cpu" and type(t) in _KINDS and t.layout == torch.strided
               and not t.is_neg() for t in tensors) and not _transformed()


def run_plain_backward(plain, inputs, needed, grad):
    """Gradients through the twin, themselves differentiable; None where `needed` is false."""
    wanted = [t for t, need in zip(inputs, needed, strict=True) if need]
    with torch.enable_grad():
        found = iter(torch.autograd.grad(plain(*inputs), wanted, grad, create_graph=True))
    return [next(found) if need else None for need in needed]


_KINDS = (Tensor, torch.nn.Parameter)


def _transformed() -> bool:
    """Under a compiler, an exporter, autocast, a function transform or forward-mode differentiation."""
    return (torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling() or torch.jit.is_tracing()
            or torch._C._functorch.maybe_current_level() is not None or forward_ad._current_level >= 0)
