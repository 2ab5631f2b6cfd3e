r"""Gaussian distribution, in one dimension and in several (Gauss 1809).

    p(x) = exp(-(x - mu)^2 / (2 sigma^2)) / (sigma sqrt(2 pi))                                        (1)
    p(x) = exp(-(x - mu)^T S^{-1} (x - mu) / 2) / sqrt((2 pi)^d det S)                                (2)
    E[X] = mu,   Var X = sigma^2  or  S                                                               (3)

The log density is computed itself, never as the log of (1): 40 deviations out (1) is 0 in float64, its log is not.
With S = L L^T (Cholesky) the exponent of (2) is |L^{-1} (x - mu)|^2 and det S the squared product of L's diagonal.
"""

from math import log, pi
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.errors import UserError
from shinso.maths.inputs import count, numbers, positive

_LOG_ROOT = 0.5 * log(2 * pi)


@final
class Gaussian:
    """The normal law with mean `mu` and standard deviation `sigma`: the deviation, not the variance."""

    def __init__(self, mu: float, sigma: float):
        self.mu = float(numbers("gaussian", "mu", mu, 0))
        self.sigma = positive("gaussian", "sigma", sigma)

    def density(self, x: ArrayLike) -> np.ndarray:
        """(1), elementwise."""
        return np.exp(self.log_density(x))

    def log_density(self, x: ArrayLike) -> np.ndarray:
        """log of (1), elementwise."""
        z = (numbers("gaussian", "x", x) - self.mu) / self.sigma
        return -0.5 * z**2 - log(self.sigma) - _LOG_ROOT

    @property
    def mean(self) -> float:
        """(3), left."""
        return self.mu

    @property
    def variance(self) -> float:
        """(3), right."""
        return self.sigma**2

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """`n` independent numbers."""
        return self.mu + self.sigma * rng.standard_normal(count("gaussian", "n", n))


@final
class MultivariateGaussian:
    """The normal law with mean `mu` (d,) and covariance `S` (d, d), symmetric and positive definite."""

    def __init__(self, mu: ArrayLike, S: ArrayLike):
        self.mu, self.S = numbers("gaussian", "mu", mu, 1), numbers("gaussian", "S", S, 2)
        if len(self.mu) == 0 or self.S.shape != (len(self.mu), len(self.mu)):
            raise UserError("gaussian", f"S has the shape {self.S.shape}, mu {self.mu.shape}", "give (d, d) and (d,)")
        if np.abs(self.S - self.S.T).max() > 1e-12 * np.abs(self.S).max():
            raise UserError("gaussian", "S is not symmetric", "give a covariance matrix")
        try:
            self.L = np.linalg.cholesky(self.S)
        except np.linalg.LinAlgError:
            raise UserError("gaussian", "S is not positive definite", "give a covariance of full rank") from None

    def density(self, x: ArrayLike) -> np.ndarray:
        """(2) for points (..., d)."""
        return np.exp(self.log_density(x))

    def log_density(self, x: ArrayLike) -> np.ndarray:
        """log of (2) for points (..., d)."""
        x = numbers("gaussian", "x", x)
        if x.ndim == 0 or x.shape[-1] != len(self.mu):
            raise UserError("gaussian", f"x has the shape {x.shape}", f"let the last axis have {len(self.mu)} entries")
        z = self.whitened((x - self.mu).reshape(-1, len(self.mu)))
        half = 0.5 * (z**2).sum(-1).reshape(x.shape[:-1])
        return -half - np.log(np.diag(self.L)).sum() - len(self.mu) * _LOG_ROOT

    def whitened(self, offsets: np.ndarray) -> np.ndarray:
        """L^{-1} v for each row v of `offsets` (n, d)."""
        return np.linalg.solve(self.L, offsets.T).T

    @property
    def mean(self) -> np.ndarray:
        """(3), left: (d,)."""
        return self.mu.copy()

    @property
    def variance(self) -> np.ndarray:
        """The diagonal of the covariance: (d,)."""
        return np.diag(self.S).copy()

    @property
    def covariance(self) -> np.ndarray:
        """(3), right: (d, d)."""
        return self.S.copy()

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """`n` independent points, (n, d)."""
        return self.mu + rng.standard_normal((count("gaussian", "n", n), len(self.mu))) @ self.L.T


def moments_by_quadrature() -> Check:
    """The integrals of p, x p and (x - mu)^2 p over 12 deviations are 1, mu and sigma^2 to 1e-10, for three laws.

    Source: Gauss 1809; the trapezoidal rule is exact here up to exp(-2 (pi sigma / h)^2)
    """
    worst = 0.0
    for law in (Gaussian(0, 1), Gaussian(-3, 0.5), Gaussian(2, 4)):
        x, h = np.linspace(law.mu - 12 * law.sigma, law.mu + 12 * law.sigma, 2001, retstep=True)
        p = law.density(x)
        sums = h * p.sum() - 1, h * (p @ x) - law.mean, h * (p @ (x - law.mu) ** 2) - law.variance
        worst = max(worst, *map(abs, sums))
    return at_most(float(worst), 1e-10)


def independent_axes_multiply() -> Check:
    """With a diagonal covariance (2) is the product of the (1), in log density to 1e-12 at 1,000 points.

    Source: equations (1) and (2)
    """
    rng = np.random.default_rng(0)
    mu, sigma, x = rng.normal(size=4), rng.uniform(0.2, 3, 4), rng.normal(size=(1000, 4))
    each = sum(Gaussian(m, s).log_density(c) for m, s, c in zip(mu, sigma, x.T, strict=True))
    return at_most(float(np.abs(MultivariateGaussian(mu, np.diag(sigma**2)).log_density(x) - each).max()), 1e-12)


def samples_have_the_covariance() -> Check:
    """Of 200,000 points every entry of the covariance lies within 4 standard errors: the most of them used.

    Source: Isserlis 1918: Var of the product of two entries is S_ii S_jj + S_ij^2
    """
    law = MultivariateGaussian([1, -2, 0], [[2, 0.6, 0.1], [0.6, 1, -0.3], [0.1, -0.3, 0.5]])
    off = law.sample(np.random.default_rng(0), 200_000) - law.mu
    error = np.sqrt((np.outer(law.variance, law.variance) + law.S**2) / len(off))
    return at_most(float((np.abs(off.T @ off / len(off) - law.S) / error).max()), 4.0)


def the_log_survives_where_the_density_does_not() -> Check:
    """At 40 deviations the density is 0 in float64 and the log density -800.9189: how far from its closed form.

    Source: -z^2 / 2 - log sqrt(2 pi)
    """
    law = Gaussian(0, 1)
    assert float(law.density(40.0)) == 0  # noqa: S101 - the other half of the claim
    return at_most(abs(float(law.log_density(40.0)) + 800 + _LOG_ROOT), 1e-12)


def deviation_is_not_variance() -> Check:
    """Read as a variance, sigma = 0.5 gives a density at the mean that is off by a factor 1/sqrt(0.5) = 1.41421.

    Source: equation (1): the peak is 1 / (sigma sqrt(2 pi))
    """
    ratio = Gaussian(0, 0.5).density(0.0) / Gaussian(0, 0.5**0.5).density(0.0)
    return at_least(float(ratio), 1.41421)


CARD = Card(
    name="Gaussian distribution",
    name_ja="ガウス分布(正規分布)",
    paper="Gauss 1809, Theoria motus corporum coelestium",
    equations=(r"p(x) = \frac{1}{\sqrt{2\pi}\,\sigma}\, e^{-(x-\mu)^2/(2\sigma^2)}",
               r"p(x) = \frac{1}{\sqrt{(2\pi)^d \det S}}\, e^{-(x-\mu)^T S^{-1} (x-\mu)/2}",
               r"E[X] = \mu,\quad \mathrm{Var}\,X = \sigma^2\ \mathrm{or}\ S"),
    summary="The bell curve in one dimension and in several, with a log density that holds far out in the tails.",
    summary_ja="一次元と多次元の釣鐘曲線。対数密度は裾の遠くまで正しい。",
    topics=("maths.gaussian",),
    facts=(moments_by_quadrature, independent_axes_multiply, samples_have_the_covariance,
           the_log_survives_where_the_density_does_not, deviation_is_not_variance),
    notes=("Notebooks give the standard deviation, texts speak of the variance; here sigma is the deviation.",),
    notes_ja=("ノートブックは標準偏差を渡し、本文は分散を語る。ここの sigma は標準偏差である。",),
)
