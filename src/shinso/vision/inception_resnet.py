r"""Inception-ResNet: modules that learn what to add to their input, and add only a tenth of it (Szegedy et al. 2016).

    y = max(x + s (W [r_1(x), ..., r_n(x)] + b), 0)      s = 0.17 at 35x35, 0.10 at 17x17, 0.20 at 8x8   (1)
    x_L = x_0 + s sum_l f_l(x_l)                         where nothing is cut off at 0                   (2)

The routes are cheaper than those of a pure Inception network; a 1x1 without activation widens them to the maps that
they are added to. `v1` costs about as much as Inception v3, `v2` as much as v4. The surprise: in the paper, with more
than a thousand filters, these networks "died" in training until the additions were scaled by 0.1 to 0.3; a smaller
learning rate did not help. By (2) the spread of the output after L additions of equal spread is sqrt(1 + s^2 L) of the
input's, not sqrt(1 + L).

`v1` is the paper's. `v2` is the network that was published under this name: timm's, whose files load as they are. It
has 320, 1088 and 2080 maps and 10, 20, 10 modules where the paper's figures have 384, 1154, 2048 and 5, 10, 5.
"""

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, about, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.seed import drawing_from, generator
from shinso.core.setup import in_range
from shinso.learn.recognise import recognise
from shinso.learn.supervised import Supervised
from shinso.nn.inception_block import Routes, bordered, draw_he, enlarged, layer
from shinso.vision._cost import products, trained
from shinso.vision._inception import Bordered, smallest

Form = Literal["v1", "v2"]
STEM = {"conv2d_1a": "3x3/2:32", "conv2d_2a": "3x3v:32", "conv2d_2b": "3x3:64", "maxpool_3a": "max/2",
        "conv2d_3b": "1x1:80", "conv2d_4a": "3x3v:192"}
END = {"v1": {"conv2d_4b": "3x3/2:256"}, "v2": {"maxpool_5a": "max/2"}}
"""how the stem goes on to 35x35"""
FIRST = {"branch0": "1x1:96", "branch1": "1x1:48 5x5:64", "branch2": "1x1:64 3x3:96 3x3:96",
         "branch3": "mean 1x1:64"}
"""a plain module in front of v2's residual ones"""
A = {"v1": {"branch0": "1x1:32", "branch1": "1x1:32 3x3:32", "branch2": "1x1:32 3x3:32 3x3:32"},
     "v2": {"branch0": "1x1:32", "branch1": "1x1:32 3x3:32", "branch2": "1x1:32 3x3:48 3x3:64"}}
A_TO_B = {"v1": {"branch0": "3x3/2:384", "branch1": "1x1:192 3x3:192 3x3/2:256", "branch2": "max/2"},
          "v2": {"branch0": "3x3/2:384", "branch1": "1x1:256 3x3:256 3x3/2:384", "branch2": "max/2"}}
B = {"v1": {"branch0": "1x1:128", "branch1": "1x1:128 1x7:128 7x1:128"},
     "v2": {"branch0": "1x1:192", "branch1": "1x1:128 1x7:160 7x1:192"}}
B_TO_C = {"v1": {"branch0": "1x1:256 3x3/2:384", "branch1": "1x1:256 3x3/2:256",
                 "branch2": "1x1:256 3x3:256 3x3/2:256", "branch3": "max/2"},
          "v2": {"branch0": "1x1:256 3x3/2:384", "branch1": "1x1:256 3x3/2:288",
                 "branch2": "1x1:256 3x3:288 3x3/2:320", "branch3": "max/2"}}
C = {"v1": {"branch0": "1x1:192", "branch1": "1x1:192 1x3:192 3x1:192"},
     "v2": {"branch0": "1x1:192", "branch1": "1x1:192 1x3:224 3x1:256"}}
BLOCKS = {"v1": (5, 10, 5), "v2": (10, 20, 10)}
SCALES = (0.17, 0.10, 0.20)
PIXELS = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
"""mean and standard deviation of the pixels for which the published weights were made"""


@final
class Residual(Routes):
    """(1): (batch, maps, height, width) -> the same shape; `cut` is whether negative sums become 0."""

    def __init__(self, maps: int, routes: dict[str, str], scale: float, *, width: float = 1.0, cut: bool = True):
        super().__init__(maps, routes, width=width)
        self.conv2d, self.scale, self.cut = nn.Conv2d(self.leaving, maps, 1), scale, cut
        self.leaving = maps

    def forward(self, x: Tensor) -> Tensor:
        y = torch.add(x, self.conv2d(super().forward(x)), alpha=self.scale)  # (1)
        return F.relu(y, inplace=True) if self.cut else y


@final
class InceptionResNet(nn.Module):
    """(batch, channels, height, width) -> (batch, classes)."""

    def __init__(self, form: Form = "v2", *, classes: int = 1000, channels: int = 3, width: float = 1.0,
                 grow: int = 1, blocks: tuple[int, ...] | None = None, scales: tuple[float, ...] = SCALES,
                 border: bool = False):
        super().__init__()
        self.grow, self.border, self.width, self.leaving = grow, border, width, channels
        number = blocks or BLOCKS[form]
        for name, text in (STEM | END[form]).items():
            built, self.leaving = layer(bordered(text) if border else text, self.leaving, width=width)
            self.add_module(name, built)
        if form == "v2":
            self._change("mixed_5b", FIRST)
        self._repeat("repeat", A[form], number[0], scales[0])
        self._change("mixed_6a", A_TO_B[form])
        self._repeat("repeat_1", B[form], number[1], scales[1])
        self._change("mixed_7a", B_TO_C[form])
        last = form == "v2" and number[2] > 0  # its last module is not scaled and keeps what is negative
        self._repeat("repeat_2", C[form], number[2] - last, scales[2])
        if form == "v2":
            if last:
                self.block8 = Residual(self.leaving, C[form], 1.0, width=width, cut=False)
            self.conv2d_7b, self.leaving = layer("1x1:1536", self.leaving, width=width)
        self.order = tuple(name for name, _ in self.named_children())
        self.global_pool, self.head_drop = nn.AdaptiveAvgPool2d(1), nn.Dropout(0.2)
        self.classif = nn.Linear(self.leaving, classes)
        draw_he(self)

    def _change(self, name: str, routes: dict[str, str]) -> None:
        texts = {route: bordered(text) if self.border else text for route, text in routes.items()}
        block = Routes(self.leaving, texts, width=self.width)
        self.add_module(name, block)
        self.leaving = block.leaving

    def _repeat(self, name: str, routes: dict[str, str], number: int, scale: float) -> None:
        blocks = (Residual(self.leaving, routes, scale, width=self.width) for _ in range(number))
        self.add_module(name, nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> Tensor:
        x = enlarged(x, self.grow)
        for name in self.order:
            x = self.get_submodule(name)(x)
        return self.classif(self.head_drop(self.global_pool(x).flatten(1)))


def _meta(form: Form) -> InceptionResNet:
    with torch.device("meta"):
        return InceptionResNet(form).eval()


def _multiplied(form: Form) -> int:
    with torch.device("meta"):
        return products(_meta(form), (3, 299, 299))


def _spread(scale: float) -> float:
    """Spread of the output of 20 modules B at their first weights over that of their input, nothing cut off."""
    with drawing_from(0, "fact"):
        chain = nn.Sequential(*(Residual(64, B["v2"], scale, width=0.125, cut=False) for _ in range(20)))
        draw_he(chain)
    x = torch.randn(4, 64, 8, 8, generator=generator(0, "maps"))
    return float(chain(x).detach().std() / x.std())


def parameters_of_v1() -> Check:
    """Inception-ResNet v1 of the paper's figures has 22,756,328 parameters.

    Source: Szegedy et al. 2016, figures 10 to 14, summed layer by layer; there is no reference implementation
    """
    return exactly(trained(_meta("v1")), 22_756_328)


def v1_costs_about_as_much_as_v3() -> Check:
    """It makes 0.9 to 1.5 times the 5,713,216,096 multiplications of Inception v3.

    Source: Szegedy et al. 2016, section 3.2: its cost is roughly that of Inception v3
    """
    return Check(_multiplied("v1") / 5_713_216_096, 0.9, 1.5)


def parameters_of_v2() -> Check:
    """Inception-ResNet v2 has 55,843,464 parameters.

    Source: count of timm's inception_resnet_v2
    """
    return exactly(trained(_meta("v2")), 55_843_464)


def keras_counts_the_statistics() -> Check:
    """With one more number for each of its 30,272 normalised maps v2 has 55,873,736, the total that Keras prints.

    Source: Keras counts a mean and a variance for each map, which are not trained, and has no scale
    """
    network = _meta("v2")
    maps = sum(layer.num_features for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))
    return exactly(trained(network) + maps if maps == 30_272 else 0, 55_873_736)


def multiplications_of_v2() -> Check:
    """It makes 13,155,794,016 multiplications for one picture of 299x299.

    Source: count of timm's inception_resnet_v2
    """
    return exactly(_multiplied("v2"), 13_155_794_016)


def a_tenth_keeps_the_spread() -> Check:
    """With s = 0.10, 20 modules at their first weights widen the spread by sqrt(1 + 0.01 x 20) = 1.1, to 0.1.

    Source: equation (2), additions of spread 1 that are independent of the input
    """
    return about(_spread(0.10), (1 + 0.01 * 20) ** 0.5, 0.1)


def the_whole_does_not() -> Check:
    """With s = 1 they widen it by sqrt(1 + 20) = 4.6, to 1.

    Source: equation (2)
    """
    return about(_spread(1.0), 21**0.5, 1.0)


def a_scale_of_zero_adds_nothing() -> Check:
    """With s = 0 a module is max(x, 0): the largest difference is 0.

    Source: equation (1)
    """
    block = Residual(8, A["v1"], 0.0, width=0.125)
    x = torch.randn(2, 8, 5, 5, generator=generator(0, "maps"))
    return at_most(float((block(x) - x.clamp(min=0)).detach().abs().max()), 0)


CARD = Card(
    name="Inception-ResNet",
    name_ja="Inception-ResNet",
    paper="Szegedy et al. 2016, Inception-v4, Inception-ResNet and the impact of residual connections, "
          "arXiv:1602.07261",
    equations=(
        r"y = \max(x + s\,(W [\,r_1(x), \ldots, r_n(x)\,] + b),\ 0)",
        r"x_L = x_0 + s \sum_l f_l(x_l)",
    ),
    summary="Inception modules with residual connections, their additions scaled to a tenth so that training survives.",
    summary_ja="Inceptionモジュールに残差接続を加え、訓練が壊れないよう加算をおよそ十分の一に縮める。",
    topics=("vision.inception-resnet-v1", "vision.inception-resnet-v2"),
    facts=(
        parameters_of_v1,
        v1_costs_about_as_much_as_v3,
        parameters_of_v2,
        keras_counts_the_statistics,
        multiplications_of_v2,
        a_tenth_keeps_the_spread,
        the_whole_does_not,
        a_scale_of_zero_adds_nothing,
    ),
    notes=(
        "In the paper, ILSVRC 2012 validation with one crop: v1 21.3 % top-1 and 5.5 % top-5 error, v2 19.9 % and "
        "4.9 %; three of v2 with one v4: 3.08 % top-5 on the test part.",
        "The last module of v2 has no ReLU and is not scaled; it is easily given both.",
        "Keras prints 55,873,736: its normalisations have no scales, which are 30,272 fewer, but it counts both "
        "running statistics, which are not trained and 60,544 more.",
        "Neither torchvision nor timm has v1; it is best known from programs called FaceNet, whose paper is older.",
        "Pictures need 75 pixels: `grow` repeats the pixels of smaller ones, `border` gives every layer a border.",
    ),
    notes_ja=(
        "論文のILSVRC 2012検証データの誤り率は、1クロップでv1が top-1 21.3 %、top-5 5.5 %、v2が 19.9 % と 4.9 %。"
        "v2三つとv4一つのアンサンブルは、テストの top-5 で 3.08 %。",
        "v2の最後のモジュールにはReLUもスケールもない。両方付けてしまいやすい。",
        "Kerasは 55,873,736 と表示する。正規化にスケールがなく 30,272 個少ないが、学習しない移動統計量を両方とも"
        "数えるので 60,544 個多い。",
        "v1はtorchvisionにもtimmにもない。FaceNetの実装での利用がよく知られるが、その論文の方が古い。",
        "画像は 75 画素必要で、小さい画像は grow で画素を繰り返すか、border で全層に縁を付ける。",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup(Bordered):
    """What can be chosen."""

    form: Literal["v1", "v2"] = "v1"
    """which network: v1 costs about as much as Inception v3, v2 as much as v4"""
    blocks: tuple[int, ...] | None = None
    """how many modules A, B and C; none: 5,10,5 in v1 and 10,20,10 in v2"""
    scales: tuple[float, ...] = SCALES
    """s of the modules A, B and C; in the paper 0.1 to 0.3"""


VARIANTS = {
    "smoke": Setup(width=0.03125, blocks=(1, 1, 1), border=True, epochs=1, batch_size=32, augment=False),
    "default": Setup(width=0.25, blocks=(2, 3, 1), border=True, grow=2),
    "unscaled": Setup(width=0.25, blocks=(2, 3, 1), border=True, grow=2, scales=(1.0, 1.0, 1.0)),
    "cifar10": Setup(data="cifar10", border=True, grow=2, epochs=30, batch_size=128, optimiser="sgd", lr=0.1),
}


def build(setup: Setup, place: Place = Place()) -> Supervised:  # noqa: B008 - a frozen value
    """The training program; images whose grown sides have 75 pixels or more, or any with a border."""
    in_range(setup, ("width", "grow"))
    for name in ("blocks", "scales"):
        given = getattr(setup, name)
        if given is not None and len(given) != 3:
            raise UserError(name, f"{len(given)} numbers are not those of A, B and C", "give three, for example 5,10,5")
    return recognise(setup, place, lambda about: InceptionResNet(
        setup.form, classes=len(about.classes), channels=about.shape[0], width=setup.width, grow=setup.grow,
        blocks=setup.blocks, scales=setup.scales, border=setup.border),
        smallest=smallest(setup))
