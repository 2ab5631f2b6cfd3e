r"""Integral probability metrics: how far two laws are apart in the eyes of a class of functions (Mueller 1997).

    d_F(p, q) = sup_{f in F} (E_p f - E_q f)                                           (1)

F = {x, -x} sees the means, with {x^2, -x^2} also the second moments, all functions with values in [-1/2, 1/2] give
total variation, the 1-Lipschitz functions the 1-Wasserstein distance, the unit ball of a kernel's space MMD. The more
functions, the larger the distance. F must hold -f with every f: else the sup can be negative.
"""

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.errors import UserError
from shinso.maths.inputs import count, numbers, two_masses


def ipm(p: ArrayLike, q: ArrayLike, functions: ArrayLike, *, symmetric: bool = True) -> float:
    """(1) over finitely many functions, given by their values (functions, outcomes).

    `symmetric` takes -f in with every f, as (1) needs it; without it the result can be negative.
    """
    p, q = two_masses("ipm", p, q)
    F = numbers("ipm", "functions", functions, 2)
    if p.ndim != 1 or F.shape[1] != len(p) or len(F) == 0:
        raise UserError("ipm", f"functions of shape {F.shape} do not fit outcomes {p.shape}",
                        "give one row of values for each function")
    means = F @ p - F @ q
    return float((np.abs(means) if symmetric else means).max())


def moment_functions(x: ArrayLike, degree: int) -> np.ndarray:
    """The functions x, x^2, ..., x^degree on the outcomes `x` (n,): (degree, n)."""
    x = numbers("ipm", "x", x, 1)
    return np.stack([x**k for k in range(1, count("ipm", "degree", degree, 1) + 1)])


def _pairs(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes (7,) and pairs of laws on them (number, 2, 7)."""
    rng = np.random.default_rng(0)
    return rng.normal(size=7), rng.dirichlet(np.ones(7), (number, 2))


def the_identity_compares_means() -> Check:
    """With F = {x, -x} it is the absolute difference of means, to 1e-15 over 500 pairs.

    Source: equation (1)
    """
    x, pairs = _pairs(500)
    return at_most(max(abs(ipm(p, q, [x]) - abs(float(p @ x - q @ x))) for p, q in pairs), 1e-15)


def more_functions_never_see_less() -> Check:
    """From 1 moment to 4 the value never falls, up to 1e-14, and somewhere it grows by 0.1: the least step.

    Source: a sup over more is no less
    """
    x, pairs = _pairs(500)
    steps = np.diff([[ipm(p, q, moment_functions(x, degree)) for degree in (1, 2, 3, 4)] for p, q in pairs], axis=1)
    return at_least(float(steps.min()) if steps.max() > 0.1 else -np.inf, -1e-14)


def without_symmetry_it_can_be_negative() -> Check:
    """With x alone, without -x, the sup is below 0 for about half of 500 pairs: the share is 0.3 or more.

    Source: Mueller 1997 asks for a symmetric class, or for the absolute value
    """
    x, pairs = _pairs(500)
    return at_least(float(np.mean([ipm(p, q, [x], symmetric=False) < 0 for p, q in pairs])), 0.3)


CARD = Card(
    name="Integral probability metric",
    name_ja="積分型確率測度距離(IPM)",
    paper="Mueller 1997, Integral Probability Metrics and Their Generating Classes of Functions, doi:10.2307/1428011",
    equations=(r"d_F(p, q) = \sup_{f \in F}\,(E_p f - E_q f)",),
    summary="How far two laws are apart in the eyes of a class of functions: means, moments, total variation, W1, MMD.",
    summary_ja="関数の集まりの目で見た二つの分布の隔たり。平均、モーメント、全変動、W1、MMDがその例である。",
    topics=(),
    facts=(the_identity_compares_means, more_functions_never_see_less, without_symmetry_it_can_be_negative),
    notes=("The sup needs a class that holds -f with every f to be non-negative, which is not said.",),
    notes_ja=("上限が負にならないためには、各 f とともに -f も含む集まりが要るが、書かれていない。",),
)
