r"""Generalisation error: how far what was learned lies from the truth, under the law of the inputs (Vapnik 1998).

    E |f^ - f|^2 = E sum_x P(x) (f^(x) - f(x))^2 = bias^2 + variance                   (1)
    bias^2 = sum_x P(x) (E f^(x) - f(x))^2,   variance = sum_x P(x) Var f^(x)          (2)
    linear fits f^(x) = sum_i S_xi y_i:   E f^ = S f,   Var f^(x) = sigma^2 sum_i S_xi^2     (3)
    E[error on new targets at the same places] - E[training error] = 2 sigma^2 trace(S) / n   (4)

The mean is over the noise in the training targets. Richer models have less bias and more variance. (4), the optimism
(Mallows 1973), says how much a training error flatters.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.errors import UserError
from shinso.maths.inputs import count, masses, numbers

WHERE = "generalisation error"


@dataclass(frozen=True)
class Expected:
    """(2) of one way of fitting."""

    squared_bias: float
    variance: float

    @property
    def error(self) -> float:
        """(1)."""
        return self.squared_bias + self.variance


def smoother(x: ArrayLike, asked: ArrayLike, degree: int) -> np.ndarray:
    """S of (3), (m, n): the answers at `asked` (m,) of the least-squares polynomial through targets at `x` (n,)."""
    a, b = numbers(WHERE, "x", x, 1), numbers(WHERE, "asked", asked, 1)
    if len(b) == 0 or not count(WHERE, "degree", degree) < len(np.unique(a)):
        raise UserError(WHERE, f"degree {degree} is not determined by places {a.shape}", "give more different places")
    low, high = min(a.min(), b.min()), max(a.max(), b.max())
    basis = [np.polynomial.chebyshev.chebvander(2 * (v - low) / (high - low) - 1, degree) for v in (a, b)]
    return basis[1] @ np.linalg.pinv(basis[0])


def expected_error(S: ArrayLike, f_learned: ArrayLike, f_asked: ArrayLike, sigma: float,
                   law: ArrayLike) -> Expected:
    """(2) by (3): the truth at the places learned from (n,) and asked (m,), with the law P of these (m,)."""
    matrix, weights = numbers(WHERE, "S", S, 2), masses(WHERE, "law", law, 1)
    learned, truth = numbers(WHERE, "f_learned", f_learned, 1), numbers(WHERE, "f_asked", f_asked, 1)
    if matrix.shape != (len(truth), len(learned)) or weights.shape != truth.shape:
        raise UserError(WHERE, f"S {matrix.shape}, f {learned.shape} and {truth.shape} do not fit", "give (m, n), n, m")
    variance = float(numbers(WHERE, "sigma", sigma, 0)) ** 2 * float(weights @ (matrix**2).sum(1))
    return Expected(float(weights @ (matrix @ learned - truth) ** 2), variance)


def generalisation_error(answers: ArrayLike, truth: ArrayLike, law: ArrayLike) -> np.ndarray:
    """|f^ - f|^2 of (1) for answers (..., m), one number for each fit."""
    given, right = numbers(WHERE, "answers", answers), numbers(WHERE, "truth", truth, 1)
    weights = masses(WHERE, "law", law, 1)
    if given.ndim == 0 or given.shape[-1:] != right.shape or right.shape != weights.shape:
        raise UserError(WHERE, f"answers {given.shape}, truth {right.shape} and law {weights.shape} do not fit",
                        "give (..., m), (m,) and (m,)")
    return (given - right) ** 2 @ weights


SIGMA = 0.3


def _world() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Places learned from, places asked, the truth at both, and the law of the second."""
    x, asked = np.linspace(0, 1, 15), np.linspace(0, 1, 101)
    return x, asked, np.sin(2 * np.pi * x), np.sin(2 * np.pi * asked), np.full(101, 1 / 101)


def _expected(degree: int) -> Expected:
    x, asked, f, truth, law = _world()
    return expected_error(smoother(x, asked, degree), f, truth, SIGMA, law)


def bias_and_variance_make_the_error() -> Check:
    """For degrees 1, 3, 5 and 9 the mean of 4,000 measured errors is the sum (1) within 4 standard errors: most used.

    Source: equation (1); Geman, Bienenstock, Doursat 1992
    """
    x, asked, f, truth, law = _world()
    rng, most = np.random.default_rng(0), 0.0
    for degree in (1, 3, 5, 9):
        S = smoother(x, asked, degree)
        found = generalisation_error((f + SIGMA * rng.normal(size=(4000, 15))) @ S.T, truth, law)
        most = max(most, abs(found.mean() - _expected(degree).error) / (found.std(ddof=1) / 4000**0.5))
    return at_most(float(most), 4.0)


def variance_never_falls_with_the_degree() -> Check:
    """From degree 0 to 12 the variance rises at every step: the smallest rise.

    Source: in nested least squares each column adds to every answer's variance
    """
    return at_least(min(np.diff([_expected(degree).variance for degree in range(13)]).tolist()), 1e-4)


def bias_goes_away() -> Check:
    """The squared bias of degree 11 is less than a millionth of that of degree 1.

    Source: a sine is a power series
    """
    return at_most(_expected(11).squared_bias / _expected(1).squared_bias, 1e-6)


def the_least_error_lies_between() -> Check:
    """Degree 3 has less error than degrees 1, 7 and 12: the smallest lead.

    Source: equation (1): one part falls, the other rises
    """
    return at_least(min(_expected(d).error for d in (1, 7, 12)) - _expected(3).error, 1e-3)


def a_training_error_flatters_by_its_degree() -> Check:
    """On the same places new targets cost 2 sigma^2 (d + 1) / n more than those learned from, within 4 standard errors.

    Source: Mallows 1973; Efron 1986; equation (4)
    """
    x, _, f, _, _ = _world()
    rng, most = np.random.default_rng(1), 0.0
    for degree in (1, 3, 7):
        S = smoother(x, x, degree)
        y, new = (f + SIGMA * rng.normal(size=(4000, 15)) for _ in range(2))
        more = ((new - y @ S.T) ** 2).mean(1) - ((y - y @ S.T) ** 2).mean(1)
        most = max(most, abs(more.mean() - 2 * SIGMA**2 * (degree + 1) / 15) / (more.std(ddof=1) / 4000**0.5))
    return at_most(float(most), 4.0)


CARD = Card(
    name="Generalisation error",
    name_ja="汎化誤差",
    paper="Vapnik 1998, Statistical Learning Theory; Geman, Bienenstock, Doursat 1992; Mallows 1973",
    equations=(r"E\,\|\hat f - f\|^2_{L^2(P)} = \mathrm{bias}^2 + \mathrm{variance}",
               r"\mathrm{bias}^2 = \|E\hat f - f\|^2,\quad \mathrm{variance} = E\,\|\hat f - E\hat f\|^2",
               r"\hat f = S y:\quad E\hat f = S f,\quad \mathrm{Var}\,\hat f(x) = \sigma^2 \sum_i S_{xi}^2",
               r"E[\mathrm{new}] - E[\mathrm{training}] = \frac{2 \sigma^2\,\mathrm{tr}\,S}{n}"),
    summary="How far a fit lies from the truth, split into what the model cannot say and what the noise makes it say.",
    summary_ja="当てはめと真実の隔たり。モデルが表せない分 (バイアス) と雑音に言わされた分 (分散) に分ける。",
    topics=("metrics.generalisation-error",),
    facts=(bias_and_variance_make_the_error, variance_never_falls_with_the_degree, bias_goes_away,
           the_least_error_lies_between, a_training_error_flatters_by_its_degree),
)
