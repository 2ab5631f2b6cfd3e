r"""Convolution as networks mean it: one small filter, moved over the image, asks everywhere the same question.

For images x (N, C, H, W) and filters w (F, C / G, KH, KW), with stride S, frame P, distance D and G groups,

    y[n, f, p, q] = b[f] + sum_{c, i, j} w[f, c, i, j] x[n, c, S p + D i - P, S q + D j - P]        (1)
    Y = W col(x) + b,      W of shape F x (C KH KW)                                                (2)
    dW = dY col(x)^T,      db = dY 1,      dx = col2im(W^T dY)                                     (3)

(1) is a cross-correlation: the filter is not flipped. The mathematician's convolution stands in `true_convolution`; a
network that learns its filters cannot tell the two apart. The surprise: (2) does many times the memory traffic of (1)
and is still far faster, because a matrix product is the one thing a processor does near its limit. Inside, images lie
batch-last, so col(x) is made of long copies and one product serves the whole batch.

Fukushima 1980; LeCun et al. 1989; Chellapilla, Puri and Simard 2006 for (2); Krizhevsky 2012 for groups; Yu and Koltun
2016 for the distance D.
"""

from math import prod
from typing import final

import numpy as np

from shinso.autodiff._windows import Window, add, bands, columns, framed, images, unframed
from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.errors import UserError


@final
class Convolution:
    """(batch, channels, height, width) to (batch, filters, rows, columns); weight (filters, channels / groups, ., .).

    Where nobody needs the gradient of the input, as in a network's first layer, `wants_input_gradient = False` saves
    half of backward, which then returns an empty array.
    """

    def __init__(self, weight: np.ndarray, bias: np.ndarray | None = None, *, stride: int = 1, padding: int = 0,
                 dilation: int = 1, groups: int = 1):
        if len(weight) % groups:
            raise UserError("Convolution", f"{len(weight)} filters cannot be dealt out to {groups} groups",
                            "choose a number of groups that divides the filters")
        self.window = Window(height=weight.shape[2], width=weight.shape[3], stride=stride, padding=padding,
                             dilation=dilation)
        self.groups = groups
        self.params = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
        self.grads: dict[str, np.ndarray] = {}
        self.wants_input_gradient = True

    def forward(self, x: np.ndarray) -> np.ndarray:
        weight = self.params["weight"]
        images("Convolution", x, weight.shape[1] * self.groups)
        self.size = x.shape[2], x.shape[3]
        self.frame = framed(x, self.window.padding)
        rows, cols = self.window.outputs(*self.size)
        y = np.empty((len(weight), rows, cols, len(x)), np.result_type(weight, x))
        places = self._split(y)
        for pixels, here, count in bands(self.frame, self.window, rows, cols):
            met = columns(self.frame[:, pixels], self.window, count, cols)
            np.matmul(self._matrix(), self._split(met), out=places[:, :, here])  # (2)
        if "bias" in self.params:
            y += self.params["bias"][:, None, None, None]
        return y.transpose(3, 0, 1, 2)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        grad = framed(grad, 0)
        places, turned = self._split(grad), self._matrix().transpose(0, 2, 1)
        weight = np.zeros(turned.shape, grad.dtype)
        frame = np.zeros(self.frame.shape if self.wants_input_gradient else 0, grad.dtype)
        _, rows, cols, _ = grad.shape
        for pixels, here, count in bands(self.frame, self.window, rows, cols):
            met = columns(self.frame[:, pixels], self.window, count, cols)
            weight += self._split(met) @ places[:, :, here].transpose(0, 2, 1)  # (3), transposed: the faster shape
            if self.wants_input_gradient:
                add(frame[:, pixels], (turned @ places[:, :, here]).reshape(met.shape), self.window)  # (3)
        self.grads = {"weight": weight.transpose(0, 2, 1).reshape(self.params["weight"].shape)}
        if "bias" in self.params:
            self.grads["bias"] = grad.reshape(len(grad), -1).sum(1)
        return unframed(frame, self.window.padding) if self.wants_input_gradient else frame

    def _matrix(self) -> np.ndarray:
        """W: (groups, filters of a group, entries of a filter)."""
        weight = self.params["weight"]
        return weight.reshape(self.groups, len(weight) // self.groups, weight[0].size)

    def _split(self, x: np.ndarray) -> np.ndarray:
        """(groups, rows of a group, places of all images)."""
        places = prod(x.shape[-3:])
        return x.reshape(self.groups, prod(x.shape[:-3]) // self.groups, places)


def by_loops(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, *, stride: int = 1, padding: int = 0,
             dilation: int = 1, groups: int = 1) -> np.ndarray:
    """(1) as it stands, number by number: the slow truth that the layer is compared with."""
    filters, depth, height, width = weight.shape
    window = Window(height=height, width=width, stride=stride, padding=padding, dilation=dilation)
    rows, cols = window.outputs(*x.shape[2:])
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    y = np.zeros((len(x), filters, rows, cols), x.dtype)
    for n, f, p, q in np.ndindex(y.shape):
        first = f // (filters // groups) * depth  # the first channel of the filter's group
        y[n, f, p, q] = bias[f]
        for c, i, j in np.ndindex(depth, height, width):
            y[n, f, p, q] += weight[f, c, i, j] * x[n, first + c, stride * p + dilation * i, stride * q + dilation * j]
    return y


def example(rng: np.random.Generator) -> tuple[Convolution, tuple[np.ndarray, ...]]:
    """Three filters of 3x2 on two channels."""
    return Convolution(rng.normal(size=(3, 2, 3, 2)), rng.normal(size=3)), (rng.normal(size=(2, 2, 5, 4)),)


def the_documents_filter() -> Check:
    """0.5*0.8 + 1.0*0.7 + 0.8*0.5 + 0.3*0.8 = 1.74 by the layer.

    Source: worked example of the document on filtering
    """
    weight = np.array([[[[0.8, 0.7], [0.5, 0.8]]]])
    y = Convolution(weight).forward(np.array([[[[0.5, 1.0], [0.8, 0.3]]]]))
    return at_most(abs(float(y[0, 0, 0, 0]) - 1.74), 1e-15)


def columns_equal_loops() -> Check:
    """The product (2) equals the sums of (1), number by number, to 1e-12 over stride, frame, distance and groups.

    Source: equations (1) and (2)
    """
    draw, worst = np.random.default_rng(0), 0.0
    for stride, padding, dilation, groups in ((1, 0, 1, 1), (2, 1, 1, 1), (1, 2, 2, 2), (3, 1, 2, 4), (2, 0, 1, 2)):
        x, bias = draw.normal(size=(2, 4, 7, 6)), draw.normal(size=4)
        weight = draw.normal(size=(4, 4 // groups, 3, 2))
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        layer = Convolution(weight, bias, **options)
        worst = max(worst, float(abs(layer.forward(x) - by_loops(x, weight, bias, **options)).max()))
    return at_most(worst, 1e-12)


def _twelve_filters(fill: float) -> Convolution:
    return Convolution(np.full((12, 3, 5, 3), fill), np.zeros(12), stride=2, groups=2)


def parameters_are_counted() -> Check:
    """12 filters of 5x3 in 2 groups on 6 channels have 12 (6 / 2 * 5 * 3 + 1) = 552 parameters.

    Source: F (C / G KH KW + 1)
    """
    return exactly(sum(p.size for p in _twelve_filters(0.0).params.values()), 12 * (6 // 2 * 5 * 3 + 1))


def products_are_counted() -> Check:
    """On 9x8 pixels at stride 2 they make 12 * 3 * 3 * 6 / 2 * 5 * 3 = 4,860 products: the sum of 1 times 1.

    Source: F rows columns C / G KH KW
    """
    return exactly(float(_twelve_filters(1.0).forward(np.ones((1, 6, 9, 8))).sum()), 12 * 3 * 3 * (6 // 2) * 5 * 3)


def groups_are_layers_of_their_own() -> Check:
    """Two groups equal two convolutions, each on its own half of the channels, to 1e-14.

    Source: Krizhevsky 2012
    """
    draw = np.random.default_rng(0)
    x, weight = draw.normal(size=(2, 6, 5, 5)), draw.normal(size=(4, 3, 3, 3))
    apart = [Convolution(weight[2 * g : 2 * g + 2]).forward(x[:, 3 * g : 3 * g + 3]) for g in range(2)]
    return at_most(float(abs(Convolution(weight, groups=2).forward(x) - np.concatenate(apart, axis=1)).max()), 1e-14)


def distance_is_a_filter_with_holes() -> Check:
    """A 3x3 filter with its entries 2 pixels apart equals the 5x5 filter with zeros between them, to 1e-14.

    Source: Yu and Koltun 2016
    """
    draw = np.random.default_rng(0)
    x, weight = draw.normal(size=(2, 2, 8, 8)), draw.normal(size=(3, 2, 3, 3))
    holed = np.zeros((3, 2, 5, 5))
    holed[:, :, ::2, ::2] = weight
    return at_most(float(abs(Convolution(weight, dilation=2).forward(x) - Convolution(holed).forward(x)).max()), 1e-14)


def a_shift_shifts_the_answer() -> Check:
    """Away from the border, a shifted image has the shifted answer, to 1e-15: the filter asks everywhere alike.

    Source: (1) with S = 1
    """
    draw = np.random.default_rng(0)
    layer, x = Convolution(draw.normal(size=(2, 1, 3, 3))), draw.normal(size=(1, 1, 10, 10))
    moved = layer.forward(np.roll(x, (2, 1), axis=(2, 3)))
    return at_most(float(abs(moved[:, :, 2:, 1:] - layer.forward(x)[:, :, :-2, :-1]).max()), 1e-15)


def flipping_the_filter_is_another_layer() -> Check:
    """The layer with a flipped filter differs from the layer by more than a tenth: it does not convolve, it correlates.

    Source: the document's formula flips, its figure does not
    """
    draw = np.random.default_rng(0)
    x, weight = draw.normal(size=(1, 1, 6, 6)), draw.normal(size=(1, 1, 3, 3))
    flipped = Convolution(np.ascontiguousarray(weight[:, :, ::-1, ::-1]))
    return at_least(float(abs(flipped.forward(x) - Convolution(weight).forward(x)).max()), 0.1)


CARD = Card(
    name="Convolution layer",
    name_ja="畳み込み層",
    paper="Fukushima 1980; LeCun et al. 1989, Backpropagation applied to handwritten zip code recognition",
    equations=(
        r"y_{nfpq} = b_f + \sum_{c,i,j} w_{fcij}\, x_{n,c,\;Sp+Di-P,\;Sq+Dj-P}",
        r"Y = W\,\mathrm{col}(x) + b",
        r"dW = dY\,\mathrm{col}(x)^T,\quad db = dY\,\mathbf{1},\quad dx = \mathrm{col2im}(W^T dY)",
    ),
    summary="One small filter moves over the image and asks everywhere the same; as a matrix product it is fast.",
    summary_ja="小さなフィルタが画像の上を動き、どこでも同じ問いをする。行列積にすれば速い。",
    topics=("nn.conv2d", "nn.filter-example", "vision.part.convolution", "vision.part.stride-dilation-groups"),
    facts=(the_documents_filter, columns_equal_loops, parameters_are_counted, products_are_counted,
           groups_are_layers_of_their_own, distance_is_a_filter_with_holes, a_shift_shifts_the_answer,
           flipping_the_filter_is_another_layer),
    notes=("Two documents write different things under one name: one formula flips the filter (convolution), the other "
           "and every library do not (cross-correlation). This layer does not flip.",
           "With G groups each filter has channels / G slices: the weight's second axis is not the image's channels. "
           "Groups do not mix: in AlexNet of 2012 the two halves meet in conv3 and behind the convolutions only."),
    notes_ja=("同じ名前で二つの式が書かれている。一方はフィルタを反転し (畳み込み)、"
              "他方とすべてのライブラリは反転しない (相互相関)。この層は反転しない。",
              "グループが G 個のとき、各フィルタの枚数はチャネル数 / G である。"
              "重みの第二軸は画像のチャネル数ではない。グループの間は混ざらず、2012年のAlexNetの二つの半分が"
              "出会うのは、conv3 と畳み込みの後だけである。"),
    twin="torch.nn.functional.conv2d",
)
