"""The law of a push, the growth of both methods, and the sweep against them."""

import dataclasses

import numpy as np
import pytest
import torch
from oracles import records
from scipy.integrate import quad

from shinso.core.errors import UserError
from shinso.theory import perturbed_descent as s


def test_the_slope_is_that_of_autograd():
    ground = s.Saddle(1.5, 0.7, 0.3)
    w = torch.randn(5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    ground.height(w).backward()
    torch.testing.assert_close(ground.slope(w.detach()), w.grad, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("d", [1, 2, 3, 10, 300])
def test_the_law_of_a_push_is_that_of_its_density(d):
    """One coordinate of a point uniform in the ball has a density proportional to (1 - u^2)^((d-1)/2)."""
    def mean(of):
        return quad(lambda u: of(u) * (1 - u * u) ** ((d - 1) / 2), 0, 1, limit=200)[0]

    whole = mean(lambda u: 1.0)
    first = mean(np.log) / whole
    second = mean(lambda u: (np.log(u) - first) ** 2) / whole
    assert s.push_along(d) == pytest.approx((first, second**0.5), rel=1e-5)


@pytest.mark.parametrize("z", [1e-3, 0.1, 1.0])
@pytest.mark.parametrize("theta", [0.01, 0.3, 1.0])
def test_the_growth_is_the_largest_eigenvalue_of_one_step(z, theta):
    """w' = (1 + z)(w + (1 - theta) v), v' = w' - w."""
    step = np.array([[1 + z, (1 + z) * (1 - theta)], [z, (1 + z) * (1 - theta)]])
    assert s.growth(z, theta) == pytest.approx(np.abs(np.linalg.eigvals(step)).max(), rel=1e-12)
    assert s.growth(z, 1.0) == pytest.approx(s.growth(z), rel=1e-12)


def test_acceleration_turns_the_condition_number_into_its_root():
    ratio = [np.log(s.growth(0.25 / k, s.theta_for(k))) / np.log(s.growth(1 / k)) / k**0.5 for k in (1e3, 1e5, 1e7)]
    assert max(ratio) / min(ratio) < 1.05 and min(ratio) > 0.3


def test_nobody_leaves_without_a_push():
    still = torch.optim.SGD([s.origin(4)], lr=0.3)
    assert s.steps_out(still, s.Saddle(), most=200) == 200


@pytest.mark.parametrize("setup", [s.VARIANTS["smoke"], s.Setup(points=6, repeats=40, seed=5),
                                   s.Setup(across="condition", points=6, hardest=100, repeats=12)])
def test_every_point_is_what_was_foretold(setup):
    rows = records(s.build(setup))
    assert all(abs(row["measured"] - row["predicted"]) <= row["within"] for row in rows)
    if setup.repeats > 10:
        assert all(row["within"] < 0.45 * row["predicted"] for row in rows)
        assert all(row["steps_agd"] == pytest.approx(row["predicted_agd"], rel=0.35) for row in rows)


def test_the_walks_of_the_picture_end_where_they_should():
    program = s.build(s.VARIANTS["smoke"])
    ground, start = s.Saddle(2.0, 2.0, 1.0), torch.tensor([1.2, 0.0], dtype=torch.float64)
    stuck = s._walk(lambda w: torch.optim.SGD([w], lr=0.05), ground, start.clone().requires_grad_())
    assert stuck.heights[-1] == pytest.approx(0, abs=1e-10) and not stuck.pushes
    pushed = s._walk(lambda w: s.PerturbedGD([w], lr=0.05, radius=0.04, threshold=0.6, wait=400), ground,
                     start.clone().requires_grad_())
    assert pushed.heights[-1] == pytest.approx(-1, abs=1e-6) and len(pushed.pushes) == 1
    assert program.pictures() == {}


@pytest.mark.parametrize("wrong", [{"hardest": 1}, {"repeats": 0}, {"across": "condition", "hardest": 5}])
def test_what_cannot_be_asked_gets_one_sentence(wrong):
    with pytest.raises(UserError):
        s.build(dataclasses.replace(s.Setup(), **wrong))
