r"""Binary entropy: the uncertainty of one trial that succeeds with probability p (Shannon 1948).

    H(p) = -p log_b p - (1 - p) log_b (1 - p)                                          (1)
    H'(p) = log_b ((1 - p) / p)                                                        (2)

Symmetric about 1/2, where it is largest (log 2: one bit), and 0 at both ends, with an infinite slope there.
"""

from math import e, log

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, about, at_most, exactly
from shinso.core.errors import UserError
from shinso.maths.inputs import numbers, unit, x_log_y


def binary_entropy(p: ArrayLike, base: float = e) -> np.ndarray:
    """(1) of probabilities from 0 to 1, elementwise; exactly 0 at both ends."""
    p = _shares(p)
    rest = np.where(p < 1, (1 - p) * np.log1p(-np.where(p < 1, p, 0.0)), 0.0)
    return (0.0 - x_log_y(p, p) - rest) / unit("binary entropy", base)


def slope(p: ArrayLike, base: float = e) -> np.ndarray:
    """(2), elementwise; inf at 0 and -inf at 1."""
    p = _shares(p)
    with np.errstate(divide="ignore"):
        return (np.log1p(-p) - np.log(p)) / unit("binary entropy", base)


def _shares(p: ArrayLike) -> np.ndarray:
    p = numbers("binary entropy", "p", p)
    if p.size and not 0 <= p.min() <= p.max() <= 1:
        raise UserError("binary entropy", "p has a value outside of 0 to 1", "give probabilities")
    return p


def both_sides_are_alike() -> Check:
    """H(p) = H(1 - p) to 1e-15 at 1,001 places.

    Source: equation (1)
    """
    p = np.linspace(0, 1, 1001)
    return at_most(float(np.abs(binary_entropy(p) - binary_entropy(1 - p)).max()), 1e-15)


def one_bit_at_one_half() -> Check:
    """The largest of 1,001 values is the one at 1/2, and it is log 2: one bit.

    Source: Shannon 1948, figure 7
    """
    h = binary_entropy(np.linspace(0, 1, 1001))
    return about(float(h.max()) if h.argmax() == 500 else np.nan, log(2), 1e-15)


def the_slope_is_the_log_odds() -> Check:
    """Central differences with step 1e-5 meet log((1 - p) / p) to 1e-6, for p from 0.01 to 0.99.

    Source: equation (2); the remainder is h^2 / 6 times the third derivative, below 2e-7 here
    """
    p, h = np.linspace(0.01, 0.99, 99), 1e-5
    return at_most(float(np.abs((binary_entropy(p + h) - binary_entropy(p - h)) / (2 * h) - slope(p)).max()), 1e-6)


def the_ends_are_zero() -> Check:
    """At p = 0 and p = 1 the entropy is exactly 0, where the formula coded literally is nan at both.

    Source: x log x goes to 0 with x
    """
    p = np.array([0.0, 1.0])
    with np.errstate(divide="ignore", invalid="ignore"):
        literal = -p * np.log(p) - (1 - p) * np.log(1 - p)
    assert np.isnan(literal).all()  # noqa: S101 - the other half of the claim
    return exactly(float(np.abs(binary_entropy(p)).sum()), 0.0)


CARD = Card(
    name="Binary entropy",
    name_ja="2値のエントロピー",
    paper="Shannon 1948, A Mathematical Theory of Communication, figure 7",
    equations=(r"H(p) = -p \log_b p - (1-p) \log_b (1-p)", r"H'(p) = \log_b \frac{1-p}{p}"),
    summary="The uncertainty of a yes-or-no question: one bit at even odds, nothing when the answer is known.",
    summary_ja="はい・いいえの問いの不確かさ。五分五分で1ビット、答えが分かっていれば0。",
    topics=("maths.binary-entropy",),
    facts=(both_sides_are_alike, one_bit_at_one_half, the_slope_is_the_log_odds, the_ends_are_zero),
    notes=("Coded literally the formula is nan at p = 0 and p = 1.",),
    notes_ja=("式を文字どおりに書くと p = 0 と p = 1 で nan になる。",),
)
