"""The machine against the table of all its states, its updates against drawn ones, and its digits."""

import dataclasses

import pytest
import torch
from oracles import records

from shinso.basics.rbm import (
    VARIANTS,
    Setup,
    _exact,
    _expected_contrast,
    _tiny,
    build,
    contrast,
    dream,
    energy,
    first_weights,
    free_energy,
    hidden_given,
    tossed,
)
from shinso.core.errors import UserError
from shinso.core.seed import generator


def test_the_energy_is_the_three_sums_written_out():
    weights = first_weights(4, 3, 1.0, 0)
    (W, a, b), v, h = weights, torch.tensor([1.0, 0, 1, 1]).double(), torch.tensor([0.0, 1, 1]).double()
    a += 0.3
    b -= 0.2
    expected = -sum(float(a[i] * v[i]) for i in range(4)) - sum(float(b[j] * h[j]) for j in range(3))
    expected -= sum(float(v[i] * W[i, j] * h[j]) for i in range(4) for j in range(3))
    assert float(energy(weights, v, h)) == pytest.approx(expected)


def test_free_energy_differences_are_log_ratios_of_probabilities():
    weights, v, h = _tiny(5)
    p = torch.exp(-energy(weights, v[:, None], h[None])).sum(1)
    p = p / p.sum()
    free = free_energy(weights, v)
    assert torch.allclose((p[3] / p[11]).log(), free[11] - free[3])


def test_the_mean_of_many_drawn_updates_is_the_expected_one():
    weights, v, h = _tiny(1, 0.7)
    data = torch.full((16,), 1 / 16, dtype=torch.float64)
    batch = v.repeat(5000, 1)
    dreamt, _ = dream(weights, batch, 1, generator(0, "test"))
    drawn, _, _ = contrast(weights, batch, dreamt)
    assert torch.allclose(drawn, _expected_contrast(weights, v, h, data), atol=0.01)


def test_many_rounds_come_to_the_exact_gradient():
    weights, v, h = _tiny(1, 0.7)
    data = torch.full((16,), 1 / 16, dtype=torch.float64)
    batch = v.repeat(5000, 1)
    dreamt, _ = dream(weights, batch, 40, generator(0, "test"))
    assert torch.allclose(contrast(weights, batch, dreamt)[0], _exact(weights, v, h, data), atol=0.01)


def test_tosses_have_their_probability():
    p = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64).expand(40_000, 3)
    assert tossed(p, generator(0, "test")).mean(0).tolist() == pytest.approx([0, 0.25, 1], abs=0.01)


def test_training_lowers_the_error_and_the_machine_tells_a_digit_from_noise():
    program = build(Setup(epochs=20))
    before = float(program.evaluate("test")["loss"])
    records(program)
    after = program.evaluate("test")
    assert float(after["loss"]) < 0.4 * before
    noise = tossed(torch.full((300, 64), 0.5, dtype=torch.float64), generator(0, "noise"))
    digits = program.data["test"]
    assert free_energy(program.weights, digits).mean() < free_energy(program.weights, noise).mean() - 20
    features = hidden_given(program.weights, digits)
    assert features.shape == (len(digits), 64) and 0 <= float(features.min()) < float(features.max()) <= 1


def test_the_pictures_are_three():
    assert set(build(VARIANTS["smoke"]).pictures()) == {"filters", "restored", "dreams"}


@pytest.mark.parametrize("wrong", [{"hidden": 0}, {"rounds": 0}, {"lr": 0.0}])
def test_a_setup_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        build(dataclasses.replace(Setup(), **wrong))
