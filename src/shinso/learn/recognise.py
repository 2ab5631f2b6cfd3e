"""Training a network to name what is in a picture: the settings that every such system has, and its program.

A system makes its Setup from `Recognition` and builds with `recognise`; what is its own, such as which network, it
adds. Weights decay except biases and the scales of normalisations, and convolutions compute with channels last.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.seed import drawing_from, drawing_with
from shinso.core.setup import in_range
from shinso.data.augment import FlipCrop, Handwriting
from shinso.data.examples import Description, open_data
from shinso.learn.choices import FUSED, SCHEDULES, first_order
from shinso.learn.classify import CLASSIFY
from shinso.learn.supervised import Batch, Plan, Supervised


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """What can be chosen wherever pictures are classified."""

    data: str = "digits"
    """data set: digits, mnist, fashion-mnist, cifar10, folder:PATH, or folder:PATH@SIZE"""
    epochs: int = 10
    """passes over the training part"""
    batch_size: int = 128
    """examples per step"""
    accumulate: int = 1
    """parts into which a batch is cut, computed one after the other: less memory, the same gradient"""
    optimiser: str = "sgd"
    """update rule: the name of any method in shinso.optim, for example sgd, adam, adamw, lion, muon"""
    lr: float = 0.1
    """largest learning rate"""
    momentum: float = 0.9
    """share of the last step that is kept, for optimisers that have it"""
    weight_decay: float = 5e-4
    """pull of the weights towards 0, biases and normalisations excepted"""
    schedule: Literal["constant", "step", "cosine", "one_cycle", "warm_up"] = "one_cycle"
    """course of the learning rate; one_cycle rises for a quarter of the run, warm_up for a tenth, before a cosine"""
    label_smoothing: float = 0.0
    """share of the certainty that is spread over all classes"""
    ema: float | None = None
    """decay of averaged weights, for example 0.999, which are then what is evaluated and exported; none: no average"""
    augment: bool = True
    """change the training images a little, a new way every time: bend and shift writing, mirror and shift pictures"""
    patience: int = 0
    """evaluations without improvement before stopping early; 0: never"""
    seed: int = 0
    """of the first weights, the order and the augmentation"""


def recognise(setup: Recognition, place: Place, network: Callable[[Description], nn.Module], *,
              smallest: int = 1) -> Supervised:
    """The training program of `network(description of the data)`, for images of at least `smallest` pixels a side."""
    in_range(setup, ("epochs", "batch_size", "accumulate", "lr"), ("momentum", "label_smoothing"))
    data = open_data(setup.data)
    if len(data.about.shape) != 3 or min(data.about.shape[1:]) < smallest:
        given = "x".join(map(str, data.about.shape[1:])) if len(data.about.shape) == 3 else "points"
        raise UserError(f"data '{setup.data}'", f"this network reads images of at least {smallest}x{smallest}, "
                        f"these are {given}", f"use folder:PATH@{max(smallest, 32)}, or a smaller network")
    with drawing_from(setup.seed, "weights"):
        model = network(data.about).to(place.device, memory_format=torch.channels_last)  # pyright: ignore
    change = Handwriting if data.about.form == "handwriting" else FlipCrop
    plan = Plan(epochs=setup.epochs, batch_size=setup.batch_size, seed=setup.seed, schedule=SCHEDULES[setup.schedule],
                ema=setup.ema, closure=setup.optimiser not in FUSED, accumulate=setup.accumulate,
                augment=change(seed=setup.seed) if setup.augment else None)
    task = replace(CLASSIFY, objective=partial(smoothed, setup.label_smoothing))
    return Supervised(model, rule(setup, model, place.device), task, data, plan, place)


def smoothed(share: float, model: nn.Module, batch: Batch, noise: Generator) -> dict[str, Tensor]:
    """Cross entropy with targets (1 - share) one-hot + share / classes (Szegedy et al. 2015); dropout draws `noise`."""
    inputs, targets = batch
    with drawing_with(noise):
        scores = model(inputs)
    return {"loss": F.cross_entropy(scores, targets, label_smoothing=share)}


def rule(setup: Recognition, model: nn.Module, device: str) -> torch.optim.Optimizer:
    """The method that `setup` names, in two groups: matrices and kernels decay, vectors do not."""
    kind = first_order(setup.optimiser)
    known = signature(kind).parameters
    given = {"lr": setup.lr, "momentum": setup.momentum, "fused": device != "mps" or None}
    options = {name: value for name, value in given.items() if name in known}
    weights = [w for w in model.parameters() if w.requires_grad]
    if "weight_decay" not in known:
        return kind(weights, **options)
    return kind([{"params": [w for w in weights if w.dim() > 1], "weight_decay": setup.weight_decay},
                 {"params": [w for w in weights if w.dim() <= 1], "weight_decay": 0.0}], **options)
