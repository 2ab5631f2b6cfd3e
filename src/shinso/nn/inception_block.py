r"""The Inception block: filters of different sizes side by side, their maps one behind the other (Szegedy et al. 2014).

    y = [r_1(x), ..., r_n(x)]                          every route sees the same x                (1)
    layer:  max(gamma (W x - mu) / sqrt(var + 1e-3) + beta, 0)                                    (2)
    k^2 c^2 weights of one k x k  ->  2 k c^2 of a 1 x k and a k x 1 behind it                    (3)

Which size of filter is right is left to the next layer; a 1x1 at the front of a route keeps the wide ones cheap. A
route is written as text, layers separated by spaces:

    3x3:96     96 maps, the picture keeps its size        3x3v:96      without a border of zeros
    3x3/2:96   every second place, without a border       3x3/2p:96    every second place, with a border
    max avg    3x3 pooling, the picture keeps its size    max/2        every second place, max/2p: with a border
    mean       avg that leaves the border out             1x3:96|3x1:96    both, side by side

The surprise is small and breaks published weights: at the border `avg` divides by 9 whatever is there, and `mean` by
what is there. Inception v3 as torchvision has it uses the first, v4 and Inception-ResNet the second.
"""

import re
from collections.abc import Callable, Mapping
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.seed import generator

Names = Literal["nested", "flat"]
"""route.0, route.1 (one layer alone: route), or route_1, route_2 (one convolution alone: route)"""
_LAYER = re.compile(r"(?:(max|avg|mean)|(\d+)x(\d+))(/2)?([vp]?)(?::(\d+))?")


@final
class BasicConv2d(nn.Module):
    """(2), torchvision's name: (batch, entering, height, width) -> (batch, leaving, ...)."""

    def __init__(self, entering: int, leaving: int, size: tuple[int, int], stride: int, padding: tuple[int, int]):
        super().__init__()
        self.conv = nn.Conv2d(entering, leaving, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(leaving, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)  # (2)


@final
class BiasedConv2d(nn.Module):
    """A convolution with bias and ReLU, as all were before batch normalisation."""

    def __init__(self, entering: int, leaving: int, size: tuple[int, int], stride: int, padding: tuple[int, int]):
        super().__init__()
        self.conv = nn.Conv2d(entering, leaving, size, stride, padding)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x), inplace=True)


Conv = Callable[[int, int, tuple[int, int], int, tuple[int, int]], nn.Module]


class Routes(nn.Module):
    """(1): (batch, entering, height, width) -> (batch, self.leaving, ...); `width` multiplies every route's maps."""

    def __init__(self, entering: int, routes: Mapping[str, str], *, width: float = 1.0, conv: Conv = BasicConv2d,
                 names: Names = "nested"):
        super().__init__()
        self.plan: list[list[list[str]]] = []
        self.leaving = 0
        for route, text in routes.items():
            leaving, steps, words = entering, [], text.split()
            for word, name in zip(words, _names(route, words, names), strict=True):
                parts = word.split("|")
                built = [layer(part, leaving, width=width, conv=conv) for part in parts]
                steps.append([name + "ab"[k] if len(parts) > 1 else name for k in range(len(parts))])
                for place, (module, _) in zip(steps[-1], built, strict=True):
                    self._place(place, module)
                leaving = sum(maps for _, maps in built)
            self.plan.append(steps)
            self.leaving += leaving

    def _place(self, name: str, module: nn.Module) -> None:
        route, _, number = name.partition(".")
        if not number:
            self.add_module(route, module)
            return
        if not hasattr(self, route):
            self.add_module(route, nn.Module())
        self.get_submodule(route).add_module(number, module)

    def forward(self, x: Tensor) -> Tensor:
        ends = []
        for steps in self.plan:
            h = x
            for names in steps:
                sides = [self.get_submodule(name)(h) for name in names]
                h = sides[0] if len(sides) == 1 else torch.cat(sides, 1)
            ends.append(h)
        return torch.cat(ends, 1)  # (1)


def layer(text: str, entering: int, *, width: float = 1.0, conv: Conv = BasicConv2d) -> tuple[nn.Module, int]:
    """The layer that `text` names, for `entering` maps, and how many leave it."""
    found = _LAYER.fullmatch(text)
    if found is None:
        raise ValueError(f"Invalid layer: {text}")
    pool, height, wide, half, border, maps = found.groups()
    if pool:
        return _pooling(pool, bool(half), padded=border == "p"), entering
    size = (int(height), int(wide))
    padded = border == "p" or not (half or border)
    leaving = scaled(int(maps), width)
    return conv(entering, leaving, size, 2 if half else 1, (size[0] // 2, size[1] // 2) if padded else (0, 0)), leaving


def bordered(text: str) -> str:
    """The same layers, all with a border: small pictures are halved to 1x1 at last, and never to nothing."""
    return text.replace("/2p", "/2").replace("/2", "/2p").replace("v:", ":")


def scaled(maps: int, width: float) -> int:
    """`width` times as many maps, at least 4."""
    return max(min(4, maps), round(maps * width))


def enlarged(x: Tensor, times: int) -> Tensor:
    """Every pixel repeated `times` along both axes, so that small pictures survive all the halving."""
    return x if times == 1 else F.interpolate(x, scale_factor=float(times), mode="nearest")


def draw_he(network: nn.Module) -> None:
    """Kernels and matrices normal with variance 2 / inputs, biases 0 (He et al. 2015)."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _pooling(kind: str, half: bool, *, padded: bool) -> nn.Module:
    if half:
        return nn.MaxPool2d(3, 2, int(padded))
    return nn.MaxPool2d(3, 1, 1) if kind == "max" else nn.AvgPool2d(3, 1, 1, count_include_pad=kind == "avg")


def _names(route: str, words: list[str], names: Names) -> list[str]:
    if names == "nested":
        return [route] if len(words) == 1 else [f"{route}.{k}" for k in range(len(words))]
    is_conv = [word[0].isdigit() for word in words]
    if sum(is_conv) == 1:
        return [route if conv else f"{route}_pool" for conv in is_conv]
    return [f"{route}_{sum(is_conv[: k + 1])}" if conv else f"{route}_pool" for k, conv in enumerate(is_conv)]


def _weights(text: str) -> int:
    with torch.device("meta"):
        return sum(w.numel() for name, w in Routes(16, {"r": text}).named_parameters() if name.endswith("conv.weight"))


def two_thin_layers_cost_two_sevenths() -> Check:
    """A 1x7 and a 7x1 behind it have 2/7 of the weights of a 7x7: the share times 7 is 2.

    Source: Szegedy et al. 2015, arXiv:1512.00567, section 3.2
    """
    return exactly(7 * _weights("1x7:16 7x1:16") / _weights("7x7:16"), 2)


def two_small_layers_cost_18_of_25() -> Check:
    """Two 3x3 have 18/25 of the weights of a 5x5: the share times 25 is 18.

    Source: Szegedy et al. 2015, arXiv:1512.00567, section 3.1
    """
    return exactly(25 * _weights("3x3:16 3x3:16") / _weights("5x5:16"), 18)


def two_small_layers_see_5_pixels() -> Check:
    """One output of two 3x3 depends on 5 pixels in a row, as that of a 5x5 does.

    Source: Szegedy et al. 2015, arXiv:1512.00567, figure 1
    """
    first, _ = layer("3x3:4", 1, conv=BiasedConv2d)
    second, _ = layer("3x3:1", 4, conv=BiasedConv2d)
    for weight in (*first.parameters(), *second.parameters()):
        nn.init.ones_(weight)
    x = torch.ones(1, 1, 11, 11, requires_grad=True)
    (seen,) = torch.autograd.grad(second(first(x))[0, 0, 5, 5], x)
    return exactly(int((seen[0, 0, 5] != 0).sum()), 5)


def a_route_owns_its_slice() -> Check:
    """With the second of three routes set to 0, no map outside of its slice changes and all in it are 0: together 0.

    Source: equation (1)
    """
    block = Routes(4, {"a": "1x1:3", "b": "1x1:2 3x3:5", "c": "max 1x1:2"}, conv=BiasedConv2d)
    draw_he(block)
    x = torch.randn(2, 4, 6, 6, generator=generator(0, "picture"))
    before = block(x)
    for weight in block.get_submodule("b").parameters():
        nn.init.zeros_(weight)
    after = block(x)
    changed = (before - after).detach().abs().amax((0, 2, 3))
    return exactly(float(changed[:3].max() + changed[8:].max() + after[:, 3:8].detach().abs().max()), 0)


def the_corner_tells_the_poolings_apart() -> Check:
    """In the corner of a picture of ones `avg` gives 4/9 where `mean` gives 1: 9 times the ratio is 4.

    Source: 4 of the 9 places of the window lie in the picture
    """
    corner = [float(layer(kind, 1)[0](torch.ones(1, 1, 4, 4))[0, 0, 0, 0]) for kind in ("avg", "mean")]
    return at_most(abs(9 * corner[0] / corner[1] - 4), 1e-6)


def the_normalisation_folds() -> Check:
    """After training, (2) is one convolution with weights gamma W / s and a bias: the difference stays under 1e-12.

    Source: equation (2), which is affine before the maximum, in float64
    """
    basic = BasicConv2d(3, 5, (3, 3), 1, (1, 1)).double().eval()
    noise = generator(0, "statistics")
    for tensor in (basic.bn.running_mean, basic.bn.running_var, *basic.parameters()):
        assert tensor is not None  # noqa: S101 - for the type checker
        tensor.data.uniform_(0.5, 1.5, generator=noise)
    mean, var = basic.bn.running_mean, basic.bn.running_var
    assert mean is not None and var is not None  # noqa: S101 - for the type checker
    factor = basic.bn.weight / (var + 1e-3).sqrt()
    x = torch.randn(2, 3, 7, 7, generator=noise, dtype=torch.float64)
    weight, bias = basic.conv.weight * factor[:, None, None, None], basic.bn.bias - mean * factor
    return at_most(float((basic(x) - F.relu(F.conv2d(x, weight, bias, padding=1))).detach().abs().max()), 1e-12)


CARD = Card(
    name="Inception block",
    name_ja="Inceptionブロック",
    paper="Szegedy et al. 2014, Going deeper with convolutions, arXiv:1409.4842",
    equations=(
        r"y = [\,r_1(x), \ldots, r_n(x)\,]",
        r"\max\left(\gamma\,\frac{W x - \mu}{\sqrt{\sigma^2 + 10^{-3}}} + \beta,\ 0\right)",
        r"k^2 c^2 \rightarrow 2 k c^2",
    ),
    summary="Filters of several sizes side by side; the next layer chooses among their maps.",
    summary_ja="大きさの異なるフィルタを並列に置き、どの特徴マップを使うかは次の層が選ぶ。",
    topics=(),
    facts=(
        two_thin_layers_cost_two_sevenths,
        two_small_layers_cost_18_of_25,
        two_small_layers_see_5_pixels,
        a_route_owns_its_slice,
        the_corner_tells_the_poolings_apart,
        the_normalisation_folds,
    ),
    notes=("Building a large filter from small ones is an idea of VGG and Inception v2 and v3. The Inception of 2014 "
           "keeps its 5x5 and saves by a 1x1 in front of it.",),
    notes_ja=("大きなフィルタを小さなフィルタで置き換えるのはVGGとInception v2・v3の考え方である。"
              "2014年のInceptionは 5x5 を残し、手前の 1x1 で計算を減らす。",),
)
