r"""A chain of layers is a layer.

    y = (f_L o ... o f_2 o f_1)(x)                                 (1)
    dL/dx = J_1^T (J_2^T ( ... (J_L^T G)))                         (2)

forward goes through the layers in their order, backward in the other one; no layer knows of its neighbours. The
surprise: that is all of back-propagation. Each layer multiplies what arrives with its own transposed Jacobian, and the
brackets in (2) stand so that a vector, never a matrix, is passed on.

Rumelhart, Hinton, Williams 1986 (the backward pass); Collobert, Kavukcuoglu, Farabet 2011 (the container's name).
"""

from collections.abc import ItemsView, Iterator, MutableMapping
from typing import Any, Protocol, cast, final

import numpy as np

from shinso.autodiff.byhand.affine import Affine
from shinso.autodiff.byhand.batch_norm import BatchNorm
from shinso.autodiff.byhand.flatten import Flatten
from shinso.core.card import Card, Check, at_most, exactly


class Layer(Protocol):
    """What a chain asks of its links: one input, one output."""

    def forward(self, x: Any, /) -> np.ndarray: ...

    def backward(self, grad: np.ndarray, /) -> Any: ...


@final
class Gathered(MutableMapping[str, np.ndarray]):
    """The arrays of all layers under names such as `0.weight`, always the layers' own; nothing is stored here."""

    def __init__(self, layers: list[Layer], attribute: str):
        self.layers, self.attribute = layers, attribute

    def __getitem__(self, name: str) -> np.ndarray:
        arrays, last = self._place(name)
        return arrays[last]

    def __setitem__(self, name: str, array: np.ndarray) -> None:
        arrays, last = self._place(name)
        arrays[last] = array

    def __delitem__(self, name: str) -> None:
        arrays, last = self._place(name)
        del arrays[last]

    def __iter__(self) -> Iterator[str]:
        for number, layer in enumerate(self.layers):
            for name in getattr(layer, self.attribute, ()):
                yield f"{number}.{name}"

    def __len__(self) -> int:
        return sum(len(getattr(layer, self.attribute, ())) for layer in self.layers)

    def items(self) -> ItemsView[str, np.ndarray]:
        """All at once: one look at every layer, where a look-up of each name would take as many."""
        return {f"{number}.{name}": array for number, layer in enumerate(self.layers)
                for name, array in getattr(layer, self.attribute, {}).items()}.items()

    def _place(self, name: str) -> tuple[Any, str]:
        number, _, last = name.partition(".")
        if not number.isdecimal() or int(number) >= len(self.layers):
            raise KeyError(name)
        return getattr(self.layers[int(number)], self.attribute, {}), last


@final
class Sequential:
    """Layers one after the other; `params` and `grads` are theirs, `training` sets all that have one."""

    def __init__(self, *layers: Layer):
        self.layers = list(layers)
        self.params, self.grads = Gathered(self.layers, "params"), Gathered(self.layers, "grads")

    def forward(self, x: np.ndarray) -> np.ndarray:
        for layer in self.layers:
            x = layer.forward(x)  # (1)
        return x

    def backward(self, grad: np.ndarray) -> np.ndarray:
        for layer in reversed(self.layers):
            grad = layer.backward(grad)  # (2)
        return grad

    @property
    def training(self) -> bool:
        return any(getattr(layer, "training", False) for layer in self.layers)

    @training.setter
    def training(self, value: bool) -> None:
        for layer in self.layers:
            if hasattr(layer, "training"):
                layer.training = value  # pyright: ignore[reportAttributeAccessIssue] - it has it


def example(rng: np.random.Generator) -> tuple[Sequential, tuple[np.ndarray]]:
    """Flatten, Affine, a nested chain of BatchNorm and Affine."""
    first = Affine(rng.normal(size=(6, 4)), rng.normal(size=4))
    last = Affine(rng.normal(size=(4, 3)), rng.normal(size=3))
    return Sequential(Flatten(), first, Sequential(BatchNorm(4), last)), (rng.normal(size=(5, 2, 3)),)


def it_is_the_composition() -> Check:
    """The chain's output, its gradients and those of its parameters are those of calling the layers by hand, exactly.

    Source: equations (1) and (2)
    """
    chain, (x,) = example(np.random.default_rng(0))
    flat, first, inner = cast(tuple[Flatten, Affine, Sequential], chain.layers)
    norm, last = cast(tuple[BatchNorm, Affine], inner.layers)
    y = last.forward(norm.forward(first.forward(flat.forward(x))))
    back = flat.backward(first.backward(norm.backward(last.backward(y))))
    by_hand = [y, back, first.grads["weight"], norm.grads["bias"], last.grads["bias"]]
    ours = [chain.forward(x), chain.backward(y), *(chain.grads[n] for n in ("1.weight", "2.0.bias", "2.1.bias"))]
    return exactly(max(float(np.abs(a - b).max()) for a, b in zip(ours, by_hand, strict=True)), 0)


def names_are_places() -> Check:
    """Of Affine, Flatten, Affine, Flatten, Affine the parameters stand at 0, 2 and 4: 6 names as in torch.

    Source: Collobert, Kavukcuoglu, Farabet 2011; torch.nn.Sequential
    """
    def affine() -> Affine:
        return Affine(np.zeros((2, 2)), np.zeros(2))

    chain = Sequential(affine(), Flatten(), affine(), Flatten(), affine())
    wanted = [f"{number}.{name}" for number in (0, 2, 4) for name in ("weight", "bias")]
    return exactly(len(chain.params) if list(chain.params) == wanted else 0, 6)


def the_order_of_the_product_matters() -> Check:
    """backward in the forward order fails: shapes 6x4 and 4x3 do not fit, and in the right one they do.

    Source: (A B)^T = B^T A^T
    """
    chain, (x,) = example(np.random.default_rng(0))
    grad = chain.forward(x)
    matrices = [chain.params[name] for name in ("1.weight", "2.1.weight")]
    failed = matrices[0].T.shape[0] != grad.shape[1]
    return exactly(float(failed and chain.backward(grad).shape == x.shape), 1)


def the_jacobian_is_the_product() -> Check:
    """For two affine maps dL/dx equals G (W_1 W_2)^T to 1e-14.

    Source: the chain rule
    """
    draw = np.random.default_rng(1).normal
    one, two = Affine(draw(size=(5, 4)), draw(size=4)), Affine(draw(size=(4, 3)), draw(size=3))
    chain, x, grad = Sequential(one, two), draw(size=(6, 5)), draw(size=(6, 3))
    chain.forward(x)
    product = one.params["weight"] @ two.params["weight"]
    return at_most(float(np.abs(chain.backward(grad) - grad @ product.T).max()), 1e-14)


CARD = Card(
    name="Sequential container",
    name_ja="層の直列 (nn.Sequential)",
    paper="Collobert, Kavukcuoglu, Farabet 2011, Torch7; Rumelhart, Hinton, Williams 1986, doi:10.1038/323533a0",
    equations=(
        r"y = (f_L \circ \cdots \circ f_2 \circ f_1)(x)",
        r"\frac{\partial L}{\partial x} = J_1^T (J_2^T ( \cdots (J_L^T G)))",
    ),
    summary="A chain of layers is a layer: forward in their order, backward in the other one.",
    summary_ja="層をつないだものも一つの層である。順伝播は順に、逆伝播は逆の順に通る。",
    topics=("nn.sequential",),
    facts=(
        it_is_the_composition,
        names_are_places,
        the_order_of_the_product_matters,
        the_jacobian_is_the_product,
    ),
)
