"""Augmentation of whole batches: each example's change is a hash of (seed, epoch, index), whatever batch it sits in.

The inverse map from output to input coordinates, both measured from the image's centre:

    x_in = R(theta) [[1, k], [0, 1]] diag(1/s_x, 1/s_y) (x_out - t)                                        (1)

theta, k, log s and t are uniform on symmetric intervals. Simard, Steinkraus and Platt 2003 for handwriting; flips and
shifted crops are those of He et al. 2016 for CIFAR-10.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

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
    """Another hand: (1), a smooth bend of the paper, and a thicker or thinner pen.

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
    """A mirror image half of the time, and a crop from the picture with a border of zeros."""

    seed: int
    border: int = 4
    """pixels added on each side; a crop of the same size may shift by as much"""
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
        wide = F.pad(inputs, (self.border,) * 4)
        place = (rows * wide.shape[3])[:, :, None] + columns[:, None, :]
        place = place.view(n, 1, -1).expand(n, channels, -1)
        return wide.flatten(2).gather(2, place).view(n, channels, height, width)


@final
@dataclass(frozen=True)
class Chain:
    """One change after another, `changes` being any such as those here: (inputs, index, epoch) -> inputs."""

    changes: tuple[Callable[[Tensor, Tensor, int], Tensor], ...]

    def __call__(self, inputs: Tensor, index: Tensor, epoch: int) -> Tensor:
        for change in self.changes:
            inputs = change(inputs, index, epoch)
        return inputs
