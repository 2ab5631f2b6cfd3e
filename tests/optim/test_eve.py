"""Eve equals arXiv:1611.01505v3, its Algorithm 1, and the first three steps worked out by hand."""

from functools import partial

import numpy as np
import pytest
import torch
from streams import follows, goes_on, is_used_as_torch_uses_it, without_native

from shinso.optim.eve import Eve

LOSSES = [float(x) for x in np.random.default_rng(5).exponential(size=300) + 0.5]


def hayashi(w, losses=(), lr=1e-3, betas=(0.9, 0.999, 0.999), clip=10.0, least=0.0, eps=1e-8, weight_decay=0.0):
    """Algorithm 1: m, v as in Adam; d from the losses"""
    m, v, d = np.zeros_like(w), np.zeros_like(w), 1.0
    t = 0
    while True:
        g = (yield w) + weight_decay * w
        t += 1
        if t > 1:
            f, last = losses[t - 1], losses[t - 2]
            d = betas[2] * d + (1 - betas[2]) * np.clip(abs(f - last) / (min(f, last) - least), 1 / clip, clip)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        w = w - lr / d * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


@pytest.mark.parametrize("options", [
    {}, {"lr": 0.1, "betas": (0.5, 0.9, 0.5), "clip": 3.0}, {"least": 0.4, "eps": 1e-3, "weight_decay": 0.1},
])
@pytest.mark.parametrize("plain", [False, True])
def test_three_hundred_steps_equal_the_papers(options, plain, monkeypatch):
    if plain:
        without_native(monkeypatch)
    follows(Eve, partial(hayashi, losses=LOSSES), options, losses=LOSSES)


def test_the_first_three_steps_worked_out():
    """b3 = 1/2, c = 10, f* = 0, losses 4, 3, 6, gradient -1 always, eps = 0: Adam's step is lr, Eve's lr/d.

    1: d = 1                                            step lr
    2: |3 - 4| / 3 = 1/3,  d = 1/2 + 1/6 = 2/3,         step 3/2 lr,   w = 5/2 lr
    3: |6 - 3| / 3 = 1,    d = 1/3 + 1/2 = 5/6,         step 6/5 lr,   w = 37/10 lr
    """
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimiser = Eve([w], lr=1.0, betas=(0.9, 0.999, 0.5), eps=0.0)
    for loss, value in ((4.0, 1.0), (3.0, 5 / 2), (6.0, 37 / 10)):
        w.grad = -torch.ones_like(w)
        optimiser.step(loss=loss)
        assert w.item() == pytest.approx(value, abs=1e-13)


def test_it_goes_on_where_it_was_saved():
    goes_on(Eve, {"betas": (0.9, 0.999, 0.5)}, losses=LOSSES[:20])


def test_it_is_used_as_any_optimiser_with_a_closure():
    is_used_as_torch_uses_it(Eve, {"lr": 0.01})


def test_a_step_without_a_loss_is_refused():
    w = torch.zeros(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="needs the loss"):
        Eve([w]).step()


def test_a_loss_below_its_bound_is_refused_and_one_that_is_no_number_ignored():
    optimiser = Eve([torch.zeros(2, requires_grad=True)], betas=(0.9, 0.999, 0.0))
    optimiser.step(loss=torch.tensor(2.0))
    with pytest.raises(ValueError, match="lies below"):
        optimiser.step(loss=-1.0)
    optimiser.step(loss=float("nan"))
    optimiser.step(loss=1.0)
    assert optimiser.param_groups[0]["divisor"] == 1.0


def test_a_loss_that_reaches_its_bound_divides_by_no_zero():
    optimiser = Eve([torch.zeros(2, requires_grad=True)], betas=(0.9, 0.999, 0.0))
    seen = []
    for loss in (1.0, 0.0, 0.0):
        optimiser.step(loss=loss)
        seen.append(optimiser.param_groups[0]["divisor"])
    assert seen == [1.0, 10.0, 0.1]


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"betas": (0.9, 0.9, 1.0)}, "Invalid beta parameter at index 2: 1.0"),
    ({"clip": 0.5}, "Invalid clip value: 0.5"), ({"eps": -1}, "Invalid epsilon value: -1"),
    ({"weight_decay": -1}, "Invalid weight_decay value: -1"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        Eve([torch.zeros(2, requires_grad=True)], **options)
