"""What every data set gives: its splits, resident in memory, and a description that outlives them."""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from math import prod
from pathlib import Path
from pkgutil import iter_modules
from typing import Literal, Protocol, Self

import torch
from torch import Tensor

from shinso.core.errors import UserError
from shinso.core.setup import from_json, nearest, to_json

Form = Literal["handwriting", "picture", "points"]
LARGEST_INPUT = 1 << 26
"""numbers in one input that a description may claim"""


class Split(Protocol):
    """One part of a data set, wherever its inputs live; `Examples` keeps them in memory, `Files` on disk."""

    @property
    def inputs(self) -> Tensor: ...

    @property
    def targets(self) -> Tensor: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]: ...

    def to(self, device: str) -> Self: ...

    def pick(self, index: Tensor) -> Tensor:
        """The inputs of these examples, in this order, on the split's device."""
        ...

    def expect(self, index: Tensor) -> None:
        """Says that these examples will be picked soon; a split on disk begins to read them."""
        ...


@dataclass(frozen=True)
class Examples:
    """One resident split: inputs uint8 (n, channels, height, width) or float32 (n, features); targets int64 (n,)."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.targets[index]

    def to(self, device: str) -> "Examples":
        return Examples(self.inputs.to(device), self.targets.to(device))

    def pick(self, index: Tensor) -> Tensor:
        return self.inputs.index_select(0, index)

    def expect(self, index: Tensor) -> None:
        """Nothing to do: everything is in memory."""

    def part(self, index: Tensor) -> "Examples":
        """These examples as a split of their own."""
        return Examples(self.inputs[index], self.targets[index])


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
    form: Form
    """how a user's file becomes an input"""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Three disjoint splits and their description."""

    about: Description
    train: Split
    validation: Split
    test: Split


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
        source = Path(package.__path__[0], f"{module.name}.py")
        if "\ndef load(" in source.read_text(encoding="utf-8"):
            found.append(module.name.replace("_", "-"))
    return found


def describe(name: str, classes: tuple[str, ...], form: Form, train: Examples) -> Description:
    """The description of a data set from its training part; mean and std are those of every channel."""
    mean, std = moments(train.inputs)
    return Description(name=name, classes=classes, shape=tuple(train.inputs.shape[1:]), mean=mean, std=std, form=form)


def moments(inputs: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 (n, channels, ...), on the 0..1 scale, from exact counts."""
    counts = torch.zeros(inputs.shape[1], 256, dtype=torch.int64)
    for chunk in inputs.split(4096):
        counts += level_counts(chunk)
    return level_moments(counts)


def level_counts(inputs: Tensor) -> Tensor:
    """How often each of the 256 levels occurs: uint8 (n, channels, ...) to int64 (channels, 256)."""
    return torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in inputs.unbind(1)])


def level_moments(counts: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, on the 0..1 scale, from counts (channels, 256)."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    shares = counts.double() / counts.sum(1, keepdim=True).clamp(min=1)
    means = shares @ levels
    variances = (shares * (levels - means[:, None]) ** 2).sum(1)
    return tuple(means.tolist()), tuple(variances.sqrt().clamp(min=1e-6).tolist())


def save_description(about: Description, path: Path) -> None:
    """Writes `data.json`, readable by people and by `load_description`."""
    path.write_text(json.dumps(to_json(about), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def load_description(path: Path) -> Description:
    """Reads what `save_description` wrote; anything else is a UserError that names the file."""
    cure = "give the data.json of a run folder"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(path, f"it cannot be read ({error.strerror})", cure) from None
    except ValueError:
        raise UserError(path, "it is not a JSON file", cure) from None
    if not isinstance(values, dict):
        raise UserError(path, "it does not describe a data set", cure)
    missing = [field.name for field in dataclasses.fields(Description) if field.name not in values]
    if missing:
        raise UserError(path, f"the field '{missing[0]}' is missing", cure)
    about = from_json(Description, values, path)
    channels = about.shape[0] if about.shape else 0
    if not len(about.mean) == len(about.std) == channels or not 1 <= prod(about.shape) <= LARGEST_INPUT \
            or min(about.shape) < 1 or min(about.std) <= 0:
        raise UserError(path, "shape, mean and std do not fit together", cure)
    return about


def to_float(inputs: Tensor, about: Description) -> Tensor:
    """uint8 pixels to float32, normalised per channel; float inputs pass unchanged."""
    if inputs.dtype != torch.uint8:
        return inputs
    mean, std = _normalisation(about.mean, about.std, len(about.shape), str(inputs.device))
    return inputs.to(torch.float32).div_(255).sub_(mean).div_(std)


def to_bytes(inputs: Tensor, about: Description) -> Tensor:
    """The inverse of `to_float` for pixels: float32, normalised, to uint8 of 0..255."""
    mean, std = _normalisation(about.mean, about.std, len(about.shape), str(inputs.device))
    return inputs.mul(std).add_(mean).mul_(255).round_().clamp_(0, 255).to(torch.uint8)


@lru_cache(maxsize=32)
def _normalisation(mean: tuple[float, ...], std: tuple[float, ...], dims: int, device: str) -> tuple[Tensor, Tensor]:
    shape = (1, -1) + (1,) * (dims - 1)
    with torch.inference_mode(False):  # a cached tensor must serve autograd, too, whoever asked first
        return torch.tensor(mean, device=device).view(shape), torch.tensor(std, device=device).view(shape)
