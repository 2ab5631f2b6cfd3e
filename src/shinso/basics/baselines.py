r"""The methods of the earlier lectures on the same digits, so that a network has someone to be compared with.

Some of the digits are drawn to learn from, and the rest are asked about (hold-out); then others are drawn. The methods
come by turns, through scikit-learn: random forest, kernel and linear SVM, naive Bayes, Gaussian mixtures (one for each
class), Lasso on one-hot answers, k-means (a cluster answers with its commonest label), and, from the network's side,
the perceptron and a multilayer perceptron. Two of them are written out here as well, and agree. k-means alternates

    c(i) = argmin_k |x_i - m_k|^2,   m_k = mean of {x_i : c(i) = k}            (1)
    J = sum_i |x_i - m_{c(i)}|^2                                               (2)

and each half of (1) can only lower J, so that it never rises, and ends. Naive Bayes takes the pixels to be independent
given the class,

    c(x) = argmax_k log p(k) + sum_d log N(x_d; mu_kd, var_kd + eps)           (3)

which they are not; it answers nevertheless. The surprise: on small images with few examples the kernel SVM, which knows
nothing of images, is as good as the network or better.

Breiman 2001; Cortes and Vapnik 1995; Lloyd 1957 (published 1982); Tibshirani 1996.
"""

import warnings
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Literal, final

import numpy as np
import torch

from shinso.core.axes import BLUE, GREY, ORANGE, bare, quiet
from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import derive, generator
from shinso.core.setup import in_range
from shinso.data.digits import originals

Method = Literal["forest", "svm", "linear_svm", "bayes", "mixture", "kmeans", "lasso", "perceptron", "mlp"]
METHODS: tuple[Method, ...] = ("forest", "svm", "linear_svm", "bayes", "mixture", "kmeans", "lasso", "perceptron",
                               "mlp")
NETWORKS = ("perceptron", "mlp")


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    images, labels = originals()
    return images.reshape(len(images), -1) / 16.0, labels


def nearest(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The nearest centre of every x (n, d): int (n,)."""
    return ((x**2).sum(1)[:, None] - 2 * x @ centres.T + (centres**2).sum(1)).argmin(1)  # (1)


def spread(x: np.ndarray, centres: np.ndarray) -> float:
    """J of (2), every x at its nearest centre."""
    return float(((x - centres[nearest(x, centres)]) ** 2).sum())


def k_means(x: np.ndarray, centres: np.ndarray, sweeps: int) -> tuple[np.ndarray, list[float]]:
    """The centres after at most `sweeps` rounds of (1), and J before every round and at the end."""
    course = [spread(x, centres)]
    for _ in range(sweeps):
        chosen = nearest(x, centres)
        moved = np.array([x[chosen == k].mean(0) if (chosen == k).any() else centre for k, centre in
                          enumerate(centres)])
        course.append(spread(x, moved))
        if (moved == centres).all():
            break
        centres = moved
    return centres, course


def naive_bayes(x: np.ndarray, y: np.ndarray, asked: np.ndarray, share: float = 1e-9) -> np.ndarray:
    """The answers of (3) to `asked`; eps is a share of the largest variance of a pixel."""
    eps, scores = share * x.var(0).max(), []
    for k in np.unique(y):
        mine = x[y == k]
        mean, variance = mine.mean(0), mine.var(0) + eps
        scores.append(np.log(len(mine) / len(x)) - 0.5 * (np.log(2 * np.pi * variance)
                                                          + (asked - mean) ** 2 / variance).sum(1))
    return np.unique(y)[np.argmax(scores, 0)]  # (3)


def answers(method: Method, x: np.ndarray, y: np.ndarray, asked: np.ndarray, seed: int) -> np.ndarray:
    """What the method, having learned from x (n, d) and y (n,), says to `asked` (m, d): labels (m,)."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a small budget is meant
        if method == "kmeans":
            return _by_clusters(x, y, asked, seed)
        if method == "mixture":
            return _by_mixtures(x, y, asked, seed)
        if method == "lasso":
            return _by_lasso(x, y, asked)
        return _classifier(method, seed).fit(x, y).predict(asked)


def _classifier(method: Method, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import Perceptron
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC

    return {
        "forest": lambda: RandomForestClassifier(100, random_state=seed),
        "svm": lambda: SVC(C=10.0),
        "linear_svm": lambda: SVC(kernel="linear"),
        "bayes": lambda: GaussianNB(var_smoothing=1e-2),
        "perceptron": lambda: Perceptron(random_state=seed),
        "mlp": lambda: MLPClassifier((100,), learning_rate_init=0.01, max_iter=60, random_state=seed),
    }[method]()


def _by_clusters(x: np.ndarray, y: np.ndarray, asked: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    starts: dict[str, Any] = {"n_init": 2}
    found = KMeans(min(20, len(x)), random_state=seed, **starts).fit(x)
    names = np.array([np.bincount(y[found.labels_ == k], minlength=10).argmax() for k in range(found.n_clusters)])
    return names[found.predict(asked)]


def _by_mixtures(x: np.ndarray, y: np.ndarray, asked: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.mixture import GaussianMixture

    kinds, scores = np.unique(y), []
    for k in kinds:
        mine = x[y == k]
        one = GaussianMixture(min(2, len(mine)), covariance_type="diag", reg_covar=1e-2, random_state=seed).fit(mine)
        scores.append(one.score_samples(asked) + np.log(len(mine) / len(x)))
    return kinds[np.argmax(scores, 0)]


def _by_lasso(x: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import Lasso

    kinds = np.unique(y)
    model = Lasso(1e-3, max_iter=200).fit(x, (y[:, None] == kinds).astype(float))
    return kinds[model.predict(asked).argmax(1)]


@final
class Comparison:
    """One step is one method on one draw; after as many steps as methods new digits are drawn."""

    def __init__(self, setup: "Setup"):
        self.setup = setup
        self.methods = METHODS if setup.methods == "all" else ("bayes", "linear_svm", "svm", "perceptron")
        self.total = setup.draws * len(self.methods)
        self.found = np.full((setup.draws, len(self.methods)), np.nan)

    def step(self, i: int) -> Record:
        draw, k = divmod(i, len(self.methods))
        x, y = _digits()
        order = torch.randperm(len(x), generator=generator(self.setup.seed, f"draw/{draw}")).numpy()
        known, asked = order[: self.setup.examples], order[self.setup.examples :]
        seed = derive(self.setup.seed, f"method/{i}") % 2**31
        method = self.methods[k]
        share = float((answers(method, x[known], y[known], x[asked], seed) == y[asked]).mean())
        self.found[draw, k] = share
        so_far = {name: column[~np.isnan(column)] for name, column in zip(self.methods, self.found.T, strict=True)}
        return {"accuracy": share, **{f"accuracy_{name}": float(values.mean()) for name, values in so_far.items()
                                      if len(values)}}

    def state(self) -> dict[str, Any]:
        return {"found": self.found}

    def restore(self, state: dict[str, Any]) -> None:
        self.found = np.array(state["found"])

    def pictures(self) -> dict[str, np.ndarray]:
        """The methods ranked by what they got right so far, and what k-means finds."""
        return {"ranking": _ranking(self), "centres": _centres(self.setup)}


def _ranking(program: Comparison) -> np.ndarray:
    seen = [(name, column[~np.isnan(column)]) for name, column in zip(program.methods, program.found.T, strict=True)]
    seen = sorted(((name, values) for name, values in seen if len(values)), key=lambda pair: pair[1].mean())
    figure = sheet(800, 400)
    axes = figure.subplots()
    for row, (name, values) in enumerate(seen):
        axes.barh(row, values.mean(), color=ORANGE if name in NETWORKS else BLUE, alpha=0.7)
        axes.plot(values, [row] * len(values), ".", color="black", markersize=3)
        axes.annotate(f"{values.mean():.3f}", (1.0, row), fontsize=10, va="center", xytext=(4, 0),
                      textcoords="offset points")
    axes.set_yticks(range(len(seen)), [name.replace("_", " ") for name, _ in seen])
    axes.set_xlim(min([0.5, *(float(values.min()) - 0.05 for _, values in seen)]), 1)
    quiet(axes, f"{program.setup.examples} digits to learn from; orange: networks / 学習に使う数字; 橙: ネットワーク",
          "share that is right / 正解率")
    return pixels(figure)


def _centres(setup: "Setup") -> np.ndarray:
    x, _ = _digits()
    first = torch.randperm(len(x), generator=generator(setup.seed, "centres"))[:20].numpy()
    centres, course = k_means(x, x[first], 60)
    figure = sheet(850, 330)
    grid = figure.add_gridspec(4, 8)
    for k, centre in enumerate(centres):
        bare(figure.add_subplot(grid[k // 5, k % 5]), centre.reshape(8, 8))
    axes = figure.add_subplot(grid[:, 5:])
    axes.plot(course, "o-", color=GREY, markersize=3)
    quiet(axes, "J (2)", "sweep / 反復")
    return pixels(figure)


@cache
def _half() -> tuple[np.ndarray, ...]:
    x, y = _digits()
    order = torch.randperm(len(x), generator=generator(0, "half")).numpy()
    return x[order[:600]], y[order[:600]], x[order[600:]], y[order[600:]]


def the_objective_never_rises() -> Check:
    """In 30 runs of k-means from random digits J never rises between two sweeps: the largest rise, as a share of J.

    Source: Lloyd 1957; both halves of (1) minimise (2)
    """
    x, worst = _half()[0], -np.inf
    for seed in range(30):
        first = torch.randperm(len(x), generator=generator(seed, "start"))[:10].numpy()
        _, course = k_means(x, x[first], 100)
        worst = max(worst, max((b - a) / a for a, b in pairwise(course)))
    return at_most(worst, 1e-12)


def k_means_is_scikit_learns() -> Check:
    """From the same start the centres are those of scikit-learn: the largest difference.

    Source: Lloyd 1957; sklearn.cluster.KMeans(algorithm="lloyd")
    """
    from sklearn.cluster import KMeans

    x = _half()[0]
    ours, _ = k_means(x, x[:10], 300)
    given: dict[str, Any] = {"init": x[:10], "n_init": 1}
    theirs = KMeans(10, tol=0, max_iter=300, **given).fit(x).cluster_centers_
    return at_most(float(np.abs(ours - theirs).max()), 1e-10)


def naive_bayes_is_scikit_learns() -> Check:
    """(3) gives all 1,197 digits that were not learned from the labels of scikit-learn: how many differ.

    Source: equation (3); sklearn.naive_bayes.GaussianNB
    """
    x, y, asked, _ = _half()
    return exactly(float((naive_bayes(x, y, asked, 1e-2) != answers("bayes", x, y, asked, 0)).sum()), 0)


def every_method_beats_chance_by_far() -> Check:
    """After 600 digits each of the eight quicker methods is right on at least 60 % of the others: the least.

    Source: the outline of the earlier lectures; chance is 10 %
    """
    return at_least(min(_right(method) for method in METHODS if method != "mlp"), 0.6)


def the_forest_and_the_kernel_are_above_nine_in_ten() -> Check:
    """Random forest and kernel SVM are right on at least 90 % of them: the lesser.

    Source: Breiman 2001; Cortes and Vapnik 1995
    """
    return at_least(min(_right("forest"), _right("svm")), 0.9)


def the_kernel_beats_the_line() -> Check:
    """The kernel SVM is right more often than the linear one, and that more often than naive Bayes: the lesser gain.

    Source: Cortes and Vapnik 1995
    """
    return at_least(min(_right("svm") - _right("linear_svm"), _right("linear_svm") - _right("bayes")), 0.0)


@cache
def _right(method: Method) -> float:
    x, y, asked, truth = _half()
    return float((answers(method, x, y, asked, 0) == truth).mean())


CARD = Card(
    name="Classical baselines",
    name_ja="古典的手法との比較",
    paper="Breiman 2001; Cortes and Vapnik 1995; Lloyd 1957, published 1982, doi:10.1109/TIT.1982.1056489",
    equations=(
        r"c(i) = \mathrm{argmin}_k |x_i - m_k|^2,\quad m_k = \mathrm{mean}\{x_i : c(i) = k\}",
        r"J = \sum_i |x_i - m_{c(i)}|^2",
        r"c(x) = \mathrm{argmax}_k\; \log p(k) + \sum_d \log N(x_d; \mu_{kd}, \sigma_{kd}^2 + \epsilon)",
    ),
    summary="Random forest, SVM, naive Bayes, mixtures, Lasso and k-means on the digits, beside two networks.",
    summary_ja="ランダムフォレスト、SVM、ナイーブベイズ、混合ガウス、Lasso、k-meansを、同じ数字でネットワークと比べる。",
    topics=("basics.classical-baselines",),
    facts=(
        the_objective_never_rises,
        k_means_is_scikit_learns,
        naive_bayes_is_scikit_learns,
        every_method_beats_chance_by_far,
        the_forest_and_the_kernel_are_above_nine_in_ten,
        the_kernel_beats_the_line,
    ),
    notes=("k-means is dated 1967 by a document, after MacQueen's name for it; Lloyd's report is of 1957.",
           "The LDA of a document is the topic model, not the linear discriminant of that name; neither is here."),
    notes_ja=("ある資料はk-meansを1967年とする。これはMacQueenの命名の年で、Lloydの報告は1957年。",
              "ある資料のLDAはトピックモデルで、同じ略称の線形判別ではない。どちらもここにはない。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Which methods, how often, and from how much."""

    methods: Literal["all", "quick"] = "all"
    """all nine, or the four quick ones"""
    draws: int = 6
    """random divisions of the digits on which every method is tried"""
    examples: int = 900
    """digits to learn from; the rest are asked about"""
    seed: int = 0
    """of the draws and of the methods' own chance"""


VARIANTS = {
    "smoke": Setup(methods="quick", draws=12, examples=150),
    "default": Setup(),
    "few": Setup(examples=100, draws=12),
}


def build(setup: Setup, place: Place = Place()) -> Comparison:  # noqa: B008 - Place is frozen
    """The comparison before its first method; it computes on the CPU wherever `place` is."""
    in_range(setup, ("draws", "examples"))
    if not 50 <= setup.examples <= 1700:
        raise UserError("examples", f"{setup.examples} of 1,797 digits leave too few on one side", "give 50 to 1700")
    return Comparison(setup)
