r"""Power normalisation: what a transmitter sends may not be louder than allowed.

    average:  y_i = x_i / s,    s = sqrt(1/n sum_i ||x_i||^2)                   (1)
    each:     y_i = x_i / ||x_i||                                               (2)
    dL/dx_i = (g_i - y_i 1/n sum_j g_j . y_j) / s                               (3)
    dL/dx_i = (g_i - y_i (g_i . y_i)) / ||x_i||                                 (4)

x_i is the signal of message i in a batch of n. Under (1) the mean energy is 1, under (2) that of every signal. Each
gradient loses its part along y: no change of scale can help. The surprise of (1): an example's output depends on the
others, as in batch normalisation, so a batch of one is always sent with energy 1 and (1) becomes (2).

O'Shea and Hoydis 2017 (communication systems as autoencoders).
"""

from typing import Literal, final

import numpy as np

from shinso.autodiff.byhand._shapes import fits
from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.errors import UserError


@final
class PowerNormalise:
    """(n, size) -> (n, size) with mean squared norm 1 ("average") or every norm 1 ("each")."""

    def __init__(self, mode: Literal["average", "each"] = "average"):
        self.mode = mode

    def forward(self, x: np.ndarray) -> np.ndarray:
        if x.ndim != 2:
            raise UserError("power normalisation", f"the input has the shape {x.shape}", "give (examples, size)")
        energy = (x * x).sum(1, keepdims=True)
        if self.mode == "average" and len(x):
            energy = energy.mean(0, keepdims=True)
        if (energy == 0).any():
            raise UserError("power normalisation", "a signal of nothing but zeros has no scale", "send something")
        self.scale = np.sqrt(energy)
        self.y = x / self.scale  # (1), (2)
        return self.y

    def backward(self, grad: np.ndarray) -> np.ndarray:
        fits("power normalisation", "the gradient", grad.shape, self.y.shape)
        along = (grad * self.y).sum(1, keepdims=True)
        if self.mode == "average" and len(grad):
            along = along.mean(0, keepdims=True)
        return (grad - self.y * along) / self.scale  # (3), (4)


def example(rng: np.random.Generator) -> tuple[PowerNormalise, tuple[np.ndarray]]:
    """Four signals of six numbers."""
    return PowerNormalise(), (rng.normal(size=(4, 6)),)


def the_mean_energy_is_one() -> Check:
    """The mean squared norm of 16 signals is 1 to 1e-12, under "each" every one of them is.

    Source: equations (1) and (2); O'Shea and Hoydis 2017, section II-A
    """
    x = np.random.default_rng(0).normal(3, 5, (16, 7))
    mean = (PowerNormalise().forward(x) ** 2).sum(1).mean()
    each = (PowerNormalise("each").forward(x) ** 2).sum(1)
    return at_most(float(abs(mean - 1) + np.abs(each - 1).max()), 1e-12)


def louder_makes_no_difference() -> Check:
    """Signals 1024 times as loud are sent alike, bit for bit, and their gradient is exactly 1024 times smaller.

    Source: y is homogeneous of degree 0 in x
    """
    layer, (x,) = example(np.random.default_rng(0))
    y = layer.forward(x)
    back = layer.backward(np.cos(y))
    off = np.abs(layer.forward(1024 * x) - y).max()
    return exactly(float(off + np.abs(1024 * layer.backward(np.cos(y)) - back).max()), 0)


def no_gradient_along_the_signal() -> Check:
    """The sum over the batch of dL/dx_i . x_i is 0 to 1e-13.

    Source: Euler's theorem on homogeneous functions
    """
    layer, (x,) = example(np.random.default_rng(1))
    return at_most(float(abs((layer.backward(np.sin(layer.forward(x))) * x).sum())), 1e-13)


def a_batch_of_one_is_sent_alone() -> Check:
    """Alone, each of 4 signals has norm 1 to 1e-15; among the others, one of them differs from 1 by more than a tenth.

    Source: equation (1) with n = 1
    """
    layer, (x,) = example(np.random.default_rng(0))
    alone = [float(np.linalg.norm(layer.forward(row[None]))) for row in x]
    among = np.linalg.norm(layer.forward(x), axis=1)
    return at_least(float(np.abs(among - 1).max()) if max(abs(a - 1) for a in alone) <= 1e-15 else 0.0, 0.1)


CARD = Card(
    name="Power normalisation",
    name_ja="送信電力の正規化",
    paper="O'Shea and Hoydis 2017, An introduction to deep learning for the physical layer, arXiv:1702.00832",
    equations=(
        r"y_i = x_i / s,\quad s = \sqrt{\frac{1}{n} \sum_i \|x_i\|^2}",
        r"y_i = x_i / \|x_i\|",
        r"\frac{\partial L}{\partial x_i} = \frac{1}{s}(g_i - y_i \frac{1}{n} \sum_j g_j \cdot y_j)",
        r"\frac{\partial L}{\partial x_i} = \frac{1}{\|x_i\|}(g_i - y_i (g_i \cdot y_i))",
    ),
    summary="Scales what is sent to energy 1, over the batch or for each signal; gradients along the signal vanish.",
    summary_ja="送信信号を、バッチの平均で、または一つずつ、エネルギー 1 に揃える。信号に沿う勾配は消える。",
    topics=("nn.power-normalise",),
    facts=(
        the_mean_energy_is_one,
        louder_makes_no_difference,
        no_gradient_along_the_signal,
        a_batch_of_one_is_sent_alone,
    ),
    notes=("The average couples the examples of a batch: a batch of one at test time always has norm 1, whatever "
           "it had in training.",),
    notes_ja=("平均による正規化はバッチ内の事例を結び付ける。テスト時に一例だけ送ると、訓練時の大きさによらずノル"
              "ムは必ず 1 になる。",),
)
