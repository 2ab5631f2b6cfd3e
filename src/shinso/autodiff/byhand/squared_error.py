r"""Half the sum of squares: the distance between answer and teacher, squared.

    L = 1/2 sum_k (y_k - t_k)^2                               (1)
    dL/dy = y - t                                             (2)

The 1/2 is there for (2): what goes back is the error itself, one to one. The sum runs over everything, the batch, too:
twice as many examples give a gradient twice as long, so a learning rate belongs to a batch size. The surprise is where
it comes from: (1) is, up to a constant, minus the log-likelihood of normal noise of variance 1.

Legendre 1805; Gauss 1809.
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand._shapes import matching
from shinso.core.card import Card, Check, at_most, exactly


@final
class SquaredError:
    """Prediction and target of one shape -> a number; summed over all entries."""

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> float:
        matching("squared error", prediction, target)
        self.error = prediction - target
        return 0.5 * float(np.vdot(self.error, self.error))  # (1)

    def backward(self, grad: float = 1.0) -> np.ndarray:
        return self.error * grad  # (2)


def example(rng: np.random.Generator) -> tuple[SquaredError, tuple[np.ndarray, np.ndarray]]:
    """Four examples of three answers."""
    return SquaredError(), (rng.normal(size=(4, 3)), rng.normal(size=(4, 3)))


def the_gradient_is_the_error() -> Check:
    """dL/dy is y - t without rounding beyond that of the subtraction, in 12 of 12 entries.

    Source: equation (2)
    """
    loss, (y, t) = example(np.random.default_rng(0))
    loss.forward(y, t)
    return exactly(float((loss.backward() == y - t).sum()), 12)


def it_is_least_at_the_teacher() -> Check:
    """On a grid of 201 answers from -1 to 1 the smallest loss is 0 and stands at the teacher, 0.25.

    Source: a sum of squares
    """
    grid = np.linspace(-1, 1, 201)
    values = [SquaredError().forward(np.array([y]), np.array([0.25])) for y in grid]
    return exactly(abs(grid[int(np.argmin(values))] - 0.25) + min(values), 0)


def it_is_minus_a_log_likelihood() -> Check:
    """L plus 6 log(2 pi) is minus the log-density of 12 answers under normal noise of variance 1, to 1e-13.

    Source: Gauss 1809
    """
    loss, (y, t) = example(np.random.default_rng(1))
    density = np.exp(-((y - t) ** 2) / 2) / np.sqrt(2 * np.pi)
    return at_most(float(abs(loss.forward(y, t) + 6 * np.log(2 * np.pi) + np.log(density).sum())), 1e-13)


def the_articles_code_doubles_the_gradient() -> Check:
    """The slope of the article's np.sum((t - y)**2) is 2 times the gradient of its own formula, to 1e-9.

    Source: central differences of the code as printed
    """
    loss, (y, t) = example(np.random.default_rng(2))
    loss.forward(y, t)
    step, slopes = 1e-4, np.empty_like(y)
    for place in np.ndindex(y.shape):
        move = np.zeros_like(y)
        move[place] = step
        slopes[place] = (np.sum((t - y - move) ** 2) - np.sum((t - y + move) ** 2)) / (2 * step)
    return at_most(float(np.abs(slopes - 2 * loss.backward()).max()), 1e-9)


CARD = Card(
    name="Half the sum of squares",
    name_ja="二乗和誤差",
    paper="Legendre 1805, Nouvelles methodes; Gauss 1809, Theoria motus corporum coelestium",
    equations=(r"L = \tfrac12 \sum_k (y_k - t_k)^2", r"\frac{\partial L}{\partial y} = y - t"),
    summary="Half the squared distance between answer and teacher; its gradient is the error itself.",
    summary_ja="答えと教師の距離の二乗の半分。その勾配は誤差そのものである。",
    topics=("nn.squared-error", "nn.loss-concept"),
    facts=(
        the_gradient_is_the_error,
        it_is_least_at_the_teacher,
        it_is_minus_a_log_likelihood,
        the_articles_code_doubles_the_gradient,
    ),
    notes=("The article's function is named mean_squared_error, but its code np.sum((t - y)**2) has neither the "
           "mean nor "
           "the 1/2 of its formula: the gradient is doubled.",
           "Other documents write e^2 or (y - y')^2 without 1/2 for the same thing; with it, (2) has no factor."),
    notes_ja=("記事の関数は mean_squared_error という名だが、コード np.sum((t - y)**2) には平均も、式にある 1/2 も"
              "ない。勾配は二倍になる。",
              "ほかの資料では同じものを 1/2 なしの e^2 や (y - y')^2 と書く。1/2 があれば式 (2) に係数が出ない。"),
)
