r"""LeNet-5 in NumPy alone: every layer's forward and backward, and the update rule, written out.

Two convolutions with pooling, three affine maps, ReLU between them, softmax and cross entropy at the end:

    x -> conv 6 of 5x5 -> pool -> relu -> conv 16 of 5x5 -> pool -> relu -> 120 -> 84 -> scores s       (1)
    L = -mean log softmax(s)_y,     dL/ds = (softmax(s) - onehot(y)) / n                            (2)
    g_l = J_l^T g_{l+1}   from the last layer to the first, J_l the derivative of layer l             (3)
    theta <- theta - Adam(dL/dtheta)                                                                (4)

From the pixels to the loss this is one chain, so (3) reaches the pixels, too: the gradient on a picture shows what the
network looks at. The surprise: no framework is needed for 99 % on MNIST in minutes on one core. The convolutions are
matrix products, and inside the network images lie batch-last, so that everything else is long runs of memory.

ReLU after pooling is what ReLU before it is, max(max(a, 0), max(b, 0)) = max(max(a, b), 0), at a quarter of the work.
`--engine tape` records the same network with shinso.autodiff instead; both give the same loss curve.

LeCun, Bottou, Bengio, Haffner 1998; Saito 2016 (layers with forward and backward).
"""

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from shinso.autodiff import functions as F
from shinso.autodiff.byhand.adam_update import Adam
from shinso.autodiff.byhand.affine import drawn
from shinso.autodiff.byhand.convolution import Convolution
from shinso.autodiff.byhand.cross_entropy import CrossEntropy
from shinso.autodiff.byhand.flatten import Flatten
from shinso.autodiff.byhand.max_pooling import MaxPooling
from shinso.autodiff.byhand.relu import ReLU
from shinso.autodiff.byhand.sequential import Sequential
from shinso.autodiff.tensor import Tensor
from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.seed import derive
from shinso.core.setup import in_range
from shinso.data.augment import usual
from shinso.data.examples import open_data
from shinso.learn.by_hand import ByHand, Network, by_layers
from shinso.learn.supervised import Plan
from shinso.optim.one_cycle import one_cycle


def lenet(rng: np.random.Generator, shape: tuple[int, ...] = (1, 28, 28), classes: int = 10,
          dtype: type = np.float32) -> Sequential:
    """(1) for images (batch, *shape) of at least 12x12, as a chain of layers by hand."""
    channels, height, width = shape
    features = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
    first = _filters(6, channels, 2, rng, dtype)
    first.wants_input_gradient = False
    return Sequential(
        first, MaxPooling(2), ReLU(), _filters(16, 6, 0, rng, dtype), MaxPooling(2), ReLU(), Flatten(),
        drawn(features, 120, rng, dtype), ReLU(), drawn(120, 84, rng, dtype), ReLU(), drawn(84, classes, rng, dtype),
    )  # fmt: skip


def _filters(maps: int, channels: int, padding: int, rng: np.random.Generator, dtype: type) -> Convolution:
    weight = rng.normal(0, (2 / (25 * channels)) ** 0.5, (maps, channels, 5, 5)).astype(dtype)
    return Convolution(weight, np.zeros(maps, dtype), padding=padding)


def recorded(network: Network, inputs: np.ndarray, classes: np.ndarray) -> tuple[float, MutableMapping]:
    """The same loss and gradients from the tape: (1) in the words of shinso.autodiff, on the same parameters."""
    leaves = {name: Tensor(array, requires_grad=True) for name, array in network.params.items()}
    loss = F.cross_entropy(scores(leaves, inputs), classes)
    loss.backward()
    return float(loss.data), {name: leaf.grad for name, leaf in leaves.items()}


def scores(p: dict[str, Tensor], x: np.ndarray | Tensor) -> Tensor:
    """(1) as a recorded program; the parameters are named as in the chain."""
    h = F.relu(F.max_pool2d(F.conv2d(x, p["0.weight"], p["0.bias"], padding=2), 2))
    h = F.relu(F.max_pool2d(F.conv2d(h, p["3.weight"], p["3.bias"]), 2))
    h = F.relu(F.affine(h.reshape(len(h), -1), p["7.weight"], p["7.bias"]))
    return F.affine(F.relu(F.affine(h, p["9.weight"], p["9.bias"])), p["11.weight"], p["11.bias"])


def _example() -> tuple[Sequential, np.ndarray, np.ndarray]:
    """A network in float64 that wants the gradient of its pixels, four pictures and their classes."""
    draw = np.random.default_rng(0)
    network = lenet(draw, dtype=np.float64)
    first = network.layers[0]
    assert isinstance(first, Convolution)  # noqa: S101 - for the type checker
    first.wants_input_gradient = True
    return network, draw.normal(size=(4, 1, 28, 28)), draw.integers(0, 10, 4)


def _pixel_gradient(network: Sequential, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    criterion = CrossEntropy()
    criterion.forward(network.forward(x), y)
    return network.backward(criterion.backward())


def parameters() -> Check:
    """The network has 61,706 parameters.

    Source: 156 + 2,416 + 48,120 + 10,164 + 850, layer by layer
    """
    return exactly(sum(array.size for array in _example()[0].params.values()), 61_706)


def one_chain_from_pixel_to_loss() -> Check:
    """The gradient reaches every one of the 784 pixels of a picture and is not zero there.

    Source: equation (3); end-to-end learning
    """
    return exactly(int(np.count_nonzero(_pixel_gradient(*_example())[0])), 784)


def the_pixels_gradient_is_the_slope() -> Check:
    """Along a random direction through the pixels, central differences over 1e-6 give the slope to 1e-6 of it.

    Source: equation (3)
    """
    network, x, y = _example()
    way = np.random.default_rng(1).normal(size=x.shape)
    slope = float((_pixel_gradient(network, x, y) * way).sum())
    ahead, behind = (CrossEntropy().forward(network.forward(x + h * way), y) for h in (1e-6, -1e-6))
    return about((ahead - behind) / 2e-6 / slope, 1, 1e-6)


def both_engines_agree() -> Check:
    """Layers by hand and the tape give the same loss and gradients, to 1e-13.

    Source: the same equations, computed twice
    """
    network, x, y = _example()
    loss, grads = by_layers(network, x, y)
    other, theirs = recorded(network, x, y)
    return at_most(max(abs(loss - other), *(float(abs(grads[name] - theirs[name]).max()) for name in theirs)), 1e-13)


def pooling_and_relu_change_places() -> Check:
    """ReLU after pooling equals ReLU before it, and so do their gradients: 0 numbers differ.

    Source: max(max(a, 0), max(b, 0)) = max(max(a, b), 0)
    """
    draw = np.random.default_rng(0)
    x, grad = draw.normal(size=(2, 3, 8, 8)), draw.normal(size=(2, 3, 4, 4))
    one, other = Sequential(MaxPooling(2), ReLU()), Sequential(ReLU(), MaxPooling(2))
    differ = int((one.forward(x) != other.forward(x)).sum())
    return exactly(differ + int((one.backward(grad) != other.backward(grad)).sum()), 0)


def ten_steps_learn() -> Check:
    """Ten plain gradient steps of 0.1 on one batch at least halve its loss.

    Source: a step against the gradient goes down
    """
    network, x, y = _example()
    first, _ = by_layers(network, x, y)
    for _ in range(10):
        _, grads = by_layers(network, x, y)
        for name, array in network.params.items():
            array -= 0.1 * grads[name]
    return at_least(first / by_layers(network, x, y)[0], 2.0)


CARD = Card(
    name="LeNet-5 by hand",
    name_ja="手書きの層による LeNet-5",
    paper="LeCun, Bottou, Bengio, Haffner 1998, Gradient-based learning applied to document recognition, Proc. IEEE 86",
    equations=(
        r"x \to \mathrm{conv}_{6} \to \mathrm{pool} \to \mathrm{conv}_{16} \to \mathrm{pool} \to 120 \to 84 \to s",
        r"L = -\frac{1}{n} \sum \log \mathrm{softmax}(s)_y, \quad "
        r"\frac{\partial L}{\partial s} = \frac{\mathrm{softmax}(s) - \mathrm{onehot}(y)}{n}",
        r"g_l = J_l^T\, g_{l+1}",
        r"\theta \leftarrow \theta - \mathrm{Adam}\left(\frac{\partial L}{\partial \theta}\right)",
    ),
    summary="A convolutional network in NumPy alone, layer by layer, reading MNIST at 99 % after minutes on one core.",
    summary_ja="NumPy だけで層ごとに書いた畳み込みネットワーク。一つのコアで数分学習し、MNIST を 99 % 読む。",
    topics=("basics.end-to-end",),
    facts=(parameters, one_chain_from_pixel_to_loss, the_pixels_gradient_is_the_slope, both_engines_agree,
           pooling_and_relu_change_places, ten_steps_learn),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What can be chosen."""

    data: str = "digits"
    """data set: digits, mnist, fashion-mnist, folder:PATH"""
    engine: Literal["byhand", "tape"] = "byhand"
    """who computes the gradients: byhand, the layers' own backward; tape, shinso.autodiff on the same parameters"""
    epochs: int = 20
    """passes over the training part"""
    batch_size: int = 32
    """examples per step"""
    lr: float = 0.003
    """largest learning rate of Adam; it rises for a quarter of the run and falls to 0"""
    augment: bool = False
    """change the training images a little, a new way every time: bend and shift writing, mirror and shift pictures"""
    patience: int = 0
    """evaluations without improvement before stopping early; 0: never"""
    seed: int = 0
    """of the first weights, the order and the augmentation"""


VARIANTS = {
    "smoke": Setup(epochs=1),
    "default": Setup(),
    "tape": Setup(engine="tape"),
    "mnist": Setup(data="mnist", epochs=8, batch_size=128, augment=True),
}


def build(setup: Setup, place: Place = Place()) -> ByHand:  # noqa: B008 - a frozen value
    """The training program, for images of at least 12x12; NumPy computes on the CPU, whatever the place."""
    in_range(setup, ("epochs", "batch_size", "lr"))
    data = open_data(setup.data)
    if len(data.about.shape) != 3 or min(data.about.shape[1:]) < 12:
        raise UserError(f"data '{setup.data}'", "this network reads images of at least 12x12",
                        "use digits, mnist or folder:PATH")
    network = lenet(np.random.default_rng(derive(setup.seed, "weights")), data.about.shape, len(data.about.classes))
    plan = Plan(epochs=setup.epochs, batch_size=setup.batch_size, seed=setup.seed, schedule=one_cycle,
                augment=usual(data.about, setup.seed) if setup.augment else None)
    return ByHand(network, Adam(setup.lr), data, plan, by_layers if setup.engine == "byhand" else recorded)
