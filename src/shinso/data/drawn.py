"""Mini-batches that are drawn and never run out: Boolean vectors, sparse vectors, one-hot symbols.

For networks whose inputs are all that there can be: logic functions, signals to recover, symbols to send. The size and
the chance are arguments of the source, so no later line can change them behind its back, and its generator may be saved
and put back like any other.
"""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor


def boolean_batches(draw: Generator, size: int, width: int) -> Iterator[Tensor]:
    """Endless float32 (size, width) of fair zeros and ones."""
    while True:
        yield torch.randint(2, (size, width), generator=draw).float()


def sparse_batches(draw: Generator, size: int, width: int, density: float) -> Iterator[Tensor]:
    """Endless float32 (size, width) of standard normal entries, each of which is there with probability `density`."""
    while True:
        values = torch.randn(size, width, generator=draw)
        yield values * (torch.rand(size, width, generator=draw) < density)


def symbol_batches(draw: Generator, size: int, symbols: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless (one-hot float32 (size, symbols), symbols int64 (size,)), every symbol as likely as another."""
    while True:
        chosen = torch.randint(symbols, (size,), generator=draw)
        yield torch.nn.functional.one_hot(chosen, symbols).float(), chosen
