r"""Tanhshrink: what tanh leaves over.

    f(x) = x - tanh(x)                                        (1)
    f'(x) = tanh(x)^2                                         (2)

Small inputs nearly vanish, f(x) = x^3/3 - ..., and that is its trap: near 0 two almost equal numbers are subtracted,
and their digits are gone. Lambert's fraction has no subtraction in it. With q = x^2/(3 + x^2/(5 + x^2/(7 + ...)))

    tanh(x) = x / (1 + q),  so  f(x) = x q / (1 + q)          (3)

keeps every digit; eight levels are enough below 1.

Lambert 1761 (the fraction); the function is named in PyTorch's list.
"""

from typing import final

import numpy as np

from shinso.core.card import Card, Check, at_least, at_most


@final
class Tanhshrink:
    """Elementwise, any shape."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.tanh = np.tanh(x)
        small = np.clip(x, -1, 1)
        q = small * 0
        for odd in range(17, 1, -2):
            q = small * small / (odd + q)
        return np.where(np.abs(x) < 1, small * q / (1 + q), x - self.tanh)  # (3) near 0, (1) elsewhere

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return grad * (self.tanh * self.tanh)  # (2)


def example(rng: np.random.Generator) -> tuple[Tanhshrink, tuple[np.ndarray]]:
    """A layer and inputs below and above 1."""
    return Tanhshrink(), (rng.normal(0, 1.5, (3, 8)),)


def digits_survive() -> Check:
    """From 1e-8 to 1e-3 the value is x^3/3 - 2x^5/15 + 17x^7/315 to a relative 1e-15.

    Source: the series of tanh; its next term is below 1e-17 of the first
    """
    x = np.logspace(-8, -3, 101)
    series = x**3 / 3 * (1 - 2 * x**2 / 5 + 17 * x**4 / 105)
    return at_most(float(np.abs(Tanhshrink().forward(x) / series - 1).max()), 1e-15)


def subtraction_loses_them() -> Check:
    """Computed as x - tanh(x) in float64, the value at 2e-8 is off by more than 10 percent.

    Source: x^3/3 is 3e-24 there, and so is the last place of x
    """
    x = 2e-8
    return at_least(abs((x - float(np.tanh(x))) / (x**3 / 3) - 1), 0.1)


def both_formulas_meet_at_one() -> Check:
    """Just below 1, where (3) ends, it agrees with x - tanh(x) to 1e-15.

    Source: equation (3) with eight levels
    """
    x = np.nextafter(np.ones(1), 0)
    return at_most(float(abs(Tanhshrink().forward(x) - (x - np.tanh(x)))[0]), 1e-15)


CARD = Card(
    name="Tanhshrink",
    name_ja="Tanhshrink",
    paper="Lambert 1761, Memoire sur quelques proprietes remarquables des quantites transcendentes (the fraction)",
    equations=(r"f(x) = x - \tanh(x)", r"f'(x) = \tanh^2(x)",
               r"f(x) = \frac{x q}{1 + q},\quad q = x^2/(3 + x^2/(5 + x^2/(7 + \cdots)))"),
    summary="What tanh leaves over: near 0 almost nothing, far out the input less its sign.",
    summary_ja="x から tanh を引いた残り。0 の近くではほぼ何も残らず、遠くでは x からその符号を引いたものになる。",
    topics=("nn.tanhshrink",),
    facts=(digits_survive, subtraction_loses_them, both_formulas_meet_at_one),
    notes=("Subtracting tanh(x) from x loses all digits near 0; a continued fraction keeps them.",),
    notes_ja=("x から tanh(x) を引くと 0 の近くで桁がすべて失われる。連分数なら失われない。",),
    twin="torch.nn.functional.tanhshrink",
)
