"""Test-time augmentation: several views of a picture are asked, and their probabilities averaged.

    log p(y | x) = log (1/V sum_v softmax f(v(x)))                                                  (1)

The views are the picture and its mirror image, or ten crops: corners and middle, and their mirror images (Krizhevsky,
Sutskever, Hinton 2012, section 4.1, on 224 of 256 pixels). The answer then does not depend on which way round the
picture is. Without such views a network of crops sees the middle.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Generator, Tensor, nn

from shinso.data.examples import Dataset, Description
from shinso.data.photographs import each_crop
from shinso.learn import classify, looking
from shinso.learn.supervised import Batch, Task

Views = Callable[[Tensor], Iterable[Tensor]]
"""pictures (n, channels, height, width) -> several of each, one after the other: (n, channels, height', width')"""


@final
class Asked(nn.Module):
    """(batch, channels, height, width) -> log probabilities (batch, classes) by (1)."""

    def __init__(self, network: nn.Module, views: Views):
        super().__init__()
        self.network, self.views = network, views

    def forward(self, x: Tensor) -> Tensor:
        answers = [self.network(view).float().log_softmax(1) for view in self.views(x)]
        return torch.stack(answers).logsumexp(0) - math.log(len(answers))  # (1)


def mirrored(x: Tensor) -> Iterable[Tensor]:
    """The pictures and their mirror images."""
    return x, x.flip(3)


def crops(size: int) -> Views:
    """Ten of `size` x `size` pixels of each picture."""
    return partial(each_crop, size=size)


@final
@dataclass(frozen=True)
class Middle:
    """The middle `size` x `size` pixels of larger pictures; a network that has this as a hook sees no more of them."""

    size: int

    def __call__(self, network: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        return (self.of(inputs[0]),)

    def of(self, x: Tensor) -> Tensor:
        """(..., height, width) -> (..., size, size)."""
        down, right = ((side - self.size) // 2 for side in x.shape[-2:])
        return x[..., down:down + self.size, right:right + self.size]


def asking(task: Task, views: Views | None, seen: Middle | None) -> Task:
    """A classifier's task in which whoever measures, confuses or answers asks all `views`; training is as it was.

    Pictures from inside are of the network itself, asked once for what it sees of a picture.
    """
    if views is not None:
        task = replace(task, measure=partial(_hits, views), predict=partial(_predict, views),
                       rank=partial(_rank, views))
    return replace(task, pictures=partial(_pictures, views, seen), files=partial(_files, seen))


def _hits(views: Views, model: nn.Module, batch: Batch, noise: Generator) -> dict[str, Tensor]:
    return classify.hits(Asked(model, views), batch, noise)


def _pictures(views: Views | None, seen: Middle | None, model: nn.Module, data: Dataset) -> dict[str, np.ndarray]:
    answering = model if views is None else Asked(model, views)
    return {**classify.confusions(answering, data), **looking.inside(model, data, seen and seen.of)}


def _files(seen: Middle | None, model: nn.Module, data: Dataset) -> dict[str, bytes]:
    return looking.files(model, data, seen and seen.of)


def _predict(views: Views, model: nn.Module, about: Description, files: Sequence[Path]) -> list[tuple[str, float]]:
    return classify.predict(Asked(model, views), about, files)


def _rank(views: Views, model: nn.Module, about: Description, files: Sequence[Path],
          count: int) -> list[list[tuple[str, float]]]:
    return classify.rank(Asked(model, views), about, files, count)
