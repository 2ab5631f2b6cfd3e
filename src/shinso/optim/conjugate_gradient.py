r"""Conjugate gradients: for linear systems (Hestenes and Stiefel 1952) and any function (Fletcher and Reeves 1964).

    d = -g + b d',   d^T A d' = 0   on f(w) = w^T A w / 2 - c^T w                                        (1)
    t = -g^T d / (d^T A d),   w = w + t d                                                                (2)
    b = |g|^2 / |g'|^2                         (Fletcher and Reeves)                                     (3)
    b = max(0, g^T (g - g') / |g'|^2)          (Polak and Ribiere 1969, with restarts by the maximum)    (4)
    |e_k| <= 2 ((sqrt k(A) - 1) / (sqrt k(A) + 1))^k |e_0|   in the norm e^T A e                         (5)

' is the step before. A direction that is conjugate (1) to the earlier ones spoils nothing that they achieved, so that
n of them solve a system of n unknowns. The surprise: remembering one earlier direction makes the new one conjugate to
all of them. A is never written down and never inverted: all that is asked of it is its product with a vector.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, at_most
from shinso.core.seed import generator
from shinso.optim._checks import check_rate
from shinso.optim._line_search import Found, exact, strong_wolfe
from shinso.optim._walk import weights
from shinso.optim._whole import AbstractWhole, Landscape, descent


@dataclass(frozen=True)
class Iterate:
    """After some products: the solution so far, its residual b - A x, and the direction that led there."""

    x: Tensor
    residual: Tensor
    direction: Tensor


def iterates(product: Callable[[Tensor], Tensor], b: Tensor, start: Tensor | None = None) -> Iterator[Iterate]:
    """The steps of conjugate gradients on A x = b with product(v) = A v, A symmetric; one product each.

    They end when the residual is 0 and where a direction has no positive curvature, d^T A d <= 0. A start other than 0
    costs one more product.
    """
    x = torch.zeros_like(b) if start is None else start
    r = b if start is None else b - product(start)
    d = r
    while bool(r.any()):
        ad = product(d)
        bend = d.dot(ad)
        if not bend > 0:
            return
        t = r.dot(r) / bend  # (2), as g = -r and r is orthogonal to the direction before
        x, new = x + t * d, r - t * ad
        yield Iterate(x, new, d)
        d, r = new + new.dot(new) / r.dot(r) * d, new  # (1), (3)


def solve(product: Callable[[Tensor], Tensor], b: Tensor, *, start: Tensor | None = None, tolerance: float = 1e-10,
          most: int | None = None) -> tuple[Tensor, int]:
    """x with |b - A x| <= tolerance |b| and the number of steps; after `most` steps (default 10 n) it stops anyway."""
    x, number, most = torch.zeros_like(b) if start is None else start, 0, 10 * len(b) if most is None else most
    for number, one in enumerate(iterates(product, b, start), 1):
        x = one.x
        if number >= most or one.residual.norm() <= tolerance * b.norm():
            break
    return x, number


@final
class ConjugateGradient(AbstractWhole):
    """Nonlinear conjugate gradients: one direction per step(closure), which calls the closure several times.

    One parameter group. line_search="exact" takes (2) with A the Hessian at the weights, exact on a quadratic; the
    closure then calls loss.backward(create_graph=True).
    """

    def __init__(self, params: Any, lr: float = 1.0, *, rule: Literal["polak-ribiere", "fletcher-reeves"] =
                 "polak-ribiere", line_search: Literal["strong_wolfe", "exact"] = "strong_wolfe",
                 wolfe: tuple[float, float] = (1e-4, 0.1), restart: int | None = None, maximize: bool = False):
        """`lr` bounds how far the first step goes; `wolfe` is (c1, c2); every `restart` steps (default: as many as
        there are weights) the direction is the gradient's again."""
        check_rate(lr)
        if rule not in ("polak-ribiere", "fletcher-reeves"):
            raise ValueError(f"Invalid rule: {rule}")
        if line_search not in ("strong_wolfe", "exact"):
            raise ValueError(f"Invalid line_search: {line_search}")
        if not 0.0 < wolfe[0] < wolfe[1] < 0.5:  # Nocedal and Wright, lemma 5.6: only then does every direction descend
            raise ValueError(f"Invalid wolfe constants: {wolfe}")
        if restart is not None and not 1 <= restart:
            raise ValueError(f"Invalid restart value: {restart}")
        super().__init__(params, {"lr": lr, "rule": rule, "line_search": line_search, "wolfe": wolfe,
                                  "restart": restart, "maximize": maximize})

    def advance(self, land: Landscape, group: dict[str, Any], state: dict[str, Any]) -> None:
        loss, g = land.ask()
        if not bool(g.any()):
            return
        d, since = _direction(g, state, group)
        slope = float(g.dot(d))
        if group["line_search"] == "exact":
            found = exact(land, d, Found(0.0, loss, g))
        else:
            first = state["drop"] / slope if "drop" in state else min(1.0, 1.0 / float(g.abs().sum()))
            found = strong_wolfe(land, d, Found(float(group["lr"]) * first, loss, g), group["wolfe"])
        state.update(direction=d, gradient=g, since=since)
        if found.t > 0:
            state["drop"] = found.t * slope  # the next search first tries the length of the same first-order drop
        else:
            state["since"] = len(g)  # nothing lower was found along it: begin anew


def _direction(g: Tensor, state: dict[str, Any], group: dict[str, Any]) -> tuple[Tensor, int]:
    """(1) and how many steps ago the direction was the gradient's."""
    if "gradient" not in state or state["since"] + 1 >= (group["restart"] or len(g)):
        return -g, 0
    before, d = state["gradient"], state["direction"]
    top = g.dot(g) if group["rule"] == "fletcher-reeves" else g.dot(g - before).clamp_min(0)
    new = -g + top / before.dot(before) * d  # (3), (4)
    return (new, state["since"] + 1) if g.dot(new) < 0 else (-g, 0)


def n_steps_solve_n_unknowns() -> Check:
    """Random systems of 20 unknowns at condition number 100: after 20 steps |A x - b| is at most 1e-10 of |b|.

    Source: Hestenes and Stiefel 1952, theorem 4:1
    """
    worst = 0.0
    for seed in range(5):
        a, b = _system(20, 100.0, seed)
        x, _ = solve(lambda v, a=a: a @ v, b, tolerance=0.0, most=20)
        worst = max(worst, float((a @ x - b).norm() / b.norm()))
    return at_most(worst, 1e-10)


def all_directions_are_conjugate() -> Check:
    """For 10 unknowns the largest |d_i^T A d_j| of the 10 directions, in their lengths in A, is at most 1e-10.

    Source: Hestenes and Stiefel 1952, theorem 5:1. Rounding grows as the residual falls: 1.3e-10 for 20
    """
    a, b = _system(10, 100.0, 0)
    found = torch.stack([one.direction for one, _ in zip(iterates(lambda v: a @ v, b), range(10), strict=False)])
    products = found @ a @ found.T
    lengths = products.diagonal().sqrt()
    return at_most(float((products / torch.outer(lengths, lengths)).fill_diagonal_(0).abs().max()), 1e-10)


def the_root_of_the_condition_number_counts() -> Check:
    """At condition number 10,000 in 400 dimensions the error in A never exceeds the bound of (5), over 200 steps.

    Source: equation (5); Daniel 1967. Descent by gradients has the condition number itself there
    """
    a, b = _system(400, 1e4, 0)
    answer, worst = torch.linalg.solve(a, b), 0.0
    first = float(answer @ a @ answer) ** 0.5
    for k, one in zip(range(1, 201), iterates(lambda v: a @ v, b), strict=False):
        e = one.x - answer
        worst = max(worst, float(e @ a @ e) ** 0.5 / first / (2 * (99 / 101) ** k))
    return at_most(worst, 1.0)


def nothing_is_inverted() -> Check:
    """The trap: 100,000 unknowns, whose inverse would fill 80 GB, are solved to 1e-10 by products alone: at most 40.

    Source: equation (5) at condition number 3; the documents say that it makes the inverse Hessian cheap
    """
    def product(v: Tensor) -> Tensor:
        out = 4 * v
        out[1:] -= v[:-1]
        out[:-1] -= v[1:]
        return out

    return at_most(float(solve(product, torch.ones(100_000, dtype=torch.float64))[1]), 40.0)


def both_rules_are_one_on_a_quadratic() -> Check:
    """With exact search in 10 dimensions both rules walk the same 10 steps to the minimum: to 1e-10.

    Source: g^T g' = 0 there, so that (3) and (4) are the same number
    """
    a, b = _system(10, 100.0, 1)
    ends = [descent(ConjugateGradient([weights(torch.zeros(10))], rule=rule, line_search="exact"),
                    lambda w: 0.5 * w @ a @ w - b @ w, 10) for rule in ("polak-ribiere", "fletcher-reeves")]
    apart = float((ends[0] - ends[1]).abs().max())
    return at_most(max(apart, float((a @ ends[0][-1] - b).norm() / b.norm())), 1e-10)


def _system(n: int, condition: float, seed: int) -> tuple[Tensor, Tensor]:
    draw = generator(seed, "system")
    basis = torch.linalg.qr(torch.randn(n, n, generator=draw, dtype=torch.float64))[0]
    values = torch.linspace(1.0, condition, n, dtype=torch.float64)
    return basis @ torch.diag(values) @ basis.T, torch.randn(n, generator=draw, dtype=torch.float64)


CARD = Card(
    name="Conjugate gradient",
    name_ja="共役勾配法",
    paper="Hestenes and Stiefel 1952; Fletcher and Reeves 1964; Polak and Ribiere 1969",
    equations=(
        r"d = -g + \beta d',\quad d^T A\, d' = 0",
        r"t = -\frac{g^T d}{d^T A\, d},\quad w = w + t\, d",
        r"\beta = |g|^2 / |g'|^2",
        r"\beta = \max(0,\ g^T (g - g') / |g'|^2)",
        r"|e_k|_A \leq 2 \left(\frac{\sqrt{\kappa} - 1}{\sqrt{\kappa} + 1}\right)^k |e_0|_A",
    ),
    summary="Goes along directions of which none spoils what the others achieved; n of them solve n unknowns.",
    summary_ja="互いの成果を損なわない方向へ順に進む。未知数が n 個なら n 歩で解ける。",
    topics=("optim.cg",),
    facts=(n_steps_solve_n_unknowns, all_directions_are_conjugate, the_root_of_the_condition_number_counts,
           nothing_is_inverted, both_rules_are_one_on_a_quadratic),
    notes=("It never forms the inverse Hessian, as the wording of the document suggests; not even the Hessian.",
           "n steps hold without rounding; at large condition numbers more are needed, and preconditioning."),
    notes_ja=("資料の書き方と違い、ヘッセ行列の逆行列を作ることはない。ヘッセ行列さえ作らない。",
              "n 歩で終わるのは丸め誤差がないときである。条件数が大きいともっと多くの歩数か前処理が要る。"),
)
