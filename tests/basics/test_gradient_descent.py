"""The walk, its closed form, its edge, and what is drawn of it."""

import dataclasses

import numpy as np
import pytest
import torch
from oracles import records

from shinso.basics.gradient_descent import (
    CURVATURES,
    VARIANTS,
    Setup,
    build,
    foreseen,
    height,
    largest_rate,
    slope,
    walk,
    walk_figure,
)
from shinso.core.errors import UserError


@pytest.mark.parametrize("function", CURVATURES)
def test_the_slope_is_that_of_autograd(function):
    x = torch.randn(7, len(CURVATURES[function]), dtype=torch.float64, requires_grad=True)
    curvature = torch.from_numpy(CURVATURES[function])
    (0.5 * (curvature * x**2).sum(-1)).sum().backward()
    assert np.array_equal(slope(CURVATURES[function], x.detach().numpy()), x.grad.numpy())


def test_the_two_functions_are_those_of_the_course():
    x, y = np.meshgrid(np.linspace(-2, 2, 9), np.linspace(-2, 2, 9))
    assert np.allclose(height(CURVATURES["valley"], np.stack([x, y], -1)), x**2 / 2 + 5 * y**2, atol=1e-14)
    assert np.allclose(height(CURVATURES["square"], x[..., None]), x**2, atol=1e-15)


def test_the_course_ends_where_the_notebook_ends():
    assert walk(CURVATURES["valley"], (4, 1), 0.18, 20)[-1] == pytest.approx([0.0755678, 0.0115292], abs=5e-8)


@pytest.mark.parametrize("function", CURVATURES)
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99, 1.01, 1.5])
def test_a_walk_converges_exactly_below_the_edge(function, share):
    lr = share * largest_rate(CURVATURES[function])
    path = walk(CURVATURES[function], [1.0] * len(CURVATURES[function]), lr, 400)
    assert (np.linalg.norm(path[-1]) < np.linalg.norm(path[0])) == (share < 1)
    assert np.allclose(path[-1], foreseen(CURVATURES[function], path[0], lr, 400), rtol=1e-11, atol=0)


def test_torch_walks_the_same_way():
    x = torch.tensor([4.0, 1.0], dtype=torch.float64, requires_grad=True)
    sgd = torch.optim.SGD([x], lr=0.18)
    for _ in range(30):
        sgd.zero_grad()
        (0.5 * x[0] ** 2 + 5 * x[1] ** 2).backward()
        sgd.step()
    assert np.allclose(walk(CURVATURES["valley"], (4, 1), 0.18, 30)[-1], x.detach().numpy(), rtol=1e-13)


def test_a_diverging_run_ends_with_numbers_and_says_so():
    program = build(dataclasses.replace(VARIANTS["thrown-out"], lr=5.0, steps=3000))
    rows = records(program)
    assert rows[-1]["thrown_out"] == 1.0 and rows[0]["thrown_out"] == 0.0
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    assert all(abs(row["measured"] - row["predicted"]) <= row["within"] for row in rows)
    assert rows[-1]["measured"] == rows[-2]["measured"] < 100 * program.setup.far


@pytest.mark.parametrize("name", VARIANTS)
def test_the_drawn_points_are_the_recorded_ones_with_the_closed_form_over_them(name):
    program = build(VARIANTS[name])
    places = [program.start.tolist()] + [[row[k] for k in "xy" if k in row] for row in records(program)]
    figure = walk_figure(program)
    path, known = (np.asarray(line.get_xydata()) for line in _walked(figure))
    expected = np.array(places)[: program.moves + 1]
    if expected.shape[1] == 1:
        expected = np.stack([expected[:, 0], height(program.curvature, expected)], 1)
    assert np.array_equal(path, expected)
    assert np.allclose(known, path, rtol=1e-9, atol=1e-12 * np.abs(path).max())


def _walked(figure):
    named = {line.get_label(): line for line in figure.axes[0].lines}
    return named["path / 軌跡"], named["(2)"]


def test_a_start_with_too_many_coordinates_is_refused():
    with pytest.raises(UserError, match="1 coordinate"):
        build(Setup(function="square", start=(1.0, 2.0)))
    with pytest.raises(UserError, match="lr"):
        build(Setup(lr=0.0))
