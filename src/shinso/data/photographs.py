r"""Data augmentation for photographs: crop, mirror, scale, and the light of another day (Krizhevsky et al. 2012).

A photograph of the same thing from a little nearer or further, cut out elsewhere, perhaps in a mirror:

    x_in = (m(x_out) + 1/2 + o)/s - 1/2,   m(x) = x or width - 1 - x                               (1)

s is drawn between two sizes (scale jitter), o so that the crop lies inside the enlarged picture. Key points move the
other way by the same numbers, and so do boxes, whose left and right change places in a mirror and whose ends are cut
at the border; masks are read as the picture is, but at the nearest pixel, because there is nothing between two labels.
The light changes all pixels of a picture together, along the directions in which the colours of photographs differ
anyway:

    x' = x + P (a * l),   P diag(l) P^T = cov of the colours,   a ~ N(0, sigma^2)                   (2)
    cov (x' - x) = sigma^2 P diag(l)^2 P^T                                                          (3)

The surprise stands in (3): l is not a standard deviation but a variance, so the shift depends on the scale of pixels.
It is 0..1 here; with colours of 0..255 the same sigma would change them 255 times as much. Asking uses no chance:
the answer is the mean over ten crops, the corners and the middle, and their mirror images. What is drawn for an example
follows from (seed, epoch, index) alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self, final

import torch
from torch import Tensor
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.seed import generator
from shinso.data.augment import FlipCrop
from shinso.data.hashing import uniforms


@final
@dataclass(frozen=True, kw_only=True)
class ScaleCrop:
    """(1): pictures (n, channels, height, width), uint8 or float, from a little nearer, of the same size."""

    seed: int
    low: float = 1.0
    """least enlargement, at least 1; low = high = 256/224 is AlexNet's crop of 224 from 256"""
    high: float = 1.3
    """largest enlargement"""
    flip: bool = True
    """whether left and right may change places; wrong for writing"""

    def __call__(self, inputs: Tensor, index: Tensor, epoch: int) -> Tensor:
        height, width = inputs.shape[2:]
        size = torch.tensor([width, height], device=inputs.device)
        grid = ((2 * self._places(inputs, index, epoch) + 1) / size - 1).view(-1, height, width, 2)
        pixels = inputs if inputs.is_floating_point() else inputs.to(torch.float32)
        seen = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
        return seen if inputs.is_floating_point() else seen.round_().to(inputs.dtype)

    def there(self, points: Tensor, index: Tensor, epoch: int, size: tuple[int, int]) -> Tensor:
        """Where points (n, k, 2), x before y in pixels of the picture, are after the change."""
        scale, offset, mirrored = self._draw(index, epoch, size)
        moved = (points + 0.5) * scale - offset - 0.5
        return torch.where(mirrored, size[1] - 1 - moved, moved)

    def back(self, points: Tensor, index: Tensor, epoch: int, size: tuple[int, int]) -> Tensor:
        """(1): where points (n, k, 2) after the change were before."""
        scale, offset, mirrored = self._draw(index, epoch, size)
        points = torch.where(mirrored, size[1] - 1 - points, points)
        return (points + 0.5 + offset) / scale - 0.5

    def boxes_there(self, boxes: Tensor, index: Tensor, epoch: int, size: tuple[int, int]) -> Tensor:
        """Where boxes (n, k, 4) of left, top, right, bottom are after the change, as far as they are in the picture.

        Their ends are places as those of points: the first pixel goes from -0.5 to 0.5. A box which is wholly outside
        has no area left.
        """
        n, k = boxes.shape[:2]
        moved = _box(self.there(boxes.reshape(n, 2 * k, 2), index, epoch, size).view(n, k, 2, 2))
        end = torch.tensor([size[1], size[0]] * 2, device=boxes.device) - 0.5
        return torch.minimum(moved.clamp_(min=-0.5), end)

    def masks_there(self, masks: Tensor, index: Tensor, epoch: int) -> Tensor:
        """Masks (n, k, height, width) of any type after the change: every pixel is the nearest one before."""
        height, width = masks.shape[2:]
        x, y = self._places(masks, index, epoch).round().long().unbind(2)
        before = y.clamp_(0, height - 1) * width + x.clamp_(0, width - 1)
        return masks.flatten(2).gather(2, before[:, None].expand(-1, masks.shape[1], -1)).view_as(masks)

    def _places(self, inputs: Tensor, index: Tensor, epoch: int) -> Tensor:
        """x_in of every pixel of the changed pictures, row by row: (n, height width, 2)."""
        height, width = inputs.shape[2:]
        out = torch.stack(torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy"), -1)
        return self.back(out.to(inputs.device).view(1, -1, 2).float(), index, epoch, (height, width))

    def _draw(self, index: Tensor, epoch: int, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """s (n, 1, 1), o (n, 1, 2), and whether x is mirrored (n, 1, 2)."""
        draw = uniforms(index, 4, seed=self.seed, epoch=epoch)
        scale = (self.low + (self.high - self.low) * draw[:, 0]).view(-1, 1, 1)
        room = torch.tensor([size[1], size[0]], device=index.device) * (scale - 1)
        mirrored = (draw[:, 3] < 0.5).view(-1, 1, 1) & torch.tensor([self.flip, False], device=index.device)
        return scale, draw[:, None, 1:3] * room, mirrored


def _box(corners: Tensor) -> Tensor:
    """Left, top, right, bottom (n, k, 4) of two opposite corners (n, k, 2, 2)."""
    return torch.cat([corners.amin(2), corners.amax(2)], 2)


@final
@dataclass(frozen=True, kw_only=True)
class PCAColour:
    """(2) for pictures (n, 3, height, width), uint8 or float on the scale 0..255; `axes` holds P diag(l) by columns."""

    seed: int
    axes: tuple[tuple[float, float, float], ...]
    sigma: float = 0.1

    @classmethod
    def of(cls, pictures: Tensor, *, seed: int, sigma: float = 0.1) -> Self:
        """With the axes of the colours of these pictures (n, 3, height, width) on the scale 0..255."""
        colours = pictures.transpose(0, 1).flatten(1).double() / 255
        variances, directions = torch.linalg.eigh(torch.cov(colours))
        directions = directions * directions.sum(0).sign()  # else the sign is the library's choice
        rows = [(float(a), float(b), float(c)) for a, b, c in directions * variances]
        return cls(seed=seed, axes=tuple(rows), sigma=sigma)

    def __call__(self, inputs: Tensor, index: Tensor, epoch: int) -> Tensor:
        moved = inputs + 255 * self.shifts(index, epoch).to(inputs.device)[:, :, None, None]
        return moved if inputs.is_floating_point() else moved.round_().clamp_(0, 255).to(inputs.dtype)

    def shifts(self, index: Tensor, epoch: int) -> Tensor:
        """x' - x of each example, (n, 3) on the scale 0..1."""
        u = uniforms(index, 6, seed=self.seed, epoch=epoch)
        a = self.sigma * (-2 * torch.log1p(-u[:, :3])).sqrt() * (2 * torch.pi * u[:, 3:]).cos()  # Box and Muller 1958
        axes = torch.tensor(self.axes, device=index.device)
        return (a[:, None, :] * axes).sum(2)


def ten_crops(inputs: Tensor, size: int) -> Tensor:
    """(n, channels, height, width) -> (n, 10, channels, size, size): corners, middle, and all five in a mirror."""
    return torch.stack(list(each_crop(inputs, size)), 1)


def each_crop(inputs: Tensor, size: int) -> Iterator[Tensor]:
    """The same one after the other, each (n, channels, size, size): ten times less memory."""
    down, right = inputs.shape[2] - size, inputs.shape[3] - size
    places = ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2))
    for mirror in (False, True):
        for y, x in places:
            crop = inputs[:, :, y : y + size, x : x + size]
            yield crop.flip(-1) if mirror else crop


def _pictures() -> Tensor:
    """20 noisy pictures (3, 12, 12) whose colours differ mostly in brightness."""
    draw = generator(0, "pictures")
    light, own = torch.randn(20, 1, 12, 12, generator=draw), torch.randn(20, 3, 12, 12, generator=draw)
    return (128 + 40 * light + 12 * own * torch.tensor([1.0, 0.5, 2.0]).view(1, 3, 1, 1)).clamp(0, 255).to(torch.uint8)


def an_example_changes_alike_in_every_batch() -> Check:
    """20 pictures changed together, alone, and in another order are the same: pixels that differ, 0.

    Source: what is drawn follows from (seed, epoch, index)
    """
    pictures, index, wrong = _pictures(), torch.arange(100, 120), 0
    order = torch.randperm(20, generator=generator(0, "order"))
    for change in (ScaleCrop(seed=1), PCAColour.of(pictures, seed=1), FlipCrop(seed=1)):
        whole = change(pictures, index, 3)
        alone = torch.cat([change(pictures[i : i + 1], index[i : i + 1], 3) for i in range(20)])
        mixed = change(pictures[order], index[order], 3)
        wrong += int((alone != whole).sum() + (mixed != whole[order]).sum())
        wrong += int(torch.equal(change(pictures, index, 4), whole))  # another epoch is another change
    return exactly(wrong, 0)


def points_come_back() -> Check:
    """1,000 points that move with their pictures and back are where they were, to 1e-4 pixels.

    Source: equation (1) and its inverse
    """
    change, index = ScaleCrop(seed=0), torch.arange(100)
    points = 32 * torch.rand(100, 10, 2, generator=generator(0, "points"))
    again = change.back(change.there(points, index, 0, (24, 32)), index, 0, (24, 32))
    return at_most(float((again - points).abs().max()), 1e-4)


def a_dot_is_where_its_point_is() -> Check:
    """A round spot in each of 100 changed pictures has its middle within 0.05 pixels of its moved point.

    Source: equation (1): key points move with the picture
    """
    change, index = ScaleCrop(seed=0), torch.arange(100)
    y, x = torch.arange(48.0)[:, None], torch.arange(64.0)
    spot = torch.exp(-((x - 33) ** 2 + (y - 22) ** 2) / 8).expand(100, 1, -1, -1)
    seen = change(spot, index, 0)[:, 0]
    middle = torch.stack([(seen * x).sum((1, 2)), (seen * y).sum((1, 2))], 1) / seen.sum((1, 2))[:, None]
    moved = change.there(torch.tensor([33.0, 22.0]).expand(100, 1, 2), index, 0, (48, 64))[:, 0]
    inside = (seen[:, 0].sum(1) + seen[:, -1].sum(1) + seen[:, :, 0].sum(1) + seen[:, :, -1].sum(1)) < 1e-2
    return at_most(float((middle - moved)[inside].abs().max()) if inside.sum() > 50 else 1.0, 0.05)


def boxes_come_back_as_far_as_they_are_seen() -> Check:
    """1,000 boxes that move with their pictures and back are where they were, cut at what the crop shows, to 1e-4.

    Source: equation (1) for the two corners of each box, and for those of the picture
    """
    change, index, size = ScaleCrop(seed=0), torch.arange(100), (24, 32)
    corners = torch.rand(100, 10, 2, 2, generator=generator(0, "boxes")) * torch.tensor([32.0, 24.0]) - 0.5
    boxes = _box(corners)
    moved = change.boxes_there(boxes, index, 0, size)
    again = _box(change.back(moved.view(100, 20, 2), index, 0, size).view(100, 10, 2, 2))
    seen = change.back(torch.tensor([[-0.5, -0.5], [31.5, 23.5]]).expand(100, 2, 2), index, 0, size)[:, None]
    low, high = seen.amin(2).repeat(1, 1, 2), seen.amax(2).repeat(1, 1, 2)
    return at_most(float((again - torch.minimum(torch.maximum(boxes, low), high)).abs().max()), 1e-4)


def a_mask_is_its_box_filled() -> Check:
    """The mask of a rectangle in each of 100 changed pictures is its moved box filled: pixels that differ, 0.

    Source: equation (1): boxes and masks move with the picture
    """
    change, index = ScaleCrop(seed=0), torch.arange(100)
    y, x = torch.arange(24)[:, None], torch.arange(32)
    mask = ((y >= 5) & (y <= 14) & (x >= 8) & (x <= 21)).expand(100, 1, 24, 32)
    box = torch.tensor([7.5, 4.5, 21.5, 14.5]).expand(100, 1, 4)
    left, top, right, bottom = change.boxes_there(box, index, 0, (24, 32)).view(100, 4, 1, 1).unbind(1)
    filled = (y > top) & (y < bottom) & (x > left) & (x < right)
    return exactly(int((change.masks_there(mask, index, 0)[:, 0] != filled).sum()), 0)


def the_light_has_the_covariance() -> Check:
    """Of 100,000 drawn shifts the covariance is (3) within 2 percent of its norm.

    Source: Krizhevsky, Sutskever, Hinton 2012, section 4.1; equation (3)
    """
    change = PCAColour.of(_pictures(), seed=0)
    axes = torch.tensor(change.axes).double()
    expected = change.sigma**2 * axes @ axes.T
    found = torch.cov(change.shifts(torch.arange(100_000), 0).double().T)
    return at_most(float((found - expected).norm() / expected.norm()), 0.02)


def the_axes_are_those_of_the_colours() -> Check:
    """P diag(l) P^T rebuilt from the axes is the covariance of the colours, to 1e-6 of it.

    Source: equation (2)
    """
    pictures = _pictures()
    axes = torch.tensor(PCAColour.of(pictures, seed=0).axes).double()
    found = axes / axes.norm(dim=0) @ axes.T
    colours = torch.cov(pictures.transpose(0, 1).flatten(1).double() / 255)
    return at_most(float((found - colours).norm() / colours.norm()), 1e-6)


def on_bytes_it_would_be_255_times_as_much() -> Check:
    """The trap: with the colours' own scale 0..255 in (2), relative to that scale the shift is 255 times larger.

    Source: l is a variance
    """
    pictures = _pictures().double()
    small, large = (torch.linalg.eigvalsh(torch.cov(pictures.transpose(0, 1).flatten(1) / unit)) for unit in (255, 1))
    return Check(float((large / 255 / small).mean()), 255 - 1e-6, 255 + 1e-6)


def a_mirror_keeps_the_ten_crops() -> Check:
    """The ten crops of a mirrored picture are those of the picture in another order, so their mean answer is the same.

    Source: Krizhevsky et al. 2012, section 4.1
    """
    pictures = _pictures()
    crops, others = ten_crops(pictures, 8), ten_crops(pictures.flip(-1), 8)
    return exactly(int((others[:, [6, 5, 8, 7, 9, 1, 0, 3, 2, 4]] != crops).sum()), 0)


CARD = Card(
    name="Data augmentation for photographs",
    name_ja="写真のデータ拡張",
    paper="Krizhevsky, Sutskever, Hinton 2012, section 4.1; Simonyan, Zisserman 2014, arXiv:1409.1556 (scales)",
    equations=(
        r"x_{in} = (m(x_{out}) + 1/2 + o)/s - 1/2",
        r"x' = x + P(a \odot \lambda),\quad P\,\mathrm{diag}(\lambda)\,P^\top = \mathrm{cov}",
        r"\mathrm{cov}(x' - x) = \sigma^2\,P\,\mathrm{diag}(\lambda)^2\,P^\top",
    ),
    summary="Crops, mirrors, scales and lights a photograph anew each time; boxes, masks and points move with it.",
    summary_ja="写真の切り出し・左右反転・拡大・明るさを毎回変える。枠やマスク、特徴点も一緒に動く。",
    topics=("vision.part.data-augmentation",),
    facts=(an_example_changes_alike_in_every_batch, points_come_back, a_dot_is_where_its_point_is,
           boxes_come_back_as_far_as_they_are_seen, a_mask_is_its_box_filled, the_light_has_the_covariance,
           the_axes_are_those_of_the_colours, on_bytes_it_would_be_255_times_as_much, a_mirror_keeps_the_ten_crops),
    notes=("A mirror image of a digit or a word is wrong writing under the same label: flip is off there.",
           "The paper does not say on which scale the colours are; sigma 0.1 makes sense for 0..1 only.",
           "The crop of 224 is from 256, and the test of ten crops is ten times the work of one."),
    notes_ja=("数字や文字を左右反転すると、ラベルはそのままで誤った字になる。その場合は flip を使わない。",
              "論文は色の尺度を書いていない。σ = 0.1 が意味を持つのは 0〜1 の尺度だけである。",
              "224 の切り出しは 256 の画像から取る。十枚の切り出しによるテストは一枚の十倍の計算になる。"),
)
