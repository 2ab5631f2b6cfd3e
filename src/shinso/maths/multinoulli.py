r"""Multinoulli (categorical) distribution: one trial with k outcomes (the name: Murphy 2012).

    P(X = i) = p_i,  with X as one-hot vector  P(x) = p_1^x_1 ... p_k^x_k              (1)
    E[x] = p,   Var x_i = p_i (1 - p_i),   Cov(x_i, x_j) = -p_i p_j                    (2)

Softmax gives its probabilities, cross entropy is its negative log mass. It is the case n = 1 of the multinomial
distribution; the formula with n! in front belongs to that one.
"""

from typing import final

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.errors import UserError
from shinso.maths.inputs import count, masses


@final
class Multinoulli:
    """The law of an index 0..k-1 with the probabilities `p` (k,)."""

    def __init__(self, p: ArrayLike):
        self.p = masses("multinoulli", "p", p, 1)

    def mass(self, index: ArrayLike) -> np.ndarray:
        """(1) for indices of any shape."""
        return self.p[self._indices(index)]

    def log_mass(self, index: ArrayLike) -> np.ndarray:
        """log P(X = index); -inf where the mass is 0."""
        with np.errstate(divide="ignore"):
            return np.log(self.mass(index))

    @property
    def mean(self) -> np.ndarray:
        """(2) of the one-hot vector: p itself."""
        return self.p.copy()

    @property
    def variance(self) -> np.ndarray:
        """(2), entry by entry: (k,)."""
        return self.p * (1 - self.p)

    @property
    def covariance(self) -> np.ndarray:
        """(2) as a matrix (k, k); its rows sum to 0."""
        return np.diag(self.p) - np.outer(self.p, self.p)

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """`n` independent indices, int64."""
        steps = np.cumsum(self.p / self.p.sum())
        steps[-1] = 1.0
        return np.searchsorted(steps, rng.random(count("multinoulli", "n", n)), side="right")

    def _indices(self, index: ArrayLike) -> np.ndarray:
        indices = np.asarray(index)
        if indices.dtype.kind not in "iu" or (indices.size and not (0 <= indices.min() <= indices.max() < len(self.p))):
            raise UserError("multinoulli", f"{index!r} has something else than indices of {len(self.p)} outcomes",
                            f"give whole numbers from 0 to {len(self.p) - 1}")
        return indices


def _by_enumeration(law: Multinoulli) -> tuple[np.ndarray, np.ndarray]:
    hot = np.eye(len(law.p))
    mass = law.mass(np.arange(len(law.p)))
    off = hot - mass @ hot
    return mass @ hot, (off.T * mass) @ off


def moments_of_the_one_hot_vector() -> Check:
    """Enumerated, the mean is p, the variances p_i (1 - p_i), the covariances -p_i p_j, to 1e-15 over 200 laws.

    Source: equation (2)
    """
    rng, worst = np.random.default_rng(0), 0.0
    for _ in range(200):
        law = Multinoulli(rng.dirichlet(np.ones(5)))
        mean, covariance = _by_enumeration(law)
        worst = max(worst, np.abs(mean - law.mean).max(), np.abs(covariance - law.covariance).max(),
                    np.abs(np.diag(covariance) - law.variance).max())
    return at_most(float(worst), 1e-15)


def frequencies_are_the_probabilities() -> Check:
    """In 100,000 draws every frequency lies within 4 standard errors of its probability: the most of them used.

    Source: the central limit theorem
    """
    law = Multinoulli([0.1, 0.2, 0.3, 0.4])
    frequency = np.bincount(law.sample(np.random.default_rng(0), 100_000), minlength=4) / 100_000
    return at_most(float((np.abs(frequency - law.p) / np.sqrt(law.variance / 100_000)).max()), 4.0)


def the_formula_with_n_is_another_law() -> Check:
    """Read for n = 3 trials, the document's mean n p is not the multinoulli's: the largest difference of entries.

    Source: Murphy 2012, section 2.3.2
    """
    law = Multinoulli([0.2, 0.3, 0.5])
    return at_least(float(np.abs(3 * law.p - _by_enumeration(law)[0]).max()), 0.9)


CARD = Card(
    name="Multinoulli distribution",
    name_ja="マルチヌーイ分布(カテゴリカル分布)",
    paper="Murphy 2012, Machine Learning: A Probabilistic Perspective, section 2.3.2",
    equations=(r"P(x) = \prod_i p_i^{x_i},\quad x\ \mathrm{one\ hot}",
               r"E[x] = p,\quad \mathrm{Var}\,x_i = p_i(1-p_i),\quad \mathrm{Cov}(x_i, x_j) = -p_i p_j"),
    summary="One trial with k outcomes: the law that a classifier's softmax stands for.",
    summary_ja="結果がk通りある一回の試行。分類器のソフトマックスが表す確率分布。",
    topics=("maths.multinoulli",),
    facts=(moments_of_the_one_hot_vector, frequencies_are_the_probabilities, the_formula_with_n_is_another_law),
    notes=("What the document prints under this name, with n! and mean n p, is the multinomial distribution; the"
           " multinoulli distribution is its case n = 1.",),
    notes_ja=("資料がこの名で載せる、n! と平均 n p を持つ式は多項分布である。マルチヌーイ分布はその n = 1 の場合。",),
)
