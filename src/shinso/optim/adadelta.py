r"""AdaDelta: steps in the unit of the weights (Zeiler 2012).

    h = rho h + (1 - rho) g g,   d = sqrt(r + eps) / sqrt(h + eps) g                                     (1)
    r = rho r + (1 - rho) d d,   w = w - lr d                                                            (2)
"""

from typing import Any, final

import torch

from shinso.core.card import Card, Check, about, at_least, exactly
from shinso.kernels.elementwise import sqrt
from shinso.optim._elementwise import AbstractTwin, Group
from shinso.optim._walk import along, walk, weights


@final
class Adadelta(AbstractTwin, torch.optim.Adadelta):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Drop-in for torch.optim.Adadelta."""

    TWIN = torch.optim.Adadelta
    STATE = ("square_avg", "acc_delta")

    @staticmethod
    def rule(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """(1) and (2)"""
        square, moved = s
        rho, rest, eps, rate = h
        square = rho * square + rest * (g * g)
        delta = sqrt(moved + eps) / sqrt(square + eps) * g  # (1)
        moved = rho * moved + rest * (delta * delta)
        return w - rate * delta, (square, moved)  # (2)

    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        return group["rho"], 1 - group["rho"], group["eps"], group["lr"]


def the_first_step_has_its_closed_form() -> Check:
    """Under g = 0.3 the first step is -sqrt(eps) / sqrt(eps + (1 - rho) g^2) g = -0.0044716391, to 1e-10.

    Source: equation (1) from zero, with rho = 0.95, eps = 1e-6 and lr = 1
    """
    return about(along(Adadelta([weights([0.0])], rho=0.95), [0.3])[0], -0.0044716391, 1e-10)


def steps_have_the_unit_of_the_weights() -> Check:
    """On a bowl, from 1024 times as far with eps 1024^2 times as large, 100 steps are 1024 times as long, bit for bit.

    Source: Zeiler 2012, section 3.2
    """
    near = walk(Adadelta([weights([1.0, -2.0])]), lambda w: 3 * w, 100)
    far = walk(Adadelta([weights([1024.0, -2048.0])], eps=1e-6 * 1024**2), lambda w: 3 * w, 100)
    return exactly(float((far / 1024 - near).abs().max()), 0)


def with_the_articles_accumulator_the_root_is_of_a_negative() -> Check:
    """With d g in the place of d d, as in the article's code, r after one step under g = -0.3 is below -eps.

    Source: (1 - rho) d g with d against the sign of g; measured from the step of this file, r + eps by -eps
    """
    (d,) = along(Adadelta([weights([0.0])], rho=0.95), [-0.3])
    return at_least(-(0.05 * abs(d) * -0.3 + 1e-6) / 1e-6, 1)


CARD = Card(
    name="AdaDelta",
    name_ja="AdaDelta",
    paper="Zeiler 2012, ADADELTA: an adaptive learning rate method, arXiv:1212.5701",
    equations=(
        r"h = \rho h + (1-\rho)\, g \odot g,\quad d = \frac{\sqrt{r + \epsilon}}{\sqrt{h + \epsilon}}\, g",
        r"r = \rho r + (1-\rho)\, d \odot d,\quad w = w - \eta d",
    ),
    summary="The size of its own steps of late takes the place of a rate, so that steps have the weights' unit.",
    summary_ja="学習率の代わりに最近の自分の歩幅を使い、更新量の単位を重みの単位にそろえる。",
    topics=("optim.adadelta",),
    facts=(the_first_step_has_its_closed_form, steps_have_the_unit_of_the_weights,
           with_the_articles_accumulator_the_root_is_of_a_negative),
    notes=("The article's code multiplies the accumulator's term by the gradient: its root is nan at the second step "
           "when g < 0.",),
    notes_ja=("記事のコードは累積の項に勾配を掛けている。g < 0 では二歩目の根が nan になる。",),
)
