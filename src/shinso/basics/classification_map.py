r"""A classifier as a map from R^n to R: an image goes in, a real number comes out, and a threshold makes it an answer.

An image is flattened into n numbers, row after row, and nothing is lost: the same numbers folded back are the image.

    x = flatten(image) in R^n,  image = fold(x)                                (1)

A network with one output gives a real number between 0 and 1, its belief in class 1,

    f(x) = sigma(w2 . max(W1 x + b1, 0) + b2)  in (0, 1)                       (2)

It is no answer yet. Cat is 0 and dog is 1, but f never says 0 or 1: the answer is a step of its own, with a threshold
that someone has to choose,

    decide(f) = 1 if f >= threshold else 0                                     (3)

and training never sees it: what is made small is the cross entropy of f, -t log f - (1 - t) log(1 - f)  (4), because
(3) has no slope. The surprise: moving the threshold trades one kind of mistake for the other without any training.

Here 0 and 1 are two of the handwritten digits. Rumelhart, Hinton, Williams 1986.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.axes import BLUE, GREY, RED, bare, quiet
from shinso.core.card import Card, Check, at_least, exactly
from shinso.core.errors import UserError
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import drawing_from, generator
from shinso.core.setup import in_range
from shinso.data.examples import open_data
from shinso.optim.sgd import SGD


def flatten(images: Tensor) -> Tensor:
    """(n, height, width) -> (n, height * width)."""
    return images.reshape(len(images), -1)  # (1)


def fold(x: Tensor, height: int, width: int) -> Tensor:
    """(n, height * width) -> (n, height, width), the inverse of `flatten`."""
    return x.reshape(len(x), height, width)  # (1)


def decide(belief: Tensor, threshold: float) -> Tensor:
    """The named step from a real number to an answer: bool (n,)."""
    return belief >= threshold  # (3)


@final
class Belief(nn.Module):
    """f of (2), as its logit: (n, 64) -> (n,)."""

    def __init__(self, hidden: int):
        super().__init__()
        self.first, self.last = nn.Linear(64, hidden), nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.first(x)))[:, 0]


@cache
def pair(zero: int, one: int) -> dict[str, tuple[Tensor, Tensor]]:
    """The 8x8 images (n, 8, 8) of two digits on the 0..1 scale, with targets 0. and 1., for each split."""
    data, found = open_data("digits:8x8"), {}
    for name in ("train", "validation", "test"):
        split = getattr(data, name)
        chosen = (split.targets == zero) | (split.targets == one)
        found[name] = split.inputs[chosen, 0].float() / 255, (split.targets[chosen] == one).float()
    return found


@final
class Classifier:
    """One step is one batch and one update."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total, self.rhythm = setup, setup.steps, 10
        self.data = pair(*setup.digits)
        with drawing_from(setup.seed, "weights"):
            self.network = Belief(setup.hidden)
        self.optimiser = SGD(self.network.parameters(), lr=setup.lr)
        self.order = generator(setup.seed, "batches")

    def step(self, i: int) -> Record:
        images, targets = self.data["train"]
        rows = torch.randint(len(targets), (self.setup.batch_size,), generator=self.order)
        logits = self.network(flatten(images[rows]))
        loss = F.binary_cross_entropy_with_logits(logits, targets[rows])  # (4)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        right = decide(logits.detach().sigmoid(), self.setup.threshold) == (targets[rows] > 0.5)
        return {"loss": loss.detach(), "accuracy": right.float().mean()}

    @torch.no_grad()
    def beliefs(self, split: str) -> tuple[Tensor, Tensor]:
        """f and targets of a split, each (n,)."""
        images, targets = self.data[split]
        return self.network(flatten(images)).sigmoid(), targets

    def evaluate(self, split: str) -> Record:
        """Cross entropy and accuracy; how many of class 0 are taken for 1 and of class 1 for 0; the middle beliefs."""
        belief, targets = self.beliefs(split)
        said, truth = decide(belief, self.setup.threshold), targets > 0.5
        return {"loss": F.binary_cross_entropy(belief, targets), "accuracy": (said == truth).float().mean(),
                "false_ones": (said & ~truth).sum(), "false_zeros": (~said & truth).sum(),
                "undecided": ((belief > 0.01) & (belief < 0.99)).float().mean()}

    def state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict(),
                "order": self.order.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.order.set_state(state["order"])

    def networks(self) -> dict[str, nn.Module]:
        return {"belief": self.network}

    def example(self) -> dict[str, Tensor]:
        return {"belief": torch.zeros(2, 64)}

    def pictures(self) -> dict[str, np.ndarray]:
        """The real numbers before the threshold, and the images it is least sure of."""
        return {"beliefs": _beliefs(self), "unsure": _unsure(self)}


def _beliefs(program: Classifier) -> np.ndarray:
    belief, targets = program.beliefs("test")
    figure = sheet(850, 330)
    left, right = figure.subplots(1, 2)
    zero, one = program.setup.digits
    for target, digit, colour in ((0.0, zero, BLUE), (1.0, one, RED)):
        left.hist(belief[targets == target].numpy(), bins=np.linspace(0, 1, 31).tolist(), color=colour, alpha=0.6,
                  label=f"digit / 数字 {digit}")
    left.axvline(program.setup.threshold, color="black", linestyle="--", label="threshold / しきい値 (3)")
    quiet(left, "what the network says: real numbers / 実数の出力", "f(x)").legend(frameon=False)
    thresholds = np.linspace(0.001, 0.999, 200)
    counts = [((decide(belief, t) & (targets < 0.5)).sum(), (~decide(belief, t) & (targets > 0.5)).sum())
              for t in thresholds]
    right.plot(thresholds, [int(a) for a, _ in counts], color=BLUE, label=f"{zero} → {one}")
    right.plot(thresholds, [int(b) for _, b in counts], color=RED, label=f"{one} → {zero}")
    right.axvline(program.setup.threshold, color="black", linestyle="--")
    quiet(right, "mistakes by threshold / しきい値と誤りの数", "threshold / しきい値").legend(frameon=False)
    return pixels(figure)


def _unsure(program: Classifier) -> np.ndarray:
    belief, targets = program.beliefs("test")
    order = (belief - 0.5).abs().argsort()[:12]
    images = program.data["test"][0]
    figure = sheet(850, 190)
    digits = program.setup.digits
    for axes, k in zip(figure.subplots(1, 12), order.tolist(), strict=False):
        bare(axes, images[k].numpy(), f"{digits[int(targets[k])]}: f={float(belief[k]):.2f}")
    figure.suptitle("least sure / 最も迷う画像", fontsize=11, color=GREY)
    return pixels(figure)


@cache
def _trained() -> Classifier:
    program = Classifier(Setup())
    for i in range(program.total):
        program.step(i)
    return program


def flatten_and_fold_are_inverse() -> Check:
    """Folding the flattened test images back changes no number: how many differ.

    Source: equation (1), the image as n real numbers
    """
    images, _ = pair(0, 1)["test"]
    return exactly(float((fold(flatten(images), 8, 8) != images).sum()), 0)


def zeros_and_ones_are_told_apart() -> Check:
    """On test digits that were not trained on, 0 against 1, at least 99 % are right.

    Source: the course's dog and cat problem, on digits that come with the package
    """
    return at_least(float(_trained().evaluate("test")["accuracy"]), 0.99)


def no_answer_is_zero_or_one() -> Check:
    """None of the trained network's outputs on the test digits is 0 or 1: how many are.

    Source: a document says that the function returns 0 or 1; a trained network returns a real number
    """
    belief, _ = _trained().beliefs("test")
    return exactly(float(((belief == 0) | (belief == 1)).sum()), 0)


def the_threshold_is_a_step_of_its_own() -> Check:
    """Thresholds 0 and above 1 turn the same outputs into all ones and no one: the two counts' difference in shares.

    Source: equation (3)
    """
    belief, _ = _trained().beliefs("test")
    return exactly(float(decide(belief, 0.0).float().mean() - decide(belief, 1.000001).float().mean()), 1.0)


def through_the_threshold_nothing_is_learned() -> Check:
    """The slope of (3), by central differences of 1e-4 at 1,000 places off the threshold, is exactly 0.

    Source: equation (3) is flat, so (4) is trained
    """
    f = torch.linspace(0, 1, 1000, dtype=torch.float64)
    f = f[(f - 0.5).abs() > 1e-3]
    return exactly(float((decide(f + 1e-4, 0.5).double() - decide(f - 1e-4, 0.5).double()).abs().max()), 0)


CARD = Card(
    name="Classification as a map",
    name_ja="写像としての分類",
    paper="Rumelhart, Hinton, Williams 1986, Learning representations by back-propagating errors",
    equations=(
        r"x = \mathrm{flatten}(\mathrm{image}) \in R^n",
        r"f(x) = \sigma(w_2 \cdot \max(W_1 x + b_1, 0) + b_2) \in (0, 1)",
        r"\mathrm{decide}(f) = 1 \;\mathrm{if}\; f \ge \theta \;\mathrm{else}\; 0",
        r"-t \log f - (1 - t) \log(1 - f)",
    ),
    summary="An image becomes n numbers, they become one, and only a threshold makes an answer of it.",
    summary_ja="画像は n 個の数になり、それが一つの実数になり、しきい値を通して初めて答えになる。",
    topics=("basics.classification-map",),
    facts=(
        flatten_and_fold_are_inverse,
        zeros_and_ones_are_told_apart,
        no_answer_is_zero_or_one,
        the_threshold_is_a_step_of_its_own,
        through_the_threshold_nothing_is_learned,
    ),
    notes=("A document says that the function returns 0 for a cat and 1 for a dog; a trained network returns a real "
           "number. Here the threshold is a step with a name, `decide`.",),
    notes_ja=("ある資料は、関数がネコなら0、イヌなら1を返すと述べる。学習したネットワークが返すのは実数。"
              "ここではしきい値の処理に decide という名を付ける。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Which two digits, which network, and where the line is drawn."""

    digits: tuple[int, ...] = (0, 1)
    """the two digits that play class 0 and class 1"""
    hidden: int = 16
    """hidden units"""
    threshold: float = 0.5
    """from which output on the answer is 1"""
    lr: float = 0.2
    """learning rate"""
    batch_size: int = 32
    """images in a step"""
    steps: int = 200
    """number of steps"""
    seed: int = 0
    """of the weights and the batches"""


VARIANTS = {
    "smoke": Setup(steps=50),
    "default": Setup(),
    "three-eight": Setup(digits=(3, 8), steps=400),
}


def build(setup: Setup, place: Place = Place()) -> Classifier:  # noqa: B008 - Place is frozen
    """An untrained classifier of two digits; it computes on the CPU wherever `place` is."""
    in_range(setup, ("hidden", "lr", "batch_size", "steps"), ("threshold",))
    if len(setup.digits) != 2 or setup.digits[0] == setup.digits[1] or not set(setup.digits) <= set(range(10)):
        raise UserError("digits", f"{setup.digits} are not two different digits", "give two of 0 to 9, for example 3,8")
    return Classifier(setup)
