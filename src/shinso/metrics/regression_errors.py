r"""Errors of a regression: mean absolute, mean squared, and the root of that.

    MAE = 1/n sum |y_i - p_i|                                                          (1)
    MSE = 1/n sum (y_i - p_i)^2,   RMSE = sqrt(MSE)                                    (2)
    0 <= MAE <= RMSE,  equal only where all |y_i - p_i| are equal                      (3)

MAE and RMSE have the unit of y; one wild example moves RMSE far and MAE little. The median is the constant with the
least MAE, the mean the one with the least MSE.
"""

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.errors import UserError
from shinso.maths.inputs import numbers


def mae(targets: ArrayLike, predictions: ArrayLike) -> float:
    """(1) over all entries of two arrays of one shape."""
    return float(np.abs(residuals(targets, predictions)).mean())


def mse(targets: ArrayLike, predictions: ArrayLike) -> float:
    """(2), left."""
    return float((residuals(targets, predictions) ** 2).mean())


def rmse(targets: ArrayLike, predictions: ArrayLike) -> float:
    """(2), right; without overflow or underflow of the squares."""
    off = np.abs(residuals(targets, predictions))
    top = float(off.max())
    return top * float(np.sqrt(((off / top) ** 2).mean())) if top else 0.0


def residuals(targets: ArrayLike, predictions: ArrayLike) -> np.ndarray:
    """y - p as float64; UserError unless both are finite numbers of one shape, at least one of them."""
    y, p = (numbers("regression errors", name, v) for name, v in (("targets", targets), ("predictions", predictions)))
    if y.shape != p.shape or y.size == 0:
        raise UserError("regression errors", f"targets {y.shape} and predictions {p.shape} do not pair up",
                        "give both the same shape, with at least one entry")
    return y - p


def the_root_is_never_below_the_absolute() -> Check:
    """Over 2,000 random samples RMSE / MAE is at least 1.

    Source: equation (3): the inequality of Jensen
    """
    rng = np.random.default_rng(0)
    pairs = [(rng.standard_cauchy(n), rng.normal(size=n)) for n in rng.integers(2, 30, 2000)]
    return at_least(min(rmse(y, p) / mae(y, p) for y, p in pairs), 1.0)


def they_meet_only_at_equal_errors() -> Check:
    """With errors of +-0.7 alone RMSE = MAE to 1e-15; moving one error by 0.1 parts them: how far, at least 1e-4.

    Source: equation (3)
    """
    errors = 0.7 * np.array([1, -1, -1, 1, 1.0])
    assert abs(rmse(errors, 0 * errors) - mae(errors, 0 * errors)) < 1e-15  # noqa: S101 - the other half of the claim
    errors[0] += 0.1
    return at_least(rmse(errors, 0 * errors) - mae(errors, 0 * errors), 1e-4)


def the_mean_and_the_median_are_the_best_constants() -> Check:
    """Of 2,001 constants none has a lower MSE than the mean or a lower MAE than the median: the smallest lead.

    Source: Laplace 1818; Gauss 1809
    """
    y = np.random.default_rng(1).gamma(1.0, size=51)
    constants = np.linspace(y.min(), y.max(), 2001)
    squared = min(mse(y, np.full_like(y, c)) for c in constants) - mse(y, np.full_like(y, y.mean()))
    absolute = min(mae(y, np.full_like(y, c)) for c in constants) - mae(y, np.full_like(y, np.median(y)))
    return at_least(min(squared, absolute), -1e-15)


def one_wild_example_moves_the_root_more() -> Check:
    """One error of 100 among 99 of 1: MAE is 1.99, RMSE 10.05 to 0.001.

    Source: sqrt((99 + 10000) / 100)
    """
    errors = np.ones(100)
    errors[0] = 100
    assert mae(errors, 0 * errors) == 1.99  # noqa: S101 - the other half of the claim
    return at_most(abs(rmse(errors, 0 * errors) - 10.05), 1e-3)


CARD = Card(
    name="Regression errors (MAE, MSE, RMSE)",
    name_ja="回帰の評価指標 (平均絶対誤差・平均二乗誤差・その平方根)",
    paper="Gauss 1809; Laplace 1818; Willmott and Matsuura 2005, doi:10.3354/cr030079",
    equations=(r"\mathrm{MAE} = \frac{1}{n}\sum_i |y_i - p_i|",
               r"\mathrm{MSE} = \frac{1}{n}\sum_i (y_i - p_i)^2,\quad \mathrm{RMSE} = \sqrt{\mathrm{MSE}}",
               r"0 \leq \mathrm{MAE} \leq \mathrm{RMSE}"),
    summary="How far a regression is off: in the mean, in the mean square, and in the root of that.",
    summary_ja="回帰の外れ方を、絶対値の平均、二乗の平均、その平方根で測る。",
    topics=("metrics.mse-rmse-mae",),
    facts=(the_root_is_never_below_the_absolute, they_meet_only_at_equal_errors,
           the_mean_and_the_median_are_the_best_constants, one_wild_example_moves_the_root_more),
    notes=("The document's sougo-gosa (mutual error) is no established measure; most likely the squared or the mean"
           " squared error is meant, and MAE, MSE and RMSE are offered.",),
    notes_ja=("資料の「相互誤差」は確立した指標ではない。二乗誤差か平均二乗誤差のことと思われる。ここではMAE、MSE、RMSEを備える。",),
)
