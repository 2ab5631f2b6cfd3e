r"""Entropy: the mean surprise of a law (Shannon 1948).

    H(P) = -sum_x P(x) log_b P(x),   0 log 0 = 0                                       (1)
    0 <= H(P) <= log_b n,  with equality on the right for the uniform law alone        (2)
    H(Y | X) = sum_x P(x) H(Y | X = x),   H(X, Y) = H(X) + H(Y | X)                    (3)
    H(P, Q) = -sum_x P(x) log_b Q(x)                                                   (4)

(4) is the cross entropy: the mean length of a code for Q when P is true, and the loss of every classifier.
"""

from math import e, log

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.maths.inputs import masses, two_masses, unit, x_log_y


def entropy(p: ArrayLike, base: float = e) -> float:
    """(1) of a table of any shape whose entries sum to 1."""
    p = masses("entropy", "p", p)
    return float(0.0 - x_log_y(p, p).sum()) / unit("entropy", base)


def cross_entropy(p: ArrayLike, q: ArrayLike, base: float = e) -> float:
    """(4); inf where q is 0 and p is not."""
    p, q = two_masses("cross entropy", p, q)
    return float(0.0 - x_log_y(p, q).sum()) / unit("cross entropy", base)


def conditional_entropy(joint: ArrayLike, base: float = e) -> float:
    """(3), left: H(Y | X) of a joint table with X along the rows; rows of mass 0 count nothing."""
    table = masses("conditional entropy", "joint", joint, 2)
    rows = table.sum(1, keepdims=True)
    shares = np.divide(table, rows, out=np.zeros_like(table), where=rows > 0)
    return float(0.0 - (rows * x_log_y(shares, shares)).sum()) / unit("conditional entropy", base)


def the_bounds_hold() -> Check:
    """Over 2,000 random laws, sparse ones among them, H lies from 0 to log n: the furthest outside, up to 1e-14.

    Source: Shannon 1948, section 6
    """
    rng, worst = np.random.default_rng(0), 0.0
    for n in rng.integers(1, 20, 2000):
        h = entropy(rng.dirichlet(np.full(n, 10.0 ** rng.uniform(-2, 2))))
        worst = max(worst, -h, h - log(n))
    return at_most(worst, 1e-14)


def the_uniform_law_is_the_most_uncertain() -> Check:
    """For n to 200 equal outcomes H in bits is log2 n, to 1e-13.

    Source: Shannon 1948, section 6
    """
    return at_most(max(abs(entropy(np.full(n, 1 / n), 2) - log(n, 2)) for n in range(1, 201)), 1e-13)


def the_chain_rule() -> Check:
    """H(X, Y) = H(X) + H(Y given X) to 1e-14 on 500 random tables, some with empty rows.

    Source: Shannon 1948, section 6; equation (3)
    """
    rng, worst = np.random.default_rng(1), 0.0
    for i in range(500):
        joint = rng.dirichlet(np.ones(20)).reshape(4, 5)
        joint[:i % 3] = 0
        joint /= joint.sum()
        worst = max(worst, abs(entropy(joint) - entropy(joint.sum(1)) - conditional_entropy(joint)))
    return at_most(worst, 1e-14)


def nothing_times_minus_infinity_is_nothing() -> Check:
    """An outcome of probability 0 changes nothing, where the sum coded literally is nan.

    Source: x log x goes to 0 with x at 0
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.array([0.25, 0.75, 0.0])
        literal = -(p * np.log(p)).sum()
    assert np.isnan(literal)  # noqa: S101 - the other half of the claim
    return exactly(entropy(p) - entropy(p[:2]), 0.0)


def the_true_law_has_the_shortest_code() -> Check:
    """Over 2,000 random pairs H(P, Q) - H(P) is never below 0 (up to 1e-14): the smallest.

    Source: Gibbs 1902
    """
    rng = np.random.default_rng(2)
    pairs = [rng.dirichlet(np.ones(5), 2) for _ in range(2000)]
    return at_least(min(cross_entropy(p, q) - entropy(p) for p, q in pairs), -1e-14)


CARD = Card(
    name="Entropy",
    name_ja="平均情報量(エントロピー)",
    paper="Shannon 1948, A Mathematical Theory of Communication, Bell System Technical Journal 27",
    equations=(r"H(P) = -\sum_x P(x) \log_b P(x),\quad 0 \log 0 = 0", r"0 \leq H(P) \leq \log_b n",
               r"H(X, Y) = H(X) + H(Y \mid X)", r"H(P, Q) = -\sum_x P(x) \log_b Q(x)"),
    summary="The mean surprise of a law: the length of the best code, in bits or nats.",
    summary_ja="確率分布の平均の意外さ。最良の符号の長さをビットやナットで表す。",
    topics=("maths.entropy",),
    facts=(the_bounds_hold, the_uniform_law_is_the_most_uncertain, the_chain_rule,
           nothing_times_minus_infinity_is_nothing, the_true_law_has_the_shortest_code),
    notes=("The sum over events A in Omega must run over outcomes.",
           "0 log 0 = 0 has to be built in; coded literally it is nan."),
    notes_ja=("資料は Omega の事象 A について和をとると書くが、和は根元事象についてとる。",
              "0 log 0 = 0 は組み込む必要がある。文字どおりに書くと nan になる。"),
)
