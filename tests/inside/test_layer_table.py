"""Every row is what the module hands on and costs, whatever form the computation takes."""

import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from shinso.inside.layer_table import Layer, as_json, grouped, layers, products
from shinso.kernels.conv_pool import conv_relu_pool


class Block(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        self.conv1, self.bn = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x):
        return F.relu(self.conv2(F.relu(self.bn(self.conv1(x)))) + x)


class Own(nn.Module):
    """Its weight is used in a function of its own; a part that is not reached; a vector among pictures."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 3, 3, 3))
        self.bias = nn.Parameter(torch.zeros(5))
        self.blocks = nn.Sequential(*(Block(5) for _ in range(3)))
        self.aside = nn.Linear(7, 2)
        self.top = nn.Linear(5, 10)

    def forward(self, x):
        h = self.blocks(conv_relu_pool(x, self.weight, self.bias, 1))
        return self.top(h.mean((2, 3)))


ROWS = layers(Own(), torch.zeros(1, 3, 12, 12))
BY_NAME = {row.name: row for row in ROWS}


def test_every_parameter_stands_in_one_row():
    assert sum(row.parameters for row in ROWS) == sum(weight.numel() for weight in Own().parameters())


def test_products_belong_to_the_module_that_makes_them():
    assert BY_NAME[""].products == 5 * 3 * 9 * 144  # fused into native code, before its pooling
    assert BY_NAME["blocks.1.conv2"].products == 5 * 5 * 9 * 36
    assert BY_NAME["top"].products == 50
    assert BY_NAME["blocks.1.bn"].products == 0


def test_the_sum_of_products_can_be_had_alone():
    assert products(Own(), torch.zeros(2, 3, 12, 12)) == sum(row.products for row in ROWS)


def test_what_is_not_reached_has_a_row_without_a_shape():
    assert BY_NAME["aside"] == Layer(name="aside", kind="Linear", parameters=16)


def test_rows_stand_in_the_order_of_computation():
    names = [row.name for row in ROWS]
    assert names.index("blocks.0.conv1") < names.index("blocks.0.bn") < names.index("blocks.0.conv2")
    assert names.index("blocks.2.conv2") < names.index("top") < names.index("aside")


def test_shape_and_memory_are_those_of_one_example():
    many = {row.name: row for row in layers(Own(), torch.zeros(3, 3, 12, 12))}
    assert many == BY_NAME
    assert BY_NAME["blocks.0.conv1"].shape == (5, 6, 6) and BY_NAME["blocks.0.conv1"].memory == 4 * 180


def test_what_a_unit_sees_ends_at_the_borders():
    assert BY_NAME["blocks.0.conv1"].sees((12, 12)) == (8, 8)
    assert BY_NAME["top"].sees((12, 12)) == (12, 12)
    assert layers(nn.Linear(3, 2), torch.zeros(1, 3))[0].sees((3, 3)) is None


def test_shared_weights_count_once():
    one = nn.Linear(4, 4)
    rows = layers(nn.Sequential(one, nn.ReLU(), one), torch.zeros(1, 4))
    assert sum(row.parameters for row in rows) == 20 and sum(row.products for row in rows) == 32
    other = nn.Linear(4, 4)
    other.weight = one.weight
    assert sum(row.parameters for row in layers(nn.Sequential(one, other), torch.zeros(1, 4))) == 24


def test_a_module_that_works_twice_has_a_row_for_each_time():
    relu, step = nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1)
    network = nn.Sequential(step, relu, nn.MaxPool2d(2), step, relu, nn.Flatten(), nn.Linear(32, 3), relu)
    rows = layers(network, torch.zeros(1, 2, 8, 8))
    told = [(row.name, row.shape, row.parameters, row.products, row.memory) for row in rows]
    assert told == [("0", (2, 8, 8), 38, 36 * 64, 512), ("1", (2, 8, 8), 0, 0, 512), ("2", (2, 4, 4), 0, 0, 128),
                    ("0#2", (2, 4, 4), 0, 36 * 16, 128), ("1#2", (2, 4, 4), 0, 0, 128), ("5", (32,), 0, 0, 128),
                    ("6", (3,), 99, 96, 12), ("1#3", (3,), 0, 0, 12)]


class Silent(nn.Module):
    """Hands on no tensor."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x):
        return None


def test_a_module_that_hands_on_nothing_does_not_take_the_products_of_others():
    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.silent, self.weight = Silent(), nn.Parameter(torch.ones(4, 5))

        def forward(self, x):
            self.silent(x)
            return x @ self.weight

    rows = {row.name: row for row in layers(Around(), torch.zeros(1, 4))}
    assert rows[""].products == 20 and rows["silent.inner"].shape == ()


def test_transposed_convolutions_and_attention_are_counted():
    (row,) = layers(nn.ConvTranspose2d(2, 3, 4, 2), torch.zeros(1, 2, 5, 5))
    assert row.products == 2 * 3 * 16 * 25
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    found = layers(encoder, torch.zeros(1, 6, 8))
    assert sum(r.products for r in found) == 6 * 8 * 24 + 2 * 6 * 6 * 8 + 6 * 8 * 8 + 2 * 6 * 8 * 16
    assert sum(r.parameters for r in found) == sum(w.numel() for w in encoder.parameters())


def test_groups_are_modules_in_place_of_their_parts():
    rows = grouped(ROWS, 6)
    assert [row.name for row in rows] == ["blocks.0", "blocks.1", "blocks.2", "top", "", "aside"]
    for total in ("parameters", "products", "memory"):
        assert sum(getattr(row, total) for row in rows) == sum(getattr(row, total) for row in ROWS)
    assert grouped(ROWS, 100) == ROWS


def test_containers_know_what_leaves_them_and_cost_nothing():
    rows = layers(Own(), torch.zeros(1, 3, 12, 12), containers=True)
    (blocks,) = [row for row in rows if row.name == "blocks"]
    assert blocks.container and blocks.shape == (5, 6, 6)
    assert (blocks.parameters, blocks.products, blocks.memory) == (0, 0, 0)
    assert [row for row in rows if not row.container] == ROWS
    assert [(row.name, row.kind) for row in grouped(rows, 5)] == [
        ("blocks", "Sequential"), ("top", "Linear"), ("", "Own"), ("aside", "Linear")]
    assert [row.name for row in grouped(rows, 100)] == [row.name for row in ROWS]


def test_the_file_is_json_with_its_sums():
    told = json.loads(as_json(ROWS, (3, 12, 12)))
    assert told["input"] == [3, 12, 12] and len(told["layers"]) == len(ROWS)
    assert told["total"]["products"] == sum(row["products"] for row in told["layers"])
    assert told["layers"][0]["field"][0] == {"size": 8, "jump": 2, "start": -3}


def test_it_runs_on_no_device_and_leaves_the_network_as_it_was():
    network = Own().to("meta")
    assert layers(network, torch.zeros(1, 3, 12, 12, device="meta")) == ROWS
    assert all(m.training and not m._forward_hooks and not m._forward_pre_hooks for m in network.modules())


def test_a_failing_network_has_no_hooks_left():
    network = nn.Sequential(nn.Conv2d(3, 1, 3), nn.Linear(3, 2))
    with pytest.raises(RuntimeError, match="shapes"):
        layers(network, torch.zeros(1, 3, 9, 9))
    assert all(m.training and not m._forward_hooks and not m._forward_pre_hooks for m in network.modules())
