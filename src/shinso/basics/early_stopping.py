r"""Early stopping: fewer steps are a price on large weights (Morgan and Bourlard 1990; Prechelt 1998).

Gradient descent from zero on 1/2 ||X W - Y||^2 does not reach every direction at once. Along an eigenvector of X^T X
with eigenvalue lambda the weights after t steps are the last ones, shrunk by

    s_t = 1 - (1 - eta lambda)^t                                                                    (1)

while a ridge penalty alpha/2 ||W||^2 shrinks the same direction by

    r = lambda / (lambda + alpha),   and s_t = r + O((eta lambda t)^2) at alpha = 1/(eta t)         (2)

The surprise: the number of steps is the inverse of a penalty. When to stop is read from validation data, set aside
from the training data before anything is measured on them; the weights of the best step are kept, and a noisy curve is
given patience, because its first rise is no turn.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any, TypeVar, final

import numpy as np
import torch
from torch import Tensor

from shinso.basics._few_digits import few_digits
from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range
from shinso.data.examples import Examples, moments, open_data
from shinso.data.splits import stratified

T = TypeVar("T")


def stopped_early(course: Iterable[tuple[float, T]], patience: int) -> tuple[int, float, T]:
    """(step, validation loss, weights) of the best of `course`, left after `patience` steps without a better one."""
    best: tuple[int, float, T] | None = None
    for step, (loss, weights) in enumerate(course, 1):
        if best is None or loss < best[1]:
            best = step, loss, weights
        elif step - best[0] >= patience:
            break
    if best is None:
        raise ValueError("a course without steps has no best one")
    return best


def gradually(X: Tensor, Y: Tensor, W: Tensor, rate: float, draw: torch.Generator | None = None) -> Iterator[Tensor]:
    """W after each step of descent; with `draw` each step sees five examples only."""
    while True:
        rows = slice(None) if draw is None else torch.randint(len(X), (5,), generator=draw)
        share = 1.0 if draw is None else len(X) / 5
        W = W - rate * share * X[rows].T @ (X[rows] @ W - Y[rows])
        yield W


@final
class Descent:
    """Descent on few digits beside its validation curve; one eigen-direction is followed against (1)."""

    rhythm = 10

    def __init__(self, setup: "Setup"):
        self.total = setup.steps
        X, Y, *self.unseen = few_digits(setup.examples, setup.seed)
        kept, held = stratified(Y.argmax(1), (0.75, 0.25), setup.seed)
        self.X, self.Y, self.held = X[kept], Y[kept], (X[held], Y[held])
        values, vectors = torch.linalg.eigh(self.X.T @ self.X)
        self.rate = float(1 / values[-1])
        self.value, self.along = float(values[-12]), vectors[:, -12]
        self.goal = self.along @ torch.linalg.lstsq(self.X, self.Y, driver="gelsd").solution
        self.W = torch.zeros(64, 10, dtype=torch.float64)
        self.best, self.best_loss, self.best_step = self.W, inf, 0
        self.setup, self.done = setup, 0

    def step(self, i: int) -> Record:
        self.W = next(gradually(self.X, self.Y, self.W, self.rate))
        loss = _error(self.W, *self.held)
        if loss < self.best_loss:
            self.best, self.best_loss, self.best_step = self.W, loss, i + 1
        t = i + 1
        self.done = t
        return {"loss": _error(self.W, self.X, self.Y), "loss_held_out": loss, "loss_best": self.best_loss,
                "best_step": float(self.best_step),
                "measured": float((self.along @ self.W) @ self.goal / self.goal.square().sum()),
                "predicted": 1 - (1 - self.rate * self.value) ** t, "within": 1e-9,  # (1)
                "ridge": self.value / (self.value + 1 / (self.rate * t))}  # (2)

    def evaluate(self, split: str) -> Record:
        """`validation`: the weights of now, by which a run stops; `test`: the best weights on digits never used."""
        if split == "validation":
            return {"loss": _error(self.W, *self.held)}
        W = self.best
        return {"loss": _error(W, *self.unseen), "loss_last": _error(self.W, *self.unseen),
                "accuracy": _accuracy(W, *self.unseen), "accuracy_last": _accuracy(self.W, *self.unseen)}

    def state(self) -> dict[str, Any]:
        return {"W": self.W, "best": self.best, "best_loss": self.best_loss, "best_step": self.best_step,
                "done": self.done}

    def restore(self, state: dict[str, Any]) -> None:
        self.W, self.best = state["W"].clone(), state["best"].clone()
        self.best_loss, self.best_step, self.done = state["best_loss"], state["best_step"], state["done"]

    def pictures(self) -> dict[str, np.ndarray]:
        """Both curves; the descent is walked again for them, because a history in the state would grow with it."""
        if not self.done:
            return {}
        again = Descent(self.setup)
        rows = [again.step(i) for i in range(self.done)]
        figure = sheet(900, 340)
        left, right = figure.subplots(1, 2)
        t = np.arange(1, len(rows) + 1)
        for name, label in (("loss", "examples / 訓練"), ("loss_held_out", "held out / 検証")):
            left.loglog(t, [row[name] for row in rows], label=label)
        left.axvline(self.best_step, color="0.5", linestyle="--", linewidth=1)
        left.set(xlabel="step t", ylabel="squared error / 二乗誤差")
        for name, label in (("measured", "measured / 測定"), ("predicted", "(1)"), ("ridge", "ridge (2)")):
            style = {"measured": ".", "predicted": "-", "ridge": "--"}[name]
            right.semilogx(t, [row[name] for row in rows], style, label=label)
        right.set(xlabel="step t", ylabel="share reached / 到達した割合")
        for axes in (left, right):
            axes.legend()
        return {"stopping": pixels(figure)}


def _error(W: Tensor, X: Tensor, Y: Tensor) -> float:
    return float((X @ W - Y).square().mean())


def _accuracy(W: Tensor, X: Tensor, Y: Tensor) -> float:
    return float(((X @ W).argmax(1) == Y.argmax(1)).double().mean())


def steps_shrink_every_direction() -> Check:
    """After 1, 10, 100 and 1000 steps every eigen-direction is shrunk by 1 - (1 - eta lambda)^t, to 1e-10.

    Source: Bishop 1995, section 9.2.4; equation (1)
    """
    draw = generator(0, "quadratic")
    X = torch.randn(40, 12, generator=draw, dtype=torch.float64)
    Y = torch.randn(40, 3, generator=draw, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(X.T @ X)
    goal, rate, worst = vectors.T @ torch.linalg.lstsq(X, Y).solution, float(1 / values[-1]), 0.0
    for t, W in enumerate(gradually(X, Y, torch.zeros(12, 3, dtype=torch.float64), rate), 1):
        if t in (1, 10, 100, 1000):
            shrunk = (1 - (1 - rate * values) ** t)[:, None] * goal  # (1)
            worst = max(worst, float((vectors.T @ W - shrunk).abs().max()))
        if t == 1000:
            break
    return at_most(worst, 1e-10)


def it_is_ridge_to_first_order() -> Check:
    """At alpha = 1/(eta t) the difference of (1) and (2) falls as the square of eta lambda t: slope 2 within 0.02.

    Source: Goodfellow, Bengio, Courville 2016, section 7.8; equation (2)
    """
    t = 1000
    small, large = (1 - (1 - x / t) ** t - x / (x + 1) for x in (1e-3, 1e-2))
    return about(float(np.log10(large / small)), 2.0, 0.02)


def the_best_stop_is_as_good_as_the_best_ridge() -> Check:
    """On digits the best early stop's error on unseen digits is within 5 percent of the best ridge penalty's.

    Source: Friedman and Popescu 2004; equation (2)
    """
    X, Y, others, answers = few_digits(100, 0)
    values, vectors = torch.linalg.eigh(X.T @ X)
    rate, along = float(1 / values[-1]), vectors.T @ X.T @ Y
    times = [10 ** (k / 20) for k in range(81)]
    stopped = [torch.where(values > 1e-9, (1 - (1 - rate * values) ** t) / values.clamp(min=1e-9), rate * t)
               for t in times]
    penalised = [1 / (values.clamp(min=0) + 1 / (rate * t)) for t in times]
    least = [min(_error(vectors @ (share[:, None] * along), others, answers) for share in shares)
             for shares in (stopped, penalised)]
    return about(least[0] / least[1], 1.0, 0.05)


def _noisy(patience: int) -> tuple[float, float]:
    """(loss that was returned, loss of the weights that were returned), with five examples a step."""
    X, Y, others, answers = few_digits(100, 0)
    course = gradually(X, Y, torch.zeros(64, 10, dtype=torch.float64), 2e-4, generator(0, "five"))
    seen = ((_error(W, others[:200], answers[:200]), W) for W, _ in zip(course, range(2000), strict=False))
    _, loss, W = stopped_early(seen, patience)
    return loss, _error(W, others[:200], answers[:200])


def the_best_weights_are_returned() -> Check:
    """With patience 200 the returned weights give the very loss that was the best one, not the last one.

    Source: Prechelt 1998, section 2.1
    """
    loss, again = _noisy(200)
    return exactly(again - loss, 0.0)


def the_first_rise_is_no_turn() -> Check:
    """On a noisy curve stopping at the first rise leaves at least 1.5 times the loss that patience 200 finds.

    Source: Prechelt 1998, section 2.2
    """
    return at_least(_noisy(1)[0] / _noisy(200)[0], 1.5)


def a_far_start_is_not_forgotten() -> Check:
    """Weights that start at a standard deviation of 1 instead of 0 end early with over 5 times the unseen error.

    Source: the documents say data near 0; it is the weights, which (1) assumes to start there
    """
    X, Y, others, answers = few_digits(100, 0)
    far = torch.randn(64, 10, generator=generator(0, "far"), dtype=torch.float64)
    ends = []
    for start in (torch.zeros_like(far), far):
        course = gradually(X, Y, start, 1 / float(torch.linalg.matrix_norm(X, 2)) ** 2)
        ends.append(min(_error(W, others, answers) for W, _ in zip(course, range(300), strict=False)))
    return at_least(ends[1] / ends[0], 5.0)


def a_split_is_disjoint_and_complete() -> Check:
    """Three parts of the 1,797 digits hold every index once, and the same again from the same seed.

    Source: Stone 1974; the parts are made by shinso.data.splits
    """
    targets = torch.arange(1797) % 10
    once, again = (stratified(targets, (0.6, 0.2, 0.2), seed=3) for _ in range(2))
    same = all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    return exactly(float((torch.cat(once).bincount(minlength=1797) == 1).sum()) if same else 0.0, 1797.0)


def every_class_is_shared_out() -> Check:
    """In a quarter of 1,000 targets with classes of 700, 250 and 50 no class is off its share by two examples.

    Source: stratified sampling
    """
    targets = torch.arange(3).repeat_interleave(torch.tensor([700, 250, 50]))
    part = targets[stratified(targets, (0.75, 0.25), seed=0)[1]].bincount()
    return at_most(float((part - torch.tensor([175.0, 62.5, 12.5])).abs().max()), 1.99)


def normalisation_knows_the_training_part_only() -> Check:
    """Mean and standard deviation of digits are those of the training part; those of all parts are others.

    Source: statistics from validation data would let them into the training
    """
    data = open_data("digits:8x8")
    assert isinstance(data.train, Examples)  # noqa: S101 - for the type checker
    (mean,), (std,) = moments(data.train.inputs)
    every = moments(torch.cat([data.train.inputs, data.validation.inputs, data.test.inputs]))
    apart = abs(every[0][0] - mean) + abs(every[1][0] - std)
    leaked = abs(data.about.mean[0] - mean) + abs(data.about.std[0] - std)
    return exactly(leaked if apart > 1e-5 else 1.0, 0.0)


CARD = Card(
    name="Early stopping",
    name_ja="早期終了",
    paper="Morgan and Bourlard 1990, Generalization and parameter estimation in feedforward nets; Prechelt 1998",
    equations=(
        r"s_t = 1 - (1 - \eta\lambda)^t",
        r"r = \frac{\lambda}{\lambda + \alpha},\quad s_t = r + O((\eta\lambda t)^2)\ \mathrm{at}\ \alpha = 1/(\eta t)",
    ),
    summary="Stops where the held-out error is least: fewer steps shrink the weights as a ridge penalty would.",
    summary_ja="検証誤差が最小のところで学習を止める。少ないステップは、リッジ回帰の罰則のように重みを縮める。",
    topics=("learn.early-stopping", "learn.validation-split"),
    facts=(
        steps_shrink_every_direction,
        it_is_ridge_to_first_order,
        the_best_stop_is_as_good_as_the_best_ridge,
        the_best_weights_are_returned,
        the_first_rise_is_no_turn,
        a_far_start_is_not_forgotten,
        a_split_is_disjoint_and_complete,
        every_class_is_shared_out,
        normalisation_knows_the_training_part_only,
    ),
    notes=("The documents say that data start near 0; it is the weights that must.",
           "Stopping at the first rise is too early for noisy curves: patience waits for a better step."),
    notes_ja=("講義資料には「データを 0 の近くに初期化」とあるが、0 の近くから始めるのは重みである。",
              "最初に増えたところで止めるのは、揺らぐ曲線では早すぎる。改善をしばらく待つ (patience) のがよい。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A linear map from few digits, by descent from zero."""

    examples: int = 120
    """digits to learn from; a quarter of them is held out"""
    steps: int = 3000
    """steps of gradient descent"""
    patience: int = 0
    """evaluations without improvement before the run stops; 0: it goes on to show what would have come"""
    seed: int = 0
    """which digits are the examples, and which of them are held out"""


VARIANTS = {
    "smoke": Setup(examples=60, steps=200),
    "default": Setup(),
    "patient": Setup(patience=10),
}


def build(setup: Setup, place: Place = Place()) -> Descent:  # noqa: B008 - a frozen value
    """The descent, in float64 on the CPU."""
    in_range(setup, ("examples", "steps"))
    return Descent(setup)
