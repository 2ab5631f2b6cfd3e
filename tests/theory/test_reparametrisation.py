"""The rewritten net against torch's own layers, its Hessian against differences, and both sides of the bound."""

import numpy as np
import pytest
import torch
from oracles import records

from shinso.theory import reparametrisation
from shinso.theory.reparametrisation import Setup, blocks, sharpness, trained


@pytest.fixture(scope="module")
def net():
    return trained(6, 100, 1)


def torch_net(theta: torch.Tensor, hidden: int) -> torch.nn.Sequential:
    layers = torch.nn.Sequential(torch.nn.Linear(2, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 1)).double()
    torch.nn.utils.vector_to_parameters(theta, layers.parameters())
    return layers


def test_the_answers_are_those_of_torch_layers(net):
    x = torch.randn(30, 2, dtype=torch.float64)
    torch.testing.assert_close(net.answer(net.theta, x), torch_net(net.theta, 6)(x)[:, 0], rtol=1e-12, atol=1e-12)


def test_the_hessian_is_the_difference_of_gradients(net):
    H, step = net.hessian(net.theta), 1e-6
    for k in (0, 13, 20, 24):
        ends = []
        for side in (step, -step):
            theta = net.theta.clone()
            theta[k] += side
            theta.requires_grad_()
            ends.append(torch.autograd.grad(net.loss(theta), theta)[0])
        torch.testing.assert_close(H[k], (ends[0] - ends[1]) / (2 * step), rtol=1e-4, atol=1e-5)


def test_training_went_somewhere(net):
    assert float(((net.answer(net.theta, net.x) > 0) == (net.sign > 0)).double().mean()) > 0.85
    start = trained.__wrapped__(6, 100, 1)
    torch.testing.assert_close(start.theta, net.theta, rtol=0, atol=0)


@pytest.mark.parametrize("a", [0.02, 0.5, 3.0, 40.0])
def test_the_bound_holds_from_below_and_the_sum_of_blocks_from_above(net, a):
    W, v = blocks(net)
    found = sharpness(net.hessian(net.moved(a)))
    rest = float(net.hessian(net.theta)[-1, -1])
    assert found >= max(a * a * v, W / a**2) * (1 - 1e-9)
    assert found <= (a * a * v + W / a**2 + rest) * 1.05


def test_moving_there_and_back_changes_nothing(net):
    there = reparametrisation.Net(net.moved(4.0), net.hidden, net.x, net.sign)
    torch.testing.assert_close(there.moved(0.25), net.theta, rtol=0, atol=0)


def test_every_row_of_the_sweep_is_foretold_and_the_invariant_stays():
    rows = records(reparametrisation.build(Setup(scales=9)))
    assert all(abs(row["measured"] - row["predicted"]) <= row["within"] for row in rows)
    assert np.ptp([row["relative_sharpness"] for row in rows]) < 1e-9 * rows[0]["relative_sharpness"]
    assert max(row["measured"] for row in rows) > 1000 * min(row["measured"] for row in rows)
