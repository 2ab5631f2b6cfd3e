"""Whether native kernels may be used here, and how many threads they take."""

import functools
import importlib
import os
import platform
from types import ModuleType

import torch
from torch import Tensor


@functools.cache
def native(name: str) -> ModuleType | None:
    """The module `shinso.kernels.NAME_native`, or None where it cannot run; decided once per process."""
    if os.environ.get("SHINSO_KERNELS", "") == "plain" or not _vectorised():
        return None
    try:
        return importlib.import_module(f"shinso.kernels.{name}_native")
    except (ImportError, OSError, RuntimeError):
        return None


def supported(*tensors: Tensor) -> bool:
    """Dense float32 tensors on the CPU, outside of torch.compile, torch.func and forward-mode differentiation."""
    return all(t.dtype == torch.float32 and t.device.type == "cpu" and type(t) in (Tensor, torch.nn.Parameter)
               and t.layout == torch.strided for t in tensors) and not tracing()


def tracing() -> bool:
    """True while a compiler, an exporter or a function transform looks at the code instead of running it."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing() or torch._C._functorch.maybe_current_level() is not None


def _vectorised() -> bool:
    """The native forms are written in fused multiply-adds of short vectors; other machines run the twins."""
    return platform.machine().lower() in ("x86_64", "amd64", "aarch64", "arm64")
