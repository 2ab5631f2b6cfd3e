r"""Local response normalisation: a unit is damped by its neighbours in other maps (Krizhevsky, Sutskever, Hinton 2012).

    b_i = a_i / (k + alpha sum_{|j - i| <= n/2} a_j^2)^beta,   k = 2, n = 5, alpha = 1e-4, beta = 0.75      (1)

at every place of the picture, j over those of the n maps around i that exist. With t_i for the bracket, the gradient is

    da_i = db_i / t_i^beta - 2 alpha beta a_i sum_{|j - i| <= n/2} db_j a_j / t_j^(beta + 1)                (2)

The surprise: (1) has no memory and no parameters, it won ILSVRC 2012, and nobody uses it now - VGG's authors measured
in 2014 that it changes nothing there. The trap: torch divides alpha by n, the paper does not, so that the paper's
constants are LocalResponseNorm(5, alpha=5e-4, k=2) in torch's words; Caffe's default has k = 1.
"""

from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.seed import generator


@final
class LocalResponseNorm(nn.Module):
    """(1) with the paper's constants: (batch, maps, height, width) -> the same."""

    def __init__(self, n: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0):
        super().__init__()
        self.n, self.alpha, self.beta, self.k = n, alpha, beta, k

    def forward(self, a: Tensor) -> Tensor:
        if torch.is_grad_enabled() and a.requires_grad:
            return _Damped.apply(a, self.n, self.alpha, self.beta, self.k)
        return a * _power(_bracket(a, self.n, self.alpha, self.k), self.beta)

    def extra_repr(self) -> str:
        """The constants."""
        return f"n={self.n}, alpha={self.alpha:g}, beta={self.beta:g}, k={self.k:g}"


class _Damped(torch.autograd.Function):
    """(1) with (2) written out, which a tape would make of four times as many passes over memory."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, n: int, alpha: float, beta: float, k: float) -> Tensor:  # pyright: ignore
        t = _bracket(a, n, alpha, k)
        ctx.save_for_backward(a, t)
        ctx.constants = n, alpha, beta, k
        return a * _power(t, beta)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (db,), (a, t), (n, alpha, beta, k) = grads, ctx.saved_tensors, ctx.constants
        if torch.is_grad_enabled():  # a second derivative is wanted: t has to follow from a
            t = _bracket(a, n, alpha, k)
        through = db * _power(t, beta)
        return through - 2 * alpha * beta * a * _around(through * a / t, n), None, None, None, None  # (2)


def _bracket(a: Tensor, n: int, alpha: float, k: float) -> Tensor:
    return _around(a.square(), n) * alpha + k


def _around(x: Tensor, n: int) -> Tensor:
    """Sums over the n maps around each."""
    before, maps = n // 2, x.shape[1]
    wide = F.pad(x, (0, 0) * (x.dim() - 2) + (before, n - 1 - before))
    total = wide[:, :maps] + wide[:, 1 : maps + 1] if n > 1 else wide
    for shift in range(2, n):
        total += wide[:, shift : shift + maps]
    return total


def _power(t: Tensor, beta: float) -> Tensor:
    """t^-beta; for the paper's 0.75 by square roots, which cost a fifth."""
    if beta != 0.75:
        return t.pow(-beta)
    root = t.rsqrt()
    return root * root.sqrt()


def _activations(maps: int = 12) -> Tensor:
    return 30 * torch.randn(2, maps, 5, 5, generator=generator(0, "activations"), dtype=torch.float64)


def it_is_the_sum_written_out() -> Check:
    """(1) equals its sum written out unit by unit, to 1e-12.

    Source: Krizhevsky, Sutskever, Hinton 2012, section 3.3
    """
    a, worst = _activations(), 0.0
    b, maps = LocalResponseNorm()(a), range(a.shape[1])
    for n, y, x in ((n, y, x) for n in range(2) for y in range(5) for x in range(5)):
        column = a[n, :, y, x].tolist()
        for i in maps:
            total = sum(column[j] ** 2 for j in maps if abs(j - i) <= 2)
            worst = max(worst, abs(float(b[n, i, y, x]) - column[i] / (2 + 1e-4 * total) ** 0.75))
    return at_most(worst, 1e-12)


def torchs_alpha_is_five_times_the_papers() -> Check:
    """torch's function with alpha 5e-4 and k 2 gives the same, to 1e-12.

    Source: torch.nn.LocalResponseNorm, which divides alpha by its size
    """
    a = _activations()
    return at_most(float((LocalResponseNorm()(a) - F.local_response_norm(a, 5, 5e-4, 0.75, 2.0)).abs().max()), 1e-12)


def and_with_the_papers_number_it_is_another_layer() -> Check:
    """With the paper's 1e-4 written into torch's function the outputs differ by more than 1 in 5.

    Source: measured on activations of spread 30
    """
    a = _activations()
    wrong = F.local_response_norm(a, 5, 1e-4, 0.75, 2.0)
    return at_least(float((wrong / LocalResponseNorm()(a) - 1).abs().max()), 0.2)


def the_first_and_last_maps_have_fewer_neighbours() -> Check:
    """A column of equal maps comes out largest at the two ends, where 3 instead of 5 maps are summed.

    Source: Krizhevsky, Sutskever, Hinton 2012, the max and min in the bounds of their sum
    """
    out = LocalResponseNorm(alpha=0.1)(torch.ones(1, 12, 1, 1, dtype=torch.float64)).flatten()
    ends = float((out[[0, -1]] - 1 / 2.3**0.75).abs().max() + (out[2:-2] - 1 / 2.5**0.75).abs().max())
    return at_most(ends, 1e-14)


def the_gradient_is_that_of_a_tape() -> Check:
    """(2) equals what automatic differentiation makes of (1), to 1e-12.

    Source: equation (2)
    """
    a, b = _activations().requires_grad_(), _activations().requires_grad_()
    weights = torch.linspace(-1, 1, a.numel(), dtype=torch.float64).view_as(a)
    (LocalResponseNorm()(a) * weights).sum().backward()
    (F.local_response_norm(b, 5, 5e-4, 0.75, 2.0) * weights).sum().backward()
    assert a.grad is not None and b.grad is not None  # noqa: S101 - for the type checker
    return at_most(float((a.grad - b.grad).abs().max()), 1e-12)


def nothing_is_learned() -> Check:
    """It has no parameters.

    Source: Krizhevsky, Sutskever, Hinton 2012, section 3.3: the constants were chosen on a validation set
    """
    return exactly(sum(w.numel() for w in LocalResponseNorm().parameters()), 0)


CARD = Card(
    name="Local response normalisation",
    name_ja="局所応答正規化 (LRN)",
    paper="Krizhevsky, Sutskever, Hinton 2012, ImageNet classification with deep convolutional neural networks, NIPS",
    equations=(
        r"b_i = a_i \left(k + \alpha \sum_{|j - i| \leq n/2} a_j^2\right)^{-\beta}",
        r"\dot a_i = \dot b_i t_i^{-\beta} - 2\alpha\beta\, a_i \sum_{|j - i| \leq n/2} \dot b_j a_j t_j^{-\beta - 1}",
    ),
    summary="Divides each activation by what its neighbours in other maps say at the same place.",
    summary_ja="各活性を、同じ位置にある隣の特徴マップの活性の大きさで割って抑える。",
    topics=("vision.part.lrn",),
    facts=(
        it_is_the_sum_written_out,
        torchs_alpha_is_five_times_the_papers,
        and_with_the_papers_number_it_is_another_layer,
        the_first_and_last_maps_have_fewer_neighbours,
        the_gradient_is_that_of_a_tape,
        nothing_is_learned,
    ),
    notes=(
        "torch's LocalResponseNorm divides alpha by its size: the paper's 1e-4 is 5e-4 there. Caffe's default k is 1.",
        "The paper says 1.4 and 1.2 points fewer top-1 and top-5 errors; Simonyan and Zisserman 2014 found no gain.",
    ),
    notes_ja=(
        "torchのLocalResponseNormはalphaをsizeで割る。論文の 1e-4 はtorchの 5e-4。Caffeの既定値は k = 1 である。",
        "論文ではtop-1とtop-5の誤りが 1.4 と 1.2 ポイント減ったが、Simonyan and Zisserman 2014 では効果がなかった。",
    ),
)
