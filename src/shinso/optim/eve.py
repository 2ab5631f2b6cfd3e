r"""Eve: Adam that listens to the loss (Koushik and Hayashi 2016; Hayashi, Koushik and Neubig 2018).

    m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2                                                     (1)
    r_t = clip(|f_t - f_(t-1)| / (min(f_t, f_(t-1)) - f*), 1/c, c)                                       (2)
    d_t = b3 d_(t-1) + (1 - b3) r_t,   d_1 = 1                                                           (3)
    w = w - lr / d_t mhat / (sqrt(vhat) + eps)                                                           (4)

with mhat = m / (1 - b1^t), vhat = v / (1 - b2^t) as in Adam; f_t is the loss at step t and f* the least it can be. This
is the form of arXiv:1611.01505v3; the first version, v1, compares f_t with a smoothed loss that may follow it by a
factor of 1.1 to 11 only, and its d differs from the third step on. The surprise: two numbers, the last loss and d, make
one global rate that grows up to c times where the loss stands still far above f*, and shrinks where it swings.
"""

from collections.abc import Callable
from math import inf, isfinite
from typing import Any, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.seed import generator
from shinso.kernels.elementwise import sqrt
from shinso.optim._checks import check_rate
from shinso.optim._elementwise import AbstractElementwise, Group
from shinso.optim._walk import weights


@final
class Eve(AbstractElementwise):
    """Eve. Every step needs the loss: `step(closure)`, whose value it is, or `step(loss=...)` after backward()."""

    STATE = ("exp_avg", "exp_avg_sq")

    def __init__(self, params: Any, lr: float | Tensor = 1e-3, betas: tuple[float, float, float] = (0.9, 0.999, 0.999),
                 *, clip: float = 10.0, least: float = 0.0, eps: float = 1e-8, weight_decay: float = 0.0):
        """`least` is f*, `clip` is c. The loss is that without weight_decay, which is added to the gradient."""
        check_rate(lr)
        for i, beta in enumerate(betas):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        if not 1.0 <= clip:
            raise ValueError(f"Invalid clip value: {clip}")
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        super().__init__(params, {"lr": lr, "betas": betas, "clip": clip, "least": least, "eps": eps,
                                  "weight_decay": weight_decay, "divisor": 1.0, "last_loss": None})

    @staticmethod
    def rule(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """(1) and (4); the corrections of mhat and vhat come with the numbers."""
        rate, b1, rest1, b2, rest2, root, eps = h
        m = b1 * s[0] + rest1 * g
        v = b2 * s[1] + rest2 * (g * g)
        return w - rate * m / (sqrt(v) / root + eps), (m, v)

    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        b1, b2, _ = group["betas"]
        rate = group["lr"] / group["divisor"] / (1 - b1**step)
        return rate, b1, 1 - b1, b2, 1 - b2, (1 - b2**step) ** 0.5, group["eps"]

    def step(  # pyright: ignore[reportIncompatibleMethodOverride] - torch's has no loss
            self, closure: Callable[[], Any] | None = None, *, loss: float | Tensor | None = None) -> Any:
        """One update. RuntimeError without a loss, ValueError below f*; a loss that is not finite changes no rate."""
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if loss is None:
            raise RuntimeError("Eve needs the loss at every step: step(closure), or step(loss=loss) after backward()")
        for group in self.param_groups:
            _listen(group, float(loss.detach() if isinstance(loss, Tensor) else loss))
        super().step()
        return loss


def _listen(group: Group, f: float) -> None:
    """(2) and (3) for one group. A loss equal to f* changed by infinitely much, or, if it was f* before, by nothing."""
    last = group["last_loss"]
    if f < group["least"]:
        raise ValueError(f"the loss {f} lies below its lower bound {group['least']}: give Eve a smaller `least`")
    if not isfinite(f):
        return
    if last is not None:
        change, above = abs(f - last), min(f, last) - group["least"]
        ratio = change / above if above > 0 else (inf if change > 0 else 0.0)
        b3 = group["betas"][2]
        group["divisor"] = b3 * group["divisor"] + (1 - b3) * min(max(ratio, 1 / group["clip"]), group["clip"])
    group["last_loss"] = f


def the_first_step_is_adams() -> Check:
    """The first step under 200 gradients differs from torch's Adam by at most 1e-18.

    Source: equation (3), d_1 = 1
    """
    g = torch.linspace(-3, 3, 200, dtype=torch.float64)
    ends = []
    for rule in (Eve, torch.optim.Adam):
        w = weights([0.0] * 200)
        w.grad = g.clone()
        rule([w]).step(lambda: 4.0)
        ends.append(w.detach())
    return at_most(float((ends[0] - ends[1]).abs().max()), 1e-18)


def the_divisor_stays_in_its_bounds() -> Check:
    """Over 2000 losses between 1e-6 and 1e6, d is never further from 1 than by a factor of 10.

    Source: Hayashi, Koushik and Neubig 2018: d is an average of values within [1/c, c]
    """
    draw = generator(0, "losses")
    seen = _divisors([10 ** (12 * float(torch.rand((), generator=draw)) - 6) for _ in range(2000)], b3=0.5)
    return at_most(max(max(seen), 1 / min(seen)), 10.0)


def a_loss_that_stands_still_speeds_up() -> Check:
    """100 equal losses with b3 = 0.9 bring d to 1/c = 0.1, to 1e-4: the step is ten times Adam's.

    Source: equations (2) and (3)
    """
    return about(_divisors([5.0] * 100, b3=0.9)[-1], 0.1, 1e-4)


def the_versions_differ_at_the_third_step() -> Check:
    """Losses 1, 20, 20 with b3 = 0 give d = 0.1 at the third step; the first version's is 9/11.

    Source: arXiv:1611.01505v3 and v1: there the second loss counts as 11, and r = (20 - 11)/11
    """
    return about(_divisors([1.0, 20.0, 20.0], b3=0.0)[-1], 0.1, 1e-12)


def it_needs_fewer_steps_where_the_rate_is_small() -> Check:
    """On (w1^2 + 100 w2^2)/2 from (1, 1) with lr = 1e-3, Adam needs at least 1.5 times the steps to a loss of 1e-6.

    Source: Hayashi, Koushik and Neubig 2018: a global rate beside the local ones
    """
    steps = []
    for rule in (torch.optim.Adam, Eve):
        w, curvature = weights([1.0, 1.0]), weights([1.0, 100.0]).detach()
        optimiser = rule([w])
        steps.append(0)
        while steps[-1] < 20_000:
            loss = float((curvature * w.detach().square()).sum() / 2)
            if loss < 1e-6:
                break
            w.grad = curvature * w.detach()
            optimiser.step(lambda loss=loss: loss)
            steps[-1] += 1
    return at_least(steps[0] / steps[1], 1.5)


def _divisors(losses: list[float], b3: float) -> list[float]:
    optimiser = Eve([weights([0.0])], betas=(0.9, 0.999, b3))
    found = []
    for loss in losses:
        optimiser.step(loss=loss)
        found.append(optimiser.param_groups[0]["divisor"])
    return found


CARD = Card(
    name="Eve",
    name_ja="Eve",
    paper="Koushik and Hayashi 2016; Hayashi, Koushik and Neubig 2018, arXiv:1611.01505v3",
    equations=(
        r"m = \beta_1 m + (1-\beta_1)\,g,\quad v = \beta_2 v + (1-\beta_2)\,g^2",
        r"r_t = \mathrm{clip}\left(\frac{|f_t - f_{t-1}|}{\min(f_t, f_{t-1}) - f^*},\ \frac{1}{c},\ c\right)",
        r"d_t = \beta_3 d_{t-1} + (1-\beta_3)\,r_t,\quad d_1 = 1",
        r"w = w - \frac{\eta}{d_t}\,\frac{\hat m}{\sqrt{\hat v} + \varepsilon}",
    ),
    summary="Adam whose one global rate listens to how much the loss changes from step to step.",
    summary_ja="損失の変化の大きさを聞いて、全体の学習率を一つの数で調整する Adam。",
    topics=("optim.eve",),
    facts=(the_first_step_is_adams, the_divisor_stays_in_its_bounds, a_loss_that_stands_still_speeds_up,
           the_versions_differ_at_the_third_step, it_needs_fewer_steps_where_the_rate_is_small),
    notes=("The versions on arXiv define d differently; this is v3, with c = 10, f* = 0 and the third beta 0.999.",
           "It needs the value of the loss and a lower bound of it; a loss below that bound is refused."),
    notes_ja=("arXiv の版によって d の定義が違う。ここでは v3 で、c = 10、f* = 0、三つ目の beta は 0.999 である。",
              "損失の値とその下界が要る。下界より小さい損失は受け付けない。"),
)
