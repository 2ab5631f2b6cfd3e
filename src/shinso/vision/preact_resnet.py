r"""Pre-activation ResNet: normalise before each convolution, leave the path of additions alone (He et al. 2016).

    x_{l+1} = x_l + f_l(x_l)                                                                       (1)
    f(x) = W_2 a_2(W_1 a_1(x))                    basic                                            (2)
    f(x) = W_3 a_3(W_2 a_2(W_1 a_1(x)))           bottleneck: 1x1, 3x3, 1x1                        (3)
    a_i(x) = max(B_i x, 0)                                                                         (4)
    x_L = x_l + sum_{k=l}^{L-1} f_k(x_k)                                                           (5)
    dE/dx_l = dE/dx_L (1 + d/dx_l sum_k f_k(x_k))                                                  (6)

B are batch normalisations, W convolutions. Nothing stands behind the addition of (1), so (5) is exact within a stage
and by (6) every block receives the last gradient whole, plus something. The surprise: moving two cheap operations
makes a thousand layers better than a hundred, where the block of 2015 makes them worse.

For CIFAR, three stages: 6n + 2 layers of basic blocks (110; channels are added by zeros) or 9n + 2 of bottlenecks (164,
1001; projections without normalisation, of what a_1 gave). For ImageNet four, as in vision.resnet, in timm's form
`resnetv2`: stride in the 3x3, each stage begins with a projection; `from_timm` reads its files.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.seed import drawing_from
from shinso.core.setup import in_range
from shinso.data.examples import Description
from shinso.learn.recognise import Recognition, recognise
from shinso.learn.supervised import Supervised
from shinso.nn.residual_block import Padded, conv, draw_weights
from shinso.vision._cost import trained
from shinso.vision.resnet import BLOCKS


@final
class PreActivation(nn.Module):
    """(1) with (2), or with (3) if `narrow` is given: (n, entering, h, w) -> (n, leaving, h/stride, w/stride)."""

    def __init__(self, entering: int, leaving: int, stride: int, *, narrow: int | None, pads: bool):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(entering), nn.BatchNorm2d(narrow or leaving)
        if narrow is None:
            self.conv1, self.conv2 = conv(entering, leaving, 3, stride), conv(leaving, leaving, 3)
        else:
            self.conv1, self.conv2 = conv(entering, narrow, 1), conv(narrow, narrow, 3, stride)
            self.bn3, self.conv3 = nn.BatchNorm2d(narrow), conv(narrow, leaving, 1)
        changes = stride != 1 or entering != leaving
        self.deep, self.projects = narrow is not None, changes and not pads
        self.downsample = nn.Identity()
        if changes:
            self.downsample = Padded(leaving - entering, stride) if pads else conv(entering, leaving, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        begun = self.begin(x)
        y = self.finish(begun)
        y += self.downsample(begun if self.projects else x)  # (1)
        return y

    def residual(self, x: Tensor) -> Tensor:
        """f(x)."""
        return self.finish(self.begin(x))

    def begin(self, x: Tensor) -> Tensor:
        """a_1(x), which a projection reads, too."""
        return F.relu(self.bn1(x), inplace=True)  # (4)

    def finish(self, begun: Tensor) -> Tensor:
        """The rest of f."""
        y = self.conv2(F.relu(self.bn2(self.conv1(begun)), inplace=True))  # (2)
        return self.conv3(F.relu(self.bn3(y), inplace=True)) if self.deep else y  # (3)


@final
class PreActResNet(nn.Module):
    """(batch, channels, height, width) -> (batch, classes), with so many `blocks` in each stage."""

    def __init__(self, blocks: Sequence[int], *, bottleneck: bool, width: int, classes: int, channels: int = 3,
                 small: bool = True):
        super().__init__()
        self.conv1 = conv(channels, width, 3) if small else conv(channels, width, 7, 2)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        self.stages, entering = len(blocks), width
        for stage, number in enumerate(blocks):
            narrow = width << stage if bottleneck else None
            leaving, layer = (width << stage) * (4 if bottleneck else 1), nn.Sequential()
            for k in range(number):
                stride = 2 if stage and not k else 1
                layer.append(PreActivation(entering, leaving, stride, narrow=narrow, pads=small and not bottleneck))
                entering = leaving
            self.add_module(f"layer{stage + 1}", layer)
        self.bn, self.avgpool, self.fc = nn.BatchNorm2d(entering), nn.AdaptiveAvgPool2d(1), nn.Linear(entering, classes)
        draw_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        h = self.maxpool(self.conv1(x))
        for stage in range(self.stages):
            h = self.get_submodule(f"layer{stage + 1}")(h)
        return self.fc(self.avgpool(F.relu(self.bn(h), inplace=True)).flatten(1))


def cifar(depth: int, block: str = "bottleneck", *, classes: int = 10, channels: int = 3,
          width: int = 16) -> PreActResNet:
    """Three stages for small pictures; UserError unless the depth is 6n + 2 (basic) or 9n + 2 (bottleneck)."""
    each = 9 if block == "bottleneck" else 6
    if depth < each or depth % each != 2:
        known = "29, 164 or 1001" if block == "bottleneck" else "20, 56 or 110"
        raise UserError("depth", f"{depth} is not {each}n + 2 layers", f"give {known}, or another block or design")
    return PreActResNet([depth // each] * 3, bottleneck=block == "bottleneck", width=width, classes=classes,
                        channels=channels)


def imagenet(depth: int, *, classes: int = 1000, channels: int = 3, width: int = 64) -> PreActResNet:
    """Four stages for large pictures: 18, 34 of basic blocks, 50, 101, 152 of bottlenecks; UserError for others."""
    if depth not in BLOCKS:
        raise UserError("depth", f"there is no ResNet of {depth} layers for ImageNet", "give 18, 34, 50, 101 or 152")
    return PreActResNet(BLOCKS[depth], bottleneck=depth >= 50, width=width, classes=classes, channels=channels,
                        small=False)


PIXELS = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
"""mean and standard deviation of each colour as timm's files of this family want them"""
TIMM = (
    (r"^stem\.conv\.", "conv1."),
    (r"^stages\.(\d)\.blocks\.", lambda found: f"layer{int(found[1]) + 1}."),
    (r"downsample\.conv\.", "downsample."),
    (r"\bnorm", "bn"),
    (r"^head\.fc\.", "fc."),
)


def from_timm(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of timm's `resnetv2_50` and its kin under the names used here."""
    found = {}
    for name, weight in state.items():
        ours = name
        for pattern, word in TIMM:
            ours = re.sub(pattern, word, ours)
        found[ours] = weight.flatten(1) if ours == "fc.weight" else weight  # timm's last layer is a 1x1 convolution
    return found


def _stage() -> tuple[list[PreActivation], Tensor]:
    """Six blocks of one stage in float64, in evaluation, and what enters them."""
    with drawing_from(0, "weights"):
        net = cifar(56, width=4).double().eval()
    blocks = [block for block in net.get_submodule("layer1").children() if isinstance(block, PreActivation)]
    draw = torch.Generator().manual_seed(0)
    return blocks[1:], torch.randn(2, 16, 8, 8, generator=draw, dtype=torch.float64).requires_grad_()


def parameters_110() -> Check:
    """ResNet-110 in this order has 1,727,962 parameters, as many as in that of 2015.

    Source: layer table; He et al. 2016: 1.7M
    """
    with torch.device("meta"):
        return exactly(trained(cifar(110, "basic")), 1_727_962)


def parameters_164() -> Check:
    """ResNet-164 of bottlenecks has 1,703,258.

    Source: layer table with projections without normalisation; He et al. 2016, table 4: 1.7M
    """
    with torch.device("meta"):
        return exactly(trained(cifar(164)), 1_703_258)


def parameters_1001() -> Check:
    """ResNet-1001 has 10,327,706.

    Source: the same table; He et al. 2016, table 4, prints 10.2M
    """
    with torch.device("meta"):
        return exactly(trained(cifar(1001)), 10_327_706)


def parameters_v2_18() -> Check:
    """ResNet-18 of the second form has 11,687,720 parameters.

    Source: layer table; timm's resnetv2_18
    """
    with torch.device("meta"):
        return exactly(trained(imagenet(18)), 11_687_720)


def parameters_v2_50() -> Check:
    """ResNet-50 of the second form has 25,549,352.

    Source: layer table; timm's resnetv2_50
    """
    with torch.device("meta"):
        return exactly(trained(imagenet(50)), 25_549_352)


def parameters_v2_101() -> Check:
    """ResNet-101 of the second form has 44,541,480.

    Source: layer table; timm's resnetv2_101
    """
    with torch.device("meta"):
        return exactly(trained(imagenet(101)), 44_541_480)


def parameters_v2_152() -> Check:
    """ResNet-152 of the second form has 60,185,128.

    Source: layer table; timm's resnetv2_152
    """
    with torch.device("meta"):
        return exactly(trained(imagenet(152)), 60_185_128)


def the_sum_is_unrolled() -> Check:
    """Behind five blocks x_L = x_l + sum of f to 1e-12 of the largest entry.

    Source: He et al. 2016, equation (4)
    """
    blocks, x = _stage()
    h = total = x
    for block in blocks:
        total = total + block.residual(h)
        h = block(h)
    return at_most(float((h - total).detach().abs().max() / h.detach().abs().max()), 1e-12)


def the_last_gradient_arrives_whole() -> Check:
    """The gradient at x_l minus that at x_L is the gradient of the sum of f alone, to 1e-12 of the largest entry.

    Source: He et al. 2016, equation (5); equation (6)
    """
    blocks, x = _stage()
    h, total = x, torch.zeros_like(x)
    for block in blocks:
        total = total + block.residual(h)
        h = block(h)
    sent = torch.linspace(-1, 1, h.numel(), dtype=h.dtype).view_as(h)
    at_x, of_sum = (torch.autograd.grad(y, x, sent, retain_graph=True)[0] for y in (h, total))
    return at_most(float((at_x - sent - of_sum).abs().max() / at_x.abs().max()), 1e-12)


def a_thousand_layers_pass_a_gradient() -> Check:
    """Forwards and backwards through 1001 layers with one picture: weights with a gradient not finite or all 0, none.

    Source: equation (6)
    """
    with drawing_from(0, "weights"):
        net = cifar(1001, width=4)
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    F.cross_entropy(net(x), torch.tensor([3])).backward()
    grads = [weight.grad for weight in net.parameters() if weight.dim() > 1]
    return exactly(sum(grad is None or not bool(grad.isfinite().all() and grad.any()) for grad in grads), 0)


CARD = Card(
    name="Pre-activation ResNet",
    name_ja="事前活性化ResNet (ResNet v2)",
    paper="He, Zhang, Ren, Sun 2016, Identity mappings in deep residual networks, arXiv:1603.05027",
    equations=(
        r"x_{l+1} = x_l + f_l(x_l)",
        r"f(x) = W_2 a_2(W_1 a_1(x))",
        r"f(x) = W_3 a_3(W_2 a_2(W_1 a_1(x)))",
        r"a_i(x) = \max(B_i x, 0)",
        r"x_L = x_l + \sum_{k=l}^{L-1} f_k(x_k)",
        r"\frac{\partial E}{\partial x_l} = \frac{\partial E}{\partial x_L}"
        r"\left(1 + \frac{\partial}{\partial x_l} \sum_{k=l}^{L-1} f_k(x_k)\right)",
    ),
    summary="Residual networks with a path from end to end that only adds; a thousand layers of them train.",
    summary_ja="端から端まで加算だけの経路をもつ残差ネットワーク。千層を超えても訓練できる。",
    topics=("vision.preact-resnet-cifar", "vision.preact-resnet-imagenet"),
    facts=(
        parameters_110, parameters_164, parameters_1001, parameters_v2_18, parameters_v2_50, parameters_v2_101,
        parameters_v2_152, the_sum_is_unrolled, the_last_gradient_arrives_whole, a_thousand_layers_pass_a_gradient,
    ),
    notes=(
        "Errors in the paper on CIFAR-10: 6.37 (110 layers), 5.46 (164), 4.92 (1001), 4.62 (1001 in batches of 64); "
        "on CIFAR-100: 24.33 (164) and 22.71 (1001).",
        "'ResNet v2' is this network, not torchvision's second set of weights for the first one.",
        "Sources differ on the first block and on the projections: hence 10.2 million in the paper against 10.3 here "
        "for 1001 layers.",
        "The sum is exact within a stage; between stages a projection or padding stands in the path.",
    ),
    notes_ja=(
        "論文のCIFAR-10誤り率 (%): 6.37 (110層)、5.46 (164層)、4.92 (1001層)、4.62 (1001層、バッチサイズ64)。"
        "CIFAR-100: 24.33 (164層)、22.71 (1001層)。",
        "「ResNet v2」はこのネットワークのことで、torchvisionにあるv1用の二組目の重みではない。",
        "最初のブロックと射影の形は資料により異なる。1001層のパラメータは論文で1020万、ここで1033万になる。",
        "この和は一つの段の中で厳密に成り立つ。段の間には射影またはゼロ埋めが入る。",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup(Recognition):
    """What can be chosen."""

    design: Literal["cifar", "imagenet"] = "cifar"
    """cifar: three stages for small pictures; imagenet: four stages behind a stride of 4"""
    depth: int = 29
    """layers: 9n + 2 of bottlenecks (29, 164, 1001), 6n + 2 of basic (20, 110); imagenet: 18, 34, 50, 101, 152"""
    block: Literal["bottleneck", "basic"] = "bottleneck"
    """block of the design cifar: bottleneck or basic; that of imagenet follows from its depth"""
    width: int = 16
    """maps of the first stage, 16 or 64 in the paper; the next ones have 2, 4 (and 8) times as many"""
    epochs: int = 8
    weight_decay: float = 1e-4


VARIANTS = {
    "smoke": Setup(depth=11, width=4, epochs=1, batch_size=32, augment=False),
    "default": Setup(depth=20, block="basic", width=8, batch_size=32, epochs=16),
    "resnet110": Setup(data="cifar10", depth=110, block="basic", epochs=164, schedule="step"),
    "resnet164": Setup(data="cifar10", depth=164, epochs=164, schedule="step"),
    "resnet1001": Setup(data="cifar10", depth=1001, epochs=164, batch_size=64, schedule="step"),
    "resnet50": Setup(design="imagenet", data="folder:photos@224", depth=50, width=64, batch_size=64, epochs=30),
}


def build(setup: Setup, place: Place = Place()) -> Supervised:  # noqa: B008 - a frozen value
    """The training program; images of any size from 8x8, for the design of ImageNet from 33x33."""
    in_range(setup, ("width",))

    def network(about: Description) -> PreActResNet:
        classes, channels = len(about.classes), about.shape[0]
        if setup.design == "imagenet":
            return imagenet(setup.depth, classes=classes, channels=channels, width=setup.width)
        return cifar(setup.depth, setup.block, classes=classes, channels=channels, width=setup.width)

    return recognise(setup, place, network, smallest=33 if setup.design == "imagenet" else 8)
