r"""One convolutional filter, two fates: spurious minima and restarts (Du, Lee, Tian, Poczos, Singh 2017).

    f(Z) = sum_j a_j s(w Z_j),   w = v / |v|,   s(u) = max(u, 0),   patches Z_1 .. Z_k ~ N(0, I)     (1)

learns both layers from a teacher (w*, a*). With the angle phi between w and w*, c = 1/2 - 1/(2 pi) and
g(phi) = ((pi - phi) cos phi + sin phi) / (2 pi), the loss 1/2 E (f - f*)^2 is

    L = 1/2 (c |a|^2 + c |a*|^2 + (1a - 1a*)^2 / (2 pi)) - (g(phi) - 1/(2 pi)) a a*                 (2)
    grad_a L = c a + 1 (1a - 1a*) / (2 pi) - (g(phi) - 1/(2 pi)) a*
    grad_v L = -a a* (pi - phi) / (2 pi) (w* - cos phi w) / |v|                                     (3)

where 1a is the sum of a. The filter turns to w* while a a* > 0, away from it while a a* < 0; there at phi = pi waits

    a = (c I + 1 1^T / (2 pi))^(-1) (1 1^T - I) a* / (2 pi)                                         (4)

a minimum, and not a global one, whenever this a has a a* < 0. Which way a start goes is decided early, so with the
probability p of a good end r starts have 1 - (1 - p)^r.

The surprise: there is a bad minimum, descent goes there with positive probability - and that is no tragedy, since one
restarts. If all a*_j are equal, it does not exist.
"""

from dataclasses import dataclass, replace
from functools import cache
from math import pi
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor

from shinso.core.axes import BLUE, GREY, RED, quiet
from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range

OWN = 0.5 - 1 / (2 * pi)
"""c: what a patch has that it does not share with others"""


def angle(v: Tensor, target: Tensor) -> Tensor:
    """phi between each v (..., d) and the unit vector w* (d,), (..., 1)."""
    w = v / v.norm(dim=-1, keepdim=True)
    return 2 * torch.atan2((w - target).norm(dim=-1, keepdim=True), (w + target).norm(dim=-1, keepdim=True))


def shared(phi: Tensor) -> Tensor:
    """g(phi) - 1 / (2 pi)."""
    return ((pi - phi) * phi.cos() + phi.sin() - 1) / (2 * pi)


def loss(v: Tensor, a: Tensor, target: Tensor, top: Tensor) -> Tensor:
    """(2) for filters v (..., d) and tops a (..., k), (...)."""
    together = (a.sum(-1) - top.sum()).square() / (2 * pi)
    return 0.5 * (OWN * (a.square().sum(-1) + top.square().sum()) + together) - (
        shared(angle(v, target))[..., 0] * (a @ top))  # (2)


def slopes(v: Tensor, a: Tensor, target: Tensor, top: Tensor) -> tuple[Tensor, Tensor]:
    """(grad_v L, grad_a L)."""
    phi, length = angle(v, target), v.norm(dim=-1, keepdim=True)
    for_a = OWN * a + (a.sum(-1, keepdim=True) - top.sum()) / (2 * pi) - shared(phi) * top
    aside = target - phi.cos() * v / length
    return -(a @ top)[..., None] * (pi - phi) / (2 * pi) * aside / length, for_a  # (3)


def bad_top(top: Tensor) -> Tensor:
    """(4): the top with which the opposite filter does best."""
    k = len(top)
    ones, one = torch.ones(k, k, dtype=top.dtype), torch.eye(k, dtype=top.dtype)
    return torch.linalg.solve(OWN * one + ones / (2 * pi), (ones - one) @ top / (2 * pi))  # (4)


@final
class Filters:
    """Descent by (3) from many random starts at once."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        draw = generator(setup.seed, "teacher")
        self.target = torch.randn(setup.dimensions, generator=draw, dtype=torch.float64)
        self.target /= self.target.norm()
        drawn = torch.randn(setup.patches, generator=draw, dtype=torch.float64)
        self.top = torch.ones_like(drawn) if setup.teacher == "equal" else drawn
        draw = generator(setup.seed, "starts")
        v = torch.randn(setup.starts, setup.dimensions, generator=draw, dtype=torch.float64)
        a = torch.randn(setup.starts, setup.patches, generator=draw, dtype=torch.float64)
        self.v = v / v.norm(dim=1, keepdim=True)
        # a ball of the radius that the theorem takes
        self.a = a / a.norm(dim=1, keepdim=True) * self.top.sum().abs() / setup.patches**0.5 * torch.rand(
            setup.starts, 1, generator=draw, dtype=torch.float64)
        self.seen: list[list[float]] = []

    def step(self, i: int) -> Record:
        for _ in range(self.setup.inner):
            for_v, for_a = slopes(self.v, self.a, self.target, self.top)
            self.v, self.a = self.v - self.setup.lr * for_v, self.a - self.setup.lr * for_a
        phi, losses = angle(self.v, self.target)[:, 0], loss(self.v, self.a, self.target, self.top)
        self.seen.append(phi.tolist())
        return {"loss_best": losses.min(), "loss_worst": losses.max(), "angle_best": phi.min(),
                "angle_worst": phi.max(), "share_arrived": self.arrived().double().mean()}

    def arrived(self) -> Tensor:
        """Whether each start has a loss below 1e-6, (starts,)."""
        return loss(self.v, self.a, self.target, self.top) < 1e-6

    def state(self) -> dict[str, Any]:
        return {"v": self.v, "a": self.a, "seen": [list(row) for row in self.seen]}

    def restore(self, state: dict[str, Any]) -> None:
        self.v, self.a, self.seen = state["v"].clone(), state["a"].clone(), [list(row) for row in state["seen"]]

    def pictures(self) -> dict[str, np.ndarray]:
        """The angle of every start by step; success after r restarts, counted and foreseen."""
        if not self.seen:
            return {}
        figure = sheet(900, 370)
        left, right = figure.subplots(1, 2, width_ratios=[1.4, 1])
        steps, done = self.setup.inner * np.arange(1, len(self.seen) + 1), self.arrived()
        for row, good in zip(np.array(self.seen).T, done.tolist(), strict=True):
            left.semilogx(steps, row, color=BLUE if good else RED, linewidth=1, alpha=0.6)
        left.set_yticks([0, pi / 2, pi], ["0", "π/2", "π"])
        left.text(0.68, 0.25, f"{int(done.sum())} / {len(done)} arrive / 到達", transform=left.transAxes, color=BLUE)
        quiet(left, "Two fates of one filter / フィルタの二つの結末", "step / ステップ", "angle φ / 教師との角度")
        times = np.arange(1, 9)
        right.plot(times, 1 - (1 - float(done.double().mean())) ** times, "--", color=GREY, label="1 − (1 − p)ʳ")
        right.plot(times, [with_restarts(done, r) for r in range(1, 9)], "o", color=BLUE, label="counted / 測定")
        right.set_ylim(0, 1.05)
        quiet(right, "Success with restarts / 再出発での成功率", "starts r / 出発の回数")
        right.legend(fontsize=9, loc="lower right")
        return {"convolution_filter": pixels(figure)}


def with_restarts(done: Tensor, r: int) -> float:
    """The share of groups of r starts, one after the other, of which at least one arrived."""
    groups = done[: len(done) // r * r].view(-1, r) if len(done) >= r else done[None]
    return float(groups.any(1).double().mean())


@cache
def _end(teacher: Literal["random", "equal"] = "random", starts: int = 600) -> Filters:
    program = Filters(replace(Setup(), teacher=teacher, starts=starts, steps=1, inner=400))
    program.step(0)
    return program


def both_fates_are_seen() -> Check:
    """Of 50 random starts with 10 patches at least 1 and at most 49 end with a loss below 1e-6.

    Source: Du, Lee, Tian, Poczos, Singh 2017, theorems 3.1 and 4.1: both with positive probability
    """
    return Check(float(_end(starts=50).arrived().sum()), 1.0, 49.0)


def the_bad_end_is_the_foreseen_one() -> Check:
    """Each of 600 starts that fails ends with the loss of the opposite filter and the top (4), to 1e-5.

    Source: equation (4). The last of the way is slow: the force falls as (pi - phi)^2
    """
    program = _end()
    bad = loss(-program.target, bad_top(program.top), program.target, program.top)
    failed = loss(program.v, program.a, program.target, program.top)[~program.arrived()]
    return at_most(float((failed - bad).abs().max()) if len(failed) else 1.0, 1e-5)


def no_neighbour_of_the_bad_end_is_lower() -> Check:
    """Of 10,000 random neighbours about 0.3 away from that point 0 have a smaller loss.

    Source: equation (3): a a* < 0 there
    """
    program, draw = _end(), generator(0, "near")
    a = bad_top(program.top)
    near_v = -program.target + 0.1 * torch.randn(10_000, 8, generator=draw, dtype=torch.float64)
    near_a = a + 0.1 * torch.randn(10_000, 10, generator=draw, dtype=torch.float64)
    here = loss(-program.target, a, program.target, program.top)
    return exactly(float((loss(near_v, near_a, program.target, program.top) < here - 1e-12).sum()), 0.0)


def restarts_help_as_foreseen() -> Check:
    """For r = 1 to 6 the share of groups of r starts with a success is 1 - (1 - p)^r within 3 standard deviations.

    Source: independent starts; p from 600 of them
    """
    done = _end().arrived()
    p, worst = float(done.double().mean()), 0.0
    for r in range(1, 7):
        told, groups = 1 - (1 - p) ** r, 600 // r
        worst = max(worst, abs(with_restarts(done, r) - told) / (told * (1 - told) / groups) ** 0.5)
    return at_most(worst, 3.0)


def the_loss_is_the_mean_over_patches() -> Check:
    """For a random student the mean over 50,000 inputs of 10 patches is (2) within 4 standard errors.

    Source: equation (2)
    """
    program = Filters(Setup())
    Z = torch.randn(50_000, 10, 8, generator=generator(0, "inputs"), dtype=torch.float64)
    wrong = (Z @ program.v[0]).clamp(min=0) @ program.a[0] - (Z @ program.target).clamp(min=0) @ program.top
    each = wrong.square() / 2
    exact = loss(program.v[0], program.a[0], program.target, program.top)
    return at_most(float((each.mean() - exact).abs() / (each.std() / len(each) ** 0.5)), 4.0)


def equal_tops_have_no_bad_end() -> Check:
    """With all a*_j equal (4) has a a* > 0, and all of 600 random starts arrive.

    Source: Du, Lee, Tian, Poczos, Singh 2017: the condition on (1a*)^2 and |a*|^2
    """
    program = _end("equal")
    agrees = float(bad_top(program.top) @ program.top) > 0 > float(bad_top(_end().top) @ _end().top)
    return exactly(float(program.arrived().sum()) if agrees else -1.0, 600.0)


CARD = Card(
    name="One convolutional filter, two fates",
    name_ja="畳み込みフィルタの局所解と再出発",
    paper="Du, Lee, Tian, Poczos, Singh 2017, Gradient descent learns one-hidden-layer CNN: don't be afraid of "
          "spurious local minima, arXiv:1712.00779",
    equations=(
        r"f(Z) = \sum_j a_j\,s(w^T Z_j),\quad w = v / |v|",
        r"L = \frac{c}{2}(|a|^2 + |a^*|^2) + \frac{(1^T a - 1^T a^*)^2}{4\pi}"
        r" - \left(g(\phi) - \frac{1}{2\pi}\right) a^T a^*",
        r"\nabla_v L = -\frac{a^T a^* (\pi - \phi)}{2\pi}\,\frac{w^* - \cos\phi\,w}{|v|}",
        r"a = \left(c I + \frac{1 1^T}{2\pi}\right)^{-1}\frac{(1 1^T - I)\,a^*}{2\pi}",
    ),
    summary="A filter ends at its teacher or at a bad minimum known in closed form; a few restarts are enough.",
    summary_ja="フィルタは教師に着くか、閉形式で分かる悪い極小点に着く。何度か再出発すれば足りる。",
    topics=("theory.du-cnn",),
    facts=(
        both_fates_are_seen,
        the_bad_end_is_the_foreseen_one,
        no_neighbour_of_the_bad_end_is_lower,
        restarts_help_as_foreseen,
        the_loss_is_the_mean_over_patches,
        equal_tops_have_no_bad_end,
    ),
    notes=("The slide omits that the filter is normalised and that the probability depends on the teacher.",
           "The assumptions are strong, as the seminar says: Gaussian patches that do not overlap, and no noise."),
    notes_ja=("スライドは、フィルタが正規化されること、確率が教師の (1a*)^2 と |a*|^2 によることを省いている。",
              "セミナーで「仮定が強い」と言われるとおり、重ならないガウス分布のパッチで、雑音もない。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Students of one teacher."""

    patches: int = 10
    """patches k"""
    dimensions: int = 8
    """pixels of a patch and of the filter"""
    teacher: Literal["random", "equal"] = "random"
    """a* of the teacher; random: Gaussian, equal: all ones"""
    starts: int = 200
    """random starts, all at once"""
    lr: float = 0.3
    """step size"""
    steps: int = 80
    """recorded steps"""
    inner: int = 5
    """steps of descent in each"""
    seed: int = 0
    """of the teacher and the starts"""


VARIANTS = {
    "smoke": Setup(starts=20, steps=60, inner=2),
    "default": Setup(),
    "equal": Setup(teacher="equal"),
    "fifty": Setup(starts=50),
}


def build(setup: Setup, place: Place = Place()) -> Filters:  # noqa: B008 - a frozen value
    """The descents, in float64 on the CPU."""
    in_range(setup, ("patches", "dimensions", "starts", "lr", "steps", "inner"))
    return Filters(setup)
