"""What is raced on: the eight landscapes, and two losses over examples, as functions of weights in float64."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from shinso.core.errors import UserError
from shinso.core.seed import generator
from shinso.core.setup import nearest
from shinso.data.two_moons import draw
from shinso.maths.landscapes import LANDSCAPES, Landscape

NAMES = (*LANDSCAPES, "logistic", "mlp")
Window = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A loss of d weights, where it starts, and when it is solved."""

    name: str
    title: str
    """as it is read in a picture"""
    shapes: tuple[tuple[int, ...], ...]
    """of the parameters that an optimiser is given; together they are the d weights"""
    height: Callable[[Tensor], Tensor]
    """the whole loss: weights (..., d) -> (...)"""
    on: Callable[[Tensor, Tensor], Tensor] | None
    """the loss on some examples: (weights (d,), their numbers) -> (); None where there are no examples"""
    examples: int
    start: Tensor
    """(d,)"""
    minima: Tensor
    """(n, d); none where they are not known"""
    lowest: float
    """the height of the minima, or what it cannot be below"""
    tolerance: float
    steps: int
    window: Window | None
    saddles: Tensor

    def apart(self, weights: Tensor) -> list[Tensor]:
        """The parameters of the d weights, as new tensors."""
        sizes = [torch.Size(shape).numel() for shape in self.shapes]
        parts = weights.split(sizes)
        return [part.detach().clone().view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def together(self, parameters: Sequence[Tensor]) -> Tensor:
        """The d weights of the parameters."""
        return parameters[0] if self.shapes == ((2,),) else torch.cat([w.reshape(-1) for w in parameters])


def problem(name: str, seed: int) -> Problem:
    """The problem of a name; `seed` is that of its examples. UserError with the nearest names where there is none."""
    if name in LANDSCAPES:
        return _of_landscape(name, LANDSCAPES[name])
    if name not in NAMES:
        raise UserError("function", f"there is no function {name!r}", nearest(name, NAMES))
    return logistic(seed) if name == "logistic" else mlp(seed)


def _of_landscape(name: str, landscape: Landscape) -> Problem:
    return Problem(
        name=name, title=landscape.title, shapes=((2,),), height=landscape.height, on=None, examples=0,
        start=torch.tensor(landscape.start, dtype=torch.float64), minima=landscape.minima, lowest=landscape.lowest,
        tolerance=landscape.tolerance, steps=landscape.steps, window=landscape.window,
        saddles=torch.tensor(landscape.saddles, dtype=torch.float64).reshape(-1, 2),
    )  # fmt: skip


def logistic(seed: int, count: int = 200) -> Problem:
    """Two overlapping clouds, two weights: mean log(1 + exp(-y w x)) + |w|^2 / 100, convex, one minimum."""
    rng = generator(seed, "race/logistic")
    sign = 1.0 - 2 * (torch.arange(count) % 2).double()
    spread = torch.tensor([[2.2, 0.9], [0.0, 0.5]], dtype=torch.float64)
    x = torch.randn(count, 2, generator=rng, dtype=torch.float64) @ spread
    x = x + sign[:, None] * torch.tensor([0.9, -0.1], dtype=torch.float64)

    def height(w: Tensor, chosen: Tensor | slice = slice(None)) -> Tensor:
        score = w @ x[chosen].T
        return softplus(-sign[chosen] * score).mean(-1) + 0.01 * w.square().sum(-1)

    minimum = torch.zeros(2, dtype=torch.float64)
    for _ in range(30):  # Newton's steps; the loss is convex
        w = minimum.requires_grad_()
        (slope,) = torch.autograd.grad(height(w), w, create_graph=True)
        bend = torch.stack([torch.autograd.grad(part, w, retain_graph=True)[0] for part in slope])
        minimum = (w - torch.linalg.solve(bend, slope)).detach()
    return Problem(
        name="logistic", title="logistic regression / ロジスティック回帰", shapes=((2,),), height=height, on=height,
        examples=count, start=torch.tensor([-1.2, -2.6], dtype=torch.float64), minima=minimum[None],
        lowest=float(height(minimum)), tolerance=1e-4, steps=120, window=(-1.8, 2.8, -4.4, 1.6),
        saddles=torch.empty(0, 2, dtype=torch.float64),
    )  # fmt: skip


def mlp(seed: int, count: int = 120, units: int = 8) -> Problem:
    """Two moons by a network 2-units-1 with tanh: mean log(1 + exp(-y f(x))) + |w|^2 / 1000; minima are not known."""
    points, classes = draw(count, generator(seed, "race/mlp"))
    x, sign = points.double(), 1.0 - 2 * classes.double()
    x = (x - x.mean(0)) / x.std(0)
    sizes = (2 * units, units, units, 1)
    start = torch.randn(sum(sizes), generator=generator(seed, "race/start"), dtype=torch.float64) * 0.7

    def height(w: Tensor, chosen: Tensor | slice = slice(None)) -> Tensor:
        into, shift, out, last = w.split(sizes, -1)
        hidden = torch.tanh(x[chosen] @ into.unflatten(-1, (2, units)) + shift[..., None, :])
        score = (hidden * out[..., None, :]).sum(-1) + last
        return softplus(-sign[chosen] * score).mean(-1) + 0.001 * w.square().sum(-1)

    return Problem(
        name="mlp", title=f"MLP 2-{units}-1 ({sum(sizes)} weights / 重み)",
        shapes=((2, units), (units,), (1, units), (1,)),
        height=height, on=height, examples=count, start=start, minima=torch.empty(0, sum(sizes), dtype=torch.float64),
        lowest=0.0, tolerance=0.11, steps=200, window=None, saddles=torch.empty(0, sum(sizes), dtype=torch.float64),
    )  # fmt: skip
