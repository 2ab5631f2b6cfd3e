r"""ProximalGD: forward-backward splitting (Duchi and Singer 2009, "FOBOS"; the proximal map: Rockafellar 1976).

    z = w - lr g                                                                                         (1)
    w = argmin_u 1/2 (u - z)^2 + lr (l1 |u| + l2/2 u^2) = sign(z) max(|z| - lr l1, 0) / (1 + lr l2)      (2)

A gradient step on the smooth part, then the exact minimum of the rest near it: (2) and (3) of the paper. The surprise
is what adding l1 sign(w) to the gradient never gives: weights that are zero to the last bit. The map stands still
exactly where, with f the smooth part,

    -df/dw_i = l1 sign(w_i) + l2 w_i where w_i is not 0,   |df/dw_i| <= l1 where it is                   (3)
"""

from typing import Any, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.seed import generator
from shinso.kernels.elementwise import absolute, maximum, sign
from shinso.optim._checks import check_penalties, check_rate
from shinso.optim._elementwise import AbstractElementwise, Group
from shinso.optim._walk import walk, weights


@final
class ProximalGD(AbstractElementwise):
    """Gradient descent on f + l1 |w| + l2/2 w^2, where the gradient is that of f alone."""

    SCALARS = ()

    def __init__(self, params: Any, lr: float | Tensor = 1e-3, *, l1: float = 0.0, l2: float = 0.0,
                 maximize: bool = False):
        check_rate(lr)
        check_penalties(l1, l2)
        super().__init__(params, {"lr": lr, "l1": l1, "l2": l2, "maximize": maximize})

    @staticmethod
    def rule(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """(1) and (2)"""
        lr, threshold, shrink, zero = h
        z = w - lr * g
        return sign(z) * maximum(absolute(z) - threshold, zero) / shrink, ()

    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        return group["lr"], group["lr"] * group["l1"], 1 + group["lr"] * group["l2"], 0.0


def the_lasso_ends_at_its_optimality_conditions() -> Check:
    """A lasso of 40 columns after 800 steps at rate 1/L breaks (3) by at most 1e-8.

    Source: Karush, Kuhn and Tucker; Tibshirani 1996
    """
    w, correlation = _lasso(0.0)
    off = torch.where(w == 0, (correlation.abs() - 8.0).clamp_min(0), (correlation - 8.0 * w.sign()).abs())
    return at_most(float(off.max()), 1e-8)


def an_elastic_net_does_too() -> Check:
    """With l2 = 5 besides, (3) is broken by at most 1e-8.

    Source: Zou and Hastie 2005; equation (3)
    """
    w, correlation = _lasso(5.0)
    off = torch.where(w == 0, (correlation.abs() - 8.0).clamp_min(0), (correlation - 8.0 * w.sign() - 5.0 * w).abs())
    return at_most(float(off.max()), 1e-8)


def zeros_are_exact() -> Check:
    """At least 20 of those 40 weights are zero to the last bit.

    Source: Duchi and Singer 2009, section 5; 30 of the 40 true coefficients are 0
    """
    return at_least(float((_lasso(0.0)[0] == 0).sum()), 20)


def a_subgradient_gives_no_zero() -> Check:
    """The trap: gradient descent with l1 sign(w) added to the gradient leaves 0 zeros after the same 800 steps.

    Source: Duchi and Singer 2009, section 1
    """
    A, y = _regression()
    w = weights([0.1] * 40)
    rate = 1 / float(torch.linalg.matrix_norm(A, 2)) ** 2
    end = walk(ProximalGD([w], lr=rate), lambda w: A.T @ (A @ w - y) + 8.0 * w.sign(), 800)[-1]
    return exactly(float((end == 0).sum()), 0)


def without_penalties_it_is_gradient_descent() -> Check:
    """With l1 = l2 = 0 the largest difference to torch's SGD over 100 steps is at most 1e-15.

    Source: (2) is then the identity
    """
    scale = weights([1.0, 3.0, 100.0]).detach()
    ours = walk(ProximalGD([weights([1.0, -2.0, 0.5])], lr=0.01), lambda w: scale * w, 100)
    theirs = walk(torch.optim.SGD([weights([1.0, -2.0, 0.5])], lr=0.01), lambda w: scale * w, 100)
    return at_most(float((ours - theirs).abs().max()), 1e-15)


def _regression() -> tuple[Tensor, Tensor]:
    draw = generator(0, "regression")
    A = torch.randn(100, 40, generator=draw, dtype=torch.float64)
    true = torch.zeros(40, dtype=torch.float64)
    true[:10] = torch.randn(10, generator=draw, dtype=torch.float64) * 3
    return A, A @ true + 0.1 * torch.randn(100, generator=draw, dtype=torch.float64)


def _lasso(l2: float) -> tuple[Tensor, Tensor]:
    """The weights after 800 steps, and minus the gradient of the smooth part there."""
    A, y = _regression()
    rate = 1 / float(torch.linalg.matrix_norm(A, 2)) ** 2
    w = walk(ProximalGD([weights([0.1] * 40)], lr=rate, l1=8.0, l2=l2), lambda w: A.T @ (A @ w - y), 800)[-1]
    return w, A.T @ (y - A @ w)


CARD = Card(
    name="ProximalGD",
    name_ja="近接勾配法 (ProximalGD)",
    paper="Duchi and Singer 2009, Journal of Machine Learning Research 10; Rockafellar 1976, doi:10.1137/0314056",
    equations=(
        r"z = w - \eta g",
        r"w = \mathrm{sign}(z)\,\max(|z| - \eta\lambda_1, 0)/(1 + \eta\lambda_2)",
        r"-\partial f/\partial w_i = \lambda_1\mathrm{sign}(w_i) + \lambda_2 w_i\ (w_i \neq 0),"
        r"\quad |\partial f/\partial w_i| \leq \lambda_1\ (w_i = 0)",
    ),
    summary="A gradient step, then the exact minimum of L1 and L2 near it: weights become exactly zero.",
    summary_ja="勾配の一歩のあと、L1・L2 正則化項をその近くで厳密に最小化する。重みはちょうど零になる。",
    topics=("optim.proximal-gd",),
    facts=(the_lasso_ends_at_its_optimality_conditions, an_elastic_net_does_too, zeros_are_exact,
           a_subgradient_gives_no_zero, without_penalties_it_is_gradient_descent),
    notes=("The theory lecture calls the step of plain stochastic gradient descent the same as the proximal step: that "
           "is so only without a regulariser.",),
    notes_ja=("理論の講義は通常の確率的勾配降下の更新を近接勾配の更新と同じとするが、正則化項がないときに限る。",),
)
