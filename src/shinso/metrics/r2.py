r"""Coefficient of determination: which share of the targets' variance a regression explains (Wright 1921).

    R^2 = 1 - sum (y_i - p_i)^2 / sum (y_i - mean y)^2                                 (1)
    R^2 = corr(y, p)^2   for least squares with an intercept                           (2)

1 for a perfect fit, 0 for the mean, negative for what is worse than the mean: a "square" in name alone. For constant
targets it is 0/0 and not defined. Other definitions, such as (2) itself, differ without an intercept or on new data.
"""

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.errors import UserError
from shinso.metrics.kfold import least_squares
from shinso.metrics.regression_errors import residuals


def r2(targets: ArrayLike, predictions: ArrayLike) -> float:
    """(1) of targets and predictions (n,); UserError for fewer than two or for constant targets."""
    off, y = residuals(targets, predictions), np.asarray(targets, dtype=np.float64)
    if y.ndim != 1 or len(y) < 2 or np.ptp(y) == 0:
        raise UserError("r2", "the targets are not two or more different numbers in a row", "use rmse or mae there")
    return 1 - float((off**2).sum() / ((y - y.mean()) ** 2).sum())


FRUIT = np.array([[73.0, 67, 43], [91, 88, 64], [87, 134, 58], [102, 43, 37], [69, 96, 70]])
"""temperature, rainfall and humidity of five places: the course's exercise"""
APPLES = np.array([56.0, 81, 119, 22, 103])
"""their yield"""


def _random_fits(number: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng, found = np.random.default_rng(0), []
    for _ in range(number):
        x = rng.normal(size=(20, 3))
        y = x @ rng.normal(size=3) + rng.normal() + 2 * rng.normal(size=20)
        found.append((y, least_squares(x, y, x)))
    return found


def perfect_mean_and_worse() -> Check:
    """A perfect fit has 1, the mean 0, and the targets upside down -3: the sum of the three differences.

    Source: equation (1)
    """
    y = np.array([1.0, 2, 4, 9])
    off = abs(r2(y, y) - 1) + abs(r2(y, np.full(4, y.mean()))) + abs(r2(y, 2 * y.mean() - y) + 3)
    return at_most(off, 1e-14)


def with_an_intercept_it_is_the_squared_correlation() -> Check:
    """For 200 least-squares fits with intercept R^2 equals the squared correlation to 1e-12.

    Source: Wright 1921; equation (2)
    """
    return at_most(max(abs(r2(y, p) - np.corrcoef(y, p)[0, 1] ** 2) for y, p in _random_fits(200)), 1e-12)


def the_fruit_of_the_course() -> Check:
    """Least squares on the five places gives R^2 = 0.9991877418.

    Source: the course's exercise on multiple regression
    """
    return about(r2(APPLES, least_squares(FRUIT, APPLES, FRUIT)), 0.9991877418, 5e-11)


def without_an_intercept_they_part() -> Check:
    """Through the origin the squared correlation and R^2 of 200 fits differ by more than 0.1 somewhere.

    Source: Kvalseth 1985
    """
    rng, worst = np.random.default_rng(1), 0.0
    for _ in range(200):
        x = rng.normal(size=20) + 3
        y = x + 4 + rng.normal(size=20)
        p = x * (x @ y) / (x @ x)
        worst = max(worst, abs(r2(y, p) - np.corrcoef(y, p)[0, 1] ** 2))
    return at_least(float(worst), 0.1)


def more_columns_never_lower_it() -> Check:
    """On the data it was fitted to, a column of noise never lowers R^2: the smallest rise over 200 fits.

    Source: a larger least-squares problem holds the smaller one
    """
    rng, least = np.random.default_rng(2), np.inf
    for _ in range(200):
        x, y = rng.normal(size=(15, 4)), rng.normal(size=15)
        least = min(least, r2(y, least_squares(x, y, x)) - r2(y, least_squares(x[:, :3], y, x[:, :3])))
    return at_least(least, -1e-14)


CARD = Card(
    name="Coefficient of determination",
    name_ja="決定係数",
    paper="Wright 1921, Correlation and Causation; Kvalseth 1985, doi:10.1080/00031305.1985.10479448",
    equations=(r"R^2 = 1 - \frac{\sum_i (y_i - p_i)^2}{\sum_i (y_i - \bar y)^2}", r"R^2 = \mathrm{corr}(y, p)^2"),
    summary="The share of the variance that a regression explains: 1 at best, 0 for the mean, below for worse.",
    summary_ja="回帰が説明する目的変数の分散の割合。最良で1、平均と同じなら0、それより悪ければ負。",
    topics=("metrics.r2",),
    facts=(perfect_mean_and_worse, with_an_intercept_it_is_the_squared_correlation, the_fruit_of_the_course,
           without_an_intercept_they_part, more_columns_never_lower_it),
    notes=("It is not defined for constant targets, and several definitions differ without an intercept.",),
    notes_ja=("目的変数が一定のときは定義されない。切片がないと、いくつかある定義は一致しない。",),
)
