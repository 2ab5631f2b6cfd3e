r"""Trainable projected gradient: words of +1 and -1 seen through noise (Wadayama and Takabe 2019; Takabe et al. 2019).

A word x in {-1, 1}^n is received as y = A x + w with normal noise w, as in code division or MIMO. The likeliest word is
the nearest A x, among 2^n of them. Instead, T times, a gradient step and a soft way back to the words:

    r = s + b_t (y - s A^T) A,   s = tanh(a r)                                                          (1)

written for rows s and y, where A s reads s A^T. tanh(a r) is what a Bayesian expects of one sign: for r = x + N(0, 1/a)

    E[x | r] = (e^{ar} - e^{-ar}) / (e^{ar} + e^{-ar}) = tanh(a r)                                      (2)

and in the limit of large a it is the projection onto the words, sign(r) (3). The steps b_t alone are learned, one
iteration after another. The surprise: s cannot leave [-1, 1], so steps far above the 2/L beyond which a linear
iteration explodes (4) are safe here, and training uses them: a few unequal steps do what no constant one does.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, final

import numpy as np
import torch
from torch import Generator, Tensor

from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range
from shinso.learn.incremental import Incremental, Numbers


def detect(y: Tensor, A: Tensor, steps: Tensor, sharp: float) -> list[Tensor]:
    """s before and after every step, for y (words, m), A (m, n) and steps (T,): T + 1 tensors (words, n)."""
    path = [y.new_zeros(len(y), A.shape[1])]
    for b in steps:
        path.append(torch.tanh(sharp * _pulled(path[-1], y, A, b)))  # (1)
    return path


def detect_hard(y: Tensor, A: Tensor, steps: Tensor) -> list[Tensor]:
    """The same with the projection (3) in place of tanh."""
    path = [y.new_zeros(len(y), A.shape[1])]
    for b in steps:
        path.append(_pulled(path[-1], y, A, b).sign())  # (3)
    return path


def _pulled(s: Tensor, y: Tensor, A: Tensor, b: Tensor) -> Tensor:
    return s + b * ((y - s @ A.T) @ A)


def expected_sign(r: Tensor, sharp: float) -> Tensor:
    """E[x | r] of (2) from the two normal densities of r given x = 1 and x = -1."""
    up, down = (-(r - 1) ** 2 * sharp / 2).exp(), (-(r + 1) ** 2 * sharp / 2).exp()
    return (up - down) / (up + down)


@final
class Detector:
    """One channel A, words drawn anew for every update, and the steps that fit it."""

    def __init__(self, setup: "Setup"):
        self.setup, self.rhythm = setup, setup.steps
        draw = generator(setup.seed, "channel")
        self.A = torch.randn(setup.size, setup.size, generator=draw, dtype=torch.float64)
        self.largest = float(torch.linalg.matrix_norm(self.A, 2)) ** 2  # L of (4)
        start = torch.full((setup.iterations,), setup.start / self.largest, dtype=torch.float64)
        self.inner = Incremental({"b": start}, self._loss, steps=setup.steps, lr=setup.lr / self.largest,
                                 seed=setup.seed, describe=self._describe)
        self.total = self.inner.total

    def step(self, i: int) -> Record:
        return self.inner.step(i)

    def evaluate(self, split: str) -> Record:
        """On 1000 new words after T iterations: squared error and wrong signs, and those of the best constant step."""
        x, y = self.words(1000, generator(self.setup.seed, split))
        trained, constant = (detect(y, self.A, steps, self.setup.sharp)[-1] for steps in (self.steps(), self.best()))
        return {"loss": (trained - x).square().mean(), "loss_constant": (constant - x).square().mean(),
                "wrong_signs": (trained * x <= 0).double().mean(),
                "wrong_signs_constant": (constant * x <= 0).double().mean()}

    def words(self, count: int, draw: Generator) -> tuple[Tensor, Tensor]:
        """Words (count, n) and what is received of them (count, n)."""
        shape = (count, self.setup.size)
        x = 2.0 * torch.randint(0, 2, shape, generator=draw).double() - 1
        return x, x @ self.A.T + self.setup.noise * torch.randn(shape, generator=draw, dtype=torch.float64)

    def best(self) -> Tensor:
        """The constant step, as (T,), of the least error on 300 words, among 40 from 0.1/L to 100/L."""
        x, y = self.words(300, generator(self.setup.seed, "constants"))
        tried = [torch.full((self.setup.iterations,), float(b) / self.largest, dtype=torch.float64)
                 for b in np.logspace(-1, 2, 40)]
        return min(tried, key=lambda b: float((detect(y, self.A, b, self.setup.sharp)[-1] - x).square().mean()))

    def steps(self) -> Tensor:
        """b (T,), as far as it has been learned."""
        return self.inner.learned()["b"]

    def state(self) -> dict[str, Any]:
        return self.inner.state()

    def restore(self, state: dict[str, Any]) -> None:
        self.inner.restore(state)

    def pictures(self) -> dict[str, np.ndarray]:
        """The learned steps in units of 1/L, and the error after every iteration beside constants."""
        return {"learned_steps": _draw_steps(self), "detection_error": _draw_errors(self)}

    def _loss(self, numbers: Numbers, depth: int, draw: Generator) -> Tensor:
        x, y = self.words(self.setup.batch_size, draw)
        return (detect(y, self.A, numbers["b"][:depth], self.setup.sharp)[-1] - x).square().mean()

    @torch.no_grad()
    def _describe(self, numbers: Numbers, depth: int, draw: Generator) -> Record:
        return {"newest_step": numbers["b"][depth - 1] * self.largest}


def _draw_steps(program: Detector) -> np.ndarray:
    figure = sheet(800, 380)
    axes = figure.subplots()
    t = np.arange(1, program.setup.iterations + 1)
    learned, best = program.steps().numpy() * program.largest, float(program.best()[0]) * program.largest
    axes.axhline(2, color="0.5", linestyle=":", linewidth=1.5, label="2/L (4)")
    axes.axhline(best, color="tab:blue", label=f"best constant / 最良の定数: {best:.3g}/L")
    axes.vlines(t, 0, learned, color="tab:red", linewidth=2)
    axes.plot(t, learned, "o", color="tab:red", markersize=8, label="learned / 学習した歩幅")
    axes.set(xticks=t, xlabel="iteration t / 反復", ylabel="step length × L / 歩幅 × L")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return pixels(figure)


def _draw_errors(program: Detector) -> np.ndarray:
    figure = sheet(800, 420)
    axes = figure.subplots()
    x, y = program.words(1000, generator(program.setup.seed, "test"))
    best, one = program.best(), torch.ones(program.setup.iterations, dtype=torch.float64) / program.largest
    rules = (("learned / 学習", program.steps(), "tab:red", "o"), ("best constant / 最良の定数", best, "tab:blue", "s"),
             ("b = 1/L", one, "tab:green", "^"), ("b = 2/L", 2 * one, "tab:orange", "D"))
    for name, steps, colour, marker in rules:
        errors = [float((s - x).square().mean()) for s in detect(y, program.A, steps, program.setup.sharp)]
        axes.plot(10 * np.log10(np.maximum(errors, 1e-12)), color=colour, marker=marker, markersize=5, label=name)
    axes.set(xticks=np.arange(program.setup.iterations + 1), xlabel="iterations / 反復回数",
             ylabel="mean squared error [dB] / 平均二乗誤差")
    axes.grid(True, color="0.9")
    axes.legend(frameon=False)
    return pixels(figure)


@cache
def _trained() -> dict[str, float]:
    program = Detector(Setup(size=30, iterations=4, steps=40))
    for i in range(program.total):
        program.step(i)
    return {name: float(value) for name, value in program.evaluate("test").items()}


def a_sign_is_expected_by_its_tanh() -> Check:
    """For a = 0.5, 8 and 20 and 601 values of r from -3 to 3 the mean of (2) is tanh(a r): the difference, 1e-10.

    Source: Bayes; Takabe et al. 2019, arXiv:1812.10044
    """
    r = torch.linspace(-3, 3, 601, dtype=torch.float64)
    return at_most(max(float((expected_sign(r, a) - torch.tanh(a * r)).abs().max()) for a in (0.5, 8.0, 20.0)), 1e-10)


def the_hard_limit_is_the_projection() -> Check:
    """With a = 1e9 every one of 5 iterations on 200 words of 50 signs is that with sign(r): they differ by 0.

    Source: equation (3)
    """
    program = Detector(Setup(size=50))
    _, y = program.words(200, generator(0, "fact"))
    b = torch.full((5,), 2 / program.largest, dtype=torch.float64)
    pairs = zip(detect(y, program.A, b, 1e9), detect_hard(y, program.A, b), strict=True)
    return exactly(max(float((soft - hard).abs().max()) for soft, hard in pairs), 0.0)


def trained_steps_beat_every_constant() -> Check:
    """Four iterations on 30 signs: the trained error on new words is below 0.8 of that of the best of 40 constants.

    Source: Wadayama and Takabe 2019; the constants lie between 0.1/L and 100/L
    """
    return at_most(_trained()["loss"] / _trained()["loss_constant"], 0.8)


def and_make_fewer_mistakes() -> Check:
    """Their share of wrong signs, divided by that of the best constant, is below 0.8 too.

    Source: Wadayama and Takabe 2019
    """
    return at_most(_trained()["wrong_signs"] / _trained()["wrong_signs_constant"], 0.8)


def the_box_is_never_left() -> Check:
    """With b = 20/L, ten times the limit (4), |s| is at most 1 in each of 50 iterations.

    Source: |tanh| is at most 1
    """
    program = Detector(Setup(size=50))
    _, y = program.words(20, generator(0, "fact"))
    b = torch.full((50,), 20 / program.largest, dtype=torch.float64)
    return at_most(max(float(s.abs().max()) for s in detect(y, program.A, b, 8.0)), 1.0)


def without_tanh_it_explodes() -> Check:
    """The contrast: the same steps without the way back, s = r, grow beyond 1e50 in those 50 iterations.

    Source: equation (4): 1 - b L = -19
    """
    program = Detector(Setup(size=50))
    _, y = program.words(20, generator(0, "fact"))
    s = torch.zeros_like(y)
    for _ in range(50):
        s = _pulled(s, y, program.A, torch.tensor(20 / program.largest))
    return at_least(float(s.abs().max()), 1e50)


CARD = Card(
    name="Trainable projected gradient",
    name_ja="学習型射影勾配法 (TPG)",
    paper="Wadayama and Takabe 2019, Deep learning-aided trainable projected gradient decoding for LDPC codes; "
          "Takabe, Imanishi, Wadayama, Hayakawa, Hayashi 2019, arXiv:1812.10044",
    equations=(
        r"r = s + b_t\,(y - s A^T)\,A,\quad s = \tanh(a\,r)",
        r"E[x|r] = \frac{e^{ar} - e^{-ar}}{e^{ar} + e^{-ar}} = \tanh(a\,r)",
        r"\tanh(a\,r) \to \mathrm{sign}(r)\quad (a \to \infty)",
        r"b < 2/L,\quad L = \|A\|_2^2",
    ),
    summary="Finds a word of signs behind a linear channel by gradient steps of learned lengths and a soft projection.",
    summary_ja="線形の通信路の向こうにある ±1 の語を、学習した歩幅の勾配ステップと滑らかな射影で検出する。",
    topics=("optim.projected-gradient",),
    facts=(
        a_sign_is_expected_by_its_tanh,
        the_hard_limit_is_the_projection,
        trained_steps_beat_every_constant,
        and_make_fewer_mistakes,
        the_box_is_never_left,
        without_tanh_it_explodes,
    ),
    notes=("The notebook's nested functions read the batch size as a global: changed after building, it is not heard.",
           "Its first step length, 0.01 for n = 500, is about ten times 2/L: it works by the saturation of tanh alone.",
           "It judges a single word; here the figures are of 1000. tanh is no projection, only its limit (3) is."),
    notes_ja=("ノートブックの内側の関数はバッチサイズをグローバル変数として読む。構築後に変えても反映されない。",
              "歩幅の初期値 0.01 は n = 500 では 2/L の約十倍である。tanh の飽和があって初めて動く。",
              "ノートブックは一語だけで評価するが、ここでは1000語である。射影なのは tanh でなく極限 (3) である。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A square random channel, and how its steps are learned."""

    size: int = 50
    """n, signs in a word, and as many numbers received"""
    noise: float = 0.5
    """standard deviation of the noise"""
    iterations: int = 8
    """T, the steps that are written out"""
    sharp: float = 8.0
    """a of (1)"""
    start: float = 1.0
    """length of every step before training, times L"""
    steps: int = 60
    """updates of Adam in each generation; generation g trains the first g iterations"""
    lr: float = 0.05
    """learning rate of Adam, times L"""
    batch_size: int = 50
    """words in each update"""
    seed: int = 0
    """of the channel, the words and the noise"""


VARIANTS = {
    "smoke": Setup(size=20, iterations=4, steps=10, batch_size=20),
    "default": Setup(),
}


def build(setup: Setup, place: Place = Place()) -> Detector:  # noqa: B008 - a frozen value
    """The training, in float64 on the CPU."""
    in_range(setup, ("size", "iterations", "sharp", "steps", "lr", "batch_size"))
    return Detector(setup)
