r"""The dense block: every layer reads all layers before it (Huang, Liu, van der Maaten, Weinberger 2016).

    x_l = H_l([x_0, x_1, ..., x_{l-1}])                                                            (1)
    H(x) = W max(B x, 0)                         plain: 3x3 to k maps                              (2)
    H(x) = W_2 max(B_2 W_1 max(B_1 x, 0), 0)     bottleneck: 1x1 to 4k maps, 3x3 to k maps         (3)
    c_l = c_0 + (l - 1) k                        maps that enter layer l                           (4)

W are convolutions, B batch normalisations, [..] lays maps side by side: nothing is added up, as a residual block does,
so what a layer has found stays as it was and any later layer may use it. L layers have L (L + 1) / 2 connections.

The price is memory, because (1) copies the same maps again and again: it grows with the square of the depth. With
`memory_efficient` what (1) lays together and B_1 of it are forgotten and computed a second time on the way back (Pleiss
et al. 2017). The trap there: the second time must not move the statistics of B_1 once more. Names are torchvision's.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from shinso.core.card import Card, Check, at_least, exactly
from shinso.core.seed import drawing_from


@final
class DenseLayer(nn.Module):
    """H of (1), (2) or (3): maps (batch, c_i, height, width), c of them altogether -> (batch, k, height, width)."""

    def __init__(self, entering: int, growth: int, *, bottleneck: bool, memory_efficient: bool):
        super().__init__()
        self.memory_efficient = memory_efficient
        narrow = 4 * growth if bottleneck else growth
        self.norm1 = nn.BatchNorm2d(entering)
        self.conv1 = nn.Conv2d(entering, narrow, 1 if bottleneck else 3, padding=0 if bottleneck else 1, bias=False)
        self.norm2 = nn.BatchNorm2d(narrow) if bottleneck else None
        self.conv2 = nn.Conv2d(narrow, growth, 3, padding=1, bias=False) if bottleneck else None

    def together(self, *maps: Tensor) -> Tensor:
        """W_1 max(B_1 [x_0, ..., x_{l-1}], 0)."""
        return self.conv1(F.relu(self.norm1(torch.cat(maps, 1)), inplace=True))  # (1), (2)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        if self.memory_efficient and torch.is_grad_enabled():
            x = checkpoint(self.together, *maps, use_reentrant=False, preserve_rng_state=False,
                           context_fn=partial(_once, self.norm1))
            assert isinstance(x, Tensor)  # noqa: S101 - for the type checker
        else:
            x = self.together(*maps)
        if self.norm2 is None or self.conv2 is None:
            return x
        return self.conv2(F.relu(self.norm2(x), inplace=True))  # (3)


def _once(norm: nn.BatchNorm2d) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Around the first and the second computation: only the first moves the running statistics."""
    return nullcontext(), _counting_nothing(norm)


@contextmanager
def _counting_nothing(norm: nn.BatchNorm2d) -> Iterator[None]:
    own = norm.running_mean, norm.running_var, norm.num_batches_tracked
    norm.running_mean, norm.running_var, norm.num_batches_tracked = (None if t is None else t.clone() for t in own)
    try:
        yield
    finally:
        norm.running_mean, norm.running_var, norm.num_batches_tracked = own


@final
class DenseBlock(nn.Module):
    """(1) for `layers` layers: (batch, c, height, width) -> (batch, c + layers k, height, width)."""

    def __init__(self, layers: int, entering: int, growth: int, *, bottleneck: bool = True,
                 memory_efficient: bool = False):
        super().__init__()
        self.memory_efficient = memory_efficient
        for i in range(layers):
            one = DenseLayer(entering + i * growth, growth, bottleneck=bottleneck, memory_efficient=memory_efficient)
            self.add_module(f"denselayer{i + 1}", one)  # (4)

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for layer in self.children():
            maps.append(layer(maps))
        return torch.cat(maps, 1)


@torch.no_grad()
def reuse(block: DenseBlock) -> np.ndarray:
    """(layer, source) mean |weight| of each layer's first convolution on what each source gave, NaN for later ones.

    Source 0 is what enters the block, source s > 0 is layer s.
    """
    layers = [layer for layer in block.children() if isinstance(layer, DenseLayer)]
    growth = layers[1].conv1.in_channels - layers[0].conv1.in_channels if len(layers) > 1 else 1
    first = layers[0].conv1.in_channels
    shares = np.full((len(layers), len(layers)), np.nan)
    for row, layer in enumerate(layers):
        parts = layer.conv1.weight.abs().mean((0, 2, 3)).split([first] + [growth] * row)
        shares[row, : row + 1] = [float(part.mean()) for part in parts]
    return shares


def connections_in_a_block() -> Check:
    """In a block of 7 layers every layer reads all earlier ones, which makes 7 * 8 / 2 = 28 connections.

    Source: Huang et al. 2016, section 1
    """
    block, read = DenseBlock(7, 4, 3), []
    for layer in block.children():
        layer.register_forward_pre_hook(lambda _layer, given: read.append(len(given[0])))
    with torch.no_grad():
        block(torch.zeros(2, 4, 4, 4))
    return exactly(sum(read), 28)


def earlier_maps_stay() -> Check:
    """What enters a block leaves it unchanged, in front: nothing is added to it.

    Source: equation (1)
    """
    with drawing_from(0, "weights"):
        x, block = torch.randn(2, 4, 5, 5), DenseBlock(3, 4, 3)
    return exactly(float((block(x)[:, :4] - x).detach().abs().max()), 0)


def forgetting_changes_nothing() -> Check:
    """Forgetting and computing again changes no output, no gradient and no running statistic by a single bit.

    Source: Pleiss et al. 2017, arXiv:1707.06990
    """
    return exactly(_difference_of_forgetting(), 0)


def forgetting_saves_memory() -> Check:
    """For the way back a block of 12 layers then keeps less than half of the bytes.

    Source: Pleiss et al. 2017, arXiv:1707.06990, where memory grows with the depth instead of its square
    """
    with drawing_from(0, "weights"):
        kept = [_kept(DenseBlock(12, 24, 12, memory_efficient=forgets)) for forgets in (False, True)]
    return at_least(kept[0] / kept[1], 2)


def _difference_of_forgetting() -> float:
    results: list[list[Tensor]] = []
    with drawing_from(0, "weights"):
        x, blocks = torch.randn(4, 6, 5, 5), (DenseBlock(4, 6, 3), DenseBlock(4, 6, 3, memory_efficient=True))
    blocks[1].load_state_dict(blocks[0].state_dict())
    for block in blocks:
        entering = x.clone().requires_grad_()
        leaving = block(entering)
        leaving.square().sum().backward()
        grads = [w.grad for w in (entering, *block.parameters()) if w.grad is not None]
        results.append([leaving.detach(), *grads, *block.buffers()])
    return max(float((a - b).abs().max()) for a, b in zip(*results, strict=True))


def _kept(block: DenseBlock) -> int:
    """Bytes of different tensors that the backward pass holds, weights among them."""
    kept: dict[int, Tensor] = {}

    def keep(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr()] = x
        return x

    if block.memory_efficient:  # a layer that computes again holds what it read
        for layer in block.children():
            layer.register_forward_pre_hook(lambda _layer, given: [keep(x) for x in given[0]] and None)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        leaving = block(torch.zeros(8, 24, 8, 8, requires_grad=True))
    del leaving
    return sum(x.untyped_storage().nbytes() for x in kept.values())


CARD = Card(
    name="Dense block",
    name_ja="Denseブロック",
    paper="Huang, Liu, van der Maaten, Weinberger 2016, Densely connected convolutional networks, arXiv:1608.06993",
    equations=(
        r"x_l = H_l([x_0, x_1, \ldots, x_{l-1}])",
        r"H(x) = W \max(B x, 0)",
        r"H(x) = W_2 \max(B_2 W_1 \max(B_1 x, 0), 0)",
        r"c_l = c_0 + (l - 1) k",
    ),
    summary="Every layer reads the maps of all layers before it, laid side by side, and adds a few of its own.",
    summary_ja="各層が、それ以前のすべての層の特徴マップを並べて読み、自分のマップを少しだけ加える。",
    topics=("vision.part.dense-block",),
    facts=(
        connections_in_a_block,
        earlier_maps_stay,
        forgetting_changes_nothing,
        forgetting_saves_memory,
    ),
    notes=(
        "A dense block is not a residual block with longer shortcuts: it lays maps side by side and adds nothing up.",
        "A normalisation that is computed twice counts its batch twice, unless one takes care: the running statistics "
        "of many memory-efficient programs differ from those of the plain ones.",
    ),
    notes_ja=(
        "Denseブロックは、ショートカットを長くした残差ブロックではない。マップを並べるだけで、足し合わせない。",
        "正規化を二度計算すると、注意しない限りバッチも二度数えられる。"
        "メモリを節約する多くのプログラムでは、移動統計量が基本形と異なる。",
    ),
)
