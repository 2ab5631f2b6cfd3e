r"""NAdam: Adam that looks ahead, as Nesterov does, with a momentum that grows (Dozat 2016).

    mu_t = b1 (1 - 0.5 0.96^(t psi)),   P_t = mu_1 ... mu_t                                              (1)
    w = w - lr (mu_{t+1} m / (1 - P_{t+1}) + (1 - mu_t) g / (1 - P_t)) / (sqrt(vhat) + eps)              (2)

with m and vhat = v / (1 - b2^t) as in Adam.
"""

from typing import Any, final

import numpy as np
import torch

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.kernels.elementwise import sqrt
from shinso.optim._elementwise import AbstractTwin, Group
from shinso.optim._walk import along, walk, weights


@final
class NAdam(AbstractTwin, torch.optim.NAdam):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Drop-in for torch.optim.NAdam."""

    TWIN = torch.optim.NAdam
    STATE = ("exp_avg", "exp_avg_sq")
    SCALARS = ("step", "mu_product")

    @staticmethod
    def rule(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """(2), both sides of its fraction times sqrt(1 - b2^t)"""
        m, v = s
        b1, c1, b2, c2, of_m, of_g, eps, shrink = h
        m = b1 * m + c1 * g
        v = b2 * v + c2 * (g * g)
        return shrink * w - (of_m * m + of_g * g) / (sqrt(v) + eps), (m, v)

    def numbers(self, group: Group, step: float, product: float = 1.0) -> tuple[float, ...]:
        (b1, b2), lr = group["betas"], float(group["lr"])
        root, now, after = (1 - b2**step) ** 0.5, _mu(group, step), _mu(group, step + 1)
        of_m, of_g = lr * after / (1 - product * after), lr * (1 - now) / (1 - product)
        shrink = 1 - lr * group["weight_decay"] if group["decoupled_weight_decay"] else 1.0
        return b1, 1 - b1, b2, 1 - b2, of_m * root, of_g * root, group["eps"] * root, shrink

    def turn(self, group: Group) -> tuple[float, float]:
        sign, decay = super().turn(group)
        return sign, 0.0 if group["decoupled_weight_decay"] else decay

    def advance(self, group: Group, scalars: dict[str, np.ndarray]) -> None:
        super().advance(group, scalars)
        scalars["mu_product"] *= _mu(group, float(scalars["step"][0]))


def _mu(group: Group, step: float) -> float:
    """(1)"""
    return group["betas"][0] * (1 - 0.5 * 0.96 ** (step * group["momentum_decay"]))


def the_first_step_has_its_closed_form() -> Check:
    """Under g = 0.3 the first step is -lr (mu_2 (1 - b1) / (1 - mu_1 mu_2) + 1) g / (|g| + eps), to 1e-10.

    Source: equations (1) and (2) at t = 1; torch keeps the product of the mu in float32
    """
    one, two = (0.9 * (1 - 0.5 * 0.96 ** (0.004 * t)) for t in (1, 2))
    expected = -0.002 * (two * 0.1 / (1 - one * two) + 1) * 0.3 / (0.3 + 1e-8)
    return about(along(NAdam([weights([0.0])]), [0.3])[0], expected, 1e-10)


def without_momentum_it_is_rmsprop_corrected() -> Check:
    """With b1 = 0 its 50 steps down a bowl are those of Adam with b1 = 0, the corrected RMSProp, to 1e-14.

    Source: mu_t = 0 in equation (2)
    """
    paths = [walk(kind([weights([1.0, -2.0])], lr=0.01, betas=(0.0, 0.99)), lambda w: 3 * w, 50)
             for kind in (NAdam, torch.optim.Adam)]
    return at_most(float((paths[0] - paths[1]).abs().max()), 1e-14)


def the_schedule_belongs_to_the_method() -> Check:
    """Without the schedule, as some codes have it, 200 steps down a bowl part from these by over 1e-4.

    Source: Dozat 2016, section 3.2: mu_t with 0.96^(0.004 t)
    """
    paths = [walk(NAdam([weights([1.0])], lr=0.01, momentum_decay=decay), lambda w: w, 200) for decay in (4e-3, 0.0)]
    return at_least(float((paths[0] - paths[1]).abs().max()), 1e-4)


CARD = Card(
    name="Nadam",
    name_ja="Nadam",
    paper="Dozat 2016, Incorporating Nesterov momentum into Adam",
    equations=(
        r"\mu_t = \beta_1 (1 - \frac{1}{2}\, 0.96^{t \psi}),\quad P_t = \mu_1 \cdots \mu_t",
        r"w = w - \eta \left(\frac{\mu_{t+1} m}{1 - P_{t+1}} + \frac{(1 - \mu_t)\, g}{1 - P_t}\right) "
        r"/ (\sqrt{\hat v} + \epsilon)",
    ),
    summary="Adam that looks ahead as Nesterov does, with a momentum that grows from half to its full size.",
    summary_ja="Nesterov のように先を見る Adam。慣性は半分の大きさから始めて育てる。",
    topics=("optim.nadam",),
    facts=(the_first_step_has_its_closed_form, without_momentum_it_is_rmsprop_corrected,
           the_schedule_belongs_to_the_method),
    notes=("The constant 0.96 to the power of 0.004 t belongs to the method; some codes drop it.",),
    notes_ja=("定数 0.96 の 0.004 t 乗は手法の一部である。省いたコードがある。",),
)
