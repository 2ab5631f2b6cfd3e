"""Inception-ResNet: timm's weights in v2, v1 counted by hand, additions scaled."""

from dataclasses import replace

import pytest
import torch
from published import computes, published
from torch.nn import functional as F

from shinso.core.errors import UserError
from shinso.vision import inception_resnet
from shinso.vision._cost import trained
from shinso.vision.inception_resnet import BLOCKS, SCALES, A, InceptionResNet, Residual


def normalised(entering: int, leaving: int, places: int) -> int:
    """Parameters of a convolution without bias and of its normalisation."""
    return entering * leaving * places + 2 * leaving


def test_v1_has_the_parameters_of_the_papers_figures():
    """Figures 10 to 14 and table 1, k = l = 192, m = 256, n = 384, written out once more."""
    n = normalised
    stem = n(3, 32, 9) + n(32, 32, 9) + n(32, 64, 9) + n(64, 80, 1) + n(80, 192, 9) + n(192, 256, 9)
    a = n(256, 32, 1) * 3 + n(32, 32, 9) * 3 + 96 * 256 + 256
    first = n(256, 384, 9) + n(256, 192, 1) + n(192, 192, 9) + n(192, 256, 9)
    b = n(896, 128, 1) * 2 + n(128, 128, 7) * 2 + 256 * 896 + 896
    second = n(896, 256, 1) * 3 + n(256, 384, 9) + n(256, 256, 9) * 3
    c = n(1792, 192, 1) * 2 + n(192, 192, 3) * 2 + 384 * 1792 + 1792
    with torch.device("meta"):
        network = InceptionResNet("v1")
    assert trained(network) == stem + 5 * a + first + 10 * b + second + 5 * c + 1792 * 1000 + 1000


def test_modules_are_as_many_and_scaled_as_the_paper_says():
    with torch.device("meta"):
        for form in ("v1", "v2"):
            residual = [m for m in InceptionResNet(form).modules() if isinstance(m, Residual)]
            expected = [s for s, number in zip(SCALES, BLOCKS[form], strict=True) for _ in range(number)]
            if form == "v2":
                assert residual.pop().cut is False
                expected.pop()
            assert [m.scale for m in residual] == expected and all(m.cut for m in residual)


def test_a_module_adds_the_scaled_widened_routes():
    block = Residual(8, A["v2"], 0.17, width=0.125).eval().double()
    x = torch.randn(2, 8, 5, 5, dtype=torch.float64)
    sides = []
    for route in ("branch0", "branch1", "branch2"):
        h = x
        layers = [m for name, m in block.named_modules() if name.startswith(route) and hasattr(m, "conv")]
        for one in layers:
            h = one(h)
        sides.append(h)
    expected = F.relu(x + 0.17 * F.conv2d(torch.cat(sides, 1), block.conv2d.weight, block.conv2d.bias))
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("form", ["v1", "v2"])
def test_sizes_of_pictures(form):
    network = InceptionResNet(form, classes=4, width=0.03125, blocks=(1, 1, 1)).eval()
    assert network(torch.zeros(1, 3, 75, 75)).shape == (1, 4)
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 3, 74, 74))
    network = InceptionResNet(form, classes=4, width=0.03125, blocks=(1, 1, 1), border=True).eval()
    assert network(torch.zeros(1, 3, 9, 5)).shape == (1, 4)


def test_what_does_not_fit_is_refused():
    published_form = replace(inception_resnet.VARIANTS["smoke"], border=False)
    with pytest.raises(UserError, match="75x75"):
        inception_resnet.build(published_form)
    for name, value in (("blocks", (1,)), ("scales", (1.0, 2.0))):
        with pytest.raises(UserError, match=name):
            inception_resnet.build(replace(published_form, **{name: value}))


@pytest.mark.slow
def test_timms_weights_give_its_answers(tmp_path):
    state, theirs = published("timm:inception_resnet_v2", (2, 3, 80, 96), tmp_path, num_classes=10)
    ours = InceptionResNet("v2", classes=10)
    ours.load_state_dict(state)
    computes(ours, theirs)
