r"""Eight functions of two variables on which a descent can be watched, with gradients by hand and known minima.

    bowl            x^2/2 + 5 y^2                                                        (1)
    ravine          (u^2 + 100 v^2)/2,   u = x cos 30 + y sin 30,  v = y cos 30 - x sin 30  (2)
    Rosenbrock      (1 - x)^2 + 100 (y - x^2)^2                                          (3)
    Beale           (1.5 - x + x y)^2 + (2.25 - x + x y^2)^2 + (2.625 - x + x y^3)^2     (4)
    Himmelblau      (x^2 + y - 11)^2 + (x + y^2 - 7)^2                                   (5)
    Rastrigin       20 + x^2 + y^2 - 10 cos 2 pi x - 10 cos 2 pi y                       (6)
    saddle          x^2 - y^2 + y^4/4                                                    (7)
    monkey saddle   x^3 - 3 x y^2 + 3 (x^2 + y^2)^2 / 4                                  (8)

Each is hard in a way of its own: different curvatures (1), not along the axes (2), a bent valley (3), a plain with a
cliff (4), four equal minima (5), about a hundred false ones (6), a place where the gradient is 0 and which is no
minimum (7), and one where the second derivatives are 0, too (8). The surprise is (6): of 1,681 starts on a grid nine
find the lowest point downhill.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import cos, pi, radians, sin, sqrt

import torch
from torch import Tensor

from shinso.core.card import Card, Check, about, at_least, at_most, exactly

Point = tuple[float, float]


@dataclass(frozen=True)
class Landscape:
    """One function: how high it is and how steep, where its minima are, and from where it is raced."""

    title: str
    """as it is read in a picture"""
    height: Callable[[Tensor], Tensor]
    """points (..., 2) -> (...)"""
    slope: Callable[[Tensor], Tensor]
    """the gradient by hand, (..., 2) -> (..., 2)"""
    roughly: tuple[Point, ...]
    """its global minima, to six digits at least"""
    start: Point
    window: tuple[float, float, float, float]
    """what a picture shows: left, right, bottom, top"""
    tolerance: float
    """a race is over this far above the minimum"""
    steps: int
    """enough for a good method"""
    saddles: tuple[Point, ...] = field(default=())
    """marked places where the gradient is 0 and which are no minima"""

    @cached_property
    def minima(self) -> Tensor:
        """The global minima (n, 2) in float64, made exact by three of Newton's steps."""
        points = torch.tensor(self.roughly, dtype=torch.float64)
        for _ in range(3):
            points = torch.stack([w - torch.linalg.solve(curvature(self, w), self.slope(w)) for w in points])
        return points

    @cached_property
    def lowest(self) -> float:
        """The height of the minima."""
        return float(self.height(self.minima).min())


def curvature(landscape: Landscape, w: Tensor) -> Tensor:
    """The matrix of second derivatives (2, 2) at w (2,), the derivative of the gradient by hand."""
    return torch.autograd.functional.jacobian(landscape.slope, w)  # pyright: ignore - one tensor in, one out


def _apart(w: Tensor) -> tuple[Tensor, Tensor]:
    return w[..., 0], w[..., 1]


def _bowl(w: Tensor) -> Tensor:
    x, y = _apart(w)
    return x**2 / 2 + 5 * y**2  # (1)


def _bowl_slope(w: Tensor) -> Tensor:
    return w * w.new_tensor([1.0, 10.0])


COS, SIN = cos(radians(30)), sin(radians(30))


def _ravine(w: Tensor) -> Tensor:
    x, y = _apart(w)
    return ((x * COS + y * SIN) ** 2 + 100 * (y * COS - x * SIN) ** 2) / 2  # (2)


def _ravine_slope(w: Tensor) -> Tensor:
    x, y = _apart(w)
    u, v = x * COS + y * SIN, 100 * (y * COS - x * SIN)
    return torch.stack([u * COS - v * SIN, u * SIN + v * COS], -1)


def _rosenbrock(w: Tensor) -> Tensor:
    x, y = _apart(w)
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2  # (3)


def _rosenbrock_slope(w: Tensor) -> Tensor:
    x, y = _apart(w)
    off = y - x**2
    return torch.stack([-2 * (1 - x) - 400 * x * off, 200 * off], -1)


def _beale(w: Tensor) -> Tensor:
    x, y = _apart(w)
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2  # (4)


def _beale_slope(w: Tensor) -> Tensor:
    x, y = _apart(w)
    a, b, c = 1.5 - x + x * y, 2.25 - x + x * y**2, 2.625 - x + x * y**3
    across = 2 * a * (y - 1) + 2 * b * (y**2 - 1) + 2 * c * (y**3 - 1)
    return torch.stack([across, 2 * x * (a + 2 * b * y + 3 * c * y**2)], -1)


def _himmelblau(w: Tensor) -> Tensor:
    x, y = _apart(w)
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2  # (5)


def _himmelblau_slope(w: Tensor) -> Tensor:
    x, y = _apart(w)
    p, q = x**2 + y - 11, x + y**2 - 7
    return torch.stack([4 * x * p + 2 * q, 2 * p + 4 * y * q], -1)


def _rastrigin(w: Tensor) -> Tensor:
    return 20 + (w**2 - 10 * (2 * pi * w).cos()).sum(-1)  # (6)


def _rastrigin_slope(w: Tensor) -> Tensor:
    return 2 * w + 20 * pi * (2 * pi * w).sin()


def _saddle(w: Tensor) -> Tensor:
    x, y = _apart(w)
    return x**2 - y**2 + y**4 / 4  # (7)


def _saddle_slope(w: Tensor) -> Tensor:
    x, y = _apart(w)
    return torch.stack([2 * x, y**3 - 2 * y], -1)


def _monkey(w: Tensor) -> Tensor:
    x, y = _apart(w)
    return x**3 - 3 * x * y**2 + 0.75 * (x**2 + y**2) ** 2  # (8)


def _monkey_slope(w: Tensor) -> Tensor:
    x, y = _apart(w)
    square = 3 * (x**2 + y**2)
    return torch.stack([3 * x**2 - 3 * y**2 + square * x, square * y - 6 * x * y], -1)


HALF_ROOT = sqrt(3) / 2
LANDSCAPES = {
    "bowl": Landscape("x²/2 + 5y²", _bowl, _bowl_slope, ((0, 0),), (4, 1), (-4.6, 4.6, -2.3, 2.3), 1e-6, 160),
    "ravine": Landscape("ravine / 谷", _ravine, _ravine_slope, ((0, 0),), (-3.4, -1.1), (-4.2, 2.4, -2.6, 1.6), 1e-6,
                        200),
    "rosenbrock": Landscape("Rosenbrock", _rosenbrock, _rosenbrock_slope, ((1, 1),), (-1.2, 1), (-2, 2, -0.8, 2.2),
                            1e-3, 600),
    "beale": Landscape("Beale", _beale, _beale_slope, ((3, 0.5),), (1, 1), (-0.3, 4.5, -1.3, 1.7), 1e-4, 300),
    "himmelblau": Landscape(
        "Himmelblau", _himmelblau, _himmelblau_slope,
        ((3, 2), (-2.805118, 3.131313), (-3.779310, -3.283186), (3.584428, -1.848127)),
        (0, -1), (-6, 6, -5.2, 5.2), 1e-6, 120),
    "rastrigin": Landscape("Rastrigin", _rastrigin, _rastrigin_slope, ((0, 0),), (3.3, -2.4), (-5.2, 5.2, -4.6, 4.6),
                           1e-4, 150),
    "saddle": Landscape("saddle / 鞍点  x² - y² + y⁴/4", _saddle, _saddle_slope, ((0, -1.414214), (0, 1.414214)),
                        (1.6, 0.001), (-2.1, 2.1, -2, 2), 1e-6, 120, ((0, 0),)),
    "monkey_saddle": Landscape(
        "monkey saddle / モンキーサドル", _monkey, _monkey_slope, ((-1, 0), (0.5, HALF_ROOT), (0.5, -HALF_ROOT)),
        (1.1, 0.01), (-1.6, 1.6, -1.4, 1.4), 1e-6, 200, ((0, 0),)),
}  # fmt: skip
"""by the name that is typed"""


def drawn(landscape: Landscape, count: int, seed: int = 0) -> Tensor:
    """`count` points of its window (count, 2), float64."""
    left, right, bottom, top = landscape.window
    share = torch.rand(count, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return share * share.new_tensor([right - left, top - bottom]) + share.new_tensor([left, bottom])


def _least_and_most(name: str, w: Tensor) -> Tensor:
    return torch.linalg.eigvalsh(curvature(LANDSCAPES[name], w))


def slopes_are_derivatives() -> Check:
    """Each gradient by hand is the derivative of its formula at 500 points: the largest relative difference.

    Source: reverse-mode differentiation of (1) to (8)
    """
    worst = 0.0
    for landscape in LANDSCAPES.values():
        w = drawn(landscape, 500).requires_grad_()
        landscape.height(w).sum().backward()
        assert w.grad is not None  # noqa: S101 - for the type checker
        size = w.grad.norm(dim=-1) + 1
        worst = max(worst, float(((landscape.slope(w.detach()) - w.grad).norm(dim=-1) / size).max()))
    return at_most(worst, 1e-13)


def minima_are_flat() -> Check:
    """At all 14 minima the gradient is 0: its largest norm.

    Source: the literature's places, with Newton's last digits
    """
    slopes = [landscape.slope(landscape.minima) for landscape in LANDSCAPES.values()]
    if sum(len(slope) for slope in slopes) != 14:
        return at_most(float("inf"), 0)
    return at_most(max(float(slope.norm(dim=-1).max()) for slope in slopes), 1e-12)


def minima_curve_upwards() -> Check:
    """At all of them both curvatures are above 0.3: the smallest one.

    Source: the second-order condition of a minimum
    """
    return at_least(min(float(_least_and_most(name, w)[0]) for name, landscape in LANDSCAPES.items()
                        for w in landscape.minima), 0.3)


def nothing_is_lower() -> Check:
    """None of 20,000 points of each window lies below the minima: the smallest height above them.

    Source: the minima are global
    """
    return at_least(min(float(landscape.height(drawn(landscape, 20_000)).min()) - landscape.lowest
                        for landscape in LANDSCAPES.values()), 0.0)


def the_ravine_is_a_turned_bowl() -> Check:
    """The ravine's largest curvature is 100 times its smallest, and neither lies along an axis.

    Source: equation (2)
    """
    matrix = curvature(LANDSCAPES["ravine"], torch.zeros(2, dtype=torch.float64))
    low, high = torch.linalg.eigvalsh(matrix).tolist()
    return about(high / low if abs(float(matrix[0, 1])) > 40 else 0.0, 100.0, 1e-9)


def rosenbrock_is_ill_conditioned() -> Check:
    """At its minimum Rosenbrock's curvatures are the roots of t^2 - 1002 t + 400: their ratio is 2508.

    Source: Rosenbrock 1960; the Hessian there is (802, -400; -400, 200)
    """
    low, high = _least_and_most("rosenbrock", LANDSCAPES["rosenbrock"].minima[0]).tolist()
    root = sqrt(501**2 - 400)
    return about(high / low, (501 + root) / (501 - root), 1e-6)


def the_saddle_is_strict() -> Check:
    """At the saddle the gradient is 0 and the smallest curvature is -2.

    Source: equation (7); strict saddle as in Ge, Huang, Jin and Yuan 2015
    """
    zero = torch.zeros(2, dtype=torch.float64)
    flat = float(LANDSCAPES["saddle"].slope(zero).norm()) == 0
    return exactly(float(_least_and_most("saddle", zero)[0]) if flat else 0.0, -2.0)


def the_monkey_saddle_is_degenerate() -> Check:
    """At the monkey saddle all second derivatives are 0, and around it the function rises and falls 3 times.

    Source: equation (8); x^3 - 3 x y^2 is r^3 cos 3 a
    """
    zero = torch.zeros(2, dtype=torch.float64)
    angle = torch.arange(360, dtype=torch.float64) * (pi / 180) + 0.01
    around = LANDSCAPES["monkey_saddle"].height(1e-3 * torch.stack([angle.cos(), angle.sin()], -1)) > 0
    changes = int((around != around.roll(1)).sum())
    flat = float(curvature(LANDSCAPES["monkey_saddle"], zero).abs().max()) == 0
    return exactly(changes / 2 if flat else 0, 3)


def few_starts_find_the_lowest() -> Check:
    """Downhill on Rastrigin's function, 9 of 1,681 starts on a grid over [-5.12, 5.12] reach the global minimum.

    Source: (6) is a sum of two functions of one variable; the basin of 0 ends where the slope turns, near 0.503
    """
    line = torch.linspace(-5.12, 5.12, 41, dtype=torch.float64)
    w = torch.cartesian_prod(line, line)
    for _ in range(400):
        w = w - 0.001 * LANDSCAPES["rastrigin"].slope(w)
    return exactly(int((w.norm(dim=-1) < 1e-6).sum()), 9)


CARD = Card(
    name="Landscapes of descent",
    name_ja="降下法を競う地形",
    paper="Beale 1958; Rosenbrock 1960, doi:10.1093/comjnl/3.3.175; Himmelblau 1972; Rastrigin 1974",
    equations=(
        r"\frac{x^2}{2} + 5 y^2",
        r"\frac{u^2 + 100\,v^2}{2},\quad u = x\cos 30° + y\sin 30°,\quad v = y\cos 30° - x\sin 30°",
        r"(1 - x)^2 + 100\,(y - x^2)^2",
        r"(1.5 - x + x y)^2 + (2.25 - x + x y^2)^2 + (2.625 - x + x y^3)^2",
        r"(x^2 + y - 11)^2 + (x + y^2 - 7)^2",
        r"20 + x^2 + y^2 - 10\cos 2\pi x - 10\cos 2\pi y",
        r"x^2 - y^2 + \frac{y^4}{4}",
        r"x^3 - 3 x y^2 + \frac{3}{4}(x^2 + y^2)^2",
    ),
    summary="Eight functions of two variables, each hard for a descent in its own way, with gradients and minima.",
    summary_ja="それぞれ違う難しさを持つ、二変数の八つの関数。手で求めた勾配と、知られている最小点をそえた。",
    topics=(),
    facts=(slopes_are_derivatives, minima_are_flat, minima_curve_upwards, nothing_is_lower,
           the_ravine_is_a_turned_bowl, rosenbrock_is_ill_conditioned, the_saddle_is_strict,
           the_monkey_saddle_is_degenerate, few_starts_find_the_lowest),
    notes=("x^2 - y^2 and x^3 - 3 x y^2 alone have no minimum, so a race on them never ends: the terms of fourth order "
           "in (7) and (8) give them one and leave the saddle as it is.",),
    notes_ja=("x^2 - y^2 と x^3 - 3 x y^2 だけでは最小点がなく、競走が終わらない。"
              "(7) と (8) の四次の項は、鞍点をそのままにして最小点を与える。",),
)
