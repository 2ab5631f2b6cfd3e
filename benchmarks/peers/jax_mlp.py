"""JAX: many steps in one compiled lax.scan, the form in which it is fastest; gradient and update written with optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

CHUNK = 100


class scan:
    def __init__(self, data, options):
        def ready(part):
            pixels = data[f"{part}_inputs"].reshape(-1, 784).astype(np.float32) / 255
            return (jnp.asarray((pixels - np.float32(data["mean"])) / np.float32(data["std"])),
                    jnp.asarray(data[f"{part}_targets"].astype(np.int32)))

        self.x, self.y = ready("train")
        self.test, self.batch = ready("test"), options["batch"]
        rule = (optax.adam if options["optimiser"] == "adam" else optax.sgd)(options["lr"])
        self.draw = np.random.default_rng(0)
        self.parameters = [(jnp.asarray(self.draw.uniform(-1, 1, (i, o)).astype(np.float32) / i**0.5), jnp.zeros(o))
                           for i, o in ((784, 100), (100, 10))]
        self.memory = rule.init(self.parameters)
        self.order, self.place = self.draw.permutation(len(self.x)), 0

        def logits(parameters, x):
            (w, b), (v, c) = parameters
            return jax.nn.relu(x @ w + b) @ v + c

        def cost(parameters, x, y):
            return optax.softmax_cross_entropy_with_integer_labels(logits(parameters, x), y).mean()

        def step(carry, index):
            parameters, memory = carry
            loss, slope = jax.value_and_grad(cost)(parameters, self.x[index], self.y[index])
            change, memory = rule.update(slope, memory, parameters)
            return (optax.apply_updates(parameters, change), memory), loss

        self.run = jax.jit(lambda parameters, memory, index: jax.lax.scan(step, (parameters, memory), index))
        self.right = jax.jit(lambda parameters, x, y: (logits(parameters, x).argmax(1) == y).mean())

    def steps(self, n):
        losses = []
        while n > 0:
            count = CHUNK if n >= CHUNK else 1
            if self.place + count * self.batch > len(self.x):
                self.order, self.place = self.draw.permutation(len(self.x)), 0
            index = self.order[self.place : self.place + count * self.batch].reshape(count, self.batch)
            (self.parameters, self.memory), found = self.run(self.parameters, self.memory, index)
            losses += list(np.asarray(found))
            self.place, n = self.place + count * self.batch, n - count
        return losses

    def accuracy(self):
        return float(self.right(self.parameters, *self.test))
