r"""A PAC-Bayes bound that says something: a guarantee from the training data alone (Dziugaite and Roy 2017).

Let P be a law over networks that was fixed before the n examples were seen. Then with probability 1 - d over the
examples, for every law Q at once, also one that was chosen after looking (McAllester 1999; Maurer 2004),

    kl(q | p) <= (KL(Q | P) + ln(2 sqrt(n) / d)) / n = c,   q = E_Q training error,  p = E_Q true error    (1)

with kl(q | p) = q ln(q / p) + (1 - q) ln((1 - q) / (1 - p)). So p is at most the larger solution of kl(q | p) = c, and

    p <= kl^(-1)(q | c) <= q + sqrt(c / 2).                                                              (2)

For P = N(w_0, v I), w_0 the random start, and Q = N(w, diag(s^2)),

    KL(Q | P) = 1/2 sum_k [ s_k^2 / v + (w_k - w_0k)^2 / v - 1 + ln(v / s_k^2) ],                         (3)

smallest for v = mean(s^2 + (w - w_0)^2), which looks at the data. So v is taken from a grid v_j = C e^(-j/b) and pays
for the choice: d_j = 6 d / (pi^2 j^2), which sum to d (4). And q is a mean over networks drawn from Q, so that it has
an error of its own: q <= kl^(-1)(q_M | ln(2 / d') / M) with probability 1 - d' (5).

Descent on the bound itself widens s in every direction that does not matter: flatness, measured in the coordinates of
the prior. The surprise is that the guarantee is worth having, and how quickly it is worth nothing if P has looked.
"""

from dataclasses import dataclass
from functools import cache
from math import log, pi
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from shinso.core.axes import BLUE, GREEN, GREY, ORANGE, RED, quiet
from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.errors import UserError
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range
from shinso.data.two_moons import draw

LARGEST, FINE = 10.0, 10.0
"""C and b of the grid in (4), chosen before any data"""


def binary_kl(q: float | np.ndarray, p: float | np.ndarray) -> np.ndarray:
    """kl(q | p) of two coins, elementwise."""
    q, p = np.asarray(q, float), np.asarray(p, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(q > 0, q * np.log(q / p), 0) + np.where(q < 1, (1 - q) * np.log((1 - q) / (1 - p)), 0)


def _coins(q: float, p: float) -> float:
    return (q * log(q / p) if q > 0 else 0.0) + ((1 - q) * log((1 - q) / (1 - p)) if q < 1 else 0.0)


def inverse_kl(q: float, c: float) -> float:
    """The largest p with kl(q | p) <= c, rounded up: 60 halvings."""
    low, high = q, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if middle < 1 and _coins(q, middle) <= c else (low, middle)
    return high


def pinsker(q: float, c: float) -> float:
    """The right side of (2)."""
    return q + (c / 2) ** 0.5


def gaussian_kl(w: Tensor, s: Tensor, w0: Tensor, v: Tensor | float) -> Tensor:
    """(3) for w, s, w0 (d,)."""
    v = torch.as_tensor(v, dtype=w.dtype)
    return 0.5 * ((s.square() + (w - w0).square()) / v - 1 + v.log() - 2 * s.log()).sum()  # (3)


def on_the_grid(v: float) -> tuple[float, int]:
    """The place of the grid next to v, and its number j >= 1."""
    j = max(1, round(FINE * log(LARGEST / v)))
    return LARGEST * float(np.exp(-j / FINE)), j


def complexity(w: Tensor, s: Tensor, w0: Tensor, n: int, delta: float) -> tuple[float, float]:
    """c of (1) with the prior's width from the grid (4), and KL."""
    v, j = on_the_grid(float((s.square() + (w - w0).square()).mean()))
    kl = float(gaussian_kl(w, s, w0, v))
    share = 6 * delta / (pi**2 * j**2)  # (4)
    return (kl + log(2 * n**0.5 / share)) / n, kl


def moons(n: int, flip: float, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points (n, 2) of two moons and their signs (n,), a share `flip` of which is wrong."""
    x, classes = draw(n, stream)
    signs = 2.0 * classes.double() - 1
    return x.double(), torch.where(torch.rand(n, generator=stream) < flip, -signs, signs)


def answer(weights: Tensor, x: Tensor) -> Tensor:
    """v max(W x + u, 0) + c for weights (..., 4 h + 1) and points x (n, 2): (..., n)."""
    h = weights.shape[-1] // 4
    W, u = weights[..., : 2 * h].unflatten(-1, (h, 2)), weights[..., 2 * h : 3 * h]
    hidden = (x @ W.mT + u[..., None, :]).clamp(min=0)
    return (hidden @ weights[..., 3 * h : 4 * h, None])[..., 0] + weights[..., -1:]


@final
class Guarantee:
    """One step of the program is `inner` steps of Adam on the bound, and the bound that they earned."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        self.x, self.sign = moons(setup.examples, setup.flip, generator(setup.seed, "train"))
        self.test = moons(2000, setup.flip, generator(setup.seed, "test"))
        d = 4 * setup.hidden + 1
        self.w0 = torch.randn(d, generator=generator(setup.seed, "prior"), dtype=torch.float64)
        self.w = self.w0.clone().requires_grad_()
        self.log_s = torch.full((d,), log(0.3), dtype=torch.float64).requires_grad_()
        self.descent = torch.optim.Adam([self.w, self.log_s], lr=setup.lr)
        self.noise = generator(setup.seed, "noise")
        self.rows: list[list[float]] = []

    def objective(self) -> Tensor:
        """The logistic loss of one network from Q, in bits, plus the root of (2); c at the best width v."""
        s, n = self.log_s.exp(), len(self.x)
        one = self.w + s * torch.randn(len(self.w), generator=self.noise, dtype=self.w.dtype)
        v = (s.square() + (self.w - self.w0).square()).mean().detach()  # at the best v the slope in v is 0
        c = (gaussian_kl(self.w, s, self.w0, v) + log(2 * n**0.5 / self.setup.delta)) / n
        return torch.nn.functional.softplus(-self.sign * answer(one, self.x)).mean() / log(2) + (c / 2).sqrt()

    def step(self, i: int) -> Record:
        loss = torch.zeros(())
        for _ in range(self.setup.inner):
            self.descent.zero_grad()
            loss = self.objective()
            loss.backward()
            self.descent.step()
        row = {"loss": loss.detach(), **self.certificate(i)}
        self.rows.append([row["training_error"], row["error"], row["error_bound"], row["pinsker"]])
        return row

    @torch.no_grad()
    def certificate(self, i: int) -> dict[str, float]:
        """q_M, the bounds (2) with (4) and (5), and the error of Q on 2,000 other points."""
        k = self.setup
        networks = self.networks(k.samples, f"networks/{i}")
        q = float(_errors(networks, self.x, self.sign).mean())
        sure = inverse_kl(q, log(2 / k.delta_samples) / k.samples)  # (5)
        c, kl = complexity(self.w, self.log_s.exp(), self.w0, len(self.x), k.delta)
        return {"training_error": q, "error": float(_errors(networks[: k.samples // 2], *self.test).mean()),
                "error_bound": inverse_kl(sure, c), "pinsker": pinsker(sure, c), "kl": kl}

    def networks(self, number: int, name: str) -> Tensor:
        """`number` networks from Q, (number, d)."""
        stream = generator(self.setup.seed, name)
        noise = torch.randn(number, len(self.w), generator=stream, dtype=self.w.dtype)
        return (self.w + self.log_s.exp() * noise).detach()

    def state(self) -> dict[str, Any]:
        return {"w": self.w.detach().clone(), "log_s": self.log_s.detach().clone(), "noise": self.noise.get_state(),
                "descent": self.descent.state_dict(), "rows": [list(row) for row in self.rows]}

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        self.w.copy_(state["w"])
        self.log_s.copy_(state["log_s"])
        self.noise.set_state(state["noise"])
        self.descent.load_state_dict(state["descent"])
        self.rows = [list(row) for row in state["rows"]]

    def pictures(self) -> dict[str, np.ndarray]:
        """The networks of Q on the data, and the guarantee beside what it guarantees."""
        return {"guarantee": _picture(self)}


def _errors(networks: Tensor, x: Tensor, sign: Tensor) -> Tensor:
    """The error of each network, (k,), a hundred at a time."""
    return torch.cat([(sign * answer(part, x) <= 0).double().mean(-1) for part in networks.split(100)])


def _picture(program: Guarantee) -> np.ndarray:
    figure = sheet(1000, 430)
    left, right = figure.subplots(1, 2)
    side = torch.linspace(-2, 3, 90, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    for one in program.networks(25, "drawn"):
        left.contour(side, side, answer(one, grid).view(90, 90).T, levels=[0], colors=[GREY], linewidths=0.7, alpha=0.6)
    colours = np.where(program.sign.numpy() > 0, BLUE, RED)
    left.scatter(*program.x[:500].T, c=colours[:500], s=8)
    left.set(xlim=(-1.6, 2.6), ylim=(-1.1, 1.5))
    quiet(left, "25 networks from Q / Q からの25個のネットワーク")
    rows = np.array(program.rows)
    steps = np.arange(1, len(rows) + 1) * program.setup.inner
    for k, (name, colour, style) in enumerate([("training error / 訓練誤差", BLUE, ":"),
                                               ("test error / テスト誤差", GREEN, "-"),
                                               ("bound / 上界 kl⁻¹ (2)", RED, "-"), ("Pinsker (2)", ORANGE, "--")]):
        right.plot(steps, rows[:, k], style, color=colour, linewidth=2, label=name)
    right.axhline(0.5, color=GREY, linewidth=1, linestyle=":")
    right.set_ylim(0, min(1.2, 1.1 * float(rows.max())))
    quiet(right, "error of Q and its guarantee / 誤差と保証", "step / ステップ").legend(frameon=False)
    return pixels(figure)


@cache
def _certified() -> dict[str, float]:
    """What 300 steps on 1,000 examples earn, with a 20th of the labels wrong."""
    program = Guarantee(Setup(examples=1000, hidden=8, inner=300, steps=1, samples=300))
    return {name: float(value) for name, value in program.step(0).items()}


def the_bound_says_something() -> Check:
    """On 1,000 points of two moons with 5 percent wrong labels the bound is below 0.5, with probability 0.965.

    Source: Dziugaite and Roy 2017; equations (1) to (5)
    """
    return at_most(_certified()["error_bound"], 0.5)


def and_it_holds() -> Check:
    """The error of Q on 2,000 other points is not above the bound: their ratio.

    Source: McAllester 1999; Maurer 2004, theorem 5
    """
    return at_most(_certified()["error"] / _certified()["error_bound"], 1.0)


def the_inverse_is_never_above_pinsker() -> Check:
    """Over a grid of 40 x 40 pairs of q and c the bound by kl^(-1) is at most that of Pinsker: largest difference.

    Source: Pinsker 1964: kl(q | p) >= 2 (p - q)^2; equation (2)
    """
    return at_most(max(inverse_kl(q, c) - pinsker(q, c) for q in np.linspace(0, 0.95, 40)
                       for c in np.geomspace(1e-4, 2, 40)), 1e-12)


def errors_of_few_networks_pay_their_own_share() -> Check:
    """For 100 networks and d' = 0.01 the exact chance that (5) lies below the truth is at most 0.01 for 50 truths.

    Source: Langford and Caruana 2001; equation (5), the binomial law summed up
    """
    from scipy.stats import binom

    bounds = np.array([inverse_kl(k / 100, log(2 / 0.01) / 100) for k in range(101)])
    return at_most(max(float(binom.pmf(np.arange(101), 100, p)[bounds < p].sum()) for p in np.linspace(0.01, 0.99, 50)),
                   0.01)


def the_shares_of_the_grid_add_up() -> Check:
    """The shares d_j of the first million places of the grid sum to at most d, and to more than 0.999 d: in units of d.

    Source: equation (4), Euler's sum of 1 / j^2
    """
    return Check(float((6 / (pi**2 * np.arange(1.0, 1e6) ** 2)).sum()), 0.999, 1.0)


def the_grid_costs_next_to_nothing() -> Check:
    """Over 200 laws Q with 41 weights, moving v to the grid adds at most 41 / (15 b^2) to KL: the largest cost.

    Source: (3) near its minimum is d x^2 / 4 with x = ln(v_j / v), at most 1 / (2 b)
    """
    stream, worst = generator(0, "grid"), 0.0
    for _ in range(200):
        w, w0 = torch.randn(2, 41, generator=stream, dtype=torch.float64)
        s = 0.1 + torch.rand(41, generator=stream, dtype=torch.float64)
        best = float((s.square() + (w - w0).square()).mean())
        cost = gaussian_kl(w, s, w0, on_the_grid(best)[0]) - gaussian_kl(w, s, w0, best)
        worst = max(worst, float(cost))
    return at_most(worst, 41 / (15 * FINE**2))


def the_theorem_holds_for_every_posterior() -> Check:
    """For 30 coins with 50 tosses, 4,000 times, Q drawn towards the luckiest: (1) with d = 0.05 fails at most so often.

    Source: Maurer 2004, theorem 5; P is uniform, Q depends on all tosses
    """
    rng = np.random.default_rng(0)
    truth, n, share = rng.uniform(0.05, 0.5, 30), 50, 0.0
    for sharp in (3.0, 30.0, 300.0):
        seen = rng.binomial(n, truth, (4000, 30)) / n
        Q = np.exp(-sharp * (seen - seen.min(1, keepdims=True)))
        Q /= Q.sum(1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            kl = np.where(Q > 0, Q * np.log(Q * 30), 0).sum(1)
        left = binary_kl((Q * seen).sum(1), (Q * truth).sum(1))
        share = max(share, float((left > (kl + log(2 * n**0.5 / 0.05)) / n).mean()))
    return at_most(share, 0.05)


def a_prior_that_has_looked_proves_nothing() -> Check:
    """A nearest neighbour on 200 random labels, taken as P and Q: its error is at least 5 times its would-be bound.

    Source: (1) needs a P that was fixed before the data; with KL = 0 it would promise an error below 0.04
    """
    stream = generator(0, "labels")
    x, other = torch.randn(200, 2, generator=stream), torch.randn(4000, 2, generator=stream)
    labels, truth = torch.rand(200, generator=stream) < 0.5, torch.rand(4000, generator=stream) < 0.5
    error = float((labels[torch.cdist(other, x).argmin(1)] != truth).double().mean())
    return at_least(error / inverse_kl(0.0, log(2 * 200**0.5 / 0.05) / 200), 5.0)


CARD = Card(
    name="A PAC-Bayes guarantee",
    name_ja="PAC-Bayesの保証",
    paper="Dziugaite and Roy 2017, Computing nonvacuous generalization bounds, arXiv:1703.11008; McAllester 1999",
    equations=(
        r"\mathrm{kl}(q \,|\, p) \leq \frac{\mathrm{KL}(Q \,|\, P) + \ln(2\sqrt{n}/\delta)}{n} = c",
        r"p \leq \mathrm{kl}^{-1}(q \,|\, c) \leq q + \sqrt{c/2}",
        r"\mathrm{KL} = \frac{1}{2}\sum_k \left[\frac{s_k^2 + (w_k - w_{0k})^2}{v} - 1 + \ln\frac{v}{s_k^2}\right]",
        r"v_j = C e^{-j/b},\quad \delta_j = \frac{6\delta}{\pi^2 j^2}",
        r"q \leq \mathrm{kl}^{-1}(q_M \,|\, \ln(2/\delta')/M)",
    ),
    summary="A small network is trained on its own guarantee: a bound of its error from the training data alone.",
    summary_ja="小さなネットワークを、自分の保証そのもので訓練する。訓練データだけから誤差の上界が得られる。",
    topics=("theory.pac-bayes",),
    facts=(the_bound_says_something, and_it_holds, the_inverse_is_never_above_pinsker,
           errors_of_few_networks_pay_their_own_share, the_shares_of_the_grid_add_up, the_grid_costs_next_to_nothing,
           the_theorem_holds_for_every_posterior, a_prior_that_has_looked_proves_nothing),
    notes=("P must not depend on the data; here its centre is the random start, and its width pays for being chosen.",
           "The mean over networks from Q is itself measured: that costs the d' of (5), in each row of a record anew.",
           "The guarantee is for the random network Q, not for its mean w.",
           "Dziugaite and Roy take C = 0.1 and b = 100 for the grid; here C = 10 and b = 10, fixed beforehand, since "
           "small networks move further."),
    notes_ja=("P はデータに依存してはならない。ここでは中心は乱数の初期値で、幅は選んだ分の代償を払う。",
              "Q からのネットワークの平均も測定値である。そのために (5) の d' が、記録の行ごとに要る。",
              "保証されるのは確率的なネットワーク Q であり、その平均 w ではない。",
              "Dziugaite and Roy の格子は C = 0.1、b = 100 である。小さいネットワークはもっと動くので、"
              "ここでは前もって C = 10、b = 10 とした。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A small network on two moons, and how sure one wants to be."""

    examples: int = 2000
    """training points n"""
    flip: float = 0.05
    """share of wrong labels"""
    hidden: int = 10
    """hidden units"""
    lr: float = 0.05
    """learning rate of Adam"""
    inner: int = 20
    """steps of Adam from one record to the next"""
    samples: int = 300
    """networks M from Q by which its error is measured"""
    delta: float = 0.025
    """d: chance that (1) fails"""
    delta_samples: float = 0.01
    """d': chance that (5) fails"""
    steps: int = 50
    """records"""
    seed: int = 0
    """of the points, the start and the networks"""


VARIANTS = {"smoke": Setup(examples=300, hidden=5, inner=4, samples=50, steps=40), "default": Setup(),
            "random-labels": Setup(flip=0.5, steps=20)}


def build(setup: Setup, place: Place = Place()) -> Guarantee:  # noqa: B008 - a frozen value
    """The law Q around its random start, in float64 on the CPU."""
    in_range(setup, ("examples", "hidden", "lr", "inner", "samples", "delta", "delta_samples", "steps"), ("flip",))
    if max(setup.delta, setup.delta_samples) >= 1 or setup.samples < 2:
        raise UserError("delta", "a chance of 1 or more promises nothing",
                        "give chances below 1 and --samples 2 or more")
    return Guarantee(setup)
