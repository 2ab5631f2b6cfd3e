"""Lightning's Trainer over resident tensors, everything switched off that can be."""

import logging
import warnings

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers.plain import NETWORKS, normalised

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore")


class Module(lightning.LightningModule):
    def __init__(self, options):
        super().__init__()
        self.net, self.criterion = NETWORKS[options["network"]](), nn.CrossEntropyLoss()
        self.options, self.losses = options, []

    def training_step(self, batch, i):
        loss = self.criterion(self.net(batch[0]), batch[1])
        self.losses.append(loss.detach())
        return loss

    def configure_optimizers(self):
        rule = torch.optim.Adam if self.options["optimiser"] == "adam" else torch.optim.SGD
        return rule(self.parameters(), lr=self.options["lr"])


class trained:
    def __init__(self, data, options):
        torch.manual_seed(0)
        torch.set_num_threads(1)
        self.test, self.module = normalised(data, "test"), Module(options)
        pairs = TensorDataset(*normalised(data, "train"))
        self.loader = DataLoader(pairs, options["batch"], shuffle=True, drop_last=True)

    def steps(self, n):
        self.module.losses = []
        trainer = lightning.Trainer(max_steps=n, barebones=True, accelerator="cpu")
        trainer.fit(self.module, self.loader)
        return self.module.losses

    @torch.no_grad()
    def accuracy(self):
        return float((self.module.net(self.test[0]).argmax(1) == self.test[1]).float().mean())
