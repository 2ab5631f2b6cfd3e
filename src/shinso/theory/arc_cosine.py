r"""The arc-cosine kernel: what two ReLU units have in common under Gaussian inputs (Cho, Saul 2009; Tian 2017).

For x ~ N(0, I) and the angle theta between w and v, with s(u) = max(u, 0) and the power s^n (s^0: the step function),

    2 E s^n(w x) s^n(v x) = 1/pi |w|^n |v|^n J_n(theta)                                             (1)
    J_0 = pi - theta,   J_1 = sin theta + (pi - theta) cos theta,
    J_2 = 3 sin theta cos theta + (pi - theta) (1 + 2 cos^2 theta)                                  (2)

since only the plane of w and v counts, and there the integral over the wedge where both units are active is elementary.
With n = 1 the loss of a unit w that learns from a unit v is known without one example, and so is its gradient:

    L(w) = 1/2 E (s(w x) - s(v x))^2 = |w|^2 / 4 + |v|^2 / 4 - |w| |v| J_1(theta) / (2 pi)          (3)
    grad L(w) = 1/2 (w - v) + 1/(2 pi) (theta v - |v| sin theta w / |w|)                            (4)

The surprise: a random network of infinite width computes a kernel that fits on one line, and the landscape of learning
a ReLU unit can be drawn exactly. At w = 0 there is no gradient: it depends on the side from which one comes.
"""

from dataclasses import dataclass
from math import pi
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from shinso.core.axes import BLUE, ORANGE, RED, SHADES, quiet
from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range
from shinso.learn.sweep import Columns, Sweep


def angular(theta: Tensor, degree: int) -> Tensor:
    """J_n(theta) for n = 0, 1, 2."""
    rest, c, s = pi - theta, theta.cos(), theta.sin()
    return (rest, s + rest * c, 3 * s * c + rest * (1 + 2 * c**2))[degree]  # (2)


def angles(W: Tensor, V: Tensor) -> Tensor:
    """The angle between every row of W (..., k, d) and of V (..., m, d), (..., k, m); exact for parallel rows, too."""
    a, b = (M / M.norm(dim=-1, keepdim=True) for M in (W, V))
    apart = (a[..., :, None, :] - b[..., None, :, :]).norm(dim=-1)
    along = (a[..., :, None, :] + b[..., None, :, :]).norm(dim=-1)
    return 2 * torch.atan2(apart, along)


def correlation(W: Tensor, V: Tensor, degree: int = 1) -> Tensor:
    """E s^n(w x) s^n(v x) for every pair of rows, (..., k, m)."""
    lengths = W.norm(dim=-1)[..., :, None] * V.norm(dim=-1)[..., None, :]
    return lengths**degree * angular(angles(W, V), degree) / (2 * pi)  # (1)


def loss(W: Tensor, V: Tensor) -> Tensor:
    """1/2 E (sum_j s(w_j x) - sum_j s(v_j x))^2 of a student W (..., k, d) and a teacher V (m, d), (...)."""
    sums = [correlation(A, B).sum((-2, -1)) for A, B in ((W, W), (W, V), (V, V))]
    return 0.5 * (sums[0] - 2 * sums[1] + sums[2])  # (3) for k = m = 1


def pull(W: Tensor, V: Tensor) -> Tensor:
    """The gradient of sum_j E s(w x) s(v_j x) with respect to each row w of W, (..., k, d)."""
    theta = angles(W, V)
    straight = (pi - theta) @ V
    return (straight + (V.norm(dim=-1)[..., None, :] * theta.sin()).sum(-1, keepdim=True)
            * W / W.norm(dim=-1, keepdim=True)) / (2 * pi)


def gradient(W: Tensor, V: Tensor) -> Tensor:
    """The gradient of `loss` with respect to W, (..., k, d)."""
    return pull(W, W) - pull(W, V)  # (4) for k = m = 1


def sampled(W: Tensor, V: Tensor, degree: int, samples: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """E s^n(w x) s^n(v x) of the rows of W (k, d) with those of V (k, d), pair by pair: (mean, standard error)."""
    x = torch.randn(samples, W.shape[1], generator=draw, dtype=W.dtype)
    one, other = ((x @ M.T).clamp(min=0) if degree else (x @ M.T > 0).to(W) for M in (W, V))
    each = (one * other) ** max(1, degree)
    return each.mean(0), each.std(0) / samples**0.5


def _pairs(name: str, rows: int = 6, dimension: int = 5) -> tuple[Tensor, Tensor]:
    draw = generator(0, name)
    W, V = (torch.randn(rows, dimension, generator=draw, dtype=torch.float64) for _ in range(2))
    return W, V


def the_closed_form_is_the_mean() -> Check:
    """For 6 random pairs and degrees 0, 1, 2 the mean over 200,000 inputs is (1) within 4 standard errors.

    Source: Cho, Saul 2009, equations (3) to (7)
    """
    W, V = _pairs("mean")
    off = []
    for degree in range(3):
        mean, error = sampled(W, V, degree, 200_000, generator(0, f"inputs/{degree}"))
        off.append(((mean - correlation(W, V, degree).diagonal()) / error).abs().max())
    return at_most(float(max(off)), 4.0)


def the_gradient_is_the_mean_gradient() -> Check:
    """The mean of (s(w x) - s(v x)) 1(w x > 0) x over 200,000 inputs is (4) within 4 standard errors in each entry.

    Source: Tian 2017, theorem 1
    """
    W, V = _pairs("slope", 1)
    x = torch.randn(200_000, W.shape[1], generator=generator(0, "inputs"), dtype=W.dtype)
    z = x @ W.T
    each = (z.clamp(min=0) - (x @ V.T).clamp(min=0)) * (z > 0) * x
    off = (each.mean(0) - gradient(W, V)[0]) / (each.std(0) / len(x) ** 0.5)
    return at_most(float(off.abs().max()), 4.0)


def formula_4_is_the_gradient_of_formula_3() -> Check:
    """For one unit and one teacher (4), written out, differs from the derivative of (3) by less than 1e-12.

    Source: equations (3) and (4)
    """
    W, V = _pairs("written out", 1)
    w = W.requires_grad_()
    (slope,) = torch.autograd.grad(loss(w, V), w)
    theta = angles(W, V)
    written = 0.5 * (W - V) + (theta * V - V.norm() * theta.sin() * W / W.norm()) / (2 * pi)  # (4)
    return at_most(float((slope - written).abs().max().detach()), 1e-12)


def parallel_and_opposite_units() -> Check:
    """(1) of degree 1 is |w||v| / 2 for parallel units and 0 for opposite ones, to 1e-15.

    Source: equation (2) at theta = 0 and pi
    """
    w = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    off = (correlation(w, 2 * w) - 25.0).abs() + correlation(w, -w).abs()
    return at_most(float(off), 1e-15)


def a_unit_finds_its_teacher() -> Check:
    """Descent along (4) from 100 random starts ends within 1e-6 of the teacher every time.

    Source: Tian 2017, theorem 2: from everywhere but w = 0 and the ray opposite to v
    """
    _, V = _pairs("teacher", 1)
    W = torch.randn(100, 1, 5, generator=generator(0, "starts"), dtype=torch.float64)
    for _ in range(250):
        W = W - gradient(W, V)
    return at_most(float((W - V).norm(dim=-1).max()), 1e-6)


def at_zero_the_gradient_depends_on_the_side() -> Check:
    """At 1e-9 e and -1e-9 e with e orthogonal to a unit teacher, the gradients (4) differ by 1/pi = 0.3183.

    Source: equation (4), which divides by |w|
    """
    w = torch.tensor([[1e-9, 0.0]], dtype=torch.float64)
    v = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    return about(float((gradient(w, v) - gradient(-w, v)).norm()), 1 / pi, 1e-8)


def it_is_a_kernel() -> Check:
    """For 30 random vectors the matrices (1) of degrees 0, 1, 2 have no eigenvalue below -1e-12.

    Source: Cho, Saul 2009, section 2.1: (1) is an inner product of random features
    """
    W, _ = _pairs("kernel", 30)
    return at_least(float(min(torch.linalg.eigvalsh(correlation(W, W, n)).min() for n in range(3))), -1e-12)


CARD = Card(
    name="The arc-cosine kernel",
    name_ja="逆余弦カーネル",
    paper="Cho, Saul 2009, Kernel methods for deep learning; Tian 2017, arXiv:1703.00560",
    equations=(
        r"2\,E\,s^n(w^T x)\,s^n(v^T x) = \frac{1}{\pi}|w|^n |v|^n J_n(\theta)",
        r"J_0 = \pi - \theta,\quad J_1 = \sin\theta + (\pi - \theta)\cos\theta,"
        r"\quad J_2 = 3\sin\theta\cos\theta + (\pi - \theta)(1 + 2\cos^2\theta)",
        r"L(w) = \frac{1}{4}|w|^2 + \frac{1}{4}|v|^2 - \frac{1}{2\pi}|w||v|J_1(\theta)",
        r"\nabla L(w) = \frac{1}{2}(w - v) + \frac{1}{2\pi}(\theta v - |v|\sin\theta\,\frac{w}{|w|})",
    ),
    summary="What two ReLU units have in common under Gaussian inputs, in one line, and the exact loss of one unit.",
    summary_ja="ガウス入力での二つのReLUユニットの相関は一行の式になり、一つのユニットの損失の地形も厳密に描ける。",
    topics=("theory.arc-cosine",),
    facts=(
        the_closed_form_is_the_mean,
        the_gradient_is_the_mean_gradient,
        formula_4_is_the_gradient_of_formula_3,
        parallel_and_opposite_units,
        a_unit_finds_its_teacher,
        at_zero_the_gradient_depends_on_the_side,
        it_is_a_kernel,
    ),
    notes=("At w = 0 there is no gradient, but it is no minimum: the loss falls towards every side except -v.",),
    notes_ja=("w = 0 では勾配がないが、そこは最小点ではない。-v の方向を除くどの方向にも損失は下がる。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Pairs of units at every angle."""

    degree: Literal[0, 1, 2] = 1
    """power n: 0 counts who is active, 1 is ReLU, 2 its square"""
    angles: int = 61
    """angles from 0 to pi"""
    dimensions: int = 10
    """dimension of the inputs"""
    samples: int = 100_000
    """Gaussian inputs of each angle"""
    seed: int = 0
    """of the units and the inputs"""


VARIANTS = {
    "smoke": Setup(angles=40, samples=2000),
    "default": Setup(),
    "step": Setup(degree=0),
    "square": Setup(degree=2),
}


def build(setup: Setup, place: Place = Place()) -> Sweep:  # noqa: B008 - a frozen value
    """One step measures one angle, in float64 on the CPU."""
    in_range(setup, ("angles", "dimensions", "samples"))
    size = max(2, setup.dimensions)
    frame = torch.linalg.qr(torch.randn(size, 2, generator=generator(setup.seed, "units"), dtype=torch.float64)).Q

    def measure(theta: float) -> Record:
        w, v = frame[:, 0][None], (np.cos(theta) * frame[:, 0] + np.sin(theta) * frame[:, 1])[None]
        mean, error = sampled(w, v, setup.degree, max(2, setup.samples), generator(setup.seed, f"inputs/{theta}"))
        return {"angle": theta, "measured": mean[0], "predicted": float(correlation(w, v, setup.degree)),
                "within": 5 * float(error) + 20 / setup.samples, "standard_error": error[0]}

    return Sweep(np.linspace(0, pi, setup.angles).tolist(), measure, lambda rows: _draw(rows, setup.degree))


def _draw(rows: Columns, degree: int) -> dict[str, np.ndarray]:
    """The kernel with its measured points; the landscape of one unit in the plane with its teacher."""
    figure = sheet(900, 420)
    left, right = figure.subplots(1, 2)
    every = torch.linspace(0, pi, 200, dtype=torch.float64)
    left.errorbar(rows["angle"], rows["measured"], 4 * rows["standard_error"], fmt="o", color=ORANGE, markersize=3,
                  linewidth=1, label="sampled, 4 s.e. / 標本")
    curve = angular(every, degree).numpy() / (2 * pi)
    left.plot(every.numpy(), curve, color=BLUE, label=f"closed form (1), n = {degree} / 閉形式")
    left.set_xticks([0, pi / 2, pi], ["0", "π/2", "π"])
    quiet(left, "Two units at an angle / 二つのユニットの相関", "angle θ / 角度", "E sⁿ(wx) sⁿ(vx)").legend(fontsize=9)
    side = torch.linspace(-1.6, 1.6, 81, dtype=torch.float64)
    X, Y = torch.meshgrid(side, side, indexing="xy")
    plane, v = torch.stack([X, Y], -1).reshape(-1, 1, 2) + 1e-9, torch.tensor([[0.8, 0.6]], dtype=torch.float64)
    right.contourf(X.numpy(), Y.numpy(), loss(plane, v).view(81, 81).sqrt().numpy(), 16, cmap="Blues_r")
    way = -gradient(plane, v).view(81, 81, 2).numpy()[::8, ::8]
    right.quiver(X.numpy()[::8, ::8], Y.numpy()[::8, ::8], way[..., 0], way[..., 1], color=SHADES[0], width=0.004,
                 alpha=0.75)
    right.plot(*v[0].tolist(), "*", color=RED, markersize=14, label="teacher v / 教師")
    right.plot(0, 0, "o", markerfacecolor="white", markeredgecolor=RED, label="w = 0: no gradient / 勾配なし")
    quiet(right, "Loss (3) and descent (4) / 損失の地形", "w₁", "w₂").set_aspect("equal")
    right.legend(loc="lower left", fontsize=9)
    return {"arc_cosine": pixels(figure)}
