r"""Mirror descent (Nemirovski and Yudin 1983; Beck and Teboulle 2003): a step in the geometry that fits the weights.

    w' = argmin_u in X  lr <g, u> + D(u, w),   D(u, w) = phi(u) - phi(w) - <grad phi(w), u - w>          (1)
    grad phi(z) = grad phi(w) - lr g,   then w' = the point of X nearest to z by D                       (2)

phi is what distance means. With phi = |w|^2/2, D is |u - w|^2/2 and (2) is projected gradient descent; with the
negative entropy phi = sum w log w, D is the Kullback-Leibler divergence and (2) on the simplex is

    w'_i = w_i exp(-lr g_i) / sum_j w_j exp(-lr g_j)                                                     (3)

the exponentiated gradient, for which nothing has to be projected. For losses <g_t, w> with |g_t,i| <= 1 on the simplex
of n entries, from its middle and at the best constant rates, the loss beyond that of the best fixed w is

    entropy: at most sqrt(2 T log n),   euclidean: at most sqrt(n T)                                     (4)

The surprise: the same stream, the same set, and only another way to measure lengths turns a root of the dimension into
its logarithm. For weights of any sign there is the hyperbolic entropy (Ghai, Hazan and Singer 2020),

    phi = sum w asinh(w/b) - sqrt(w^2 + b^2),   w' = b sinh(asinh(w/b) - lr g)                           (5)

which is gradient descent of rate lr b where |w| is far below b, and multiplies by exp(-lr g) far above.
"""

from math import log
from typing import Any, Literal, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.seed import generator
from shinso.optim._checks import check_rate
from shinso.optim._constraint import nearest, rows
from shinso.optim._lean import AbstractStep
from shinso.optim._walk import walk, weights

Mirror = Literal["hyperbolic", "entropy", "euclidean"]
Onto = Literal["space", "simplex", "ball", "box"]


@final
class MirrorDescent(AbstractStep, torch.optim.Optimizer):  # pyright: ignore[reportIncompatibleMethodOverride]
    """(2) by one of three mirrors; what "euclidean" projects onto is `onto` of size `radius`.

    "entropy" wants rows (the last dimension) of positive numbers that sum to 1, and keeps them so.
    """

    def __init__(self, params: Any, lr: float | Tensor = 1e-2, *, mirror: Mirror = "hyperbolic", onto: Onto = "space",
                 radius: float = 1.0, b: float = 1.0, maximize: bool = False):
        check_rate(lr)
        if mirror not in ("hyperbolic", "entropy", "euclidean"):
            raise ValueError(f"Invalid mirror: {mirror}")
        if onto not in ("space", "simplex", "ball", "box") or (onto != "space" and mirror != "euclidean"):
            raise ValueError(f"Invalid onto: {onto} (another than space is for mirror='euclidean')")
        if not 0.0 < radius:
            raise ValueError(f"Invalid radius: {radius}")
        if not 0.0 < b:
            raise ValueError(f"Invalid b value: {b}")
        super().__init__(params, {"lr": lr, "mirror": mirror, "onto": onto, "radius": radius, "b": b,
                                  "maximize": maximize})

    def _update(self) -> None:
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is not None:
                    _move(w, group)


@torch.no_grad()
def _move(w: Tensor, group: dict[str, Any]) -> None:
    g = w.grad
    if g is None or g.is_sparse or w.is_complex():
        raise RuntimeError("MirrorDescent does not support sparse gradients, nor complex parameters")
    push = g * (group["lr"] if group["maximize"] else -group["lr"])
    if group["mirror"] == "entropy":
        w.copy_(_exponentiated(w, push))
    elif group["mirror"] == "hyperbolic":
        w.copy_(group["b"] * torch.sinh(torch.asinh(w / group["b"]) + push))  # (5)
    else:
        w.copy_(nearest(w + push, group["onto"], group["radius"]))  # (2)


def _exponentiated(w: Tensor, push: Tensor) -> Tensor:
    """(3) through logarithms, so that a large push neither overflows nor leaves a row of zeros."""
    now, lifted = rows(w), rows(push)
    if not bool((now >= 0).all() and ((now.sum(1) - 1).abs() < 1e-3).all()):
        raise RuntimeError("MirrorDescent with mirror='entropy' needs rows of numbers >= 0 that sum to 1")
    return (now.log() + lifted).softmax(1).reshape(w.shape)


def entropy_is_the_exponentiated_gradient() -> Check:
    """100 steps on the simplex of 20 entries are w_0 exp(-lr sum of gradients), scaled to 1: the difference, 1e-14.

    Source: Kivinen and Warmuth 1997; equation (3) multiplied up
    """
    given = _stream(20, 100)
    w = weights([0.05] * 20)
    rest = iter(given)
    path = walk(MirrorDescent([w], lr=0.1, mirror="entropy"), lambda w: next(rest), 100)
    return at_most(float((path[1:] - (-0.1 * given.cumsum(0)).softmax(1)).abs().max()), 1e-14)


def euclidean_is_projected_descent() -> Check:
    """Onto a ball of radius 1, 100 steps are w - lr g, shortened to length 1 if longer: the difference, 1e-14.

    Source: equation (2) with phi = |w|^2/2
    """
    given = _stream(20, 100)
    rest, w, off = iter(given), torch.zeros(20, dtype=torch.float64), 0.0
    path = walk(MirrorDescent([weights(w)], lr=0.1, mirror="euclidean", onto="ball"), lambda w: next(rest), 100)
    for g, found in zip(given, path[1:], strict=True):
        w = w - 0.1 * g
        w = w / max(1.0, float(w.norm()))
        off = max(off, float((w - found).abs().max()))
    return at_most(off, 1e-14)


def the_nearest_point_of_the_simplex() -> Check:
    """For 1,000 points z of 20 entries no corner v of the simplex has (z - u)(v - u) above 1e-13, u the point found.

    Source: the obtuse angle at a projection onto a convex set
    """
    z = torch.randn(1000, 20, generator=generator(0, "points"), dtype=torch.float64)
    u = nearest(z, "simplex", 1.0)
    along = z - u
    return at_most(float((along.amax(1) - (along * u).sum(1)).max() + (u.sum(1) - 1).abs().max()), 1e-13)


def the_hyperbola_lies_between() -> Check:
    """b = 1e6 at rate lr/b is gradient descent and b = 1e-9 multiplies by exp(-lr g): 20 steps, both to 1e-6.

    Source: Ghai, Hazan and Singer 2020, section 3; equation (5)
    """
    start, given = weights(torch.linspace(0.5, 2, 20)).detach(), _stream(20, 20)
    ends = []
    for b, lr in ((1e6, 1e-7), (1e-9, 0.1)):
        rest = iter(given)
        ends.append(walk(MirrorDescent([weights(start)], lr=lr, b=b), lambda w, rest=rest: next(rest), 20)[-1])
    flat, steep = start - 0.1 * given.sum(0), start * (-0.1 * given.sum(0)).exp()
    return at_most(float(torch.maximum((ends[0] - flat).abs(), (ends[1] - steep).abs()).max()), 1e-6)


def regret_stays_below_both_bounds() -> Check:
    """For 16, 64 and 256 entries over 400 rounds the regret of both mirrors divided by its bound (4) is at most 1.

    Source: Beck and Teboulle 2003; Shalev-Shwartz 2012, theorem 2.22
    """
    return at_most(max(_regret(mirror, n, 400) / _bound(mirror, n, 400)
                       for n in (16, 64, 256) for mirror in ("entropy", "euclidean")), 1.0)


def the_dimension_costs_its_logarithm() -> Check:
    """From 4 to 256 entries the entropy's regret of 1,000 rounds grows at most 3-fold; (4) doubles.

    Source: equation (4); sqrt(log 256 / log 4) = 2
    """
    return at_most(_regret("entropy", 256, 1000) / _regret("entropy", 4, 1000), 3.0)


def and_its_root_in_the_euclidean_geometry() -> Check:
    """On the same two streams the regret of projected descent grows at least 6-fold; (4) grows 8-fold.

    Source: equation (4); sqrt(256 / 4) = 8
    """
    return at_least(_regret("euclidean", 256, 1000) / _regret("euclidean", 4, 1000), 6.0)


def _stream(n: int, rounds: int) -> Tensor:
    """Losses -1 and 1 of n experts, (rounds, n): even odds, but the first one loses in a quarter of the rounds only."""
    draw = generator(0, f"stream/{n}")
    g = torch.randint(0, 2, (rounds, n), generator=draw, dtype=torch.float64) * 2 - 1
    g[:, 0] = torch.where(torch.rand(rounds, generator=draw) < 0.75, -1.0, 1.0)
    return g


def _regret(mirror: Mirror, n: int, rounds: int) -> float:
    """The loss of the walk beyond that of the best expert, at the rate for which (4) holds."""
    w, lost, given = weights([1 / n] * n), 0.0, _stream(n, rounds)
    if mirror == "entropy":
        optimiser = MirrorDescent([w], lr=(2 * log(n) / rounds) ** 0.5, mirror=mirror)
    else:
        optimiser = MirrorDescent([w], lr=(n * rounds) ** -0.5, mirror=mirror, onto="simplex")
    for g in given:
        lost += float(g @ w.detach())
        w.grad = g
        optimiser.step()
    return lost - float(given.sum(0).min())


def _bound(mirror: Mirror, n: int, rounds: int) -> float:
    return (2 * rounds * log(n) if mirror == "entropy" else n * rounds) ** 0.5  # (4)


CARD = Card(
    name="Mirror descent",
    name_ja="鏡像降下法",
    paper="Nemirovski and Yudin 1983, Problem complexity and method efficiency in optimization; "
          "Beck and Teboulle 2003, doi:10.1016/S0167-6377(02)00231-6",
    equations=(
        r"w' = \mathrm{arg\,min}_{u \in X}\ \eta\langle g, u\rangle + D(u, w),\quad "
        r"D(u, w) = \phi(u) - \phi(w) - \langle\nabla\phi(w), u - w\rangle",
        r"\nabla\phi(z) = \nabla\phi(w) - \eta\,g,\quad w' = \mathrm{arg\,min}_{u \in X} D(u, z)",
        r"w'_i = w_i e^{-\eta g_i} / \sum_j w_j e^{-\eta g_j}",
        r"R_T \leq \sqrt{2\,T \log n}\ (\mathrm{entropy}),\quad R_T \leq \sqrt{n\,T}\ (\mathrm{euclidean})",
        r"w' = b\,\sinh(\mathrm{asinh}(w/b) - \eta\,g)",
    ),
    summary="A gradient step in another geometry: on the simplex the entropy pays log n where projection pays n.",
    summary_ja="別の幾何での勾配の一歩。単体の上では、射影なら n が効くところで、エントロピーなら log n で済む。",
    topics=("optim.mirror-descent",),
    facts=(entropy_is_the_exponentiated_gradient, euclidean_is_projected_descent, the_nearest_point_of_the_simplex,
           the_hyperbola_lies_between, regret_stays_below_both_bounds, the_dimension_costs_its_logarithm,
           and_its_root_in_the_euclidean_geometry),
    notes=("An entry that is exactly 0 stays 0 for ever under the entropy: start inside of the simplex.",
           "The course names the method only; the hyperbolic entropy is there because it needs no set at all."),
    notes_ja=("エントロピーでは、ちょうど 0 の成分はいつまでも 0 のままである。単体の内部から始めること。",
              "講義に出てくるのは名前だけである。双曲エントロピーは、制約集合がまったく要らないので加えた。"),
)
