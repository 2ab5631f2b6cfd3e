r"""Residual networks for CIFAR-10, 20 to 1202 layers, also of stochastic depth (He et al. 2015; Huang et al. 2016).

One 3x3 convolution, then three stages of n basic blocks with 16, 32, 64 maps on 32, 16, 8 pixels a side, the mean over
all places, one linear layer:

    layers = 6n + 2                                                                                (1)
    h_l = max(s(h_{l-1}) + f_l(h_{l-1}), 0)                                                        (2)
    h_l = max(s(h_{l-1}) + b_l f_l(h_{l-1}), 0),   b_l = 1 with probability p_l, else 0            (3)
    p_l = 1 - l/L (1 - p_L)                                                                        (4)
    h_l = max(s(h_{l-1}) + p_l f_l(h_{l-1}), 0)    when asked                                      (5)

`shortcuts="none"` makes the plain net of the same layers, (2) without s. The surprise: in the paper the plain net of 56
layers has a larger error on its own training pictures than that of 20, so depth hurt before it helped, and not by
overfitting; with shortcuts the order turns round. But 1202 layers do worse than 110: 7.93 % against 6.43 %.

With stochastic depth (3) a quarter of the work is not done: L = 54 blocks are 40.25 on the average. p is a chance to
live; whole batches skip a block, as in the paper, and (5) scales f by it when testing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from math import prod
from typing import Literal, cast, final

import torch
from torch import Generator, Tensor, nn

from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.seed import drawing_from, generator
from shinso.core.setup import in_range
from shinso.data.examples import open_data, to_float
from shinso.learn.recognise import Recognition, recognise
from shinso.learn.supervised import Batch, Supervised
from shinso.nn.residual_block import Basic, Shortcuts, conv, draw_weights
from shinso.vision._cost import products, trained

Objective = Callable[[nn.Module, Batch, Generator], Mapping[str, Tensor]]


@final
class CifarResNet(nn.Module):
    """(batch, channels, height, width) -> (batch, classes), any image of at least 8x8 pixels."""

    def __init__(self, depth: int = 20, *, classes: int = 10, channels: int = 3, shortcuts: Shortcuts = "A",
                 width: int = 16, last: float = 1.0):
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            raise UserError("depth", f"{depth} is not 6n + 2 layers", "give 20, 32, 44, 56, 110 or 1202")  # (1)
        self.conv1, self.bn1, self.relu = conv(channels, width, 3), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        entering = width
        for stage in range(3):
            first = Basic(entering, width << stage, 2 if stage else 1, shortcuts=shortcuts)
            entering = width << stage
            rest = (Basic(entering, entering, shortcuts=shortcuts) for _ in range(depth // 6 - 1))
            self.add_module(f"layer{stage + 1}", nn.Sequential(first, *rest))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(entering, classes)
        number = depth // 6 * 3
        self.chances = [1 - k / number * (1 - last) for k in range(1, number + 1)]  # (4)
        self.live = [1.0] * number
        draw_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu(self.bn1(self.conv1(x)))
        for block, weight in zip(self.blocks(), self.live if self.training else self.chances, strict=True):
            h = block(h, weight)  # (3) or (5)
        return self.fc(self.avgpool(h).flatten(1))

    def blocks(self) -> list[Basic]:
        """All of them, from the input on."""
        return [block for block in self.modules() if isinstance(block, Basic)]

    def draw(self, noise: Generator) -> None:
        """Which blocks live in the next pass in training mode."""
        drawn = torch.rand(len(self.chances), generator=noise, device=noise.device).tolist()
        self.live = [float(chance > u) for chance, u in zip(self.chances, drawn, strict=True)]


def shortened(objective: Objective, model: nn.Module, batch: Batch, noise: Generator) -> Mapping[str, Tensor]:
    """`objective` of the network with the blocks that live this time, the same for the whole batch.

    The gradient of a cut block is 0, not absent, so that momentum and decay treat all weights alike.
    """
    net = cast(CifarResNet, model)
    net.draw(noise)
    for block, live in zip(net.blocks(), net.live, strict=True):
        for weight in () if live else block.parameters():
            weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
    return objective(model, batch, noise)


def parameters(depth: int, shortcuts: Shortcuts = "A") -> int:
    """Trained parameters for ten classes."""
    with torch.device("meta"):
        return trained(CifarResNet(depth, shortcuts=shortcuts))


def work(depth: int) -> int:
    """Products for one picture of 32x32."""
    with torch.device("meta"):
        return products(CifarResNet(depth), (3, 32, 32))


def _gradients(depth: int, shortcuts: Shortcuts, start: int = 0) -> float:
    """Gradient norm of the first convolution over that of the last: a new net of half the width reads 16 digits."""
    with drawing_from(start, "weights"):
        net = CifarResNet(depth, channels=1, shortcuts=shortcuts, width=8)
    data = open_data("digits:8x8")
    x = to_float(data.train.pick(torch.arange(16)), data.about)
    nn.functional.cross_entropy(net(x), torch.tensor([int(data.train[i][1]) for i in range(16)])).backward()
    norms = [float(cast(Tensor, layer.weight.grad).norm()) for layer in (net.conv1, net.blocks()[-1].conv2)]
    return norms[0] / norms[1]


def parameters_20() -> Check:
    """ResNet-20 with shortcuts A has 269,722 parameters.

    Source: He et al. 2015, section 4.2: 0.27M
    """
    return exactly(parameters(20), 269_722)


def parameters_20_b() -> Check:
    """ResNet-20 with shortcuts B has 272,474.

    Source: two projections of 1x1: 16 x 32 + 64 and 32 x 64 + 128
    """
    return exactly(parameters(20, "B"), 272_474)


def parameters_32() -> Check:
    """ResNet-32 has 464,154 parameters.

    Source: He et al. 2015, table 6: 0.46M
    """
    return exactly(parameters(32), 464_154)


def parameters_44() -> Check:
    """ResNet-44 has 658,586 parameters.

    Source: He et al. 2015, table 6: 0.66M
    """
    return exactly(parameters(44), 658_586)


def parameters_56() -> Check:
    """ResNet-56 has 853,018 parameters, and the plain net of 56 layers as many.

    Source: He et al. 2015, table 6: 0.85M; shortcuts A have none
    """
    with_and_without = {parameters(56), parameters(56, "none")}
    return exactly(max(with_and_without) if len(with_and_without) == 1 else -1, 853_018)


def parameters_110() -> Check:
    """ResNet-110 has 1,727,962 parameters.

    Source: He et al. 2015, table 6: 1.7M
    """
    return exactly(parameters(110), 1_727_962)


def parameters_1202() -> Check:
    """ResNet-1202 has 19,421,274 parameters.

    Source: He et al. 2015, table 6: 19.4M
    """
    return exactly(parameters(1202), 19_421_274)


def products_20() -> Check:
    """ResNet-20 makes 40,551,040 multiplications for one 32x32 picture.

    Source: layer table of equation (1) with n = 3
    """
    return exactly(work(20), 40_551_040)


def products_110() -> Check:
    """ResNet-110 makes 252,887,680.

    Source: layer table of equation (1) with n = 18
    """
    return exactly(work(110), 252_887_680)


def with_shortcuts_the_gradient_is_even() -> Check:
    """For digits in a new ResNet of 56 layers the first layer's gradient is 1 to 50 times the last's.

    Source: He et al. 2016, equation (5): each contains the last one unchanged; measured from three starts, 8 to 14
    """
    return Check(_gradients(56, "A"), 1.0, 50.0)


def without_it_explodes() -> Check:
    """In the plain net of 56 layers it is over 500 times as large: with normalisation it explodes, it does not vanish.

    Source: He et al. 2015, section 4.1; Yang et al. 2019, arXiv:1902.08129; measured from three starts, 1,600 to 4,500
    """
    return at_least(_gradients(56, "none"), 500.0)


def the_depth_that_lives() -> Check:
    """Over 1,000 draws the number of live blocks of ResNet-110 is 40.25 within 0.5 on the average.

    Source: Huang et al. 2016, section 3: (3L - 1)/4 for L = 54
    """
    with torch.device("meta"):
        net = CifarResNet(110, last=0.5)
    noise, lived = generator(0, "live"), 0.0
    for _ in range(1000):
        net.draw(noise)
        lived += sum(net.live)
    return Check(lived / 1000, 39.75, 40.75)


def each_block_dies_as_often_as_it_should() -> Check:
    """In 1,000 draws no block of 54 is cut more or less often than 1 - p_l by over 4 standard errors.

    Source: equation (4)
    """
    with torch.device("meta"):
        net = CifarResNet(110, last=0.5)
    noise, died = generator(0, "live"), torch.zeros(54)
    for _ in range(1000):
        net.draw(noise)
        died += 1 - torch.tensor(net.live)
    p = torch.tensor(net.chances)
    return at_most(float(((died / 1000 - (1 - p)) / (p * (1 - p) / 1000).sqrt()).abs().max()), 4.0)


def asking_is_the_mean_of_training() -> Check:
    """Where nothing bends, the mean over all choices of three live blocks, by their chances, is (5) to 1e-12.

    Source: Huang et al. 2016, equation (5)
    """
    with drawing_from(0, "linear"):
        net = CifarResNet(8, width=4, last=0.5).double()
    for part in (net, *net.blocks()):
        for name, layer in list(part.named_children()):
            if isinstance(layer, nn.BatchNorm2d):
                part.add_module(name, nn.Identity())
    x, mean = torch.rand(2, 3, 8, 8, generator=generator(0, "x"), dtype=torch.float64), 0.0
    with torch.no_grad():
        for weight in net.parameters():
            weight.abs_()  # so that no maximum bends anything
        for live in product((0.0, 1.0), repeat=3):
            net.live = list(live)
            mean = mean + net(x) * prod(p if b else 1 - p for p, b in zip(net.chances, live, strict=True))
        asked = net.eval()(x)
    return at_most(float((mean / asked - 1).abs().max()), 1e-12)


def a_cut_block_learns_nothing() -> Check:
    """The gradient of a cut block is 0, that of a live one is not: blocks for which this is wrong, 0.

    Source: equation (3) with b_l = 0
    """
    with drawing_from(0, "cut"):
        net = CifarResNet(20, width=4, last=0.5)
    x = torch.randn(4, 3, 8, 8, generator=generator(0, "x"))
    terms = shortened(lambda model, batch, _: {"sum": model(batch[0]).sum()}, net, (x, x), generator(1, "cut"))
    terms["sum"].backward()
    there = [bool(cast(Tensor, block.conv1.weight.grad).any()) for block in net.blocks()]
    wrong = sum(bool(live) != found for live, found in zip(net.live, there, strict=True))
    return exactly(wrong if 0 < sum(net.live) < 9 else 9, 0)


CARD = Card(
    name="ResNet for CIFAR",
    name_ja="CIFAR用ResNet",
    paper="He, Zhang, Ren, Sun 2015, arXiv:1512.03385, section 4.2; Huang et al. 2016, arXiv:1603.09382",
    equations=(
        r"\mathrm{layers} = 6n + 2",
        r"h_l = \max(s(h_{l-1}) + f_l(h_{l-1}), 0)",
        r"h_l = \max(s(h_{l-1}) + b_l f_l(h_{l-1}), 0)",
        r"p_l = 1 - \frac{l}{L}(1 - p_L)",
        r"h_l = \max(s(h_{l-1}) + p_l f_l(h_{l-1}), 0)",
    ),
    summary="Residual networks for small pictures, 20 to 1202 layers, whole or with blocks cut at random in training.",
    summary_ja="小さな画像のための20層から1202層の残差ネットワーク。訓練中にブロックをランダムに省くこともできる。",
    topics=("vision.cifar-resnet", "vision.plain-net", "vision.stochastic-depth-net", "vision.part.stochastic-depth"),
    facts=(
        parameters_20, parameters_20_b, parameters_32, parameters_44, parameters_56, parameters_110, parameters_1202,
        products_20, products_110, with_shortcuts_the_gradient_is_even, without_it_explodes, the_depth_that_lives,
        each_block_dies_as_often_as_it_should, asking_is_the_mean_of_training, a_cut_block_learns_nothing,
    ),
    notes=(
        "The documents say that plain deep nets fail because gradients vanish. With batch normalisation they do not, "
        "as the paper writes: here they explode at the first layers of a new plain net.",
        "Errors in the papers on CIFAR-10: 8.75 (20 layers), 7.51 (32), 7.17 (44), 6.97 (56), 6.43 (110), 7.93 (1202); "
        "with stochastic depth 5.23 (110; 6.41 without in that paper) and 4.91 (1202). More layers alone are no gain.",
        "p is the chance to survive, not to be cut. Other libraries divide by p in training instead of (5), and cut "
        "single examples rather than whole batches.",
        "The first 7x7 convolution and pooling of the ImageNet networks are wrong for 32x32.",
    ),
    notes_ja=(
        "資料は、深い素のネットワークが失敗するのは勾配消失のためだとする。論文の言うとおり、バッチ正規化があれば勾配は消えない。"
        "ここでは逆に、初期の素のネットワークの最初の層で勾配が爆発する。",
        "論文のCIFAR-10誤り率 (%): 8.75 (20層)、7.51 (32)、7.17 (44)、6.97 (56)、6.43 (110)、7.93 (1202)。"
        "確率的深さでは 5.23 (110層。同じ論文で確率的深さなしは 6.41) と 4.91 (1202)。層を増やすだけでは良くならない。",
        "p は省かれる確率ではなく生き残る確率である。ほかのライブラリは (5) の代わりに訓練時に p で割り、"
        "バッチ全体ではなく事例ごとに省く。",
        "ImageNet用の最初の 7x7 畳み込みとプーリングは、32x32 の画像には合わない。",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup(Recognition):
    """What can be chosen."""

    depth: int = 20
    """layers, 6n + 2: 20, 32, 44, 56, 110, 1202 in the papers"""
    shortcuts: Literal["A", "B", "C", "none"] = "A"
    """A: zeros for new channels; B: 1x1 convolution where the shape changes; C: everywhere; none: a plain net"""
    width: int = 16
    """maps of the first stage; the next ones have 2 and 4 times as many"""
    last: float = 1.0
    """chance of the last block to live in a training step, p_L of (4); 1: constant depth, 0.5 in the paper"""
    epochs: int = 8
    weight_decay: float = 1e-4


VARIANTS = {
    "smoke": Setup(depth=8, width=4, epochs=1, batch_size=32, augment=False),
    "default": Setup(width=8, batch_size=32, lr=0.05),
    "cifar10": Setup(data="cifar10", epochs=10, lr=0.2, weight_decay=5e-4),
    "resnet110": Setup(data="cifar10", depth=110, epochs=164, schedule="step"),
    "stochastic": Setup(data="cifar10", depth=110, last=0.5, epochs=500, schedule="step"),
    "stochastic_1202": Setup(data="cifar10", depth=1202, last=0.5, epochs=300, schedule="step"),
    "plain": Setup(width=8, depth=56, shortcuts="none", batch_size=32, lr=0.05),
}


def build(setup: Setup, place: Place = Place()) -> Supervised:  # noqa: B008 - a frozen value
    """The training program; images of any size from 8x8."""
    in_range(setup, ("width", "last"), ("last",))
    if setup.last < 1 and setup.shortcuts == "none":
        raise UserError("last", "a plain net has no way around a block", "choose shortcuts A, B or C, or --last 1")

    program = recognise(setup, place if setup.last == 1 else replace(place, compile=False), lambda about: CifarResNet(
        setup.depth, classes=len(about.classes), channels=about.shape[0], shortcuts=setup.shortcuts, width=setup.width,
        last=setup.last), smallest=8)
    if setup.last < 1:
        program.task = replace(program.task, objective=partial(shortened, program.task.objective))
    return program
