r"""The residual block: layers that learn what to add to their input (He, Zhang, Ren, Sun 2015).

    y = max(s(x) + f(x), 0)                                                                        (1)
    f(x) = B_2 W_2 max(B_1 W_1 x, 0)                         basic: 3x3, 3x3                       (2)
    f(x) = B_3 W_3 max(B_2 W_2 max(B_1 W_1 x, 0), 0)         bottleneck: 1x1, 3x3, 1x1 of 4 times the maps   (3)
    s(x) = (x at every second place, 0)                      A: no parameters                      (4)
    s(x) = B_s W_s x                                         B: 1x1 where the shape changes, C: everywhere   (5)
    x_L = x_l + sum_k f_k(x_k)                               if nothing comes behind the addition  (6)

W are convolutions, B batch normalisations; s is the identity where the shape stays. A block that should change nothing
has to learn f = 0, which is easy; a stack of plain layers has to learn the identity, which is not. The surprise: the
maximum in (1) stands behind the addition, so (6), which explains why gradients arrive everywhere, is not exact for the
block of 2015. He, Zhang, Ren and Sun 2016 compare five orders (`ORDERS`); in three of them (6) holds.

In v1, as published, the stride of a bottleneck is in the first 1x1; v1.5, as in torchvision, has it in the 3x3, which
costs more and answers better. Names are torchvision's. Channels can be cut into `groups` (Xie et al. 2017).
"""

from collections.abc import Iterable
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.seed import drawing_from

Shortcuts = Literal["A", "B", "C", "none"]
"""(4), (5), or no addition at all: a plain net"""
Form = Literal["v1.5", "v1"]

ORDERS = {
    "original": ("conv bn relu conv bn", "relu"),
    "bn_after": ("conv bn relu conv", "bn relu"),
    "relu_before": ("conv bn relu conv bn relu", ""),
    "relu_only": ("relu conv bn relu conv bn", ""),
    "full": ("bn relu conv bn relu conv", ""),
}
"""what f is made of, and what comes behind the addition: (a) to (e) of the paper's figure 4"""


@final
class Padded(nn.Module):
    """(4): (batch, c, height, width) -> (batch, c + more, height/stride, width/stride), the new channels 0."""

    def __init__(self, more: int, stride: int):
        super().__init__()
        self.more, self.stride = more, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))


NARROW = 16
"""maps below which oneDNN's gradient for a 1x1 with a stride writes beyond its memory (oneDNN's issue 6035)"""


@final
class Thinned(nn.Conv2d):
    """A 1x1 convolution of few maps at every stride-th place: the places are taken first, which is the same."""

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input[:, :, :: self.stride[0], :: self.stride[1]], self.weight, groups=self.groups)


def conv(entering: int, leaving: int, size: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps height and width at stride 1."""
    kind = Thinned if size == 1 and stride > 1 and entering < NARROW else nn.Conv2d
    return kind(entering, leaving, size, stride, size // 2, groups=groups, bias=False)


def shortcut(kind: Shortcuts, entering: int, leaving: int, stride: int) -> nn.Module | None:
    """s of (1); None is the identity."""
    changes = stride != 1 or entering != leaving
    if kind == "none" or not (changes or kind == "C"):
        return None
    if kind == "A":
        return Padded(leaving - entering, stride)  # (4)
    return nn.Sequential(conv(entering, leaving, 1, stride), nn.BatchNorm2d(leaving))  # (5)


class AbstractResidual(nn.Module):
    """(1) around a `residual` f, which the two forms define."""

    expansion = 1

    def __init__(self, kind: Shortcuts, entering: int, leaving: int, stride: int):
        super().__init__()
        self.plain = kind == "none"
        self.downsample = shortcut(kind, entering, leaving, stride)

    def residual(self, x: Tensor) -> Tensor:
        """f(x)."""
        raise NotImplementedError

    def skip(self, x: Tensor) -> Tensor:
        """s(x)."""
        return x if self.downsample is None else self.downsample(x)

    def forward(self, x: Tensor, weight: float = 1.0) -> Tensor:
        """max(s(x) + weight f(x), 0); where the weight is 0, f is not computed."""
        if weight == 0:
            return F.relu(self.skip(x))
        y = self.residual(x)
        if weight != 1:
            y = weight * y
        if not self.plain:
            y += self.skip(x)  # (1); nobody needs f(x) alone again
        return F.relu(y, inplace=True)


@final
class Basic(AbstractResidual):
    """(1) with (2): (batch, entering, height, width) -> (batch, width, height/stride, width/stride)."""

    def __init__(self, entering: int, width: int, stride: int = 1, *, shortcuts: Shortcuts = "B"):
        super().__init__(shortcuts, entering, width, stride)
        self.conv1, self.bn1 = conv(entering, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3), nn.BatchNorm2d(width)

    def residual(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True)))  # (2)


@final
class Bottleneck(AbstractResidual):
    """(1) with (3): (batch, entering, height, width) -> (batch, 4 width, height/stride, width/stride)."""

    expansion = 4

    def __init__(self, entering: int, width: int, stride: int = 1, *, shortcuts: Shortcuts = "B", form: Form = "v1.5",
                 groups: int = 1):
        super().__init__(shortcuts, entering, 4 * width, stride)
        first, second = (stride, 1) if form == "v1" else (1, stride)
        self.conv1, self.bn1 = conv(entering, width, 1, first), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3, second, groups), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width)

    def residual(self, x: Tensor) -> Tensor:
        h = F.relu(self.bn1(self.conv1(x)), inplace=True)
        h = F.relu(self.bn2(self.conv2(h)), inplace=True)
        return self.bn3(self.conv3(h))  # (3)


@final
class Ordered(nn.Module):
    """A basic block of one width in one of the five `ORDERS`."""

    def __init__(self, width: int, order: str):
        super().__init__()
        self.f, self.behind = (nn.Sequential(*(_part(word, width) for word in words.split()))
                               for words in ORDERS[order])

    def forward(self, x: Tensor) -> Tensor:
        return self.behind(x + self.f(x))


def _part(word: str, width: int) -> nn.Module:
    return {"conv": lambda: conv(width, width, 3), "bn": lambda: nn.BatchNorm2d(width), "relu": nn.ReLU}[word]()


def draw_weights(network: nn.Module, *, zero_gamma: bool = False) -> None:
    """Kernels normal with variance 2 / (size^2 leaving maps), scales 1, shifts 0.

    With `zero_gamma` the last scale of each block is 0, so that every block starts as max(s(x), 0).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    if zero_gamma:
        for block in network.modules():
            if isinstance(block, (Basic, Bottleneck)):
                nn.init.zeros_((block.bn2 if isinstance(block, Basic) else block.bn3).weight)


def _noise(channels: int, side: int = 8) -> Tensor:
    return torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(0))


def _through(order: str, *, shortcuts: bool) -> float:
    """Gradient norm at the input of 25 blocks, without normalisation, over that at their output."""
    with drawing_from(0, "through"):
        blocks = [Ordered(16, order) for _ in range(25)]
    x = _noise(16).requires_grad_()
    y = x
    for block in blocks:
        f = nn.Sequential(*(part for part in block.f if not isinstance(part, nn.BatchNorm2d)))
        y = block.behind(y + f(y) if shortcuts else f(y))
    sent = _noise(16)
    return float(torch.autograd.grad(y, x, sent)[0].norm() / sent.norm())


def _unrolled(orders: Iterable[str]) -> list[float]:
    """By how much (6) is missed in four blocks of each of the orders, relative to the largest entry."""
    missed = []
    for order in orders:
        with drawing_from(0, order), torch.no_grad():
            x = total = _noise(8)
            for block in (Ordered(8, order).eval() for _ in range(4)):
                total = total + block.f(x)
                x = block(x)
        missed.append(float((x - total).abs().max() / x.abs().max()))
    return missed


def a_last_scale_of_zero_leaves_the_input() -> Check:
    """With the last scale 0 a block is max(x, 0): the largest difference is 0.

    Source: He et al. 2015, equation (1) with f = 0; Goyal et al. 2017 start so
    """
    blocks = nn.Sequential(Basic(8, 8), Bottleneck(8, 2))
    draw_weights(blocks, zero_gamma=True)
    x = _noise(8)
    return exactly(float((blocks(x) - F.relu(x)).detach().abs().max()), 0.0)


def fifty_layers_pass_the_gradient() -> Check:
    """Through 50 layers in pairs with shortcuts, no normalisation, the gradient grows by 1 to 100 times.

    Source: equation (6): dx_L/dx_l = 1 + ...
    """
    return Check(_through("full", shortcuts=True), 1.0, 100.0)


def fifty_plain_layers_do_not() -> Check:
    """The same 50 layers without shortcuts leave less than 1e-12 of the gradient.

    Source: product of 50 factors; torch's default weights
    """
    return at_most(_through("full", shortcuts=False), 1e-12)


def the_sum_is_exact_before_the_maximum() -> Check:
    """In orders (c), (d) and (e) x_L = x_l + sum of f holds to 1e-6.

    Source: He et al. 2016, equation (4)
    """
    return at_most(max(_unrolled(("relu_before", "relu_only", "full"))), 1e-6)


def the_block_of_2015_is_no_sum() -> Check:
    """In orders (a) and (b), where something comes behind the addition, the sum is off by over 10 percent.

    Source: He et al. 2016, section 2
    """
    return at_least(min(_unrolled(("original", "bn_after"))), 0.1)


def padding_costs_no_parameters() -> Check:
    """From 16 to 32 channels shortcut B has 576 parameters more than A.

    Source: He et al. 2015, section 4.1: 16 x 32 products, 32 scales and 32 shifts
    """
    a, b = (sum(w.numel() for w in Basic(16, 32, 2, shortcuts=kind).parameters()) for kind in ("A", "B"))
    return exactly(b - a, 576)


def the_padding_is_the_picture_and_zeros() -> Check:
    """Shortcut A keeps every second pixel and adds channels of zeros: what is lost or added is 0.

    Source: equation (4)
    """
    x = _noise(3)
    y = Padded(5, 2)(x)
    return exactly(float((y[:, :3] - x[:, :, ::2, ::2]).abs().sum() + y[:, 3:].abs().sum()), 0.0)


def the_stride_moves_no_parameter() -> Check:
    """v1 and v1.5 have the same weights; behind its first 1x1 the block of v1.5 has 4 times the places of v1.

    Source: the only difference is where the stride stands
    """
    blocks = [Bottleneck(16, 8, 2, form=form).eval() for form in ("v1", "v1.5")]
    blocks[1].load_state_dict(blocks[0].state_dict())
    sizes = [block.conv1(_noise(16)).numel() for block in blocks]
    return exactly(sizes[1] / sizes[0], 4.0)


def groups_are_blocks_side_by_side() -> Check:
    """A 3x3 in 4 groups has 1 weight for 4 of the ungrouped one.

    Source: Xie et al. 2017, section 3
    """
    one, four = (Bottleneck(32, 16, groups=groups).conv2.weight.numel() for groups in (1, 4))
    return exactly(one / four, 4.0)


CARD = Card(
    name="Residual block",
    name_ja="残差ブロック",
    paper="He, Zhang, Ren, Sun 2015, Deep residual learning for image recognition, arXiv:1512.03385; 2016, 1603.05027",
    equations=(
        r"y = \max(s(x) + f(x), 0)",
        r"f(x) = B_2 W_2 \max(B_1 W_1 x, 0)",
        r"f(x) = B_3 W_3 \max(B_2 W_2 \max(B_1 W_1 x, 0), 0)",
        r"s(x) = (x_{::2}, 0)",
        r"s(x) = B_s W_s x",
        r"x_L = x_l + \sum_{k=l}^{L-1} f_k(x_k)",
    ),
    summary="Layers that learn what to add to their input; with them networks of a hundred layers train.",
    summary_ja="入力に何を加えるかだけを学ぶ層。これにより百層のネットワークも訓練できる。",
    topics=("vision.part.residual-block", "vision.part.shortcut-types", "vision.part.residual-variants"),
    facts=(
        a_last_scale_of_zero_leaves_the_input,
        fifty_layers_pass_the_gradient,
        fifty_plain_layers_do_not,
        the_sum_is_exact_before_the_maximum,
        the_block_of_2015_is_no_sum,
        padding_costs_no_parameters,
        the_padding_is_the_picture_and_zeros,
        the_stride_moves_no_parameter,
        groups_are_blocks_side_by_side,
    ),
    notes=(
        "One document writes x_L = x_l + sum f(x_k) for the block of 2015; it is exact only where nothing comes behind "
        "the addition, and every layer has an f of its own.",
        "One document prints 'purchase' where 'gradient' is meant: the two words sound alike in Japanese.",
        "'Identity mapping' is the shortcut of blocks that keep their shape; where the shape changes it is A or B.",
        "The block of 2015 in its own order passes 0.86 of the gradient through the 50 layers of these facts, "
        "order (e) 1.31: some paths end at the maximum behind the addition.",
        "The paper's 3.8 billion multiplications of ResNet-50 are those of v1, not of torchvision's network; weights "
        "from the authors' Caffe need v1, too: v1.5 takes them without complaint and answers otherwise.",
    ),
    notes_ja=(
        "ある資料は2015年のブロックについて x_L = x_l + Σf(x_k) と書くが、"
        "加算の後に何も置かない場合にだけ厳密に成り立つ。f も層ごとに異なる。",
        "ある資料の「購買」は「勾配」の誤植である。",
        "「恒等写像」は形を変えないブロックのショートカットを指す。形が変わる所ではAかBになる。",
        "2015年の順序のブロックでは、この検証の50層を通る勾配は0.86倍になる (順序 (e) では1.31倍)。"
        "加算の後のReLUで経路の一部が途切れる。",
        "論文にあるResNet-50の乗算38億回はv1の数で、torchvisionのネットワークの数ではない。著者のCaffeの重みにもv1が要る。"
        "v1.5に読み込んでもエラーにはならないが、答えが変わる。",
    ),
)
