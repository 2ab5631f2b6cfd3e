r"""Residual Attention Network: a mask says where the features count, and never less than once (Wang et al. 2017).

    H(x) = (1 + M(x)) T(x)                        an attention module                              (1)
    M(x) = s(W_2 a(W_1 a(U(D(x)))))               soft mask, s the logistic function, 0 < M < 1    (2)
    layers = 20 + 12 m                            on the trunk, for m modules                      (3)
    n(w, d) = (3d + 3)(17/16 w^2 + 3w) + 2w^2 + 4w     weights of a module: w maps, d halvings    (4)

The trunk T is t = 2 residual units in pre-activation order; p = 1 unit stands before the split and after it is closed.
The mask has its own eyes: D pools 3, 2 or 1 times, in stages of 56x56, 28x28 and 14x14, with r = 1 unit between, until
one place sees nearly the whole picture; U interpolates back, adding what D had on the way; a(x) = max(B x, 0). Every
channel and place gets its own weight. This is not self-attention: nothing is compared with anything else.

The surprise is the 1 in (1). Without it (`gate="naive"`) every module multiplies by numbers below one, and ten modules
leave next to nothing of the signal; with it a mask of zeros gives the trunk, so a module can do no harm, and modules
can be stacked: 56 layers have (1, 1, 1) in three stages, 92 have (1, 2, 3), and 452 were trained.

The paper leaves some of this open; the layers here are those of the authors' own descriptions for Caffe: what passes
from D to U goes through a unit, maps are normalised before W_1 and W_2, pools have no margin, U keeps the corners in
place. There is none for CIFAR: a 3x3 convolution begins, stages of 32x32 have 32, 16, 8 and 4, and `width` is free.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.seed import drawing_from
from shinso.data.examples import Dataset, to_float
from shinso.inside.watching import watching
from shinso.learn.classify import CLASSIFY
from shinso.learn.recognise import Recognition, recognise
from shinso.learn.supervised import Supervised
from shinso.nn.residual_block import conv, draw_weights
from shinso.vision._cost import products, trained
from shinso.vision.preact_resnet import PreActivation

Gate = Literal["residual", "naive"]
"""(1), or M(x) T(x)"""


def unit(entering: int, leaving: int, stride: int = 1) -> PreActivation:
    """A bottleneck in pre-activation order: 1x1, 3x3, 1x1."""
    return PreActivation(entering, leaving, stride, narrow=leaving // 4, pads=False)


def units(number: int, width: int) -> nn.Sequential:
    """So many of one width."""
    return nn.Sequential(*(unit(width, width) for _ in range(number)))


@final
class SoftMask(nn.Module):
    """(2): (batch, width, height, height) -> the same shape, in (0, 1); `pools` halvings with `r` units between."""

    def __init__(self, width: int, pools: int, r: int = 1):
        super().__init__()
        self.down = nn.ModuleList(units(r, width) for _ in range(pools))
        self.bottom = units(r, width)
        self.across = nn.ModuleList(unit(width, width) for _ in range(pools - 1))
        self.up = nn.ModuleList(units(r, width) for _ in range(pools - 1))
        self.gate = nn.Sequential(*chain(*((nn.BatchNorm2d(width), nn.ReLU(inplace=True), conv(width, width, 1))
                                           for _ in range(2))), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        sizes, kept = [], []
        for i, part in enumerate(self.down):
            sizes.append(x.shape[2:])
            x = part(F.max_pool2d(x, 3, 2, ceil_mode=True))
            if i < len(self.across):
                kept.append(self.across[i](x))
        x = self.bottom(x)
        for part, size, way in zip(self.up, sizes[:0:-1], kept[::-1], strict=True):
            x = part(F.interpolate(x, size, mode="bilinear", align_corners=True) + way)
        return self.gate(F.interpolate(x, sizes[0], mode="bilinear", align_corners=True))  # (2)


@final
class AttentionModule(nn.Module):
    """(1): (batch, width, height, height) -> the same shape."""

    def __init__(self, width: int, pools: int, p: int = 1, t: int = 2, r: int = 1, *, gate: Gate = "residual"):
        super().__init__()
        self.naive = gate == "naive"
        self.before, self.trunk, self.after = units(p, width), units(t, width), units(p, width)
        self.mask: nn.Module = SoftMask(width, pools, r)

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        mask = self.mask(x)
        return self.after((mask if self.naive else 1 + mask) * self.trunk(x))  # (1)


@final
class ResidualAttentionNetwork(nn.Module):
    """(batch, channels, height, width) -> (batch, classes), with so many `modules` in each of three stages."""

    def __init__(self, modules: Sequence[int] = (1, 1, 1), channels: int = 3, classes: int = 1000, *, width: int = 64,
                 small: bool = False, gate: Gate = "residual"):
        super().__init__()
        first = conv(channels, width, 3) if small else conv(channels, width, 7, 2)
        self.stem = nn.Sequential(first, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        if not small:
            self.stem.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        self.stages, entering = nn.ModuleList(), width
        for s, number in enumerate(modules):
            leaving = 4 * width << s
            self.stages.append(nn.Sequential(unit(entering, leaving, 2 if s else 1),
                                             *(AttentionModule(leaving, 3 - s, gate=gate) for _ in range(number))))
            entering = leaving
        last = 2 * entering
        self.last = nn.Sequential(unit(entering, last, 2), unit(last, last), unit(last, last))
        self.norm, self.fc = nn.BatchNorm2d(last), nn.Linear(last, classes)
        draw_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.fc(F.relu(self.norm(self.last(x))).mean((2, 3)))


NETWORKS = {56: (1, 1, 1), 92: (1, 2, 3)}
"""modules of each stage by layers, for ImageNet"""


@final
class Constant(nn.Module):
    """A mask that is the same everywhere, to compare with."""

    def __init__(self, value: float):
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        return torch.full_like(x, self.value)


def on_paper(layers: int) -> ResidualAttentionNetwork:
    """The network without memory for its weights, to be counted."""
    with torch.device("meta"):
        return ResidualAttentionNetwork(NETWORKS[layers])


def parameters_56() -> Check:
    """Attention-56 has 31,810,728 parameters.

    Source: the authors' description for Caffe, Attention-56-deploy, counted layer by layer
    """
    return exactly(trained(on_paper(56)), 31_810_728)


def parameters_56_as_printed() -> Check:
    """With running means and variances, which Caffe keeps as weights, it has 31,883,432: the paper's 31.9M.

    Source: Wang et al. 2017, table 6; four arrays for each normalisation in the authors' Caffe
    """
    network = on_paper(56)
    return exactly(trained(network) + sum(x.numel() for x in network.buffers() if x.dim()), 31_883_432)


def parameters_92() -> Check:
    """Attention-92 has 52,466,344 parameters, 2.3 % more than the 51.3M that the paper prints.

    Source: the authors' description for Caffe, Attention-92-deploy, counted layer by layer
    """
    return exactly(trained(on_paper(92)), 52_466_344)


def parameters_of_modules() -> Check:
    """One module of each stage, 256, 512 and 1024 maps wide, has 976,896, 3,046,912 and 8,804,352, as (4) says.

    Source: equation (4), from the weights of one unit, w^2/2 + 9w^2/16 + 3w
    """
    with torch.device("meta"):
        counts = [trained(AttentionModule(256 << s, 3 - s)) for s in range(3)]
    return exactly(sum(abs(n - m) for n, m in zip(counts, (976_896, 3_046_912, 8_804_352), strict=True)), 0)


def products_56() -> Check:
    """For one picture of 224x224 Attention-56 makes 6,270,836,736 multiplications, the paper's 6.3 x 10^9.

    Source: the same description; Wang et al. 2017, table 6
    """
    return exactly(_products(56), 6_270_836_736)


def products_92() -> Check:
    """For one picture of 224x224 Attention-92 makes 10,533,789,696, 1.3 % more than the paper's 10.4 x 10^9.

    Source: the same description; Wang et al. 2017, table 6
    """
    return exactly(_products(92), 10_533_789_696)


def layers_on_the_trunk() -> Check:
    """With two modules in each of three stages 20 + 12 * 6 = 92 convolutions and linear maps lie on the trunk.

    Source: Wang et al. 2017, section 4.1: 36 m + 20 for m modules in each stage
    """
    with torch.device("meta"):
        network = ResidualAttentionNetwork((2, 2, 2), 3, 10, small=True)
    on_trunk = [name for name, layer in network.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))
                and ".mask." not in name and "downsample" not in name]
    return exactly(len(on_trunk), 92)


def a_mask_of_zeros_is_the_trunk() -> Check:
    """With a mask of zeros an attention module is its units one after another, to the last bit.

    Source: Wang et al. 2017, section 3.2
    """
    module, x = _module()
    module.mask = Constant(0)
    return exactly(float((module(x) - module.after(module.trunk(module.before(x)))).detach().abs().max()), 0)


def masks_lie_between_zero_and_one() -> Check:
    """Every entry of a mask is inside of (0, 1), none at an end.

    Source: equation (2)
    """
    module, x = _module()
    mask = module.mask(x).detach()
    return Check(float(torch.minimum(mask, 1 - mask).min()), 1e-6, 0.5)


def naive_masks_shrink_the_signal() -> Check:
    """Ten naive modules, whose trunks do nothing, leave less than a hundredth of the signal.

    Source: Wang et al. 2017, section 3.2: repeated products with numbers from 0 to 1 degrade the features
    """
    return at_most(_left_after_ten("naive"), 0.01)


def residual_masks_keep_the_signal() -> Check:
    """Ten such modules in the form of (1) do not shrink it at all.

    Source: equations (1) and (2), for 1 + M > 1
    """
    return at_least(_left_after_ten("residual"), 1)


def _products(layers: int) -> int:
    with torch.device("meta"):
        return products(ResidualAttentionNetwork(NETWORKS[layers]), (3, 224, 224))


def _module() -> tuple[AttentionModule, Tensor]:
    with drawing_from(0, "weights"):
        return AttentionModule(8, 2).eval(), torch.randn(2, 8, 9, 9)


def _left_after_ten(gate: Gate) -> float:
    with drawing_from(0, "weights"), torch.no_grad():
        x = y = torch.randn(2, 8, 8, 8)
        for _ in range(10):
            y = AttentionModule(8, 2, p=0, t=0, gate=gate).eval()(y)
    return float(y.norm() / x.norm())


@torch.no_grad()
def masks(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What each soft mask gives for pictures in evaluation, meaned over its channels: (batch, height, width)."""
    seen: dict[str, Tensor] = {}

    def look(name: str, part: nn.Module, mask: Tensor) -> None:
        if isinstance(part, SoftMask):
            seen[name] = mask.mean(1)

    with watching(model, look):
        model(x)
    return seen


def pictures(model: nn.Module, data: Dataset) -> dict[str, np.ndarray]:
    """Those of every classifier, and where the first mask of each stage looks in a few test pictures."""
    shown = CLASSIFY.pictures(model, data) if CLASSIFY.pictures is not None else {}
    if len(data.test):
        inputs = torch.stack([data.test[i][0] for i in range(min(8, len(data.test)))])
        seen = masks(model, to_float(inputs.to(next(model.parameters()).device), data.about))
        first = [mask.float().cpu() for name, mask in seen.items() if name.endswith(".1.mask")]
        if first:
            shown["masks"] = _draw_masks(inputs.permute(0, 2, 3, 1).numpy(), first)
    return shown


def _draw_masks(inputs: np.ndarray, rows: Sequence[Tensor]) -> np.ndarray:
    figure = sheet(100 * len(inputs), 100 * (len(rows) + 1) + 10)
    for k, image in enumerate(inputs):
        for row, shown in enumerate([image.squeeze(), *(mask[k].numpy() for mask in rows)]):
            axes = figure.add_subplot(len(rows) + 1, len(inputs), row * len(inputs) + k + 1)
            if row:
                axes.imshow(shown, cmap="viridis", vmin=float(rows[row - 1].min()), vmax=float(rows[row - 1].max()))
            else:
                axes.imshow(shown, cmap="gray_r" if shown.ndim == 2 else None, vmin=0, vmax=255)
            axes.set_xticks([])
            axes.set_yticks([])
            if not k:
                axes.set_ylabel(f"{shown.shape[0]}x{shown.shape[1]}", fontsize=10)
    return pixels(figure)


CARD = Card(
    name="Residual Attention Network",
    name_ja="Residual Attention Network",
    paper="Wang, Jiang, Qian, Yang, Li, Zhang, Wang, Tang 2017, Residual attention network for image classification, "
    "arXiv:1704.06904",
    equations=(
        r"H(x) = (1 + M(x))\, T(x)",
        r"M(x) = \sigma(W_2 a(W_1 a(U(D(x)))))",
        r"\mathrm{layers} = 20 + 12 m",
        r"n(w, d) = (3 d + 3) \left(\frac{17}{16} w^2 + 3 w\right) + 2 w^2 + 4 w",
    ),
    summary="Soft masks from a bottom-up top-down branch strengthen features where they matter and never switch off "
    "the trunk.",
    summary_ja="縮めてから広げる枝が作る柔らかいマスクで、大事な場所の特徴を強める。幹の信号が消えることはない。",
    topics=("vision.part.attention-module", "vision.residual-attention-network"),
    facts=(
        parameters_56, parameters_56_as_printed, parameters_92, parameters_of_modules, products_56, products_92,
        layers_on_the_trunk, a_mask_of_zeros_is_the_trunk, masks_lie_between_zero_and_one,
        naive_masks_shrink_the_signal, residual_masks_keep_the_signal,
    ),
    notes=(
        "The layers are those of the authors' files for Caffe (fwang91/residual-attention-network, without weights).",
        "What the paper prints differs. 31.9 million for 56 counts running means and variances, too (31,883,432). 51.3 "
        "million for 92 is not the authors' file, which has (1, 2, 3) modules: by (4) 31,810,728 + 3,046,912 + 2 x "
        "8,804,352 = 52,466,344 trained, 52,599,976 with the means and variances; nor are 10.4 thousand million "
        "multiplications (10.5). Another public port of the file (osmr/imgclsmob) counts as here.",
        "This is not self-attention: a mask is computed from the features alone, no two places are compared.",
        "The paper reports classification. That it came first in object detection at ILSVRC 2017, as one document has "
        "it, may mean a team which built on it; no source was found.",
        "In the paper the ILSVRC validation errors (top-1, top-5) are 21.76 and 5.9 % for Attention-56, 19.5 and 4.8 % "
        "for Attention-92; on CIFAR-10 4.99 % for Attention-92, 4.14 % for 236 and 3.90 % for 452 layers.",
    ),
    notes_ja=(
        "層は著者のCaffe用ファイル (fwang91/residual-attention-network、学習済みの重みはない) のとおりである。",
        "論文に印刷された数は異なる。56の 31.9 百万は移動平均と移動分散も数えている (31,883,432)。92の 51.3 百万は"
        "著者のファイルの数ではない。ファイルのモジュールは (1, 2, 3) で、式 (4) から 31,810,728 + 3,046,912 + 2 x "
        "8,804,352 = 52,466,344、移動平均と移動分散も入れて 52,599,976 になる。乗算の104億回も同じ (105億回)。"
        "このファイルの別の公開移植 (osmr/imgclsmob) の数はここと同じである。",
        "これは自己注意ではない。マスクは特徴だけから計算され、場所どうしの比較はしない。",
        "論文の報告は分類についてである。ILSVRC 2017の物体検出で一位という一資料の記述は、"
        "これを土台にしたチームのことかもしれないが、出典は見つからなかった。",
        "論文でのILSVRC検証誤り率 (第一位、上位五位) は、Attention-56が 21.76 と 5.9 %、Attention-92が 19.5 と 4.8 %。"
        "CIFAR-10では Attention-92が 4.99 %、236層が 4.14 %、452層が 3.90 %。",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup(Recognition):
    """What can be chosen."""

    modules: tuple[int, ...] = (1, 1, 1)
    """attention modules of the three stages; 1,1,1 has 56 layers, 1,2,3 and 2,2,2 have 92"""
    width: int = 8
    """maps of the first convolution; the paper has 64"""
    stem: Literal["cifar", "imagenet"] = "cifar"
    """3x3 for small pictures, or 7x7 with stride 2 and a pool"""
    gate: Literal["residual", "naive"] = "residual"
    """1 + mask times the trunk, or naive: mask times the trunk"""
    epochs: int = 8
    batch_size: int = 64
    weight_decay: float = 1e-4


VARIANTS = {
    "smoke": Setup(modules=(0, 0, 1), width=2, stem="imagenet", epochs=1, batch_size=31, augment=False),
    "default": Setup(epochs=7, batch_size=16),
    "naive": Setup(gate="naive", epochs=7, batch_size=16),
    "cifar10": Setup(data="cifar10", modules=(2, 2, 2), width=32, epochs=160, schedule="step"),
    "imagenet": Setup(data="folder:pictures@224", width=64, stem="imagenet", epochs=90, schedule="step"),
}


def build(setup: Setup, place: Place = Place()) -> Supervised:  # noqa: B008 - a frozen value
    """The training program, for pictures of at least 16x16 (cifar), 31x31, or 28x28 without modules of stage 1."""
    if len(setup.modules) != 3 or min(setup.modules) < 0:
        given = ",".join(map(str, setup.modules))
        raise UserError("modules", f"'{given}' is not three numbers of at least 0", "give for example 1,1,1")
    if setup.width < 1:
        raise UserError("width", f"{setup.width} maps are none", "give for example 8")
    small = setup.stem == "cifar"
    program = recognise(setup, place, lambda about: ResidualAttentionNetwork(
        setup.modules, about.shape[0], len(about.classes), width=setup.width, small=small, gate=setup.gate),
        smallest=16 if small else 31 if setup.modules[0] else 28)
    program.task = replace(program.task, pictures=pictures)
    return program
