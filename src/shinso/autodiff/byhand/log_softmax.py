r"""Log-softmax: the logarithms of the probabilities, without the probabilities.

    l_i = x_i - log sum_j exp(x_j)                            (1)
    dl_i/dx_j = [i = j] - p_j,  p = exp(l)                    (2)
    backward:  g - p sum_j g_j                                (3)

Minus the entry of the right class is the cross entropy. The surprise is a trap: f(f(x)) = f(x), because exp(l) sums to
1 already. A loss that applies f once more to an output that has it gives the same number, and nobody notices.

Bridle 1990.
"""

from typing import final

import numpy as np

from shinso.core.card import Card, Check, at_most, exactly


@final
class LogSoftmax:
    """Along `axis`; any shape."""

    def __init__(self, *, axis: int):
        self.axis = axis

    def forward(self, x: np.ndarray) -> np.ndarray:
        down = x - x.max(axis=self.axis, keepdims=True)
        self.log_p = down - np.log(np.exp(down).sum(axis=self.axis, keepdims=True))  # (1)
        return self.log_p

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return grad - np.exp(self.log_p) * grad.sum(axis=self.axis, keepdims=True)  # (3)


def example(rng: np.random.Generator) -> tuple[LogSoftmax, tuple[np.ndarray]]:
    """A layer over axis 1 of three, and scores of two pictures of two by three pixels."""
    return LogSoftmax(axis=1), (rng.standard_normal((2, 4, 2, 3)),)


def probabilities_again() -> Check:
    """exp of the output sums to 1, to 1e-14, on 200 rows of 50 scores.

    Source: equation (1)
    """
    x = 4 * np.random.default_rng(0).standard_normal((200, 50))
    return at_most(float(np.abs(np.exp(LogSoftmax(axis=1).forward(x)).sum(1) - 1).max()), 1e-14)


def cross_entropy_in_two_steps() -> Check:
    """Minus the right class's entry is the cross entropy log(sum_j exp(x_j - x_k)), to 1e-14, on 200 rows.

    Source: (1) with x_k drawn into the sum
    """
    draw = np.random.default_rng(1)
    x, k = draw.standard_normal((200, 10)), draw.integers(0, 10, 200)
    right = x[np.arange(200), k]
    nll = -LogSoftmax(axis=1).forward(x)[np.arange(200), k]
    return at_most(float(np.abs(nll - np.log(np.exp(x - right[:, None]).sum(1))).max()), 1e-14)


def twice_hides_the_mistake() -> Check:
    """Applied to its own output it gives the same numbers to 1e-14.

    Source: log sum_j exp(l_j) = log 1
    """
    once = LogSoftmax(axis=1).forward(np.random.default_rng(2).standard_normal((100, 10)))
    return at_most(float(np.abs(LogSoftmax(axis=1).forward(once) - once).max()), 1e-14)


def finite_where_the_logarithm_is_not() -> Check:
    """Scores 0 and 10,000 give -10,000 and 0; the logarithm of their softmax has -inf.

    Source: exp(-10,000) is 0
    """
    with np.errstate(divide="ignore"):
        lost = np.log(np.exp(np.array([-1e4, 0.0])))[0] == -np.inf
    off = np.abs(LogSoftmax(axis=0).forward(np.array([0.0, 1e4])) - [-1e4, 0]).max()
    return exactly(float(off) + float(not lost), 0)


CARD = Card(
    name="Log-softmax",
    name_ja="対数ソフトマックス (log_softmax)",
    paper="Bridle 1990, Probabilistic interpretation of feedforward classification network outputs",
    equations=(r"l_i = x_i - \log\sum_j e^{x_j}", r"\frac{\partial l_i}{\partial x_j} = [i = j] - p_j,\quad p = e^l",
               r"\frac{\partial L}{\partial x} = g - p \sum_j g_j"),
    summary="The logarithms of softmax in one step; minus the right class's entry is the cross entropy.",
    summary_ja="ソフトマックスの対数を一度に計算する。正解クラスの成分の符号を変えると交差エントロピーになる。",
    topics=("nn.log-softmax",),
    facts=(probabilities_again, cross_entropy_in_two_steps, twice_hides_the_mistake, finite_where_the_logarithm_is_not),
    notes=("A cross entropy on scores, given an output that is log_softmax already, applies it twice; the value stays "
           "and the mistake is hidden.",),
    notes_ja=("すでに log_softmax である出力にスコア用の交差エントロピーを使うと二重に適用される。"
              "値は同じなので誤りに気づけない。",),
)
