"""Ordinary PyTorch with its data resident as float tensors: what every ratio is taken to; and its usual variations."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10))


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )


def cnn() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10))


def mlp3() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


class Block(nn.Module):
    """3x3, 3x3 and a shortcut of zeros for new channels, as CIFAR ResNets are usually written."""

    def __init__(self, entering, width):
        super().__init__()
        self.stride, self.more = 1 if width == entering else 2, width - entering
        self.conv1 = nn.Conv2d(entering, width, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return F.relu(y + x)


def resnet20() -> nn.Module:
    widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        *(Block(a, b) for a, b in pairwise(widths)),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return net


NETWORKS = {"mlp": mlp, "mlp3": mlp3, "lenet": lenet, "cnn": cnn, "resnet20": resnet20}


def normalised(data, part):
    pixels = torch.from_numpy(data[f"{part}_inputs"]).float() / 255
    mean, std = (torch.as_tensor(data[name]).view(-1, 1, 1) for name in ("mean", "std"))
    return (pixels - mean) / std, torch.from_numpy(data[f"{part}_targets"])


class plain:
    """options: network, optimiser, lr, momentum, batch, compile, channels_last, bf16"""

    def __init__(self, data, options):
        torch.manual_seed(0)
        torch.set_num_threads(options.get("threads", 1))
        self.x, self.y = normalised(data, "train")
        self.test = normalised(data, "test")
        self.batch, self.bf16 = options["batch"], options.get("bf16", False)
        self.model = NETWORKS[options["network"]]()
        if options.get("channels_last"):
            self.model = self.model.to(memory_format=torch.channels_last)
        if options["optimiser"] == "adam":
            self.optimiser = torch.optim.Adam(self.model.parameters(), lr=options["lr"])
        else:
            momentum = options.get("momentum", 0)
            self.optimiser = torch.optim.SGD(self.model.parameters(), lr=options["lr"], momentum=momentum)
        self.criterion = nn.CrossEntropyLoss()
        self.forward = torch.compile(self.model) if options.get("compile") else self.model
        self.order, self.place = torch.randperm(len(self.x)), 0

    def steps(self, n):
        losses = []
        for _ in range(n):
            if self.place + self.batch > len(self.x):
                self.order, self.place = torch.randperm(len(self.x)), 0
            index = self.order[self.place : self.place + self.batch]
            self.place += self.batch
            x, y = self.x[index], self.y[index]
            self.optimiser.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                loss = self.criterion(self.forward(x), y)
            loss.backward()
            self.optimiser.step()
            losses.append(loss.detach())
        return losses

    @torch.no_grad()
    def accuracy(self):
        x, y = self.test
        self.model.eval()
        hits = sum(int((self.model(a).argmax(1) == b).sum()) for a, b in zip(x.split(1000), y.split(1000), strict=True))
        self.model.train()
        return hits / len(y)


def flipped_and_shifted(x):
    """Mirror images half of the time, and crops from a border of four zeros, another for every picture."""
    n, channels, height, width = x.shape
    wide = F.pad(x, (4,) * 4)
    rows = torch.randint(9, (n, 1)) + torch.arange(height)
    columns = torch.arange(width).expand(n, width)
    columns = torch.where(torch.rand(n, 1) < 0.5, columns, columns.flip(1)) + torch.randint(9, (n, 1))
    place = rows[:, :, None] * wide.shape[3] + columns[:, None, :]
    return wide.flatten(2).gather(2, place.view(n, 1, -1).expand(-1, channels, -1)).view(x.shape)


class recipe(plain):
    """The program with augmentation, weight decay and a rate of one cycle; further options: epochs, decay, seed"""

    def __init__(self, data, options):
        super().__init__(data, options)
        torch.manual_seed(options["seed"])
        self.model = self.forward = NETWORKS[options["network"]]()
        self.optimiser = torch.optim.SGD(self.model.parameters(), lr=options["lr"], momentum=options["momentum"],
                                         weight_decay=options["decay"])
        self.epochs = options["epochs"]
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, options["lr"], total_steps=self.epochs * (len(self.x) // self.batch), pct_start=0.25,
            cycle_momentum=False)

    def train(self):
        for _ in range(self.epochs):
            order = torch.randperm(len(self.x))
            for index in order.split(self.batch)[: len(self.x) // self.batch]:
                self.optimiser.zero_grad()
                loss = self.criterion(self.model(flipped_and_shifted(self.x[index])), self.y[index])
                loss.backward()
                self.optimiser.step()
                self.schedule.step()
