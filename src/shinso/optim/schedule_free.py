r"""Schedule-Free (Defazio et al. 2024, arXiv:2405.15682): averaging in the place of a falling learning rate.

    y = (1 - beta) z + beta x                                                                            (1)
    z = z - gamma_t d(y) - gamma_t wd y,   d = g(y)  or  d = g(y) / (sqrt(v) + eps)                      (2)
    x = (1 - c) x + c z,   c = gamma_t^2 / sum_{i<=t} gamma_i^2                                          (3)
    v = b2 v + (1 - b2) g(y)^2,   gamma_t = lr min(1, t / warm-up) (times sqrt(1 - b2^t) with v)         (4)

Gradients are taken at y, z walks, and x, a weighted mean of all z (5), is what one uses. beta = 0 is the average of
Polyak and Ruppert of a walk that does not know of it, beta = 1 takes the gradient at the average itself. The surprise:
in between, at 0.9, the paper finds a constant rate to keep pace with tuned schedules that know in advance when to
stop; no end T stands in (1) to (4).

    x_T = sum_t gamma_t^2 z_t / sum_t gamma_t^2                                                          (5)
"""

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.seed import generator
from shinso.kernels.elementwise import Rule, sqrt
from shinso.optim._checks import check_rate
from shinso.optim._elementwise import AbstractElementwise, Group
from shinso.optim._walk import walk, weights


@final
class ScheduleFree(AbstractElementwise):
    """AdamW's form (base="adam") or SGD's (base="sgd"). The weights hold y while training, x after `eval()`.

    Call `eval()` before measuring a model and `train()` before the next step; a state saved after either is complete,
    beside weights saved then. The sum in (3) is counted once for a group, from its first step.
    """

    def __init__(self, params: Any, lr: float | Tensor = 2.5e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, *, weight_decay: float = 0.0, warmup: int = 0, base: str = "adam",
                 maximize: bool = False):
        """`betas` are beta of (1), from 0 to 1, and b2 of (4); `warmup` is the steps until the full rate."""
        check_rate(lr)
        if not 0.0 <= betas[0] <= 1.0:
            raise ValueError(f"Invalid beta parameter at index 0: {betas[0]}")
        if not 0.0 <= betas[1] < 1.0:
            raise ValueError(f"Invalid beta parameter at index 1: {betas[1]}")
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if not 0 <= warmup:
            raise ValueError(f"Invalid warmup value: {warmup}")
        if base not in ("adam", "sgd"):
            raise ValueError(f"Invalid base: {base}")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
                                  "warmup": warmup, "base": base, "maximize": maximize, "training": True,
                                  "time": 0, "sum": 0.0, "share": 1.0})

    @staticmethod
    def rule(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """(1) to (4) with v"""
        z, x, v = s
        rate, decay, c, rest, beta, other, b2, rest2, eps = h
        v = b2 * v + rest2 * g * g
        z = z - rate * (g / (sqrt(v) + eps)) - decay * w
        x = rest * x + c * z
        return other * z + beta * x, (z, x, v)

    @staticmethod
    def rule_of_sgd(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """(1) to (3)"""
        z, x = s
        rate, decay, c, rest, beta, other = h
        z = z - rate * g - decay * w
        x = rest * x + c * z
        return other * z + beta * x, (z, x)

    def chosen(self, group: Group) -> tuple[Rule, tuple[str, ...]]:
        if group["base"] == "sgd":
            return type(self).rule_of_sgd, ("z", "x")
        return type(self).rule, ("z", "x", "exp_avg_sq")

    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        rate, c, (beta, b2) = _rate(group, step), group["share"], group["betas"]
        common = rate, rate * group["weight_decay"], c, 1 - c, beta, 1 - beta
        return common if group["base"] == "sgd" else (*common, b2, 1 - b2, group["eps"])

    def turn(self, group: Group) -> tuple[float, float]:
        return super().turn(group)[0], 0.0  # the decay is not the gradient's

    def _begin(self, group: Group, weights: list[Tensor], names: tuple[str, ...]) -> set[Tensor]:
        new = [w for w in weights if "z" not in self.state[w]]
        fresh = super()._begin(group, weights, names)
        for w in new:
            self.state[w]["z"].copy_(w.detach())
            self.state[w]["x"].copy_(w.detach())
        return fresh

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore - torch's has overloads
        """One update from the gradients at y; returns what the closure returns."""
        if not all(group["training"] for group in self.param_groups):
            raise RuntimeError("ScheduleFree steps from the training point: call train() of the optimiser first")
        for group in self.param_groups:
            group["time"] += 1
            weight = _rate(group, group["time"]) ** 2
            group["sum"] += weight
            group["share"] = weight / group["sum"] if group["sum"] else 1.0  # c of (3)
        return super().step(closure)

    @torch.no_grad()
    def eval(self) -> None:
        """Puts x, the average, into the weights, and y aside."""
        for group in self.param_groups:
            for w in group["params"] if group["training"] else ():
                if w in self.state:
                    self.state[w]["y"] = w.detach().clone()
                    w.copy_(self.state[w]["x"])
            group["training"] = False

    @torch.no_grad()
    def train(self) -> None:
        """Puts y, where gradients are taken, back into the weights."""
        for group in self.param_groups:
            group["training"] = True
            for w in group["params"]:
                if "y" in self.state.get(w, ()):
                    w.copy_(self.state[w].pop("y"))


def _rate(group: Group, t: float) -> float:
    """gamma_t"""
    rate = float(group["lr"]) * (min(1.0, t / group["warmup"]) if group["warmup"] else 1.0)
    return rate if group["base"] == "sgd" else rate * (1 - group["betas"][1] ** t) ** 0.5  # (4)



def _noisy(seed: int) -> tuple[Tensor, Any]:
    """A start and a gradient of sum_k L_k w_k^2 / 2 with L from 0.01 to 1 and standard normal noise."""
    draw, curvature = generator(seed, "noise"), torch.logspace(-2, 0, 40, dtype=torch.float64)
    return torch.full((40,), 3.0), lambda w: curvature * w + torch.randn(40, generator=draw, dtype=torch.float64)


def _seen(optimiser: ScheduleFree, gradient: Any, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """y, z and x after every step, (steps, n) each."""
    (w,) = optimiser.param_groups[0]["params"]
    rows = [(walk(optimiser, gradient, 1)[-1], optimiser.state[w]["z"].clone(), optimiser.state[w]["x"].clone())
            for _ in range(steps)]
    y, z, x = (torch.stack(column) for column in zip(*rows, strict=True))
    return y, z, x


def x_is_the_weighted_mean_of_z() -> Check:
    """After 300 noisy steps with v and 50 of warm-up, x is the mean of all z weighted by gamma_t^2, to 1e-12.

    Source: equation (5)
    """
    start, gradient = _noisy(0)
    _, z, x = _seen(ScheduleFree([weights(start)], lr=0.05, warmup=50), gradient, 300)
    t = torch.arange(1, 301, dtype=torch.float64)
    gamma = 0.05 * (t / 50).clamp_max(1) * (1 - 0.999**t).sqrt()
    return at_most(float((x[-1] - (gamma**2) @ z / (gamma**2).sum()).abs().max()), 1e-12)


def with_beta_0_it_is_polyaks_average() -> Check:
    """With beta = 0, SGD's form walks as torch's SGD, and x is the plain mean of its 300 places, to 1e-12.

    Source: Polyak and Juditsky 1992
    """
    start, gradient = _noisy(1)
    _, _, x = _seen(ScheduleFree([weights(start)], lr=0.1, betas=(0.0, 0.999), base="sgd"), gradient, 300)
    start, gradient = _noisy(1)
    places = walk(torch.optim.SGD([weights(start)], lr=0.1), gradient, 300)[1:]
    return at_most(float((x[-1] - places.mean(0)).abs().max()), 1e-12)


def with_beta_1_it_is_a_heavy_ball() -> Check:
    """With beta = 1, x moves by (t-2)/t of its last move minus lr/t times the gradient at x: 300 steps, to 1e-12.

    Source: primal averaging with c = 1/t as momentum; Sebbouh, Gower and Defazio 2021
    """
    start, gradient = _noisy(2)
    y, _, _ = _seen(ScheduleFree([weights(start)], lr=0.1, betas=(1.0, 0.999), base="sgd"), gradient, 300)
    w, gradient = _noisy(2)
    before, w, off = w.double(), w.double(), 0.0
    for t in range(1, 301):
        # c_t (1 - c_{t-1}) / c_{t-1} = (t - 2) / t; at t = 1 there is no last move
        before, w = w, w + (t - 2) / t * (w - before) - 0.1 / t * gradient(w)
        off = max(off, float((w - y[t - 1]).abs().max()))
    return at_most(off, 1e-12)


def averages_beat_the_last_place() -> Check:
    """On a noisy quadratic, x has at most a fifth of the loss of SGD's last place at the same rate, in the mean of 2.

    Source: Defazio et al. 2024, against a constant rate; the loss is sum_k L_k w_k^2 / 2 after 2000 steps
    """
    curvature, losses = torch.logspace(-2, 0, 40, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for seed in range(2):
        start, gradient = _noisy(10 + seed)
        optimiser = ScheduleFree([weights(start)], lr=0.5, base="sgd")
        walk(optimiser, gradient, 2000)
        optimiser.eval()
        losses[0] += (curvature * optimiser.param_groups[0]["params"][0].detach() ** 2).sum()
        start, gradient = _noisy(10 + seed)
        losses[1] += (curvature * walk(torch.optim.SGD([weights(start)], lr=0.5), gradient, 2000)[-1] ** 2).sum()
    return at_most(float(losses[0] / losses[1]), 0.2)


def there_and_back_changes_no_bit() -> Check:
    """eval() and train() after each of 100 steps leave the same path, bit by bit: the difference is 0.

    Source: y is put aside, not worked out from x and z
    """
    paths = []
    for looks in (False, True):
        start, gradient = _noisy(3)
        optimiser = ScheduleFree([weights(start)], lr=0.05)
        rows = []
        for _ in range(100):
            rows.append(walk(optimiser, gradient, 1)[-1])
            if looks:
                optimiser.eval()
                optimiser.train()
        paths.append(torch.stack(rows))
    return exactly(float((paths[0] - paths[1]).abs().max()), 0.0)


CARD = Card(
    name="Schedule-Free",
    name_ja="Schedule-Free (スケジュール不要の学習)",
    paper="Defazio et al. 2024, The road less scheduled, arXiv:2405.15682",
    equations=(
        r"y = (1-\beta)\,z + \beta x",
        r"z = z - \gamma_t\,d(y) - \gamma_t\lambda y,\quad d = g(y)\ \mathrm{or}\ g(y)/(\sqrt{v} + \epsilon)",
        r"x = (1-c)\,x + c\,z,\quad c = \gamma_t^2/\sum_{i \leq t}\gamma_i^2",
        r"v = \beta_2 v + (1-\beta_2)\,g(y)^2,\quad \gamma_t = \eta\,\min(1, t/T_w)\,\sqrt{1-\beta_2^t}",
        r"x_T = \sum_t \gamma_t^2 z_t / \sum_t \gamma_t^2",
    ),
    summary="Walks at a constant rate and uses the average, with gradients taken between the two; no end is planned.",
    summary_ja="学習率を下げる代わりに平均を使う。歩く点と平均の間で勾配を取り、終わりの時刻を決めずに学習できる。",
    topics=(),
    facts=(x_is_the_weighted_mean_of_z, with_beta_0_it_is_polyaks_average, with_beta_1_it_is_a_heavy_ball,
           averages_beat_the_last_place, there_and_back_changes_no_bit),
    notes=("Measured with the weights of training, a model is judged at y, not at x: call the optimiser's eval().",
           "Batch normalisation has seen y: its running means must be found again at x.",
           "The first c is 1, so that the start has no part in x."),
    notes_ja=("学習中の重みのまま測ると x ではなく y を評価することになる。最適化器の eval() も呼ぶ。",
              "バッチ正規化が見てきたのは y である。移動平均は x で取り直す必要がある。",
              "最初の c は 1 なので、初期点は x に含まれない。"),
)
