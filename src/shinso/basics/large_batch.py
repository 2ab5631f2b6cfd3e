r"""Large batches and their noise: what a batch of b examples leaves to chance (Keskar et al. 2017).

    g_b = 1/b sum_{i in batch} g_i,   E g_b = g,   Cov g_b = C / b                                  (1)

with g_i the gradient of one example and C the covariance of the g_i, when each example is drawn anew. When a batch is
drawn without putting back, as in an epoch, the last of n examples leaves nothing to chance:

    Cov g_b = C / b (n - b) / (n - 1)                                                               (2)

So the noise of a step lr g_b is lr^2 C / b: four times the batch is half the standard deviation. A theory, contested by
the same document, says that this noise carries descent out of sharp minima into flat ones, which generalise better.
The surprise in the objection: flatness depends on how a network is written down. For a > 0

    V max(W x, 0) = (V / a) max(a W x, 0)                                                           (3)

is the same function with another curvature (Dinh et al. 2017).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range
from shinso.data.digits import originals
from shinso.learn.sweep import Columns, Sweep


def gradients(examples: int, seed: int) -> Tensor:
    """g_i of each of `examples` digits for a softmax layer with small random weights, float64 (examples, 650)."""
    images, labels = originals()
    order = torch.randperm(len(labels), generator=generator(seed, "examples"))[:examples]
    x = torch.from_numpy(images.reshape(-1, 64) / 16.0)[order]
    x = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)
    W = 0.1 * torch.randn(65, 10, generator=generator(seed, "weights"), dtype=x.dtype)
    error = (x @ W).softmax(1) - F.one_hot(torch.from_numpy(labels)[order], 10)
    return (x[:, :, None] * error[:, None, :]).flatten(1)


def noise(each: Tensor, b: int, draws: int, draw: torch.Generator, *, put_back: bool) -> Tensor:
    """||g_b - g||^2 of `draws` batches of b examples, (draws,)."""
    n = len(each)
    if put_back:
        rows = torch.randint(n, (draws, b), generator=draw)
    else:
        rows = torch.rand(draws, n, generator=draw).argsort(1)[:, :b]
    counts = torch.zeros(draws, n, dtype=each.dtype).scatter_add_(1, rows, torch.ones_like(rows, dtype=each.dtype))
    return ((counts / b) @ each - each.mean(0)).square().sum(1)


def law(each: Tensor, b: int, *, put_back: bool) -> float:
    """The trace of (1), or of (2)."""
    n = len(each)
    trace = float((each - each.mean(0)).square().sum(1).mean())
    return trace / b * (1.0 if put_back else (n - b) / (n - 1))


def curvature(V: Tensor, W: Tensor, x: Tensor, y: Tensor) -> tuple[float, float]:
    """(squared error, trace of its Hessian) of V max(W x, 0) at x (n, d) and y (n,); V (h,), W (h, d)."""
    def loss(parameters: Tensor) -> Tensor:
        v, w = parameters[: len(V)], parameters[len(V):].view_as(W)
        return (F.relu(x @ w.T) @ v - y).square().mean()

    at = torch.cat([V, W.flatten()])
    return float(loss(at)), float(torch.autograd.functional.hessian(loss, at).trace())  # pyright: ignore


def four_times_the_batch_is_a_quarter_of_the_noise() -> Check:
    """Measured over batches of 1 to 256, the slope of log noise against log b is -1 within 0.03.

    Source: equation (1)
    """
    each, sizes = gradients(1000, 0), [1, 4, 16, 64, 256]
    found = [float(noise(each, b, 400, generator(0, f"fact/{b}"), put_back=True).mean()) for b in sizes]
    return about(float(np.polyfit(np.log(sizes), np.log(found), 1)[0]), -1.0, 0.03)


def the_noise_is_the_law() -> Check:
    """For those batches the mean of ||g_b - g||^2 is tr C / b within 4 standard errors.

    Source: equation (1)
    """
    each = gradients(1000, 0)
    return at_most(max(_off(each, b, put_back=True) for b in (1, 4, 16, 64, 256)), 4.0)


def without_putting_back_it_ends() -> Check:
    """Drawn without putting back from 200 examples, batches of 10, 100 and 190 obey (2) within 4 standard errors.

    Source: equation (2), the correction of a finite population
    """
    each = gradients(200, 0)
    return at_most(max(_off(each, b, put_back=False) for b in (10, 100, 190)), 4.0)


def _off(each: Tensor, b: int, *, put_back: bool) -> float:
    found = noise(each, b, 400, generator(0, f"fact/{b}"), put_back=put_back)
    return abs(float(found.mean()) - law(each, b, put_back=put_back)) / float(found.std() / len(found) ** 0.5)


def the_whole_set_is_certain() -> Check:
    """A batch of all 200 examples without putting back is the full gradient, to 1e-28 of squared distance.

    Source: equation (2) with b = n
    """
    return at_most(float(noise(gradients(200, 0), 200, 5, generator(0, "all"), put_back=False).max()), 1e-28)


def _two_ways() -> list[tuple[float, float]]:
    draw = generator(0, "dinh")
    V, W, x = (torch.randn(*shape, generator=draw, dtype=torch.float64) for shape in ((6,), (6, 3), (40, 3)))
    y = torch.randn(40, generator=draw, dtype=torch.float64)
    return [curvature(V / a, a * W, x, y) for a in (1.0, 10.0)]


def the_rescaled_net_is_the_same() -> Check:
    """With a = 10 the squared error of (3) changes by less than 1e-13 of itself.

    Source: Dinh et al. 2017, section 3; equation (3)
    """
    (one, _), (ten, _) = _two_ways()
    return at_most(abs(ten / one - 1), 1e-13)


def but_much_sharper() -> Check:
    """The trace of its Hessian grows by a factor of at least 10.

    Source: Dinh et al. 2017, theorem 4
    """
    (_, one), (_, ten) = _two_ways()
    return at_least(ten / one, 10.0)


CARD = Card(
    name="Large batches and the noise of the gradient",
    name_ja="ラージバッチと勾配の雑音",
    paper="Keskar et al. 2017, On large-batch training, arXiv:1609.04836; Dinh et al. 2017, arXiv:1703.04933",
    equations=(
        r"\mathrm{Cov}\,g_b = C/b",
        r"\mathrm{Cov}\,g_b = \frac{C}{b}\,\frac{n-b}{n-1}",
        r"V\max(Wx, 0) = (V/a)\max(aWx, 0)",
    ),
    summary="The noise of a mini-batch gradient falls as one over the batch size, measured on digits batch by batch.",
    summary_ja="ミニバッチの勾配の雑音は、バッチサイズに反比例して減る。手書き数字でバッチごとに測って確かめる。",
    topics=("learn.large-batch",),
    facts=(
        four_times_the_batch_is_a_quarter_of_the_noise,
        the_noise_is_the_law,
        without_putting_back_it_ends,
        the_whole_set_is_certain,
        the_rescaled_net_is_the_same,
        but_much_sharper,
    ),
    notes=("That small batches find flat minima which generalise is a theory, contested on the same slide.",),
    notes_ja=("小さいバッチが平坦な極小を見つけて汎化するというのは一つの説で、同じスライドに反論も書かれている。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Gradients of a softmax layer on digits, in batches of many sizes."""

    examples: int = 1000
    """digits n"""
    sizes: int = 50
    """batch sizes, from 1 to n"""
    draws: int = 400
    """batches of each size"""
    put_back: bool = True
    """whether each example of a batch is drawn from all (1), or from those that are left (2)"""
    seed: int = 0
    """of the digits, the weights and the batches"""


VARIANTS = {"smoke": Setup(examples=200, sizes=40, draws=50), "default": Setup(), "epoch": Setup(put_back=False)}


def build(setup: Setup, place: Place = Place()) -> Sweep:  # noqa: B008 - a frozen value
    """One step measures one batch size."""
    in_range(setup, ("examples", "sizes", "draws"))
    each = gradients(min(setup.examples, 1797), setup.seed)
    sizes = np.logspace(0, np.log10(len(each)), setup.sizes).round().astype(int).tolist()

    def measure(b: int) -> Record:
        found = noise(each, b, max(2, setup.draws), generator(setup.seed, f"batches/{b}"), put_back=setup.put_back)
        predicted = law(each, b, put_back=setup.put_back)
        error = max(float(found.std()), predicted / 5) / len(found) ** 0.5
        return {"batch_size": float(b), "measured": found.mean(), "predicted": predicted, "within": 5 * error + 1e-12}

    return Sweep(sizes, measure, _draw)


def _draw(rows: Columns) -> dict[str, np.ndarray]:
    figure = sheet(800, 380)
    axes = figure.subplots()
    positive = np.maximum(rows["measured"], 1e-8)
    axes.loglog(rows["batch_size"], positive, ".", label="measured / 測定")
    axes.loglog(rows["batch_size"], np.maximum(rows["predicted"], 1e-8), label="predicted / 予測")
    axes.set(xlabel="batch size b / バッチサイズ", ylabel="variance of the gradient / 勾配の分散")
    axes.legend()
    return {"batch_noise": pixels(figure)}
