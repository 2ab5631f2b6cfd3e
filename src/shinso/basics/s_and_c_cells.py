r"""S- and C-cells, the idea of the neocognitron: S-cells that look for a pattern, C-cells that do not mind where it is.

An S-cell has learned a pattern u and looks at the patch x before it. What speaks for the pattern is weighed against
what there is to see at all, v(x) = |x|, and only the excess is passed on:

    S = r max((1 + e) / (1 + r/(1+r) i) - 1, 0),   e = q u.x,   i = q |u| |x|      (1)

so that, whatever the strength of x, it fires if and only if

    cos(u, x) > r / (1 + r)                                                    (2)

r is the selectivity. A C-cell listens to the S-cells of one plane in a small neighbourhood and takes the largest:

    C(p) = max_{|d| <= reach} S(p + d)                                         (3)

A pattern that moves by no more than `reach` leaves its C-cell's answer unchanged, while the S-cell that it left falls
silent.

Nobody tells the cells what to look for. They are shown digits, and where there is ink that no plane responds to, a
new plane is added with just that patch as its pattern. The surprise: with the plain rule "whoever is surprised, learn
it" planes stop being added by themselves, after a few dozen strokes and corners all is familiar.

Fukushima 1980 (Japanese 1979). There C-cells take a saturated sum; the largest of them is the later and simpler form.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from shinso.core.axes import bare
from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range
from shinso.data.examples import open_data

SIDE = 3
"""of the patch an S-cell looks at"""
STRENGTH = 100.0
"""q of (1)"""
INK = 0.6
"""least |x| of a patch that is worth learning"""


def patches(image: Tensor) -> Tensor:
    """The patch around every pixel, zeros outside: (height, width) -> (height, width, 9)."""
    around = F.unfold(image[None, None], SIDE, padding=SIDE // 2)
    return around[0].T.reshape(*image.shape, SIDE * SIDE)


def s_cells(seen: Tensor, patterns: Tensor, r: float) -> Tensor:
    """Answers (..., planes) to patches (..., 9) of cells with the patterns (planes, 9)."""
    e = STRENGTH * seen @ patterns.T
    i = STRENGTH * seen.norm(dim=-1, keepdim=True) * patterns.norm(dim=-1)
    return r * ((1 + e) / (1 + r / (1 + r) * i) - 1).clamp_min(0)  # (1)


def c_cells(s: Tensor, reach: int) -> Tensor:
    """The largest answer of each plane within `reach`: (height, width, planes) -> the same shape."""
    planes = s.movedim(-1, 0)[None]
    return F.max_pool2d(planes, 2 * reach + 1, stride=1, padding=reach)[0].movedim(0, -1)  # (3)


def kept(image: Tensor, patterns: Tensor, r: float, reach: int, shift: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """For every plane that fires: the share of its strongest S- and C-answer that is left there after a shift."""
    moved = image.roll(shift, (0, 1))
    one, other = (s_cells(patches(picture), patterns, r) for picture in (image, moved))
    best, place = one.flatten(0, 1).max(0)
    fires = best > 1e-9
    left = other.flatten(0, 1).gather(0, place[None])[0]
    pooled = c_cells(other, reach).flatten(0, 1).gather(0, place[None])[0]
    before = c_cells(one, reach).flatten(0, 1).gather(0, place[None])[0]
    return (left / best)[fires], (pooled / before)[fires]


@cache
def _digits() -> Tensor:
    """Digits (1258, 14, 14) with room to move: 8x8 on the 0..1 scale and an empty border of 3."""
    images = open_data("digits:8x8").train.inputs[:, 0].double() / 255
    return F.pad(images, (3, 3, 3, 3))


@final
class Neocognitron:
    """One step shows one digit; it may add one plane."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.images
        self.patterns = torch.zeros(0, SIDE * SIDE, dtype=torch.float64)
        self.order = torch.randperm(len(_digits()), generator=generator(setup.seed, "order"))

    def step(self, i: int) -> Record:
        image = _digits()[self.order[i % len(self.order)]]
        seen = patches(image).flatten(0, 1)
        ink = seen.norm(dim=-1) > INK
        answered = self._answers(seen).amax(-1) > 0 if len(self.patterns) else torch.zeros(len(seen), dtype=torch.bool)
        silent = ink & ~answered
        if silent.any() and len(self.patterns) < self.setup.planes:
            new = seen[(seen.norm(dim=-1) * silent).argmax()]
            self.patterns = torch.cat([self.patterns, (new / new.norm())[None]])
        s, c = kept(image, self.patterns, self.setup.selectivity, self.setup.reach, (0, 1))
        return {"planes": float(len(self.patterns)), "silent": float(silent.sum() / ink.sum().clamp_min(1)),
                "s_kept": float(s.mean()) if len(s) else 0.0, "c_kept": float(c.mean()) if len(c) else 0.0}

    def _answers(self, seen: Tensor) -> Tensor:
        return s_cells(seen, self.patterns, self.setup.selectivity)

    def state(self) -> dict[str, Any]:
        return {"patterns": self.patterns}

    def restore(self, state: dict[str, Any]) -> None:
        self.patterns = state["patterns"].clone()

    def pictures(self) -> dict[str, np.ndarray]:
        """The learned patterns, and S- and C-layers of a digit before and after it moves by one pixel."""
        return {"templates": _templates(self.patterns), "cells": _cells(self)}


def _templates(patterns: Tensor) -> np.ndarray:
    across = 12
    figure = sheet(800, 90 + 68 * max(1, -(-len(patterns) // across)))
    grid = figure.subplots(max(1, -(-len(patterns) // across)), across, squeeze=False)
    for k, axes in enumerate(grid.flat):
        axes.set_axis_off()
        if k < len(patterns):
            bare(axes, patterns[k].view(SIDE, SIDE).numpy(), colours="viridis")
    figure.suptitle(f"{len(patterns)} patterns of S-cells / S細胞のパターン", fontsize=11)
    return pixels(figure)


def _cells(program: Neocognitron) -> np.ndarray:
    image = _digits()[program.order[0]]
    patterns = program.patterns if len(program.patterns) else torch.eye(9, dtype=torch.float64)[4:5]
    setup, figure = program.setup, sheet(800, 430)
    strongest, places = s_cells(patches(image), patterns, setup.selectivity).flatten(0, 1).max(0)
    chosen = strongest.argsort(descending=True)[:2]
    for row, picture, name in zip(figure.subplots(2, 5), (image, image.roll(1, 1)),
                                  ("image / 画像", "shifted / 一画素ずらす"), strict=True):
        s = s_cells(patches(picture), patterns[chosen], setup.selectivity)
        c = c_cells(s, setup.reach)
        bare(row[0], picture.numpy(), name)
        for j in range(2):
            plane = min(j, s.shape[-1] - 1)
            bare(row[1 + 2 * j], s[..., plane].numpy(), f"S, plane / 面 {plane + 1}", "inferno")
            bare(row[2 + 2 * j], c[..., plane].numpy(), f"C, plane / 面 {plane + 1}", "inferno")
            y, x = divmod(int(places[chosen[plane]]), image.shape[1])
            for axes in row[1 + 2 * j : 3 + 2 * j]:  # the place where this plane answered most, before the shift
                axes.plot(x, y, "o", color="cyan", markersize=9, fillstyle="none")
    return pixels(figure)


@cache
def _taught() -> Neocognitron:
    program = Neocognitron(Setup(images=150))
    for i in range(program.total):
        program.step(i)
    return program


def an_s_cell_fires_above_its_angle() -> Check:
    """Of 20,000 random patches of any strength, an S-cell fires at exactly those with cos(u, x) > r / (1 + r).

    Source: equation (2); Fukushima 1980
    """
    draw = generator(0, "patches")
    u = torch.rand(1, 9, generator=draw, dtype=torch.float64)
    x = torch.rand(20_000, 9, generator=draw, dtype=torch.float64) * 10 ** torch.linspace(-3, 3, 20_000)[:, None]
    cosine = (x @ u[0]) / (x.norm(dim=1) * u.norm())
    fires = s_cells(x, u, 4.0)[:, 0] > 1e-12
    sure = (cosine - 0.8).abs() > 1e-6
    return exactly(float((fires != (cosine > 0.8))[sure].sum()), 0)


def its_own_pattern_is_answered_most() -> Check:
    """Among the learned planes each answers its own pattern more than any other does: how many do not.

    Source: equation (1), the cosine of a pattern with itself is 1
    """
    patterns = _taught().patterns
    answers = s_cells(patterns, patterns, 4.0)
    return exactly(float((answers.argmax(0) != torch.arange(len(patterns))).sum()), 0)


def a_c_cell_does_not_mind_one_pixel() -> Check:
    """Over 100 digits and 4 directions, one pixel leaves every C-answer at the strongest place as it was, to 1e-12.

    Source: equation (3); Fukushima 1980
    """
    return at_most(max(float((_kept(k, 1, d)[1] - 1).abs().max()) for k in range(100) for d in range(4)), 1e-12)


def an_s_cell_does() -> Check:
    """There the S-answers lose more than half on average.

    Source: an S-cell looks at one place
    """
    return at_most(float(torch.cat([_kept(k, 1, d)[0] for k in range(100) for d in range(4)]).mean()), 0.5)


def beyond_its_reach_a_c_cell_does_mind() -> Check:
    """Three pixels take away at least a third of the C-answers of reach 1 on average.

    Source: equation (3)
    """
    return at_least(1 - float(torch.cat([_kept(k, 3, d)[1] for k in range(100) for d in range(4)]).mean()), 1 / 3)


def _kept(k: int, far: int, direction: int) -> tuple[Tensor, Tensor]:
    shift = ((far, 0), (-far, 0), (0, far), (0, -far))[direction]
    return kept(_digits()[k], _taught().patterns, 4.0, 1, shift)


def what_is_new_gets_rarer() -> Check:
    """After 150 digits fewer than 2 % of inked places of 200 others are unknown to every plane; at first all are.

    Source: Fukushima 1980, self-organisation
    """
    program = _taught()
    seen = patches_of(_digits()[program.order[150:350]])
    return at_most(float((program._answers(seen).amax(-1) <= 0).double().mean()), 0.02)


def patches_of(images: Tensor) -> Tensor:
    """All inked patches of many images, (n, 9)."""
    seen = torch.cat([patches(image).flatten(0, 1) for image in images])
    return seen[seen.norm(dim=-1) > INK]


CARD = Card(
    name="Neocognitron, the idea",
    name_ja="ネオコグニトロンの考え方",
    paper="Fukushima 1980, Neocognitron, Biological Cybernetics 36, doi:10.1007/BF00344251 (Japanese 1979)",
    equations=(
        r"S = r\,\max\left(\frac{1 + e}{1 + \frac{r}{1+r} i} - 1,\; 0\right),\quad e = q\,u \cdot x,\; i = q |u| |x|",
        r"\cos(u, x) > \frac{r}{1 + r}",
        r"C(p) = \max_{|d| \le reach} S(p + d)",
    ),
    summary="Cells that look for a stroke, cells that do not mind where it is, and new ones wherever something is new.",
    summary_ja="線を探すS細胞、位置を気にしないC細胞。見慣れないものがあれば新しい細胞面が加わる。",
    topics=("basics.neocognitron-idea",),
    facts=(
        an_s_cell_fires_above_its_angle,
        its_own_pattern_is_answered_most,
        a_c_cell_does_not_mind_one_pixel,
        an_s_cell_does,
        beyond_its_reach_a_c_cell_does_mind,
        what_is_new_gets_rarer,
    ),
    notes=("A document dates it 1979 and another 1980: the Japanese report and the English article. C-cells here take "
           "the largest answer; those of 1980 take a saturated sum.",),
    notes_ja=("1979年とする資料と1980年とする資料がある。前者は日本語の報告、後者は英語の論文。"
              "ここのC細胞は最大の応答を取る。1980年のものは飽和する和を取る。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How choosy and how tolerant the cells are, and what they are shown."""

    selectivity: float = 4.0
    """r of (1)"""
    reach: int = 1
    """pixels that a C-cell forgives in (3)"""
    planes: int = 200
    """most planes that may be added"""
    images: int = 300
    """digits that are shown"""
    seed: int = 0
    """of the order of the digits"""


VARIANTS = {
    "smoke": Setup(images=60),
    "default": Setup(),
    "choosy": Setup(selectivity=8.0),
}


def build(setup: Setup, place: Place = Place()) -> Neocognitron:  # noqa: B008 - Place is frozen
    """Without a single plane yet; it computes in float64 on the CPU wherever `place` is."""
    in_range(setup, ("selectivity", "reach", "planes", "images"))
    return Neocognitron(setup)
