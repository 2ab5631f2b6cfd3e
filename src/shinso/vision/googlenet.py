r"""GoogLeNet, the Inception network of 2014: 22 layers, 7 million weights (Szegedy et al. 2014).

Nine modules of four routes, whose maps are put one behind the other:

    y = [r_{1x1}(x), r_{3x3}(x), r_{5x5}(x), r_{pool}(x)]                                           (1)
    loss = main + 0.3 (a_1 + a_2),  the cross entropies of three classifiers                        (2)
    b_i = a_i / (k + (alpha / 5) sum_{j = i-2}^{i+2} a_j^2)^0.75,  k = 1, alpha = 1e-4               (3)

A 1x1 in front of the 3x3 and of the 5x5 reduces the maps, and another one follows the pooling; a mean over each map
takes the place of the large affine layers. Two small classifiers, at 4a and 4d, also have to answer while training;
their loss reaches the first layers by a shorter way. They are removed afterwards. The surprise: two different networks
have this name. `paper` is that of 2014 as Caffe published it: no batch normalisation, biases, (3) in the stem.
`torchvision` has batch normalisation, no biases, no (3), and a 3x3 where the module says 5x5: a slip that stayed,
because published weights depend on it. Names are torchvision's; its files load into that form as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.place import Place
from shinso.core.seed import drawing_from, drawing_with, generator
from shinso.core.setup import in_range
from shinso.data.examples import open_data, to_float
from shinso.learn.recognise import recognise
from shinso.learn.supervised import Supervised
from shinso.nn.inception_block import BasicConv2d, BiasedConv2d, Conv, Routes, draw_he, enlarged, layer, scaled
from shinso.vision._cost import products, trained
from shinso.vision._inception import Listed, refuse_unknown, supervise, ungrown
from shinso.vision.alexnet import AlexNet

# Table 1 of the paper: 1x1, 3x3 reduced, 3x3, 5x5 reduced, 5x5, pooled; a number alone is the pooling's size.
TABLE: dict[str, tuple[int, ...]] = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
ENDS = {"3b": "maxpool3", "4e": "maxpool4"}
"""behind which modules the picture is halved"""
LISTENS = {"inception4a": "aux1", "inception4d": "aux2"}
"""which layers an auxiliary classifier reads"""
Form = Literal["paper", "torchvision"]
PIXELS = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
"""mean and standard deviation of the pixels for which the published weights were made"""
SMALLEST = {"paper": 31, "torchvision": 15}
"""pixels a side that survive five halvings"""


def inception(entering: int, maps: tuple[int, ...], form: Form, width: float = 1.0) -> Routes:
    """(1): one module of `TABLE`."""
    one, before3, three, before5, five, pooled = maps
    size = "5x5" if form == "paper" else "3x3"
    routes = {"branch1": f"1x1:{one}", "branch2": f"1x1:{before3} 3x3:{three}",
              "branch3": f"1x1:{before5} {size}:{five}", "branch4": f"max 1x1:{pooled}"}
    return Routes(entering, routes, width=width, conv=_conv(form))


@final
class Auxiliary(nn.Module):
    """A small classifier in the middle: (batch, entering, height, width) -> (batch, classes).

    The paper pools 5x5 by 3, which makes 4x4 of 14x14; for maps of other sizes, and in torchvision's form always, 4x4
    means of equal parts do it.
    """

    def __init__(self, entering: int, classes: int, form: Form, width: float = 1.0):
        super().__init__()
        self.strides = form == "paper"
        self.conv, maps = layer("1x1:128", entering, width=width, conv=_conv(form))
        hidden = scaled(1024, width)
        self.fc1, self.fc2 = nn.Linear(16 * maps, hidden), nn.Linear(hidden, classes)
        self.dropout = nn.Dropout(0.7)

    def forward(self, x: Tensor) -> Tensor:
        if self.strides and x.shape[2:] == (14, 14):
            x = F.avg_pool2d(x, 5, 3)
        else:
            x = F.adaptive_avg_pool2d(x, 4)
        return self.fc2(self.dropout(F.relu(self.fc1(self.conv(x).flatten(1)))))


@final
class GoogLeNet(nn.Module):
    """(batch, channels, height, width) -> (batch, classes); while training with `aux`: main, first, second answer."""

    def __init__(self, *, classes: int = 1000, channels: int = 3, form: Form = "paper", aux: bool = True,
                 width: float = 1.0, grow: int = 1, without: Sequence[str] = ()):
        super().__init__()
        self.grow, self.aux = grow, aux
        build = partial(layer, width=width, conv=_conv(form))
        self.conv1, leaving = build("7x7/2p:64", channels)
        self.maxpool1, self.norm1 = nn.MaxPool2d(3, 2, ceil_mode=True), _norm(form)
        self.conv2, leaving = build("1x1:64", leaving)
        self.conv3, leaving = build("3x3:192", leaving)
        self.norm2, self.maxpool2 = _norm(form), nn.MaxPool2d(3, 2, ceil_mode=True)
        for name, maps in ((name, maps) for name, maps in TABLE.items() if name not in without):
            block = inception(leaving, maps, form, width)
            self.add_module(f"inception{name}", block)
            leaving = block.leaving
            if name in ENDS:
                size = 2 if form == "torchvision" and name == "4e" else 3
                self.add_module(ENDS[name], nn.MaxPool2d(size, 2, ceil_mode=True))
        self.order = tuple(name for name, _ in self.named_children())
        for name in (name for name in LISTENS if aux and name in self.order):
            entering = self.get_submodule(name)
            assert isinstance(entering, Routes)  # noqa: S101 - for the type checker
            self.add_module(LISTENS[name], Auxiliary(entering.leaving, classes, form, width))
        self.avgpool, self.dropout = nn.AdaptiveAvgPool2d(1), nn.Dropout(0.4 if form == "paper" else 0.2)
        self.fc = nn.Linear(leaving, classes)
        (draw_caffe if form == "paper" else draw_he)(self)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        x, answers = enlarged(x, self.grow), []
        for name in self.order:
            x = self.get_submodule(name)(x)
            if self.training and self.aux and name in LISTENS:
                answers.append(self.get_submodule(LISTENS[name])(x))
        main = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        return (main, *answers) if answers else main


def draw_caffe(network: nn.Module) -> None:
    """Weights uniform with variance 1 / inputs, biases 0.2 in convolutions and 0 in affine layers."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            bound = (3 / module.weight[0].numel()) ** 0.5
            nn.init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                nn.init.constant_(module.bias, 0.2 if isinstance(module, nn.Conv2d) else 0.0)


def _conv(form: Form) -> Conv:
    return BiasedConv2d if form == "paper" else BasicConv2d


def _norm(form: Form) -> nn.Module:
    return nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0) if form == "paper" else nn.Identity()  # (3)


def _counted(form: Form, *, aux: bool) -> int:
    with torch.device("meta"):
        return trained(GoogLeNet(form=form, aux=aux))


def _multiplied(form: Form) -> int:
    with torch.device("meta"):
        return products(GoogLeNet(form=form).eval(), (3, 224, 224))


def _helped(form: Form) -> float:
    """Norm of the first layer's gradient with both auxiliary losses over that without, for 32 digits at the start."""
    with drawing_from(0, "fact"):
        network = GoogLeNet(form=form, classes=10, channels=1, width=0.125, grow=2)
    data, norms = open_data("digits"), []
    batch = to_float(data.train.pick(torch.arange(32)), data.about), data.train.targets[:32]
    for share in (0.0, 0.3):
        network.zero_grad()
        terms = supervise(share, 0.0, network, batch, generator(0, "dropout"))
        torch.stack(list(terms.values())).sum().backward()
        norms.append(float(network.get_parameter("conv1.conv.weight").grad.norm()))  # pyright: ignore
    return norms[1] / norms[0]


def paper_parameters() -> Check:
    """The network of 2014 has 6,998,552 parameters without the auxiliary classifiers.

    Source: Szegedy et al. 2014, table 1, with biases
    """
    return exactly(_counted("paper", aux=False), 6_998_552)


def paper_parameters_while_training() -> Check:
    """With both auxiliary classifiers it has 13,378,280.

    Source: Szegedy et al. 2014, section 5: 128 maps and 1024 units in each
    """
    return exactly(_counted("paper", aux=True), 13_378_280)


def alexnet_has_8_7_times_as_many() -> Check:
    """The AlexNet of 2012 has 8.711 times as many parameters, to 0.001.

    Source: 60,965,224 / 6,998,552; Szegedy et al. 2014, section 1, says 12 times
    """
    with torch.device("meta"):
        return about(trained(AlexNet("two-group")) / _counted("paper", aux=False), 8.711, 0.001)


def it_is_22_layers_deep() -> Check:
    """On the longest way through it are 22 layers with weights.

    Source: Szegedy et al. 2014, table 1: 3 in the stem, 2 in each of 9 modules, and the last
    """
    with torch.device("meta"):
        network = GoogLeNet(aux=False)
    steps = [max(map(len, ways.plan)) if isinstance(ways, Routes) else trained(ways) > 0 for ways in network.children()]
    return exactly(sum(steps), 22)


def paper_products() -> Check:
    """It makes 1,582,671,872 multiplications for one picture of 224x224.

    Source: Szegedy et al. 2014, table 1
    """
    return exactly(_multiplied("paper"), 1_582_671_872)


def torchvision_parameters() -> Check:
    """The form with batch normalisation has 6,624,904 parameters without the auxiliary classifiers.

    Source: count of torchvision.models.googlenet
    """
    return exactly(_counted("torchvision", aux=False), 6_624_904)


def torchvision_parameters_while_training() -> Check:
    """That form has 13,004,888 parameters with both auxiliary classifiers.

    Source: count of torchvision.models.googlenet
    """
    return exactly(_counted("torchvision", aux=True), 13_004_888)


def torchvision_products() -> Check:
    """That form makes 1,498,376,192 multiplications for one picture of 224x224.

    Source: count of torchvision.models.googlenet
    """
    return exactly(_multiplied("torchvision"), 1_498_376_192)


def auxiliary_parameters() -> Check:
    """The first auxiliary classifier has 3,188,840 parameters; the second one 2,048 more.

    Source: Szegedy et al. 2014, section 5: 512 and 528 maps enter
    """
    with torch.device("meta"):
        first, second = (trained(Auxiliary(maps, 1000, "paper")) for maps in (512, 528))
    return exactly(first if second - first == 2_048 else 0, 3_188_840)


def modules_have_the_maps_of_the_table() -> Check:
    """All 9 modules give the maps of the table: 256, 480, 512, 512, 512, 528, 832, 832, 1024.

    Source: Szegedy et al. 2014, table 1, column of output sizes
    """
    with torch.device("meta"):
        network = GoogLeNet()
        found = [network.get_submodule(f"inception{name}").get_parameter("branch1.conv.weight").shape[1]
                 for name in list(TABLE)[1:]]
    leaving = [*found, network.fc.in_features]
    return exactly(sum(a == b for a, b in zip(leaving, (256, 480, 512, 512, 512, 528, 832, 832, 1024), strict=True)), 9)


def the_loss_is_the_weighted_sum() -> Check:
    """The loss in training is main + 0.3 (a1 + a2), to 1e-6.

    Source: Szegedy et al. 2014, section 5
    """
    with drawing_from(0, "fact"):
        network = GoogLeNet(form="torchvision", classes=4, width=0.0625)
    draw = generator(0, "pictures")
    x, y = torch.randn(4, 3, 32, 32, generator=draw), torch.tensor([0, 1, 2, 3])
    terms = supervise(0.3, 0.0, network, (x, y), generator(0, "dropout"))
    with drawing_with(generator(0, "dropout")):
        main, first, second = (F.cross_entropy(answer, y) for answer in network(x))
    total = float(torch.stack(list(terms.values())).sum().detach())
    return at_most(abs(total - float((main + 0.3 * (first + second)).detach())), 1e-6)


def answers_do_not_need_the_helpers() -> Check:
    """In evaluation the network gives one answer; with every weight of both helpers infinite its change is 0.

    Source: Szegedy et al. 2014, section 5: they are discarded when answering
    """
    with drawing_from(0, "fact"):
        network = GoogLeNet(form="paper", classes=4, width=0.0625).eval()
    x = torch.randn(2, 3, 32, 32, generator=generator(0, "pictures"))
    before = network(x)
    for name in LISTENS.values():
        for weight in network.get_submodule(name).parameters():
            nn.init.constant_(weight, float("inf"))
    return exactly(float((network(x) - before).detach().abs().max()), 0)


def helpers_lift_the_gradient() -> Check:
    """Without normalisation the two helpers make the first layer's gradient for 32 digits at least 1.5 times as large.

    Source: Szegedy et al. 2014, section 5: they were added to increase the gradient that is sent back
    """
    return at_least(_helped("paper"), 1.5)


def normalisation_needs_no_helpers() -> Check:
    """With batch normalisation the same ratio for 32 digits is 1 to half: the gradient arrives without helpers.

    Source: Szegedy et al. 2015, arXiv:1512.00567, section 4: the helpers did not speed up early training
    """
    return about(_helped("torchvision"), 1.0, 0.5)


CARD = Card(
    name="GoogLeNet (Inception v1)",
    name_ja="GoogLeNet (Inception v1)",
    paper="Szegedy et al. 2014, Going deeper with convolutions, arXiv:1409.4842",
    equations=(
        r"y = [\,r_{1 \times 1}(x),\ r_{3 \times 3}(x),\ r_{5 \times 5}(x),\ r_{pool}(x)\,]",
        r"L = L_{main} + 0.3\,(L_1 + L_2)",
        r"b_i = \frac{a_i}{\left(k + \frac{\alpha}{5} \sum_{j=i-2}^{i+2} a_j^2\right)^{0.75}}",
    ),
    summary="Nine modules of parallel filters and two helpers that also answer while training; first of ILSVRC 2014.",
    summary_ja="並列フィルタのモジュール九つと、訓練中だけ答える補助分類器二つ。ILSVRC2014の優勝モデル。",
    topics=("vision.googlenet", "vision.part.inception-module", "vision.part.auxiliary-loss"),
    facts=(
        paper_parameters,
        paper_parameters_while_training,
        alexnet_has_8_7_times_as_many,
        it_is_22_layers_deep,
        paper_products,
        torchvision_parameters,
        torchvision_parameters_while_training,
        torchvision_products,
        auxiliary_parameters,
        modules_have_the_maps_of_the_table,
        the_loss_is_the_weighted_sum,
        answers_do_not_need_the_helpers,
        helpers_lift_the_gradient,
        normalisation_needs_no_helpers,
    ),
    notes=(
        "GoogLeNet has a large L for LeNet. In the paper, ILSVRC 2014, top-5 error: 6.67 % in the test with seven "
        "networks, 10.07 % in validation with one and one crop. It says 12 times fewer parameters than AlexNet: 8.7.",
        "In torchvision's form, unlike the paper's, convolutions are normalised, have no biases, and its 5x5 is a 3x3. "
        "The pooling in a module halves nothing: stride 1, border 1.",
        "Files that torchvision published were trained on pictures scaled to -1..1, not by its usual mean.",
        "Szegedy et al. 2015 report that the helpers regularise rather than pass gradients. Here both are measured on "
        "digits at the start: without normalisation they lift the gradient, with it they do not.",
        "Pictures under 31 pixels (15 in torchvision's form) do not survive the halvings: `grow` repeats their pixels.",
        "The default run has 6 of the 9 modules, a quarter as wide: so few digits teach a shorter network sooner.",
    ),
    notes_ja=(
        "名前はLeNetのLを大文字で書くGoogLeNet。論文のILSVRC 2014のtop-5誤り率は、7個のネットワークのテストで 6.67 %、"
        "1個で1クロップの検証で 10.07 %。パラメータはAlexNetの12分の1と言うが、数えると 8.7 分の 1 である。",
        "torchvisionの形は論文と違い、畳み込みに正規化があってバイアスがなく、「5x5」は 3x3 である。"
        "モジュール内のプーリングはストライド 1、縁 1 で、画像を縮めない。",
        "torchvisionが公開した重みは、通常の平均と標準偏差ではなく -1..1 に揃えた画像で訓練されている。",
        "Szegedy et al. 2015 は、補助分類器の働きは勾配を伝えることより正則化だと報告した。"
        "ここでは訓練開始時の両方を数字画像で測る。正規化がなければ勾配は大きくなり、あればほとんど変わらない。",
        "31 画素 (torchvisionの形では 15 画素) 未満の画像は縮小に耐えないので、grow で画素を繰り返して広げる。",
        "既定の実行では 9 個のうち 6 個のモジュールを四分の一の幅で使う。少ない数字画像では浅い方が早く学習する。",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup(Listed):
    """What can be chosen."""

    form: Literal["paper", "torchvision"] = "torchvision"
    """paper: that of 2014, without batch normalisation; torchvision: with it, and the 5x5 are 3x3"""
    aux: bool = True
    """two more classifiers in the middle while training"""
    share: float = 0.3
    """weight of each of their losses"""


VARIANTS = {
    "smoke": Setup(width=0.0625, without=("4b", "4c", "5a"), epochs=1, batch_size=30, augment=False),
    "default": Setup(width=0.25, grow=2, without=("4b", "4c", "5a"), epochs=12),
    "paper": Setup(form="paper", width=0.25, grow=2, without=("4b", "4c", "5a"), epochs=12, lr=0.002),
    "cifar10": Setup(data="cifar10", grow=2, epochs=30, batch_size=128, optimiser="sgd", lr=0.1),
}


def build(setup: Setup, place: Place = Place()) -> Supervised:  # noqa: B008 - a frozen value
    """The training program; images whose grown sides have 31 (paper) or 15 (torchvision) pixels or more."""
    in_range(setup, ("width", "grow"), ("share",))
    refuse_unknown(setup.without, TABLE)
    program = recognise(setup, place, lambda about: GoogLeNet(
        classes=len(about.classes), channels=about.shape[0], form=setup.form, aux=setup.aux, width=setup.width,
        grow=setup.grow, without=setup.without), smallest=ungrown(SMALLEST[setup.form], setup.grow))
    program.task = replace(program.task, objective=partial(supervise, setup.share, setup.label_smoothing))
    return program
