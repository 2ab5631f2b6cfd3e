"""Engines that record or write out the chain rule themselves, all with the plain program's first weights and order.

MLP 784-128-64-10 and LeNet-5 with SGD: HIPS autograd, MyGrad, tinygrad, layer classes written by hand in NumPy, and the
same mathematics written out without classes; and micrograd, one example at a time, on two moons.
"""

import itertools

import numpy as np
import torch

from benchmarks.peers.plain import NETWORKS, normalised

MLP, LENET = "mlp3", "lenet"


class Arrays:
    """Data, weights and order as NumPy arrays; `gradient(x, y)` of a subclass fills `self.slopes`, returns the loss."""

    in_numpy = True

    def __init__(self, data, options):
        torch.manual_seed(0)
        torch.set_num_threads(1)
        self.x, self.y = (part.numpy() for part in normalised(data, "train"))
        self.test = tuple(part.numpy() for part in normalised(data, "test"))
        self.network, self.batch, self.lr = options["network"], options["batch"], options["lr"]
        if self.network == MLP:
            self.x, self.test = self.x.reshape(-1, 784), (self.test[0].reshape(-1, 784), self.test[1])
        parameters = [p.detach().numpy().copy() for p in NETWORKS[self.network]().parameters()]
        self.weights = [np.ascontiguousarray(p.T) if p.ndim == 2 else p for p in parameters]  # x @ W
        self.order, self.place = torch.randperm(len(self.x)).numpy(), 0
        self.prepare()

    def prepare(self):
        """What an engine needs beside the arrays."""

    def steps(self, n):
        losses = []
        for _ in range(n):
            if self.place + self.batch > len(self.x):
                self.order, self.place = torch.randperm(len(self.x)).numpy(), 0
            index = self.order[self.place : self.place + self.batch]
            self.place += self.batch
            losses.append(float(self.step(self.x[index], self.y[index])))
        return losses

    def accuracy(self):
        x, y = self.test
        return float(np.mean([(self.logits(a).argmax(1) == b).mean() for a, b in zip(np.split(x, 20), np.split(y, 20),
                                                                                     strict=True)]))


class Autograd(Arrays):
    """HIPS autograd, as its own examples are written."""

    def prepare(self):
        import autograd.numpy as anp
        from autograd import value_and_grad
        from autograd.scipy.signal import convolve

        def logits(weights, x):
            if self.network == MLP:
                return affine(weights[4:], anp.maximum(affine(weights[2:], anp.maximum(affine(weights, x), 0)), 0))
            h = pooled(anp.maximum(convolved(np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2))), weights[0], weights[1]), 0))
            h = pooled(anp.maximum(convolved(h, weights[2], weights[3]), 0)).reshape(len(x), -1)
            for i in (4, 6):
                h = anp.maximum(affine(weights[i:], h), 0)
            return affine(weights[8:], h)

        def affine(weights, x):
            return anp.dot(x, weights[0]) + weights[1]

        def convolved(x, w, b):
            flipped = anp.swapaxes(w, 0, 1)[:, :, ::-1, ::-1]
            return convolve(x, flipped, axes=([2, 3], [2, 3]), dot_axes=([1], [0]), mode="valid") + b[:, None, None]

        def pooled(x):
            n, c, h, w = x.shape
            return anp.max(anp.max(x.reshape(n, c, h // 2, 2, w // 2, 2), axis=5), axis=3)

        def loss(weights, x, y):
            z = logits(weights, x)
            top = anp.max(z, axis=1, keepdims=True)
            z = z - top - anp.log(anp.sum(anp.exp(z - top), axis=1, keepdims=True))
            return -anp.mean(z[np.arange(len(y)), y])

        self.forward, self.slope = logits, value_and_grad(loss)

    def step(self, x, y):
        loss, slopes = self.slope(self.weights, x, y)
        for weight, slope in zip(self.weights, slopes, strict=True):
            weight -= np.float32(self.lr) * slope
        return loss

    def logits(self, x):
        return self.forward(self.weights, x)


class MyGrad(Arrays):
    """MyGrad with its own layers; its memory guarding is off, as its documentation advises for speed."""

    def prepare(self):
        import mygrad as mg
        from mygrad.nnet.activations import relu
        from mygrad.nnet.layers import conv_nd, max_pool
        from mygrad.nnet.losses import softmax_crossentropy

        mg.turn_memory_guarding_off()
        self.mg, self.relu, self.conv, self.pool, self.loss = mg, relu, conv_nd, max_pool, softmax_crossentropy
        self.tensors = [mg.tensor(weight) for weight in self.weights]

    def forward(self, x):
        w, relu = self.tensors, self.relu
        affine = self.mg.matmul
        if self.network == MLP:
            h = relu(affine(x, w[0]) + w[1])
            return affine(relu(affine(h, w[2]) + w[3]), w[4]) + w[5]
        h = self.conv(x, w[0], stride=1, padding=2) + w[1].reshape(1, -1, 1, 1)
        h = self.pool(relu(h), (2, 2), 2)
        h = self.pool(relu(self.conv(h, w[2], stride=1) + w[3].reshape(1, -1, 1, 1)), (2, 2), 2)
        h = h.reshape(len(x), -1)
        for i in (4, 6):
            h = relu(affine(h, w[i]) + w[i + 1])
        return affine(h, w[8]) + w[9]

    def step(self, x, y):
        loss = self.loss(self.forward(x), y)
        loss.backward()
        for tensor in self.tensors:
            tensor.data -= np.float32(self.lr) * tensor.grad
            tensor.null_grad()
        return loss.data

    def logits(self, x):
        with self.mg.no_autodiff:
            return np.asarray(self.forward(x))


class Tinygrad(Arrays):
    """tinygrad, the whole step captured by TinyJit and compiled for the processor."""

    in_numpy = False

    def prepare(self):
        from tinygrad import Context, Tensor, TinyJit

        Context(TRAINING=1).__enter__()
        self.tensor = Tensor
        self.tensors = [Tensor(weight).is_param_(True) for weight in self.weights]
        lr = self.lr

        @TinyJit
        def step(x, y):
            for tensor in self.tensors:
                tensor.grad = None
            loss = self.forward(x).sparse_categorical_crossentropy(y).backward()
            for tensor in self.tensors:
                tensor.assign(tensor.detach() - lr * tensor.grad)
            Tensor.realize(loss, *self.tensors)
            return loss

        self.jitted = step

    def forward(self, x):
        w = self.tensors
        if self.network == MLP:
            return ((x @ w[0] + w[1]).relu() @ w[2] + w[3]).relu() @ w[4] + w[5]
        h = x.conv2d(w[0], w[1], padding=2).relu().max_pool2d(2)
        h = h.conv2d(w[2], w[3]).relu().max_pool2d(2).flatten(1)
        return ((h @ w[4] + w[5]).relu() @ w[6] + w[7]).relu() @ w[8] + w[9]

    def step(self, x, y):
        return self.jitted(self.tensor(x), self.tensor(y.astype(np.int32))).item()

    def logits(self, x):
        return self.forward(self.tensor(x)).numpy()


class Affine:
    def __init__(self, w, b):
        self.w, self.b = w, b

    def forward(self, x):
        self.x = x
        return x @ self.w + self.b

    def backward(self, grad):
        self.dw, self.db = self.x.T @ grad, grad.sum(axis=0)
        return grad @ self.w.T


class Relu:
    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, grad):
        return grad * self.mask


class SoftmaxCrossEntropy:
    def forward(self, z, y):
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        self.p, self.y = p, y
        return -np.log(p[np.arange(len(y)), y]).mean()

    def backward(self):
        grad = self.p.copy()
        grad[np.arange(len(grad)), self.y] -= 1
        return grad / len(grad)


class LayerClasses(Arrays):
    """Layers with forward and backward, as a course writes them."""

    def prepare(self):
        pairs = list(zip(self.weights[::2], self.weights[1::2], strict=True))
        self.affines = [Affine(w, b) for w, b in pairs]
        self.layers = [self.affines[0], Relu(), self.affines[1], Relu(), self.affines[2]]
        self.loss = SoftmaxCrossEntropy()

    def step(self, x, y):
        loss = self.loss.forward(self.logits(x), y)
        grad = self.loss.backward()
        for layer in reversed(self.layers):
            grad = layer.backward(grad)
        for layer in self.affines:
            layer.w -= np.float32(self.lr) * layer.dw
            layer.b -= np.float32(self.lr) * layer.db
        return loss

    def logits(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x


class WrittenOut(Arrays):
    """The chain rule of this one network, without a layer or a graph; nothing is computed that nobody needs."""

    def step(self, x, y):
        w1, b1, w2, b2, w3, b3 = self.weights
        h1 = x @ w1
        h1 += b1
        np.maximum(h1, 0, out=h1)
        h2 = h1 @ w2
        h2 += b2
        np.maximum(h2, 0, out=h2)
        z = h2 @ w3
        z += b3
        z -= z.max(axis=1, keepdims=True)
        rows = np.arange(len(y))
        shifted = z[rows, y]
        np.exp(z, out=z)
        total = z.sum(axis=1, keepdims=True)
        loss = (np.log(total[:, 0]) - shifted).mean()
        z /= total
        z[rows, y] -= 1
        z /= np.float32(len(y))
        d2 = z @ w3.T
        d2 *= h2 > 0
        d1 = d2 @ w2.T
        d1 *= h1 > 0
        for weight, slope in ((w1, x.T @ d1), (b1, d1.sum(axis=0)), (w2, h1.T @ d2), (b2, d2.sum(axis=0)),
                              (w3, h2.T @ z), (b3, z.sum(axis=0))):
            slope *= np.float32(self.lr)
            weight -= slope
        return loss

    def logits(self, x):
        w1, b1, w2, b2, w3, b3 = self.weights
        return np.maximum(np.maximum(x @ w1 + b1, 0) @ w2 + b2, 0) @ w3 + b3


def moons(count=100):
    """Two half circles, (count, 2) and +-1."""
    draw = np.random.default_rng(0)
    angle, upper = draw.uniform(0, np.pi, count), np.arange(count) % 2 == 0
    x = np.where(upper[:, None], np.stack([np.cos(angle), np.sin(angle)], 1),
                 np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], 1)) + draw.normal(0, 0.1, (count, 2))
    return x, np.where(upper, 1.0, -1.0)


def hinge_weights(sizes=(2, 16, 16, 1)):
    draw = np.random.default_rng(1)
    return [(draw.uniform(-1, 1, (m, n)) / n**0.5, np.zeros(m)) for n, m in itertools.pairwise(sizes)]


class Micrograd:
    """micrograd's own demonstration: 2-16-16-1, ReLU, hinge loss, one example at a time."""

    lr = 0.02

    def __init__(self, data, options):
        self.value = self.scalar()
        self.x, self.y = moons()
        self.layers = [([[self.value(w) for w in row] for row in weights.tolist()], [self.value(b) for b in bias])
                       for weights, bias in hinge_weights()]
        self.parameters = [p for rows, bias in self.layers for row in [*rows, bias] for p in row]
        self.i = 0

    def scalar(self):
        from micrograd.engine import Value

        return Value

    def score(self, x):
        h = [self.value(float(v)) for v in x]
        for depth, (rows, bias) in enumerate(self.layers):
            h = [sum((w * v for w, v in zip(row, h, strict=True)), b) for row, b in zip(rows, bias, strict=True)]
            h = [v.relu() for v in h] if depth < 2 else h
        return h[0]

    def steps(self, n):
        losses = []
        for _ in range(n):
            k = self.i % len(self.x)
            self.i += 1
            loss = (1 + -float(self.y[k]) * self.score(self.x[k])).relu()
            for p in self.parameters:
                p.grad = 0
            loss.backward()
            for p in self.parameters:
                p.data -= self.lr * p.grad
            losses.append(loss.data)
        return losses

    def accuracy(self):
        return float(np.mean([(self.score(x).data > 0) == (y > 0) for x, y in zip(self.x, self.y, strict=True)]))
