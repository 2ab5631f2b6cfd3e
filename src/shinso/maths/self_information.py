r"""Self-information: how surprising an event is (Hartley 1928, Shannon 1948).

    I(E) = -log_b P(E)                                                                 (1)
    I(A and B) = I(A) + I(B)   for independent A and B                                 (2)

The base b is the unit: 2 gives bits, e nats, 10 Hartley's digits. What is certain carries nothing, what is
impossible is infinitely surprising.
"""

from math import e

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.errors import UserError
from shinso.maths.inputs import numbers, unit


def self_information(p: ArrayLike, base: float = e) -> np.ndarray:
    """(1) of probabilities from 0 to 1, elementwise; inf at 0."""
    p = numbers("self-information", "p", p)
    if p.size and not 0 <= p.min() <= p.max() <= 1:
        raise UserError("self-information", "p has a value outside of 0 to 1", "give probabilities")
    with np.errstate(divide="ignore"):
        return (0.0 - np.log(p)) / unit("self-information", base)


def surprises_add_up() -> Check:
    """For 10,000 pairs of independent events I(A and B) differs from I(A) + I(B) by at most 1e-14.

    Source: Shannon 1948; equation (2)
    """
    a, b = np.random.default_rng(0).uniform(0.01, 1, (2, 10_000))
    return at_most(float(np.abs(self_information(a * b) - self_information(a) - self_information(b)).max()), 1e-14)


def a_coin_is_one_bit() -> Check:
    """In base 2 probabilities 2^-k carry k bits, for k from 0 to 60: the largest difference.

    Source: Shannon 1948
    """
    k = np.arange(61)
    return at_most(float(np.abs(self_information(2.0**-k, base=2) - k).max()), 1e-14)


def the_ends_are_decided() -> Check:
    """What is certain carries exactly 0 and what is impossible infinitely much: both of both.

    Source: equation (1) and its limit
    """
    certain, impossible = self_information([1.0, 0.0])
    return exactly(float(certain == 0 and not np.signbit(certain)) + float(impossible == np.inf), 2)


CARD = Card(
    name="Self-information",
    name_ja="自己情報量",
    paper="Hartley 1928, Transmission of Information; Shannon 1948, A Mathematical Theory of Communication",
    equations=(r"I(E) = -\log_b P(E)", r"I(A \cap B) = I(A) + I(B)"),
    summary="How surprising an event is, in the unit of one's choice: bits, nats or digits.",
    summary_ja="ある事象がどれだけ意外か。単位 (ビット、ナットなど) は底で選ぶ。",
    topics=("maths.self-information",),
    facts=(surprises_add_up, a_coin_is_one_bit, the_ends_are_decided),
    notes=("The document does not give the base of the logarithm: here it is an argument.",),
    notes_ja=("資料は対数の底を示していない。ここでは引数とする。",),
)
