r"""Inception v4: the modules of v3 made regular, and more of them (Szegedy, Ioffe, Vanhoucke, Alemi 2016).

    y = [r_1(x), r_2(x), r_3(x), r_4(x)]     four modules A, seven B, three C                       (1)
    y = [conv(x), pool(x)]                   halving twice over in the stem                         (2)
    m_ij = sum of what is there / how many are there       pooling that leaves the border out       (3)

299x299 -> stem 384@35x35 -> 4 A -> reduction 1024@17x17 -> 7 B -> reduction 1536@8x8 -> 3 C -> mean -> classes. Every
module of a kind is the same; in v3 each had widths of its own, left over from the time when networks had to be cut in
parts to be trained. The surprise: with no residual connection at all it is, in the paper, about as good as
Inception-ResNet v2 of about the same cost, which only learns faster.

The reference is timm's; its files load through `from_timm`.
"""

import re
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from shinso.core.card import Card, Check, exactly
from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.setup import in_range
from shinso.learn.recognise import recognise
from shinso.learn.supervised import Supervised
from shinso.nn.inception_block import Routes, bordered, draw_he, enlarged, layer
from shinso.vision._cost import products, trained
from shinso.vision._inception import Bordered, smallest

STEM = ("3x3/2:32", "3x3v:32", "3x3:64")
HALVES = (
    {"maxpool": "max/2", "conv": "3x3/2:96"},
    {"branch0": "1x1:64 3x3v:96", "branch1": "1x1:64 1x7:64 7x1:64 3x3v:96"},
    {"conv": "3x3/2:192", "maxpool": "max/2"},
)
"""(2) twice, and two routes of different size between"""
A = {"branch0": "1x1:96", "branch1": "1x1:64 3x3:96", "branch2": "1x1:64 3x3:96 3x3:96", "branch3": "mean 1x1:96"}
A_TO_B = {"branch0": "3x3/2:384", "branch1": "1x1:192 3x3:224 3x3/2:256", "branch2": "max/2"}
B = {"branch0": "1x1:384", "branch1": "1x1:192 1x7:224 7x1:256",
     "branch2": "1x1:192 7x1:192 1x7:224 7x1:224 1x7:256", "branch3": "mean 1x1:128"}
B_TO_C = {"branch0": "1x1:192 3x3/2:192", "branch1": "1x1:256 1x7:256 7x1:320 3x3/2:320", "branch2": "max/2"}
C = {"branch0": "1x1:256", "branch1": "1x1:384 1x3:256|3x1:256",
     "branch2": "1x1:384 3x1:448 1x3:512 1x3:256|3x1:256", "branch3": "mean 1x1:256"}
PIXELS = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
"""mean and standard deviation of the pixels for which the published weights were made"""


@final
class InceptionV4(nn.Module):
    """(batch, channels, height, width) -> (batch, classes)."""

    def __init__(self, *, classes: int = 1000, channels: int = 3, width: float = 1.0, grow: int = 1,
                 blocks: tuple[int, ...] = (4, 7, 3), drop: float = 0.2,
                 border: bool = False):
        super().__init__()
        self.grow, self.features, leaving = grow, nn.Sequential(), channels
        for text in STEM:
            built, leaving = layer(bordered(text) if border else text, leaving, width=width)
            self.features.append(built)
        a, b, c = blocks
        for routes in (*HALVES, *a * (A,), A_TO_B, *b * (B,), B_TO_C, *c * (C,)):
            texts = {route: bordered(text) if border else text for route, text in routes.items()}
            block = Routes(leaving, texts, width=width)  # (1)
            self.features.append(block)
            leaving = block.leaving
        self.global_pool, self.head_drop = nn.AdaptiveAvgPool2d(1), nn.Dropout(drop)
        self.last_linear = nn.Linear(leaving, classes)
        draw_he(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(enlarged(x, self.grow))
        return self.last_linear(self.head_drop(self.global_pool(x).flatten(1)))


def from_timm(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm's weights under our names: what it calls branch1_0, branch1_1a is branch1.0, branch1.1a here."""
    return {re.sub(r"\.branch(\d)_(\d[ab]?)\.", r".branch\1.\2.", name): value for name, value in state.items()}


def parameters() -> Check:
    """Inception v4 has 42,679,816 parameters.

    Source: count of timm's inception_v4
    """
    with torch.device("meta"):
        return exactly(trained(InceptionV4()), 42_679_816)


def multiplications() -> Check:
    """It makes 12,253,974,624 multiplications for one picture of 299x299.

    Source: count of timm's inception_v4
    """
    with torch.device("meta"):
        return exactly(products(InceptionV4().eval(), (3, 299, 299)), 12_253_974_624)


def the_stages_have_384_1024_and_1536_maps() -> Check:
    """The stem ends with 384 maps, the reductions with 1024 and 1536: together 2944.

    Source: Szegedy et al. 2016, figures 3 and 9
    """
    with torch.device("meta"):
        leaving = [Routes(192, HALVES[2]).leaving, Routes(384, A_TO_B).leaving, Routes(1024, B_TO_C).leaving]
    return exactly(sum(leaving) if leaving == [384, 1024, 1536] else 0, 2944)


def modules_keep_their_maps() -> Check:
    """Modules of all 3 kinds give as many maps as they get.

    Source: Szegedy et al. 2016, figures 4, 5 and 6
    """
    kinds = ((384, A), (1024, B), (1536, C))
    with torch.device("meta"):
        return exactly(sum(Routes(maps, routes).leaving == maps for maps, routes in kinds), 3)


def the_border_does_not_darken() -> Check:
    """A module's pooling leaves a picture of ones as it is: its smallest value is 1.

    Source: equation (3)
    """
    pooling, _ = layer(B["branch3"].split()[0], 1)
    return exactly(float(pooling(torch.ones(1, 1, 5, 5)).min()), 1)


CARD = Card(
    name="Inception v4",
    name_ja="Inception v4",
    paper="Szegedy et al. 2016, Inception-v4, Inception-ResNet and the impact of residual connections, "
          "arXiv:1602.07261",
    equations=(
        r"y = [\,r_1(x),\ r_2(x),\ r_3(x),\ r_4(x)\,]",
        r"y = [\,conv(x),\ pool(x)\,]",
        r"m_{ij} = \frac{1}{|N_{ij}|} \sum_{(k, l) \in N_{ij}} x_{kl}",
    ),
    summary="Fourteen regular modules without a single residual connection.",
    summary_ja="規則正しい14個のモジュールを、残差接続を一つも使わずに重ねる。",
    topics=("vision.inception-v4",),
    facts=(
        parameters,
        multiplications,
        the_stages_have_384_1024_and_1536_maps,
        modules_keep_their_maps,
        the_border_does_not_darken,
    ),
    notes=(
        "In the paper, ILSVRC 2012 validation: 20.0 % top-1 and 5.0 % top-5 error with one crop.",
        "The pooling in the modules divides by what lies in the picture, torchvision's v3 by 9: exchanged, the "
        "answers differ.",
        "Pictures need 75 pixels: `grow` repeats the pixels of smaller ones, `border` gives every layer a border.",
    ),
    notes_ja=(
        "論文のILSVRC 2012検証データの誤り率は、1クロップで top-1 20.0 %、top-5 5.0 %。",
        "モジュール内の平均は画像の中にある画素の数で割る。torchvisionのv3は 9 で割り、取り違えると答えが変わる。",
        "画像は 75 画素必要で、小さい画像は grow で画素を繰り返すか、border で全層に縁を付ける。",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup(Bordered):
    """What can be chosen."""

    blocks: tuple[int, ...] = (4, 7, 3)
    """how many modules A, B and C; published: 4,7,3"""
    drop: float = 0.2
    """share of the last maps that dropout removes while training"""


VARIANTS = {
    "smoke": Setup(width=0.03125, blocks=(1, 1, 0), border=True, epochs=1, batch_size=32, augment=False),
    "default": Setup(width=0.25, blocks=(1, 2, 1), border=True, grow=2, epochs=12),
    "cifar10": Setup(data="cifar10", border=True, grow=2, epochs=30, batch_size=128, optimiser="sgd", lr=0.1),
}


def build(setup: Setup, place: Place = Place()) -> Supervised:  # noqa: B008 - a frozen value
    """The training program; images whose grown sides have 75 pixels or more."""
    in_range(setup, ("width", "grow"), ("drop",))
    if len(setup.blocks) != 3:
        raise UserError("blocks", f"{len(setup.blocks)} numbers are not those of A, B and C", "give for example 4,7,3")
    return recognise(setup, place, lambda about: InceptionV4(
        classes=len(about.classes), channels=about.shape[0], width=setup.width, grow=setup.grow, blocks=setup.blocks,
        drop=setup.drop, border=setup.border), smallest=smallest(setup))
