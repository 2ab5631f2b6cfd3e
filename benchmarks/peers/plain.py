"""Ordinary PyTorch with its data resident as float tensors: what every ratio is taken to; and its usual variations."""

import torch
from torch import nn


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


NETWORKS = {"mlp": mlp, "mlp3": mlp3, "lenet": lenet, "cnn": cnn}


def normalised(data, part):
    pixels = torch.from_numpy(data[f"{part}_inputs"]).float() / 255
    return (pixels - float(data["mean"])) / float(data["std"]), torch.from_numpy(data[f"{part}_targets"])


class plain:
    """options: network, optimiser, lr, batch, compile, channels_last, bf16"""

    def __init__(self, data, options):
        torch.manual_seed(0)
        torch.set_num_threads(options.get("threads", 1))
        self.x, self.y = normalised(data, "train")
        self.test = normalised(data, "test")
        self.batch, self.bf16 = options["batch"], options.get("bf16", False)
        self.model = NETWORKS[options["network"]]()
        if options.get("channels_last"):
            self.model = self.model.to(memory_format=torch.channels_last)
        rule = torch.optim.Adam if options["optimiser"] == "adam" else torch.optim.SGD
        self.optimiser = rule(self.model.parameters(), lr=options["lr"])
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
        hits = sum(int((self.model(a).argmax(1) == b).sum()) for a, b in zip(x.split(1000), y.split(1000), strict=True))
        return hits / len(y)
