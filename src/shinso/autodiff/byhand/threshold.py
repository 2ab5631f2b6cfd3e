r"""Threshold: what does not exceed t is replaced.

    f(x) = x if x > t, else v                                 (1)
    f'(x) = 1 if x > t, else 0                                (2)

With t = v = 0 it is ReLU. Only v = t makes it continuous; the replaced number has no memory of x, so its gradient is 0.

Fukushima 1969 (t = v = 0); the general form is named in PyTorch's list.
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand.relu import ReLU
from shinso.core.card import Card, Check, about, exactly


@final
class Threshold:
    """Elementwise, any shape; `threshold` is t and `value` is v of (1)."""

    def __init__(self, threshold: float, value: float):
        self.threshold, self.value = threshold, value

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.exceeds = x > self.threshold
        return np.where(self.exceeds, x, self.value)  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return np.where(self.exceeds, grad, 0)  # (2)


def example(rng: np.random.Generator) -> tuple[Threshold, tuple[np.ndarray]]:
    """A layer with a jump at 1, and inputs at least 0.1 from it."""
    return Threshold(1.0, -2.0), (1 + rng.uniform(0.1, 3, (2, 6)) * rng.choice([-1, 1], (2, 6)),)


def relu_is_one_of_them() -> Check:
    """t = v = 0 gives ReLU, value and slope, exactly.

    Source: equations (1) and (2)
    """
    x, grad = np.linspace(-2, 2, 81), np.linspace(1, 2, 81)
    ours, theirs = Threshold(0.0, 0.0), ReLU()
    off = np.abs(ours.forward(x) - theirs.forward(x)) + np.abs(ours.backward(grad) - theirs.backward(grad))
    return exactly(float(off.max()), 0)


def jumps_unless_value_is_threshold() -> Check:
    """At t = 0.5 the jump is 0 for v = 0.5 and 0.5 for v = 0, to 1e-15.

    Source: equation (1)
    """
    sides = np.array([0.5, np.nextafter(0.5, 1)])
    jumps = [float(np.diff(Threshold(0.5, value).forward(sides))[0]) for value in (0.5, 0.0)]
    return about(jumps[0] + abs(jumps[1] - 0.5), 0, 1e-15)


CARD = Card(
    name="Threshold",
    name_ja="Threshold(しきい値関数)",
    paper="Fukushima 1969, Visual feature extraction by a multilayered network of analog threshold elements",
    equations=(r"f(x) = x \ \mathrm{if}\ x > t,\ \mathrm{else}\ v",
               r"f'(x) = 1 \ \mathrm{if}\ x > t,\ \mathrm{else}\ 0"),
    summary="Replaces what does not exceed a threshold by a fixed value; ReLU is the case 0, 0.",
    summary_ja="しきい値を超えないものを決まった値に置き換える。どちらも 0 の場合が ReLU である。",
    topics=("nn.threshold",),
    facts=(relu_is_one_of_them, jumps_unless_value_is_threshold),
    notes=("Not continuous unless the value is the threshold itself.",),
    notes_ja=("置き換える値がしきい値に等しくない限り、連続ではない。",),
)
