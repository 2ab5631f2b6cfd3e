"""AdaSecant equals Gulcehre et al. 2017, Algorithm 1, and the first three steps worked out by hand."""

import numpy as np
import pytest
import torch
from streams import follows, goes_on, is_used_as_torch_uses_it

from shinso.optim.adasecant import AdaSecant


def algorithm_1(w, lr=1.0, decay=0.95, eps=1e-6, normalise=True, reduce=True):
    """Line by line for one block; E is a dictionary of moving averages with the memory tau."""
    E, tau, kept = {}, np.full_like(w, 2.2), {}

    def average(**new):
        for name, x in new.items():
            E[name] = E[name] * (1 - 1 / tau) + x / tau if name in E else x

    for t in range(10**9):
        g = yield w
        g = g / (np.sqrt((g * g).sum()) + 1e-7) if normalise else g
        if t == 0:
            kept = {"g": g, "c": g, "mean": g, "square": g * g, "step": -lr * g}
            E |= {"top": np.zeros_like(w), "bottom": np.zeros_like(w)}
            w = w + kept["step"]
            continue
        mean = decay * kept["mean"] + (1 - decay) * g
        square = decay * kept["square"] + (1 - decay) * g**2
        step, alpha, c = kept["step"], g - kept["g"], g
        average(step=step, step2=step**2, alpha=alpha, alpha2=alpha**2, both=alpha * step)
        if reduce:
            average(top=((g - kept["c"]) * (kept["c"] - mean)) ** 2, bottom=((g - mean) * (kept["c"] - mean)) ** 2)
            gamma = np.minimum(np.sqrt(E["top"]) / (np.sqrt(E["bottom"]) + 1e-7), 1.8)
            c = (g + gamma * mean) / (1 + gamma)
        rate = np.sqrt(E["step2"] + eps) / np.sqrt(E["alpha2"] + eps)
        rate = rate - (E["both"] - E["alpha"] * E["step"]) / (E["alpha2"] + eps)
        far = np.abs(g - mean) > 2 * np.sqrt(np.maximum(square - mean**2, 0))
        bent = np.abs(alpha - E["alpha"]) > 2 * np.sqrt(np.maximum(E["alpha2"] - E["alpha"] ** 2, 0))
        tau = np.clip(np.where(far | bent, 2.2, (1 - E["step"] ** 2 / E["step2"]) * tau + 1), 1.5, 1e8)
        kept = {"g": g, "c": c, "mean": mean, "square": square, "step": -lr * rate * c}
        w = w + kept["step"]


@pytest.mark.parametrize("options", [
    {}, {"normalise": False}, {"reduce": False, "lr": 0.5}, {"normalise": False, "reduce": False, "decay": 0.5},
    {"eps": 1e-3},
])
def test_three_hundred_steps_equal_the_papers(options):
    follows(AdaSecant, algorithm_1, options)


def test_the_first_three_steps_worked_out():
    """No normalising, no reduction, eps = 0, rho = 1/2, gradients 1, 3/4, -1/4.

    1: rate 1, D = -1.
    2: a = -1/4; E[D^2] = 1, E[a^2] = 1/16, no covariance: rate 4, D = -3, w = -4. m = 7/8, q = 25/32, so that
       |g - m| = 1/8 is no outlier beyond 2 sqrt(1/64) = 1/4; E[D]^2 = E[D^2]: tau = 1, and at least 3/2.
    3: a = -1, D before = -3, weight 2/3: E[D] = -7/3, E[D^2] = 19/3, E[a] = -3/4, E[a^2] = 11/16, E[a D] = 25/12,
       covariance 25/12 - 7/4 = 1/3: rate sqrt(304/33) - 16/33, times 1/4 upwards.
    """
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimiser = AdaSecant([w], decay=0.5, eps=1e-300, normalise=False, reduce=False)
    for g, value in ((1.0, -1.0), (0.75, -4.0), (-0.25, -4 + ((304 / 33) ** 0.5 - 16 / 33) / 4)):
        w.grad = torch.full_like(w, g)
        optimiser.step()
        assert w.item() == pytest.approx(value, abs=1e-14)


def test_without_the_mean_in_the_covariance_the_rate_would_be_zero():
    """(E[D^2] / E[a^2])^(1/2) - E[a D] / E[a^2] with a = lambda D is 1/lambda - 1/lambda."""
    D = np.random.default_rng(0).normal(size=50)
    a = 3.0 * D
    assert np.sqrt((D * D).mean() / (a * a).mean()) - (a * D).mean() / (a * a).mean() == pytest.approx(0, abs=1e-15)


def test_it_goes_on_where_it_was_saved():
    goes_on(AdaSecant, {})


def test_a_gradient_that_never_changes_and_one_of_zero_stay_finite():
    for value in (0.0, 1.0):
        w = torch.zeros(3, requires_grad=True)
        optimiser = AdaSecant([w])
        for _ in range(5):
            w.grad = torch.full((3,), value)
            optimiser.step()
        assert w.isfinite().all()


def test_it_is_used_as_any_optimiser():
    is_used_as_torch_uses_it(AdaSecant, {"lr": 1.0})


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"decay": 1.0}, "Invalid decay value: 1.0"),
    ({"eps": 0.0}, "Invalid epsilon value: 0.0"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        AdaSecant([torch.zeros(2, requires_grad=True)], **options)
