r"""ProximalAdagrad: forward-backward splitting with a rate for each entry (Duchi, Hazan and Singer 2011).

    S = S + g^2,   S = 0.1 at first,   r = lr / sqrt(S)                                                  (1)
    z = w - r g,   w = sign(z) max(|z| - r l1, 0) / (1 + r l2)                                           (2)

Equation (4) of the paper ("composite mirror descent") with the diagonal matrix sqrt(S): step and threshold of an entry
shrink together. So the surprise: although every entry has a rate of its own, the point where nothing moves is the same
as with one rate for all, the optimum of f + l1 |w| + l2/2 w^2:

    -df/dw_i = l1 sign(w_i) + l2 w_i where w_i is not 0,   |df/dw_i| <= l1 where it is                   (3)
"""

from typing import Any, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.seed import generator
from shinso.kernels.elementwise import absolute, maximum, sign, sqrt
from shinso.optim._checks import check_penalties, check_rate
from shinso.optim._elementwise import AbstractElementwise, Group
from shinso.optim._walk import walk, weights


@final
class ProximalAdagrad(AbstractElementwise):
    """AdaGrad on f + l1 |w| + l2/2 w^2, where the gradient is that of f alone. There is no eps: S begins above 0."""

    STATE = ("sum",)
    SCALARS = ()

    def __init__(self, params: Any, lr: float | Tensor = 1e-2, *, l1: float = 0.0, l2: float = 0.0,
                 initial_accumulator_value: float = 0.1, maximize: bool = False):
        check_rate(lr)
        check_penalties(l1, l2)
        if not 0.0 < initial_accumulator_value:
            raise ValueError(f"Invalid initial_accumulator_value value: {initial_accumulator_value}")
        super().__init__(params, {"lr": lr, "l1": l1, "l2": l2, "maximize": maximize,
                                  "initial_accumulator_value": initial_accumulator_value})

    @staticmethod
    def rule(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """(1) and (2)"""
        lr, l1, l2, zero, one = h
        total = s[0] + g * g
        r = lr / sqrt(total)
        z = w - r * g
        return sign(z) * maximum(absolute(z) - r * l1, zero) / (one + r * l2), (total,)

    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        return group["lr"], group["l1"], group["l2"], 0.0, 1.0

    def initial(self, group: Group) -> tuple[float, ...]:
        return (group["initial_accumulator_value"],)


def without_penalties_it_is_adagrad() -> Check:
    """With l1 = l2 = 0 the largest difference to torch's Adagrad(eps=0) over 300 steps is at most 1e-12.

    Source: (2) is then the step of AdaGrad
    """
    scale = weights([1.0, 3.0, 100.0]).detach()
    ours = walk(ProximalAdagrad([weights([1.0, -2.0, 0.5])], lr=0.1), lambda w: scale * w, 300)
    twin = torch.optim.Adagrad([weights([1.0, -2.0, 0.5])], lr=0.1, initial_accumulator_value=0.1, eps=0)
    return at_most(float((ours - walk(twin, lambda w: scale * w, 300)).abs().max()), 1e-12)


def the_optimum_does_not_depend_on_the_rates() -> Check:
    """An elastic net of 20 columns of sizes 1 to 10, after 3000 steps: (3) is broken by at most 1e-8.

    Source: Karush, Kuhn and Tucker; equation (3)
    """
    w, correlation = _net()
    off = torch.where(w == 0, (correlation.abs() - 60.0).clamp_min(0), (correlation - 60.0 * w.sign() - w).abs())
    return at_most(float(off.max()), 1e-8)


def half_of_the_weights_are_exactly_zero() -> Check:
    """At least 10 of those 20 weights are zero to the last bit.

    Source: Duchi, Hazan and Singer 2011, section 5; 15 of the 20 true coefficients are 0
    """
    return at_least(float((_net()[0] == 0).sum()), 10)


def the_first_step_is_nearly_the_rate() -> Check:
    """The first step from 0 under 200 gradients is -lr g / sqrt(0.1 + g^2), to 1e-15.

    Source: equations (1) and (2); the 0.1 is TensorFlow's, the paper has a small multiple of the identity
    """
    g = torch.linspace(-5, 5, 200, dtype=torch.float64)
    step = walk(ProximalAdagrad([weights([0.0] * 200)], lr=0.1), lambda w: g, 1)[1]
    return at_most(float((step + 0.1 * g / (0.1 + g * g).sqrt()).abs().max()), 1e-15)


def _net() -> tuple[Tensor, Tensor]:
    """The weights after 3000 steps with l1 = 60 and l2 = 1, and minus the gradient of the smooth part there."""
    draw = generator(0, "regression")
    A = torch.randn(100, 20, generator=draw, dtype=torch.float64) * torch.linspace(1, 10, 20, dtype=torch.float64)
    true = torch.zeros(20, dtype=torch.float64)
    true[::4] = torch.tensor([2.0, -1.0, 1.0, -2.0, 1.0], dtype=torch.float64)
    y = A @ true + 0.1 * torch.randn(100, generator=draw, dtype=torch.float64)
    w = walk(ProximalAdagrad([weights([0.0] * 20)], lr=1.0, l1=60.0, l2=1.0), lambda w: A.T @ (A @ w - y), 3000)[-1]
    return w, A.T @ (y - A @ w)


CARD = Card(
    name="ProximalAdagrad",
    name_ja="ProximalAdagrad",
    paper="Duchi and Singer 2009, Journal of Machine Learning Research 10; Duchi, Hazan and Singer 2011, the same 12",
    equations=(
        r"S = S + g^2,\quad S_0 = 0.1,\quad r = \eta/\sqrt{S}",
        r"z = w - r g,\quad w = \mathrm{sign}(z)\,\max(|z| - r\lambda_1, 0)/(1 + r\lambda_2)",
        r"-\partial f/\partial w_i = \lambda_1\mathrm{sign}(w_i) + \lambda_2 w_i\ (w_i \neq 0),"
        r"\quad |\partial f/\partial w_i| \leq \lambda_1\ (w_i = 0)",
    ),
    summary="AdaGrad followed by the exact minimum of L1 and L2: each entry has its own rate and its own threshold.",
    summary_ja="AdaGrad の一歩のあと L1・L2 正則化項を厳密に最小化する。学習率もしきい値も成分ごとに定まる。",
    topics=("optim.proximal-adagrad",),
    facts=(without_penalties_it_is_adagrad, the_optimum_does_not_depend_on_the_rates,
           half_of_the_weights_are_exactly_zero, the_first_step_is_nearly_the_rate),
    notes=("The course's list dates it 2009 and AdaGrad 2011: the proximal map is of 2009, its rates are AdaGrad's.",
           "TensorFlow's constants: the sum begins with 0.1 and there is no eps."),
    notes_ja=("講義の一覧では2009年、AdaGrad は2011年とある。近接写像が2009年で、学習率は AdaGrad のものである。",
              "定数は TensorFlow のもので、和は 0.1 から始まり eps はない。"),
)
