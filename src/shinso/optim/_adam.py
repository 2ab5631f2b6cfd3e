"""What Adam and AdamW share: the rule, and where each of them decays the weights."""

from typing import Any

from shinso.kernels.elementwise import Rule, maximum, sqrt
from shinso.optim._elementwise import AbstractTwin, Group


class AbstractAdam(AbstractTwin):
    """m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, w = w - lr mhat / (sqrt(vhat) + eps), as in adam.py."""

    STATE = ("exp_avg", "exp_avg_sq")

    @staticmethod
    def rule(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """The update with both sides of its fraction times sqrt(1 - b2^t)."""
        m, v = s
        b1, c1, b2, c2, rate, eps, shrink = h
        m = b1 * m + c1 * g
        v = b2 * v + c2 * (g * g)
        return shrink * w - rate * m / (sqrt(v) + eps), (m, v)

    def chosen(self, group: Group) -> tuple[Rule, tuple[str, ...]]:
        if group["amsgrad"]:
            return _never_less, ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
        return type(self).rule, self.STATE

    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        (b1, b2), lr = map(float, group["betas"]), float(group["lr"])
        root = (1 - b2**step) ** 0.5
        shrink = 1 - lr * group["weight_decay"] if group.get("decoupled_weight_decay") else 1.0
        return b1, 1 - b1, b2, 1 - b2, lr * root / (1 - b1**step), group["eps"] * root, shrink

    def turn(self, group: Group) -> tuple[float, float]:
        sign, decay = super().turn(group)
        return sign, 0.0 if group.get("decoupled_weight_decay") else decay


def _never_less(w, g, s, h):
    """AMSGrad: v in the denominator is the largest so far (Reddi, Kale and Kumar 2018)."""
    m, v, most = s
    b1, c1, b2, c2, rate, eps, shrink = h
    m = b1 * m + c1 * g
    v = b2 * v + c2 * (g * g)
    most = maximum(most, v)
    return shrink * w - rate * m / (sqrt(most) + eps), (m, v, most)
