r"""AlexNet, the network that won ILSVRC 2012 by ten points (Krizhevsky, Sutskever, Hinton 2012).

    conv1 11x11/4 96 - conv2 5x5 256 - conv3 3x3 384 - conv4 3x3 384 - conv5 3x3 256 - 4096 - 4096 - 1000     (1)
    y = max(W x + b, 0)                                                       in the paper 6 times tanh's speed (2)
    conv2, conv4, conv5:  W = [[W_a, 0], [0, W_b]]                            two GPUs, two groups of maps      (3)
    behind conv1, conv2: local response normalisation, then pooling           (shinso.nn.local_response_norm)   (4)
    3x3 maxima at every second place:  side -> floor((side - 3) / 2) + 1      overlapping pooling               (5)

Maxima also follow conv5, and dropout stands before the first two matrices. The surprise: there are three AlexNets.
That of 2012 (`two-group`, 60,965,224 weights) is cut in halves, which meet only in conv3 and the matrices, because a
GPU had 3 GB. Its widths without the cut (`ungrouped`) are 62,378,344. What is called AlexNet today (`one-tower`,
Krizhevsky 2014) is narrower, has no normalisation, and 61,100,840, named here as in torchvision, whose files load.

`small` is for pictures below 63 pixels: conv1 is 5x5 at every place; pooling that would find nothing is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_least, exactly
from shinso.core.place import Place
from shinso.core.seed import drawing_from
from shinso.core.setup import in_range
from shinso.data.examples import Description
from shinso.learn.recognise import Recognition, recognise
from shinso.learn.supervised import Supervised
from shinso.nn.local_response_norm import LocalResponseNorm
from shinso.vision._cost import products, trained

Form = Literal["one-tower", "two-group", "ungrouped"]

MAPS = {"one-tower": (64, 192, 384, 256, 256), "two-group": (96, 256, 384, 384, 256),
        "ungrouped": (96, 256, 384, 384, 256)}  # fmt: skip


@final
class AlexNet(nn.Module):
    """(1): (batch, channels, height, width) -> (batch, classes).

    `side` of `shape` is 227 for the forms of 2012 and 224 for one tower; `grid` is the side of the maps before the
    matrices, 6 as published; `width` is a factor on all numbers of maps.
    """

    def __init__(self, form: Form = "one-tower", *, small: bool = False, shape: Sequence[int] = (3, 224, 224),
                 classes: int = 1000, hidden: int = 4096, grid: int = 6, width: float = 1.0):
        super().__init__()
        widths = [2 * max(1, round(width * maps / 2)) for maps in MAPS[form]]
        groups, of_2012, side = (2 if form == "two-group" else 1), form != "one-tower", min(shape[1:])
        edge = 0 if of_2012 else 2
        layers: list[nn.Module] = [nn.Conv2d(shape[0], widths[0], 5, padding=2) if small else
                                   nn.Conv2d(shape[0], widths[0], 11, 4, edge)]
        side = side if small else (side + 2 * edge - 11) // 4 + 1
        for number, (entering, maps) in enumerate(pairwise(widths), start=2):
            layers.append(nn.ReLU(inplace=True))  # (2)
            if number <= 3:
                layers += [LocalResponseNorm()] if of_2012 else []  # (4)
                layers.append(_pooling(side))
                side = pooled(side)
            size, ways = 5 if number == 2 else 3, 1 if number == 3 else groups
            layers.append(nn.Conv2d(entering, maps, size, padding=size // 2, groups=ways))  # (3)
        self.features = nn.Sequential(*layers, nn.ReLU(inplace=True), _pooling(side))
        self.grid = grid
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(widths[-1] * grid**2, hidden), nn.ReLU(inplace=True),
            nn.Dropout(), nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, classes),
        )  # fmt: skip
        if small:  # narrow layers would fade with the first weights that torch gives
            for layer in self.modules():
                if isinstance(layer, (nn.Conv2d, nn.Linear)):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        if x.shape[2:] != (self.grid, self.grid):
            x = F.adaptive_avg_pool2d(x, self.grid)
        return self.classifier(x.flatten(1))


def pooled(side: int) -> int:
    """(5): what overlapping pooling leaves of `side` pixels; below 3 there is none."""
    return (side - 3) // 2 + 1 if side >= 3 else side


def _pooling(side: int) -> nn.Module:
    return nn.MaxPool2d(3, 2) if side >= 3 else nn.Identity()


@torch.no_grad()
def draw_weights_of_2012(network: AlexNet) -> None:
    """Normal with deviation 0.01; biases 0, or 1 in conv2, conv4, conv5 and the hidden matrices, so that units live."""
    convolutions = [layer for layer in network.features if isinstance(layer, nn.Conv2d)]
    matrices = [layer for layer in network.classifier if isinstance(layer, nn.Linear)]
    alive = (*convolutions[1:2], *convolutions[3:], *matrices[:2])
    for layer in (*convolutions, *matrices):
        nn.init.normal_(layer.weight, 0, 0.01)
        nn.init.constant_(cast(Tensor, layer.bias), 1.0 if layer in alive else 0.0)


def _number(form: Form) -> int:
    with torch.device("meta"):
        return trained(AlexNet(form))


def parameters_of_two_groups() -> Check:
    """The two-group AlexNet of 2012 has 60,965,224 parameters.

    Source: Krizhevsky, Sutskever, Hinton 2012, figure 2 (60 million)
    """
    return exactly(_number("two-group"), 60_965_224)


def parameters_of_one_tower() -> Check:
    """The one-tower AlexNet has 61,100,840.

    Source: Krizhevsky 2014, arXiv:1404.5997; torchvision
    """
    return exactly(_number("one-tower"), 61_100_840)


def parameters_without_groups() -> Check:
    """The widths of 2012 without groups have 62,378,344.

    Source: Krizhevsky, Sutskever, Hinton 2012, figure 2, with every map joined to every map
    """
    return exactly(_number("ungrouped"), 62_378_344)


def multiplications_of_two_groups() -> Check:
    """The two-group AlexNet makes 724,406,816 multiplications for a picture of 227x227.

    Source: weights times places; 55, 27 and 13 pixels a side
    """
    with torch.device("meta"):
        return exactly(products(AlexNet("two-group"), (3, 227, 227)), 724_406_816)


def multiplications_of_one_tower() -> Check:
    """The one-tower AlexNet makes 714,188,480 for 224x224.

    Source: weights times places; torchvision
    """
    with torch.device("meta"):
        return exactly(products(AlexNet(), (3, 224, 224)), 714_188_480)


def units() -> Check:
    """It has 659,272 units behind the picture; the paper counts 650,000.

    Source: Krizhevsky, Sutskever, Hinton 2012, abstract; the numbers of maps times places
    """
    with torch.device("meta"):
        found = _outputs(AlexNet("two-group"), 227, (nn.Conv2d, nn.Linear))
    return exactly(sum(out[0].numel() for out in found), 659_272)


def _outputs(network: AlexNet, side: int, kinds: tuple[type[nn.Module], ...]) -> list[Tensor]:
    found: list[Tensor] = []
    for layer in network.modules():
        if isinstance(layer, kinds):
            layer.register_forward_hook(lambda layer, given, out: found.append(cast(Tensor, out)))
    network(torch.zeros(1, 3, side, side))
    return found


def overlapping_pooling_leaves_55_27_13_6() -> Check:
    """A picture of 227 pixels has 55 behind conv1, and 27, 13 and 6 behind the three poolings.

    Source: Krizhevsky, Sutskever, Hinton 2012, section 3.4; equation (5); measured is how many of the four are so
    """
    with torch.device("meta"):
        conv1, *_ = _outputs(AlexNet("two-group"), 227, (nn.Conv2d,))
        sides = [conv1.shape[2], *(out.shape[2] for out in _outputs(AlexNet("two-group"), 227, (nn.MaxPool2d,)))]
    return exactly(sum(a == b for a, b in zip(sides, (55, 27, 13, 6), strict=True)), 4)


def the_papers_224_pixels_fit_no_whole_number_of_steps() -> Check:
    """With 224 pixels conv1 would have 54.25 places a side: 227 are meant.

    Source: (224 - 11) / 4 + 1; the paper prints 224
    """
    conv1 = cast(nn.Conv2d, AlexNet("two-group", shape=(3, 227, 227), width=1 / 32, hidden=2).features[0])
    return exactly((224 - conv1.kernel_size[0]) / conv1.stride[0] + 1, 54.25)


def _halves(number: int) -> Tensor:
    """How much the second half of the maps that leave a convolution depends on each of the first half that enters."""
    with drawing_from(0, "weights"):
        network = AlexNet("two-group", shape=(3, 227, 227), classes=2, hidden=2, width=1 / 32)
    layer = [layer for layer in network.features if isinstance(layer, nn.Conv2d)][number - 1]
    x = torch.ones(1, layer.in_channels, 5, 5, requires_grad=True)
    layer(x)[:, layer.out_channels // 2 :].square().sum().backward()
    return cast(Tensor, x.grad)[0, : layer.in_channels // 2].abs().amax((1, 2))


def groups_do_not_see_each_other() -> Check:
    """In conv2, conv4 and conv5 the second half of the maps does not depend on the first half of those before.

    Source: Krizhevsky, Sutskever, Hinton 2012, section 3.2; equation (3)
    """
    return exactly(max(float(_halves(number).max()) for number in (2, 4, 5)), 0)


def they_meet_in_conv3() -> Check:
    """In conv3 the second half depends on every map of the first.

    Source: Krizhevsky, Sutskever, Hinton 2012, section 3.2; measured is the least gradient
    """
    return at_least(float(_halves(3).min()), 1e-6)


CARD = Card(
    name="AlexNet",
    name_ja="AlexNet",
    paper="Krizhevsky, Sutskever, Hinton 2012, ImageNet classification with deep convolutional neural networks, NIPS; "
    "Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks, arXiv:1404.5997",
    equations=(
        r"11{\times}11/4\;96 - 5{\times}5\;256 - 3{\times}3\;384 - 3{\times}3\;384 - 3{\times}3\;256 - 4096 - "
        r"4096 - 1000",
        r"y = \max(W x + b, 0)",
        r"W y = (W_a y_a,\; W_b y_b)",
        r"b_i = a_i \left(2 + 10^{-4} \sum_{|j - i| \leq 2} a_j^2\right)^{-3/4}",
        r"s \mapsto \lfloor (s - 3)/2 \rfloor + 1",
    ),
    summary="Five convolutions and three matrices on two GPUs: the network that began the deep learning of today.",
    summary_ja="畳み込み五層と全結合三層を二台のGPUで学習し、2012年に深層学習の時代を開いたネットワーク。",
    topics=("vision.alexnet-one-tower", "vision.alexnet-two-group", "vision.part.overlapping-pooling"),
    facts=(
        parameters_of_two_groups,
        parameters_of_one_tower,
        parameters_without_groups,
        multiplications_of_two_groups,
        multiplications_of_one_tower,
        units,
        overlapping_pooling_leaves_55_27_13_6,
        the_papers_224_pixels_fit_no_whole_number_of_steps,
        groups_do_not_see_each_other,
        they_meet_in_conv3,
    ),
    notes=(
        "The paper prints pictures of 224 pixels, which 11x11 filters at every fourth place do not fit: it means 227.",
        "In the paper: 40.7/18.2 percent top-1/top-5 errors for one network, 38.1/16.4 for five, and 36.7/15.4 for "
        "seven trained with further pictures. ILSVRC 2012 was won with 15.3, by 10.9 points; 16.4 would have been 9.8.",
        "Section 3.5 of the paper counts 253,440 units behind conv1; 96 maps of 55x55 are 290,400.",
        "Three networks are called AlexNet, with three counts; that of torchvision is one-tower, which has no local "
        "response normalisation. Where 11x11 filters meet 224 pixels there, two rows of zeros lie around them.",
        "In the paper overlapping pooling is worth 0.4 and 0.3 points of top-1 and top-5 error.",
    ),
    notes_ja=(
        "論文は224画素と書くが、11x11 のフィルタを四つおきに置くと割り切れない。227画素の意味である。",
        "論文での誤り率 (top-1/top-5、%): 一つ 40.7/18.2、五つ 38.1/16.4、追加の画像で学習した七つ 36.7/15.4。"
        "ILSVRC 2012 は 15.3 で、10.9 ポイント差で優勝した。16.4 なら差は 9.8 になる。",
        "論文の 3.5 節は conv1 の後を253,440ユニットと数えるが、55x55 の特徴マップ96枚は290,400ユニットである。",
        "AlexNetと呼ばれるものは三つあり、パラメータ数も違う。torchvisionのものは one-tower で、局所応答正規化がない。"
        "そこでは 224 画素の周りに幅2のゼロを置いて 11x11 のフィルタを合わせる。",
        "論文では、重なりのあるプーリングでtop-1とtop-5の誤りが 0.4 と 0.3 ポイント減る。",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup(Recognition):
    """Settings of training, and which AlexNet."""

    form: Literal["one-tower", "two-group", "ungrouped"] = "one-tower"
    """one-tower is today's; two-group that of 2012 with local response normalisation; ungrouped its widths uncut"""
    small: bool = True
    """a first layer for small pictures: 5x5 at every place instead of 11x11 at every fourth"""
    hidden: int = 512
    """units of the two hidden layers; 4096 as published"""
    grid: int = 2
    """pixels a side to which the last maps are averaged; 6 as published"""
    width: float = 1.0
    """factor on all numbers of maps"""
    optimiser: str = "adam"
    lr: float = 0.0015


VARIANTS = {
    "smoke": Setup(epochs=1, batch_size=31, width=1 / 8, hidden=32, augment=False),
    "default": Setup(epochs=30, batch_size=16, width=0.25),
    "two-group": Setup(form="two-group", epochs=30, batch_size=16, width=0.25),
    "cifar10": Setup(data="cifar10", epochs=30, hidden=1024, grid=3),
    "published": Setup(data="folder:photos@224", small=False, hidden=4096, grid=6, epochs=90,
                       optimiser="sgd", lr=0.01, schedule="step"),
    "published-2012": Setup(data="folder:photos@227", form="two-group", small=False, hidden=4096, grid=6, epochs=90,
                            optimiser="sgd", lr=0.01, schedule="step"),
}  # fmt: skip


def build(setup: Setup, place: Place = Place()) -> Supervised:  # noqa: B008 - a frozen value
    """The training program; the forms of 2012 begin with the paper's weights where they are of the paper's size."""
    in_range(setup, ("width", "hidden", "grid"))

    def network(about: Description) -> AlexNet:
        made = AlexNet(setup.form, small=setup.small, shape=about.shape, classes=len(about.classes),
                       hidden=setup.hidden, grid=setup.grid, width=setup.width)
        if setup.form != "one-tower" and not setup.small and setup.width == 1:
            draw_weights_of_2012(made)
        return made

    return recognise(setup, place, network, smallest=8 if setup.small else 63)
