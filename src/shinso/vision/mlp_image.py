r"""Perceptron and convolutions on shuffled pixels: what each knows of pictures before it has seen one.

A picture of n pixels is a point of R^n; a perceptron with a hidden layer reads it as that (Rumelhart et al. 1986):

    s(x) = W_2 max(W_1 x + b_1, 0) + b_2                                                           (1)
    s_P(P x) = s(x),   if W_1 of s_P is W_1 P^T                                                    (2)
    p(dog | x) = sigmoid(s(x)) > 1/2  instead of  step(s(x)), whose slope is 0                     (3)

with P any order of the pixels, the same for all pictures. The surprise: by (2) shuffling costs the perceptron nothing -
it never knew which pixels are neighbours, and learns from the shuffled digits what it learns from the others, step by
step, if its first weights are shuffled with them. A convolution is told before it starts; without the neighbourhood it
is left with less than the perceptron has.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf, prod
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor, nn

from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.seed import drawing_from, generator
from shinso.core.setup import in_range
from shinso.data.digits import originals
from shinso.data.examples import Dataset, Description
from shinso.learn.classify import confusions
from shinso.learn.recognise import Recognition, recognise
from shinso.learn.supervised import Supervised
from shinso.vision.simple_convnet import SimpleConvNet


@final
class Shuffled(nn.Module):
    """P: pixels of (batch, channels, height, width) in another order, the same for all; the channels stay together."""

    order: Tensor

    def __init__(self, places: int, seed: int):
        super().__init__()
        self.register_buffer("order", torch.randperm(places, generator=generator(seed, "pixels")))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2)[:, :, self.order].view(x.shape)

    def undo(self, x: Tensor) -> Tensor:
        """The pixels of (batch, channels, height, width) back where they were: P^T."""
        return torch.empty_like(x).flatten(2).index_copy(2, self.order, x.flatten(2)).view(x.shape)


def perceptron(inputs: int, hidden: int, classes: int) -> nn.Sequential:
    """(1): (batch, ...) of `inputs` numbers each -> (batch, classes)."""
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def learned(network: nn.Module, x: Tensor, y: Tensor, steps: int, rate: float = 0.01) -> nn.Module:
    """`network` after `steps` of Adam on all of x at once."""
    rule = torch.optim.Adam(network.parameters(), lr=rate)
    for _ in range(steps):
        rule.zero_grad()
        nn.functional.cross_entropy(network(x), y).backward()
        rule.step()
    return network


def _digits() -> tuple[Tensor, Tensor]:
    """Originals as (1797, 1, 8, 8) of 0..1 in float64, and labels."""
    images, labels = originals()
    return torch.from_numpy(images / 16.0)[:, None], torch.from_numpy(labels)


def shuffled_weights_undo_shuffled_pixels() -> Check:
    """A perceptron whose first weights are shuffled as the pixels learns the same to 1e-9, over 20 steps of Adam.

    Source: equation (2); Adam treats every weight alike
    """
    (x, y), mix = _digits(), Shuffled(64, 0)
    with drawing_from(0, "weights"):
        plain = perceptron(64, 16, 10).double()
    other = perceptron(64, 16, 10).double()
    other.load_state_dict(plain.state_dict())
    with torch.no_grad():
        other.get_parameter("1.weight").copy_(plain.get_parameter("1.weight")[:, mix.order])
    a, b = learned(plain, x[:300], y[:300], 20), learned(other, mix(x[:300]), y[:300], 20)
    return at_most(float((a(x) - b(mix(x))).detach().abs().max()), 1e-9)


def _points_lost(kind: str) -> float:
    """By shuffling: points of accuracy on the last 500 digits after 40 steps on the first 500."""
    (x, y), found = _digits(), []
    for mix in (nn.Identity(), Shuffled(64, 1)):
        with drawing_from(0, "weights"):
            network = _KINDS[kind]((1, 8, 8), 10, 32)
            learned(network, mix(x[:500].float()), y[:500], 40)
        found.append(float((network.eval()(mix(x[-500:].float())).argmax(1) == y[-500:]).float().mean()))
    return 100 * (found[0] - found[1])


def a_perceptron_reads_shuffled_digits_as_well() -> Check:
    """After 40 steps on 500 shuffled digits a perceptron reads within 2 points as many of 500 others as on plain ones.

    Source: equation (2), but with the same first weights for both orders; measured in points of accuracy lost
    """
    return about(_points_lost("perceptron"), 0, 2)


def convolutions_do_not() -> Check:
    """Two convolutions lose at least 4 points.

    Source: what a filter was told of neighbours is wrong then; measured in points of accuracy lost
    """
    return at_least(_points_lost("convolutions"), 4)


def a_step_has_no_slope() -> Check:
    """A step of the weights by 1e-9 along the sigmoid's gradient changes no answer of the threshold in (3).

    Source: equation (3); the sigmoid's own loss changes
    """
    (x, y), answers, losses = _digits(), [], []
    with drawing_from(0, "weights"):
        dog = perceptron(64, 4, 1).double()
    for _ in range(2):
        score = dog(x[:100])[:, 0]
        answers.append(torch.heaviside(score.detach(), torch.zeros_like(score)))
        losses.append(nn.functional.binary_cross_entropy_with_logits(score, (y[:100] > 4).double()))
        slopes = torch.autograd.grad(losses[-1], list(dog.parameters()))
        with torch.no_grad():
            for w, slope in zip(dog.parameters(), slopes, strict=True):
                w -= 1e-9 * slope
    changed = float((answers[0] - answers[1]).abs().sum())
    return exactly(changed if float(losses[1].detach()) < float(losses[0].detach()) else inf, 0)


_KINDS: dict[str, Callable[[Sequence[int], int, int], nn.Module]] = {
    "perceptron": lambda shape, classes, hidden: perceptron(prod(shape), hidden, classes),
    "convolutions": lambda shape, classes, hidden: SimpleConvNet(shape, classes, maps=(8, 16), hidden=hidden),
}


def pictures(model: nn.Module, data: Dataset) -> dict[str, np.ndarray]:
    """What is confused; digits as they are and as they are read; a perceptron's first weights, and put in order."""
    if not len(data.test):
        return {}
    model.eval()
    first = next(model.children(), None)
    mix = first if isinstance(first, Shuffled) else None
    reader = model.get_submodule("1") if mix is not None else model
    rows = {"picture\n画像": torch.stack([data.test[k][0].float().mean(0) for k in range(8)])}
    if mix is not None:
        rows["as it is read\n並べ替え後"] = mix(rows["picture\n画像"][:, None].to(mix.get_buffer("order").device))[:, 0]
    if isinstance(reader, nn.Sequential):
        matrix = reader[1].get_parameter("weight").detach()
        loudest = matrix.norm(dim=1).argsort(descending=True)[:8]
        weights = matrix[loudest].view(-1, *data.about.shape)
        rows["weights\n重み"] = weights.mean(1)
        if mix is not None:
            rows["put in order\n元の順の重み"] = mix.undo(weights).mean(1)
    name = "first_weights" if isinstance(reader, nn.Sequential) else "shuffled_pixels"
    return {**confusions(model, data), name: _drawn({title: row.cpu() for title, row in rows.items()})}


def _drawn(rows: dict[str, Tensor]) -> np.ndarray:
    """Rows of pictures (n, height, width) with their names; positive red and negative blue, where there are both."""
    figure = sheet(900, 105 * len(rows))
    across = max(map(len, rows.values()))
    for row, (name, shown) in enumerate(rows.items()):
        for column, one in enumerate(shown):
            axes = figure.add_subplot(len(rows), across, row * across + column + 1)
            most = float(one.abs().max()) or 1.0
            colours, least = ("RdBu_r", -most) if float(one.min()) < 0 else ("gray_r", 0.0)
            axes.imshow(one.numpy(), cmap=colours, vmin=least, vmax=most)
            axes.set(xticks=(), yticks=())
            if not column:
                axes.set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center")
    return pixels(figure)


CARD = Card(
    name="Perceptron on pixels",
    name_ja="画素を入力とする多層パーセプトロン",
    paper="Rumelhart, Hinton, Williams 1986, Learning representations by back-propagating errors, Nature 323",
    equations=(
        r"s(x) = W_2 \max(W_1 x + b_1, 0) + b_2",
        r"s_P(P x) = s(x), \quad W_1^{(P)} = W_1 P^\top",
        r"p(\mathrm{dog} \mid x) = \sigma(s(x)) > \frac{1}{2}",
    ),
    summary="A perceptron reads shuffled pixels as well as pictures: it never knew which of them are neighbours.",
    summary_ja="画素を並べ替えても、パーセプトロンは同じように読む。どの画素が隣り合うかを初めから知らないからである。",
    topics=("vision.mlp-image",),
    facts=(
        shuffled_weights_undo_shuffled_pixels,
        a_perceptron_reads_shuffled_digits_as_well,
        convolutions_do_not,
        a_step_has_no_slope,
    ),
    notes=(
        "The course's f: R^n -> R answers dog or cat by a step, whose slope is 0 everywhere: to learn it takes (3).",
        "On SIFT and SURF features, says the course, a three-layer perceptron was no better than other methods.",
    ),
    notes_ja=(
        "講義の f: R^n -> R は犬か猫かをステップ関数で答えるが、傾きはどこでも零である。学習には (3) が要る。",
        "講義によれば、SIFTやSURFの特徴量を入力とする三層パーセプトロンは、他の手法と変わらなかった。",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup(Recognition):
    """Settings of training, which network, and whether the pixels are shuffled."""

    network: Literal["perceptron", "convolutions"] = "perceptron"
    """who reads: perceptron, one hidden layer on all pixels; convolutions, two of them and a hidden layer"""
    shuffle: bool = True
    """bring the pixels of all pictures into one other order"""
    hidden: int = 100
    """units of the hidden layer"""
    optimiser: str = "adam"
    lr: float = 0.003
    augment: bool = False


VARIANTS = {
    "smoke": Setup(epochs=1, batch_size=31, hidden=16),
    "default": Setup(epochs=15, batch_size=32),
    "plain": Setup(epochs=15, batch_size=32, shuffle=False),
    "convolutions": Setup(epochs=15, batch_size=32, network="convolutions"),
    "convolutions-plain": Setup(epochs=15, batch_size=32, network="convolutions", shuffle=False),
    "mnist": Setup(data="mnist"),
}


def build(setup: Setup, place: Place = Place()) -> Supervised:  # noqa: B008 - a frozen value
    """The training program; what is shuffled is shuffled inside the network, so that it answers for pictures."""
    in_range(setup, ("hidden",))

    def network(about: Description) -> nn.Module:
        reader = _KINDS[setup.network](about.shape, len(about.classes), setup.hidden)
        return nn.Sequential(Shuffled(prod(about.shape[1:]), setup.seed), reader) if setup.shuffle else reader

    program = recognise(setup, place, network, smallest=6)
    if setup.shuffle or setup.network == "perceptron":  # else there are maps to look into, as in every other network
        program.task = replace(program.task, pictures=pictures)
    return program
