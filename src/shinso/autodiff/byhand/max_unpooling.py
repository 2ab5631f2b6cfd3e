r"""Unpooling by stored position: each value goes back to the pixel it once came from.

    x[n, c, k*(n, c, p, q)] = y[n, c, p, q],   0 elsewhere                                         (1)
    dy[n, c, p, q] = dx[n, c, k*(n, c, p, q)]                                                      (2)

k* are the positions that a max pooling remembers. An encoder that keeps them, two bits for each 2x2 window, lets its
decoder put edges back where they were, without learning anything. The surprise: pooling undoes unpooling exactly (for
values that are not negative), while unpooling does not undo pooling: three of four pixels are gone for good.

Zeiler and Fergus 2014; Badrinarayanan, Kendall, Cipolla 2015 (SegNet).
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand.max_pooling import MaxPooling
from shinso.core.card import Card, Check, exactly
from shinso.core.errors import UserError


@final
class MaxUnpooling:
    """(batch, channels, rows, columns) to what went into `pooling`, whose last forward gives the positions."""

    def __init__(self, pooling: MaxPooling):
        self.pooling = pooling
        self.params: dict[str, np.ndarray] = {}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, y: np.ndarray) -> np.ndarray:
        self.at = self.pooling.positions()
        if y.shape != self.at.shape:
            raise UserError("MaxUnpooling", f"values of shape {y.shape} have no positions of shape {self.at.shape}",
                            "give what has the shape of the pooling's output")
        height, width = self.pooling.size
        x = np.zeros((*y.shape[:2], height * width), y.dtype)
        np.put_along_axis(x, self._flat(self.at), self._flat(y), 2)  # (1)
        return x.reshape(*y.shape[:2], height, width)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return np.take_along_axis(self._flat(grad), self._flat(self.at), 2).reshape(self.at.shape)  # (2)

    def _flat(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(*x.shape[:2], -1)


def example(rng: np.random.Generator) -> tuple[MaxUnpooling, tuple[np.ndarray, ...]]:
    """Positions from 2x2 windows."""
    pooling = MaxPooling(2)
    pooling.forward(rng.normal(size=(2, 3, 4, 6)))
    return MaxUnpooling(pooling), (rng.normal(size=(2, 3, 2, 3)),)


def pooling_undoes_unpooling() -> Check:
    """pool(unpool(y)) = y without rounding for values that are not negative.

    Source: Zeiler and Fergus 2014
    """
    layer, (y,) = example(np.random.default_rng(0))
    return exactly(float(abs(MaxPooling(2).forward(layer.forward(abs(y))) - abs(y)).max()), 0.0)


def values_lie_at_the_stored_positions_only() -> Check:
    """Of 144 pixels 36 are not zero, and all of them stand where the pooling found its maxima.

    Source: equation (1)
    """
    pooling, x = MaxPooling(2), np.random.default_rng(0).normal(size=(2, 3, 4, 6))
    y = pooling.forward(x)
    back = MaxUnpooling(pooling).forward(np.ones_like(y))
    was_largest = x == y.repeat(2, axis=2).repeat(2, axis=3)
    return exactly(int(((back != 0) & was_largest).sum()) + 1000 * int(((back != 0) & ~was_largest).sum()), 36)


def three_of_four_pixels_are_gone() -> Check:
    """Unpooling what was pooled gives back 1 of 4 pixels as it was and leaves 0 in the others.

    Source: equation (1)
    """
    pooling, x = MaxPooling(2), np.random.default_rng(0).normal(size=(2, 3, 4, 6))
    return exactly(float((MaxUnpooling(pooling).forward(pooling.forward(x)) == x).mean()), 0.25)


CARD = Card(
    name="Unpooling by stored position",
    name_ja="マックスプーリングの位置の記録によるアンプーリング",
    paper="Zeiler and Fergus 2014, arXiv:1311.2901; Badrinarayanan, Kendall, Cipolla 2015, arXiv:1511.00561",
    equations=(r"x_{n,c,k^*(n,c,p,q)} = y_{ncpq}", r"dy_{ncpq} = dx_{n,c,k^*(n,c,p,q)}"),
    summary="Puts every pooled value back where it came from, and zeros around it.",
    summary_ja="プーリングした値を元の位置に戻し、ほかの画素は 0 にする。",
    topics=("nn.max-unpool",),
    facts=(pooling_undoes_unpooling, values_lie_at_the_stored_positions_only, three_of_four_pixels_are_gone),
)
