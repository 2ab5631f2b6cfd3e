"""Test-time augmentation: a picture and its mirror image are both asked, and their probabilities averaged.

    log p(y | x) = log (1/2 softmax f(x) + 1/2 softmax f(x mirrored))                                       (1)

The answer no longer depends on which way round the picture is.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Generator, Tensor, nn

from shinso.data.examples import Dataset, Description
from shinso.learn import classify, looking
from shinso.learn.supervised import Batch, Task


@final
class Mirrored(nn.Module):
    """(batch, channels, height, width) -> log probabilities (batch, classes) by (1)."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        both = [self.network(image).float().log_softmax(1) for image in (x, x.flip(3))]
        return torch.logaddexp(*both) - math.log(2)  # (1)


def mirroring(task: Task) -> Task:
    """A classifier's task in which whoever measures, draws or answers asks both images; training is as it was."""
    return replace(task, measure=_hits, pictures=_pictures, predict=_predict, rank=_rank)


def _hits(model: nn.Module, batch: Batch, noise: Generator) -> dict[str, Tensor]:
    return classify.hits(Mirrored(model), batch, noise)


def _pictures(model: nn.Module, data: Dataset) -> dict[str, np.ndarray]:
    return {**classify.confusions(Mirrored(model), data), **looking.inside(model, data)}


def _predict(model: nn.Module, about: Description, files: Sequence[Path]) -> list[tuple[str, float]]:
    return classify.predict(Mirrored(model), about, files)


def _rank(model: nn.Module, about: Description, files: Sequence[Path], count: int) -> list[list[tuple[str, float]]]:
    return classify.rank(Mirrored(model), about, files, count)
