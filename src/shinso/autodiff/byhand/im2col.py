r"""im2col and col2im: a convolution becomes one matrix product, and the product's gradient becomes an image again.

For images x of shape (N, C, H, W) and a filter of FH x FW, row (n, p, q) of the matrix holds what the filter meets at
the place (p, q):

    col[(n, p, q), (c, i, j)] = x[n, c, S p + D i - P, S q + D j - P]                              (1)
    col2im(u)[n, c, y, x] = sum of u[(n, p, q), (c, i, j)] over all places that meet the pixel     (2)
    sum col(x) u = sum x col2im(u)  for all x and u                                                (3)

(3) says that col2im is the adjoint, which is all a backward pass needs. The loops run over the filter's entries only:
each of them copies one shifted image. The surprise: col2im is no inverse. Where windows overlap, a pixel comes back as
often as it was met, and exactly this makes the gradient right; writing instead of adding makes an inverse and a wrong
gradient.

Chellapilla, Puri and Simard 2006.
"""

from typing import final

import numpy as np

from shinso.autodiff._windows import Window, columns, framed, summed, unframed
from shinso.core.card import Card, Check, at_least, at_most, exactly


def im2col(x: np.ndarray, filter_size: tuple[int, int], stride: int = 1, padding: int = 0,
           dilation: int = 1) -> np.ndarray:
    """(1): (N, C, H, W) -> (N * places, C * FH * FW), in the type of x."""
    window = Window(height=filter_size[0], width=filter_size[1], stride=stride, padding=padding, dilation=dilation)
    rows, cols = window.outputs(*x.shape[2:])
    met = columns(framed(x, padding), window, rows, cols)
    batch, channels = x.shape[:2]
    return met.transpose(5, 3, 4, 0, 1, 2).reshape(batch * rows * cols, channels * window.height * window.width)


def col2im(col: np.ndarray, shape: tuple[int, int, int, int], filter_size: tuple[int, int], stride: int = 1,
           padding: int = 0, dilation: int = 1, *, accumulate: bool = True) -> np.ndarray:
    """(2): (N * places, C * FH * FW) -> images of `shape`; without `accumulate` the last value met stays alone."""
    window = Window(height=filter_size[0], width=filter_size[1], stride=stride, padding=padding, dilation=dilation)
    batch, channels, height, width = shape
    rows, cols = window.outputs(height, width)
    met = col.reshape(batch, rows, cols, channels, window.height, window.width).transpose(3, 4, 5, 1, 2, 0)
    if accumulate:
        return unframed(summed(met, window, (height, width)), padding)  # (2)
    frame = np.zeros((channels, height + 2 * padding, width + 2 * padding, batch), col.dtype)
    for i, j, place in window.places(rows, cols):
        frame[place] = met[:, i, j]
    return unframed(frame, padding)


@final
class Im2col:
    """(1) as a layer; backward is (2)."""

    def __init__(self, filter_size: tuple[int, int], stride: int = 1, padding: int = 0, dilation: int = 1):
        self.window = (filter_size, stride, padding, dilation)
        self.params: dict[str, np.ndarray] = {}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.shape = x.shape
        return im2col(x, *self.window)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return col2im(grad, self.shape, *self.window)


def example(rng: np.random.Generator) -> tuple[Im2col, tuple[np.ndarray, ...]]:
    """Overlapping windows of 3x2 with a frame."""
    return Im2col((3, 2), stride=1, padding=1), (rng.normal(size=(2, 3, 5, 4)),)


def a_row_is_what_the_filter_meets() -> Check:
    """Every entry of the matrix is the pixel that (1) names, looked up one by one with padding, stride and dilation.

    Source: equation (1)
    """
    x = np.random.default_rng(0).normal(size=(2, 3, 7, 6))
    S, P, D = 2, 1, 2
    col = im2col(x, (3, 2), S, P, D).reshape(2, 3, 3, 3, 3, 2)
    wrong = 0
    for n, p, q, c, i, j in np.ndindex(col.shape):
        y, z = S * p + D * i - P, S * q + D * j - P
        wrong += col[n, p, q, c, i, j] != (x[n, c, y, z] if 0 <= y < 7 and 0 <= z < 6 else 0.0)
    return exactly(wrong, 0)


def col2im_is_the_adjoint() -> Check:
    """|sum col(x) u - sum x col2im(u)| / |sum x col2im(u)| is at most 1e-12 for overlapping windows.

    Source: equation (3)
    """
    return at_most(_off_the_adjoint(accumulate=True), 1e-12)


def overwriting_is_not_the_adjoint() -> Check:
    """With the document's default, which overwrites where windows overlap, (3) is off by more than a tenth.

    Source: the document's col2im has is_backward=False by default
    """
    return at_least(_off_the_adjoint(accumulate=False), 0.1)


def _off_the_adjoint(*, accumulate: bool) -> float:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(2, 3, 8, 8))
    col = im2col(x, (3, 3), 1, 1)
    u = draw.normal(size=col.shape)
    back = (x * col2im(u, x.shape, (3, 3), 1, 1, accumulate=accumulate)).sum()
    return float(abs((col * u).sum() - back) / abs((col * u).sum()))


def overwriting_is_the_inverse() -> Check:
    """Overwriting gives back every pixel that a window covers: col2im(im2col(x)) = x without rounding.

    Source: equation (1) read backwards
    """
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 8))
    return exactly(float(abs(col2im(im2col(x, (3, 3)), x.shape, (3, 3), accumulate=False) - x).max()), 0.0)


def adding_counts_the_windows() -> Check:
    """Adding gives back nine times the inner pixels of an 8x8 image under 3x3 windows, and the corners once.

    Source: equation (2): a pixel comes back as often as it was met
    """
    ones = np.ones((1, 1, 8, 8))
    back = col2im(im2col(ones, (3, 3)), ones.shape, (3, 3))[0, 0]
    return exactly(float(abs(back[2:-2, 2:-2] - 9).max() + abs(back[[0, 0, -1, -1], [0, -1, 0, -1]] - 1).max()), 0.0)


def the_type_is_kept() -> Check:
    """float32 images give a float32 matrix and float32 images back, 4 bytes per number both ways.

    Source: the document's listing makes float64 of everything
    """
    x = np.ones((1, 1, 4, 4), np.float32)
    col = im2col(x, (2, 2))
    return exactly(max(col.itemsize, col2im(col, x.shape, (2, 2)).itemsize), 4)


CARD = Card(
    name="im2col and col2im",
    name_ja="im2col と col2im",
    paper="Chellapilla, Puri, Simard 2006, High performance convolutional neural networks for document processing",
    equations=(
        r"\mathrm{col}_{(n,p,q),(c,i,j)} = x_{n,c,\;Sp+Di-P,\;Sq+Dj-P}",
        r"\mathrm{col2im}(u)_{n,c,y,x} = \sum_{(p,q,i,j) \to (y,x)} u_{(n,p,q),(c,i,j)}",
        r"\langle \mathrm{col}(x), u \rangle = \langle x, \mathrm{col2im}(u) \rangle",
    ),
    summary="Rearranges the windows of an image into rows, so that a convolution is one matrix product.",
    summary_ja="画像の窓を行に並べ替え、畳み込みを一つの行列積にする。逆向きの col2im は勾配を画像に戻す。",
    topics=("nn.im2col", "nn.col2im", "vision.part.im2col"),
    facts=(a_row_is_what_the_filter_meets, col2im_is_the_adjoint, overwriting_is_not_the_adjoint,
           overwriting_is_the_inverse, adding_counts_the_windows, the_type_is_kept),
    notes=("The document's col2im overwrites by default (is_backward=False): a backward pass written with it gives "
           "wrong "
           "gradients wherever windows overlap. Here adding is the default.",
           "The document's im2col always makes float64; here the type of the images is kept."),
    notes_ja=("資料の col2im は既定値 (is_backward=False) では上書きする。窓が重なると、"
              "それを使った逆伝播の勾配は誤りになる。ここでは加算が既定である。",
              "資料の im2col は常に float64 を作る。ここでは画像の型を保つ。"),
)
