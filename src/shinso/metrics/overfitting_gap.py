r"""Overfitting: a small error on what was learned, a large one on what was not.

    training error = 1/n sum_i (f^(x_i) - y_i)^2,   validation error = the same on new points     (1)
    gap = validation error - training error                                            (2)
    E[R^2] = d / (n - 1)   for d columns of pure noise and an intercept on n points    (3)

A polynomial of degree n - 1 meets any n points exactly, noise included, and swings between them. A small training
error proves nothing by itself: with (3), three columns that know nothing explain three quarters of five points.
"""

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Chebyshev
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.errors import UserError
from shinso.maths.inputs import count, numbers
from shinso.metrics.kfold import least_squares
from shinso.metrics.r2 import r2
from shinso.metrics.regression_errors import mse


@dataclass(frozen=True)
class Gap:
    """(1) and (2) of one fit."""

    training: float
    validation: float

    @property
    def gap(self) -> float:
        """(2)."""
        return self.validation - self.training


def polynomial(x: ArrayLike, y: ArrayLike, degree: int) -> Chebyshev:
    """Least squares by a polynomial, in Chebyshev's basis on the points' interval: well conditioned at any degree."""
    a, b = numbers("overfitting gap", "x", x, 1), numbers("overfitting gap", "y", y, 1)
    if a.shape != b.shape or not count("overfitting gap", "degree", degree) < len(np.unique(a)):
        raise UserError("overfitting gap", f"degree {degree} is not determined by points {a.shape}",
                        "give more different points than the degree")
    return Chebyshev.fit(a, b, degree)


def overfitting_gap(x: ArrayLike, y: ArrayLike, new_x: ArrayLike, new_y: ArrayLike, degree: int) -> Gap:
    """(1) of the polynomial of `degree` learned on `x`, `y` (n,) and measured on new points (m,)."""
    f = polynomial(x, y, degree)
    old, new = numbers("overfitting gap", "x", x, 1), numbers("overfitting gap", "new_x", new_x, 1)
    return Gap(mse(y, f(old)), mse(new_y, f(new)))


def _noisy_sine(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x = np.sort(rng.uniform(-1, 1, n))
    return x, np.sin(np.pi * x) + 0.3 * rng.normal(size=n)


def _by_degree(seed: int) -> list[Gap]:
    rng = np.random.default_rng(seed)
    (x, y), (new_x, new_y) = _noisy_sine(10, rng), _noisy_sine(1000, rng)
    return [overfitting_gap(x, y, new_x, new_y, degree) for degree in range(10)]


def ten_points_are_met_exactly() -> Check:
    """The polynomial of degree 9 meets 10 noisy points with a training error below 1e-10.

    Source: Lagrange 1795: n points determine a polynomial of degree n - 1
    """
    return at_most(_by_degree(0)[9].training, 1e-10)


def and_new_ones_are_missed() -> Check:
    """The same polynomial has a validation error above 1, more than ten times the noise's variance 0.09.

    Source: Runge 1901; equation (2)
    """
    return at_least(_by_degree(0)[9].validation, 1.0)


def the_best_degree_lies_between() -> Check:
    """On 50 draws of 10 points degree 3 has the lower validation error than degree 1 and degree 9 in most: the share.

    Source: Geman, Bienenstock, Doursat 1992
    """
    draws = [_by_degree(seed) for seed in range(50)]
    return at_least(float(np.mean([d[3].validation < min(d[1].validation, d[9].validation) for d in draws])), 0.8)


def training_error_only_falls() -> Check:
    """From degree to degree the training error never rises, over 50 draws: the largest rise, up to 1e-12.

    Source: a larger least-squares problem holds the smaller one
    """
    draws = [[gap.training for gap in _by_degree(seed)] for seed in range(50)]
    return at_most(float(max(np.diff(errors).max() for errors in draws)), 1e-12)


def five_points_and_four_numbers_say_little() -> Check:
    """For targets of noise, 5 points and 3 columns with an intercept, the mean R^2 over 2,000 draws is 3/4 to 0.02.

    Source: equation (3): R^2 has the law Beta(d/2, (n - 1 - d)/2)
    """
    rng, found = np.random.default_rng(1), []
    for _ in range(2000):
        x, y = rng.normal(size=(5, 3)), rng.normal(size=5)
        found.append(r2(y, least_squares(x, y, x)))
    return about(float(np.mean(found)), 0.75, 0.02)


CARD = Card(
    name="Overfitting gap",
    name_ja="過学習(訓練誤差と検証誤差の差)",
    paper="Runge 1901; Geman, Bienenstock, Doursat 1992, doi:10.1162/neco.1992.4.1.1",
    equations=(r"\mathrm{training\ error} = \frac{1}{n}\sum_i (\hat f(x_i) - y_i)^2",
               r"\mathrm{gap} = \mathrm{validation\ error} - \mathrm{training\ error}",
               r"E[R^2] = \frac{d}{n-1}"),
    summary="A small error on what was learned and a large one on what was not, measured side by side.",
    summary_ja="学んだ点では小さく、学んでいない点では大きい誤差を、並べて測る。",
    topics=("metrics.overfitting-gap",),
    facts=(ten_points_are_met_exactly, and_new_ones_are_missed, the_best_degree_lies_between,
           training_error_only_falls, five_points_and_four_numbers_say_little),
    notes=("The course's regression has 5 points and 4 parameters: its small training error says little.",),
    notes_ja=("講義の回帰は5点に4個のパラメータを使う。訓練誤差が小さくてもほとんど何も分からない。",),
)
