r"""Mixup: two pictures through each other, and the answer in the same shares (Zhang, Cisse, Dauphin, Lopez-Paz 2018).

    x~ = l x_i + (1 - l) x_j,   y~ = l y_i + (1 - l) y_j,   l ~ Beta(a, a)                           (1)
    CE(f(x~), y~) = l CE(f(x~), y_i) + (1 - l) CE(f(x~), y_j)                                      (2)

Between two examples the network shall be as straight as a line. The surprise: a model that is straight already learns
nothing from it. The residual of a linear model at a mixed pair is the mixture of its residuals r, so that over all i, j

    E (l r_i + (1 - l) r_j)^2 = (a + 1)/(2a + 1) mean(r^2) + a/(2a + 1) mean(r)^2                  (3)

and the least-squares fit, whose residuals have the mean 0, is the best for both. All that mixup does, it does to what
is not linear. j and l follow from (seed, epoch, i) alone; targets become shares of the classes, which cross entropy
takes as they are.
"""

from dataclasses import dataclass
from functools import cache
from typing import final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from shinso.core.card import Card, Check, about, at_most, exactly
from shinso.core.seed import generator
from shinso.data.hashing import uniforms

STEPS = 4096
"""equally likely values of l"""


@final
@dataclass(frozen=True, kw_only=True)
class Mixup:
    """Whom each example is mixed with, and how much of it stays."""

    seed: int
    alpha: float = 0.2
    """a of (1): 0.1 to 0.4 in the paper for ImageNet, 1 for CIFAR-10"""

    def __call__(self, index: Tensor, epoch: int, count: int) -> tuple[Tensor, Tensor]:
        """j (n,) int64 among `count` examples, uniform, and l (n,)."""
        draw = uniforms(index, 2, seed=self.seed, epoch=epoch)
        share = _quantiles(self.alpha).to(draw.device)[(draw[:, 1] * STEPS).long()]
        return (draw[:, 0].double() * count).long(), share


@cache
def _quantiles(alpha: float) -> Tensor:
    """l at the middles of STEPS equal shares of Beta(alpha, alpha)."""
    from scipy.special import betaincinv

    middles = (np.arange(STEPS) + 0.5) / STEPS
    return torch.from_numpy(betaincinv(alpha, alpha, middles)).float()


def mixed(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """l one + (1 - l) other for each example; inputs, or targets as shares (n, classes)."""
    return torch.lerp(other, one, share.to(one).view(-1, *[1] * (one.dim() - 1)))


def shares(targets: Tensor, others: Tensor, share: Tensor, classes: int) -> Tensor:
    """y~ of (1) for two classes of each example: (n, classes)."""
    return mixed(F.one_hot(targets, classes).float(), F.one_hot(others, classes).float(), share)


def _regression() -> tuple[Tensor, Tensor]:
    """(X with a column of ones, y), 12 examples."""
    draw = generator(0, "regression")
    X = torch.randn(12, 3, generator=draw, dtype=torch.float64)
    return torch.cat([X, torch.ones(12, 1)], 1), torch.randn(12, generator=draw, dtype=torch.float64)


def mixed_loss(r: Tensor, alpha: float) -> Tensor:
    """The left side of (3): over all pairs of residuals and all values of l."""
    share = _quantiles(alpha).double().view(-1, 1, 1)
    return (share * r[:, None] + (1 - share) * r).square().mean()


def the_loss_is_mixed_as_the_labels() -> Check:
    """Cross entropy with mixed targets is the mixture of the two cross entropies, to 1e-6.

    Source: equation (2)
    """
    draw = generator(0, "scores")
    scores, y = torch.randn(50, 10, generator=draw), torch.randint(10, (2, 50), generator=draw)
    _, share = Mixup(seed=0, alpha=1.0)(torch.arange(50), 0, 50)
    found = F.cross_entropy(scores, shares(y[0], y[1], share, 10), reduction="none")
    both = [F.cross_entropy(scores, targets, reduction="none") for targets in y]
    return at_most(float((found - share * both[0] - (1 - share) * both[1]).abs().max()), 1e-6)


def the_shares_are_beta() -> Check:
    """The variance of l is 1/(4(2a + 1)) for a = 0.2, 1 and 4, within 1 percent.

    Source: the Beta distribution; equation (1)
    """
    off = []
    for alpha in (0.2, 1.0, 4.0):
        _, share = Mixup(seed=0, alpha=alpha)(torch.arange(100_000), 0, 10)
        off.append(abs(float(share.double().var()) * 4 * (2 * alpha + 1) - 1))
    return at_most(max(off), 0.01)


def a_linear_loss_is_scaled() -> Check:
    """For residuals of a linear model the mixed loss over all pairs is the right side of (3), to 1e-4 of it.

    Source: equation (3), from the moments of Beta
    """
    X, y = _regression()
    r = y - X @ torch.tensor([0.3, -1.0, 0.5, 0.7]).double()
    off = []
    for a in (0.2, 1.0):
        expected = (a + 1) / (2 * a + 1) * r.square().mean() + a / (2 * a + 1) * r.mean() ** 2
        off.append(abs(float(mixed_loss(r, a) / expected) - 1))
    return at_most(max(off), 1e-4)


def the_linear_fit_stays() -> Check:
    """At the least-squares fit the gradient of the mixed loss is 0, to 1e-12: mixup changes nothing there.

    Source: equation (3)
    """
    X, y = _regression()
    w = torch.linalg.lstsq(X, y).solution.requires_grad_()
    (gradient,) = torch.autograd.grad(mixed_loss(y - X @ w, 1.0), w)
    return at_most(float(gradient.abs().max()), 1e-12)


def without_an_intercept_it_moves() -> Check:
    """Without the column of 1 it is another model: the gradient at its least-squares fit is not 0.

    Source: equation (3): then mean(r) is not 0
    """
    X, y = _regression()
    w = torch.linalg.lstsq(X[:, :3], y).solution.requires_grad_()
    (gradient,) = torch.autograd.grad(mixed_loss(y - X[:, :3] @ w, 1.0), w)
    return Check(float(gradient.abs().max()), low=1e-3)


def nobody_is_preferred() -> Check:
    """Over 100 epochs of 50 examples each is a partner 100 times on the average, none over 150 times or under 60.

    Source: j is uniform
    """
    change = Mixup(seed=0)
    partners = torch.cat([change(torch.arange(50), epoch, 50)[0] for epoch in range(100)])
    counts = partners.bincount(minlength=50)
    return exactly(int((counts < 60).sum() + (counts > 150).sum()), 0)


def half_and_half_is_the_mean() -> Check:
    """The shares of a class and of another, and of a class with itself, sum to 1, to 1e-6.

    Source: equation (1)
    """
    _, share = Mixup(seed=0)(torch.arange(100), 0, 100)
    y = torch.arange(100) % 10
    total = shares(y, (y + torch.arange(100) % 3) % 10, share, 10).sum(1)
    return about(float(total.sub(1).abs().max()), 0.0, 1e-6)


CARD = Card(
    name="Mixup",
    name_ja="ミックスアップ",
    paper="Zhang, Cisse, Dauphin, Lopez-Paz 2018, mixup: beyond empirical risk minimization, arXiv:1710.09412",
    equations=(
        r"\tilde x = \lambda x_i + (1 - \lambda) x_j,\quad \tilde y = \lambda y_i + (1 - \lambda) y_j,"
        r"\quad \lambda \sim \mathrm{Beta}(a, a)",
        r"CE(f(\tilde x), \tilde y) = \lambda\,CE(f(\tilde x), y_i) + (1 - \lambda)\,CE(f(\tilde x), y_j)",
        r"E(\lambda r_i + (1 - \lambda) r_j)^2 = \frac{a + 1}{2a + 1}\,\overline{r^2} + \frac{a}{2a + 1}\,\bar r^2",
    ),
    summary="Trains on mixtures of two pictures with mixed labels; a linear model does not notice.",
    summary_ja="二枚の画像とそのラベルを混ぜて訓練する。線形モデルには何の影響もない。",
    topics=(),
    facts=(the_loss_is_mixed_as_the_labels, the_shares_are_beta, a_linear_loss_is_scaled, the_linear_fit_stays,
           without_an_intercept_it_moves, nobody_is_preferred, half_and_half_is_the_mean),
    notes=("The published program draws one l for a whole batch and takes partners from it; here both are drawn for "
           "each example, from all examples, so that the mixture does not depend on the batch.",
           "The training accuracy of mixed pictures has no plain meaning: accuracy is measured on unmixed ones."),
    notes_ja=("公開されたプログラムは λ をバッチごとに一つ引き、相手もバッチの中から選ぶ。"
              "ここではどちらも例ごとに全例から引くため、混ぜ方はバッチによらない。",
              "混ぜた画像に対する訓練の正解率には素直な意味がない。正解率は混ぜない画像で測る。"),
)
