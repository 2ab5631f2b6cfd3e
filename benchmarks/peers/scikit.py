"""scikit-learn's MLPClassifier, an epoch of partial_fit over the same batches."""

import numpy as np
from sklearn.neural_network import MLPClassifier


class perceptron:
    def __init__(self, data, options):
        def ready(part):
            pixels = data[f"{part}_inputs"].reshape(-1, 784).astype(np.float32) / 255
            return (pixels - np.float32(data["mean"])) / np.float32(data["std"]), data[f"{part}_targets"]

        self.x, self.y = ready("train")
        self.test, self.batch = ready("test"), options["batch"]
        self.model = MLPClassifier((100,), solver=options["optimiser"], learning_rate_init=options["lr"], alpha=0,
                                   momentum=0, batch_size=self.batch, random_state=0)
        self.draw = np.random.default_rng(0)
        self.order, self.place = self.draw.permutation(len(self.x)), 0

    def steps(self, n):
        losses = []
        while n > 0:
            if self.place + self.batch > len(self.x):
                self.order, self.place = self.draw.permutation(len(self.x)), 0
            count = min(n, (len(self.x) - self.place) // self.batch)
            index = self.order[self.place : self.place + count * self.batch]
            self.model.partial_fit(self.x[index], self.y[index], classes=np.arange(10))
            losses += [self.model.loss_] * count
            self.place, n = self.place + count * self.batch, n - count
        return losses

    def accuracy(self):
        return float(self.model.score(*self.test))
