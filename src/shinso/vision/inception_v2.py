r"""BN-Inception: GoogLeNet with every convolution normalised over the batch (Ioffe and Szegedy 2015).

    z = gamma (u - mean u) / sqrt(var u + epsilon) + beta,   u = W x, per map over batch and places    (1)
    BN(a W x) = BN(W x)     for any a > 0: only the direction of the weights counts                     (2)
    5x5 -> 3x3, 3x3                                                                                     (3)

Ten modules instead of nine, the 5x5 made of two 3x3 by (3), means instead of maxima in most pooling routes, and two
modules, 3c and 4e, that halve by stride and pass their pooled maps on as they are. By (2) weights that grow in one
step get smaller gradients in the next, so large learning rates do no harm. The surprise: a bias in front of (1) does
nothing at all, yet the published files have one in every convolution: 10,016 numbers that no picture ever feels.

`paper` has 128 pooled maps in 4c and 4d, as the paper's table. They do not add up to its 576 maps: the sums are 608.
`caffe` has 96 there, and with them the sums are right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.place import Place
from shinso.core.seed import drawing_from, generator
from shinso.core.setup import in_range
from shinso.learn.recognise import recognise
from shinso.learn.supervised import Supervised
from shinso.nn.inception_block import BasicConv2d, Conv, Routes, draw_he, enlarged, layer
from shinso.vision._cost import products, trained
from shinso.vision._inception import Listed, refuse_unknown

STEM = {"conv1": "7x7/2p:64", "pool1": "max/2p", "conv2_reduce": "1x1:64", "conv2": "3x3:192", "pool2": "max/2p"}
# The paper's table: 1x1, 3x3 reduced, 3x3, double 3x3 reduced, double 3x3, kind of pooling, pooled maps; 0: none.
TABLE: dict[str, tuple[int, int, int, int, int, str, int]] = {
    "3a": (64, 64, 64, 64, 96, "avg", 32),
    "3b": (64, 64, 96, 64, 96, "avg", 64),
    "3c": (0, 128, 160, 64, 96, "max", 0),
    "4a": (224, 64, 96, 96, 128, "avg", 128),
    "4b": (192, 96, 128, 96, 128, "avg", 128),
    "4c": (160, 128, 160, 128, 160, "avg", 128),
    "4d": (96, 128, 192, 160, 192, "avg", 128),
    "4e": (0, 128, 192, 192, 256, "max", 0),
    "5a": (352, 192, 320, 160, 224, "avg", 128),
    "5b": (352, 192, 320, 192, 224, "max", 128),
}
NARROWER = ("4c", "4d")
"""where `caffe` has 96 pooled maps"""
Form = Literal["paper", "caffe"]


@final
class IdleBias(nn.Module):
    """BasicConv2d with a bias that the normalisation takes away again."""

    def __init__(self, entering: int, leaving: int, size: tuple[int, int], stride: int, padding: tuple[int, int]):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(entering, leaving, size, stride, padding), nn.BatchNorm2d(leaving, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)  # (1)


def routes_of(name: str, form: Form = "paper") -> dict[str, str]:
    """The routes of one module; where no 1x1 stands, every route halves."""
    one, before, three, before_double, double, pool, pooled = TABLE[name]
    if form == "caffe" and name in NARROWER:
        pooled = 96
    half = "" if one else "/2p"
    routes = {"branch1": f"1x1:{one}"} if one else {}
    routes |= {"branch2": f"1x1:{before} 3x3{half}:{three}",
               "branch3": f"1x1:{before_double} 3x3:{double} 3x3{half}:{double}"}  # (3)
    return routes | {"branch4": f"{pool} 1x1:{pooled}" if one else f"{pool}{half}"}


@final
class InceptionV2(nn.Module):
    """(batch, channels, height, width) -> (batch, classes), pictures of any size."""

    def __init__(self, *, classes: int = 1000, channels: int = 3, form: Form = "paper", biases: bool = False,
                 width: float = 1.0, grow: int = 1, without: Sequence[str] = ()):
        super().__init__()
        conv: Conv = IdleBias if biases else BasicConv2d
        self.grow, self.features, leaving = grow, nn.Sequential(), channels
        for name, text in STEM.items():
            built, leaving = layer(text, leaving, width=width, conv=conv)
            self.features.add_module(name, built)
        for name in (name for name in TABLE if name not in without):
            block = Routes(leaving, routes_of(name, form), width=width, conv=conv)
            self.features.add_module(f"inception{name}", block)
            leaving = block.leaving
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(leaving, classes)
        draw_he(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.avgpool(self.features(enlarged(x, self.grow))).flatten(1))


def _counted(form: Form, *, biases: bool) -> int:
    with torch.device("meta"):
        return trained(InceptionV2(form=form, biases=biases))


def parameters() -> Check:
    """BN-Inception has 11,285,224 parameters when its convolutions have no biases.

    Source: Ioffe and Szegedy 2015, figure 5, summed layer by layer
    """
    return exactly(_counted("paper", biases=False), 11_285_224)


def parameters_with_biases() -> Check:
    """With a bias in every convolution it has 11,295,240: 10,016 that have no effect.

    Source: Ioffe and Szegedy 2015, figure 5, summed layer by layer
    """
    return exactly(_counted("paper", biases=True), 11_295_240)


def parameters_of_caffe() -> Check:
    """The form with 96 pooled maps in two modules and biases has 11,204,936.

    Source: the layers of models published for Caffe
    """
    return exactly(_counted("caffe", biases=True), 11_204_936)


def multiplications() -> Check:
    """It makes 2,032,600,064 multiplications for one picture of 224x224.

    Source: Ioffe and Szegedy 2015, figure 5, summed layer by layer
    """
    with torch.device("meta"):
        return exactly(products(InceptionV2().eval(), (3, 224, 224)), 2_032_600_064)


def a_picture_becomes_1024_maps_of_7x7() -> Check:
    """A picture of 224x224 becomes 1024 maps of 7x7, which are 50,176 numbers.

    Source: Ioffe and Szegedy 2015, figure 5
    """
    with torch.device("meta"):
        maps = InceptionV2().eval().features(torch.zeros(1, 3, 224, 224))
    return exactly(maps.numel() if maps.shape[1:] == (1024, 7, 7) else 0, 50_176)


def the_table_does_not_add_up() -> Check:
    """Modules 4c and 4d give 608 maps by the paper's widths, not its 576; with 96 pooled maps they give 576.

    Source: Ioffe and Szegedy 2015, figure 5
    """
    with torch.device("meta"):
        sums = [Routes(576, routes_of(name, form)).leaving for form in ("paper", "caffe") for name in NARROWER]
    return exactly(sums[0] if sums == [608, 608, 576, 576] else 0, 608)


def _layer_and_pictures() -> tuple[IdleBias, Tensor]:
    with drawing_from(0, "fact"):
        one = IdleBias(3, 8, (3, 3), 1, (1, 1)).double()
    return one, 1000 * torch.randn(4, 3, 9, 9, generator=generator(0, "pictures"), dtype=torch.float64)


def a_bias_does_nothing() -> Check:
    """In training any bias in front of the normalisation changes the output by less than 1e-10.

    Source: equation (1), which takes the mean away
    """
    one, x = _layer_and_pictures()
    before = one(x)
    nn.init.constant_(one.get_parameter("conv.bias"), 7.0)
    return at_most(float((one(x) - before).detach().abs().max()), 1e-10)


def only_the_direction_counts() -> Check:
    """Weights 10 times as large give the same output and a tenth of the gradient: together 1e-6 apart.

    Source: Ioffe and Szegedy 2015, section 3.3
    """
    one, x = _layer_and_pictures()
    nn.init.zeros_(one.get_parameter("conv.bias"))
    found = []
    for factor in (1.0, 10.0):
        weight = (one.get_parameter("conv.weight").detach() * factor).requires_grad_()
        y = F.relu(one.bn(F.conv2d(x, weight, padding=1)))
        (grad,) = torch.autograd.grad((y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum(), weight)
        found.append((y.detach(), factor * grad))
    (y, g), (large_y, large_g) = found
    return at_most(float((y - large_y).abs().max() + (g - large_g).abs().max() / g.abs().max()), 1e-6)  # (2)


CARD = Card(
    name="BN-Inception (Inception v2)",
    name_ja="BN-Inception (Inception v2)",
    paper="Ioffe and Szegedy 2015, Batch normalization: accelerating deep network training, arXiv:1502.03167",
    equations=(
        r"z = \gamma\,\frac{u - \mu_u}{\sqrt{\sigma_u^2 + \epsilon}} + \beta,\quad u = W x",
        r"BN(a W x) = BN(W x),\quad a > 0",
        r"5 \times 5 \rightarrow 3 \times 3,\ 3 \times 3",
    ),
    summary="GoogLeNet with batch normalisation everywhere; in the paper it learns with a fraction of the steps.",
    summary_ja="GoogLeNetの全ての畳み込みをバッチ正規化したもの。論文ではずっと少ないステップで学習する。",
    topics=("vision.inception-v2",),
    facts=(
        parameters,
        parameters_with_biases,
        parameters_of_caffe,
        multiplications,
        a_picture_becomes_1024_maps_of_7x7,
        the_table_does_not_add_up,
        a_bias_does_nothing,
        only_the_direction_counts,
    ),
    notes=(
        "Two papers use the name Inception v2. The later one (arXiv:1512.00567) gives it to the network that is v3 "
        "without batch normalisation in the auxiliary classifier.",
        "In the paper, ILSVRC 2012, six networks together: top-5 error 4.9 % in validation, 4.82 % in the test.",
    ),
    notes_ja=(
        "Inception v2と呼ばれるものは二つある。"
        "後の論文 (arXiv:1512.00567) では、補助分類器にバッチ正規化のないv3を指す。",
        "論文のILSVRC 2012の結果は、6個のアンサンブルの top-5 誤り率が検証 4.9 %、テスト 4.82 %。",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup(Listed):
    """What can be chosen."""

    form: Literal["paper", "caffe"] = "paper"
    """paper: 128 pooled maps in 4c and 4d; caffe: 96, so that the paper's sums are right"""
    biases: bool = False
    """every convolution has a bias, which has no effect, as published files have"""


VARIANTS = {
    "smoke": Setup(width=0.0625, without=("3b", "4b", "4c", "4d", "5b"), epochs=1, augment=False),
    "default": Setup(width=0.25, grow=2, without=("4b", "4c", "4d", "5a"), epochs=12),
    "cifar10": Setup(data="cifar10", grow=2, epochs=30, batch_size=128, optimiser="sgd", lr=0.1),
}


def build(setup: Setup, place: Place = Place()) -> Supervised:  # noqa: B008 - a frozen value
    """The training program, for images of any size."""
    in_range(setup, ("width", "grow"))
    refuse_unknown(setup.without, TABLE)
    return recognise(setup, place, lambda about: InceptionV2(
        classes=len(about.classes), channels=about.shape[0], form=setup.form, biases=setup.biases, width=setup.width,
        grow=setup.grow, without=setup.without))
