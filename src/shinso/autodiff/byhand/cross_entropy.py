r"""Softmax and cross entropy: the surprise of the right class under the predicted probabilities.

    p = softmax(x),   L = -1/n sum_i sum_k t_ik log p_ik                        (1)
    dL/dx = (p - t) / n                                                         (2)
    log p_k = x_k - max x - log sum_j exp(x_j - max x)                          (3)
    L = H(t) + KL(t || p)                                                       (4)

x are scores of any size, t a class number, its one-hot vector, or probabilities. Written as (3) nothing overflows and
log 0 never appears. The surprise is (2): of the softmax's full Jacobian and the logarithm's 1/p only the error is left.
(4) says what training can reach: 0 only where the teacher is certain, else the teacher's own entropy.

On images (n, classes, height, width) every pixel is an example; `reduction="sum"` adds them up as the article does.

Shannon 1948; Bridle 1990; Long, Shelhamer, Darrell 2015 (every pixel).
"""

from typing import Literal, final

import numpy as np

from shinso.autodiff.byhand._shapes import filled, fits, within
from shinso.autodiff.byhand.one_hot import one_hot
from shinso.core.card import Card, Check, about, at_most, exactly


@final
class CrossEntropy:
    """Scores (n, classes, ...) and either classes (n, ...) or shares of classes (n, classes, ...) -> a number."""

    def __init__(self, reduction: Literal["mean", "sum"] = "mean"):
        self.reduction = reduction

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> float:
        filled("cross entropy", prediction)
        self.shape, num_classes = prediction.shape, prediction.shape[1]
        self.indexed = target.ndim < prediction.ndim
        x = _rows(prediction)
        down = x - np.maximum.reduce(x, 1, keepdims=True)
        self.e = np.exp(down)
        self.total = np.add.reduce(self.e, 1, keepdims=True)
        if self.indexed:
            fits("cross entropy", "the target", target.shape, (self.shape[0], *self.shape[2:]))
            within("cross entropy", target, num_classes)
            self.t, self.places = target.reshape(-1), np.arange(len(x))
            loss = float(np.log(self.total).sum()) - float(down[self.places, self.t].sum())  # (3), (1)
        else:
            fits("cross entropy", "the target", target.shape, self.shape)
            self.t = _rows(target)
            loss = -float(np.vdot(self.t, down - np.log(self.total)))  # (1), (3)
        self.count = len(x) if self.reduction == "mean" else 1
        return loss / self.count

    def backward(self, grad: float = 1.0) -> np.ndarray:
        back = self.e / self.total
        if self.indexed:
            back[self.places, self.t] -= 1  # (2)
        else:
            back *= np.add.reduce(self.t, 1, keepdims=True)
            back -= self.t  # (2)
        back *= grad / self.count
        return back if len(self.shape) == 2 else _images(back, self.shape)


def _rows(x: np.ndarray) -> np.ndarray:
    """(n, classes, ...) -> (examples or pixels, classes)."""
    return x if x.ndim == 2 else np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


def _images(rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(examples or pixels, classes) -> (n, classes, ...)."""
    return np.ascontiguousarray(np.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1))


def example(rng: np.random.Generator) -> tuple[CrossEntropy, tuple[np.ndarray, np.ndarray]]:
    """Six examples with scores for four classes."""
    return CrossEntropy(), (rng.normal(0, 2, (6, 4)), rng.integers(0, 4, 6))


def the_gradient_is_p_minus_t() -> Check:
    """dL/dx is (p - t)/n with p = softmax(x), to 1e-15.

    Source: equation (2); Bridle 1990
    """
    loss, (x, t) = example(np.random.default_rng(0))
    loss.forward(x, t)
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    return at_most(float(np.abs(loss.backward() - (p - one_hot(t, 4)) / 6).max()), 1e-15)


def it_is_entropy_plus_divergence() -> Check:
    """For soft targets the loss is H(t) + KL(t || p), to 1e-14.

    Source: equation (4); Shannon 1948, Kullback and Leibler 1951
    """
    draw = np.random.default_rng(1)
    x, t = draw.normal(0, 2, (50, 5)), draw.dirichlet(np.ones(5), 50)
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    sides = -(t * np.log(t)).sum(1) + (t * np.log(t / p)).sum(1)
    return at_most(float(abs(CrossEntropy().forward(x, t) - sides.mean())), 1e-14)


def the_least_is_the_teachers_entropy() -> Check:
    """At x = log t the loss is H(t) to 1e-14 and the gradient 0; no one of 500 other scores is better.

    Source: Gibbs' inequality
    """
    draw = np.random.default_rng(2)
    t = draw.dirichlet(np.ones(4), 1)
    loss, entropy = CrossEntropy(), float(-(t * np.log(t)).sum())
    off = abs(loss.forward(np.log(t), t) - entropy) + float(np.abs(loss.backward()).max())
    others = min(loss.forward(draw.normal(0, 2, (1, 4)), t) for _ in range(500))
    return at_most(off if others >= entropy else 1.0, 1e-14)


def scores_never_overflow() -> Check:
    """A score of 10,000 for the wrong class costs 10,000 in float32, where exp(10,000) has no value.

    Source: equation (3)
    """
    with np.errstate(all="raise", under="ignore"):
        value = CrossEntropy().forward(np.array([[1e4, 0]], np.float32), np.array([1]))
    return about(value, 10_000, 0)


def a_sum_over_the_batch_grows_with_it() -> Check:
    """The article's sum over the batch is n times the mean: 6 times for six examples, to 1e-14.

    Source: the article's np.sum over all axes
    """
    _, (x, t) = example(np.random.default_rng(3))
    return about(CrossEntropy("sum").forward(x, t) / CrossEntropy().forward(x, t), 6, 1e-14)


def every_pixel_is_an_example() -> Check:
    """Summed over 2x3x4 pixels the loss is that of 24 examples, and so is the gradient, to 1e-12.

    Source: Long, Shelhamer, Darrell 2015
    """
    draw = np.random.default_rng(4)
    x, t = draw.normal(size=(2, 5, 3, 4)), draw.integers(0, 5, (2, 3, 4))
    pixels, rows = CrossEntropy("sum"), CrossEntropy("sum")
    off = abs(pixels.forward(x, t) - rows.forward(x.transpose(0, 2, 3, 1).reshape(24, 5), t.ravel()))
    back = rows.backward().reshape(2, 3, 4, 5).transpose(0, 3, 1, 2)
    return at_most(off + float(np.abs(pixels.backward() - back).max()), 1e-12)


def the_logarithm_of_zero_appears() -> Check:
    """Computed as -log softmax(x), scores 0 and 800 cost infinity for the first class; (3) says 800.

    Source: exp(-800) is 0 in float64
    """
    x, t = np.array([[0.0, 800.0]]), np.array([0])
    with np.errstate(divide="ignore"):
        plain = -np.log(np.exp(x - 800)[0, 0] / np.exp(x - 800).sum())
    value = CrossEntropy().forward(x, t)
    return exactly(value if np.isinf(plain) else 0, 800)


CARD = Card(
    name="Softmax with cross entropy",
    name_ja="ソフトマックスと交差エントロピー",
    paper="Shannon 1948, A mathematical theory of communication; Bridle 1990, Probabilistic interpretation",
    equations=(
        r"p = \mathrm{softmax}(x),\quad L = -\frac{1}{n} \sum_i \sum_k t_{ik} \log p_{ik}",
        r"\frac{\partial L}{\partial x} = \frac{1}{n}(p - t)",
        r"\log p_k = x_k - \max x - \log \sum_j e^{x_j - \max x}",
        r"L = H(t) + \mathrm{KL}(t \| p)",
    ),
    summary=("The surprise of the right class under the predicted probabilities; its gradient is what is missing, "
             "p - t."),
    summary_ja="予測した確率の下での正解クラスの意外さ。勾配は足りない分、p - t である。",
    topics=("nn.cross-entropy", "nn.pixelwise-ce"),
    facts=(
        the_gradient_is_p_minus_t,
        it_is_entropy_plus_divergence,
        the_least_is_the_teachers_entropy,
        scores_never_overflow,
        a_sum_over_the_batch_grows_with_it,
        every_pixel_is_an_example,
        the_logarithm_of_zero_appears,
    ),
    notes=("The article's sum runs over the batch, too: its value grows with the batch size. Here the mean is the "
           "default.",
           "The article takes the logarithm of a probability that can be 0; from scores it never is.",
           "The article sums over the pixels of an image, libraries average: with the sum, a rate belongs to an "
           "image size."),
    notes_ja=("記事の和はバッチにもわたるため、値がバッチの大きさとともに増える。ここでは平均が既定である。",
              "記事は 0 になりうる確率の対数をとる。スコアから直接計算すればそれは起きない。",
              "記事は画像の画素について和をとり、ライブラリは平均をとる。和のときの学習率は画像の大きさに依存する。"),
    twin="torch.nn.functional.cross_entropy",
)
