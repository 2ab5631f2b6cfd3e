r"""The restricted Boltzmann machine: layers that learn what their inputs look like, before anyone names them.

Visible units v and hidden units h, all 0 or 1, no connection inside a layer:

    E(v, h) = -a.v - b.h - v^T W h,   p(v, h) = e^{-E(v, h)} / Z               (1)

Given one layer the units of the other are independent, and the sum over all 2^n hidden states has a closed form,

    p(h_j = 1 | v) = sigma(b_j + v^T W_j),   p(v_i = 1 | h) = sigma(a_i + W_i h)    (2)
    F(v) = -a.v - sum_j log(1 + e^{b_j + v^T W_j}),   p(v) = e^{-F(v)} / Z     (3)

The gradient of the log-likelihood is a difference of two correlations, what the data show and what the machine dreams:

    d log p / d W = <v h^T>_data - <v h^T>_model                               (4)

The second needs a sum over all states. Contrastive divergence lets the machine dream for k steps only, starting at
the data:

    dW ~ <v h^T>_data - <v h^T>_k                                              (5)

The surprise: (5) is the gradient of no function at all, and one step of it points the right way. The hidden
units become stroke detectors, and those were the first weights of the deep networks of 2006.

Smolensky 1986; Hinton 2002 (5); Sutskever and Tieleman 2010 (no gradient); Hinton, Osindero, Teh 2006;
Hinton and Salakhutdinov 2006.
"""

from dataclasses import dataclass
from math import isqrt
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from shinso.basics.dropout_ensemble import every_mask
from shinso.core.axes import bare
from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range
from shinso.data.examples import open_data

Weights = tuple[Tensor, Tensor, Tensor]
"""W (visible, hidden), a (visible,), b (hidden,)"""


def energy(weights: Weights, v: Tensor, h: Tensor) -> Tensor:
    """E for v (..., visible) and h (..., hidden)."""
    W, a, b = weights
    return -(v @ a) - (h @ b) - ((v @ W) * h).sum(-1)  # (1)


def free_energy(weights: Weights, v: Tensor) -> Tensor:
    """F for v (..., visible)."""
    W, a, b = weights
    return -(v @ a) - torch.nn.functional.softplus(b + v @ W).sum(-1)  # (3)


def hidden_given(weights: Weights, v: Tensor) -> Tensor:
    """p(h = 1 | v)."""
    return (weights[2] + v @ weights[0]).sigmoid()  # (2)


def visible_given(weights: Weights, h: Tensor) -> Tensor:
    """p(v = 1 | h)."""
    return (weights[1] + h @ weights[0].T).sigmoid()  # (2)


def tossed(p: Tensor, draw: torch.Generator) -> Tensor:
    """0 or 1 with probability p."""
    return (torch.rand(p.shape, generator=draw, dtype=p.dtype) < p).to(p.dtype)


def dream(weights: Weights, v: Tensor, k: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """After k rounds of v -> h -> v: the last visible states and their probabilities."""
    p = v
    for _ in range(k):
        p = visible_given(weights, tossed(hidden_given(weights, v), draw))
        v = tossed(p, draw)
    return v, p


def contrast(weights: Weights, v: Tensor, dreamt: Tensor) -> Weights:
    """Mean of (5) over a batch (n, visible): the directions for W, a, b."""
    h, other = hidden_given(weights, v), hidden_given(weights, dreamt)
    return (v.T @ h - dreamt.T @ other) / len(v), (v - dreamt).mean(0), (h - other).mean(0)


def first_weights(visible: int, hidden: int, size: float, seed: int) -> Weights:
    """W normal of deviation `size`, biases 0."""
    W = size * torch.randn(visible, hidden, generator=generator(seed, "weights"), dtype=torch.float64)
    return W, torch.zeros(visible, dtype=torch.float64), torch.zeros(hidden, dtype=torch.float64)


def _digits() -> dict[str, Tensor]:
    """The 8x8 digits, (n, 64), a pixel 1 where it has half of the ink."""
    data = open_data("digits:8x8")
    return {name: (getattr(data, name).inputs.flatten(1) > 127).double() for name in ("train", "validation", "test")}


@final
class Machine:
    """One step is one batch and one contrastive update."""

    def __init__(self, setup: "Setup"):
        self.setup, self.data = setup, _digits()
        self.rhythm = max(1, len(self.data["train"]) // setup.batch_size)
        self.total = setup.epochs * self.rhythm
        self.weights = first_weights(64, setup.hidden, 0.1, setup.seed)
        ink = self.data["train"].mean(0).clamp(0.01, 0.99)
        self.weights[1].copy_(ink.logit())
        self.draw = generator(setup.seed, "draw")

    def step(self, i: int) -> Record:
        rows = torch.randint(len(self.data["train"]), (self.setup.batch_size,), generator=self.draw)
        v = self.data["train"][rows]
        dreamt, p = dream(self.weights, v, self.setup.rounds, self.draw)
        for weight, direction in zip(self.weights, contrast(self.weights, v, dreamt), strict=True):
            weight += self.setup.lr * direction
        return {"reconstruction": (v - p).square().mean(), "loss": free_energy(self.weights, v).mean()
                - free_energy(self.weights, dreamt).mean()}

    def evaluate(self, split: str) -> Record:
        """`loss`: squared error of mean-field reconstructions; `free_energy_gap`: above the training part."""
        v = self.data[split]
        again = visible_given(self.weights, hidden_given(self.weights, v))
        gap = free_energy(self.weights, v).mean() - free_energy(self.weights, self.data["train"]).mean()
        return {"loss": (v - again).square().mean(), "free_energy_gap": gap}

    def state(self) -> dict[str, Any]:
        return {"weights": list(self.weights), "draw": self.draw.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        for weight, saved in zip(self.weights, state["weights"], strict=True):
            weight.copy_(saved)
        self.draw.set_state(state["draw"])

    def pictures(self) -> dict[str, np.ndarray]:
        """What each hidden unit looks for, digits with a hidden half restored, and what the machine dreams."""
        return {"filters": _filters(self.weights[0]), "restored": _restored(self), "dreams": _dreams(self)}


def _mosaic(images: Tensor, across: int) -> np.ndarray:
    """(n, 64) as one picture with empty lines between the images; values as they are."""
    down = -(-len(images) // across)
    canvas = np.full((9 * down + 1, 9 * across + 1), np.nan)
    for k, image in enumerate(images.numpy()):
        y, x = 9 * (k // across) + 1, 9 * (k % across) + 1
        canvas[y : y + 8, x : x + 8] = image.reshape(8, 8)
    return canvas


def _filters(W: Tensor) -> np.ndarray:
    figure = sheet(600, 620)
    axes = figure.subplots()
    bound = float(W.abs().flatten().quantile(0.995))
    axes.imshow(_mosaic(W.T, max(1, isqrt(W.shape[1]))), cmap="coolwarm", vmin=-bound, vmax=bound)
    axes.set_title("W of each hidden unit / 各中間ユニットの重み", fontsize=11)
    axes.set_axis_off()
    return pixels(figure)


def _restored(program: Machine) -> np.ndarray:
    """The lower half is forgotten; it is dreamt anew while the upper half is held."""
    v = program.data["test"][:12]
    draw, x = generator(program.setup.seed, "restore"), v.clone()
    x[:, 32:], p = 0.0, v
    for _ in range(50):
        p = visible_given(program.weights, tossed(hidden_given(program.weights, x), draw))
        x = torch.cat([v[:, :32], tossed(p, draw)[:, 32:]], 1)
    figure = sheet(900, 340)
    dark = v.clone()
    dark[:, 32:] = 0.0
    shown = {"digit / 数字": v, "lower half forgotten / 下半分を隠す": dark,
             "restored / 復元": torch.cat([v[:, :32], p[:, 32:]], 1)}
    for axes, (name, images) in zip(figure.subplots(3, 1), shown.items(), strict=True):
        bare(axes, _mosaic(images, 12), name)
    return pixels(figure)


def _dreams(program: Machine) -> np.ndarray:
    draw = generator(program.setup.seed, "dream")
    x, columns = tossed(torch.full((8, 64), 0.5, dtype=torch.float64), draw), []
    for k in (1, 9, 90, 400):
        x, p = dream(program.weights, x, k, draw)
        columns.append(p)
    figure = sheet(700, 420)
    for axes, p, name in zip(figure.subplots(1, 4), columns, ("1", "10", "100", "500"), strict=True):
        bare(axes, _mosaic(p, 2), f"{name} rounds / 回")
    return pixels(figure)


def _tiny(seed: int, size: float = 1.0) -> tuple[Weights, Tensor, Tensor]:
    """A machine of 4 + 3 units and all their states."""
    draw = generator(seed, "tiny")
    weights = tuple(size * torch.randn(*shape, generator=draw, dtype=torch.float64) for shape in ((4, 3), (4,), (3,)))
    return weights, every_mask(4), every_mask(3)  # pyright: ignore[reportReturnType] - three of them


def _joint(weights: Weights, v: Tensor, h: Tensor) -> Tensor:
    """p(v, h) of all states, (16, 8), by the sum."""
    e = torch.exp(-energy(weights, v[:, None], h[None]))
    return e / e.sum()


def the_free_energy_is_the_sum() -> Check:
    """For 20 machines of 4+3 units (3) equals -log of the sum over all 8 hidden states, at all 16 visible ones.

    Source: equation (3), summed by brute force
    """
    worst = 0.0
    for seed in range(20):
        weights, v, h = _tiny(seed)
        summed = -torch.exp(-energy(weights, v[:, None], h[None])).sum(1).log()
        worst = max(worst, float((summed - free_energy(weights, v)).abs().max()))
    return at_most(worst, 1e-13)


def the_conditionals_are_those_of_the_table() -> Check:
    """(2) agrees with p(h_j = 1 | v) and p(v_i = 1 | h) from the table of all 128 states.

    Source: Smolensky 1986
    """
    weights, v, h = _tiny(0)
    p = _joint(weights, v, h)
    one = (p @ h) / p.sum(1, keepdim=True) - hidden_given(weights, v)
    other = (p.T @ v) / p.sum(0)[:, None] - visible_given(weights, h)
    return at_most(float(torch.maximum(one.abs().max(), other.abs().max())), 1e-14)


def _exact(weights: Weights, v: Tensor, h: Tensor, data: Tensor) -> Tensor:
    """(4) for W, with data as probabilities of the 16 visible states."""
    return v.T @ (data[:, None] * hidden_given(weights, v)) - v.T @ _joint(weights, v, h) @ h


def _expected_contrast(weights: Weights, v: Tensor, h: Tensor, data: Tensor) -> Tensor:
    """The mean of (5) over all that can be drawn, with one round."""
    on = hidden_given(weights, v)
    to_h = torch.where(h[None] > 0, on[:, None], 1 - on[:, None]).prod(-1)
    back = visible_given(weights, h)
    to_v = torch.where(v[None] > 0, back[:, None], 1 - back[:, None]).prod(-1)
    later = data @ to_h @ to_v
    return v.T @ ((data - later)[:, None] * on)


def the_gradient_is_a_difference_of_correlations() -> Check:
    """(4) agrees with autograd of the mean log-likelihood, its Z summed over all states: the largest difference.

    Source: equation (4); Ackley, Hinton, Sejnowski 1985
    """
    (W, a, b), v, h = _tiny(3)
    data = torch.rand(16, generator=generator(0, "data"), dtype=torch.float64).softmax(0)
    W = W.requires_grad_(True)
    free = free_energy((W, a, b), v)
    (truth,) = torch.autograd.grad((data * -free).sum() - (-free).logsumexp(0), W)
    return at_most(float((truth - _exact((W.detach(), a, b), v, h, data)).abs().max()), 1e-14)


def one_round_points_the_right_way() -> Check:
    """In 100 tiny machines the mean of CD-1 has a positive product with the exact gradient: the smallest cosine.

    Source: Hinton 2002; Carreira-Perpinan and Hinton 2005
    """
    return at_least(min(_agreement(seed)[0] for seed in range(100)), 0.5)


def one_round_has_the_right_signs() -> Check:
    """In them at least 85 % of the components of CD-1 have the sign of the exact gradient.

    Source: Hinton 2002
    """
    return at_least(float(np.mean([_agreement(seed)[1] for seed in range(100)])), 0.85)


def _agreement(seed: int) -> tuple[float, float]:
    """Cosine and share of equal signs between the mean of CD-1 and the exact gradient, on data of four states."""
    weights, v, h = _tiny(seed, 0.5)
    data = torch.zeros(16, dtype=torch.float64)
    data[torch.randperm(16, generator=generator(seed, "data"))[:4]] = 0.25
    exact, one = _exact(weights, v, h, data), _expected_contrast(weights, v, h, data)
    cosine = float((exact * one).sum() / (exact.norm() * one.norm()))
    return cosine, float((exact.sign() == one.sign()).double().mean())


def the_digits_come_back() -> Check:
    """After 10 passes over the digits the error of test reconstructions is less than half of that by the mean digit.

    Source: Hinton and Salakhutdinov 2006
    """
    program = Machine(Setup(epochs=10))
    mean = (program.data["test"] - program.data["train"].mean(0)).square().mean()
    for i in range(program.total):
        program.step(i)
    return at_most(float(program.evaluate("test")["loss"]) / float(mean), 0.5)


CARD = Card(
    name="Restricted Boltzmann machine",
    name_ja="制限付きボルツマンマシン (RBM)",
    paper="Hinton, Osindero, Teh 2006, doi:10.1162/neco.2006.18.7.1527; Hinton 2002; Smolensky 1986",
    equations=(
        r"E(v, h) = -a \cdot v - b \cdot h - v^T W h,\quad p(v, h) = e^{-E(v, h)}/Z",
        r"p(h_j = 1 \mid v) = \sigma(b_j + v^T W_j),\quad p(v_i = 1 \mid h) = \sigma(a_i + W_i h)",
        r"F(v) = -a \cdot v - \sum_j \log(1 + e^{b_j + v^T W_j})",
        r"\frac{\partial \log p}{\partial W} = \langle v h^T \rangle_{data} - \langle v h^T \rangle_{model}",
        r"\Delta W \sim \langle v h^T \rangle_{data} - \langle v h^T \rangle_k",
    ),
    summary="Learns what digits look like without labels, by comparing what it sees with a short dream of its own.",
    summary_ja="見たものと自分の短い夢を比べるだけで、ラベルなしに数字の形を学ぶ。",
    topics=("basics.pretraining-rbm",),
    facts=(
        the_free_energy_is_the_sum,
        the_conditionals_are_those_of_the_table,
        the_gradient_is_a_difference_of_correlations,
        one_round_points_the_right_way,
        one_round_has_the_right_signs,
        the_digits_come_back,
    ),
    notes=("A document names the RBM in its text and the autoencoder in its timeline for the same year 2006: two "
           "papers, one on deep belief nets and one on autoencoders that begin with the same machines.",),
    notes_ja=("ある資料は同じ2006年について、本文ではRBM、年表ではオートエンコーダーを挙げる。"
              "ディープビリーフネットと、同じRBMから始めるオートエンコーダーの二つの論文がある。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The machine and its training on the package's 8x8 digits."""

    hidden: int = 64
    """hidden units"""
    rounds: int = 1
    """k of (5), rounds of dreaming for each update"""
    epochs: int = 100
    """passes over the training part"""
    batch_size: int = 20
    """digits per step"""
    lr: float = 0.1
    """learning rate"""
    seed: int = 0
    """of the weights, the batches and the dreams"""


VARIANTS = {
    "smoke": Setup(epochs=1, hidden=16),
    "default": Setup(),
    "cd-10": Setup(rounds=10),
}


def build(setup: Setup, place: Place = Place()) -> Machine:  # noqa: B008 - Place is frozen
    """An untrained machine; it computes in float64 on the CPU wherever `place` is."""
    in_range(setup, ("hidden", "rounds", "epochs", "batch_size", "lr"))
    return Machine(setup)
