r"""EMA of weights: a copy of the model that follows its training slowly (Polyak and Juditsky 1992; Tarvainen 2017).

    a_1 = w_1,   a_n = d a_{n-1} + (1 - d) w_n                                                           (1)

Begun with the weights themselves, not with zeros, (1) needs no correction for its start. On weights that only shake
about their place with variance s^2 it stands at

    var a = s^2 (1 - d)/(1 + d)                                                                          (2)

which is why the copy answers better than what is trained. The surprise is the price: weights that still move by v at
each step are followed d/(1 - d) steps behind, 999 at d = 0.999, and a run of 1000 steps is then judged by its middle.

torch.optim.swa_utils.AveragedModel does the same; what is here besides are the exchange of the two models for an
evaluation and a state that is saved beside the model's. One call updates all weights, as torch's does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from shinso.core.card import Card, Check, about, at_most, exactly
from shinso.core.seed import generator

_torch = cast(Any, torch)  # operations on lists of tensors have no public names


@final
class EMA:
    """An averaged copy of `model`; call `update()` after each step of the optimiser.

    `ema.model` is the copy: evaluate it, or put its weights into the model itself inside of `with ema.swapped():`.
    """

    def __init__(self, model: nn.Module, decay: float = 0.999):
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"Invalid decay value: {decay}")
        self.decay, self.updates = decay, 0
        self.model = deepcopy(model).requires_grad_(requires_grad=False)
        self._weights = list(model.parameters()), list(self.model.parameters())
        self._buffers = list(model.buffers()), list(self.model.buffers())

    @torch.no_grad()
    def update(self) -> None:
        """(1) for every parameter; buffers, such as the statistics of batch normalisation, are copied."""
        weights, averages = self._weights
        if self.updates == 0:
            _torch._foreach_copy_(averages, weights)
        else:
            _torch._foreach_lerp_(averages, weights, 1 - self.decay)  # (1)
        for kept, now in zip(self._buffers[1], self._buffers[0], strict=True):
            kept.copy_(now)
        self.updates += 1

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Inside, the model has the averaged weights and `ema.model` has the model's; afterwards each has its own."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for live, averages in (self._weights, self._buffers):
            for one, other in zip(live, averages, strict=True):
                kept = one.clone()
                one.copy_(other)
                other.copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        """The averages and how often they were updated; the decay is an option, not a state."""
        return {"model": self.model.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what `state_dict` gave."""
        self.model.load_state_dict(state["model"])
        self.updates = int(state["updates"])


def _followed(places: Tensor, decay: float) -> Tensor:
    """The averages (n, k) after each of n places (n, k) of one model's weights."""
    model = nn.Linear(places.shape[1], 1, bias=False, dtype=torch.float64)
    ema, found = EMA(model, decay), []
    for place in places:
        model.weight.data.copy_(place)
        ema.update()
        found.append(next(ema.model.parameters())[0].clone())
    return torch.stack(found)


def _walked(steps: int) -> Tensor:
    return torch.randn(steps, 20, generator=generator(0, "walk"), dtype=torch.float64).cumsum(0)


def it_is_torchs() -> Check:
    """Over 300 updates along a random walk the averages are those of torch's AveragedModel, to 1e-12.

    Source: torch.optim.swa_utils.get_ema_multi_avg_fn
    """
    model = nn.Linear(20, 1, bias=False, dtype=torch.float64)
    twin = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.98))
    worst = 0.0
    for place, ours in zip(_walked(300), _followed(_walked(300), 0.98), strict=True):
        model.weight.data.copy_(place)
        twin.update_parameters(model)
        worst = max(worst, float((next(twin.parameters()).detach() - ours).abs().max()))
    return at_most(worst, 1e-12)


def older_weights_count_less_and_less() -> Check:
    """At d = 0.9 the share of the weights k updates ago is 0.1 * 0.9^k, of the first 0.9^29, after 30; to 1e-15.

    Source: equation (1), unrolled
    """
    shares = _followed(torch.eye(30, dtype=torch.float64), 0.9)[-1]
    expected = 0.1 * 0.9 ** torch.arange(29, -1, -1, dtype=torch.float64)
    expected[0] = 0.9**29
    return at_most(float((shares - expected).abs().max()), 1e-15)


def it_needs_no_correction_for_its_start() -> Check:
    """Weights that stand still are their own average from the first of 100 updates: the largest difference is 0.

    Source: equation (1) with a_1 = w_1; begun with zeros it would be 90 percent off after 100 updates at d = 0.999
    """
    place = torch.tensor([[1.0, -3.0, 0.5]], dtype=torch.float64)
    return exactly(float((_followed(place.repeat(100, 1), 0.999) - place).abs().max()), 0.0)


def noise_is_averaged_away() -> Check:
    """At d = 0.95 the average of 10000 weights that shake with variance 1 has the variance 0.05/1.95, to 4 percent.

    Source: equation (2)
    """
    shaking = torch.randn(200, 10_000, generator=generator(1, "noise"), dtype=torch.float64)
    return about(float(_followed(shaking, 0.95)[-1].square().mean()) / (0.05 / 1.95), 1.0, 0.04)


def what_moves_is_followed_late() -> Check:
    """At d = 0.99 weights that move by 1 at each update are followed 99 behind, to 1e-6, after 3000 updates.

    Source: d/(1 - d): the mean age of what is in the average
    """
    moving = torch.arange(3000, dtype=torch.float64)[:, None]
    return about(2999 - float(_followed(moving, 0.99)[-1]), 99.0, 1e-6)


def exchanged_and_back_nothing_has_changed() -> Check:
    """Inside of swapped() the model answers as its average did, and afterwards as before: bits that differ, 0.

    Source: weights are copied, not computed
    """
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    for weight in model.parameters():
        weight.data.copy_(torch.randn(weight.shape, generator=generator(2, str(weight.shape))))
    ema, x = EMA(model), torch.randn(9, 5, generator=generator(2, "x"))
    for _ in range(3):
        ema.update()
        model(x)  # moves the statistics of batch normalisation
        for weight in model.parameters():
            weight.data.add_(1.0)
    before, averaged = model.eval()(x), ema.model.eval()(x)
    with ema.swapped():
        inside = model(x)
    return exactly(int((inside != averaged).sum() + (model(x) != before).sum() + (before == averaged).all()), 0)


def saved_and_resumed_it_is_the_same() -> Check:
    """Saved after 7 of 20 updates and put into a fresh copy, the averages end the same bit for bit: difference 0.

    Source: state_dict holds the averages and their number
    """
    places, ends = _walked(20), []
    for saved in (False, True):
        model = nn.Linear(20, 1, bias=False, dtype=torch.float64)
        ema = EMA(model, 0.9)
        for t, place in enumerate(places):
            model.weight.data.copy_(place)
            if saved and t == 7:
                kept, ema = ema.state_dict(), EMA(model, 0.9)
                ema.load_state_dict(kept)
            ema.update()
        ends.append(next(ema.model.parameters()))
    return exactly(float((ends[0] - ends[1]).abs().max()), 0.0)


CARD = Card(
    name="Exponential moving average of weights",
    name_ja="重みの指数移動平均 (EMA)",
    paper="Polyak and Juditsky 1992, doi:10.1137/0330046; Tarvainen and Valpola 2017, arXiv:1703.01780",
    equations=(
        r"a_1 = w_1,\quad a_n = d\,a_{n-1} + (1 - d)\,w_n",
        r"\mathrm{var}\,a = \sigma^2\,\frac{1 - d}{1 + d}",
    ),
    summary="A copy of the model follows its training slowly: the noise of the steps is averaged away.",
    summary_ja="モデルの写しが訓練をゆっくり追いかける。ステップごとの雑音は平均されて消える。",
    topics=(),
    facts=(it_is_torchs, older_weights_count_less_and_less, it_needs_no_correction_for_its_start,
           noise_is_averaged_away, what_moves_is_followed_late, exchanged_and_back_nothing_has_changed,
           saved_and_resumed_it_is_the_same),
    notes=("A decay that suits a long run is too slow for a short one: d/(1 - d) steps should be a small part of it.",
           "Buffers are copied, so the statistics of batch normalisation are those of the weights in training: see "
           "optim.swa for what that does and how to recompute them."),
    notes_ja=("長い訓練に合う d は短い訓練には遅すぎる。d/(1 - d) ステップは訓練全体のごく一部でなければならない。",
              "バッファは写すだけなので、バッチ正規化の統計量は訓練中の重みのものである。その影響と計算し直す方法は "
              "optim.swa にある。"),
)
