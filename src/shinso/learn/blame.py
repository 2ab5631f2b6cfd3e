"""Finds where a network leaves the finite numbers."""

import torch
from torch import Tensor, nn


def first_bad_layer(model: nn.Module, inputs: Tensor) -> str:
    """The first tensor that is not finite in the order of computation: input, then each layer's weights and output."""
    if not inputs.isfinite().all():
        rows = (~inputs.isfinite().flatten(1).all(1)).nonzero().flatten().tolist()
        return f"input, rows {rows[:5]} of the batch"
    found: list[str] = []
    names = {module: name or type(module).__name__ for name, module in model.named_modules()}

    def look(module: nn.Module, _inputs: object, output: object) -> None:
        for name, weight in module.named_parameters(recurse=False):
            if not weight.isfinite().all():
                found.append(f"{names[module]}.{name}")
        for tensor in output if isinstance(output, (tuple, list)) else (output,):
            if isinstance(tensor, Tensor) and tensor.is_floating_point() and not tensor.isfinite().all():
                found.append(f"output of {names[module]} ({type(module).__name__})")

    handles = [module.register_forward_hook(look) for module in names]
    try:
        with torch.no_grad():
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    if found:
        return found[0]
    for name, weight in model.named_parameters():
        if weight.grad is not None and not weight.grad.isfinite().all():
            return f"gradient of {name}"
    return "the objective (every layer's output is finite)"
