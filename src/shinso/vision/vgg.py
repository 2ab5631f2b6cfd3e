r"""VGG: the same small filter, again and again, 11 to 19 layers deep (Simonyan and Zisserman 2014).

    x -> max(W_3x3 * x + b, 0), repeated; then 2x2 maximum; five such stages of 64, 128, 256, 512, 512 maps    (1)
    p = softmax(W_8 max(W_7 max(W_6 vec(x) + b_6, 0) + b_7, 0) + b_8)              head mlp, vec(x) of 7x7x512    (2)
    s_c = sum_k w_ck 1/|P| sum_p x_kp + b_c                                        head gap                       (3)
    M_c(p) = sum_k w_ck x_kp,   so that mean_p M_c(p) + b_c = s_c                  class activation map           (4)
    K_2 * (K_1 * x) = (K_2 full convolution K_1) * x                               two 3x3 are one 5x5            (5)

The surprise: by (5) two 3x3 layers see what one 5x5 sees, with 18 instead of 25 weights per pair of maps and a bend
between them - and yet nine tenths of VGG-16's weights are not in its thirteen convolutions but in the three layers of
(2). Global average pooling (Lin, Chen, Yan 2013) in their place makes it nine times smaller, takes any picture size,
and says where it looked (Zhou et al. 2015). Names are torchvision's, so its published files load; timm's load through
`from_timm`.

On small pictures the last poolings are left out, so that there is still something to see in (4).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.seed import drawing_from
from shinso.core.setup import in_range
from shinso.data.examples import Dataset, to_float
from shinso.learn.classify import pictures
from shinso.learn.recognise import Recognition, recognise
from shinso.learn.supervised import Supervised
from shinso.vision._activation_maps import drawn
from shinso.vision._cost import products, trained

Depth = Literal["11", "13", "16", "16-c", "19"]

WIDTHS = (64, 128, 256, 512, 512)
FILTERS: dict[str, tuple[str, ...]] = {
    "11": ("3", "3", "33", "33", "33"),
    "13": ("33", "33", "33", "33", "33"),
    "16-c": ("33", "33", "331", "331", "331"),
    "16": ("33", "33", "333", "333", "333"),
    "19": ("33", "33", "3333", "3333", "3333"),
}
"""sizes of the filters of each stage: columns A, B, C, D and E of the paper's table 1"""


@final
class VGG(nn.Module):
    """(1) with head (2) or (3): (batch, channels, height, width) -> (batch, classes).

    `shape` is that of a picture. `grid` is the side to which the maps are averaged before (2); poolings that would
    leave fewer pixels are left out. `width` is a factor on all numbers of maps.
    """

    def __init__(self, depth: Depth = "16", *, norm: bool = False, head: Literal["mlp", "gap"] = "mlp",
                 shape: Sequence[int] = (3, 224, 224), classes: int = 1000, hidden: int = 4096, grid: int = 7,
                 width: float = 1.0):  # fmt: skip
        super().__init__()
        layers: list[nn.Module] = []
        entering, side = shape[0], min(shape[1:])
        for filters, maps in zip(FILTERS[depth], WIDTHS, strict=True):
            leaving = max(1, round(width * maps))
            for size in map(int, filters):
                layers.append(nn.Conv2d(entering, leaving, size, padding=size // 2))  # (1)
                layers += [nn.BatchNorm2d(leaving)] if norm else []
                layers.append(nn.ReLU(inplace=True))
                entering = leaving
            layers.append(nn.MaxPool2d(2) if side // 2 >= grid else nn.Identity())
            side = side // 2 if side // 2 >= grid else side
        self.features, self.grid = nn.Sequential(*layers), grid if head == "mlp" else 1
        self.classifier: nn.Module = nn.Linear(entering, classes)  # (3)
        if head == "mlp":
            self.classifier = nn.Sequential(
                nn.Linear(entering * grid**2, hidden), nn.ReLU(inplace=True), nn.Dropout(),
                nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(hidden, classes),
            )  # (2)
        draw_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        if x.shape[2:] != (self.grid, self.grid):
            x = F.adaptive_avg_pool2d(x, self.grid)
        return self.classifier(x.flatten(1))


def draw_weights(network: nn.Module) -> None:
    """Normal with variance 2 / (size^2 leaving maps) for filters, 2 / inputs for matrices; biases 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if isinstance(layer, (nn.Conv2d, nn.Linear)) and layer.bias is not None:
            nn.init.zeros_(layer.bias)


@torch.no_grad()
def activation_maps(network: VGG, x: Tensor) -> Tensor:
    """(4) of every class: (batch, classes, height, width) of the last maps; for head gap."""
    if not isinstance(network.classifier, nn.Linear):
        raise UserError("head", "class activation maps need global average pooling", "choose --head gap")
    return torch.einsum("ck,nkyx->ncyx", network.classifier.weight, network.features(x))  # (4)


def as_convolutions(network: VGG) -> nn.Sequential:
    """The same network with the matrices of (2) as filters: larger pictures give a map of answers.

    Where the maps are as large as `grid`, the answers are those of `network` in evaluation mode.
    """
    if not isinstance(network.classifier, nn.Sequential):
        raise UserError("head", "this network has one linear layer, not three", "choose --head mlp")
    layers, size = list(network.features), network.grid
    for layer in network.classifier:
        if isinstance(layer, nn.Linear):
            filters = layer.weight.detach().view(layer.out_features, -1, size, size)  # vec: map by map, row by row
            conv = nn.Conv2d(filters.shape[1], filters.shape[0], size, device=filters.device, dtype=filters.dtype)
            conv.weight, conv.bias = nn.Parameter(filters.clone()), nn.Parameter(layer.bias.detach().clone())
            layers, size = [*layers, conv], 1
        elif isinstance(layer, nn.ReLU):
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def from_timm(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm's weights under our names: the matrices of (2) are filters there, of 7x7 and 1x1."""
    matrices = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}
    renamed = {}
    for name, value in state.items():
        layer, _, part = name.rpartition(".")
        is_filter = layer in matrices and part == "weight"
        renamed[f"{matrices.get(layer, layer)}.{part}"] = value.flatten(1) if is_filter else value
    return renamed


def one_filter(first: Tensor, second: Tensor) -> Tensor:
    """(5): the kernel of `second` after `first`, (c, b, n, n) after (b, a, m, m) -> (c, a, m + n - 1, m + n - 1)."""
    around = second.shape[2] - 1
    return F.conv2d(first.transpose(0, 1), second.flip(2, 3), padding=around).transpose(0, 1)


def _agreeing(expected: dict[Depth, int], form: str) -> Check:
    """How many of the forms have the number of parameters that is expected."""
    with torch.device("meta"):
        found = {depth: trained(VGG(depth, norm=form == "norm", head="gap" if form == "gap" else "mlp"))
                 for depth in expected}
    return exactly(sum(found[depth] == number for depth, number in expected.items()), len(expected))


def parameters() -> Check:
    """VGG-11, 13, 16, 16-C and 19 have 132,863,336, 133,047,848, 138,357,544, 133,638,952 and 143,667,240 parameters.

    Source: Simonyan and Zisserman 2014, table 2 (in millions); torchvision; measured is how many of the five agree
    """
    return _agreeing({"11": 132_863_336, "13": 133_047_848, "16": 138_357_544, "16-c": 133_638_952,
                      "19": 143_667_240}, "plain")


def parameters_with_normalisation() -> Check:
    """With batch normalisation VGG-11, 13, 16 and 19 have 132,868,840, 133,053,736, 138,365,992 and 143,678,248.

    Source: torchvision, whose convolutions keep their biases; measured is how many of the four agree
    """
    return _agreeing({"11": 132_868_840, "13": 133_053_736, "16": 138_365_992, "19": 143_678_248}, "norm")


def parameters_with_average_pooling() -> Check:
    """With head gap VGG-11, 13, 16 and 19 have 9,733,480, 9,917,992, 15,227,688 and 20,537,384 parameters.

    Source: convolutions and one linear layer of 512 x 1000 + 1000; measured is how many of the four agree
    """
    return _agreeing({"11": 9_733_480, "13": 9_917_992, "16": 15_227_688, "19": 20_537_384}, "gap")


def multiplications() -> Check:
    """For 224x224, VGG-11, 13, 16, 16-C and 19 make 7.609, 11.308, 15.470, 11.771 and 19.632 billion multiplications.

    Source: 7,609,090,048, 11,308,466,176, 15,470,264,320, 11,770,888,192, 19,632,062,464; measured is how many agree
    """
    expected: dict[Depth, int] = {"11": 7_609_090_048, "13": 11_308_466_176, "16": 15_470_264_320,
                                  "16-c": 11_770_888_192, "19": 19_632_062_464}
    with torch.device("meta"):
        return exactly(sum(products(VGG(depth), (3, 224, 224)) == n for depth, n in expected.items()), len(expected))


def the_head_holds_most_weights() -> Check:
    """Of VGG-16's parameters 123,642,856 are in the three layers of head mlp.

    Source: 25,088 x 4,096 + 4,096^2 + 4,096 x 1,000 and biases
    """
    with torch.device("meta"):
        return exactly(trained(VGG("16").classifier), 123_642_856)


def _small(head: Literal["mlp", "gap"]) -> VGG:
    with drawing_from(0, "weights"):
        network = VGG("11", head=head, classes=5, shape=(3, 64, 64), hidden=12, grid=2, width=1 / 32).double().eval()
        for w in network.parameters():
            nn.init.normal_(w, 0, 0.3)
    return network


def _picture(side: int) -> Tensor:
    with drawing_from(1, "picture"):
        return torch.randn(1, 3, side, side, dtype=torch.float64)


def the_head_is_a_convolution() -> Check:
    """The matrices of head mlp as 2x2 and 1x1 filters give the same answers on a network with 2x2 last maps, to 1e-12.

    Source: equation (2); Simonyan and Zisserman 2014, section 3.2
    """
    network, x = _small("mlp"), _picture(64)
    with torch.no_grad():
        return at_most(float((as_convolutions(network)(x)[:, :, 0, 0] / network(x) - 1).abs().max()), 1e-12)


def activation_maps_average_to_the_answer() -> Check:
    """The mean of a class activation map and the bias are the class's score, for 64, 80 and 96 pixels, to 1e-12.

    Source: Zhou et al. 2015, equations (1) and (2); equation (4)
    """
    network = _small("gap")
    bias, worst = cast(nn.Linear, network.classifier).bias.detach(), 0.0
    for x in map(_picture, (64, 80, 96)):
        scores = network(x).detach()
        gap = activation_maps(network, x).mean((2, 3)) + bias - scores
        worst = max(worst, float(gap.abs().max() / scores.abs().max()))
    return at_most(worst, 1e-12)


def _filters() -> tuple[Tensor, Tensor]:
    with drawing_from(2, "filters"):
        return torch.randn(4, 3, 3, 3, dtype=torch.float64), torch.randn(5, 4, 3, 3, dtype=torch.float64)


def two_small_filters_are_a_large_one() -> Check:
    """Two 3x3 convolutions with no bend between them equal one 5x5 whose kernel is (5), to 1e-12.

    Source: equation (5)
    """
    (first, second), x = _filters(), _picture(12)
    both, one = F.conv2d(F.conv2d(x, first), second), F.conv2d(x, one_filter(first, second))
    return at_most(float((both - one).abs().max()), 1e-12)


def three_layers_see_seven_pixels() -> Check:
    """A unit behind three 3x3 layers depends on 7 pixels a side.

    Source: Simonyan and Zisserman 2014, section 2.3
    """
    x = torch.ones(1, 1, 15, 15, requires_grad=True)
    y = x
    for _ in range(3):
        y = F.conv2d(y, torch.ones(1, 1, 3, 3), padding=1)
    y[0, 0, 7, 7].backward()
    return exactly(int((cast(Tensor, x.grad)[0, 0, 7] != 0).sum()), 7)


def and_cost_eighteen_instead_of_25() -> Check:
    """Two 3x3 layers have 18/25 of the weights of one 5x5 layer between the same maps.

    Source: Szegedy et al. 2015, Rethinking the Inception architecture, section 3.1
    """
    with torch.device("meta"):
        small = 2 * nn.Conv2d(64, 64, 3, bias=False).weight.numel()
        return exactly(small / nn.Conv2d(64, 64, 5, bias=False).weight.numel(), 18 / 25)


CARD = Card(
    name="VGG",
    name_ja="VGG",
    paper="Simonyan and Zisserman 2014, Very deep convolutional networks for large-scale image recognition, "
    "arXiv:1409.1556",
    equations=(
        r"x \mapsto \max(W_{3 \times 3} * x + b, 0)",
        r"p = \mathrm{softmax}(W_8 \max(W_7 \max(W_6\, \mathrm{vec}(x) + b_6, 0) + b_7, 0) + b_8)",
        r"s_c = \sum_k w_{ck} \frac{1}{|P|} \sum_p x_{kp} + b_c",
        r"M_c(p) = \sum_k w_{ck} x_{kp}",
        r"K_2 * (K_1 * x) = (K_2 \circledast K_1) * x",
    ),
    summary="Nothing but 3x3 filters, up to 19 layers deep: the network whose features everybody borrowed.",
    summary_ja="3x3 の畳み込みだけを最大19層まで重ねた、特徴抽出に広く使われてきたネットワーク。",
    topics=(
        "vision.vgg11",
        "vision.vgg13",
        "vision.vgg16",
        "vision.vgg16-c",
        "vision.vgg19",
        "vision.vgg-bn",
        "vision.vgg-gap",
        "vision.part.flatten-mlp-head",
        "vision.part.global-average-pooling",
        "vision.part.factorised-convolution",
    ),
    facts=(
        parameters,
        parameters_with_normalisation,
        parameters_with_average_pooling,
        multiplications,
        the_head_holds_most_weights,
        the_head_is_a_convolution,
        activation_maps_average_to_the_answer,
        two_small_filters_are_a_large_one,
        three_layers_see_seven_pixels,
        and_cost_eighteen_instead_of_25,
    ),
    notes=(
        "The published VGG-16 has no global average pooling: that is head gap, another network, 9 times smaller.",
        "In the paper, at one scale: VGG-11 29.6/10.4, 13 28.7/9.9, 16-C 28.1/9.4, 16 25.6/8.1, 19 25.5/8.0 percent "
        "top-1/top-5 errors, and 24.8/7.5 for 16 at several scales; in ILSVRC 2014 second in classification (7.3) and "
        "first in localisation (25.3). It is cited as of 2014 (arXiv) and of 2015 (ICLR).",
        "The 16 counts layers with weights. 16 has 138 million parameters and 19 has 144 million, not both the same.",
        "The paper's A-LRN, VGG-11 with local response normalisation, has as many parameters and is no better there. "
        "16-C is in neither torchvision nor timm. With norm the convolutions keep biases, which have no effect.",
        "Filters cut into small ones are VGG's idea and Inception-v2's and v3's; the GoogLeNet of 2014 keeps its 5x5.",
        "vec in (2) runs map by map; a file from a framework that runs pixel by pixel needs W_6's columns reordered. "
        "Above 224 pixels timm's slides W_6 over the maps and averages behind W_7, while here the maps are averaged.",
    ),
    notes_ja=(
        "発表されたVGG-16にGAPはない。head gap は9分の1の大きさの別のネットワークである。",
        "論文の単一スケールでの誤り率 (top-1/top-5、%): VGG-11 29.6/10.4、13 28.7/9.9、16-C 28.1/9.4、16 25.6/8.1、"
        "19 25.5/8.0、複数スケールの16 24.8/7.5。ILSVRC 2014 では分類で二位 (7.3)、位置特定で一位 (25.3)。"
        "2014年 (arXiv) とも2015年 (ICLR) とも引用される。",
        "16 は重みを持つ層の数である。パラメータは16が1.38億、19が1.44億で、同じではない。",
        "論文のA-LRNはVGG-11に局所応答正規化を加えたもので、パラメータ数は同じで、論文では良くなっていない。"
        "16-C はtorchvisionにもtimmにもない。norm を使っても、正規化で消えるバイアスが畳み込みに残る。",
        "大きな畳み込みを小さな畳み込みで置き換えるのはVGGとInception-v2、v3の考えで、2014年のGoogLeNetは 5x5 を使う。",
        "(2) の vec は特徴マップごとに並べる。画素ごとに並べる環境の重みでは、W_6 の列の入れ替えが要る。"
        "224 画素を超えると、timmのものは W_6 を特徴マップ上で滑らせて W_7 の後で平均し、ここではマップを平均する。",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup(Recognition):
    """Settings of training, and which VGG."""

    depth: Literal["11", "13", "16", "16-c", "19"] = "11"
    """layers with weights; 16-c has 1x1 filters among its 3x3"""
    norm: bool = True
    """batch normalisation behind every convolution"""
    head: Literal["gap", "mlp"] = "gap"
    """what answers: gap, the mean of each map and one layer; mlp, the three layers of the paper"""
    hidden: int = 4096
    """units of the two hidden layers of head mlp"""
    grid: int = 3
    """least pixels a side of the last maps, 7 as published; for head mlp they are averaged to as many"""
    width: float = 1.0
    """factor on all numbers of maps"""
    lr: float = 0.05


VARIANTS = {
    "smoke": Setup(epochs=1, batch_size=31, width=1 / 32, augment=False),
    "default": Setup(epochs=15, batch_size=32, width=0.25),
    "cifar10": Setup(data="cifar10", depth="16", grid=2, epochs=30),
    "cifar10-mlp": Setup(data="cifar10", depth="16", head="mlp", hidden=512, grid=1, epochs=30),
    "published": Setup(data="folder:photos@224", depth="16", norm=False, head="mlp", grid=7, batch_size=256,
                       lr=0.01, epochs=74, schedule="step"),
}


def build(setup: Setup, place: Place = Place()) -> Supervised:  # noqa: B008 - a frozen value
    """The training program; `published` is the paper's network and its plan, for photographs of your own."""
    in_range(setup, ("width", "hidden", "grid"))
    program = recognise(setup, place, lambda about: VGG(
        setup.depth, norm=setup.norm, head=setup.head, shape=about.shape, classes=len(about.classes),
        hidden=setup.hidden, grid=setup.grid, width=setup.width), smallest=8)
    if setup.head == "gap":
        program.task = replace(program.task, pictures=_with_activation_maps)
    return program


def _with_activation_maps(model: nn.Module, data: Dataset) -> dict[str, np.ndarray]:
    if not len(data.test):
        return {}
    model.eval()
    shown = torch.stack([data.test[i][0] for i in range(min(8, len(data.test)))])
    device = next(model.parameters()).device
    with torch.no_grad():
        x = to_float(shown.to(device), data.about)
        answers = model(x).argmax(1)
        maps = activation_maps(cast(VGG, model), x)[torch.arange(len(x)), answers][:, None]
        seen = F.interpolate(maps, x.shape[2:], mode="bilinear").cpu()
    titles = [data.about.classes[int(k)] for k in answers]
    return {**pictures(model, data), "activation_maps": drawn(shown, seen[:, 0], titles)}
