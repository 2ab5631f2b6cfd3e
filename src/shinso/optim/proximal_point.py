r"""The proximal point method (Martinet 1970; Rockafellar 1976): every step solves an easier problem, exactly.

    w' = argmin_z f(z) + |z - w|^2 / (2 lr)                                                              (1)
    (w - w') / lr = grad f(w')                                                                           (2)

(2) is gradient descent with the slope at the end of the step in place of its start: the implicit Euler step along
dw/dt = -grad f. Since z = w is allowed in (1), for any lr > 0

    f(w') <= f(w) - |w' - w|^2 / (2 lr)                                                                  (3)

and on a quadratic w^T A w / 2 - b^T w

    w' = (I + lr A)^-1 (w + lr b)                                                                        (4)

The surprise is (3): there is no rate that is too large. What it costs is (1), solved here by L-BFGS, which asks the
closure some tens of times; a larger rate means fewer steps and a harder problem in each.
"""

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.seed import generator
from shinso.optim._checks import check_rate
from shinso.optim._lean import AbstractLean
from shinso.optim._walk import weights


@final
class ProximalPoint(AbstractLean, torch.optim.Optimizer):  # pyright: ignore[reportIncompatibleMethodOverride]
    """(1), solved from the closure until no entry of its gradient is above `tolerance`, or in `inner` iterations.

    The closure must give the same loss when it is asked twice. All weights move together, each group with its own lr.
    """

    def __init__(self, params: Any, lr: float | Tensor = 1.0, *, tolerance: float = 1e-10, inner: int = 100,
                 maximize: bool = False):
        check_rate(lr)
        if not 0.0 < tolerance:
            raise ValueError(f"Invalid tolerance: {tolerance}")
        if not 1 <= inner:
            raise ValueError(f"Invalid inner value: {inner}")
        super().__init__(params, {"lr": lr, "tolerance": tolerance, "inner": inner, "maximize": maximize})

    def step(  # pyright: ignore[reportIncompatibleMethodOverride] - torch's has overloads
            self, closure: Callable[[], Any]) -> Any:
        """One step (1); returns the closure's loss before it."""
        ties = [_Tie(w, group) for group in self.param_groups for w in group["params"] if float(group["lr"]) > 0]
        first: list[Any] = []

        @torch.enable_grad()
        def tied() -> float:
            loss = closure()
            first[:] = first or [loss]
            return sum((tie.pull() for tie in ties), self._up() * _number(loss))  # (1)

        if not ties:
            return closure()
        self._solve([tie.w for tie in ties], tied, self.param_groups[0])
        start = self._up() * _number(first[0])
        if not tied() <= start:  # nan too: (3) holds in any case
            for tie in ties:
                tie.back()
        return first[0]

    def _up(self) -> int:
        return -1 if self.param_groups[0]["maximize"] else 1

    def _solve(self, moved: list[Tensor], tied: Callable[[], float], group: dict[str, Any]) -> None:
        """L-BFGS with a line search, then its unit steps: near the minimum the loss is too flat to search along."""
        inner = torch.optim.LBFGS(moved, max_iter=group["inner"], max_eval=4 * group["inner"], history_size=20,
                                  tolerance_grad=group["tolerance"], tolerance_change=1e-16,
                                  line_search_fn="strong_wolfe")
        inner.step(tied)
        before, slope = [w.detach().clone() for w in moved], _largest(moved, tied)
        inner.param_groups[0].update(line_search_fn=None, max_iter=20, max_eval=20, tolerance_change=0.0)
        inner.step(tied)
        if not _largest(moved, tied) <= slope:  # nan too
            with torch.no_grad():
                for w, place in zip(moved, before, strict=True):
                    w.copy_(place)


def _number(loss: Any) -> float:
    return loss.item() if isinstance(loss, Tensor) else float(loss)


def _largest(moved: list[Tensor], tied: Callable[[], float]) -> float:
    """The largest entry of the gradient of (1)."""
    tied()
    return max((float(w.grad.abs().max()) for w in moved if w.grad is not None and w.numel()), default=0.0)


class _Tie:
    """The spring of (1) between a weight and where it was."""

    def __init__(self, w: Tensor, group: dict[str, Any]):
        if w.is_complex():
            raise RuntimeError("ProximalPoint does not support complex parameters")
        self.w, self.at, self.lr = w, w.detach().clone(), float(group["lr"])
        self.sign = -1 if group["maximize"] else 1

    @torch.no_grad()
    def pull(self) -> float:
        """Adds the spring's gradient to that of the loss; returns its energy."""
        if self.w.grad is None:
            return 0.0
        if self.w.grad.is_sparse:
            raise RuntimeError("ProximalPoint does not support sparse gradients")
        away = self.w - self.at
        self.w.grad = (self.sign * self.w.grad).add_(away, alpha=1 / self.lr).contiguous()  # torch's L-BFGS views it
        return float(away.square().sum()) / (2 * self.lr)

    @torch.no_grad()
    def back(self) -> None:
        self.w.copy_(self.at)


def a_quadratic_step_is_a_resolvent() -> Check:
    """On a quadratic of 10 dimensions, condition number 100, a step at rates 0.1, 1 and 100 is (4), to 1e-11.

    Source: Rockafellar 1976; equation (4)
    """
    A, b, start = _quadratic()
    off = 0.0
    for lr in (0.1, 1.0, 100.0):
        w = weights(start)
        _go(ProximalPoint([w], lr=lr), w, lambda w: w @ A @ w / 2 - b @ w, 1)
        expected = torch.linalg.solve(torch.eye(10, dtype=A.dtype) + lr * A, start + lr * b)
        off = max(off, float((w.detach() - expected).abs().max()))
    return at_most(off, 1e-11)


def the_slope_is_that_at_the_end() -> Check:
    """On Rosenbrock's valley (w - w') / lr is the gradient at w', to 1e-9, at each of 5 steps of rate 0.01.

    Source: equation (2)
    """
    w, off = weights([-1.2, 1.0]), 0.0
    for _ in range(5):
        before = w.detach().clone()
        _go(ProximalPoint([w], lr=0.01), w, _valley, 1)
        (slope,) = torch.autograd.grad(_valley(w), w)
        off = max(off, float(((before - w.detach()) / 0.01 - slope).abs().max()))
    return at_most(off, 1e-9)


def no_rate_is_too_large() -> Check:
    """At rates from 1e-3 to 1e6, 4 steps each down Rosenbrock's valley: the largest rise of f over a step is at most 0.

    Source: equation (3), for any rate and any f
    """
    return at_most(max(max(_falls(10.0**power)) for power in (-3, 0, 3, 6)), 0.0)


def it_falls_by_the_length_of_the_step() -> Check:
    """In those walks f(w') - f(w) + |w' - w|^2/(2 lr) is never above 1e-12.

    Source: equation (3)
    """
    return at_most(max(max(_falls(10.0**power, spring=1.0)) for power in (-3, 0, 3, 6)), 1e-12)


def gradient_descent_has_a_largest_rate() -> Check:
    """The contrast: at rate 0.03, above 2/100, 100 steps of gradient descent on that quadratic make f grow 1e9-fold.

    Source: 1 - lr L is below -1 for L = 100
    """
    A, b, start = _quadratic()
    w = weights(start)
    _go(torch.optim.SGD([w], lr=0.03), w, lambda w: w @ A @ w / 2 - b @ w, 100)
    return at_least(float(w.detach() @ A @ w.detach()) / float(start @ A @ start), 1e9)


def _quadratic() -> tuple[Tensor, Tensor, Tensor]:
    """A with eigenvalues from 1 to 100, b, and a start."""
    draw = generator(0, "quadratic")
    Q, _ = torch.linalg.qr(torch.randn(10, 10, generator=draw, dtype=torch.float64))
    b, start = torch.randn(2, 10, generator=draw, dtype=torch.float64)
    return Q * torch.logspace(0, 2, 10, dtype=torch.float64) @ Q.T, b, start


def _valley(w: Tensor) -> Tensor:
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


def _falls(lr: float, spring: float = 0.0) -> list[float]:
    """What f changes by at each of 4 steps in the valley, plus `spring` times the energy of (1)."""
    w, changes = weights([-1.2, 1.0]), []
    optimiser = ProximalPoint([w], lr=lr)
    for _ in range(4):
        before = w.detach().clone()
        _go(optimiser, w, _valley, 1)
        away = float((w.detach() - before).square().sum()) / (2 * lr)
        changes.append(float(_valley(w.detach()) - _valley(before)) + spring * away)
    return changes


def _go(optimiser: torch.optim.Optimizer, w: Tensor, loss: Callable[[Tensor], Tensor], steps: int) -> None:
    def closure() -> float:
        optimiser.zero_grad()
        value = loss(w)
        value.backward()
        return value.item()

    for _ in range(steps):
        optimiser.step(closure)


CARD = Card(
    name="Proximal point method",
    name_ja="近接点法",
    paper="Martinet 1970, doi:10.1051/m2an/197004R301541; Rockafellar 1976, doi:10.1137/0314056",
    equations=(
        r"w' = \mathrm{arg\,min}_z\ f(z) + \frac{1}{2\eta}\|z - w\|^2",
        r"(w - w')/\eta = \nabla f(w')",
        r"f(w') \leq f(w) - \frac{1}{2\eta}\|w' - w\|^2",
        r"w' = (I + \eta A)^{-1}(w + \eta b)",
    ),
    summary="Minimises the loss plus a spring to where it stands: the loss never rises, however large the rate.",
    summary_ja="損失に、現在地へのばねを加えて最小化する。学習率がどれほど大きくても損失は決して増えない。",
    topics=("optim.proximal-point",),
    facts=(a_quadratic_step_is_a_resolvent, the_slope_is_that_at_the_end, no_rate_is_too_large,
           it_falls_by_the_length_of_the_step, gradient_descent_has_a_largest_rate),
    notes=("The loss must be the same when asked twice: with a new mini-batch at every call (1) is another problem.",
           "Where f is not convex and lr is large, (1) may have several minima; one that is not above f(w) is found."),
    notes_ja=("二度尋ねたときに同じ損失でなければならない。呼ぶたびに違うミニバッチを使うと、式 (1) は別の問題になる。",
              "f が凸でなく lr が大きいと、式 (1) の極小は複数ありうる。見つかるのは f(w) を超えない一つである。"),
)
