"""The sweep back over what was recorded: order, checks, accumulation. `tensor.py` holds what it walks over.

Tensors are numbered as they are made, and an operation is made after its inputs: sorting by number is a topological
order, and no recursion is needed however long the chain.
"""

import threading
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from shinso.core.errors import UserError


class Mode(threading.local):
    """What this thread does besides computing: record what was done, look for NaN."""

    recording = True
    watching = False


MODE = Mode()
_NUMBER = attrgetter("number")


def shapes(inputs: Iterable[Any]) -> str:
    """(3, 4) and (5,): the shapes of the inputs, in words."""
    told = [str(tuple(np.shape(getattr(x, "data", x)))) for x in inputs]
    return told[0] if len(told) == 1 else ", ".join(told[:-1]) + " and " + told[-1]


def values(data: Any) -> np.ndarray:
    """The values as an array of numbers or truth values."""
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise UserError("Tensor", f"these values make no array ({str(error).splitlines()[0].rstrip('.')})",
                        "give rows of the same length") from error
    if array.dtype.kind not in "fiub":
        raise UserError("Tensor", f"values of type {array.dtype} are no real numbers", "give numbers")
    return array


def recorded(outputs: Sequence[Any]) -> list[Any]:
    """All tensors that `outputs` were computed from and that need gradients, in the order in which they were made.

    Leaves are not among them. Raises where a part of the graph was freed.
    """
    seen, stack, order = set(), list(outputs), []
    while stack:
        t = stack.pop()
        if t.rule is None or id(t) in seen:
            continue
        seen.add(id(t))
        if t.inputs is None:
            raise UserError(t.rule.name, f"the graph behind this tensor of shape {t.shape} was freed by an earlier "
                            "backward", "call the first backward with retain_graph=True, or compute the value again")
        order.append(t)
        stack += [x for x in t.inputs if getattr(x, "requires_grad", False)]
    order.sort(key=_NUMBER)
    return order


def check_versions(t: Any) -> None:
    """Refuse a sweep over values that were changed in place since they were used."""
    if t.seen is not None:
        for i, (x, version) in enumerate(zip(t.inputs, t.seen, strict=True)):
            if version is not None and x.version[0] != version:
                raise UserError(t.rule.name, f"input {i + 1} of shape {x.shape} was changed in place after it was used "
                                f"(inputs of shapes {shapes(t.inputs)})",
                                "change a copy, or change it after the backward pass")
    if t.version[0] and not t.rule.view and "y" in t.rule.keeps:
        raise UserError(t.rule.name, f"the result of shape {t.shape} was changed in place, and its derivative needs it",
                        "change a copy, or change it after the backward pass")


def sweep(order: list[Any], gradients: dict[int, Any], wanted: set[int] | None, *, graph: bool, keep: bool) -> None:
    """Pull `gradients` (by id of a tensor) back over `order`, which is emptied.

    wanted None: leaves accumulate into `.grad`. Otherwise only what lies on the way to the wanted ids is visited and
    the gradients of those stay in `gradients`.
    """
    live = None if wanted is None else _live(order, wanted)
    owned: set[int] = set()
    while order:
        t = order.pop()
        g = gradients.get(id(t)) if wanted is not None and id(t) in wanted else gradients.pop(id(t), None)
        if g is not None and (live is None or id(t) in live):
            check_versions(t)
            if t.keeps_grad and wanted is None:
                t.grad = g if graph else np.array(g)
            _node(t, g, gradients, owned, live, graph=graph)
        if not keep:
            t.inputs = t.note = None


def _live(order: Sequence[Any], wanted: set[int]) -> set[int]:
    """The tensors through which something wanted is reached, and the wanted ones."""
    live = set(wanted)
    for t in order:
        if any(id(x) in live for x in t.inputs):
            live.add(id(t))
    return live


def _node(t: Any, g: Any, gradients: dict[int, Any], owned: set[int], live: set[int] | None, *, graph: bool) -> None:
    """One node's contributions to its inputs."""
    rule, inputs, kind = t.rule, t.inputs, t.__class__
    y, xs, params = (t, inputs, t.params) if graph else _arrays(t)
    for i, x in enumerate(inputs):
        if x.__class__ is not kind or not x.requires_grad or (live is not None and id(x) not in live):
            continue
        leaf = live is None and x.rule is None
        if leaf and rule.into and not graph and x.grad is None and _into_spare(x, i, g, rule, xs, params):
            continue
        p = rule.pull(i, g, y, xs, params)
        if p is None:
            continue
        if p.dtype != x.data.dtype:
            p = p.astype(x.data.dtype)
        if MODE.watching:
            watch(f"the gradient of {rule.name}", p, inputs)
        if leaf:
            _into_leaf(x, p, fresh=rule.fresh)
            continue
        key = id(x)
        have = gradients.get(key)
        if have is None:
            gradients[key] = p
        elif key in owned:
            have += p
        else:
            gradients[key] = have + p
            if not graph and have.ndim:
                owned.add(key)


def _arrays(t: Any) -> tuple[np.ndarray, list[Any], tuple]:
    """What a pull of the first order reads: value, inputs and params, with the note behind them."""
    xs = [x.data if x.__class__ is t.__class__ else x for x in t.inputs]
    return t.data, xs, t.params if t.note is None else (*t.params, t.note)


def _into_spare(x: Any, i: int, g: Any, rule: Any, xs: Sequence[Any], params: tuple) -> bool:
    """Write the gradient of a leaf where its last one stood; False where that is not possible."""
    if rule.into[i] is None or xs[0].ndim < 2:
        return False
    buffer = x.spare()
    if buffer is None or g.dtype != buffer.dtype or xs[0].dtype != buffer.dtype:
        return False
    x.grad = rule.into[i](g, xs, params, buffer)
    if MODE.watching:
        watch(f"the gradient of {rule.name}", x.grad, xs)
    return True


def _into_leaf(x: Any, p: Any, *, fresh: bool) -> None:
    if x.grad is None:
        x.grad = p if not isinstance(p, (np.ndarray, np.generic)) or (fresh and type(p) is np.ndarray) else np.array(p)
    elif isinstance(x.grad, np.ndarray) and isinstance(p, (np.ndarray, np.generic)):
        np.add(x.grad, p, out=x.grad)
    else:
        x.grad = p + x.grad


def watch(name: str, value: Any, inputs: Sequence[Any]) -> None:
    """Stop at the first NaN or infinity."""
    value = getattr(value, "data", value) if not isinstance(value, np.ndarray) else value
    if not np.all(np.isfinite(value)):
        kind = "NaN" if np.any(np.isnan(value)) else "an infinity"
        raise UserError(name, f"{kind} appeared here first, from inputs of shapes {shapes(inputs)}",
                        "look at these inputs: a logarithm or quotient of zero, or an overflow")
