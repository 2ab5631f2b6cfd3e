r"""SENet: each channel is weighed by what all channels are like on average (Hu, Shen, Albanie, Sun, Wu 2017).

    z_c = mean over all places of f_c                                 squeeze                      (1)
    e = s(W_2 max(W_1 z + b_1, 0) + b_2)                              excite, s the logistic function (2)
    y = max(h(x) + e f(x), 0)                                         in a residual block          (3)

A convolution sees a few pixels; here one number for each channel tells what is in the whole picture, and a bottleneck
of two linear maps (c -> c/16 -> c) says which channels count. It stands behind the residual function f, before the
shortcut h is added. The surprise is the price: ResNet-50 grows from 25.6 to 28.1 million parameters, but its
multiplications only by 0.06 %, because (2) is computed once for a picture and not at every place. It won the
classification of ILSVRC 2017 with a top-5 error of 2.25 %, an ensemble's.

The residual blocks are those of `nn.residual_block`. In v1, as the authors published it, the stride of a bottleneck is
in the first 1x1 and the first pool has no border; v1.5 is the ResNet of today. `from_timm` reads timm's files of both:
legacy_seresnet18 to 152 are v1 (in those of 18 and 34 layers, which are not the authors', f is rectified before it is
weighed), seresnet50 is v1.5.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.seed import drawing_from
from shinso.learn.recognise import Recognition, recognise
from shinso.learn.supervised import Supervised
from shinso.nn.residual_block import Basic, Bottleneck, Form, conv, draw_weights
from shinso.vision._cost import products, trained
from shinso.vision.resnet import BLOCKS, ResNet


@final
class SqueezeExcitation(nn.Module):
    """(1), (2): (batch, channels, height, width) -> the same, every channel times its weight."""

    def __init__(self, channels: int, ratio: int = 16):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(channels, channels // ratio), nn.Linear(channels // ratio, channels)

    def weights(self, x: Tensor) -> Tensor:
        """e of (2): (batch, channels), in (0, 1)."""
        return torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3))))))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weights(x)[:, :, None, None]


@final
class Weighed(nn.Module):
    """(3): a residual block whose f, or with `rectified` max(f, 0), is weighed before the addition."""

    def __init__(self, block: Basic | Bottleneck, channels: int, ratio: int, *, rectified: bool = False):
        super().__init__()
        self.block, self.se, self.rectified = block, SqueezeExcitation(channels, ratio), rectified

    def forward(self, x: Tensor) -> Tensor:
        f = self.block.residual(x)
        return F.relu(self.block.skip(x) + self.se(F.relu(f) if self.rectified else f))  # (3)


@final
class SEResNet(nn.Module):
    """(batch, channels, height, width) -> (batch, classes)."""

    def __init__(self, depth: Literal[18, 34, 50, 101, 152] = 50, channels: int = 3, classes: int = 1000, *,
                 width: int = 64, ratio: int = 16, small: bool = False, form: Form = "v1.5"):
        super().__init__()
        self.form: Form = form
        first = conv(channels, width, 3) if small else conv(channels, width, 7, 2)
        self.stem = nn.Sequential(first, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        if not small:
            self.stem.append(nn.MaxPool2d(3, 2, ceil_mode=True) if form == "v1" else nn.MaxPool2d(3, 2, 1))
        kind = Basic if depth < 50 else partial(Bottleneck, form=form)
        expansion = 1 if depth < 50 else Bottleneck.expansion
        self.stages, entering = nn.ModuleList(), width
        for stage, number in enumerate(BLOCKS[depth]):
            leaving, blocks = expansion * width << stage, nn.Sequential()
            for k in range(number):
                block = kind(entering, width << stage, 2 if stage and not k else 1)
                blocks.append(Weighed(block, leaving, ratio, rectified=form == "v1" and depth < 50))
                entering = leaving
            self.stages.append(blocks)
        self.fc = nn.Linear(entering, classes)
        draw_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.fc(x.mean((2, 3)))

    def from_timm(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """A state of timm's seresnet50, or for v1 of a legacy_seresnet, under our names; other names stay."""
        legacy = self.form == "v1"
        stem = {"layer0.conv1": "stem.0", "layer0.bn1": "stem.1"} if legacy else {"conv1": "stem.0", "bn1": "stem.1"}
        weighs, answers = ("se_module", "last_linear") if legacy else ("se", "fc")
        ours: dict[str, Tensor] = {}
        for name, tensor in state.items():
            layer, _, part = name.rpartition(".")
            words = name.split(".")
            if layer in stem:
                ours[f"{stem[layer]}.{part}"] = tensor
            elif layer == answers:
                ours[f"fc.{part}"] = tensor
            elif words[0].startswith("layer") and len(words) > 3:
                inner = ["se", *words[3:]] if words[2] == weighs else ["block", *words[2:]]
                # the two maps of (2) are 1x1 convolutions there
                value = tensor.flatten(1) if words[2] == weighs and tensor.dim() == 4 else tensor
                ours[".".join([f"stages.{int(words[0][5:]) - 1}.{words[1]}", *inner])] = value
            else:
                ours[name] = tensor
        return ours


def parameters_50() -> Check:
    """SE-ResNet-50 has 28,088,024 parameters.

    Source: timm seresnet50
    """
    with torch.device("meta"):
        return exactly(trained(SEResNet(50)), 28_088_024)


def products_added() -> Check:
    """Squeezing and exciting adds 0.06 % to the multiplications of ResNet-50, 2,514,944 for one picture.

    Source: equation (2), 2 c^2 / 16 for each block of c channels
    """
    with torch.device("meta"):
        with_it, without = (products(network, (3, 224, 224)) for network in (SEResNet(50), ResNet(50)))
    return exactly(with_it - without, 2_514_944)


def weights_of_one_half_halve() -> Check:
    """Where W_2 and b_2 are 0 every channel is weighed by exactly one half.

    Source: equation (2), the logistic function of 0
    """
    with drawing_from(0, "weights"):
        layer, x = SqueezeExcitation(32), torch.randn(2, 32, 3, 3)
    nn.init.zeros_(layer.fc2.weight)
    nn.init.zeros_(layer.fc2.bias)
    return exactly(float((layer(x) - x / 2).detach().abs().max()), 0)


def places_do_not_matter() -> Check:
    """The weights of the channels stay the same when the places of a picture are shuffled.

    Source: equation (1)
    """
    with drawing_from(0, "weights"), torch.no_grad():
        layer, x = SqueezeExcitation(32).double(), torch.randn(2, 32, 5, 5, dtype=torch.float64)
        moved = x.flatten(2)[:, :, torch.randperm(25)].view_as(x)
    return at_most(float((layer.weights(x) - layer.weights(moved)).detach().abs().max()), 1e-14)


def weights_of_one_give_the_resnet() -> Check:
    """Where all weights are one, what is left is the residual block without them.

    Source: equation (3)
    """
    with drawing_from(0, "weights"):
        block, x = Weighed(Bottleneck(32, 8), 32, 16).double().eval(), torch.randn(2, 32, 5, 5, dtype=torch.float64)
    nn.init.zeros_(block.se.fc2.weight)
    nn.init.constant_(block.se.fc2.bias, 50)
    return at_most(float((block(x) - block.block(x)).detach().abs().max()), 1e-14)


CARD = Card(
    name="Squeeze and excitation (SENet)",
    name_ja="Squeeze-and-Excitation (SENet)",
    paper="Hu, Shen, Albanie, Sun, Wu 2017, Squeeze-and-excitation networks, arXiv:1709.01507",
    equations=(
        r"z_c = \mathrm{mean}_{i, j}\; f_{c i j}",
        r"e = \sigma(W_2 \max(W_1 z + b_1, 0) + b_2)",
        r"y = \max(h(x) + e \, f(x), 0)",
    ),
    summary="One number for each channel, computed from the means of all channels, says how much the channel counts.",
    summary_ja="全チャンネルの平均から計算した数で、チャンネルごとの重みを決める。",
    topics=("vision.squeeze-excitation",),
    facts=(
        parameters_50,
        products_added,
        weights_of_one_half_halve,
        places_do_not_matter,
        weights_of_one_give_the_resnet,
    ),
    notes=(
        "No document names it, yet the classification of ILSVRC 2017, near which a table of yearly results ends, was "
        "won by it: 2.25 % in the paper, by an ensemble.",
        "It weighs channels only, the same at every place; which places count is asked by vision.residual_attention.",
    ),
    notes_ja=(
        "どの資料にも名前は出てこないが、年ごとの精度の表が終わるころのILSVRC 2017の分類で一位になった。"
        "論文ではアンサンブルで 2.25 %。",
        "重みはチャンネルだけに付き、どの場所でも同じである。"
        "どの場所が大事かを問うのは vision.residual_attention である。",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup(Recognition):
    """What can be chosen."""

    depth: Literal[18, 34, 50, 101, 152] = 18
    """layers of the ResNet; from 50 on its blocks are bottlenecks"""
    width: int = 16
    """maps of the first convolution; the paper has 64"""
    ratio: int = 16
    """how much narrower the middle of the two maps is than the channels"""
    stem: Literal["small", "imagenet"] = "imagenet"
    """3x3 for small pictures, or 7x7 with stride 2 and a pool"""
    form: Literal["v1.5", "v1"] = "v1.5"
    """v1.5: the stride of a bottleneck is in its 3x3; v1: as published in the first 1x1, after a pool without border"""
    batch_size: int = 64


VARIANTS = {
    "smoke": Setup(width=4, ratio=4, epochs=1, batch_size=31, augment=False),
    "default": Setup(width=8, ratio=4, stem="small", batch_size=32),
    "cifar10": Setup(data="cifar10", width=64, stem="small", batch_size=128, epochs=30),
    "imagenet": Setup(data="folder:pictures@224", depth=50, width=64, epochs=100, batch_size=256, schedule="step"),
}


def build(setup: Setup, place: Place = Place()) -> Supervised:  # noqa: B008 - a frozen value
    """The training program, for pictures of at least 8x8 (small) or 28x28."""
    if setup.width < 1 or not 1 <= setup.ratio <= setup.width:
        raise UserError("ratio", f"a width of {setup.width} maps cannot be made {setup.ratio} times narrower",
                        "give a ratio from 1 to the width")
    small = setup.stem == "small"
    network = partial(SEResNet, setup.depth, width=setup.width, ratio=setup.ratio, small=small, form=setup.form)
    return recognise(setup, place, lambda about: network(channels=about.shape[0], classes=len(about.classes)),
                     smallest=8 if small else 28)
