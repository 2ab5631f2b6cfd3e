"""conv_relu_pool equals convolution, ReLU and max_pool2d: values, gradients, NaN, ties, fallbacks."""

import pytest
import torch

from shinso.kernels import conv_pool
from shinso.kernels.conv_pool import conv_relu_pool, conv_relu_pool_plain
from shinso.kernels.native import native

SHAPES = [  # batch, in, height, width, out, k, padding
    (3, 1, 28, 28, 6, 5, 2), (3, 6, 14, 14, 16, 5, 0), (2, 32, 12, 12, 64, 3, 0), (2, 3, 9, 11, 5, 3, 1),
    (2, 5, 7, 6, 17, 3, 1), (1, 9, 8, 8, 33, 1, 0), (2, 2, 13, 10, 70, 4, 3), (0, 1, 8, 8, 4, 3, 0),
    (1, 1, 6, 4, 1, 3, 0),
]


def layer(batch, num_in, height, width, num_out, k, padding, dtype=torch.float32):
    draw = torch.Generator().manual_seed(num_in * 100 + num_out)
    x = torch.randn(batch, num_in, height, width, generator=draw, dtype=dtype)
    weight = torch.randn(num_out, num_in, k, k, generator=draw, dtype=dtype) / (num_in * k * k) ** 0.5
    bias = torch.randn(num_out, generator=draw, dtype=dtype) / 10
    return [t.requires_grad_() for t in (x, weight, bias)]


def both(inputs, padding):
    """(values, gradients) of the public function and of the twin under the same incoming gradient."""
    results = []
    for function in (conv_relu_pool, conv_relu_pool_plain):
        y = function(*inputs, padding)
        incoming = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
        results.append((y, torch.autograd.grad(y, inputs, incoming)))
    return results


def equal(ours, theirs, tolerance=1e-5):
    scale = max(1.0, float(theirs.detach().abs().max())) if theirs.numel() else 1.0
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * scale)


@pytest.fixture
def calls(monkeypatch):
    """How often the native forward really ran."""
    module, count = native("conv_pool"), []
    if module is None:
        pytest.skip("no Numba for this machine")
    original = module.forward
    monkeypatch.setattr(module, "forward", lambda *a: (count.append(1), original(*a))[1])
    return count


@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_equal_the_twin(shape, calls):
    (y, grads), (y_plain, grads_plain) = both(layer(*shape), shape[-1])
    equal(y, y_plain)
    for ours, theirs in zip(grads, grads_plain, strict=True):
        equal(ours, theirs, 2e-5)
    assert len(calls) == 1


def test_non_contiguous_inputs_and_gradients(calls):
    x, weight, bias = layer(4, 3, 12, 12, 8, 3, 1)
    turned = x.detach().to(memory_format=torch.channels_last)[::2].requires_grad_()
    mirrored = weight.detach().transpose(2, 3).requires_grad_()
    inputs = (turned, mirrored, bias)
    y, y_plain = conv_relu_pool(*inputs, 1), conv_relu_pool_plain(*inputs, 1)
    equal(y, y_plain)
    for ours, theirs in zip(torch.autograd.grad(y.mT.sum(1).square().sum(), inputs),
                            torch.autograd.grad(y_plain.mT.sum(1).square().sum(), inputs), strict=True):
        equal(ours, theirs, 2e-5)
    assert len(calls) == 1


def test_only_wanted_gradients_are_made(calls):
    x, weight, bias = layer(2, 1, 8, 8, 4, 3, 0)
    y = conv_relu_pool(x.detach(), weight, bias.detach())
    y.sum().backward()
    assert x.grad is None and bias.grad is None and weight.grad is not None


def test_ties_go_to_the_first_place_of_the_window(calls):
    x = torch.ones(1, 1, 4, 4, requires_grad=True)
    y = conv_relu_pool(x, torch.ones(1, 1, 1, 1), torch.zeros(1))
    y.sum().backward()
    expected = torch.zeros(1, 1, 4, 4)
    expected[..., ::2, ::2] = 1
    assert torch.equal(x.grad, expected)


def test_dead_windows_pass_no_gradient(calls):
    x = -torch.ones(1, 1, 4, 4, requires_grad=True)
    y = conv_relu_pool(x, torch.ones(2, 1, 1, 1), torch.zeros(2))
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(y, torch.zeros(1, 2, 2, 2)) and torch.equal(grad, torch.zeros_like(x))


def test_nan_reaches_the_same_windows(calls):
    x, weight, bias = (t.detach() for t in layer(2, 2, 10, 10, 5, 3, 1))
    x[0, 1, 4, 4] = torch.nan
    x[1, 0, 2, 3] = torch.inf
    ours, theirs = conv_relu_pool(x, weight, bias, 1), conv_relu_pool_plain(x, weight, bias, 1)
    assert torch.equal(ours.isnan(), theirs.isnan()) and ours.isnan().any()
    torch.testing.assert_close(ours, theirs, equal_nan=True, rtol=1e-5, atol=1e-5)


def test_second_derivatives_go_through_the_twin():
    inputs = layer(1, 2, 6, 6, 3, 3, 1)
    found = []
    for function in (conv_relu_pool, conv_relu_pool_plain):
        y = function(*inputs, 1)
        (slope,) = torch.autograd.grad(y.square().sum(), inputs[1], create_graph=True)
        found.append(torch.autograd.grad(slope.square().sum(), inputs))
    for ours, theirs in zip(*found, strict=True):
        equal(ours, theirs)


def test_float64_passes_gradcheck_on_the_twin():
    inputs = layer(2, 2, 6, 6, 3, 3, 1, torch.float64)
    assert torch.autograd.gradcheck(lambda *a: conv_relu_pool(*a, 1), inputs)


def test_function_transforms_and_autocast_take_the_twin(calls):
    x, weight, bias = (t.detach() for t in layer(3, 1, 8, 8, 4, 3, 0))
    mapped = torch.func.vmap(lambda image: conv_relu_pool(image[None], weight, bias)[0])(x)
    equal(mapped, conv_relu_pool_plain(x, weight, bias))
    with torch.autocast("cpu", torch.bfloat16):
        assert conv_relu_pool(x, weight, bias).dtype == torch.bfloat16
    assert not calls


def test_plain_on_request_and_without_numba(monkeypatch):
    native.cache_clear()
    monkeypatch.setenv("SHINSO_KERNELS", "plain")
    assert native("conv_pool") is None
    native.cache_clear()
    monkeypatch.delenv("SHINSO_KERNELS")
    monkeypatch.setattr(conv_pool, "native", lambda name: None)
    inputs = layer(2, 1, 8, 8, 4, 3, 0)
    assert torch.equal(conv_relu_pool(*inputs), conv_relu_pool_plain(*inputs))
    native.cache_clear()


@pytest.mark.parametrize("broken", [
    lambda x, w, b: (x[:, :1], w, b), lambda x, w, b: (x, w, b[:2]), lambda x, w, b: (x[..., :2, :2], w, b),
])
def test_wrong_shapes_raise_what_torch_raises(broken):
    inputs = broken(*layer(2, 2, 8, 8, 4, 3, 0))
    with pytest.raises(RuntimeError) as theirs:
        conv_relu_pool_plain(*inputs)
    with pytest.raises(RuntimeError) as ours:
        conv_relu_pool(*inputs)
    assert str(ours.value) == str(theirs.value)


def test_same_inputs_give_the_same_bits(calls):
    inputs = layer(5, 6, 14, 14, 16, 5, 0)
    first, second = (torch.autograd.grad(conv_relu_pool(*inputs).square().sum(), inputs) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
