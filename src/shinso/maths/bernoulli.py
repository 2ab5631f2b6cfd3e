r"""Bernoulli distribution: one trial that succeeds with probability p (Bernoulli 1713).

    P(X = x) = p^x (1 - p)^(1 - x),   x in {0, 1}                                      (1)
    E[X] = p,   Var X = p (1 - p)                                                      (2)

The formula is meant for 0 and 1 only: at x = 1/2 it gives a number above 0 for something that never happens.
"""

from typing import final

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, at_least, exactly
from shinso.maths.inputs import count, numbers, share


@final
class Bernoulli:
    """The law of X in {0, 1} with P(X = 1) = p."""

    def __init__(self, p: float):
        self.p = share("bernoulli", "p", p)

    def mass(self, x: ArrayLike) -> np.ndarray:
        """(1), elementwise; 0 where x is neither 0 nor 1."""
        x = numbers("bernoulli", "x", x)
        return np.where(x == 1, self.p, np.where(x == 0, 1 - self.p, 0.0))

    def log_mass(self, x: ArrayLike) -> np.ndarray:
        """log P(X = x), exact for small p, too; -inf where the mass is 0."""
        x = numbers("bernoulli", "x", x)
        with np.errstate(divide="ignore"):
            return np.where(x == 1, np.log(self.p), np.where(x == 0, np.log1p(-self.p), -np.inf))

    @property
    def mean(self) -> float:
        """(2), left."""
        return self.p

    @property
    def variance(self) -> float:
        """(2), right."""
        return self.p * (1 - self.p)

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """`n` independent trials, int64 of 0 and 1."""
        return (rng.random(count("bernoulli", "n", n)) < self.p).astype(np.int64)


def sums_over_both_outcomes_are_exact() -> Check:
    """For p = k/64 the sums over {0, 1} give 1, p and p (1 - p) exactly: the largest difference.

    Source: Bernoulli 1713; these numbers are exact in binary
    """
    x, worst = np.array([0.0, 1.0]), 0.0
    for k in range(65):
        law = Bernoulli(k / 64)
        mass = law.mass(x)
        spread = mass @ (x - law.mean) ** 2
        worst = max(worst, abs(mass.sum() - 1), abs(mass @ x - law.mean), abs(spread - law.variance))
    return exactly(float(worst), 0.0)


def nothing_happens_between() -> Check:
    """The mass at x = 1/2 is 0 for every p, where the formula read literally says up to one half.

    Source: equation (1) holds for x in {0, 1}
    """
    p = np.linspace(0, 1, 65)
    literal = p**0.5 * (1 - p) ** 0.5
    said = max(float(Bernoulli(q).mass(0.5)) for q in p)
    return at_least(float(literal.max()) - 1e9 * said, 0.5)


CARD = Card(
    name="Bernoulli distribution",
    name_ja="ベルヌーイ分布",
    paper="Jacob Bernoulli 1713, Ars conjectandi",
    equations=(r"P(X = x) = p^x (1-p)^{1-x},\quad x \in \{0, 1\}", r"E[X] = p,\quad \mathrm{Var}\,X = p(1-p)"),
    summary="One trial with two outcomes: the smallest law there is, and the one behind binary cross entropy.",
    summary_ja="結果が二つの一回の試行。もっとも小さな確率分布で、二値交差エントロピーの元になる。",
    topics=("maths.bernoulli",),
    facts=(sums_over_both_outcomes_are_exact, nothing_happens_between),
    notes=("The formula is meant for x = 0 and x = 1 only; elsewhere the mass is 0.",),
    notes_ja=("式は x = 0 と x = 1 のためのもの。それ以外での確率は 0 である。",),
)
