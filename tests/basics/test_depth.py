"""Folds and their count, in networks of torch as well, and what is refused."""

import numpy as np
import pytest
import torch
from oracles import records

from shinso.basics.depth import (
    VARIANTS,
    Setup,
    build,
    folded,
    one_layer_zigzag,
    peaks,
    random_network,
    relu_network,
    tent,
)
from shinso.core.errors import UserError
from shinso.core.seed import generator


def test_the_tent_is_two_relu_units_of_torch():
    hidden, out = torch.nn.Linear(1, 2).double(), torch.nn.Linear(2, 1, bias=False).double()
    with torch.no_grad():
        hidden.weight.fill_(1.0)
        hidden.bias.copy_(torch.tensor([0.0, -0.5]))
        out.weight.copy_(torch.tensor([[2.0, -4.0]]))
        x = torch.linspace(0, 1, 101, dtype=torch.float64)[:, None]
        for k in range(1, 6):
            y = x
            for _ in range(k):
                y = out(torch.relu(hidden(y)))
            assert np.allclose(folded(x[:, 0].numpy(), k), y[:, 0].numpy(), atol=1e-12)
    assert tent(np.array([0.0, 0.25, 0.5, 1.0])).tolist() == [0.0, 0.5, 1.0, 0.0]


@pytest.mark.parametrize(("curve", "count"), [([0, 1, 0], 1), ([0, 1, 1, 0], 1), ([1, 0, 1], 0), ([0, 1, 0, 2, 1], 2),
                                              ([1, 1, 1], 0), ([0, 1, 2], 0)])
def test_a_peak_is_a_turn_from_rising_to_falling(curve, count):
    assert peaks(np.array(curve, dtype=float)) == count


@pytest.mark.parametrize("seed", range(4))
def test_the_random_network_is_torchs(seed):
    layers = random_network(3, 5, generator(seed, "test"))
    x = np.linspace(-2, 2, 50)
    h = torch.from_numpy(x)[:, None]
    for i, (weights, bias) in enumerate(layers):
        h = torch.nn.functional.linear(h, torch.from_numpy(weights), torch.from_numpy(bias))
        h = h if i == len(layers) - 1 else h.relu()
    assert np.allclose(relu_network(layers, x), h[:, 0].numpy(), atol=1e-12)


@pytest.mark.parametrize("n", range(2, 40))
def test_one_layer_attains_half_its_units_and_no_more(n):
    assert peaks(one_layer_zigzag(n)(np.linspace(0, 1, 20 * n + 1))) == n // 2


def test_the_run_predicts_every_row_and_leaves_one_layer_behind():
    program = build(VARIANTS["smoke"])
    rows = records(program)
    assert all(row["measured"] == row["predicted"] for row in rows)
    assert max(row["measured"] for row in rows) == 128 > 10 * max(row["random_peaks"] for row in rows)
    assert set(program.pictures()) == {"folds", "peaks"}


@pytest.mark.parametrize("depth", [0, 21])
def test_a_depth_without_a_grid_is_refused(depth):
    with pytest.raises(UserError, match="depth"):
        build(Setup(depth=depth))
