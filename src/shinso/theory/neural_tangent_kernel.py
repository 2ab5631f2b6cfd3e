r"""The neural tangent kernel: a wide network learns as a linear model that is known beforehand (Jacot et al. 2018).

    f(x) = 1/sqrt(m) sum_r a_r max(w_r x, 0),    K_m(x, z) = df(x)/dW . df(z)/dW                       (1)

Gradient descent on the w_r moves every answer, also those at new points, through K_m. For |x| = |z| = 1 and m to
infinity it is the angle between the inputs and nothing else: both units are active on a share (pi - t) / (2 pi),

    K(x, z) = x.z (pi - t) / (2 pi),   t = arccos x.z,    |K_m - K| ~ m^(-1/2),                        (2)

and it stays so while the network learns. Then the differential equation du/dt = -H (u - y), H = K on the training
points, is linear; its solution, and that of gradient descent with rate e after k steps, are

    u(t) = y + exp(-H t) (u_0 - y),      u_k = y + (I - e H)^k (u_0 - y),                              (3)
    f_k(x) = f_0(x) + K(x, X) H^(-1) (I - (I - e H)^k) (y - u_0).                                      (4)

With the signs a_r trained as well, the kernel of the second layer is added: (sin t + (pi - t) cos t) / (2 pi) (5).
Without a bias the kernel on a circle has eigenvalue 0 for every odd frequency from 3 on, which such a network cannot
learn (Basri et al. 2019); with one, all are positive. The surprise: the whole film of the training, at every new
point, is one line of linear algebra written down before the first step; a network of 64 units leaves that line.
"""

from dataclasses import dataclass
from functools import cache
from math import pi
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from shinso.basics.overparametrised import kernel, kernel_of
from shinso.core.axes import BLUE, GREY, ORANGE, RED, SHADES, quiet
from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range
from shinso.theory.over_parametrisation import start


def circle(angles: Tensor) -> Tensor:
    """Unit vectors (cos t, sin t, 1) / sqrt(2), (n, 3), at the angles (n,); the last entry is a bias."""
    return torch.stack([angles.cos(), angles.sin(), torch.ones_like(angles)], 1) / 2**0.5


def cross(X: Tensor, Z: Tensor) -> Tensor:
    """(2) between unit rows X (n, d) and Z (k, d), (n, k)."""
    G = (X @ Z.T).clamp(-1, 1)
    return G * (pi - G.arccos()) / (2 * pi)  # (2)


def second_layer(X: Tensor) -> Tensor:
    """(5) for unit rows X, (n, n): E max(w x, 0) max(w z, 0)."""
    G = (X @ X.T).clamp(-1, 1)
    angle = G.arccos()
    return (angle.sin() + (pi - angle) * G) / (2 * pi)  # (5)


def answers(W: Tensor, a: Tensor, X: Tensor) -> Tensor:
    """f of (1) at X (n, d)."""
    return (X @ W.T).clamp(min=0) @ a


def descend(W: Tensor, a: Tensor, X: Tensor, y: Tensor, rate: float) -> Tensor:
    """The weights after one step on 1/2 |u - y|^2."""
    Z = X @ W.T
    return W - rate * (((Z.clamp(min=0) @ a - y)[:, None] * (Z > 0) * a).T @ X)


@dataclass(frozen=True)
class Film:
    """What (3) and (4) foretell from the inputs, the targets and the first answers alone."""

    X: Tensor
    y: Tensor
    rate: float

    def left(self, k: int, u0: Tensor) -> Tensor:
        """u_k - y by (3), (n,)."""
        values, V = torch.linalg.eigh(kernel(self.X))
        return V @ ((1 - self.rate * values) ** k * (V.T @ (u0 - self.y)))  # (3)

    def at(self, Z: Tensor, k: int, u0: Tensor, f0: Tensor) -> Tensor:
        """f_k at new points Z (p, d) by (4), from the first answers u0 (n,) at X and f0 (p,) at Z."""
        values, V = torch.linalg.eigh(kernel(self.X))
        gone = V @ ((1 - (1 - self.rate * values) ** k) / values * (V.T @ (self.y - u0)))
        return f0 + cross(Z, self.X) @ gone  # (4)


def problem(n: int, seed: int, share: float) -> Film:
    """n points on the circle, evenly but for a little, with smooth targets, and a stable rate."""
    draw = generator(seed, "points")
    angles = 2 * pi * (torch.arange(n) + 0.5 * torch.rand(n, generator=draw)).double() / n
    y = (2 * angles + 1).sin() + 0.5 * angles.cos()
    X = circle(angles)
    return Film(X, y, share / float(torch.linalg.eigvalsh(kernel(X))[-1]))


@final
class Wide:
    """One step of the program is one step of the network, beside the kernel's film."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        self.film = problem(setup.examples, setup.seed, setup.share)
        self.W, self.a = start(setup.width, 3, setup.seed)
        self.first = self.W
        self.look = circle(2 * pi * torch.arange(40, dtype=torch.float64) / 40)
        self.u0, self.f0 = answers(self.W, self.a, self.film.X), answers(self.W, self.a, self.look)
        self.H = kernel(self.film.X)
        self.least = float(torch.linalg.eigvalsh(self.H)[0])
        self.strayed = 0.0

    def step(self, i: int) -> Record:
        error = answers(self.W, self.a, self.film.X) - self.film.y
        predicted = float(self.film.left(i, self.u0).norm())
        off = float(torch.linalg.matrix_norm(kernel_of(self.film.X, self.W) - self.H, 2))
        row = {"loss": error.square().sum() / 2, "measured": error.norm(), "predicted": predicted,
               "within": 1.2 * self.film.rate * self.strayed + 1e-9,  # 1.2: a step may switch a unit
               "kernel_change": off, "moved": (self.W - self.first).norm(dim=1).max(),
               "new_points": self.off_the_film(i).abs().max()}
        still = 1 - self.film.rate * self.least  # d_{k+1} = (I - e H) d_k + e (H - H_k) (u_k - y), d = u - u of (3)
        self.strayed = still * self.strayed + off * float(error.norm())
        self.W = descend(self.W, self.a, self.film.X, self.film.y, self.film.rate)
        return row

    def off_the_film(self, k: int) -> Tensor:
        """The network's answers at 40 new points less those of (4)."""
        return answers(self.W, self.a, self.look) - self.film.at(self.look, k, self.u0, self.f0)

    def state(self) -> dict[str, Any]:
        return {"W": self.W, "strayed": self.strayed}

    def restore(self, state: dict[str, Any]) -> None:
        self.W, self.strayed = state["W"].clone(), float(state["strayed"])

    def pictures(self) -> dict[str, np.ndarray]:
        """The film for this width and for 64 units, and how the kernel of a network finds its limit."""
        return {"kernel_film": _film(self.setup), "kernel_limit": _limit()}


def _film(setup: "Setup") -> np.ndarray:
    """Answers on the whole circle at four moments: dots from the network, lines from (4)."""
    figure = sheet(1000, 430)
    panels = figure.subplots(1, 2, sharey=True)
    moments = (0, 4, 20, 200)
    turn = torch.linspace(0, 2 * pi, 61, dtype=torch.float64)
    for axes, width in zip(panels, (setup.width, 64), strict=True):
        film = problem(setup.examples, setup.seed, setup.share)
        W, a = start(width, 3, setup.seed)
        Z = circle(turn)
        u0, f0 = answers(W, a, film.X), answers(W, a, Z)
        for k in range(moments[-1] + 1):
            if k in moments:
                colour = SHADES[moments.index(k) + 1]
                axes.plot(turn, film.at(Z, k, u0, f0), color=colour, linewidth=1.6)
                axes.plot(turn, answers(W, a, Z), "o", color=colour, markersize=3.5, label=f"k = {k}")
            W = descend(W, a, film.X, film.y, film.rate)
        angles = torch.atan2(film.X[:, 1], film.X[:, 0]) % (2 * pi)
        axes.plot(angles, film.y, "*", color=RED, markersize=13, label="data / データ")
        quiet(axes, f"m = {width}: dots trained, lines (4) / 点は学習、線は予測", "angle / 角度", "f")
    panels[0].legend(frameon=False, fontsize=9, loc="upper center", ncols=2)
    return pixels(figure)


@cache
def distances(widths: tuple[int, ...], seeds: int) -> tuple[float, ...]:
    """|K_m - K| (Frobenius) on 20 unit vectors in 10 dimensions for each width, root mean square over networks."""
    X = torch.randn(20, 10, generator=generator(0, "points"), dtype=torch.float64)
    X = X / X.norm(dim=1, keepdim=True)
    return tuple(float(torch.stack([(kernel_of(X, start(m, 10, seed)[0]) - kernel(X)).square().sum()
                                    for seed in range(seeds)]).mean().sqrt()) for m in widths)


def expected_distance(X: Tensor, m: int) -> float:
    """The exact root mean square of |K_m - K|: every entry is a mean of m coins of chance p = K / x.z."""
    G = (X @ X.T).clamp(-1, 1)
    p = (pi - G.arccos()) / (2 * pi)
    return float((G.square() * p * (1 - p) / m).sum().sqrt())


def spectrum(frequencies: int, *, bias: bool) -> np.ndarray:
    """Eigenvalues of (2) on the circle for the frequencies 0, 1, .., (frequencies,), as means over 512 angles."""
    turn = 2 * pi * torch.arange(512, dtype=torch.float64) / 512
    X = circle(turn) if bias else torch.stack([turn.cos(), turn.sin()], 1)
    row = cross(X[:1], X)[0]
    return np.fft.fft(row.numpy()).real[:frequencies] / 512


def _limit() -> np.ndarray:
    """The distance to the limit by width, and what the kernel makes of each frequency on the circle."""
    figure = sheet(1000, 400)
    left, right = figure.subplots(1, 2)
    widths = tuple(2**k for k in range(6, 15))
    X = torch.randn(20, 10, generator=generator(0, "points"), dtype=torch.float64)
    X = X / X.norm(dim=1, keepdim=True)
    left.loglog(widths, [expected_distance(X, m) for m in widths], color=RED, label="exact / 厳密, ~ 1/√m")
    left.loglog(widths, distances(widths, 5), "o", color=BLUE, markersize=6, label="measured / 測定")
    quiet(left, "distance of the kernel to its limit / 極限との距離", "width m / 幅").legend(frameon=False)
    frequency = np.arange(13)
    with_bias, without = spectrum(13, bias=True), spectrum(13, bias=False)
    right.semilogy(frequency, with_bias, "o-", color=ORANGE, label="with bias / バイアスあり")
    right.semilogy(frequency, np.maximum(without, 1e-6), "s-", color=GREY, label="without / バイアスなし")
    right.set_ylim(1e-5, 1)
    quiet(right, "learning rate of each frequency / 周波数ごとの速さ", "frequency / 周波数").legend(frameon=False)
    return pixels(figure)


def two_units_agree_on_the_kernel_s_share() -> Check:
    """Over 200,000 directions in the plane x.z times the share in which both are active is (2): largest difference.

    Source: Cho and Saul 2009, degree 0; equation (2)
    """
    turn = 2 * pi * (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    w = torch.stack([turn.cos(), turn.sin()], 1)
    X = torch.tensor([[1.0, 0.0], [0.6, 0.8], [-0.8, 0.6], [-1.0, 0.0], [0.28, -0.96]], dtype=torch.float64)
    return at_most(float((kernel_of(X, w) - kernel(X)).abs().max()), 1e-5)


def the_diagonal_is_one_half() -> Check:
    """For x = z the kernel is 1/2, since a unit is active half of the time; with pi for 2 pi it would be 1.

    Source: equation (2); Du, Zhai, Poczos, Singh 2019 train the first layer alone
    """
    return about(float(kernel(circle(torch.tensor([0.3], dtype=torch.float64)))), 0.5, 1e-8)


def the_distance_falls_as_one_over_root_m() -> Check:
    """Over widths from 2^8 to 2^14, ten networks each, the slope of log |K_m - K| against log m is -1/2 within 0.1.

    Source: Jacot et al. 2018, theorem 1; Du et al. 2019, lemma 3.1
    """
    widths = tuple(2**k for k in range(8, 15))
    return about(float(np.polyfit(np.log(widths), np.log(distances(widths, 10)), 1)[0]), -0.5, 0.1)


def the_least_eigenvalue_is_there_at_the_start() -> Check:
    """At width 8,192 the least eigenvalue on 20 points in 10 dimensions is at least 3/4 of the limit's: their ratio.

    Source: Du, Zhai, Poczos, Singh 2019, lemma 3.1
    """
    X = torch.randn(20, 10, generator=generator(0, "points"), dtype=torch.float64)
    X = X / X.norm(dim=1, keepdim=True)
    found = torch.linalg.eigvalsh(kernel_of(X, start(8192, 10, 0)[0]))[0]
    return at_least(float(found / torch.linalg.eigvalsh(kernel(X))[0]), 0.75)


@cache
def _strays(width: int, seed: int) -> float:
    """The largest difference to (4) at 40 new points after 60 steps."""
    program = Wide(Setup(width=width, seed=seed))
    W = program.W
    for _ in range(60):
        W = descend(W, program.a, program.film.X, program.film.y, program.film.rate)
    program.W = W
    return float(program.off_the_film(60).abs().max())


def the_film_is_foretold_at_new_points() -> Check:
    """After 60 steps the answers of 8,192 units at 40 new points of the circle are those of (4) within 0.1.

    Source: Jacot et al. 2018; equation (4); targets are of size 1
    """
    return at_most(_strays(8192, 0), 0.1)


def narrow_networks_leave_the_film() -> Check:
    """Networks of 64 units stray at least twice as far from (4) as networks of 4,096 units: means over 12 starts.

    Source: equation (4) holds as long as the kernel stays where it was
    """
    narrow, wide = (sum(_strays(width, seed) for seed in range(12)) for width in (64, 4096))
    return at_least(narrow / wide, 2.0)


def the_second_layer_adds_its_own() -> Check:
    """With both layers trained the kernel of 40,000 units is (2) plus (5): the largest entry of the difference.

    Source: Jacot et al. 2018; equation (5), Cho and Saul 2009, degree 1
    """
    X = circle(2 * pi * torch.arange(8, dtype=torch.float64) / 9)
    W, _ = start(40_000, 3, 0)
    active = (X @ W.T).clamp(min=0)
    both = kernel_of(X, W) + active @ active.T / len(W)
    return at_most(float((both - kernel(X) - second_layer(X)).abs().max()), 0.03)


def odd_frequencies_need_a_bias() -> Check:
    """On the circle without a bias the eigenvalues for frequencies 3, 5, 7, 9, 11 are 0, up to 1e-12 of the first.

    Source: Basri, Jacobs, Kasten, Kritchman 2019, arXiv:1906.00425
    """
    without = spectrum(12, bias=False)
    return at_most(float(np.abs(without[3::2]).max() / without[0]), 1e-12)


def with_a_bias_all_are_learnt() -> Check:
    """With a bias the eigenvalues for frequencies 0 to 11 are at least 1e-3 of the first: the smallest share.

    Source: Basri, Jacobs, Kasten, Kritchman 2019: all frequencies with a bias
    """
    found = spectrum(12, bias=True)
    return at_least(float(found.min() / found[0]), 1e-3)


CARD = Card(
    name="Neural tangent kernel",
    name_ja="ニューラルタンジェントカーネル(NTK)",
    paper="Jacot, Gabriel, Hongler 2018, Neural tangent kernel, arXiv:1806.07572; Du et al. 2019, arXiv:1810.02054",
    equations=(
        r"K_m(x, z) = \nabla_W f(x) \cdot \nabla_W f(z),\quad f(x) = \frac{1}{\sqrt{m}}\sum_r a_r \max(w_r^T x, 0)",
        r"K(x, z) = x^T z\,\frac{\pi - \theta}{2\pi},\quad \theta = \arccos x^T z",
        r"u(t) = y + e^{-Ht}(u_0 - y),\quad u_k = y + (I - \eta H)^k (u_0 - y)",
        r"f_k(x) = f_0(x) + K(x, X)\,H^{-1}(I - (I - \eta H)^k)(y - u_0)",
        r"K_2(x, z) = \frac{\sin\theta + (\pi - \theta)\cos\theta}{2\pi}",
    ),
    summary="The training of a wide network, at every step and every new point, written down before its first step.",
    summary_ja="幅の広いネットワークの学習を、どのステップのどの新しい点についても、最初の一歩の前に書き下す。",
    topics=("theory.ntk",),
    facts=(two_units_agree_on_the_kernel_s_share, the_diagonal_is_one_half, the_distance_falls_as_one_over_root_m,
           the_least_eigenvalue_is_there_at_the_start, the_film_is_foretold_at_new_points,
           narrow_networks_leave_the_film, the_second_layer_adds_its_own, odd_frequencies_need_a_bias,
           with_a_bias_all_are_learnt),
    notes=("2 pi, not pi, when the first layer alone is trained; with both layers (5) is added.",
           "The document says that the start is near an optimum and the objective nearly convex. What holds is that "
           "the answers follow a linear equation, as long as the kernel stays where it was.",
           "The kernel comes near its limit as m^(-1/2), the answers at new points more slowly: from 64 to 4,096 units "
           "their distance to (4) fell threefold, not eightfold. Errors of the kernel are divided by its small "
           "eigenvalues."),
    notes_ja=("第1層だけを学習するときは pi ではなく 2 pi である。両方の層を学習すると (5) が加わる。",
              "資料は、初期値が最適解に近く目的関数が凸的だと言う。成り立つのは、カーネルが変わらない間、"
              "出力が線形の方程式に従うということである。",
              "カーネルは m^(-1/2) の速さで極限に近づくが、新しい点での出力はもっと遅い。"
              "64 から 4,096 ユニットで (4) との差は8分の1ではなく3分の1になった。"
              "カーネルの誤差が小さい固有値で割られるからである。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Points on a circle and one wide layer, beside its kernel."""

    width: int = 8192
    """units m"""
    examples: int = 8
    """points n on the circle"""
    share: float = 1.0
    """learning rate as a share of one over the largest eigenvalue of H"""
    steps: int = 200
    """steps on all points"""
    seed: int = 0
    """of the points and the weights"""


VARIANTS = {"smoke": Setup(width=2048, steps=40), "default": Setup(), "narrow": Setup(width=64)}


def build(setup: Setup, place: Place = Place()) -> Wide:  # noqa: B008 - a frozen value
    """The network and its film, in float64 on the CPU."""
    in_range(setup, ("width", "examples", "steps"), ("share",))
    return Wide(setup)
