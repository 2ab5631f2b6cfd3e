r"""The exploding gradient: one matrix, multiplied by itself at every step in time.

A recurrence feeds its state back through the same weights,

    s_t = phi(W s_{t-1} + x_t)                                                 (1)

so that the gradient of a late state by the first one is a product of t Jacobians,

    d s_t / d s_0 = D_t W D_{t-1} W ... D_1 W,   D = diag phi'                 (2)

Without a bend (phi the identity) that is W^t, and its norm grows or dies with the largest eigenvalue in modulus:

    |W^t|^(1/t) -> rho(W),   log |W^t| = t log rho(W) + o(t)                   (3)

With tanh the slopes are at most 1, so |d s_t / d s_0| <= |W|^t (4), and may yet explode.

The surprise: sharing the weights makes it worse. A product of t different random matrices of the same size grows with

    1/2 (log(2/n) + psi(n/2)) + log r                                          (5)

per step, r being the spectral radius that they have as n grows: less than log r for every n. Chance turns the vector
out of the longest direction again and again; the same W never does.

Pascanu, Mikolov, Bengio 2013; Gelfand 1941 (3); Newman 1986 (5).
"""

from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor

from shinso.core.axes import BLUE, GREEN, GREY, ORANGE, RED, quiet
from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range


def radius(W: Tensor) -> float:
    """rho(W), the largest modulus of an eigenvalue."""
    return float(torch.linalg.eigvals(W).abs().max())


def recurrent(units: int, rho: float, seed: int) -> Tensor:
    """A random W (n, n) whose spectral radius is exactly `rho`."""
    W = torch.randn(units, units, generator=generator(seed, "W"), dtype=torch.float64)
    return W * (rho / radius(W))


def advance(W: Tensor, state: Tensor, x: Tensor, bend: str) -> tuple[Tensor, Tensor]:
    """The next state (n,) and the Jacobian of this one step (n, n)."""
    u = W @ state + x
    if bend == "identity":
        return u, W  # (1)
    return u.tanh(), (1 - u.tanh() ** 2)[:, None] * W


def growth_of_independent(units: int, rho: float) -> float:
    """(5): the mean growth of log |x| under independent Gaussian matrices of variance rho^2 / n."""
    half = torch.tensor(units / 2, dtype=torch.float64)
    return float(0.5 * (np.log(2 / units) + torch.digamma(half))) + float(np.log(rho))


@final
class Unrolled:
    """One step is one step in time; the product (2) is kept with its length taken out, so that nothing overflows."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        self.W = recurrent(setup.units, setup.rho, setup.seed)
        self.norm = float(torch.linalg.matrix_norm(self.W, 2))
        draw = generator(setup.seed, "state")
        self.s = torch.rand(setup.units, generator=draw, dtype=torch.float64) - 0.5
        self.J, self.log_size = torch.eye(setup.units, dtype=torch.float64), 0.0
        self.x, self.log_length = self.s / self.s.norm(), 0.0
        self.chance = generator(setup.seed, "independent")

    def step(self, i: int) -> Record:
        setup, t = self.setup, i + 1
        self.s, one = advance(self.W, self.s, torch.zeros_like(self.s), setup.bend)
        if setup.bend == "identity":
            self.s = self.s / self.s.norm().clamp_min(1e-300)  # its length does not matter to (2), and may overflow
        self.J = one @ self.J  # (2)
        size = max(float(torch.linalg.matrix_norm(self.J, 2)), 1e-300)  # 0 where tanh is flat in float64
        self.J, self.log_size = self.J / size, self.log_size + float(np.log(size))
        other = torch.randn(setup.units, setup.units, generator=self.chance, dtype=torch.float64)
        self.x = other @ self.x * (setup.rho / setup.units**0.5)
        self.log_length += float(self.x.norm().log())
        self.x = self.x / self.x.norm()
        return {"log_gradient": self.log_size, "log_gradient_bound": t * float(np.log(self.norm)) + 1e-9 * t,
                "growth": self.log_size / t, "log_rho": float(np.log(setup.rho)),
                "growth_independent": self.log_length / t}

    def state(self) -> dict[str, Any]:
        return {"s": self.s, "J": self.J, "x": self.x, "log_size": self.log_size, "log_length": self.log_length,
                "chance": self.chance.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        self.s, self.J, self.x = (state[name].clone() for name in ("s", "J", "x"))
        self.log_size, self.log_length = float(state["log_size"]), float(state["log_length"])
        self.chance.set_state(state["chance"])

    def pictures(self) -> dict[str, np.ndarray]:
        """The size of the gradient over time for three spectral radii, and the eigenvalues of W."""
        return {"growth": _growth(self.setup), "eigenvalues": _eigenvalues(self.W)}


def log_norms(W: Tensor, steps: int) -> np.ndarray:
    """log |W^t|_2 for t = 1 .. steps."""
    J, total, found = torch.eye(len(W), dtype=W.dtype), 0.0, []
    for _ in range(steps):
        J = W @ J
        size = float(torch.linalg.matrix_norm(J, 2))
        J, total = J / size, total + float(np.log(size))
        found.append(total)
    return np.array(found)


def measured_slope(W: Tensor, steps: int = 400) -> float:
    """The mean slope of log |W^t| over the second half of the steps."""
    norms = log_norms(W, steps)
    return float((norms[-1] - norms[steps // 2 - 1]) / (steps - steps // 2))


def _growth(setup: "Setup") -> np.ndarray:
    figure = sheet(850, 400)
    axes = figure.subplots()
    steps = max(2, min(setup.steps, 100))
    t = np.arange(1, steps + 1)
    for rho, colour in zip(sorted({0.8, 1.0, 1.2, setup.rho}), (BLUE, GREY, ORANGE, RED), strict=False):
        W = recurrent(setup.units, rho, setup.seed)
        axes.plot(t, log_norms(W, steps) / np.log(10), ".", color=colour, markersize=4, label=f"ρ = {rho:g}")
        axes.plot(t, t * np.log10(rho), color=colour, linewidth=1)
    apart = growth_of_independent(setup.units, setup.rho)
    axes.plot(t, t * apart / np.log(10), "--", color=GREEN,
              label=f"ρ = {setup.rho:g}, independent / 独立 (5)")
    quiet(axes, "log10 |∂s_t / ∂s_0|   dots: measured / 点は測定,  lines: t log ρ (3)", "t")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return pixels(figure)


def _eigenvalues(W: Tensor) -> np.ndarray:
    values = torch.linalg.eigvals(W).numpy()
    figure = sheet(430, 400)
    axes = figure.subplots()
    angle = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.cos(angle), np.sin(angle), color=GREY, linewidth=1)
    axes.plot(values.real, values.imag, "o", color=BLUE)
    largest = values[np.abs(values) > (1 - 1e-9) * np.abs(values).max()]
    axes.plot(largest.real, largest.imag, "o", color=RED)
    quiet(axes, f"eigenvalues of W / 固有値   ρ = {np.abs(values).max():.3g}", "Re", "Im").set_aspect("equal")
    return pixels(figure)


def the_gradient_is_the_power() -> Check:
    """For 1, 5 and 30 steps without a bend d s_t / d s_0 by autograd is W^t: the largest relative difference.

    Source: equation (2)
    """
    W, worst = recurrent(6, 1.1, 0), 0.0
    for t in (1, 5, 30):
        def unrolled(s: Tensor, t: int = t) -> Tensor:
            for _ in range(t):
                s, _ = advance(W, s, torch.ones(6, dtype=torch.float64), "identity")
            return s

        J = torch.autograd.functional.jacobian(unrolled, torch.zeros(6, dtype=torch.float64))
        power = torch.linalg.matrix_power(W, t)
        worst = max(worst, float((torch.as_tensor(J) - power).norm() / power.norm()))
    return at_most(worst, 1e-13)


def the_slope_is_the_log_of_the_radius() -> Check:
    """For radii 0.7, 0.9, 1, 1.1, 1.3 and 4 matrices each, the slope of log |W^t| is log rho: the largest difference.

    Source: Gelfand 1941; Pascanu, Mikolov, Bengio 2013
    """
    gaps = [abs(measured_slope(recurrent(8, rho, seed)) - np.log(rho)) for rho in (0.7, 0.9, 1.0, 1.1, 1.3)
            for seed in range(4)]
    return at_most(float(max(gaps)), 1e-2)


def above_one_it_explodes() -> Check:
    """With rho = 1.2 the gradient over 100 steps is at least 1e7 times as large.

    Source: Pascanu, Mikolov, Bengio 2013
    """
    return at_least(float(log_norms(recurrent(8, 1.2, 0), 100)[-1]), float(np.log(1e7)))


def below_one_it_dies() -> Check:
    """With rho = 0.8 less than 1e-8 of it is left after 100 steps.

    Source: Pascanu, Mikolov, Bengio 2013
    """
    return at_most(float(log_norms(recurrent(8, 0.8, 0), 100)[-1]), float(np.log(1e-8)))


def tanh_stays_under_the_power_of_the_norm() -> Check:
    """With tanh the product (2) never passes |W|^t over 100 steps: the largest log of their ratio.

    Source: equation (4)
    """
    program = Unrolled(Setup(bend="tanh", rho=1.3))
    rows = [program.step(i) for i in range(100)]
    return at_most(max(float(row["log_gradient"]) - float(row["log_gradient_bound"]) for row in rows), 0.0)


def independent_matrices_grow_as_foretold() -> Check:
    """Over 4,000 independent 8x8 matrices of radius 1.2 the growth is (5), to 0.02.

    Source: Newman 1986
    """
    program = Unrolled(Setup(rho=1.2, steps=4000))
    draws = torch.randn(4000, 8, 8, generator=generator(0, "many"), dtype=torch.float64) * (1.2 / 8**0.5)
    x, total = program.x, 0.0
    for one in draws:
        x = one @ x
        total += float(x.norm().log())
        x = x / x.norm()
    return about(total / 4000, growth_of_independent(8, 1.2), 0.02)


def sharing_makes_it_worse() -> Check:
    """For 1 to 64 units log rho lies above the growth (5) of independent matrices: the smallest gap.

    Source: the course's remark that the shared W makes it worse; log of a mean above the mean of a log
    """
    return at_least(min(np.log(1.2) - growth_of_independent(n, 1.2) for n in (1, 2, 4, 8, 16, 32, 64)), 1e-3)


CARD = Card(
    name="Exploding gradient",
    name_ja="勾配爆発",
    paper="Pascanu, Mikolov, Bengio 2013, arXiv:1211.5063; Newman 1986, doi:10.1007/BF01211101",
    equations=(
        r"s_t = \phi(W s_{t-1} + x_t)",
        r"\frac{\partial s_t}{\partial s_0} = D_t W D_{t-1} W \cdots D_1 W",
        r"\log \|W^t\| = t \log \rho(W) + o(t)",
        r"\left\|\frac{\partial s_t}{\partial s_0}\right\| \le \|W\|^t",
        r"\frac{1}{2}\left(\log \frac{2}{n} + \psi(\frac{n}{2})\right) + \log r",
    ),
    summary="A gradient sent back through time grows as the spectral radius says, and worse because W is shared.",
    summary_ja="時間をさかのぼる勾配はスペクトル半径のとおりに増減し、重みの共有がそれをさらにひどくする。",
    topics=("basics.exploding-gradient",),
    facts=(
        the_gradient_is_the_power,
        the_slope_is_the_log_of_the_radius,
        above_one_it_explodes,
        below_one_it_dies,
        tanh_stays_under_the_power_of_the_norm,
        independent_matrices_grow_as_foretold,
        sharing_makes_it_worse,
    ),
    notes=("The size of one factor is not what decides: |W| can be far above 1 while rho(W) < 1, and then the gradient "
           "first grows and dies in the end.",),
    notes_ja=("決め手は一つの因子の大きさではない。|W| が1を大きく超えても ρ(W) < 1 なら、"
              "勾配はいったん増え、最後には消える。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The recurrence and how long it runs."""

    units: int = 8
    """length of the state"""
    rho: float = 1.1
    """spectral radius of W"""
    bend: Literal["identity", "tanh"] = "identity"
    """what happens to the state after W"""
    steps: int = 200
    """steps in time"""
    seed: int = 0
    """of W, the first state and the independent matrices"""


VARIANTS = {
    "smoke": Setup(steps=40),
    "default": Setup(),
    "dying": Setup(rho=0.8),
    "tanh": Setup(bend="tanh", rho=1.5),
}


def build(setup: Setup, place: Place = Place()) -> Unrolled:  # noqa: B008 - Place is frozen
    """The recurrence at its first state; it computes in float64 on the CPU wherever `place` is."""
    in_range(setup, ("units", "rho", "steps"))
    return Unrolled(setup)
