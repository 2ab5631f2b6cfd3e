r"""LeNet-5, the convolutional network that read the cheques (LeCun, Bottou, Bengio, Haffner 1998).

Local receptive fields, shared weights and sub-sampling make a digit's small shifts matter less from layer to layer:
32x32 image -> C1 6@28 -> S2 6@14 -> C3 16@10 -> S4 16@5 -> C5 120 -> F6 84 -> ten outputs. The form of 1998:

    f(a) = 1.7159 tanh(2a/3)                                                                       (1)
    S:   x = f(w * (sum of 2x2) + b), one w and b per map                                          (2)
    RBF: y_i = sum_j (x_j - w_ij)^2, w_i a drawing of class i, 7x12 pixels of +-1, not trained     (3)
    loss = y_d + log(e^{-j} + sum_i e^{-y_i})                                                      (4)

The surprise: its C3 is not connected to all maps of S2. A table gives each of its 16 maps 3, 4 or 6 of the 6 inputs,
which breaks the symmetry between maps and makes the trainable parameters 60,000 exactly. The form that textbooks call
LeNet-5 today (`modern`) has dense C3, ReLU, max pooling and a softmax: 61,706. Caffe's example (`caffe`) is wider.

The paper trains with stochastic diagonal Levenberg-Marquardt; here Adam does it. The ten 7x12 drawings are this file's
own, in the paper's format.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast, final

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.seed import drawing_from
from shinso.core.setup import in_range
from shinso.data.augment import usual
from shinso.data.examples import Description, open_data
from shinso.kernels.conv_pool import conv_relu_pool
from shinso.learn.choices import FUSED, SCHEDULES, optimiser
from shinso.learn.classify import CLASSIFY
from shinso.learn.supervised import Batch, Plan, Supervised
from shinso.vision._cost import connections, products, trained

# Which maps of S2 feed each map of C3: table I of the paper.
C3_TABLE = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5),
)  # fmt: skip

# The paper's grey scale: paper -0.1, ink 1.175, so that mean and variance are near 0 and 1.
BACKGROUND, INK = -0.1, 1.175

DRAWINGS = (
    ".#####. ##...## ##..### ##.#### ##.#.## ###..## ###..## ##...## ##...## ##...## .#####. .......",
    "...##.. ..###.. .####.. ...##.. ...##.. ...##.. ...##.. ...##.. ...##.. .###### .###### .......",
    ".#####. ##...## .....## .....## ....##. ...##.. ..##... .##.... ##..... ##..... ####### .......",
    "####### .....## ....##. ...##.. ..####. .....## .....## .....## .....## ##...## .#####. .......",
    "....##. ...###. ..####. .##.##. ##..##. ##..##. ####### ####### ....##. ....##. ....##. .......",
    "####### ##..... ##..... ##..... ######. .....## .....## .....## .....## ##...## .#####. .......",
    "..####. .##.... ##..... ##..... ######. ##...## ##...## ##...## ##...## ##...## .#####. .......",
    "####### .....## .....## ....##. ....##. ...##.. ...##.. ..##... ..##... ..##... ..##... .......",
    ".#####. ##...## ##...## ##...## .#####. ##...## ##...## ##...## ##...## ##...## .#####. .......",
    ".#####. ##...## ##...## ##...## ##...## .###### .....## .....## .....## ....##. .####.. .......",
)


class Squash(nn.Module):
    """f of (1): f(1) = 1 and f(-1) = -1 to five digits, largest curvature there."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * (2 / 3))


@final
class Subsample(nn.Module):
    """(2): (batch, maps, height, width) -> half the height and width; two parameters per map."""

    def __init__(self, maps: int):
        super().__init__()
        self.weight = nn.Parameter(torch.full((maps,), 0.25))
        self.bias = nn.Parameter(torch.zeros(maps))
        self.squash = Squash()

    def forward(self, x: Tensor) -> Tensor:
        summed = 4 * F.avg_pool2d(x, 2)
        return self.squash(summed * self.weight[:, None, None] + self.bias[:, None, None])  # (2)

    def connections_of(self, output: Tensor) -> int:
        """Four inputs and a bias for every output."""
        return output[0].numel() * 5


@final
class TableConv(nn.Module):
    """A 5x5 convolution whose output map k sees only the input maps that row k of `table` names."""

    rows: Tensor
    columns: Tensor

    def __init__(self, table: Sequence[Sequence[int]], maps: int):
        super().__init__()
        self.shape = (len(table), maps, 5, 5)
        links = [(k, source) for k, row in enumerate(table) for source in row]
        self.register_buffer("rows", torch.tensor([k for k, _ in links]), persistent=False)
        self.register_buffer("columns", torch.tensor([source for _, source in links]), persistent=False)
        self.weight = nn.Parameter(torch.empty(len(links), 5, 5))
        self.bias = nn.Parameter(torch.zeros(len(table)))
        for (k, _), kernel in zip(links, self.weight, strict=True):
            nn.init.uniform_(kernel, -2.4 / (25 * len(table[k])), 2.4 / (25 * len(table[k])))

    def forward(self, x: Tensor) -> Tensor:
        dense = self.weight.new_zeros(self.shape).index_put((self.rows, self.columns), self.weight)
        return F.conv2d(x, dense, self.bias)

    def connections_of(self, output: Tensor) -> int:
        """Only the links of the table count."""
        return (self.weight.numel() + self.bias.numel()) * output[0, 0].numel()


@final
class Codes(nn.Module):
    """(3), negated so that the largest output is the answer: (batch, 84) -> (batch, 10). Nothing here is trained."""

    codes: Tensor

    def __init__(self) -> None:
        super().__init__()
        ink = [[1.0 if dot == "#" else -1.0 for dot in drawing.replace(" ", "")] for drawing in DRAWINGS]
        self.register_buffer("codes", torch.tensor(ink))

    def forward(self, x: Tensor) -> Tensor:
        return -(x[:, None] - self.codes).square().sum(2)

    def connections_of(self, output: Tensor) -> int:
        """Fixed, but counted by the paper."""
        return self.codes.numel()


@final
class ConvPool(nn.Module):
    """5x5 convolution, ReLU and 2x2 max pooling in one pass; parameters as in nn.Conv2d."""

    def __init__(self, channels: int, maps: int, padding: int):
        super().__init__()
        conv = nn.Conv2d(channels, maps, 5)
        self.weight, self.padding = conv.weight, padding
        self.bias = nn.Parameter(cast(Tensor, conv.bias).detach())

    def forward(self, x: Tensor) -> Tensor:
        return conv_relu_pool(x, self.weight, self.bias, self.padding)


def original() -> nn.Sequential:
    """The network of 1998 for (batch, 1, 28, 28), framed to the paper's 32x32."""
    network = nn.Sequential()
    network.add_module("frame", nn.ConstantPad2d(2, BACKGROUND))
    network.add_module("C1", nn.Conv2d(1, 6, 5))
    network.add_module("f1", Squash())
    network.add_module("S2", Subsample(6))
    network.add_module("C3", TableConv(C3_TABLE, 6))
    network.add_module("f3", Squash())
    network.add_module("S4", Subsample(16))
    network.add_module("C5", nn.Conv2d(16, 120, 5))
    network.add_module("f5", Squash())
    network.add_module("flat", nn.Flatten())
    network.add_module("F6", nn.Linear(120, 84))
    network.add_module("f6", Squash())
    network.add_module("output", Codes())
    for name in ("C1", "C5", "F6"):
        layer = network.get_submodule(name)
        assert isinstance(layer, (nn.Conv2d, nn.Linear)) and layer.bias is not None  # noqa: S101 - for the type checker
        inputs = layer.weight[0].numel()
        nn.init.uniform_(layer.weight, -2.4 / inputs, 2.4 / inputs)
        nn.init.zeros_(layer.bias)
    return network


def modern(shape: Sequence[int] = (1, 28, 28), classes: int = 10) -> nn.Sequential:
    """Today's textbook form for (batch, *shape): dense C3, ReLU, max pooling, linear output."""
    channels, height, width = shape
    features = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
    return nn.Sequential(
        ConvPool(channels, 6, padding=2), ConvPool(6, 16, padding=0), nn.Flatten(),
        nn.Linear(features, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes),
    )  # fmt: skip


def caffe(shape: Sequence[int] = (1, 28, 28), classes: int = 10) -> nn.Sequential:
    """Caffe's example: 20 and 50 maps without ReLU after the convolutions, one hidden layer of 500."""
    channels, height, width = shape
    features = 50 * (((height - 4) // 2 - 4) // 2) * (((width - 4) // 2 - 4) // 2)
    return nn.Sequential(
        nn.Conv2d(channels, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(features, 500), nn.ReLU(), nn.Linear(500, classes),
    )  # fmt: skip


def discriminative(model: nn.Module, batch: Batch, noise: Generator) -> dict[str, Tensor]:
    """(4), the maximum a posteriori criterion: the right penalty down, all others and a rubbish class up."""
    inputs, targets = batch
    scores = model(inputs).float()
    rubbish = scores.new_full((len(scores), 1), -1.0)
    return {"loss": F.cross_entropy(torch.cat([scores, rubbish], 1), targets)}


def original_parameters() -> Check:
    """LeNet-5 of 1998 has 60,000 trainable parameters.

    Source: LeCun et al. 1998, section II.B
    """
    return exactly(trained(original()), 60_000)


def original_connections() -> Check:
    """It has 340,908 connections: every product and every bias, output by output.

    Source: LeCun et al. 1998, section II.B
    """
    return exactly(sum(connections(original(), (1, 28, 28)).values()), 340_908)


def c3_links() -> Check:
    """Table I joins 60 of the 96 pairs of S2 and C3 maps, which gives C3 its 1,516 parameters.

    Source: LeCun et al. 1998, table I
    """
    return exactly(trained(original().get_submodule("C3")), 1_516)


def modern_parameters() -> Check:
    """The textbook form has 61,706 parameters.

    Source: count of the form in textbooks (dense C3: 2,416 instead of 1,516, output layer 850)
    """
    return exactly(trained(modern()), 61_706)


def modern_products() -> Check:
    """The textbook form makes 416,520 multiplications for one 28x28 image.

    Source: layer table (C1 117,600, C3 240,000, 48,000 + 10,080 + 840)
    """
    return exactly(products(modern(), (1, 28, 28)), 416_520)


def caffe_parameters() -> Check:
    """Caffe's example of the same name has 431,080 parameters.

    Source: the example's layer table, 20 and 50 maps and 500 hidden units
    """
    return exactly(trained(caffe()), 431_080)


def caffe_products() -> Check:
    """Caffe's example makes 2,293,000 multiplications for one 28x28 image.

    Source: the example's layer table
    """
    return exactly(products(caffe(), (1, 28, 28)), 2_293_000)


def squash_is_one_at_one() -> Check:
    """f(1) = 1 and f(-1) = -1 to the five digits of its constant 1.7159.

    Source: LeCun et al. 1998, appendix A
    """
    x = torch.tensor([1.0, -1.0], dtype=torch.float64)
    return at_most(float((Squash()(x) - x).abs().max()), 5e-6)


def subsampling_contains_averaging() -> Check:
    """With coefficient 1/4 and bias 0, sub-sampling is f of average pooling.

    Source: equation (2)
    """
    x = torch.randn(2, 6, 28, 28, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    difference = Subsample(6).double()(x) - Squash()(F.avg_pool2d(x, 2))
    return at_most(float(difference.detach().abs().max()), 1e-14)


def codes_are_distances() -> Check:
    """The output for class i is minus the squared distance to drawing i.

    Source: LeCun et al. 1998, equation (7)
    """
    x = torch.randn(5, 84, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    layer = Codes().double()
    slow = [[-sum((a - b) ** 2 for a, b in zip(row, code, strict=True)) for code in layer.codes.tolist()]
            for row in x.tolist()]
    return at_most(float((layer(x) - torch.tensor(slow, dtype=torch.float64)).abs().max()), 1e-10)


CARD = Card(
    name="LeNet-5",
    name_ja="LeNet-5",
    paper="LeCun, Bottou, Bengio, Haffner 1998, Gradient-based learning applied to document recognition, Proc. IEEE 86",
    equations=(
        r"f(a) = 1.7159 \tanh\left(\frac{2}{3} a\right)",
        r"x = f\left(w \sum_{2 \times 2} x' + b\right)",
        r"y_i = \sum_j (x_j - w_{ij})^2",
        r"E = y_d + \log\left(e^{-j} + \sum_i e^{-y_i}\right)",
    ),
    summary="Shared weights and sub-sampling read handwritten digits; the ancestor of every image network.",
    summary_ja="重みを共有する畳み込みとサブサンプリングで手書き数字を読む、画像ネットワークの祖先。",
    topics=("vision.lenet5-original", "vision.lenet5-modern", "vision.lenet-caffe"),
    facts=(original_parameters, original_connections, c3_links, modern_parameters, modern_products, caffe_parameters,
           caffe_products, squash_is_one_at_one, subsampling_contains_averaging, codes_are_distances),
    notes=(
        "The paper counts seven layers (C1, S2, C3, S4, C5, F6, output), not six; C5 is a convolution with 1x1 output.",
        "The activation of 1998 is a scaled tanh and the pooling is trained; ReLU and max pooling came later.",
        "In the paper: 0.95 percent errors on the 10,000 test digits of MNIST, 0.8 with distorted digits for training.",
        "What Keras and many others call LeNet is Caffe's example, seven times as large and not the network of 1998.",
        "In 1998 paper is -0.1 and ink 1.175, and ten codes answer by distances; a dense C3 (2,416 parameters instead "
        "of 1,516) and a softmax (850) are today's.",
    ),
    notes_ja=(
        "論文の数え方は六層ではなく七層(C1, S2, C3, S4, C5, F6, 出力)。C5は出力が1x1になる畳み込み層である。",
        "1998年の活性化関数はスケールしたtanhで、プーリングにも学習パラメータがある。ReLUと最大プーリングは後年のもの。",
        "論文では、MNISTのテスト用10,000字での誤り率は 0.95 %、歪めた数字も学習すると 0.8 % であった。",
        "KerasなどでLeNetと呼ばれるものはCaffeの例で、七倍大きく、1998年のネットワークではない。",
        "1998年の入力は紙が -0.1、インクが 1.175 で、出力は十個の図柄との距離である。密結合のC3 (パラメータは"
        " 1,516 ではなく 2,416) とソフトマックス (850) は今日の形。",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What can be chosen."""

    data: str = "digits"
    """data set: digits, mnist, fashion-mnist, cifar10, folder:PATH"""
    form: Literal["modern", "original", "caffe"] = "modern"
    """which LeNet-5: today's textbook form, that of 1998, or Caffe's"""
    epochs: int | None = None
    """passes over the training part; none: at least 8 passes and 100,000 examples"""
    batch_size: int = 64
    """examples per step"""
    optimiser: str = "adam"
    """update rule: the name of any method in shinso.optim, for example sgd, adam, adamw, lion, muon"""
    lr: float = 0.003
    """largest learning rate"""
    schedule: Literal["constant", "step", "cosine", "one_cycle", "warm_up"] = "one_cycle"
    """course of the learning rate; one_cycle rises for a quarter of the run, warm_up for a tenth, before a cosine"""
    ema: float | None = None
    """decay of averaged weights, for example 0.999, which are then what is evaluated and exported; none: no average"""
    augment: bool = True
    """change the training images a little, a new way every time: bend and shift writing, mirror and shift pictures"""
    patience: int = 0
    """evaluations without improvement before stopping early; 0: never"""
    seed: int = 0
    """of the first weights, the order and the augmentation"""


VARIANTS = {
    "smoke": Setup(epochs=1, batch_size=32, augment=False),
    "default": Setup(),
    "original": Setup(form="original", lr=0.002),
    "mnist": Setup(data="mnist", batch_size=128),
    "caffe": Setup(data="mnist", form="caffe", batch_size=128, lr=0.002),
}


def build(setup: Setup, place: Place = Place()) -> Supervised:  # noqa: B008 - a frozen value
    """The training program; images of any size from 12x12 for `modern` and `caffe`, 1x28x28 for `original`."""
    in_range(setup, ("epochs", "batch_size", "lr"))
    data = open_data(setup.data)
    if len(data.about.shape) != 3 or min(data.about.shape[1:]) < 12:
        raise UserError(f"data '{setup.data}'", "this network reads images of at least 12x12",
                        "use digits, mnist or folder:PATH")
    task = CLASSIFY
    if setup.form == "original":
        if data.about.shape != (1, 28, 28) or len(data.about.classes) != 10:
            raise UserError(f"data '{setup.data}'", "LeNet-5 of 1998 reads ten classes of grey 28x28 images",
                            "use digits, mnist or fashion-mnist, or --form modern")
        scale = INK - BACKGROUND
        data = replace(data, about=replace(data.about, mean=(-BACKGROUND / scale,), std=(1 / scale,)))
        task = replace(CLASSIFY, objective=discriminative)
    with drawing_from(setup.seed, "weights"):
        network = _network(setup.form, data.about).to(place.device)
    epochs = setup.epochs or max(8, round(100_000 / max(1, len(data.train))))
    augment = usual(data.about, setup.seed) if setup.augment else None
    plan = Plan(epochs=epochs, batch_size=setup.batch_size, seed=setup.seed, schedule=SCHEDULES[setup.schedule],
                ema=setup.ema, closure=setup.optimiser not in FUSED, augment=augment)
    return Supervised(network, optimiser(setup.optimiser, network, setup.lr, place.device), task, data, plan, place)


def _network(form: str, about: Description) -> nn.Sequential:
    if form == "original":
        return original()
    return {"modern": modern, "caffe": caffe}[form](about.shape, len(about.classes))
