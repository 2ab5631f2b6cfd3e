r"""Mean squared error: the squared errors, averaged over all entries.

    L = 1/N sum_k (y_k - t_k)^2                               (1)
    dL/dy = 2/N (y - t)                                       (2)
    R(W) = 1/n sum_i l(t_i, f(x_i, W))                        (3)

N counts entries, not examples: for answers of m numbers the gradient is m times smaller than that of the mean over the
examples. (3) is the empirical risk, the mean of any loss l over the n examples there are. Sum and mean have the same
minimum; the surprise is that they need not be told apart at all, since a step of rate a down the mean is a step of rate
a/n down the sum. Only a learning rate without its reduction means nothing.

Gauss 1809; Vapnik 1998 (the empirical risk).
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand._shapes import matching
from shinso.autodiff.byhand.squared_error import SquaredError
from shinso.core.card import Card, Check, about, at_least, at_most


@final
class MeanSquaredError:
    """Prediction and target of one shape -> a number; averaged over all entries."""

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> float:
        matching("mean squared error", prediction, target)
        self.error = prediction - target
        return float(np.vdot(self.error, self.error)) / self.error.size  # (1)

    def backward(self, grad: float = 1.0) -> np.ndarray:
        return self.error * (2 * grad / self.error.size)  # (2)


def example(rng: np.random.Generator) -> tuple[MeanSquaredError, tuple[np.ndarray, np.ndarray]]:
    """Four examples of three answers."""
    return MeanSquaredError(), (rng.normal(size=(4, 3)), rng.normal(size=(4, 3)))


def it_averages_over_entries() -> Check:
    """For 4 examples of 3 answers the loss is the sum of squares over 12, to 1e-15; over 4 it would be 3 times as much.

    Source: equation (1); torch.nn.MSELoss
    """
    loss, (y, t) = example(np.random.default_rng(0))
    return at_most(abs(loss.forward(y, t) - float(((y - t) ** 2).sum()) / 12), 1e-15)


def more_answers_shrink_the_gradient() -> Check:
    """An error of 1 in one of m answers of one example has the slope 2/m: for m = 5 it is 0.4.

    Source: equation (2)
    """
    loss = MeanSquaredError()
    loss.forward(np.eye(1, 5), np.zeros((1, 5)))
    return about(float(loss.backward()[0, 0]), 0.4, 1e-16)


def _descent(rate: float, *, mean: bool) -> np.ndarray:
    """The weights after each of 200 steps of linear regression on 30 examples, by one of the two losses."""
    draw = np.random.default_rng(1)
    x, loss = draw.normal(size=(30, 3)), MeanSquaredError() if mean else SquaredError()
    t = x @ draw.normal(size=(3, 1)) + draw.normal(size=(30, 1))
    w, path = np.zeros((3, 1)), []
    for _ in range(200):
        loss.forward(x @ w, t)
        w = w - rate * (x.T @ loss.backward())
        path.append(w)
    return np.array(path)


def sum_and_mean_take_the_same_way() -> Check:
    """200 steps of rate 0.1 down the mean over 30 examples are those of rate 0.2/30 down half the sum, to 1e-12.

    Source: equation (3); the factor is 2/n
    """
    return at_most(float(np.abs(_descent(0.1, mean=True) - _descent(0.2 / 30, mean=False)).max()), 1e-12)


def sum_and_mean_end_at_the_same_place() -> Check:
    """At the end of both, the weights differ from the least-squares solution by at most 1e-8.

    Source: a positive factor moves no minimum; Vapnik 1998
    """
    draw = np.random.default_rng(1)
    x = draw.normal(size=(30, 3))
    t = x @ draw.normal(size=(3, 1)) + draw.normal(size=(30, 1))
    best = np.linalg.lstsq(x, t, rcond=None)[0]
    ends = [_descent(0.1, mean=True)[-1], _descent(0.2 / 30, mean=False)[-1]]
    return at_most(float(max(np.abs(end - best).max() for end in ends)), 1e-8)


def the_rate_of_the_mean_is_too_much_for_the_sum() -> Check:
    """The rate 0.1 carried over to half the sum diverges: after 200 steps a weight is beyond 1e20.

    Source: 0.1 is above 2 / L of the sum over 30 examples
    """
    return at_least(float(np.abs(_descent(0.1, mean=False)[-1]).max()), 1e20)


CARD = Card(
    name="Mean squared error and empirical risk",
    name_ja="平均二乗誤差・経験損失",
    paper="Gauss 1809, Theoria motus corporum coelestium; Vapnik 1998, Statistical learning theory",
    equations=(
        r"L = \frac{1}{N} \sum_k (y_k - t_k)^2",
        r"\frac{\partial L}{\partial y} = \frac{2}{N}(y - t)",
        r"R(W) = \frac{1}{n} \sum_i \ell(t_i, f(x_i, W))",
    ),
    summary="The squared errors averaged over all entries; sum and mean share their minimum and differ in their rate.",
    summary_ja="二乗誤差を全成分で平均したもの。和と平均は最小点が同じで、学習率の意味だけが違う。",
    topics=("nn.mse", "nn.empirical-risk"),
    facts=(
        it_averages_over_entries,
        more_answers_shrink_the_gradient,
        sum_and_mean_take_the_same_way,
        sum_and_mean_end_at_the_same_place,
        the_rate_of_the_mean_is_too_much_for_the_sum,
    ),
    notes=("The notebook writes (1/M) sum over examples; nn.MSELoss averages over all entries, which for m answers "
           "is m "
           "times less.",
           "The lectures change between the sum and the mean over the examples: a learning rate is meaningful only "
           "with "
           "the reduction beside it."),
    notes_ja=("ノートブックは事例についての平均 (1/M) を書くが、nn.MSELoss は全成分で平均する。答えが m 個なら m 分"
              "の一になる。",
              "講義では事例についての和と平均が途中で入れ替わる。学習率は、どちらをとるかと合わせて初めて意味を持つ。"),
    twin="torch.nn.functional.mse_loss",
)
