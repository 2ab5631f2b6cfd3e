r"""The penalised objective: fit the data, but with small weights.

    J = J_D + J_R = 1/2 sum_i (y_i - x_i w)^2 + lambda ||w||^2                  (1)
    dJ_R/dw = 2 lambda w                                                        (2)
    w = (X^T X + 2 lambda I)^-1 X^T y                                           (3)
    w <- w - eta (dJ_D/dw + 2 lambda w) = (1 - 2 eta lambda) w - eta dJ_D/dw    (4)

(3) is where the gradient of (1) is zero: ridge regression. (4) says why it is called weight decay. There is no 1/2
before lambda, so a library's `weight_decay`, which is added to the gradient as it is, is 2 lambda. The surprise: (3)
exists for any X, even with more unknowns than equations, where least squares has infinitely many answers.

Tikhonov 1943; Hoerl and Kennard 1970.
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand.squared_error import SquaredError
from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.errors import UserError


@final
class L2Penalty:
    """J_R of (1): weights of any shape -> a number; its gradient is added to that of the data."""

    def __init__(self, strength: float):
        if not strength >= 0:
            raise UserError("L2 penalty", f"lambda = {strength} is not 0 or more", "give such a number")
        self.strength = strength

    def forward(self, weights: np.ndarray) -> float:
        self.weights = weights
        return self.strength * float(np.vdot(weights, weights))  # (1)

    def backward(self, grad: float = 1.0) -> np.ndarray:
        return self.weights * (2 * self.strength * grad)  # (2)


def ridge(x: np.ndarray, y: np.ndarray, strength: float) -> np.ndarray:
    """(3): examples (n, inputs) and answers (n, ...) -> weights (inputs, ...)."""
    return np.linalg.solve(x.T @ x + 2 * strength * np.eye(x.shape[1]), x.T @ y)


def example(rng: np.random.Generator) -> tuple[L2Penalty, tuple[np.ndarray]]:
    """A matrix of twelve weights."""
    return L2Penalty(0.3), (rng.normal(size=(4, 3)),)


def _problem(examples: int = 30, inputs: int = 5) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(examples, inputs))
    return x, x @ draw.normal(size=(inputs, 1)) + draw.normal(size=(examples, 1))


def _descend(x: np.ndarray, y: np.ndarray, strength: float, steps: int = 1000) -> np.ndarray:
    """(4) with the step 1 / L of the whole objective."""
    rate = 1 / (np.linalg.norm(x, 2) ** 2 + 2 * strength)
    w, data, penalty = np.zeros((x.shape[1], 1)), SquaredError(), L2Penalty(strength)
    for _ in range(steps):
        data.forward(x @ w, y)
        penalty.forward(w)
        w = w - rate * (x.T @ data.backward() + penalty.backward())  # (4)
    return w


def descent_ends_at_the_closed_form() -> Check:
    """1000 steps (4) with lambda = 1.5 end within 1e-10 of (3).

    Source: Hoerl and Kennard 1970; J is strongly convex
    """
    x, y = _problem()
    return at_most(float(np.abs(_descend(x, y, 1.5) - ridge(x, y, 1.5)).max()), 1e-10)


def more_unknowns_than_equations_have_one_answer() -> Check:
    """With 5 examples of 12 inputs (4) still ends within 1e-10 of (3), and X^T X alone has rank 5.

    Source: Tikhonov 1943
    """
    x, y = _problem(5, 12)
    low = np.linalg.matrix_rank(x.T @ x) == 5
    return at_most(float(np.abs(_descend(x, y, 1.5) - ridge(x, y, 1.5)).max()) if low else 1.0, 1e-10)


def weight_decay_is_twice_lambda() -> Check:
    """The gradient of J_R is that of a weight decay of 2 lambda, to 1e-15.

    Source: equation (2); a library adds weight_decay * w to the gradient
    """
    penalty, (w,) = example(np.random.default_rng(1))
    penalty.forward(w)
    return at_most(float(np.abs(penalty.backward() - (2 * 0.3) * w).max()), 1e-15)


def lambda_read_as_weight_decay_is_another_answer() -> Check:
    """With lambda = 1.5 taken for the weight decay itself the answer is off by more than a hundredth.

    Source: that is (3) with I lambda in place of 2 lambda I
    """
    x, y = _problem()
    return at_least(float(np.abs(ridge(x, y, 0.75) - ridge(x, y, 1.5)).max()), 0.01)


def more_penalty_smaller_weights() -> Check:
    """From lambda = 0.01 to 100 in 20 steps the norm of the answer falls at each one: the largest rise is below 0.

    Source: in the basis of X's singular values each entry is divided by s^2 + 2 lambda
    """
    x, y = _problem()
    norms = [float(np.linalg.norm(ridge(x, y, strength))) for strength in np.geomspace(0.01, 100, 20)]
    return at_most(float(np.diff(norms).max()), -1e-9)


CARD = Card(
    name="L2-penalised objective",
    name_ja="L2 正則化付き目的関数 (リッジ回帰)",
    paper="Tikhonov 1943; Hoerl and Kennard 1970, Ridge regression, doi:10.1080/00401706.1970.10488634",
    equations=(
        r"J = \tfrac12 \sum_i (y_i - x_i w)^2 + \lambda \|w\|^2",
        r"\frac{\partial J_R}{\partial w} = 2 \lambda w",
        r"w = (X^T X + 2 \lambda I)^{-1} X^T y",
        r"w \leftarrow (1 - 2 \eta \lambda) w - \eta \frac{\partial J_D}{\partial w}",
    ),
    summary="Fit the data, but with small weights; the minimum has a closed form, and the penalty is a weight decay.",
    summary_ja="データに合わせつつ重みを小さく保つ。最小点は閉じた式で書け、罰則は重み減衰になる。",
    topics=("nn.l2-penalised",),
    facts=(
        descent_ends_at_the_closed_form,
        more_unknowns_than_equations_have_one_answer,
        weight_decay_is_twice_lambda,
        lambda_read_as_weight_decay_is_another_answer,
        more_penalty_smaller_weights,
    ),
    notes=("The slides' penalty has no 1/2, so its gradient is 2 lambda w: a library's weight_decay is 2 lambda.",
           'The slides spell it "reguralization".'),
    notes_ja=("スライドの罰則項には 1/2 がないので、勾配は 2 lambda w である。ライブラリの weight_decay は 2 lambda"
              " にあたる。",
              "スライドの「reguralization」は regularization の誤記である。"),
)
