"""What every data set gives: its splits, resident in memory, and a description that outlives them."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Literal

import torch
from torch import Tensor

from shinso.core.errors import UserError
from shinso.core.setup import nearest


@dataclass(frozen=True)
class Examples:
    """One split: inputs uint8 (n, channels, height, width) or float32 (n, features); targets int64 (n,)."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.targets[index]


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a trained network must know of its data when the data are gone: kept in a run's `data.json`."""

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    """of one input: (channels, height, width) or (features,)"""
    mean: tuple[float, ...]
    """per channel of the training part, on the 0..1 scale"""
    std: tuple[float, ...]
    form: Literal["handwriting", "picture", "points"]
    """how a user's file becomes an input"""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Three disjoint splits and their description."""

    about: Description
    train: Examples
    validation: Examples
    test: Examples


def open_data(spec: str) -> Dataset:
    """The data set that `spec` names: a module of this package (`mnist`, `two-moons`) and perhaps `:ARGUMENT`."""
    name, _, argument = spec.partition(":")
    known = data_sets()
    if name not in known:
        raise UserError(f"data '{spec}'", "there is no data set of this name", nearest(name, known))
    load: Callable[[str], Dataset] = import_module(f"shinso.data.{name.replace('-', '_')}").load
    return load(argument)


def data_sets() -> list[str]:
    """The names `open_data` knows: every module of this package that has a function `load`."""
    import shinso.data as package

    found = []
    for module in iter_modules(package.__path__):
        source = f"{package.__path__[0]}/{module.name}.py"
        with open(source, encoding="utf-8") as file:
            if "\ndef load(" in file.read():
                found.append(module.name.replace("_", "-"))
    return found


def to_float(inputs: Tensor, about: Description) -> Tensor:
    """uint8 pixels to float32, normalised per channel; float inputs pass unchanged."""
    if inputs.dtype != torch.uint8:
        return inputs
    shape = (1, -1) + (1,) * (len(about.shape) - 1)
    mean = torch.tensor(about.mean, device=inputs.device).view(shape)
    std = torch.tensor(about.std, device=inputs.device).view(shape)
    return inputs.to(torch.float32).div_(255).sub_(mean).div_(std)
