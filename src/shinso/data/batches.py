r"""Mini-batches as a state machine: (epoch, position, seed) says which examples come next; a run resumes mid-epoch.

The order of an epoch is a permutation drawn from (seed, epoch) alone; augmentation draws from (seed, epoch, index).
With weights that stand still and batches of one size m, the gradients of an epoch's batches average to that of all
n examples, because every example is seen once; where the last batch is shorter, each counts as its size says:

    grad J = sum_b (m_b / n) g_b,   g_b = (1/m_b) sum_{i in b} grad J_i                                  (1)
    var g_b = (sigma^2 / m) (n - m)/(n - 1)                                                              (2)

The surprise in (2): drawn without putting back, the noise of a batch is smaller than sigma^2/m, and none for m = n.
"""

from collections.abc import Callable, Iterator
from typing import Any, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.seed import generator
from shinso.data.examples import Description, Examples, Split, to_float
from shinso.data.mixup import Mixup, mixed, shares
from shinso.kernels.gather import normalised_rows

Augment = Callable[[Tensor, Tensor, int], Tensor]
"""(inputs of a batch, their indices, epoch) -> inputs of the same shape and type"""


@final
class Batches:
    """An endless stream of (inputs float32 on `device`, targets) from one split, resident or on disk.

    With `part` (r, n) it gives the r-th of n parts of every batch, and `share` says how much of the batch that was: of
    a batch of fewer than n examples some get its first example and the share 0. With `mix` the targets are shares of
    the classes, float32 (n, classes).
    """

    ahead = 3
    """batches that a split on disk prepares in advance; reading ahead is no part of the state"""

    def __init__(self, examples: Split, about: Description, batch_size: int, *, seed: int, device: str = "cpu",
                 augment: Augment | None = None, mix: Mixup | None = None, part: tuple[int, int] = (0, 1)):
        self.mix, self.part, self.share = mix, part, 1.0
        self.about, self.batch_size, self.seed, self.augment = about, batch_size, seed, augment
        self.split = examples.to(device)
        self.targets = self.split.targets
        self.mean, self.std = torch.tensor(about.mean, device=device), torch.tensor(about.std, device=device)
        self.per_epoch = -(-len(examples) // batch_size)
        self.epoch = self.position = 0
        self.order = self._order()

    def next(self) -> tuple[Tensor, Tensor]:
        """The next batch; the last one of an epoch may be shorter."""
        if self.position == len(self.targets):
            self.epoch, self.position = self.epoch + 1, 0
            self.order = self._order()
        index = self.order[self.position : self.position + self.batch_size]
        self.position += len(index)
        coming = self.order[self.position : self.position + self.ahead * self.batch_size]
        if self.part[1] > 1:
            own = self._own(index)
            index, self.share = (own, len(own) / len(index)) if len(own) else (index[:1], 0.0)
            coming = torch.cat([self._own(batch) for batch in coming.split(self.batch_size)])
        if self.mix is not None:
            partners, _ = self.mix(coming, self.epoch, len(self.targets))
            coming = torch.stack([coming, partners], 1).flatten()
        inputs = self._inputs(index)
        targets = self.targets.index_select(0, index)
        if self.mix is not None:
            inputs, targets = self._mixed(self.mix, index, inputs, targets)
        self.split.expect(coming)
        return inputs, targets

    def _mixed(self, mix: Mixup, index: Tensor, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        partners, share = mix(index, self.epoch, len(self.targets))
        others = self.targets.index_select(0, partners)
        return (mixed(inputs, self._inputs(partners), share),
                shares(targets, others, share, len(self.about.classes)))

    def _own(self, batch: Tensor) -> Tensor:
        return batch.tensor_split(self.part[1])[self.part[0]]

    def _inputs(self, index: Tensor) -> Tensor:
        if self.augment is None and isinstance(self.split, Examples) and self.split.inputs.dtype == torch.uint8:
            return normalised_rows(self.split.inputs, index, self.mean, self.std)
        inputs = self.split.pick(index)
        if self.augment is not None:
            inputs = self.augment(inputs, index, self.epoch)
        return to_float(inputs, self.about)

    def state(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "position": self.position, "seed": self.seed}

    def restore(self, state: dict[str, Any]) -> None:
        self.epoch, self.position, self.seed = state["epoch"], state["position"], state["seed"]
        self.order = self._order()

    def _order(self) -> Tensor:
        draw = generator(self.seed, f"order/{self.epoch}")
        return torch.randperm(len(self.targets), generator=draw).to(self.targets.device)


def sweep(examples: Split, about: Description, batch_size: int, device: str = "cpu") -> Iterator[tuple[Tensor, Tensor]]:
    """Every example once, in order: for evaluation."""
    every = torch.arange(len(examples))
    for start in range(0, len(examples), batch_size):
        inputs = examples.pick(every[start : start + batch_size])
        examples.expect(every[start + batch_size : start + 2 * batch_size])
        yield to_float(inputs.to(device), about), examples.targets[start : start + batch_size].to(device)


def _examples(count: int) -> tuple[Examples, Description]:
    """Float examples of 5 features, whose target is their own index."""
    inputs = torch.randn(count, 5, generator=generator(0, "examples")) * torch.arange(1.0, 6)
    about = Description(name="x", classes=("a", "b"), shape=(5,), mean=(0.0,) * 5, std=(1.0,) * 5, form="points")
    return Examples(inputs, torch.arange(count)), about


def _gradients(count: int, batch_size: int, epochs: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Of the mean of (w x - 1)^2 / 2 at fixed w: (batches, 5), the batches' sizes, and of all examples (5,)."""
    examples, about = _examples(count)
    w = torch.linspace(-1, 1, 5, dtype=torch.float64)

    def slope(x: Tensor) -> Tensor:
        return ((x.double() @ w - 1)[:, None] * x.double()).mean(0)

    batches = Batches(examples, about, batch_size, seed=1)
    drawn = [batches.next()[0] for _ in range(epochs * batches.per_epoch)]
    sizes = torch.tensor([len(x) for x in drawn], dtype=torch.float64)
    return torch.stack([slope(x) for x in drawn]), sizes, slope(examples.inputs)


def every_example_is_seen_once() -> Check:
    """In each of 5 epochs of 103 examples in batches of 10 every index comes exactly once: those that do not, 0.

    Source: an epoch is one pass over all examples
    """
    examples, about = _examples(103)
    batches, wrong = Batches(examples, about, 10, seed=0), 0
    for _ in range(5):
        seen = torch.cat([batches.next()[1] for _ in range(batches.per_epoch)])
        wrong += int((seen.bincount(minlength=103) != 1).sum())
    return exactly(wrong, 0)


def the_mean_of_an_epoch_is_the_whole_gradient() -> Check:
    """At fixed weights the mean of the 10 gradients of equal batches is that of all 100 examples, to 1e-14 of it.

    Source: equation (1) with m_b = m
    """
    each, _, whole = _gradients(100, 10)
    return at_most(float((each.mean(0) - whole).abs().max() / whole.abs().max()), 1e-14)


def the_short_last_batch_must_be_weighted() -> Check:
    """With 103 examples the last batch has 3: weighted by size the mean is that of all, to 1e-14 of it.

    Source: equation (1)
    """
    each, sizes, whole = _gradients(103, 10)
    return at_most(float((sizes @ each / 103 - whole).abs().max() / whole.abs().max()), 1e-14)


def unweighted_it_is_off() -> Check:
    """The trap: the plain mean of those 11 gradients misses that of all by over 1 percent.

    Source: three examples then count as much as ten
    """
    each, _, whole = _gradients(103, 10)
    return at_least(float((each.mean(0) - whole).abs().max() / whole.abs().max()), 0.01)


def the_noise_of_a_batch_is_the_law() -> Check:
    """Over 300 epochs of 60 examples in batches of 5, 20 and 30 the variance is (2) within 5 percent.

    Source: sampling without putting back: Cochran 1977, theorem 2.2
    """
    alone, _, whole = _gradients(60, 1)
    trace = float((alone - whole).square().sum(1).mean())
    off = []
    for m in (5, 20, 30):
        found = float((_gradients(60, m, 300)[0] - whole).square().sum(1).mean())
        off.append(abs(found / (trace / m * (60 - m) / 59) - 1))
    return at_most(max(off), 0.05)


def the_whole_has_no_noise() -> Check:
    """With m = n the gradient is the same in each of 20 epochs, whatever the order, to 1e-14 of it.

    Source: equation (2) with m = n
    """
    each, _, whole = _gradients(60, 60, 20)
    return at_most(float((each - whole).abs().max() / whole.abs().max()), 1e-14)


CARD = Card(
    name="Mini-batches",
    name_ja="ミニバッチ法",
    paper="Robbins and Monro 1951, doi:10.1214/aoms/1177729586; Cochran 1977, Sampling techniques",
    equations=(
        r"\nabla J = \sum_b \frac{m_b}{n}\,g_b,\quad g_b = \frac{1}{m_b}\sum_{i \in b} \nabla J_i",
        r"\mathrm{var}\,g_b = \frac{\sigma^2}{m}\,\frac{n - m}{n - 1}",
    ),
    summary="Each epoch deals all examples into batches in a new order: their gradients average to the whole one.",
    summary_ja="エポックごとに全例を新しい順序でバッチに分ける。その勾配を平均すると全体の勾配になる。",
    topics=("optim.minibatch",),
    facts=(every_example_is_seen_once, the_mean_of_an_epoch_is_the_whole_gradient,
           the_short_last_batch_must_be_weighted, unweighted_it_is_off, the_noise_of_a_batch_is_the_law,
           the_whole_has_no_noise),
    notes=("One document sums over the batch, two take the mean: with a sum, divide the rate by the batch size.",
           "In training here the short last batch makes a step of its own, as large as any other.",
           "basics.large_batch measures the noise on real digits."),
    notes_ja=("ある資料はバッチで和をとり、二つの資料は平均をとる。和なら学習率をバッチサイズで割らなければならない。",
              "ここでの訓練では、短い最後のバッチもほかと同じ大きさの一歩になる。",
              "実際の数字画像での雑音は basics.large_batch で測る。"),
)
