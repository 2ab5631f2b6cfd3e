r"""Auxiliary losses: side branches of a deep network classify, too, while it is trained.

    L = L_0 + w (L_1 + ... + L_S),   w = 0.3                  (1)
    dL/dy_0 = dL_0/dy_0,   dL/dy_s = w dL_s/dy_s              (2)

y_0 are the scores of the network's end, y_s those of branches half-way, each with its own cross entropy to the same
target. In use (`training = False`) the branches are dropped and L = L_0. The surprise: the layers before a branch learn
even if everything behind it passes no gradient at all, because theirs comes through the side door.

Szegedy et al. 2015 (GoogLeNet; the weight 0.3 is theirs).
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand.affine import Affine
from shinso.autodiff.byhand.cross_entropy import CrossEntropy
from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.errors import UserError


@final
class AuxiliaryLoss:
    """Scores (1 + sides, n, classes), the network's own first, and classes (n,) -> a number."""

    def __init__(self, weight: float = 0.3):
        self.weight, self.training = weight, True

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> float:
        if prediction.ndim != 3 or len(prediction) == 0:
            raise UserError("auxiliary loss", f"scores have the shape {prediction.shape}",
                            "give (branches, n, classes)")
        self.losses, self.shape = [CrossEntropy() for _ in prediction], prediction.shape
        values = [loss.forward(scores, target) for loss, scores in zip(self.losses, prediction, strict=True)]
        self.weights = [1.0, *[self.weight * self.training] * (len(prediction) - 1)]
        return sum(w * value for w, value in zip(self.weights, values, strict=True))  # (1)

    def backward(self, grad: float = 1.0) -> np.ndarray:
        return np.stack([loss.backward(grad * w) for loss, w in zip(self.losses, self.weights, strict=True)])  # (2)


def example(rng: np.random.Generator) -> tuple[AuxiliaryLoss, tuple[np.ndarray, np.ndarray]]:
    """The end and two branches on five examples of four classes."""
    return AuxiliaryLoss(), (rng.normal(size=(3, 5, 4)), rng.integers(0, 4, 5))


def the_total_is_main_plus_weighted_sides() -> Check:
    """The loss of three branches is L_0 + 0.3 (L_1 + L_2), to 1e-15.

    Source: Szegedy et al. 2015, section 5
    """
    loss, (y, t) = example(np.random.default_rng(0))
    one = [CrossEntropy().forward(scores, t) for scores in y]
    return at_most(abs(loss.forward(y, t) - (one[0] + 0.3 * (one[1] + one[2]))), 1e-15)


def _early_gradient(*, cut: bool, training: bool) -> float:
    """The largest gradient of a first layer whose main path is, or is not, cut by weights of 0."""
    draw = np.random.default_rng(1)
    x, t = draw.normal(size=(20, 6)), draw.integers(0, 3, 20)
    early, side = (Affine(draw.normal(size=shape), np.zeros(shape[1])) for shape in ((6, 5), (5, 3)))
    main = Affine(draw.normal(size=(5, 3)) * (not cut), np.zeros(3))
    h, loss = early.forward(x), AuxiliaryLoss()
    loss.training = training
    loss.forward(np.stack([main.forward(h), side.forward(h)]), t)
    to_main, to_side = loss.backward()
    early.backward(main.backward(to_main) + side.backward(to_side))
    return float(np.abs(early.grads["weight"]).max())


def the_side_door_stays_open() -> Check:
    """With the main path cut the first layer's gradient is still above 0.01.

    Source: equation (2)
    """
    return at_least(_early_gradient(cut=True, training=True), 0.01)


def without_the_side_nothing_arrives() -> Check:
    """With the main path cut and the branches dropped the first layer's gradient is exactly 0.

    Source: equation (2) with w = 0
    """
    return exactly(_early_gradient(cut=True, training=False), 0)


def in_use_the_branches_are_dropped() -> Check:
    """With training = False the loss is that of the network's end alone, and the branches' 40 gradients are 0.

    Source: Szegedy et al. 2015: these branches are discarded at inference time
    """
    loss, (y, t) = example(np.random.default_rng(2))
    loss.training = False
    same = loss.forward(y, t) == CrossEntropy().forward(y[0], t)
    return exactly(float((loss.backward()[1:] == 0).sum()) * same, 40)


def equal_branches_weigh_as_promised() -> Check:
    """Of three equal branches a side's gradient is 0.3 of the end's.

    Source: equation (2)
    """
    loss, (y, t) = example(np.random.default_rng(3))
    loss.forward(np.stack([y[0]] * 3), t)
    back = loss.backward()
    return about(float(np.abs(back[2]).sum() / np.abs(back[0]).sum()), 0.3, 1e-15)


CARD = Card(
    name="Auxiliary loss",
    name_ja="補助損失 (Auxiliary Loss)",
    paper="Szegedy et al. 2015, Going deeper with convolutions, arXiv:1409.4842",
    equations=(
        r"L = L_0 + w (L_1 + \cdots + L_S),\quad w = 0.3",
        r"\frac{\partial L}{\partial y_0} = \frac{\partial L_0}{\partial y_0},\quad "
        r"\frac{\partial L}{\partial y_s} = w \frac{\partial L_s}{\partial y_s}",
    ),
    summary="Side branches classify, too, while a deep network is trained, and let the gradient in half-way.",
    summary_ja="深いネットワークの訓練中、途中の枝にも分類させ、勾配を途中から入れる。",
    topics=("nn.auxiliary-loss",),
    facts=(
        the_total_is_main_plus_weighted_sides,
        the_side_door_stays_open,
        without_the_side_nothing_arrives,
        in_use_the_branches_are_dropped,
        equal_branches_weigh_as_promised,
    ),
    notes=("The weight 0.3 is not in the article: it is the paper's. The branches are dropped in use.",),
    notes_ja=("0.3 という重みは記事にはなく、論文のものである。枝は使用時には取り除かれる。",),
)
