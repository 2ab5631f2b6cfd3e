"""What holds for every elementwise activation: far out, at its kinks, and where its argument is chosen."""

import importlib

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shinso.core.errors import UserError

CLASSES = {
    "step": "Step", "sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "ReLU", "leaky_relu": "LeakyReLU", "elu": "ELU",
    "hardtanh": "Hardtanh", "hardshrink": "Hardshrink", "hardsigmoid": "Hardsigmoid", "hardswish": "Hardswish",
    "logsigmoid": "LogSigmoid", "prelu": "PReLU", "rrelu": "RReLU", "selu": "SELU", "celu": "CELU", "gelu": "GELU",
    "silu": "SiLU", "mish": "Mish", "softplus": "Softplus", "softshrink": "Softshrink", "softsign": "Softsign",
    "tanhshrink": "Tanhshrink", "threshold": "Threshold", "square_activation": "SquareActivation",
}  # fmt: skip
ARGUMENTS = {"rrelu": lambda: (np.random.default_rng(0),), "threshold": lambda: (0.5, 0.0)}


def layer(name, *chosen):
    made = getattr(importlib.import_module(f"shinso.autodiff.byhand.{name}"), CLASSES[name])
    return made(*(chosen or ARGUMENTS.get(name, tuple)()))


@pytest.mark.parametrize("name", CLASSES)
def test_far_out_everything_is_finite_and_silent_in_single_precision(name):
    one = layer(name)
    with np.errstate(all="raise", under="ignore"):
        y = one.forward(np.array([-1e4, 1e4], np.float32))
        slope = one.backward(np.ones(2, np.float32))
    assert y.dtype == slope.dtype == np.float32
    assert np.isfinite(y).all() and np.isfinite(slope).all()


@pytest.mark.parametrize("name", CLASSES)
def test_a_number_without_dimensions_is_taken(name):
    one = layer(name)
    assert np.shape(one.forward(np.array(0.7))) == ()
    assert np.shape(one.backward(np.array(1.0))) == ()


@pytest.mark.parametrize(("name", "kinks"), [
    ("relu", [0]), ("leaky_relu", [0]), ("elu", [0]), ("celu", [0]), ("selu", [0]), ("hardtanh", [-1, 1]),
    ("hardshrink", [-0.5, 0.5]), ("softshrink", [-0.5, 0.5]), ("hardswish", [-3, 3]), ("softsign", [0]),
    ("tanhshrink", [-1, 0, 1]),
])  # fmt: skip
def test_at_its_kinks_value_and_slope_are_torchs(name, kinks):
    x = torch.tensor(kinks, dtype=torch.float64, requires_grad=True)
    out = getattr(F, name)(x)
    (slope,) = torch.autograd.grad(out.sum(), x)
    one = layer(name)
    np.testing.assert_allclose(one.forward(np.array(kinks, float)), out.detach().numpy(), rtol=1e-15)
    np.testing.assert_allclose(one.backward(np.ones(len(kinks))), slope.numpy(), rtol=1e-15)


@pytest.mark.parametrize(("name", "chosen", "theirs"), [
    ("leaky_relu", (0.3,), lambda x: F.leaky_relu(x, 0.3)),
    ("elu", (1.7,), lambda x: F.elu(x, 1.7)),
    ("celu", (0.5,), lambda x: F.celu(x, 0.5)),  # torch rounds 1/alpha to float32: take one that is exact
    ("hardtanh", (-0.5, 2.0), lambda x: F.hardtanh(x, -0.5, 2.0)),
    ("hardshrink", (0.9,), lambda x: F.hardshrink(x, 0.9)),
    ("softshrink", (0.9,), lambda x: F.softshrink(x, 0.9)),
    ("gelu", ("tanh",), lambda x: F.gelu(x, approximate="tanh")),
    ("silu", (1.5,), lambda x: x * torch.sigmoid(1.5 * x)),
    ("softplus", (3.0,), lambda x: F.softplus(x, 3.0)),
    ("prelu", (), lambda x: F.prelu(x, torch.tensor([0.25], dtype=torch.float64))),
])  # fmt: skip
def test_its_argument_means_what_torchs_means(name, chosen, theirs):
    x = torch.linspace(-4, 4, 801, dtype=torch.float64, requires_grad=True)
    out = theirs(x)
    (slope,) = torch.autograd.grad(out.sum(), x)
    one = layer(name, *chosen)
    np.testing.assert_allclose(one.forward(x.detach().numpy()), out.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(one.backward(np.ones(801)), slope.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["hardshrink", "softshrink"])
@pytest.mark.parametrize("threshold", [-0.1, float("nan")])
def test_a_negative_threshold_is_refused_in_a_sentence(name, threshold):
    with pytest.raises(UserError, match="give 0 or more"):
        layer(name, threshold)


def test_rrelu_with_held_slopes_is_a_function_with_a_gradient():
    draw = np.random.default_rng(3)
    one, x, grad = layer("rrelu"), draw.standard_normal((4, 5)), draw.standard_normal((4, 5))
    one.hold = draw.uniform(1 / 8, 1 / 3, (4, 5))
    one.forward(x)
    moved = (one.forward(x + 1e-6) - one.forward(x - 1e-6)) / 2e-6
    one.forward(x)
    np.testing.assert_allclose(one.backward(grad), grad * moved, rtol=1e-8, atol=1e-10)


def test_rrelu_in_training_draws_anew_each_time():
    one, x = layer("rrelu"), -np.ones(100)
    assert (one.forward(x) != one.forward(x)).all()


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4, 2)])
def test_one_slope_of_prelu_is_shared_by_every_shape(shape):
    draw = np.random.default_rng(4)
    x, grad, one = draw.standard_normal(shape), draw.standard_normal(shape), layer("prelu")
    one.forward(x)
    assert one.backward(grad).shape == shape
    np.testing.assert_allclose(one.grads["a"], [(grad * np.minimum(x, 0)).sum()], rtol=1e-12)
