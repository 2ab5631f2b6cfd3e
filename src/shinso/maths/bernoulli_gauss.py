r"""Bernoulli-Gauss distribution: mostly zero, otherwise Gaussian; the usual model of a sparse signal.

    X = B Z,   B ~ Bernoulli(p),   Z ~ N(0, sigma^2)  independent                      (1)
    E[X] = 0,   Var X = p sigma^2,   P(X = 0) = 1 - p                                  (2)

It has neither a mass function nor a density alone: an atom of mass 1 - p at zero, and p times a Gaussian density
elsewhere. A vector of n entries has n p that are not zero, on average.
"""

from typing import final

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, at_most, exactly
from shinso.maths.gaussian import Gaussian
from shinso.maths.inputs import count, positive, share


@final
class BernoulliGauss:
    """The law (1): not zero with probability `p`, and then Gaussian with deviation `sigma`."""

    def __init__(self, p: float, sigma: float = 1.0):
        self.p, self.sigma = share("bernoulli-gauss", "p", p), positive("bernoulli-gauss", "sigma", sigma)

    @property
    def atom(self) -> float:
        """The mass at zero."""
        return 1 - self.p

    def density(self, x: ArrayLike) -> np.ndarray:
        """The part that has a density: p N(x; 0, sigma^2). It integrates to p; the atom at zero is not in it."""
        return self.p * Gaussian(0.0, self.sigma).density(x)

    @property
    def mean(self) -> float:
        """(2), left."""
        return 0.0

    @property
    def variance(self) -> float:
        """(2), the second moment, too."""
        return self.p * self.sigma**2

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """A vector of `n` independent entries."""
        n = count("bernoulli-gauss", "n", n)
        values = self.sigma * rng.standard_normal(n)
        return np.where(rng.random(n) < self.p, values, 0.0)


def the_number_that_is_not_zero() -> Check:
    """Of a million entries with p = 0.1 the number that is not zero is n p within 4 standard errors.

    Source: the binomial law: standard error sqrt(n p (1 - p))
    """
    n, p = 1_000_000, 0.1
    found = np.count_nonzero(BernoulliGauss(p).sample(np.random.default_rng(0), n))
    return at_most(abs(found - n * p) / (n * p * (1 - p)) ** 0.5, 4.0)


def the_second_moment_is_p() -> Check:
    """The mean square of a million entries with p = 0.1 and N(0, 1) is 0.1 within 4 standard errors.

    Source: equation (2); Var X^2 = 3 p - p^2
    """
    n, p = 1_000_000, 0.1
    x = BernoulliGauss(p).sample(np.random.default_rng(1), n)
    return at_most(abs(float((x**2).mean()) - p) / ((3 * p - p * p) / n) ** 0.5, 4.0)


def atom_and_density_make_one() -> Check:
    """The atom and the integral of the density sum to 1, and the density gives the whole variance, to 1e-12.

    Source: equation (2)
    """
    law = BernoulliGauss(0.3, 2.0)
    x, h = np.linspace(-24, 24, 2001, retstep=True)
    density = law.density(x)
    return at_most(abs(law.atom + h * density.sum() - 1) + abs(h * float(density @ x**2) - law.variance), 1e-12)


def without_chance_nothing_is_left() -> Check:
    """p = 0 gives zeros alone and p = 1 none: the wrong entries among 2,000.

    Source: equation (1)
    """
    rng = np.random.default_rng(2)
    empty, full = BernoulliGauss(0.0).sample(rng, 1000), BernoulliGauss(1.0).sample(rng, 1000)
    return exactly(int(np.count_nonzero(empty) + (full == 0).sum()), 0)


CARD = Card(
    name="Bernoulli-Gauss distribution",
    name_ja="ベルヌーイ・ガウス分布(スパースベクトル)",
    paper="Kormylo and Mendel 1982, doi:10.1109/TIT.1982.1056496; Vila and Schniter 2013",
    equations=(r"X = B Z,\quad B \sim \mathrm{Bernoulli}(p),\quad Z \sim N(0, \sigma^2)",
               r"E[X] = 0,\quad \mathrm{Var}\,X = p\,\sigma^2,\quad P(X = 0) = 1 - p"),
    summary="Mostly zero, otherwise Gaussian: the sparse signal of compressed sensing.",
    summary_ja="ほとんどが零で、それ以外はガウス分布に従う。圧縮センシングで使うスパース信号。",
    topics=("maths.bernoulli-gauss",),
    facts=(the_number_that_is_not_zero, the_second_moment_is_p, atom_and_density_make_one,
           without_chance_nothing_is_left),
)
