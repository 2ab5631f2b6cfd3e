r"""Depth: what few units in many layers can do, and many units in one layer cannot.

A network of k layers is a composition, and its Jacobian the product of the layers', each at the place that the layers
below have reached:

    f(x) = f_k(... f_2(f_1(x)))                                                (1)
    J = J_k(f_{k-1}(... f_1(x))) ... J_2(f_1(x)) J_1(x)                        (2)

Two ReLU units make a tent on [0, 1], up to 1 in the middle and down again:

    T(u) = 2 max(u, 0) - 4 max(u - 1/2, 0)                                     (3)

A tent of a tent has two peaks: every layer folds the interval once more. After k layers there are

    peaks = 2^(k-1)  from 2 k units                                            (4)

while a single hidden layer of n ReLU units bends at n places at most, so

    peaks <= (n + 1) / 2  in one layer of n units                              (5)

The surprise: what depth can do and what it does are two things. A network of the same shape with random weights folds
almost nothing; `random_peaks` stands in the record beside the tent's.

Telgarsky 2015 (4); Montufar, Pascanu, Cho, Bengio 2014; Rumelhart, Hinton, Williams 1986 (2). Here a layer is a layer
of weights with its activation; documents also count the input (000) or only the hidden ones (004).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from shinso.core.axes import BLUE, ORANGE, RED, quiet
from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range


def tent(u: np.ndarray) -> np.ndarray:
    """(3), two ReLU units and a sum."""
    return 2 * np.maximum(u, 0) - 4 * np.maximum(u - 0.5, 0)


def folded(x: np.ndarray, k: int) -> np.ndarray:
    """The tent of the tent of ..., k times."""
    for _ in range(k):
        x = tent(x)  # (1)
    return x


def peaks(values: np.ndarray) -> int:
    """How often a curve turns from rising to falling; flat stretches count with what comes after them."""
    moves = np.sign(np.diff(values))
    moves = moves[moves != 0]
    return int(((moves[:-1] > 0) & (moves[1:] < 0)).sum())


def random_network(depth: int, width: int, draw: torch.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights (fan_out, fan_in) of variance 2 / fan_in and biases of a tenth of it, as they are begun with."""
    sizes = [1, *[width] * depth, 1]
    layers = []
    for fan_in, fan_out in pairwise(sizes):
        weights, bias = (torch.randn(fan_out, n, generator=draw, dtype=torch.float64).numpy() for n in (fan_in, 1))
        layers.append((weights * np.sqrt(2 / fan_in), bias[:, 0] * np.sqrt(0.2 / fan_in)))
    return layers


def relu_network(layers: Sequence[tuple[np.ndarray, np.ndarray]], x: np.ndarray) -> np.ndarray:
    """The output (n,) of a ReLU network with a linear end at x (n,)."""
    h = x[:, None]
    for weights, bias in layers[:-1]:
        h = np.maximum(h @ weights.T + bias, 0)
    return (h @ layers[-1][0].T + layers[-1][1])[:, 0]


def one_layer_zigzag(units: int) -> Callable[[np.ndarray], np.ndarray]:
    """A single hidden layer of n ReLU units that bends at n places, up and down in turn: it attains (5)."""
    bends = np.arange(units) / units
    slopes = 2.0 * units * np.where(np.arange(units) % 2, -1, 1) * np.where(np.arange(units) == 0, 0.5, 1)
    return lambda x: np.maximum(x[:, None] - bends, 0) @ slopes


@final
class Folding:
    """One step counts the peaks of one depth; the depths come round again with other random networks."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total, self.seen = setup, setup.depth * setup.draws, 0

    def step(self, i: int) -> Record:
        k, setup = 1 + i % self.setup.depth, self.setup
        x = np.linspace(0, 1, 2 ** (setup.depth + 2) + 1)  # dyadic: every bend of the tents lies on it
        network = random_network(k, setup.width, generator(setup.seed, f"network/{i}"))
        other = np.linspace(-3, 3, 4001)
        self.seen = i + 1
        return {"layers": float(k), "measured": float(peaks(folded(x, k))), "predicted": 2.0 ** (k - 1), "within": 0.0,
                "units": 2.0 * k, "one_layer_at_most": float((2 * k + 1) // 2),
                "random_peaks": float(peaks(relu_network(network, other)))}

    def state(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def restore(self, state: dict[str, Any]) -> None:
        self.seen = int(state["seen"])

    def pictures(self) -> dict[str, np.ndarray]:
        """The first foldings, and the number of peaks by the number of units, deep, in one layer, and at random."""
        return {"folds": _folds(), "peaks": _peaks(self.setup)}


def _folds() -> np.ndarray:
    figure = sheet(900, 420)
    x = np.linspace(0, 1, 2049)
    for axes, k in zip(figure.subplots(2, 3).flat, (1, 2, 3, 4, 5, 7), strict=True):
        axes.plot(x, folded(x, k), color=BLUE, linewidth=1)
        quiet(axes, f"k = {k}  (n = {2 * k}):  {peaks(folded(x, k))} peaks / 山")
    return pixels(figure)


def _peaks(setup: "Setup") -> np.ndarray:
    figure = sheet(800, 380)
    axes = figure.subplots()
    k = np.arange(1, setup.depth + 1)
    x = np.linspace(0, 1, 2 ** (setup.depth + 2) + 1)
    axes.semilogy(2 * k, [peaks(folded(x, int(j))) for j in k], "o", color=BLUE, label="tents / テント写像")
    axes.semilogy(2 * k, 2.0 ** (k - 1), color=BLUE, linewidth=1, label="2^(k-1), (4)")
    axes.semilogy(2 * k, [peaks(one_layer_zigzag(2 * int(j))(np.linspace(0, 1, 40 * int(j) + 1))) for j in k], "s",
                  color=RED, label="one layer / 一層")
    axes.semilogy(2 * k, (2 * k + 1) / 2, color=RED, linewidth=1, label="(n+1)/2, (5)")
    wide = np.linspace(-3, 3, 4001)
    for j in k:
        counts = [peaks(relu_network(random_network(int(j), setup.width, generator(setup.seed, f"picture/{j}/{r}")),
                                     wide)) for r in range(10)]
        axes.semilogy([2 * j] * 10, np.maximum(counts, 0.5), ".", color=ORANGE, alpha=0.5,
                      label=f"random, width {setup.width} (none at 1/2) / 無作為" if j == 1 else None)
    quiet(axes, "peaks / 山の数", "units of the tents, two in each layer / テント写像のユニット数 (一層に二つ)")
    axes.legend(frameon=False)
    return pixels(figure)


def every_layer_doubles_the_peaks() -> Check:
    """From 1 to 14 layers the folded tent has 2^(k-1) peaks, counted on a grid: the largest difference.

    Source: Telgarsky 2015
    """
    x = np.linspace(0, 1, 2**16 + 1)
    return exactly(max(abs(peaks(folded(x, k)) - 2 ** (k - 1)) for k in range(1, 15)), 0)


def one_layer_bends_once_for_each_unit() -> Check:
    """Of 500 random networks of one hidden layer none has more than (n + 1) / 2 peaks: the largest share of it.

    Source: equation (5); Telgarsky 2015
    """
    shares, x = [], np.linspace(-30, 30, 6001)
    for r in range(500):
        n = 2 + r % 11
        shares.append(2 * peaks(relu_network(random_network(1, n, generator(r, "shallow")), x)) / (n + 1))
    return at_most(max(shares), 1.0)


def one_layer_of_28_units_has_14_peaks() -> Check:
    """The best that one layer of 28 units can do is 14 peaks, and it does; the tents of 28 units have 8,192.

    Source: equations (4) and (5)
    """
    return exactly(peaks(one_layer_zigzag(28)(np.linspace(0, 1, 28 * 20 + 1))), 14)


def random_weights_hardly_fold() -> Check:
    """Of 50 random networks of 10 layers and 20 units in width none has more than 64 peaks; the tents have 512.

    Source: Hanin and Rolnick 2019, complexity of linear regions at initialisation
    """
    x = np.linspace(-3, 3, 4001)
    return Check(max(peaks(relu_network(random_network(10, 20, generator(r, "deep")), x)) for r in range(50)), 1, 64)


def _maps() -> tuple[list[nn.Module], Tensor]:
    draw = generator(0, "maps")
    maps: list[nn.Module] = []
    for fan_in, fan_out in ((5, 4), (4, 3), (3, 2)):
        affine = nn.Linear(fan_in, fan_out, dtype=torch.float64)
        with torch.no_grad():
            for parameter in affine.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
        maps.append(nn.Sequential(affine, nn.Tanh()))
    return maps, torch.randn(5, generator=draw, dtype=torch.float64)


def composed_is_sequential() -> Check:
    """Three maps applied one after the other give what one Sequential gives: the largest difference.

    Source: equation (1)
    """
    maps, x = _maps()
    with torch.no_grad():
        return exactly(float((maps[2](maps[1](maps[0](x))) - nn.Sequential(*maps)(x)).abs().max()), 0.0)


def the_jacobian_is_the_product() -> Check:
    """The product of the three layers' Jacobians, each at its own input, is that of the whole, to 1e-14.

    Source: equation (2)
    """
    maps, x = _maps()
    product, place = torch.eye(5, dtype=torch.float64), x
    for layer in maps:
        product, place = _jacobian(layer, place) @ product, layer(place).detach()
    return at_most(float((product - _jacobian(nn.Sequential(*maps), x)).abs().max()), 1e-14)


def the_places_in_the_wrong_order_do_not_fit() -> Check:
    """With the inner arguments as a document prints them, f3 before f2, none of 2 products can be formed.

    Source: a document takes d f3 at (f2 o f3)(x) and d f2 at f3(x); right are f2(f1(x)) and f1(x)
    """
    (f1, f2, f3), x = _maps()
    formed = 0
    for layer, place in ((f3, (f3, f2)), (f2, (f3,))):
        try:
            inner = x
            for one in place:
                inner = one(inner)
            _jacobian(layer, inner)
            formed += 1
        except RuntimeError:  # shapes that do not fit
            pass
    return exactly(formed + (0 if f1(x).shape == (4,) else 1), 0)


def _jacobian(layer: nn.Module, at: Tensor) -> Tensor:
    at = at.detach().requires_grad_(True)
    out = layer(at)
    return torch.stack([torch.autograd.grad(one, at, retain_graph=True)[0] for one in out])


CARD = Card(
    name="Depth",
    name_ja="層の深さ",
    paper="Telgarsky 2015, arXiv:1509.08101; Montufar, Pascanu, Cho, Bengio 2014, arXiv:1402.1869",
    equations=(
        r"f(x) = f_k(\cdots f_2(f_1(x)))",
        r"J = J_k(f_{k-1}(\cdots f_1(x))) \cdots J_2(f_1(x))\,J_1(x)",
        r"T(u) = 2 \max(u, 0) - 4 \max(u - \frac{1}{2}, 0)",
        r"\mathrm{peaks} = 2^{k-1}",
        r"\mathrm{peaks} \le (n + 1)/2",
    ),
    summary="Two units per layer fold the line once more each time: 2^(k-1) peaks, where one layer has only a few.",
    summary_ja="一層に二つのユニットが、線を層ごとにもう一度折りたたむ。山は 2^(k-1) 個、一層では届かない。",
    topics=("basics.depth-advantage", "basics.deep-composition"),
    facts=(
        every_layer_doubles_the_peaks,
        one_layer_bends_once_for_each_unit,
        one_layer_of_28_units_has_14_peaks,
        random_weights_hardly_fold,
        composed_is_sequential,
        the_jacobian_is_the_product,
        the_places_in_the_wrong_order_do_not_fit,
    ),
    notes=("The documents count layers differently: input-hidden-output is three layers in one, one hidden layer is "
           "three layers in another, LeNet-5 has six in a third. Here a layer is a layer of weights.",
           "A document writes the inner arguments of the chain rule in the wrong order: f2(f1(x)) and f1(x) are right.",
           "The activation acts on each element by itself; pooling is the exception."),
    notes_ja=("層の数え方は資料により違う。入力・中間・出力で三層とするもの、中間一層を三層とするもの、LeNet-5を六層とするものがある。"
              "ここでは重みの層を数える。",
              "ある資料は連鎖律の内側の引数の順序を誤る。正しくは f2(f1(x)) と f1(x)。",
              "活性化関数は要素ごとに働く。プーリングはその例外。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How deep, and how many random networks beside it."""

    depth: int = 12
    """layers of the deepest tent"""
    width: int = 2
    """units in each layer of the random networks"""
    draws: int = 10
    """random networks of every depth"""
    seed: int = 0
    """of the random networks"""


VARIANTS = {
    "smoke": Setup(depth=8, draws=5, width=4),
    "default": Setup(),
    "wide": Setup(width=20),
}


def build(setup: Setup, place: Place = Place()) -> Folding:  # noqa: B008 - Place is frozen
    """The count, from one layer on; it computes in float64 on the CPU wherever `place` is."""
    in_range(setup, ("depth", "width", "draws"))
    if setup.depth > 20:
        raise UserError("depth", f"{setup.depth} layers need a grid of 2^{setup.depth + 2} points", "give 20 or less")
    return Folding(setup)
