r"""DenseNet: blocks in which every layer reads all layers before it (Huang, Liu, van der Maaten, Weinberger 2016).

    x_l = H_l([x_0, x_1, ..., x_{l-1}])          k maps each, as in `dense_block`                  (1)
    T(x) = mean over 2x2 of W max(B x, 0)        between blocks: 1x1 to theta c of c maps          (2)

The first layers halve the picture twice (ImageNet) or not at all (CIFAR); behind the last block stand a normalisation,
the mean over all places and one linear map. The surprise: layers can be very narrow. Twelve new maps each (the growth
rate k) are enough, and in the paper DenseNet-BC-100 answers CIFAR-10 with 0.8 million weights as well as a ResNet of
1001 layers with 10 million. "B" is the bottleneck of the layers, "C" is theta = 1/2.

Names are torchvision's; its published files still say norm.1 for norm1, which is seen to when they are read. The
dropout that the paper uses where images are not augmented is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, exactly
from shinso.core.errors import UserError
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.data.examples import Dataset, Description
from shinso.learn.classify import CLASSIFY
from shinso.learn.recognise import Recognition, recognise
from shinso.learn.supervised import Supervised
from shinso.vision._cost import products, trained
from shinso.vision.dense_block import DenseBlock, reuse


@final
@dataclass(frozen=True)
class Design:
    """A DenseNet as numbers."""

    layers: tuple[int, ...]
    """of each block"""
    growth: int
    """k, the maps that each layer adds"""
    first: int
    """maps of the first convolution"""
    bottleneck: bool = True
    """a 1x1 convolution to 4k maps before the 3x3"""
    compression: float = 0.5
    """theta of (2)"""
    stem: Literal["imagenet", "cifar"] = "imagenet"
    """7x7 with stride 2 and a pool with stride 2, or 3x3"""


IMAGENET = {
    "121": Design((6, 12, 24, 16), 32, 64),
    "169": Design((6, 12, 32, 32), 32, 64),
    "201": Design((6, 12, 48, 32), 32, 64),
    "161": Design((6, 12, 36, 24), 48, 96),
}
"""the networks for pictures of 224x224; 161 is wider, not between the others"""


def cifar(depth: int, growth: int, *, bottleneck: bool) -> Design:
    """Three blocks for 32x32: plain with 16 first maps and theta 1, or BC with 2k first maps and theta 1/2.

    UserError where the depth does not divide: four layers are not in blocks, those of BC are two convolutions.
    """
    parts = 6 if bottleneck else 3
    if depth < 4 + parts or (depth - 4) % parts:
        near = 4 + parts * max(1, round((depth - 4) / parts))
        raise UserError("depth", f"{depth} is not 4 more than a multiple of {parts}", f"give for example {near}")
    layers = ((depth - 4) // parts,) * 3
    if bottleneck:
        return Design(layers, growth, 2 * growth, stem="cifar")
    return Design(layers, growth, 16, bottleneck=False, compression=1.0, stem="cifar")


@final
class DenseNet(nn.Module):
    """(batch, channels, height, width) -> (batch, classes)."""

    def __init__(self, design: Design, channels: int = 3, classes: int = 1000, *, memory_efficient: bool = False):
        super().__init__()
        self.design = design
        self.features = _stem(design, channels)
        width = design.first
        for i, layers in enumerate(design.layers, 1):
            block = DenseBlock(layers, width, design.growth, bottleneck=design.bottleneck,
                               memory_efficient=memory_efficient)
            self.features.add_module(f"denseblock{i}", block)
            width += layers * design.growth
            if i < len(design.layers):
                narrow = int(width * design.compression)
                self.features.add_module(f"transition{i}", _transition(width, narrow))
                width = narrow
        self.features.add_module("norm5", nn.BatchNorm2d(width))
        self.classifier = nn.Linear(width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(F.relu(self.features(x)).mean((2, 3)))


def _stem(design: Design, channels: int) -> nn.Sequential:
    stem = nn.Sequential()
    if design.stem == "cifar":
        stem.add_module("conv0", nn.Conv2d(channels, design.first, 3, padding=1, bias=False))
        return stem
    stem.add_module("conv0", nn.Conv2d(channels, design.first, 7, 2, 3, bias=False))
    stem.add_module("norm0", nn.BatchNorm2d(design.first))
    stem.add_module("relu0", nn.ReLU(inplace=True))
    stem.add_module("pool0", nn.MaxPool2d(3, 2, 1))
    return stem


def _transition(entering: int, leaving: int) -> nn.Sequential:
    """(2)."""
    between = nn.Sequential()
    between.add_module("norm", nn.BatchNorm2d(entering))
    between.add_module("relu", nn.ReLU(inplace=True))
    between.add_module("conv", nn.Conv2d(entering, leaving, 1, bias=False))
    between.add_module("pool", nn.AvgPool2d(2))
    return between


def on_paper(design: Design, classes: int) -> DenseNet:
    """The network without memory for its weights, to be counted."""
    with torch.device("meta"):
        return DenseNet(design, 3, classes)


def _parameters(name: str) -> int:
    return trained(on_paper(IMAGENET[name], 1000))


def _products(name: str) -> int:
    with torch.device("meta"):
        return products(DenseNet(IMAGENET[name]), (3, 224, 224))


def parameters_121() -> Check:
    """DenseNet-121 has 7,978,856 parameters.

    Source: torchvision densenet121
    """
    return exactly(_parameters("121"), 7_978_856)


def parameters_169() -> Check:
    """DenseNet-169 has 14,149,480 parameters.

    Source: torchvision densenet169
    """
    return exactly(_parameters("169"), 14_149_480)


def parameters_201() -> Check:
    """DenseNet-201 has 20,013,928 parameters.

    Source: torchvision densenet201
    """
    return exactly(_parameters("201"), 20_013_928)


def parameters_161() -> Check:
    """DenseNet-161 has 28,681,000 parameters.

    Source: torchvision densenet161
    """
    return exactly(_parameters("161"), 28_681_000)


def products_121() -> Check:
    """DenseNet-121 makes 2,834,161,664 multiplications for one picture of 224x224.

    Source: count over the layers of torchvision densenet121
    """
    return exactly(_products("121"), 2_834_161_664)


def products_201() -> Check:
    """DenseNet-201 makes 4,291,365,888 multiplications for one picture of 224x224.

    Source: count over the layers of torchvision densenet201
    """
    return exactly(_products("201"), 4_291_365_888)


def parameters_plain_40() -> Check:
    """The plain form with 40 layers and k = 12 has 1,019,722 parameters, the paper's 1.0M.

    Source: Huang et al. 2016, table 2
    """
    return exactly(trained(on_paper(cifar(40, 12, bottleneck=False), 10)), 1_019_722)


def parameters_bc_100() -> Check:
    """DenseNet-BC with 100 layers and k = 12 has 769,162 parameters, the paper's 0.8M.

    Source: Huang et al. 2016, table 2
    """
    return exactly(trained(on_paper(cifar(100, 12, bottleneck=True), 10)), 769_162)


def pictures(model: nn.Module, data: Dataset) -> dict[str, np.ndarray]:
    """Those of every classifier, and which earlier layers each layer reads: the paper's figure 5."""
    shown = CLASSIFY.pictures(model, data) if CLASSIFY.pictures is not None else {}
    return {**shown, "reuse": _draw_reuse([reuse(part) for part in model.modules() if isinstance(part, DenseBlock)])}


def _draw_reuse(blocks: Sequence[np.ndarray]) -> np.ndarray:
    figure = sheet(800, 320)
    for i, shares in enumerate(blocks):
        axes = figure.add_subplot(1, len(blocks), i + 1)
        axes.imshow((shares / np.nanmax(shares)).T, cmap="viridis", vmin=0, vmax=1)
        every = max(1, len(shares) // 6)
        axes.set_xticks(range(0, len(shares), every), [str(n + 1) for n in range(0, len(shares), every)])
        axes.set_yticks(range(0, len(shares), every), [str(n) if n else "x" for n in range(0, len(shares), every)])
        axes.set_xlabel("layer / 層")
        if i == 0:
            axes.set_ylabel("reads from / 読み込み元")
        axes.set_title(f"block / ブロック {i + 1}", fontsize=11)
    return pixels(figure)


CARD = Card(
    name="DenseNet",
    name_ja="DenseNet",
    paper="Huang, Liu, van der Maaten, Weinberger 2016, Densely connected convolutional networks, arXiv:1608.06993",
    equations=(
        r"x_l = H_l([x_0, x_1, \ldots, x_{l-1}])",
        r"T(x) = \mathrm{mean}_{2 \times 2}\; W \max(B x, 0)",
    ),
    summary="Every layer of a block reads the maps of all layers before it, so each one needs to add only a few.",
    summary_ja="ブロック内の各層がそれ以前のすべての層の特徴マップを読むため、一層が加えるマップは少しで足りる。",
    topics=(
        "vision.densenet121",
        "vision.densenet169",
        "vision.densenet201",
        "vision.densenet161",
        "vision.densenet-cifar",
    ),
    facts=(
        parameters_121,
        parameters_169,
        parameters_201,
        parameters_161,
        products_121,
        products_201,
        parameters_plain_40,
        parameters_bc_100,
        ),
    notes=(
        "The first convolution of the plain form has 16 maps, that of BC 2k: 24 for k = 12, 80 for k = 40.",
        "torchvision's published files are older than its names: they say norm.1 and conv.2 for norm1 and conv2. Other "
        "programs have to rename them; here that is done when they are read.",
        "DenseNet-161 (k = 48) is wider than the others, not between 121 and 169; the final paper has a DenseNet-264 "
        "in its place.",
        "On CIFAR-10 with mirrored and shifted images the paper reports errors of 5.24 % (40 layers, k = 12), 4.10 % "
        "(100, 12), 3.74 % (100, 24), and for BC 4.51 % (100, 12), 3.62 % (250, 24), 3.46 % (190, 40).",
        "On the ILSVRC validation pictures the paper reports top-1 errors of 25.02, 23.80, 22.58 and 22.33 % for 121, "
        "169, 201 and 161, top-5 errors of 7.71, 6.85, 6.34 and 6.15 %.",
    ),
    notes_ja=(
        "最初の畳み込みのマップ数は、基本形で16、BCで 2k (k = 12 なら24、k = 40 なら80) である。",
        "torchvisionが公開する重みのファイルは名前が古く、norm1 と conv2 を norm.1 と conv.2 とする。"
        "ほかのプログラムでは名前を直す必要がある。ここでは読み込むときに直る。",
        "DenseNet-161 (k = 48) は幅が広いのであって、深さが121と169の間にあるわけではない。"
        "論文の最終版では代わりにDenseNet-264が載る。",
        "反転と平行移動を加えたCIFAR-10での論文の誤り率は 5.24 % (40層, k = 12)、4.10 % (100, 12)、3.74 % (100, 24)、"
        "BCでは 4.51 % (100, 12)、3.62 % (250, 24)、3.46 % (190, 40)。",
        "ILSVRCの検証画像での論文の誤り率は、121, 169, 201, 161の順に第一位が 25.02, 23.80, 22.58, 22.33 %、"
        "上位五位が 7.71, 6.85, 6.34, 6.15 %。",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup(Recognition):
    """What can be chosen."""

    network: Literal["plain", "bc", "121", "169", "201", "161"] = "bc"
    """which DenseNet: plain or bc for small pictures, or one of the four for pictures of 224x224"""
    depth: int = 22
    """layers of plain (4 more than a multiple of 3) or bc (4 more than a multiple of 6); the paper has 40, 100, 190"""
    growth: int = 8
    """maps that each layer of plain or bc adds"""
    memory_efficient: bool = False
    """forget what can be computed again on the way back: less memory, more time, the same result"""
    epochs: int = 10
    batch_size: int = 64
    weight_decay: float = 1e-4


VARIANTS = {
    "smoke": Setup(network="plain", depth=7, growth=4, epochs=1, batch_size=31, augment=False),
    "default": Setup(batch_size=32, epochs=12),
    "cifar10": Setup(data="cifar10", depth=100, growth=12, epochs=300, schedule="step"),
    "plain": Setup(data="cifar10", network="plain", depth=40, growth=12, epochs=300, schedule="step"),
    "imagenet": Setup(data="folder:pictures@224", network="121", epochs=90, batch_size=256, schedule="step"),
}


def build(setup: Setup, place: Place = Place()) -> Supervised:  # noqa: B008 - a frozen value
    """The training program, for pictures of at least 4x4 (plain, bc) or 29x29."""
    if setup.growth < 1:
        raise UserError("growth", f"{setup.growth} maps are none", "give for example 12")
    small = setup.network in ("plain", "bc")
    design = cifar(setup.depth, setup.growth, bottleneck=setup.network == "bc") if small else IMAGENET[setup.network]

    def network(about: Description) -> nn.Module:
        return DenseNet(design, about.shape[0], len(about.classes), memory_efficient=setup.memory_efficient)

    program = recognise(setup, place, network, smallest=4 if small else 29)
    program.task = replace(program.task, pictures=pictures)
    return program
