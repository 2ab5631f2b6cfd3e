r"""The zip-code network: back-propagation meets shared weights (LeCun, Boser, Denker, Henderson, Howard et al. 1989).

16x16 picture in -1..1 -> H1 12 maps of 8x8 -> H2 12 maps of 4x4 -> H3 30 -> ten outputs:

    f(a) = 1.7159 tanh(2a/3)                                                                       (1)
    H1, H2:  x_kp = f(sum over m in T_k, q in 5x5 of w_kmq x_m,2p+q + b_kp)                        (2)
    outside of the picture and of H1:  x = -1, the background                                      (3)
    E = 1/2 mean over outputs of (x_i - t_i)^2,   t_i = 1 for the digit, -1 else                   (4)

The surprise: a kernel is shared by all 64 places of a map, its bias is not - every unit has one of its own, so that a
map may be shy near the border. 768 and 192 biases are a tenth of the 9,760 parameters; copies of this network that
share them have 8,824. T_k is a table: each map of H2 sees 8 of the 12 of H1; the paper keeps its scheme to itself, here
they are k, k + 1, ..., k + 7, round and round. The paper trains pattern by pattern with a diagonal Newton method; here
any method of shinso.optim does it. The digits come from any data set, cut out and shrunk to 16x16.
"""

from dataclasses import dataclass, replace
from typing import Literal, cast, final

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.place import Place
from shinso.core.seed import drawing_from
from shinso.data.examples import Description
from shinso.learn.recognise import Recognition, recognise
from shinso.learn.supervised import Batch, Supervised
from shinso.vision._cost import connections, trained
from shinso.vision.lenet import Squash

BACKGROUND, SIDE, FRAME = -1.0, 16, 1 / 7
TABLE = tuple(tuple((k + step) % 12 for step in range(8)) for k in range(12))
"""which maps of H1 each map of H2 sees"""


@final
class Retina(nn.Module):
    """Normalised pictures of any size and colour -> (batch, 1, 16, 16) in -1..1.

    Of a frame like MNIST's, a seventh of the side all around, nothing is kept: in 16x16 a digit fills the picture.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, about: Description):
        super().__init__()
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(about, name))[:, None, None], persistent=False)
        frame = FRAME if about.form == "handwriting" else 0
        self.cut = [round(frame * side) for side in about.shape[1:]]

    def forward(self, x: Tensor) -> Tensor:
        down, right = self.cut
        ink = (x * self.std + self.mean).mean(1, keepdim=True)
        ink = ink[:, :, down : x.shape[2] - down, right : x.shape[3] - right]
        if ink.shape[2:] != (SIDE, SIDE):
            ink = F.interpolate(ink, (SIDE, SIDE), mode="bilinear", antialias=True)
        return 2 * ink - 1


@final
class Unshared(nn.Module):
    """(2) before f, with (3): (batch, maps, 2s, 2s) -> (batch, rows of the table, s, s).

    `bias` is (rows, s, s), or (rows, 1, 1) where `shared`.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, table: tuple[tuple[int, ...], ...], maps: int, side: int, *, shared: bool = False):
        super().__init__()
        self.shape = (len(table), maps, 5, 5)
        links = [(k, m) for k, row in enumerate(table) for m in row]
        self.register_buffer("rows", torch.tensor([k for k, _ in links]), persistent=False)
        self.register_buffer("columns", torch.tensor([m for _, m in links]), persistent=False)
        inputs = 25 * len(table[0]) + 1
        self.weight = nn.Parameter(torch.empty(len(links), 5, 5).uniform_(-2.4 / inputs, 2.4 / inputs))
        self.bias = nn.Parameter(torch.zeros(len(table), *((1, 1) if shared else (side, side))))

    def forward(self, x: Tensor) -> Tensor:
        kernels = self.weight
        if len(self.rows) == self.shape[0] * self.shape[1]:
            kernels = kernels.view(self.shape)
        else:
            kernels = kernels.new_zeros(self.shape).index_put((self.rows, self.columns), kernels)
        return F.conv2d(F.pad(x, (2, 2, 2, 2), value=BACKGROUND), kernels, stride=2) + self.bias  # (2), (3)

    def connections_of(self, output: Tensor) -> int:
        """Only the links of the table count, and a bias for every unit."""
        return (self.weight.numel() + self.shape[0]) * output[0, 0].numel()


@final
class ZipCode(nn.Module):
    """The network behind its retina: (batch, 1, 16, 16) in -1..1 -> (batch, classes) in -1.7159..1.7159."""

    def __init__(self, classes: int = 10, *, retina: nn.Module | None = None, shared: bool = False):
        super().__init__()
        self.retina = retina if retina is not None else nn.Identity()
        self.H1, self.H2 = Unshared(((0,),) * 12, 1, 8, shared=shared), Unshared(TABLE, 12, 4, shared=shared)
        self.H3, self.output = nn.Linear(192, 30), nn.Linear(30, classes)
        self.f1, self.f2, self.f3, self.f4 = (Squash() for _ in range(4))
        for layer in (self.H3, self.output):
            inputs = layer.in_features + 1
            nn.init.uniform_(layer.weight, -2.4 / inputs, 2.4 / inputs)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.f2(self.H2(self.f1(self.H1(self.retina(x)))))
        return self.f4(self.output(self.f3(self.H3(x.flatten(1)))))


def _deviations(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Outputs and the mean of (x_i - t_i)^2 over the outputs of each example."""
    inputs, targets = batch
    outputs = model(inputs).float()
    wanted = 2 * F.one_hot(targets, outputs.shape[1]) - 1
    return outputs, (outputs - wanted).square().mean(1)


def squared_error(model: nn.Module, batch: Batch, noise: Generator) -> dict[str, Tensor]:
    """(4), the mean over a batch."""
    return {"loss": _deviations(model, batch)[1].mean() / 2}


def measure(model: nn.Module, batch: Batch, noise: Generator) -> dict[str, Tensor]:
    """(4) and whether the largest output is the digit's, for each example."""
    outputs, error = _deviations(model, batch)
    return {"loss": error / 2, "accuracy": (outputs.argmax(1) == batch[1]).float()}


def parameters() -> Check:
    """The network has 9,760 parameters: 1,068 in H1, 2,592 in H2, 5,790 in H3 and 310 behind it.

    Source: LeCun et al. 1989, section 3.3
    """
    return exactly(trained(ZipCode()), 9_760)


def connections_in_all() -> Check:
    """It has 64,660 connections.

    Source: LeCun et al. 1989, section 3.3: 19,968 + 38,592 + 5,790 + 310
    """
    return exactly(sum(connections(ZipCode(), (1, 16, 16)).values()), 64_660)


def units() -> Check:
    """It has 1,256 units, the 256 of the picture among them.

    Source: LeCun et al. 1989, section 3.3
    """
    network = ZipCode()
    biases = [w.numel() for name, w in network.named_parameters() if name.endswith("bias")]
    return exactly(SIDE**2 + sum(biases), 1_256)


def shared_biases_are_another_network() -> Check:
    """With one bias per map there would be 8,824.

    Source: 9,760 - 768 - 192 + 24
    """
    return exactly(trained(ZipCode(shared=True)), 8_824)


def each_map_sees_eight() -> Check:
    """A map of H2 depends on exactly 8 of the 12 maps of H1, and each map of H1 is seen by 8: the worst count is 8.

    Source: LeCun et al. 1989, section 3.3
    """
    with drawing_from(0, "weights"):
        layer = Unshared(TABLE, 12, 4)
    seen = torch.zeros(12, 12)
    for k in range(12):
        x = torch.zeros(1, 12, 8, 8, requires_grad=True)
        layer(x)[0, k].sum().backward()
        seen[k] = (cast(Tensor, x.grad).abs().sum((0, 2, 3)) > 0).float()
    counts = torch.cat([seen.sum(0), seen.sum(1)])
    return Check(float(counts.min() if counts.min() < 8 else counts.max()), 8, 8)


def an_empty_picture_has_no_border() -> Check:
    """For a picture of nothing but background every unit of a map of H1 has the same sum, to 1e-6.

    Source: equation (3); with zeros outside, the border would be drawn
    """
    with drawing_from(0, "weights"):
        sums = ZipCode().H1(torch.full((1, 1, SIDE, SIDE), BACKGROUND))
    return at_most(float((sums - sums[..., :1, :1]).detach().abs().max()), 1e-6)


def with_zeros_outside_it_has_one() -> Check:
    """With 0 outside the same units would differ by more than a tenth.

    Source: measured on the first weights
    """
    with drawing_from(0, "weights"):
        layer = ZipCode().H1
    x = torch.full((1, 1, SIDE, SIDE), BACKGROUND)
    sums = F.conv2d(x, layer.weight[:, None], stride=2, padding=2).detach()
    return at_least(float((sums - sums[..., 4:5, 4:5]).abs().max()), 0.1)


CARD = Card(
    name="Zip-code network of 1989",
    name_ja="1989年の郵便番号ネットワーク",
    paper="LeCun, Boser, Denker, Henderson, Howard, Hubbard, Jackel 1989, Backpropagation applied to handwritten zip "
    "code recognition, Neural Computation 1(4)",
    equations=(
        r"f(a) = 1.7159 \tanh\left(\frac{2}{3} a\right)",
        r"x_{kp} = f\left(\sum_{m \in T_k} \sum_q w_{kmq}\, x_{m, 2p + q} + b_{kp}\right)",
        r"x = -1",
        r"E = \frac{1}{2} \langle (x_i - t_i)^2 \rangle_i",
    ),
    summary="The first convolutional network trained by back-propagation read the zip codes of Buffalo's post.",
    summary_ja="誤差逆伝播で学習した最初の畳み込みネットワーク。バッファローの郵便番号を読んだ。",
    topics=("vision.lecun-1989",),
    facts=(
        parameters,
        connections_in_all,
        units,
        shared_biases_are_another_network,
        each_map_sees_eight,
        an_empty_picture_has_no_border,
        with_zeros_outside_it_has_one,
    ),
    notes=(
        "The biases of a map are not shared; many copies of this network share them and count fewer parameters.",
        "Outside of the picture stands -1, the background, not 0; the error is squared with targets of -1 and 1.",
        "In the paper: 5.0 percent errors on 2,007 test digits after 23 passes over 7,291.",
    ),
    notes_ja=(
        "一枚の特徴マップの中でもバイアスは共有しない。共有してしまい、パラメータの数が合わない再現が多い。",
        "画像の外は 0 ではなく背景の -1 である。誤差は、目標値を -1 と 1 とする二乗誤差である。",
        "論文では、7,291個を23回繰り返して学習し、テスト用の2,007個での誤り率は5.0%であった。",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup(Recognition):
    """Settings of training."""

    epochs: int = 23
    batch_size: int = 10
    optimiser: str = "adam"
    lr: float = 0.003
    weight_decay: float = 0.0
    schedule: Literal["constant", "step", "cosine", "one_cycle", "warm_up"] = "cosine"
    augment: bool = False


VARIANTS = {
    "smoke": Setup(epochs=1, batch_size=30),
    "default": Setup(),
    "pattern-by-pattern": Setup(batch_size=1, optimiser="sgd", momentum=0.0, lr=0.05),
    "mnist": Setup(data="mnist", batch_size=32),
}


def build(setup: Setup, place: Place = Place()) -> Supervised:  # noqa: B008 - a frozen value
    """The training program, for writing and pictures alike: all become grey 16x16."""
    program = recognise(setup, place, lambda about: ZipCode(len(about.classes), retina=Retina(about)), smallest=8)
    program.task = replace(program.task, objective=squared_error, measure=measure)
    return program
