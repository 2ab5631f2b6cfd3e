r"""Adam (Kingma and Ba 2015, arXiv:1412.6980).

    m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2,   w = w - lr mhat / (sqrt(vhat) + eps)             (1)

with mhat = m / (1 - b1^t), vhat = v / (1 - b2^t). torch.optim.Adam with less around its fused call. The state is
torch's: checkpoints, hooks and schedulers of either serve the other, and the values are equal bit for bit.
"""

from collections.abc import Callable
from typing import Any, cast, final

import torch

from shinso.core.card import Card, Check, about, at_most, exactly
from shinso.optim._adam import AbstractAdam
from shinso.optim._lean import moving
from shinso.optim._walk import along, walk, weights

_torch = cast(Any, torch)  # the fused calls have no public name, but have been there, the same, since torch 2.4


@final
class Adam(AbstractAdam, torch.optim.Adam):  # pyright: ignore[reportIncompatibleMethodOverride] - zero_grad(*, ...)
    """Drop-in for torch.optim.Adam; with fused=True bit for bit its fused form."""

    TWIN = torch.optim.Adam

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore - torch's has overloads
        """One update (1): fused=True by torch's fused call as long as `moving` says yes."""
        weights = moving(self.param_groups) if closure is None else None
        if weights is None or any(g["amsgrad"] or g["capturable"] or isinstance(g["betas"][0], torch.Tensor)
                                  or g.get("decoupled_weight_decay") for g in self.param_groups):
            return super().step(closure)
        self._bundled = None
        for group, mine in zip(self.param_groups, weights, strict=True):
            if not mine:
                continue
            for w in mine:
                if not self.state[w]:
                    moments = {name: torch.zeros_like(w.detach()) for name in ("exp_avg", "exp_avg_sq")}
                    self.state[w] = {"step": torch.zeros((), dtype=torch.float32), **moments}
            states = [self.state[w] for w in mine]
            steps = [state["step"] for state in states]
            with torch.no_grad():
                _torch._foreach_add_(steps, 1)
                _torch._fused_adam_(  # (1)
                    mine, [w.grad for w in mine], [s["exp_avg"] for s in states], [s["exp_avg_sq"] for s in states], [],
                    steps, amsgrad=False, lr=group["lr"], beta1=group["betas"][0], beta2=group["betas"][1],
                    weight_decay=group["weight_decay"], eps=group["eps"], maximize=group["maximize"],
                )  # fmt: skip
        return None


def the_first_step_is_the_rate() -> Check:
    """Under gradients 1e-3, 0.3 and -200 the first step is -lr g / (|g| + eps), to 1e-16.

    Source: mhat = g and vhat = g^2 at t = 1
    """
    g = torch.tensor([1e-3, 0.3, -200.0], dtype=torch.float64)
    step = walk(Adam([weights([0.0, 0.0, 0.0])]), lambda w: g, 1)[1]
    return at_most(float((step + 0.001 * g / (g.abs() + 1e-8)).abs().max()), 1e-16)


def the_loss_has_no_unit() -> Check:
    """With eps = 0 a loss 1024 times as large is walked down the same way, bit for bit, over 100 steps.

    Source: m and sqrt(v) scale alike in (1)
    """
    one, big = (walk(Adam([weights([2.0])], lr=0.1, eps=0.0), lambda w, c=c: c * (w.cos() + w), 100) for c in (1, 1024))
    return exactly(float((one - big).abs().max()), 0)


def the_longest_step() -> Check:
    """A gradient of 1 after 20,000 zeros makes a step of lr (1 - b1) / sqrt(1 - b2) = 3.1623 lr, the longest there is.

    Source: Kingma and Ba 2015, section 2.1
    """
    w = weights([0.0])
    optimiser = Adam([w])
    along(optimiser, [0.0])
    optimiser.state[w]["step"] += 20_000 - 1  # with zero gradients m and v stay 0
    return about(-along(optimiser, [1.0])[0] / 0.001, 3.1623, 1e-4)


CARD = Card(
    name="Adam",
    name_ja="Adam",
    paper="Kingma and Ba 2015, Adam: a method for stochastic optimization, arXiv:1412.6980",
    equations=(
        r"m = \beta_1 m + (1-\beta_1)\, g,\quad v = \beta_2 v + (1-\beta_2)\, g \odot g,\quad "
        r"w = w - \eta \frac{\hat m}{\sqrt{\hat v} + \epsilon}",
    ),
    summary="Momentum divided by the size of the gradients, both corrected for their start at 0, in one native pass.",
    summary_ja="Momentum を勾配の大きさで割る。どちらも 0 から始まる分を補正し、一度の走査で更新する。",
    topics=("optim.adam",),
    facts=(the_first_step_is_the_rate, the_loss_has_no_unit, the_longest_step),
    notes=("The article's formula averages g in v, not its square, and counts t from 0: an imaginary root, a division "
           "by zero.",
           "The article's class has eps outside of the correction; this one is torch's form."),
    notes_ja=("記事の式の v は g の二乗ではなく g を平均し、t を 0 から数える。根は虚数になり、零で割ることになる。",
              "記事のクラスの eps は補正の外にある。これは torch の形である。"),
)
