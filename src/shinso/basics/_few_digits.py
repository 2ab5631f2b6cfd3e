"""A problem on which one can overfit: few digits to learn from, and many others to be judged by."""

from dataclasses import replace

import torch
from torch import Tensor

from shinso.core.seed import generator
from shinso.data.digits import originals
from shinso.data.examples import Dataset, Examples
from shinso.data.splits import stratified


def few_digits(examples: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`examples` digits to learn from and 1000 others: pixels (n, 64) of 0..1 and one-hot answers (n, 10), float64."""
    images, labels = originals()
    order = torch.randperm(len(labels), generator=generator(seed, "examples"))
    X = torch.from_numpy(images.reshape(-1, 64) / 16.0)[order]
    Y = torch.eye(10, dtype=torch.float64)[torch.from_numpy(labels)[order]] - 0.1
    return X[:examples], Y[:examples], X[examples:examples + 1000], Y[examples:examples + 1000]


def few(data: Dataset, examples: int) -> Dataset:
    """`data` with at most so many training examples, the classes shared out as they were."""
    if not isinstance(data.train, Examples) or len(data.train) <= examples:
        return data
    share = examples / len(data.train)
    kept, _ = stratified(data.train.targets, (share, 1 - share), seed=0)
    return replace(data, train=data.train.part(kept))
