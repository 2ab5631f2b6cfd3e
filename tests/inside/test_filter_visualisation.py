"""Kernels become pictures, maps are taken before they shrink, patches are where the units look."""

import torch
from torch import nn
from torch.nn import functional as F

from shinso.inside.filter_visualisation import as_pictures, best_patches, first_kernels, stages
from shinso.inside.receptive_field import receptive_fields
from shinso.learn.looking import mosaic
from shinso.vision.alexnet import AlexNet


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.point, self.a, self.b = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 7, 3, 2, 1)
        self.block = nn.Sequential(nn.Conv2d(7, 7, 3, padding=1), nn.BatchNorm2d(7))

    def forward(self, x):
        h = F.relu(self.b(self.a(self.point(x))))
        return (h + self.block(h)).mean((2, 3))


def test_the_first_kernels_are_those_that_see_more_than_a_point():
    network = Net()
    assert torch.equal(first_kernels(network), network.a.weight)
    assert len(first_kernels(nn.Linear(3, 2))) == 0 and as_pictures(first_kernels(nn.Linear(3, 2))).numel() == 0


def test_colours_stay_and_other_channels_are_shown_by_the_first():
    assert as_pictures(torch.randn(4, 3, 5, 5)).shape == (4, 3, 5, 5)
    assert as_pictures(torch.randn(4, 6, 5, 5)).shape == (4, 1, 5, 5)
    assert as_pictures(torch.zeros(1, 1, 2, 2)).unique().tolist() == [128]
    assert as_pictures(torch.tensor([[[[-2.0, 0.0, 1.0, 2.0]]]])).flatten().tolist() == [0, 128, 191, 255]


def test_alexnets_first_kernels_are_a_grid_of_96_tiles_each_at_its_place():
    network = AlexNet("two-group", shape=(3, 227, 227), classes=2, hidden=2)
    shown = as_pictures(first_kernels(network))
    assert shown.shape == (96, 3, 11, 11)
    grid = mosaic(shown.permute(0, 2, 3, 1).numpy(), 16, 33)  # 6 rows of 16, every pixel three times, lines of 2
    assert grid.shape == (6 * 35 + 2, 16 * 35 + 2, 3)
    for k in (0, 15, 16, 95):
        top, left = k // 16 * 35 + 2, k % 16 * 35 + 2
        tile = torch.from_numpy(grid[top:top + 33:3, left:left + 33:3]).permute(2, 0, 1)
        assert torch.equal(tile, shown[k])
        kernel = network.features[0].weight[k]
        assert ((tile.float() - 127.5) * kernel >= -0.5 * kernel.abs().max()).all(), "light is positive"


def test_a_stage_ends_where_maps_shrink():
    network = Net()
    found = stages(network, torch.randn(2, 3, 8, 8))
    assert {name: tuple(maps.shape) for name, maps in found.items()} == {"a": (2, 5, 8, 8), "block": (2, 7, 4, 4)}
    assert all(m.training and not m._forward_hooks for m in network.modules())
    assert not any(maps.requires_grad for maps in found.values())


def test_a_module_that_works_several_times_has_a_stage_for_each():
    relu, pool = nn.ReLU(), nn.MaxPool2d(2)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), relu, pool, nn.Conv2d(4, 5, 3, padding=1), relu, pool,
                            nn.Flatten(), nn.Linear(5 * 16, 6), relu, nn.Linear(6, 2))
    x = torch.randn(2, 3, 16, 16)
    found, fields = stages(network, x), receptive_fields(network, x[:1])
    assert {name: tuple(maps.shape) for name, maps in found.items()} == {
        "1": (2, 4, 16, 16), "1#2": (2, 5, 8, 8), "2#2": (2, 5, 4, 4)}
    assert torch.equal(found["1#2"], network[:5](x)) and found["1"].shape[2] == 16
    assert [fields[name][0].size for name in ("1", "1#2", "2#2", "1#3")] == [3, 8, 10, 22]


def test_patches_are_the_fields_of_the_loudest_units():
    network, x = Net(), torch.randn(6, 3, 16, 16)
    maps = stages(network, x)["block"]
    fields = receptive_fields(network, x[:1])["block"]
    (patches,) = best_patches(maps, fields, (16, 16), [4], 3)
    assert [p.activity for p in patches] == sorted((float(m[4].max()) for m in maps), reverse=True)[:3]
    for patch in patches:
        place = patch.unit - 4 * 64
        assert float(maps[patch.picture, 4].flatten()[place]) == patch.activity
        assert patch.rows == fields[0].pixels(place // 8, 16) and patch.columns == fields[1].pixels(place % 8, 16)
        assert patch.cut(x).shape[1:] == (patch.rows[1] - patch.rows[0], patch.columns[1] - patch.columns[0])


def test_more_patches_than_pictures_are_all_there_are():
    maps = torch.rand(2, 1, 4, 4)
    fields = receptive_fields(nn.Conv2d(1, 1, 3), torch.zeros(1, 1, 6, 6))[""]
    assert len(best_patches(maps, fields, (6, 6), [0], 9)[0]) == 2
