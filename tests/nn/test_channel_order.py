"""Orders of axes turn into each other exactly, and what is computed does not depend on the memory format."""

import numpy as np
import torch
from torch import nn

from shinso.nn.channel_order import kernel_from_hwio, kernel_to_hwio, to_nchw, to_nhwc


def test_an_entry_keeps_its_place_in_the_picture():
    x = torch.randn(2, 3, 5, 7)
    assert to_nhwc(x).shape == (2, 5, 7, 3) and to_nhwc(x).is_contiguous()
    assert float(to_nhwc(x)[1, 4, 6, 2]) == float(x[1, 2, 4, 6])
    assert torch.equal(to_nchw(to_nhwc(x)), x)


def test_kernels_turn_as_numpy_turns_them():
    keras = np.random.default_rng(0).normal(size=(3, 5, 2, 4))
    ours = kernel_from_hwio(torch.from_numpy(keras))
    assert np.array_equal(ours.numpy(), keras.transpose(3, 2, 0, 1)) and ours.is_contiguous()
    assert np.array_equal(kernel_to_hwio(ours).numpy(), keras)


def test_a_network_gives_the_same_in_both_formats():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
    x = torch.randn(2, 3, 9, 9)
    expected = network(x)
    found = network.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
    assert found.shape == expected.shape and found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, expected)
