r"""Multinomial distribution: how often each of k outcomes comes in n independent trials.

    P(X = x) = n! / (x_1! ... x_k!) p_1^x_1 ... p_k^x_k   if x_1 + ... + x_k = n, else 0      (1)
    E[X] = n p,   Cov X = n (diag p - p p^T)                                                  (2)

k = 2 is the binomial distribution, n = 1 the multinoulli distribution. It is a mass, not a density: X is discrete.
"""

from collections.abc import Iterator
from math import comb, lgamma
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.errors import UserError
from shinso.maths.inputs import count, masses, numbers, x_log_y
from shinso.maths.multinoulli import Multinoulli


@final
class Multinomial:
    """Counts of the outcomes with probabilities `p` (k,) in `n` trials."""

    def __init__(self, n: int, p: ArrayLike):
        self.n = count("multinomial", "n", n)
        self.p = masses("multinomial", "p", p, 1)

    def mass(self, counts: ArrayLike) -> np.ndarray:
        """(1) for counts (..., k)."""
        return np.exp(self.log_mass(counts))

    def log_mass(self, counts: ArrayLike) -> np.ndarray:
        """log of (1), without the factorials' overflow; -inf for what cannot happen."""
        x = numbers("multinomial", "counts", counts)
        if x.ndim == 0 or x.shape[-1] != len(self.p):
            raise UserError("multinomial", f"the counts of shape {x.shape} are not for {len(self.p)} outcomes",
                            f"let the last axis have {len(self.p)} entries")
        possible = (x.sum(-1) == self.n) & (x >= 0).all(-1) & (x == np.rint(x)).all(-1)
        x = np.where(possible[..., None], x, 0.0)
        ways = lgamma(self.n + 1) - np.vectorize(lgamma, otypes=[float])(x + 1).sum(-1)
        return np.where(possible, ways + x_log_y(x, np.broadcast_to(self.p, x.shape)).sum(-1), -np.inf)

    @property
    def mean(self) -> np.ndarray:
        """(2), left: (k,)."""
        return self.n * self.p

    @property
    def variance(self) -> np.ndarray:
        """The diagonal of the covariance, n p (1 - p)."""
        return self.n * self.p * (1 - self.p)

    @property
    def covariance(self) -> np.ndarray:
        """(2), right: (k, k)."""
        return self.n * (np.diag(self.p) - np.outer(self.p, self.p))

    def support(self) -> Iterator[tuple[int, ...]]:
        """Every possible vector of counts, C(n + k - 1, k - 1) of them."""
        return _compositions(self.n, len(self.p))

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """`n` independent vectors of counts, int64 (n, k)."""
        return rng.multinomial(self.n, self.p / self.p.sum(), size=count("multinomial", "n", n))


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in _compositions(total - first, parts - 1):
            yield (first, *rest)


def _laws() -> list[Multinomial]:
    rng = np.random.default_rng(0)
    return [Multinomial(4, rng.dirichlet(np.ones(3))) for _ in range(20)] + [Multinomial(4, [0.5, 0.5, 0.0])]


def the_masses_sum_to_one() -> Check:
    """For n = 4, k = 3 the 15 masses sum to 1 up to 1e-14, an outcome of probability 0 included.

    Source: the multinomial theorem
    """
    return at_most(max(abs(float(law.mass(list(law.support())).sum()) - 1) for law in _laws()), 1e-14)


def moments_by_enumeration() -> Check:
    """Mean and covariance by enumeration for n = 4, k = 3 differ from n p and n (diag p - p p^T) by at most 1e-14.

    Source: equation (2)
    """
    worst = 0.0
    for law in _laws():
        x = np.array(list(law.support()), dtype=float)
        mass = law.mass(x)
        off = x - mass @ x
        worst = max(worst, np.abs(mass @ x - law.mean).max(), np.abs((off.T * mass) @ off - law.covariance).max())
    return at_most(float(worst), 1e-14)


def two_outcomes_are_binomial() -> Check:
    """For k = 2 and n = 30 the masses are C(n, x) p^x (1 - p)^(n - x) up to 1e-14.

    Source: equation (1) with k = 2
    """
    p, x = 0.3, np.arange(31)
    binomial = np.array([comb(30, int(i)) for i in x]) * p**x * (1 - p) ** (30 - x)
    return at_most(float(np.abs(Multinomial(30, [p, 1 - p]).mass(np.stack([x, 30 - x], -1)) - binomial).max()), 1e-14)


def one_trial_is_multinoulli() -> Check:
    """For n = 1 mass, mean and covariance are those of the multinoulli distribution up to one rounding.

    Source: equations (1) and (2) with n = 1
    """
    p = [0.2, 0.5, 0.3]
    many, one = Multinomial(1, p), Multinoulli(p)
    off = np.abs(many.covariance - one.covariance).max() + np.abs(many.mean - one.mean).max()
    return at_most(float(off + np.abs(many.mass(np.eye(3)) - one.mass([0, 1, 2])).max()), 2e-16)


def other_sums_cannot_happen() -> Check:
    """Counts that do not add up to n, are negative or are not whole have the mass 0.

    Source: equation (1)
    """
    law = Multinomial(3, [0.5, 0.3, 0.2])
    return exactly(float(law.mass([[1, 1, 0], [4, -1, 0], [1.5, 1.5, 0], [2, 2, 2]]).sum()), 0.0)


CARD = Card(
    name="Multinomial distribution",
    name_ja="多項分布",
    paper="Jacob Bernoulli 1713; de Moivre 1738, The Doctrine of Chances",
    equations=(r"P(X = x) = \frac{n!}{x_1! \cdots x_k!}\, p_1^{x_1} \cdots p_k^{x_k},\quad x_1 + \cdots + x_k = n",
               r"E[X] = n p,\quad \mathrm{Cov}\,X = n\,(\mathrm{diag}\,p - p\,p^T)"),
    summary="How often each outcome comes in n trials; with two outcomes the binomial, with one trial the multinoulli.",
    summary_ja="n回の試行で各結果が何回出るか。結果が二つなら二項分布、試行が一回ならマルチヌーイ分布。",
    topics=("maths.multinomial",),
    facts=(the_masses_sum_to_one, moments_by_enumeration, two_outcomes_are_binomial, one_trial_is_multinoulli,
           other_sums_cannot_happen),
    notes=("For a discrete variable the word is mass function, not density.",),
    notes_ja=("離散変数については密度関数ではなく確率質量関数と呼ぶ。",),
)
