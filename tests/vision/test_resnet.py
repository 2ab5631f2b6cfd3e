"""ResNet: torchvision's own, plain and small forms, and what it refuses."""

from dataclasses import replace

import pytest
import torch
from published import computes, published

from shinso.core.errors import UserError
from shinso.core.record import plain
from shinso.data.examples import open_data, save_description
from shinso.engine.loop import run
from shinso.vision.resnet import VARIANTS, ResNet, build, parameters

TENSORS = {18: 122, 34: 218, 50: 320, 101: 626, 152: 932}


def is_torchvisions(depth, folder) -> None:
    state, theirs = published(f"torchvision:resnet{depth}", (2, 3, 64, 64), folder)
    network = ResNet(depth)
    assert len(network.state_dict()) == TENSORS[depth]
    network.load_state_dict(state)
    computes(network, theirs)


def test_resnet_18_is_torchvisions(tmp_path):
    is_torchvisions(18, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [34, 50, 101, 152])
def test_the_others_are_torchvisions(depth, tmp_path):
    is_torchvisions(depth, tmp_path)


@pytest.mark.slow
def test_a_last_scale_of_zero_is_torchvisions_option(tmp_path):
    state, theirs = published("torchvision:resnet50", (2, 3, 64, 64), tmp_path, zero_init_residual=True)
    network = ResNet(50, zero_gamma=True)
    network.load_state_dict(state)
    computes(network, theirs)


@pytest.mark.parametrize("depth", TENSORS)
def test_tensors_and_layers_are_as_many_as_published(depth):
    with torch.device("meta"):
        net = ResNet(depth, shortcuts="none")
        assert len(ResNet(depth).state_dict()) == TENSORS[depth]
    assert sum(w.dim() > 1 for w in net.parameters()) == depth


@pytest.mark.parametrize(("kind", "difference"), [("A", -173_824), ("B", 0),
                                                    ("C", 3 * 4_224 + 3 * 16_640 + 5 * 66_048 + 2 * 263_168)])
def test_shortcuts_of_34_layers_cost_what_they_should(kind, difference):
    assert parameters(34, kind) - parameters(34) == difference


def test_small_pictures_meet_a_small_beginning(tmp_path):
    about = open_data("digits").about
    for stem, side, size in (("auto", 63, 3), ("auto", 64, 7), ("imagenet", 33, 7), ("small", 80, 3)):
        save_description(replace(about, shape=(1, side, side)), tmp_path / "data.json")
        program = build(replace(VARIANTS["smoke"], stem=stem, data=f"described:{tmp_path / 'data.json'}"))
        assert program.model.conv1.kernel_size == (size, size), (stem, side)


def test_stages_of_a_small_beginning_start_at_full_size():
    net = ResNet(18, width=4, small=True, classes=10)
    h, shapes = torch.zeros(1, 3, 32, 32), []
    for name in ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4"):
        h = net.get_submodule(name)(h)
        shapes.append(h.shape[3])
    assert shapes == [32, 32, 32, 16, 8, 4]


def test_a_batch_of_one_of_the_smallest_pictures_can_be_trained():
    """Two places at least are left for the statistics of the last normalisation."""
    for side, small in ((33, False), (9, True)):
        net = ResNet(18, width=4, small=small, classes=2)
        assert net(torch.rand(1, 3, side, side)).isfinite().all()


@pytest.mark.parametrize(("wrong", "said"), [
    ({"data": "digits:8x8"}, "at least 9x9"), ({"stem": "imagenet"}, "at least 33x33"),
    ({"data": "two-moons"}, "points"), ({"width": 0}, "above 0"),
])
def test_what_it_cannot_read_is_refused(wrong, said):
    with pytest.raises(UserError, match=said):
        build(replace(VARIANTS["smoke"], **wrong))


def test_it_learns_digits():
    program = build(replace(VARIANTS["smoke"], width=8, epochs=2))
    for _ in run(program):
        pass
    assert plain(program.evaluate("test"))["accuracy"] > 0.4
