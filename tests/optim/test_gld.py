"""GLD equals equation (1) under the same noise, and keeps no generator."""

from itertools import count

import numpy as np
import pytest
import torch
from streams import CURVATURE, follows, goes_on, is_used_as_torch_uses_it, parameters

from shinso.core.seed import generator
from shinso.optim.gld import GLD


def equation_1(w, lr=1e-3, beta=1e4, seed=0):
    """Xu et al. 2018, algorithm 1; streams of noise are told apart by the shapes of `streams`."""
    place = [c.shape for c in CURVATURE.values()].index(w.shape)
    for t in count(1):
        g = yield w
        draw = generator(seed, f"langevin/{place}/{t}")
        w = w - lr * g + np.sqrt(2 * lr / beta) * torch.randn(w.shape, generator=draw, dtype=torch.float64).numpy()


@pytest.mark.parametrize("more", [{}, {"maximize": True}])
@pytest.mark.parametrize("options", [{}, {"lr": 0.01, "beta": 2.0, "seed": 5}, {"lr": 0.05, "beta": float("inf")}])
def test_three_hundred_steps_are_the_equation(options, more):
    follows(GLD, equation_1, options, **more)


def test_it_goes_on_where_it_was_saved_with_the_same_noise():
    goes_on(GLD, {"lr": 0.01, "beta": 2.0})


def test_it_is_used_as_any_optimiser():
    is_used_as_torch_uses_it(GLD, {"lr": 0.01})


def test_seeds_weights_and_steps_have_noise_of_their_own():
    moves = []
    for seed in (0, 1):
        pair = [torch.nn.Parameter(torch.zeros(5)) for _ in range(2)]
        optimiser = GLD(pair, beta=1.0, seed=seed)
        for _ in range(2):
            before = [w.detach().clone() for w in pair]
            for w in pair:
                w.grad = torch.zeros(5)
            optimiser.step()
            moves += [tuple((w - b).tolist()) for w, b in zip(pair, before, strict=True)]
    assert len(set(moves)) == 8


def test_the_order_in_memory_changes_nothing():
    ends = []
    for w in (parameters()["matrix"], torch.nn.Parameter(parameters()["matrix"].detach().contiguous())):
        w.grad = torch.ones_like(w)
        GLD([w], beta=1.0).step()
        ends.append(w.detach())
    assert not ends[0].is_contiguous() and torch.equal(ends[0], ends[1])


def test_a_gradient_with_a_graph_leaves_none():
    w = torch.ones(3, requires_grad=True)
    (w.grad,) = torch.autograd.grad(w.pow(3).sum(), w, create_graph=True)
    GLD([w]).step()
    assert w.is_leaf and w.grad_fn is None
    w.grad = None


def test_float32_stays_float32():
    w = torch.ones(3, requires_grad=True)
    w.grad = torch.ones(3)
    GLD([w], beta=1.0).step()
    assert w.dtype == torch.float32 and not torch.equal(w, torch.full((3,), 0.999))


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"beta": 0}, "Invalid beta value: 0"),
    ({"beta": -2.0}, "Invalid beta value: -2.0"), ({"beta": float("nan")}, "Invalid beta value: nan"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        GLD([torch.zeros(2, requires_grad=True)], **options)


@pytest.mark.parametrize(("w", "g", "message"), [
    (torch.zeros(2), torch.ones(2).to_sparse(), "GLD does not support sparse gradients"),
    (torch.zeros(2, dtype=torch.complex64), torch.zeros(2, dtype=torch.complex64), "complex"),
])
def test_what_has_no_such_noise_is_refused(w, g, message):
    w = w.requires_grad_()
    w.grad = g
    with pytest.raises(RuntimeError, match=message):
        GLD([w]).step()
