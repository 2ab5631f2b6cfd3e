r"""BFGS: the inverse Hessian learned from the steps (Broyden, Fletcher, Goldfarb and Shanno 1970, each on their own).

    s = w' - w,   y = g' - g,   r = 1 / (y^T s)                                                          (1)
    H = (1 - r s y^T) H (1 - r y s^T) + r s s^T                                                          (2)
    H y = s,   that is B s = y for its inverse B: the secant condition                                   (3)
    d = -H g,   w' = w + t d   with t by the strong Wolfe conditions                                     (4)

Only gradients are asked for, and yet the convergence is superlinear: faster than any fixed rate. Of all symmetric
matrices with (3), (2) is the nearest to the one before, in a norm that knows no units. The surprise: H stays positive
definite whenever y^T s > 0 (5), which the second Wolfe condition guarantees, so that (4) always goes down, although
nobody asks whether the function curves upwards. H has n^2 numbers; for more weights see lbfgs.py.
"""

from typing import Any, Literal, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.seed import generator
from shinso.optim._checks import check_rate
from shinso.optim._line_search import Found, exact, strong_wolfe
from shinso.optim._walk import weights
from shinso.optim._whole import AbstractWhole, Landscape, descent


def updated(h: Tensor, s: Tensor, y: Tensor) -> Tensor:
    """(2): the inverse Hessian (n, n) after a step s over which the gradient changed by y."""
    r, hy = 1 / y.dot(s), h @ y
    mixed = torch.outer(s, hy)
    return h - r * (mixed + mixed.T) + (r + r * r * y.dot(hy)) * torch.outer(s, s)  # (2) multiplied out


@final
class BFGS(AbstractWhole):
    """BFGS with the dense matrix: one direction per step(closure), which calls the closure several times.

    One parameter group. line_search="exact" minimises the second-order model along the direction, which is exact on a
    quadratic; the closure then calls loss.backward(create_graph=True).
    """

    most_weights = 20_000

    def __init__(self, params: Any, lr: float = 1.0, *, line_search: Literal["strong_wolfe", "exact"] = "strong_wolfe",
                 wolfe: tuple[float, float] = (1e-4, 0.9), maximize: bool = False):
        """`lr` is the step length that is tried first, `wolfe` is (c1, c2)."""
        check_rate(lr)
        if line_search not in ("strong_wolfe", "exact"):
            raise ValueError(f"Invalid line_search: {line_search}")
        if not 0.0 < wolfe[0] < wolfe[1] < 1.0:
            raise ValueError(f"Invalid wolfe constants: {wolfe}")
        super().__init__(params, {"lr": lr, "line_search": line_search, "wolfe": wolfe, "maximize": maximize})

    def advance(self, land: Landscape, group: dict[str, Any], state: dict[str, Any]) -> None:
        loss, g = land.ask()
        if not bool(g.any()):
            return
        h = state.get("inverse_hessian")
        d = -g if h is None else -(h @ g)
        if not g.dot(d) < 0:  # rounding has spoilt H
            h, d = None, -g
        before, first = land.place(), 1.0 if h is not None else min(1.0, 1.0 / float(g.abs().sum()))
        here = Found(float(group["lr"]) * first, loss, g)
        found = exact(land, d, here) if group["line_search"] == "exact" else strong_wolfe(land, d, here, group["wolfe"])
        s, y = land.place() - before, found.gradient - g  # (1)
        if y.dot(s) > torch.finfo(y.dtype).eps * y.dot(y):
            h = h if h is not None else y.dot(s) / y.dot(y) * torch.eye(len(s), dtype=s.dtype, device=s.device)
            state["inverse_hessian"] = updated(h, s, y)
        elif found.t == 0:
            state.pop("inverse_hessian", None)  # nothing lower was found: begin anew with the gradient


def the_secant_condition_holds() -> Check:
    """Over 20 steps down Rosenbrock's valley |H y - s| is at most 1e-12, in units of |s|.

    Source: equation (3)
    """
    w = weights([-1.2, 1.0])
    optimiser, places, worst = BFGS([w]), [], 0.0
    places.append(w.detach().clone())
    for _ in range(20):
        descent(optimiser, _valley, 1)
        places.append(w.detach().clone())
        s, y = places[-1] - places[-2], _slope(places[-1]) - _slope(places[-2])
        worst = max(worst, float((optimiser.state[w]["inverse_hessian"] @ y - s).norm() / s.norm()))
    return at_most(worst, 1e-12)


def it_stays_positive_definite() -> Check:
    """1000 updates by random pairs with y^T s > 0 in 5 dimensions: every new H has its smallest eigenvalue above 0.

    Source: equation (5); Fletcher 1970
    """
    draw, least = generator(0, "pairs"), float("inf")
    for _ in range(1000):
        root, s, y = (torch.randn(shape, generator=draw, dtype=torch.float64) for shape in ((5, 5), (5,), (5,)))
        h = updated(root @ root.T + torch.eye(5), s, y if y.dot(s) > 0 else -y)
        least = min(least, float(torch.linalg.eigvalsh(h)[0]))
    return at_least(least, 1e-9)


def a_pair_without_curvature_would_spoil_it() -> Check:
    """The trap: an update with y^T s = -1 from the unit matrix makes an eigenvalue of -1 or less.

    Source: s^T y = y^T H y would have to be positive; the step leaves such an update out
    """
    s = torch.tensor([1.0, 0.0], dtype=torch.float64)
    return at_most(float(torch.linalg.eigvalsh(updated(torch.eye(2).double(), s, -s))[0]), -1.0)


def n_exact_steps_know_the_inverse() -> Check:
    """On quadratics in 10 dimensions, searched exactly, H after 10 steps is the inverse Hessian to 1e-9 of its size.

    Source: Nocedal and Wright 2006, theorem 6.4
    """
    draw = generator(0, "quadratic")
    basis = torch.linalg.qr(torch.randn(10, 10, generator=draw, dtype=torch.float64))[0]
    a, w = basis @ torch.diag(torch.linspace(1, 30, 10).double()) @ basis.T, weights(torch.ones(10))
    optimiser = BFGS([w], line_search="exact")
    descent(optimiser, lambda w: 0.5 * w @ a @ w, 10)
    inverse = torch.linalg.inv(a)
    return at_most(float((optimiser.state[w]["inverse_hessian"] - inverse).norm() / inverse.norm()), 1e-9)


def the_ratio_of_errors_tends_to_0() -> Check:
    """At the end of Rosenbrock's valley the last three steps each leave at most 0.1 of the error.

    Source: Dennis and More 1974: superlinear convergence
    """
    path = descent(BFGS([weights([-1.2, 1.0])]), _valley, 60)
    errors = [float(e) for e in (path - 1).norm(dim=1) if e > 1e-12]
    return at_most(max(after / before for before, after in zip(errors[-4:-1], errors[-3:], strict=True)), 0.1)


def _valley(w: Tensor) -> Tensor:
    return 100 * (w[1] - w[0] ** 2) ** 2 + (1 - w[0]) ** 2


def _slope(w: Tensor) -> Tensor:
    bend = w[1] - w[0] ** 2
    return torch.stack([-400 * w[0] * bend - 2 * (1 - w[0]), 200 * bend])


CARD = Card(
    name="BFGS",
    name_ja="BFGS (準ニュートン法)",
    paper="Broyden 1970; Fletcher 1970; Goldfarb 1970; Shanno 1970",
    equations=(
        r"s = w' - w,\quad y = g' - g,\quad \rho = 1 / (y^T s)",
        r"H' = (I - \rho s y^T)\, H\, (I - \rho y s^T) + \rho s s^T",
        r"H' y = s",
        r"d = -H g,\quad w' = w + t\, d",
        r"y^T s > 0\ \Rightarrow\ H' \succ 0",
    ),
    summary="Learns the inverse of the second derivatives from how the gradient changes along its own steps.",
    summary_ja="自分の一歩ごとの勾配の変化から、二階微分の逆行列を学ぶ。",
    topics=("optim.bfgs",),
    facts=(the_secant_condition_holds, it_stays_positive_definite, a_pair_without_curvature_would_spoil_it,
           n_exact_steps_know_the_inverse, the_ratio_of_errors_tends_to_0),
    notes=("A change of the gradient with y^T s <= 0 is not learned from; with strong Wolfe steps it does not occur.",
           "The gradient of both ends of a step must be of the same data: a new mini-batch only between two steps."),
    notes_ja=("y^T s <= 0 となる変化からは学ばない。強い Wolfe 条件を満たす一歩では起こらない。",
              "一歩の両端の勾配は同じデータのものでなければならない。ミニバッチは歩と歩の間でだけ替える。"),
)
