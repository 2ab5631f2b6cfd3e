r"""Accuracy: the share of examples whose largest score is at the true class.

    accuracy = 1/n #{i: argmax_k s_ik = y_i} = trace C / n                             (1)

C is the confusion matrix. In batches hits and examples are added up, the batch's true length each time, because the
last batch is often shorter; a mean of the batches' accuracies, or a sum over a fixed batch size, is another number.
"""

from typing import final

import numpy as np
import torch
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.errors import UserError
from shinso.metrics.confusion import confusion


@final
class Accuracy:
    """A running count over batches of any lengths."""

    def __init__(self) -> None:
        self.hits, self.examples = 0, 0

    def add(self, scores: ArrayLike, targets: ArrayLike) -> None:
        """One batch: scores (batch, classes) and targets (batch,); of equal largest scores the first counts."""
        s, y = scored("accuracy", scores, targets)
        self.hits += int((s.argmax(1) == y).sum())
        self.examples += len(y)

    @property
    def value(self) -> float:
        """(1) so far; UserError before the first example."""
        if self.examples == 0:
            raise UserError("accuracy", "no example was counted", "add a batch first")
        return self.hits / self.examples


def accuracy(scores: ArrayLike, targets: ArrayLike) -> float:
    """(1) of scores (n, classes) and targets (n,)."""
    count = Accuracy()
    count.add(scores, targets)
    return count.value


def scored(where: str, scores: ArrayLike, targets: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Scores (n, classes) without nan and class indices (n,) that fit them, or a UserError."""
    try:
        s, y = np.asarray(scores), np.asarray(targets)
    except (ValueError, RuntimeError):
        raise UserError(where, "scores or targets are no arrays", "give (n, classes) and (n,)") from None
    if s.ndim != 2 or y.shape != s.shape[:1] or s.shape[1] == 0:
        raise UserError(where, f"scores {s.shape} and targets {y.shape} do not fit", "give (n, classes) and (n,)")
    if y.dtype.kind not in "iu" or (y.size and not 0 <= y.min() <= y.max() < s.shape[1]):
        raise UserError(where, "a target is no class index", f"give whole numbers from 0 to {s.shape[1] - 1}")
    if s.dtype.kind not in "iuf" or np.isnan(s).any():
        raise UserError(where, "a score is nan or no number", "look where it comes from")
    return s, y


def _answers(n: int = 1003) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 10, n)
    return rng.normal(size=(n, 10)) + 2 * np.eye(10)[targets], targets


def _in_batches(size: int) -> Accuracy:
    (scores, targets), count = _answers(), Accuracy()
    for start in range(0, len(targets), size):
        count.add(scores[start : start + size], targets[start : start + size])
    return count


def every_batch_size_counts_the_trace() -> Check:
    """1,003 answers in batches of 1, 7, 200 or all give the trace of the confusion matrix over n exactly.

    Source: equation (1)
    """
    scores, targets = _answers()
    table = confusion(torch.from_numpy(scores.argmax(1)), torch.from_numpy(targets), 10)
    whole = int(table.trace()) / int(table.sum())
    return at_most(max(abs(_in_batches(size).value - whole) for size in (1, 7, 200, 1003)), 0.0)


def adding_the_batch_size_is_wrong() -> Check:
    """Dividing by batches times 200 for 1,003 examples is off by over 0.1; for 1,000 examples it is right.

    Source: 200 divides 10,000, so that the notebook's slip does not show there
    """
    count, batches = _in_batches(200), -(-1003 // 200)
    return at_least(abs(count.hits / (batches * 200) - count.value), 0.1)


def the_mean_of_batches_is_another_number() -> Check:
    """A last batch of 3 weighs as much as one of 200 when accuracies are averaged: off by more than 1e-3.

    Source: equation (1) counts examples
    """
    scores, targets = _answers()
    parts = [accuracy(scores[i : i + 200], targets[i : i + 200]) for i in range(0, 1003, 200)]
    return at_least(abs(float(np.mean(parts)) - accuracy(scores, targets)), 1e-3)


CARD = Card(
    name="Accuracy",
    name_ja="正解率(認識精度)",
    paper="LeCun, Bottou, Bengio, Haffner 1998, doi:10.1109/5.726791 (as error rate)",
    equations=(r"\mathrm{accuracy} = \frac{1}{n}\,\#\{i : \mathrm{argmax}_k\, s_{ik} = y_i\}"
               r" = \frac{\mathrm{tr}\,C}{n}",),
    summary="The share of examples whose largest score is at the true class, counted rightly over uneven batches.",
    summary_ja="もっとも高いスコアが正解のクラスにある例の割合。端数のバッチでも正しく数える。",
    topics=("metrics.accuracy",),
    facts=(every_batch_size_counts_the_trace, adding_the_batch_size_is_wrong, the_mean_of_batches_is_another_number),
    notes=("The notebook adds batch_size instead of the batch's length: right only because 200 divides 10,000.",),
    notes_ja=("ノートブックはバッチの長さではなく batch_size を足す。200が10,000を割り切るから正しいだけである。",),
)
