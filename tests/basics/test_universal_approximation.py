"""Staircases, bumps and their bound, against torch's own layers and against functions that are hard."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from oracles import records

from shinso.basics.universal_approximation import (
    FUNCTIONS,
    GRID,
    VARIANTS,
    Setup,
    answer,
    build,
    bump,
    drawn,
    fitted,
    largest_error,
    layer,
    promised,
    staircase,
)
from shinso.core.errors import UserError

CONTINUOUS = [name for name in FUNCTIONS if name != "jump"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_network_is_one_hidden_layer_of_torch(name):
    centres, w, heights = staircase(FUNCTIONS[name], 9)
    hidden, out = torch.nn.Linear(1, 9).double(), torch.nn.Linear(9, 1).double()
    with torch.no_grad():
        hidden.weight.fill_(w)
        hidden.bias.copy_(torch.from_numpy(-w * centres))
        out.weight.copy_(torch.from_numpy(heights[None, 1:]))
        out.bias.fill_(heights[0])
        theirs = out(torch.sigmoid(hidden(torch.from_numpy(GRID)[:, None])))[:, 0].numpy()
    assert np.allclose(answer(GRID, (centres, w, heights)), theirs, atol=1e-12)


def test_neighbouring_bumps_add_up_to_one():
    borders = np.array([-9.0, 0.2, 0.5, 0.8, 9.0])
    total = sum(bump(GRID, a, b, 60.0) for a, b in pairwise(borders))
    assert np.allclose(total, 1, atol=1e-12)


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("m", [1, 3, 17, 100, 300])
def test_the_staircase_is_under_its_bound_and_the_bound_says_something(name, m):
    assert largest_error(FUNCTIONS[name], staircase(FUNCTIONS[name], m)) <= promised(FUNCTIONS[name], m)
    assert m < 100 or promised(FUNCTIONS[name], m) < 0.5 * np.ptp(FUNCTIONS[name](GRID))


@pytest.mark.parametrize("seed", range(5))
def test_more_units_come_closer_to_every_drawn_function(seed):
    f = drawn(seed)
    errors = [largest_error(f, staircase(f, m)) for m in (4, 32, 256)]
    assert errors[0] > 2 * errors[1] > 8 * errors[2]


def test_least_squares_leaves_nothing_along_any_unit():
    network = fitted(FUNCTIONS["waves"], 12)
    left = answer(GRID, network) - FUNCTIONS["waves"](GRID)
    assert np.abs(layer(GRID, network[0], network[1]).T @ left).max() < 1e-8


def test_the_run_counts_its_units_and_shows_them():
    program = build(VARIANTS["smoke"])
    rows = records(program)
    assert [row["units"] for row in rows] == list(range(1, 41))
    assert rows[-1]["error_fitted"] < rows[-1]["error_by_hand"] < rows[-1]["error_by_hand_bound"]
    assert set(program.pictures()) == {"bumps", "units"}


def test_no_units_are_refused():
    with pytest.raises(UserError, match="units"):
        build(Setup(units=0))
