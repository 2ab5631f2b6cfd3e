r"""Learning to learn by gradient descent by gradient descent (Andrychowicz et al. 2016, arXiv:1606.04474).

    theta = theta + u,   (u, h) = m(x, h; phi)                                                           (1)
    x = (log|g| / p, sign g)  if |g| >= e^-p,   x = (-1, e^p g)  otherwise,   p = 10                     (2)
    L(phi) = E sum_{t=1..T} f(theta_t),   d f(theta_t) / d phi = g_t . d theta_t / d phi                 (3)

m is two LSTM layers of 20 cells and a linear read-out: one small network for all coordinates, each with a state h of
its own, so that 5,301 numbers phi drive a model of any size. Training unrolls 20 steps, follows (3) backwards with the
gradients g inside of x held constant, lets Adam improve phi, and goes on from where the steps arrived, up to 100. The
surprise: since g is constant in (3), all that is ever asked of f is its gradient, which the steps need anyway.

The phi beside this file was found by `shinso run basics.learned_optimiser --variant shipped` and written by
`shinso export RUN --to safetensors`; those of a run of your own are given as `rule=PATH`.
"""

from functools import cache
from pathlib import Path
from typing import Any, Protocol, final

import torch
from torch import Tensor, nn

from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.errors import UserError
from shinso.core.record import Record
from shinso.core.seed import drawing_from, generator, put_back
from shinso.optim._checks import check_rate
from shinso.optim._lean import AbstractStep
from shinso.optim.adam import Adam

State = tuple[Tensor, Tensor]
"""h and c of both layers, (2, n, hidden) each"""
Problem = dict[str, Tensor]
SHIPPED = Path(__file__).with_name("gd_by_gd.safetensors")


def features(g: Tensor, p: float = 10.0) -> Tensor:
    """(2): gradients of any shape and any size as two numbers of order 1, (..., 2)."""
    size, edge = g.abs(), torch.tensor(-p, dtype=torch.float64).exp().item()
    small = size < edge
    return torch.stack([torch.where(small, -1.0, size.clamp_min(edge).log() / p),
                        torch.where(small, g / edge, g.sign())], -1)


class UpdateRule(nn.Module):
    """m of (1) for any number of coordinates at once; the read-out is multiplied by 0.1."""

    SCALE = 0.1

    def __init__(self, hidden: int = 20):
        super().__init__()
        self.hidden = hidden
        self.first, self.second = nn.LSTMCell(2, hidden), nn.LSTMCell(hidden, hidden)
        self.out = nn.Linear(hidden, 1)

    def begin(self, n: int) -> State:
        """h for n coordinates that have seen nothing."""
        return self.out.weight.new_zeros(2, n, self.hidden), self.out.weight.new_zeros(2, n, self.hidden)

    def advance(self, g: Tensor, state: State) -> tuple[Tensor, State]:
        """Gradients (n,) and h to updates (n,) and the next h."""
        h, c = state
        h1, c1 = self.first(features(g.detach()), (h[0], c[0]))
        h2, c2 = self.second(h1, (h[1], c[1]))
        return self.SCALE * self.out(h2)[:, 0], (torch.stack([h1, h2]), torch.stack([c1, c2]))  # (1)

    def forward(self, gradients: Tensor) -> Tensor:
        """Updates for whole histories of gradients, (n, steps) to (n, steps)."""
        state, updates = self.begin(len(gradients)), []
        for g in gradients.unbind(1):
            u, state = self.advance(g, state)
            updates.append(u)
        return torch.stack(updates, 1)


@final
class GDByGD(AbstractStep, torch.optim.Optimizer):  # pyright: ignore[reportIncompatibleMethodOverride] - zero_grad(*)
    """A trained rule as an optimiser; without `rule`, the one beside this file, trained on random quadratics.

    `rule` is an UpdateRule or the path of an exported one; it is not part of state_dict. `lr` multiplies what was
    learned. Every entry of a weight keeps 80 numbers of state.
    """

    def __init__(self, params: Any, lr: float | Tensor = 1.0, *, rule: UpdateRule | str | Path | None = None,
                 maximize: bool = False):
        check_rate(lr)
        self.rule = rule if isinstance(rule, UpdateRule) else learned(SHIPPED if rule is None else Path(rule))
        self._cast: dict[Any, UpdateRule] = {}
        super().__init__(params, {"lr": lr, "maximize": maximize})

    def _update(self) -> None:
        for group in self.param_groups:
            alike: dict[Any, list[Tensor]] = {}
            for w in group["params"]:
                if w.grad is not None and (w.grad.is_sparse or w.is_complex()):
                    raise RuntimeError("GDByGD does not support sparse gradients, nor complex parameters")
                if w.grad is not None and w.numel():
                    alike.setdefault((w.dtype, w.device), []).append(w)
            for kind, weights in alike.items():
                self._advance(group, self._rule(*kind), weights)

    def _rule(self, dtype: torch.dtype, device: torch.device) -> UpdateRule:
        if (dtype, device) not in self._cast:
            copy = UpdateRule(self.rule.hidden)
            copy.load_state_dict(self.rule.state_dict())
            self._cast[dtype, device] = copy.to(device, dtype).requires_grad_(requires_grad=False)
        return self._cast[dtype, device]

    def _advance(self, group: dict[str, Any], rule: UpdateRule, weights: list[Tensor]) -> None:
        """All entries of all weights at once, in portions that stay near the processor."""
        sizes = [w.numel() for w in weights]
        sign = -1.0 if group["maximize"] else 1.0
        g = torch.cat([sign * w.grad.reshape(-1) for w in weights if w.grad is not None])
        for w, n in zip(weights, sizes, strict=True):
            if "hidden" not in self.state[w]:
                self.state[w]["hidden"], self.state[w]["cell"] = rule.begin(n)
        h, c = (torch.cat([self.state[w][name] for w in weights], 1) for name in ("hidden", "cell"))
        moves = []
        for part in range(0, len(g), _PORTION):
            piece = slice(part, part + _PORTION)
            u, (h[:, piece], c[:, piece]) = rule.advance(g[piece], (h[:, piece], c[:, piece]))
            moves.append(u)
        columns = (torch.cat(moves).split(sizes), h.split(sizes, 1), c.split(sizes, 1))
        for w, u, hidden, cell in zip(weights, *columns, strict=True):
            w.add_(u.view(w.shape), alpha=sign * float(group["lr"]))
            self.state[w].update(hidden=hidden.clone(), cell=cell.clone())


_PORTION = 4096


@cache
def learned(path: Path) -> UpdateRule:
    """The rule of a safetensors file as `shinso export` writes it; UserError where it holds none."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
        rule = UpdateRule(tensors["first.weight_hh"].shape[1])
        rule.load_state_dict(tensors)
    except (OSError, SafetensorError, KeyError, RuntimeError, IndexError) as error:
        raise UserError(path, f"this is no learned rule ({str(error).splitlines()[0]})",
                        "train one with shinso run basics.learned_optimiser, then shinso export") from None
    return rule


class Problems(Protocol):
    """A distribution of functions to be minimised, many at a time."""

    count: int

    def draw(self, draw: torch.Generator) -> Problem:
        """Fresh functions, with a start `theta` (count, n) among their tensors."""
        ...

    def slope(self, problem: Problem, theta: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """Heights (count,) and gradients (count, n) at theta, at step t from the start."""
        ...


@final
class Quadratics:
    """|W theta - y|^2 with W, y and the start drawn from N(0, 1)."""

    def __init__(self, count: int = 64, size: int = 10):
        self.count, self.size = count, size

    def draw(self, draw: torch.Generator) -> Problem:
        """W (count, size, size), y and theta (count, size)."""
        shapes = {"W": (self.count, self.size, self.size), "y": (self.count, self.size),
                  "theta": (self.count, self.size)}
        return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}

    def slope(self, problem: Problem, theta: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """Heights and gradients of every function, the same at every t."""
        error = (problem["W"] @ theta[..., None])[..., 0] - problem["y"]
        return error.square().sum(1), 2 * (error[:, None] @ problem["W"])[:, 0]


def unroll(rule: UpdateRule, problems: Problems, problem: Problem, state: State, *, first: int = 0,
           steps: int = 20) -> tuple[Tensor, Tensor, State, Tensor]:
    """(surrogate, theta, h, heights (steps, count)) after `steps` of the rule from problem["theta"], step `first`.

    The gradient of the surrogate with respect to phi is that of (3) over these steps, a mean over the functions.
    """
    theta, heights = problem["theta"], []
    surrogate, g = theta.new_zeros(()), problems.slope(problem, theta, first)[1]
    for t in range(first + 1, first + steps + 1):
        u, state = rule.advance(g.flatten(), state)
        theta = theta + u.view_as(theta)
        height, g = problems.slope(problem, theta.detach(), t)
        surrogate = surrogate + (g * theta).sum() / problems.count  # (3)
        heights.append(height)
    return surrogate, theta.detach(), state, torch.stack(heights)


@final
class Training:
    """A program: one step unrolls the rule and improves it. The rate falls to 0 over the second half."""

    CLIP = 10.0
    """largest norm of the gradient for phi: a rule that is about to leap has one a hundred times as long"""

    def __init__(self, problems: Problems, *, updates: int, steps: int = 20, horizon: int = 100, lr: float = 0.01,
                 hidden: int = 20, seed: int = 0):
        self.problems, self.total, self.steps, self.lr = problems, updates, steps, lr
        self.pieces = max(1, horizon // steps)
        with drawing_from(seed, "rule"):
            self.rule = UpdateRule(hidden)
        self.adam = Adam(self.rule.parameters(), lr=lr, fused=True)
        self.draw = generator(seed, "problems")
        self._begin()

    def _begin(self) -> None:
        self.problem = self.problems.draw(self.draw)
        self.h = self.rule.begin(self.problem["theta"].numel())

    def step(self, i: int) -> Record:
        piece = i % self.pieces
        if piece == 0 and i:
            self._begin()
        self.adam.param_groups[0]["lr"] = self.lr * min(1.0, 2 * (1 - i / self.total))
        surrogate, theta, h, heights = unroll(self.rule, self.problems, self.problem, self.h,
                                              first=piece * self.steps, steps=self.steps)
        self.adam.zero_grad()
        surrogate.backward()
        nn.utils.clip_grad_norm_(self.rule.parameters(), self.CLIP)
        self.adam.step()
        self.problem, self.h = {**self.problem, "theta": theta}, (h[0].detach(), h[1].detach())
        return {"loss": heights.mean(), "loss_end": heights[-1].mean(), "begun_at": piece * self.steps}

    def state(self) -> dict[str, Any]:
        return {"rule": self.rule.state_dict(), "adam": self.adam.state_dict(), "problem": dict(self.problem),
                "h": self.h, "draw": self.draw.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        self.rule.load_state_dict(state["rule"])
        self.adam.load_state_dict(state["adam"])
        self.problem, self.h = dict(state["problem"]), (state["h"][0], state["h"][1])
        put_back(self.draw, state["draw"])


def coordinates_are_strangers() -> Check:
    """Permuting 50 coordinates permutes their 100 steps, to 1e-12.

    Source: equation (1): one m for all, a state for each
    """
    draw = generator(0, "histories")
    history = torch.randn(50, 100, generator=draw, dtype=torch.float64)
    order = torch.randperm(50, generator=draw)
    with torch.no_grad():
        rule = _double()
        return at_most(float((rule(history)[order] - rule(history[order])).abs().max()), 1e-12)


def training_follows_the_sum_of_heights() -> Check:
    """The gradient that training takes is autograd's of (3) with g held constant, to 1e-12 of it, over 20 steps.

    Source: equation (3)
    """
    slow, fast = _taken(hold=True), _taken(hold=None)
    return at_most(float((slow - fast).norm() / slow.norm()), 1e-12)


def second_derivatives_are_left_out() -> Check:
    """With g not held constant the gradient is another one, by at least a tenth of its length.

    Source: Andrychowicz et al. 2016, section 2.1: the dashed edges of its figure 2 are dropped
    """
    held, whole = _taken(hold=True), _taken(hold=False)
    return at_least(float((held - whole).norm() / whole.norm()), 0.1)


def _taken(*, hold: bool | None) -> Tensor:
    """The gradient for phi, of `unroll` (None) or of the sum of heights with or without g held constant."""
    problems, rule = Quadratics(5), _double()
    problem = {name: value.double() for name, value in problems.draw(generator(0, "taken")).items()}
    h = rule.begin(50)
    if hold is None:
        total = unroll(rule, problems, problem, h)[0]
    else:
        theta, total = problem["theta"], torch.zeros((), dtype=torch.float64)
        for _ in range(20):
            g = problems.slope(problem, theta, 0)[1]
            u, h = _open(rule, g.detach() if hold else g, h)
            theta = theta + u.view_as(theta)
            total = total + problems.slope(problem, theta, 0)[0].mean()
    return torch.cat([part.flatten() for part in torch.autograd.grad(total, list(rule.parameters()))])


def _open(rule: UpdateRule, g: Tensor, h: State) -> tuple[Tensor, State]:
    """`advance`, but g is not detached."""
    h1, c1 = rule.first(features(g.flatten()), (h[0][0], h[1][0]))
    h2, c2 = rule.second(h1, (h[0][1], h[1][1]))
    return rule.SCALE * rule.out(h2)[:, 0], (torch.stack([h1, h2]), torch.stack([c1, c2]))


def _double() -> UpdateRule:
    rule = UpdateRule()
    rule.load_state_dict(learned(SHIPPED).state_dict())
    return rule.double()


def nine_times_the_curvature_is_another_world() -> Check:
    """The trap: with W and y three times as large, 100 steps end at least 10 times as high, measured by that scale.

    Source: a learned rule knows what it was trained on; Andrychowicz et al. 2016 find the same for other activations
    """
    ends = []
    for scale in (1.0, 3.0):
        problems = Quadratics(200)
        problem = problems.draw(generator(0, "scales"))
        problem = {"W": scale * problem["W"], "y": scale * problem["y"], "theta": problem["theta"]}
        with torch.no_grad():
            heights = unroll(learned(SHIPPED), problems, problem, learned(SHIPPED).begin(2000), steps=100)[3]
        ends.append(float(heights[-1].mean()) / scale**2)
    return at_least(ends[1] / ends[0], 10.0)


def the_two_forms_of_a_gradient_meet() -> Check:
    """At |g| = e^-10 the two branches of (2) differ by at most 1e-12, in both signs.

    Source: equation (2); Andrychowicz et al. 2016, appendix A
    """
    edge = torch.tensor([-10.0], dtype=torch.float64).exp()
    beside = torch.cat([edge * (1 - 1e-14), edge * (1 + 1e-14), -edge * (1 - 1e-14), -edge * (1 + 1e-14)])
    found = features(beside)
    return at_most(float((found[0::2] - found[1::2]).abs().max()), 1e-12)


CARD = Card(
    name="Learning to learn by gradient descent by gradient descent",
    name_ja="勾配降下法による勾配降下法の学習 (GD by GD)",
    paper="Andrychowicz et al. 2016, Learning to learn by gradient descent by gradient descent, arXiv:1606.04474",
    equations=(
        r"\theta = \theta + u,\quad (u, h) = m(x, h; \phi)",
        r"x = (\log|g|/p,\ \mathrm{sign}\,g)\ (|g| \geq e^{-p}),\quad x = (-1,\ e^p g)\ (|g| < e^{-p}),\quad p = 10",
        r"L(\phi) = E\sum_t f(\theta_t),\quad \partial f(\theta_t)/\partial\phi = g_t\,\partial\theta_t/\partial\phi",
    ),
    summary="An update rule that is an LSTM for each coordinate, trained by gradient descent to make losses fall fast.",
    summary_ja="座標ごとに動く LSTM を更新則とし、損失が速く下がるように、その LSTM 自身を勾配降下で学習する。",
    topics=(),
    facts=(coordinates_are_strangers, training_follows_the_sum_of_heights, second_derivatives_are_left_out,
           nine_times_the_curvature_is_another_world, the_two_forms_of_a_gradient_meet),
    notes=("The gradient that the LSTM reads is a constant in training: the second derivatives are dropped.",
           "Without (2) gradients of 1e-4 and of 100 look alike to it, as nothing or as saturation.",
           "The shipped rule knows random quadratics of size 10; for anything else train one of your own."),
    notes_ja=("LSTM が読む勾配は学習では定数として扱う。二階微分は落とす。",
              "(2) がないと、1e-4 の勾配は無に、100 の勾配は飽和に見え、区別がつかない。",
              "付属の規則が知っているのは大きさ 10 の無作為な二次関数だけである。ほかの問題には自分で学習させる。"),
)
