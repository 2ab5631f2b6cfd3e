"""shinso as a contestant, through the public interface: build, then the loop."""

from dataclasses import replace
from itertools import islice

import torch
from torch import nn

from shinso.core.place import Place
from shinso.data.examples import open_data
from shinso.engine.loop import run
from shinso.kernels.allocator import keep_pages

AGES = 100_000
"""epochs that no benchmark reaches"""


class contestant:
    """A program under the loop."""

    def __init__(self, program):
        self.program, self.rows = program, run(program)

    def steps(self, n):
        return [row.record["loss"] for row in islice(self.rows, n)]

    def accuracy(self):
        return float(self.program.evaluate("test")["accuracy"])


def ready(options):
    """The process as the command line makes it."""
    torch.set_num_threads(options.get("threads", 1))
    keep_pages()
    return Place(precision=options.get("precision", "fp32"))


def same_start(program, name):
    """The plain program's first weights and first epoch's order, so that what is learned can be compared."""
    from benchmarks.peers.plain import NETWORKS

    torch.manual_seed(0)
    with torch.no_grad():
        for ours, theirs in zip(program.model.parameters(), NETWORKS[name]().parameters(), strict=True):
            ours.copy_(theirs)
    program.batches.order = torch.randperm(len(program.data.train))
    return contestant(program)


def mlp(data, options):
    from shinso.basics.mlp import Setup, build

    place = ready(options)
    program = build(Setup(data="mnist", hidden=(100,), batch_size=options["batch"], lr=options["lr"],
                          optimiser=options["optimiser"], epochs=AGES, schedule="constant"), place)
    return same_start(program, "mlp")


def lenet(data, options):
    from shinso.vision.lenet import VARIANTS, build

    place = ready(options)
    setup = replace(VARIANTS["mnist"], batch_size=options["batch"], lr=options["lr"], epochs=AGES, augment=False)
    program = build(setup, place)
    program.plan = replace(program.plan, schedule=None)  # the plain program has a constant rate
    return same_start(program, "lenet")


def resnet(data, options):
    from shinso.vision.cifar_resnet import VARIANTS, build

    place = ready(options)
    setup = replace(VARIANTS["cifar10"], batch_size=options["batch"], lr=options["lr"], momentum=options["momentum"],
                    weight_decay=0.0, schedule="constant", augment=False, epochs=AGES)
    return same_start(build(setup, place), "resnet20")


class recipe:
    """The variant of CIFAR-10 as the command line runs it; options: epochs, decay, seed, and those of `resnet`."""

    def __init__(self, data, options):
        from shinso.vision.cifar_resnet import VARIANTS, build

        self.program = build(replace(
            VARIANTS["cifar10"], batch_size=options["batch"], lr=options["lr"], momentum=options["momentum"],
            weight_decay=options["decay"], epochs=options["epochs"], seed=options["seed"]), ready(options))

    def train(self):
        for _ in run(self.program):
            pass

    def accuracy(self):
        return float(self.program.evaluate("test")["accuracy"])


def cnn(data, options):
    """The network of W2 put together from torch.nn and shinso.kernels, as a user would."""
    from shinso.kernels.conv_pool import conv_relu_pool
    from shinso.learn.classify import CLASSIFY
    from shinso.learn.supervised import Plan, Supervised

    class ConvPool(nn.Conv2d):
        def forward(self, x):
            return conv_relu_pool(x, self.weight, self.bias)

    place = ready(options)
    network = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), ConvPool(32, 64, 3), nn.Flatten(),
                            nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10))
    if place.precision == "bf16":
        network = network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=options["lr"], fused=True)
    plan = Plan(epochs=AGES, batch_size=options["batch"], seed=0)
    return same_start(Supervised(network, optimiser, CLASSIFY, open_data("mnist"), plan, place), "cnn")
