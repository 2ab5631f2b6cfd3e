"""Accuracy against scikit-learn's, and over batches."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from shinso.core.errors import UserError
from shinso.metrics.accuracy import Accuracy, accuracy

SCORES = np.random.default_rng(0).normal(size=(97, 5))
TARGETS = np.random.default_rng(1).integers(0, 5, 97)


@settings(deadline=None)
@given(st.lists(st.integers(0, 97), max_size=8))
def test_any_batches_count_alike(cuts):
    edges, count = [0, *sorted(cuts), 97], Accuracy()
    for a, b in pairwise(edges):
        count.add(SCORES[a:b], TARGETS[a:b])
    assert count.value == accuracy_score(TARGETS, SCORES.argmax(1))


def test_tensors_count_like_arrays():
    assert accuracy(torch.from_numpy(SCORES), torch.from_numpy(TARGETS)) == accuracy(SCORES, TARGETS)


def test_nothing_counted_is_told():
    with pytest.raises(UserError, match="no example"):
        _ = Accuracy().value


@pytest.mark.parametrize(("scores", "targets"), [
    ([[1.0, 2.0]], [2]), ([[1.0, 2.0]], [0, 1]), ([[np.nan, 2.0]], [0]), ([1.0, 2.0], [0]), ([[1.0, 2.0]], [0.5]),
])  # fmt: skip
def test_what_does_not_fit_is_refused(scores, targets):
    with pytest.raises(UserError):
        accuracy(scores, targets)
