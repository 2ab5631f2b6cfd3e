"""A network under observation: in evaluation mode, with hooks, and afterwards exactly as it was."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Seen = Callable[[str, nn.Module, Tensor], Tensor | None]
"""called with name, module and output after each module; what it returns takes the output's place

A module that works several times in one pass has a name for each: `relu`, `relu#2`, `relu#3`.
"""


class AbstractWatch(TorchDispatchMode):
    """A mode that sees every operation; without torch's compiler, whose import would take seconds."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


@final
class Openly(AbstractWatch):
    """Inside, every operation is a public one: layers fused into native code compute their plain form."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


@contextmanager
def watching(network: nn.Module, seen: Seen | None = None) -> Iterator[None]:
    """Inside, `network` is in evaluation mode, computes openly and tells `seen` of each output that is a tensor.

    Afterwards every part is in the mode it had and has only the hooks it had.
    """
    modes, grad = [(module, module.training) for module in network.modules()], torch.is_grad_enabled()
    fast = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack, torch.inference_mode(False), torch.set_grad_enabled(grad), Openly():
        torch.backends.mha.set_fastpath_enabled(False)  # attention, too, in its plain form
        if seen is not None:
            calls: Counter[str] = Counter()
            stack.callback(network.register_forward_pre_hook(lambda *_: calls.clear()).remove)
            for name, module in network.named_modules():
                stack.callback(module.register_forward_hook(_hook(name, seen, calls)).remove)
        network.eval()
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
            for module, mode in modes:
                module.training = mode


def tensor_of(output: object) -> Tensor | None:
    """The first tensor of what a module returned."""
    return next((leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)), None)


def call_name(name: str, calls: Counter[str]) -> str:
    """`name`, or from the second time on with a number; the time is counted in `calls`."""
    calls[name] += 1
    return name if calls[name] == 1 else f"{name}#{calls[name]}"


def module_name(name: str) -> str:
    """The module's own name, without the number of the time that it worked."""
    return name.partition("#")[0]


def _hook(name: str, seen: Seen, calls: Counter[str]) -> Callable[[nn.Module, object, object], object]:
    def hook(module: nn.Module, _inputs: object, output: object) -> object:
        first, told = tensor_of(output), call_name(name, calls)
        return None if first is None else seen(told, module, first)

    return hook
