"""Weights from elsewhere: a published state_dict, read without running anything in it, put into a network of ours.

A file fits when every weight of the network is in it with its shape. What may differ is said, the rest refused with
all names: the last layer is begun anew when the number of classes differs, three colour channels are summed into one
for grey pictures (the answer for a picture whose three channels are that grey), auxiliary classifiers may be left out.
"""

import json
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from shinso.core.errors import UserError
from shinso.learn.misfit import misfit

Moments = tuple[tuple[float, ...], tuple[float, ...]]
"""mean and standard deviation per channel, on the 0..1 scale"""

PIXELS: Moments = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""how nearly all published networks had their pixels; a family of others says so as PIXELS in its own file"""
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model", "network")
PREFIXES = ("module.", "_orig_mod.", "model.")
OLD_NAMES = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""torchvision's published DenseNet files still have the names of its first version"""


@dataclass(frozen=True)
class Foreign:
    """What a file held: tensors by name, and text that its writer left beside them."""

    state: dict[str, Tensor]
    told: dict[str, str]


def read_weights(path: Path) -> Foreign:
    """The state_dict in a .safetensors, .pth, .pt or .bin file; whatever is no tensor is refused, never run."""
    if not path.is_file():
        raise UserError(path, "there is no such file", "give a .safetensors or .pth file with a state_dict")
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, "pt") as file:
                return Foreign({name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch asks for reports on files that it then refuses
            tree = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise many unrelated types for damaged and for hostile files
        raise _unreadable(path, error) from None
    return Foreign(_unwrapped(tree, path), {})


def load_weights(model: nn.Module, foreign: Foreign, path: Path) -> list[str]:
    """Fills `model` in place; returns what was not taken as it is, as half sentences. Nothing changes on an error."""
    ours = model.state_dict()
    state, notes = _best_naming(model, ours, foreign.state)
    fault = misfit(ours, state)
    if fault:
        raise UserError(path, fault, "choose the network, its depth and its width for which the file was made")
    for name, value in state.items():
        if value.is_floating_point() and not isfinite(float(value.sum())):
            raise UserError(path, f"{name} holds numbers that are not finite", "download it again")
    model.load_state_dict({**ours, **state})
    return notes


def misses(model: nn.Module, state: dict[str, Tensor]) -> float:
    """How many names or shapes differ: 0 where `load_weights` would not refuse them, infinite where all names do."""
    ours = model.state_dict()
    renamed, _ = _best_naming(model, ours, state)
    return _misses(ours, renamed) if ours.keys() & renamed.keys() else inf


def pixels(model: nn.Module, foreign: Foreign, channels: int) -> Moments:
    """How the weights want their pixels: as the file says, as the family's module says, or as nearly all do."""
    told: Any = getattr(sys.modules[type(model).__module__], "PIXELS", PIXELS)
    if {"mean", "std"} <= foreign.told.keys():  # a file of `shinso export`
        told = json.loads(foreign.told["mean"]), json.loads(foreign.told["std"])
    mean, std = (tuple(float(value) for value in values) for values in told)
    if len(mean) == channels:
        return mean, std
    return (sum(mean) / len(mean),) * channels, (sum(std) / len(std),) * channels


def heads(model: nn.Module) -> list[str]:
    """Names of the layers that answer: the last linear map or convolution, and that of each auxiliary classifier."""
    parts = [(f"{name}.", part) for name, part in model.named_children() if name.lower().startswith("aux")]
    found = []
    for prefix, part in (*parts, ("", model)):
        layers = [name for name, layer in part.named_modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
        found += [prefix + layers[-1]] if layers else []
    return list(dict.fromkeys(found))


def freeze(model: nn.Module) -> None:
    """Leaves only the heads to be trained; normalisations elsewhere keep their statistics, and compute with them."""
    answering = {id(weight) for name in heads(model) for weight in model.get_submodule(name).parameters()}
    for weight in model.parameters():
        weight.requires_grad_(id(weight) in answering)
    for layer in model.modules():
        if "running_mean" in dict(layer.named_buffers(recurse=False)):
            layer.eval()
            cast(Any, layer).train = _Still(layer)


class _Still:
    """In place of a layer's `train`, so that the layer stays in evaluation mode when its network is trained."""

    def __init__(self, layer: nn.Module):
        self.layer = layer

    def __call__(self, mode: bool = True) -> nn.Module:
        return self.layer


def _unreadable(path: Path, error: Exception) -> UserError:
    text = str(error).strip()
    if type(error).__name__ == "UnpicklingError":
        code = re.search(r"(?:GLOBAL |global )([\w.]+)", text)
        what = f"it holds {code[1]}, which could run code" if code else "it is damaged, or holds more than tensors"
        return UserError(path, f"{what}, and is not read", "save its state_dict alone, best as .safetensors")
    reason = (text.splitlines() or [type(error).__name__])[0].partition(". ")[0][:120]
    return UserError(path, f"it is damaged or not whole ({reason})", "download it again")


def _unwrapped(tree: object, path: Path) -> dict[str, Tensor]:
    """The named tensors in what a training program saved: perhaps one of several entries, perhaps with a prefix."""
    for _ in WRAPPERS:
        inner = [tree[name] for name in WRAPPERS if isinstance(tree, Mapping) and isinstance(tree.get(name), Mapping)]
        if not inner:
            break
        tree = inner[0]
    found = tree.items() if isinstance(tree, Mapping) else ()
    state = {str(name): value.detach() for name, value in found if isinstance(value, Tensor)}
    if not state:
        raise UserError(path, "it holds no tensors with names", "give a file with a network's state_dict")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _namings(model: nn.Module, state: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """The state with its own names, with torchvision's older ones renewed, and with timm's translated."""
    yield state
    yield {OLD_NAMES.sub(r"\1\2", name): value for name, value in state.items()}
    translate: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None  # the network's own, or the family's
    translate = getattr(model, "from_timm", getattr(sys.modules[type(model).__module__], "from_timm", None))
    if translate is not None:
        try:
            translated = translate(dict(state))
        except (LookupError, ValueError, RuntimeError):
            return  # these are not timm's names, which the other namings will tell
        yield translated


def _fitted(model: nn.Module, ours: Mapping[str, Tensor],
            state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The state without what may differ, which is put in place of it or left out, and a word on each."""
    state, notes = dict(state), []
    strange = any(name not in ours and not name.lower().startswith("aux") for name in state)  # one may be the head's
    for head in heads(model):
        mine = ours[f"{head}.weight"]
        there = state.get(f"{head}.weight", mine if strange else mine[:0])
        if there.shape != mine.shape and there.shape[1:] == mine.shape[1:]:
            for part in ("weight", "bias"):
                if f"{head}.{part}" in ours:
                    state[f"{head}.{part}"] = ours[f"{head}.{part}"]
            notes.append(f"{head} begins anew, for {len(mine)} classes"
                         + (f" instead of {len(there)}" if len(there) else ", because the file has none"))
    children = {name for name, _ in model.named_children()}
    unused = {name for name in state if name.lower().startswith("aux") and name.partition(".")[0] not in children}
    if unused:
        notes.append(f"{', '.join(sorted({name.partition('.')[0] for name in unused}))} left out")
    counters = {name: value for name, value in ours.items() if name.endswith("num_batches_tracked")
                and name.replace("num_batches_tracked", "running_mean") in state}
    state = {name: value for name, value in state.items()
             if name not in unused and (name in ours or not name.endswith("num_batches_tracked"))}
    for name, value in state.items():
        mine = ours.get(name, value)
        if value.dim() == 4 and mine.shape == (value.shape[0], 1, *value.shape[2:]) and value.shape[1] == 3:
            state[name] = value.sum(1, keepdim=True)
            notes.append(f"the three channels of {name} are summed into one")
    return counters | state, notes


def _best_naming(model: nn.Module, ours: Mapping[str, Tensor],
                 state: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    return min((_fitted(model, ours, names) for names in _namings(model, state)),
               key=lambda found: _misses(ours, found[0]))


def _misses(ours: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> int:
    both = ours.keys() & state.keys()
    return len(ours.keys() ^ state.keys()) + sum(ours[name].shape != state[name].shape for name in both)
