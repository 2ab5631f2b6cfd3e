"""ProximalGD equals forward-backward splitting, Duchi and Singer 2009, equations (2) and (3)."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from streams import follows, goes_on, is_used_as_torch_uses_it, without_native

from shinso.optim.proximal_gd import ProximalGD


def fobos(w, lr=1e-3, l1=0.0, l2=0.0):
    """(2) the gradient step, (3) the proximal step, entry by entry from the sign of the half step"""
    while True:
        z = w - lr * (yield w)
        grown, fallen = z - lr * l1, z + lr * l1
        w = np.where(grown > 0, grown, np.where(fallen < 0, fallen, 0.0)) / (1 + lr * l2)


@pytest.mark.parametrize("options", [{}, {"lr": 0.05, "l1": 2.0}, {"lr": 0.05, "l1": 1.0, "l2": 3.0}])
@pytest.mark.parametrize("plain", [False, True])
def test_three_hundred_steps_equal_the_papers(options, plain, monkeypatch):
    if plain:
        without_native(monkeypatch)
    follows(ProximalGD, fobos, options)


def test_one_step_is_the_minimum_that_a_search_finds():
    z, lr, l1, l2 = np.linspace(-2, 2, 21), 0.3, 1.1, 0.7
    w = torch.tensor(z, requires_grad=True)
    w.grad = torch.zeros_like(w)
    ProximalGD([w], lr=lr, l1=l1, l2=l2).step()
    for one, found in zip(z, w.tolist(), strict=True):
        best = minimize_scalar(lambda u, z=one: (u - z) ** 2 / 2 + lr * (l1 * abs(u) + l2 / 2 * u * u), tol=1e-12)
        assert found == pytest.approx(best.x, abs=1e-7)


def test_maximize_goes_up():
    follows(ProximalGD, fobos, {"l1": 0.1}, maximize=True)


def test_it_goes_on_where_it_was_saved():
    goes_on(ProximalGD, {"lr": 0.05, "l1": 0.1})


def test_it_is_used_as_any_optimiser():
    is_used_as_torch_uses_it(ProximalGD, {"lr": 0.01})


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"l1": -1}, "Invalid l1 value: -1"),
    ({"l2": -1}, "Invalid l2 value: -1"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        ProximalGD([torch.zeros(2, requires_grad=True)], **options)
