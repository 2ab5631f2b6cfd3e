r"""A loss designed without spurious minima, from fourth moments of the data (Ge, Lee, Ma 2018).

The examples are x ~ N(0, I), y = sum_i s(v_i x) with s(u) = max(u, 0) and orthonormal teachers v_i. Fourth Hermite
moments of the answers see the teachers one by one. For unit vectors u and w, with He_4(z) = z^4 - 6 z^2 + 3,

    E s(w x) He_4(u x) = c_4 (u w)^4,   c_4 = E s(z) He_4(z) = -1 / sqrt(2 pi)                      (1)

and, as whole tensors, E s(w x) H_4(x) = c_4 w^(x)4. So from examples alone one can estimate

    G(W) = sum_i sum_{j != k} (v_i w_j)^2 (v_i w_k)^2 - mu sum_ij (v_i w_j)^4 + lam sum_j (|w_j|^2 - 1)^2   (2)

whose first term keeps two units from one teacher, whose second pulls each unit to some teacher, and whose minima are
the teachers up to order, sign and the length

    |w_j|^2 = lam / (lam - mu)                                                                      (3)

The surprise: the plain squared error of the very same network on the very same data has bad minima - descent from a
third to a half of random starts ends in one for ten units - and the designed loss G has none that descent ever meets.
"""

from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement
from math import pi
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor

from shinso.core.axes import BLUE, GREY, RED, quiet
from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range
from shinso.theory.arc_cosine import gradient, loss

C4 = -1 / (2 * pi) ** 0.5


def hermite4(x: Tensor) -> Tensor:
    """The entries a <= b <= c <= e of the tensor H_4(x) for x (n, d): (n, entries)."""
    return torch.stack([_entry(x, index) for index in combinations_with_replacement(range(x.shape[1]), 4)], 1)


def _entry(x: Tensor, index: tuple[int, ...]) -> Tensor:
    """A product over coordinates of the one-dimensional polynomial He_m, m = how often the coordinate is named."""
    polynomials = (lambda z: 1, lambda z: z, lambda z: z**2 - 1, lambda z: z**3 - 3 * z,
                   lambda z: z**4 - 6 * z**2 + 3)
    value = torch.ones(len(x), dtype=x.dtype)
    for axis in set(index):
        value = value * polynomials[index.count(axis)](x[:, axis])
    return value


def power4(w: Tensor) -> Tensor:
    """The same entries of w^(x)4 for w (d,)."""
    return torch.stack([w[list(i)].prod() for i in combinations_with_replacement(range(len(w)), 4)])


def designed(W: Tensor, V: Tensor, mu: float, lam: float) -> Tensor:
    """G of W (..., k, d) with teachers V (k, d), (...)."""
    Q = (W @ V.T).square()
    pairs = Q.sum(-2).square().sum(-1) - Q.square().sum((-2, -1))
    return pairs - mu * Q.square().sum((-2, -1)) + lam * (W.square().sum(-1) - 1).square().sum(-1)  # (2)


def slope(W: Tensor, V: Tensor, mu: float, lam: float, *, apart: bool = True) -> Tensor:
    """The gradient of (2), (..., k, d); without `apart` the first term of (2) is left out."""
    P = W @ V.T
    Q = P.square()
    others = Q.sum(-2, keepdim=True) - Q if apart else torch.zeros_like(Q)
    return 4 * (P * (others - mu * Q)) @ V + 4 * lam * (W.square().sum(-1, keepdim=True) - 1) * W


def found(W: Tensor, V: Tensor) -> Tensor:
    """Whether each teacher has a unit of its own within 8 degrees, up to sign; (...) of bool."""
    along = ((W / W.norm(dim=-1, keepdim=True)) @ V.T).abs() > 0.99
    return along.any(-1).all(-1) & along.any(-2).all(-1)


@final
class Landscape:
    """Descent from many random starts at once, on the plain loss or on the designed one."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total, k = setup, setup.steps, setup.units
        self.V = torch.eye(k, dtype=torch.float64)
        draw = generator(setup.seed, "starts")
        self.W = torch.randn(setup.starts, k, k, generator=draw, dtype=torch.float64) / k**0.5
        self.seen: list[list[float]] = []

    def step(self, i: int) -> Record:
        s = self.setup
        for _ in range(s.inner):
            way = gradient(self.W, self.V) if s.loss == "plain" else slope(self.W, self.V, s.mu, s.lam)
            self.W = self.W - s.lr * way
        self.seen.append(self.heights().tolist())
        return {"loss_best": min(self.seen[-1]), "loss_worst": max(self.seen[-1]),
                "share_found": found(self.W, self.V).double().mean()}

    def heights(self) -> Tensor:
        """The plain squared error or G above its minimum, one for each start."""
        s = self.setup
        if s.loss == "plain":
            return loss(self.W, self.V)
        best = designed((s.lam / (s.lam - s.mu)) ** 0.5 * self.V, self.V, s.mu, s.lam)  # (3)
        return designed(self.W, self.V, s.mu, s.lam) - best

    def state(self) -> dict[str, Any]:
        return {"W": self.W, "seen": [list(row) for row in self.seen]}

    def restore(self, state: dict[str, Any]) -> None:
        self.W, self.seen = state["W"].clone(), [list(row) for row in state["seen"]]

    def pictures(self) -> dict[str, np.ndarray]:
        """The height of every start by step, and |cos| between units and teachers in the best and in the worst."""
        if not self.seen:
            return {}
        figure = sheet(900, 360)
        axes = figure.subplots(1, 3, width_ratios=[1.7, 1, 1])
        done, steps = found(self.W, self.V).tolist(), self.setup.inner * np.arange(1, len(self.seen) + 1)
        for row, good in zip(np.array(self.seen).T, done, strict=True):
            axes[0].semilogy(steps, np.maximum(row, 1e-12), color=BLUE if good else RED, linewidth=1, alpha=0.7)
        kind = "plain squared error / 二乗誤差" if self.setup.loss == "plain" else "designed loss (2) / 設計した損失"
        quiet(axes[0], kind, "step / ステップ", "above the minimum / 最小値との差")
        axes[0].text(0.03, 0.06, f"{sum(done)} / {len(done)} arrive / 到達", transform=axes[0].transAxes, color=BLUE)
        order = np.argsort(self.seen[-1])
        names = ("best start / 最良", "worst start / 最悪")
        for place, which, name in zip(axes[1:], order[[0, -1]], names, strict=True):
            w = self.W[which] / self.W[which].norm(dim=-1, keepdim=True)
            cos = (w @ self.V.T).abs()
            place.imshow(cos[cos.argmax(1).argsort()].numpy(), cmap="Blues", vmin=0, vmax=1)
            place.set_xticks([])
            place.set_yticks([])
            quiet(place, name, "teachers / 教師", "units / ユニット").grid(visible=False)
        axes[0].axhline(1e-12, color=GREY, linewidth=0.8)
        return {"tensor_landscape": pixels(figure)}


@cache
def _ends(kind: Literal["plain", "designed"]) -> Landscape:
    """Twenty starts (plain) or a hundred (designed) at their ends."""
    program = Landscape(VARIANTS["plain"] if kind == "plain" else Setup())
    for i in range(program.total):
        program.step(i)
    return program


def fourth_moments_are_the_fourth_power() -> Check:
    """For a unit w in 3 dimensions, 15 entries of E s(w x) H_4(x), 400,000 inputs: c_4 w^(x)4 within 4 standard errors.

    Source: Ge, Lee, Ma 2018, lemma 2.1; equation (1)
    """
    draw = generator(0, "moments")
    w = torch.randn(3, generator=draw, dtype=torch.float64)
    w = w / w.norm()
    x = torch.randn(400_000, 3, generator=draw, dtype=torch.float64)
    each = (x @ w).clamp(min=0)[:, None] * hermite4(x)
    return at_most(float(((each.mean(0) - C4 * power4(w)) / (each.std(0) / len(x) ** 0.5)).abs().max()), 4.0)


def the_coefficient_by_quadrature() -> Check:
    """The integral of s(z) He_4(z) over the normal density is -1 / sqrt(2 pi) = -0.39894, to 1e-10.

    Source: equation (1), by parts: the second derivative of the density at 0
    """
    z, weight = np.polynomial.legendre.leggauss(60)
    z, weight = 6 * (z + 1), 6 * weight
    value = float((weight * z * (z**4 - 6 * z**2 + 3) * np.exp(-(z**2) / 2)).sum() / (2 * pi) ** 0.5)
    return about(value, C4, 1e-10)


def the_designed_loss_never_fails() -> Check:
    """From 100 of 100 random starts descent on (2) with 10 units gives every teacher a unit of its own.

    Source: Ge, Lee, Ma 2018, theorem 2.3: every local minimum is a solution
    """
    program = _ends("designed")
    return exactly(float(found(program.W, program.V).sum()), 100.0)


def its_minima_have_the_foreseen_length() -> Check:
    """There |w_j|^2 is lam / (lam - mu) for each of the 1,000 units, to 1e-10.

    Source: equation (3)
    """
    program = _ends("designed")
    wanted = program.setup.lam / (program.setup.lam - program.setup.mu)
    return at_most(float((program.W.square().sum(-1) - wanted).abs().max()), 1e-10)


def the_plain_loss_fails_often() -> Check:
    """From at least 5 of 20 random starts descent on the squared error stays above 1e-3, with 10 units.

    Source: Safran, Shamir 2018, arXiv:1712.08968, found by computation for 6 to 20 units
    """
    program = _ends("plain")
    return at_least(float((loss(program.W, program.V) > 1e-3).sum()), 5.0)


def where_it_fails_is_a_minimum() -> Check:
    """At one of those ends, followed to a gradient below 1e-9, the least eigenvalue of the Hessian is above 1e-3.

    Source: Safran, Shamir 2018, section 4
    """
    program = _ends("plain")
    bad = program.W[loss(program.W, program.V) > 1e-3]
    W = bad[gradient(bad, program.V).flatten(1).norm(dim=1).argmin()]
    for _ in range(6):
        W = W - _newton(W, program.V)
    if float(gradient(W, program.V).norm()) > 1e-9 or float(loss(W, program.V)) < 1e-3:
        return at_least(-1.0, 1e-3)
    return at_least(float(torch.linalg.eigvalsh(_hessian(W, program.V))[0]), 1e-3)


def _hessian(W: Tensor, V: Tensor) -> Tensor:
    """Central differences of the gradient, all directions in one batch, made symmetric."""
    each = 1e-5 * torch.eye(W.numel(), dtype=W.dtype).view(-1, *W.shape)
    columns = ((gradient(W + each, V) - gradient(W - each, V)) / 2e-5).flatten(1)
    return (columns + columns.T) / 2


def _newton(W: Tensor, V: Tensor) -> Tensor:
    return torch.linalg.solve(_hessian(W, V), gradient(W, V).flatten()).view_as(W)


def without_the_first_term_units_meet() -> Check:
    """Without the first term of (2) at most 5 of 100 starts find all ten teachers.

    Source: Ge, Lee, Ma 2018, section 2.2, on why one pairs the units
    """
    start = Landscape(Setup())
    W = start.W
    for _ in range(400):
        W = W - start.setup.lr * slope(W, start.V, start.setup.mu, start.setup.lam, apart=False)
    return at_most(float(found(W, start.V).sum()), 5.0)


CARD = Card(
    name="A landscape designed without bad minima",
    name_ja="悪い極小のない損失の設計",
    paper="Ge, Lee, Ma 2018, Learning one-hidden-layer neural networks with landscape design, arXiv:1711.00501",
    equations=(
        r"E\,s(w^T x)\,He_4(u^T x) = c_4 (u^T w)^4,\quad c_4 = -1/\sqrt{2\pi}",
        r"G(W) = \sum_i \sum_{j \neq k} (v_i^T w_j)^2 (v_i^T w_k)^2 - \mu \sum_{i,j} (v_i^T w_j)^4"
        r" + \lambda \sum_j (|w_j|^2 - 1)^2",
        r"|w_j|^2 = \lambda / (\lambda - \mu)",
    ),
    summary="The squared error of ten ReLU units traps descent; a loss of fourth moments leads every start home.",
    summary_ja="ReLUユニット10個の二乗誤差では降下法が罠にかかるが、四次モーメントの損失ならどこから始めても教師に着く。",
    topics=("theory.tensor-landscape",),
    facts=(
        fourth_moments_are_the_fourth_power,
        the_coefficient_by_quadrature,
        the_designed_loss_never_fails,
        its_minima_have_the_foreseen_length,
        the_plain_loss_fails_often,
        where_it_fails_is_a_minimum,
        without_the_first_term_units_meet,
    ),
    notes=("The theorem asks for Gaussian inputs; (2) is computed here from the teachers, which is what the moments of "
           "infinitely many examples give. c_4 is negative for ReLU, so that its sign must be divided out.",),
    notes_ja=("定理は入力がガウス分布であることを仮定する。"
              "ここでは例が無限にあるときのモーメントに当たる式 (2) を教師から直接計算する。"
              "ReLUでは c_4 が負なので、符号を除く必要がある。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """As many units as teachers and dimensions, from many starts."""

    loss: Literal["designed", "plain"] = "designed"
    """designed: (2); plain: half the mean squared error"""
    units: int = 10
    """units, teachers and dimensions"""
    starts: int = 100
    """random starts, all at once"""
    mu: float = 0.1
    """weight of the pull in (2)"""
    lam: float = 2.0
    """weight of the length in (2), above mu"""
    lr: float = 0.02
    """step size"""
    steps: int = 60
    """recorded steps"""
    inner: int = 10
    """steps of descent in each"""
    seed: int = 0
    """of the starts"""


VARIANTS = {
    "smoke": Setup(starts=10, steps=40, inner=2),
    "default": Setup(),
    "plain": Setup(loss="plain", starts=20, lr=0.4),
}


def build(setup: Setup, place: Place = Place()) -> Landscape:  # noqa: B008 - a frozen value
    """The descents, in float64 on the CPU."""
    in_range(setup, ("units", "starts", "lr", "steps", "inner", "lam"))
    if setup.mu >= setup.lam:
        raise UserError("mu", f"{setup.mu} is not below lam = {setup.lam}", "give less: (3) has no answer otherwise")
    return Landscape(setup)
