r"""Augmentation of whole batches: each example's change is a hash of (seed, epoch, index), whatever batch it sits in.

The inverse map from output to input coordinates, both measured from the image's centre:

    x_in = R(theta) [[1, k], [0, 1]] diag(1/s_x, 1/s_y) (x_out - t)                                (1)

theta, k, log s and t are uniform on symmetric intervals (Simard, Steinkraus and Platt 2003 for handwriting). Another
hand also bends the paper, by smooth functions B through random numbers at the 16 corners of a net, and has another pen:

    x_in' = x_in + B(x_out),    y' = y + |a| (max_3x3 y - y) for a > 0, min_3x3 for a < 0          (2)

Flips and shifted crops are those of He et al. 2016 for CIFAR-10: a window of a picture in a frame of b, half of the
time of its mirror image,

    x_in = (m(x_out) + o_x - b, y_out + o_y - b),    o uniform on 0..2b,    m(x) = x or width - 1 - x    (3)

The surprise is what a hash does: nothing is stored and no generator advances, yet a run that resumes in the middle of
an epoch, reads ahead, or cuts its batches between two processes changes every picture exactly as another run would.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.seed import generator
from shinso.data.examples import Description
from shinso.data.hashing import uniforms


@final
@dataclass(frozen=True, kw_only=True)
class ShiftScaleRotate:
    """Small affine changes for handwriting, (1), with linear interpolation and zeros outside.

    Takes and gives uint8 or float (n, channels, height, width).
    """

    seed: int
    shift: float = 1.5
    """largest shift along each axis, pixels"""
    scale: float = 0.12
    """largest relative change of size; width and height change independently"""
    rotate: float = 12.0
    """largest turn, degrees"""
    shear: float = 0.2
    """largest slant k"""

    def __call__(self, inputs: Tensor, index: Tensor, epoch: int) -> Tensor:
        pixels = inputs if inputs.is_floating_point() else inputs.to(torch.float32)
        grid = self.grid(index, epoch, inputs.shape[2], inputs.shape[3])
        moved = F.grid_sample(pixels, grid, padding_mode="zeros", align_corners=False)
        return moved if inputs.is_floating_point() else moved.round_().to(inputs.dtype)

    def grid(self, index: Tensor, epoch: int, height: int, width: int) -> Tensor:
        """Input coordinates (n, height, width, 2) of each output pixel, in -1..1 as grid_sample wants them."""
        draw = uniforms(index, 6, seed=self.seed, epoch=epoch).mul_(2).sub_(1)
        turn, slant = draw[:, 0] * (self.rotate * torch.pi / 180), draw[:, 1] * self.shear
        narrow, flat = torch.exp(draw[:, 2:4] * self.scale).unbind(1)
        a, b = turn.cos(), turn.sin()
        xx, xy, yx, yy = a * narrow, (a * slant - b) * flat, b * narrow, (b * slant + a) * flat  # (1)
        x = torch.arange(width, device=index.device) - (width - 1) / 2
        y = torch.arange(height, device=index.device) - (height - 1) / 2
        x = x[None, None, :] - draw[:, 4, None, None] * self.shift
        y = y[None, :, None] - draw[:, 5, None, None] * self.shift
        grid = torch.empty(len(index), height, width, 2, device=index.device)
        torch.add(xx[:, None, None] * x, xy[:, None, None] * y, out=grid[..., 0])
        torch.add(yx[:, None, None] * x, yy[:, None, None] * y, out=grid[..., 1])
        return grid.mul_(torch.tensor([2 / width, 2 / height], device=index.device))


@final
@dataclass(frozen=True, kw_only=True)
class Handwriting:
    """Another hand: (1) and (2), a smooth bend of the paper and a thicker or thinner pen.

    The bend moves the corners of a 4x4 net at random and the points between smoothly (Simard, Steinkraus and Platt 2003
    blur a finer field). The pen mixes each picture with its 3x3 maximum or minimum. Takes and gives uint8 or float
    (n, channels, height, width), light ink on dark.
    """

    seed: int
    bend: float = 2.0
    """largest shift of a corner of the net along each axis, pixels"""
    pen: float = 1.0
    """largest share of the 3x3 maximum or minimum"""
    move: ShiftScaleRotate | None = None
    """the affine part; none: shifts, turns, slants and sizes a little wider than those of ShiftScaleRotate"""

    def __call__(self, inputs: Tensor, index: Tensor, epoch: int) -> Tensor:
        n, _, height, width = inputs.shape
        move = self.move or ShiftScaleRotate(seed=self.seed, scale=0.18, rotate=14, shear=0.3)
        draw = uniforms(index, 33, seed=self.seed + 1, epoch=epoch).mul_(2).sub_(1)
        net = draw[:, 1:].reshape(n, 2, 4, 4) * self.bend
        bend = between(between(net, height, 2), width, 3).permute(0, 2, 3, 1)
        grid = move.grid(index, epoch, height, width)
        grid += bend * torch.tensor([2 / width, 2 / height], device=inputs.device)
        pixels = inputs if inputs.is_floating_point() else inputs.to(torch.float32)
        moved = F.grid_sample(pixels, grid, padding_mode="zeros", align_corners=False)
        share = draw[:, 0].view(n, 1, 1, 1) * self.pen
        thick = torch.where(share > 0, 1.0, -1.0)  # the minimum is the maximum of the negative
        moved = torch.lerp(moved, largest_around(moved * thick).mul_(thick), share.abs())
        return moved if inputs.is_floating_point() else moved.round_().clamp_(0, 255).to(inputs.dtype)


def between(net: Tensor, size: int, axis: int) -> Tensor:
    """`size` smooth values, bicubic, through the four along `axis`; term by term, so that no batch rounds otherwise."""
    weights = _weights(size).to(net)
    shape = [1] * net.dim()
    shape[axis] = size
    first, *others = (net.narrow(axis, k, 1) * weights[k].view(shape) for k in range(4))
    for term in others:
        first += term
    return first


@cache
def _weights(size: int) -> Tensor:
    """(4, size): what each of four values adds to the places between them."""
    return F.interpolate(torch.eye(4).view(4, 1, 4, 1), size=(size, 1), mode="bicubic", align_corners=True).view(4, -1)


def largest_around(pixels: Tensor) -> Tensor:
    """The 3x3 maximum inside each picture (..., height, width): along one axis, then the other, with whole vectors."""
    for axis in (2, 3):
        inner, size = pixels.clone(), pixels.shape[axis]
        here, there = inner.narrow(axis, 0, size - 1), pixels.narrow(axis, 1, size - 1)
        torch.maximum(here, there, out=here)
        here, there = inner.narrow(axis, 1, size - 1), pixels.narrow(axis, 0, size - 1)
        pixels = inner
        torch.maximum(here, there, out=here)
    return pixels


@final
@dataclass(frozen=True, kw_only=True)
class FlipCrop:
    """(3): a mirror image half of the time, and a crop from the picture with a border."""

    seed: int
    border: int = 4
    """pixels added on each side; a crop of the same size may shift by as much"""
    fill: tuple[int, ...] = (0,)
    """what stands in the border, for all channels or for each"""
    size: int | None = None
    """height and width of the crop; none: those of the picture"""
    flip: bool = True
    """whether left and right may change places; wrong for writing"""

    def __call__(self, inputs: Tensor, index: Tensor, epoch: int) -> Tensor:
        n, channels = inputs.shape[:2]
        height, width = (self.size or side for side in inputs.shape[2:])
        room = [there + 2 * self.border - side for there, side in zip(inputs.shape[2:], (height, width), strict=True)]
        draw = uniforms(index, 3, seed=self.seed, epoch=epoch)
        down, right = ((draw[:, axis] * (room[axis] + 1)).to(torch.int64) for axis in (0, 1))
        rows = torch.arange(height, device=index.device) + down[:, None]
        columns = torch.arange(width, device=index.device).expand(n, width)
        if self.flip:
            columns = torch.where(draw[:, 2:] < 0.5, columns, width - 1 - columns)
        columns = columns + right[:, None]
        wide = self._framed(inputs)
        place = (rows * wide.shape[3])[:, :, None] + columns[:, None, :]
        place = place.view(n, 1, height * width).expand(n, channels, -1)
        return wide.flatten(2).gather(2, place).view(n, channels, height, width)

    def _framed(self, inputs: Tensor) -> Tensor:
        n, channels, height, width = inputs.shape
        fill = torch.tensor(self.fill, dtype=inputs.dtype, device=inputs.device).view(1, -1, 1, 1)
        wide = fill.repeat(n, channels // len(self.fill), height + 2 * self.border, width + 2 * self.border)
        wide[:, :, self.border : self.border + height, self.border : self.border + width] = inputs
        return wide


def usual(about: Description, seed: int) -> Handwriting | FlipCrop:
    """What keeps the classes of such data as they are: another hand for writing; for pictures (3), framed by the mean.

    The mean is what the papers' zeros are, which they add behind the normalisation.
    """
    if about.form == "handwriting":
        return Handwriting(seed=seed)
    return FlipCrop(seed=seed, fill=tuple(round(255 * mean) for mean in about.mean))


@final
@dataclass(frozen=True)
class Chain:
    """One change after another, `changes` being any such as those here: (inputs, index, epoch) -> inputs."""

    changes: tuple[Callable[[Tensor, Tensor, int], Tensor], ...]

    def __call__(self, inputs: Tensor, index: Tensor, epoch: int) -> Tensor:
        for change in self.changes:
            inputs = change(inputs, index, epoch)
        return inputs


def _pictures() -> Tensor:
    return torch.randint(1, 256, (20, 1, 12, 10), generator=generator(0, "pictures"), dtype=torch.uint8)


def _still(seed: int) -> ShiftScaleRotate:
    return ShiftScaleRotate(seed=seed, shift=0, scale=0, rotate=0, shear=0)


def an_example_changes_alike_in_every_batch() -> Check:
    """20 pictures moved or written by another hand together, alone, and in another order: pixels that differ, 0.

    Source: what is drawn follows from (seed, epoch, index)
    """
    pictures, index, wrong = _pictures(), torch.arange(100, 120), 0
    order = torch.randperm(20, generator=generator(0, "order"))
    for change in (ShiftScaleRotate(seed=1), Handwriting(seed=1)):
        whole = change(pictures, index, 3)
        alone = torch.cat([change(pictures[i : i + 1], index[i : i + 1], 3) for i in range(20)])
        wrong += int((alone != whole).sum() + (change(pictures[order], index[order], 3) != whole[order]).sum())
        wrong += int(torch.equal(change(pictures, index, 4), whole))  # another epoch is another change
    return exactly(wrong, 0)


def a_spot_is_where_the_map_says() -> Check:
    """A round spot in each of 100 moved pictures has its middle within 0.05 pixels of where (1), solved, puts it.

    Source: equation (1)
    """
    change, index = ShiftScaleRotate(seed=0), torch.arange(100)
    y, x = torch.arange(32.0)[:, None], torch.arange(32.0)
    spot = torch.exp(-((x - 19) ** 2 + (y - 12) ** 2) / 8).expand(100, 1, -1, -1)
    seen = change(spot, index, 0)[:, 0]
    middle = torch.stack([(seen * x).sum((1, 2)), (seen * y).sum((1, 2))], 1) / seen.sum((1, 2))[:, None]
    grid = (change.grid(index, 0, 32, 32).double() + 1) * 16 - 0.5  # x_in, in pixels
    origin, right, down = grid[:, 0, 0], grid[:, 0, 1], grid[:, 1, 0]
    matrix = torch.stack([right - origin, down - origin], 2)
    expected = torch.linalg.solve(matrix, torch.tensor([19.0, 12.0]).double() - origin)
    return at_most(float((middle - expected).abs().max()), 0.05)


def without_strength_nothing_changes() -> Check:
    """With all strengths 0 the paper is neither moved nor bent and the pen is the same: bytes that differ, 0.

    Source: equations (1), (2) and (3)
    """
    pictures, index = _pictures(), torch.arange(20)
    same = (_still(0), Handwriting(seed=0, bend=0, pen=0, move=_still(0)), FlipCrop(seed=0, border=0, flip=False))
    return exactly(sum(int((change(pictures, index, 0) != pictures).sum()) for change in same), 0)


def the_pen_is_between_thin_and_thick() -> Check:
    """Of 20 pictures no pixel is below the 3x3 minimum or above the 3x3 maximum, and some reach beyond y on each side.

    Source: equation (2), |a| at most 1
    """
    pictures = _pictures().float()
    written = Handwriting(seed=0, bend=0, move=_still(0))(pictures, torch.arange(20), 0)
    outside = (written > largest_around(pictures) + 1e-3) | (written < -largest_around(-pictures) - 1e-3)
    both = bool((written > pictures + 1).any()) and bool((written < pictures - 1).any())
    return exactly(int(outside.sum()) + (not both), 0)


def a_crop_is_a_window_of_the_framed_picture() -> Check:
    """Each of 40 changed pictures is one of the 2 x 81 windows of its framed picture and mirror image: others, 0.

    Source: He et al. 2016, section 4.2; equation (3) with b = 4
    """
    pictures = _pictures().repeat(2, 1, 1, 1)
    seen = FlipCrop(seed=0)(pictures, torch.arange(40), 0)
    framed = F.pad(pictures, (4,) * 4)
    windows = torch.cat([p.unfold(2, 12, 1).unfold(3, 10, 1).flatten(1, 3) for p in (framed, framed.flip(-1))], 1)
    found = (windows == seen).all(-1).all(-1).sum(1)
    return exactly(int((found != 1).sum()), 0)


def every_window_is_as_likely() -> Check:
    """Over 81,000 pictures none of the 81 windows comes more or less often than 1,000 times by 5 standard errors.

    Source: equation (3), o uniform
    """
    numbered = torch.arange(81, dtype=torch.uint8).view(1, 1, 9, 9).expand(81_000, -1, -1, -1)
    seen = FlipCrop(seed=0, border=0, size=1, flip=False)(numbered, torch.arange(81_000), 0)
    counts = seen.flatten().bincount(minlength=81).double()
    return at_most(float((counts - 1000).abs().max()) / (1000 * 80 / 81) ** 0.5, 5.0)


def half_are_mirrored() -> Check:
    """Of 40,000 pictures half are mirrored, within 5 standard errors.

    Source: equation (3)
    """
    pair = torch.tensor([0, 1], dtype=torch.uint8).view(1, 1, 1, 2).expand(40_000, -1, -1, -1)
    mirrored = FlipCrop(seed=0, border=0)(pair, torch.arange(40_000), 0)[:, 0, 0, 0].double()
    return at_most(abs(float(mirrored.mean()) - 0.5) / (0.25 / 40_000) ** 0.5, 5.0)


CARD = Card(
    name="Augmentation in batches",
    name_ja="バッチごとのデータ拡張",
    paper="Simard, Steinkraus, Platt 2003, ICDAR; He et al. 2016, arXiv:1512.03385, section 4.2",
    equations=(
        r"x_{in} = R(\theta) K\, \mathrm{diag}(1/s_x,\ 1/s_y)\, (x_{out} - t)",
        r"x_{in}' = x_{in} + B(x_{out}),\quad y' = y + |a|\,(\max_{3 \times 3} y - y)",
        r"x_{in} = m(x_{out}) + o - b,\quad o \sim U\{0, \ldots, 2b\}",
    ),
    summary="Shifts, turns, bends, mirrors and crops of a whole batch, drawn from a hash of each example.",
    summary_ja="平行移動・回転・ゆがみ・左右反転・切り出しをバッチ全体に一度に行う。乱数は各例のハッシュから決まる。",
    topics=(),
    facts=(an_example_changes_alike_in_every_batch, a_spot_is_where_the_map_says, without_strength_nothing_changes,
           the_pen_is_between_thin_and_thick, a_crop_is_a_window_of_the_framed_picture, every_window_is_as_likely,
           half_are_mirrored),
    notes=("A mirror image of a digit or a word is wrong writing under the same label: flip is off there.",
           "The frame is black and not the mean colour: that would be 0 behind normalisation, as the paper has it."),
    notes_ja=("数字や文字を左右反転すると、ラベルはそのままで誤った字になる。その場合は flip を使わない。",
              "枠は黒であり、平均の色ではない。論文のように正規化の後に 0 で埋めるなら、平均の色になる。"),
)
