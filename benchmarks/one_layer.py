"""The contestants of C2: one Linear layer on points, by a plain loop and as a program under the loop."""

import torch
from torch import nn
from torch.nn import functional as F

BATCH, LR = 50, 0.1


class plain:
    def __init__(self, data, options):
        from shinso.data.examples import open_data

        torch.set_num_threads(1)
        train = open_data("two-moons").train
        self.x, self.y = train.inputs, train.targets
        self.model = nn.Linear(self.x.shape[1], 2)
        self.optimiser = torch.optim.SGD(self.model.parameters(), lr=LR)
        self.order, self.place = torch.randperm(len(self.x)), 0

    def steps(self, n):
        losses = []
        for _ in range(n):
            if self.place + BATCH > len(self.x):
                self.order, self.place = torch.randperm(len(self.x)), 0
            index = self.order[self.place : self.place + BATCH]
            self.place += BATCH
            x, y = self.x.index_select(0, index), self.y.index_select(0, index)
            self.optimiser.zero_grad()
            loss = F.cross_entropy(self.model(x), y)
            loss.backward()
            self.optimiser.step()
            losses.append(loss.detach())
        return losses

    def accuracy(self):
        return float((self.model(self.x).argmax(1) == self.y).float().mean())


def ours(data, options):
    from benchmarks.ours import AGES, contestant, ready
    from shinso.data.examples import open_data
    from shinso.learn.classify import CLASSIFY
    from shinso.learn.supervised import Plan, Supervised

    place, source = ready(options), open_data("two-moons")
    model = nn.Linear(source.about.shape[0], 2)
    plan = Plan(epochs=AGES, batch_size=BATCH, seed=0)
    return contestant(Supervised(model, torch.optim.SGD(model.parameters(), lr=LR), CLASSIFY, source, plan, place))
