r"""PReLU: a LeakyReLU that learns its own slope.

    f(x) = max(0, x) + a min(0, x)                            (1)
    df/dx = 1 if x > 0, else a                                (2)
    df/da = min(0, x), summed over what shares this a         (3)

One slope for everything, or one per channel (axis 1). It starts at 1/4. Weight decay would pull the slopes towards 0,
that is, towards ReLU; the paper uses none on them.

He, Zhang, Ren, Sun 2015.
"""

from typing import final

import numpy as np

from shinso.core.card import Card, Check, about, exactly


@final
class PReLU:
    """Elementwise; `params["a"]` has one entry, or as many as axis 1 is long."""

    def __init__(self, channels: int = 1):
        self.params = {"a": np.full(channels, 0.25)}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return np.maximum(0, x) + self._a() * np.minimum(0, x)  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        by_slope = grad * np.minimum(0, self.x)
        shared = tuple(axis for axis in range(by_slope.ndim) if axis != 1 or self.params["a"].size == 1)
        self.grads["a"] = by_slope.sum(axis=shared).reshape(-1)  # (3)
        return np.where(self.x > 0, grad, self._a() * grad)  # (2)

    def _a(self) -> np.ndarray:
        """The slopes, along axis 1 if there are several."""
        a = self.params["a"].astype(self.x.dtype, copy=False)
        return a[0] if a.size == 1 else a.reshape(-1, *(1,) * (self.x.ndim - 2))


def example(rng: np.random.Generator) -> tuple[PReLU, tuple[np.ndarray]]:
    """A layer with a slope for each of three channels, and images that keep away from 0."""
    layer = PReLU(3)
    layer.params["a"] = rng.uniform(-0.2, 0.5, 3)
    x = rng.uniform(0.2, 1, (2, 3, 2, 2))
    return layer, (x * rng.choice([-1, 1], x.shape),)


def starts_at_a_quarter() -> Check:
    """A new layer maps -2, 0 and 3 to -0.5, 0 and 3.

    Source: He, Zhang, Ren, Sun 2015, section 2.1
    """
    return exactly(float(np.abs(PReLU().forward(np.array([-2.0, 0, 3])) - [-0.5, 0, 3]).max()), 0)


def the_slope_hears_the_negative_inputs() -> Check:
    """With a gradient of 1 everywhere df/da is the sum of the negative inputs, to 1e-12.

    Source: equation (3)
    """
    x, layer = np.random.default_rng(0).standard_normal((50, 20)), PReLU()
    layer.forward(x)
    layer.backward(np.ones_like(x))
    return about(float(layer.grads["a"][0] - x[x < 0].sum()), 0, 1e-12)


def learns_the_slope_of_its_teacher() -> Check:
    """100 steps of gradient descent find the slope 0.6 that made the targets, to 1e-6.

    Source: the squared error is a parabola in a
    """
    x, layer = np.random.default_rng(1).standard_normal(200), PReLU()
    target = np.where(x > 0, x, 0.6 * x)
    for _ in range(100):
        layer.backward((layer.forward(x) - target) / 100)
        layer.params["a"] -= 0.5 * layer.grads["a"]
    return about(float(layer.params["a"][0]), 0.6, 1e-6)


CARD = Card(
    name="PReLU",
    name_ja="PReLU(パラメトリックReLU)",
    paper="He, Zhang, Ren, Sun 2015, Delving deep into rectifiers, arXiv:1502.01852",
    equations=(r"f(x) = \max(0, x) + a \min(0, x)",
               r"\frac{\partial f}{\partial x} = 1 \ \mathrm{if}\ x > 0,\ \mathrm{else}\ a",
               r"\frac{\partial f}{\partial a} = \sum \min(0, x)"),
    summary="A LeakyReLU that learns the slope of its negative side, starting from 1/4.",
    summary_ja="負の側の傾きを学習する LeakyReLU。傾きは 1/4 から始まる。",
    topics=("nn.prelu",),
    facts=(starts_at_a_quarter, the_slope_hears_the_negative_inputs, learns_the_slope_of_its_teacher),
    notes=("The paper puts no weight decay on the slopes: it would pull them towards 0, that is, towards ReLU.",),
    notes_ja=("論文は傾きに重み減衰をかけない。かけると傾きは 0、すなわち ReLU に引き寄せられる。",),
    twin="torch.nn.functional.prelu",
)
