r"""Multilayer perceptron: layers of affine maps with a bend between them (Rumelhart, Hinton, Williams 1986).

    h_0 = x,   h_l = max(W_l h_{l-1} + b_l, 0)                                                     (1)
    p(k | x) = softmax(W_L h_{L-1} + b_L)_k,   loss = -log p(y | x)                                (2)

Without the bend any number of layers is one affine map. The surprise: with it, two hidden units are enough for XOR,
which no single perceptron can compute.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Literal, cast, final

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.seed import drawing_from
from shinso.core.setup import in_range
from shinso.data.examples import open_data
from shinso.kernels.mlp import mlp_cross_entropy, mlp_gradient
from shinso.learn.choices import FUSED, SCHEDULES, optimiser
from shinso.learn.classify import CLASSIFY
from shinso.learn.supervised import Batch, Plan, Supervised


@final
class MLP(nn.Module):
    """(1) and the logits of (2): (batch, ...) flattened to (batch, sizes[0]) -> (batch, sizes[-1])."""

    def __init__(self, sizes: tuple[int, ...]):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        h = x.flatten(1)
        for layer in self.layers[:-1]:
            h = F.relu(layer(h))  # (1)
        return self.layers[-1](h)


def objective(model: nn.Module, batch: Batch, noise: Generator) -> dict[str, Tensor]:
    """(2), in one native pass where the kernel is there."""
    return {"loss": mlp_cross_entropy(batch[0].flatten(1), batch[1], *_layers(model))}


def gradient(model: nn.Module, batch: Batch, noise: Generator) -> dict[str, Tensor]:
    """(2) and its gradients, by the chain rule written out instead of recorded."""
    return {"loss": mlp_gradient(batch[0].flatten(1), batch[1], *_layers(model))}


def _layers(model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    layers = cast(MLP, model).layers
    return [layer.weight for layer in layers], [layer.bias for layer in layers]  # pyright: ignore[reportReturnType]


def xor_by_hand() -> Check:
    """Two hidden units with hand-set weights compute XOR exactly.

    Source: Minsky and Papert 1969 for the need of a hidden layer; max(a+b, 0) - 2 max(a+b-1, 0) is XOR
    """
    network = MLP((2, 2, 1)).double()
    weights = ([[1.0, 1.0], [1.0, 1.0]], [0.0, -1.0], [[1.0, -2.0]], [0.0])
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), weights, strict=True):
            parameter.copy_(torch.tensor(value))
        table = network(torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float64)).flatten()
    return exactly(float((table - torch.tensor([0.0, 1.0, 1.0, 0.0])).abs().max()), 0)


def matrices_are_loops() -> Check:
    """The matrix form equals the sums written out node by node.

    Source: equation (1)
    """
    with drawing_from(0, "weights"):
        network = MLP((5, 4, 3, 2)).double()
        x = torch.randn(3, 5, dtype=torch.float64)
    worst = 0.0
    with torch.no_grad():
        for row, answer in zip(x, network(x), strict=True):
            h = row.tolist()
            for depth, layer in enumerate(network.layers):
                assert isinstance(layer, nn.Linear)  # noqa: S101 - for the type checker
                z = [sum(w * v for w, v in zip(ws.tolist(), h, strict=True)) + float(b)
                     for ws, b in zip(layer.weight, layer.bias, strict=True)]
                h = z if depth == 2 else [max(v, 0.0) for v in z]
            worst = max(worst, float((answer - torch.tensor(h, dtype=torch.float64)).abs().max()))
    return at_most(worst, 1e-14)


def parameters_of_the_course_network() -> Check:
    """784-100-10 has 79,510 parameters.

    Source: 784*100 + 100 + 100*10 + 10
    """
    return exactly(sum(weight.numel() for weight in MLP((784, 100, 10)).parameters()), 79_510)


CARD = Card(
    name="Multilayer perceptron",
    name_ja="多層パーセプトロン",
    paper="Rumelhart, Hinton, Williams 1986, Learning representations by back-propagating errors, Nature 323",
    equations=(r"h_l = \max(W_l h_{l-1} + b_l, 0)", r"p(k \mid x) = \mathrm{softmax}(W_L h_{L-1} + b_L)_k"),
    summary="Layers of affine maps with a bend between them: the plainest network that can learn any boundary.",
    summary_ja="アフィン変換と折れ曲がりを重ねただけの、どんな境界も学べるもっとも素朴なネットワーク。",
    topics=("basics.mlp",),
    facts=(xor_by_hand, matrices_are_loops, parameters_of_the_course_network),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What can be chosen."""

    data: str = "digits"
    """data set: digits, mnist, two-moons, circles, spirals, xor, folder:PATH ..."""
    hidden: tuple[int, ...] = (100,)
    """units of each hidden layer, for example 100 or 128,64"""
    epochs: int = 30
    """passes over the training part"""
    batch_size: int = 50
    """examples per step"""
    optimiser: str = "adam"
    """update rule: the name of any method in shinso.optim, for example sgd, adam, adamw, lion, muon"""
    lr: float = 0.002
    """learning rate"""
    schedule: Literal["constant", "step", "cosine", "one_cycle", "warm_up"] = "cosine"
    """course of the learning rate over the run; warm_up is a tenth of the run, then a cosine"""
    ema: float | None = None
    """decay of averaged weights, for example 0.99, which are then what is evaluated and exported; none: no average"""
    patience: int = 0
    """evaluations without improvement before stopping early; 0: never"""
    engine: Literal["torch", "tape", "byhand"] = "torch"
    """who computes the gradient: torch, or NumPy alone through shinso.autodiff's tape or its layers byhand"""
    seed: int = 0
    """of the first weights and the order"""


VARIANTS = {
    "smoke": Setup(epochs=2, hidden=(16,)),
    "default": Setup(),
    "mnist": Setup(data="mnist", epochs=10, batch_size=100),
    "numpy": Setup(engine="tape"),
    "xor": Setup(data="xor", hidden=(16,), epochs=60, lr=0.01),
    "spirals": Setup(data="spirals", hidden=(64, 64), epochs=200, lr=0.01),
}


def build(setup: Setup, place: Place = Place()) -> Supervised:  # noqa: B008 - a frozen value
    """The training program, for images and points alike."""
    in_range(setup, ("epochs", "batch_size", "lr"))
    if setup.engine != "torch" and (place.device != "cpu" or place.precision != "fp32" or place.compile):
        raise UserError("--engine", f"{setup.engine} computes with NumPy: on the CPU, in fp32, nothing compiled",
                        "leave --device, --precision and --compile as they are")
    data = open_data(setup.data)
    with drawing_from(setup.seed, "weights"):
        network = MLP((prod(data.about.shape), *setup.hidden, len(data.about.classes))).to(place.device)
    rule = optimiser(setup.optimiser, network, setup.lr, place.device)
    plan = Plan(epochs=setup.epochs, batch_size=setup.batch_size, seed=setup.seed, schedule=SCHEDULES[setup.schedule],
                ema=setup.ema, closure=setup.optimiser not in FUSED)
    slopes = gradient
    if setup.engine != "torch":
        from shinso.learn.by_numpy import ENGINES  # our own engine is loaded for those who ask for it

        slopes = ENGINES[setup.engine]
    task = replace(CLASSIFY, objective=objective, gradient=slopes)
    if hasattr(rule, "watch"):  # K-FAC looks at what passes through the layers
        if setup.engine != "torch":
            raise UserError("--optimiser", f"{setup.optimiser} cannot look into the engine {setup.engine}",
                            "choose --engine torch, or another method such as adam")
        task = CLASSIFY
    return Supervised(network, rule, task, data, plan, place)
