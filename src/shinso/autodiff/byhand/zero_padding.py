r"""Zero padding, and how large a convolution's output is.

A filter of F entries has fewer places than the image has pixels, so every convolution shrinks its image. A frame of
P zeros on each side makes up for it; the filter's places, S pixels apart and its entries D pixels apart, number

    O = floor((H + 2P - D (F - 1) - 1) / S) + 1                                                    (1)
    O_ceil = ceil((H + 2P - D (F - 1) - 1) / S) + 1, less one if that window began beyond H + P    (2)
    O_transposed = (H - 1) S - 2P + D (F - 1) + R + 1                                              (3)

(2) is how some poolings round, (3) the size that a transposed convolution enlarges to, with R rows added at one end.
The size is kept when S = 1 and P = D (F - 1) / 2, so F has to be odd. What Keras and TensorFlow call "same" always has
ceil(H / S) places, and for that a frame of B zeros before and E behind that may differ:

    B + E = max((ceil(H / S) - 1) S + D (F - 1) + 1 - H, 0),      B = floor((B + E) / 2)           (4)

The surprise: with S > 1 the floor throws pixels away, so two image sizes give one output size, and (3) needs R to
know which of them it shall give back; and by (4) the same filter stands on other pixels in another framework.

Dumoulin and Visin 2016, A guide to convolution arithmetic for deep learning.
"""

from typing import final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from shinso.core.card import Card, Check, at_least, exactly
from shinso.core.errors import UserError


def output_size(size: int, filter_size: int, stride: int = 1, padding: int = 0, dilation: int = 1, *,
                ceil: bool = False) -> int:
    """(1), or (2) with `ceil`; a filter that has no place in the framed image is refused."""
    room = size + 2 * padding - dilation * (filter_size - 1) - 1
    places = (-(-room // stride) if ceil else room // stride) + 1  # (2), (1)
    if places < 1:
        raise UserError("output_size", f"a filter of {filter_size} does not fit into {size} pixels framed by {padding}",
                        "give a smaller filter or a wider frame")
    return places - (ceil and (places - 1) * stride >= size + padding)


def transposed_size(size: int, filter_size: int, stride: int = 1, padding: int = 0, dilation: int = 1,
                    extra: int = 0) -> int:
    """(3); `extra` is R."""
    return (size - 1) * stride - 2 * padding + dilation * (filter_size - 1) + extra + 1  # (3)


def same_padding(filter_size: int, dilation: int = 1) -> int:
    """The frame that keeps the size at stride 1; an even filter has none that is alike on both sides."""
    if dilation * (filter_size - 1) % 2:
        raise UserError("same_padding", f"a filter of {filter_size} entries cannot be centred on a pixel",
                        "use a filter of odd size")
    return dilation * (filter_size - 1) // 2


def same_frame(size: int, filter_size: int, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """(4): zeros before and behind `size` pixels in what Keras and TensorFlow call "same"."""
    zeros = max((-(-size // stride) - 1) * stride + dilation * (filter_size - 1) + 1 - size, 0)
    return zeros // 2, zeros - zeros // 2  # (4)


@final
class ZeroPadding:
    """(batch, channels, height, width) in a frame of `padding` zeros; backward cuts the frame away."""

    def __init__(self, padding: int):
        self.padding = padding
        self.params: dict[str, np.ndarray] = {}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, x: np.ndarray) -> np.ndarray:
        *outer, height, width = x.shape
        framed = np.zeros((*outer, height + 2 * self.padding, width + 2 * self.padding), x.dtype)
        framed[self._inside(framed)] = x
        return framed

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return grad[self._inside(grad)].copy()

    def _inside(self, framed: np.ndarray) -> tuple:
        height, width = framed.shape[-2:]
        return ..., slice(self.padding, height - self.padding), slice(self.padding, width - self.padding)


def example(rng: np.random.Generator) -> tuple[ZeroPadding, tuple[np.ndarray, ...]]:
    """A frame of two around small images."""
    return ZeroPadding(2), (rng.normal(size=(3, 2, 4, 5)),)


def three_by_three_keeps_the_size() -> Check:
    """A 3x3 filter at stride 1 with padding 1 has as many places as the image has pixels, for heights 1 to 40.

    Source: equation (1)
    """
    return exactly(sum(output_size(size, 3, padding=1) == size == output_size(size, 3, padding=same_padding(3))
                       for size in range(1, 41)), 40)


def _image() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 10, (1, 1, 6, 6)).astype(float)


def the_frame_adds_nothing_to_the_image() -> Check:
    """A 6x6 image stands unchanged in the middle of its 8x8 frame and 28 zeros stand around it: entries not so, 0.

    Source: the 6x6 example of the course
    """
    image, framed = _image(), ZeroPadding(1).forward(_image())
    expected = [[image[0, 0, y - 1, x - 1] if 1 <= y <= 6 and 1 <= x <= 6 else 0.0 for x in range(8)] for y in range(8)]
    zeros = int((framed == 0).sum())
    return exactly(int((framed != [[expected]]).sum()) + abs(zeros - 28), 0)


def _answers(framed: np.ndarray, stride: int = 1) -> np.ndarray:
    """What a 3x3 filter says at its places in a framed image (1, 1, height, width)."""
    filters = np.random.default_rng(1).normal(size=(3, 3))
    return (sliding_window_view(framed[0, 0], (3, 3)) * filters).sum((2, 3))[::stride, ::stride]


def the_framed_image_keeps_its_size() -> Check:
    """A 3x3 filter makes 4x4, 6x6 and 8x8 of a 6x6 image in frames of 0, 1 and 2: valid, same, full; all 3 are (1)'s.

    Source: the 6x6 example of the course; equation (1)
    """
    shapes = [_answers(ZeroPadding(padding).forward(_image())).shape for padding in range(3)]
    formula = [(output_size(6, 3, padding=padding),) * 2 for padding in range(3)]
    return exactly(sum(a == b == (4 + 2 * p,) * 2 for p, (a, b) in enumerate(zip(shapes, formula, strict=True))), 3)


def an_even_filter_has_one_zero_more_behind() -> Check:
    """For filters of 2, 4 and 6 the frame (4) at stride 1 has 1 zero more behind than before: filters not so, 0.

    Source: equation (4); F - 1 is odd
    """
    frames = [same_frame(28, filter_size) for filter_size in (2, 4, 6)]
    return exactly(sum(behind - before != 1 for before, behind in frames), 0)


def the_stride_moves_the_frame() -> Check:
    """At stride 2 on 6 pixels the frame (4) of a 3x3 filter is not (1, 1): 3x3 answers both, over a tenth apart.

    Source: equation (4) gives (0, 1); weights that were trained with one frame do not fit the other
    """
    theirs = _answers(np.pad(_image(), ((0, 0), (0, 0), same_frame(6, 3, 2), same_frame(6, 3, 2))), 2)
    ours = _answers(ZeroPadding(same_padding(3)).forward(_image()), 2)
    return at_least(float(abs(theirs - ours).max()) if theirs.shape == ours.shape == (3, 3) else 0.0, 0.1)


def the_course_network_shrinks_to_twelve() -> Check:
    """28 pixels become 26 and 24 after two 3x3 filters, and 12 after pooling by 2.

    Source: layer sizes of the course's network for MNIST
    """
    return exactly(output_size(output_size(output_size(28, 3), 3), 2, stride=2), 12)


def windows_are_counted() -> Check:
    """(1) is the number of window starts that fit, counted one by one, for 10,000 combinations (no exception).

    Source: counting
    """
    wrong, seen = 0, 0
    for size in range(1, 41):
        for filter_size in range(1, 8):
            for stride in range(1, 5):
                for padding in range(4):
                    for dilation in range(1, 4):
                        reach = dilation * (filter_size - 1) + 1
                        if reach <= size + 2 * padding and seen < 10_000:
                            fits = len(range(0, size + 2 * padding - reach + 1, stride))
                            wrong += output_size(size, filter_size, stride, padding, dilation) != fits
                            seen += 1
    return exactly(wrong + 10_000 - seen, 0)


def the_formula_without_floor_is_no_size() -> Check:
    """Without the floor, 28 pixels, a 3x3 filter and stride 2 would have 13.5 places; there are 13.

    Source: the course's formula has no floor, its listing divides whole numbers
    """
    return exactly((28 - 3) / 2 + 1 - output_size(28, 3, stride=2), 0.5)


CARD = Card(
    name="Zero padding and output size",
    name_ja="0-パディングと畳み込み後のサイズ",
    paper="Dumoulin and Visin 2016, arXiv:1603.07285",
    equations=(
        r"O = \left\lfloor \frac{H + 2P - D(F-1) - 1}{S} \right\rfloor + 1",
        r"O_{ceil} = \left\lceil \frac{H + 2P - D(F-1) - 1}{S} \right\rceil + 1",
        r"O_{transposed} = (H-1)S - 2P + D(F-1) + R + 1",
        r"B + E = \max\left((\lceil H/S \rceil - 1) S + D(F-1) + 1 - H,\ 0\right)",
    ),
    summary="A frame of zeros keeps an image's size under convolution; a few formulas say every size.",
    summary_ja="画像のまわりに 0 を置くと、畳み込んでもサイズが保たれる。数個の式がすべてのサイズを与える。",
    topics=("nn.zero-padding", "nn.conv-output-size", "vision.part.conv-output-size", "vision.part.zero-padding"),
    facts=(three_by_three_keeps_the_size, the_frame_adds_nothing_to_the_image, the_framed_image_keeps_its_size,
           an_even_filter_has_one_zero_more_behind, the_stride_moves_the_frame, the_course_network_shrinks_to_twelve,
           windows_are_counted, the_formula_without_floor_is_no_size),
    notes=("The document's formula (H + 2P - F)/S + 1 has no floor, while its listing divides whole numbers; "
           "a filter larger than the framed image is refused here.",
           "Caffe's poolings round up by (2), and so do those of GoogLeNet and SSD, which were made with it; torch "
           "needs to be told (ceil_mode). A last window that would begin in the frame's far side is dropped.",
           "An even filter has no symmetric frame that keeps the size. Keras and TensorFlow put one zero more behind, "
           "and with a stride for odd filters, too: sizes agree, but their weights do not fit a symmetric frame."),
    notes_ja=("資料の式 (H + 2P - F)/S + 1 には切り捨てがないが、コードは整数除算である。"
              "枠を含む画像より大きいフィルタは、ここでは受け付けない。",
              "Caffe のプーリングは (2) のように切り上げる。Caffe で作られた GoogLeNet や SSD も同じである。"
              "torch では ceil_mode で指定する。反対側の枠の中から始まる最後の窓は除く。",
              "偶数サイズのフィルタには、サイズを保つ左右対称の枠がない。Keras と TensorFlow は後ろに 0 を一つ"
              "多く置き、ストライドがあれば奇数サイズでもそうする。サイズは合っても、その重みは対称な枠には合わない。"),
)
