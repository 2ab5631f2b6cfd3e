"""SE-ResNet: counted, compared with timm's, its block written out."""

import pytest
import torch
from published import computes, published
from torch.nn import functional as F

from shinso.core.errors import UserError
from shinso.nn.residual_block import Basic
from shinso.vision import squeeze_excitation as senet
from shinso.vision._cost import trained

LEGACY = [pytest.param(f"legacy_seresnet{depth}", depth, "v1", marks=pytest.mark.slow if depth != 18 else ())
          for depth in (18, 34, 50, 101, 152)]


@pytest.mark.parametrize(("name", "depth", "form"), [("seresnet50", 50, "v1.5"), *LEGACY])
def test_timms_weights_give_timms_answers(tmp_path, name, depth, form):
    """The gates of 101 layers with random weights of the usual size multiply the rounding of float32 by a million."""
    state, theirs = published(f"timm:{name}", (2, 3, 64, 64), tmp_path, scale=0.3 if depth > 50 else 1.0)
    ours = senet.SEResNet(depth, form=form)
    renamed = ours.from_timm(state)
    ours.load_state_dict(renamed)
    assert trained(ours) == sum(renamed[name].numel() for name, _ in ours.named_parameters())
    computes(ours, theirs)


def test_a_block_is_its_equations_written_out():
    torch.manual_seed(0)
    block = senet.Weighed(Basic(4, 8, 2), 8, 2).double().eval()
    x = torch.randn(3, 4, 6, 6, dtype=torch.float64)
    f = block.block.residual(x)
    z = f.sum((2, 3)) / 9
    hidden = (z @ block.se.fc1.weight.T + block.se.fc1.bias).clamp(min=0)
    e = 1 / (1 + torch.exp(-(hidden @ block.se.fc2.weight.T + block.se.fc2.bias)))
    y = (block.block.skip(x) + e[:, :, None, None] * f).clamp(min=0)
    torch.testing.assert_close(block(x), y, rtol=1e-12, atol=1e-12)


def test_one_channel_can_be_silenced():
    layer, x = senet.SqueezeExcitation(8, 2), torch.randn(2, 8, 3, 3)
    with torch.no_grad():
        layer.fc2.bias[3] = -200
        y = layer(x)
    assert not y[:, 3].any() and y[:, 2].any()


@pytest.mark.parametrize(("depth", "small"), [(18, True), (50, False)])
def test_every_part_learns(depth, small):
    torch.manual_seed(0)
    network = senet.SEResNet(depth, 1, 3, width=8, ratio=2, small=small)
    F.cross_entropy(network(torch.randn(4, 1, 32, 32)), torch.tensor([0, 1, 2, 0])).backward()
    assert all(w.grad is not None and w.grad.any() for name, w in network.named_parameters() if "fc1" not in name)


def test_a_ratio_above_the_width_is_refused():
    with pytest.raises(UserError, match="ratio"):
        senet.build(senet.Setup(width=4))
