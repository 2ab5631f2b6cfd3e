r"""A wide network on separable data makes finitely many updates, whatever its width (Brutzkus et al. 2018).

    N(x) = sum_i v_i s(w_i x),   v_i = +-1/sqrt(2 k), half of each,   s(u) = max(u, alpha u)         (1)
    hinge loss max(1 - y N(x), 0),   one example at a time:  w_i <- w_i + eta y v_i s'(w_i x) x  if y N(x) < 1   (2)

with v fixed, |x| <= 1 and labels such that y u x >= 1 for some vector u. As for the perceptron, two things happen at
each update: the weights turn towards (u, .., u, -u, .., -u) by at least eta alpha sqrt(2 k), and their squared length
grows by at most 2 eta + eta^2, since sum_i v_i s'(w_i x) w_i x = N(x). So T updates obey

    T eta alpha <= |u| (2 |W_0| + sqrt(T (2 eta + eta^2)))                                           (3)

and T is finite, without the width k in it. From then on every example is right with a margin.

The surprise: a thousand times more weights than examples, not one more update, and no overfitting: since the net is a
function of the few examples at which it was updated, it can be compressed, and what is compressed generalises. With
alpha = 0, a plain ReLU, (3) says nothing: a start exists from which nothing ever moves.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from shinso.core.axes import BLUE, GREY, ORANGE, quiet
from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import derive
from shinso.core.setup import in_range
from shinso.learn.sweep import Columns, Sweep

Arrays = tuple[np.ndarray, np.ndarray]


def examples(number: int, dimensions: int, margin: float, seed: int, name: str) -> Arrays:
    """Unit vectors x (n, d) at least `margin` from the plane x_1 = 0, and y = the sign of x_1, (n,)."""
    draw = np.random.default_rng(derive(seed, name))
    side = draw.choice([-1.0, 1.0], number)
    first = side * np.sqrt(draw.uniform(margin**2, 1, number))
    rest = draw.standard_normal((number, dimensions - 1))
    rest *= (np.sqrt(1 - first**2) / np.linalg.norm(rest, axis=1))[:, None]
    return np.column_stack([first, rest]), side


def top(width: int) -> np.ndarray:
    """v: plus for the first half, minus for the second, of length 1."""
    return np.repeat([1.0, -1.0], width // 2) / np.sqrt(width)


def start(width: int, dimensions: int, size: float, seed: int) -> np.ndarray:
    """W_0 (width, d) in a random direction, of Frobenius norm `size` for every width."""
    W = np.random.default_rng(derive(seed, f"start/{width}")).standard_normal((width, dimensions))
    return size * W / np.linalg.norm(W)


def answer(W: np.ndarray, x: np.ndarray, alpha: float) -> np.ndarray:
    """N(x) for x (..., d)."""
    z = x @ W.T
    return np.where(z > 0, z, alpha * z) @ top(len(W))  # (1)


def train(W: np.ndarray, data: Arrays, alpha: float, lr: float, passes: int,
          seed: int = 0) -> tuple[np.ndarray, int, int]:
    """Passes of (2), each in a new order, until one makes no update: (weights, updates, passes made)."""
    W, v, updates = W.copy(), top(len(W)), 0
    draw = np.random.default_rng(derive(seed, "order"))
    for made in range(passes):
        before = updates
        for i in draw.permutation(len(data[1])):
            x, y = data[0][i], data[1][i]
            z = W @ x
            bent = np.where(z > 0, 1.0, alpha)
            if y * (v @ (bent * z)) < 1:
                W += (lr * y) * (v * bent)[:, None] * x  # (2)
                updates += 1
        if updates == before:
            return W, updates, made + 1
    return W, updates, passes


def most_updates(alpha: float, lr: float, margin: float, size: float) -> float:
    """The largest T that (3) allows, with |u| = 1 / margin."""
    grow, turn = np.sqrt(2 * lr + lr**2) / margin, lr * alpha
    return float(((grow + np.sqrt(grow**2 + 8 * turn * size / margin)) / (2 * turn)) ** 2)  # (3)


@cache
def _updates(width: int, lr: float = 0.1, seed: int = 0) -> int:
    data = examples(100, 10, 0.2, seed, "examples")
    return train(start(width, 10, 1.0, seed), data, 0.2, lr, 1000, seed)[1]


def the_number_of_updates_is_finite() -> Check:
    """For widths 4, 40 and 400 and 3 sets of 100 examples the updates stop below what (3) allows: the largest share.

    Source: Brutzkus, Globerson, Malach, Shalev-Shwartz 2018, theorem 2; equation (3), derived here
    """
    allowed = most_updates(0.2, 0.1, 0.2, 1.0)
    return at_most(max(_updates(width, seed=seed) for width in (4, 40, 400) for seed in range(3)) / allowed, 1.0)


def it_does_not_grow_with_the_width() -> Check:
    """Over widths 4, 12, 40, 120, 400 the slope of log updates against log width is below 0.15 in size.

    Source: equation (3) has no width in it
    """
    widths = [4, 12, 40, 120, 400]
    slope = np.polyfit(np.log(widths), np.log([_updates(width) for width in widths]), 1)[0]
    return at_most(abs(float(slope)), 0.15)


def afterwards_every_margin_is_kept() -> Check:
    """After the last update the hinge loss of each of the 100 examples is exactly 0.

    Source: equation (2): a pass without update
    """
    data = examples(100, 10, 0.2, 0, "examples")
    W, _, passes = train(start(40, 10, 1.0, 0), data, 0.2, 0.1, 1000)
    wrong = np.maximum(1 - data[1] * answer(W, data[0], 0.2), 0).max()
    return exactly(float(wrong) if passes < 1000 else 1.0, 0.0)


def wide_nets_do_not_overfit() -> Check:
    """A net of width 400, with 4,000 weights from 100 examples, is right on at least 0.95 of 5,000 new ones.

    Source: Brutzkus et al. 2018, theorem 4: by compression
    """
    W, _, _ = train(start(400, 10, 1.0, 0), examples(100, 10, 0.2, 0, "examples"), 0.2, 0.1, 1000)
    X, y = examples(5000, 10, 0.2, 0, "new")
    return at_least(float((np.sign(answer(W, X, 0.2)) == y).mean()), 0.95)


def an_update_grows_and_turns_as_foreseen() -> Check:
    """At each of 20 updates |W|^2 grows by at most 2 eta + eta^2 and W turns by at least eta alpha sqrt(2 k): breaches.

    Source: the two halves of equation (3)
    """
    X, y = examples(100, 10, 0.2, 0, "examples")
    W, aim, breaches = start(8, 10, 1.0, 0), np.zeros(10), 0
    aim[0] = 1 / 0.2
    towards = np.sqrt(8) * np.outer(top(8), aim)
    for k in range(20):
        i = int(np.argmin(y * answer(W, X, 0.2)))
        after, made, _ = train(W, (X[i : i + 1], y[i : i + 1]), 0.2, 0.1, 1)
        grown, turned = (after**2).sum() - (W**2).sum(), (after * towards).sum() - (W * towards).sum()
        breaches += made * (grown > 0.21 + 1e-12) + made * (turned < 0.1 * 0.2 * np.sqrt(8) - 1e-12) + (made > 1) + (
            k == 0 and made == 0)
        W = after
    return exactly(float(breaches), 0.0)


def _asleep() -> np.ndarray:
    """Weights at which every positive example is dead for every unit, and every negative one is right."""
    W = np.zeros((8, 10))
    W[:4, 0], W[4:, 0] = -0.1, -20.0
    return W


def a_plain_relu_can_sleep_for_ever() -> Check:
    """From a start at which every unit is dead on positive examples, 5 passes of ReLU move no weight: largest change 0.

    Source: alpha = 0 in equation (3). The guarantee is for the leaky unit
    """
    data = examples(100, 10, 0.2, 0, "examples")
    W, _, _ = train(_asleep(), data, 0.0, 0.1, 5)
    wrong = (data[1] * answer(W, data[0], 0.0) < 1).sum()
    return exactly(float(np.abs(W - _asleep()).max()) if wrong == (data[1] > 0).sum() > 0 else 1.0, 0.0)


def the_leaky_unit_wakes_up() -> Check:
    """From the same start the leaky net, alpha = 0.2, ends with every one of the 100 margins kept.

    Source: equation (3), finite from any start
    """
    data = examples(100, 10, 0.2, 0, "examples")
    W, _, _ = train(_asleep(), data, 0.2, 0.1, 3000)
    return exactly(float((data[1] * answer(W, data[0], 0.2) >= 1).sum()), 100.0)


CARD = Card(
    name="Wide networks on separable data",
    name_ja="線形分離可能なデータと幅の広いネットワーク",
    paper="Brutzkus, Globerson, Malach, Shalev-Shwartz 2018, SGD learns over-parameterized networks that provably "
          "generalize on linearly separable data, arXiv:1710.10174",
    equations=(
        r"N(x) = \sum_i v_i\,s(w_i^T x),\quad v_i = \pm\frac{1}{\sqrt{2k}},\quad s(u) = \max(u, \alpha u)",
        r"w_i \leftarrow w_i + \eta\,y\,v_i\,s'(w_i^T x)\,x\quad \mathrm{if}\; y N(x) < 1",
        r"T\eta\alpha \leq |u|\left(2|W_0| + \sqrt{T(2\eta + \eta^2)}\right)",
    ),
    summary="Leaky ReLU nets of any width stop updating on separable data, and a wider net needs no more updates.",
    summary_ja="分離可能なデータでは、leaky ReLUのネットワークの更新は有限回で終わり、その回数は幅を広げても増えない。",
    topics=("theory.brutzkus-separable",),
    facts=(
        the_number_of_updates_is_finite,
        it_does_not_grow_with_the_width,
        afterwards_every_margin_is_kept,
        wide_nets_do_not_overfit,
        an_update_grows_and_turns_as_foreseen,
        a_plain_relu_can_sleep_for_ever,
        the_leaky_unit_wakes_up,
    ),
    notes=("One slide says ReLU. The theorem is about the leaky unit; a plain ReLU net has starts from which nothing "
           "moves, and its guarantee needs width and luck.",),
    notes_ja=("スライドはReLUと書くが、定理はleaky ReLUのもの。"
              "普通のReLUには何も動かない初期値があり、保証には広い幅と運が要る。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The same examples for nets of growing width."""

    widths: int = 40
    """nets, of widths 4 to `widest`"""
    widest: int = 400
    """units of the widest net"""
    examples: int = 100
    """examples n"""
    dimensions: int = 10
    """dimension d of the inputs"""
    margin: float = 0.2
    """distance of the examples from the separating plane"""
    alpha: float = 0.2
    """slope of the leaky unit below zero"""
    lr: float = 0.1
    """learning rate eta"""
    size: float = 1.0
    """norm of the initial weights"""
    seed: int = 0
    """of the examples, the starts and the orders"""


VARIANTS = {
    "smoke": Setup(widest=100, examples=30, margin=0.4, lr=1.0),
    "default": Setup(),
    "nearly-relu": Setup(alpha=0.02),
}


def build(setup: Setup, place: Place = Place()) -> Sweep:  # noqa: B008 - a frozen value
    """One step trains one net to its last update, in float64 on the CPU."""
    in_range(setup, ("widths", "widest", "examples", "margin", "alpha", "lr", "size"), ("margin", "alpha"))
    size = max(2, setup.dimensions)
    data = examples(setup.examples, size, setup.margin, setup.seed, "examples")
    X, y = examples(2000, size, setup.margin, setup.seed, "new")
    bound = most_updates(setup.alpha, setup.lr, setup.margin, setup.size)

    def measure(width: int) -> Record:
        W = start(width, size, setup.size, setup.seed)
        W, updates, passes = train(W, data, setup.alpha, setup.lr, 100_000, setup.seed)
        return {"width": float(width), "updates": float(updates), "updates_bound": bound, "passes": float(passes),
                "accuracy_new": float((np.sign(answer(W, X, setup.alpha)) == y).mean())}

    widths = 2 * np.geomspace(2, max(2, setup.widest // 2), setup.widths).round().astype(int)
    return Sweep(widths.tolist(), measure, lambda rows: _draw(rows, setup))


def _draw(rows: Columns, setup: Setup) -> dict[str, np.ndarray]:
    """Updates by width below the bound; updates by margin of a narrow and a wide net."""
    figure = sheet(900, 370)
    left, right = figure.subplots(1, 2)
    left.loglog(rows["width"], rows["updates_bound"], "--", color=GREY, label="bound (3) / 上界")
    left.loglog(rows["width"], rows["updates"], "o", color=BLUE, markersize=4, label="until none is wrong / 測定")
    left.set_ylim(1, 30 * rows["updates_bound"].max())
    quiet(left, "Width does not matter / 幅にはよらない", "width / 幅", "updates / 更新回数")
    margins = np.geomspace(0.06, 0.8, 7)
    bounds = [most_updates(setup.alpha, setup.lr, margin, setup.size) for margin in margins]
    right.loglog(margins, bounds, "--", color=GREY, label="bound (3) / 上界")
    for width, colour, mark in ((4, BLUE, "o"), (max(4, setup.widest // 2 * 2), ORANGE, "s")):
        W = start(width, max(2, setup.dimensions), setup.size, setup.seed)
        found = [train(W, examples(setup.examples, max(2, setup.dimensions), margin, setup.seed, "examples"),
                       setup.alpha, setup.lr, 10_000, setup.seed)[1] for margin in margins]
        right.loglog(margins, found, mark + "-", color=colour, markersize=5, alpha=0.7, label=f"width {width} / 幅")
    right.minorticks_off()
    right.set_xticks([0.1, 0.2, 0.4, 0.8], ["0.1", "0.2", "0.4", "0.8"])
    right.set_ylim(1, 30 * max(bounds))
    quiet(right, "The margin does / マージンによる", "margin / マージン", "updates / 更新回数")
    for axes in (left, right):
        axes.legend(fontsize=9, loc="upper right")
    return {"separable_updates": pixels(figure)}
