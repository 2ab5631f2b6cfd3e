"""Whether native kernels may be used here, and what a tensor must be for them."""

import functools
import importlib
import os
from types import ModuleType

import torch
from torch import Tensor
from torch.autograd import forward_ad


def plain_only() -> bool:
    """Whether whoever started the process wants no native form."""
    return os.environ.get("SHINSO_KERNELS", "") == "plain"


@functools.cache
def native(name: str) -> ModuleType | None:
    """The module `shinso.kernels.NAME_native`, or None where it cannot run; decided once per process."""
    if plain_only():
        return None
    try:
        return importlib.import_module(f"shinso.kernels.{name}_native")
    except (ImportError, OSError, RuntimeError):
        return None


def module(name: str) -> ModuleType:
    """The same where `native` has already said yes."""
    found = native(name)
    if found is None:
        raise RuntimeError(f"the native form of {name} has gone since the call began")
    return found


def supported(*tensors: Tensor) -> bool:
    """Dense float32 tensors in the CPU's memory, and nobody who looks at the code instead of running it."""
    for t in tensors:
        if t.dtype != torch.float32 or not t.is_cpu or type(t) not in _KINDS or t.layout != torch.strided or t.is_neg():
            return False
    return not _transformed()


def run_plain_backward(plain, inputs, needed, grad):
    """Gradients through the twin, themselves differentiable; None where `needed` is false."""
    wanted = [t for t, need in zip(inputs, needed, strict=True) if need]
    with torch.enable_grad():
        found = iter(torch.autograd.grad(plain(*inputs), wanted, grad, create_graph=True))
    return [next(found) if need else None for need in needed]


_KINDS = (Tensor, torch.nn.Parameter)


def _transformed() -> bool:
    """Under a compiler, an exporter, autocast, a function transform, forward-mode differentiation, watched."""
    return (torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling()
            or torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
            or torch._C._functorch.maybe_current_level() is not None  # pyright: ignore[reportAttributeAccessIssue]
            or torch._C._len_torch_dispatch_stack() > 0  # pyright: ignore[reportAttributeAccessIssue]
            or forward_ad._current_level >= 0)
