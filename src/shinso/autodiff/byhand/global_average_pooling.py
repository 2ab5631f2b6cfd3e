r"""Global average pooling: every channel becomes one number, its mean.

    y[n, c] = 1/(H W) sum over p, q of x[n, c, p, q]                                               (1)
    dx[n, c, p, q] = dy[n, c] / (H W)                                                              (2)

It has no parameters and takes images of any size, so it can stand where a network used to flatten its feature maps
into a fully connected layer. The surprise: with a linear layer v behind it, the mean can be pulled out,

    sum_c v_c y_c = mean over p, q of  sum_c v_c x_c(p, q)                                         (3)

so the sum on the right, an image, shows where in the picture the answer comes from: the class activation map.

Lin, Chen, Yan 2013; Zhou et al. 2016 for (3).
"""

from typing import final

import numpy as np

from shinso.core.card import Card, Check, at_most, exactly


@final
class GlobalAveragePooling:
    """(batch, channels, height, width) -> (batch, channels)."""

    def __init__(self) -> None:
        self.params: dict[str, np.ndarray] = {}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.shape = x.shape
        return x.mean((2, 3))  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        share = grad / grad.dtype.type(self.shape[2] * self.shape[3])
        return np.broadcast_to(share[:, :, None, None], self.shape).copy()  # (2)


def example(rng: np.random.Generator) -> tuple[GlobalAveragePooling, tuple[np.ndarray, ...]]:
    """Images of unequal sides."""
    return GlobalAveragePooling(), (rng.normal(size=(2, 3, 4, 5)),)


def any_size_gives_the_channels() -> Check:
    """Images of 7x7, 8x10 and 1x1 with 5 channels all become 5 numbers each, and constant ones their constant.

    Source: equation (1)
    """
    sizes = ((7, 7), (8, 10), (1, 1))
    right = [np.array_equal(GlobalAveragePooling().forward(np.full((2, 5, *size), 0.5)), np.full((2, 5), 0.5))
             for size in sizes]
    return exactly(sum(right), 3)


def the_activation_map_averages_to_the_logit() -> Check:
    """The mean of the class activation map is the logit, to 1e-14.

    Source: equation (3); Zhou et al. 2016
    """
    draw = np.random.default_rng(0)
    x, v = draw.normal(size=(2, 6, 7, 7)), draw.normal(size=(10, 6))
    logits = GlobalAveragePooling().forward(x) @ v.T
    maps = np.einsum("kc,nchw->nkhw", v, x)
    return at_most(float(abs(logits - maps.mean((2, 3))).max()), 1e-14)


def the_gradient_is_uniform_over_the_image() -> Check:
    """Every pixel of a 7x7 image gets 1/49 of its channel's gradient, to 1e-17.

    Source: equation (2)
    """
    layer = GlobalAveragePooling()
    layer.forward(np.ones((2, 3, 7, 7)))
    return at_most(float(abs(layer.backward(np.ones((2, 3))) - 1 / 49).max()), 1e-17)


CARD = Card(
    name="Global average pooling",
    name_ja="GlobalAveragePooling (GAP)",
    paper="Lin, Chen, Yan 2013, Network In Network, arXiv:1312.4400",
    equations=(
        r"y_{nc} = \frac{1}{HW} \sum_{p,q} x_{ncpq}",
        r"dx_{ncpq} = \frac{dy_{nc}}{HW}",
        r"\sum_c v_c y_c = \frac{1}{HW} \sum_{p,q} \sum_c v_c x_{cpq}",
    ),
    summary="Every channel becomes one number, its mean, whatever the size of the image.",
    summary_ja="画像のサイズによらず、各チャネルをその平均という一つの数にする。",
    topics=("nn.global-avg-pool",),
    facts=(any_size_gives_the_channels, the_activation_map_averages_to_the_logit,
           the_gradient_is_uniform_over_the_image),
    notes=("The document hangs this layer on VGG-16: the published network has none, it flattens 7x7x512 numbers.",),
    notes_ja=("資料はこの層を VGG-16 の図に置いているが、発表されたネットワークにこの層はなく、7x7x512 "
              "個の数を一列に並べる。",),
)
