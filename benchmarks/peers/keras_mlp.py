"""Keras, `fit` on resident arrays; the backend comes from KERAS_BACKEND."""

import keras
import numpy as np


class fitted:
    def __init__(self, data, options):
        def ready(part):
            pixels = data[f"{part}_inputs"].reshape(-1, 784).astype(np.float32) / 255
            return (pixels - np.float32(data["mean"])) / np.float32(data["std"]), data[f"{part}_targets"]

        self.x, self.y = ready("train")
        self.test, self.batch = ready("test"), options["batch"]
        keras.utils.set_random_seed(0)
        dense = keras.layers.Dense
        self.model = keras.Sequential([keras.layers.Input((784,)), dense(100, "relu"), dense(10)])
        rule = (keras.optimizers.Adam if options["optimiser"] == "adam" else keras.optimizers.SGD)(options["lr"])
        self.model.compile(rule, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"],
                           steps_per_execution=50 if keras.backend.backend() == "jax" else 1)
        self.draw = np.random.default_rng(0)

    def steps(self, n):
        losses = []
        while n > 0:
            count = min(n, len(self.x) // self.batch)
            index = self.draw.permutation(len(self.x))[: count * self.batch]
            told = self.model.fit(self.x[index], self.y[index], self.batch, epochs=1, shuffle=False, verbose=0)
            losses += [told.history["loss"][0]] * count
            n -= count
        return losses

    def accuracy(self):
        return float(self.model.evaluate(*self.test, batch_size=1000, verbose=0)[1])
