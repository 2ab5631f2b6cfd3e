r"""Dropout: in training every unit is missing with probability p, and the others are so much louder.

    y = x . mu / (1 - p),   mu_i = 0 with probability p, else 1            (1)
    dL/dx = G . mu / (1 - p)                                               (2)
    W (x . mu) = (W diag(mu)) x                                            (3)

mu is drawn anew for every example and every forward, and backward uses the same one: what was missing is not trained.
(3) says that dropping inputs is dropping columns of the next weight, so each step trains another network of the same
weights. The surprise: E[y] = x by the factor 1 / (1 - p), so in use (`training = False`) the layer does nothing at all.

Hinton et al. 2012; Srivastava et al. 2014.
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand._shapes import fits
from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.errors import UserError


@final
class Dropout:
    """Any shape; `p` is the probability to be missing, in [0, 1). `rng` is the only source of masks.

    With `redraw = False` the mask of the forward before is used again while the shape stays (to compare gradients).
    """

    def __init__(self, p: float, rng: np.random.Generator):
        if not 0 <= p < 1:
            raise UserError("dropout", f"{p} is no probability to be missing below 1", "give a number from 0 up to 1")
        self.p, self.rng, self.training, self.redraw = p, rng, True, True
        self.mask: np.ndarray | None = None

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.shape = x.shape
        if not self.training or self.p == 0:
            self.mask = None
            return x.copy()
        if self.redraw or self.mask is None or self.mask.shape != x.shape:
            single = x.dtype == np.float32
            kept = self.rng.random(x.shape, np.float32 if single else np.float64) >= self.p
            self.mask = np.multiply(kept, 1 / (1 - self.p), dtype=x.dtype)
        return x * self.mask  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        fits("dropout", "the gradient", grad.shape, self.shape)
        return grad.copy() if self.mask is None else grad * self.mask  # (2)


def example(rng: np.random.Generator) -> tuple[Dropout, tuple[np.ndarray]]:
    """Three in ten of 6x5 entries missing, always the same ones."""
    layer = Dropout(0.3, rng)
    layer.redraw = False
    return layer, (rng.normal(size=(6, 5)),)


def the_mean_is_the_input() -> Check:
    """Over 100,000 masks with p = 0.3 the mean output of 1 is off by less than 4 standard errors.

    Source: Srivastava et al. 2014, section 10, the inverted form; its variance is p / (1 - p)
    """
    y = Dropout(0.3, np.random.default_rng(0)).forward(np.ones(100_000))
    return at_most(abs(float(y.mean()) - 1) / (0.3 / 0.7 / 100_000) ** 0.5, 4)


def two_forms_are_one() -> Check:
    """W (x . mu) and (W diag mu) x differ by at most 1e-14.

    Source: equation (3)
    """
    draw = np.random.default_rng(1)
    x, w, layer = draw.normal(size=20), draw.normal(size=(7, 20)), Dropout(0.5, draw)
    inputs = w @ layer.forward(x)
    assert layer.mask is not None  # noqa: S101 - for the type checker
    return at_most(float(np.abs(inputs - (w @ np.diag(layer.mask)) @ x).max()), 1e-14)


def what_is_missing_is_not_trained() -> Check:
    """Output and gradient are zero at the same entries, 1000 of 1000, and about half of them are zero.

    Source: equation (2), the same mask
    """
    layer, ones = Dropout(0.5, np.random.default_rng(2)), np.ones(1000)
    y, back = layer.forward(ones), layer.backward(ones)
    return exactly(float(((y == 0) == (back == 0)).sum()) * (400 < (y == 0).sum() < 600), 1000)


def in_use_it_is_the_identity() -> Check:
    """With training = False the output is the input and the gradient passes, bit for bit: 1000 of 1000 entries.

    Source: E[y] = x needs no correction
    """
    layer, x = Dropout(0.5, np.random.default_rng(3)), np.random.default_rng(4).normal(size=1000)
    layer.training = False
    return exactly(float(((layer.forward(x) == x) & (layer.backward(x) == x)).sum()), 1000)


def without_the_factor_training_and_use_differ() -> Check:
    """Without 1 / (1 - p) the mean of 100,000 ones in training is 0.5 for p = 0.5, and 1 in use.

    Source: E[x . mu] = (1 - p) x
    """
    layer, ones = Dropout(0.5, np.random.default_rng(5)), np.ones(100_000)
    return about(float((layer.forward(ones) != 0).mean()), 0.5, 0.01)


def every_mask_is_another_network() -> Check:
    """200 forwards of 20 units have at least 199 different masks.

    Source: Hinton et al. 2012, an average of 2^20 networks with shared weights
    """
    layer, ones = Dropout(0.5, np.random.default_rng(6)), np.ones(20)
    return at_least(len({layer.forward(ones).tobytes() for _ in range(200)}), 199)


CARD = Card(
    name="Dropout",
    name_ja="ドロップアウト",
    paper="Hinton et al. 2012, arXiv:1207.0580; Srivastava et al. 2014, Dropout, JMLR 15",
    equations=(
        r"y = \frac{x \odot \mu}{1 - p},\quad P(\mu_i = 0) = p",
        r"\frac{\partial L}{\partial x} = \frac{G \odot \mu}{1 - p}",
        r"W (x \odot \mu) = (W\, \mathrm{diag}(\mu))\, x",
    ),
    summary="In training every unit is missing with probability p; in use the layer does nothing.",
    summary_ja="訓練時には各ユニットが確率 p で欠ける。使うときには何もしない。",
    topics=("nn.dropout",),
    facts=(
        the_mean_is_the_input,
        two_forms_are_one,
        what_is_missing_is_not_trained,
        in_use_it_is_the_identity,
        without_the_factor_training_and_use_differ,
        every_mask_is_another_network,
    ),
    notes=("The slides show no factor 1/(1 - p): then the means in training and in use differ.",
           "mu in the slides is a vector of zeros and ones, not a mean."),
    notes_ja=("スライドには 1/(1 - p) の倍率がない。それでは訓練時と使用時の平均が食い違う。",
              "スライドの mu は 0 と 1 からなるベクトルであり、平均ではない。"),
)
