r"""Cutout: a square hole somewhere in every picture (DeVries and Taylor 2017).

    x'(p) = x(p) where |p - q| >= size/2 in x or y, else fill;   q uniform over all pixels            (1)

So no single part may carry the whole decision. The surprise is that the square may stand half outside the picture, and
that the paper found this to matter: some pictures are then hardly hidden at all. Per axis of length L a pixel is hidden
with a chance of

    (number of q within reach of it) / L                                                           (2)

which is less at the border than in the middle. What is drawn follows from (seed, epoch, index) alone.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, about, at_most, exactly
from shinso.core.seed import generator
from shinso.data.hashing import uniforms


@final
@dataclass(frozen=True, kw_only=True)
class Cutout:
    """(1) for pictures (n, channels, height, width) of any type."""

    seed: int
    size: int = 8
    """side of the square, pixels"""
    fill: float = 0.0
    """what the hole shows on the scale of the inputs; the paper's 0 stands behind normalisation: the mean colour"""

    def __call__(self, inputs: Tensor, index: Tensor, epoch: int) -> Tensor:
        return inputs.masked_fill(self.holes(index, epoch, inputs.shape[2], inputs.shape[3])[:, None], self.fill)

    def holes(self, index: Tensor, epoch: int, height: int, width: int) -> Tensor:
        """Which pixels are hidden, bool (n, height, width)."""
        draw = uniforms(index, 2, seed=self.seed, epoch=epoch)
        rows, columns = (self._within(draw[:, axis], size) for axis, size in ((0, height), (1, width)))
        return rows[:, :, None] & columns[:, None, :]

    def _within(self, draw: Tensor, length: int) -> Tensor:
        first = (draw * length).floor()[:, None] - self.size // 2
        place = torch.arange(length, device=draw.device)
        return (place >= first) & (place < first + self.size)


def chances(length: int, size: int) -> Tensor:
    """(2): how likely each place of an axis is within the hole."""
    first = torch.arange(length)[:, None] - size // 2
    place = torch.arange(length)
    return ((place >= first) & (place < first + size)).double().mean(0)


def pixels_are_hidden_as_often_as_they_should() -> Check:
    """Over 10,000 holes no pixel of 16x12 is hidden more or less often than (2) says by over 5 standard errors.

    Source: equation (2)
    """
    found = Cutout(seed=0, size=6).holes(torch.arange(10_000), 0, 16, 12).double().mean(0)
    p = chances(16, 6)[:, None] * chances(12, 6)
    return at_most(float(((found - p) / (p * (1 - p) / 10_000).sqrt()).abs().max()), 5.0)


def a_corner_is_hidden_a_quarter_as_often() -> Check:
    """With a hole of 8 in 32 pixels the last corner is hidden 0.25 times as often as the middle.

    Source: equation (2): half of the places of q per axis
    """
    p = chances(32, 8)
    return about(float((p[-1] * p[-1]) / (p[16] * p[16])), 0.25, 1e-12)


def less_is_hidden_than_the_square() -> Check:
    """A hole of 16 in 32x32 hides 19.1 percent on the average, not 25: it may stand half outside.

    Source: the mean of (2), squared: (14/32)^2
    """
    found = float(Cutout(seed=0, size=16).holes(torch.arange(5_000), 0, 32, 32).double().mean())
    return about(found, (14 / 32) ** 2, 0.005)


def outside_nothing_changes() -> Check:
    """Outside the holes every pixel of 100 pictures is as it was, and inside all are the fill: others, 0.

    Source: equation (1)
    """
    x = torch.randint(1, 256, (100, 3, 16, 16), generator=generator(0, "x"), dtype=torch.uint8)
    change, index = Cutout(seed=0), torch.arange(100)
    hidden = change.holes(index, 0, 16, 16)[:, None].expand_as(x)
    changed = change(x, index, 0)
    return exactly(int((changed[hidden] != 0).sum() + (changed != x)[~hidden].sum()), 0)


def every_batch_sees_the_same_hole() -> Check:
    """Holes of 50 examples together and one by one are the same: pixels that differ, 0.

    Source: what is drawn follows from (seed, epoch, index)
    """
    change, index = Cutout(seed=0), torch.arange(50)
    alone = torch.cat([change.holes(index[i : i + 1], 2, 9, 9) for i in range(50)])
    return exactly(int((change.holes(index, 2, 9, 9) != alone).sum()), 0)


CARD = Card(
    name="Cutout",
    name_ja="カットアウト",
    paper="DeVries and Taylor 2017, arXiv:1708.04552",
    equations=(
        r"x'(p) = x(p)\ \mathrm{where}\ |p - q| \geq size/2,\ \mathrm{else}\ fill",
        r"P(p\ \mathrm{hidden}) = |\{q : p\ \mathrm{within\ reach\ of}\ q\}| / L",
    ),
    summary="Hides a random square of every training picture, so that no single part decides alone.",
    summary_ja="訓練画像ごとにランダムな正方形を隠し、一つの部分だけで判断が決まらないようにする。",
    topics=(),
    facts=(pixels_are_hidden_as_often_as_they_should, a_corner_is_hidden_a_quarter_as_often,
           less_is_hidden_than_the_square, outside_nothing_changes, every_batch_sees_the_same_hole),
    notes=("0 on bytes is black. The paper fills behind normalisation, where 0 is the mean of the data.",),
    notes_ja=("0〜255 の画素では 0 は黒である。論文は正規化の後に埋めるので、0 はデータの平均になる。",),
)
