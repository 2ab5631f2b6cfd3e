r"""Softmin: the smallest score gets the largest probability.

    p = softmax(-x)                                           (1)
    backward:  -p (g - sum_j g_j p_j)                         (2)

Listed among the elementwise activations, it is none: like softmax it needs an axis. It is what turns distances or
energies, where less is better, into probabilities.

Boltzmann 1868: states of energy x at temperature 1.
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand.softmax import Softmax
from shinso.core.card import Card, Check, about, exactly


@final
class Softmin:
    """Along `axis`; any shape."""

    def __init__(self, *, axis: int):
        self.softmax = Softmax(axis=axis)

    def forward(self, x: np.ndarray) -> np.ndarray:
        return self.softmax.forward(-x)  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return -self.softmax.backward(grad)  # (2)


def example(rng: np.random.Generator) -> tuple[Softmin, tuple[np.ndarray]]:
    """A layer over the last axis, and energies of two times three examples."""
    return Softmin(axis=-1), (rng.exponential(2, (2, 3, 4)),)


def softmax_of_the_negative() -> Check:
    """Equal to softmax(-x), written out here, bit by bit on 1,000 rows.

    Source: equation (1)
    """
    x = 3 * np.random.default_rng(0).standard_normal((1000, 7))
    e = np.exp(-x - (-x).max(1, keepdims=True))
    return exactly(int(np.sum(Softmin(axis=1).forward(x) != e / e.sum(1, keepdims=True))), 0)


def two_levels() -> Check:
    """Of two states whose energies differ by log 3 the lower one has probability 3/4, to 1e-15.

    Source: Boltzmann 1868
    """
    return about(float(Softmin(axis=0).forward(np.array([1.0, 1.0 + np.log(3)]))[0]), 0.75, 1e-15)


CARD = Card(
    name="Softmin",
    name_ja="Softmin(ソフトミン)",
    paper="Boltzmann 1868, Studien ueber das Gleichgewicht der lebendigen Kraft; Bridle 1990 for softmax",
    equations=(r"p = \mathrm{softmax}(-x)", r"\frac{\partial L}{\partial x} = -p\,(g - \sum_j g_j p_j)"),
    summary="Softmax of the negative: the smallest score gets the largest probability.",
    summary_ja="符号を変えたスコアのソフトマックス。最小のスコアが最大の確率を得る。",
    topics=("nn.softmin",),
    facts=(softmax_of_the_negative, two_levels),
    notes=("The slides list it as an elementwise function; it needs an axis.",),
    notes_ja=("スライドは要素ごとの関数として挙げているが、軸の指定が必要である。",),
)
