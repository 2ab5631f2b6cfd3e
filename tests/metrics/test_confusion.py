"""The confusion matrix counts every example once."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shinso.metrics.confusion import confusion, precision, recall


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=200))
def test_rows_are_class_counts_and_the_trace_is_the_hits(pairs):
    targets = torch.tensor([t for t, _ in pairs], dtype=torch.int64)
    predicted = torch.tensor([p for _, p in pairs], dtype=torch.int64)
    counts = confusion(predicted, targets, 5)
    assert counts.sum(1).tolist() == torch.bincount(targets, minlength=5).tolist()
    assert counts.trace() == (predicted == targets).sum()
    for t in range(5):
        for p in range(5):
            assert counts[t, p] == sum(pair == (t, p) for pair in pairs)


def test_recall_and_precision_are_scikit_learns():
    from sklearn.metrics import confusion_matrix, precision_score, recall_score

    draw = torch.Generator().manual_seed(0)
    targets, predicted = torch.randint(4, (2, 300), generator=draw)
    counts = confusion(predicted, targets, 4)
    assert counts.tolist() == confusion_matrix(targets, predicted).tolist()
    assert recall(counts).tolist() == recall_score(targets, predicted, average=None).tolist()
    assert precision(counts).tolist() == precision_score(targets, predicted, average=None).tolist()
