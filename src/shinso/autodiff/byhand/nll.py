r"""Negative log-likelihood: minus the log-probability of what happened.

    L = -1/n sum_i l_{i, k_i}                                 (1)
    dL/dl_ij = -[j = k_i] / n                                 (2)

l are logarithms of probabilities, as log-softmax makes them, k_i is the right class: (1) after a log-softmax is the
cross entropy. The surprise is a trap: (1) only picks a number, so raw scores or probabilities give a plausible value,
too, which training can make as low as it likes. No log-probability is above 0; what is, is refused here.

Fisher 1922 (the likelihood).
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand._shapes import filled, fits, within
from shinso.autodiff.byhand.cross_entropy import CrossEntropy
from shinso.autodiff.byhand.log_softmax import LogSoftmax
from shinso.core.card import Card, Check, about, at_most, exactly
from shinso.core.errors import UserError


@final
class NegativeLogLikelihood:
    """Log-probabilities (n, classes) and classes (n,) -> a number, the mean over the examples.

    `checked=False` accepts numbers above 0, as torch does.
    """

    def __init__(self, *, checked: bool = True):
        self.checked = checked

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> float:
        filled("negative log-likelihood", prediction)
        fits("negative log-likelihood", "the target", target.shape, prediction.shape[:1])
        within("negative log-likelihood", target, prediction.shape[1])
        if self.checked and not prediction.max() <= 0:
            raise UserError("negative log-likelihood", f"{prediction.max()} is no logarithm of a probability",
                            "give the output of log-softmax, or scores to CrossEntropy")
        self.like, self.t, self.places = prediction, target, np.arange(len(target))
        return -float(prediction[self.places, target].mean())  # (1)

    def backward(self, grad: float = 1.0) -> np.ndarray:
        back = np.zeros_like(self.like)
        back[self.places, self.t] = -grad / len(self.t)  # (2)
        return back


def example(rng: np.random.Generator) -> tuple[NegativeLogLikelihood, tuple[np.ndarray, np.ndarray]]:
    """Six examples of four classes, no probability near 1."""
    return NegativeLogLikelihood(), (-rng.uniform(0.1, 3, (6, 4)), rng.integers(0, 4, 6))


def after_log_softmax_it_is_cross_entropy() -> Check:
    """Value and gradient through log-softmax are those of the cross entropy of the scores, to 1e-14.

    Source: equation (1) and that of log-softmax
    """
    draw = np.random.default_rng(0)
    x, t = draw.normal(0, 3, (40, 10)), draw.integers(0, 10, 40)
    first, loss, joined = LogSoftmax(axis=1), NegativeLogLikelihood(), CrossEntropy()
    off = abs(loss.forward(first.forward(x), t) - joined.forward(x, t))
    return at_most(off + float(np.abs(first.backward(loss.backward()) - joined.backward()).max()), 1e-14)


def knowing_nothing_costs_the_log_of_the_classes() -> Check:
    """A uniform output over 10 classes costs log 10 = 2.302585..., whatever is right.

    Source: -log(1/10)
    """
    l = LogSoftmax(axis=1).forward(np.zeros((7, 10)))  # noqa: E741 - the letter of (1)
    return about(NegativeLogLikelihood().forward(l, np.arange(7)), float(np.log(10)), 1e-15)


def scores_and_probabilities_are_refused() -> Check:
    """Raw scores and probabilities are refused, 2 of 2, and log-probabilities of 0 are not.

    Source: a probability is at most 1
    """
    refused, t = 0, np.array([0])
    for wrong in (np.array([[2.0, -1.0]]), np.array([[0.9, 0.1]])):
        try:
            NegativeLogLikelihood().forward(wrong, t)
        except UserError:
            refused += 1
    certain = NegativeLogLikelihood().forward(np.array([[0.0, -800.0]]), t)
    return exactly(refused + certain, 2)


def unchecked_the_number_is_plausible_and_wrong() -> Check:
    """Unchecked, probabilities of 0.9 for the right class cost -0.9, where log-probabilities cost 0.105 more than 0.

    Source: equation (1) only picks a number
    """
    p, t = np.array([[0.9, 0.1]]), np.array([0])
    wrong, right = NegativeLogLikelihood(checked=False).forward(p, t), NegativeLogLikelihood().forward(np.log(p), t)
    return about(wrong if abs(right - 0.105) < 1e-3 else 0.0, -0.9, 1e-15)


CARD = Card(
    name="Negative log-likelihood",
    name_ja="負の対数尤度 (nll_loss)",
    paper="Fisher 1922, On the mathematical foundations of theoretical statistics, doi:10.1098/rsta.1922.0009",
    equations=(
        r"L = -\frac{1}{n} \sum_i \ell_{i, k_i}",
        r"\frac{\partial L}{\partial \ell_{ij}} = -\frac{1}{n}[j = k_i]",
    ),
    summary="Minus the log-probability of the right class; after log-softmax it is the cross entropy.",
    summary_ja="正解クラスの対数確率の符号を変えたもの。log-softmax の後では交差エントロピーに等しい。",
    topics=("nn.nll",),
    facts=(
        after_log_softmax_it_is_cross_entropy,
        knowing_nothing_costs_the_log_of_the_classes,
        scores_and_probabilities_are_refused,
        unchecked_the_number_is_plausible_and_wrong,
    ),
    notes=("Raw scores or probabilities give a plausible wrong number in every library; here what is above 0 is "
           "refused.",),
    notes_ja=("生のスコアや確率を与えても、どのライブラリでももっともらしい誤った数になる。ここでは 0 を超える入"
              "力を拒む。",),
    twin="torch.nn.functional.nll_loss",
)
