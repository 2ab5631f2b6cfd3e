r"""LogSigmoid: the logarithm of a probability, without the probability.

    f(x) = log(1 / (1 + exp(-x))) = min(x, 0) - log(1 + exp(-|x|))    (1)
    f'(x) = 1 / (1 + exp(x))                                          (2)

It is -softplus(-x). Taken in two steps, first the sigmoid, then the logarithm, it is lost where it matters: at x =
-10,000 the sigmoid is 0 and the logarithm -inf, while f is -10,000.
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand.sigmoid import Sigmoid
from shinso.autodiff.byhand.softplus import Softplus
from shinso.core.card import Card, Check, at_most, exactly


@final
class LogSigmoid:
    """Elementwise, any shape."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        e = np.exp(-np.abs(self.x))
        return grad * np.where(self.x < 0, 1, e) / (1 + e)  # (2)


def example(rng: np.random.Generator) -> tuple[LogSigmoid, tuple[np.ndarray]]:
    """A layer and a column of inputs."""
    return LogSigmoid(), (rng.normal(-1, 3, (14, 1)),)


def softplus_upside_down() -> Check:
    """f(x) = -softplus(-x) exactly on 801 points of [-40, 40].

    Source: equation (1)
    """
    x = np.linspace(-40, 40, 801)
    return exactly(float(np.abs(LogSigmoid().forward(x) + Softplus().forward(-x)).max()), 0)


def finite_where_the_sigmoid_is_zero() -> Check:
    """At -10,000 in float32 the value is -10,000 with slope 1; the logarithm of the sigmoid is -inf.

    Source: exp(-104) is 0 in float32
    """
    x, layer = np.array([-1e4], np.float32), LogSigmoid()
    with np.errstate(divide="ignore"):
        lost = bool(np.isneginf(np.log(Sigmoid().forward(x)))[0])
    off = np.abs(layer.forward(x) + 1e4) + np.abs(layer.backward(np.ones(1, np.float32)) - 1)
    return at_most(float(off[0]) if lost else np.inf, 0)


CARD = Card(
    name="LogSigmoid",
    name_ja="LogSigmoid(対数シグモイド)",
    paper="Good 1952, Rational decisions (the logarithm of a probability as a score)",
    equations=(r"f(x) = \log\frac{1}{1 + e^{-x}} = \min(x, 0) - \log(1 + e^{-|x|})", r"f'(x) = \frac{1}{1 + e^{x}}"),
    summary="The logarithm of the sigmoid in one step, finite where sigmoid and logarithm in turn give -inf.",
    summary_ja="シグモイドの対数を一度に計算する。順に計算すると -inf になる所でも有限である。",
    topics=("nn.logsigmoid",),
    facts=(softplus_upside_down, finite_where_the_sigmoid_is_zero),
    notes=("log(sigmoid(x)) underflows to -inf; the fact shows it.",),
    notes_ja=("log(sigmoid(x)) はアンダーフローして -inf になる。主張の一つがそれを示す。",),
    twin="torch.nn.functional.logsigmoid",
)
