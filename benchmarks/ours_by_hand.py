"""shinso's own first principles as contestants of W9, with the plain program's first weights and order."""

import numpy as np

from benchmarks.peers.first_principles import MLP, Arrays, Micrograd
from shinso.autodiff.functions import affine, conv2d, cross_entropy, max_pool2d, relu
from shinso.autodiff.tensor import Tensor
from shinso.engine.launch import use_threads
from shinso.kernels.allocator import keep_pages


def mlp(weights, x):
    w1, b1, w2, b2, w3, b3 = weights
    return affine(relu(affine(relu(affine(x, w1, b1)), w2, b2)), w3, b3)


def lenet(weights, x):
    k1, c1, k2, c2, w1, b1, w2, b2, w3, b3 = weights
    h = relu(max_pool2d(conv2d(x, k1, c1, padding=2), 2))  # the same as ReLU first, on a quarter of the numbers
    h = relu(max_pool2d(conv2d(h, k2, c2), 2)).reshape(len(x), -1)
    return affine(relu(affine(relu(affine(h, w1, b1)), w2, b2)), w3, b3)


class Tape(Arrays):
    """Recorded while it runs."""

    def prepare(self):
        use_threads(1)
        keep_pages()
        self.tensors = [Tensor(weight, requires_grad=True) for weight in self.weights]
        self.forward = mlp if self.network == MLP else lenet

    def step(self, x, y):
        for tensor in self.tensors:
            tensor.zero_grad()
        loss = cross_entropy(self.forward(self.tensors, x), y)
        loss.backward()
        for tensor in self.tensors:
            tensor.grad *= np.float32(self.lr)
            tensor.data -= tensor.grad
        return loss.data

    def logits(self, x):
        return self.forward(self.weights, x)


class ByHand(Arrays):
    """The layers of shinso.autodiff.byhand in a row."""

    def prepare(self):
        from shinso.autodiff.byhand.affine import Affine
        from shinso.autodiff.byhand.convolution import Convolution
        from shinso.autodiff.byhand.cross_entropy import CrossEntropy
        from shinso.autodiff.byhand.flatten import Flatten
        from shinso.autodiff.byhand.max_pooling import MaxPooling
        from shinso.autodiff.byhand.relu import ReLU
        from shinso.autodiff.byhand.sequential import Sequential
        from shinso.autodiff.byhand.sgd_update import SGD

        use_threads(1)
        keep_pages()
        pairs = list(zip(self.weights[::2], self.weights[1::2], strict=True))
        layers = []
        if self.network != MLP:
            for (kernel, bias), padding in zip(pairs[:2], (2, 0), strict=True):
                layers += [Convolution(kernel, bias, padding=padding), MaxPooling(2), ReLU()]
            layers.append(Flatten())
            pairs = pairs[2:]
        for weight, bias in pairs:
            layers += [Affine(weight, bias), ReLU()]
        first = layers[0]
        first.wants_input_gradient = False
        self.net, self.loss, self.rule = Sequential(*layers[:-1]), CrossEntropy(), SGD(lr=self.lr)

    def step(self, x, y):
        loss = self.loss.forward(self.net.forward(x), y)
        self.net.backward(self.loss.backward())
        self.rule.update(self.net.params, self.net.grads)
        return loss

    def logits(self, x):
        return self.net.forward(x)


class Scalar(Micrograd):
    """The same demonstration with shinso's scalar engine."""

    def scalar(self):
        from shinso.autodiff.scalar import Value

        return Value
