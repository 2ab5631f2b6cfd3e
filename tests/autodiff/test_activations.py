"""Every activation of the engine beside torch: value, first and second derivative; and beside its layer by hand."""

import importlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shinso.autodiff import activations as A
from shinso.autodiff.tensor import Tensor, grad

THEIRS = {
    "sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu, "leaky_relu": F.leaky_relu, "elu": F.elu,
    "hardtanh": F.hardtanh, "hardshrink": F.hardshrink, "hardswish": F.hardswish, "logsigmoid": F.logsigmoid,
    "rrelu": F.rrelu, "selu": F.selu, "celu": F.celu, "gelu": F.gelu, "silu": F.silu, "mish": F.mish,
    "softplus": F.softplus, "softshrink": F.softshrink, "softsign": F.softsign, "tanhshrink": F.tanhshrink,
    "square_activation": torch.square,
    "hardsigmoid": lambda x: torch.clamp((x + 3) / 6, 0, 1),  # torch's own has its slope in float32
    "softmax": lambda x: torch.softmax(x, -1), "softmin": lambda x: F.softmin(x, -1),
    "log_softmax": lambda x: torch.log_softmax(x, -1),
}  # fmt: skip
CHOSEN = {
    "leaky_relu(0.3)": (lambda x: A.leaky_relu(x, 0.3), lambda x: F.leaky_relu(x, 0.3)),
    "elu(1.7)": (lambda x: A.elu(x, 1.7), lambda x: F.elu(x, 1.7)),
    "celu(0.5)": (lambda x: A.celu(x, 0.5), lambda x: F.celu(x, 0.5)),
    "hardtanh(-2, 0.5)": (lambda x: A.hardtanh(x, -2.0, 0.5), lambda x: F.hardtanh(x, -2.0, 0.5)),
    "gelu(tanh)": (lambda x: A.gelu(x, "tanh"), lambda x: F.gelu(x, approximate="tanh")),
    "silu(1.5)": (lambda x: A.silu(x, 1.5), lambda x: x * torch.sigmoid(1.5 * x)),
    "softplus(3)": (lambda x: A.softplus(x, 3.0), lambda x: F.softplus(x, 3.0)),
    "threshold(1, -2)": (lambda x: A.threshold(x, 1.0, -2.0), lambda x: F.threshold(x, 1.0, -2.0)),
    "softmin(0)": (lambda x: A.softmin(x, 0), lambda x: F.softmin(x, 0)),
}  # fmt: skip
PAIRS = {**{name: (getattr(A, name), theirs) for name, theirs in THEIRS.items()}, **CHOSEN}
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def points():
    """Inputs on all pieces of all of them; none is a kink."""
    return np.random.default_rng(0).uniform(-5, 5, (6, 7)).round(3) + 1e-4


@pytest.mark.parametrize("name", PAIRS)
def test_value_gradient_and_second_gradient_are_torchs(name):
    ours, theirs = PAIRS[name]
    draw, x = np.random.default_rng(1), points()
    v, w = draw.standard_normal((2, *x.shape))
    mine, other = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(mine), theirs(other)
    np.testing.assert_allclose(y.data, z.detach().numpy(), **CLOSE)
    first = grad((y * v).sum(), mine, create_graph=True)
    (second,) = torch.autograd.grad((z * torch.tensor(v)).sum(), other, create_graph=True)
    np.testing.assert_allclose(first.data, second.detach().numpy(), **CLOSE)
    both = (first * w).sum() + (y * y).sum(), (second * torch.tensor(w)).sum() + (z * z).sum()
    (expected,) = torch.autograd.grad(both[1], other)
    np.testing.assert_allclose(grad(both[0], mine), expected.numpy(), **CLOSE)


@pytest.mark.parametrize("name", [n for n in THEIRS if n not in ("softmax", "softmin", "log_softmax")])
def test_it_is_the_layer_by_hand_also_at_the_kinks(name):
    module = importlib.import_module(f"shinso.autodiff.byhand.{name}")
    layer, _ = module.example(np.random.default_rng(0))
    x = np.array([-3.0, -1, -0.5, -1e-3, 0, 1e-3, 0.5, 1, 3])
    mine = Tensor(x, requires_grad=True)
    y = getattr(A, name)(mine)
    np.testing.assert_allclose(y.data, layer.forward(x), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(grad(y.sum(), mine), layer.backward(np.ones(9)), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", PAIRS)
def test_arrays_give_arrays_of_their_own_type(name):
    for kind in (np.float32, np.float64):
        x = points().astype(kind)
        y = PAIRS[name][0](x)
        assert type(y) is np.ndarray and y.dtype == kind
        t = PAIRS[name][0](Tensor(x, requires_grad=True))
        assert t.dtype == kind
        np.testing.assert_array_equal(t.data, y)


@pytest.mark.parametrize("name", PAIRS)
def test_far_out_value_and_gradient_are_finite_in_single_precision(name):
    x = Tensor(np.array([-1e4, 1e4], np.float32), requires_grad=True)
    with np.errstate(all="raise", under="ignore"):
        y = PAIRS[name][0](x)
        slope = grad(y.sum(), x)
    assert np.isfinite(y.data).all() and np.isfinite(slope).all()


def test_prelu_has_the_gradient_of_its_slopes_too():
    draw = np.random.default_rng(2)
    x, a = draw.standard_normal((2, 3, 4)), draw.uniform(0.1, 0.4, 3)
    mine, other = Tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    F.prelu(torch.tensor(x), other).square().sum().backward()
    np.testing.assert_allclose(grad((A.prelu(x, mine) ** 2).sum(), mine), other.grad.numpy(), **CLOSE)
    np.testing.assert_array_equal(A.prelu(x, np.array([0.25])), np.where(x > 0, x, 0.25 * x))


def test_rrelu_draws_slopes_and_differentiates_with_them():
    x = Tensor(-np.ones(1000), requires_grad=True)
    y = A.rrelu(x, np.random.default_rng(0))
    slopes = grad(y.sum(), x)
    np.testing.assert_array_equal(slopes, -y.data)
    assert 1 / 8 <= slopes.min() < 0.13 and 0.33 < slopes.max() <= 1 / 3


def test_the_step_is_a_constant_to_the_gradient():
    x = Tensor(np.array([-1.0, 0.0, 2.0]), requires_grad=True)
    y = A.step(x)
    np.testing.assert_array_equal(y.data, [0, 1, 1])
    np.testing.assert_array_equal(grad(y.sum(), x), [0, 0, 0])


def test_importing_it_imports_neither_torch_nor_scipy():
    code = "import sys, shinso.autodiff.activations; assert not {'torch', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
