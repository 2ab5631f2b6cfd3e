r"""Binary cross entropy: the surprise of a yes or no under a predicted probability.

    L = -1/N sum (t log y + (1 - t) log(1 - y))               (1)
    dL/dy = 1/N (y - t) / (y (1 - y))                         (2)
    L = 1/N sum (max(x, 0) - x t + log(1 + exp(-|x|))),   y = sigmoid(x)        (3)
    dL/dx = 1/N (sigmoid(x) - t)                              (4)

(3) is (1) with the sigmoid inside, written so that nothing overflows. The surprise is (4): the sigmoid's slope
y (1 - y), which makes gradients vanish, cancels the denominator of (2); a confident wrong answer is corrected at full
strength.
(1) cuts its logarithms at -100, as torch does, so that a certain mistake costs 100 and not infinity.

Good 1952; Cox 1958.
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand._shapes import matching
from shinso.autodiff.byhand.sigmoid import Sigmoid
from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.errors import UserError


@final
class BinaryCrossEntropy:
    """Probabilities in [0, 1] and targets in [0, 1] of one shape -> a number; the mean over all entries."""

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> float:
        matching("binary cross entropy", prediction, target)
        if not (prediction.min() >= 0 and prediction.max() <= 1):
            raise UserError("binary cross entropy", f"predictions from {prediction.min()} to {prediction.max()} are no "
                            "probabilities", "give numbers from 0 to 1, or use BinaryCrossEntropyFromLogits")
        self.y, self.t = prediction, target
        with np.errstate(divide="ignore"):
            yes, no = np.maximum(np.log(prediction), -100), np.maximum(np.log1p(-prediction), -100)
        return -float(np.mean(target * yes + (1 - target) * no))  # (1)

    def backward(self, grad: float = 1.0) -> np.ndarray:
        y = self.y
        return (y - self.t) / np.maximum(y * (1 - y), 1e-12) * (grad / y.size)  # (2)


@final
class BinaryCrossEntropyFromLogits:
    """Any real numbers and targets in [0, 1] of one shape -> a number; the mean over all entries."""

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> float:
        matching("binary cross entropy", prediction, target)
        self.x, self.t = prediction, target
        log = np.log1p(np.exp(-np.abs(prediction)))
        return float(np.mean(np.maximum(prediction, 0) - prediction * target + log))  # (3)

    def backward(self, grad: float = 1.0) -> np.ndarray:
        return (Sigmoid().forward(self.x) - self.t) * (grad / self.x.size)  # (4)


def example(rng: np.random.Generator) -> tuple[BinaryCrossEntropy, tuple[np.ndarray, np.ndarray]]:
    """Twelve probabilities away from 0 and 1, and soft targets."""
    return BinaryCrossEntropy(), (rng.uniform(0.1, 0.9, (4, 3)), rng.uniform(size=(4, 3)))


def through_the_sigmoid_it_is_y_minus_t() -> Check:
    """(2) times the sigmoid's slope is (y - t)/N, and so is (4), to 1e-15.

    Source: equation (4); Cox 1958
    """
    draw = np.random.default_rng(0)
    x, t = draw.normal(0, 3, 50), draw.integers(0, 2, 50).astype(float)
    sigmoid, loss, joined = Sigmoid(), BinaryCrossEntropy(), BinaryCrossEntropyFromLogits()
    y = sigmoid.forward(x)
    loss.forward(y, t)
    joined.forward(x, t)
    worst = max(np.abs(g - (y - t) / 50).max() for g in (sigmoid.backward(loss.backward()), joined.backward()))
    return at_most(float(worst), 1e-15)


def both_forms_are_one_loss() -> Check:
    """(1) after a sigmoid and (3) differ by at most 1e-14 on 1000 logits of scale 3.

    Source: log sigmoid(x) = -log(1 + exp(-x))
    """
    draw = np.random.default_rng(1)
    x, t = draw.normal(0, 3, 1000), draw.uniform(size=1000)
    plain = BinaryCrossEntropy().forward(Sigmoid().forward(x), t)
    return at_most(abs(plain - BinaryCrossEntropyFromLogits().forward(x, t)), 1e-14)


def logits_never_overflow() -> Check:
    """A logit of 10,000 for a no costs exactly 10,000, and of -10,000 exactly 0, in float32 and without a warning.

    Source: equation (3)
    """
    with np.errstate(all="raise", under="ignore"):
        loss, no = BinaryCrossEntropyFromLogits(), np.zeros(1, np.float32)
        wrong, right = (loss.forward(np.array([x], np.float32), no) for x in (1e4, -1e4))
    return exactly(wrong - 10_000 + right, 0)


def it_is_least_at_the_teacher() -> Check:
    """For t = 0.3 the least loss of 999 probabilities stands at 0.3 and is the entropy of t, not 0.

    Source: Gibbs' inequality
    """
    grid, t = np.arange(1, 1000) / 1000, np.array([0.3])
    values = [BinaryCrossEntropy().forward(np.array([y]), t) for y in grid]
    entropy = -0.3 * np.log(0.3) - 0.7 * np.log(0.7)
    return at_most(float(abs(grid[int(np.argmin(values))] - 0.3) + abs(min(values) - entropy)), 1e-15)


def certain_mistakes_cost_a_hundred() -> Check:
    """y = 0 for a yes and y = 1 for a no cost 100 each; the plain formula makes infinity, or nan where it is right.

    Source: torch.nn.BCELoss cuts log at -100; 0 log 0 is nan in floating point
    """
    with np.errstate(all="ignore"):
        y, t = np.array([0.0, 0.0]), np.array([1.0, 0.0])
        plain = -(t * np.log(y) + (1 - t) * np.log(1 - y))
    cost = BinaryCrossEntropy().forward(np.array([0.0, 1.0]), np.array([1.0, 0.0]))
    return exactly(cost if np.isinf(plain[0]) and np.isnan(plain[1]) else 0, 100)


def as_printed_it_is_no_program() -> Check:
    """The article's line with "1  t" where a minus belongs is a SyntaxError: 1 of 1.

    Source: compiled as it is printed
    """
    try:
        compile("-(t * np.log(y) + (1  t) * np.log(1  y))", "article", "eval")
    except SyntaxError:
        return exactly(1, 1)
    return exactly(0, 1)


def the_sigmoid_alone_would_vanish() -> Check:
    """At a logit of -20 for a yes, (4) is above 0.99 where the squared error's gradient is below 1e-8.

    Source: y (1 - y) at y = sigmoid(-20)
    """
    loss, x, t = BinaryCrossEntropyFromLogits(), np.array([-20.0]), np.array([1.0])
    loss.forward(x, t)
    sigmoid = Sigmoid()
    squared = sigmoid.backward(sigmoid.forward(x) - t)
    return at_least(float(-loss.backward()[0]) if abs(squared[0]) < 1e-8 else 0.0, 0.99)


CARD = Card(
    name="Binary cross entropy",
    name_ja="二値交差エントロピー",
    paper="Good 1952, Rational decisions; Cox 1958, The regression analysis of binary sequences",
    equations=(
        r"L = -\frac{1}{N} \sum (t \log y + (1 - t) \log(1 - y))",
        r"\frac{\partial L}{\partial y} = \frac{1}{N} \frac{y - t}{y(1 - y)}",
        r"L = \frac{1}{N} \sum (\max(x, 0) - xt + \log(1 + e^{-|x|}))",
        r"\frac{\partial L}{\partial x} = \frac{1}{N}(\sigma(x) - t)",
    ),
    summary="The surprise of a yes or no under a predicted probability; through the sigmoid its gradient is y - t.",
    summary_ja="予測した確率の下での「はい・いいえ」の意外さ。シグモイドを通した勾配は y - t になる。",
    topics=("nn.bce",),
    facts=(
        through_the_sigmoid_it_is_y_minus_t,
        both_forms_are_one_loss,
        logits_never_overflow,
        it_is_least_at_the_teacher,
        certain_mistakes_cost_a_hundred,
        as_printed_it_is_no_program,
        the_sigmoid_alone_would_vanish,
    ),
    notes=("The article's code has lost its minus signs (1  t): a SyntaxError.",
           "The article's formula gives infinity or nan for y = 0 or 1, and is not averaged over the batch."),
    notes_ja=("記事のコードではマイナス記号が消えており (1  t)、SyntaxError になる。",
              "記事の式は y = 0 や 1 で無限大や nan になり、バッチでの平均もない。"),
    twin="torch.nn.functional.binary_cross_entropy",
)
