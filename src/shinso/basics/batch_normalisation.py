r"""Batch normalisation in training: every layer sees inputs of one size (Ioffe and Szegedy 2015).

    z = W h,   zhat = (z - mean) / sqrt(var + eps),   h' = max(gamma zhat + beta, 0)                (1)

with mean and variance of each unit over the batch. Without it the size of the signal is a product over the layers:
weights with variance v / n multiply it by v / 2 at every ReLU layer, so that after 50 layers it is

    std_50 ~ std_0 (v / 2)^25                                                                       (2)

With it, the factor of W cancels. The surprise is how much that allows: W and 10 W give the same network, so a rate that
makes a plain network's numbers run away only makes these weights longer - and their gradient shorter.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import drawing_from, generator
from shinso.core.setup import in_range
from shinso.data.digits import originals
from shinso.learn.sweep import Columns, Sweep


@final
class Deep(nn.Module):
    """ReLU layers with (1) or plain ones, and an affine map at the end: (batch, sizes[0]) -> (batch, sizes[-1])."""

    def __init__(self, sizes: tuple[int, ...], *, normalised: bool):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm1d(m) if normalised else nn.Identity() for m in sizes[1:-1])

    def forward(self, x: Tensor) -> Tensor:
        for layer, norm in zip(self.layers[:-1], self.norms, strict=True):
            x = F.relu(norm(layer(x)))  # (1)
        return self.layers[-1](x)


def spreads(depth: int, width: int, variance: float, *, normalised: bool) -> Tensor:
    """Standard deviation of the activations after each of `depth` layers, weights of variance `variance`/width."""
    draw = generator(0, "depth")
    h, found = torch.randn(256, width, generator=draw), []
    for _ in range(depth):
        z = h @ (torch.randn(width, width, generator=draw) * (variance / width) ** 0.5)
        h = F.relu(F.batch_norm(z, None, None, training=True) if normalised else z)
        found.append(h.std())
    return torch.stack(found)


def train(rate: float, setup: "Setup", *, normalised: bool) -> tuple[float, float]:
    """(accuracy on 500 other digits, whether the numbers ran away: 0 or 1) after a few steps of SGD with `rate`."""
    images, labels = originals()
    X, y = torch.from_numpy(images.reshape(-1, 64) / np.float32(8)) - 1, torch.from_numpy(labels)
    with drawing_from(setup.seed, "weights"):
        net = Deep((64, *[setup.width] * 3, 10), normalised=normalised)
        for layer in net.layers:
            torch.Tensor.mul_(layer.weight.data, setup.gain)  # pyright: ignore
    rule, draw = torch.optim.SGD(net.parameters(), lr=rate), generator(setup.seed, "batches")
    for _ in range(setup.steps):
        rows = torch.randint(1200, (64,), generator=draw)
        rule.zero_grad()
        loss = F.cross_entropy(net(X[rows]), y[rows])
        if not loss.isfinite():
            return 0.0, 1.0
        loss.backward()
        rule.step()
    with torch.no_grad():  # batch statistics of the 500 stand in for moving averages of a few steps
        logits = net(X[1297:])
    return float((logits.argmax(1) == y[1297:]).float().mean()), float(not logits.isfinite().all())


def normalised_layers_keep_their_size() -> Check:
    """Over 50 random ReLU layers with (1) the least standard deviation is at least 0.3.

    Source: Ioffe and Szegedy 2015, section 1
    """
    return at_least(float(spreads(50, 100, 1.0, normalised=True).min()), 0.3)


def and_do_not_grow() -> Check:
    """Over the same 50 layers, and with weights 10 times as large, the largest standard deviation is at most 3.

    Source: Ioffe and Szegedy 2015, section 3.3: BN(aW h) = BN(W h)
    """
    return at_most(max(float(spreads(50, 100, v, normalised=True).max()) for v in (1.0, 100.0)), 3.0)


def plain_layers_fade() -> Check:
    """Without it, weights of variance 1/n leave less than 0.001 after 50 layers.

    Source: equation (2) with v = 1
    """
    return at_most(float(spreads(50, 100, 1.0, normalised=False)[-1]), 1e-3)


def plain_layers_explode() -> Check:
    """Without it, weights of variance 4/n leave more than 1,000 after 50 layers.

    Source: equation (2) with v = 4
    """
    return at_least(float(spreads(50, 100, 4.0, normalised=False)[-1]), 1e3)


def the_plain_size_is_a_power() -> Check:
    """Without it the logarithm of the spread changes by 1/2 log(v/2) per layer: within 0.05 for v = 4 and width 100.

    Source: He et al. 2015, equation (10); equation (2)
    """
    found = spreads(50, 100, 4.0, normalised=False).log()
    return about(float((found[-1] - found[9]) / 40), 0.5 * float(np.log(2.0)), 0.05)


def ten_times_the_weights_are_the_same_network() -> Check:
    """With (1) and an epsilon of 1e-30, W and 10 W give the same activations, to 1e-12.

    Source: Ioffe and Szegedy 2015, section 3.3
    """
    z = torch.randn(32, 20, generator=generator(0, "scale"), dtype=torch.float64)
    one, ten = (F.batch_norm(a * z, None, None, training=True, eps=1e-30) for a in (1, 10))
    return at_most(float((one - ten).abs().max()), 1e-12)


def it_trains_at_a_rate_that_kills_the_plain_net() -> Check:
    """At rate 2 the four-layer net with (1) answers over 80 percent of unseen digits right; the plain one below 20.

    Source: Ioffe and Szegedy 2015, section 4.2.1; the documents compare a four-layer net
    """
    (accuracy, _), (dead, _) = (train(2.0, Setup(steps=60), normalised=flag) for flag in (True, False))
    return at_least(accuracy if dead < 0.2 else 0.0, 0.8)


def it_trains_where_the_plain_net_runs_away() -> Check:
    """From weights 10 times as large, at rate 2, it answers over 70 percent right; the plain net's loss is nan.

    Source: Ioffe and Szegedy 2015, section 3.3
    """
    setup = Setup(steps=60, gain=10.0, seed=2)
    (accuracy, _), (_, ran_away) = (train(2.0, setup, normalised=flag) for flag in (True, False))
    return at_least(accuracy if ran_away else 0.0, 0.7)


CARD = Card(
    name="Batch normalisation in training",
    name_ja="バッチ正規化による学習の安定化",
    paper="Ioffe and Szegedy 2015, Batch normalization, arXiv:1502.03167",
    equations=(
        r"\hat z = (z - \mathrm{E}\,z)/\sqrt{\mathrm{Var}\,z + \epsilon},\quad h' = \max(\gamma\hat z + \beta, 0)",
        r"\mathrm{std}_{50} \approx \mathrm{std}_0\,(v/2)^{25}",
    ),
    summary="Gives every layer inputs of one size: deep networks keep their signal, and large learning rates work.",
    summary_ja="どの層の入力も同じ大きさに揃える。深いネットワークでも信号が保たれ、大きな学習率でも学習できる。",
    topics=("learn.batch-norm-training",),
    facts=(
        normalised_layers_keep_their_size,
        and_do_not_grow,
        plain_layers_fade,
        plain_layers_explode,
        the_plain_size_is_a_power,
        ten_times_the_weights_are_the_same_network,
        it_trains_at_a_rate_that_kills_the_plain_net,
        it_trains_where_the_plain_net_runs_away,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A four-layer network on digits, with and without (1), at many learning rates."""

    rates: int = 41
    """learning rates, from 0.001 to 100"""
    steps: int = 100
    """steps of SGD with each of them"""
    width: int = 64
    """units of each of the three hidden layers"""
    gain: float = 1.0
    """factor on torch's first weights, which are small"""
    seed: int = 0
    """of the first weights and the batches"""


VARIANTS = {"smoke": Setup(rates=40, steps=4, width=32), "default": Setup()}


def build(setup: Setup, place: Place = Place()) -> Sweep:  # noqa: B008 - a frozen value
    """One step trains both networks with one rate."""
    in_range(setup, ("rates", "steps", "width"))

    def measure(rate: float) -> Record:
        (with_it, _), (without, ran_away) = (train(rate, setup, normalised=flag) for flag in (True, False))
        return {"rate": rate, "accuracy": with_it, "accuracy_plain": without, "ran_away_plain": ran_away}

    return Sweep(np.logspace(-3, 2, setup.rates).tolist(), measure, _draw)


def _draw(rows: Columns) -> dict[str, np.ndarray]:
    rates, layers = sheet(800, 340), sheet(800, 340)
    axes = rates.subplots()
    axes.semilogx(rows["rate"], 100 * rows["accuracy"], label="with (1) / あり")
    axes.semilogx(rows["rate"], 100 * rows["accuracy_plain"], label="plain / なし")
    lost = rows["ran_away_plain"] > 0
    axes.semilogx(rows["rate"][lost], 0 * rows["rate"][lost], "rx", label="nan")
    axes.set(xlabel="learning rate / 学習率", ylabel="accuracy, % / 正解率", ylim=(-3, 100))
    axes.legend()
    axes = layers.subplots()
    for flag, v, style in ((True, 1.0, "-"), (True, 4.0, ":"), (False, 1.0, "-"), (False, 4.0, ":")):
        name = "with (1) / あり" if flag else "plain / なし"
        axes.semilogy(np.arange(1, 51), spreads(50, 100, v, normalised=flag).numpy(), style,
                      color="tab:blue" if flag else "tab:orange", label=f"{name}, v = {v:g}")
    axes.set(xlabel="layer / 層", ylabel="standard deviation / 標準偏差")
    axes.legend()
    return {"by_rate": pixels(rates), "layer_spread": pixels(layers)}
