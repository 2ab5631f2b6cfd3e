"""mlp_cross_entropy equals Linear, ReLU, ..., Linear and F.cross_entropy: loss, gradients, edges, fallbacks."""

import pytest
import torch

from shinso.kernels.mlp import mlp_cross_entropy, mlp_cross_entropy_plain
from shinso.kernels.native import native

SIZES = [(784, 100, 10), (5, 3), (7, 1, 2), (33, 17, 9, 4), (1, 1), (400, 120, 84, 10)]


def stack(sizes, batch, dtype=torch.float32):
    draw = torch.Generator().manual_seed(sum(sizes))
    inputs = torch.randn(batch, sizes[0], generator=draw, dtype=dtype, requires_grad=True)
    targets = torch.randint(0, sizes[-1], (batch,), generator=draw)
    pairs = list(zip(sizes[1:], sizes[:-1], strict=True))
    weights = [(torch.randn(o, i, generator=draw, dtype=dtype) / i**0.5).requires_grad_() for o, i in pairs]
    biases = [(torch.randn(o, generator=draw, dtype=dtype) / 5).requires_grad_() for o, _ in pairs]
    return inputs, targets, weights, biases


@pytest.fixture
def calls(monkeypatch):
    """How often the native forward really ran."""
    module, count = native("mlp"), []
    if module is None:
        pytest.skip("no Numba, or a torch without sgemm_, on this machine")
    original = module.forward
    monkeypatch.setattr(module, "forward", lambda *a: (count.append(1), original(*a))[1])
    return count


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("batch", [1, 13, 100])
def test_loss_and_gradients_equal_the_twin(sizes, batch, calls):
    inputs, targets, weights, biases = stack(sizes, batch)
    leaves = (inputs, *weights, *biases)
    ours, theirs = (f(inputs, targets, weights, biases) for f in (mlp_cross_entropy, mlp_cross_entropy_plain))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    for a, b in zip(torch.autograd.grad(3 * ours, leaves), torch.autograd.grad(3 * theirs, leaves), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert len(calls) == 1


@pytest.mark.parametrize(("features", "units"), [(784, 100), (791, 64), (200, 117), (333, 300)])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.6])
def test_inputs_that_are_mostly_one_value_equal_the_twin(features, units, share, calls):
    inputs, targets, weights, biases = stack((features, units, 10), 90)
    draw = torch.Generator().manual_seed(4)
    with torch.no_grad():
        inputs[torch.rand(inputs.shape, generator=draw) >= share] = -0.4242
        inputs[0, 0] = -0.4242
    leaves = (inputs, *weights, *biases)
    ours, theirs = (f(inputs, targets, weights, biases) for f in (mlp_cross_entropy, mlp_cross_entropy_plain))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    for a, b in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(theirs, leaves), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-6)
    assert len(calls) == 1


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("place", [(0, 0), (5, 40)])
def test_inputs_that_are_not_finite_reach_the_loss(bad, place, calls):
    inputs, targets, weights, biases = stack((784, 100, 10), 20)
    even = torch.zeros_like(inputs.detach())
    even[place] = bad
    assert mlp_cross_entropy(even, targets, weights, biases).isnan() and len(calls) == 1


def test_frozen_layers_get_no_gradient(calls):
    inputs, targets, weights, biases = stack((6, 5, 4), 8)
    frozen = [weights[0].detach(), weights[1]]
    mlp_cross_entropy(inputs.detach(), targets, frozen, biases).backward()
    assert weights[0].grad is None and inputs.grad is None and len(calls) == 1
    expected = torch.autograd.grad(mlp_cross_entropy_plain(inputs, targets, weights, biases), weights[1])[0]
    torch.testing.assert_close(weights[1].grad, expected)


def test_backward_twice_adds_twice(calls):
    inputs, targets, weights, biases = stack((6, 5, 4), 8)
    loss = mlp_cross_entropy(inputs, targets, weights, biases)
    loss.backward(retain_graph=True)
    once = weights[0].grad.clone()
    loss.backward()
    torch.testing.assert_close(weights[0].grad, 2 * once)


def test_non_contiguous_inputs(calls):
    inputs, targets, weights, biases = stack((6, 5, 4), 8)
    turned = inputs.detach().T.contiguous().T.requires_grad_()
    ours, theirs = (f(turned, targets, weights, biases) for f in (mlp_cross_entropy, mlp_cross_entropy_plain))
    torch.testing.assert_close(torch.autograd.grad(ours, turned)[0], torch.autograd.grad(theirs, turned)[0])
    assert len(calls) == 1


def test_nan_makes_the_loss_nan(calls):
    inputs, targets, weights, biases = stack((6, 5, 4), 8)
    with torch.no_grad():
        inputs[2, 3] = torch.nan
    assert mlp_cross_entropy(inputs, targets, weights, biases).isnan() and len(calls) == 1


def test_large_logits_do_not_overflow(calls):
    inputs, targets, weights, biases = stack((6, 5, 4), 8)
    huge = inputs.detach() * 1e6
    ours, theirs = (f(huge, targets, weights, biases) for f in (mlp_cross_entropy, mlp_cross_entropy_plain))
    assert ours.isfinite() and len(calls) == 1
    torch.testing.assert_close(ours, theirs)


def test_targets_outside_the_classes_are_handled_as_torch_does():
    inputs, targets, weights, biases = stack((6, 5, 4), 8)
    targets[3] = -100  # not counted by cross_entropy
    ours, theirs = (f(inputs, targets, weights, biases) for f in (mlp_cross_entropy, mlp_cross_entropy_plain))
    assert torch.equal(ours, theirs)
    targets[3] = 4
    with pytest.raises(IndexError):
        mlp_cross_entropy(inputs, targets, weights, biases)


def test_second_derivatives_go_through_the_twin():
    inputs, targets, weights, biases = stack((4, 3, 2), 5)
    found = []
    for function in (mlp_cross_entropy, mlp_cross_entropy_plain):
        (slope,) = torch.autograd.grad(function(inputs, targets, weights, biases), inputs, create_graph=True)
        found.append(torch.autograd.grad(slope.square().sum(), weights))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)


def test_float64_passes_gradcheck_on_the_twin():
    inputs, targets, weights, biases = stack((4, 3, 2), 5, torch.float64)
    leaves = (inputs, *weights, *biases)
    assert torch.autograd.gradcheck(lambda x, *p: mlp_cross_entropy(x, targets, p[:2], p[2:]), leaves)


def test_forty_steps_follow_the_curve_of_the_twin(calls):
    curves = []
    for function in (mlp_cross_entropy, mlp_cross_entropy_plain):
        inputs, targets, weights, biases = stack((20, 16, 5), 32)
        rule, losses = torch.optim.SGD([*weights, *biases], lr=0.1), []
        for _ in range(40):
            rule.zero_grad()
            loss = function(inputs.detach(), targets, weights, biases)
            loss.backward()
            rule.step()
            losses.append(float(loss.detach()))
        curves.append(losses)
    assert curves[0] == pytest.approx(curves[1], abs=1e-4) and curves[0][-1] < 0.8 * curves[0][0]
    assert len(calls) == 40
