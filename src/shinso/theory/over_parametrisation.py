r"""Why a wide network cannot fail to fit: three inequalities that hold one another up (Du, Zhai, Poczos, Singh 2019).

    u_i = 1/sqrt(m) sum_r a_r max(w_r x_i, 0),   J = 1/2 |u - y|^2,   |x_i| = 1, no two parallel         (1)

Gradient descent on the w_r, drawn from N(0, I), with fixed signs a_r and rate e, changes the answers through the Gram
matrix H(k) of the active units. With l0 the least eigenvalue of its limit for m -> infinity, for m large enough,

    |u_k - y|^2 <= (1 - e l0 / 2)^k |u_0 - y|^2,                                                        (2)
    |w_r(k) - w_r(0)| <= 4 sqrt(n) |u_0 - y| / (sqrt(m) l0),                                            (3)
    least eigenvalue of H(k) >= l0 / 2.                                                                 (4)

Each follows from the others one step earlier: while (4) holds the error shrinks as (2); a shrinking error moves no
unit further than (3); units that hardly move change few signs of w_r x_i, so H(k) stays near H(0), which is (4). In
between stands the inequality of Polyak and Lojasiewicz, all that is left of convexity,

    |grad J|^2 = (u - y)^T H(k) (u - y) >= 2 (l0 / 2) J.                                                (5)

The surprise is that J is not convex even there: exchange the units of a fitted network, and half-way between two
perfect solutions a good part of the first error is back. And every condition is needed: a narrow network gets stuck,
two equal inputs with different labels make l0 = 0, and noise in the steps rescues neither.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from shinso.basics.overparametrised import kernel, kernel_of
from shinso.core.axes import BLUE, GREY, ORANGE, RED, SHADES, quiet
from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range

ROUNDING = 1e-24
"""squared errors below this are rounding"""


def sphere(n: int, d: int, seed: int) -> tuple[Tensor, Tensor]:
    """n unit vectors (n, d) and normal targets (n,)."""
    draw = generator(seed, "points")
    X = torch.randn(n, d, generator=draw, dtype=torch.float64)
    return X / X.norm(dim=1, keepdim=True), torch.randn(n, generator=draw, dtype=torch.float64)


def start(m: int, d: int, seed: int) -> tuple[Tensor, Tensor]:
    """w_r ~ N(0, I), (m, d), and signs a_r / sqrt(m), (m,)."""
    draw = generator(seed, "weights")
    W = torch.randn(m, d, generator=draw, dtype=torch.float64)
    return W, (2.0 * torch.randint(2, (m,), generator=draw) - 1).double() / m**0.5


def wrong(W: Tensor, a: Tensor, X: Tensor, y: Tensor) -> Tensor:
    """u - y, (..., n), for weights W (..., m, d)."""
    return ((X @ W.mT).clamp(min=0) @ a[..., None])[..., 0] - y  # (1)


def slope(W: Tensor, a: Tensor, X: Tensor, error: Tensor) -> Tensor:
    """dJ/dW, (..., m, d), for the errors u - y (..., n)."""
    return (error[..., None] * (X @ W.mT > 0) * a[..., None, :]).mT @ X


@final
class Descent:
    """One step of the program is one step on all points, with the three inequalities before it."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        self.X, self.y = sphere(setup.examples, setup.features, setup.seed)
        self.W, self.a = start(setup.width, setup.features, setup.seed)
        self.first = self.W
        values = torch.linalg.eigvalsh(kernel(self.X))
        self.least, self.rate = float(values[0]), setup.share / float(values[-1])
        self.begin = float(wrong(self.W, self.a, self.X, self.y).square().sum())
        self.reach = 4 * (setup.examples * self.begin / setup.width) ** 0.5 / self.least  # (3)

    def step(self, i: int) -> Record:
        error = wrong(self.W, self.a, self.X, self.y)
        row = {"loss": error.square().sum() / 2, "squared_error": error.square().sum(),
               "squared_error_bound": self.bound(i) + ROUNDING,
               "moved": (self.W - self.first).norm(dim=1).max(), "moved_bound": self.reach,
               "least_share": torch.linalg.eigvalsh(kernel_of(self.X, self.W))[0] / self.least,  # (4)
               "flipped": ((self.X @ self.W.T > 0) != (self.X @ self.first.T > 0)).double().mean()}
        self.W = self.W - self.rate * slope(self.W, self.a, self.X, error)
        return row

    def bound(self, k: int) -> float:
        """(2) after k steps."""
        return (1 - self.rate * self.least / 2) ** k * self.begin

    def state(self) -> dict[str, Any]:
        return {"W": self.W}

    def restore(self, state: dict[str, Any]) -> None:
        self.W = state["W"].clone()

    def pictures(self) -> dict[str, np.ndarray]:
        """The inequalities for several widths, and who gets stuck."""
        return {"three_inequalities": _inequalities(self.setup), "stuck": _stuck()}


def _inequalities(setup: "Setup") -> np.ndarray:
    figure = sheet(1000, 400)
    left, middle, right = figure.subplots(1, 3)
    steps = min(max(setup.steps, 2), 300)
    widths = (32, 256, 2048, 8192)
    for width, colour in zip(widths, SHADES[1:], strict=True):
        program = Descent(replace(setup, width=width))
        rows = [{name: float(value) for name, value in program.step(i).items()} for i in range(steps)]
        left.semilogy([row["squared_error"] / program.begin for row in rows], color=colour, label=f"m = {width}")
        middle.plot([row["least_share"] for row in rows], color=colour, label=f"m = {width}")
        right.loglog(width, rows[-1]["moved"], "o", color=colour, markersize=8)
        right.loglog(width, program.reach, "_", color=RED, markersize=16, markeredgewidth=2.5)
    program = Descent(setup)
    left.semilogy([program.bound(k) / program.begin for k in range(steps)], "--", color=RED, label="bound / 上界 (2)")
    left.set_ylim(bottom=1e-14)
    middle.axhline(0.5, color=RED, linestyle="--", label="bound / 下界 (4)")
    middle.set_ylim(0, 1.15)
    right.plot([], [], "o", color=GREY, label="measured / 測定")
    right.plot([], [], "_", color=RED, markersize=14, markeredgewidth=2.5, label="bound / 上界 (3)")
    quiet(left, "error / 誤差", "step k / ステップ").legend(frameon=False, fontsize=8, loc="lower left")
    quiet(middle, "λ(H) / λ₀", "step k / ステップ").legend(frameon=False, fontsize=8, loc="lower right")
    quiet(right, "longest way / 移動距離", "width m / 幅").legend(frameon=False, fontsize=8)
    return pixels(figure)


@cache
def ends(width: int, starts: int, steps: int, batch: int) -> tuple[float, ...]:
    """The last losses of `starts` networks on 20 points in 10 dimensions; batch 0 takes all points at each step."""
    X, y = sphere(20, 10, 0)
    drawn = [start(width, 10, seed) for seed in range(starts)]
    W, a = torch.stack([W for W, _ in drawn]), torch.stack([a for _, a in drawn])
    rate, draw = 1 / float(torch.linalg.eigvalsh(kernel(X))[-1]), generator(0, "batches")
    for _ in range(steps):
        rows = torch.randperm(20, generator=draw)[:batch] if batch else slice(None)
        part, scale = X[rows], 20 / batch / 2 if batch else 1.0
        W = W - scale * rate * slope(W, a, part, wrong(W, a, part, y[rows]))
    return tuple((wrong(W, a, X, y).square().sum(-1) / 2).tolist())


def _stuck() -> np.ndarray:
    """The last loss of eight starts for each width, by full descent and with batches."""
    figure = sheet(900, 400)
    axes = figure.subplots()
    widths = (2, 4, 8, 16, 32, 64, 128)
    for batch, colour, shift, name in ((0, BLUE, 0.93, "all points / 全点"), (5, ORANGE, 1.07, "batches / ミニバッチ")):
        for width in widths:
            found = np.maximum(ends(width, 8, 800, batch), 1e-16)
            axes.loglog(np.full(8, width * shift), found, "o", color=colour, markersize=6, alpha=0.6,
                        label=name if width == 2 else None)
    axes.axhline(float(sphere(20, 10, 0)[1].square().sum()) / 2, color=GREY, linestyle=":", label="u = 0")
    axes.set_xticks(widths, [str(width) for width in widths])
    axes.minorticks_off()
    quiet(axes, "loss after 800 steps, eight starts each / 800歩後の損失 (初期値8通り)", "width m / 幅")
    axes.legend(frameon=False, loc="center right")
    return pixels(figure)


@cache
def _wide() -> tuple[Descent, tuple[dict[str, float], ...]]:
    """The wide network down to rounding, with what was said at each step."""
    program, rows = Descent(Setup(width=8192)), []
    for i in range(400):
        rows.append({name: float(value) for name, value in program.step(i).items()})
        if rows[-1]["squared_error"] < ROUNDING:
            break
    return program, tuple(rows)


def the_error_stays_below_the_line() -> Check:
    """With 8,192 units and 20 points the squared error divided by (2) is at most 1 at every step down to 1e-24.

    Source: Du, Zhai, Poczos, Singh 2019, theorem 4.1
    """
    program, rows = _wide()
    return at_most(max(row["squared_error"] / (program.bound(k) + ROUNDING) for k, row in enumerate(rows)), 1 + 1e-12)


def it_goes_down_to_rounding() -> Check:
    """At the inverse of the largest eigenvalue as rate, 400 steps bring the squared error below 1e-24.

    Source: equation (2); a global minimum of a function that is not convex
    """
    return at_most(_wide()[1][-1]["squared_error"], ROUNDING)


def no_unit_goes_further() -> Check:
    """On the way the unit that moved most uses less than a tenth of (3): its largest share.

    Source: Du, Zhai, Poczos, Singh 2019, corollary 4.1
    """
    program, rows = _wide()
    return at_most(max(row["moved"] for row in rows) / program.reach, 0.1)


def the_least_eigenvalue_stays() -> Check:
    """The least eigenvalue of H(k) is at least l0 / 2 at every step: the smallest share of l0.

    Source: Du, Zhai, Poczos, Singh 2019, lemma 3.2; equation (4)
    """
    return at_least(min(row["least_share"] for row in _wide()[1]), 0.5)


def the_gradient_is_never_too_small() -> Check:
    """Along the first 60 steps |grad J|^2 is at least l0 J: the smallest ratio.

    Source: Polyak 1963; equation (5)
    """
    program, least = Descent(Setup()), np.inf
    for i in range(60):
        error = wrong(program.W, program.a, program.X, program.y)
        steep = float(slope(program.W, program.a, program.X, error).square().sum())
        least = min(least, steep / (program.least * float(error.square().sum()) / 2))
        program.step(i)
    return at_least(least, 1.0)


def yet_it_is_not_convex() -> Check:
    """Half-way between the fitted network and itself with its units exchanged the loss is at least 0.1 of the first.

    Source: equation (1) does not know the order of its units
    """
    program, _ = _wide()
    other = program.W.clone()
    for sign in (1, -1):
        rows = (program.a.sign() == sign).nonzero()[:, 0]
        other[rows] = program.W[rows.flip(0)]
    losses = [float(wrong(W, program.a, program.X, program.y).square().sum()) / program.begin
              for W in (other, (program.W + other) / 2)]
    return at_least(losses[1] - losses[0], 0.1)


def narrow_networks_get_stuck() -> Check:
    """With 2 units none of 8 starts comes below a loss of 0.5 in 800 steps, with all points or with batches of 5.

    Source: course conclusion that width and noise lead to a global optimum: noise alone does not
    """
    return at_least(min(*ends(2, 8, 800, 0), *ends(2, 8, 800, 5)), 0.5)


def wide_networks_always_arrive() -> Check:
    """With 128 units all 8 starts end below 1e-12, with all points and with batches of 5: the largest loss.

    Source: course conclusion that width and noise lead to a global optimum; Du et al. 2019
    """
    return at_most(max(*ends(128, 8, 800, 0), *ends(128, 8, 800, 5)), 1e-12)


def parallel_inputs_take_the_bound_away() -> Check:
    """With one of 20 points repeated the least eigenvalue of the limit is 0, up to 1e-14.

    Source: Du, Zhai, Poczos, Singh 2019, assumption 3.1
    """
    X, _ = sphere(20, 10, 0)
    return at_most(abs(float(torch.linalg.eigvalsh(kernel(torch.cat([X, X[:1]])))[0])), 1e-14)


def and_two_labels_for_one_input_stay_wrong() -> Check:
    """If that point has another label, 200 steps of 4,096 units end at (y_i - y_j)^2 / 4, to 1 percent: the ratio.

    Source: the best single answer is the mean of the labels
    """
    X, y = sphere(20, 10, 0)
    X, y = torch.cat([X, X[:1]]), torch.cat([y, y[:1] + 2])
    W, a = start(4096, 10, 0)
    rate = 1 / float(torch.linalg.eigvalsh(kernel(X))[-1])
    for _ in range(200):
        W = W - rate * slope(W, a, X, wrong(W, a, X, y))
    found = float(wrong(W, a, X, y).square().sum()) / 2
    return Check(found / (2**2 / 4), 1 - 1e-9, 1.01)


CARD = Card(
    name="Linear convergence of wide networks",
    name_ja="幅の広いネットワークの線形収束",
    paper="Du, Zhai, Poczos, Singh 2019, arXiv:1810.02054; Allen-Zhu, Li, Song 2019, arXiv:1811.03962",
    equations=(
        r"u_i = \frac{1}{\sqrt{m}} \sum_r a_r \max(w_r^T x_i, 0),\quad J = \frac{1}{2}|u - y|^2",
        r"|u_k - y|^2 \leq (1 - \eta\lambda_0/2)^k\,|u_0 - y|^2",
        r"|w_r(k) - w_r(0)| \leq \frac{4\sqrt{n}\,|u_0 - y|}{\sqrt{m}\,\lambda_0}",
        r"\lambda_{\min}(H(k)) \geq \lambda_0/2",
        r"|\nabla J|^2 = (u - y)^T H(k)\,(u - y) \geq 2\,\frac{\lambda_0}{2}\,J",
    ),
    summary="Three inequalities that hold one another up make a wide network fit anything; without width, noise is no "
            "help.",
    summary_ja="互いに支え合う三つの不等式が、幅の広いネットワークの誤差をゼロに導く。幅がなければ雑音があっても届かない。",
    topics=("theory.over-parametrisation", "theory.optim-summary"),
    facts=(the_error_stays_below_the_line, it_goes_down_to_rounding, no_unit_goes_further, the_least_eigenvalue_stays,
           the_gradient_is_never_too_small, yet_it_is_not_convex, narrow_networks_get_stuck,
           wide_networks_always_arrive, parallel_inputs_take_the_bound_away, and_two_labels_for_one_input_stay_wrong),
    notes=("The theorem asks for m of order n^6 / (l0^4 d^3) units and a rate of order l0 / n^2; the experiment needs "
           "neither, and the theorem does not say what happens without them.",
           "The constants C' and c of the slide are |u_0 - y|^2 and e l0 / 2.",
           "The document calls the error nearly convex. What holds is inequality (5); convex it is not.",
           "The document concludes that over-parametrisation and noise lead to a global optimum. That is so under the "
           "hypotheses of the theorem; with two units neither full steps nor noisy ones arrive."),
    notes_ja=("定理は n^6 / (l0^4 d^3) 程度のユニット数と l0 / n^2 程度の学習率を求める。実験ではどちらも要らないが、"
              "その場合について定理は何も述べていない。",
              "スライドの定数 C' と c は |u_0 - y|^2 と e l0 / 2 である。",
              "資料は「凸的」と言うが、成り立つのは不等式 (5) であり、凸ではない。",
              "資料は、過剰パラメータと雑音が大域最適に導くと結論する。それは定理の仮定の下での話で、"
              "ユニットが二つなら雑音があってもなくても届かない。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Points on a sphere and one wide layer with random signs."""

    width: int = 8192
    """units m"""
    examples: int = 20
    """points n"""
    features: int = 10
    """dimensions d of the sphere's space"""
    share: float = 1.0
    """learning rate as a share of one over the largest eigenvalue of the limit"""
    steps: int = 280
    """steps on all points"""
    seed: int = 0
    """of the points, the targets and the weights"""


VARIANTS = {"smoke": Setup(width=4096, steps=40), "default": Setup(), "narrow": Setup(width=16)}


def build(setup: Setup, place: Place = Place()) -> Descent:  # noqa: B008 - a frozen value
    """The descent, in float64 on the CPU."""
    in_range(setup, ("width", "examples", "features", "steps"), ("share",))
    return Descent(setup)
