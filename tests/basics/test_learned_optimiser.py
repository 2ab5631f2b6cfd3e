"""The rule is judged on fresh functions beside rivals that are torch's, and its networks read digits."""

import dataclasses

import pytest
import torch
from oracles import records
from torch import nn
from torch.nn import functional as F

from shinso.basics.learned_optimiser import (
    RATES,
    VARIANTS,
    DigitNets,
    Setup,
    build,
    descent,
    learned_descent,
    rivals,
    tuned,
)
from shinso.core.errors import UserError
from shinso.optim.gd_by_gd import SHIPPED, GDByGD, Quadratics, learned


def test_the_slope_of_the_digit_nets_is_that_of_torchs_layers():
    nets = DigitNets(2, 5)
    problem = nets.draw(torch.Generator().manual_seed(0))
    heights, g = nets.slope(problem, problem["theta"], 3)
    for k in range(2):
        net = nn.Sequential(nn.Linear(64, 20), nn.Sigmoid(), nn.Linear(20, 10))
        nn.utils.vector_to_parameters(problem["theta"][k].clone(), net.parameters())
        rows = problem["rows"][k, 3]
        loss = F.cross_entropy(net(nets.x[rows]), nets.labels[rows])
        loss.backward()
        expected = nn.utils.parameters_to_vector([p.grad for p in net.parameters()])
        torch.testing.assert_close(heights[k], loss.detach())
        torch.testing.assert_close(g[k], expected)


def test_batches_differ_from_step_to_step():
    nets = DigitNets(1, 5)
    problem = nets.draw(torch.Generator().manual_seed(0))
    assert not torch.equal(nets.slope(problem, problem["theta"], 0)[0], nets.slope(problem, problem["theta"], 1)[0])


def test_a_rival_walks_as_torch_does_by_autograd():
    problems = Quadratics(3, 4)
    problem = problems.draw(torch.Generator().manual_seed(0))
    heights = descent(problems, problem, rivals(0.01)["nesterov"], 20)
    w = problem["theta"].clone().requires_grad_()
    optimiser = torch.optim.SGD([w], lr=0.01, momentum=0.9, nesterov=True)
    for t in range(20):
        optimiser.zero_grad()
        ((problem["W"] @ w[..., None])[..., 0] - problem["y"]).square().sum().backward()
        optimiser.step()
        torch.testing.assert_close(heights[t], problems.slope(problem, w.detach(), t)[0], rtol=1e-4, atol=1e-5)


def test_the_best_rate_is_the_best():
    problems = Quadratics(5)
    problem = problems.draw(torch.Generator().manual_seed(0))
    rate, heights = tuned(problems, problem, 30, ("adam",))["adam"]
    ends = {lr: float(descent(problems, problem, rivals(lr)["adam"], 30)[-1].mean()) for lr in RATES}
    assert rate == min(ends, key=ends.get) and float(heights[-1].mean()) == min(ends.values())


def test_the_optimiser_takes_the_way_of_its_training():
    problems = Quadratics(4)
    problem = problems.draw(torch.Generator().manual_seed(0))
    mine = learned_descent(learned(SHIPPED), problems, problem, 15)
    torch.testing.assert_close(mine, descent(problems, problem, lambda w: GDByGD(w), 15), rtol=1e-3, atol=1e-3)


def test_small_networks_are_learnt_too():
    program = build(dataclasses.replace(VARIANTS["mlp"], updates=25, problems=2, unroll=10, horizon=30, judged=2))
    rows = records(program)
    first = [row["loss"] for row in rows if row["begun_at"] == 20]
    assert min(first[3:]) < 0.8 * first[0]


def test_evaluations_beside_the_rivals():
    program = build(VARIANTS["smoke"])
    assert set(program.evaluate("validation")) == {"loss", "loss_median"}
    assert set(program.evaluate("test")) == {"loss", "loss_median", "sgd", "rmsprop", "adam", "nesterov"}


def test_a_setup_without_functions_is_refused():
    with pytest.raises(UserError, match="problems"):
        build(Setup(problems=0))
