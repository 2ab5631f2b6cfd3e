r"""GELU: x times the probability that a normal number lies below it.

    f(x) = x P(x),  P(x) = P[z <= x], z ~ N(0, 1)             (1)
    f'(x) = P(x) + x p(x),  p(x) = exp(-x^2 / 2) / sqrt(2 pi) (2)
    f(x) ~ x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))      (3)

A gate that opens by chance, averaged. It dips to -0.17 on the left before it settles at 0. The surprise is that (3),
from times when erf was dear, is another function: trained weights of one belong to it alone, and libraries call both
GELU. NumPy has no erf; scipy's ndtr is P, exact also far on the left, where 1 + erf would lose every digit.

Hendrycks and Gimpel 2016.
"""

from math import erf, pi, sqrt
from typing import Literal, final

import numpy as np

from shinso.core.card import Card, Check, about, at_most


@final
class GELU:
    """Elementwise, any shape; `approximate` is "none" for (1) or "tanh" for (3), as in torch."""

    def __init__(self, approximate: Literal["none", "tanh"] = "none"):
        self.approximate = approximate

    def forward(self, x: np.ndarray) -> np.ndarray:
        from scipy.special import ndtr  # here: importing this file shall not wait for scipy

        self.x = x
        if self.approximate == "none":
            self.open = ndtr(x)
        else:
            self.tanh = np.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))  # (3)
            self.open = (1 + self.tanh) / 2
        return x * self.open  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        x = self.x
        if self.approximate == "none":
            return grad * (self.open + x * np.exp(-x * x / 2) / sqrt(2 * pi))  # (2)
        opening = (1 - self.tanh**2) / 2 * (sqrt(2 / pi) * (1 + 0.134145 * x * x))
        return grad * (self.open + x * opening)


def example(rng: np.random.Generator) -> tuple[GELU, tuple[np.ndarray]]:
    """A layer and inputs between -4 and 4."""
    return GELU(), (rng.uniform(-4, 4, (2, 3, 3)),)


def the_dip() -> Check:
    """Where the slope is 0, at x = -0.7517915 to 1e-7, the value is -0.16997120747990369 to 1e-15.

    Source: the zero of (2) by bisection
    """
    layer, left, right = GELU(), -1.0, -0.5
    for _ in range(60):
        middle = (left + right) / 2
        layer.forward(np.array([middle]))
        left, right = (left, middle) if layer.backward(np.ones(1))[0] > 0 else (middle, right)
    value = float(layer.forward(np.array([left]))[0])
    return at_most(abs(value + 0.16997120747990369) if abs(left + 0.7517915) < 1e-7 else np.inf, 1e-15)


def the_tanh_form_is_another_function() -> Check:
    """(3) differs from (1) by up to 4.73e-4, to 1e-6, on 100,001 points of [-5, 5].

    Source: Hendrycks and Gimpel 2016, section 2, which calls (3) an approximation
    """
    x = np.linspace(-5, 5, 100_001)
    return about(float(np.abs(GELU().forward(x) - GELU("tanh").forward(x)).max()), 4.73e-4, 1e-6)


def digits_survive_on_the_left() -> Check:
    """At x = -12 the value is -p(x) (1 - 1/144 + 3/144^2), to 1e-5 of it; with 1 + erf for 2 P it would be 0.

    Source: the asymptotic series of the normal tail; its next term is 15/144^3
    """
    x = -12.0
    tail = np.exp(-x * x / 2) / sqrt(2 * pi) * (1 - 1 / 144 + 3 / 144**2)
    ratio = float(GELU().forward(np.array([x]))[0]) / -tail
    return about(ratio if 1 + erf(x / sqrt(2)) == 0 else 0, 1, 1e-5)


CARD = Card(
    name="GELU",
    name_ja="GELU(ガウス誤差線形ユニット)",
    paper="Hendrycks and Gimpel 2016, Gaussian error linear units, arXiv:1606.08415",
    equations=(r"f(x) = x\,\Phi(x)", r"f'(x) = \Phi(x) + x\,\varphi(x),\quad \varphi(x) = e^{-x^2/2}/\sqrt{2\pi}",
               r"f(x) \approx \frac{x}{2}(1 + \tanh(\sqrt{2/\pi}\,(x + 0.044715\,x^3)))"),
    summary="x times the probability that a normal number lies below x: a gate that opens smoothly.",
    summary_ja="正規乱数が x を下回る確率を x に掛ける。なめらかに開くゲートである。",
    topics=("nn.gelu",),
    facts=(the_dip, the_tanh_form_is_another_function, digits_survive_on_the_left),
    notes=("Libraries call the exact form (1) and the tanh form (3) by one name; ask which one made the weights.",),
    notes_ja=("厳密な (1) と tanh の (3) は同じ名前で呼ばれる。重みがどちらのものか確かめる。",),
    twin="torch.nn.functional.gelu",
)
