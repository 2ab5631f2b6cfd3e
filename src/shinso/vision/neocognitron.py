r"""Neocognitron: the network of 1980 that sorts digits without being told what they are (Fukushima 1980).

Three times S-cells look for a pattern in a window of all planes below, and C-cells look away from where it was:

    S = r max((1 + sum a u) / (1 + 2r/(1+r) b v) - 1, 0),   v = sqrt(sum c u^2)                    (1)
    C = psi((1 + sum d S) / (1 + mean over planes of sum d S) - 1),   psi(x) = x/(x + 1/2) if x > 0    (2)

a and b learn, c and d are given and fall off from the middle of a window. Where an S-cell answers more than all those
around it in every plane it is a seed, one for a plane, and all cells of its plane learn what it sees:

    a += q c u,   b += q/2 v                                                                       (3)

After (3) a plane answers patterns within an angle of what it learned, whatever their strength, and nothing else:

    sum c u x > r/(1+r) v(u) v(x)                                                                  (4)

so another pattern finds the place free and makes another plane its own. Nobody names anything, no error is computed, no
weight is ever negative: inhibition divides, it does not subtract, and a convolution with a ReLU is something else.

The surprise: shown five drawings at nine places, the last layer ends with one plane for each, and they answer at 25
places. On real handwriting 24 planes of the last layers are too few; but what the first one's C-cells say, taught and
untaught planes together, gives a linear read-out more than pixels do.
"""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from shinso.core.axes import bare
from shinso.core.card import Card, Check, at_least, exactly
from shinso.core.errors import UserError
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range
from shinso.data.examples import Split, open_data
from shinso.vision._retina import read_out, retina, shown

LABELS = 1000
"""most labelled examples that a read-out gets"""


def falling(size: int, factor: float) -> Tensor:
    """factor^distance from the middle, (size, size)."""
    away = torch.arange(size) - (size - 1) / 2
    return factor ** (away[:, None] ** 2 + away**2).sqrt()


@final
class Stage:
    """S- and C-cells of one stage: (n, entering, height, width) -> (n, planes, less height, less width)."""

    def __init__(self, entering: int, planes: int, *, r: float, q: float, pad: int, pool: int, draw: torch.Generator):
        self.r, self.q, self.pad = r, q, pad
        self.stride, self.border = (2, (3, 4, 3, 4)) if pool > 2 else (1, (0, 0, 0, 0))
        fixed = falling(5, 0.9)
        self.c = (fixed / fixed.sum() / entering).expand(1, entering, 5, 5)
        self.d = falling(pool, 0.8)
        self.a = 1e-3 * torch.rand(planes, entering, 5, 5, generator=draw) * fixed / fixed.sum()
        self.b = torch.zeros(planes)

    def s_cells(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """S of (1), and v (n, 1, height, width)."""
        excited = F.conv2d(u, self.a, padding=self.pad)
        v = F.conv2d(u * u, self.c, padding=self.pad).clamp_min(0).sqrt()
        inhibited = 2 * self.r / (1 + self.r) * self.b.view(1, -1, 1, 1) * v
        return self.r * ((1 + excited) / (1 + inhibited) - 1).clamp_min(0), v

    def c_cells(self, s: Tensor) -> Tensor:
        """C of (2)."""
        each = F.conv2d(F.pad(s, self.border).flatten(0, 1)[:, None], self.d[None, None], stride=self.stride)
        each = each.view(*s.shape[:2], *each.shape[2:])
        x = ((1 + each) / (1 + each.mean(1, keepdim=True)) - 1).clamp_min(0)
        return x / (x + 0.5)

    def seeds(self, s: Tensor) -> list[tuple[int, int, int]]:
        """(plane, row, column) of the winners in what one picture (planes, height, width) makes the S-cells say."""
        best = F.max_pool2d(s.amax(0)[None, None], 5, 1, 2)[0, 0]  # in every plane, within two places
        winners = torch.where(s == best, s, 0).flatten(1).max(1)
        strong = (winners.values > 0).nonzero().flatten().tolist()
        return [(k, *divmod(int(winners.indices[k]), s.shape[2])) for k in strong]

    def learn(self, u: Tensor) -> int:
        """(3) for one picture (1, entering, height, width); returns how many planes learned."""
        s, v = self.s_cells(u)
        wide, found = F.pad(u, (self.pad,) * 4)[0], self.seeds(s[0])
        for k, y, x in found:
            self.a[k] += self.q * self.c[0] * wide[:, y : y + 5, x : x + 5]
            self.b[k] += self.q / 2 * v[0, 0, y, x]
        return len(found)

    @property
    def used(self) -> int:
        """Planes that have learned something."""
        return int((self.b > 0).sum())


def layers(stages: list[Stage], pictures: Tensor) -> list[Tensor]:
    """What the C-cells of each stage say to pictures (n, 1, 16, 16)."""
    said = []
    for stage in stages:
        pictures = stage.c_cells(stage.s_cells(pictures)[0])
        said.append(pictures)
    return said


def strokes(stage: Stage, pictures: Tensor) -> Tensor:
    """What the C-cells of a first stage say, in taught and untaught planes: (n, planes, 10, 10)."""
    return stage.c_cells(stage.s_cells(pictures)[0])


@final
class Neocognitron:
    """One step shows one picture to all three stages, each of which learns from what the one below says."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total, self.rhythm = setup, setup.images, setup.images
        draw, entering, self.stages = generator(setup.seed, "weights"), 1, []
        for r, q, pad, pool in zip(setup.selectivity, setup.speed, (2, 1, 0), (5, 5, 2), strict=True):
            self.stages.append(Stage(entering, setup.planes, r=r, q=q, pad=pad, pool=pool, draw=draw))
            entering = setup.planes
        self.source = None if setup.retina == "drawn" else open_data(setup.retina)
        if self.source is not None and len(self.source.about.shape) != 3:
            raise UserError(f"retina '{setup.retina}'", "these are points", "give pictures, say mnist, or drawn")

    def picture(self, i: int) -> Tensor:
        """What step i shows, (1, 1, 16, 16)."""
        draw = generator(self.setup.seed, f"shown/{i}")
        if self.source is None:
            far = self.setup.shift
            down, right = torch.randint(-far, far + 1, (2,), generator=draw).tolist()
            order = torch.randperm(5, generator=generator(self.setup.seed, f"order/{i // 5}"))
            return shown(int(order[i % 5]), down, right)
        return retina(self.source.train.pick(torch.randint(len(self.source.train), (1,), generator=draw)))

    def step(self, i: int) -> Record:
        u, learned = self.picture(i), 0
        for stage in self.stages:
            learned += stage.learn(u)
            u = stage.c_cells(stage.s_cells(u)[0])
        used = {f"planes_{k + 1}": float(stage.used) for k, stage in enumerate(self.stages)}
        return {**used, "seeds": float(learned), "firing": float((u > 0).sum())}

    def winners(self) -> Tensor:
        """Which plane of the last layer answers most to each drawing at each of 25 places, (5, 25); -1 for none."""
        places = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
        said = layers(self.stages, torch.cat([shown(k, *place) for k in range(5) for place in places]))[-1].flatten(1)
        return torch.where(said.amax(1) > 0, said.argmax(1), -1).view(5, 25)

    def evaluate(self, split: str) -> Record:
        """Of drawings: how many have a plane of their own, and how often it answers; of data: two read-outs."""
        if self.source is None:
            own, share = owners(self.winners())
            return {"own_planes": float(own), "accuracy": share, "loss": 1 - share}
        few, asked = self.source.train, getattr(self.source, split)
        if not len(few) or not len(asked):
            return {"accuracy": 0.0, "pixels": 0.0, "loss": 1.0}
        X, y = _some(few, generator(self.setup.seed, "labels"))
        Xt, yt = _some(asked, generator(self.setup.seed, split), 2000)
        classes = len(self.source.about.classes)
        X, Xt = retina(X), retina(Xt)
        right = {"accuracy": (strokes(self.stages[0], X), strokes(self.stages[0], Xt)), "pixels": (X, Xt)}
        found = {name: float((read_out(a, y, b, classes) == yt).double().mean()) for name, (a, b) in right.items()}
        return {**found, "loss": 1 - found["accuracy"]}  # the share of wrong answers

    def state(self) -> dict[str, Any]:
        return {"stages": [{"a": stage.a, "b": stage.b} for stage in self.stages]}

    def restore(self, state: dict[str, Any]) -> None:
        for stage, saved in zip(self.stages, state["stages"], strict=True):
            stage.a, stage.b = saved["a"].clone(), saved["b"].clone()

    def pictures(self) -> dict[str, np.ndarray]:
        """The patterns of the first S-cells, and what every layer says to five pictures."""
        return {"strokes": _strokes(self.stages[0]), "layers": _layers(self)}


def owners(winners: Tensor) -> tuple[int, float]:
    """How many different planes are the usual winners of the rows, and the share of answers that they give."""
    usual = [Counter(row).most_common(1)[0] for row in winners.tolist()]
    return len({plane for plane, _ in usual if plane >= 0}), sum(count for _, count in usual) / winners.numel()


def _some(split: Split, draw: torch.Generator, most: int = LABELS) -> tuple[Tensor, Tensor]:
    index = torch.randperm(len(split), generator=draw)[:most]
    return split.pick(index).float(), split.targets[index]


def _strokes(stage: Stage) -> np.ndarray:
    learned = (stage.b > 0).nonzero().flatten().tolist() or [0]
    figure = sheet(800, 60 + 110 * -(-len(learned) // 8))
    grid = figure.subplots(-(-len(learned) // 8), 8, squeeze=False).flat
    for axes, k in zip(grid, [*learned, *[-1] * (-len(learned) % 8)], strict=True):
        axes.set_axis_off()
        if k >= 0:
            bare(axes, (stage.a[k, 0] / stage.c[0, 0]).numpy(), colours="viridis")
    return pixels(figure)


def _layers(program: Neocognitron) -> np.ndarray:
    figure = sheet(800, 760)
    titles = ("picture / 画像", "C1", "C2", "C3, 24 planes / 面")
    for k, row in enumerate(figure.subplots(5, 4, width_ratios=(1, 1, 1, 2))):
        seen = shown(k, 0, 0) if program.source is None else program.picture(k)
        said = layers(program.stages, seen)
        for axes, image, title in zip(row, (seen[0, 0], said[0][0].amax(0), said[1][0].amax(0)), titles, strict=False):
            bare(axes, image.numpy(), title if k == 0 else "", "gray" if image is seen[0, 0] else "inferno")
        row[3].bar(range(program.setup.planes), said[2].flatten().numpy(), color="#0f172a")
        row[3].set(ylim=(0, 1), yticks=(0, 1), title=titles[3] if k == 0 else "")
        row[3].spines[["top", "right"]].set_visible(False)
        row[3].tick_params(labelsize=8)
        row[3].title.set_fontsize(9)
    return pixels(figure)


@cache
def _taught() -> Neocognitron:
    program = Neocognitron(Setup())
    for i in range(program.total):
        program.step(i)
    return program


def every_drawing_has_a_plane_of_its_own() -> Check:
    """After 100 showings of the digits 0 to 4 within a pixel of the middle, 5 different planes are their usual winners.

    Source: Fukushima 1980, section 5
    """
    return exactly(owners(_taught().winners())[0], 5)


def it_answers_wherever_the_drawing_is() -> Check:
    """Of the 5 drawings at 25 places each, up to 2 pixels away, at least 95 percent are answered by their own plane.

    Source: Fukushima 1980, section 5: not affected by shifts in position
    """
    return at_least(owners(_taught().winners())[1], 0.95)


def no_weight_is_negative() -> Check:
    """The least of all weights a, b, c, d of the taught net is at least 0.

    Source: equation (3): only what is not negative is ever added
    """
    return at_least(min(float(w.min()) for s in _taught().stages for w in (s.a, s.b, s.c, s.d)), 0.0)


def nothing_is_differentiated() -> Check:
    """Weights and answers that carry a gradient: 0.

    Source: the rule (3) needs none
    """
    stages = _taught().stages
    said = [w for s in stages for w in (s.a, s.b)] + layers(stages, shown(3, 0, 0))
    return exactly(sum(t.requires_grad for t in said), 0)


def what_is_known_takes_no_new_plane() -> Check:
    """A drawing shown 10 times more at the same place to a fresh first stage takes no plane beyond the first time.

    Source: winner takes all: a seed cell stands in the plane that answers most
    """
    stage, u = Neocognitron(Setup()).stages[0], shown(4, 0, 0)
    stage.learn(u)
    before = stage.used
    for _ in range(10):
        stage.learn(u)
    return exactly(stage.used - before, 0)


def a_taught_cell_fires_within_its_angle() -> Check:
    """Of 5,000 patches, after one lesson, those for which S > 0 is not (4): 0.

    Source: equation (4)
    """
    draw = generator(0, "patches")
    stage = Stage(1, 1, r=4.0, q=16.0, pad=0, pool=2, draw=draw)
    faint = stage.a.clone()
    u = torch.rand(1, 1, 5, 5, generator=draw)
    stage.learn(u)
    stage.a -= faint  # what was there before the lesson has no part in (4)
    x = (u + 2 * torch.rand(5000, 1, 1, 1, generator=draw) * torch.rand(5000, 1, 5, 5, generator=draw)).double()
    s, _ = stage.s_cells(x.float())
    angle = (stage.c * u * x).sum((1, 2, 3)) / ((stage.c * u * u).sum() * (stage.c * x * x).sum((1, 2, 3))).sqrt()
    sure = (angle - 0.8).abs() > 1e-4
    return exactly(float(((s.flatten() > 0) != (angle > 0.8))[sure].sum()), 0)


def inhibition_divides() -> Check:
    """The trap: at a tenth of the contrast the taught first stage answers at the same places; those that change: 0.

    Source: equation (4) has no scale; a ReLU behind a convolution with a bias falls silent
    """
    stage, wrong = _taught().stages[0], 0
    for k in range(5):
        bright, dim = (stage.s_cells(light * shown(k, 0, 0))[0][:, stage.b > 0] > 1e-4 * light for light in (1.0, 0.1))
        wrong += int((bright != dim).sum())
    return exactly(wrong, 0)


def strokes_say_more_than_pixels() -> Check:
    """Shown 60 digits without labels, the first C-cells give a read-out of 1,000 labels 0.5 percent more right.

    Source: 359 other digits are asked; the read-out of pixels is fitted in the same way
    """
    program = Neocognitron(replace(VARIANTS["digits"], images=60))
    stage, data = program.stages[0], open_data("digits")
    for i in range(60):
        stage.learn(program.picture(i))
    X, Xt, y = retina(data.train.inputs[:1000]), retina(data.test.inputs), data.train.targets[:1000]
    pairs = (X, Xt), (strokes(stage, X), strokes(stage, Xt))
    right = [(read_out(a, y, b, 10) == data.test.targets).double().mean() for a, b in pairs]
    return at_least(float(right[1] - right[0]), 0.005)


CARD = Card(
    name="Neocognitron",
    name_ja="ネオコグニトロン",
    paper="Fukushima 1980, Biological Cybernetics 36, doi:10.1007/BF00344251 (in Japanese 1979)",
    equations=(
        r"S = r\,\max\left(\frac{1 + \sum a u}{1 + \frac{2r}{1+r} b v} - 1,\; 0\right),\quad v = \sqrt{\sum c u^2}",
        r"C = \psi\left(\frac{1 + \sum d S}{1 + \overline{\sum d S}} - 1\right),\quad \psi(x) = \frac{x}{x + 1/2}",
        r"a \leftarrow a + q\,c\,u,\quad b \leftarrow b + \frac{q}{2} v",
        r"\sum c\,u\,x > \frac{r}{1+r}\,v(u)\,v(x)",
    ),
    summary="The convolutional net of 1980: it sorts digits wherever they stand, without labels or gradients.",
    summary_ja="1980年の畳み込みネットワーク。ラベルも勾配も使わず、数字がどこにあっても自分で見分けるようになる。",
    topics=("vision.neocognitron",),
    facts=(every_drawing_has_a_plane_of_its_own, it_answers_wherever_the_drawing_is, no_weight_is_negative,
           nothing_is_differentiated, what_is_known_takes_no_new_plane, a_taught_cell_fires_within_its_angle,
           inhibition_divides, strokes_say_more_than_pixels),
    notes=(
        "1979 is the Japanese paper, 1980 the English one that is usually cited.",
        "It is not trained by backpropagation, and a ReLU behind a convolution is no S-cell: inhibition divides.",
        "The paper prints layers of 16, 10, 8, 6, 2 and 1 cells a side and windows of 5; the C-cells of the first two "
        "stages are here two places apart with a border of 3 and 4, which gives these sizes.",
        "The paper's r = 4, 1.5, 1.5 and q = 1, 16, 16 are the variant of handwriting. For these five drawings of one "
        "pixel's width r = 6, 2.5, 1.5 and q = 16 are used: with the paper's, from one start of two, 0 and 1 share.",
        "The read-out is of the first C-cells: with 24 planes the deeper ones tell less of handwriting than pixels do. "
        "On the blurred packaged digits it gains a little from 1,000 labels, and loses with 300; there the planes that "
        "never learned and keep their random first weights do the work: the taught ones alone lose 3.9 percent.",
    ),
    notes_ja=(
        "1979年は日本語の論文、1980年は普通引用される英語の論文である。",
        "誤差逆伝播では訓練しない。また、畳み込みの後のReLUはS細胞ではない。抑制は割り算で働く。",
        "論文の層は一辺 16、10、8、6、2、1 個の細胞、窓は 5 である。ここでは初めの二段のC細胞を、"
        "縁 3 と 4 を付けて二つおきに置き、この大きさにしている。",
        "論文の r = 4, 1.5, 1.5 と q = 1, 16, 16 は手書き文字の変種で使う。一画素幅の五つの図形には r = 6, 2.5, 1.5、"
        "q = 16 を使う。論文の値では、二つの初期値のうち一つで 0 と 1 が同じ面を共有した。",
        "読み出しは最初のC細胞から行う。24 面では、より深い細胞は手書き文字について画素ほども語らない。"
        "同梱のぼやけた数字では、1,000 個のラベルなら少し良くなり、300 個では悪くなる。"
        "そこで働いているのは、学習せず初期の乱数の重みを保つ面で、学習した面だけでは 3.9 パーセント悪くなる。",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What the net sees and how choosy it is."""

    retina: str = "drawn"
    """drawn: the digits 0 to 4 in thin strokes; or a data set of pictures: digits, mnist, folder:PATH ..."""
    images: int = 100
    """pictures that are shown, one a step"""
    shift: int = 1
    """pixels that a drawing may be away from the middle while learning, at most 3"""
    selectivity: tuple[float, ...] = (6.0, 2.5, 1.5)
    """r of each of the three stages"""
    speed: tuple[float, ...] = (16.0, 16.0, 16.0)
    """q of each stage"""
    planes: int = 24
    """cell planes of each layer"""
    seed: int = 0
    """of the first weights, the order and the places"""


VARIANTS = {
    "smoke": Setup(images=40),
    "default": Setup(),
    "digits": Setup(retina="digits", images=300, selectivity=(6.0, 1.5, 1.5)),
    "mnist": Setup(retina="mnist", images=500, selectivity=(4.0, 1.5, 1.5), speed=(1.0, 16.0, 16.0)),
}


def build(setup: Setup, place: Place = Place()) -> Neocognitron:  # noqa: B008 - a frozen value
    """With faint first weights that prefer nothing much; it computes on the CPU wherever `place` is."""
    in_range(setup, ("images", "planes"), ())
    if not 0 <= setup.shift <= 3:
        raise UserError("shift", f"{setup.shift} is not 0 to 3 pixels", "the retina has no more room around a drawing")
    for name in ("selectivity", "speed"):
        if len(getattr(setup, name)) != 3 or min(getattr(setup, name)) <= 0:
            raise UserError(name, "there are three stages, each with a number above 0", "give for example 6,2.5,1.5")
    return Neocognitron(setup)
