"""The proximal point method against its closed form on quadratics, (4), and SciPy's search for (1)."""

import copy

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from streams import CURVATURE, parameters

from shinso.optim.proximal_point import ProximalPoint


def closure_of(optimiser, loss):
    def closure():
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value
    return closure


def bowl(weights, sign=1):
    return lambda: sign * sum((torch.tensor(CURVATURE[name]) * (w - 1).square()).sum() / 2
                              for name, w in weights.items())


@pytest.mark.parametrize("lr", [0.1, 3.0])
@pytest.mark.parametrize("maximize", [False, True])
def test_three_hundred_steps_equal_the_closed_form(lr, maximize):
    """(4) entry by entry: w' - 1 = (w - 1) / (1 + lr c), through matrices in two orders of memory."""
    weights = parameters()
    expected = {name: w.detach().clone().numpy() for name, w in weights.items()}
    optimiser = ProximalPoint(weights.values(), lr=lr, maximize=maximize)
    closure = closure_of(optimiser, bowl(weights, -1 if maximize else 1))
    for _ in range(300):
        optimiser.step(closure)
        for name, w in weights.items():
            expected[name] = 1 + (expected[name] - 1) / (1 + lr * CURVATURE[name])
            np.testing.assert_allclose(w.detach().numpy(), expected[name], atol=1e-10)


def test_a_step_in_the_valley_is_the_minimum_that_scipy_finds():
    def valley(w):
        return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2

    start = np.array([-1.2, 1.0])
    best = minimize(lambda z: valley(z) + ((z - start) ** 2).sum() / 0.02, start, method="Nelder-Mead",
                    options={"xatol": 1e-10, "fatol": 1e-14, "maxiter": 5000})
    w = torch.tensor(start, requires_grad=True)
    optimiser = ProximalPoint([w], lr=0.01)
    assert optimiser.step(closure_of(optimiser, lambda: valley(w))).item() == pytest.approx(24.2)
    np.testing.assert_allclose(w.detach().numpy(), best.x, atol=1e-6)


def test_it_reaches_the_bottom_of_the_valley():
    w = torch.tensor([-1.2, 1.0], requires_grad=True)  # float32
    optimiser = ProximalPoint([w], lr=1.0)
    for _ in range(50):
        optimiser.step(closure_of(optimiser, lambda: (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2))
    assert w.dtype == torch.float32 and torch.allclose(w.detach(), torch.ones(2), atol=2e-2)


def test_a_group_of_rate_zero_and_a_weight_without_a_gradient_stay_and_a_schedule_is_followed():
    weights = parameters()
    groups = [{"params": [weights["matrix"]]}, {"params": [weights["vector"]], "lr": 0.0},
              {"params": [weights["number"]]}]
    optimiser = ProximalPoint(groups, lr=0.5)
    before = {name: w.detach().clone() for name, w in weights.items()}
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 1, gamma=0.5)
    optimiser.step(closure_of(optimiser, lambda: (weights["matrix"] - 3).square().sum() + weights["vector"].sum()))
    schedule.step()
    torch.testing.assert_close(weights["matrix"].detach(), (before["matrix"] + 3) / 2)
    assert torch.equal(weights["vector"], before["vector"]) and torch.equal(weights["number"], before["number"])
    assert optimiser.param_groups[0]["lr"] == 0.25


def test_a_loss_without_a_floor_leaves_the_weights_where_nothing_is_gained():
    w = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    optimiser = ProximalPoint([w], lr=1.0)
    optimiser.step(closure_of(optimiser, lambda: (w * float("nan")).sum()))
    assert w.item() == 1.0


def test_it_goes_on_where_it_was_saved():
    whole, half = parameters(), parameters()
    one = ProximalPoint(whole.values(), lr=0.3)
    two = ProximalPoint(half.values(), lr=0.3)
    for i in range(20):
        if i == 10:
            half = copy.deepcopy(half)
            again = ProximalPoint(half.values())
            again.load_state_dict(copy.deepcopy(two.state_dict()))
            two = again
        one.step(closure_of(one, bowl(whole)))
        two.step(closure_of(two, bowl(half)))
    assert all(torch.equal(whole[name], half[name]) for name in whole)


def test_sparse_gradients_are_refused():
    table = torch.nn.Embedding(4, 2, sparse=True)
    optimiser = ProximalPoint(table.parameters())
    with pytest.raises(RuntimeError, match="ProximalPoint does not support sparse gradients"):
        optimiser.step(closure_of(optimiser, lambda: table(torch.tensor([1])).sum()))


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"tolerance": 0.0}, "Invalid tolerance: 0.0"),
    ({"inner": 0}, "Invalid inner value: 0"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        ProximalPoint([torch.zeros(2, requires_grad=True)], **options)
