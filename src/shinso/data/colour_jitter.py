r"""Colour jitter: brighter, flatter, greyer, of another hue (Howard 2013; Szegedy et al. 2015).

With w the weights of grey (0.299, 0.587, 0.114), 1 = (1, 1, 1) and m the mean grey of the picture:

    brightness   x -> b x                                                                          (1)
    contrast     x -> c x + (1 - c) m 1                                                            (2)
    saturation   x -> s x + (1 - s) (w . x) 1                                                      (3)
    hue          x -> R x,  R a turn by h about the axis of greys 1                                (4)

The surprise is that the four are one: every one of them is affine in the colour, so the whole jitter of a picture is a
matrix and a shift, computed once for it, and each pixel is touched once:

    x -> A x + a,   A = b c R (s I + (1 - s) 1 w^T),   a = (1 - c) b m 1                           (5)

because (3) and (4) leave greys as they are. What is drawn for an example follows from (seed, epoch, index) alone.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.seed import generator
from shinso.data.hashing import uniforms

GREY = (0.299, 0.587, 0.114)
"""share of red, green and blue in brightness, ITU-R BT.601"""


@final
@dataclass(frozen=True, kw_only=True)
class ColourJitter:
    """(5) for pictures (n, 3, height, width), uint8 or float on the scale 0..255; grey ones keep no colour to change.

    The factors b, c, s are uniform in 1 - strength..1 + strength.
    """

    seed: int
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 10.0
    """largest turn, degrees"""

    def __call__(self, inputs: Tensor, index: Tensor, epoch: int) -> Tensor:
        pixels = inputs if inputs.is_floating_point() else inputs.to(torch.float32)
        brighter, flatter, greyer, turn = self.drawn(index, epoch).to(pixels).unbind(1)
        if pixels.shape[1] != 3:  # of grey pictures (3) and (4) change nothing
            mean = pixels.mean((1, 2, 3))
            scale, shift = brighter * flatter, (1 - flatter) * brighter * mean
            return _as(inputs, pixels * scale.view(-1, 1, 1, 1) + shift.view(-1, 1, 1, 1))
        matrix = (brighter * flatter)[:, None, None] * matrices(greyer, turn)
        mean = (pixels.mean((2, 3)) * pixels.new_tensor(GREY)).sum(1)
        shift = ((1 - flatter) * brighter * mean).view(-1, 1, 1)
        changed = torch.empty_like(pixels)
        for k in range(3):  # term by term, so that a picture is rounded alike in every batch
            row = torch.addcmul(shift, pixels[:, 0], matrix[:, k, 0].view(-1, 1, 1), out=changed[:, k])
            for j in (1, 2):
                row.addcmul_(pixels[:, j], matrix[:, k, j].view(-1, 1, 1))
        return _as(inputs, changed)

    def drawn(self, index: Tensor, epoch: int) -> Tensor:
        """b, c, s and h in radians, (n, 4)."""
        strength = torch.tensor([self.brightness, self.contrast, self.saturation, self.hue * torch.pi / 180])
        draw = uniforms(index, 4, seed=self.seed, epoch=epoch) * 2 - 1
        middle = torch.tensor([1.0, 1.0, 1.0, 0.0])
        return middle.to(draw) + draw * strength.to(draw)


def matrices(greyer: Tensor, turn: Tensor) -> Tensor:
    """R (s I + (1 - s) 1 w^T) of (5) for factors and angles (n,): (n, 3, 3)."""
    one, weights = turn.new_ones(3), turn.new_tensor(GREY)
    eye, mean = torch.eye(3).to(turn), turn.new_ones(3, 3) / 3
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]).to(turn) / 3**0.5
    cos, sin = turn.cos()[:, None, None], turn.sin()[:, None, None]
    rotation = cos * eye + (1 - cos) * mean + sin * cross  # Rodrigues 1840
    # R leaves 1 as it is, so the grey part need not be turned.
    return greyer[:, None, None] * rotation + (1 - greyer)[:, None, None] * one[:, None] * weights


def _as(inputs: Tensor, changed: Tensor) -> Tensor:
    return changed if inputs.is_floating_point() else changed.round_().clamp_(0, 255).to(inputs.dtype)


def _pictures() -> Tensor:
    return 255 * torch.rand(20, 3, 8, 8, generator=generator(0, "pictures"), dtype=torch.float64)


def one_matrix_is_the_four_steps() -> Check:
    """On 20 pictures (5) is (1), (2), (3) and (4) one after another, to 1e-9 of 255.

    Source: equation (5)
    """
    change, index, x = ColourJitter(seed=0), torch.arange(20), _pictures()
    b, c, s, h = (v.view(-1, 1, 1, 1) for v in change.drawn(index, 0).double().unbind(1))
    grey = x.new_tensor(GREY).view(1, 3, 1, 1)
    stepwise = b * x
    stepwise = c * stepwise + (1 - c) * (stepwise.mean((2, 3), keepdim=True) * grey).sum(1, keepdim=True)
    stepwise = s * stepwise + (1 - s) * (stepwise * grey).sum(1, keepdim=True)
    middle, axis = stepwise.mean(1, keepdim=True), torch.ones(20, 3, 8, 8).double() / 3**0.5
    stepwise = middle + (stepwise - middle) * h.cos() + torch.linalg.cross(axis, stepwise, dim=1) * h.sin()
    return at_most(float((change(x, index, 0) - stepwise).abs().max()) / 255, 1e-9)


def greys_stay_grey() -> Check:
    """Grey pictures stay grey whatever is drawn: red, green and blue differ by less than 1e-9 of 255.

    Source: (3) and (4) leave multiples of 1 as they are
    """
    x = _pictures()[:, :1].expand(-1, 3, -1, -1)
    changed = ColourJitter(seed=0)(x, torch.arange(20), 0)
    return at_most(float((changed.amax(1) - changed.amin(1)).max()) / 255, 1e-9)


def hue_is_a_turn() -> Check:
    """A change of hue keeps the length of every colour, to 1e-12 of it.

    Source: equation (4), R is orthogonal
    """
    turn = torch.linspace(-3, 3, 50, dtype=torch.float64)
    R = matrices(torch.ones_like(turn), turn)
    return at_most(float((R @ R.transpose(1, 2) - torch.eye(3)).abs().max()), 1e-12)


def contrast_keeps_the_mean() -> Check:
    """With contrast alone the mean grey of every picture stays, to 1e-9 of 255.

    Source: equation (2)
    """
    change, x = ColourJitter(seed=0, brightness=0, saturation=0, hue=0), _pictures()
    grey = x.new_tensor(GREY)
    before, after = (p.mean((2, 3)) @ grey for p in (x, change(x, torch.arange(20), 0)))
    return at_most(float((after - before).abs().max()) / 255, 1e-9)


def cutting_in_between_is_another_picture() -> Check:
    """The trap: cut off at 255 between brightness and contrast, some colours differ by at least 10 of 255.

    Source: (5) is cut off only once, at its end
    """
    x, index = _pictures(), torch.arange(20)
    change, flatter = (ColourJitter(seed=0, brightness=b, saturation=0, hue=0) for b in (0.4, 0.0))
    brighter = change.drawn(index, 0)[:, 0].double().view(-1, 1, 1, 1) * x
    whole, cut = change(x, index, 0), flatter(brighter.clamp(0, 255), index, 0)
    return at_least(float((whole.clamp(0, 255) - cut.clamp(0, 255)).abs().max()), 10.0)


def every_batch_sees_the_same() -> Check:
    """20 pictures of bytes changed together or one by one are the same: pixels that differ, 0.

    Source: what is drawn follows from (seed, epoch, index)
    """
    x, index, change = _pictures().to(torch.uint8), torch.arange(20), ColourJitter(seed=0)
    whole = change(x, index, 1)
    alone = torch.cat([change(x[i : i + 1], index[i : i + 1], 1) for i in range(20)])
    return exactly(int((whole != alone).sum()), 0)


CARD = Card(
    name="Colour jitter",
    name_ja="色の揺らぎ (カラージッター)",
    paper="Howard 2013, arXiv:1312.5402; Szegedy et al. 2015, arXiv:1409.4842, section 6",
    equations=(
        r"x \to b\,x",
        r"x \to c\,x + (1 - c)\,m\,\mathbf{1}",
        r"x \to s\,x + (1 - s)\,(w \cdot x)\,\mathbf{1}",
        r"x \to R\,x",
        r"A = b\,c\,R\,(s I + (1 - s)\,\mathbf{1} w^\top),\quad a = (1 - c)\,b\,m\,\mathbf{1}",
    ),
    summary="Brightness, contrast, saturation and hue of each picture changed at random, all four in one matrix.",
    summary_ja="画像ごとに明るさ・コントラスト・彩度・色相をランダムに変える。四つは一つの行列になる。",
    topics=(),
    facts=(one_matrix_is_the_four_steps, greys_stay_grey, hue_is_a_turn, contrast_keeps_the_mean,
           cutting_in_between_is_another_picture, every_batch_sees_the_same),
    notes=("Libraries that cut at 255 after each step, in a random order, give other pictures than the one matrix.",
           "Where colour is the class, as for ripe fruit, it must not be changed."),
    notes_ja=("各段階で 255 で切り、順序もランダムにするライブラリでは、一つの行列とは異なる画像になる。",
              "果物の熟れ具合のように色がクラスを決める場合は、色を変えてはならない。"),
)
