r"""Perturbed accelerated gradient descent (Jin, Netrapalli and Jordan 2017, arXiv:1711.10456, algorithms 2 and 3).

    if ||grad f(x)|| <= threshold and no perturbation in the last `wait` steps:
        x = x + xi,  xi uniform in the ball of the radius r                                              (1)
    y = x + (1 - theta) v,   x' = y - lr grad f(y),   v' = x' - x                                        (2)
    if f(x) <= f(y) + <grad f(y), x - y> - gamma/2 ||x - y||^2:                                          (3)
        if ||v|| >= s:  x' = x;   otherwise x' = argmin of f over x + s v/||v|| and x - s v/||v||;
        v' = 0                                                                                           (4)

(2) alone is Nesterov's method. The surprise: it is not a descent, f rises and falls, yet with the speed counted in,

    E = f(x) + ||v||^2 / (2 lr)                                                                          (5)

never rises in (2), for any smooth function, convex or not, unless (3) holds; and (3) holds only where f is curved
downwards between x and y by more than gamma, a direction which (4) then uses: there E falls by at least

    min{ s^2 / (2 lr),  (gamma - 2 rho s) s^2 / 2 }                                                      (6)

E rises at a push (1) alone. From a saddle it leaves in about 1 / sqrt(lr gamma) steps where gradient descent takes
1 / (lr gamma). With l and rho the Lipschitz constants of gradient and Hessian, D what f can fall, kappa =
l / sqrt(rho eps) and chi = max{1, log(d l D / (rho eps delta))}, the paper's constants are lr = 1 / (4 l), theta =
1 / (4 sqrt kappa), gamma = theta^2 / lr, s = gamma / (4 rho), r = lr eps / (chi^5 c^8), wait = sqrt(kappa) chi c    (7)
"""

import math
from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.optim._checks import check_rate
from shinso.optim._lean import AbstractLean
from shinso.optim._noise import in_ball, joint_norm, number, refuse
from shinso.optim._saddle import closure as asking
from shinso.optim._saddle import descend, quartic
from shinso.optim._walk import weights
from shinso.optim.perturbed_gd import PerturbedGD


@final
class PerturbedAGD(AbstractLean, torch.optim.Optimizer):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Nesterov's method with pushes and exploitation. Groups may differ in lr and theta; the rest is of the first."""

    def __init__(self, params: Any, lr: float | Tensor = 1e-2, *, theta: float = 0.1,
                 exploitation: tuple[float, float] | None = (1.0, 0.05), radius: float = 1e-3, threshold: float = 1e-3,
                 wait: int = 100, seed: int = 0):
        """`theta` is what friction takes of the speed in a step, 1 - theta its momentum; `exploitation` is (gamma, s).

        Without exploitation and with radius 0 it is Nesterov's method.
        """
        check_rate(lr)
        if not 0.0 <= theta <= 1.0:
            raise ValueError(f"Invalid theta value: {theta}")
        if exploitation is not None and not all(0.0 < value for value in exploitation):
            raise ValueError(f"Invalid exploitation: {exploitation}")
        if not 0.0 <= radius:
            raise ValueError(f"Invalid radius: {radius}")
        if not 0.0 <= threshold:
            raise ValueError(f"Invalid threshold: {threshold}")
        if not 0 <= wait:
            raise ValueError(f"Invalid wait value: {wait}")
        super().__init__(params, {"lr": lr, "theta": theta, "exploitation": exploitation, "radius": radius,
                                  "threshold": threshold, "wait": wait, "seed": seed})

    @staticmethod
    def constants(*, smoothness: float, hessian: float, epsilon: float, gap: float, dimensions: int, c: float = 1.0,
                  delta: float = 0.1) -> dict[str, Any]:
        """The paper's options (7) for l, rho, eps, D and d: `PerturbedAGD(params, **PerturbedAGD.constants(...))`."""
        kappa = smoothness / math.sqrt(hessian * epsilon)
        chi = max(1.0, math.log(dimensions * smoothness * gap / (hessian * epsilon * delta)))
        lr, theta = 1 / (4 * smoothness), 1 / (4 * math.sqrt(kappa))
        gamma = theta**2 / lr
        return {"lr": lr, "theta": theta, "exploitation": (gamma, gamma / (4 * hessian)), "threshold": epsilon,
                "radius": lr * epsilon / (chi**5 * c**8), "wait": math.ceil(math.sqrt(kappa) * chi * c)}  # (7)

    def step(  # pyright: ignore[reportIncompatibleMethodOverride] - torch's has overloads
            self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns what the closure returned at x. It is asked at x and at y, and where (4) looks.

        It must give the same loss when asked twice at one place.
        """
        if closure is None:
            raise RuntimeError("PerturbedAGD compares losses at several places: call step(closure)")
        ask, memory = torch.enable_grad()(closure), self.state[self.param_groups[0]["params"][0]]
        loss = first = ask()
        t = memory["step"] = memory.get("step", -1) + 1
        with torch.no_grad():
            moving = [(group, w) for group in self.param_groups for w in group["params"] if w.grad is not None]
            if moving and self._is_time(memory, [w for _, w in moving]):
                memory["perturbed_at"] = t
                self._push([w for _, w in moving], t)
                loss = ask()
            x = [w.detach().clone() for _, w in moving]
            v = [self.state[w].get("velocity", torch.zeros_like(w)) for _, w in moving]
            fast = any(bool(u.any()) for u in v)
            if fast:
                for (group, w), u in zip(moving, v, strict=True):
                    w.add_(u, alpha=1 - group["theta"])
                ahead = ask()
                if self._curves_down([w for _, w in moving], x, number(loss), number(ahead)):
                    memory["exploited_at"] = t
                    return self._exploit(ask, [w for _, w in moving], x, v, first)
            for (group, w), start in zip(moving, x, strict=True):
                refuse(w, _gradient(w), "PerturbedAGD")
                w.add_(_gradient(w), alpha=-float(group["lr"]))
                self.state[w]["velocity"] = w.detach() - start  # (2)
        return first

    def _is_time(self, memory: dict[str, Any], moving: list[Tensor]) -> bool:
        options = self.param_groups[0]
        for w in moving:
            refuse(w, _gradient(w), "PerturbedAGD")
        waited = memory["step"] - memory.get("perturbed_at", -math.inf) > options["wait"]
        return bool(options["radius"]) and waited and joint_norm([_gradient(w) for w in moving]) <= options["threshold"]

    def _push(self, moving: list[Tensor], t: int) -> None:
        options = self.param_groups[0]
        for w, push in zip(moving, in_ball(moving, options["radius"], options["seed"], f"perturbed/{t}"), strict=True):
            w.add_(push)  # (1)

    def _curves_down(self, y: list[Tensor], x: list[Tensor], here: float, ahead: float) -> bool:
        """(3), unless the two sides differ by no more than the rounding of the loss, which says nothing."""
        if self.param_groups[0]["exploitation"] is None:
            return False
        gamma, _ = self.param_groups[0]["exploitation"]
        back = [start - w.detach() for start, w in zip(x, y, strict=True)]
        tangent = ahead + sum(float((_gradient(w) * way).sum()) for w, way in zip(y, back, strict=True))
        rounding = 8 * torch.finfo(y[0].dtype).eps * max(abs(here), abs(ahead))
        return here < tangent - gamma / 2 * joint_norm(back) ** 2 - rounding  # (3)

    def _exploit(self, ask: Callable[[], Any], moving: list[Tensor], x: list[Tensor], v: list[Tensor],
                 loss: Any) -> Any:
        """(4)"""
        _, reach = self.param_groups[0]["exploitation"]
        speed, places = joint_norm(v), [x]
        if speed < reach:
            places = [[a + sign * reach / speed * u for a, u in zip(x, v, strict=True)] for sign in (1, -1)]
        losses = [self._at(place, moving, ask) if len(places) > 1 else 0.0 for place in places]
        for w, best in zip(moving, places[losses.index(min(losses))], strict=True):
            w.copy_(best)
            self.state[w]["velocity"] = torch.zeros_like(w)
        return loss

    @staticmethod
    def _at(place: list[Tensor], moving: list[Tensor], ask: Callable[[], Any]) -> float:
        for w, there in zip(moving, place, strict=True):
            w.copy_(there)
        return number(ask())


def _gradient(w: Tensor) -> Tensor:
    return torch.zeros_like(w) if w.grad is None else w.grad.detach()


PAPER = PerturbedAGD.constants(smoothness=10.0, hessian=12.0, epsilon=0.1, gap=1.0, dimensions=2)
"""for x^2 - y^2 + y^4/4 where |y| <= 2"""


def _energies(start: tuple[float, float], steps: int = 400) -> list[tuple[float, str]]:
    """By how much (5) rose in each step, and what happened in it: push, exploitation, or nothing but (2)."""
    height, _ = saddle = quartic()
    w = weights(start)
    optimiser, found = PerturbedAGD([w], **PAPER), []
    ask, before = asking(w, saddle), float(height(w.detach()))
    for t in range(steps):
        optimiser.step(ask)
        kept = optimiser.state[w]
        after = float(height(w.detach())) + float(kept["velocity"].square().sum()) / (2 * PAPER["lr"])
        what = next((name for name in ("perturbed", "exploited") if kept.get(f"{name}_at") == t), "")
        found.append((after - before, what))
        before = after
    return found


STARTS = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.3), (-0.5, 1e-3), (0.8, 1.9))


def the_energy_never_rises_but_at_a_push() -> Check:
    """From 5 places on x^2 - y^2 + y^4/4, 400 steps each: (5) rises by at most 1e-12 in a step without a push.

    Source: Jin et al. 2017, lemma 1 and lemma 5; the paper's constants for l = 10, rho = 12, eps = 0.1
    """
    return at_most(max(rise for start in STARTS for rise, what in _energies(start) if what != "perturbed"), 1e-12)


def exploiting_pays_what_was_promised() -> Check:
    """In the steps among those that exploit, (5) falls by at least (6): the least fall is at least 1 times that.

    Source: Jin et al. 2017, lemma 5
    """
    (gamma, s), lr = PAPER["exploitation"], PAPER["lr"]
    promised = min(s**2 / (2 * lr), (gamma - 2 * 12.0 * s) * s**2 / 2)  # (6)
    falls = [-rise for start in STARTS for rise, what in _energies(start) if what == "exploited"]
    return at_least(min(falls, default=-math.inf) / promised, 1.0)


def f_alone_does_rise() -> Check:
    """The other side of it: f itself, from (0.8, 1.9) on a bowl of condition 20, rises in at least 10 of 200 steps.

    Source: Nesterov's method is not a descent
    """
    height, _ = bowl = quartic(1.0, -20.0)
    path = descend(PerturbedAGD([weights((0.8, 1.9))], lr=0.01, theta=0.05, exploitation=None, radius=0.0), bowl, 200)
    heights = torch.stack([height(w) for w in path])
    return at_least(float((heights.diff() > 0).sum()), 10)


def without_its_parts_it_is_nesterovs() -> Check:
    """With radius 0 and without exploitation, 300 steps from (1, 0.3) differ from (2), written out, by at most 1e-14.

    Source: Nesterov 1983 in the form of Jin et al. 2017, algorithm 1
    """
    _, slope = saddle = quartic()
    ours = descend(PerturbedAGD([weights([1.0, 0.3])], lr=0.02, theta=0.1, exploitation=None, radius=0.0), saddle, 300)
    x, v, worst = weights([1.0, 0.3]).detach(), torch.zeros(2, dtype=torch.float64), 0.0
    for there in ours[1:]:
        y = x + 0.9 * v
        x, v = y - 0.02 * slope(y), y - 0.02 * slope(y) - x  # (2)
        worst = max(worst, float((x - there).abs().max()))
    return at_most(worst, 1e-14)


def it_reaches_the_minimum_with_every_seed() -> Check:
    """From (0, 0) and (1, 0), 5 seeds each, it comes to f = -1: the highest end is 1e-6 above at most.

    Source: Jin et al. 2017; pushes of 1e-4 go on at the minimum
    """
    height, _ = saddle = quartic()
    ends = [descend(PerturbedAGD([weights(start)], lr=0.025, theta=0.1, exploitation=(0.4, 0.01), radius=1e-4,
                                 threshold=1e-4, wait=300, seed=seed), saddle, 300)[-1]
            for start in STARTS[:2] for seed in range(5)]
    return about(max(float(height(end)) for end in ends), -1.0, 1e-6)


def at_condition_ten_thousand_it_asks_less() -> Check:
    """Curvatures 10000 and -1: when it is 90 % down, perturbed GD asked 4 times as often is still within 1e-3 of f = 0.

    Source: Jin et al. 2017: 1/eps^(7/4) against 1/eps^2; rates of the papers, 1/(4 l) and 1/l, pushes of 1e-3
    """
    height, _ = saddle = quartic(1e4, 1.0)
    w = weights([0.0, 0.0])
    fast = PerturbedAGD([w], lr=1 / 4e4, theta=1 / 400, exploitation=(0.25, 0.01), wait=10**6)
    ask = asking(w, saddle)
    while float(height(w.detach())) > 0.9 * -0.25:
        fast.step(ask)
    calls = ask.calls  # pyright: ignore[reportFunctionMemberAccess]
    slow = descend(PerturbedGD([weights([0.0, 0.0])], lr=1e-4, wait=10**6), saddle, 4 * calls)[-1]
    return at_most(abs(float(height(slow))), 1e-3)


CARD = Card(
    name="Perturbed accelerated gradient descent",
    name_ja="摂動つき加速勾配法 (PAGD)",
    paper="Jin, Netrapalli and Jordan 2017, arXiv:1711.10456; Nesterov 1983",
    equations=(
        r"x = x + \xi,\quad \xi \sim \mathrm{Unif}(B_0(r))",
        r"y = x + (1-\theta)\,v,\quad x' = y - \eta\,\nabla f(y),\quad v' = x' - x",
        r"f(x) \leq f(y) + \langle\nabla f(y),\, x - y\rangle - \frac{\gamma}{2}\|x - y\|^2",
        r"x' = x\ (\|v\| \geq s),\quad \mathrm{argmin}_{\{x \pm s v/\|v\|\}} f\ (\|v\| < s),\quad v' = 0",
        r"E = f(x) + \frac{1}{2\eta}\|v\|^2",
        r"\min\left\{\frac{s^2}{2\eta},\ \frac{(\gamma - 2\rho s)\,s^2}{2}\right\}",
        r"\eta = \frac{1}{4\ell},\ \theta = \frac{1}{4\sqrt{\kappa}},\ \gamma = \frac{\theta^2}{\eta},\ "
        r"s = \frac{\gamma}{4\rho},\ r = \frac{\eta\epsilon}{\chi^5 c^8},\ T = \sqrt{\kappa}\,\chi c",
    ),
    summary="Nesterov's method that is pushed where it is flat and goes where it finds the ground curved downwards.",
    summary_ja="Nesterov の加速勾配法に、平らな所での摂動と、負の曲率を見つけたらそれを使う仕組みを加えたもの。",
    topics=("optim.perturbed-agd",),
    facts=(the_energy_never_rises_but_at_a_push, exploiting_pays_what_was_promised, f_alone_does_rise,
           without_its_parts_it_is_nesterovs, it_reaches_the_minimum_with_every_seed,
           at_condition_ten_thousand_it_asks_less),
    notes=("The slide's brace for the perturbation reaches too far: it is the noise alone; (2) is taken every time.",
           "The slide does not print (4), which has two cases and overwrites x'.",
           "As printed, (3) holds with equality when v = 0, where v/||v|| means nothing: it is not asked then, nor "
           "where its two sides differ by less than the rounding of the loss.",
           "theta is a friction here: 1 - theta is what other texts call the momentum.",
           "It asks for two gradients a step, at x and at y; the comparison counts both."),
    notes_ja=("スライドの「摂動」の括弧は広すぎる。雑音を加える所だけが摂動で、式 (2) は毎回行う。",
              "スライドには式 (4) がない。場合が二つあり、x' を上書きする。",
              "v = 0 では式 (3) が等号で成り立ち、v/||v|| が意味を失う。ここではそのとき、また両辺の差が"
              "損失の丸め誤差より小さいときは判定しない。",
              "ここでの θ は摩擦であり、1 - θ がほかで慣性係数と呼ばれるものである。",
              "一歩ごとに x と y で二回勾配を求める。比較では両方を数えている。"),
)
