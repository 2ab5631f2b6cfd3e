r"""AGD: Nesterov's accelerated gradient descent (Nesterov 1983; Beck and Teboulle 2009; Jin, Netrapalli, Jordan 2017).

    y = x + (1 - theta) v,   x' = y - lr grad f(y),   v' = x' - x                                        (1)

The gradient is taken ahead of x, where the last move points. 1 - theta is a momentum: a constant, or of the sequence

    1 - theta_k = (t_k - 1)/t_{k+1},   t_1 = 1,   t_{k+1} = (1 + sqrt(1 + 4 t_k^2))/2                    (2)

With it and a step of 1/L on a convex f whose gradient changes by at most L per unit,

    f(x_k) - f* <= 2 L |x_0 - x*|^2 / (k + 1)^2                                                          (3)

where gradient descent has L |x_0 - x*|^2 / (2 k) (gradient_descent.py). The surprise: it does not descend. The loss
ripples, and (3) holds all the same; no method that sees gradients alone can do better than a constant times (3).

Gradients are taken where the parameters are, so that they hold y while training. `eval()` puts x there, `train()` puts
y back, bit for bit; call them around an evaluation.
"""

from itertools import pairwise
from typing import Any, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.seed import generator
from shinso.optim._checks import check_rate
from shinso.optim._elementwise import AbstractElementwise, Group
from shinso.optim._walk import walk, weights


@final
class AGD(AbstractElementwise):
    """Accelerated gradient descent; `theta` is that of (1), None is the sequence (2). state[w]["solution"] is x."""

    STATE = ("solution",)

    def __init__(self, params: Any, lr: float | Tensor = 1e-3, *, theta: float | None = None,
                 weight_decay: float = 0.0, maximize: bool = False):
        check_rate(lr)
        if theta is not None and not 0.0 < theta <= 1.0:
            raise ValueError(f"Invalid theta: {theta}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        super().__init__(params, {"lr": lr, "theta": theta, "weight_decay": weight_decay, "maximize": maximize,
                                  "training": True})
        self._sequence = [1.0]

    @staticmethod
    def rule(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """(1) from y to the next y; x goes into the state"""
        (x,) = s
        lr, momentum = h
        ahead = w - lr * g
        return ahead + momentum * (ahead - x), (ahead,)

    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        if group["theta"] is not None:
            return group["lr"], 1 - group["theta"]
        k, t = int(step), self._sequence
        while len(t) <= k:
            t.append((1 + (1 + 4 * t[-1] ** 2) ** 0.5) / 2)  # (2)
        return group["lr"], (t[k - 1] - 1) / t[k]

    def step(self, closure: Any = None) -> Any:  # pyright: ignore - torch's has overloads
        """One update (1) of every parameter that has a gradient; returns what the closure returns."""
        if not all(group["training"] for group in self.param_groups):
            raise RuntimeError("AGD trains at y: call optimizer.train() before the next gradient")
        return super().step(closure)

    @torch.no_grad()
    def eval(self) -> None:
        """Puts x, the answer, into the parameters."""
        self._exchange(training=False)

    @torch.no_grad()
    def train(self) -> None:
        """Puts y, where the next gradient is to be taken, back into them."""
        self._exchange(training=True)

    def _exchange(self, *, training: bool) -> None:
        for group in self.param_groups:
            for w in group["params"] if group["training"] != training else ():
                if "solution" in self.state[w]:
                    kept = w.clone()
                    w.copy_(self.state[w]["solution"])
                    self.state[w]["solution"].copy_(kept)
            group["training"] = training

    def _begin(self, group: Group, weights: list[Tensor], names: tuple[str, ...]) -> set[Tensor]:
        fresh = super()._begin(group, weights, names)
        for w in fresh:
            self.state[w]["solution"].copy_(w.detach())  # x_0 = y_0
        return fresh


def _quadratic(condition: float = 1e4) -> Tensor:
    """50 curvatures from 1/condition to L = 1."""
    return torch.logspace(-torch.log10(torch.tensor(condition)).item(), 0, 50, dtype=torch.float64)


def _values(optimiser: torch.optim.Optimizer, h: Tensor, steps: int) -> Tensor:
    """f = 1/2 sum h x^2 before the first step and after each, at the method's answer."""
    (w,) = optimiser.param_groups[0]["params"]
    found = [w.detach().clone()]
    for _ in range(steps):
        walk(optimiser, lambda y: h * y, 1)
        found.append(optimiser.state[w].get("solution", w.detach()).clone())
    return 0.5 * (h * torch.stack(found) ** 2).sum(1)


def _ones() -> Tensor:
    return weights([1.0] * 50)


def the_bound_holds_at_every_step() -> Check:
    """On 50 curvatures from 1e-4 to 1, from a random start, f (k + 1)^2 / (2 L |x_0|^2) is at most 1 for 500 steps.

    Source: Beck and Teboulle 2009, theorem 4.4; equation (3)
    """
    h, start = _quadratic(), weights(torch.randn(50, generator=generator(0, "start"), dtype=torch.float64))
    bound = 2 * float(start.detach().square().sum()) / (torch.arange(1, 501) + 1.0) ** 2
    return at_most(float((_values(AGD([start], lr=1.0), h, 500)[1:] / bound).max()), 1.0)


def it_holds_where_it_is_nearly_reached() -> Check:
    """In the flattest direction that k steps can still use, h = 4/k^2, the bound is missed by less than 10 times.

    Source: Nesterov 1983: the order 1/k^2 cannot be improved
    """
    found = []
    for k in (10, 30, 100):
        value = _values(AGD([weights([1.0])], lr=1.0), torch.tensor([4.0 / k**2], dtype=torch.float64), k)[-1]
        assert float(value) <= 2 / (k + 1) ** 2  # noqa: S101 - (3) itself
        found.append(float(value) * (k + 1) ** 2 / 2)
    return at_least(min(found), 0.1)


def fewer_steps_than_gradient_descent() -> Check:
    """At condition number 1e4, gradient descent takes at least 20 times as many steps to f <= 1e-3 f(x_0).

    Source: kappa log(1/e) against sqrt(kappa) log(1/e); its steps are counted by (1 - h)^t, which is where it is
    """
    h = _quadratic()
    start = h**-0.5  # as high in every direction
    values = _values(AGD([weights(start)], lr=1.0), h, 1000)
    steps = int((values <= 1e-3 * values[0]).nonzero()[0])
    t = torch.arange(0, 40_000, 10, dtype=torch.float64)[:, None]
    plain = 10 * int(((1 - h) ** (2 * t)).mean(1).le(1e-3).nonzero()[0])
    return at_least(plain / steps, 20.0)


def a_constant_theta_for_a_known_curvature() -> Check:
    """With 1 - theta = (sqrt(k) - 1)/(sqrt(k) + 1) at k = 1e4, f falls by 1 - 1/sqrt(k) a step over 1000.

    Source: Nesterov 2004, theorem 2.2.3: f_k - f* <= (1 - 1/sqrt(k))^k (f_0 - f* + |x_0 - x*|^2 / (2 k))
    """
    h, root = _quadratic(), 100.0
    values = _values(AGD([_ones()], lr=1.0, theta=1 - (root - 1) / (root + 1)), h, 1000)
    start = values[0] + 0.5 * float(h[0]) * 50
    bound = (1 - 1 / root) ** torch.arange(1001, dtype=torch.float64) * start
    return at_most(float((values / bound)[1:].max()), 1.0)


def it_does_not_descend() -> Check:
    """Of 500 steps on curvatures from 1e-2 to 1 at least 50 raise the loss; with theta = 1, none does.

    Source: O'Donoghue and Candes 2015: the ripples of too much momentum
    """
    h = _quadratic(100.0)
    assert _rises(AGD([_ones()], lr=1.0, theta=1.0), h) == 0  # noqa: S101 - the other half of the claim
    return at_least(_rises(AGD([_ones()], lr=1.0), h), 50)


def theta_of_one_is_gradient_descent() -> Check:
    """With theta = 1 the largest difference to torch's SGD over 100 steps is at most 1e-15.

    Source: equation (1) without v
    """
    h = _quadratic()
    ours = walk(AGD([_ones()], lr=0.7, theta=1.0), lambda w: h * w, 100)
    theirs = walk(torch.optim.SGD([_ones()], lr=0.7), lambda w: h * w, 100)
    return at_most(float((ours - theirs).abs().max()), 1e-15)


def looking_changes_nothing() -> Check:
    """eval() and train() after each of 50 steps leave all of the path as it was, bit for bit: difference 0.

    Source: x and y are exchanged, not computed from each other
    """
    h, ends = _quadratic(), []
    for looked in (False, True):
        w = _ones()
        optimiser = AGD([w], lr=1.0)
        for _ in range(50):
            walk(optimiser, lambda w: h * w, 1)
            if looked:
                optimiser.eval()
                optimiser.train()
        ends.append(w.detach())
    return exactly(float((ends[0] - ends[1]).abs().max()), 0.0)


def _rises(optimiser: AGD, h: Tensor) -> int:
    return sum(b > a for a, b in pairwise(_values(optimiser, h, 500).tolist()))


CARD = Card(
    name="AGD",
    name_ja="加速勾配法 (AGD)",
    paper="Nesterov 1983, Soviet Mathematics Doklady 27; Jin, Netrapalli and Jordan 2017, arXiv:1711.10456",
    equations=(
        r"y = x + (1 - \theta)\,v,\quad x' = y - \eta\nabla f(y),\quad v' = x' - x",
        r"1 - \theta_k = \frac{t_k - 1}{t_{k+1}},\quad t_{k+1} = \frac{1}{2}\left(1 + \sqrt{1 + 4 t_k^2}\right)",
        r"f(x_k) - f^* \leq 2 L \|x_0 - x^*\|^2 / (k + 1)^2",
    ),
    summary="A gradient taken ahead of the weights: the error falls like 1/k^2, which no method of gradients beats.",
    summary_ja="重みより先の点で勾配をとる。誤差は 1/k^2 で減り、勾配だけを使う方法でこれより速いものはない。",
    topics=("optim.agd",),
    facts=(the_bound_holds_at_every_step, it_holds_where_it_is_nearly_reached, fewer_steps_than_gradient_descent,
           a_constant_theta_for_a_known_curvature, it_does_not_descend, theta_of_one_is_gradient_descent,
           looking_changes_nothing),
    notes=("1 - theta is the momentum here; theta is no vector of parameters, as it is in other documents.",
           "While training, the parameters are y: evaluate x, by eval() and train().",
           "The velocity of optim.sgd is made of gradients, so a changed rate rescales all of it; here v is a move "
           "that was made."),
    notes_ja=("ここで 1 - theta は慣性の係数である。ほかの資料の theta と違い、パラメータのベクトルではない。",
              "訓練中のパラメータは y である。評価するのは x で、eval() と train() で切り替える。",
              "optim.sgd の速度は勾配の和で、学習率を変えると全体が変わる。ここの v は実際に動いた量である。"),
)
