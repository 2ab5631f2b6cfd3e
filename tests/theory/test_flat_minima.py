"""The grid law against integrals and against the closed law of one parabola; the crowd against the grid law."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles import records

from shinso.core.errors import UserError
from shinso.core.seed import generator
from shinso.theory import flat_minima
from shinso.theory.flat_minima import Setup, Wells


@pytest.mark.parametrize("temperature", [0.2, 0.7, 3.0])
def test_the_integral_of_the_boltzmann_law_is_five_to_one_at_every_temperature(temperature):
    x = torch.linspace(-30, 10, 4_000_001, dtype=torch.float64)
    mass = (-Wells(25.0, False).height(x) / temperature).exp()
    assert float(mass[x < 0].sum() / mass[x > 0].sum()) == pytest.approx(5.0, rel=1e-4)


def test_the_slope_is_the_derivative_of_the_height_and_the_wells_meet():
    wells = Wells(9.0, True)
    x = torch.tensor([-2.5, -0.3, 0.2, 0.9], dtype=torch.float64, requires_grad=True)
    wells.height(x).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(wells.slope(x.detach()), x.grad)
    edge = wells.height(torch.tensor([-1e-12, 1e-12], dtype=torch.float64))
    torch.testing.assert_close(edge, torch.ones(2, dtype=torch.float64), atol=1e-10, rtol=0)
    assert wells.scale(torch.tensor([-1.0, 1.0])).tolist() == [1.0, 3.0]


def test_the_grid_law_is_stochastic_and_has_the_moments_of_one_step():
    wells = Wells(25.0, False)
    x, P = flat_minima.grid_law(wells, 0.004, 0.7)
    np.testing.assert_allclose(P.sum(1), 1, rtol=1e-12)
    inner = np.abs(x + 1.4) < 0.5
    ahead = x - 0.004 * wells.slope(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose((P @ x)[inner], ahead[inner], atol=1e-6)
    width = x[1] - x[0]
    spread = (P @ x**2)[inner] - (P @ x)[inner] ** 2
    np.testing.assert_allclose(spread, 2 * 0.004 * 0.7 + width**2 / 12, rtol=1e-3)


def test_at_rate_a_hundredth_the_ratio_is_above_the_five():
    x, chances = flat_minima.settled(Wells(25.0, False), 0.01, 0.7)
    wide = chances[x < 0].sum()
    assert wide / (1 - wide) == pytest.approx(5.56, abs=0.01)


@pytest.mark.parametrize("variant", ["default", "follows-curvature"])
def test_every_record_is_near_the_law(variant):
    rows = records(flat_minima.build(replace(flat_minima.VARIANTS[variant], walkers=800)))
    assert all(abs(row["measured"] - row["predicted"]) <= row["within"] < 0.13 for row in rows)
    assert rows[0]["measured"] < rows[-1]["measured"]


def test_deviations_have_the_variance_of_the_temperature():
    each = flat_minima.deviations(500, 0.7, 0.01, 8, 3)
    assert float(each.mean()) == pytest.approx(0, abs=1e-12)
    assert float(each.square().mean()) == pytest.approx(2 * 8 * 0.7 / 0.01, rel=1e-12)
    one = flat_minima.step(Wells(25.0, False), torch.zeros(4), each, 0.01, 500, generator(0, "x"))
    assert one.shape == (4,)


def test_a_rate_at_which_the_sharp_well_throws_out_is_refused():
    with pytest.raises(UserError, match="curvature"):
        flat_minima.build(Setup(lr=0.08))
