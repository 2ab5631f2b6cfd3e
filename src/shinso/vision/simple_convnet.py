r"""The two-convolution network with which seminars begin on MNIST, in Keras and everywhere since.

    h_1 = max(W_1 * x + b_1, 0),   h_2 = max over 2x2 of max(W_2 * h_1 + b_2, 0)                   (1)
    h_3 = max(W_3 D(h_2) + b_3, 0),   p = softmax(W_4 D(h_3) + b_4)                                (2)
    D(h) = h mu / P(mu = 1) while training, h after it                                             (3)

Filters are 3x3 without a border, 32 and 64 of them; h_3 has 128 units; D keeps 3/4 of h_2 and 1/2 of h_3.

The surprise is where its 1,199,882 parameters are: 1,179,776 of them, 98 of a hundred, in the one matrix W_3 that
follows the flattening, and 2 of a hundred in its filters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from shinso.core.card import Card, Check, about, exactly
from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.setup import in_range
from shinso.learn.recognise import Recognition, recognise
from shinso.learn.supervised import Supervised
from shinso.vision._cost import products, trained


@final
class SimpleConvNet(nn.Module):
    """(1) to (3): (batch, *shape) -> (batch, classes), pictures of at least 6x6."""

    def __init__(self, shape: Sequence[int] = (1, 28, 28), classes: int = 10, *, maps: tuple[int, ...] = (32, 64),
                 hidden: int = 128):
        super().__init__()
        if len(maps) != 2:
            raise UserError("maps", f"{len(maps)} numbers are given, this network has 2 convolutions", "give 32,64")
        channels, height, width = shape
        places = ((height - 4) // 2) * ((width - 4) // 2)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, maps[0], 3), nn.ReLU(inplace=True),
            nn.Conv2d(maps[0], maps[1], 3), nn.MaxPool2d(2), nn.ReLU(inplace=True),  # (1), a quarter of the bends
            nn.Dropout(0.25), nn.Flatten(), nn.Linear(maps[1] * places, hidden), nn.ReLU(inplace=True),  # (2), (3)
            nn.Dropout(0.5), nn.Linear(hidden, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def parameters() -> Check:
    """For 28x28 grey pictures and ten classes it has 1,199,882 parameters.

    Source: 320 + 18,496 + 1,179,776 + 1,290, the summary that the seminar's program prints
    """
    return exactly(trained(SimpleConvNet()), 1_199_882)


def most_are_behind_the_flattening() -> Check:
    """98.3 percent of them, to 0.1, are in the matrix behind the flattening.

    Source: 9,216 x 128 + 128
    """
    network = SimpleConvNet()
    return about(100 * trained(network.layers[7]) / trained(network), 98.3, 0.1)


def multiplications() -> Check:
    """It makes 11,992,448 multiplications for one picture, 10,616,832 of them in the second convolution.

    Source: 9 x 32 x 26^2 + 288 x 64 x 24^2 + 9,216 x 128 + 1,280
    """
    with torch.device("meta"):
        return exactly(products(SimpleConvNet(), (1, 28, 28)), 11_992_448)


CARD = Card(
    name="Two-convolution network",
    name_ja="畳み込み二層のネットワーク",
    paper="the MNIST example of Keras, Chollet 2015",
    equations=(
        r"h_1 = \max(W_1 * x + b_1, 0),\quad h_2 = \max_{2 \times 2} \max(W_2 * h_1 + b_2, 0)",
        r"h_3 = \max(W_3 D(h_2) + b_3, 0),\quad p = \mathrm{softmax}(W_4 D(h_3) + b_4)",
        r"D(h) = h \cdot \mu / P(\mu = 1)",
    ),
    summary="Two convolutions, one pooling, two matrices: 98 percent of MNIST's new digits after two passes.",
    summary_ja="畳み込み二層、プーリング一層、全結合二層。MNISTを二周学習すると、新しい数字の98%を読む。",
    topics=("vision.simple-convnet",),
    facts=(parameters, most_are_behind_the_flattening, multiplications),
)


@dataclass(frozen=True, kw_only=True)
class Setup(Recognition):
    """Settings of training, and the network's sizes."""

    maps: tuple[int, ...] = (32, 64)
    """maps of the two convolutions"""
    hidden: int = 128
    """units of the hidden layer"""
    optimiser: str = "adam"
    lr: float = 0.002


VARIANTS = {
    "smoke": Setup(epochs=1, batch_size=31, maps=(4, 8), hidden=16, augment=False),
    "default": Setup(epochs=12, batch_size=32, maps=(16, 32), hidden=64),
    "mnist": Setup(data="mnist", epochs=12),
    "seminar": Setup(data="mnist", epochs=12, optimiser="adadelta", lr=1.0, weight_decay=0.0, schedule="constant",
                     augment=False),
}  # fmt: skip


def build(setup: Setup, place: Place = Place()) -> Supervised:  # noqa: B008 - a frozen value
    """The training program; `seminar` has the plan of Keras's example."""
    in_range(setup, ("hidden",))
    return recognise(setup, place, lambda about: SimpleConvNet(about.shape, len(about.classes), maps=setup.maps,
                                                               hidden=setup.hidden), smallest=6)
