r"""ISTA and FISTA: sparse signals from fewer measurements than unknowns.

A signal x of which few entries differ from zero is seen through y = A x + w with fewer rows than columns. The lasso

    F(x) = 1/2 ||y - A x||^2 + lambda ||x||_1                                  (1)

is convex but not smooth. A gradient step on its first part followed by the proximal map of its second part,

    S_c(r) = sign(r) max(|r| - c, 0) = argmin_u 1/2 (u - r)^2 + c |u|          (2)
    x_{k+1} = T(x_k),  T(x) = S_{lambda/L}(x - A^T (A x - y) / L),  L = ||A||_2^2   (3)

never rises and satisfies F(x_k) - F* <= L ||x_0 - x*||^2 / (2k)  (4). The surprise: the same map T taken at a point
beyond the newest iterate, at no further cost, wins a whole order,

    t_{k+1} = (1 + sqrt(1 + 4 t_k^2)) / 2,  z_{k+1} = x_{k+1} + (t_k - 1)/t_{k+1} (x_{k+1} - x_k)   (5)
    F(x_k) - F* <= 2 L ||x_0 - x*||^2 / (k + 1)^2                              (6)

and no longer falls at every step. At the minimum |A^T (y - A x)| <= lambda, with equality and the sign of x where x
is not zero (7); scaling y - A x into that box gives a point of the dual, whose value F never goes below (8).

Daubechies, Defrise, De Mol 2004 (ISTA); Beck and Teboulle 2009 (FISTA, (4) and (6)); Tibshirani 1996 (the lasso);
O'Donoghue and Candes 2015 (the restart that `solve` uses).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor

from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.learn.iterate import Iterate, State, largest_change
from shinso.sparse._lasso import Lasso, soft_threshold, solve


@final
class Recovery:
    """A random sparse signal, its measurements, and the way back; the true minimum is known from the start."""

    rhythm = 50

    def __init__(self, setup: "Setup", device: str = "cpu"):
        self.setup, self.total = setup, setup.iterations
        A, signal, y = _world(setup, "train")
        optimum = solve(A, y, setup.penalty)
        self.signal = signal.to(device)
        self.best, self.least = optimum.x.to(device), float(optimum.objective)
        self.problem = Lasso(A.to(device), y.to(device), setup.penalty)
        start = self.problem.start()
        if setup.method == "ista":
            self.iterate = Iterate({"x": start["x"]}, self.problem.ista, self._measure, self.total)
        else:
            self.iterate = Iterate(start, self.problem.fista, self._measure, self.total)
        self.radius = float(self.best.square().sum())

    def step(self, i: int) -> Record:
        return {**self.iterate.step(i), "bound": self.bound(i + 1)}

    def bound(self, k: int) -> float:
        """How far above the minimum step k can be at most."""
        promise = self.problem.lipschitz * self.radius
        return promise / (2 * k) if self.setup.method == "ista" else 2 * promise / (k + 1) ** 2  # (4), (6)

    def evaluate(self, split: str) -> Record:
        """`loss`: mean squared error on measurements never used; `error` and `support_f1` against the true signal."""
        A, _, y = _world(self.setup, split)
        x = torch.as_tensor(self.iterate.x["x"])
        missed = y.to(x.device) - A.to(x.device) @ x
        both = 2 * ((x != 0) & (self.signal != 0)).sum()
        return {"loss": missed.square().mean(), "error": self._error(x),
                "support_f1": both / ((x != 0).sum() + (self.signal != 0).sum()).clamp_min(1)}

    def state(self) -> dict[str, Any]:
        return self.iterate.state()

    def restore(self, state: dict[str, Any]) -> None:
        self.iterate.restore(state)

    def pictures(self) -> dict[str, np.ndarray]:
        """The signal beside what was recovered, and the way down under its bound."""
        return {"signal": _stems(self.signal, torch.as_tensor(self.iterate.x["x"])), "bound": _descent(self.setup)}

    def _measure(self, before: State, after: State) -> Record:
        x = torch.as_tensor(after["x"])
        loss = self.problem.objective(x)
        return {"loss": loss, "gap": loss - self.least, "support": (x != 0).sum(), "error": self._error(x),
                "residual": largest_change({"x": before["x"]}, {"x": x})}

    def _error(self, x: Tensor) -> Tensor:
        return (x - self.signal).norm() / self.signal.norm().clamp_min(1e-300)


def _world(setup: "Setup", split: str) -> tuple[Tensor, Tensor, Tensor]:
    """A, the signal and y; other splits are further measurements of the same signal."""
    draw = generator(setup.seed, "signal")
    values = torch.randn(setup.columns, generator=draw, dtype=torch.float64)
    signal = values * (torch.rand(setup.columns, generator=draw) < setup.density)
    draw = generator(setup.seed, f"measurements/{split}")
    A = torch.randn(setup.rows, setup.columns, generator=draw, dtype=torch.float64)
    noise = setup.noise * torch.randn(setup.rows, generator=draw, dtype=torch.float64)
    return A, signal, A @ signal + noise


def _stems(signal: Tensor, found: Tensor) -> np.ndarray:
    figure = sheet(900, 300)
    axes = figure.subplots()
    axes.axhline(0, color="0.8", linewidth=1)
    for name, values, colour, marker in (("true", signal, "0.6", "o"), ("recovered", found, "tab:red", "x")):
        at = values.nonzero().flatten().cpu().numpy()
        axes.vlines(at, 0, values.cpu().numpy()[at], color=colour, linewidth=1)
        axes.plot(at, values.cpu().numpy()[at], marker, color=colour, label=name, fillstyle="none", markersize=5)
    axes.set(xlabel="entry", ylabel="value", xlim=(-1, len(signal)))
    axes.legend()
    return pixels(figure)


def _descent(setup: "Setup") -> np.ndarray:
    """Both methods are run again from the start: it is cheap, and a history in the state would grow with every step."""
    figure = sheet(600, 400)
    axes = figure.subplots()
    for method, colour in (("ista", "tab:blue"), ("fista", "tab:red")):
        rows = list(_rows(replace(setup, method=method)))
        k = np.arange(1, len(rows) + 1)
        axes.loglog(k, [max(row["gap"], 1e-12) for row in rows], color=colour, label=f"{method}: F(x_k) - F*")
        axes.loglog(k, [row["bound"] for row in rows], color=colour, linestyle="--", label=f"{method}: bound")
    axes.set(xlabel="step k", ylabel="above the minimum")
    axes.legend()
    return pixels(figure)


def _rows(setup: "Setup") -> Iterator[dict[str, float]]:
    program = Recovery(setup)
    for i in range(program.total):
        yield {name: float(value) for name, value in program.step(i).items()}


def ista_stays_under_its_bound() -> Check:
    """500 ISTA steps: F(x_k) - F* divided by L ||x_0 - x*||^2 / (2k) is never above 1.

    Source: Beck and Teboulle 2009, theorem 3.1
    """
    return at_most(max(row["gap"] / row["bound"] for row in _rows(Setup(method="ista"))), 1.0)


def fista_stays_under_its_bound() -> Check:
    """500 FISTA steps: F(x_k) - F* divided by 2 L ||x_0 - x*||^2 / (k + 1)^2 is never above 1.

    Source: Beck and Teboulle 2009, theorem 4.4
    """
    return at_most(max(row["gap"] / row["bound"] for row in _rows(Setup(method="fista"))), 1.0)


def ista_never_rises() -> Check:
    """The largest rise of F over 500 ISTA steps, divided by F*, is rounding.

    Source: Beck and Teboulle 2009, remark 3.1
    """
    return at_most(_largest_rise("ista"), 1e-13)


def fista_does_rise() -> Check:
    """FISTA is not monotone: somewhere in 500 steps F rises by more than a millionth of F*.

    Source: Beck and Teboulle 2009b (MFISTA), which repairs it
    """
    return at_least(_largest_rise("fista"), 1e-6)


def _largest_rise(method: Literal["ista", "fista"]) -> float:
    losses = [row["loss"] for row in _rows(Setup(method=method))]
    return max(b - a for a, b in pairwise(losses)) / losses[-1]


def soft_threshold_is_the_proximal_map() -> Check:
    """(2) lies where 1/2 (u - r)^2 + c |u| is least on a grid refined to 1e-7, for 200 values of r.

    Source: Donoho and Johnstone 1994
    """
    r, c = torch.linspace(-3, 3, 200, dtype=torch.float64), 0.7
    u, step = torch.zeros_like(r), 4.0
    while step > 1e-7:
        step /= 20
        grid = u[:, None] + step * torch.arange(-40, 41)
        cost = 0.5 * (grid - r[:, None]).square() + c * grid.abs()
        u = grid.gather(1, cost.argmin(1, keepdim=True)).squeeze(1)
    return at_most(float((soft_threshold(r, c) - u).abs().max()), 1e-6)


def soft_threshold_is_non_expansive() -> Check:
    """|S(a) - S(b)| / |a - b| is at most 1 (up to rounding) over 100,000 random pairs.

    Source: Daubechies, Defrise, De Mol 2004, lemma 2.2
    """
    a, b = torch.randn(2, 100_000, generator=generator(0, "pairs"), dtype=torch.float64)
    return at_most(float(((soft_threshold(a, 0.7) - soft_threshold(b, 0.7)).abs() / (a - b).abs()).max()), 1 + 1e-9)


def correlations_stay_in_the_box() -> Check:
    """At the minimum the largest |A^T (y - A x)| is at most lambda (1 + 1e-8).

    Source: Tibshirani 1996; Karush, Kuhn and Tucker
    """
    A, _, y = _world(Setup(), "train")
    problem = Lasso(A, y, Setup().penalty)
    return at_most(float(problem.correlation(solve(A, y, problem.penalty).x).abs().max()), problem.penalty * (1 + 1e-8))


def the_support_touches_the_box() -> Check:
    """Where x is not zero, A^T (y - A x) equals lambda times the sign of x to 1e-8.

    Source: Tibshirani 1996; Karush, Kuhn and Tucker
    """
    A, _, y = _world(Setup(), "train")
    problem = Lasso(A, y, Setup().penalty)
    x = solve(A, y, problem.penalty).x
    on = x != 0
    return at_most(float((problem.correlation(x)[on] - problem.penalty * x[on].sign()).abs().max()), 1e-8)


def a_large_penalty_leaves_nothing() -> Check:
    """With lambda = max |A^T y| every coefficient is exactly zero.

    Source: Tibshirani 1996; (7) at x = 0
    """
    A, _, y = _world(Setup(), "train")
    largest = float(Lasso(A, y, 0.0).correlation(torch.zeros(A.shape[1], dtype=A.dtype)).abs().max())
    return exactly(float(solve(A, y, largest * (1 + 1e-12)).x.count_nonzero()), 0)


def orthonormal_columns_need_one_step() -> Check:
    """With A^T A = I one step from zero lands on S_lambda(A^T y), and the next one stays there (to 1e-12).

    Source: Tibshirani 1996, section 2.2
    """
    draw = generator(0, "orthonormal")
    A, _ = torch.linalg.qr(torch.randn(60, 40, generator=draw, dtype=torch.float64))
    problem = Lasso(A, torch.randn(60, generator=draw, dtype=torch.float64), 0.3)
    one = problem.T(problem.zero())
    off = (one - soft_threshold(A.T @ problem.y, 0.3)).abs().max() + (problem.T(one) - one).abs().max()
    return at_most(float(off), 1e-12)


def a_negative_threshold_doubles() -> Check:
    """The course notebook's (r - c) 1[r > c] + (r + c) 1[r < -c] equals 2 r on |r| < |c| when c is negative.

    Source: the two indicators overlap; the same sum with c >= 0 is (2)
    """
    r = torch.linspace(-1, 1, 101, dtype=torch.float64)

    def notebook(c: float) -> Tensor:
        return (r - c) * (r > c) + (r + c) * (r < -c)

    agreement = (notebook(0.4) - soft_threshold(r, 0.4)).abs().max()
    doubling = (notebook(-1.5) - 2 * r).abs().max()
    return about(float(agreement + doubling), 0.0, 1e-15)


CARD = Card(
    name="ISTA and FISTA",
    name_ja="ISTA・FISTA(反復軟しきい値アルゴリズム)",
    paper="Daubechies, Defrise, De Mol 2004, doi:10.1002/cpa.20042; Beck and Teboulle 2009, doi:10.1137/080716542",
    equations=(
        r"F(x) = \tfrac12\|y - Ax\|^2 + \lambda\|x\|_1",
        r"S_c(r) = \mathrm{sign}(r)\max(|r|-c, 0)",
        r"x_{k+1} = S_{\lambda/L}(x_k - A^T(Ax_k - y)/L)",
        r"F(x_k) - F^* \le L\|x_0 - x^*\|^2/(2k)",
        r"t_{k+1} = \tfrac12(1+\sqrt{1+4t_k^2}),\quad z_{k+1} = x_{k+1} + \tfrac{t_k-1}{t_{k+1}}(x_{k+1}-x_k)",
        r"F(x_k) - F^* \le 2L\|x_0 - x^*\|^2/(k+1)^2",
        r"|A^T(y - Ax)| \le \lambda",
        r"F(x) \ge \theta^T y - \tfrac12\|\theta\|^2,\quad \|A^T\theta\|_\infty \le \lambda",
    ),
    summary="Finds a sparse signal from few measurements by gradient steps and soft thresholds, under proven bounds.",
    summary_ja="少ない観測から疎な信号を、勾配ステップと軟しきい値の繰り返しで復元する。誤差の上界は一歩ごとに確かめられる。",
    topics=("sparse.ista", "sparse.fista", "sparse.lasso", "sparse.soft-threshold"),
    facts=(
        ista_stays_under_its_bound,
        fista_stays_under_its_bound,
        ista_never_rises,
        fista_does_rise,
        soft_threshold_is_the_proximal_map,
        soft_threshold_is_non_expansive,
        correlations_stay_in_the_box,
        the_support_touches_the_box,
        a_large_penalty_leaves_nothing,
        orthonormal_columns_need_one_step,
        a_negative_threshold_doubles,
    ),
    notes=("With a negative threshold the notebook's formula returns 2x on |x| < |threshold|; it is refused here.",
           "The notebook applies its threshold directly: it is lambda / L of the lasso, not lambda."),
    notes_ja=("しきい値が負のとき、ノートブックの式は |x| < |しきい値| で 2x を返す。ここでは受け付けない。",
              "ノートブックのしきい値はそのまま使われる。ラッソの λ ではなく λ/L にあたる。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A random sparse recovery problem and how it is solved."""

    method: Literal["ista", "fista"] = "ista"
    """ista: plain steps (3); fista: with momentum (5)"""
    rows: int = 150
    """number of measurements"""
    columns: int = 300
    """length of the signal"""
    density: float = 0.1
    """probability that an entry of the signal is not zero"""
    noise: float = 0.05
    """standard deviation of the measurement noise"""
    penalty: float = 2.0
    """lambda in (1)"""
    iterations: int = 500
    """steps"""
    seed: int = 0
    """of the signal, the matrix and the noise"""


VARIANTS = {
    "smoke": Setup(rows=40, columns=80, iterations=60),
    "default": Setup(),
    "fista": Setup(method="fista"),
}


def build(setup: Setup, place: Place = Place()) -> Recovery:  # noqa: B008 - Place is frozen
    """A recovery problem; the optimum is computed here, to a certified gap of 1e-12 of 1/2 ||y||^2.

    It computes in float64, which Metal does not have: there it stays on the CPU.
    """
    for name in ("rows", "columns", "iterations"):
        if getattr(setup, name) < 1:
            raise UserError(name, f"{getattr(setup, name)} is not a size", "give a whole number of 1 or more")
    for name in ("noise", "penalty"):
        if not 0 <= getattr(setup, name) < float("inf"):
            raise UserError(name, f"{getattr(setup, name)} is negative or not finite", "give a number of 0 or more")
    if not 0 <= setup.density <= 1:
        raise UserError("density", f"{setup.density} is not a probability", "give a number from 0 to 1")
    return Recovery(setup, "cpu" if place.device.startswith("mps") else place.device)
