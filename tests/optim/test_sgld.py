"""SGLD equals both of its equations under the same noise, in either direction, with falling steps."""

from itertools import count

import numpy as np
import pytest
import torch
from streams import CURVATURE, follows, goes_on, is_used_as_torch_uses_it

from shinso.core.seed import generator
from shinso.optim.gld import GLD
from shinso.optim.sgld import SGLD


def welling_and_teh(w, lr=1e-5, examples=None, beta=None, prior=0.0, schedule=(1.0, 0.0), seed=0):
    """Equation 4 of the paper at the inverse temperature beta, epsilon_t = lr (1 + t / b)^-gamma; g as -grad log p.

    Without `examples`, it is the mean gradient with a temperature.
    """
    place = [c.shape for c in CURVATURE.values()].index(w.shape)
    for t in count(0):
        g = yield w
        xi = torch.randn(w.shape, generator=generator(seed, f"langevin/{place}/{t + 1}"), dtype=torch.float64).numpy()
        epsilon = lr * (1 + t / schedule[0]) ** -schedule[1]
        if examples is None:
            w = w - epsilon * (g + prior * w) + np.sqrt(2 * epsilon / (beta or 1e4)) * xi
        else:
            w = w - epsilon / 2 * (prior * w + examples * g) + np.sqrt(epsilon / (beta or 1)) * xi


@pytest.mark.parametrize("options", [
    {}, {"lr": 0.01, "beta": 2.0, "schedule": (10.0, 0.55), "prior": 0.3}, {"lr": 1e-3, "examples": 20},
    {"lr": 1e-3, "examples": 20, "prior": 3.0, "schedule": (7.0, 1.0), "seed": 4}, {"examples": 5, "beta": 0.5},
])
def test_three_hundred_steps_are_the_equation(options):
    follows(SGLD, welling_and_teh, options)


def test_maximise_turns_the_gradient_round():
    follows(SGLD, welling_and_teh, {"lr": 1e-3, "examples": 20}, maximize=True)


def test_two_scales_of_three_steps_worked_out():
    """Gradient 1, noise 0 (beta inf), prior 1/2, w = 1: (1) with lr 1/4 has w' = 7/8 w - 1/4.

    1: 7/8 - 2/8 = 5/8;   2: 35/64 - 16/64 = 19/64;   3: 133/512 - 128/512 = 5/512
    (2) with lr 1/8, N = 4 and prior 2 has the same half rate 1/16, w' = (1 - 1/8) w - 1/4: the same places.
    """
    for options in ({"lr": 0.25, "prior": 0.5}, {"lr": 0.125, "examples": 4, "prior": 2.0}):
        w = torch.ones(1, dtype=torch.float64, requires_grad=True)
        optimiser = SGLD([w], beta=float("inf"), **options)
        for value in (5 / 8, 19 / 64, 5 / 512):
            w.grad = torch.ones_like(w)
            optimiser.step()
            assert w.item() == pytest.approx(value, abs=1e-15)


def test_a_mini_batch_that_is_everything_is_gld_for_any_network():
    x, y = torch.randn(30, 4, dtype=torch.float64), torch.randn(30, 1, dtype=torch.float64)
    ends = []
    for kind, options in ((GLD, {"lr": 0.02, "beta": 30.0}), (SGLD, {"lr": 2 * 0.02 / 30, "examples": 30})):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)).double()
        optimiser = kind(net.parameters(), seed=3, **options)

        def closure(net=net, optimiser=optimiser):
            optimiser.zero_grad()
            loss = (net(x) - y).square().mean()
            loss.backward()
            return loss

        for _ in range(200):
            optimiser.step(closure)
        ends.append(torch.nn.utils.parameters_to_vector(net.parameters()).detach())
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-11, atol=1e-11)


def test_it_goes_on_where_it_was_saved_with_the_same_noise_and_rate():
    goes_on(SGLD, {"lr": 1e-3, "examples": 20, "schedule": (3.0, 0.7)})


def test_it_is_used_as_any_optimiser():
    is_used_as_torch_uses_it(SGLD, {"lr": 0.01})


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"beta": 0}, "Invalid beta value: 0"),
    ({"examples": 0}, "Invalid examples value: 0"), ({"prior": -1}, "Invalid prior value: -1"),
    ({"schedule": (0.0, 1.0)}, "Invalid schedule"), ({"schedule": (1.0, -1.0)}, "Invalid schedule"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        SGLD([torch.zeros(2, requires_grad=True)], **options)


def test_sparse_gradients_are_refused():
    w = torch.zeros(2, requires_grad=True)
    w.grad = torch.ones(2).to_sparse()
    with pytest.raises(RuntimeError, match="SGLD does not support sparse gradients"):
        SGLD([w]).step()
