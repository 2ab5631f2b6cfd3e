r"""Confusion matrix: how often class i was taken for class j.

    C_ij = #{n: the true class is i, the answer j}                                     (1)
    sum_j C_ij = size of class i,   trace C = number of right answers                  (2)

The accuracy hides who suffers: with nine in ten examples of one class, always answering that class has an accuracy of
0.9 and never finds the other.
"""

import torch
from torch import Tensor

from shinso.core.card import Card, Check, about, exactly


def confusion(predicted: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Counts int64 (classes, classes); rows are the true classes, so row sums are class sizes and the trace the hits.

    `predicted` and `targets` are int64 (n,) in 0..classes-1.
    """
    return torch.bincount(targets * classes + predicted, minlength=classes * classes).view(classes, classes)


def recall(counts: Tensor) -> Tensor:
    """Of each true class the share that was found: float64 (classes,); nan for a class without an example."""
    return counts.diagonal().double() / counts.sum(1)


def precision(counts: Tensor) -> Tensor:
    """Of each answer the share that was right: float64 (classes,); nan for an answer never given."""
    return counts.diagonal().double() / counts.sum(0)


def _answers() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    targets = torch.randint(10, (5000,), generator=draw)
    wrong = torch.rand(5000, generator=draw) < 0.3
    return torch.where(wrong, torch.randint(10, (5000,), generator=draw), targets), targets


def rows_are_classes_and_the_diagonal_is_right() -> Check:
    """Of 5,000 answers the row sums are the class sizes and the trace the right ones: the sum of all differences.

    Source: equation (2)
    """
    predicted, targets = _answers()
    counts = confusion(predicted, targets, 10)
    rows = (counts.sum(1) - torch.bincount(targets, minlength=10)).abs().sum()
    return exactly(float(rows + (counts.trace() - (predicted == targets).sum()).abs()), 0.0)


def exchanging_the_roles_transposes() -> Check:
    """Exchanging truth and answers gives the transposed matrix, which is another one: 1 if both hold.

    Source: equation (1): the order of the arguments matters
    """
    predicted, targets = _answers()
    counts = confusion(predicted, targets, 10)
    turned = confusion(targets, predicted, 10)
    return exactly(float(torch.equal(turned, counts.T)) - float(torch.equal(turned, counts)), 1.0)


def accuracy_hides_the_rare_class() -> Check:
    """Always answering the class of 90 in 100 has the accuracy 0.9 and finds nothing of the other: 0.9 - 0.

    Source: the second row of the matrix
    """
    targets = torch.tensor([0] * 90 + [1] * 10)
    counts = confusion(torch.zeros_like(targets), targets, 2)
    return about(float(counts.trace() / counts.sum() - recall(counts)[1]), 0.9, 1e-7)


CARD = Card(
    name="Confusion matrix",
    name_ja="混同行列",
    paper="Miller and Nicely 1955, An Analysis of Perceptual Confusions, doi:10.1121/1.1907526",
    equations=(r"C_{ij} = \#\{n : \mathrm{truth}\ i,\ \mathrm{answer}\ j\}",
               r"\sum_j C_{ij} = n_i,\quad \mathrm{tr}\,C = \#\mathrm{right}"),
    summary="How often each class is taken for each other: what the accuracy alone does not say.",
    summary_ja="どのクラスがどのクラスと取り違えられるか。正解率だけでは分からないこと。",
    topics=("metrics.confusion",),
    facts=(rows_are_classes_and_the_diagonal_is_right, exchanging_the_roles_transposes, accuracy_hides_the_rare_class),
)
