"""Dead units: counted, made by large steps, and absent where the flat side has a slope."""

import pytest
import torch
from oracles import records

from shinso.basics import dead_neurons
from shinso.core.record import plain


@pytest.mark.parametrize("seed", range(2))
def test_large_steps_kill_units_and_small_ones_do_not(seed):
    ends = []
    for lr in (0.5, 0.05):
        rows = records(dead_neurons.build(dead_neurons.Setup(lr=lr, seed=seed)))
        assert all(row["dead_leaky"] == 0 for row in rows)
        ends.append(rows[-1]["dead"] - rows[0]["dead"])
    assert ends[0] >= ends[1] + 3


def test_the_leaky_net_learns_the_spirals():
    program = dead_neurons.build(dead_neurons.VARIANTS["default"])
    records(program)
    assert plain(program.evaluate("test"))["accuracy_leaky"] > 0.95


def test_a_unit_that_speaks_once_is_alive():
    net = dead_neurons.Net((1, 2, 1), "relu")
    with torch.no_grad():
        net.layers[0].weight.fill_(1.0)
        net.layers[0].bias.copy_(torch.tensor([-5.0, -7.0]))
    inputs = torch.tensor([[0.0], [6.0], [-3.0]])
    assert [layer.tolist() for layer in dead_neurons.dead(net, inputs)] == [[False, True]]


@pytest.mark.parametrize(("layers", "width"), [(1, 1), (5, 2), (10, 4)])
def test_born_dead_by_the_formula(layers, width):
    expected = 1 - (1 - 2.0**-width) ** layers
    within = 4 * (expected * (1 - expected) / 4000) ** 0.5
    assert dead_neurons.born_dead(layers, width, 4000) == pytest.approx(expected, abs=within)
