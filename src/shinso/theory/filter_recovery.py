r"""When is a convolutional filter easy to learn? When its patches look alike (Du, Lee, Tian 2018).

    f(Z) = 1/k sum_j s(w Z_j),   s(u) = max(u, 0),   y = f* (Z) with the filter w*                  (1)
    w <- w - eta / n sum_i (f(Z_i) - y_i) 1/k sum_j 1(w Z_ij > 0) Z_ij                              (2)

with the second layer fixed to the mean. No Gaussian is needed, only that no direction is missing from the patches and
that they are close to each other; here the pixels are uniform, and the patches of one input are

    Z_j = (1 - r) Z_0 + r Z'_j,   one common Z_0 and k own Z'_j                                     (3)

(then scaled to unit variance), so that the overlap 1 - r says how alike they are. The error falls geometrically,
|w_t - w*| <= q^t |w_0 - w*|, and the closer the patches, the smaller q: when all are active together, an input
teaches its filter with its whole length; when they are not, what they say is averaged away.

The surprise: every random start arrives, and how fast is a matter of how much the patches of one input agree.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from shinso.core.axes import BLUE, GREEN, GREY, ORANGE, RED, quiet
from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range


def patches(number: int, size: tuple[int, int], spread: float, seed: int) -> Tensor:
    """(3): (n, k, p) for size = (k, p), uniform pixels with variance 1."""
    draw = generator(seed, "inputs")
    common = 2 * torch.rand(number, 1, size[1], generator=draw, dtype=torch.float64) - 1
    own = 2 * torch.rand(number, *size, generator=draw, dtype=torch.float64) - 1
    return 3**0.5 * ((1 - spread) * common + spread * own) / ((1 - spread) ** 2 + spread**2) ** 0.5  # (3)


def answers(W: Tensor, Z: Tensor) -> Tensor:
    """f(Z_i) of the filters W (s, p): (n, s)."""
    return (Z @ W.T).clamp(min=0).mean(1)  # (1)


def slope(W: Tensor, Z: Tensor, y: Tensor) -> Tensor:
    """The mean of (2) for the filters W (s, p), (s, p)."""
    z = Z @ W.T
    wrong = z.clamp(min=0).mean(1) - y[:, None]
    pulls = (z > 0) * wrong[:, None, :]  # (n, k, s)
    return pulls.flatten(0, 1).T @ Z.flatten(0, 1) / (Z.shape[0] * Z.shape[1])


@final
class Filter:
    """Descent by (2) from several random starts at once."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        self.Z = patches(setup.examples, (setup.patches, setup.pixels), setup.spread, setup.seed)
        draw = generator(setup.seed, "filters")
        target = torch.randn(setup.pixels, generator=draw, dtype=torch.float64)
        self.target = target / target.norm()
        self.y = answers(self.target[None], self.Z)[:, 0]
        W = torch.randn(setup.starts, setup.pixels, generator=draw, dtype=torch.float64)
        self.W = 0.5 * W / W.norm(dim=1, keepdim=True)
        self.seen: list[float] = []

    def errors(self) -> Tensor:
        """|w - w*| of each start."""
        return (self.W - self.target).norm(dim=1)

    def step(self, i: int) -> Record:
        self.W = self.W - self.setup.lr * slope(self.W, self.Z, self.y)
        errors = self.errors()
        self.seen.append(float(errors.max()))
        wrong = answers(self.W, self.Z) - self.y[:, None]
        return {"loss": wrong.square().mean() / 2, "error_median": errors.median(), "error_worst": errors.max()}

    def state(self) -> dict[str, Any]:
        return {"W": self.W, "seen": list(self.seen)}

    def restore(self, state: dict[str, Any]) -> None:
        self.W, self.seen = state["W"].clone(), list(state["seen"])

    def pictures(self) -> dict[str, np.ndarray]:
        """The worst error by step for five overlaps; the factor q of one step by overlap."""
        figure = sheet(900, 370)
        left, right = figure.subplots(1, 2, width_ratios=[1.3, 1])
        steps, spreads = max(len(self.seen), 20), (0.0, 0.25, 0.5, 0.75, 1.0)
        factors = []
        for spread, colour in zip(spreads, (BLUE, GREEN, ORANGE, RED, GREY), strict=True):
            seen = _course(replace(self.setup, spread=spread, steps=steps))
            factors.append(factor(seen))
            left.semilogy(np.maximum(seen, 1e-15), color=colour, label=f"{1 - spread:.0%}")
        quiet(left, "Error of the worst start / 誤差", "step t / ステップ", "|w − w*|")
        left.set_ylim(3e-16, 1e4)
        left.legend(title="overlap 1 − r / 重なり", fontsize=9, loc="upper center", ncols=5, handlelength=1)
        right.plot([1 - spread for spread in spreads], factors, "o-", color=BLUE)
        right.set_ylim(0, 1.02)
        quiet(right, "Closer patches, faster learning / 近いほど速い", "overlap 1 − r / 重なり", "factor q / 一歩の比")
        return {"filter_recovery": pixels(figure)}


def factor(seen: tuple[float, ...]) -> float:
    """q: by which the error falls in each step, fitted between a half and 1e-10 of its start."""
    found = [(t, np.log(error)) for t, error in enumerate(seen) if 1e-10 * seen[0] < error < seen[0] / 2]
    if len(found) < 2:
        return 1.0
    steps, logs = np.array(found).T
    return float(np.exp(np.polyfit(steps, logs, 1)[0]))


@cache
def _course(setup: "Setup") -> tuple[float, ...]:
    """The worst error after each step."""
    program = Filter(setup)
    for i in range(program.total):
        program.step(i)
    return tuple(program.seen)


def every_start_recovers_the_filter() -> Check:
    """With an overlap of 0.7 the worst of 10 random starts is within 1e-5 of w* after 100 steps.

    Source: Du, Lee, Tian 2018, theorem 3.1
    """
    return at_most(_course(replace(Setup(), spread=0.3))[99], 1e-5)


def the_error_falls_geometrically() -> Check:
    """Between a half and 1e-10 of its start the logarithm of that error is a straight line in t with R2 above 0.99.

    Source: Du, Lee, Tian 2018, theorem 3.1: linear convergence
    """
    seen = np.array(_course(replace(Setup(), spread=0.3)))
    logs = np.log(seen[(seen < seen[0] / 2) & (seen > 1e-10 * seen[0])])
    steps = np.arange(len(logs))
    left = logs - np.polyval(np.polyfit(steps, logs, 1), steps)
    return at_least(float(1 - left.var() / logs.var()), 0.99)


def closer_patches_are_faster() -> Check:
    """The factor q of one step falls from each overlap of 0, 0.3, 0.6, 1 to the next by more than 0.01: the least gain.

    Source: Du, Lee, Tian 2018: the rate improves with closeness
    """
    factors = [factor(_course(replace(Setup(), spread=spread))) for spread in (1.0, 0.7, 0.4, 0.0)]
    return at_least(float(-np.diff(factors).max()), 0.01)


def patches_without_overlap_are_learned_too() -> Check:
    """With no overlap at all the error after 200 steps is below 1e-5: slower, but no failure.

    Source: measured here; the theorem asks for closeness
    """
    return at_most(_course(replace(Setup(), spread=1.0))[199], 1e-5)


CARD = Card(
    name="Learning a convolutional filter",
    name_ja="畳み込みフィルタの学習",
    paper="Du, Lee, Tian 2018, When is a convolutional filter easy to learn?, arXiv:1709.06129",
    equations=(
        r"f(Z) = \frac{1}{k}\sum_j s(w^T Z_j),\quad s(u) = \max(u, 0)",
        r"w \leftarrow w - \frac{\eta}{n k}\sum_i (f(Z_i) - y_i)\sum_j 1(w^T Z_{ij} > 0)\,Z_{ij}",
        r"Z_j = (1 - r) Z_0 + r Z'_j",
    ),
    summary="Descent recovers a filter from uniform inputs at a linear rate, faster the more its patches overlap.",
    summary_ja="一様分布の入力から、降下法はフィルタを一次収束で復元する。パッチ同士が似ているほど速い。",
    topics=("theory.du-filter",),
    facts=(
        every_start_recovers_the_filter,
        the_error_falls_geometrically,
        closer_patches_are_faster,
        patches_without_overlap_are_learned_too,
    ),
    notes=("The theorem bounds the angle between patches; the overlap here is a mixture with a common patch, not a "
           "window that slides.",),
    notes_ja=("定理が抑えるのはパッチ同士の角度。ここでの重なりは共通のパッチとの混合であり、ずらした窓ではない。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Inputs of several patches and one filter."""

    patches: int = 4
    """patches k of one input"""
    pixels: int = 6
    """pixels p of a patch and of the filter"""
    spread: float = 0.5
    """r, the share of its own in a patch; the overlap is 1 - r"""
    examples: int = 500
    """inputs n"""
    starts: int = 10
    """random starts, all at once"""
    lr: float = 1.0
    """step size eta"""
    steps: int = 200
    """steps"""
    seed: int = 0
    """of the inputs, the filter and the starts"""


VARIANTS = {
    "smoke": Setup(examples=100, steps=60),
    "default": Setup(),
    "same-patch": Setup(spread=0.0),
    "no-overlap": Setup(spread=1.0),
}


def build(setup: Setup, place: Place = Place()) -> Filter:  # noqa: B008 - a frozen value
    """The descents, in float64 on the CPU."""
    in_range(setup, ("patches", "pixels", "examples", "starts", "lr", "steps"), ("spread",))
    return Filter(setup)
