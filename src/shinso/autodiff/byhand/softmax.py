r"""Softmax: scores become probabilities.

    p_i = exp(x_i) / sum_j exp(x_j)                           (1)
    dp_i/dx_j = p_i ([i = j] - p_j)                           (2)
    backward:  p (g - sum_j g_j p_j)                          (3)

(3) is the Jacobian (2) times g without ever writing the Jacobian down. A constant added to all scores changes nothing,
so the largest is subtracted first: exp then stays at or below 1. Unlike the other activations it needs an axis, and
the axis must be said: over the wrong one the numbers look as harmless as over the right one.

Boltzmann 1868 (the distribution); Bridle 1990 (the name, as the output of a classifier).
"""

from typing import final

import numpy as np

from shinso.core.card import Card, Check, about, at_most


@final
class Softmax:
    """Along `axis`; any shape."""

    def __init__(self, *, axis: int):
        self.axis = axis

    def forward(self, x: np.ndarray) -> np.ndarray:
        e = np.exp(x - x.max(axis=self.axis, keepdims=True))
        self.p = e / e.sum(axis=self.axis, keepdims=True)  # (1)
        return self.p

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return self.p * (grad - (grad * self.p).sum(axis=self.axis, keepdims=True))  # (3)


def example(rng: np.random.Generator) -> tuple[Softmax, tuple[np.ndarray]]:
    """A layer over the classes, axis 1, and scores of four examples."""
    return Softmax(axis=1), (2 * rng.standard_normal((4, 5)),)


def probabilities() -> Check:
    """Each of 1,000 rows of ten scores sums to 1, to 1e-15 on average, and the largest score stays the largest.

    Source: equation (1)
    """
    x = 5 * np.random.default_rng(0).standard_normal((1000, 10))
    p = Softmax(axis=1).forward(x)
    return at_most(float(np.abs(p.sum(1) - 1).mean()) if (p.argmax(1) == x.argmax(1)).all() else np.inf, 1e-15)


def constants_do_not_matter() -> Check:
    """Adding 1,000 to every score changes no probability by more than 1e-12.

    Source: exp(x + c) = exp(x) exp(c)
    """
    x = np.random.default_rng(1).standard_normal((50, 6))
    return at_most(float(np.abs(Softmax(axis=1).forward(x) - Softmax(axis=1).forward(x + 1000)).max()), 1e-12)


def the_jacobian() -> Check:
    """Sending back the six unit vectors gives the rows of diag(p) - p p^T to 1e-16.

    Source: equation (2)
    """
    layer = Softmax(axis=1)
    p = layer.forward(np.tile(np.random.default_rng(2).standard_normal(6), (6, 1)))[0]
    return at_most(float(np.abs(layer.backward(np.eye(6)) - (np.diag(p) - np.outer(p, p))).max()), 1e-16)


def finite_where_the_plain_formula_is_not() -> Check:
    """Scores -10,000, 0 and 10,000 give 0, 0 and 1; exp(x) / sum exp(x) gives nan.

    Source: exp(10,000) is larger than every float64
    """
    x = np.array([-1e4, 0, 1e4])
    with np.errstate(over="ignore", invalid="ignore"):
        plain = np.exp(x) / np.exp(x).sum()
    return about(float(np.abs(Softmax(axis=0).forward(x) - [0, 0, 1]).max()) + float(not np.isnan(plain).any()), 0, 0)


CARD = Card(
    name="Softmax",
    name_ja="ソフトマックス関数",
    paper="Bridle 1990, Probabilistic interpretation of feedforward classification network outputs; Boltzmann 1868",
    equations=(r"p_i = \frac{e^{x_i}}{\sum_j e^{x_j}}", r"\frac{\partial p_i}{\partial x_j} = p_i([i = j] - p_j)",
               r"\frac{\partial L}{\partial x} = p\,(g - \sum_j g_j p_j)"),
    summary="Turns the scores of the classes into probabilities that sum to 1.",
    summary_ja="各クラスのスコアを、和が 1 の確率に変える。",
    topics=("nn.softmax",),
    facts=(probabilities, constants_do_not_matter, the_jacobian, finite_where_the_plain_formula_is_not),
    notes=("exp of a large score overflows; the largest is subtracted first.",
           "The axis must be given: over the wrong one nothing looks wrong."),
    notes_ja=("大きなスコアの exp はあふれるので、先に最大値を引く。",
              "軸は必ず指定する。誤った軸でも見た目には分からない。"),
)
