"""AlexNet beside torchvision's, its three forms, and whether they learn."""

from dataclasses import replace

import pytest
import torch
from published import computes, published
from torch import nn
from torch.nn import functional as F

from shinso.core.errors import UserError
from shinso.core.seed import drawing_from
from shinso.engine.loop import run
from shinso.nn.local_response_norm import LocalResponseNorm
from shinso.vision import alexnet
from shinso.vision.alexnet import AlexNet


@pytest.mark.slow  # 244 MB of weights
@pytest.mark.parametrize("side", [63, 224])
def test_one_tower_computes_what_torchvisions_does(side, tmp_path):
    state, theirs = published("torchvision:alexnet", (1, 3, side, side), tmp_path)
    with torch.device("meta"):
        ours = AlexNet()
    ours.load_state_dict(state, assign=True)
    assert len(state) == 16
    computes(ours, theirs)


def test_the_names_and_shapes_are_torchvisions():
    with torch.device("meta"):
        shapes = {name: tuple(w.shape) for name, w in AlexNet().named_parameters() if name.endswith("weight")}
    assert shapes == {"features.0.weight": (64, 3, 11, 11), "features.3.weight": (192, 64, 5, 5),
                      "features.6.weight": (384, 192, 3, 3), "features.8.weight": (256, 384, 3, 3),
                      "features.10.weight": (256, 256, 3, 3), "classifier.1.weight": (4096, 9216),
                      "classifier.4.weight": (4096, 4096), "classifier.6.weight": (1000, 4096)}


def test_the_order_of_2012_is_convolution_bend_normalisation_pooling():
    with torch.device("meta"):
        kinds = [type(layer) for layer in AlexNet("two-group").features]
    block = [nn.Conv2d, nn.ReLU, LocalResponseNorm, nn.MaxPool2d]
    assert kinds == [*block, *block, *[nn.Conv2d, nn.ReLU] * 3, nn.MaxPool2d]


def test_two_groups_are_two_networks_side_by_side_up_to_conv3():
    """Halves computed apart, with torch's own normalisation of all maps between them, give what the network gives."""
    with drawing_from(0, "weights"):
        network = AlexNet("two-group", shape=(3, 227, 227), classes=3, hidden=4, width=1 / 16).eval()
        x = torch.randn(1, 3, 227, 227)
    a, b = network.features[0], network.features[4]
    h = F.max_pool2d(F.local_response_norm(F.relu(a(x)), 5, 5e-4, 0.75, 2.0), 3, 2)
    halves = [F.conv2d(h[:, part], b.weight[rows], b.bias[rows], padding=2) for part, rows in
              ((slice(0, 3), slice(0, 8)), (slice(3, 6), slice(8, 16)))]
    torch.testing.assert_close(network.features[:5](x), torch.cat(halves, 1))


@pytest.mark.parametrize("form", list(alexnet.MAPS))
def test_every_form_learns_eight_pictures_by_heart(form):
    with drawing_from(0, "weights"):
        network = AlexNet(form, small=True, shape=(3, 24, 24), classes=8, hidden=64, grid=2, width=1 / 4).eval()
        x, y = torch.randn(8, 3, 24, 24), torch.arange(8)
    rule = torch.optim.Adam(network.parameters(), lr=0.002)
    for _ in range(60):
        rule.zero_grad()
        F.cross_entropy(network(x), y).backward()
        rule.step()
    assert (network(x).argmax(1) == y).all()


@pytest.mark.parametrize("side", [8, 16, 28, 32, 64])
@pytest.mark.parametrize("form", list(alexnet.MAPS))
def test_small_pictures_pass(form, side):
    network = AlexNet(form, small=True, shape=(1, side, side), classes=3, hidden=8, grid=2, width=1 / 32)
    assert network(torch.randn(2, 1, side, side)).shape == (2, 3)


def test_the_published_forms_refuse_small_pictures_in_one_sentence():
    with pytest.raises(UserError, match="at least 63x63"):
        alexnet.build(replace(alexnet.VARIANTS["smoke"], small=False))


def test_the_weights_of_2012_keep_units_alive():
    network = AlexNet("two-group", classes=4, hidden=8, width=1 / 16, shape=(3, 227, 227))
    alexnet.draw_weights_of_2012(network)
    biases = [layer.bias.unique().item() for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    assert biases == [0, 1, 0, 1, 1, 1, 1, 0]
    assert network.features[0].weight.std().item() == pytest.approx(0.01, rel=0.1)


def test_it_reads_digits():
    program = alexnet.build(replace(alexnet.VARIANTS["two-group"], width=1 / 8, hidden=128, epochs=6, augment=False))
    for _ in run(program):
        pass
    assert program.evaluate("test")["accuracy"] > 0.85
