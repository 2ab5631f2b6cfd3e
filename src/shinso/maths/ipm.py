r"""Integral probability metrics: how far two laws are apart in the eyes of a class of functions (Mueller 1997).

    d_F(p, q) = sup_{f in F} (E_p f - E_q f)                                           (1)

F = {x, -x} sees the means, with {x^2, -x^2} also the second moments, all functions with values in [-1/2, 1/2] give
total variation, the 1-Lipschitz functions the 1-Wasserstein distance, the unit ball of a kernel's space MMD. The more
functions, the larger the distance. F must hold -f with every f: else the sup can be negative.
"""

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.errors import UserError
from shinso.maths._inputs import numbers, two_masses


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
    if degree < 1:
        raise UserError("ipm", f"there is no moment of degree {degree}", "give 1 or more")
    return np.stack([x**k for k in range(1, degree + 1)])
