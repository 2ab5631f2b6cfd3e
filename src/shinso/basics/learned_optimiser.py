r"""An optimiser that was itself optimised: an LSTM learns the update rule (Andrychowicz et al. 2016, arXiv:1606.04474).

    theta = theta + m(grad f(theta), h; phi)                                                             (1)
    L(phi) = E sum_{t=1..T} f(theta_t)                                                                   (2)

One step of this program lets the rule take 20 steps (1) on many functions at once, follows (2) back through those
steps, and improves phi by Adam; after 100 steps fresh functions are drawn. The functions are |W theta - y|^2 of size
10, or small networks that read digits. Nobody tells the rule what momentum is, or a learning rate. The surprise: on
functions of its own kind it comes much further in 100 steps than SGD, RMSProp, Adam or Nesterov with the best rate of
a grid - which are tuned here on the very functions of the test. On another kind it promises nothing.
"""

from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.axes import BLUE, GREEN, GREY, ORANGE, RED, quiet
from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range
from shinso.data.digits import originals
from shinso.optim.gd_by_gd import GDByGD, Problem, Problems, Quadratics, Training, UpdateRule, unroll

RATES = tuple(10.0 ** (k / 3) for k in range(-9, 2))
"""0.001 to 2.2, three of them in every power of ten"""


def rivals(lr: float) -> dict[str, Any]:
    """Optimisers made by hand, as functions of their weights."""
    return {"sgd": lambda w: torch.optim.SGD(w, lr=lr), "rmsprop": lambda w: torch.optim.RMSprop(w, lr=lr),
            "adam": lambda w: torch.optim.Adam(w, lr=lr),
            "nesterov": lambda w: torch.optim.SGD(w, lr=lr, momentum=0.9, nesterov=True)}


@final
class DigitNets:
    """Networks 64-20-10 with a sigmoid that learn digits from batches of 64; theta is all of their weights."""

    SIZES = (20, 64), (20,), (10, 20), (10,)

    def __init__(self, count: int, horizon: int):
        self.count, self.horizon = count, horizon
        images, labels = originals()
        self.x, self.labels = torch.from_numpy(images.reshape(-1, 64) / np.float32(16)), torch.from_numpy(labels)

    def draw(self, draw: torch.Generator) -> Problem:
        """Weights from N(0, 0.1), and which digits are seen at each step, (count, horizon + 1, 64)."""
        n = sum(int(np.prod(size)) for size in self.SIZES)
        rows = torch.randint(len(self.x), (self.count, self.horizon + 1, 64), generator=draw)
        return {"theta": 0.1 * torch.randn(self.count, n, generator=draw), "rows": rows}

    def slope(self, problem: Problem, theta: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """Cross entropy on the batch of step t, and its gradient."""
        rows = problem["rows"][:, t % (self.horizon + 1)]
        with torch.enable_grad():
            theta = theta.detach().requires_grad_()
            parts = theta.split([int(np.prod(size)) for size in self.SIZES], 1)
            W1, b1, W2, b2 = (part.unflatten(1, size) for part, size in zip(parts, self.SIZES, strict=True))
            z = (self.x[rows] @ W1.mT + b1[:, None]).sigmoid() @ W2.mT + b2[:, None]
            heights = F.cross_entropy(z.mT, self.labels[rows], reduction="none").mean(1)
            (g,) = torch.autograd.grad(heights.sum(), theta)
        return heights.detach(), g


@torch.no_grad()
def descent(problems: Problems, problem: Problem, make: Any, steps: int) -> Tensor:
    """Heights (steps, count) along the way of a rival."""
    w, heights = problem["theta"].clone().requires_grad_(), []
    optimiser = make([w])
    w.grad = problems.slope(problem, w.detach(), 0)[1]
    for t in range(1, steps + 1):
        optimiser.step()
        height, w.grad = problems.slope(problem, w.detach(), t)
        heights.append(height)
    return torch.stack(heights)


@torch.no_grad()
def learned_descent(rule: UpdateRule, problems: Problems, problem: Problem, steps: int) -> Tensor:
    """Heights (steps, count) along the way of the rule."""
    return unroll(rule, problems, problem, rule.begin(problem["theta"].numel()), steps=steps)[3]


def tuned(problems: Problems, problem: Problem, steps: int,
          names: tuple[str, ...] = ("sgd", "rmsprop", "adam", "nesterov")) -> dict[str, tuple[float, Tensor]]:
    """Every rival with its best rate of RATES: (rate, heights); judged by the mean height at the end."""
    best: dict[str, tuple[float, Tensor]] = {}
    for lr in RATES:
        for name in names:
            heights = descent(problems, problem, rivals(lr)[name], steps)
            if name not in best or float(heights[-1].mean()) < float(best[name][1][-1].mean()):
                best[name] = lr, heights
    return best


@final
class LearnedOptimiser:
    """Training of the rule, its judgement on fresh functions, and what it does in pictures."""

    def __init__(self, setup: "Setup"):
        self.setup, self.horizon = setup, setup.unroll * max(1, setup.horizon // setup.unroll)
        self.training = Training(_problems(setup, setup.problems, self.horizon), updates=setup.updates,
                                 steps=setup.unroll, horizon=setup.horizon, lr=setup.lr, hidden=setup.hidden,
                                 seed=setup.seed)
        self.total, self.rhythm = setup.updates, max(1, setup.updates // 20)
        self.step, self.state, self.restore = self.training.step, self.training.state, self.training.restore

    def evaluate(self, split: str) -> Record:
        """Mean heights after the horizon on fresh functions: the rule's, and at the test also the tuned rivals'."""
        problems, problem = self._fresh(split)
        last = learned_descent(self.training.rule, problems, problem, self.horizon)[-1]
        record: Record = {"loss": last.mean(), "loss_median": last.median()}
        if split == "test":
            found = tuned(problems, problem, self.horizon)
            record = {**record, **{name: heights[-1].mean() for name, (_, heights) in found.items()}}
        return record

    def networks(self) -> dict[str, nn.Module]:
        return {"rule": self.training.rule}

    def example(self) -> dict[str, Tensor]:
        """Two histories of five gradients."""
        return {"rule": torch.linspace(-1, 1, 10).view(2, 5)}

    def pictures(self) -> dict[str, np.ndarray]:
        problems, problem = self._fresh("pictures")
        found = tuned(problems, problem, self.horizon)
        mine = learned_descent(self.training.rule, problems, problem, self.horizon)
        return {"learned_descent": _race(mine, found), "learned_rule": _answers(self.training.rule)}

    def _fresh(self, name: str) -> tuple[Problems, Problem]:
        problems = _problems(self.setup, self.setup.judged, self.horizon)
        return problems, problems.draw(generator(self.setup.seed, name))


def _problems(setup: "Setup", count: int, horizon: int) -> Problems:
    return Quadratics(count, setup.size) if setup.task == "quadratic" else DigitNets(count, horizon)


def _race(mine: Tensor, found: dict[str, tuple[float, Tensor]]) -> np.ndarray:
    figure = sheet(800, 440)
    axes = figure.subplots()
    names = {"sgd": "SGD", "rmsprop": "RMSProp", "adam": "Adam", "nesterov": "Nesterov"}
    for (name, (lr, heights)), colour in zip(found.items(), (GREY, ORANGE, GREEN, BLUE), strict=True):
        axes.semilogy(range(1, len(heights) + 1), heights.mean(1).numpy(), color=colour, linewidth=1.3,
                      label=f"{names[name]}, {lr:.2g}")
    axes.semilogy(range(1, len(mine) + 1), mine.mean(1).numpy(), color=RED, linewidth=2.4,
                  label="learned / 学習した規則")
    quiet(axes, "mean loss on fresh functions / 初めて見る関数での平均損失", "step / ステップ")
    axes.legend(frameon=False, title="best rate of a grid / 最良の学習率", title_fontsize=9, fontsize=9)
    return pixels(figure)


@torch.no_grad()
def _answers(rule: UpdateRule) -> np.ndarray:
    """Left: the updates of a coordinate whose gradient stays; right: of one whose gradient changes its sign."""
    sizes = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
    figure = sheet(1000, 420)
    panels = figure.subplots(1, 2, sharey=True)
    still = torch.tensor(sizes)[:, None].expand(-1, 40)
    turning = still * (-1.0) ** torch.arange(40)
    for axes, histories, title in zip(panels, (still, turning), (
            "gradient stays / 勾配が一定", "gradient alternates / 勾配の符号が毎回変わる"), strict=True):
        moves = -rule(histories).numpy()
        for move, size, shade in zip(moves, sizes, np.linspace(0.25, 1, len(sizes)), strict=True):
            axes.plot(range(1, 41), move, color=BLUE, alpha=shade, linewidth=1.6, label=f"|g| = {size:g}")
        quiet(axes, title, "step / ステップ")
    panels[0].set_ylabel("step against the gradient / 勾配と逆向きの歩幅", color=GREY)
    panels[1].legend(frameon=False, fontsize=9)
    return pixels(figure)


def _fresh(count: int = 100) -> tuple[Quadratics, Problem]:
    problems = Quadratics(count)
    return problems, problems.draw(generator(0, "fact"))


def _ends(names: tuple[str, ...]) -> tuple[float, float]:
    """(the shipped rule's, the best rival's) mean height of 100 fresh quadratics after 100 steps."""
    problems, problem = _fresh()
    rule = descent(problems, problem, lambda w: GDByGD(w), 100)[-1].mean()
    return float(rule), min(float(tuned(problems, problem, 100, names)[name][1][-1].mean()) for name in names)


def it_beats_what_was_made_by_hand() -> Check:
    """On 100 fresh quadratics of size 10, after 100 steps, SGD, RMSProp and Adam are at least 1.5 times as high.

    Source: Andrychowicz et al. 2016, section 3.1; each with the best of 11 rates for these very functions
    """
    rule, best = _ends(("sgd", "rmsprop", "adam"))
    return at_least(best / rule, 1.5)


def it_beats_nesterov_too() -> Check:
    """So is Nesterov's method with momentum 0.9.

    Source: Andrychowicz et al. 2016, section 3.1; with the best of 11 rates for these very functions
    """
    rule, best = _ends(("nesterov",))
    return at_least(best / rule, 1.5)


def coordinates_share_one_rule() -> Check:
    """Permuting the 50 coordinates of 100 gradients permutes the whole way of the weight, to 1e-12.

    Source: equation (1): one m for all coordinates; Andrychowicz et al. 2016, section 2.1
    """
    draw = generator(0, "gradients")
    gradients, order = torch.randn(100, 50, generator=draw, dtype=torch.float64), torch.randperm(50, generator=draw)
    ways = []
    for given in (gradients, gradients[:, order]):
        w = torch.zeros(50, dtype=torch.float64, requires_grad=True)
        optimiser, way = GDByGD([w]), []
        for g in given:
            w.grad = g
            optimiser.step()
            way.append(w.detach().clone())
        ways.append(torch.stack(way))
    return at_most(float((ways[0][:, order] - ways[1]).abs().max()), 1e-12)


def practice_makes_it_better() -> Check:
    """Thirty improvements of a fresh rule lower the mean height after 100 steps at least tenfold.

    Source: equation (2), minimised
    """
    program = build(Setup(updates=30, problems=16))
    before = float(learned_descent(program.training.rule, *_fresh(50), 100)[-1].mean())
    for i in range(program.total):
        program.step(i)
    return at_least(before / float(learned_descent(program.training.rule, *_fresh(50), 100)[-1].mean()), 10.0)


CARD = Card(
    name="A learned optimiser",
    name_ja="学習された最適化手法",
    paper="Andrychowicz et al. 2016, Learning to learn by gradient descent by gradient descent, arXiv:1606.04474",
    equations=(
        r"\theta = \theta + m(\nabla f(\theta), h; \phi)",
        r"L(\phi) = E\sum_{t=1}^{T} f(\theta_t)",
    ),
    summary="An LSTM learns to update weights, and overtakes the optimisers made by hand on functions of its own kind.",
    summary_ja="LSTM が重みの更新の仕方を学習し、学習したのと同じ種類の関数では、人が設計した手法を追い越す。",
    topics=("optim.gd-by-gd",),
    facts=(it_beats_what_was_made_by_hand, it_beats_nesterov_too, coordinates_share_one_rule,
           practice_makes_it_better),
    notes=("The rivals have their rates chosen on the functions of the test itself, which favours them.",
           "Only functions of the same distribution are won: see the card of optim.gd_by_gd for where it fails.",),
    notes_ja=("比較相手の学習率は評価に使う関数そのもので選んでおり、相手に有利な条件である。",
              "勝てるのは同じ分布の関数だけである。うまくいかない場合は optim.gd_by_gd のカードに示す。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What the rule is trained on, and for how long."""

    task: Literal["quadratic", "mlp"] = "quadratic"
    """quadratic: |W theta - y|^2; mlp: small networks that read digits"""
    size: int = 10
    """dimensions of theta in the quadratics"""
    problems: int = 64
    """functions at once"""
    updates: int = 600
    """improvements of the rule"""
    unroll: int = 20
    """steps of the rule before each improvement"""
    horizon: int = 100
    """steps after which fresh functions are drawn"""
    hidden: int = 20
    """cells of each LSTM layer"""
    lr: float = 0.01
    """learning rate of Adam, which improves the rule"""
    judged: int = 200
    """fresh functions on which it is judged"""
    seed: int = 0
    """of the first rule and of the functions"""


VARIANTS = {
    "smoke": Setup(problems=4, updates=40, unroll=10, horizon=40, hidden=8, judged=8),
    "default": Setup(),
    "shipped": Setup(updates=3000),
    "mlp": Setup(task="mlp", problems=4, updates=300, judged=8),
}


def build(setup: Setup, place: Place = Place()) -> LearnedOptimiser:  # noqa: B008 - a frozen value
    """The numbers are those of the CPU, wherever `place` is."""
    in_range(setup, ("size", "problems", "updates", "unroll", "horizon", "hidden", "lr", "judged"))
    return LearnedOptimiser(setup)
