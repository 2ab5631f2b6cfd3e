r"""Receptive field: how much of the picture one unit of a layer can see.

A unit sees `size` pixels, its neighbour the same `jump` pixels further on; the first unit's field begins at `start`,
left of the picture where there is padding. A layer with window k, stride s, padding p and dilation d makes of them

    size' = size + (k - 1) d jump                                                                  (1)
    jump' = s jump                                                                                 (2)
    start' = start - p jump                                                                        (3)
    size' = size + (n - 1) jump            for what gathers all n places: global pooling, a linear layer   (4)

and where paths meet, the field is the smallest that holds them all. `receptive_fields` follows every operation of any
network on one picture by these rules, written out as modules or not. The surprise: what a unit sees at all and what
it really heeds differ. Near the middle more paths lead from a pixel to the unit, so that the influence of uniform 3x3
layers is a bell of variance 2 L / 3: it widens as the square root of the depth L, the field as L.

Araujo, Norris and Sim 2019, Computing receptive fields of convolutional neural networks, Distill; the bell: Luo, Li,
Urtasun, Zemel 2016, arXiv:1701.04128.
"""

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Any, final

import torch
from torch import Tensor, nn

from shinso.core.card import Card, Check, about, exactly
from shinso.inside.following import Field, Fields, Following
from shinso.inside.watching import watching


def of_layers(layers: Iterable[Sequence[int]]) -> Field:
    """The field behind a chain of layers, each (window, stride) or (window, stride, padding, dilation)."""
    return reduce(lambda field, layer: field.through(*layer), layers, Field())


@torch.no_grad()
def receptive_fields(network: nn.Module, picture: Tensor) -> dict[str, Fields]:
    """The fields of every module of `network` that is reached from `picture` (n, channels, height, width), by name.

    Paths that flatten, permute or multiply the places of a picture lead to one field of all they came from.
    """
    found: dict[str, Fields] = {}
    follow = Following(picture)

    def see(name: str, module: nn.Module, output: Tensor) -> None:
        if output in follow.fields:
            found[name] = follow.fields[output]

    with watching(network, see), follow:
        network(picture)
    return found


def heeded(network: nn.Module, picture: Tensor, layer: str = "") -> Tensor:
    """Gradient (height, width) of the middle unit of a layer, summed over channels: 0 where it sees nothing."""
    kept: list[Tensor] = []

    def see(name: str, module: nn.Module, output: Tensor) -> None:
        if name == layer:
            kept.append(output)

    with torch.enable_grad(), watching(network, see):
        x = picture.detach().clone().requires_grad_()
        network(x)
        output = kept[-1][:, :, kept[-1].shape[2] // 2, kept[-1].shape[3] // 2]
        (gradient,) = torch.autograd.grad(output.sum(), x)
    return gradient.sum((0, 1))


ALEXNET = ((11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1), (3, 2))
VGG_16 = tuple(layer for convolutions in (2, 2, 3, 3, 3) for layer in (*((3, 1),) * convolutions, (2, 2)))


def resnet(stages: Sequence[int], form: str = "v1") -> list[tuple[int, int]]:
    """(window, stride) along the longest path of a bottleneck ResNet up to its last stage."""
    layers = [(7, 2), (3, 2)]
    for stage, blocks in enumerate(stages):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            layers += [(1, stride), (3, 1)] if form == "v1" else [(1, 1), (3, stride)]
    return layers


def alexnet_sees_195() -> Check:
    """A unit behind AlexNet's last pooling sees 195 pixels.

    Source: Krizhevsky et al. 2012, section 3.5, by (1) and (2)
    """
    return exactly(of_layers(ALEXNET).size, 195)


def vgg_16_sees_212() -> Check:
    """A unit behind VGG-16's last pooling sees 212 pixels.

    Source: Simonyan and Zisserman 2014, table 1, column D
    """
    return exactly(of_layers(VGG_16).size, 212)


def a_7x7_convolution_on_top_sees_404() -> Check:
    """Its first full layer, made a 7x7 convolution, sees 404.

    Source: Long, Shelhamer, Darrell 2015, table 1
    """
    return exactly(of_layers((*VGG_16, (7, 1))).size, 404)


def resnet_50_sees_483() -> Check:
    """A unit of the last stage of ResNet-50 sees 483 pixels.

    Source: Araujo et al. 2019, table of networks
    """
    return exactly(of_layers(resnet((3, 4, 6, 3))).size, 483)


def resnet_101_sees_1027() -> Check:
    """One of ResNet-101 sees 1027.

    Source: Araujo et al. 2019, table of networks
    """
    return exactly(of_layers(resnet((3, 4, 23, 3))).size, 1027)


def resnet_152_sees_1507() -> Check:
    """One of ResNet-152 sees 1507.

    Source: Araujo et al. 2019, table of networks
    """
    return exactly(of_layers(resnet((3, 8, 36, 3))).size, 1507)


def the_stride_in_the_3x3_sees_56_less() -> Check:
    """With the stride in the 3x3 instead of the first 1x1, as in v1.5, it is 56 pixels less: 427 in ResNet-50.

    Source: equations (1) and (2)
    """
    stages = (3, 4, 6, 3)
    return exactly(of_layers(resnet(stages)).size - of_layers(resnet(stages, "v1.5")).size, 56)


def the_gradient_begins_and_ends_there() -> Check:
    """In five networks with positive weights the middle unit's gradient is not 0 exactly in its field.

    Source: the definition; chains with stride, padding and dilation, shortcut, branches, uneven sides
    """
    return exactly(sum(_missed(network) for network in _positive()), 0)


def influence_widens_as_a_square_root() -> Check:
    """Through 50 uniform 3x3 layers the influence has the variance 2 * 50 / 3 in pixels squared.

    Source: Luo et al. 2016, uniform weights
    """
    share, place = _influence(50)
    return about(float((share * place.square()).sum()), 100 / 3, 1e-9)


def most_of_the_field_is_not_heeded() -> Check:
    """Of their field of 101 pixels, the middle 25 have more than 95 % of the influence.

    Source: Luo et al. 2016, section 2
    """
    share, place = _influence(50)
    return Check(float(share[place.abs() <= 12].sum()), 0.95, 1.0)


@final
class _Joined(nn.Module):
    """Paths that are added, or laid one behind the other."""

    def __init__(self, *paths: nn.Module, behind: bool = False):
        super().__init__()
        self.paths, self.behind = nn.ModuleList(paths), behind

    def forward(self, x: Tensor) -> Tensor:
        found = [path(x) for path in self.paths]
        return torch.cat(found, 1) if self.behind else torch.stack(found).sum(0)


def _positive() -> list[nn.Module]:
    """Networks of one channel whose weights are 1."""
    def conv(k: Any, s: int = 1, p: Any = 0, d: int = 1) -> nn.Module:
        return nn.Conv2d(1, 1, k, s, p, d, bias=False)

    block = nn.Sequential(conv(1, 2), nn.ReLU(), conv(3, 1, 1), nn.ReLU(), conv(1))
    networks: list[nn.Module] = [
        nn.Sequential(conv(7, 2, 3), nn.AvgPool2d(3, 2, 1), conv(3, 1, 2, 2), nn.ReLU(), conv(5, 1, 2)),
        nn.Sequential(conv(5), _Joined(block, conv(1, 2)), nn.ReLU(), _Joined(nn.Identity(), conv(3, 1, 1))),
        nn.Sequential(_Joined(conv(1), conv(5, 1, 2), nn.AvgPool2d(3, 1, 1), behind=True), nn.Conv2d(3, 1, 3, 2)),
        nn.Sequential(nn.ZeroPad2d((2, 0, 1, 0)), conv(3, 2), nn.AdaptiveAvgPool2d((16, 17)), conv(2)),
        nn.Sequential(conv((1, 7), 1, (0, 3)), conv((5, 1), 1, (2, 0)), nn.AvgPool2d(2)),
    ]  # fmt: skip
    for network in networks:
        for weight in network.parameters():
            nn.init.ones_(weight)
    return networks


def _missed(network: nn.Module) -> int:
    """Pixels in which the field of the middle unit and its gradient differ."""
    x = torch.ones(1, 1, 65, 67)
    (high, wide), gradient = receptive_fields(network, x)[""], heeded(network, x)
    output = network(x)
    expected = torch.zeros_like(gradient, dtype=torch.bool)
    (top, bottom), (left, right) = high.pixels(output.shape[2] // 2, 65), wide.pixels(output.shape[3] // 2, 67)
    expected[top:bottom, left:right] = True
    return int((expected != (gradient != 0)).sum())


def _influence(depth: int) -> tuple[Tensor, Tensor]:
    """Share of each pixel's column in the middle unit's gradient, and its distance from the middle."""
    side = 2 * depth + 3
    layers = nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1, bias=False) for _ in range(depth))).double()
    for weight in layers.parameters():
        nn.init.constant_(weight, 1 / 9)
    gradient = heeded(layers, torch.ones(1, 1, side, side, dtype=torch.float64)).sum(0)
    return gradient / gradient.sum(), torch.arange(side, dtype=torch.float64) - depth - 1


CARD = Card(
    name="Receptive field",
    name_ja="受容野",
    paper="Araujo, Norris, Sim 2019, Computing receptive fields of convolutional neural networks, Distill, "
          "doi:10.23915/distill.00021; Luo, Li, Urtasun, Zemel 2016, arXiv:1701.04128",
    equations=(
        r"r' = r + (k - 1)\, d\, j",
        r"j' = s\, j",
        r"t' = t - p\, j",
        r"r' = r + (n - 1)\, j",
    ),
    summary="How much of a picture one unit sees, for every layer of any network, followed operation by operation.",
    summary_ja="一つのユニットが画像のどれだけを見ているか。任意のネットワークの各層について、演算を一つずつたどって求める。",
    topics=("vision.part.receptive-field",),
    facts=(
        alexnet_sees_195,
        vgg_16_sees_212,
        a_7x7_convolution_on_top_sees_404,
        resnet_50_sees_483,
        resnet_101_sees_1027,
        resnet_152_sees_1507,
        the_stride_in_the_3x3_sees_56_less,
        the_gradient_begins_and_ends_there,
        influence_widens_as_a_square_root,
        most_of_the_field_is_not_heeded,
    ),
    notes=(
        "The 483, 1027 and 1507 of ResNets hold for the stride in the first 1x1; in torchvision's form (v1.5) they are "
        "427, 971 and 1451.",
        "The field is what a unit can see. What it heeds is a bell in its middle, much smaller; maximum pooling passes "
        "on one pixel of a window, so that a gradient shows the field only without it.",
    ),
    notes_ja=(
        "ResNet の 483, 1027, 1507 はストライドを最初の1x1に置く形の値である。"
        "torchvision の形 (v1.5) では 427, 971, 1451 となる。",
        "受容野は見ることのできる範囲である。実際に効く範囲 (有効受容野) は中央の釣鐘形で、ずっと狭い。"
        "最大プーリングは窓の中の一画素だけを通すので、勾配で確かめるには平均プーリングに替える。",
    ),
)
