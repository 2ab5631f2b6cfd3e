r"""L-BFGS: Newton's direction from the last few steps and changes of the gradient (Nocedal 1980; Liu and Nocedal 1989).

    s = w' - w,   y = g' - g,   r = 1 / (y s)                                                            (1)
    H' = (1 - r s y^T) H (1 - r y s^T) + r s s^T,   H_0 = (s y) / (y y)                                  (2)
    d = -H g, worked out from the last m pairs in two loops, without H                                   (3)

It is torch's own class: it needs a closure and a loss that is the same when it is asked twice.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from shinso.core.card import Card, Check, at_most
from shinso.optim._walk import weights

LBFGS = torch.optim.LBFGS


def _valley(w: Tensor) -> Tensor:
    """Rosenbrock's for every pair of w: its minimum is 0 at 1."""
    a, b = w[0::2], w[1::2]
    return (100 * (b - a**2) ** 2 + (1 - a) ** 2).sum()


def _descend(optimiser: LBFGS, w: Tensor, loss: Callable[[Tensor], Tensor]) -> float:
    """One call of step, which is many iterations, and the loss after it."""

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(w)
        value.backward()
        return value

    optimiser.step(closure)
    return float(loss(w.detach()))


def two_loops_are_the_dense_product() -> Check:
    """After 12 iterations in a valley of 6 dimensions its direction is -H g with H of (2), to 1e-10 of its length.

    Source: Nocedal 1980; the memory holds all pairs
    """
    w = weights([-1.2, 1.0, -0.5, 0.8, 1.5, 2.0])
    optimiser = LBFGS([w], lr=1.0, max_iter=12, line_search_fn="strong_wolfe")
    _descend(optimiser, w, _valley)
    kept, unit = optimiser.state[w], torch.eye(6, dtype=torch.float64)
    dense = kept["H_diag"] * unit
    for s, y in zip(kept["old_stps"], kept["old_dirs"], strict=True):
        r = 1 / y.dot(s)
        left = unit - r * torch.outer(s, y)
        dense = left @ dense @ left.T + r * torch.outer(s, s)  # (2)
    direction = -dense @ kept["prev_flat_grad"]
    return at_most(float((direction - kept["d"]).norm() / direction.norm()), 1e-10)


def a_valley_in_ten_dimensions_is_walked_down() -> Check:
    """With the strong Wolfe conditions Rosenbrock's valley in 10 dimensions is at 1e-15 after 80 iterations.

    Source: Liu and Nocedal 1989, the extended Rosenbrock function
    """
    w = weights([-1.2, 1.0] * 5)
    optimiser = LBFGS([w], lr=1.0, max_iter=80, tolerance_change=1e-14, line_search_fn="strong_wolfe")
    return at_most(_descend(optimiser, w, _valley), 1e-15)


CARD = Card(
    name="L-BFGS",
    name_ja="L-BFGS (記憶制限つき BFGS)",
    paper="Liu and Nocedal 1989, On the limited memory BFGS method, doi:10.1007/BF01589116",
    equations=(
        r"s = w' - w,\quad y = g' - g,\quad r = 1 / (y^T s)",
        r"H' = (I - r s y^T)\, H\, (I - r y s^T) + r s s^T,\quad H_0 = \frac{s^T y}{y^T y} I",
        r"d = -H g",
    ),
    summary="Newton's direction from the last few steps and changes of the gradient, without a matrix.",
    summary_ja="直近の数歩と勾配の変化だけからニュートン方向を求める。行列は作らない。",
    topics=("optim.lbfgs",),
    facts=(two_loops_are_the_dense_product, a_valley_in_ten_dimensions_is_walked_down),
    notes=("1995 is the year of the variant with bounds, L-BFGS-B; the method is of 1980 and 1989.",),
    notes_ja=("1995 は範囲の制約つきの L-BFGS-B の年である。手法そのものは 1980 と 1989 である。",),
)
