"""What the Inception networks share: what can be chosen, how small pictures fit, the loss of several answers."""

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from shinso.core.errors import UserError
from shinso.core.seed import drawing_with
from shinso.core.setup import nearest
from shinso.learn.recognise import Recognition
from shinso.learn.supervised import Batch

SMALLEST = 75
"""pixels a side that v3, v4 and Inception-ResNet need, whose layers have no borders"""


@dataclass(frozen=True, kw_only=True)
class Inception(Recognition):
    """Settings of training, and those that all have."""

    width: float = 1.0
    """factor on the number of all maps; 1: as published"""
    grow: int = 1
    """times that every pixel is repeated along both axes before the first layer, for pictures that are too small"""
    epochs: int = 8
    batch_size: int = 32
    optimiser: str = "adam"
    lr: float = 0.004


@dataclass(frozen=True, kw_only=True)
class Listed(Inception):
    """The networks whose modules stand in a table by name."""

    without: tuple[str, ...] = ()
    """modules that are left out, for example 4b,4c; none: as published"""


@dataclass(frozen=True, kw_only=True)
class Bordered(Inception):
    """The networks whose layers can be given borders."""

    border: bool = False
    """every layer has a border of zeros, so that pictures of any size pass; false: as published, from 75 pixels"""
    label_smoothing: float = 0.1


def supervise(share: float, smoothing: float, model: nn.Module, batch: Batch, noise: Generator) -> dict[str, Tensor]:
    """`main`, and `share` times the other answers' cross entropies as `auxiliary`; dropout draws `noise`."""
    inputs, targets = batch
    with drawing_with(noise):
        answers = model(inputs)
    main, *others = (F.cross_entropy(answer, targets, label_smoothing=smoothing)
                     for answer in (answers if isinstance(answers, tuple) else (answers,)))
    return {"main": main, "auxiliary": share * torch.stack(others).sum()} if others else {"loss": main}


def refuse_unknown(without: tuple[str, ...], table: Collection[str]) -> None:
    """A UserError for the first name that no module of `table` has."""
    for name in without:
        if name not in table:
            raise UserError("without", f"there is no module '{name}'", nearest(name, table))


def ungrown(side: int, grow: int) -> int:
    """The least pixels a side that become `side` or more."""
    return -(-side // grow)


def smallest(setup: Bordered) -> int:
    """Pixels a side that the setup's network can read."""
    return 1 if setup.border else ungrown(SMALLEST, setup.grow)
