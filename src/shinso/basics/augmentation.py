r"""Data augmentation: change the input, keep the label (Simard et al. 2003; Bishop 1995 for noise).

    (x, y) -> (T x, y),   T drawn anew for every example in every epoch                             (1)

A shifted, turned or slanted digit is still that digit, so a network that sees them learns not to mind. The surprise:
even plain noise teaches something definite. For a linear model and noise e of standard deviation sigma in n rows,

    E_e ||y - (X + e) w||^2 = ||y - X w||^2 + n sigma^2 ||w||^2                                     (2)

which is ridge regression. What may change is a matter of the labels: a mirror image is its own undoing and harmless for
cats, but a turned 6 is a 9.
"""

from dataclasses import dataclass, replace
from functools import cache
from math import prod
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from shinso.basics._few_digits import few
from shinso.basics.mlp import MLP
from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.seed import drawing_from, generator
from shinso.core.setup import in_range
from shinso.data.augment import ShiftScaleRotate
from shinso.data.digits import originals
from shinso.data.examples import Dataset, Examples, open_data
from shinso.learn.classify import CLASSIFY
from shinso.learn.classify import pictures as confusion_and_mistakes
from shinso.learn.supervised import Plan, Supervised
from shinso.optim.adam import Adam
from shinso.optim.cosine import cosine


@final
@dataclass(frozen=True, kw_only=True)
class Noise:
    """Gaussian noise of standard deviation `sigma` on float inputs (n, features), drawn from (seed, epoch, index)."""

    seed: int
    sigma: float

    def __call__(self, inputs: Tensor, index: Tensor, epoch: int) -> Tensor:
        rows = [torch.randn(inputs.shape[1:], generator=generator(self.seed, f"{epoch}/{i}"), dtype=inputs.dtype)
                for i in index.tolist()]
        return inputs + self.sigma * torch.stack(rows)


def mirror(inputs: Tensor) -> Tensor:
    """Left and right change places: (..., width)."""
    return inputs.flip(-1)


def half_turn(inputs: Tensor) -> Tensor:
    """Upside down: (..., height, width) turned by 180 degrees."""
    return inputs.flip(-1, -2)


def noisy_loss(X: Tensor, y: Tensor, w: Tensor, sigma: float) -> Tensor:
    """The left side of (2), exactly: a quadratic's mean is its mean over 2 d points sqrt(d) sigma along each axis."""
    d = X.shape[1]
    steps = d**0.5 * sigma * torch.eye(d, dtype=X.dtype)
    shaken = X[:, None] + torch.cat([steps, -steps])
    return (y[:, None] - shaken @ w).square().mean(1).sum()


def ridge_loss(X: Tensor, y: Tensor, w: Tensor, sigma: float) -> Tensor:
    """The right side of (2)."""
    return (y - X @ w).square().sum() + len(X) * sigma**2 * w.square().sum()


def pictures(model: nn.Module, data: Dataset) -> dict[str, np.ndarray]:
    """What a classifier shows, and eight changed copies of six examples."""
    shown = confusion_and_mistakes(model, data)
    train = data.train
    if not len(train) or not isinstance(train, Examples) or len(data.about.shape) != 3:
        return shown
    figure, change = sheet(900, 620), ShiftScaleRotate(seed=0)
    places = figure.subplots(min(6, len(train)), 9, squeeze=False)
    for i, row in enumerate(places):
        image, one = train.inputs[i : i + 1].cpu(), torch.tensor([i])
        for epoch, axes in enumerate(row):
            seen = image if epoch == 0 else change(image, one, epoch)
            axes.imshow(seen[0].permute(1, 2, 0).squeeze().numpy(), cmap="gray_r", vmin=0, vmax=255)
            axes.axis("off")
    return shown | {"changed": pixels(figure)}


def _linear() -> tuple[Tensor, Tensor, Tensor]:
    draw = generator(0, "linear")
    return (torch.randn(25, 6, generator=draw, dtype=torch.float64),
            torch.randn(25, generator=draw, dtype=torch.float64), torch.randn(6, generator=draw, dtype=torch.float64))


def noise_is_ridge() -> Check:
    """The expected loss under input noise is the ridge loss with n sigma^2: ratio 1 to 1e-12.

    Source: Bishop 1995, Training with noise is equivalent to Tikhonov regularization; equation (2)
    """
    X, y, w = _linear()
    return about(float(noisy_loss(X, y, w, 0.6) / ridge_loss(X, y, w, 0.6)), 1.0, 1e-12)


def drawn_noise_agrees() -> Check:
    """The mean loss over 400 noisy epochs is the ridge loss within 4 standard errors.

    Source: equation (2)
    """
    X, y, w = _linear()
    shake = Noise(seed=0, sigma=0.6)
    losses = torch.stack([(y - shake(X, torch.arange(25), epoch) @ w).square().sum() for epoch in range(400)])
    error = losses.std() / 20
    return at_most(float((losses.mean() - ridge_loss(X, y, w, 0.6)).abs() / error), 4.0)


def its_minimum_is_the_ridge_solution() -> Check:
    """At w = (X^T X + n sigma^2 I)^-1 X^T y the expected noisy loss has gradient 0, to 1e-10.

    Source: Bishop 1995; equation (2)
    """
    X, y, _ = _linear()
    w = torch.linalg.solve(X.T @ X + 25 * 0.36 * torch.eye(6, dtype=X.dtype), X.T @ y).requires_grad_()
    (gradient,) = torch.autograd.grad(noisy_loss(X, y, w, 0.6), w)
    return at_most(float(gradient.abs().max()), 1e-10)


def a_mirror_undoes_itself() -> Check:
    """Mirrored twice, every pixel of 100 digits is where it was; mirrored once, most of the digits are changed.

    Source: an involution
    """
    images = torch.from_numpy(originals()[0][:100].copy())
    changed = int((mirror(images) != images).flatten(1).any(1).sum())
    return exactly(int((mirror(mirror(images)) != images).sum()) if changed > 50 else 1, 0)


def labels_stay() -> Check:
    """In an epoch of augmented batches every example comes once with its own label, and no picture is as it was.

    Source: equation (1)
    """
    program = build(Setup(examples=50, epochs=1))
    plain = build(Setup(examples=50, epochs=1, augment=False))
    wrong = 0
    for _ in range(program.batches.per_epoch):
        (changed, labels), (same, kept) = program.batches.next(), plain.batches.next()
        wrong += int((labels != kept).sum()) + int((changed == same).flatten(1).all(1).sum())
    return exactly(wrong, 0)


@cache
def _answers() -> tuple[Tensor, Tensor]:
    """(kinds, answers): which training digit is nearest to every other 6 and 9, upright and turned."""
    images, labels = originals()
    X, y = torch.from_numpy(images.astype(np.float64)), torch.from_numpy(labels)
    asked = X[1200:][(y[1200:] == 6) | (y[1200:] == 9)]
    kinds = y[1200:][(y[1200:] == 6) | (y[1200:] == 9)]
    known = X[:1200].flatten(1)
    return kinds, torch.stack([y[torch.cdist(seen.flatten(1), known).argmin(1)] for seen in (asked, half_turn(asked))])


def a_turned_six_is_a_nine() -> Check:
    """Of all 6 turned by 180 degrees at least 60 percent look most like a nine.

    Source: half turns do not keep these labels
    """
    kinds, (_, turned) = _answers()
    return at_least(float((turned[kinds == 6] == 9).double().mean()), 0.6)


def an_upright_six_is_a_six() -> Check:
    """Of the same 6 upright at least 95 percent look most like a six.

    Source: the nearest neighbour among 1,200 digits
    """
    kinds, (upright, _) = _answers()
    return at_least(float((upright[kinds == 6] == 6).double().mean()), 0.95)


CARD = Card(
    name="Data augmentation",
    name_ja="データ拡張",
    paper="Simard, Steinkraus, Platt 2003, Best practices for convolutional neural networks; Bishop 1995 for noise",
    equations=(
        r"(x, y) \to (Tx, y)",
        r"\mathrm{E}_\epsilon\|y - (X + \epsilon)w\|^2 = \|y - Xw\|^2 + n\sigma^2\|w\|^2",
    ),
    summary="Shows each example in a new guise every epoch, so that few examples teach what does not matter.",
    summary_ja="エポックごとに同じ例を少し変えて見せ、少ないデータからでも、違いとして扱わなくてよいものを学ばせる。",
    topics=("learn.data-augmentation",),
    facts=(
        noise_is_ridge,
        drawn_noise_agrees,
        its_minimum_is_the_ridge_solution,
        a_mirror_undoes_itself,
        labels_stay,
        a_turned_six_is_a_nine,
        an_upright_six_is_a_six,
    ),
    notes=("Digits must not be turned upside down or mirrored: a turned 6 carries the label of a 9.",),
    notes_ja=("数字を上下逆さにしたり左右反転したりしてはいけない。逆さの 6 は 9 のラベルになってしまう。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A multilayer perceptron that has few pictures to learn from."""

    data: str = "digits"
    """data set of pictures: digits, mnist, folder:PATH ..."""
    examples: int = 100
    """of the training part that are used; more than there are: all"""
    augment: bool = True
    """whether every example is shifted, turned, slanted and scaled anew in each epoch"""
    hidden: tuple[int, ...] = (256,)
    """units of each hidden layer"""
    epochs: int = 150
    """passes over the examples"""
    batch_size: int = 25
    """examples per step"""
    lr: float = 0.001
    """learning rate of Adam"""
    patience: int = 0
    """evaluations without improvement before stopping early; 0: never"""
    seed: int = 0
    """of the first weights, the order and the changes"""


VARIANTS = {
    "smoke": Setup(epochs=10, hidden=(32,)),
    "default": Setup(),
    "without": Setup(augment=False),
}


def build(setup: Setup, place: Place = Place()) -> Supervised:  # noqa: B008 - a frozen value
    """The training program on a part of the training data."""
    in_range(setup, ("examples", "epochs", "batch_size", "lr"))
    data = few(open_data(setup.data), setup.examples)
    with drawing_from(setup.seed, "weights"):
        network = MLP((prod(data.about.shape), *setup.hidden, len(data.about.classes))).to(place.device)
    optimiser = Adam(network.parameters(), lr=setup.lr, fused=place.device != "mps")
    moved = setup.augment and len(data.about.shape) == 3
    plan = Plan(epochs=setup.epochs, batch_size=setup.batch_size, seed=setup.seed, schedule=cosine,
                augment=ShiftScaleRotate(seed=setup.seed) if moved else None)
    return Supervised(network, optimiser, replace(CLASSIFY, pictures=pictures), data, plan, place)
