r"""Zero padding, and how large a convolution's output is.

A filter of F entries has fewer places than the image has pixels, so every convolution shrinks its image. A frame of
P zeros on each side makes up for it; the filter's places, S pixels apart and its entries D pixels apart, number

    O = floor((H + 2P - D (F - 1) - 1) / S) + 1                                                    (1)
    O_ceil = ceil((H + 2P - D (F - 1) - 1) / S) + 1, less one if that window began beyond H + P    (2)
    O_transposed = (H - 1) S - 2P + D (F - 1) + R + 1                                              (3)

(2) is how some poolings round, (3) the size that a transposed convolution enlarges to, with R rows added at one end.
The surprise: with S > 1 the floor throws pixels away, so two image sizes give one output size, and (3) needs R to
know which of them it shall give back. The size is kept when S = 1 and P = D (F - 1) / 2, so F has to be odd.

Dumoulin and Visin 2016, A guide to convolution arithmetic for deep learning.
"""

from typing import final

import numpy as np

from shinso.core.card import Card, Check, exactly
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


def the_frame_adds_nothing_to_the_sum() -> Check:
    """A 6x6 image in its 8x8 frame has the sum it had, and all that was added is zero.

    Source: the 6x6 example of the course
    """
    image = np.random.default_rng(0).integers(0, 10, (1, 1, 6, 6)).astype(float)
    framed = ZeroPadding(1).forward(image)
    return exactly(float(framed.sum() - image.sum()) + abs(framed.shape[2] - 8) + np.count_nonzero(framed[..., [0, 7]]),
                   0)


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
    ),
    summary="A frame of zeros keeps an image's size under convolution; three formulas say every size.",
    summary_ja="画像のまわりに 0 を置くと、畳み込んでもサイズが保たれる。三つの式がすべてのサイズを与える。",
    topics=("nn.zero-padding", "nn.conv-output-size", "vision.part.conv-output-size"),
    facts=(three_by_three_keeps_the_size, the_frame_adds_nothing_to_the_sum, the_course_network_shrinks_to_twelve,
           windows_are_counted, the_formula_without_floor_is_no_size),
    notes=("The document's formula (H + 2P - F)/S + 1 has no floor, while its listing divides whole numbers; "
           "a filter larger than the framed image is refused here.",
           "Some poolings round up: equation (2) drops a last window that would begin in the frame's far side.",
           "An even filter has no symmetric frame that keeps the size; some libraries pad one side more."),
    notes_ja=("資料の式 (H + 2P - F)/S + 1 には切り捨てがないが、コードは整数除算である。"
              "枠を含む画像より大きいフィルタは、ここでは受け付けない。",
              "切り上げるプーリングもある。式 (2) は、反対側の枠の中から始まる最後の窓を除く。",
              "偶数サイズのフィルタには、サイズを保つ左右対称の枠がない。片側だけ多く埋めるライブラリもある。"),
)
