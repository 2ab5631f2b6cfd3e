r"""RReLU: a LeakyReLU whose slope is drawn anew for every number.

    f(x) = x if x > 0, else a x,   a ~ U(l, u) in training, a = (l + u) / 2 afterwards    (1)
    f'(x) = 1 if x > 0, else the same a                                                   (2)

With l = 1/8 and u = 1/3 the mean slope is 11/48. Noise on the slope regularises, as dropout does. backward must use the
slopes of its own forward; the check of the gradient holds them with `hold`.

Xu, Wang, Chen, Li 2015.
"""

from typing import final

import numpy as np

from shinso.core.card import Card, Check, about, at_most


@final
class RReLU:
    """Elementwise, any shape; `draw` gives the slopes while `training` is True."""

    def __init__(self, draw: np.random.Generator, low: float = 1 / 8, high: float = 1 / 3):
        self.draw, self.low, self.high = draw, low, high
        self.training = True
        self.hold: np.ndarray | None = None
        """slopes to use instead of new ones, of the input's shape"""

    def forward(self, x: np.ndarray) -> np.ndarray:
        if not self.training:
            slope = np.asarray((self.low + self.high) / 2, x.dtype)
        elif self.hold is not None:
            slope = self.hold.astype(x.dtype)
        else:
            slope = self.draw.uniform(self.low, self.high, x.shape).astype(x.dtype)
        self.slope = np.where(x > 0, 1, slope)
        return self.slope * x  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return self.slope * grad  # (2)


def example(rng: np.random.Generator) -> tuple[RReLU, tuple[np.ndarray]]:
    """A layer after training, and inputs that keep away from 0."""
    layer = RReLU(rng)
    layer.training = False
    return layer, (rng.choice([-1.5, -0.5, 0.5, 1.5], (6, 2)) + rng.uniform(-0.3, 0.3, (6, 2)),)


def eleven_forty_eighths() -> Check:
    """After training -48 is mapped to -11, to 1e-14.

    Source: Xu, Wang, Chen, Li 2015: (1/8 + 1/3) / 2 = 11/48
    """
    layer = RReLU(np.random.default_rng(0))
    layer.training = False
    return about(float(layer.forward(np.array([-48.0]))[0]), -11, 1e-14)


def slopes_are_uniform() -> Check:
    """Of 10,000 slopes in training the largest distance of their distribution from U(1/8, 1/3) is below 0.02.

    Source: Kolmogorov and Smirnov: 0.0163 is passed 1 time in 100 samples of this size
    """
    slopes = np.sort(-RReLU(np.random.default_rng(0)).forward(np.full(10_000, -1.0)))
    expected = (slopes - 1 / 8) / (1 / 3 - 1 / 8)
    return at_most(float(np.abs(expected - (np.arange(10_000) + 0.5) / 10_000).max()), 0.02)


def backward_keeps_the_slopes() -> Check:
    """In training the gradient of every input is its own f(x) / x, to 1e-15.

    Source: equation (2)
    """
    draw = np.random.default_rng(0)
    x, layer = draw.standard_normal(1000), RReLU(draw)
    return at_most(float(np.abs(layer.forward(x) / x - layer.backward(np.ones(1000))).max()), 1e-15)


CARD = Card(
    name="RReLU",
    name_ja="RReLU(ランダム化ReLU)",
    paper="Xu, Wang, Chen, Li 2015, Empirical evaluation of rectified activations, arXiv:1505.00853",
    equations=(r"f(x) = x \ \mathrm{if}\ x > 0,\ \mathrm{else}\ a x,\quad a \sim U(l, u)",
               r"f'(x) = 1 \ \mathrm{if}\ x > 0,\ \mathrm{else}\ a"),
    summary="A LeakyReLU with a random slope for every number in training and the mean slope 11/48 afterwards.",
    summary_ja="学習中は一つひとつの数に乱数の傾き、その後は平均の傾き 11/48 を使う LeakyReLU。",
    topics=("nn.rrelu",),
    facts=(eleven_forty_eighths, slopes_are_uniform, backward_keeps_the_slopes),
    notes=("Random in training: a check of the gradient must hold the slopes, or it compares two functions.",),
    notes_ja=("学習中は乱数を使う。勾配の確認では傾きを固定しないと、別の関数どうしを比べることになる。",),
    twin="torch.nn.functional.rrelu",
)
