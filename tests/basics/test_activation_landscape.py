"""The landscapes beside torch's gradient, and what descent does in them."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from oracles import records
from torch.nn import functional as F

from shinso.basics._gallery import NAMES, gallery
from shinso.basics.activation_landscape import ACTIVATIONS, BEST, Landscape, Setup, build, flat, inputs, plane

THEIRS = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu, "leaky_relu": F.leaky_relu, "elu": F.elu}


@pytest.mark.parametrize("name", THEIRS)
def test_loss_and_gradient_are_torchs(name):
    x, w = inputs(15, 1), plane(7)
    theirs = torch.tensor(w, requires_grad=True)

    def answers(w):
        return THEIRS[name](w[..., None] * torch.tensor(x) - 0.3).sum(-2)

    loss = (answers(theirs) - answers(torch.tensor(BEST))).square().mean(-1) / 2
    loss.sum().backward()
    ours, slope = Landscape(name, x, 0.3).slope(w)
    np.testing.assert_allclose(ours, loss.detach().numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(slope, theirs.grad.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_two_lowest_points_are_at_zero(name):
    loss, slope = Landscape(name, inputs(30, 2), 0.5).slope(np.stack([BEST, BEST[::-1]]))
    assert np.abs(loss).max() < 1e-30 and np.abs(slope).max() < 1e-15


@pytest.mark.parametrize("c", [0.0, 0.5, 1.5])
def test_the_silent_square_of_relu_grows_with_the_threshold_as_predicted(c):
    x, w = inputs(40, 0), plane(100)
    silent = flat(Landscape("relu", x, c).slope(w)[1])
    assert (silent == (w * x.max() <= c).all(-1)).all()


def test_losses_never_rise_at_the_default_rate():
    rows = records(build(Setup(steps=150)))
    for name in ACTIVATIONS:
        losses = [row[f"loss_{name}"] for row in rows]
        assert all(b <= a * (1 + 1e-12) for a, b in pairwise(losses)), name


def test_pictures_are_drawn_before_the_first_step_and_after_the_last():
    program = build(Setup(steps=3, starts=2))
    first = program.pictures()["landscapes"]
    records(program)
    last = program.pictures()["landscapes"]
    assert first.shape == last.shape == (640, 900, 3) and (first != last).any()


def test_the_gallery_shows_every_elementwise_activation():
    from shinso.catalogue import index

    parts = {path.rpartition(".")[2] for path, one in index.cards().items()
             if path.startswith("autodiff.byhand.") and any(t.startswith("nn.") for t in one.card["topics"])}
    assert {file for file, _ in NAMES} <= parts
    assert gallery().std() > 10
