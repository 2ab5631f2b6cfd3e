"""Santa equals Chen et al. 2016, Algorithm 1 (Euler), under the same noise, and three steps worked out by hand."""

from itertools import count

import numpy as np
import pytest
import torch
from streams import CURVATURE, follows, goes_on, is_used_as_torch_uses_it

from shinso.core.seed import generator
from shinso.optim.santa import Santa

MILD = {"lr": 1e-3, "preconditioner": (0.9, 10.0)}


def algorithm_1(w, lr=1e-3, schedule=(1.0, 0.5, 1000), preconditioner=(0.99, 1e-8), friction=5.0, examples=1,
                drift=False, seed=0):
    """Line by line, for U~ with gradient N g; the streams of noise are told apart by the shapes of `streams`."""
    place = [c.shape for c in CURVATURE.values()].index(w.shape)

    def zeta(t):
        return torch.randn(w.shape, generator=generator(seed, f"santa/{place}/{t}"), dtype=torch.float64).numpy()

    (s, lam), (A, gamma, burn_in) = preconditioner, schedule
    u, alpha, v, g_old = np.sqrt(lr) * zeta(0), np.full_like(w, np.sqrt(lr) * friction), np.zeros_like(w), None
    for t in count(1):
        f = examples * (yield w)
        v = s * v + (1 - s) / examples**2 * f * f
        g = 1 / np.sqrt(lam + np.sqrt(v))
        g_old = g if g_old is None else g_old
        new = np.zeros_like(w)
        if t < burn_in:
            beta = A * t**gamma
            alpha = alpha + (u * u - lr / beta)
            new = np.sqrt(2 * lr / beta * g_old) * zeta(t)
            if drift:
                new = new + lr / beta * (1 - g_old / g) / u
        u = new + (1 - alpha) * u - lr * g * f
        w, g_old = w + g * u, g


@pytest.mark.parametrize("options", [
    MILD, {**MILD, "schedule": (10.0, 1.0, 100), "examples": 7, "lr": 1e-4}, {**MILD, "seed": 3, "friction": 2.0},
    {"lr": 1e-3, "schedule": (1.0, 0.5, 0)},
])
def test_three_hundred_steps_equal_the_papers(options):
    follows(Santa, algorithm_1, options)


def test_the_drift_of_the_preconditioner_is_the_papers():
    follows(Santa, algorithm_1, {**MILD, "drift": True}, steps=30)


def test_the_first_three_steps_of_refinement_worked_out():
    """lr = 1/4, C = 1 so that a = 1/2, s = 0, lambda = 3, gradient 1 so that p = 1/2, burn-in 0, and u = 0 at first.

    1: u = -1/8,                  w = -1/16
    2: u = -1/16 - 1/8 = -3/16,   w = -1/16 - 3/32 = -5/32
    3: u = -3/32 - 1/8 = -7/32,   w = -5/32 - 7/64 = -17/64
    """
    w, optimiser = _begun(burn_in=0, velocity=0.0)
    for value in (-1 / 16, -5 / 32, -17 / 64):
        w.grad = torch.ones_like(w)
        optimiser.step()
        assert w.item() == pytest.approx(value, abs=1e-15)


def test_the_first_three_steps_of_exploration_worked_out():
    """The same with T = 1/4 (A = 1, gamma = 0) and u = 1/2, so that a = 1/2 + 1/4 - 1/4 = 1/2 and 2 T p = 1/4.

    1: u1 = 1/4 - 1/8 + z1/2 = 1/8 + z1/2,       w = u1/2
    2: a2 = 1/4 + u1^2,  u2 = (1 - a2) u1 - 1/8 + z2/2,   w = (u1 + u2)/2
    3: a3 = u1^2 + u2^2,  u3 = (1 - a3) u2 - 1/8 + z3/2,  w = (u1 + u2 + u3)/2
    """
    w, optimiser = _begun(burn_in=10, velocity=0.5)
    z = [torch.randn(1, generator=generator(0, f"santa/0/{t}"), dtype=torch.float64).item() for t in (1, 2, 3)]
    u1 = 1 / 8 + z[0] / 2
    u2 = (3 / 4 - u1**2) * u1 - 1 / 8 + z[1] / 2
    u3 = (1 - u1**2 - u2**2) * u2 - 1 / 8 + z[2] / 2
    for value in (u1 / 2, (u1 + u2) / 2, (u1 + u2 + u3) / 2):
        w.grad = torch.ones_like(w)
        optimiser.step()
        assert w.item() == pytest.approx(value, abs=1e-14)


def _begun(burn_in, velocity):
    """One weight, its state as if a step had left this velocity and none of the memory of gradients."""
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimiser = Santa([w], lr=0.25, schedule=(1.0, 0.0, burn_in), preconditioner=(0.0, 3.0), friction=1.0)
    optimiser.state[w] = {"step": torch.zeros(()), "square_avg": torch.zeros(1, dtype=torch.float64),
                          "velocity": torch.full((1,), velocity, dtype=torch.float64),
                          "friction": torch.full((1,), 0.5, dtype=torch.float64)}
    return w, optimiser


def test_it_goes_on_where_it_was_saved_with_the_same_noise():
    goes_on(Santa, MILD)


def test_seeds_and_weights_have_noise_of_their_own():
    ends = []
    for seed in (0, 0, 1):
        pair = [torch.nn.Parameter(torch.zeros(5)) for _ in range(2)]
        optimiser = Santa(pair, seed=seed, preconditioner=(0.9, 10.0))
        for w in pair:
            w.grad = torch.zeros(5)
        optimiser.step()
        ends.append([w.detach() for w in pair])
    assert torch.equal(ends[0][0], ends[1][0])
    assert not torch.equal(ends[0][0], ends[0][1]) and not torch.equal(ends[0][0], ends[2][0])


def test_it_is_used_as_any_optimiser():
    is_used_as_torch_uses_it(Santa, {"lr": 0.01})


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"schedule": (0.0, 0.5, 10)}, "Invalid schedule"),
    ({"preconditioner": (1.0, 1e-8)}, "Invalid preconditioner"), ({"friction": -1}, "Invalid friction value: -1"),
    ({"examples": 0}, "Invalid examples value: 0"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        Santa([torch.zeros(2, requires_grad=True)], **options)


def test_complex_weights_are_refused():
    w = torch.zeros(2, dtype=torch.complex64, requires_grad=True)
    w.grad = torch.zeros_like(w)
    with pytest.raises(RuntimeError, match="complex"):
        Santa([w]).step()
