r"""ResNet, the residual networks of ImageNet from 18 to 152 layers, and the plain nets that they beat (He et al. 2015).

A 7x7 convolution and a pooling, each of stride 2; four stages of residual blocks with 64, 128, 256, 512 maps (nn's
residual_block), the first of every later stage of stride 2; the mean over all places; one linear layer:

    y = max(s(x) + f(x), 0)                                                                        (1)
    layers = 2 + 2 sum_i n_i       basic blocks: (2, 2, 2, 2) is 18, (3, 4, 6, 3) is 34            (2)
    layers = 2 + 3 sum_i n_i       bottlenecks: (3, 4, 6, 3) is 50, (3, 4, 23, 3) 101, (3, 8, 36, 3) 152     (3)

The surprise: 152 layers are fewer multiplications than VGG's 19, and in the paper plain nets (`shortcuts="none"`) get
worse from 18 layers to 34 although the deeper can do all that the other can. "3.8 billion" for ResNet-50 is v1, where
the stride of a bottleneck is in its first 1x1; torchvision's published weights are for v1.5, where it is in the 3x3:
4.1 billion.

Names are torchvision's: its published files load as they are. For small pictures, where stride 32 leaves nothing,
`stem="small"` begins with one 3x3 convolution of stride 1; `auto` takes it below 64 pixels a side.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal, final

import torch
from torch import Tensor, nn

from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.place import Place
from shinso.core.seed import drawing_from
from shinso.core.setup import in_range
from shinso.learn.recognise import Recognition, recognise
from shinso.learn.supervised import Supervised
from shinso.nn.residual_block import Basic, Bottleneck, Form, Shortcuts, conv, draw_weights
from shinso.vision._cost import products, trained
from shinso.vision.vgg import VGG

Depth = Literal[10, 18, 34, 50, 101, 152]
BLOCKS: dict[int, tuple[int, ...]] = {
    10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3),
}  # fmt: skip
"""blocks of each stage: table 1 of the paper, and 10 layers for a first try"""


@final
class ResNet(nn.Module):
    """(batch, channels, height, width) -> (batch, classes)."""

    def __init__(self, depth: Depth = 50, *, classes: int = 1000, channels: int = 3, shortcuts: Shortcuts = "B",
                 form: Form = "v1.5", zero_gamma: bool = False, width: int = 64, small: bool = False):
        super().__init__()
        self.conv1 = conv(channels, width, 3) if small else conv(channels, width, 7, 2)
        self.bn1, self.relu = nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        block = Basic if depth < 50 else partial(Bottleneck, form=form)
        expansion, entering = 1 if depth < 50 else Bottleneck.expansion, width
        for stage, number in enumerate(BLOCKS[depth]):
            blocks = nn.Sequential()
            for k in range(number):
                blocks.append(block(entering, width << stage, 2 if stage and not k else 1, shortcuts=shortcuts))
                entering = expansion * (width << stage)
            self.add_module(f"layer{stage + 1}", blocks)
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(entering, classes)
        draw_weights(self, zero_gamma=zero_gamma)

    def forward(self, x: Tensor) -> Tensor:
        h = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in ("layer1", "layer2", "layer3", "layer4"):
            h = self.get_submodule(stage)(h)
        return self.fc(self.avgpool(h).flatten(1))


def parameters(depth: Depth, shortcuts: Shortcuts = "B") -> int:
    """Trained parameters for 1,000 classes."""
    with torch.device("meta"):
        return trained(ResNet(depth, shortcuts=shortcuts))


def work(depth: Depth, form: Form = "v1.5") -> int:
    """Products for one picture of 224x224."""
    with torch.device("meta"):
        return products(ResNet(depth, form=form), (3, 224, 224))


def parameters_18() -> Check:
    """ResNet-18 has 11,689,512 parameters.

    Source: layer table of (2) for 1,000 classes; torchvision's resnet18
    """
    return exactly(parameters(18), 11_689_512)


def parameters_34() -> Check:
    """ResNet-34 has 21,797,672.

    Source: layer table of (2); torchvision's resnet34
    """
    return exactly(parameters(34), 21_797_672)


def parameters_50() -> Check:
    """ResNet-50 has 25,557,032.

    Source: layer table of (3); torchvision's resnet50
    """
    return exactly(parameters(50), 25_557_032)


def parameters_50_as_keras_counts() -> Check:
    """ResNet-50 with three numbers more for each normalised map has 25,636,712.

    Source: Keras prints this: a bias before each normalisation, whose running mean and variance it counts, too
    """
    with torch.device("meta"):
        net = ResNet(50)
    maps = sum(layer.num_features for layer in net.modules() if isinstance(layer, nn.BatchNorm2d))
    return exactly(trained(net) + 3 * maps, 25_636_712)


def parameters_101() -> Check:
    """ResNet-101 has 44,549,160.

    Source: layer table of (3); torchvision's resnet101
    """
    return exactly(parameters(101), 44_549_160)


def parameters_152() -> Check:
    """ResNet-152 has 60,192,808.

    Source: layer table of (3); torchvision's resnet152
    """
    return exactly(parameters(152), 60_192_808)


def parameters_of_plain_18() -> Check:
    """The plain net of 18 layers has 11,515,688: ResNet-18 without its three projections.

    Source: He et al. 2015, table 1 without shortcuts
    """
    return exactly(parameters(18, "none"), 11_515_688)


def parameters_of_plain_34() -> Check:
    """The plain net of 34 layers has 21,623,848.

    Source: He et al. 2015, figure 3, in the middle
    """
    return exactly(parameters(34, "none"), 21_623_848)


def products_18() -> Check:
    """ResNet-18 makes 1,814,073,344 multiplications for one 224x224 picture.

    Source: layer table; He et al. 2015, table 1: 1.8 x 10^9
    """
    return exactly(work(18), 1_814_073_344)


def products_34() -> Check:
    """ResNet-34 makes 3,663,761,408.

    Source: layer table; He et al. 2015, table 1: 3.6 x 10^9
    """
    return exactly(work(34), 3_663_761_408)


def products_50() -> Check:
    """ResNet-50 in torchvision's form v1.5 makes 4,089,184,256.

    Source: layer table with the stride in the 3x3
    """
    return exactly(work(50), 4_089_184_256)


def products_50_as_published() -> Check:
    """ResNet-50 as published, v1, makes 3,857,973,248.

    Source: layer table with the stride in the first 1x1; He et al. 2015, table 1: 3.8 x 10^9
    """
    return exactly(work(50, "v1"), 3_857_973_248)


def products_101() -> Check:
    """ResNet-101 makes 7,801,405,440 in form v1.5.

    Source: layer table with the stride in the 3x3
    """
    return exactly(work(101), 7_801_405_440)


def products_101_as_published() -> Check:
    """ResNet-101 as published makes 7,570,194,432.

    Source: layer table; He et al. 2015, table 1: 7.6 x 10^9
    """
    return exactly(work(101, "v1"), 7_570_194_432)


def products_152() -> Check:
    """ResNet-152 makes 11,513,626,624 in form v1.5.

    Source: layer table with the stride in the 3x3
    """
    return exactly(work(152), 11_513_626_624)


def products_152_as_published() -> Check:
    """ResNet-152 as published makes 11,282,415,616.

    Source: layer table; He et al. 2015, table 1: 11.3 x 10^9
    """
    return exactly(work(152, "v1"), 11_282_415_616)


def deeper_than_vgg_and_less_work() -> Check:
    """ResNet-152 makes less than 0.6 of the multiplications of VGG-19.

    Source: layer tables of both; He et al. 2015, section 3.3
    """
    with torch.device("meta"):
        return at_most(work(152) / products(VGG("19"), (3, 224, 224)), 0.6)


def a_last_scale_of_zero_leaves_the_stages_still() -> Check:
    """With `zero_gamma` the first stage of a new network gives back what enters it: the largest difference is 0.

    Source: Goyal et al. 2017, arXiv:1706.02677, section 5.1; what enters is not negative
    """
    with drawing_from(0, "weights"):
        net = ResNet(18, width=8, zero_gamma=True)
    x = torch.rand(2, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    return at_most(float((net.get_submodule("layer1")(x) - x).detach().abs().max()), 0.0)


CARD = Card(
    name="ResNet",
    name_ja="ResNet (残差ネットワーク)",
    paper="He, Zhang, Ren, Sun 2015, Deep residual learning for image recognition, arXiv:1512.03385",
    equations=(
        r"y = \max(s(x) + f(x), 0)",
        r"\mathrm{layers} = 2 + 2 \sum_i n_i",
        r"\mathrm{layers} = 2 + 3 \sum_i n_i",
    ),
    summary="Very deep networks whose blocks learn what to add to their input; the backbone of most later vision.",
    summary_ja="入力に加える残差を学ぶブロックを重ねた非常に深いネットワーク。後の画像認識の多くの土台になった。",
    topics=("vision.resnet18", "vision.resnet34", "vision.resnet50", "vision.resnet101", "vision.resnet152"),
    facts=(
        parameters_18, parameters_34, parameters_50, parameters_50_as_keras_counts, parameters_101, parameters_152,
        parameters_of_plain_18, parameters_of_plain_34, products_18, products_34, products_50, products_50_as_published,
        products_101, products_101_as_published, products_152, products_152_as_published,
        deeper_than_vgg_and_less_work, a_last_scale_of_zero_leaves_the_stages_still,
    ),
    notes=(
        "In the paper, top-1 errors in 10-crop testing: plain 27.94 (18 layers) and 28.54 (34), ResNet 27.88 and 25.03 "
        "(A), 24.52 (B), 24.19 (C), 22.85 (50), 21.75 (101), 21.43 (152).",
        "3.57 %, the winner of 2015, is the top-5 test error of an ensemble of six networks, not of ResNet-152.",
        "Keras prints 25,636,712 for ResNet-50: it counts biases of convolutions and the statistics of normalisations.",
        "Plain nets get worse with depth in training already, and not simply because gradients vanish: the paper "
        "normalises every layer and says so. vision.cifar_resnet measures both.",
        "'ResNet v2' is pre-activation (vision.preact_resnet), not torchvision's second set of weights.",
        "48.4 mAP, which one document names beside ResNet, is a detector's (Faster R-CNN) on COCO: ResNet-101 is only "
        "what computes its features.",
    ),
    notes_ja=(
        "論文のtop-1誤り率 (10-crop, %): 素のネットワーク 27.94 (18層)、28.54 (34層)。ResNet 27.88、25.03 (A)、"
        "24.52 (B)、24.19 (C)、22.85 (50層)、21.75 (101層)、21.43 (152層)。",
        "2015年の優勝記録3.57 %は六つのネットワークのアンサンブルのtop-5誤り率で、ResNet-152単体のものではない。",
        "KerasはResNet-50を25,636,712と表示する。畳み込みのバイアスと正規化の統計量も数えるためである。",
        "素のネットワークは深くすると訓練誤差から悪くなる。単なる勾配消失ではない。論文は全層を正規化し、そう述べている。"
        "vision.cifar_resnet で両方を測る。",
        "「ResNet v2」は事前活性化 (vision.preact_resnet) のことで、torchvisionの二組目の重みではない。",
        "ある資料がResNetと並べて挙げる48.4 mAPは、COCOでの検出器 (Faster R-CNN) の値である。"
        "ResNet-101はその特徴を計算する部分にすぎない。",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup(Recognition):
    """What can be chosen."""

    depth: Literal[10, 18, 34, 50, 101, 152] = 18
    """layers: 18 and 34 of basic blocks (10 for a first try), 50, 101 and 152 of bottlenecks"""
    shortcuts: Literal["A", "B", "C", "none"] = "B"
    """A: zeros for new channels; B: 1x1 convolution where the shape changes; C: everywhere; none: a plain net"""
    form: Literal["v1.5", "v1"] = "v1.5"
    """stride of a bottleneck: in its 3x3 (v1.5, torchvision) or in its first 1x1 (v1, the paper)"""
    zero_gamma: bool = True
    """start with every block as the identity: the last scale of each is 0"""
    stem: Literal["auto", "imagenet", "small"] = "auto"
    """beginning: imagenet is 7x7 and pooling, stride 4; small is 3x3, stride 1; auto is small below 64 pixels"""
    width: int = 64
    """maps of the first stage; the next ones have 2, 4 and 8 times as many"""
    lr: float = 0.05


VARIANTS = {
    "smoke": Setup(depth=10, width=4, epochs=1, batch_size=32, augment=False),
    "default": Setup(width=8, batch_size=32, lr=0.1, zero_gamma=False),
    "cifar10": Setup(data="cifar10", epochs=15, lr=0.1),
    "resnet50": Setup(depth=50, batch_size=64),
}


def build(setup: Setup, place: Place = Place()) -> Supervised:  # noqa: B008 - a frozen value
    """The training program; images of any size from 33x33, for the small beginning from 9x9."""
    in_range(setup, ("width",))
    return recognise(setup, place, lambda about: ResNet(
        setup.depth, classes=len(about.classes), channels=about.shape[0], shortcuts=setup.shortcuts, form=setup.form,
        zero_gamma=setup.zero_gamma, width=setup.width, small=begins_small(setup.stem, about.shape)),
        smallest=33 if setup.stem == "imagenet" else 9)


def begins_small(stem: str, shape: tuple[int, ...]) -> bool:
    """Whether pictures of `shape` (channels, height, width) meet the small beginning."""
    return stem == "small" or (stem == "auto" and min(shape[1:]) < 64)
