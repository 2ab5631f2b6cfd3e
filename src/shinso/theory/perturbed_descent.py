r"""What a push is worth at a saddle: steps foretold for perturbed descent, plain and accelerated (Jin et al. 2017).

    f(w) = l/2 (w_1^2 + ... + w_{d-1}^2) - g/2 w_d^2 + q/4 w_d^4,   begun at the saddle 0                (1)

Gradient descent stays there for ever. A push xi, uniform in the ball of radius r in d dimensions, has along w_d what is
known exactly: with psi the digamma function, and y = |xi_d|,

    E log(y / r) = (psi(1/2) - psi(d/2)) / 2 - 1/d,   Var log y = (psi'(1/2) - psi'(d/2)) / 4 + 1/d^2    (2)

and from y each method grows by a factor of its own, until |w_d| = R, in log(R / y) / log(growth) steps: for perturbed
gradient descent and for its accelerated form without exploitation, with z = a g, the growth is

    1 + z,   1 + (z (2 - theta) - theta + sqrt((z (2 - theta) - theta)^2 + 4 z)) / 2                     (3)

The surprise is (2): half a logarithm of d is all that the dimension costs, where the theorem promises log^4 d. And (3):
from a flat saddle, z = 1/kappa, the first takes about kappa steps for each factor e and the second sqrt kappa. What the
second pays is a loss that rises now and then; f + ||v||^2 / (2 a) does not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log, sqrt
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import derive
from shinso.core.setup import in_range
from shinso.learn.sweep import Columns, Sweep
from shinso.optim.perturbed_agd import PerturbedAGD
from shinso.optim.perturbed_gd import PerturbedGD
from shinso.theory._perturbed_pictures import Walk, energies, leaving, steps_drawn

RADIUS, REACH = 1e-3, 0.1
"""r and R"""


@dataclass(frozen=True)
class Saddle:
    """(1)"""

    stiff: float = 1.0
    falling: float = 1.0
    quartic: float = 1.0

    def height(self, w: Any) -> Any:
        """f of w (..., d)."""
        x, y = w[..., :-1], w[..., -1]
        return self.stiff / 2 * (x * x).sum(-1) - self.falling / 2 * y**2 + self.quartic / 4 * y**4

    def slope(self, w: Tensor) -> Tensor:
        """grad f for w (d,)."""
        g = self.stiff * w
        g[-1] = self.quartic * w[-1] ** 3 - self.falling * w[-1]
        return g


Asks = Callable[[], Tensor]


def closure(w: Tensor, ground: Saddle) -> Asks:
    """What torch's optimisers ask: it sets the gradient of w and gives f."""

    def ask() -> Tensor:
        w.grad = ground.slope(w.detach())
        return ground.height(w.detach())

    return ask


def origin(d: int) -> Tensor:
    """The saddle as a weight of d entries."""
    return torch.zeros(d, dtype=torch.float64, requires_grad=True)


def plain(w: Tensor, lr: float, seed: int) -> PerturbedGD:
    """One push, then gradient descent."""
    return PerturbedGD([w], lr=lr, radius=RADIUS, wait=10**9, seed=seed)


def fast(w: Tensor, lr: float, theta: float, seed: int, exploitation: tuple[float, float] | None = None
         ) -> PerturbedAGD:
    """One push, then accelerated descent."""
    return PerturbedAGD([w], lr=lr, theta=theta, exploitation=exploitation, radius=RADIUS, wait=10**9, seed=seed)


def steps_out(optimiser: torch.optim.Optimizer, ground: Saddle, most: int = 1_000_000) -> int:
    """Steps until |w_d| is at least REACH."""
    (w,) = optimiser.param_groups[0]["params"]
    ask: Any = closure(w, ground)
    for t in range(most):
        if abs(float(w.detach()[-1])) >= REACH:
            return t
        optimiser.step(ask)
    return most


def push_along(d: int) -> tuple[float, float]:
    """(2): mean and standard deviation of log(y / r)."""
    from scipy.special import digamma, polygamma

    mean = (digamma(0.5) - digamma(d / 2)) / 2 - 1 / d
    return float(mean), sqrt(float(polygamma(1, 0.5) - polygamma(1, d / 2)) / 4 + 1 / d**2)


def growth(z: float, theta: float | None = None) -> float:
    """(3): of gradient descent, or with `theta` of the accelerated form."""
    if theta is None:
        return 1 + z
    b = z * (2 - theta) - theta
    return 1 + (b + sqrt(b * b + 4 * z)) / 2  # (3)


def foretold(d: int, z: float, theta: float | None = None) -> tuple[float, float]:
    """Mean and standard deviation of the steps to REACH; a whole number lies half a step late on average."""
    mean, deviation = push_along(d)
    start, rate = 0.0, log(growth(z, theta))
    if theta is not None:  # from rest, w_1 = (1 + z) w_0: the growing part of it
        larger, smaller = growth(z, theta), (1 + z) * (1 - theta) / growth(z, theta)
        start = log((1 + z - smaller) / (larger - smaller))
    return (log(REACH / RADIUS) - mean - start) / rate + 0.5, deviation / rate


def theta_for(kappa: float) -> float:
    """Jin, Netrapalli and Jordan's 1 / (4 sqrt kappa)."""
    return 1 / (4 * sqrt(kappa))


def without_a_push_nothing_moves() -> Check:
    """From the saddle, 1000 steps of gradient descent move 0 in any of 20 dimensions.

    Source: the gradient there is 0; Jin et al. 2017, section 1
    """
    w = origin(20)
    sgd, ask = torch.optim.SGD([w], lr=0.3), closure(w, Saddle())
    for _ in range(1000):
        ask()
        sgd.step()
    return exactly(float(w.detach().abs().max()), 0.0)


def the_answer_is_a_second_order_point() -> Check:
    """In 20 dimensions with the paper's constants for eps = 0.1 the answer's least eigenvalue is at least -sqrt 0.6.

    Source: Jin et al. 2017, theorem 3; l = 5 and rho = 6 where |w_d| <= 1; the saddle has -1
    """
    w = origin(20)
    optimiser = PerturbedGD([w], **PerturbedGD.constants(smoothness=5.0, hessian=6.0, epsilon=0.1, gap=0.25,
                                                         dimensions=20))
    ask: Any = closure(w, Saddle())
    for _ in range(5000):
        optimiser.step(ask)
        if optimiser.settled:
            break
    hessian: Any = torch.autograd.functional.hessian(Saddle().height, w.detach())
    return at_least(float(torch.linalg.eigvalsh(hessian)[0]) if optimiser.settled else -np.inf, -sqrt(6 * 0.1))


def the_steps_are_foretold_in_any_dimension() -> Check:
    """For d = 2, 32 and 512, 40 seeds each at z = 0.3, the mean of the steps is off by 4 standard errors at most.

    Source: equations (2) and (3)
    """
    off = []
    for d in (2, 32, 512):
        mean, deviation = foretold(d, 0.3)
        found = np.mean([steps_out(plain(origin(d), 0.3, seed), Saddle()) for seed in range(40)])
        off.append(abs(found - mean) / (deviation / sqrt(40)))
    return at_most(max(off), 4.0)


def the_dimension_hardly_matters() -> Check:
    """From d = 2 to 512 the mean of those steps grows by a factor of at most 2; log^4 would be one of 6561.

    Source: Jin et al. 2017, theorem 3: at most log^4 d; equation (2)
    """
    few, many = (np.mean([steps_out(plain(origin(d), 0.3, seed), Saddle()) for seed in range(40)]) for d in (2, 512))
    return at_most(float(many / few), 2.0)


def the_accelerated_steps_are_foretold_too() -> Check:
    """Of 20 seeds in 10 dimensions at kappa 100, none is more than 1 step from log(R / y) / log(growth) + its start.

    Source: equation (3); y is read after the push
    """
    ground, theta, off = Saddle(1.0, 0.01, 0.01), theta_for(100.0), []
    for seed in range(20):
        w = origin(10)
        fast(w, 0.0, theta, seed).step(closure(w, ground))  # pyright: ignore[reportArgumentType]
        y = abs(float(w.detach()[-1]))
        mean = foretold(10, 0.0025, theta)[0] - 0.5 + (push_along(10)[0] - log(y / RADIUS)) / log(growth(0.0025, theta))
        off.append(abs(steps_out(fast(origin(10), 0.25, theta, seed), ground) - mean - 0.5))
    return at_most(max(off), 1.0)


def at_a_flat_saddle_acceleration_pays() -> Check:
    """At kappa 400, 3 seeds: perturbed gradient descent takes at least 5 times as many steps, each at its own rate.

    Source: Jin, Netrapalli and Jordan 2017; rates 1/l and 1/(4 l); it asks for one gradient a step, the other for two
    """
    ground = Saddle(1.0, 1 / 400, 1 / 400)
    slow = sum(steps_out(plain(origin(10), 1.0, seed), ground) for seed in range(3))
    return at_least(slow / sum(steps_out(fast(origin(10), 0.25, theta_for(400), seed), ground) for seed in range(3)), 5)


def the_energy_falls_among_many_saddles() -> Check:
    """On cos x cos y + (x^2 + y^2)/20, 300 steps from each of 4 starts: f + ||v||^2/(2 a) rises by 1e-12 at most.

    Source: Jin, Netrapalli and Jordan 2017, lemmas 1 and 5; steps with a push do not count
    """
    worst = -np.inf
    for start in ((0.0, 0.0), (2.0, -1.0), (-3.0, 3.0), (1.5, 1.6)):
        w = torch.tensor(start, dtype=torch.float64, requires_grad=True)
        optimiser = PerturbedAGD([w], **PerturbedAGD.constants(smoothness=2.1, hessian=3.0, epsilon=0.1, gap=2.0,
                                                               dimensions=2))
        ask, before = _bumps(w), np.inf
        for t in range(300):
            optimiser.step(ask)
            kept = optimiser.state[w]
            after = float(ask().detach()) + float(kept["velocity"].square().sum()) / (2 * optimiser.defaults["lr"])
            if t and kept.get("perturbed_at") != t:
                worst = max(worst, after - before)
            before = after
    return at_most(worst, 1e-12)


def _bumps(w: Tensor) -> Any:
    def ask() -> Tensor:
        w.grad = None
        f = w[0].cos() * w[1].cos() + w.square().sum() / 20
        f.backward()
        return f

    return ask


CARD = Card(
    name="Perturbed descent at a saddle",
    name_ja="鞍点での摂動つき降下",
    paper="Jin, Ge, Netrapalli, Kakade and Jordan 2017, arXiv:1703.00887; Jin, Netrapalli and Jordan 2017, "
          "arXiv:1711.10456",
    equations=(
        r"f(w) = \frac{\ell}{2}\sum_{i<d} w_i^2 - \frac{g}{2}w_d^2 + \frac{q}{4}w_d^4",
        r"E\,\log\frac{|\xi_d|}{r} = \frac{\psi(1/2) - \psi(d/2)}{2} - \frac{1}{d},\quad "
        r"\mathrm{Var} = \frac{\psi'(1/2) - \psi'(d/2)}{4} + \frac{1}{d^2}",
        r"1 + z,\quad 1 + \frac{1}{2}\left(z(2-\theta) - \theta + \sqrt{(z(2-\theta) - \theta)^2 + 4z}\right)",
    ),
    summary="Steps to leave a saddle, foretold from the push alone: the dimension hardly counts, acceleration does.",
    summary_ja="鞍点を離れる歩数は摂動だけから予言できる。次元にはほとんど依存せず、加速すれば平らな鞍点でも速い。",
    topics=("theory.perturbed-gd", "theory.perturbed-agd"),
    facts=(without_a_push_nothing_moves, the_answer_is_a_second_order_point, the_steps_are_foretold_in_any_dimension,
           the_dimension_hardly_matters, the_accelerated_steps_are_foretold_too, at_a_flat_saddle_acceleration_pays,
           the_energy_falls_among_many_saddles),
    notes=("As the slide prints it, the gradient step is inside the condition: it is taken every time.",
           "The slide leaves open when to push: where the gradient is small and no push was made for a while.",
           "Exploitation is not always a gain: in ten dimensions at kappa 3000 it left after 144 steps instead of 882, "
           "but at the sharp saddle after 19 instead of 10, as it gives up the speed each time.",
           "The slide's brace makes the step of the accelerated method part of the perturbation, which it is not, and "
           "leaves out what the exploitation does."),
    notes_ja=("スライドでは勾配の一歩が条件の中にあるが、毎回行うものである。",
              "いつ摂動を加えるかはスライドに書かれていない。勾配が小さく、しばらく摂動を加えていないときである。",
              "負の曲率の利用はいつも得ではない。10次元で κ = 3000 なら 882 歩が 144 歩になるが、"
              "鋭い鞍点では毎回速度を失い、10 歩が 19 歩になる。",
              "スライドの括弧は加速法の更新まで摂動に含めているが、そうではない。負の曲率の使い方も書かれていない。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is made harder, and how often each point is tried."""

    across: Literal["dimension", "condition"] = "dimension"
    """dimension: d at a sharp saddle; condition: kappa = l/g in ten dimensions"""
    points: int = 50
    """points of the grid"""
    hardest: int = 512
    """largest d, or kappa; the smallest are 2 and 10"""
    repeats: int = 30
    """pushes tried at each point"""
    seed: int = 0
    """of the pushes"""


VARIANTS = {"smoke": Setup(points=40, repeats=1), "default": Setup(),
            "flat": Setup(across="condition", points=30, hardest=1000, repeats=3)}


def build(setup: Setup, place: Place = Place()) -> Sweep:  # noqa: B008 - a frozen value
    """One step tries one point; float64 on the CPU."""
    in_range(setup, ("points", "hardest", "repeats"))
    least = 2 if setup.across == "dimension" else 10
    if setup.hardest < least:
        raise UserError("hardest", f"{setup.hardest} is below {least}, where the grid begins", "give a larger number")
    grid = np.geomspace(least, setup.hardest, setup.points).round().astype(int).tolist()

    def measure(i: int) -> Record:
        seeds = [derive(setup.seed, f"push/{i}/{k}") for k in range(setup.repeats)]
        return _point(setup.across, grid[i], seeds)

    return Sweep(range(setup.points), measure, lambda rows: _pictures(rows, setup))


def _point(across: str, value: int, seeds: list[int]) -> Record:
    d, kappa = (value, 0.0) if across == "dimension" else (10, float(value))
    ground = Saddle(1.0, 1 / kappa, 1 / kappa) if kappa else Saddle()
    lr, quick, theta = (1.0, 0.25, theta_for(kappa)) if kappa else (0.3, 0.3, 0.1)
    mean, deviation = foretold(d, lr * ground.falling)
    agd, _ = foretold(d, quick * ground.falling, theta)
    exploit, n = (theta**2 / quick, REACH / 20), len(seeds)
    return {"dimension": float(d), "condition": kappa or 1.0,
            "measured": float(np.mean([steps_out(plain(origin(d), lr, seed), ground) for seed in seeds])),
            "predicted": mean,
            "within": deviation * (5 / sqrt(n) + 10 / n) + 0.6 + 0.01 * mean,  # log y has an exponential tail
            "steps_agd": float(np.mean([steps_out(fast(origin(d), quick, theta, seed), ground) for seed in seeds])),
            "predicted_agd": agd,
            "steps_exploiting": float(np.mean([steps_out(fast(origin(d), quick, theta, seed, exploit), ground)
                                               for seed in seeds]))}


def _pictures(rows: Columns, setup: Setup) -> dict[str, np.ndarray]:
    ground, start = Saddle(2.0, 2.0, 1.0), torch.tensor([1.2, 0.0], dtype=torch.float64)
    kinds: dict[str, Callable[[Tensor], torch.optim.Optimizer]] = {
        "plain": lambda w: torch.optim.SGD([w], lr=0.05),
        "pushed": lambda w: PerturbedGD([w], lr=0.05, radius=0.04, threshold=0.6, wait=400, seed=setup.seed),
        "accelerated": lambda w: PerturbedAGD([w], lr=0.0125, theta=0.1, exploitation=(0.8, 0.03), radius=0.04,
                                              threshold=0.6, wait=400, seed=setup.seed + 1),
    }
    walks = {name: _walk(kind, ground, start.clone().requires_grad_()) for name, kind in kinds.items()}
    return {"escape_steps": steps_drawn(rows, setup.across), "leaving_a_saddle": leaving(ground, walks),
            "hamiltonian": energies(walks["accelerated"])}


def _walk(kind: Callable[[Tensor], torch.optim.Optimizer], ground: Saddle, w: Tensor, steps: int = 160) -> Walk:
    optimiser = kind(w)
    ask: Any = closure(w, ground)
    lr = optimiser.param_groups[0]["lr"]
    found = Walk([w.detach().numpy().copy()], [float(ground.height(w.detach()))], [0.0], [], [])
    for t in range(steps):
        optimiser.step(ask)
        kept = optimiser.state[w]
        found.places.append(w.detach().numpy().copy())
        found.heights.append(float(ground.height(w.detach())))
        found.motions.append(float(kept["velocity"].square().sum()) / (2 * lr) if "velocity" in kept else 0.0)
        for name, moments in (("perturbed_at", found.pushes), ("exploited_at", found.exploited)):
            if kept.get(name) == t:
                moments.append(t + 1)
    return found
