r"""Categorical cross entropy as Keras writes it: of probabilities, which it first repairs.

    q = p / sum_k p_k,   c = clip(q, a, 1 - a),   a = 1e-7                      (1)
    L = -1/n sum_i sum_k t_ik log c_ik                                          (2)
    dL/dp_k = (d_k - sum_j d_j q_j) / sum_j p_j,   d_k = -t_k / (n q_k) where a < q_k < 1 - a, else 0     (3)

The rows are made to sum to 1 and kept away from 0 and 1. One-hot vectors and class numbers ("sparse") mean the same.
The surprise is in (3): where the right class has fallen below 1e-7 the clip lets no gradient through. The worst
mistakes cost 16.118 each and are never corrected; scores with softmax and cross entropy in one do not have this hole.

Chollet et al. 2015 (Keras).
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand._shapes import filled, fits, within
from shinso.autodiff.byhand.cross_entropy import CrossEntropy
from shinso.autodiff.byhand.one_hot import one_hot
from shinso.core.card import Card, Check, about, at_most, exactly


@final
class CategoricalCrossEntropy:
    """Probabilities (n, classes) and one-hot rows or shares (n, classes) or classes (n,) -> a number, the mean."""

    def __init__(self, clip: float = 1e-7):
        self.clip = clip

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> float:
        where = "categorical cross entropy"
        filled(where, prediction)
        if target.ndim == 1:
            fits(where, "the target", target.shape, prediction.shape[:1])
            within(where, target, prediction.shape[1])
            target = one_hot(target, prediction.shape[1], prediction.dtype.type)
        fits(where, "the target", target.shape, prediction.shape)
        self.t, self.total = target, prediction.sum(1, keepdims=True)
        self.q = prediction / self.total
        clipped = np.clip(self.q, self.clip, 1 - self.clip)  # (1)
        return -float(np.vdot(target, np.log(clipped))) / len(target)  # (2)

    def backward(self, grad: float = 1.0) -> np.ndarray:
        q = self.q
        passes = (q > self.clip) & (q < 1 - self.clip)
        d = np.divide(-self.t, q, out=np.zeros_like(q), where=passes)
        return (d - (d * q).sum(1, keepdims=True)) / self.total * (grad / len(q))  # (3)


def example(rng: np.random.Generator) -> tuple[CategoricalCrossEntropy, tuple[np.ndarray, np.ndarray]]:
    """Six rows of four positive numbers, which do not sum to 1."""
    return CategoricalCrossEntropy(), (rng.uniform(0.2, 1, (6, 4)), rng.integers(0, 4, 6))


def one_hot_and_index_are_the_same() -> Check:
    """One-hot targets and class numbers give the same value and gradient, exactly.

    Source: categorical_crossentropy and sparse_categorical_crossentropy
    """
    loss, (p, k) = example(np.random.default_rng(0))
    a, back = loss.forward(p, k), loss.backward()
    b = loss.forward(p, one_hot(k, 4))
    return exactly(abs(a - b) + float(np.abs(back - loss.backward()).max()), 0)


def inside_the_clip_it_is_cross_entropy() -> Check:
    """For softmax outputs away from 0 and 1 it equals the cross entropy of their scores, to 1e-14.

    Source: equation (2)
    """
    draw = np.random.default_rng(1)
    x, k = draw.normal(size=(30, 5)), draw.integers(0, 5, 30)
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    return at_most(abs(CategoricalCrossEntropy().forward(p, k) - CrossEntropy().forward(x, k)), 1e-14)


def rows_are_made_to_sum_to_one() -> Check:
    """Rows multiplied by 4 cost exactly the same.

    Source: equation (1)
    """
    loss, (p, k) = example(np.random.default_rng(2))
    return exactly(loss.forward(4 * p, k) - loss.forward(p, k), 0)


def the_clip_bounds_the_cost() -> Check:
    """A right class of probability 1e-9 costs -log(1e-7) = 16.118..., not -log(1e-9) = 20.723....

    Source: equation (1)
    """
    p = np.array([[1e-9, 1 - 1e-9]])
    return about(CategoricalCrossEntropy().forward(p, np.array([0])), -float(np.log(1e-7)), 1e-12)


def below_the_clip_nothing_is_learnt() -> Check:
    """At a right class of 1e-9 the gradient is exactly 0; the cross entropy of the scores still asks for 1, to 1e-8.

    Source: equation (3)
    """
    p, k = np.array([[1e-9, 1 - 1e-9]]), np.array([0])
    loss, joined = CategoricalCrossEntropy(), CrossEntropy()
    loss.forward(p, k)
    joined.forward(np.log(p), k)
    return at_most(float(np.abs(loss.backward()).max() + abs(joined.backward()[0, 0] + 1)), 1e-8)


CARD = Card(
    name="Categorical cross entropy of Keras",
    name_ja="categorical_crossentropy (Keras の形)",
    paper="Chollet et al. 2015, Keras, https://keras.io",
    equations=(
        r"q = p / \sum_k p_k,\quad c = \mathrm{clip}(q, a, 1 - a),\quad a = 10^{-7}",
        r"L = -\frac{1}{n} \sum_i \sum_k t_{ik} \log c_{ik}",
        r"\frac{\partial L}{\partial p_k} = \frac{d_k - \sum_j d_j q_j}{\sum_j p_j},\quad "
        r"d_k = -\frac{t_k}{n q_k}\, [a < q_k < 1 - a]",
    ),
    summary="Cross entropy of probabilities that are first made to sum to 1 and kept away from 0 by 1e-7.",
    summary_ja="確率の交差エントロピー。和を 1 に直し、0 から 1e-7 だけ離してから計算する。",
    topics=("nn.categorical-crossentropy",),
    facts=(
        one_hot_and_index_are_the_same,
        inside_the_clip_it_is_cross_entropy,
        rows_are_made_to_sum_to_one,
        the_clip_bounds_the_cost,
        below_the_clip_nothing_is_learnt,
    ),
    notes=("Keras normalises the rows and clips probabilities at 1e-7 without being asked: beyond, nothing is "
           "learnt.",),
    notes_ja=("Keras は何も言わずに行を正規化し、確率を 1e-7 で打ち切る。その外では何も学習されない。",),
)
