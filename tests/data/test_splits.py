"""Splits and folds: disjoint, complete, fair to every class, and the same on every machine."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shinso.data.hashing import splitmix, uniforms
from shinso.data.splits import kfold, stratified


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=120), st.integers(0, 9),
       st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.5), (1.0,), (0.0, 1.0), (0.7, 0.1, 0.2)]))
def test_stratified_parts_are_disjoint_complete_and_fair(labels, seed, fractions):
    targets = torch.tensor(labels)
    parts = stratified(targets, fractions, seed)
    assert torch.cat(parts).sort().values.tolist() == list(range(len(labels)))
    assert [len(p) for p in parts[:-1]] == [round(len(labels) * f) for f in fractions[:-1]]
    for label in set(labels):
        there = (targets == label).sum().item()
        for part, fraction in zip(parts[:-1], fractions[:-1], strict=True):
            exact = there * len(part) / len(labels)
            assert abs((targets[part] == label).sum().item() - exact) < 2, fraction


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 90), st.integers(2, 10), st.integers(0, 5), st.booleans())
def test_folds_cover_everything_once_and_differ_by_at_most_one(n, k, seed, with_classes):
    if k > n:
        with pytest.raises(ValueError, match="between 2 and"):
            kfold(n, k, seed)
        return
    targets = torch.arange(n) % 3 if with_classes else None
    folds = kfold(n, k, seed, targets)
    held = [h for _, h in folds]
    assert len(folds) == k
    assert torch.cat(held).sort().values.tolist() == list(range(n))
    assert max(map(len, held)) - min(map(len, held)) <= 1
    for train, out in folds:
        assert sorted(train.tolist() + out.tolist()) == list(range(n))
    if targets is not None:
        for label in range(3):
            counts = [(targets[h] == label).sum().item() for h in held]
            assert max(counts) - min(counts) <= 1


def test_fold_sizes_are_those_of_scikit_learn():
    selection = pytest.importorskip("sklearn.model_selection", reason="scikit-learn is the oracle here")
    for n, k in ((10, 3), (101, 7), (50, 5)):
        theirs = sorted(len(test) for _, test in selection.KFold(k).split(np.zeros(n)))
        assert sorted(len(h) for _, h in kfold(n, k, 0)) == theirs


def test_fractions_that_are_none_are_refused():
    with pytest.raises(ValueError, match="sum to 1"):
        stratified(torch.zeros(4), (0.5, 0.4), 0)


def test_splitmix_is_the_published_function():
    """Against the reference recurrence in Python integers, which do not wrap by themselves."""
    def reference(state):
        mask = (1 << 64) - 1
        z = state * 0x9E3779B97F4A7C15 & mask
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        return z ^ (z >> 31)

    counters = [0, 1, 2, 12345, (1 << 63) - 1]
    ours = [value & ((1 << 64) - 1) for value in splitmix(torch.tensor(counters)).tolist()]
    assert ours == [reference(c) for c in counters]


def test_uniforms_are_uniform_and_uncorrelated():
    draw = uniforms(torch.arange(20_000), 3, seed=1, epoch=2).double()
    assert 0 <= draw.min()
    assert draw.max() < 1
    assert (draw.mean(0) - 0.5).abs().max() < 4 * (1 / 12 / 20_000) ** 0.5
    assert (draw.var(0) - 1 / 12).abs().max() < 0.003
    assert (torch.corrcoef(draw.T) - torch.eye(3)).abs().max() < 4 / 20_000**0.5
    other = uniforms(torch.arange(20_000), 3, seed=1, epoch=3).double()
    assert abs(torch.corrcoef(torch.stack([draw[:, 0], other[:, 0]]))[0, 1]) < 4 / 20_000**0.5
