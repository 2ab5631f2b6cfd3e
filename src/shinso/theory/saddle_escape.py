r"""Saddles: descent that starts at random leaves them, perhaps exponentially late (Lee et al. 2016; Du et al. 2017).

    f(x, y) = k/2 (x^2 - y^2) + y^4/4,   a saddle at 0, minima at y = +-sqrt k                           (1)

Its Hessian at 0 has an eigenvalue below 0: the saddle is strict. Gradient descent, mirror descent (here with the mirror
asinh), proximal point and coordinate descent,

    w' = w - a grad f(w);   asinh w' = asinh w - a grad f(w);   w' + a grad f(w') = w;
    each coordinate in turn by its own w_i' = w_i - a df/dw_i                                            (2)

are smooth one-to-one maps for a < 1/L. Those come to a strict saddle from a set of starts without area only: here from
the line y = 0. That says nothing of how long it takes. Near the line y grows by 1 + a k a step, or 1 / (1 - a k) for
the proximal point, so from y0 to R it takes about

    log(R / |y0|) / log(1 + a k)                                                                         (3)

The surprise: a chain of saddles, each in a direction of its own, where the directions to come shrink while they wait.
Saddle i takes T_i steps; until then x_{i+1} shrank by 1 - a L in each, and has to grow back by 1 + a g:

    T_{i+1} = (log(R / |x_{i+1}|) - log(1 - a L) sum_{j <= i} T_j) / log(1 + a g)                        (4)

Each saddle takes 1 - log(1 - a L) / log(1 + a g) times as long as the one before. A push of fixed size at each of them
(optim.perturbed_gd) makes them all alike.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log, sqrt

import numpy as np

from shinso.core.card import Card, Check, about, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import derive
from shinso.core.setup import in_range
from shinso.learn.sweep import Sweep
from shinso.theory._saddle_pictures import Drawn, pictures


@dataclass(frozen=True)
class Saddle:
    """(1) in coordinates turned by `angle`, so that coordinates have a say in each other."""

    k: float = 2.0
    angle: float = 0.0

    def turn(self) -> np.ndarray:
        """Orthogonal (2, 2): w @ turn() is (x, y) of (1)."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        return np.array([[c, -s], [s, c]])

    def height(self, w: np.ndarray) -> np.ndarray:
        """f, (...,) for w (..., 2)."""
        x, y = np.moveaxis(w @ self.turn(), -1, 0)
        return self.k / 2 * (x**2 - y**2) + y**4 / 4  # (1)

    def slope(self, w: np.ndarray) -> np.ndarray:
        """grad f, (..., 2)."""
        x, y = np.moveaxis(w @ self.turn(), -1, 0)
        return np.stack([self.k * x, y**3 - self.k * y], -1) @ self.turn().T


Method = Callable[[Saddle, np.ndarray, float], np.ndarray]
"""one step from w (..., 2) with the rate a"""


def gradient(saddle: Saddle, w: np.ndarray, lr: float) -> np.ndarray:
    """Gradient descent."""
    return w - lr * saddle.slope(w)


def mirror(saddle: Saddle, w: np.ndarray, lr: float) -> np.ndarray:
    """Mirror descent; the mirror asinh is the identity near 0 and a logarithm far away."""
    return np.sinh(np.arcsinh(w) - lr * saddle.slope(w))


def proximal(saddle: Saddle, w: np.ndarray, lr: float) -> np.ndarray:
    """Proximal point, solved exactly: y' is the one real root of a z^3 + (1 - a k) z = y. Needs a k < 1."""
    x, y = np.moveaxis(w @ saddle.turn(), -1, 0)
    p = (1 - lr * saddle.k) / lr
    z = 2 * sqrt(p / 3) * np.sinh(np.arcsinh(1.5 * y / (lr * p) * sqrt(3 / p)) / 3)
    return np.stack([x / (1 + lr * saddle.k), z], -1) @ saddle.turn().T


def coordinates(saddle: Saddle, w: np.ndarray, lr: float) -> np.ndarray:
    """Coordinate descent: the first, then the second with the first already moved."""
    w = w.copy()
    for i in (0, 1):
        w[..., i] -= lr * saddle.slope(w)[..., i]
    return w


METHODS: dict[str, Method] = {"gradient": gradient, "mirror": mirror, "proximal": proximal, "coordinates": coordinates}
"""(2)"""


def ends(method: Method, saddle: Saddle, starts: np.ndarray, lr: float, steps: int) -> np.ndarray:
    """Where the starts (n, 2) are after `steps`."""
    w = starts
    for _ in range(steps):
        w = method(saddle, w, lr)
    return w


def escape(method: Method, saddle: Saddle, start: np.ndarray, lr: float, most: int = 100_000) -> int:
    """Steps until |y| is at least sqrt(k / 2), `most` if it never is."""
    w = start
    for t in range(most):
        if abs(float((w @ saddle.turn())[1])) >= sqrt(saddle.k / 2):
            return t
        w = method(saddle, w, lr)
    return most


def foretold(k: float, lr: float, y0: float, name: str = "gradient") -> float:
    """(3) with R = sqrt(k / 2)."""
    growth = -log(1 - lr * k) if name == "proximal" else log(1 + lr * k)
    return log(sqrt(k / 2) / y0) / growth  # (3)


@dataclass(frozen=True)
class Chain:
    """d saddles, one after the other, in the manner of Du et al. 2017: f as a sum over coordinates.

    Coordinate i falls from its ridge at 0, curvature -g, to a bottom at +-4, curvature L. While the coordinate before
    is still within 1 of its ridge, it stands in a valley of curvature L instead; gates of the sixth degree change one
    into the other between 1 and 2, so that f has a continuous Hessian.
    """

    stiff: float = 1.0
    falling: float = 1.0

    def height(self, x: np.ndarray) -> float:
        """f for x (d,)."""
        own, _, gates, _ = self._parts(x)
        held = self.stiff / 2 * x**2
        return float(own[0] + ((1 - gates[:-1]) * held[1:] + gates[:-1] * own[1:]).sum())

    def slope(self, x: np.ndarray) -> np.ndarray:
        """grad f, (d,)."""
        own, down, gates, opening = self._parts(x)
        before = np.concatenate([[1.0], gates[:-1]])
        found = (1 - before) * self.stiff * x + before * down
        found[:-1] += opening[:-1] * (own[1:] - self.stiff / 2 * x[1:] ** 2)
        return found

    def _parts(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Each coordinate's fall and its derivative, its gate and its derivative."""
        a, side = np.abs(x), np.sign(x)
        t = np.clip(a - 1, 0, 1)
        gate, opening = t**3 * (10 - 15 * t + 6 * t**2), 30 * (t * (1 - t)) ** 2
        ridge = -self.falling / 2 * a**2
        bottom = self.stiff / 2 * (a - 4) ** 2 - 4.5 * self.stiff - 2 * self.falling
        down = (1 - gate) * -self.falling * a + gate * self.stiff * (a - 4) + opening * (bottom - ridge)
        return (1 - gate) * ridge + gate * bottom, side * down, gate, side * opening


def passed(chain: Chain, start: np.ndarray, lr: float, most: int = 100_000) -> np.ndarray:
    """Steps that gradient descent takes for each saddle, (d,): until its coordinate is 1.5 from its ridge."""
    x, times = start, []
    for t in range(1, most + 1):
        x = x - lr * chain.slope(x)
        while len(times) < len(x) and abs(x[len(times)]) >= 1.5:
            times.append(t)
        if len(times) == len(x):
            break
    return np.diff([0, *times])


def waits(chain: Chain, start: np.ndarray, lr: float) -> np.ndarray:
    """(4) from the start alone, (d,)."""
    total, found = 0.0, []
    for x in np.abs(start):
        found.append((log(1.5 / x) - log(1 - lr * chain.stiff) * total) / log(1 + lr * chain.falling))  # (4)
        total += found[-1]
    return np.array(found)


def pushed(chain: Chain, start: np.ndarray, lr: float, seed: int = 0, most: int = 20_000) -> np.ndarray:
    """The same as `passed` for optim.perturbed_gd with pushes of 0.01 at most."""
    import torch

    from shinso.optim.perturbed_gd import PerturbedGD

    w = torch.from_numpy(start.copy()).requires_grad_()
    optimiser, times = PerturbedGD([w], lr=lr, radius=0.01, threshold=0.01, wait=50, seed=seed), []

    def ask() -> float:
        w.grad = torch.from_numpy(chain.slope(w.detach().numpy()))
        return 0.0

    for t in range(1, most + 1):
        optimiser.step(ask)
        while len(times) < len(w) and abs(float(w.detach()[len(times)])) >= 1.5:
            times.append(t)
        if len(times) == len(w):
            break
    return np.diff([0, *times])


def scattered(n: int, seed: int = 0, d: int = 2) -> np.ndarray:
    """Starts uniform in [-1, 1]^d, (n, d)."""
    return np.random.default_rng(derive(seed, "starts")).uniform(-1, 1, (n, d))


def no_start_at_random_ends_at_the_saddle() -> Check:
    """Of 10,000 random starts, on (1) turned by half a radian, 0 end elsewhere than at a minimum with any of (2).

    Source: Lee et al. 2016, 2017; 1e-6 from a minimum after 150 steps of 0.15, below 1/L = 0.25
    """
    saddle, lost = Saddle(angle=0.5), 0
    for method in METHODS.values():
        y = ends(method, saddle, scattered(10_000), 0.15, 150) @ saddle.turn()
        lost += int((np.abs(np.abs(y) - [0, sqrt(2)]).max(1) > 1e-6).sum())
    return exactly(lost, 0)


def every_start_on_the_line_ends_there() -> Check:
    """Of 10,000 starts with y = 0, 0 end elsewhere than at the saddle, to 1e-12, with any of the four.

    Source: Lee et al. 2016: the line is the stable manifold
    """
    starts, gone = scattered(10_000) * [1, 0], 0
    for method in METHODS.values():
        gone += int((np.abs(ends(method, Saddle(), starts, 0.15, 250)).max(1) > 1e-12).sum())
    return exactly(gone, 0)


def a_step_beyond_the_bound_can_land_on_the_saddle() -> Check:
    """Where grad f is y / a for 1 <= |y| <= 2, steps of a = 0.5, above 1/L, put half of 10,000 starts on y = 0 exactly.

    Source: Lee et al. 2016 ask for a < 1/L; f in y alone falls from 0 within 0.5, with a continuous second derivative
    """
    y = np.linspace(-2, 2, 10_000)
    for _ in range(50):
        t = np.clip((np.abs(y) - 0.5) / 0.5, 0, 1)
        gate = t**3 * (10 - 15 * t + 6 * t**2)
        y = y - 0.5 * (gate * y / 0.5 - (1 - gate) * y)
    return about(float((y == 0).mean()), 0.5, 0.01)


def leaving_takes_a_logarithm() -> Check:
    """From y0 = 1e-2, 1e-3 ... 1e-12 to 1 at rate 0.2, steps differ from log(1/y0) / log(1 + 0.2 k) by 2 at most.

    Source: Du et al. 2017, a single saddle; equation (3)
    """
    starts = [10.0**-n for n in range(2, 13)]
    found = [escape(gradient, Saddle(), np.array([1.0, y0]), 0.2) for y0 in starts]
    return at_most(max(abs(t - foretold(2.0, 0.2, y0)) for t, y0 in zip(found, starts, strict=True)), 2.0)


def proximal_points_leave_faster() -> Check:
    """And for the proximal point they differ by 2 at most from log(1/y0) / -log(1 - 0.2 k).

    Source: w' = (I + a H)^-1 w at a saddle with the Hessian H
    """
    starts = [10.0**-n for n in range(2, 13)]
    found = [escape(proximal, Saddle(), np.array([1.0, y0]), 0.2) for y0 in starts]
    return at_most(max(abs(t - foretold(2.0, 0.2, y0, "proximal")) for t, y0 in zip(found, starts, strict=True)), 2.0)


def a_chain_takes_twice_as_long_each_time() -> Check:
    """In a chain of 8 with L = g = 1 at rate 0.05, each of the last 3 saddles takes 2.05 times the one before, to 0.08.

    Source: Du et al. 2017, theorem 4.1: exponential in the number of saddles; equation (4)
    """
    times, factor = passed(Chain(), scattered(1, d=8)[0], 0.05), 1 - log(0.95) / log(1.05)
    return at_most(float(np.abs(times[5:] / times[4:7] - factor).max()), 0.08)


def pushes_make_all_saddles_alike() -> Check:
    """With pushes, of the last 4 saddles of that chain the slowest takes at most 1.5 times as long as the fastest.

    Source: Du et al. 2017, theorem 4.2; Jin et al. 2017
    """
    times = pushed(Chain(), scattered(1, d=8)[0], 0.05)[4:]
    return at_most(float(times.max() / times.min()), 1.5)


CARD = Card(
    name="Escape from saddles",
    name_ja="鞍点からの脱出",
    paper="Lee et al. 2016, arXiv:1602.04915; Lee et al. 2017, arXiv:1710.07406; Du et al. 2017, arXiv:1705.10412",
    equations=(
        r"f(x, y) = \frac{k}{2}(x^2 - y^2) + \frac{y^4}{4}",
        r"w' = w - a\nabla f(w);\quad \mathrm{asinh}\,w' = \mathrm{asinh}\,w - a\nabla f(w);\quad "
        r"w' + a\nabla f(w') = w;\quad w_i' = w_i - a\,\partial_i f",
        r"t \approx \frac{\log(R/|y_0|)}{\log(1 + ak)}",
        r"T_{i+1} = \frac{\log(R/|x_{i+1}|) - \log(1 - aL)\sum_{j \leq i} T_j}{\log(1 + ag)}",
    ),
    summary="Four kinds of descent leave a saddle from almost everywhere in a known time; a chain of them is endless.",
    summary_ja="四種の降下法はほぼ全ての初期点から鞍点を離れ、歩数も分かる。だが鞍点の鎖では指数的に長くかかる。",
    topics=("theory.strict-saddle", "theory.gd-escape-time", "optim.saddle-avoidance"),
    facts=(no_start_at_random_ends_at_the_saddle, every_start_on_the_line_ends_there,
           a_step_beyond_the_bound_can_land_on_the_saddle, leaving_takes_a_logarithm, proximal_points_leave_faster,
           a_chain_takes_twice_as_long_each_time, pushes_make_all_saddles_alike),
    notes=("The lecture says that descent without noise takes exponential time: it can, on functions such as the "
           "chain; from a single saddle it takes (3).",
           "That descent avoids saddles is a statement about the limit: it has no rate, and it needs a < 1/L.",
           "The chain is built after Du et al. with gates of its own; their splines and their tubes are others."),
    notes_ja=("講義は雑音のない降下が指数時間かかるとするが、鎖のような関数ではそうなりうるという話である。"
              "単独の鞍点なら式 (3) で済む。",
              "降下が鞍点を避けるというのは極限についての主張で、速さは述べない。また a < 1/L が必要である。",
              "鎖は Du et al. に倣って独自の切り替え関数で作った。論文のスプラインや管とは異なる。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Starts nearer and nearer to the line from which the saddle is never left."""

    starts: int = 60
    """starts, from y0 = 0.1 down to the smallest"""
    smallest: float = 1e-12
    """how near to the line the last start is"""
    curvature: float = 2.0
    """k of (1)"""
    lr: float = 0.2
    """rate a of (2)"""
    chain: int = 9
    """saddles of the chain in the picture, at most 10"""
    seed: int = 0
    """of the starts"""


VARIANTS = {"smoke": Setup(starts=45, smallest=1e-6, chain=4), "default": Setup(),
            "cautious": Setup(lr=0.02, smallest=1e-8)}


def drawn_beside(setup: Setup) -> Drawn:
    """What the pictures show besides the rows: walks on the saddle and on the same one turned, and the chain."""
    saddle, turned = Saddle(setup.curvature), Saddle(setup.curvature, 0.5)
    around = np.linspace(0, 2 * np.pi, 24, endpoint=False)[:, None] + 0.02
    ring = 1.6 * np.concatenate([np.cos(around), np.sin(around)], 1)
    near = np.array([1.5, 0.02]) @ turned.turn().T
    links, rate = Chain(), 0.05
    start = scattered(1, setup.seed, setup.chain)[0]
    return Drawn(
        saddle=saddle, turned=turned, ring=_walk(gradient, saddle, ring, setup.lr),
        line=_walk(gradient, saddle, np.array([1.7, 0.0]), setup.lr),
        four={name: _walk(method, turned, near, setup.lr) for name, method in METHODS.items()},
        curves={name: np.array([[y0, foretold(setup.curvature, setup.lr, y0, name)]
                                for y0 in (0.1, setup.smallest)]) for name in ("gradient", "proximal")},
        chain=np.stack([waits(links, start, rate), passed(links, start, rate),
                        pushed(links, start, rate, setup.seed)]))


def _walk(method: Method, saddle: Saddle, start: np.ndarray, lr: float) -> np.ndarray:
    path = [start]
    for _ in range(int(12 / (lr * saddle.k))):
        path.append(method(saddle, path[-1], lr))
    return np.array(path)


def build(setup: Setup, place: Place = Place()) -> Sweep:  # noqa: B008 - a frozen value
    """One step is one start, left by the four methods."""
    in_range(setup, ("starts", "smallest", "curvature", "lr", "chain"))
    if setup.lr * setup.curvature >= 0.5:
        raise UserError("lr", f"{setup.lr} is not below 1/L = {0.5 / setup.curvature:g} at the minima",
                        "take a smaller rate")
    if setup.smallest >= 0.1:
        raise UserError("smallest", f"{setup.smallest} is not near the line", "give a number below 0.1")
    if setup.chain > 10:
        raise UserError("chain", f"{setup.chain} saddles take {2.05**setup.chain:.0f} times as long as one",
                        "give at most 10")
    saddle = Saddle(setup.curvature)
    drawn = scattered(setup.starts, setup.seed)
    steps = np.linspace(0, 1, setup.starts) + 0.4 / setup.starts * drawn[:, 1]
    places = 0.1 * sqrt(setup.curvature) * (setup.smallest / 0.1) ** np.clip(steps, 0, 1)

    def measure(i: int) -> Record:
        start, y0 = np.array([drawn[i, 0], places[i]]), float(places[i])
        found = {name: escape(method, saddle, start, setup.lr) for name, method in METHODS.items()}
        return {"start": y0, "measured": float(found["gradient"]),
                "predicted": foretold(setup.curvature, setup.lr, y0), "within": 1 + 0.35 / (setup.lr * setup.curvature),
                **{f"steps_{name}": float(found[name]) for name in list(METHODS)[1:]}}

    return Sweep(range(setup.starts), measure, lambda rows: pictures(rows, drawn_beside(setup)))
