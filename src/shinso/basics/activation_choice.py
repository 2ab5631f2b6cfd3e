r"""How to choose an activation: the same small networks with four of them, and what goes wrong in each.

Many networks of L narrow hidden layers start from the same weights, of standard deviation sqrt(2 / fan_in), and learn
two moons by gradient descent on the cross entropy of one logit,

    u_l = h_{l-1} W_l + b_l,  h_l = f(u_l)                                     (1)
    loss = mean_i log(1 + exp(u_i)) - t_i u_i                                  (2)
    delta_{L+1} = (sigma(u) - t)/n,  delta_l = (delta_{l+1} W_{l+1}^T) f'(u_l) (3)

The sigmoid's f' is at most 1/4, so with five layers next to nothing of (3) arrives at the first; tanh passes almost
all. ReLU passes all or nothing, and a unit for which

    f'(u_l(x_i)) = 0 for every x_i of the data                                 (4)

is dead: it has no gradient, so no step of its own can wake it. LeakyReLU has none of them. The surprise: dying is not a
matter of bad luck at the start alone. Descent itself kills units, with long steps more than twice as many as were dead
before, and a small network, which has none to spare, loses a whole layer and answers one constant. Long steps also
throw the piecewise linear ones out of all bounds, since they have none; limiting the length of the gradient,

    g <- g min(1, c / |g|)                                                     (5)

prevents it. The slides' advice: ReLU in hidden layers, with (5) if it diverges; LeakyReLU if a small network loses
units; sigmoid and tanh vanish. The measurement agrees but for one word: through five layers tanh does not vanish, it is
bounded and never dead, and at this size it is the best of the four.

Glorot, Bordes, Bengio 2011 (ReLU in deep networks); Maas, Hannun, Ng 2013; Pascanu, Mikolov, Bengio 2013 (clipping).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, final

import numpy as np

from shinso.autodiff.byhand.leaky_relu import LeakyReLU
from shinso.autodiff.byhand.relu import ReLU
from shinso.autodiff.byhand.sigmoid import Sigmoid
from shinso.autodiff.byhand.softplus import Softplus
from shinso.autodiff.byhand.tanh import Tanh
from shinso.basics._gallery import Activation
from shinso.core.axes import BLUE, GREEN, GREY, ORANGE, RED, quiet
from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import derive
from shinso.core.setup import in_range
from shinso.data.examples import open_data

ACTIVATIONS: dict[str, Callable[[], Activation]] = {
    "sigmoid": Sigmoid, "tanh": Tanh, "relu": ReLU, "leaky_relu": LeakyReLU,
}  # fmt: skip
COLOURS = {"sigmoid": RED, "tanh": ORANGE, "relu": BLUE, "leaky_relu": GREEN}
Layers = list[tuple[np.ndarray, np.ndarray]]
"""W (members, fan_in, fan_out) and b (members, 1, fan_out) of every layer"""


def first_layers(setup: "Setup") -> Layers:
    """The weights of all members, the same for every activation."""
    draw = np.random.default_rng(derive(setup.seed, "weights"))
    sizes = [2, *[setup.width] * setup.hidden, 1]
    return [(draw.normal(0, (2 / n) ** 0.5, (setup.members, n, m)), np.zeros((setup.members, 1, m)))
            for n, m in pairwise(sizes)]


@final
class Crowd:
    """Many networks side by side with one activation."""

    def __init__(self, name: str, layers: Layers):
        self.layers = layers
        self.bends = [ACTIVATIONS[name]() for _ in layers[1:]]

    def logits(self, x: np.ndarray) -> np.ndarray:
        """u for points (n, 2): (members, n)."""
        self.inputs = [np.broadcast_to(x, (len(self.layers[0][0]), *x.shape))]
        for (weight, bias), bend in zip(self.layers, self.bends, strict=False):
            self.inputs.append(bend.forward(self.inputs[-1] @ weight + bias))  # (1)
        weight, bias = self.layers[-1]
        return (self.inputs[-1] @ weight + bias)[..., 0]

    def gradients(self, x: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, Layers]:
        """The loss of each member (members,) and its gradient."""
        u, loss = self.logits(x), Softplus()
        value = (loss.forward(u) - t * u).mean(1)  # (2)
        delta = (loss.backward(np.ones_like(u)) - t)[..., None] / len(t)
        found: Layers = []
        for k in range(len(self.layers) - 1, -1, -1):
            found.append((self.inputs[k].swapaxes(1, 2) @ delta, delta.sum(1, keepdims=True)))
            if k:
                delta = self.bends[k - 1].backward(delta @ self.layers[k][0].swapaxes(1, 2))  # (3)
        return value, found[::-1]

    def descend(self, slopes: Layers, lr: float, clip: float) -> None:
        """One step; no member's gradient is longer than `clip`, unless that is 0."""
        factor = lr * (np.minimum(1, clip / np.maximum(lengths(slopes), 1e-300)) if clip else 1)  # (5)
        factor = np.reshape(factor, (-1, 1, 1))
        self.layers = [(weight - factor * dw, bias - factor * db)
                       for (weight, bias), (dw, db) in zip(self.layers, slopes, strict=True)]

    def dead(self, x: np.ndarray) -> np.ndarray:
        """Which units have slope 0 at every point of x: bool (members, hidden, width)."""
        self.logits(x)
        slopes = [bend.backward(np.ones_like(h)) for bend, h in zip(self.bends, self.inputs[1:], strict=True)]
        return np.stack([(slope == 0).all(1) for slope in slopes], 1)  # (4)


def lengths(slopes: Layers) -> np.ndarray:
    """The norm of each member's whole gradient: (members,)."""
    return np.sqrt(sum((part**2).sum((1, 2)) for pair in slopes for part in pair))


def carried(slopes: Layers) -> float:
    """The norm of the first weights' gradient divided by that of the last, in the median member; no gradient is 0."""
    first, last = (np.nan_to_num(np.sqrt((slopes[k][0] ** 2).sum((1, 2))), nan=0, posinf=0) for k in (0, -1))
    return float(np.median(first / np.maximum(last, 1e-300)))


def bounded(loss: np.ndarray) -> float:
    """The mean, where a member that has left all bounds counts as 10."""
    return float(np.minimum(np.nan_to_num(loss, nan=10, posinf=10), 10).mean())


@cache
def moons(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 2) of mean 0 and deviation 1, and their class 0 or 1."""
    data = open_data("two-moons:300")
    train = np.asarray(data.train.inputs, float)
    part = getattr(data, split)
    return (np.asarray(part.inputs, float) - train.mean(0)) / train.std(0), np.asarray(part.targets, float)


@final
class Comparison:
    """All members of all four activations; one step moves every one of them."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        self.rhythm = 50
        self.crowds = {name: Crowd(name, first_layers(setup)) for name in ACTIVATIONS}

    def step(self, i: int) -> Record:
        x, t = moons("train")
        losses, shares = {}, {}
        with np.errstate(over="ignore", invalid="ignore"):  # without (5) a member may leave all bounds
            for name, crowd in self.crowds.items():
                loss, slopes = crowd.gradients(x, t)
                losses[f"loss_{name}"], shares[f"carried_{name}"] = bounded(loss), carried(slopes)
                crowd.descend(slopes, self.setup.lr, self.setup.clip)
            for name in ("relu", "leaky_relu"):
                shares[f"dead_{name}"] = float(self.crowds[name].dead(x).mean())
        return {**losses, **shares}

    def evaluate(self, split: str) -> Record:
        """On points that were not trained on: accuracy of each activation, and the loss of all four (at most 10)."""
        x, t = moons(split)
        found, losses = {}, []
        with np.errstate(over="ignore", invalid="ignore"):
            for name, crowd in self.crowds.items():
                u = crowd.logits(x)
                found[f"accuracy_{name}"] = float(((u > 0) == (t > 0.5)).mean())
                losses.append(bounded(Softplus().forward(u) - t * u))
        return {"loss": float(np.mean(losses)), **found}

    def state(self) -> dict[str, Any]:
        return {"layers": {name: list(crowd.layers) for name, crowd in self.crowds.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        for name, crowd in self.crowds.items():
            crowd.layers = [(np.array(weight), np.array(bias)) for weight, bias in state["layers"][name]]

    def pictures(self) -> dict[str, np.ndarray]:
        """The answers of the members, and how many units of each member are dead."""
        return {"members": _members(self), "dead_units": _dead(self)}


def _members(program: Comparison) -> np.ndarray:
    figure = sheet(900, 330)
    places = figure.subplots(1, 4, sharey=True)
    x, t = moons("train")
    with np.errstate(over="ignore", invalid="ignore"):
        for axes, (name, crowd) in zip(places, program.crowds.items(), strict=True):
            right = ((crowd.logits(x) > 0) == (t > 0.5)).mean(1)
            axes.hist(right, np.linspace(0.45, 1.0, 23), color=COLOURS[name])
            quiet(axes, f"{name}: {right.mean():.0%}", "accuracy / 正解率")
    places[0].set_ylabel("networks / ネットワークの数")
    return pixels(figure)


def _dead(program: Comparison) -> np.ndarray:
    figure = sheet(900, 330)
    x, _ = moons("train")
    before = Crowd("relu", first_layers(program.setup))
    shown = (("relu, before / 学習前", before, GREY), ("relu, now / 現在", program.crowds["relu"], BLUE),
             ("leaky_relu, now / 現在", program.crowds["leaky_relu"], GREEN))
    places = figure.subplots(1, 3, sharey=True)
    with np.errstate(over="ignore", invalid="ignore"):
        for axes, (title, crowd, colour) in zip(places, shown, strict=True):
            dead = crowd.dead(x)
            counts = np.bincount(dead.sum((1, 2)), minlength=dead[0].size + 1)
            axes.bar(np.arange(len(counts)), counts, color=colour)
            quiet(axes, f"{title}: {dead.mean():.0%}", "dead units / 死んだユニット")
    places[0].set_ylabel("networks / ネットワークの数")
    return pixels(figure)


@cache
def _trained(name: str, lr: float, clip: float) -> Crowd:
    """20 members after 150 steps; what they overflow on the way is theirs."""
    setup, (x, t) = Setup(members=20), moons("train")
    crowd = Crowd(name, first_layers(setup))
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(150):
            crowd.descend(crowd.gradients(x, t)[1], lr, clip)
    return crowd


def _start(name: str, width: int = 5, members: int = 200) -> Crowd:
    return Crowd(name, first_layers(Setup(members=members, width=width)))


def _at_chance(crowd: Crowd) -> float:
    """The share of members that answers one of the two classes only."""
    x, _ = moons("train")
    with np.errstate(over="ignore", invalid="ignore"):
        says: np.ndarray = crowd.logits(x) > 0
    return float(np.isin(says.mean(1), (0, 1)).mean())


def relu_units_die() -> Check:
    """After 150 steps of rate 1, at least 15 % of the ReLU units in 20 networks of 5 layers of 5 are dead.

    Source: Maas, Hannun, Ng 2013, section 2
    """
    return at_least(float(_trained("relu", 1.0, 0.0).dead(moons("train")[0]).mean()), 0.15)


def leaky_units_do_not() -> Check:
    """With LeakyReLU and everything else the same none is: the share is 0.

    Source: f' is 1 or 0.01
    """
    return exactly(float(_trained("leaky_relu", 1.0, 1.0).dead(moons("train")[0]).mean()), 0)


def descent_kills() -> Check:
    """With rate 3 more than twice as many ReLU units are dead after 150 steps as were before the first one.

    Source: equation (4) before and after
    """
    x, _ = moons("train")
    before = Crowd("relu", first_layers(Setup(members=20))).dead(x).mean()
    return at_least(float(_trained("relu", 3.0, 0.0).dead(x).mean() / before), 2)


def a_small_network_has_none_to_spare() -> Check:
    """Of 200 networks before training at least 15 % lack a whole layer with 3 units in each, and none with 20.

    Source: the slides warn of dead neurons in small networks; the width is the only difference
    """
    x, _ = moons("train")
    lost = {width: float(np.mean(_start("relu", width).dead(x).all(2).sum(1) > 0)) for width in (3, 20)}
    return at_least(lost[3] if lost[20] == 0 else -1.0, 0.15)


def sigmoid_vanishes() -> Check:
    """Through 5 sigmoid layers less than a hundredth of the last gradient arrives at the first weights.

    Source: Glorot, Bordes, Bengio 2011; sigma' is at most 1/4
    """
    return at_most(carried(_start("sigmoid").gradients(*moons("train"))[1]), 0.01)


def tanh_passes() -> Check:
    """Through 5 tanh layers with the same weights it is more than half.

    Source: tanh' is 1 at 0
    """
    return at_least(carried(_start("tanh").gradients(*moons("train"))[1]), 0.5)


def long_steps_leave_all_bounds() -> Check:
    """With rate 3 some of 20 LeakyReLU networks overflow within 150 steps; with gradients of at most 0.3, none.

    Source: Pascanu, Mikolov, Bengio 2013, section 3.2, for equation (5)
    """
    with np.errstate(over="ignore", invalid="ignore"):
        ends = [_trained("leaky_relu", 3.0, clip).logits(moons("train")[0]).sum(1) for clip in (0.0, 0.3)]
    lost = [int(np.sum(~np.isfinite(end))) for end in ends]
    return at_least(lost[0] if lost[1] == 0 else -1, 1)


def clipping_saves_relu() -> Check:
    """With rate 3 the share of ReLU networks that answer one constant falls by at least 0.5 when clipped at 0.3.

    Source: equation (5)
    """
    return at_least(_at_chance(_trained("relu", 3.0, 0.0)) - _at_chance(_trained("relu", 3.0, 0.3)), 0.5)


CARD = Card(
    name="Choice of an activation",
    name_ja="活性化関数の選び方",
    paper="Glorot, Bordes, Bengio 2011, Deep sparse rectifier neural networks; Maas, Hannun, Ng 2013",
    equations=(
        r"u_l = h_{l-1} W_l + b_l,\quad h_l = f(u_l)",
        r"L = \langle \log(1 + e^{u}) - t u \rangle",
        r"\delta_{L+1} = (\sigma(u) - t)/n,\quad \delta_l = (\delta_{l+1} W_{l+1}^T)\,f'(u_l)",
        r"f'(u_l(x_i)) = 0 \ \mathrm{for\ every}\ x_i",
        r"g \leftarrow g \min(1, c / |g|)",
    ),
    summary="Many small networks with four activations: units that die, gradients that vanish, steps that explode.",
    summary_ja="多数の小さなネットワークを四つの活性化関数で学習し、死ぬユニット、消える勾配、発散する学習を測る。",
    topics=("basics.activation-choice",),
    facts=(
        relu_units_die,
        leaky_units_do_not,
        descent_kills,
        a_small_network_has_none_to_spare,
        sigmoid_vanishes,
        tanh_passes,
        long_steps_leave_all_bounds,
        clipping_saves_relu,
    ),
    notes=("The slides keep ReLU to hidden layers: as an output it cannot go below 0, and a dead one there leaves "
           "the whole network without a gradient.",
           "LeakyReLU keeps units alive; it does not keep steps short: without clipping it is the one that overflows."),
    notes_ja=("スライドは ReLU を中間層に限る。出力層では負の値を取れず、死ぬとネットワーク全体の勾配がなくなる。",
              "LeakyReLU はユニットを生かすが、発散は防がない。クリッピングなしであふれるのはむしろこちらである。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The networks and how they learn."""

    members: int = 40
    """networks for each activation, each from weights of its own"""
    hidden: int = 5
    """hidden layers"""
    width: int = 5
    """units of every hidden layer"""
    lr: float = 1.0
    """learning rate"""
    clip: float = 0.0
    """greatest length of the gradient in one step; 0: no limit"""
    steps: int = 400
    """steps of gradient descent on all points"""
    seed: int = 0
    """of the first weights"""


VARIANTS = {
    "smoke": Setup(members=4, steps=50),
    "default": Setup(),
    "long-steps": Setup(lr=3.0),
    "clipped": Setup(lr=3.0, clip=0.3),
    "narrow": Setup(width=3),
    "wide": Setup(width=20, members=20),
}


def build(setup: Setup, place: Place = Place()) -> Comparison:  # noqa: B008 - Place is frozen
    """All networks before their first step; they compute in float64 on the CPU wherever `place` is."""
    in_range(setup, ("members", "hidden", "width", "lr", "steps"))
    return Comparison(setup)
