r"""Batch normalisation: every unit gets mean 0 and variance 1 over the batch, then its own scale and shift.

    mu = 1/m sum_i x_i,   s^2 = 1/m sum_i (x_i - mu)^2                          (1)
    h_i = (x_i - mu) / sqrt(s^2 + eps),   y_i = gamma h_i + beta                (2)
    dL/dx_i = gamma / sqrt(s^2 + eps) (g_i - 1/m sum_j g_j - h_i 1/m sum_j g_j h_j)     (3)
    dL/dgamma = sum_i g_i h_i,   dL/dbeta = sum_i g_i                           (4)

for each unit (or each channel of an image, then m counts its pixels, too). In use a single example has no batch: there
mu and s^2 are replaced by moving averages of training,

    M <- M + a (mu - M),   V <- V + a (m / (m - 1) s^2 - V)                     (5)

where V takes the unbiased variance, as torch's does. The surprise of (3): the gradient has neither a mean nor a part
along h; shifting or stretching all inputs alike changes nothing, so nothing is asked of them. Thus W and c W in front
of the layer give the same output.

Ioffe and Szegedy 2015.
"""

from math import prod
from typing import final

import numpy as np

from shinso.autodiff.byhand._shapes import fits
from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.errors import UserError


@final
class BatchNorm:
    """(n, units) or (n, channels, ...) -> the same; a statistic for each unit or channel.

    `running_mean` and `running_var` are (5), kept in the precision of the parameters.
    """

    def __init__(self, units: int, eps: float = 1e-5, momentum: float = 0.1, dtype: type = np.float64):
        self.params = {"weight": np.ones(units, dtype), "bias": np.zeros(units, dtype)}  # gamma, beta
        self.grads: dict[str, np.ndarray] = {}
        self.running_mean, self.running_var = np.zeros(units, dtype), np.ones(units, dtype)
        self.eps, self.momentum, self.training = eps, momentum, True

    def forward(self, x: np.ndarray) -> np.ndarray:
        units = len(self.running_mean)
        if x.ndim < 2 or x.shape[1] != units:
            raise UserError("batch normalisation", f"an input of shape {x.shape} has no {units} units", "give (n, "
                            f"{units}) or (n, {units}, height, width)")
        self.axes, self.column = (0, *range(2, x.ndim)), (1, units) + (1,) * (x.ndim - 2)
        if self.training:
            mean, var = self._measure(x)
        else:
            mean, var = self.running_mean.astype(x.dtype), self.running_var.astype(x.dtype)
        self.batch_decides = self.training
        self.inverse = (1 / np.sqrt(var + self.eps)).reshape(self.column)
        self.h = (x - mean.reshape(self.column)) * self.inverse  # (2)
        return self.h * self._wide("weight") + self._wide("bias")

    def backward(self, grad: np.ndarray) -> np.ndarray:
        fits("batch normalisation", "the gradient", grad.shape, self.h.shape)
        to_weight, to_bias = (grad * self.h).sum(self.axes), grad.sum(self.axes)
        self.grads = {"weight": to_weight, "bias": to_bias}  # (4)
        slope = self._wide("weight") * self.inverse
        if not self.batch_decides:
            return grad * slope
        m = prod(grad.shape[axis] for axis in self.axes)
        mean, along = (to_bias / m).reshape(self.column), (to_weight / m).reshape(self.column)
        return slope * (grad - mean - self.h * along)  # (3)

    def _measure(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        m = prod(x.shape[axis] for axis in self.axes)
        if m < 2:
            raise UserError("batch normalisation", f"{m} value per unit has no variance", "give a larger batch, or set "
                            "training = False")
        mean, var = x.mean(self.axes), x.var(self.axes)  # (1)
        self.running_mean += self.momentum * (mean - self.running_mean)  # (5)
        self.running_var += self.momentum * (m / (m - 1) * var - self.running_var)
        return mean, var

    def _wide(self, name: str) -> np.ndarray:
        return self.params[name].reshape(self.column)


def example(rng: np.random.Generator) -> tuple[BatchNorm, tuple[np.ndarray]]:
    """Three channels of 2x2 images, five of them, with scales and shifts that are not 1 and 0."""
    layer = BatchNorm(3)
    layer.params = {"weight": rng.normal(1, 0.3, 3), "bias": rng.normal(size=3)}
    return layer, (rng.normal(2, 3, (5, 3, 2, 2)),)


def mean_zero_and_the_promised_variance() -> Check:
    """In training every unit has mean 0 and variance s^2 / (s^2 + eps), to 1e-14 for eps = 0.5.

    Source: equations (1) and (2)
    """
    x = np.random.default_rng(0).normal(2, 3, (50, 4))
    y = BatchNorm(4, eps=0.5).forward(x)
    off = np.abs(y.mean(0)).max() + np.abs(y.var(0) - x.var(0) / (x.var(0) + 0.5)).max()
    return at_most(float(off), 1e-14)


def the_scale_of_the_weights_is_forgotten() -> Check:
    """W and 1000 W in front of the layer give outputs that differ by at most 1e-5, which is eps.

    Source: Ioffe and Szegedy 2015, section 3.3
    """
    draw = np.random.default_rng(1)
    x, w = draw.normal(size=(64, 6)), draw.normal(size=(6, 5))
    return at_most(float(np.abs(BatchNorm(5).forward(x @ w) - BatchNorm(5).forward(x @ (1000 * w))).max()), 1e-5)


def gradients_have_no_mean_and_no_part_along() -> Check:
    """The gradient of the input sums to 0 and is orthogonal to h, to 1e-13 (with eps = 0).

    Source: equation (3), multiplied by 1 and by h and summed
    """
    draw = np.random.default_rng(2)
    layer = BatchNorm(4, eps=0.0)
    layer.forward(draw.normal(2, 3, (50, 4)))
    back = layer.backward(draw.normal(size=(50, 4)))
    return at_most(float(np.abs(back.sum(0)).max() + np.abs((back * layer.h).sum(0)).max()), 1e-13)


def the_running_variance_is_the_unbiased_one() -> Check:
    """After 300 passes over one batch of 5 the running variance is 5/4 of the batch's own, to 1e-12.

    Source: equation (5); torch.nn.BatchNorm1d
    """
    x, layer = np.random.default_rng(3).normal(2, 3, (5, 1)), BatchNorm(1)
    for _ in range(300):
        layer.forward(x)
    return about(float(layer.running_var[0] / x.var()), 5 / 4, 1e-12)


def scale_and_shift_can_undo_it() -> Check:
    """With gamma = sqrt(s^2 + eps) and beta = mu the layer is the identity to 1e-14; without them nothing could.

    Source: Ioffe and Szegedy 2015, section 3
    """
    x, layer = np.random.default_rng(4).normal(2, 3, (20, 3)), BatchNorm(3)
    layer.params["weight"][:], layer.params["bias"][:] = np.sqrt(x.var(0) + layer.eps), x.mean(0)
    return at_most(float(np.abs(layer.forward(x) - x).max()), 1e-14)


def moving_averages_are_not_those_of_all_data() -> Check:
    """After a pass over 20 batches of numbers that rise from 0 to 1, the running mean is above their mean by over 0.05.

    Source: (5) weights the batch before k others by a (1 - a)^k
    """
    x, layer = np.linspace(0, 1, 200), BatchNorm(1)
    for batch in x.reshape(20, 10, 1):
        layer.forward(batch)
    return at_least(float(layer.running_mean[0] - x.mean()), 0.05)


CARD = Card(
    name="Batch normalisation",
    name_ja="バッチ正規化",
    paper="Ioffe and Szegedy 2015, Batch normalization, arXiv:1502.03167",
    equations=(
        r"\mu = \frac{1}{m} \sum_i x_i,\quad \sigma^2 = \frac{1}{m} \sum_i (x_i - \mu)^2",
        r"h_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \epsilon}},\quad y_i = \gamma h_i + \beta",
        r"\frac{\partial L}{\partial x_i} = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}"
        r"(g_i - \frac{1}{m} \sum_j g_j - h_i \frac{1}{m} \sum_j g_j h_j)",
        r"\frac{\partial L}{\partial \gamma} = \sum_i g_i h_i,\quad \frac{\partial L}{\partial \beta} = \sum_i g_i",
        r"M \leftarrow M + a(\mu - M),\quad V \leftarrow V + a(\frac{m}{m-1}\sigma^2 - V)",
    ),
    summary="Every unit gets mean 0 and variance 1 over the batch; the gradient is written in closed form.",
    summary_ja="各ユニットをバッチにわたり平均 0・分散 1 に揃える。勾配は閉じた式で書いてある。",
    topics=("nn.batch-norm",),
    facts=(
        mean_zero_and_the_promised_variance,
        the_scale_of_the_weights_is_forgotten,
        gradients_have_no_mean_and_no_part_along,
        the_running_variance_is_the_unbiased_one,
        scale_and_shift_can_undo_it,
        moving_averages_are_not_those_of_all_data,
    ),
    notes=("Two variances: the batch is normalised with the biased one (1/m), the running value averages the "
           "unbiased one "
           "(1/(m-1)), as torch's does.",
           "The slides say that a test uses the statistics of the whole training data; their code, and this one, uses "
           "moving averages.",
           "The mathematical lecture leaves gamma and beta out: then the layer cannot be the identity."),
    notes_ja=("分散は二通りある。バッチの正規化には標本分散 (1/m) を、移動平均には torch と同じく不偏分散 (1/(m-1))"
              " を使う。",
              "スライドはテスト時に訓練データ全体の統計量を使うと述べるが、そのコードもここも移動平均を使う。",
              "数理の講義では gamma と beta が省かれている。それでは恒等写像を表せない。"),
)
