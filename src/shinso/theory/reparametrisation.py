r"""The same function, as sharp as you like: flatness is not a property of what a network computes (Dinh et al. 2017).

    f(x) = v . max(W x + u, 0) + c,     T_a: (W, u, v, c) -> (a W, a u, v / a, c),   a > 0            (1)

leaves f as it is, since max(a z, 0) = a max(z, 0). The Hessian H of any loss of f moves with the coordinates,

    H(a) = D H D,   D = diag(1/a on (W, u), a on v, 1 on c)                                           (2)

wherever no unit is at its kink, minimum or not. With L_W and L_v the largest eigenvalues of the blocks of (W, u) and v,

    lambda_max(H(a)) >= max(a^2 L_v, L_W / a^2)                                                       (3)

so it grows without end on both sides. What does not move is sum_k H_kk theta_k^2, the curvature along
relative changes of each weight: it is the same number for every a. The surprise: the flattest minimum of a network and
one that is ten thousand times as sharp may be one and the same classifier, so flatness alone explains nothing.
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from shinso.core.axes import BLUE, GREEN, GREY, ORANGE, RED, quiet
from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import drawing_from, generator
from shinso.core.setup import in_range
from shinso.data.two_moons import draw
from shinso.learn.sweep import Columns, Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Net:
    """Weights in one vector theta: W (h, 2), u (h,), v (h,), c; the points where it was trained, and their signs."""

    theta: Tensor
    hidden: int
    x: Tensor
    sign: Tensor

    def answer(self, theta: Tensor, x: Tensor) -> Tensor:
        """f of (1) at x (n, 2), with the weights theta."""
        h = self.hidden
        W, u, v, c = theta[: 2 * h].view(h, 2), theta[2 * h : 3 * h], theta[3 * h : 4 * h], theta[4 * h]
        return (x @ W.T + u).clamp(min=0) @ v + c  # (1)

    def loss(self, theta: Tensor) -> Tensor:
        """Mean logistic loss with a little weight on the size of the answers, so that a minimum exists."""
        answer = self.answer(theta, self.x)
        return torch.nn.functional.softplus(-self.sign * answer).mean() + 0.005 * answer.square().mean()

    def hessian(self, theta: Tensor) -> Tensor:
        """Second derivatives of the loss, (4 h + 1, 4 h + 1)."""
        return torch.autograd.functional.hessian(self.loss, theta)  # pyright: ignore[reportReturnType]

    def moved(self, a: float, *, biases: bool = True) -> Tensor:
        """T_a of (1), or the slip that forgets the biases u of the first layer."""
        factor = torch.ones_like(self.theta)
        factor[: 2 * self.hidden] = a
        factor[2 * self.hidden : 3 * self.hidden] = a if biases else 1
        factor[3 * self.hidden : 4 * self.hidden] = 1 / a
        return factor * self.theta

    def scales(self, a: float) -> Tensor:
        """The diagonal of D in (2)."""
        D = torch.ones_like(self.theta)
        D[: 3 * self.hidden], D[3 * self.hidden : 4 * self.hidden] = 1 / a, a
        return D


@cache
def trained(hidden: int, examples: int, seed: int) -> Net:
    """A net at a minimum on two moons, by L-BFGS in float64."""
    points, classes = draw(examples, generator(seed, "points"))
    theta = torch.randn(4 * hidden + 1, generator=generator(seed, "weights"), dtype=torch.float64).requires_grad_()
    net = Net(theta.detach(), hidden, points.double(), 2.0 * classes.double() - 1)
    descent = torch.optim.LBFGS([theta], max_iter=400, tolerance_grad=1e-9, tolerance_change=0, history_size=50,
                                line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        descent.zero_grad()
        loss = net.loss(theta)
        loss.backward()
        return loss

    with drawing_from(seed, "unused"):
        descent.step(closure)  # pyright: ignore[reportArgumentType]
    return Net(theta.detach(), hidden, net.x, net.sign)


def sharpness(H: Tensor) -> float:
    """The largest eigenvalue."""
    return float(torch.linalg.eigvalsh(H)[-1])


def relative_sharpness(H: Tensor, theta: Tensor) -> float:
    """sum_k H_kk theta_k^2."""
    return float((H.diagonal() * theta.square()).sum())


def measure(net: Net, a: float, look: Tensor) -> Record:
    """The sharpness at T_a theta beside (2) from the Hessian at theta alone, and whether the function changed."""
    theta, D = net.moved(a), net.scales(a)
    at_one = net.hessian(net.theta)
    predicted = sharpness(D[:, None] * at_one * D)  # (2)
    H = net.hessian(theta)
    changed = float((net.answer(theta, look) - net.answer(net.theta, look)).abs().max())
    return {"scale": a, "measured": sharpness(H), "predicted": predicted, "within": 1e-8 * predicted,
            "output_change": changed, "output_change_bound": 1e-10, "loss": net.loss(theta),
            "relative_sharpness": relative_sharpness(H, theta)}


def blocks(net: Net) -> tuple[float, float]:
    """L_W and L_v of (3)."""
    H, h = net.hessian(net.theta), net.hidden
    return sharpness(H[: 3 * h, : 3 * h]), sharpness(H[3 * h : 4 * h, 3 * h : 4 * h])


def _draw(net: Net, rows: Columns) -> dict[str, np.ndarray]:
    figure = sheet(900, 400)
    axes = figure.subplots()
    W, v = blocks(net)
    line = np.geomspace(rows["scale"].min(), max(rows["scale"].max(), 1.1 * rows["scale"].min()), 200)
    axes.loglog(line, np.maximum(v * line**2, W / line**2), "--", color=GREY, label="lower bound / 下界 (3)")
    axes.loglog(rows["scale"], rows["predicted"], color=RED, linewidth=1.8, label="predicted / 予測 (2)")
    axes.loglog(rows["scale"], rows["measured"], "o", color=BLUE, markersize=5, label="measured / 測定")
    axes.loglog(rows["scale"], rows["relative_sharpness"], "s", color=GREEN, markersize=4,
                label="Σ Hθ², not moved / 不変")
    quiet(axes, "largest curvature of one and the same function / 同じ関数の最大曲率", "a")
    axes.legend(frameon=False, loc="upper center")
    return {"sharpness": pixels(figure), "squeezed_valley": _valleys(net)}


def _valleys(net: Net) -> np.ndarray:
    """What the net computes, and its loss around the same function written in two ways, on the same scale."""
    figure = sheet(1000, 360)
    left, *rest = figure.subplots(1, 3)
    side = torch.linspace(-1.8, 2.8, 120, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    for a, width, style in ((1.0, 4.0, "-"), (4.0, 1.5, "--")):
        level = net.answer(net.moved(a), grid).view(120, 120).T
        left.contour(side, side, level, levels=[0], colors=[GREY if a == 1 else ORANGE], linewidths=width,
                     linestyles=style)
    left.scatter(*net.x.T, c=[BLUE if s > 0 else RED for s in net.sign], s=7)
    left.set(xlim=(-1.8, 2.8), ylim=(-1.3, 1.8))
    quiet(left, "a = 1, a = 4: one function / 同じ関数")
    for axes, a in zip(rest, (1.0, 4.0), strict=True):
        _valley(axes, net, a)
    return pixels(figure)


def _valley(axes: "Axes", net: Net, a: float) -> None:
    H, h = net.hessian(net.theta), net.hidden
    W, v = torch.zeros_like(net.theta), torch.zeros_like(net.theta)
    W[: 3 * h] = torch.linalg.eigh(H[: 3 * h, : 3 * h])[1][:, -1]
    v[3 * h : 4 * h] = torch.linalg.eigh(H[3 * h : 4 * h, 3 * h : 4 * h])[1][:, -1]
    side = torch.linspace(-1.5, 1.5, 61, dtype=torch.float64)
    centre = net.moved(a)
    level = [[float(net.loss(centre + s * W + t * v)) for s in side] for t in side]
    rise = np.log10(np.maximum(np.array(level) - float(net.loss(centre)), 1e-4))
    axes.contourf(side, side, rise, levels=np.linspace(-3, 1.5, 19), cmap="Blues_r", extend="both")
    axes.plot(0, 0, "*", color=ORANGE, markersize=13)
    quiet(axes, f"loss / 損失, a = {a:g}", "W, u", "v")


def _net() -> Net:
    return trained(8, 200, 0)


def _look(seed: int) -> Tensor:
    return 3 * torch.randn(2000, 2, generator=generator(seed, "look"), dtype=torch.float64)


def the_function_stays() -> Check:
    """For a = 1, 3, 10, 100 the answers at 2,000 points differ by less than 1e-10.

    Source: Dinh et al. 2017, section 3; equation (1)
    """
    net, look = _net(), _look(0)
    return at_most(max(float((net.answer(net.moved(a), look) - net.answer(net.theta, look)).abs().max())
                       for a in (1.0, 3.0, 10.0, 100.0)), 1e-10)


def the_curvature_grows_as_the_square() -> Check:
    """From a = 10 to a = 1,000 the slope of the logarithm of the largest eigenvalue against log a is 2 within 0.05.

    Source: Dinh et al. 2017, theorem 4; equation (3)
    """
    net = _net()
    found = [sharpness(net.hessian(net.moved(a))) for a in (10.0, 100.0, 1000.0)]
    return about(float(np.polyfit(np.log([10, 100, 1000]), np.log(found), 1)[0]), 2.0, 0.05)


def the_other_way_it_grows_too() -> Check:
    """From a = 1/10 to a = 1/1,000 the slope is -2 within 0.05.

    Source: equation (3)
    """
    net = _net()
    found = [sharpness(net.hessian(net.moved(a))) for a in (0.1, 0.01, 0.001)]
    return about(float(np.polyfit(np.log([0.1, 0.01, 0.001]), np.log(found), 1)[0]), -2.0, 0.05)


def one_hessian_is_enough() -> Check:
    """D H D from one Hessian is the Hessian at a = 7 by automatic differentiation, to 1e-12 of its norm.

    Source: equation (2)
    """
    net = _net()
    D, H = net.scales(7.0), net.hessian(net.moved(7.0))
    return at_most(float((D[:, None] * net.hessian(net.theta) * D - H).norm() / H.norm()), 1e-12)


def it_is_never_below_the_blocks() -> Check:
    """Over 21 values of a from 1/100 to 100 the largest eigenvalue is at least (3): the smallest ratio.

    Source: equation (3), interlacing of eigenvalues
    """
    net = _net()
    W, v = blocks(net)
    return at_least(min(sharpness(net.hessian(net.moved(float(a)))) / max(v * a**2, W / a**2)
                        for a in np.geomspace(0.01, 100, 21)), 1 - 1e-9)


def relative_curvature_stays() -> Check:
    """The sum of H_kk theta_k^2 at a = 100 is that at a = 1, to 1e-12 of it.

    Source: equation (2): D and its inverse cancel
    """
    net = _net()
    one, far = (relative_sharpness(net.hessian(net.moved(a)), net.moved(a)) for a in (1.0, 100.0))
    return about(far / one, 1.0, 1e-12)


def forgotten_biases_change_the_function() -> Check:
    """If the biases of the first layer are not multiplied by a = 3, some answer changes by at least 0.1.

    Source: equation (1); a trap in the statement without biases
    """
    net, look = _net(), _look(0)
    return at_least(float((net.answer(net.moved(3.0, biases=False), look) - net.answer(net.theta, look)).abs().max()),
                    0.1)


CARD = Card(
    name="Flatness is a matter of coordinates",
    name_ja="平坦さは座標しだい(Dinhの再パラメータ化)",
    paper="Dinh, Pascanu, Bengio, Bengio 2017, Sharp minima can generalize for deep nets, arXiv:1703.04933",
    equations=(
        r"T_a: (W, u, v, c) \mapsto (aW,\, au,\, v/a,\, c),\quad f(x) = v^T\max(Wx + u, 0) + c",
        r"H(a) = D H D,\quad D = \mathrm{diag}(a^{-1} I,\, a I,\, 1)",
        r"\lambda_{\max}(H(a)) \geq \max(a^2 L_v,\; a^{-2} L_W)",
    ),
    summary="A trained classifier is rewritten, its answers stay to ten digits, and its minimum becomes as sharp as "
            "wished.",
    summary_ja="学習済みの分類器を書き換える。答えは10桁まで変わらないのに、極小はいくらでも鋭くなる。",
    topics=("theory.dinh-reparam",),
    facts=(the_function_stays, the_curvature_grows_as_the_square, the_other_way_it_grows_too, one_hessian_is_enough,
           it_is_never_below_the_blocks, relative_curvature_stays, forgotten_biases_change_the_function),
    notes=("Multiply the biases of the first layer by a as well, and leave the bias of the output alone; without that "
           "the function changes.",
           "The net is trained by L-BFGS until its line search ends, at or near a kink; (1) to (3) hold there as at a "
           "minimum.",
           "Measures that scale with the weights, such as the sum of H_kk theta_k^2, do not see the change."),
    notes_ja=("第1層のバイアスにも a を掛け、出力のバイアスはそのままにする。そうしないと関数が変わってしまう。",
              "ネットワークは L-BFGS の直線探索が終わるまで学習する。"
              "折れ目の近くで終わることもあるが、(1) から (3) はそこでも成り立つ。",
              "H_kk theta_k^2 の和のように重みの大きさに応じて測る量は、この書き換えでは変わらない。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A net on two moons, rewritten many times."""

    hidden: int = 8
    """hidden units"""
    examples: int = 200
    """points of the two moons"""
    largest: float = 100.0
    """a runs from one over this number to this number"""
    scales: int = 61
    """values of a"""
    seed: int = 0
    """of the points, the first weights and the places where the answers are compared"""


VARIANTS = {"smoke": Setup(hidden=5, examples=80, scales=41), "default": Setup(), "wide": Setup(hidden=16)}


def build(setup: Setup, place: Place = Place()) -> Sweep:  # noqa: B008 - a frozen value
    """One step measures one value of a, in float64 on the CPU."""
    in_range(setup, ("hidden", "examples", "largest", "scales"))
    net, look = trained(setup.hidden, setup.examples, setup.seed), _look(setup.seed)
    values = np.geomspace(1 / setup.largest, setup.largest, setup.scales).tolist()
    return Sweep(values, lambda a: measure(net, a, look), lambda rows: _draw(net, rows))
