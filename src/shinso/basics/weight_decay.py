r"""Weight decay: a price on large weights, lambda ||W||^2 beside the error (Krogh and Hertz 1992).

    J(W) = 1/2 ||X W - Y||^2 + lambda ||W||^2,   dJ/dW = X^T (X W - Y) + 2 lambda W                 (1)
    W_lambda = (X^T X + 2 lambda I)^{-1} X^T Y,   ||W_lambda|| falls as lambda grows                (2)
    W - lr (g + 2 lambda W) = (1 - 2 lr lambda) W - lr g                                            (3)

The surprise is the 2. An optimiser's `weight_decay` is the factor in front of W in the gradient (3), so the documents'
penalty lambda ||W||^2 is weight_decay = 2 lambda. For plain gradient descent it does not matter on which side of (3)
the price is paid; Adam divides the coupled form by the size of the gradients, and there the two part company
(Loshchilov and Hutter 2019). W means weights: a bias that is not decayed only follows the mean of the targets.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from shinso.basics._few_digits import few_digits
from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range
from shinso.learn.sweep import Columns, Sweep


def penalised(X: Tensor, Y: Tensor, W: Tensor, strength: float) -> Tensor:
    """J of (1), for X (n, d), Y (n, k), W (d, k)."""
    return 0.5 * (X @ W - Y).square().sum() + strength * W.square().sum()


def ridge(X: Tensor, Y: Tensor, strength: float) -> Tensor:
    """W of (2), float64 (d, k)."""
    return torch.linalg.solve(X.T @ X + 2 * strength * torch.eye(X.shape[1], dtype=X.dtype), X.T @ Y)  # (2)


def descend(X: Tensor, Y: Tensor, weight_decay: float, steps: int = 800, momentum: float = 0.9) -> Tensor:
    """What torch's gradient descent from zero finds when it is told `weight_decay` and no penalty."""
    W = torch.zeros(X.shape[1], Y.shape[1], dtype=X.dtype, requires_grad=True)
    rate = 1 / (float(torch.linalg.matrix_norm(X, 2)) ** 2 + weight_decay)
    rule = torch.optim.SGD([W], lr=rate, momentum=momentum, weight_decay=weight_decay)
    for _ in range(steps):
        W.grad = X.T @ (X @ W.detach() - Y)
        rule.step()
    return W.detach()


def _toy() -> tuple[Tensor, Tensor]:
    draw = generator(0, "toy")
    X = torch.randn(30, 8, generator=draw, dtype=torch.float64)
    return X, torch.randn(30, 2, generator=draw, dtype=torch.float64)


def the_gradient_is_two_lambda_w() -> Check:
    """The penalty adds 2 lambda W to the gradient, to 1e-12.

    Source: equation (1)
    """
    X, Y = _toy()
    W = torch.randn(8, 2, generator=generator(1, "toy"), dtype=torch.float64, requires_grad=True)
    (with_price,) = torch.autograd.grad(penalised(X, Y, W, 0.7), W)
    (without,) = torch.autograd.grad(penalised(X, Y, W, 0.0), W)
    return at_most(float((with_price - without - 2 * 0.7 * W.detach()).abs().max()), 1e-12)


def descent_finds_the_ridge_solution() -> Check:
    """Gradient descent with weight_decay = 2 lambda ends at the ridge solution, to 1e-10.

    Source: Hoerl and Kennard 1970; equation (2)
    """
    X, Y = _toy()
    return at_most(float((descend(X, Y, 2 * 0.7) - ridge(X, Y, 0.7)).abs().max()), 1e-10)


def without_the_two_it_is_another_solution() -> Check:
    """With weight_decay = lambda the descent misses the ridge solution by over 1 percent and ends at that of lambda/2.

    Source: the documents' lambda ||W||^2 has no 1/2 in front, so its gradient is 2 lambda W
    """
    X, Y = _toy()
    slip, wanted = descend(X, Y, 0.7), ridge(X, Y, 0.7)
    missed = float((slip - wanted).norm() / wanted.norm())
    return at_least(missed if float((slip - ridge(X, Y, 0.35)).abs().max()) < 1e-10 else 0.0, 0.01)


def the_norm_falls() -> Check:
    """Over 60 values of lambda on digits the norm of the solution falls every time: the largest change is below 0.

    Source: Hoerl and Kennard 1970, theorem 4.1
    """
    X, Y, *_ = few_digits(100, 0)
    norms = [float(ridge(X, Y, strength).norm()) for strength in _strengths(60)]
    return at_most(max(b - a for a, b in pairwise(norms)), 0.0)


def _both_forms(rule: type[torch.optim.Optimizer], twin: type[torch.optim.Optimizer] | None) -> float:
    """The largest difference over 50 steps between decay in the gradient and decay beside it."""
    X, Y = _toy()
    start = torch.randn(8, 2, generator=generator(2, "toy"), dtype=torch.float64)
    A, B = (start.clone().requires_grad_() for _ in range(2))
    lr, decay, worst = 0.01, 1.4, 0.0
    coupled = rule([A], lr=lr, weight_decay=decay)  # pyright: ignore[reportCallIssue]
    decoupled = (twin or rule)([B], lr=lr, weight_decay=decay if twin else 0.0)  # pyright: ignore[reportCallIssue]
    for _ in range(50):
        for W in (A, B):
            W.grad = X.T @ (X @ W.detach() - Y)
        if twin is None:
            B.data.mul_(1 - lr * decay)  # (3)
        coupled.step()
        decoupled.step()
        worst = max(worst, float((A - B).detach().abs().max()))
    return worst


def decoupled_is_coupled_for_sgd() -> Check:
    """For SGD, decay in the gradient and shrinking the weights beside it differ by less than 1e-13 over 50 steps.

    Source: Loshchilov and Hutter 2019, proposition 1; equation (3)
    """
    return at_most(_both_forms(torch.optim.SGD, None), 1e-13)


def adam_is_not_adamw() -> Check:
    """For Adam the two forms part by more than 0.01 within 50 steps.

    Source: Loshchilov and Hutter 2019, proposition 2
    """
    return at_least(_both_forms(torch.optim.Adam, torch.optim.AdamW), 0.01)


def a_free_bias_follows_the_targets() -> Check:
    """With a bias that is not decayed, targets moved by 5 move the bias by 5 and no weight, to 1e-10.

    Source: the documents' W holds no bias; centring takes an undecayed bias out of (2)
    """
    X, Y = _toy()
    centred = X - X.mean(0)

    def fit(targets: Tensor) -> tuple[Tensor, Tensor]:
        W = ridge(centred, targets - targets.mean(0), 0.7)
        return W, targets.mean(0) - X.mean(0) @ W

    (W, bias), (moved, moved_bias) = fit(Y), fit(Y + 5)
    return at_most(float((moved - W).abs().max() + (moved_bias - bias - 5).abs().max()), 1e-10)


CARD = Card(
    name="L2 regularisation and weight decay",
    name_ja="L2 正則化と重み減衰",
    paper="Krogh and Hertz 1992, A simple weight decay can improve generalization, NIPS 4",
    equations=(
        r"J(W) = \frac{1}{2}\|XW - Y\|^2 + \lambda\|W\|^2,\quad \nabla J = X^T(XW - Y) + 2\lambda W",
        r"W_\lambda = (X^T X + 2\lambda I)^{-1} X^T Y",
        r"W - \eta\,(g + 2\lambda W) = (1 - 2\eta\lambda)\,W - \eta\, g",
    ),
    summary="A price on large weights: the fit to the examples gets worse, the answers to unseen ones better.",
    summary_ja="大きな重みに罰則を課す。訓練データへの当てはまりは悪くなるが、未知のデータへの答えは良くなる。",
    topics=("learn.l2",),
    facts=(
        the_gradient_is_two_lambda_w,
        descent_finds_the_ridge_solution,
        without_the_two_it_is_another_solution,
        the_norm_falls,
        decoupled_is_coupled_for_sgd,
        adam_is_not_adamw,
        a_free_bias_follows_the_targets,
    ),
    notes=("The documents' penalty lambda ||W||^2 has no 1/2: it is an optimiser's weight_decay = 2 lambda.",
           "Biases are not in W: decaying them pulls the answer away from the mean of the targets."),
    notes_ja=("講義資料の罰則 λ||W||^2 には 1/2 がない。最適化手法の weight_decay では 2λ にあたる。",
              "バイアスは W に含まれない。減衰させると答えが目標値の平均から離れてしまう。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A linear map from few digits to ten answers, with 60 strengths of the penalty."""

    examples: int = 100
    """digits to learn from"""
    strengths: int = 60
    """values of lambda, from 1e-4 to 1e3"""
    seed: int = 0
    """which digits are the examples"""


VARIANTS = {"smoke": Setup(strengths=40, examples=60), "default": Setup()}


def _strengths(count: int) -> list[float]:
    return np.logspace(-4, 3, count).tolist()


def build(setup: Setup, place: Place = Place()) -> Sweep:  # noqa: B008 - a frozen value
    """One step solves the problem with one lambda, and checks it against (2) by its singular values."""
    in_range(setup, ("examples", "strengths"))
    X, Y, others, answers = few_digits(setup.examples, setup.seed)
    _, singular, directions = torch.linalg.svd(X, full_matrices=False)
    along = directions @ X.T @ Y

    def measure(strength: float) -> Record:
        W = ridge(X, Y, strength)
        predicted = (along / (singular.square() + 2 * strength)[:, None]).norm()
        return {"penalty": strength, "measured": W.norm(), "predicted": predicted, "within": 1e-8 * (1 + predicted),
                "loss": (X @ W - Y).square().mean(), "loss_unseen": (others @ W - answers).square().mean(),
                "accuracy_unseen": (((others @ W).argmax(1)) == answers.argmax(1)).double().mean()}

    def draw(rows: Columns) -> dict[str, np.ndarray]:
        return {"decay": _curves(rows), "decayed_weights": _weights(X, Y)}

    return Sweep(_strengths(setup.strengths), measure, draw)


def _curves(rows: Columns) -> np.ndarray:
    figure = sheet(900, 340)
    left, right = figure.subplots(1, 2)
    left.loglog(rows["penalty"], rows["measured"], ".", label="measured / 測定")
    left.loglog(rows["penalty"], rows["predicted"], linewidth=1, label="(2)")
    left.set(xlabel="λ", ylabel="norm of the weights / 重みのノルム")
    right.loglog(rows["penalty"], rows["loss"], label="examples / 訓練")
    right.loglog(rows["penalty"], rows["loss_unseen"], label="unseen / 未知")
    right.set(xlabel="λ", ylabel="squared error / 二乗誤差")
    for axes in (left, right):
        axes.legend()
    return pixels(figure)


def _weights(X: Tensor, Y: Tensor) -> np.ndarray:
    """What the answer `3` looks at, for five penalties."""
    figure = sheet(900, 220)
    for axes, strength in zip(figure.subplots(1, 5), (1e-4, 1e-2, 1.0, 10.0, 100.0), strict=True):
        image = ridge(X, Y, strength)[:, 3].reshape(8, 8).numpy()
        axes.imshow(image, cmap="RdBu", vmin=-abs(image).max(), vmax=abs(image).max())
        axes.set_title(f"λ = {strength:g}", fontsize=10)
        axes.axis("off")
    return pixels(figure)
