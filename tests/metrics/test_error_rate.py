"""Top-k error against scikit-learn's top-k accuracy."""

import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score

from shinso.core.errors import UserError
from shinso.metrics.error_rate import error_rate, rank


@pytest.mark.parametrize("k", [1, 3, 5, 9])
def test_without_ties_it_is_scikit_learns(k):
    rng = np.random.default_rng(0)
    scores, targets = rng.normal(size=(200, 10)), rng.integers(0, 10, 200)
    theirs = top_k_accuracy_score(targets, scores, k=k, labels=np.arange(10))
    assert error_rate(scores, targets, k) == pytest.approx(1 - theirs, abs=1e-15)


def test_ties_stand_in_the_order_of_a_stable_sort():
    rng = np.random.default_rng(1)
    scores, targets = rng.integers(0, 3, (300, 6)).astype(float), rng.integers(0, 6, 300)
    order = np.argsort(-scores, axis=1, kind="stable")
    assert (rank(scores, targets) == (order == targets[:, None]).argmax(1)).all()


@pytest.mark.parametrize("k", [0, 4])
def test_k_is_a_number_of_classes(k):
    with pytest.raises(UserError, match="k ="):
        error_rate([[1.0, 2.0, 3.0]], [0], k)


def test_no_examples_have_no_rate():
    with pytest.raises(UserError, match="no example"):
        error_rate(np.zeros((0, 3)), np.zeros(0, dtype=int))
