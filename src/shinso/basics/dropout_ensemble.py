r"""Dropout: at every step a random half of the hidden units is not there (Hinton et al. 2012; Srivastava et al. 2014).

    h = max(W x + b, 0) . mu / (1 - p),   mu_j = 0 with probability p, else 1                       (1)

Each mask leaves another network; all of them share their weights. The surprise: for one softmax layer the renormalised
geometric mean of all 2^n thinned networks is a single pass with halved weights,

    prod_mu softmax(W (x . mu))^(1/2^n)  is proportional to  softmax(W x / 2)                       (2)

so an ensemble that nobody could train is asked at once; with a bend between layers that is only nearly so. In a linear
model the noise can be averaged beforehand,

    E_mu ||y - X (mu . w) / (1 - p)||^2 = ||y - X w||^2 + p / (1 - p) sum_j w_j^2 sum_i x_ij^2      (3)

a ridge penalty that measures each weight by its input. Read as Bayes' rule (Gal and Ghahramani 2016), What = W diag(mu)
is drawn from the variational distribution q(What), and the penalty is its divergence from the prior.
"""

import copy
from dataclasses import dataclass, replace
from itertools import pairwise, product
from math import prod
from typing import cast, final

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from shinso.basics._few_digits import few
from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.seed import drawing_from, generator
from shinso.core.setup import in_range
from shinso.data.batches import sweep
from shinso.data.examples import Dataset, open_data
from shinso.learn.classify import CLASSIFY
from shinso.learn.supervised import Batch, Plan, Supervised
from shinso.optim.adam import Adam


@final
class Thinned(nn.Module):
    """An MLP whose hidden units may be missing: (batch, ...) flattened to (batch, sizes[0]) -> (batch, sizes[-1])."""

    def __init__(self, sizes: tuple[int, ...], p: float):
        super().__init__()
        self.layers, self.p = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(sizes)), p

    def forward(self, x: Tensor) -> Tensor:
        """Every unit takes part: the ensemble's answer in one pass."""
        return self.thinned(x, None)

    def thinned(self, x: Tensor, draw: Generator | None) -> Tensor:
        """(1), with new masks for every example from `draw`."""
        h = x.flatten(1)
        for layer in self.layers[:-1]:
            h = F.relu(layer(h))
            if draw is not None:
                h = h * (torch.rand(h.shape, generator=draw, device=h.device) >= self.p) / (1 - self.p)  # (1)
        return self.layers[-1](h)


def objective(model: nn.Module, batch: Batch, noise: Generator) -> dict[str, Tensor]:
    """Cross entropy of networks that are thinned anew at every step."""
    inputs, targets = batch
    return {"loss": F.cross_entropy(cast(Thinned, model).thinned(inputs, noise), targets)}


def every_mask(n: int) -> Tensor:
    """All 2^n masks of n units, float64 (2^n, n)."""
    return torch.tensor(list(product((0.0, 1.0), repeat=n)), dtype=torch.float64)


def geometric_mean(logits: Tensor) -> Tensor:
    """The renormalised geometric mean of the answers softmax(logits): (networks, ..., classes) -> (..., classes)."""
    return logits.log_softmax(-1).mean(0).softmax(-1)


def expected_loss(X: Tensor, y: Tensor, w: Tensor, p: float) -> Tensor:
    """The left side of (3), by adding up all masks with their probabilities; X (n, d), y (n,), w (d,)."""
    masks = every_mask(X.shape[1])
    ones = masks.sum(1)
    chances = (1 - p) ** ones * p ** (X.shape[1] - ones)
    return chances @ (y - (masks * w / (1 - p)) @ X.T).square().sum(1)


def closed_form(X: Tensor, y: Tensor, w: Tensor, p: float) -> Tensor:
    """The right side of (3)."""
    return (y - X @ w).square().sum() + p / (1 - p) * (w.square() @ X.square().sum(0))


@torch.no_grad()
def pictures(model: nn.Module, data: Dataset) -> dict[str, np.ndarray]:
    """How the average of k thinned networks comes close to the one pass."""
    if not len(data.test):
        return {}
    device, net = str(next(model.parameters()).device), copy.deepcopy(cast(Thinned, model)).cpu()
    draw = generator(0, "pictures")
    targets = data.test.targets.cpu()
    single, averaged, average = [], [], torch.zeros(len(targets), len(data.about.classes))
    inputs = torch.cat([batch for batch, _ in sweep(data.test, data.about, 500, device)]).cpu()
    for _ in range(64):
        logits = net.thinned(inputs, draw).log_softmax(1)
        average += logits
        single.append(float((logits.argmax(1) != targets).double().mean()))
        averaged.append(float((average.argmax(1) != targets).double().mean()))
    whole = float((net(inputs).argmax(1) != targets).double().mean())
    return {"thinned": _draw(single, averaged, whole)}


def _draw(single: list[float], averaged: list[float], whole: float) -> np.ndarray:
    figure = sheet(800, 360)
    axes = figure.subplots()
    k = np.arange(1, len(single) + 1)
    axes.plot(k, 100 * np.array(single), ".", color="0.7", label="one thinned network / 間引いた一つ")
    axes.plot(k, 100 * np.array(averaged), label="geometric mean of k / k 個の幾何平均")
    axes.axhline(100 * whole, color="tab:red", linestyle="--", label="all units, one pass / 全ユニット、一回")
    axes.set(xlabel="networks k", ylabel="errors on unseen data, % / 誤り率", ylim=(0, None))
    axes.legend()
    return pixels(figure)


def one_pass_is_the_geometric_mean() -> Check:
    """For a softmax layer of 10 inputs, the geometric mean over all 1,024 masks is the pass with W / 2, to 1e-12.

    Source: Baldi and Sadowski 2013, section 3; equation (2)
    """
    draw = generator(0, "softmax")
    W, x = torch.randn(4, 10, generator=draw, dtype=torch.float64), torch.randn(10, generator=draw, dtype=torch.float64)
    ensemble = geometric_mean((every_mask(10) * x) @ W.T)
    return at_most(float((ensemble - (W @ x / 2).softmax(0)).abs().max()), 1e-12)


def with_a_bend_it_is_not() -> Check:
    """With a ReLU between two layers the same geometric mean and the halved weights differ by more than 0.001.

    Source: Baldi and Sadowski 2013, section 4: exact only without hidden nonlinearity
    """
    draw = generator(0, "bend")
    W, V = (torch.randn(n, m, generator=draw, dtype=torch.float64) for n, m in ((6, 10), (4, 6)))
    x = torch.randn(10, generator=draw, dtype=torch.float64)
    ensemble = geometric_mean(F.relu((every_mask(10) * x) @ W.T) @ V.T)
    return at_least(float((ensemble - (V @ F.relu(W @ x / 2)).softmax(0)).abs().max()), 1e-3)


def _linear() -> tuple[Tensor, Tensor, Tensor]:
    draw = generator(0, "linear")
    X = torch.randn(15, 8, generator=draw, dtype=torch.float64) * torch.arange(1, 9)
    return X, torch.randn(15, generator=draw, dtype=torch.float64), torch.randn(8, generator=draw, dtype=torch.float64)


def the_noise_is_a_ridge_penalty() -> Check:
    """For p = 0.1, 0.3, 0.5, 0.8 both sides of (3) agree to 1e-12 of their size, over all 256 masks.

    Source: Gal and Ghahramani 2016, appendix; Wager, Wang, Liang 2013; equation (3)
    """
    X, y, w = _linear()
    off = [float(expected_loss(X, y, w, p) / closed_form(X, y, w, p) - 1) for p in (0.1, 0.3, 0.5, 0.8)]
    return at_most(max(map(abs, off)), 1e-12)


def its_minimum_is_a_ridge_solution() -> Check:
    """Where w solves (X^T X + p/(1-p) diag X^T X) w = X^T y the expected loss over all masks has gradient 0, to 1e-9.

    Source: Srivastava et al. 2014, section 9.1; equation (3)
    """
    X, y, _ = _linear()
    p, gram = 0.4, X.T @ X
    w = torch.linalg.solve(gram + p / (1 - p) * torch.diag(gram.diagonal()), X.T @ y).requires_grad_()
    (gradient,) = torch.autograd.grad(expected_loss(X, y, w, p), w)
    return at_most(float(gradient.abs().max()), 1e-9)


def a_plain_ridge_is_another() -> Check:
    """On inputs of unequal size a penalty p/(1-p) ||w||^2 on all weights alike is off by over 30 percent of the loss.

    Source: equation (3) weighs each w_j by the size of its input
    """
    X, y, w = _linear()
    alike = (y - X @ w).square().sum() + w.square().sum()
    return at_least(abs(float(1 - alike / expected_loss(X, y, w, 0.5))), 0.3)


CARD = Card(
    name="Dropout, an ensemble in one network",
    name_ja="ドロップアウト (一つのネットワークのアンサンブル)",
    paper="Srivastava et al. 2014, JMLR 15; Baldi and Sadowski 2013; Gal and Ghahramani 2016, arXiv:1506.02142",
    equations=(
        r"h = \max(Wx + b, 0)\,\mu / (1 - p)",
        r"\prod_\mu \mathrm{softmax}(W(x\,\mu))^{1/2^n} \propto \mathrm{softmax}(Wx/2)",
        r"\mathrm{E}_\mu\|y - X(\mu w)/(1-p)\|^2 = \|y - Xw\|^2 + \frac{p}{1-p}\sum_j w_j^2\sum_i x_{ij}^2",
    ),
    summary="Trains a random half of the network at every step, and asks all halves at once in a single pass.",
    summary_ja="各ステップでネットワークのランダムな半分だけを訓練し、一回の順伝播ですべての半分に尋ねる。",
    topics=("learn.dropout-ensemble", "learn.dropout-bayes"),
    facts=(
        one_pass_is_the_geometric_mean,
        with_a_bend_it_is_not,
        the_noise_is_a_ridge_penalty,
        its_minimum_is_a_ridge_solution,
        a_plain_ridge_is_another,
    ),
    notes=("The documents call the distribution of What = W diag(mu) a prior; it is the variational posterior.",),
    notes_ja=("講義資料は What = W diag(mu) の分布を事前分布と呼ぶが、これは変分事後分布である。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A network that is large for the number of its examples."""

    data: str = "digits:8x8"
    """data set: digits, digits:8x8, mnist, two-moons, folder:PATH ..."""
    examples: int = 300
    """of the training part that are used; more than there are: all"""
    hidden: tuple[int, ...] = (512, 512)
    """units of each hidden layer"""
    p: float = 0.5
    """probability that a hidden unit is missing; 0: plain training"""
    epochs: int = 100
    """passes over the examples"""
    batch_size: int = 50
    """examples per step"""
    lr: float = 0.001
    """learning rate of Adam"""
    patience: int = 0
    """evaluations without improvement before stopping early; 0: never"""
    seed: int = 0
    """of the first weights, the order and the masks"""


VARIANTS = {
    "smoke": Setup(examples=100, epochs=20, hidden=(32,)),
    "default": Setup(),
    "without": Setup(p=0.0),
}


def build(setup: Setup, place: Place = Place()) -> Supervised:  # noqa: B008 - a frozen value
    """The training program on a part of the training data."""
    in_range(setup, ("examples", "epochs", "batch_size", "lr"), ("p",))
    data = few(open_data(setup.data), setup.examples)
    with drawing_from(setup.seed, "weights"):
        network = Thinned((prod(data.about.shape), *setup.hidden, len(data.about.classes)), min(setup.p, 0.99))
    optimiser = Adam(network.to(place.device).parameters(), lr=setup.lr, fused=place.device != "mps")
    plan = Plan(epochs=setup.epochs, batch_size=setup.batch_size, seed=setup.seed)
    return Supervised(network, optimiser, replace(CLASSIFY, objective=objective, pictures=pictures), data, plan, place)
