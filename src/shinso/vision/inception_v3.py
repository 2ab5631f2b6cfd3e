r"""Inception v3: large filters made of small and thin ones (Szegedy, Vanhoucke, Ioffe, Shlens, Wojna 2015).

    5x5 -> 3x3, 3x3          18/25 of the weights                                                  (1)
    7x7 -> 1x7, 7x1          2/7 of the weights                                                    (2)
    loss = main + 0.4 a      with the cross entropy of one classifier in the middle                (3)
    q_k = (1 - e) [k = y] + e / K        smoothed labels, e = 0.1 in the paper                      (4)

299x299 -> stem 35x35 -> three modules A with (1) -> B halves -> four modules C with (2) at 17x17 -> D halves -> two
modules E at 8x8, whose 3x3 are opened into 1x3 and 3x1 side by side. A picture is never halved by pooling alone: the
reductions B and D pool and convolve side by side. The surprise: in the paper the helping classifier did not speed up
the start; removing it hurt only at the end, so the authors call it a regulariser.

Names are torchvision's; its files load as they are. timm's load through `from_timm`.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, exactly
from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.setup import in_range
from shinso.learn.recognise import recognise
from shinso.learn.supervised import Supervised
from shinso.nn.inception_block import Routes, bordered, draw_he, enlarged, layer
from shinso.vision._cost import products, trained
from shinso.vision._inception import Bordered, smallest, supervise

STEM = {"Conv2d_1a_3x3": "3x3/2:32", "Conv2d_2a_3x3": "3x3v:32", "Conv2d_2b_3x3": "3x3:64", "maxpool1": "max/2",
        "Conv2d_3b_1x1": "1x1:80", "Conv2d_4a_3x3": "3x3v:192", "maxpool2": "max/2"}
B = {"branch3x3": "3x3/2:384", "branch3x3dbl": "1x1:64 3x3:96 3x3/2:96", "branch_pool": "max/2"}
D = {"branch3x3": "1x1:192 3x3/2:320", "branch7x7x3": "1x1:192 1x7:192 7x1:192 3x3/2:192", "branch_pool": "max/2"}
E = {"branch1x1": "1x1:320", "branch3x3": "1x1:384 1x3:384|3x1:384",
     "branch3x3dbl": "1x1:448 3x3:384 1x3:384|3x1:384", "branch_pool": "avg 1x1:192"}
POOLED, THIN = (32, 64, 64), (128, 160, 160, 192)
"""what differs between the modules A and between the modules C"""
PIXELS = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
"""mean and standard deviation of the pixels for which the published weights were made"""


def a(pooled: int) -> dict[str, str]:
    """Routes of a module A; a 5x5 is kept beside (1)."""
    return {"branch1x1": "1x1:64", "branch5x5": "1x1:48 5x5:64", "branch3x3dbl": "1x1:64 3x3:96 3x3:96",
            "branch_pool": f"avg 1x1:{pooled}"}


def c(thin: int) -> dict[str, str]:
    """Routes of a module C: (2) once, and twice one behind the other."""
    return {"branch1x1": "1x1:192", "branch7x7": f"1x1:{thin} 1x7:{thin} 7x1:192",
            "branch7x7dbl": f"1x1:{thin} 7x1:{thin} 1x7:{thin} 7x1:{thin} 1x7:192", "branch_pool": "avg 1x1:192"}


def modules(blocks: tuple[int, ...] = (3, 4, 2)) -> dict[str, dict[str, str]]:
    """The routes of every module by its name, with so many of A, C and E."""
    first = {f"Mixed_5{'bcd'[k]}": a(POOLED[k]) for k in range(blocks[0])}
    second = {f"Mixed_6{'bcde'[k]}": c(THIN[k]) for k in range(blocks[1])}
    third = {f"Mixed_7{'bc'[k]}": E for k in range(blocks[2])}
    return {**first, "Mixed_6a": B, **second, "Mixed_7a": D, **third}


@final
class Auxiliary(nn.Module):
    """The classifier at 17x17: (batch, entering, 17, 17) or more -> (batch, classes).

    Of maps under 17 pixels it reads 5x5 means of equal parts, where larger ones are pooled 5x5 by 3.
    """

    def __init__(self, entering: int, classes: int, width: float = 1.0):
        super().__init__()
        self.conv0, leaving = layer("1x1:128", entering, width=width)
        self.conv1, leaving = layer("5x5v:768", leaving, width=width)
        self.fc = nn.Linear(leaving, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(x, 5, 3) if min(x.shape[2:]) >= 17 else F.adaptive_avg_pool2d(x, 5)
        return self.fc(self.conv1(self.conv0(x)).mean((2, 3)))


@final
class InceptionV3(nn.Module):
    """(batch, channels, height, width) -> (batch, classes); while training with `aux`: main and auxiliary answer."""

    def __init__(self, *, classes: int = 1000, channels: int = 3, aux: bool = True, width: float = 1.0, grow: int = 1,
                 blocks: tuple[int, ...] = (3, 4, 2), border: bool = False):
        super().__init__()
        self.grow, leaving, self.order = grow, channels, (*STEM, *modules(blocks))
        for name, text in STEM.items():
            built, leaving = layer(bordered(text) if border else text, leaving, width=width)
            self.add_module(name, built)
        self.heard = f"Mixed_6{'abcde'[blocks[1]]}"
        self.AuxLogits: nn.Module | None = None
        for name, routes in modules(blocks).items():
            texts = {route: bordered(text) if border else text for route, text in routes.items()}
            block = Routes(leaving, texts, width=width, names="flat")
            self.add_module(name, block)
            leaving = block.leaving
            if name == self.heard and aux:
                self.AuxLogits = Auxiliary(leaving, classes, width)
        self.avgpool, self.dropout, self.fc = nn.AdaptiveAvgPool2d(1), nn.Dropout(0.5), nn.Linear(leaving, classes)
        draw_he(self)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x, answer = enlarged(x, self.grow), None
        for name in self.order:
            x = self.get_submodule(name)(x)
            if self.training and self.AuxLogits is not None and name == self.heard:
                answer = self.AuxLogits(x)
        main = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        return main if answer is None else (main, answer)


def from_timm(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm's weights under our names, which differ in nothing but the classifier's place in some of its files."""
    return {name.replace("last_linear.", "fc.").replace("head.fc.", "fc."): value for name, value in state.items()}


def _network(*, aux: bool) -> InceptionV3:
    with torch.device("meta"):
        return InceptionV3(aux=aux).eval()


def parameters_while_training() -> Check:
    """Inception v3 has 27,161,264 parameters with its auxiliary classifier.

    Source: count of torchvision.models.inception_v3
    """
    return exactly(trained(_network(aux=True)), 27_161_264)


def parameters() -> Check:
    """It has 23,834,568 parameters without.

    Source: count of timm's inception_v3
    """
    return exactly(trained(_network(aux=False)), 23_834_568)


def multiplications() -> Check:
    """It makes 5,713,216,096 multiplications for one picture of 299x299.

    Source: count of torchvision.models.inception_v3; the paper says 5 billion
    """
    with torch.device("meta"):
        return exactly(products(_network(aux=False), (3, 299, 299)), 5_713_216_096)


def sides_are_35_17_and_8() -> Check:
    """A picture of 299x299 becomes 35x35, 17x17 and 8x8: together 60 rows.

    Source: Szegedy et al. 2015, table 1
    """
    network, sides = _network(aux=False), []
    for name in ("Mixed_5b", "Mixed_6a", "Mixed_7a"):
        network.get_submodule(name).register_forward_hook(lambda _module, _given, y: sides.append(y.shape[2]))
    with torch.device("meta"):
        network(torch.zeros(1, 3, 299, 299))
    return exactly(sum(sides) if sides == [35, 17, 8] else 0, 60)


def a_whole_filter_would_cost_more() -> Check:
    """With 7x7 filters in place of the 1x7 and 7x1 pairs the four modules C would have 12,511,488 weights more.

    Source: equation (2): 21 c^2 + 16,122 c for the thin widths c = 128, 160, 160, 192
    """
    with torch.device("meta"):
        thin = sum(trained(Routes(768, c(maps))) for maps in THIN)
        whole = 0
        for maps in THIN:
            routes = {"a": "1x1:192", "b": f"1x1:{maps} 7x7:192", "c": f"1x1:{maps} 7x7:{maps} 7x7:192",
                      "d": "avg 1x1:192"}
            whole += trained(Routes(768, routes))
    return exactly(whole - thin, 12_511_488)


CARD = Card(
    name="Inception v3",
    name_ja="Inception v3",
    paper="Szegedy et al. 2015, Rethinking the Inception architecture for computer vision, arXiv:1512.00567",
    equations=(
        r"5 \times 5 \rightarrow 3 \times 3,\ 3 \times 3",
        r"7 \times 7 \rightarrow 1 \times 7,\ 7 \times 1",
        r"L = L_{main} + 0.4\,L_{aux}",
        r"q_k = (1 - \epsilon)\,\delta_{k,y} + \frac{\epsilon}{K}",
    ),
    summary="Thin filters one behind the other do the work of large ones; labels are smoothed, one helper remains.",
    summary_ja="細いフィルタを続けて並べ大きなフィルタの代わりにする。ラベルは平滑化し、補助分類器は一つだけ残る。",
    topics=("vision.inception-v3",),
    facts=(
        parameters_while_training,
        parameters,
        multiplications,
        sides_are_35_17_and_8,
        a_whole_filter_would_cost_more,
    ),
    notes=(
        "In the paper, ILSVRC 2012 validation: 21.2 % top-1 and 5.6 % top-5 error with one crop; test: 3.58 %, four "
        "networks.",
        "The epsilon of its batch normalisation is 1e-3, not torch's 1e-5: with the wrong one published weights answer "
        "a little differently.",
        "There is one helper, where GoogLeNet has two. 0.4 is its weight in torchvision's training; timm leaves it out "
        "unless it is asked for.",
        "Published weights want pixels from -1 to 1. torchvision's network makes them itself from pixels of its usual "
        "mean and deviation (transform_input); here `--weights` scales the pictures so.",
        "The network of FID scores is a third variant: 1008 classes and average pooling that leaves the border out.",
        "Pictures need 75 pixels: `grow` repeats the pixels of smaller ones, `border` gives every layer a border. At "
        "17x17 the helper is the paper's; smaller maps it reads in 5x5 parts.",
    ),
    notes_ja=(
        "論文のILSVRC 2012検証データの誤り率は、1クロップで top-1 21.2 %、top-5 5.6 %。"
        "テストは4個のネットワークで 3.58 %。",
        "バッチ正規化のεはtorchの 1e-5 ではなく 1e-3 である。間違えると公開された重みの答えが少しずれる。",
        "補助分類器は一つで、GoogLeNetには二つある。0.4 はtorchvisionの訓練での重みで、timmは頼まなければ置かない。",
        "公開された重みは -1 から 1 の画素を求める。torchvisionのネットワークは、通常の平均と標準偏差に揃えた画素から"
        "自分で作り直す (transform_input)。ここでは --weights が画像をそのように揃える。",
        "FIDの計算に使うのは第三の変種である。1008クラスで、平均プーリングは縁を数えない。",
        "画像は 75 画素必要で、小さい画像は grow で画素を繰り返すか、border で全層に縁を付ける。"
        "補助分類器は 17x17 なら論文どおりで、より小さいマップは 5x5 に分けて読む。",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup(Bordered):
    """What can be chosen."""

    aux: bool = True
    """one more classifier in the middle while training"""
    share: float = 0.4
    """weight of its loss"""
    blocks: tuple[int, ...] = (3, 4, 2)
    """how many modules A, C and E; published: 3,4,2"""


VARIANTS = {
    "smoke": Setup(width=0.03125, blocks=(1, 1, 0), border=True, epochs=1, batch_size=32, augment=False),
    "default": Setup(width=0.25, blocks=(1, 2, 1), border=True, grow=2, epochs=12),
    "cifar10": Setup(data="cifar10", border=True, grow=2, epochs=30, batch_size=128, optimiser="sgd", lr=0.1),
}


def build(setup: Setup, place: Place = Place()) -> Supervised:  # noqa: B008 - a frozen value
    """The training program; images whose grown sides have 75 pixels or more."""
    in_range(setup, ("width", "grow"), ("share",))
    if len(setup.blocks) != 3 or any(not 0 <= n <= most for n, most in zip(setup.blocks, (3, 4, 2), strict=True)):
        raise UserError("blocks", f"{','.join(map(str, setup.blocks))} are not numbers of A, C and E",
                        "give three numbers from 0,0,0 to 3,4,2")
    program = recognise(setup, place, lambda about: InceptionV3(
        classes=len(about.classes), channels=about.shape[0], aux=setup.aux, width=setup.width, grow=setup.grow,
        blocks=setup.blocks, border=setup.border), smallest=smallest(setup))
    program.task = replace(program.task, objective=partial(supervise, setup.share, setup.label_smoothing))
    return program
