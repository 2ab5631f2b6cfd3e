"""The landscapes beside other people's code, and their pictures' frames."""

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import Tensor

from shinso.maths.landscapes import LANDSCAPES, Landscape, curvature, drawn

EVERY = pytest.mark.parametrize("landscape", LANDSCAPES.values(), ids=list(LANDSCAPES))


@EVERY
def test_heights_and_slopes_take_any_shape(landscape: Landscape):
    w = drawn(landscape, 24)
    assert torch.equal(landscape.height(w.view(2, 3, 4, 2)).flatten(), landscape.height(w))
    assert torch.equal(landscape.slope(w.view(2, 3, 4, 2)).view(24, 2), landscape.slope(w))


@EVERY
def test_curvature_is_the_second_derivative_of_the_height(landscape: Landscape):
    for w in drawn(landscape, 5, seed=3):
        theirs = torch.autograd.functional.hessian(landscape.height, w)
        assert isinstance(theirs, Tensor)
        torch.testing.assert_close(curvature(landscape, w), theirs, rtol=1e-11, atol=1e-9)


@EVERY
def test_another_solver_ends_at_each_minimum(landscape: Landscape):
    for minimum in landscape.minima.numpy():
        found = optimize.minimize(lambda w: float(landscape.height(torch.from_numpy(w))), minimum + 0.01,
                                  method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-14, "maxiter": 2000})
        assert np.allclose(found.x, minimum, atol=1e-5)
        assert found.fun == pytest.approx(landscape.lowest, abs=1e-9)


@EVERY
def test_start_minima_and_saddles_are_in_the_picture(landscape: Landscape):
    left, right, bottom, top = landscape.window
    for x, y in [landscape.start, *landscape.minima.tolist(), *landscape.saddles]:
        assert left < x < right and bottom < y < top
    assert float(landscape.height(torch.tensor(landscape.start))) > landscape.lowest + 100 * landscape.tolerance


@pytest.mark.parametrize("name", ["rosenbrock", "beale"])
def test_a_known_height(name):
    known = {"rosenbrock": optimize.rosen([-1.2, 1.0]), "beale": 1.5**2 + 2.25**2 + 2.625**2}
    at = {"rosenbrock": [-1.2, 1.0], "beale": [0.0, 7.0]}
    assert float(LANDSCAPES[name].height(torch.tensor(at[name], dtype=torch.float64))) == pytest.approx(known[name])


def test_marked_saddles_are_no_minima_and_flat():
    marked = [landscape for landscape in LANDSCAPES.values() if landscape.saddles]
    assert len(marked) == 2
    for landscape in marked:
        for place in landscape.saddles:
            w = torch.tensor(place, dtype=torch.float64)
            assert float(landscape.slope(w).norm()) == 0
            near = w + 1e-3 * drawn(landscape, 200)
            assert float(landscape.height(near).min()) < float(landscape.height(w))
