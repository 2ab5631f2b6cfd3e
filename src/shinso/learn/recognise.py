"""Training a network to name what is in a picture: the settings that every such system has, and its program.

A system makes its Setup from `Recognition` and builds with `recognise`; what is its own, such as which network, it
adds. Weights decay except biases and the scales of normalisations, and convolutions compute with channels last.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.seed import drawing_from, drawing_with
from shinso.core.setup import in_range
from shinso.data.augment import Chain, FlipCrop, usual
from shinso.data.batches import Augment
from shinso.data.colour_jitter import ColourJitter
from shinso.data.cutout import Cutout
from shinso.data.examples import Dataset, Description, open_data
from shinso.data.mixup import Mixup
from shinso.learn.choices import FUSED, SCHEDULES, optimiser
from shinso.learn.classify import CLASSIFY
from shinso.learn.fitting import NOWHERE, Built, choices_that_fit
from shinso.learn.foreign_weights import freeze, load_weights, pixels, read_weights
from shinso.learn.mirrored import Middle, asking, crops, mirrored
from shinso.learn.supervised import Batch, Plan, Supervised, Task


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """What can be chosen wherever pictures are classified."""

    data: str = "digits"
    """data set: digits, mnist, fashion-mnist, cifar10, dogs-vs-cats, caltech101, folder:PATH, or folder:PATH@SIZE"""
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
    colour: float = 0.0
    """jitter of brightness, contrast and saturation of colour pictures, for example 0.4; 0: none"""
    cutout: int = 0
    """side of the square that is hidden in every training picture, pixels; 0: none"""
    mixup: float = 0.0
    """a of Beta(a, a), by which two training pictures and their labels are mixed, for example 0.2; 0: none"""
    weights: str | None = None
    """start from a published state_dict, a .safetensors or .pth file of torchvision's or timm's names; none: anew"""
    freeze: bool = False
    """train the last layer alone, as a new answer to what `weights` already sees"""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: every class counts the same in the loss, however few its examples are"""
    crop: int = 0
    """side of the part of a picture that the network sees, pixels: in training a new one every time, then the middle;
    0: all of it"""
    tta: Literal["none", "mirror", "crops"] = "none"
    """test-time augmentation: evaluations and predictions answer by the mean over a picture and its mirror image, or
    over ten crops, which are corners, middle and their mirror images; what is exported or drawn from inside sees one"""
    patience: int = 0
    """evaluations without improvement before stopping early; 0: never"""
    seed: int = 0
    """of the first weights, the order and the augmentation"""


def recognise(setup: Recognition, place: Place, network: Callable[[Description], nn.Module], *,
              smallest: int = 1) -> Supervised:
    """The training program of `network(description of the data)`, for images of at least `smallest` pixels a side."""
    in_range(setup, ("epochs", "batch_size", "accumulate", "lr"), ("momentum", "label_smoothing"))
    if not (setup.colour >= 0 and setup.cutout >= 0 and setup.mixup >= 0):
        raise UserError("colour, cutout, mixup", "a change of less than nothing", "give 0 to leave it out, or more")
    data = open_data(setup.data)
    if len(data.about.shape) != 3 or min(data.about.shape[1:]) < smallest:
        given = "x".join(map(str, data.about.shape[1:])) if len(data.about.shape) == 3 else "points"
        raise UserError(f"data '{setup.data}'", f"this network reads images of at least {smallest}x{smallest}, "
                        f"these are {given}", f"use folder:PATH@{max(smallest, 32)}, or a smaller network")
    if 0 < setup.crop < smallest:
        raise UserError("crop", f"this network reads images of at least {smallest}x{smallest}", f"give {smallest}")
    seen = _seen(setup, data.about)
    with drawing_from(setup.seed, "weights"):
        model = network(seen)
    if place == NOWHERE:
        raise Built(model)
    if seen is not data.about:
        model.register_forward_pre_hook(Middle(setup.crop))
    data = _begun_elsewhere(setup, model, data)
    model = model.to(place.device, memory_format=torch.channels_last)  # pyright: ignore
    plan = Plan(epochs=setup.epochs, batch_size=setup.batch_size, seed=setup.seed, schedule=SCHEDULES[setup.schedule],
                ema=setup.ema, closure=setup.optimiser not in FUSED, accumulate=setup.accumulate,
                augment=_changed(setup, data.about),
                mix=Mixup(seed=setup.seed + 4, alpha=setup.mixup) if setup.mixup else None)
    rule = optimiser(setup.optimiser, model, setup.lr, place.device, momentum=setup.momentum,
                     weight_decay=setup.weight_decay)
    return Supervised(model, rule, _task(setup, data, place.device), data, plan, place)


def _seen(setup: Recognition, about: Description) -> Description:
    """The data as the network sees them: with `crop` a part of each picture."""
    if not setup.crop:
        return about
    if about.form != "picture":
        raise UserError("crop", "a part of a sign is another sign", "leave it out, or train on pictures")
    if not 0 < setup.crop < min(about.shape[1:]):
        side = "x".join(map(str, about.shape[1:]))
        raise UserError("crop", f"{setup.crop} is no part of pictures of {side} pixels",
                        f"give less, or larger pictures: folder:PATH@{8 * abs(setup.crop) // 7}")
    return replace(about, shape=(about.shape[0], setup.crop, setup.crop))


def _changed(setup: Recognition, about: Description) -> Augment | None:
    """How a training picture changes each time it is seen."""
    changes: list[Augment] = []
    if setup.crop and setup.augment:
        changes.append(FlipCrop(seed=setup.seed, border=0, size=setup.crop))
    elif setup.augment:
        changes.append(usual(about, setup.seed))
    if setup.colour:
        changes.append(ColourJitter(seed=setup.seed + 2, brightness=setup.colour, contrast=setup.colour,
                                    saturation=setup.colour))
    if setup.cutout:
        fill = round(255 * sum(about.mean) / len(about.mean))  # as the paper's 0 behind normalisation
        changes.append(Cutout(seed=setup.seed + 3, size=setup.cutout, fill=fill))
    return changes[0] if len(changes) == 1 else Chain(tuple(changes)) if changes else None


def _begun_elsewhere(setup: Recognition, model: nn.Module, data: Dataset) -> Dataset:
    """Puts the weights that `setup` names into `model`; returns the data as these want them normalised."""
    if setup.freeze and setup.weights is None:
        raise UserError("freeze", "the last layer of a new network has nothing to build on", "give --weights FILE too")
    if setup.weights is not None and len(data.train):  # without data, a run's own weights and description follow
        path = Path(setup.weights).expanduser()
        foreign = read_weights(path)
        try:
            notes = load_weights(model, foreign, path)
        except UserError as error:
            options = choices_that_fit(setup, Recognition, foreign, data.about)
            raise UserError(error.where, error.what, f"it fits with {options}" if options else error.cure) from None
        if notes:
            warnings.warn(f"{path}: {'; '.join(notes)}", stacklevel=3)
        mean, std = pixels(model, foreign, data.about.shape[0])
        data = replace(data, about=replace(data.about, mean=mean, std=std))
    if setup.freeze:
        freeze(model)
    return data


def _task(setup: Recognition, data: Dataset, device: str) -> Task:
    """Classification with the losses and answers that `setup` chooses."""
    shares = balanced(data.train.targets, len(data.about.classes)).to(device) if setup.class_weights != "none" else None
    task = replace(CLASSIFY, objective=partial(smoothed, setup.label_smoothing, shares=shares))
    if setup.tta != "none" and data.about.form != "picture":
        raise UserError("tta", "the mirror image of writing is another sign", "leave it out, or train on pictures")
    if setup.tta == "crops" and not setup.crop:
        least = min(data.about.shape[1:])
        raise UserError("tta", f"the network sees all {least}x{least} pixels, and there is nothing to cut them from",
                        f"give --crop, for example {7 * least // 8}, or --tta mirror")
    views = {"none": None, "mirror": mirrored, "crops": crops(setup.crop)}[setup.tta]
    return asking(task, views, Middle(setup.crop) if setup.crop else None)


def balanced(targets: Tensor, classes: int) -> Tensor:
    """n / (K n_c) for each class c, float32 (classes,): its mean over the examples is 1; 0 for a class without any."""
    counts = targets.bincount(minlength=classes)
    present = int((counts > 0).sum())
    return torch.where(counts > 0, len(targets) / (max(1, present) * counts.clamp(min=1)), 0.0).float()


def smoothed(share: float, model: nn.Module, batch: Batch, noise: Generator, *,
             shares: Tensor | None = None) -> dict[str, Tensor]:
    """Cross entropy with targets (1 - share) one-hot + share / classes (Szegedy et al. 2015); dropout draws `noise`.

    With `shares` (classes,) each example counts as its class does.
    """
    inputs, targets = batch
    with drawing_with(noise):
        scores = model(inputs)
    if shares is None:
        return {"loss": F.cross_entropy(scores, targets, label_smoothing=share)}
    each = F.cross_entropy(scores, targets, label_smoothing=share, reduction="none")
    weights = targets @ shares if targets.is_floating_point() else shares[targets]
    return {"loss": (each * weights).mean()}
