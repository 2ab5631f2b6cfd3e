r"""Global max pooling: every channel becomes one number, its largest.

    y[n, c] = max over p, q of x[n, c, p, q]                                                       (1)
    dx[n, c, k*] = dy[n, c],   k* = the first pixel with x = y; 0 elsewhere                        (2)

It answers whether a feature is anywhere in the image, not where and not how often. The surprise: a step of training
moves one pixel of each channel, so a network under it learns to look at the most telling spot of a picture, and can
point at it although nobody said where it was.

Oquab et al. 2015.
"""

from typing import final

import numpy as np

from shinso.core.card import Card, Check, exactly


@final
class GlobalMaxPooling:
    """(batch, channels, height, width) -> (batch, channels)."""

    def __init__(self) -> None:
        self.params: dict[str, np.ndarray] = {}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.shape = x.shape
        flat = x.reshape(*x.shape[:2], -1)
        self.first = flat.argmax(2)[:, :, None]  # argmax takes the first of equals
        return np.take_along_axis(flat, self.first, 2)[:, :, 0]  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        dx = np.zeros((*self.shape[:2], self.shape[2] * self.shape[3]), grad.dtype)
        np.put_along_axis(dx, self.first, grad[:, :, None], 2)  # (2)
        return dx.reshape(self.shape)


def example(rng: np.random.Generator) -> tuple[GlobalMaxPooling, tuple[np.ndarray, ...]]:
    """Values well apart."""
    return GlobalMaxPooling(), ((rng.permutation(120) / 10 - 6).reshape(2, 3, 4, 5),)


def one_pixel_of_each_channel_has_a_gradient() -> Check:
    """Of 49 pixels of a channel one has a gradient, 1 where the channel is largest: 0 channels are otherwise.

    Source: equation (2)
    """
    x, layer = np.random.default_rng(0).normal(size=(8, 4, 7, 7)), GlobalMaxPooling()
    y = layer.forward(x)
    return exactly(float(abs(layer.backward(np.ones((8, 4))) - (x == y[:, :, None, None])).sum()), 0.0)


def anywhere_is_the_same() -> Check:
    """A single peak gives the same output at each of the 49 places of a 7x7 image.

    Source: equation (1)
    """
    images = np.eye(49).reshape(49, 1, 7, 7)
    return exactly(float(GlobalMaxPooling().forward(images).sum()), 49.0)


CARD = Card(
    name="Global max pooling",
    name_ja="GlobalMaxPooling",
    paper="Oquab, Bottou, Laptev, Sivic 2015, Is object localization for free?, CVPR",
    equations=(r"y_{nc} = \max_{p,q}\; x_{ncpq}", r"dx_{nck^*} = dy_{nc}, \quad x_{nck^*} = y_{nc}"),
    summary="Every channel becomes its largest value: whether a feature is anywhere in the image.",
    summary_ja="各チャネルをその最大値にする。特徴が画像のどこかにあるかどうかを答える。",
    topics=("nn.global-max-pool",),
    facts=(one_pixel_of_each_channel_has_a_gradient, anywhere_is_the_same),
)
