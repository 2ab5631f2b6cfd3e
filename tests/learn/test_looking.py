"""Every classifier with maps is drawn from inside, whatever its size, and none other."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from shinso.core.place import Place
from shinso.data.examples import Dataset, Examples, describe, to_float
from shinso.inside.deconvolution import reconstruct
from shinso.inside.filter_visualisation import stages
from shinso.inside.grad_cam import grad_cam
from shinso.inside.layer_table import layers
from shinso.inside.receptive_field import receptive_fields
from shinso.inside.saliency import saliency
from shinso.learn.looking import GAP, draw_layers, files, fit, inside, mosaic, some_of_each_class
from shinso.learn.recognise import Recognition, recognise

NAMES = {"layers", "first_filters", "feature_maps", "evidence", "top_patches"}


def pictures(channels, side, n=12, classes=("a", "b", "c")):
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (n, channels, side, side), dtype=torch.uint8, generator=draw)
    split = Examples(inputs, torch.arange(n) % len(classes))
    return Dataset(about=describe("noise", classes, "picture", split), train=split, validation=split, test=split)


def network(channels, *, side=1, classes=3):
    return nn.Sequential(nn.Conv2d(channels, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.MaxPool2d(2),
                         nn.Conv2d(6, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(side), nn.Flatten(),
                         nn.Linear(4 * side**2, classes))


@pytest.mark.parametrize(("channels", "side"), [(1, 9), (3, 32), (3, 130), (4, 20)])
def test_pictures_of_any_size_and_depth_are_drawn(channels, side):
    shown = inside(network(channels), pictures(channels, side))
    assert set(shown) == NAMES
    for picture in shown.values():
        assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
        assert picture.min() < picture.max() and max(picture.shape) <= 1000


class Shared(nn.Module):
    """One ReLU and one pooling at every place, behind the maps, too; one block that works twice."""

    def __init__(self):
        super().__init__()
        self.stem, self.head, self.top = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 8), nn.Linear(8, 3)
        self.relu, self.pool = nn.ReLU(inplace=True), nn.MaxPool2d(2)
        self.block = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), self.relu)

    def forward(self, x):
        h = self.pool(self.relu(self.stem(x)))
        h = self.pool(self.block(h))
        h = self.block(h).mean((2, 3))
        return self.top(self.relu(self.head(h)))


def test_a_layer_that_works_several_times_is_drawn_each_time():
    torch.manual_seed(0)
    model, data = Shared().eval(), pictures(3, 24)
    assert set(inside(model, data)) == NAMES
    inputs = to_float(data.test.inputs, data.about)
    maps, fields = stages(model, inputs), receptive_fields(model, inputs[:1])
    assert list(maps) == ["relu", "block", "block#2"]
    for name, found in maps.items():  # what is drawn as the cause of a unit is its gradient, of that time alone
        unit = torch.full((len(inputs),), int(found[0].flatten().argmax()))
        x = inputs.clone().requires_grad_()
        (slope,) = torch.autograd.grad(chosen(model, name, x).flatten(1)[:, unit[0]].sum(), x)
        torch.testing.assert_close(reconstruct(model, inputs, unit, layer=name, rule="gradient"), slope)
        assert fields[name][0].size == {"relu": 3, "block": 8, "block#2": 18}[name]


def chosen(model, name, x):
    """The same without names."""
    h = model.relu(model.stem(x))
    if name == "relu":
        return h
    h = model.block(model.pool(h))
    return h if name == "block" else model.block(model.pool(h))


def test_drawing_twice_gives_the_same_and_leaves_no_trace():
    model, data = network(3), pictures(3, 24)
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    one, other = inside(model, data), inside(model, data)
    assert all(np.array_equal(one[name], other[name]) for name in NAMES)
    assert [m.training for m in model][:3] == [True, False, True]
    assert all(w.grad is None for w in model.parameters()) and not any(m._forward_hooks for m in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_network_without_maps_is_left_alone():
    data = pictures(1, 8)
    assert inside(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), data) == {}
    nothing = Examples(data.test.inputs[:0], data.test.targets[:0])
    assert inside(network(1), replace(data, test=nothing)) == {}


def test_pictures_without_places_to_choose_from_are_drawn():
    """One example of one class; a class that never occurs."""
    data = pictures(3, 12, n=1, classes=("a", "b", "c"))
    assert set(inside(network(3), data)) == NAMES


def test_a_larger_tile_is_whole_pixels_and_a_smaller_one_leaves_some_out():
    small = np.arange(2 * 4 * 3 * 3, dtype=np.uint8).reshape(2, 4, 3, 3)
    assert np.array_equal(fit(small, 12), small.repeat(3, 1).repeat(3, 2))
    assert fit(small, 2).shape == (2, 2, 2, 3)
    assert mosaic(small, 2, 4).shape == (4 + 2 * GAP, 2 * 3 + 3 * GAP, 3)


def test_of_each_class_as_many_are_shown_the_first_ones():
    assert some_of_each_class(torch.tensor([2, 0, 0, 2, 1]), 8).tolist() == [1, 4, 0]
    assert some_of_each_class(torch.tensor([2, 0, 0, 2, 1]), 2).tolist() == [1, 4]
    assert some_of_each_class(torch.arange(30) % 3, 8).tolist() == [0, 3, 1, 4, 2, 5]
    assert some_of_each_class(torch.zeros(5).long(), 8).tolist() == [0, 1, 2, 3, 4]


def test_a_table_of_a_thousand_layers_stays_small():
    deep = nn.Sequential(*(nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU()) for _ in range(200)))
    rows = layers(nn.Sequential(deep, nn.ReLU()), torch.zeros(1, 1, 4, 4), containers=True)
    assert len(rows) > 600 and draw_layers(rows, (4, 4)).shape[0] < 200


def test_what_the_pictures_show_is_left_as_numbers(tmp_path):
    torch.manual_seed(0)
    model, data = Shared(), pictures(3, 24)
    (tmp_path / "inside.safetensors").write_bytes(files(model, data)["inside.safetensors"])
    with safe_open(tmp_path / "inside.safetensors", "pt") as file:
        told, found = json.loads(file.metadata()["about"]), {name: file.get_tensor(name) for name in file.keys()}
    assert told["classes"] == ["a", "b", "c"] and told["stages"] == ["relu", "block", "block#2"]
    assert {name.partition("/")[0] for name in found} == {name.partition("/")[0] for name in told["tensors"]}
    assert {name for name in found if "/" in name} == {f"maps/{name}" for name in told["stages"]}
    assert files(model, data)["inside.safetensors"] == (tmp_path / "inside.safetensors").read_bytes()
    shown = data.test.inputs[[0, 3, 1, 4, 2, 5]]
    x = to_float(shown, data.about)
    assert torch.equal(found["pictures"], shown) and found["targets"].tolist() == [0, 0, 1, 1, 2, 2]
    assert torch.equal(found["answers"], model.eval()(x).argmax(1))
    assert torch.equal(found["saliency"], saliency(model, x)) and torch.equal(found["grad_cam"], grad_cam(model, x))
    assert torch.equal(found["maps/block#2"].float(), stages(model, x)["block#2"][0].half().float())
    assert torch.equal(found["first_kernels"], model.stem.weight) and found["guided"].shape == x.shape
    assert files(nn.Sequential(nn.Flatten(), nn.Linear(1728, 3)), data) == {}


def test_a_recogniser_leaves_its_layers_as_a_file():
    program = recognise(Recognition(epochs=1, augment=False), Place(), lambda about: network(1, classes=10))
    program.step(0)
    assert b'"kind": "Conv2d"' in program.files()["layers.json"] and "inside.safetensors" in program.files()
    assert NAMES < set(program.pictures())
