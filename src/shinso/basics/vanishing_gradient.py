r"""The vanishing gradient: why three layers were enough for the nineties.

A network of L layers of weights, u_l = W_l h_{l-1} + b_l, h_l = sigma(u_l), with a softmax behind the last one. The
error of one layer is that of the next, sent back through its weights and the slope of its activation:

    delta_L = p - y,   delta_l = (W_{l+1}^T delta_{l+1}) sigma'(u_l)           (1)

sigma' belongs to the value before the activation, and for the sigmoid

    sigma'(u) = sigma(u) (1 - sigma(u)) <= 1/4,  equal at u = 0                (2)

so from layer to layer the error shrinks at least by a quarter of the norm of W,

    |delta_1| <= prod_{l=2}^{L} (c |W_l|_2) |delta_L|,  c = max |sigma'|       (3)

with c = 1/4 for the sigmoid and 1 for tanh and ReLU. The surprise: nothing is wrong with the deep network. It can do
all that the shallow one can, the gradient is exact, and yet with the same data and the same number of steps one hidden
layer learns the digits and eight stay at chance: what arrives at the first layer is a millionth of what was sent.
Another activation (ReLU) or larger weights (`gain`) change it.

Hochreiter 1991; Bengio, Simard, Frasconi 1994; He et al. 2015 (weights for ReLU).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from math import nan, prod
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from shinso.core.axes import BLUE, GREEN, GREY, ORANGE, RED, quiet
from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range
from shinso.data.examples import open_data

Activation = Literal["sigmoid", "tanh", "relu"]
STEEPEST = {"sigmoid": 0.25, "tanh": 1.0, "relu": 1.0}
"""c of (3)"""
Layers = list[tuple[Tensor, Tensor]]
"""W (fan_out, fan_in) and b (fan_out,) of every layer"""


def bend(u: Tensor, activation: str) -> Tensor:
    """sigma(u)."""
    return {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}[activation](u)


def slope(u: Tensor, activation: str) -> Tensor:
    """sigma'(u), of the value before the activation."""
    if activation == "sigmoid":
        return u.sigmoid() * (1 - u.sigmoid())  # (2)
    return 1 - u.tanh() ** 2 if activation == "tanh" else (u > 0).to(u.dtype)


def network(sizes: Sequence[int], gain: float, draw: torch.Generator) -> Layers:
    """Weights of standard deviation gain / sqrt(fan_in), biases 0."""
    return [(gain / n**0.5 * torch.randn(m, n, generator=draw, dtype=torch.float64),
             torch.zeros(m, dtype=torch.float64)) for n, m in pairwise(sizes)]


def forward(layers: Layers, x: Tensor, activation: str) -> tuple[list[Tensor], list[Tensor]]:
    """The inputs h_0 .. h_{L-1} and the sums u_1 .. u_L; the last sums are the logits."""
    inputs, sums = [x], []
    for k, (weight, bias) in enumerate(layers):
        sums.append(inputs[-1] @ weight.T + bias)
        if k < len(layers) - 1:
            inputs.append(bend(sums[-1], activation))
    return inputs, sums


def errors(layers: Layers, sums: list[Tensor], y: Tensor, activation: str) -> list[Tensor]:
    """delta_1 .. delta_L of the mean cross entropy."""
    delta = sums[-1].softmax(1)
    delta[torch.arange(len(y)), y] -= 1
    found = [delta / len(y)]
    for (weight, _), u in zip(layers[:0:-1], sums[-2::-1], strict=True):
        found.append((found[-1] @ weight) * slope(u, activation))  # (1)
    return found[::-1]


def carried(deltas: list[Tensor]) -> float:
    """|delta_1| / |delta_L|: the share of the error that arrives at the first layer."""
    return float(deltas[0].norm() / deltas[-1].norm().clamp_min(1e-300))


def at_most_carried(layers: Layers, activation: str) -> float:
    """The product of (3); nan where the weights have left the numbers, which ends a run with its reason."""
    if not all(bool(weight.isfinite().all()) for weight, _ in layers):
        return nan
    return prod(STEEPEST[activation] * float(torch.linalg.matrix_norm(weight, 2)) for weight, _ in layers[1:])


def train(layers: Layers, x: Tensor, y: Tensor, activation: str, lr: float) -> tuple[float, list[Tensor]]:
    """One step of gradient descent in place; the loss before it, and the errors of all layers."""
    inputs, sums = forward(layers, x, activation)
    deltas = errors(layers, sums, y, activation)
    loss = float(F.cross_entropy(sums[-1], y))
    for (weight, bias), h, delta in zip(layers, inputs, deltas, strict=True):
        weight -= lr * delta.T @ h
        bias -= lr * delta.sum(0)
    return loss, deltas


@cache
def _digits() -> dict[str, tuple[Tensor, Tensor]]:
    data = open_data("digits:8x8")
    return {name: (getattr(data, name).inputs.flatten(1).double() / 255 - 0.3, getattr(data, name).targets)
            for name in ("train", "validation", "test")}


@final
class Race:
    """A shallow and a deep network on the same batches; one step moves both."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        self.rhythm = 25
        self.x, self.y = _digits()["train"]
        self.order = generator(setup.seed, "batches")
        self.networks = {name: network([64, *[setup.width] * hidden, 10], setup.gain, generator(setup.seed, name))
                         for name, hidden in (("shallow", setup.shallow), ("deep", setup.deep))}

    def step(self, i: int) -> Record:
        setup = self.setup
        rows = torch.randint(len(self.y), (setup.batch_size,), generator=self.order)
        bound = at_most_carried(self.networks["deep"], setup.activation)
        one, _ = train(self.networks["shallow"], self.x[rows], self.y[rows], setup.activation, setup.lr)
        many, deltas = train(self.networks["deep"], self.x[rows], self.y[rows], setup.activation, setup.lr)
        return {"loss_shallow": one, "loss_deep": many, "carried": carried(deltas), "carried_bound": bound}

    def evaluate(self, split: str) -> Record:
        """Accuracy of both on digits that were not trained on; `loss` is that of the deep one."""
        x, y = _digits()[split]
        logits = {name: forward(one, x, self.setup.activation)[1][-1] for name, one in self.networks.items()}
        return {"loss": F.cross_entropy(logits["deep"], y),
                **{f"accuracy_{name}": (u.argmax(1) == y).double().mean() for name, u in logits.items()}}

    def state(self) -> dict[str, Any]:
        return {"networks": self.networks, "order": self.order.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        for name, layers in self.networks.items():
            for mine, saved in zip(layers, state["networks"][name], strict=True):
                for tensor, value in zip(mine, saved, strict=True):
                    tensor.copy_(value)
        self.order.set_state(state["order"])

    def pictures(self) -> dict[str, np.ndarray]:
        """What arrives at each layer of the deep network, and at the first one by depth and activation."""
        return {"arrives": _arrives(self), "depths": _depths(self.setup)}


def _arrives(program: Race) -> np.ndarray:
    setup = program.setup
    first = Race(replace(setup, steps=1)).networks["deep"]
    figure = sheet(800, 360)
    axes = figure.subplots()
    layers = np.arange(1, setup.deep + 2)
    for shift, one, colour, name in ((-0.2, first, GREY, "before / 学習前"),
                                     (0.2, program.networks["deep"], BLUE, "now / 現在")):
        _, sums = forward(one, program.x[:500], setup.activation)
        norms = [float(delta.norm()) for delta in errors(one, sums, program.y[:500], setup.activation)]
        axes.bar(layers + shift, np.maximum(norms, 1e-12), 0.38, color=colour, label=name)
    axes.set_yscale("log")
    axes.set_xticks(layers)
    quiet(axes, f"|δ| in each layer, {setup.activation} / 各層に届く誤差", "layer / 層")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return pixels(figure)


def measured(activation: str, depth: int, gain: float, seed: int = 0, width: int = 30) -> tuple[float, float]:
    """What is carried through an untrained network of `depth` layers of weights, and its bound."""
    layers = network([64, *[width] * (depth - 1), 10], gain, generator(seed, f"measured/{depth}"))
    x, y = (part[:200] for part in _digits()["train"])
    _, sums = forward(layers, x, activation)
    return carried(errors(layers, sums, y, activation)), at_most_carried(layers, activation)


def _depths(setup: "Setup") -> np.ndarray:
    figure = sheet(800, 400)
    axes = figure.subplots()
    depths = np.arange(2, 11)
    for activation, gain, colour in (("relu", 2**0.5, GREEN), ("tanh", 1.0, ORANGE), ("sigmoid", 1.0, RED)):
        rows = [measured(activation, int(d), gain, setup.seed) for d in depths]
        axes.semilogy(depths, [row[0] for row in rows], "o-", color=colour, label=f"{activation} (gain {gain:.3g})")
        if activation == "sigmoid":
            axes.semilogy(depths, [row[1] for row in rows], "--", color=RED, label="sigmoid: bound / 上界 (3)")
    axes.semilogy(depths, 0.25 ** (depths - 1.0), ":", color="black", label="0.25^(L-1)")
    quiet(axes, "share of the error that arrives at the first layer / 一層目に届く割合", "layers L / 層の数")
    axes.legend(frameon=False)
    return pixels(figure)


def the_slope_is_at_most_a_quarter() -> Check:
    """The greatest slope of the sigmoid on -20 to 20 in steps of 0.001 is exactly 0.25, at 0.

    Source: equation (2)
    """
    u = torch.arange(-20_000, 20_001, dtype=torch.float64) / 1000
    slopes = slope(u, "sigmoid")
    return exactly(float(slopes.max()) if float(u[slopes.argmax()]) == 0 else -1.0, 0.25)


def errors_are_the_slope_of_the_loss() -> Check:
    """(1) agrees with torch's autograd in a network of 5 layers, for all three activations: the largest difference.

    Source: Rumelhart, Hinton, Williams 1986
    """
    worst, (x, y) = 0.0, (part[:20] for part in _digits()["train"])
    for activation in STEEPEST:
        layers = network([64, 8, 8, 8, 8, 10], 1.0, generator(0, "check"))
        for weight, _ in layers:
            weight.requires_grad_(True)
        inputs, sums = forward(layers, x, activation)
        truth = torch.autograd.grad(F.cross_entropy(sums[-1], y), [weight for weight, _ in layers])
        for h, delta, grad in zip(inputs, errors(layers, sums, y, activation), truth, strict=True):
            worst = max(worst, float((delta.T @ h - grad).detach().abs().max()))
    return at_most(worst, 1e-14)


def the_bound_holds_at_every_depth() -> Check:
    """Through 2 to 10 layers, 3 activations, 3 gains, 3 seeds, no error passes its bound: the largest share of it.

    Source: equation (3); Bengio, Simard, Frasconi 1994
    """
    pairs = [measured(activation, depth, gain, seed) for activation in STEEPEST for depth in range(2, 11)
             for gain in (0.5, 1.0, 3.0) for seed in range(3)]
    return at_most(max(got / bound for got, bound in pairs), 1.0)


def ten_sigmoid_layers_carry_nothing() -> Check:
    """Through 10 sigmoid layers with gain 1 less than a hundred-thousandth of the error arrives.

    Source: Hochreiter 1991
    """
    return at_most(measured("sigmoid", 10, 1.0)[0], 1e-5)


def ten_relu_layers_carry_it() -> Check:
    """Through 10 ReLU layers with gain sqrt 2 at least a fifth of it arrives.

    Source: He et al. 2015
    """
    return at_least(measured("relu", 10, 2**0.5)[0], 0.2)


def the_activated_value_is_the_wrong_place() -> Check:
    """Evaluated at sigma(u) instead of u, as a document writes it, the slope is off by more than 0.1 at u = 4.

    Source: a document takes sigma' at the activated value
    """
    u = torch.tensor(4.0, dtype=torch.float64)
    return at_least(abs(float(slope(u.sigmoid(), "sigmoid") - slope(u, "sigmoid"))), 0.1)


@cache
def _race() -> dict[str, float]:
    program = Race(Setup(steps=200))
    for i in range(program.total):
        program.step(i)
    return {name: float(value) for name, value in program.evaluate("test").items()}


def one_hidden_layer_learns() -> Check:
    """In 200 steps of 50 digits one hidden sigmoid layer comes to at least 85 % on the test digits.

    Source: the classifiers of the nineties had three layers, input and output counted
    """
    return at_least(_race()["accuracy_shallow"], 0.85)


def eight_hidden_layers_stay_at_chance() -> Check:
    """In the same 200 steps 8 hidden sigmoid layers stay at most at 15 %; chance is 10 %.

    Source: Bengio, Simard, Frasconi 1994
    """
    return at_most(_race()["accuracy_deep"], 0.15)


CARD = Card(
    name="Vanishing gradient",
    name_ja="勾配消失",
    paper="Hochreiter 1991, Untersuchungen zu dynamischen neuronalen Netzen; Bengio, Simard, Frasconi 1994",
    equations=(
        r"\delta_L = p - y,\quad \delta_l = (W_{l+1}^T \delta_{l+1})\,\sigma'(u_l)",
        r"\sigma'(u) = \sigma(u)(1 - \sigma(u)) \le 1/4",
        r"|\delta_1| \le \prod_{l=2}^{L} (c\,\|W_l\|_2)\,|\delta_L|",
    ),
    summary="One hidden sigmoid layer learns the digits and eight stay at chance: what arrives below is measured.",
    summary_ja="シグモイドの中間層一つは数字を学び、八つでは当てずっぽうのまま。下の層に届く誤差を測る。",
    topics=("basics.vanishing-gradient", "basics.three-layer-era"),
    facts=(
        the_slope_is_at_most_a_quarter,
        errors_are_the_slope_of_the_loss,
        the_bound_holds_at_every_depth,
        ten_sigmoid_layers_carry_nothing,
        ten_relu_layers_carry_it,
        the_activated_value_is_the_wrong_place,
        one_hidden_layer_learns,
        eight_hidden_layers_stay_at_chance,
    ),
    notes=("A document writes that the slope is < 0.25; at 0 it is 0.25.",
           "It evaluates sigma' at the activated value; it belongs to the value before the activation.",
           "'Three layers' there counts input, hidden and output: one hidden layer. The digits here are the package's "
           "own 8x8 ones, a stand-in for features such as SIFT."),
    notes_ja=("ある資料は傾きが 0.25 より小さいと書くが、0 では 0.25 に等しい。",
              "その資料は σ' を活性化後の値で評価するが、正しくは活性化前の値。",
              "「三層」は入力・中間・出力を数えたもので、中間層は一つ。ここの数字は付属の8x8画像で、SIFTなどの特徴量の代わり。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The two networks and their common budget."""

    activation: Literal["sigmoid", "tanh", "relu"] = "sigmoid"
    """bend of every hidden layer"""
    shallow: int = 1
    """hidden layers of the first network"""
    deep: int = 8
    """hidden layers of the second network"""
    width: int = 30
    """units of every hidden layer"""
    gain: float = 1.0
    """standard deviation of the first weights, in units of 1/sqrt(fan_in)"""
    lr: float = 1.0
    """learning rate of both"""
    batch_size: int = 50
    """digits in a step"""
    steps: int = 500
    """number of steps"""
    seed: int = 0
    """of the weights and the batches"""


VARIANTS = {
    "smoke": Setup(steps=50),
    "default": Setup(),
    "relu": Setup(activation="relu", gain=1.4142135623730951, lr=0.1),
    "tanh": Setup(activation="tanh", lr=0.1),
    "large-weights": Setup(gain=4.0),
}


def build(setup: Setup, place: Place = Place()) -> Race:  # noqa: B008 - Place is frozen
    """Both networks before their first batch; they compute in float64 on the CPU wherever `place` is."""
    in_range(setup, ("shallow", "deep", "width", "gain", "lr", "batch_size", "steps"))
    return Race(setup)
