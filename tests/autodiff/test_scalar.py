"""The scalar engine: its derivatives are those of PyTorch, and no chain is too long for it."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shinso.autodiff.scalar import Value


def program(kind, x, w):
    """The same lines for Values and for torch's numbers."""
    y = (x * w + 0.5) ** 3 / (w * w + 1.0) - (2.0 - x) + 1.0 / (x * x + 2.0) - w
    y = y.tanh() + kind(x).exp() * w.sigmoid() + (w * w + 1.0).log() + (x - w).relu()
    return y + x.sin() * w.cos() + 2.0 ** (x * 0.1) + (x * x + 1.0) ** w


@settings(deadline=None)
@given(st.floats(-2, 2), st.floats(-2, 2))
def test_derivatives_are_those_of_torch(a, b):
    ours, theirs = (Value(a), Value(b)), torch.tensor([a, b], dtype=torch.float64, requires_grad=True)
    y, z = program(lambda v: v, *ours), program(lambda v: v, *theirs)
    y.backward()
    z.backward()
    assert y.data == pytest.approx(z.item(), rel=1e-12, abs=1e-12)
    assert [v.grad for v in ours] == pytest.approx(theirs.grad.tolist(), rel=1e-11, abs=1e-11)


def test_a_chain_of_ten_thousand_numbers_is_no_recursion():
    x = Value(1.0)
    y = x
    for _ in range(10_000):
        y = y * 1.0 + 0.0
    y.backward()
    assert x.grad == 1.0 and len(y.graph()) > 10_000


def test_the_graph_of_the_course_example_has_a_product_and_an_exponential():
    x, w = Value(2.0), Value(0.5)
    assert [v.op for v in (x * w).exp().graph()] == ["", "", "*", "exp"]


def test_a_power_of_zero_has_slope_zero():
    x = Value(0.0)
    (x**0).backward()
    assert x.grad == 0 and math.isfinite(x.data)
