"""Many networks at once beside torch's gradient, their dead units, and their limits."""

import numpy as np
import pytest
import torch
from oracles import records, same_tree
from torch.nn import functional as F

from shinso.basics.activation_choice import (
    ACTIVATIONS,
    Crowd,
    Setup,
    bounded,
    build,
    carried,
    first_layers,
    lengths,
    moons,
)

THEIRS = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu, "leaky_relu": F.leaky_relu}
SMALL = Setup(members=3, hidden=2, width=4)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_losses_and_gradients_are_torchs_member_by_member(name):
    x, t = (part[:30] for part in moons("train"))
    layers = first_layers(SMALL)
    loss, slopes = Crowd(name, layers).gradients(x, t)
    for k in range(SMALL.members):
        theirs = [torch.tensor(part[k], requires_grad=True) for pair in layers for part in pair]
        h = torch.tensor(x)
        for weight, bias in zip(theirs[:-2:2], theirs[1:-2:2], strict=True):
            h = THEIRS[name](h @ weight + bias)
        error = F.binary_cross_entropy_with_logits((h @ theirs[-2] + theirs[-1])[:, 0], torch.tensor(t))
        error.backward()
        assert float(error.detach()) == pytest.approx(loss[k], rel=1e-12)
        for one, other in zip((part[k] for pair in slopes for part in pair), theirs, strict=True):
            np.testing.assert_allclose(one, other.grad.numpy(), rtol=1e-11, atol=1e-14)


def test_a_planted_dead_unit_is_found_and_has_no_gradient():
    layers = first_layers(SMALL)
    layers[0][1][1, 0, 2] = -100.0
    x, t = moons("train")
    crowd = Crowd("relu", layers)
    assert crowd.dead(x)[1, 0, 2]
    _, slopes = crowd.gradients(x, t)
    assert not slopes[0][0][1, :, 2].any() and slopes[0][1][1, 0, 2] == 0
    assert not Crowd("leaky_relu", layers).dead(x).any()


def test_a_dead_unit_does_not_move_when_the_layers_below_it_are_held():
    layers = first_layers(SMALL)
    layers[0][1][1, 0, 2] = -100.0
    crowd, before = Crowd("relu", layers), layers[0][0].copy()
    for _ in range(20):
        crowd.descend(crowd.gradients(*moons("train"))[1], 0.5, 0)
    moved = (crowd.layers[0][0] != before).any(1)
    assert not moved[1, 2] and moved.mean() > 0.5


def test_clipping_shortens_the_long_ones_only():
    x, t = moons("train")
    crowd = Crowd("relu", first_layers(SMALL))
    slopes = crowd.gradients(x, t)[1]
    limit = float(np.median(lengths(slopes)))
    before = [part for pair in crowd.layers for part in pair]
    crowd.descend(slopes, 1.0, limit)
    after = [part for pair in crowd.layers for part in pair]
    walked = np.sqrt(sum(((a - b) ** 2).sum((1, 2)) for a, b in zip(after, before, strict=True)))
    np.testing.assert_allclose(walked, np.minimum(lengths(slopes), limit), rtol=1e-10)


def test_what_overflows_is_counted_as_ten_and_carries_nothing():
    assert bounded(np.array([1.0, np.nan, np.inf, 30.0])) == pytest.approx((1 + 3 * 10) / 4)
    nothing = [(np.zeros((3, 2, 2)), np.zeros((3, 1, 2)))] * 2
    assert carried(nothing) == 0


def test_a_run_that_diverges_still_has_finite_records_and_pictures():
    program = build(Setup(members=3, lr=30.0, steps=40))
    assert all(np.isfinite(list(row.values())).all() for row in records(program))
    assert np.isfinite(list(program.evaluate("test").values())).all()
    assert {name: image.dtype for name, image in program.pictures().items()} == {
        "members": np.uint8, "dead_units": np.uint8}  # fmt: skip


def test_all_four_start_from_the_same_weights():
    program = build(SMALL)
    first = [crowd.layers for crowd in program.crowds.values()]
    for other in first[1:]:
        assert same_tree(first[0], other)
