r"""The landscape of a loss, by activation: the same network, the same data, another bend.

A network of three layers - one input, two hidden units, one output -

    y(x) = f(w_1 x - c) + f(w_2 x - c)                        (1)
    L(w_1, w_2) = 1/(2n) sum_i (y(x_i) - t_i)^2               (2)
    dL/dw_j = 1/n sum_i (y(x_i) - t_i) f'(w_j x_i - c) x_i    (3)

with c held and targets t from weights w* = (3, 1) of its own, so that the lowest point is known to be 0, and there are
two of them, (3, 1) and (1, 3): the units can be exchanged. Everything is a landscape over a plane, and gradient descent
walks in it from many starts at once.

The surprise is the lower left corner. For inputs that are all positive, as brightness is, a ReLU with w_j x <= c
at the largest x is silent on all data; where both units are, (3) is exactly 0 and a start stays where it is for ever.
Sigmoid and tanh are nearly flat there, never quite; a LeakyReLU always feels its way out; a step is flat everywhere.
Close to a lowest point every smooth one looks alike, since a squared error is nearly

    L(w* + d) = 1/2 d^T H d,  H = 1/n sum_i s_i s_i^T,  s_i = (f'(w*_1 x_i - c), f'(w*_2 x_i - c)) x_i    (4)

an ellipse. The pictures also show every activation of the course with its derivative.

Rosenblatt 1958 (the step); Rumelhart, Hinton, Williams 1986; Maas, Hannun, Ng 2013; Clevert et al. 2016.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, final

import numpy as np

from shinso.autodiff.byhand.elu import ELU
from shinso.autodiff.byhand.leaky_relu import LeakyReLU
from shinso.autodiff.byhand.relu import ReLU
from shinso.autodiff.byhand.sigmoid import Sigmoid
from shinso.autodiff.byhand.step import Step
from shinso.autodiff.byhand.tanh import Tanh
from shinso.basics._gallery import Activation, gallery
from shinso.core.axes import RED, quiet
from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import derive
from shinso.core.setup import in_range

ACTIVATIONS: dict[str, Callable[[], Activation]] = {
    "step": Step, "sigmoid": Sigmoid, "tanh": Tanh, "relu": ReLU, "leaky_relu": LeakyReLU, "elu": ELU,
}  # fmt: skip
BEST = np.array([3.0, 1.0])
"""w* of the targets"""
REACH = 5.0
"""the plane is [-5, 5] x [-5, 5]"""


@final
class Landscape:
    """(2) and (3) over the plane, for one activation and inputs x (n,)."""

    def __init__(self, name: str, x: np.ndarray, c: float):
        self.x, self.c, self.activation = x, c, ACTIVATIONS[name]()
        self.target = self.answers(BEST)

    def answers(self, w: np.ndarray) -> np.ndarray:
        """y for weights (..., 2): (..., n)."""
        return self.activation.forward(w[..., None] * self.x - self.c).sum(-2)  # (1)

    def slope(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The loss (...) and its gradient (..., 2) at weights (..., 2)."""
        error = self.answers(w) - self.target
        back = self.activation.backward(np.broadcast_to(error[..., None, :], (*w.shape, len(self.x))))
        return (error**2).mean(-1) / 2, (back * self.x).mean(-1)  # (2), (3)


def inputs(n: int, seed: int) -> np.ndarray:
    """n positive inputs, uniform on [0.1, 2]."""
    return np.random.default_rng(derive(seed, "inputs")).uniform(0.1, 2, n)


def plane(side: int) -> np.ndarray:
    """The weights of a grid of side x side cells, each in its middle: (side, side, 2)."""
    middle = REACH * ((2 * np.arange(side) + 1) / side - 1)
    return np.stack(np.meshgrid(middle, middle), -1)


def flat(slope: np.ndarray) -> np.ndarray:
    """Where the gradient (..., 2) is zero, exactly: bool (...)."""
    return (slope == 0).all(-1)


@final
class Descents:
    """Gradient descent on every landscape at once, from a grid of starts."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        x = inputs(setup.examples, setup.seed)
        self.landscapes = {name: Landscape(name, x, setup.threshold) for name in ACTIVATIONS}
        self.w = {name: plane(setup.starts).reshape(-1, 2) for name in ACTIVATIONS}
        self.done = 0

    def step(self, i: int) -> Record:
        losses, still = {}, {}
        for name, landscape in self.landscapes.items():
            loss, slope = landscape.slope(self.w[name])
            self.w[name] = self.w[name] - self.setup.lr * slope
            losses[f"loss_{name}"], still[f"still_{name}"] = float(loss.mean()), float(flat(slope).mean())
        self.done = i + 1
        return {**losses, "still_step": still["still_step"], "still_relu": still["still_relu"],
                "still_leaky_relu": still["still_leaky_relu"]}

    def state(self) -> dict[str, Any]:
        return {"w": dict(self.w), "done": self.done}

    def restore(self, state: dict[str, Any]) -> None:
        self.w, self.done = {name: np.array(state["w"][name]) for name in self.w}, state["done"]

    def pictures(self) -> dict[str, np.ndarray]:
        """The landscapes with the ways down so far, and all activations of the course."""
        return {"landscapes": _landscapes(self), "activations": gallery()}


def _landscapes(program: Descents) -> np.ndarray:
    figure = sheet(900, 640)
    paths = _paths(program)
    for axes, (name, landscape) in zip(figure.subplots(2, 3).flat, program.landscapes.items(), strict=True):
        w = plane(120)
        loss, slope = landscape.slope(w)
        across = w[0, :, 0]
        axes.contourf(across, across, np.log10(loss + 1e-4), 24, cmap="YlGnBu_r")
        dead = flat(slope)
        if dead.any():
            axes.contourf(across, across, dead.astype(float), [0.5, 1.5], colors="none", hatches=["////"])
        axes.plot(*paths[name].transpose(2, 0, 1), color="white", linewidth=0.8)
        moved = (paths[name][0] != paths[name][-1]).any(-1)
        axes.plot(*paths[name][-1][moved].T, ".", color=RED, markersize=5)
        axes.plot(*paths[name][-1][~moved].T, "x", color="black", markersize=5)
        axes.plot(*np.stack([BEST, BEST[::-1]]).T, "*", color="gold", markeredgecolor="black", markersize=11)
        axes.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), aspect="equal")
        quiet(axes, f"{name}: {dead.mean():.0%} flat / 平坦", "w1", "w2").grid(visible=False)
    return pixels(figure)


def _paths(program: Descents) -> dict[str, np.ndarray]:
    """The ways from the starts to where the program is, walked again: (points on the way, starts, 2) each."""
    again = Descents(program.setup)
    found = {name: [w] for name, w in again.w.items()}
    for i in range(program.done):
        again.step(i)
        if i % max(1, program.done // 100) == 0 or i == program.done - 1:
            for name, w in again.w.items():
                found[name].append(w)
    return {name: np.stack(ways) for name, ways in found.items()}


@cache
def _measured(name: str, side: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Loss and gradient over the plane, with the default network."""
    return Landscape(name, inputs(Setup().examples, 0), Setup().threshold).slope(plane(side))


def gradient_is_the_slope() -> Check:
    """(3) agrees with central differences of (2) for the four smooth activations: the largest difference.

    Source: the chain rule
    """
    worst, w, h = 0.0, plane(9).reshape(-1, 2), 1e-5
    for name in ("sigmoid", "tanh", "elu", "leaky_relu"):
        landscape = Landscape(name, inputs(20, 3), 0.5)
        _, slope = landscape.slope(w)
        for j in range(2):
            up, down = (landscape.slope(w + sign * h * np.eye(2)[j])[0] for sign in (1, -1))
            worst = max(worst, float(np.abs((up - down) / (2 * h) - slope[:, j]).max()))
    return at_most(worst, 1e-8)


def only_relu_and_step_have_no_gradient() -> Check:
    """Of 6,400 points the share with a gradient of 0 is 0 for sigmoid, tanh, LeakyReLU and ELU: their sum.

    Source: their derivatives are positive everywhere
    """
    return exactly(sum(float(flat(_measured(name)[1]).mean()) for name in ("sigmoid", "tanh", "leaky_relu", "elu")), 0)


def relu_is_flat_where_both_units_are_silent() -> Check:
    """For ReLU it is exactly the square w_1, w_2 <= c / max x, more than a quarter of the plane.

    Source: w x <= c for all x in the data
    """
    edge = Setup().threshold / inputs(Setup().examples, 0).max()
    silent, w = flat(_measured("relu")[1]), plane(80)
    return at_least(float(silent.mean()) if (silent == (w <= edge).all(-1)).all() else 0.0, 0.25)


def the_step_is_flat_everywhere() -> Check:
    """For the step it is the whole plane: the share is 1.

    Source: its derivative is 0
    """
    return exactly(float(flat(_measured("step")[1]).mean()), 1)


def tanh_is_nearly_flat() -> Check:
    """In the corner (-5, -5) the gradient of tanh is below a fiftieth of its largest, and above 0.

    Source: 1 - tanh(u)^2 falls like 4 exp(-2 |u|)
    """
    size = np.linalg.norm(_measured("tanh")[1], axis=-1)
    return Check(float(size[0, 0] / size.max()), 1e-6, 0.02)


def an_ellipse_near_the_lowest_point() -> Check:
    """At a distance of 1e-4 from w* the loss is that of (4) to a thousandth, for sigmoid, tanh and ELU.

    Source: equation (4): the part with the second derivative is multiplied by an error of 0
    """
    around = 1e-4 * np.stack([np.cos(turn := np.linspace(0, 6, 25)), np.sin(turn)], -1)
    worst = 0.0
    for name in ("sigmoid", "tanh", "elu"):
        land = Landscape(name, inputs(40, 0), 0.5)
        land.answers(BEST)
        s = land.activation.backward(np.ones((2, 40))) * land.x
        ellipse = ((around @ s) ** 2).mean(-1) / 2
        worst = max(worst, float(np.abs(land.slope(BEST + around)[0] / ellipse - 1).max()))
    return at_most(worst, 1e-3)


def not_a_circle() -> Check:
    """It is no circle: the axes of tanh's ellipse differ by a factor above 2.

    Source: the square root of the condition number of H in (4)
    """
    land = Landscape("tanh", inputs(40, 0), 0.5)
    land.answers(BEST)
    s = land.activation.backward(np.ones((2, 40))) * land.x
    return at_least(float(np.sqrt(np.linalg.cond(s @ s.T))), 2)


def units_can_be_exchanged() -> Check:
    """L(w_1, w_2) = L(w_2, w_1) to 1e-15, for all six: the largest difference.

    Source: equation (1)
    """
    return about(max(float(np.abs(_measured(name)[0] - _measured(name)[0].T).max()) for name in ACTIVATIONS), 0, 1e-15)


def silent_starts_stay() -> Check:
    """After 200 steps every ReLU start in the silent square is where it was, and no LeakyReLU start is.

    Source: equation (3) with f' = 0, and with f' = 0.01
    """
    program = Descents(Setup(steps=200))
    first = program.w["relu"]
    silent = (first <= Setup().threshold / program.landscapes["relu"].x.max()).all(-1)
    for i in range(program.total):
        program.step(i)
    stayed = [(program.w[name] == first).all(-1) for name in ("relu", "leaky_relu")]
    return exactly(int(np.sum(stayed[0] != silent)) + int(stayed[1].sum()), 0)


CARD = Card(
    name="Loss landscape by activation",
    name_ja="活性化関数と目的関数の形",
    paper="Rumelhart, Hinton, Williams 1986, Learning representations by back-propagating errors, Nature 323",
    equations=(
        r"y(x) = f(w_1 x - c) + f(w_2 x - c)",
        r"L(w_1, w_2) = \frac{1}{2n}\sum_i (y(x_i) - t_i)^2",
        r"\frac{\partial L}{\partial w_j} = \frac{1}{n}\sum_i (y(x_i) - t_i)\,f'(w_j x_i - c)\,x_i",
        r"L(w^* + d) \approx \frac{1}{2} d^T H d,\quad H = \frac{1}{n}\sum_i s_i s_i^T",
    ),
    summary="One small network under six activations: where its loss is flat, and where descent comes from there.",
    summary_ja="同じ小さなネットワークの損失を六つの活性化関数で比べる。どこが平坦で、そこから降りられるかを見る。",
    topics=("basics.activation-landscape",),
    facts=(
        gradient_is_the_slope,
        only_relu_and_step_have_no_gradient,
        relu_is_flat_where_both_units_are_silent,
        the_step_is_flat_everywhere,
        tanh_is_nearly_flat,
        an_ellipse_near_the_lowest_point,
        not_a_circle,
        units_can_be_exchanged,
        silent_starts_stay,
    ),
    notes=("The slides call the landscape circular near its lowest point; it is an ellipse, as round as H in (4).",),
    notes_ja=("スライドは最小点の近くが円形だと言うが、正しくは楕円で、丸さは (4) の H で決まる。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The data, the threshold that is held, and how gradient descent walks."""

    examples: int = 40
    """number of inputs, uniform on 0.1 to 2"""
    threshold: float = 0.5
    """c of both units; the larger, the larger the silent square of ReLU"""
    starts: int = 9
    """starts along each side of the plane"""
    lr: float = 0.4
    """learning rate"""
    steps: int = 1000
    """steps of gradient descent"""
    seed: int = 0
    """of the inputs"""


VARIANTS = {"smoke": Setup(steps=60), "default": Setup(), "no-threshold": Setup(threshold=0.0)}


def build(setup: Setup, place: Place = Place()) -> Descents:  # noqa: B008 - Place is frozen
    """All starts before their first step; it computes in float64 on the CPU wherever `place` is."""
    in_range(setup, ("examples", "starts", "lr", "steps"))
    return Descents(setup)
