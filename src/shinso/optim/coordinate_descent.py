r"""Coordinate descent (Gauss 1823, Seidel 1874; Wright 2015): one weight at a time, each as far as it should go.

    w_i' = w_i - lr g_i / H_ii,   g the gradient at the newest w, H_ii the curvature along w_i           (1)

With lr = 1 that is the exact minimum along w_i of any quadratic. On w^T A w / 2 - b^T w, in the order of the weights,

    w_i' = (b_i - sum_{j<i} A_ij w_j' - sum_{j>i} A_ij w_j) / A_ii                                       (2)

which is the Gauss-Seidel method for A w = b; lr between 0 and 2 is over-relaxation, and f falls in every case. With
l1 |w| added to f, the minimum along a weight is a soft threshold,

    w_i' = sign(z) max(|z| - lr l1 / H_ii, 0),   z = w_i - lr g_i / H_ii                                 (3)

The surprise: (3) solves the lasso although its l1 has corners, because they lie along the axes; at a corner that lies
across, as of |w_1 - w_2|, no single weight need go down though both together would. A step here asks for the whole
gradient and uses one entry of it: what a program that knows its f would compute alone.
"""

from collections.abc import Callable
from typing import Any, Literal, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, about, at_most
from shinso.core.seed import generator
from shinso.optim._checks import check_rate
from shinso.optim._lean import AbstractLean
from shinso.optim._walk import weights

Order = Literal["cyclic", "random", "greedy"]


@final
class CoordinateDescent(AbstractLean, torch.optim.Optimizer):  # pyright: ignore[reportIncompatibleMethodOverride]
    """`coordinates` updates (1) or (3) in each step, each with a call of the closure; 0 is a sweep through all.

    `order` is that of the weights, by chance, or the largest slope first. With exact=False, H_ii is taken as 1 and lr
    alone says how far; otherwise the closure must call loss.backward(create_graph=True). A weight along which the loss
    has no curvature stays, and one along which it bends down goes downhill by |H_ii|.
    """

    curvature = True

    def __init__(self, params: Any, lr: float | Tensor = 1.0, *, order: Order = "cyclic",
                 coordinates: int = 1, l1: float = 0.0, exact: bool = True, seed: int = 0, maximize: bool = False):
        check_rate(lr)
        if order not in ("cyclic", "random", "greedy"):
            raise ValueError(f"Invalid order: {order}")
        if not 0 <= coordinates:
            raise ValueError(f"Invalid coordinates value: {coordinates}")
        if not 0.0 <= l1:
            raise ValueError(f"Invalid l1 value: {l1}")
        super().__init__(params, {"lr": lr, "order": order, "coordinates": coordinates, "l1": l1, "exact": exact,
                                  "seed": seed, "maximize": maximize})

    def step(  # pyright: ignore[reportIncompatibleMethodOverride] - torch's has overloads
            self, closure: Callable[[], Any] | None = None) -> Any:
        """Returns the closure's loss before the first update; without a closure, one update from the gradients."""
        places = [(w, group) for group in self.param_groups for w in group["params"]]
        whole = self.param_groups[0]["coordinates"] or sum(w.numel() for w, _ in places)
        first = None
        for i in range(whole if closure is not None else 1):
            if closure is not None:
                with torch.enable_grad():
                    loss = closure()
                first = loss if i == 0 else first
            self._update(places)
        return first.detach() if isinstance(first, Tensor) else first

    def _update(self, places: list[tuple[Tensor, dict[str, Any]]]) -> None:
        """(1) of one weight; afterwards no gradient carries a graph."""
        gradients = [w.grad for w, _ in places]
        given = [g for g in gradients if g is not None]
        if any(g.is_sparse or g.is_complex() for g in given):
            raise RuntimeError("CoordinateDescent does not support sparse gradients, nor complex parameters")
        if not given:
            return
        w, group, at = self._chosen(places)
        g = w.grad
        if g is not None:
            curved = _along(w, g, at) if group["exact"] and any(one.requires_grad for one in given) else None
            if group["exact"] and curved is None:
                raise RuntimeError("CoordinateDescent needs curvature: the closure must call "
                                   "loss.backward(create_graph=True)")
            _move(w, at, float(g.detach().reshape(-1)[at]), curved, group)
        for place, _ in places:
            place.grad = None if place.grad is None else place.grad.detach()

    def _chosen(self, places: list[tuple[Tensor, dict[str, Any]]]) -> tuple[Tensor, dict[str, Any], int]:
        """Whose turn it is: the weight, its group, and where in the weight."""
        kept, group = self.state[places[0][0]], places[0][1]
        turn, total = kept.get("step", 0), sum(w.numel() for w, _ in places)
        kept["step"] = turn + 1
        if group["order"] == "greedy":
            steepest = [float(_pull(w, one).max()) if w.grad is not None and w.numel() else -1.0 for w, one in places]
            w, group = places[steepest.index(max(steepest))]
            return w, group, int(_pull(w, group).argmax())
        at = turn % total
        if group["order"] == "random":
            at = int(torch.randint(total, (), generator=generator(group["seed"], f"coordinate_descent/{turn}")))
        for w, group in places:
            if at < w.numel():
                return w, group, at
            at -= w.numel()
        raise AssertionError("a turn lies within the weights")


def _along(w: Tensor, g: Tensor, at: int) -> float:
    """H_ii: the slope of the gradient's entry along its own weight."""
    if not g.requires_grad:
        return 0.0
    (row,) = torch.autograd.grad(g.reshape(-1)[at], w, retain_graph=True, allow_unused=True)
    return 0.0 if row is None else float(row.reshape(-1)[at])


@torch.no_grad()
def _pull(w: Tensor, group: dict[str, Any]) -> Tensor:
    """How far each weight is from its optimality condition: |g|, or |g| beyond l1 where the weight is 0."""
    g, l1 = w.grad, group["l1"]
    if g is None:
        raise AssertionError("only weights with a gradient are asked")
    g = (-g if group["maximize"] else g).detach().reshape(-1)
    flat = w.reshape(-1)
    return torch.where(flat == 0, (g.abs() - l1).clamp_min(0), (g + l1 * flat.sign()).abs()) * float(group["lr"])


@torch.no_grad()
def _move(w: Tensor, at: int, slope: float, curved: float | None, group: dict[str, Any]) -> None:
    bend = 1.0 if curved is None else abs(curved)
    if bend == 0:
        return
    rate = float(group["lr"]) / bend
    index = torch.unravel_index(torch.tensor(at), w.shape)
    z = float(w[index]) - rate * (-slope if group["maximize"] else slope)  # (1)
    w[index] = max(z - rate * group["l1"], 0.0) + min(z + rate * group["l1"], 0.0) if group["l1"] else z  # (3)


def a_sweep_is_gauss_seidel() -> Check:
    """On a quadratic of 8 weights, 20 sweeps equal the Gauss-Seidel iteration (2): the difference is at most 1e-14.

    Source: Gauss 1823; Seidel 1874; equation (2)
    """
    A, b = _quadratic()
    w, expected, off = weights([0.0] * 8), torch.zeros(8, dtype=torch.float64), 0.0
    optimiser = CoordinateDescent([w], coordinates=0)
    for _ in range(20):
        optimiser.step(_closure(w, lambda w: w @ A @ w / 2 - b @ w))
        for i in range(8):
            expected[i] = (b[i] - A[i, :i] @ expected[:i] - A[i, i + 1:] @ expected[i + 1:]) / A[i, i]  # (2)
        off = max(off, float((w.detach() - expected).abs().max()))
    return at_most(off, 1e-14)


def every_over_relaxed_step_goes_down() -> Check:
    """With lr 0.5, 1 and 1.9, of 200 single steps by chance the largest rise of that quadratic is at most 1e-15.

    Source: Ostrowski 1954: for lr between 0 and 2
    """
    A, b = _quadratic()
    rises = []
    for lr in (0.5, 1.0, 1.9):
        w = weights([0.0] * 8)
        losses = _losses(CoordinateDescent([w], lr=lr, order="random"), w, lambda w: w @ A @ w / 2 - b @ w, 200)
        rises.append(float(losses.diff().max()))
    return at_most(max(rises), 1e-15)


def the_steepest_first_is_never_slower_than_its_bound() -> Check:
    """In greedy order the loss above its minimum stays below (1 - mu/(n L))^t of the first: the ratio, 30 steps.

    Source: Nutini et al. 2015, equation 8; mu the least eigenvalue, L the largest H_ii
    """
    A, b = _quadratic()
    w = weights([0.0] * 8)
    losses = _losses(CoordinateDescent([w], order="greedy"), w, lambda w: w @ A @ w / 2 - b @ w, 30)
    gap = losses + b @ torch.linalg.solve(A, b) / 2
    rate = 1 - float(torch.linalg.eigvalsh(A)[0]) / (8 * float(A.diagonal().max()))
    return at_most(float((gap / gap[0] / rate ** torch.arange(31))[1:].max()), 1.0)


def the_lasso_ends_at_its_optimality_conditions() -> Check:
    """A lasso of 12 weights after 25 sweeps breaks its optimality conditions by at most 1e-8; some weights are 0.

    Source: Tibshirani 1996; Karush, Kuhn and Tucker; equation (3)
    """
    draw = generator(0, "lasso")
    X = torch.randn(30, 12, generator=draw, dtype=torch.float64)
    y = X[:, :4] @ weights([3.0, -2.0, 1.0, 0.5]).detach() + 0.1 * torch.randn(30, generator=draw, dtype=X.dtype)
    w = weights([0.1] * 12)
    optimiser = CoordinateDescent([w], coordinates=0, l1=5.0)
    for _ in range(25):
        optimiser.step(_closure(w, lambda w: (X @ w - y).square().sum() / 2))
    w = w.detach()
    pull = X.T @ (y - X @ w)
    off = torch.where(w == 0, (pull.abs() - 5).clamp_min(0), (pull - 5 * w.sign()).abs())
    return at_most(float(off.max()) + (not bool((w == 0).any())), 1e-8)


def one_weight_of_the_lasso_is_a_soft_threshold() -> Check:
    """On (w - c)^2/2 + |w| a step ends at sign(c) max(|c| - 1, 0) for 41 values of c, to 5e-16.

    Source: Donoho and Johnstone 1994; equation (3)
    """
    off = 0.0
    for c in torch.linspace(-4, 4, 41, dtype=torch.float64):
        w = weights([2.0])
        CoordinateDescent([w], l1=1.0).step(_closure(w, lambda w, c=c: (w[0] - c).square() / 2))
        off = max(off, abs(float(w.detach()[0] - c.sign() * (c.abs() - 1).clamp_min(0))))
    return at_most(off, 5e-16)


def a_flat_weight_stays() -> Check:
    """Along a weight on which the loss is linear nothing is exact: it moves by 0, the other one to its minimum 3.

    Source: equation (1) with H_ii = 0
    """
    w = weights([1.0, 1.0])
    CoordinateDescent([w], coordinates=0).step(_closure(w, lambda w: 5 * w[0] + (w[1] - 3).square()))
    return about(float(w.detach()[0] - 1) + float(w.detach()[1]), 3.0, 1e-15)


def _quadratic() -> tuple[Tensor, Tensor]:
    draw = generator(0, "quadratic")
    root = torch.randn(8, 8, generator=draw, dtype=torch.float64)
    return root @ root.T / 8 + torch.eye(8, dtype=root.dtype), torch.randn(8, generator=draw, dtype=root.dtype)


def _closure(w: Tensor, loss: Callable[[Tensor], Tensor]) -> Callable[[], float]:
    def closure() -> float:
        value = loss(w)
        (w.grad,) = torch.autograd.grad(value, w, create_graph=True)
        return value.item()

    return closure


def _losses(optimiser: CoordinateDescent, w: Tensor, loss: Callable[[Tensor], Tensor], steps: int) -> Tensor:
    """The loss before each step and after the last."""
    found = [optimiser.step(_closure(w, loss)) for _ in range(steps)]
    return torch.tensor([*found, loss(w.detach()).item()], dtype=torch.float64)


CARD = Card(
    name="Coordinate descent",
    name_ja="座標降下法",
    paper="Gauss 1823; Seidel 1874; Wright 2015, Coordinate descent algorithms, doi:10.1007/s10107-015-0892-3",
    equations=(
        r"w_i' = w_i - \eta\,g_i / H_{ii}",
        r"w_i' = (b_i - \sum_{j<i} A_{ij} w_j' - \sum_{j>i} A_{ij} w_j) / A_{ii}",
        r"w_i' = \mathrm{sign}(z)\max(|z| - \eta\lambda / H_{ii}, 0),\quad z = w_i - \eta\,g_i / H_{ii}",
    ),
    summary="Minimises along one weight at a time: Gauss-Seidel on a quadratic, soft thresholds on the lasso.",
    summary_ja="一度に一つの重みに沿って最小化する。二次関数ではガウス・ザイデル法、ラッソでは軟しきい値になる。",
    topics=("optim.coordinate-descent",),
    facts=(a_sweep_is_gauss_seidel, every_over_relaxed_step_goes_down,
           the_steepest_first_is_never_slower_than_its_bound, the_lasso_ends_at_its_optimality_conditions,
           one_weight_of_the_lasso_is_a_soft_threshold, a_flat_weight_stays),
    notes=("Through a closure each update costs a whole gradient; the method is cheap where f is known by its entries.",
           "Where the loss bends down along a weight, (1) would climb to the top: there |H_ii| is used."),
    notes_ja=("クロージャを通すと一度の更新に勾配の全体が要る。この方法が安いのは、f の成分が分かっているときである。",
              "重みに沿って損失が上に凸のところでは、式 (1) は頂上へ登ってしまう。そこでは |H_ii| を使う。"),
)
