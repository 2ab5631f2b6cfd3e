"""SMORMS3 equals Funk's rule, and its first three steps the ones worked out by hand."""

import numpy as np
import pytest
import torch
from streams import follows, goes_on, is_used_as_torch_uses_it, without_native

from shinso.optim.smorms3 import SMORMS3


def funk(w, lr=1e-3, eps=1e-16, weight_decay=0.0):
    """Funk 2015 as Chainer has it; the web page numbers no equations."""
    mem, g1, g2 = np.ones_like(w), np.zeros_like(w), np.zeros_like(w)
    while True:
        g = (yield w) + weight_decay * w
        r = 1 / (mem + 1)
        g1 = (1 - r) * g1 + r * g
        g2 = (1 - r) * g2 + r * g**2
        x = g1**2 / (g2 + eps)
        w = w - g * np.minimum(lr, x) / (np.sqrt(g2) + eps)
        mem = 1 + mem * (1 - x)


@pytest.mark.parametrize("options", [{}, {"lr": 0.1}, {"lr": 1.0, "eps": 1e-3, "weight_decay": 0.1}])
@pytest.mark.parametrize("plain", [False, True])
def test_three_hundred_steps_equal_the_rule(options, plain, monkeypatch):
    if plain:
        without_native(monkeypatch)
    follows(SMORMS3, funk, options)


def test_the_first_three_steps_under_alternating_gradients():
    """g = 2, -2, 2 with lr = 1 and eps = 0, so that min(lr, x) = x; |g| = sqrt(4).

    1: r = 1/2,   m = 1,    n = 2,    x = 1/2,     step -2 (1/2)/sqrt(2),        mem = 1 + 1/2 = 3/2
    2: r = 2/5,   m = (3/5) 1 - (2/5) 2 = -1/5,  n = (3/5) 2 + (2/5) 4 = 14/5,  x = (1/25)/(14/5) = 1/70,
       step +2 (1/70)/sqrt(14/5),  mem = 1 + (3/2)(69/70) = 347/140
    3: r = 140/487,  m = (347/487)(-1/5) + (140/487) 2 = 1053/2435,  n = (347/487)(14/5) + (140/487) 4 = 7658/2435,
       x = m^2/n,  step -2 x/sqrt(n)
    """
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimiser = SMORMS3([w], lr=1.0, eps=1e-300)
    m, n = 1053 / 2435, 7658 / 2435
    at = 0.0
    for g, step in ((2.0, -1 / 2**0.5), (-2.0, (2 / 70) / (14 / 5) ** 0.5), (2.0, -2 * m * m / n / n**0.5)):
        w.grad = torch.full_like(w, g)
        optimiser.step()
        at += step
        assert w.item() == pytest.approx(at, abs=1e-15)


def test_maximize_goes_up():
    follows(SMORMS3, funk, {}, maximize=True)


def test_it_goes_on_where_it_was_saved():
    goes_on(SMORMS3, {})


def test_it_is_used_as_any_optimiser():
    is_used_as_torch_uses_it(SMORMS3, {"lr": 0.01})


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"eps": 0.0}, "Invalid epsilon value: 0.0"),
    ({"weight_decay": -1}, "Invalid weight_decay value: -1"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        SMORMS3([torch.zeros(2, requires_grad=True)], **options)
