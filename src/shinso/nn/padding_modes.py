r"""Padding modes: what a filter finds behind the edge of an image (Aghdasi and Ward 1996).

The place i, counted from 0 and negative or beyond H - 1 in the frame, shows in an image of H pixels a side

    zeros        nothing: 0                                                                        (1)
    replicate    the pixel min(max(i, 0), H - 1), the last one again                               (2)
    circular     the pixel i mod H, as if the image went on from the other side                    (3)
    reflect      the pixel min(r, p - r),  r = i mod p,  p = 2(H - 1): a mirror on the last pixel  (4)

With P = D (F - 1)/2 of any of them on each side, a filter of odd size F and dilation D answers at stride 1 once for
every pixel. The surprise is what only one of them can do: a convolution commutes with shifts, as is said of all of
them, only with (3). A frame of zeros is a mark that is seen from within: even an image of one colour is answered
otherwise at its edges, and networks learn from that where they are (Islam, Jia, Bruce 2020).
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.seed import generator

Mode = Literal["zeros", "replicate", "circular", "reflect"]
MODES: tuple[Mode, ...] = ("zeros", "replicate", "circular", "reflect")
NUMPY = {"zeros": "constant", "replicate": "edge", "circular": "wrap", "reflect": "reflect"}
"""what numpy.pad calls them"""


def framed(x: Tensor, frame: tuple[int, int, int, int], mode: Mode) -> Tensor:
    """(..., height, width) with (left, right, above, below) more pixels, frames of any width, (1) to (4)."""
    if mode == "zeros":
        return F.pad(x, frame)  # (1)
    for axis, before, behind in ((-1, *frame[:2]), (-2, *frame[2:])):
        x = x.index_select(axis, places(x.shape[axis], before, behind, mode).to(x.device))
    return x


def places(size: int, before: int, behind: int, mode: Mode) -> Tensor:
    """Which of `size` pixels each place of an axis shows, int64 (before + size + behind,)."""
    i = torch.arange(-before, size + behind)
    if mode == "replicate":
        return i.clamp(0, size - 1)  # (2)
    if mode == "circular":
        return i % size  # (3)
    period = max(1, 2 * (size - 1))
    r = i % period
    return torch.minimum(r, period - r)  # (4)


def _image(size: int = 6) -> Tensor:
    return torch.randn(1, 1, size, size, generator=generator(0, "image"), dtype=torch.float64)


def _filter(size: int = 3) -> Tensor:
    return torch.randn(1, 1, size, size, generator=generator(0, "filter"), dtype=torch.float64)


def all_modes_are_numpys() -> Check:
    """For images of 1 to 6 pixels a side and frames of up to 9 the four modes are numpy.pad's: pixels that differ, 0.

    Source: equations (1) to (4); numpy.pad with constant, edge, wrap and reflect
    """
    wrong = 0
    for size in range(1, 7):
        for frame in ((1, 1, 1, 1), (0, 2, 3, 1), (9, 4, 0, 7)):
            for mode in MODES:
                widths = ((0, 0), (0, 0), frame[2:], frame[:2])
                theirs = np.pad(_image(size).numpy(), widths, mode=NUMPY[mode])  # pyright: ignore - one of its names
                wrong += int((framed(_image(size), frame, mode).numpy() != theirs).sum())
    return exactly(wrong, 0)


def a_frame_of_one_keeps_the_size() -> Check:
    """6x6 framed by 1 is 8x8 in every mode, and a 3x3 filter makes 6x6 of that again: modes of 4 where it does.

    Source: the 6x6 example of the course
    """
    wide = [framed(_image(), (1, 1, 1, 1), mode) for mode in MODES]
    return exactly(sum(w.shape[2:] == (8, 8) and F.conv2d(w, _filter()).shape[2:] == (6, 6) for w in wide), 4)


def half_of_the_reach_keeps_every_size() -> Check:
    """P = D (F - 1)/2 keeps 5 to 12 pixels for F = 1, 3, 5, 7 and D = 1, 2, 3 in every mode: cases of 384 that hold.

    Source: the size of a convolution at stride 1, H + 2P - D (F - 1)
    """
    kept = 0
    for size in range(5, 13):
        for reach in (1, 3, 5, 7):
            for dilation in (1, 2, 3):
                side = dilation * (reach - 1) // 2
                for mode in MODES:
                    wide = framed(_image(size), (side, side, side, side), mode)
                    kept += F.conv2d(wide, _filter(reach), dilation=dilation).shape[2:] == (size, size)
    return exactly(kept, 384)


def _shifted_before_and_after(mode: Mode) -> float:
    """Largest difference between the answers to a shifted image and the shifted answers."""
    x = _image(8)
    before, after = (F.conv2d(framed(image, (1, 1, 1, 1), mode), _filter()) for image in (x.roll((2, 3), (2, 3)), x))
    return float((before - after.roll((2, 3), (2, 3))).abs().max())


def in_a_circle_shifts_commute() -> Check:
    """With circular padding the answers to a shifted image are the shifted answers, to 1e-12.

    Source: equation (3): the frame moves with the image
    """
    return at_most(_shifted_before_and_after("circular"), 1e-12)


def in_no_other_mode_do_they() -> Check:
    """With each of the three others some answers differ by at least 0.1.

    Source: equations (1), (2) and (4): the frame stays where it is
    """
    return at_least(min(_shifted_before_and_after(mode) for mode in MODES if mode != "circular"), 0.1)


def zeros_mark_the_edge() -> Check:
    """To an image of ones a 3x3 mean answers 4/9 in a corner framed by zeros, 5/9 less than in the middle.

    Source: equation (1); Islam, Jia, Bruce 2020
    """
    ones, mean = torch.ones(1, 1, 6, 6, dtype=torch.float64), torch.full((1, 1, 3, 3), 1 / 9, dtype=torch.float64)
    answers = F.conv2d(framed(ones, (1, 1, 1, 1), "zeros"), mean)[0, 0]
    return about(float(answers[2, 2] - answers[0, 0]), 5 / 9, 1e-12)


def the_others_leave_no_mark() -> Check:
    """To an image of ones every filter answers everywhere alike in the three other modes, to 1e-12.

    Source: equations (2), (3) and (4): the frame shows pixels of the image
    """
    ones = torch.ones(1, 1, 6, 6, dtype=torch.float64)
    answers = [F.conv2d(framed(ones, (1, 1, 1, 1), mode), _filter()) for mode in MODES if mode != "zeros"]
    return at_most(max(float(a.max() - a.min()) for a in answers), 1e-12)


CARD = Card(
    name="Padding modes",
    name_ja="パディングの種類",
    paper="Aghdasi, Ward 1996, IEEE Trans. Image Processing 5(4); Islam, Jia, Bruce 2020, arXiv:2001.08248",
    equations=(
        r"x_i = 0",
        r"x_i = x_{\min(\max(i, 0), H - 1)}",
        r"x_i = x_{i\ \mathrm{mod}\ H}",
        r"x_i = x_{\min(r, p - r)},\quad r = i\ \mathrm{mod}\ p,\ p = 2(H - 1)",
    ),
    summary="Zeros, the last pixel, the other side, or a mirror behind the edge: only one commutes with shifts.",
    summary_ja="画像の外側を 0・端の画素・反対側・鏡像で埋める。平行移動と可換なのはそのうち一つだけである。",
    topics=(),
    facts=(all_modes_are_numpys, a_frame_of_one_keeps_the_size, half_of_the_reach_keeps_every_size,
           in_a_circle_shifts_commute, in_no_other_mode_do_they, zeros_mark_the_edge, the_others_leave_no_mark),
    notes=("NumPy's reflect shows the last pixel once, its symmetric and SciPy's reflect twice: libraries mean "
           "different mirrors by one word.",
           "torch's own reflect and circular refuse frames as wide as the image or wider; these go on."),
    notes_ja=("NumPy の reflect は端の画素を一度しか使わない。NumPy の symmetric と SciPy の reflect は二度使う。"
              "同じ語でもライブラリにより鏡の位置が異なる。",
              "torch の reflect と circular は、画像以上に広い枠を受け付けない。ここではどの幅でもよい。"),
)
