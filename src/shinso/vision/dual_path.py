r"""Dual path networks: a residual path and a dense path through the same blocks (Chen, Li, Xiao, Jin, Yan, Feng 2017).

    (f_r, f_d) = W_3 max(B_3 V max(B_2 W_1 max(B_1 x, 0), 0), 0)                                   (1)
    r' = r + f_r                                                      residual path, of fixed width (2)
    d' = [d, f_d]                                                     dense path, wider by k        (3)
    (r, d) = W_s max(B_s x, 0)                                        first block of a stage        (4)

x = [r, d] are the maps that enter, W 1x1 convolutions, V a 3x3 convolution in groups, B batch normalisations. A
residual network uses again what it has found, because it adds up; a dense network finds new things, because it lays
side by side. The block does both: with k = 0 it is the block of a ResNeXt in pre-activation order, without a residual
path it is a dense layer. (4) projects to the residual width and 2k maps: a stage's first block leaves 3k dense maps.

The surprise: DPN-68b of the reference computes what DPN-68 computes. It cuts W_3 into two convolutions, one for each
path, and reads both from the same maps; laid together they are the one of DPN-68 (`from_timm` does that).

The last layer is a 1x1 convolution, so that `test_time` can answer at every place of a larger picture, where mean and
largest answer are averaged.
"""

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.place import Place
from shinso.core.seed import drawing_from
from shinso.learn.recognise import Recognition, recognise
from shinso.learn.supervised import Supervised
from shinso.nn.residual_block import conv
from shinso.vision._cost import products, trained


@final
@dataclass(frozen=True)
class Design:
    """A dual path network as numbers; stage s has 2^s times the inner and residual width of the first."""

    blocks: tuple[int, ...]
    """of each stage"""
    growth: tuple[int, ...]
    """k of each stage"""
    first: int
    """maps of the first convolution"""
    inner: int
    """maps of V in the first stage"""
    groups: int
    """of V"""
    residual: int = 256
    """width of the residual path in the first stage"""
    stem: Literal["7x7", "3x3", "half", "still"] = "7x7"
    """first convolution, with stride 2 and a pool with stride 2; `half` is 3x3 without pool, `still` without either"""


DESIGNS = {
    "68": Design((3, 4, 12, 3), (16, 32, 32, 64), 10, 128, 32, residual=64, stem="3x3"),
    "92": Design((3, 4, 20, 3), (16, 32, 24, 128), 64, 96, 32),
    "98": Design((3, 6, 20, 3), (16, 32, 32, 128), 96, 160, 40),
    "107": Design((4, 8, 20, 3), (20, 64, 64, 128), 128, 200, 50),
    "131": Design((4, 8, 28, 3), (16, 32, 32, 128), 128, 160, 40),
    "small": Design((2, 3, 2), (8, 8, 8), 16, 32, 4, residual=32, stem="still"),
    "digits": Design((2, 3, 2), (8, 8, 8), 16, 32, 4, residual=32, stem="half"),
    "tiny": Design((1, 1), (4, 8), 8, 16, 4, residual=16, stem="3x3"),
}
"""those of the paper (107 is only in the reference), and three of this file's own for small pictures

One place of the last maps of `small` sees 29 pixels a side, of `digits` 55.
"""

EPSILON = 1e-3
"""in every normalisation, as in the reference"""
PIXELS = (124 / 255, 117 / 255, 104 / 255), (1 / (0.0167 * 255),) * 3
"""mean and standard deviation of the pixels, on the 0..1 scale, for which the published weights were made"""


@final
class Normed(nn.Module):
    """W max(B x, 0): a convolution behind its normalisation, without bias."""

    def __init__(self, entering: int, leaving: int, size: int = 1, stride: int = 1, groups: int = 1):
        super().__init__()
        self.norm = nn.BatchNorm2d(entering, EPSILON)
        self.conv = conv(entering, leaving, size, stride, groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.relu(self.norm(x), inplace=True))


@final
class DualPath(nn.Module):
    """(1) to (4): (batch, entering, height, width) -> (batch, leaving, height/stride, width/stride).

    `projects` says that the block is the first of a stage. Without it the first `residual` of the entering maps are
    the residual path.
    """

    def __init__(self, entering: int, inner: int, residual: int, growth: int, groups: int = 1, *, stride: int = 1,
                 projects: bool = False):
        super().__init__()
        self.residual = residual
        self.leaving = residual + 3 * growth if projects else entering + growth
        self.project = Normed(entering, residual + 2 * growth, stride=stride) if projects else None
        self.reduce = Normed(entering, inner)
        self.group = Normed(inner, inner, 3, stride, groups)
        self.expand = Normed(inner, residual + growth)

    def forward(self, x: Tensor) -> Tensor:
        old = x if self.project is None else self.project(x)  # (4)
        new = self.expand(self.group(self.reduce(x)))  # (1)
        width = self.residual
        return torch.cat([old[:, :width] + new[:, :width], old[:, width:], new[:, width:]], 1)  # (2), (3)


@final
class DualPathNetwork(nn.Module):
    """(batch, channels, height, width) -> (batch, classes)."""

    def __init__(self, design: Design, channels: int = 3, classes: int = 1000):
        super().__init__()
        self.stem = _stem(design, channels)
        self.stages = nn.ModuleList()
        width = design.first
        for s, (blocks, growth) in enumerate(zip(design.blocks, design.growth, strict=True)):
            stage = nn.Sequential()
            for i in range(blocks):
                block = DualPath(width, design.inner << s, design.residual << s, growth, design.groups,
                                 stride=2 if s and not i else 1, projects=not i)
                stage.append(block)
                width = block.leaving
            self.stages.append(stage)
        self.norm = nn.BatchNorm2d(width, EPSILON)
        self.classifier = nn.Conv2d(width, classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.classifier.weight, std=0.01)
        assert self.classifier.bias is not None  # noqa: S101 - for the type checker
        nn.init.zeros_(self.classifier.bias)

    def features(self, x: Tensor) -> Tensor:
        """The maps of both paths behind the last block, normalised and rectified."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return F.relu(self.norm(x), inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3), keepdim=True)).flatten(1)

    def test_time(self, x: Tensor, window: int = 7) -> Tensor:
        """The answers of every `window` x `window` part of the last maps: the mean of their mean and their maximum."""
        answers = self.classifier(F.avg_pool2d(self.features(x), window, 1))
        return (answers.mean((2, 3)) + answers.amax((2, 3))) / 2


def _stem(design: Design, channels: int) -> nn.Sequential:
    size = 7 if design.stem == "7x7" else 3
    stride = 1 if design.stem == "still" else 2
    stem = nn.Sequential(nn.Conv2d(channels, design.first, size, stride, size // 2, bias=False),
                         nn.BatchNorm2d(design.first, EPSILON), nn.ReLU(inplace=True))
    if design.stem in ("7x7", "3x3"):
        stem.append(nn.MaxPool2d(3, 2, 1))
    return stem


NAMES = {"c1x1_w_s1": "project", "c1x1_w_s2": "project", "c1x1_a": "reduce", "c3x3_b": "group", "c1x1_c": "expand"}
"""timm's name of each part of a block: ours"""


def from_timm(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state of timm's dpn68, dpn68b, dpn92 ... under the names of `DualPathNetwork`.

    The two convolutions that end a block of dpn68b are laid together.
    """
    ours: dict[str, Tensor] = {}
    for name, tensor in state.items():
        words = name.split(".")
        if words[0] != "features":
            ours[name] = tensor
        elif words[1] == "conv1_1":
            ours[".".join(["stem", "0" if words[2] == "conv" else "1", words[3]])] = tensor
        elif words[1] == "conv5_bn_ac":
            ours[f"norm.{words[3]}"] = tensor
        else:
            stage, block = (int(number) for number in words[1].removeprefix("conv").split("_"))
            place = f"stages.{stage - 2}.{block - 1}"
            if words[2] == "c1x1_c1":
                ours[f"{place}.expand.conv.weight"] = torch.cat([tensor, state[name.replace("c1x1_c1", "c1x1_c2")]])
            elif words[2] != "c1x1_c2":
                ours[f"{place}.{NAMES[words[2]]}.{'norm' if words[3] == 'bn' else 'conv'}.{words[4]}"] = tensor
    return ours


def _parameters(name: str) -> int:
    with torch.device("meta"):
        return trained(DualPathNetwork(DESIGNS[name]))


def parameters_68() -> Check:
    """DPN-68 has 12,611,602 parameters.

    Source: timm dpn68 and dpn68b
    """
    return exactly(_parameters("68"), 12_611_602)


def parameters_92() -> Check:
    """DPN-92 has 37,668,392 parameters.

    Source: timm dpn92; Chen et al. 2017 print 37.8M
    """
    return exactly(_parameters("92"), 37_668_392)


def parameters_98() -> Check:
    """DPN-98 has 61,570,728 parameters, the paper's 61.6M.

    Source: timm dpn98
    """
    return exactly(_parameters("98"), 61_570_728)


def parameters_107() -> Check:
    """DPN-107 has 86,917,800 parameters.

    Source: timm dpn107
    """
    return exactly(_parameters("107"), 86_917_800)


def parameters_131() -> Check:
    """DPN-131 has 79,254,504 parameters.

    Source: timm dpn131; Chen et al. 2017 print 79.5M
    """
    return exactly(_parameters("131"), 79_254_504)


def products_68() -> Check:
    """DPN-68 makes 2.326 x 10^9 multiplications for one picture of 224x224, to four digits.

    Source: count over the layers of timm dpn68
    """
    with torch.device("meta"):
        measured = products(DualPathNetwork(DESIGNS["68"]), (3, 224, 224))
    return Check(measured / 1e9, 2.3255, 2.3265)


def without_growth_it_is_a_resnext() -> Check:
    """With k = 0 the block adds to x the sum of as many narrow branches as it has groups, as ResNeXt does.

    Source: equations (1) and (2); Xie et al. 2017, equation (2), in pre-activation order
    """
    with drawing_from(0, "weights"):
        x, block = torch.randn(2, 12, 5, 5, dtype=torch.float64), _settled(DualPath(12, 8, 12, 0, groups=4))
    y = x
    for branch in range(4):
        own = slice(2 * branch, 2 * branch + 2)
        h = F.conv2d(block.reduce.norm(x).relu(), block.reduce.conv.weight[own])
        h = F.conv2d(_scaled(block.group.norm, h, own).relu(), block.group.conv.weight[own], padding=1)
        y = y + F.conv2d(_scaled(block.expand.norm, h, own).relu(), block.expand.conv.weight[:, own])
    return at_most(float((block(x) - y).detach().abs().max()), 1e-12)


def without_residual_path_it_is_dense() -> Check:
    """With residual width 0 the block lays its k maps behind all that entered and changes none of those.

    Source: equation (3); Huang et al. 2016, equation (2)
    """
    with drawing_from(0, "weights"):
        x, block = torch.randn(2, 12, 5, 5, dtype=torch.float64), _settled(DualPath(12, 8, 0, 3, groups=4))
    y = torch.cat([x, block.expand(block.group(block.reduce(x)))], 1)
    return exactly(float((block(x) - y).detach().abs().max()), 0)


def one_window_is_the_plain_answer() -> Check:
    """At the size where one window covers the last maps, answering place by place is the plain answer.

    Source: definition of the test-time pooling in timm
    """
    with drawing_from(0, "weights"), torch.no_grad():
        x, network = torch.randn(2, 1, 12, 12), DualPathNetwork(DESIGNS["small"], 1, 5).eval()
        return at_most(float((network.test_time(x, 3) - network(x)).abs().max()), 1e-6)


def _settled(block: DualPath) -> DualPath:
    """In float64 and evaluation mode, with other statistics than 0 and 1."""
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return block.double().eval()


def _scaled(norm: nn.BatchNorm2d, x: Tensor, own: slice) -> Tensor:
    """What the normalisation makes of some of its maps."""
    means, variances = (t for t in (norm.running_mean, norm.running_var) if t is not None)
    return F.batch_norm(x, means[own], variances[own], norm.weight[own], norm.bias[own], eps=norm.eps)


CARD = Card(
    name="Dual path network",
    name_ja="デュアルパスネットワーク (DPN)",
    paper="Chen, Li, Xiao, Jin, Yan, Feng 2017, Dual path networks, arXiv:1707.01629",
    equations=(
        r"(f_r, f_d) = W_3 \max(B_3 V \max(B_2 W_1 \max(B_1 x, 0), 0), 0)",
        r"r' = r + f_r",
        r"d' = [d, f_d]",
        r"(r, d) = W_s \max(B_s x, 0)",
    ),
    summary="Each block adds a part of its output to a residual path and lays the rest behind a dense path.",
    summary_ja="各ブロックの出力の一部を残差の経路に足し、残りを密結合の経路の後ろに並べる。",
    topics=(
        "vision.part.dual-path-block",
        "vision.dpn",
    ),
    facts=(
        parameters_68,
        parameters_92,
        parameters_98,
        parameters_107,
        parameters_131,
        products_68,
        without_growth_it_is_a_resnext,
        without_residual_path_it_is_dense,
        one_window_is_the_plain_answer,
    ),
    notes=(
        "It came first in object localisation at ILSVRC 2017, not in classification; that was SENet with 2.25 %.",
        "The first block of a stage projects to the residual width and 2k maps, not k; so it leaves 3k dense maps.",
        "The 37.8 and 79.5 million weights that the paper prints for DPN-92 and 131 are not these rounded, 37.7 and "
        "79.3; 61.6 for DPN-98 is. The published files have these sizes. Their last layer is a 1x1 convolution, as "
        "here: other programs that expect a linear map have to flatten its weights.",
        "In the paper the ILSVRC validation errors (top-1, top-5) are 20.7 and 5.4 % for DPN-92, 20.2 and 5.2 % for "
        "DPN-98 on 224x224, and 18.62 and 4.23 % for DPN-131 on 320x320.",
    ),
    notes_ja=(
        "ILSVRC 2017で一位になったのは物体位置特定であり、分類ではない。分類は 2.25 % のSENetである。",
        "各段の最初のブロックは、残差の幅に k ではなく 2k を加えた数のマップへ射影する。"
        "そのため密結合の経路には 3k のマップが残る。",
        "論文に印刷された重みの数、DPN-92の3780万とDPN-131の7950万は、ここの数を丸めたもの (3770万と7930万) ではない。"
        "DPN-98の6160万は一致する。公開された重みのファイルはここと同じ大きさである。"
        "最後の層もここと同じ 1x1 畳み込みで、全結合層を使うほかのプログラムで読むには、重みの形を平らにする。",
        "論文でのILSVRC検証誤り率 (第一位、上位五位) は、224x224 でDPN-92が 20.7 と 5.4 %、"
        "DPN-98が 20.2 と 5.2 %、320x320 でDPN-131が 18.62 と 4.23 %。",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup(Recognition):
    """What can be chosen."""

    network: Literal["tiny", "digits", "small", "68", "92", "98", "107", "131"] = "small"
    """which DPN: one of the paper, for pictures of 224x224; in no paper are small, for 32x32, digits and tiny"""
    batch_size: int = 64
    weight_decay: float = 1e-4


VARIANTS = {
    "smoke": Setup(network="tiny", epochs=1, batch_size=31, augment=False),
    "default": Setup(network="digits", batch_size=32),
    "cifar10": Setup(data="cifar10", batch_size=128, epochs=30),
    "imagenet": Setup(data="folder:pictures@224", network="68", epochs=90, batch_size=256, schedule="step"),
}


def build(setup: Setup, place: Place = Place()) -> Supervised:  # noqa: B008 - a frozen value
    """The training program, for pictures of at least 4x4 (tiny, digits, small) or 32x32."""
    return recognise(setup, place, lambda about: DualPathNetwork(DESIGNS[setup.network], about.shape[0],
                                                                 len(about.classes)),
                     smallest=32 if setup.network.isdigit() else 4)
