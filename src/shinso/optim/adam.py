r"""Adam (Kingma and Ba 2015, arXiv:1412.6980).

    m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2,   w = w - lr mhat / (sqrt(vhat) + eps)             (1)

with mhat = m / (1 - b1^t), vhat = v / (1 - b2^t). torch.optim.Adam with less around its fused call. The state is
torch's: checkpoints, hooks and schedulers of either serve the other, and the values are equal bit for bit.
"""

from collections.abc import Callable
from typing import Any, cast, final

import torch

from shinso.optim._adam import AbstractAdam
from shinso.optim._lean import moving

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
