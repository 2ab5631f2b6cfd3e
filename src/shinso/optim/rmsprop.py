r"""RMSProp: a gradient divided by the root mean square of the gradients of late (Tieleman and Hinton 2012).

    h = a h + (1 - a) g g,   d = g / (sqrt(h) + eps),   w = w - lr d                                     (1)
    m = a m + (1 - a) g,   d = g / (sqrt(h - m m) + eps)   with centered                                 (2)
    b = mu b + d,   w = w - lr b   with momentum                                                         (3)
"""

from typing import final

import torch

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.kernels.elementwise import Rule, sqrt
from shinso.optim._elementwise import AbstractTwin, Group
from shinso.optim._walk import along, walk, weights


@final
class RMSprop(AbstractTwin, torch.optim.RMSprop):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Drop-in for torch.optim.RMSprop."""

    TWIN = torch.optim.RMSprop

    def chosen(self, group: Group) -> tuple[Rule, tuple[str, ...]]:
        if group["centered"]:
            if group["momentum"] > 0:
                return _centred_with_momentum, ("square_avg", "grad_avg", "momentum_buffer")
            return _centred, ("square_avg", "grad_avg")
        if group["momentum"] > 0:
            return _with_momentum, ("square_avg", "momentum_buffer")
        return _alone, ("square_avg",)

    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        return group["lr"], group["alpha"], 1 - group["alpha"], group["eps"], group["momentum"]


def _alone(w, g, s, h):
    """(1)"""
    rate, keep, rest, eps, _ = h
    square = keep * s[0] + rest * (g * g)
    return w - rate * g / (sqrt(square) + eps), (square,)


def _with_momentum(w, g, s, h):
    """(1) and (3)"""
    rate, keep, rest, eps, mu = h
    square = keep * s[0] + rest * (g * g)
    moved = mu * s[1] + g / (sqrt(square) + eps)
    return w - rate * moved, (square, moved)


def _centred(w, g, s, h):
    """(2)"""
    rate, keep, rest, eps, _ = h
    square = keep * s[0] + rest * (g * g)
    mean = keep * s[1] + rest * g
    return w - rate * g / (sqrt(square - mean * mean) + eps), (square, mean)


def _centred_with_momentum(w, g, s, h):
    """(2) and (3)"""
    rate, keep, rest, eps, mu = h
    square = keep * s[0] + rest * (g * g)
    mean = keep * s[1] + rest * g
    moved = mu * s[2] + g / (sqrt(square - mean * mean) + eps)
    return w - rate * moved, (square, mean, moved)


def the_first_step_is_ten_times_the_rate() -> Check:
    """With a = 0.99 the first step is lr / sqrt(1 - a) = 10 lr against the sign, whatever the gradient: to 1e-6 of it.

    Source: equation (1) at t = 1
    """
    g = torch.tensor([1e-2, 0.3, -200.0], dtype=torch.float64)
    step = walk(RMSprop([weights([0.0, 0.0, 0.0])], lr=0.01, eps=1e-10), lambda w: g, 1)[1]
    return at_most(float((step / (0.1 * g.sign()) + 1).abs().max()), 1e-6)


def a_constant_gradient_is_walked_at_the_rate() -> Check:
    """Under a constant gradient of 3 the thousandth step is lr, to 1e-4 of it.

    Source: h tends to g g
    """
    path = along(RMSprop([weights([0.0])], lr=0.01), [3.0] * 1000)
    return about((path[-2] - path[-1]) / 0.01, 1.0, 1e-4)


def inside_the_root_eps_is_another_method() -> Check:
    """Under g = 1e-7 with eps = 1e-7 the first step is over 1,000 times lr g / sqrt(eps + h), the article's formula.

    Source: equation (1); the article's code has eps outside of the root, its formula inside
    """
    (place,) = along(RMSprop([weights([0.0])], lr=0.01, eps=1e-7), [1e-7])
    inside = 0.01 * 1e-7 / (1e-7 + 0.01 * 1e-14) ** 0.5
    return at_least(-place / inside, 1000)


def centred_forgets_the_mean() -> Check:
    """Centred, under a constant gradient of 3 the step grows: the 200th is over 2 times as long as without.

    Source: equation (2): h - m m tends to 0
    """
    lengths = []
    for centered in (True, False):
        path = along(RMSprop([weights([0.0])], lr=0.01, centered=centered), [3.0] * 200)
        lengths.append(path[-2] - path[-1])
    return at_least(lengths[0] / lengths[1], 2)


CARD = Card(
    name="RMSProp",
    name_ja="RMSProp",
    paper="Tieleman and Hinton 2012, Neural networks for machine learning, lecture 6.5",
    equations=(
        r"h = a h + (1-a)\, g \odot g,\quad d = \frac{g}{\sqrt{h} + \epsilon},\quad w = w - \eta d",
        r"m = a m + (1-a)\, g,\quad d = \frac{g}{\sqrt{h - m \odot m} + \epsilon}",
        r"b = \mu b + d,\quad w = w - \eta b",
    ),
    summary="A gradient divided by the root mean square of the gradients of late, so that old ones are forgotten.",
    summary_ja="勾配を最近の勾配の二乗平均平方根で割る。古い勾配は忘れられる。",
    topics=("optim.rmsprop",),
    facts=(the_first_step_is_ten_times_the_rate, a_constant_gradient_is_walked_at_the_rate,
           inside_the_root_eps_is_another_method, centred_forgets_the_mean),
    notes=("The article's formula has eps inside the root, its code outside, as here and in torch.",),
    notes_ja=("記事の式では eps が根の中、コードでは外にある。ここと torch は外である。",),
)
