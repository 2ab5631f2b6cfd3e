r"""RMSprop as Graves used it (2013, arXiv:1308.0850): the root of a variance, and a memory of the steps.

    n = a n + (1 - a) g^2,   m = a m + (1 - a) g                                                         (1)
    d = mu d - lr g / sqrt(n - m^2 + eps),   w = w + d                                                   (2)

Equations (38) to (41) of the paper; the constants below are its (42) to (45). n - m^2 is how much the gradient
varies, not how large it is. The surprise: where the gradient does not vary the step grows, towards
lr |g| / (sqrt(eps) (1 - mu)) (3) with the defaults a thousand times the rate times the gradient, while the first step
is lr g / sqrt(a (1 - a) g^2 + eps) (4).
"""

from typing import Any, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.kernels.elementwise import maximum, sqrt
from shinso.optim._checks import check_rate
from shinso.optim._elementwise import AbstractElementwise, Group
from shinso.optim._walk import along, walk, weights


@final
class RMSpropGraves(AbstractElementwise):
    """RMSprop of Graves 2013. With weight_decay > 0 the gradient is that of the loss + weight_decay/2 w^2."""

    STATE = ("square_avg", "grad_avg", "delta")
    SCALARS = ()

    def __init__(self, params: Any, lr: float | Tensor = 1e-4, *, alpha: float = 0.95, momentum: float = 0.9,
                 eps: float = 1e-4, weight_decay: float = 0.0, maximize: bool = False):
        check_rate(lr)
        if not 0.0 <= alpha < 1.0:
            raise ValueError(f"Invalid alpha value: {alpha}")
        if not 0.0 <= momentum < 1.0:
            raise ValueError(f"Invalid momentum value: {momentum}")
        if not 0.0 < eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        super().__init__(params, {"lr": lr, "alpha": alpha, "momentum": momentum, "eps": eps,
                                  "weight_decay": weight_decay, "maximize": maximize})

    @staticmethod
    def rule(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """(1) and (2). n - m^2 is never negative but for rounding, which must not reach the root."""
        n, m, d = s
        lr, alpha, rest, mu, eps, zero = h
        n = alpha * n + rest * (g * g)
        m = alpha * m + rest * g
        d = mu * d - lr * g / sqrt(maximum(n - m * m, zero) + eps)
        return w + d, (n, m, d)

    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        return group["lr"], group["alpha"], 1 - group["alpha"], group["momentum"], group["eps"], 0.0


def the_first_step_has_its_closed_form() -> Check:
    """The first step under g = 0.3 is -lr g / sqrt(a (1 - a) g^2 + eps) = -4.5355737e-4, to 1e-11.

    Source: equations (1) and (2) from zero
    """
    return about(along(RMSpropGraves([weights([0.0])]), [0.3])[0], -4.5355737e-4, 1e-11)


def a_constant_gradient_reaches_the_limit() -> Check:
    """Under g = 0.3 the 600th step divided by lr |g| / (sqrt(eps) (1 - mu)) is 1, to 1e-9.

    Source: equation (3), where n - m^2 has become 0
    """
    path = along(RMSpropGraves([weights([0.0])]), [0.3] * 600)
    return about((path[-2] - path[-1]) / (1e-4 * 0.3 / (1e-4**0.5 * 0.1)), 1.0, 1e-9)


def rmsprop_would_not_grow() -> Check:
    """After 600 steps under g = 0.3, its step is 29 times that of torch's RMSprop of the same constants at least.

    Source: RMSProp divides by the size of the gradient and tends to lr / (1 - mu)
    """
    ours = along(RMSpropGraves([weights([0.0])]), [0.3] * 600)
    usual = torch.optim.RMSprop([weights([0.0])], lr=1e-4, alpha=0.95, eps=1e-4, momentum=0.9)
    theirs = along(usual, [0.3] * 600)
    return at_least((ours[-2] - ours[-1]) / (theirs[-2] - theirs[-1]), 29.0)


def the_variance_is_never_negative() -> Check:
    """In float32 a constant gradient of 30,000 leaves the weight finite; |w| after 300 steps is below 1e6.

    Source: n - m^2 >= 0 by Cauchy and Schwarz, but its rounding may be below -eps, whose root is no number
    """
    w = weights([0.0]).detach().float().requires_grad_()
    return at_most(float(walk(RMSpropGraves([w]), lambda w: w * 0 + 30_000.3, 300)[-1].abs()), 1e6)


def an_ill_conditioned_bowl_is_left_for_its_bottom() -> Check:
    """On (w1^2 + 100 w2^2)/2 from (1, 1) with rate 1e-3, 3000 steps end within 1e-3 of the minimum.

    Source: the common claim of every method of the course, condition number 100
    """
    w = weights([1.0, 1.0])
    scale = weights([1.0, 100.0]).detach()
    path = walk(RMSpropGraves([w], lr=1e-3), lambda w: scale * w, 3000)
    return at_most(float(path[-1].abs().max()), 1e-3)


CARD = Card(
    name="RMSpropGraves",
    name_ja="RMSpropGraves",
    paper="Graves 2013, arXiv:1308.0850",
    equations=(
        r"n = a\,n + (1-a)\,g^2,\quad m = a\,m + (1-a)\,g",
        r"d = \mu d - \eta\,g/\sqrt{n - m^2 + \varepsilon},\quad w = w + d",
        r"\eta\,|g|/(\sqrt{\varepsilon}\,(1-\mu))",
        r"-\eta\,g/\sqrt{a(1-a)g^2 + \varepsilon}",
    ),
    summary="RMSprop that divides by how much a gradient varies, with a memory of its steps.",
    summary_ja="勾配の大きさではなくばらつきの平方根で割り、更新量の慣性も持つ RMSprop。",
    topics=("optim.rmsprop-graves",),
    facts=(the_first_step_has_its_closed_form, a_constant_gradient_reaches_the_limit, rmsprop_would_not_grow,
           the_variance_is_never_negative, an_ill_conditioned_bowl_is_left_for_its_bottom),
    notes=("The course's list dates it 2014; the paper is of 2013.",
           "eps stands inside the root here, unlike in torch's RMSprop(centered=True), and torch's momentum holds the "
           "gradient without the rate, so that the two part when the rate changes."),
    notes_ja=("講義の一覧では2014年とあるが、論文は2013年である。",
              "ここでは eps は根号の中にあり、torch の RMSprop(centered=True) とは異なる。また torch の慣性項は学習率を"
              "含まないので、学習率を変えると両者は分かれる。"),
)
