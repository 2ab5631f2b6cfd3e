r"""Gradient clipping: a cliff may turn the step, not lengthen it (Pascanu, Mikolov, Bengio 2013).

    g <- g min(1, c / ||g||),   so that ||g|| becomes min(||g||, c) and the direction stays         (1)

One recurrent unit, asked for 0.7 after 50 steps, shows why it is needed:

    x_{k+1} = w sigmoid(x_k) + b,   J(w, b) = (sigmoid(x_50) - 0.7)^2                               (2)

The surprise: with two numbers to learn the error already has a cliff, because dx_50/dw is a product of 50 factors that
grows without bound where each is above 1. A step that meets the cliff is thrown off the map; clipped, it slides along
the wall. Clipping each entry by its value is something else: it turns the direction. Clipping rewards is a third thing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.errors import UserError
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record, plain
from shinso.core.seed import generator
from shinso.core.setup import in_range
from shinso.optim import clipping

LENGTH, GOAL, START = 50, 0.7, 0.5
"""of (2): steps in time, wanted answer, x_0"""


def norm(gradients: Sequence[Tensor]) -> Tensor:
    """||g|| of all entries of all tensors together, a scalar."""
    return torch.stack([g.square().sum() for g in gradients]).sum().sqrt()


def clip_by_norm(gradients: Sequence[Tensor], c: float) -> list[Tensor]:
    """(1), as new tensors."""
    return _copies(clipping.clip_by_norm, gradients, c)


def clip_by_value(gradients: Sequence[Tensor], c: float) -> list[Tensor]:
    """Every entry into -c..c, as new tensors: another direction."""
    return _copies(clipping.clip_by_value, gradients, c)


def _copies(clip: Callable[..., object], gradients: Sequence[Tensor], c: float) -> list[Tensor]:
    """Gradients that weights would have after `clip`."""
    holders = [torch.zeros_like(g, requires_grad=True) for g in gradients]
    for holder, g in zip(holders, gradients, strict=True):
        holder.grad = g.clone()
    clip(holders, c)
    return [holder.grad for holder in holders if holder.grad is not None]


def surface(w: Tensor, b: Tensor) -> Tensor:
    """J of (2), for w and b of any one shape."""
    x = torch.full_like(w, START)
    for _ in range(LENGTH):
        x = w * x.sigmoid() + b
    return (x.sigmoid() - GOAL).square()


def slope(point: Tensor) -> Tensor:
    """The gradient of (2) at (w, b), float64 (2,)."""
    at = point.detach().requires_grad_()
    return torch.autograd.grad(surface(at[0], at[1]), at)[0]


@final
class Cliff:
    """Two descents from one start, with and without (1)."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        jitter = 0.02 * torch.rand(2, generator=generator(setup.seed, "start"), dtype=torch.float64)
        start = torch.tensor([setup.w, -setup.b], dtype=torch.float64) + jitter
        self.clipped = self.plain = start
        self.paths = {"clipped": [start.tolist()], "plain": [start.tolist()]}

    def step(self, i: int) -> Record:
        raw, free = slope(self.clipped), slope(self.plain)
        (bounded,) = clip_by_norm([raw], self.setup.c)
        turned = torch.cosine_similarity(raw, bounded, dim=0)
        self.clipped, self.plain = self.clipped - self.setup.lr * bounded, self.plain - self.setup.lr * free
        for name, point in (("clipped", self.clipped), ("plain", self.plain)):
            self.paths[name].append(point.tolist())
        return {"loss": surface(*self.clipped), "loss_plain": surface(*self.plain), "norm": raw.norm(),
                "norm_plain": free.norm(), "measured": bounded.norm(), "predicted": raw.norm().clamp(max=self.setup.c),
                "within": 1e-12, "direction_kept": turned}

    def state(self) -> dict[str, Any]:
        return {name: torch.tensor(points, dtype=torch.float64) for name, points in self.paths.items()}

    def restore(self, state: dict[str, Any]) -> None:
        self.paths = {name: state[name].tolist() for name in self.paths}
        self.clipped, self.plain = (torch.tensor(self.paths[name][-1], dtype=torch.float64) for name in self.paths)

    def pictures(self) -> dict[str, np.ndarray]:
        """Both ways on the map of the error, and the norms that were met."""
        figure = sheet(900, 380)
        left, right = figure.subplots(1, 2)
        w, b = torch.meshgrid(torch.linspace(3, 8, 241, dtype=torch.float64),
                              torch.linspace(-4.5, -0.5, 241, dtype=torch.float64), indexing="xy")
        left.contourf(w.numpy(), b.numpy(), surface(w, b).numpy(), levels=20, cmap="Greys")
        for name, colour, label in (("plain", "tab:red", "plain / なし"), ("clipped", "tab:blue", "clipped / あり")):
            at = np.array(self.paths[name])
            left.plot(at[:, 0], at[:, 1], ".-", color=colour, linewidth=1, markersize=4, label=label)
            lengths = np.linalg.norm(np.diff(at, axis=0), axis=1)
            right.semilogy(np.arange(1, len(at)), lengths.clip(1e-5), color=colour, label=label)
        right.axhline(self.setup.lr * self.setup.c, color="0.5", linestyle="--", linewidth=1)
        left.set(xlabel="w", ylabel="b", xlim=(3.5, 6), ylim=(-3.2, -1.2))
        right.set(xlabel="step", ylabel="length of the step / 一歩の長さ")
        for axes in (left, right):
            axes.legend()
        return {"cliff": pixels(figure)}


def _gradients() -> list[list[Tensor]]:
    draw = generator(0, "gradients")
    return [[size * torch.randn(shape, generator=draw, dtype=torch.float64) for shape in ((3, 4), (5,), ())]
            for size in (1e-6, 0.1, 1.0, 30.0, 1e8)]


def the_norm_is_the_smaller_one() -> Check:
    """For gradients of norms from 1e-6 to 1e8 the clipped norm is min(norm, c), to 1e-12 of it.

    Source: Pascanu, Mikolov, Bengio 2013, algorithm 1; equation (1)
    """
    off = [float(norm(clip_by_norm(g, 2.0))) / min(float(norm(g)), 2.0) - 1 for g in _gradients()]
    return at_most(max(map(abs, off)), 1e-12)


def the_direction_stays() -> Check:
    """The cosine between the gradient before and after is 1, to 1e-12.

    Source: equation (1)
    """
    cosines = [torch.cosine_similarity(*(torch.cat([t.flatten() for t in h]) for h in (g, clip_by_norm(g, 0.5))), dim=0)
               for g in _gradients()]
    return about(float(torch.stack(cosines).min()), 1.0, 1e-12)


def torch_clips_alike() -> Check:
    """torch's clip_grad_norm_ gives the same tensors up to the 1e-6 that it adds to the norm (to 1e-5 of each entry).

    Source: torch.nn.utils.clip_grad_norm_ divides by norm + 1e-6
    """
    worst = 0.0
    for g in _gradients()[1:]:
        holders = [torch.nn.Parameter(torch.zeros_like(t)) for t in g]
        for holder, t in zip(holders, g, strict=True):
            holder.grad = t.clone()
        torch.nn.utils.clip_grad_norm_(holders, 2.0)
        for holder, ours in zip(holders, clip_by_norm(g, 2.0), strict=True):
            assert holder.grad is not None  # noqa: S101 - for the type checker
            worst = max(worst, float((holder.grad / ours - 1).abs().max()))
    return at_most(worst, 1e-5)


def clipping_by_value_turns() -> Check:
    """Clipped by value to 0.5 instead, the gradient (3, 0.1) is turned by more than 5 degrees.

    Source: two different operations of the same name
    """
    g = torch.tensor([3.0, 0.1], dtype=torch.float64)
    cosine = torch.cosine_similarity(g, clip_by_value([g], 0.5)[0], dim=0)
    return at_least(float(cosine.clamp(max=1).arccos().rad2deg()), 5.0)


def _course() -> tuple[Cliff, list[dict[str, float]]]:
    program = Cliff(Setup())
    return program, [plain(program.step(i)) for i in range(program.total)]


def the_wall_is_steep() -> Check:
    """Within 120 plain steps the norm of the gradient grows to at least 100 times that of the start.

    Source: Pascanu, Mikolov, Bengio 2013, figure 6; equation (2)
    """
    norms = [row["norm_plain"] for row in _course()[1]]
    return at_least(max(norms) / norms[0], 100.0)


def the_plain_descent_is_thrown_out() -> Check:
    """The plain descent ends over 10 away from its start, far off the map, where nothing changes any more.

    Source: Pascanu, Mikolov, Bengio 2013, figure 6
    """
    path = np.array(_course()[0].paths["plain"])
    return at_least(float(np.linalg.norm(path[-1] - path[0])), 10.0)


def the_clipped_descent_stays() -> Check:
    """The clipped descent is never over 2 away from its start.

    Source: Pascanu, Mikolov, Bengio 2013, figure 6
    """
    path = np.array(_course()[0].paths["clipped"])
    return at_most(float(np.linalg.norm(path - path[0], axis=1).max()), 2.0)


def the_clipped_descent_arrives() -> Check:
    """Over the last 20 of 120 clipped steps the least error of (2) is below 0.003; that of the plain ones is 0.09.

    Source: Pascanu, Mikolov, Bengio 2013, figure 6
    """
    rows = _course()[1][-20:]
    return at_most(min(row["loss"] for row in rows) if min(row["loss_plain"] for row in rows) > 0.08 else 1.0, 3e-3)


CARD = Card(
    name="Gradient clipping",
    name_ja="勾配クリッピング",
    paper="Pascanu, Mikolov, Bengio 2013, On the difficulty of training recurrent neural networks, arXiv:1211.5063",
    equations=(
        r"g \leftarrow g\,\min(1, c/\|g\|)",
        r"x_{k+1} = w\,\sigma(x_k) + b,\quad J(w, b) = (\sigma(x_{50}) - 0.7)^2",
    ),
    summary="Shortens a gradient that is too long and keeps its direction: a cliff no longer throws the weights away.",
    summary_ja="長すぎる勾配を、向きを保ったまま縮める。誤差の崖に当たっても重みは吹き飛ばされない。",
    topics=("learn.gradient-clipping",),
    facts=(
        the_norm_is_the_smaller_one,
        the_direction_stays,
        torch_clips_alike,
        clipping_by_value_turns,
        the_wall_is_steep,
        the_plain_descent_is_thrown_out,
        the_clipped_descent_stays,
        the_clipped_descent_arrives,
    ),
    notes=("Clipping by norm and clipping by value are different; clipping rewards to -1..1 is a third thing.",),
    notes_ja=("ノルムによるクリッピングと値によるクリッピングは異なる。報酬を -1..1 に切るのはさらに別のものである。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Where the two descents start, and how long a gradient may be."""

    c: float = 0.1
    """largest norm of the gradient"""
    lr: float = 0.5
    """learning rate of both descents"""
    w: float = 5.0
    """where w starts"""
    b: float = 2.0
    """where -b starts"""
    steps: int = 120
    """steps of both descents"""
    seed: int = 0
    """of the small displacement of the start"""


VARIANTS = {"smoke": Setup(steps=40), "default": Setup()}


def build(setup: Setup, place: Place = Place()) -> Cliff:  # noqa: B008 - a frozen value
    """Both descents, in float64 on the CPU."""
    in_range(setup, ("c", "lr", "steps"))
    if setup.w > 50 or setup.b > 50:
        raise UserError("w, b", f"({setup.w:g}, {setup.b:g}) is far off the map", "give numbers up to 50")
    return Cliff(setup)
