"""Sizes are those that torch really makes, and a filter that does not fit is refused."""

import warnings
from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch_oracle import agrees

from shinso.autodiff.byhand.zero_padding import (
    ZeroPadding,
    output_size,
    same_frame,
    same_padding,
    transposed_size,
)
from shinso.core.errors import UserError


def torch_size(call, size):
    """The length torch gives to a row of `size` pixels, or None where it refuses."""
    try:
        return call(torch.zeros(1, 1, size)).shape[2]
    except RuntimeError:
        return None


def ours(call):
    try:
        return call()
    except UserError:
        return None


@pytest.mark.parametrize("size", range(1, 41))
def test_the_formula_is_the_real_size_of_convolutions_and_their_transposes(size):
    for f, s, p, d in product(range(1, 8), range(1, 5), range(4), range(1, 4)):
        filters = torch.zeros(1, 1, f)
        real = torch_size(lambda x: F.conv1d(x, filters, stride=s, padding=p, dilation=d), size)  # noqa: B023
        assert ours(lambda: output_size(size, f, s, p, d)) == real, (size, f, s, p, d)  # noqa: B023
        for extra in range(s if (f, d) == (3, 1) else 1):
            grown = transposed_size(size, f, s, p, d, extra)
            if grown > 0:
                real = torch_size(lambda x: F.conv_transpose1d(x, filters, stride=s, padding=p, dilation=d,  # noqa: B023
                                                               output_padding=extra), size)  # noqa: B023
                assert grown == real, (size, f, s, p, d, extra)


@pytest.mark.parametrize("size", range(1, 41))
def test_rounding_up_is_the_real_size_of_poolings(size):
    for f, s, p, d in product(range(1, 8), range(1, 5), range(4), range(1, 4)):
        if p <= f // 2:  # torch allows no more
            for ceil in (False, True):
                real = torch_size(lambda x: F.max_pool1d(x, f, s, p, d, ceil_mode=ceil), size)  # noqa: B023
                assert ours(lambda: output_size(size, f, s, p, d, ceil=ceil)) == real, (size, f, s, p, d)  # noqa: B023


def test_rows_and_columns_are_those_of_two_dimensional_convolution():
    for size, f, p, s in product(range(1, 13), range(1, 6), range(3), range(1, 4)):
        if f <= size + 2 * p:
            real = F.conv2d(torch.zeros(1, 1, size, size), torch.zeros(1, 1, f, f), stride=s, padding=p)
            assert real.shape[2:] == (output_size(size, f, s, p),) * 2


def test_a_filter_that_does_not_fit_is_refused_with_its_size():
    with pytest.raises(UserError, match="a filter of 5 does not fit into 3 pixels framed by 0"):
        output_size(3, 5)


@pytest.mark.parametrize(("filter_size", "dilation"), [(1, 1), (3, 1), (5, 2), (2, 2), (7, 3)])
def test_the_centred_frame_keeps_the_size(filter_size, dilation):
    assert output_size(20, filter_size, 1, same_padding(filter_size, dilation), dilation) == 20


def test_an_even_filter_has_no_centre():
    with pytest.raises(UserError, match="odd"):
        same_padding(4)


def test_valid_same_and_full_are_the_three_sizes():
    assert [output_size(6, 3, padding=p) for p in (0, same_padding(3), 2)] == [4, 6, 8]


@pytest.mark.parametrize("size", range(1, 15))
def test_the_frame_of_same_is_torchs_at_stride_one(size):
    x = torch.randn(1, 1, size, dtype=torch.float64)
    for f, d in product(range(1, 7), range(1, 4)):
        w = torch.randn(1, 1, f, dtype=torch.float64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says that an even filter costs a copy
            theirs = F.conv1d(x, w, padding="same", dilation=d)
        torch.testing.assert_close(F.conv1d(F.pad(x, same_frame(size, f, 1, d)), w, dilation=d), theirs)


def same_by_onnx(x, w, stride):
    """A convolution whose frame is chosen as Keras and TensorFlow choose it, by ONNX's reference."""
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    reference = pytest.importorskip("onnx.reference")
    one = onnx.helper.make_node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER", strides=[stride])
    kinds = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, (None,) * 3) for name in "xwy"]
    graph = onnx.helper.make_graph([one], "same", kinds[:2], kinds[2:])
    return reference.ReferenceEvaluator(onnx.helper.make_model(graph)).run(None, {"x": x, "w": w})[0]


@pytest.mark.parametrize(("f", "stride"), list(product(range(1, 7), range(1, 4))))
def test_the_frame_of_same_is_onnxs_at_every_stride(f, stride):
    draw = np.random.default_rng(0)
    for size in range(f, 13):
        x, w = draw.normal(size=(1, 1, size)), draw.normal(size=(1, 1, f))
        framed = np.pad(x, ((0, 0), (0, 0), same_frame(size, f, stride)))
        ours = F.conv1d(torch.tensor(framed), torch.tensor(w), stride=stride)
        np.testing.assert_allclose(ours.numpy(), same_by_onnx(x, w, stride), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("padding", [0, 1, 3])
def test_the_layer_is_torchs_padding(padding):
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    agrees(ZeroPadding(padding), lambda _, x: F.pad(x, (padding,) * 4), x)
