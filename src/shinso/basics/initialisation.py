r"""Initialisation near zero: near, not at (Glorot and Bengio 2010; He et al. 2015).

Weights that start equal stay equal: for hidden units j and k with the same weights

    dJ/dw_j = dJ/dw_k  at every step,   and all of them 0 when W = V = 0                            (1)

so chance must tell them apart. How large? For L ReLU layers of width n with W_ij ~ N(0, v/n) the second moment is

    E |h_L|^2 = (v/2)^L |h_0|^2                                                                     (2)

which only v = 2 leaves alone. The surprise: even then one network is not the average. The factors of the layers are
independent, (2/n) sum_i max(g_i, 0)^2 with variance 5/n, so over random networks

    Var log(|h_L|^2 / |h_0|^2) ~ 5 L / n                                                            (3)

and a deep narrow net starts with a signal that is large or small by luck.
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import drawing_from, generator
from shinso.core.setup import in_range
from shinso.data.digits import originals


def layer(h: Tensor, v: float, draw: torch.Generator) -> Tensor:
    """One more ReLU layer of each random network: h (networks, n) -> (networks, n), W_ij ~ N(0, v/n)."""
    n = h.shape[1]
    W = torch.randn(len(h), n, n, generator=draw, dtype=h.dtype) * (v / n) ** 0.5
    return F.relu(torch.einsum("dij,dj->di", W, h))


def log_moment(h: Tensor) -> Tensor:
    """log of the mean square of each network's signal, (networks,)."""
    return h.double().square().mean(1).log()


@final
class Layers:
    """Many random networks, one layer deeper at each step."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.depth
        draw = generator(setup.seed, "inputs")
        self.h = torch.randn(setup.networks, setup.width, generator=draw, dtype=torch.float64)
        self.start = log_moment(self.h)
        self.drawn: list[list[float]] = []

    def step(self, i: int) -> Record:
        self.h = layer(self.h, 2.0, generator(self.setup.seed, f"layer/{i}"))
        change = log_moment(self.h) - self.start
        predicted = 5 * (i + 1) / self.setup.width  # (3)
        # four standard errors of a variance, and what (3) leaves out: the next order in 1/n, 5/n of it and more
        within = predicted * (4 * (2 / (self.setup.networks - 1)) ** 0.5 + 12 / self.setup.width)
        self.drawn.append([float(change.var()), predicted, float(change.quantile(0.05)), float(change.quantile(0.95))])
        return {"measured": change.var(), "predicted": predicted, "within": within, "log_moment": change.mean(),
                "moment": change.exp().mean()}

    def state(self) -> dict[str, Any]:
        return {"h": self.h, "drawn": torch.tensor(self.drawn, dtype=torch.float64)}

    def restore(self, state: dict[str, Any]) -> None:
        self.h, self.drawn = state["h"].clone(), state["drawn"].tolist()

    def pictures(self) -> dict[str, np.ndarray]:
        """Left: four variances in one network each. Right: (3) against these networks."""
        figure = sheet(900, 340)
        left, right = figure.subplots(1, 2)
        n = self.setup.width
        for name, v in (("std 0.01", 1e-4 * n), ("1/n", 1.0), ("2/n (He)", 2.0), ("4/n", 4.0)):
            draw, sizes = generator(0, "look"), []
            h = torch.randn(20, n, generator=draw)
            for _ in range(self.total):
                h = layer(h, v, draw)
                sizes.append(max(float(h.square().mean().sqrt()), 1e-30))
            left.semilogy(np.arange(1, self.total + 1), sizes, label=name)
        left.set(xlabel="layer / 層", ylabel="size of the signal / 信号の大きさ", ylim=(1e-20, 1e10))
        if self.drawn:
            rows = np.array(self.drawn)
            right.plot(np.arange(1, len(rows) + 1), rows[:, 0], ".", label="measured / 測定")
            right.plot(np.arange(1, len(rows) + 1), rows[:, 1], label="5 L / n (3)")
            right.legend()
        right.set(xlabel="layer L / 層", ylabel="variance of the logarithm / 対数の分散")
        left.legend()
        return {"starts": pixels(figure)}


def _trained(fill: float | None) -> nn.Sequential:
    """A net of 8 hidden units after 30 steps on digits, all weights started at `fill` (or torch's)."""
    images, labels = originals()
    X, y = torch.from_numpy(images[:200].reshape(-1, 64) / 16.0), torch.from_numpy(labels[:200])
    with drawing_from(0, "net"):
        net = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10)).double()
    if fill is not None:
        for weight in net.parameters():
            nn.init.constant_(weight, fill)
    rule = torch.optim.SGD(net.parameters(), lr=0.5)
    for _ in range(30):
        rule.zero_grad()
        F.cross_entropy(net(X), y).backward()
        rule.step()
    return net


def _apart(net: nn.Sequential) -> float:
    """How different the hidden units are: the largest difference of any unit's weights from the first one's."""
    W = net[0].weight.detach()  # pyright: ignore[reportCallIssue]
    return float((W - W[0]).abs().max())  # pyright: ignore


def zero_stays_zero() -> Check:
    """From weights that are all 0 the hidden weights are exactly 0 after 30 steps.

    Source: equation (1): dJ/dW holds V, dJ/dV holds h, and both are 0
    """
    return exactly(float(_trained(0.0)[0].weight.detach().abs().max()), 0.0)  # pyright: ignore


def equal_stays_equal() -> Check:
    """From weights that are all 0.1 the hidden units change, but after 30 steps they are the same to 1e-14.

    Source: equation (1)
    """
    net = _trained(0.1)
    moved = float((net[0].weight.detach() - 0.1).abs().max())  # pyright: ignore
    return at_most(_apart(net) if moved > 1e-3 else 1.0, 1e-14)


def chance_tells_them_apart() -> Check:
    """From random weights the hidden units differ by more than 0.1 after the same steps.

    Source: Rumelhart, Hinton, Williams 1986, on breaking symmetry
    """
    return at_least(_apart(_trained(None)), 0.1)


def _after(depth: int, n: int, v: float, networks: int) -> Tensor:
    draw = generator(0, f"fact/{depth}/{n}/{v}")
    h = torch.randn(networks, n, generator=draw)
    start = log_moment(h)
    for _ in range(depth):
        h = layer(h, v, draw)
    return log_moment(h) - start


def the_variance_is_5_l_over_n() -> Check:
    """Over 200 networks of 10 layers of width 200 the variance of (3) is 0.25 within 4 standard errors, 0.1.

    Source: Hanin and Nica 2019, theorem 1; equation (3)
    """
    return about(float(_after(10, 200, 2.0, 200).var()), 0.25, 4 * 0.25 * (2 / 199) ** 0.5)


def he_keeps_the_second_moment() -> Check:
    """Over 2,000 networks of 10 layers of width 50 with v = 2 the mean of the ratio is 1 within 4 standard errors.

    Source: He et al. 2015, equation (10); equation (2)
    """
    ratio = _after(10, 50, 2.0, 2000).exp()
    return at_most(abs(float((ratio.mean() - 1) / (ratio.std() / len(ratio) ** 0.5))), 4.0)


def too_near_zero_is_silence() -> Check:
    """Weights of standard deviation 0.01 in 10 layers of width 100 leave less than 1e-20 of the second moment.

    Source: Glorot and Bengio 2010, section 4.2; (2) with v = 0.01: 5e-3^10
    """
    return at_most(float(_after(10, 100, 0.01, 20).exp().max()), 1e-20)


CARD = Card(
    name="Initialisation near zero",
    name_ja="0 の近くからの初期化",
    paper="Glorot and Bengio 2010, AISTATS; He et al. 2015, Delving deep into rectifiers, arXiv:1502.01852",
    equations=(
        r"\partial J/\partial w_j = \partial J/\partial w_k",
        r"\mathrm{E}\,|h_L|^2 = (v/2)^L\,|h_0|^2",
        r"\mathrm{Var}\,\log(|h_L|^2/|h_0|^2) \approx 5L/n",
    ),
    summary="Weights must start near zero but apart: how large they may be so that a deep net keeps its signal.",
    summary_ja="重みは 0 の近くで、しかし互いに異なる値から始める。深くても信号が保たれる大きさを確かめる。",
    topics=("learn.init-near-zero",),
    facts=(
        zero_stays_zero,
        equal_stays_equal,
        chance_tells_them_apart,
        the_variance_is_5_l_over_n,
        he_keeps_the_second_moment,
        too_near_zero_is_silence,
    ),
    notes=("The documents say near 0 and give no formula: too near, and nothing arrives after a few layers.",),
    notes_ja=("講義資料は「0 の近く」と言うだけで式を示していない。近すぎると、数層で信号が消えてしまう。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Random ReLU networks with He's start."""

    networks: int = 500
    """random networks"""
    width: int = 100
    """units n of each layer"""
    depth: int = 50
    """layers L"""
    seed: int = 0
    """of the inputs and the weights"""


VARIANTS = {"smoke": Setup(networks=100, width=40, depth=40), "default": Setup()}


def build(setup: Setup, place: Place = Place()) -> Layers:  # noqa: B008 - a frozen value
    """The networks, in float64 on the CPU; at least two of them, for a variance."""
    in_range(setup, ("networks", "width", "depth"))
    return Layers(setup if setup.networks > 1 else Setup(networks=2, width=setup.width, depth=setup.depth,
                                                         seed=setup.seed))
