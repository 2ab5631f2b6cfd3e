r"""Hold-out: one part is put away before anything is learned, and measured at the end.

    {0, ..., n-1} = train + test,   |test| = ceil(share n)                             (1)
    stratified:  | n_c(test) - |test| n_c / n | < 1  for every class c                 (2)

The parts are scikit-learn's. Without (2) a rare class can be missing from the test by chance.
"""

from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, at_least, exactly
from shinso.core.errors import UserError
from shinso.maths.inputs import count, numbers


def holdout(n: int, share: float, seed: int, classes: ArrayLike | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(1): indices (train, test) of n examples; with `classes` (n,) both parts have every class by its share (2)."""
    from sklearn.model_selection import train_test_split

    n, share = count("holdout", "n", n), float(numbers("holdout", "share", share, 0))
    if n < 2 or not 0 < share < 1 or ceil(share * n) >= n:
        raise UserError("holdout", f"a share of {share} of {n} leaves a part empty", "give a share inside 0 to 1")
    labels = None if classes is None else _labels(classes)
    if labels is not None:
        if labels.shape != (n,):
            raise UserError("holdout", f"{n} examples have classes of shape {labels.shape}", "give one class for each")
        sizes = np.unique(labels, return_counts=True)[1]
        if sizes.min() < 2 or min(ceil(share * n), n - ceil(share * n)) < len(sizes):
            raise UserError("holdout", f"{len(sizes)} classes, the smallest of {sizes.min()}, do not fit both parts",
                            "give two examples of each class at least, and parts no smaller than their number")
    train, test = train_test_split(np.arange(n), test_size=share, random_state=seed, stratify=labels)
    return np.asarray(train), np.asarray(test)


def _labels(classes: ArrayLike) -> np.ndarray:
    try:
        return np.asarray(classes)
    except (ValueError, RuntimeError):
        raise UserError("holdout", "the classes are no array", "give one class for each example") from None


def nothing_is_in_both_or_neither() -> Check:
    """For n from 2 to 200 the parts are disjoint and complete, the test part of ceil(n / 4): the breaches.

    Source: equation (1)
    """
    breaches = 0
    for n in range(2, 201):
        train, test = holdout(n, 0.25, seed=n)
        breaches += not np.array_equal(np.sort(np.concatenate([train, test])), np.arange(n))
        breaches += len(test) != ceil(Fraction(n, 4))
    return exactly(breaches, 0)


def stratified_parts_keep_the_classes() -> Check:
    """In 100 stratified splits of uneven classes every class is within one example of its share: the worst.

    Source: equation (2)
    """
    rng, worst = np.random.default_rng(0), 0.0
    for seed in range(100):
        labels = np.repeat(np.arange(4), rng.integers(5, 60, 4))
        _, test = holdout(len(labels), 0.2, seed, labels)
        off = np.bincount(labels[test], minlength=4) - len(test) / len(labels) * np.bincount(labels)
        worst = max(worst, float(np.abs(off).max()))
    return Check(worst, 0.0, 1.0)


def by_chance_a_rare_class_is_missed() -> Check:
    """Of 100 plain splits some have no example of a class of 5 in 100 among 20 for testing: how many.

    Source: C(95, 20) / C(100, 20) = 0.32 of all splits
    """
    labels = np.repeat([0, 1], [95, 5])
    return at_least(sum(labels[holdout(100, 0.2, seed)[1]].sum() == 0 for seed in range(100)), 10)


CARD = Card(
    name="Hold-out",
    name_ja="ホールドアウト法",
    paper="Larson 1931, The Shrinkage of the Coefficient of Multiple Correlation, doi:10.1037/h0072400",
    equations=(r"\{1, \ldots, n\} = \mathrm{train} \cup \mathrm{test},\quad |\mathrm{test}| = \lceil s\,n \rceil",
               r"|n_c(\mathrm{test}) - |\mathrm{test}|\, n_c / n| < 1"),
    summary="One part is put away before learning and measured at the end, class by class in its share if asked.",
    summary_ja="学習の前に一部を取り置き、最後に測る。求めればクラスの比率を保つ。",
    topics=("metrics.holdout",),
    facts=(nothing_is_in_both_or_neither, stratified_parts_keep_the_classes, by_chance_a_rare_class_is_missed),
)
