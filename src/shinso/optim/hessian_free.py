r"""Hessian-free optimisation (Martens 2010): Newton's step by conjugate gradients, for as many weights as there are.

    q(p) = g^T p + p^T H p / 2,   (H + l I) p = -g   solved by conjugate gradients, not to the end       (1)
    stop at i when q_i < 0 and (q_i - q_{i-k}) / q_i < k eps,   k = max(10, i / 10)                      (2)
    r = (f(w + p) - f(w)) / q(p):   l = 3/2 l if r < 1/4,   l = 2/3 l if r > 3/4                         (3)
    l = 3/2 l as well where a direction with d^T (H + l I) d <= 0 is met, which ends the conjugate gradients (4)

q_i in (2) is of H + l I, q in (3) of H alone. H v is one more backward pass through the gradient (Pearlmutter 1994), so
that a product costs about as much as a gradient and H is never formed. The surprise: stopping early is no compromise.
The first directions are those of large curvature, where the model is needed; those that are left out are flat, and
there the damping l would hold the step back anyway. Each system starts from the solution of the one before.
"""

from collections.abc import Callable
from math import ceil
from typing import Any, final

import torch
from torch import Tensor, nn

from shinso.core.card import Card, Check, about, at_most
from shinso.core.seed import drawing_from, generator
from shinso.optim._checks import check_rate
from shinso.optim._line_search import Found, armijo
from shinso.optim._walk import weights
from shinso.optim._whole import AbstractWhole, Landscape, descent
from shinso.optim.conjugate_gradient import iterates
from shinso.optim.newton import Newton


@final
class HessianFree(AbstractWhole):
    """Hessian-free optimisation with the Hessian itself; the closure calls loss.backward(create_graph=True).

    A step(closure) calls the closure several times: it must be the same loss. One parameter group.
    """

    curvature = True

    def __init__(self, params: Any, lr: float = 1.0, *, damping: float = 1.0, tolerance: float = 5e-4,
                 most: int = 250, maximize: bool = False):
        """`damping` is l of (1) at first, `tolerance` eps of (2), `most` the bound on the products of one step."""
        check_rate(lr)
        if not 0.0 <= damping:
            raise ValueError(f"Invalid damping value: {damping}")
        if not 0.0 <= tolerance:
            raise ValueError(f"Invalid tolerance value: {tolerance}")
        if not 1 <= most:
            raise ValueError(f"Invalid most value: {most}")
        super().__init__(params, {"lr": lr, "damping": damping, "tolerance": tolerance, "most": most,
                                  "maximize": maximize})

    def advance(self, land: Landscape, group: dict[str, Any], state: dict[str, Any]) -> None:
        loss, g = land.ask()
        if not bool(g.any()):
            return
        damping, counted = state.get("damping", group["damping"]), [0]

        def product(v: Tensor) -> Tensor:
            counted[0] += 1
            return land.product(v) + damping * v  # (1)

        kept, convex = _truncated(product, -g, state.get("direction"), group["tolerance"], group["most"])
        p, model = _best(land, kept) if kept else (-g, float(-g.dot(g)))  # no direction curved upwards: descend
        found = armijo(land, p, Found(float(group["lr"]), loss, g)) if g.dot(p) < 0 else Found(0.0, loss, g)
        promised = model - damping / 2 * float(p.dot(p)) if kept else model
        ratio = (found.loss - loss) / promised if promised < 0 and found.t == group["lr"] else 0.0
        looser, tighter = convex and ratio > 3 / 4, not convex or ratio < 1 / 4
        state["damping"] = damping * (2 / 3 if looser else 3 / 2 if tighter else 1.0)  # (3), (4)
        state["products"] = state.get("products", 0) + counted[0]
        state["direction"] = p if kept and found.t > 0 else torch.zeros_like(p)


def _truncated(product: Callable[[Tensor], Tensor], b: Tensor, start: Tensor | None, tolerance: float,
               most: int) -> tuple[list[tuple[Tensor, float]], bool]:
    """Conjugate gradients until (2): some of the solutions on the way, ever rarer, the last included, and their q.

    Also whether they ended by (2) or at the solution, and not at a direction that curves downwards.
    """
    x, q, r = torch.zeros_like(b), 0.0, b
    if start is not None and bool(start.any()):
        rest = b - product(start)
        before = -0.5 * float(start.dot(b + rest))
        if before < 0:  # else it promises nothing
            x, q, r = start, before, rest
    path, kept, mark = [q], [], 1
    solved = torch.finfo(b.dtype).eps * 10 * float(b.norm())  # what is left is rounding
    for i, one in enumerate(iterates(product, r), 1):
        path.append(q - 0.5 * float(one.x.dot(r + one.residual)))
        k = max(10, ceil(i / 10))
        last = i >= most or float(one.residual.norm()) <= solved
        last = last or (i > k and path[i] < 0 and (path[i] - path[i - k]) / path[i] < k * tolerance)  # (2)
        if last or i >= mark:
            kept.append((x + one.x, path[i]))
            mark = ceil(1.3 * i)
        if last:
            return kept, True
    return kept, False


def _best(land: Landscape, kept: list[tuple[Tensor, float]]) -> tuple[Tensor, float]:
    """Goes back along the solutions for as long as the loss itself, not its model, falls (Martens 2010, 4.6)."""
    place = land.place()
    best, least = kept[-1], None
    for one in reversed(kept):
        land.go(place + one[0])
        loss, _ = land.ask_again()
        if least is not None and loss >= least:
            break
        best, least = one, loss
    land.go(place)
    return best


def its_step_is_newtons() -> Check:
    """With conjugate gradients to the end the first step of a net of 26 weights is Newton's damped one: to 1e-8.

    Source: equation (1) with eps = 0 and l = 2, as the least eigenvalue of H is about -1.2 there
    """
    ends = []
    for free in (True, False):
        model, loss = _net()
        ours = list(model.parameters())
        before = nn.utils.parameters_to_vector(ours).detach()
        _train(HessianFree(ours, damping=2.0, tolerance=0.0) if free else Newton(ours, damping=2.0), loss, 1)
        ends.append(nn.utils.parameters_to_vector(model.parameters()).detach() - before)
    return at_most(float((ends[0] - ends[1]).norm() / ends[1].norm()), 1e-8)


def fewer_products_than_newton_needs() -> Check:
    """Logistic regression of 200 weights: within 1e-8 of the least loss by 200 products at most, as one H takes.

    Source: Martens 2010, section 4.4; Newton's method forms two of them to get there
    """
    draw = generator(0, "logistic")
    x = torch.randn(400, 200, generator=draw, dtype=torch.float64) / torch.arange(1, 201)
    y = (torch.rand(400, generator=draw) < 0.5).double()

    def loss(w: Tensor) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(x @ w, y) + 0.5e-3 * w.dot(w)

    least = float(loss(descent(Newton([weights(torch.zeros(200))]), loss, 8)[-1]))
    w = weights(torch.zeros(200))
    optimiser = HessianFree([w], damping=0.01)
    while float(loss(w.detach())) - least > 1e-8 and optimiser.state[w].get("products", 0) < 1000:
        descent(optimiser, loss, 1)
    return at_most(float(optimiser.state[w]["products"]), 200.0)


def a_true_model_loosens_the_damping() -> Check:
    """On a quadratic the model is the loss: after 10 steps l is (2/3)^10, to 1e-15.

    Source: equation (3), whose r is 1 there
    """
    w = weights([1.0, -2.0, 3.0])
    optimiser = HessianFree([w])
    curvature = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    descent(optimiser, lambda w: 0.5 * (curvature * w * w).sum(), 10)
    return about(optimiser.state[w]["damping"], (2 / 3) ** 10, 1e-15)


def a_saddle_is_left() -> Check:
    """On x^2 - y^2 + y^4/4 from (1, 0.1), where Newton's step goes to the saddle, it ends at f = -1, to 1e-9.

    Source: conjugate gradients stop at d^T H d <= 0, and equation (3) raises l until the step lowers the loss
    """
    path = descent(HessianFree([weights([1.0, 0.1])]), lambda w: w[0] ** 2 - w[1] ** 2 + w[1] ** 4 / 4, 40)
    end = path[-1]
    return about(float(end[0] ** 2 - end[1] ** 2 + end[1] ** 4 / 4), -1.0, 1e-9)


def _net() -> tuple[nn.Module, Callable[[], Tensor]]:
    """A net of 3 inputs, 4 hidden units and 2 outputs, and its loss on 20 examples."""
    with drawing_from(0, "hessian-free"):
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
        x = torch.randn(20, 3).double()
    y = torch.stack([torch.sin(2 * x[:, 0]), x[:, 1] * x[:, 2]], 1)
    return model, lambda: (model(x) - y).square().mean()


def _train(optimiser: torch.optim.Optimizer, loss: Callable[[], Tensor], steps: int) -> float:
    def closure() -> Any:
        optimiser.zero_grad()
        value = loss()
        value.backward(create_graph=True)
        return value

    for _ in range(steps):
        optimiser.step(closure)
    return loss().item()


CARD = Card(
    name="Hessian-free optimisation",
    name_ja="ヘッセ行列を作らないニュートン法 (Hessian-free)",
    paper="Martens 2010, Deep learning via Hessian-free optimization; Pearlmutter 1994",
    equations=(
        r"q(p) = g^T p + p^T H p / 2,\quad (H + \lambda I)\, p = -g",
        r"q_i < 0,\quad (q_i - q_{i-k}) / q_i < k \epsilon,\quad k = \max(10,\ i/10)",
        r"r = \frac{f(w+p) - f(w)}{q(p)}:\quad \lambda = \frac{3}{2}\lambda\ (r < 1/4),\quad"
        r" \lambda = \frac{2}{3}\lambda\ (r > 3/4)",
        r"\lambda = \frac{3}{2}\lambda\quad \mathrm{if}\ d^T (H + \lambda I)\, d \leq 0",
    ),
    summary="Newton's damped step from products of the Hessian with vectors, cut short where more would not help.",
    summary_ja="ヘッセ行列とベクトルの積だけから減衰つきニュートン法の一歩を求め、十分なところで打ち切る。",
    topics=(),
    facts=(its_step_is_newtons, fewer_products_than_newton_needs, a_true_model_loosens_the_damping, a_saddle_is_left),
    notes=("Martens uses the Gauss-Newton matrix for nets; here it is the Hessian, which may curve downwards: the"
           " solution found before that direction is taken.",
           "No preconditioner: the paper's needs the gradient of every example."),
    notes_ja=("論文はネットワークにガウス・ニュートン行列を使う。ここではヘッセ行列なので下向きの曲率がありうる。"
              "そのときはその方向に出会う前の解をとる。",
              "前処理はしない。論文の前処理には例ごとの勾配が要る。"),
)
