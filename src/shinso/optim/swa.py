r"""Stochastic weight averaging: the equal mean of weights that a run visits (Polyak and Juditsky 1992; Izmailov 2018).

    a_n = a_{n-1} + (w_n - a_{n-1}) / n = (w_1 + ... + w_n) / n                                          (1)

It is torch's own class. At a constant rate lr, on w^2/2 with noise of variance 1 in each gradient, the weights never
come closer than E w^2 = lr/(2 - lr); their mean does, whatever the rate:

    E a_n^2 -> 1/n                                                                                       (2)

No schedule that lets the rate fall can do better than that, since the mean of n noisy gradients has this variance. The
surprise is what it forgets: the mean of weights is not a network that was ever trained, so the statistics that batch
normalisation has kept are those of another one. `update_bn` recomputes them in one pass over the data.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.seed import drawing_from, generator
from shinso.optim._walk import walk, weights
from shinso.optim.sgd import SGD

SWA = torch.optim.swa_utils.AveragedModel
update_bn = torch.optim.swa_utils.update_bn


def _averaged(places: Tensor) -> Tensor:
    """torch's average after each of n places (n, k), (n, k)."""
    model = nn.Linear(places.shape[1], 1, bias=False, dtype=torch.float64)
    swa, found = SWA(model), []
    for place in places:
        model.weight.data.copy_(place)
        swa.update_parameters(model)
        found.append(next(swa.module.parameters())[0].detach().clone())
    return torch.stack(found)


def it_is_the_equal_mean() -> Check:
    """After each of 200 updates along a random walk it is the mean of the weights so far, to 1e-13.

    Source: equation (1)
    """
    places = torch.randn(200, 10, generator=generator(0, "walk"), dtype=torch.float64).cumsum(0)
    mean = places.cumsum(0) / torch.arange(1, 201)[:, None]
    return at_most(float((_averaged(places) - mean).abs().max()), 1e-13)


def _noisy(rate: float, steps: int = 400) -> tuple[Tensor, Tensor]:
    """Places of 3000 runs on w^2/2 with noise of variance 1, begun on their floor, and their running means."""
    draw = generator(1, "noise")
    start = torch.randn(3000, generator=draw, dtype=torch.float64) * (rate / (2 - rate)) ** 0.5
    path = walk(SGD([weights(start)], lr=rate),
                lambda w: w + torch.randn(3000, generator=draw, dtype=torch.float64), steps)[1:]
    return path, _averaged(path)


def its_variance_falls_like_one_over_n() -> Check:
    """At a constant rate of 0.5 the slope of log variance against log n, from n = 50 to 400, is -1 within 0.05.

    Source: Polyak and Juditsky 1992; equation (2)
    """
    variance = _noisy(0.5)[1].square().mean(1).numpy()
    n = np.arange(50, 401, 25)
    return about(float(np.polyfit(np.log(n), np.log(variance[n - 1]), 1)[0]), -1.0, 0.05)


def the_rate_does_not_matter() -> Check:
    """After 400 steps at rates of 0.2 and 1.0 the variance times n is 1 within 8 percent for both.

    Source: equation (2); the floors of the weights themselves are 0.11 and 1
    """
    off = [abs(float(_noisy(rate)[1][-1].square().mean()) * 400 - 1) for rate in (0.2, 1.0)]
    return at_most(max(off), 0.08)


def the_weights_themselves_stay_where_they_are() -> Check:
    """Meanwhile the variance of the weights at a rate of 0.5 is 1/3, their floor, at the last step to 8 percent.

    Source: E w^2 = lr/(2 - lr)
    """
    return about(float(_noisy(0.5)[0][-1].square().mean()) * 3, 1.0, 0.08)


def _batch_normalised() -> tuple[torch.optim.swa_utils.AveragedModel, Tensor]:
    """The average of 20 networks (random walk) of a layer and its batch normalisation, and the data they saw."""
    with drawing_from(0, "weights"):
        model: Any = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6, affine=False))
    draw = generator(3, "data")
    x, swa = torch.randn(256, 4, generator=draw) * 3 + 1, SWA(model)
    for _ in range(20):
        for weight in model.parameters():
            weight.data.add_(torch.randn(weight.shape, generator=draw))
        for _ in range(30):
            model(x)
        swa.update_parameters(model)
    return swa, x


def old_statistics_do_not_normalise() -> Check:
    """The trap: averaged as it is, a batch-normalised layer answers with a variance off from 1 by over 50 percent.

    Source: Izmailov et al. 2018, section 3.2; the statistics are those of the last weights
    """
    swa, x = _batch_normalised()
    return at_least(float((swa.eval()(x).detach().var(0, unbiased=False) - 1).abs().max()), 0.5)


def recomputed_statistics_do() -> Check:
    """After update_bn, which torch has for it, that variance is 1, to 1 percent, and the mean is 0.

    Source: Izmailov et al. 2018, section 3.2: one more pass over the data
    """
    swa, x = _batch_normalised()
    update_bn(list(x[:, None].unbind(1)), swa)
    answers = swa.eval()(x).detach()
    return at_most(float((answers.var(0, unbiased=False) - 1).abs().max() + answers.mean(0).abs().max()), 0.01)


CARD = Card(
    name="Stochastic weight averaging",
    name_ja="SWA (確率的重み平均)",
    paper="Izmailov et al. 2018, Averaging weights leads to wider optima and better generalization, arXiv:1803.05407",
    equations=(
        r"a_n = a_{n-1} + (w_n - a_{n-1})/n",
        r"E\,a_n^2 \to 1/n",
    ),
    summary="The equal mean of the weights that a run visits: its noise falls like 1/n at a rate that stays.",
    summary_ja="訓練が通った重みの等しい平均。学習率を一定に保っても雑音は 1/n のように減っていく。",
    topics=(),
    facts=(it_is_the_equal_mean, its_variance_falls_like_one_over_n, the_rate_does_not_matter,
           the_weights_themselves_stay_where_they_are, old_statistics_do_not_normalise, recomputed_statistics_do),
    notes=("Statistics of batch normalisation must be recomputed for the averaged weights: update_bn.",
           "The paper collects one set of weights an epoch, under a cyclic or high rate; (1) does not ask which.",
           "An equal mean never forgets where the run began: begin it late, or take optim.ema."),
    notes_ja=("平均した重みのために、バッチ正規化の統計量を update_bn で計算し直さなければならない。",
              "論文では周期的または高い学習率で、エポックごとに一組の重みを集める。式 (1) はそれを問わない。",
              "等しい平均は訓練の始まりを忘れない。後半から始めるか、optim.ema を使う。"),
)
