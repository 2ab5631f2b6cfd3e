"""The dense block: concatenation written out, and which source a layer reads."""

import pytest
import torch
from torch.nn import functional as F

from shinso.vision import dense_block


@pytest.mark.parametrize("bottleneck", [False, True])
def test_a_block_is_concatenation_written_out(bottleneck):
    torch.manual_seed(0)
    block = dense_block.DenseBlock(3, 5, 2, bottleneck=bottleneck).double().eval()
    x = whole = torch.randn(2, 5, 4, 4, dtype=torch.float64)
    for i in range(1, 4):
        layer = block.get_submodule(f"denselayer{i}")
        assert layer.conv1.in_channels == 5 + (i - 1) * 2 == whole.shape[1]
        h = F.conv2d(layer.norm1(whole).clamp(min=0), layer.conv1.weight, padding=0 if bottleneck else 1)
        if bottleneck:
            h = F.conv2d(layer.norm2(h).clamp(min=0), layer.conv2.weight, padding=1)
        whole = torch.cat([whole, h], 1)
    torch.testing.assert_close(block(x), whole, rtol=1e-12, atol=1e-12)


def test_reuse_tells_which_source_a_layer_reads():
    block = dense_block.DenseBlock(3, 4, 2)
    with torch.no_grad():
        for layer in block.children():
            layer.conv1.weight.fill_(0.5)
        block.denselayer3.conv1.weight[:, 4:6] = -2.0  # what layer 1 gave
    shares = dense_block.reuse(block)
    assert shares[2].tolist() == [0.5, 2.0, 0.5] and shares[0, 0] == 0.5
    assert (shares[0, 1:] != shares[0, 1:]).all()
