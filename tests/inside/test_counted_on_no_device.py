"""On the meta device the table is that of the CPU, and torch's compiler, whose import takes a second, stays out."""

import subprocess
import sys

import torch
from torch import nn
from torch.nn import functional as F

from shinso.inside.layer_table import layers, products


class Block(nn.Module):
    """Batch normalisation with and without memory; rectifiers in place and not."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, stride=2, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4, affine=False, track_running_stats=False)
        self.rest = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(5), nn.ReLU(inplace=True))

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return self.rest(x + F.relu(self.bn2(self.conv2(x))))


def test_the_rows_are_those_of_the_cpu():
    network, example = Block(), torch.zeros(1, 3, 13, 13)
    rows, cost = layers(network, example, containers=True), products(network, example)
    assert layers(network.to("meta"), example.to("meta"), containers=True) == rows
    assert products(network, example.to("meta")) == cost > 0


def test_counting_imports_no_compiler():
    code = "import sys, torch; from torch import nn; from shinso.inside.layer_table import products; " \
           "network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.ReLU(inplace=True)); " \
           "assert products(network.to('meta'), torch.zeros(1, 3, 9, 9, device='meta')) == 4 * 27 * 49; " \
           "assert 'torch._dynamo' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
