"""Optimisers whose rule looks at one entry at a time: the rule is written once, the rest of torch's protocol is here.

A subclass gives STATE, `rule` and `numbers`, and calls torch's `__init__(params, defaults)`. Parameter groups,
closures, maximize, coupled weight decay, the state of each parameter, saving and going on are the same for all.
`flatten()` lays many small tensors end to end. A rule that torch has too is a subclass of AbstractTwin and of torch's
class.
"""

from abc import abstractmethod
from operator import attrgetter, is_, itemgetter
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from shinso.kernels.elementwise import Places, Rule, form, in_order, update
from shinso.optim._lean import inherited_step
from shinso.optim.flat import AbstractFlat, like

Group = dict[str, Any]


class AbstractElementwise(AbstractFlat):
    """One update (w, s) = rule(w, g, s, h) for every entry; h are the numbers of this group at this step.

    The state of a parameter holds "step" and one tensor for each name in STATE, as torch's optimisers do.
    """

    STATE: tuple[str, ...] = ()
    SCALARS: tuple[str, ...] = ("step",)
    """numbers of each parameter that `advance` carries on: a step from 0, products from 1; with none, h is told 1, 2"""

    _begun: list[tuple[Tensor, str]] | None = None
    """states that did not exist before this step"""
    _bundled: "dict[int, tuple[list[Tensor], list[Bundle]]] | None" = None

    rule: ClassVar[Rule]
    """the update of one entry, in the words of shinso.kernels.elementwise and without literals; a static function"""

    @abstractmethod
    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        """h at this step, counted from 1; scalars after "step" follow as further arguments."""

    def chosen(self, group: Group) -> tuple[Rule, tuple[str, ...]]:
        """Rule and states, where the options of a group decide about them."""
        return type(self).rule, self.STATE

    def initial(self, group: Group) -> tuple[float, ...]:
        """What the states are filled with before the first step, in the order of `chosen`."""
        return (0.0,) * len(self.chosen(group)[1])

    def turn(self, group: Group) -> tuple[float, float]:
        """(sign, decay): the rule is given sign * gradient + decay * weight."""
        return -1.0 if group.get("maximize") else 1.0, float(group.get("weight_decay", 0))

    def advance(self, group: Group, scalars: dict[str, np.ndarray]) -> None:
        """Carries the scalars on by one step, in place."""
        if "step" in scalars:
            scalars["step"] += 1

    def _update(self) -> None:
        self._begun = None
        for number, group in enumerate(self.param_groups):
            for bundle, grads in self._work(number, group):
                if any(map(_is_sparse, grads)):
                    raise RuntimeError(f"{type(self).__name__} does not support sparse gradients")
                self._apply(group, bundle, grads)

    def _work(self, number: int, group: Group) -> list[tuple["Bundle", list[Tensor]]]:
        """What of a group has a gradient, and those gradients."""
        weights: list[Tensor] = group["params"]
        grads = list(map(_grad, weights))
        if type(None) in set(map(type, grads)):
            weights = [w for w, grad in zip(weights, grads, strict=True) if grad is not None]
            grads = list(map(_grad, weights))
        bundles = self._bundles(number, group, weights, self.chosen(group)[1])
        if len(bundles) == 1:
            return [(bundles[0], grads)]
        return [(bundle, list(map(_grad, bundle.weights))) for bundle in bundles]

    def _apply(self, group: Group, bundle: "Bundle", grads: list[Tensor]) -> None:
        self.advance(group, bundle.scalars)
        scalars = [float(values[0]) for values in bundle.scalars.values()] or [float(bundle.age)]
        numbers = tuple(map(float, self.numbers(group, *scalars)))
        columns = (bundle.weights, grads, *bundle.states)
        update(self.chosen(group)[0], columns, numbers, self.turn(group), bundle.places)
        bundle.age += 1

    def _bundles(self, number: int, group: Group, weights: list[Tensor], names: tuple[str, ...]) -> list["Bundle"]:
        """The weights of a group by the values of their scalars: nearly always one bundle, kept from step to step."""
        self._bundled = {} if self._bundled is None else self._bundled
        seen, found = self._bundled.get(number, ([], []))
        same = len(seen) == len(weights) and all(map(is_, seen, weights))
        if same and all(bundle.holds(self.state, names) for bundle in found):
            return found
        fresh = self._begin(group, weights, names)
        split: dict[tuple[Any, ...], list[Tensor]] = {}
        for w in weights:
            scalars = [float(self.state[w][name]) for name in self.SCALARS] or [not names or w in fresh]
            split.setdefault(tuple(scalars), []).append(w)
        found = [Bundle(self.state, part, names, self.SCALARS) for part in split.values()]
        for bundle in found:
            bundle.age = 1 if not names or bundle.weights[0] in fresh else 2
            bundle.places.keeps = self.flat
        self._bundled[number] = list(weights), found
        return found

    def _begin(self, group: Group, weights: list[Tensor], names: tuple[str, ...]) -> set[Tensor]:
        """Gives a state to every weight that lacks one, and says which did."""
        fresh = set()
        self._begun = self._begun or []
        for name, value in zip(names, self.initial(group), strict=True):
            lacking = [w for w in weights if self.state[w].get(name) is None]
            for w, tensor in zip(lacking, like(lacking, value, flat=self.flat), strict=True):
                self.state[w][name] = tensor
                self._begun.append((w, name))
            fresh.update(lacking)
        for w in weights:
            for name in self.SCALARS:
                if name not in self.state[w]:
                    self.state[w][name] = torch.full((), 0.0 if name == "step" else 1.0, dtype=_scalar_type())
                    self._begun.append((w, name))
        return fresh

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._bundled = None


class AbstractTwin(AbstractElementwise):
    """To be named before torch's class of the same method, which does whatever the rule here cannot.

    That is what a caller asks for by name (foreach, fused, capturable, differentiable), and every other device or type.
    """

    TWIN: type[torch.optim.Optimizer] = torch.optim.Optimizer

    def plain(self, group: Group) -> bool:
        """Whether the options of a group leave the choice to us."""
        return (group.get("foreach") is None and not group.get("fused") and not group.get("capturable")
                and not group.get("differentiable"))

    def _update(self) -> None:
        work = self._begun = None
        if all(map(self.plain, self.param_groups)) and not torch.compiler.is_compiling():
            work = self._all_work()
        if work is None:
            for w, name in self._begun or []:  # torch tells a first step by the lack of a state
                del self.state[w][name]
                if not self.state[w]:
                    del self.state[w]
            self._begun = self._bundled = None
            inherited_step(self.TWIN)(self)
        else:
            for group, bundle, grads in work:
                self._apply(group, bundle, grads)

    def _all_work(self) -> list[tuple[Group, "Bundle", list[Tensor]]] | None:
        """What there is to do, or None where one of the tensors is nothing for the native form."""
        work = []
        for number, group in enumerate(self.param_groups):
            if (self._bundled is None or number not in self._bundled) and not _usual(group["params"], flat=self.flat):
                return None
            for bundle, grads in self._work(number, group):
                if not bundle.places.find((bundle.weights, grads, *bundle.states)):
                    grads = in_order(bundle.weights, grads)
                    if not bundle.places.find((bundle.weights, grads, *bundle.states)):
                        return None
                work.append((group, bundle, grads))
        return work


def _usual(weights: list[Tensor], *, flat: bool) -> bool:
    """float32 and float64 in one place that has a form of its own."""
    return (set(map(_dtype, weights)) <= _USUAL and set(map(type, weights)) <= _KINDS
            and len(places := set(map(_device, weights))) < 2 and all(form(place, flat=flat) for place in places))


class Bundle:
    """Weights whose scalars are equal, with their states as columns and their scalars as one array each."""

    def __init__(self, state: dict[Tensor, Any], weights: list[Tensor], names: tuple[str, ...],
                 scalars: tuple[str, ...]):
        self.state, self.weights, self.names = state, weights, names
        self.kept = [state[w] for w in weights] if names or scalars else []
        self.states = [[kept[name] for kept in self.kept] for name in names]
        self.places, self.age = Places(), 1
        self.scalars: dict[str, np.ndarray] = {}
        self._views: dict[str, list[Tensor]] = {}
        for name in scalars:
            together = torch.stack([kept[name].detach().cpu() for kept in self.kept])
            self.scalars[name], self._views[name] = together.numpy(), list(together.unbind())
            for kept, view in zip(self.kept, self._views[name], strict=True):
                kept[name] = view  # torch's number for each parameter, but all of them are counted on at once

    def holds(self, state: dict[Tensor, Any], names: tuple[str, ...]) -> bool:
        """Whether nobody has put another state in the place of this one."""
        if state is not self.state or names != self.names or len(state) < len(self.kept):
            return False
        if not self.kept:
            return True
        order = list(state.values())  # a look-up by weight would cost ten times as much
        if len(order) != len(self.kept) or not all(map(is_, order, self.kept)):
            if not all(map(is_, map(state.get, self.weights), self.kept)):
                return False
        try:
            for name, column in (*zip(names, self.states, strict=True), *self._views.items()):
                if not all(map(is_, map(itemgetter(name), self.kept), column)):
                    return False
        except KeyError:
            return False
        return all((values == values[0]).all() for values in self.scalars.values())


_USUAL, _KINDS = {torch.float32, torch.float64}, {Tensor, torch.nn.Parameter}
_grad, _dtype, _device, _is_sparse = map(attrgetter, ("grad", "dtype", "device", "is_sparse"))


def _scalar_type() -> torch.dtype:
    """torch counts in float32, or in float64 where that is the default."""
    return torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32
