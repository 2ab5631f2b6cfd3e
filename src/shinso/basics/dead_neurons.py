r"""Dead neurons: ReLU units that are silent for every example learn nothing any more (Maas et al. 2013).

    h_j(x) = max(w_j x + b_j, 0),   dead: w_j x_i + b_j <= 0 for all examples i, so dJ/dw_j = 0     (1)

A large step can throw a unit there, and no gradient brings it back; a leaky unit has one, a slope on its flat side,

    h_j(x) = max(z, a z),   0 < a < 1                                                               (2)

The surprise: small deep nets may be dead at birth. For one input each unit of a layer without bias is silent with
probability 1/2, so a net of L layers of width n answers 0 with probability

    P = 1 - (1 - 2^-n)^L                                                                            (3)
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import drawing_from, generator
from shinso.core.setup import in_range
from shinso.data.examples import Examples, open_data

Bend = Literal["relu", "leaky"]


@final
class Net(nn.Module):
    """Hidden layers with a bend: (batch, features) -> (batch, classes)."""

    def __init__(self, sizes: tuple[int, ...], bend: Bend):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(sizes))
        self.slope = 0.0 if bend == "relu" else 0.1

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), self.slope)  # (1), (2)
        return self.layers[-1](x)


@torch.no_grad()
def dead(net: Net, inputs: Tensor) -> list[Tensor]:
    """Which units of each hidden layer have no gradient on any of the inputs, bool (units,) each."""
    found, h = [], inputs
    for layer in net.layers[:-1]:
        z = layer(h)
        found.append((z <= 0).all(0) if net.slope == 0 else torch.zeros(z.shape[1], dtype=torch.bool))  # (1)
        h = F.leaky_relu(z, net.slope)
    return found


def count(units: list[Tensor]) -> int:
    """How many units of all layers."""
    return sum(int(layer.sum()) for layer in units)


def born_dead(layers: int, width: int, draws: int) -> float:
    """The share of `draws` random nets without biases that are silent for one input."""
    draw = generator(0, f"born/{layers}/{width}")
    h = torch.randn(draws, width, generator=draw)
    for _ in range(layers):
        h = F.relu(torch.einsum("dij,dj->di", torch.randn(draws, width, width, generator=draw), h))
    return float((h == 0).all(1).double().mean())


@final
class Dying:
    """Two nets from the same weights and batches, one with (1) and one with (2), at a rate that is too large."""

    rhythm = 50

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        self.data = open_data("spirals")
        train = self.data.train
        self.inputs, self.targets = train.inputs, train.targets
        with drawing_from(setup.seed, "weights"):
            self.relu = Net((2, *[setup.width] * setup.depth, len(self.data.about.classes)), "relu")
        self.leaky = Net((2, *[setup.width] * setup.depth, len(self.data.about.classes)), "leaky")
        self.leaky.load_state_dict(self.relu.state_dict())
        self.units = setup.width * setup.depth

    def step(self, i: int) -> Record:
        draw = generator(self.setup.seed, f"batch/{i}")
        rows = torch.randint(len(self.targets), (32,), generator=draw)
        losses = []
        for net in (self.relu, self.leaky):
            loss = F.cross_entropy(net(self.inputs[rows]), self.targets[rows])
            gradients = torch.autograd.grad(loss, list(net.parameters()))
            with torch.no_grad():
                for weight, g in zip(net.parameters(), gradients, strict=True):
                    weight -= self.setup.lr * g.clamp(-1, 1)
            losses.append(loss.detach())
        return {"loss": losses[0], "loss_leaky": losses[1], "dead": float(count(dead(self.relu, self.inputs))),
                "dead_leaky": float(count(dead(self.leaky, self.inputs)))}

    @torch.no_grad()
    def evaluate(self, split: str) -> Record:
        """Loss and accuracy of both."""
        part = getattr(self.data, split)
        found = {}
        for name, net in (("", self.relu), ("_leaky", self.leaky)):
            logits = net(part.inputs)
            found[f"loss{name}"] = F.cross_entropy(logits, part.targets)
            found[f"accuracy{name}"] = (logits.argmax(1) == part.targets).float().mean()
        return found

    def state(self) -> dict[str, Any]:
        return {"relu": self.relu.state_dict(), "leaky": self.leaky.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        self.relu.load_state_dict(state["relu"])
        self.leaky.load_state_dict(state["leaky"])

    def networks(self) -> dict[str, nn.Module]:
        return {"relu": self.relu, "leaky": self.leaky}

    def example(self) -> dict[str, Tensor]:
        return {"relu": torch.zeros(2, 2), "leaky": torch.zeros(2, 2)}

    def pictures(self) -> dict[str, np.ndarray]:
        """How often each unit speaks: a row per layer; red ones never do."""
        figure = sheet(800, 60 + 90 * self.setup.depth)
        places = figure.subplots(self.setup.depth, 1, squeeze=False)[:, 0]
        with torch.no_grad():
            h = self.inputs
            for depth, (axes, layer) in enumerate(zip(places, self.relu.layers[:-1], strict=True), 1):
                h = F.relu(layer(h))
                active = 100 * (h > 0).float().mean(0).numpy()
                colours = ["tab:red" if share == 0 else "tab:blue" for share in active]
                axes.bar(range(len(active)), np.where(active == 0, 10, active), color=colours)
                axes.set(ylim=(0, 100), ylabel=f"layer {depth}", xticks=[])
        places[0].set_title("share of examples for which a unit is active, % / ユニットが活性な例の割合", fontsize=10)
        return {"activity": pixels(figure)}


def _spirals() -> Tensor:
    train = open_data("spirals").train
    assert isinstance(train, Examples)  # noqa: S101 - for the type checker
    return train.inputs


def a_planted_one_is_found() -> Check:
    """A bias of -100 at unit 3 is what the detector finds, and nothing else.

    Source: equation (1)
    """
    net = _planted("relu")
    layers = [layer.nonzero().flatten().tolist() for layer in dead(net, _spirals())]
    return exactly(float(layers == [[3], []]), 1.0)


def _planted(bend: Bend) -> Net:
    with drawing_from(0, "planted"):
        net = Net((2, 16, 16, 2), bend)
    with torch.no_grad():
        for layer in net.layers[:-1]:
            layer.bias.fill_(0.5)  # pyright: ignore
        net.layers[0].bias[3] = -100.0  # pyright: ignore
    return net


def its_weights_get_no_gradient() -> Check:
    """The gradient of every weight into the planted unit is 0, while the unit beside it has one.

    Source: equation (1)
    """
    gradient = _gradient("relu")
    return exactly(float(gradient[3].abs().sum()) if float(gradient[4].abs().sum()) > 0 else 1.0, 0.0)


def a_leaky_unit_has_one() -> Check:
    """With (2) the gradient of the same planted unit is not 0, and the detector finds no unit.

    Source: Maas et al. 2013, section 2; equation (2)
    """
    found = count(dead(_planted("leaky"), _spirals()))
    return at_least(float(_gradient("leaky")[3].abs().sum()) if not found else 0.0, 1e-6)


def _gradient(bend: Bend) -> Tensor:
    net, inputs = _planted(bend), _spirals()
    loss = F.cross_entropy(net(inputs), torch.arange(len(inputs)) % 2)
    return torch.autograd.grad(loss, net.layers[0].weight)[0]  # pyright: ignore


def narrow_nets_are_born_dead() -> Check:
    """Of 2,000 nets of 20 layers of width 3 the share that is silent for one input is (3) within 4 standard errors.

    Source: Lu, Shin, Su, Karniadakis 2019, theorem 3.3; equation (3)
    """
    expected = 1 - (1 - 2.0**-3) ** 20  # (3)
    error = (expected * (1 - expected) / 2000) ** 0.5
    return at_most(abs(born_dead(20, 3, 2000) - expected) / error, 4.0)


def wide_nets_are_not() -> Check:
    """Of 200 nets of 20 layers of width 20 none is silent.

    Source: equation (3) gives 2e-5
    """
    return exactly(born_dead(20, 20, 200), 0.0)


CARD = Card(
    name="Dead neurons",
    name_ja="死んだニューロン (dead neurons)",
    paper="Maas, Hannun, Ng 2013, Rectifier nonlinearities improve neural network acoustic models, ICML workshop",
    equations=(
        r"h_j(x) = \max(w_j x + b_j, 0),\quad w_j x_i + b_j \leq 0\ \forall i \Rightarrow \partial J/\partial w_j = 0",
        r"h_j(x) = \max(z, a z),\quad 0 < a < 1",
        r"P = 1 - (1 - 2^{-n})^L",
    ),
    summary="Counts ReLU units that are silent for every example: they get no gradient and never come back.",
    summary_ja="すべての例で出力が 0 になった ReLU ユニットを数える。勾配が 0 なので、二度と戻ってこない。",
    topics=("learn.dead-neurons",),
    facts=(
        a_planted_one_is_found,
        its_weights_get_no_gradient,
        a_leaky_unit_has_one,
        narrow_nets_are_born_dead,
        wide_nets_are_not,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Two small nets on two spirals, at a large learning rate."""

    depth: int = 3
    """hidden layers"""
    width: int = 24
    """units of each hidden layer"""
    lr: float = 0.5
    """learning rate; every entry of a gradient is held between -1 and 1"""
    steps: int = 1500
    """steps of SGD on 32 points"""
    seed: int = 0
    """of the first weights and the batches"""


VARIANTS = {"smoke": Setup(steps=60), "default": Setup(), "calm": Setup(lr=0.05)}


def build(setup: Setup, place: Place = Place()) -> Dying:  # noqa: B008 - a frozen value
    """Both nets, on the CPU."""
    in_range(setup, ("depth", "width", "lr", "steps"))
    return Dying(setup)
