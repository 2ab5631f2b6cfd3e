r"""Convolution as mathematics means it: the filter is flipped before it moves.

    (g * f)(t) = sum_tau g(tau) f(t - tau)                                                         (1)
    (g ~ f)(t) = sum_tau g(tau) f(t + tau)          the cross-correlation                          (2)
    g * f = f * g,      x * w = x ~ flip(w)                                                        (3)
    dx = dy * w with all overlaps kept, for y = x ~ w                                              (4)

(1) is what a filter does to a signal, and the order of the two does not matter; (2) looks for a known pattern, and its
order does. The surprise is (4): the layer that networks call convolution computes (2) forwards, and backwards its
input gradient is a true convolution (1) with the very same filter.
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand.convolution import Convolution
from shinso.core.card import Card, Check, at_least, at_most, exactly


def convolve(g: np.ndarray, f: np.ndarray) -> np.ndarray:
    """(1) of two signals, (n,) and (m,) -> (n + m - 1,): every overlap; the loop runs over the filter f."""
    total = np.zeros(len(g) + len(f) - 1, np.result_type(g, f))
    for tau, weight in enumerate(f):
        total[tau : tau + len(g)] += weight * g
    return total


def correlate(g: np.ndarray, f: np.ndarray) -> np.ndarray:
    """(2) of two real signals, (n,) and (m,) -> (n + m - 1,): every overlap, from the last entry of f onwards."""
    return convolve(g, f[::-1])


@final
class TrueConvolution:
    """(3) as a layer: images and weights as in Convolution, but the filter is flipped."""

    def __init__(self, weight: np.ndarray, bias: np.ndarray | None = None, *, stride: int = 1, padding: int = 0):
        self.correlation = Convolution(weight, bias, stride=stride, padding=padding)
        self.params = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.correlation.params = {**self.params, "weight": flipped(self.params["weight"])}  # (3)
        return self.correlation.forward(x)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        back = self.correlation.backward(grad)
        self.grads = {**self.correlation.grads, "weight": flipped(self.correlation.grads["weight"])}
        return back


def flipped(weight: np.ndarray) -> np.ndarray:
    """The filters turned by half a turn."""
    return np.ascontiguousarray(weight[:, :, ::-1, ::-1])


def example(rng: np.random.Generator) -> tuple[TrueConvolution, tuple[np.ndarray, ...]]:
    """Two filters of 3x2, which no turn leaves as they are."""
    return TrueConvolution(rng.normal(size=(2, 2, 3, 2)), rng.normal(size=2)), (rng.normal(size=(2, 2, 5, 4)),)


def it_is_numpys_convolution() -> Check:
    """(1) equals numpy.convolve and (2) equals numpy.correlate with every overlap, to 1e-14.

    Source: equations (1) and (2)
    """
    g, f = _signals()
    off = abs(convolve(g, f) - np.convolve(g, f)).max() + abs(correlate(g, f) - np.correlate(g, f, "full")).max()
    return at_most(float(off), 1e-14)


def convolution_commutes() -> Check:
    """g * f and f * g agree to 1e-14.

    Source: substitute t - tau for tau in (1)
    """
    g, f = _signals()
    return at_most(float(abs(convolve(g, f) - convolve(f, g)).max()), 1e-14)


def correlation_does_not_commute() -> Check:
    """g ~ f and f ~ g differ by more than a tenth; one is the other backwards.

    Source: substitute t + tau for tau in (2)
    """
    g, f = _signals()
    backwards = abs(correlate(g, f) - correlate(f, g)[::-1]).max()
    return at_least(float(abs(correlate(g, f) - correlate(f, g)).max() - 1e9 * backwards), 0.1)


def _signals() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    return draw.normal(size=20), draw.normal(size=5)


def one_row_of_pixels_is_a_signal() -> Check:
    """On an image of one row the layer gives the valid part of numpy.convolve, to 1e-14.

    Source: equations (1) and (3)
    """
    g, f = _signals()
    y = TrueConvolution(f[None, None, None]).forward(g[None, None, None])
    return at_most(float(abs(y[0, 0, 0] - np.convolve(g, f, "valid")).max()), 1e-14)


def the_input_gradient_is_a_full_convolution() -> Check:
    """The input gradient of a cross-correlation equals the true convolution (4) of its output gradient, to 1e-13.

    Source: equation (4)
    """
    draw = np.random.default_rng(0)
    x, weight = draw.normal(size=(2, 3, 6, 7)), draw.normal(size=(4, 3, 3, 3))
    layer = Convolution(weight)
    grad = draw.normal(size=layer.forward(x).shape)
    exchanged = np.ascontiguousarray(weight.swapaxes(0, 1))  # from filters back to channels
    return at_most(float(abs(layer.backward(grad) - TrueConvolution(exchanged, padding=2).forward(grad)).max()), 1e-13)


def a_planted_pattern_is_found() -> Check:
    """The normalised cross-correlation is largest exactly where a 5x5 pattern was planted in noise, in 50 of 50 images.

    Source: matched filter; (2) divided by the norm of what the window meets
    """
    draw, found = np.random.default_rng(0), 0
    pattern = draw.normal(size=(1, 1, 5, 5))
    for _ in range(50):
        y, x = draw.integers(0, 16, 2)
        image = 0.3 * draw.normal(size=(1, 1, 20, 20))
        image[0, 0, y : y + 5, x : x + 5] += pattern[0, 0]
        energy = Convolution(np.ones_like(pattern)).forward(image**2)
        score = Convolution(pattern).forward(image) / np.sqrt(energy)
        found += np.unravel_index(score[0, 0].argmax(), score.shape[2:]) == (y, x)
    return exactly(found, 50)


CARD = Card(
    name="True convolution and cross-correlation",
    name_ja="畳み込み計算と相互相関関数",
    paper="Dumoulin and Visin 2016, arXiv:1603.07285, for the gradient",
    equations=(
        r"(g * f)(t) = \sum_\tau g(\tau)\, f(t - \tau)",
        r"(g \star f)(t) = \sum_\tau g(\tau)\, f(t + \tau)",
        r"g * f = f * g,\quad x * w = x \star \mathrm{flip}(w)",
        r"y = x \star w \;\Rightarrow\; dx = dy * w",
    ),
    summary="The filter is flipped, and then the order does not matter; backwards, a network's layer does just this.",
    summary_ja=(
        "フィルタを反転すると、二つの順序は結果に関わらない。ネットワークの畳み込み層は、逆伝播でこれを計算する。"),
    topics=("nn.true-convolution", "vision.part.cross-correlation"),
    facts=(it_is_numpys_convolution, convolution_commutes, correlation_does_not_commute, one_row_of_pixels_is_a_signal,
           the_input_gradient_is_a_full_convolution, a_planted_pattern_is_found),
    notes=("The document gives the flipped formula (1) beside a figure that does not flip: both stand here under their "
           "own names.",
           "What networks call convolution is (2); only on the way back, for the gradient of its input, is it (1), "
           "with every overlap."),
    notes_ja=("資料は、反転する式 (1) と、反転しない図を並べている。ここでは両方がそれぞれの名前で置かれている。",
              "ネットワークで畳み込みと呼ぶものは (2) である。(1) になるのは逆向き、入力の勾配を計算するときだけで、"
              "すべての重なりを残す。"),
)
