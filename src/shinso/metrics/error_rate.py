r"""Error rate and top-k error: how often the true class is not among the k best answers (Russakovsky et al. 2015).

    error_k = 1/n #{i: at least k classes score above s_{i y_i}}                       (1)
    error_1 >= error_2 >= ... >= error_K = 0                                           (2)

Classes that tie with the true one stand before it when their number is smaller, as in a stable sort; so a network
that answers the same score everywhere does not pass for perfect. A figure without its k says little: on ImageNet the
top-1 error is often two to three times the top-5 error.
"""

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, about, at_least, exactly
from shinso.core.errors import UserError
from shinso.maths.inputs import count
from shinso.metrics.accuracy import accuracy, scored


def rank(scores: ArrayLike, targets: ArrayLike) -> np.ndarray:
    """How many classes stand before the true one: int64 (n,), 0 where it is first."""
    s, y = scored("error rate", scores, targets)
    true = np.take_along_axis(s, y[:, None].astype(np.int64), 1)
    before = (s > true) | ((s == true) & (np.arange(s.shape[1]) < y[:, None]))
    return before.sum(1)


def error_rate(scores: ArrayLike, targets: ArrayLike, k: int = 1) -> float:
    """(1) of scores (n, classes) and targets (n,), for k from 1 to the number of classes."""
    places, classes = rank(scores, targets), np.shape(scores)[-1]
    if not 1 <= count("error rate", "k", k) <= classes:
        raise UserError("error rate", f"k = {k} is not from 1 to {classes} classes", "give such a k")
    if len(places) == 0:
        raise UserError("error rate", "there is no example", "give at least one")
    return float((places >= k).mean())


def _scores(n: int = 500, classes: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, classes, n)
    return np.round(rng.normal(size=(n, classes)) + np.eye(classes)[targets], 1), targets


def more_chances_never_hurt() -> Check:
    """error_k falls with k and ends at 0 for k = K, ties among the scores: the rises plus the last value.

    Source: equation (2)
    """
    scores, targets = _scores()
    errors = [error_rate(scores, targets, k) for k in range(1, 13)]
    return exactly(float((np.diff(errors) > 0).sum()) + errors[-1], 0.0)


def top_one_is_what_accuracy_lacks() -> Check:
    """error_1 = 1 - accuracy, ties included, to 1e-15.

    Source: equation (1)
    """
    scores, targets = _scores()
    return about(error_rate(scores, targets) + accuracy(scores, targets), 1.0, 1e-15)


def guessing_misses_in_its_share() -> Check:
    """Scores without knowledge of 1,000 classes miss the top 5 in 99.5 percent, within 4 standard errors.

    Source: 1 - 5/1000; standard error sqrt(0.005 * 0.995 / n)
    """
    rng, n = np.random.default_rng(1), 2000
    found = error_rate(rng.random((n, 1000)), rng.integers(0, 1000, n), 5)
    return about(found, 0.995, 4 * (0.005 * 0.995 / n) ** 0.5)


def equal_scores_are_no_answer() -> Check:
    """Equal scores for all of 10 balanced classes have the top-5 error 0.5; counting ties as hits would give 0.

    Source: equation (1) with ties in the order of the classes
    """
    scores, targets = np.zeros((100, 10)), np.arange(100) % 10
    generous = float(((scores > scores[np.arange(100), targets][:, None]).sum(1) >= 5).mean())
    return about(error_rate(scores, targets, 5) - generous, 0.5, 1e-15)


def which_error_matters() -> Check:
    """On the same answers top-1 and top-5 error differ by more than 0.3.

    Source: a rate is named with its k
    """
    scores, targets = _scores()
    return at_least(error_rate(scores, targets, 1) - error_rate(scores, targets, 5), 0.3)


CARD = Card(
    name="Error rate and top-k error",
    name_ja="識別エラー率・top-k error",
    paper="Russakovsky et al. 2015, ImageNet Large Scale Visual Recognition Challenge, arXiv:1409.0575",
    equations=(r"\mathrm{error}_k = \frac{1}{n}\,\#\{i : s_{i y_i}\ \mathrm{is\ not\ among\ the\ largest}\ k\}",
               r"\mathrm{error}_1 \geq \mathrm{error}_2 \geq \cdots \geq \mathrm{error}_K = 0"),
    summary="How often the true class is not among the k best answers; ties are decided, not forgiven.",
    summary_ja="正解のクラスが上位k個の答えに入らない割合。同点も順序を決めて数える。",
    topics=("metrics.error-rate",),
    facts=(more_chances_never_hurt, top_one_is_what_accuracy_lacks, guessing_misses_in_its_share,
           equal_scores_are_no_answer, which_error_matters),
    notes=("The document gives about 16 percent for the winner of 2012 without saying that it is the top-5 error.",),
    notes_ja=("資料は2012年の優勝者を約16パーセントとするが、それが top-5 error であるとは書いていない。",),
)
