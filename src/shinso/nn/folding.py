r"""Batch normalisation of maps, and how it disappears into the convolution before it (Ioffe and Szegedy 2015).

For each map, over the batch and all N = batch height width places, while training

    y = gamma (x - mean) / sqrt(var + eps) + beta,   var = 1/N sum (x - mean)^2                    (1)
    remembered mean <- (1 - m) remembered + m mean
    remembered var  <- (1 - m) remembered + m N/(N - 1) var                                        (2)

and afterwards (1) with what is remembered. Then it is an affine map of each map, and behind a convolution

    gamma (W * x + b - mean) / s + beta = (gamma/s W) * x + (gamma/s (b - mean) + beta),   s = sqrt(var + eps)    (3)

it is another convolution. The surprise: `folded` makes this network of any network, with nothing said about its
layers: it watches one pass and folds every normalisation whose input came from a convolution or matrix and went
nowhere else. The trap in (2): what normalises a batch is the biased variance, what is remembered the unbiased one.
"""

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.seed import drawing_from

Affine = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)
Norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

_QUESTIONS = {"__get__", "dim", "size", "stride", "numel", "__len__", "is_floating_point", "is_contiguous"}
"""what reads a tensor's shape or type, not its numbers"""


def normalised(x: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-5) -> Tensor:
    """(1) by the batch's own moments: (batch, maps, height, width) -> the same."""
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
    return _by_moments(x, mean, var, gamma, beta, eps)


def remembered(before: tuple[Tensor, Tensor], x: Tensor, momentum: float = 0.1) -> tuple[Tensor, Tensor]:
    """(2): mean and variance after a batch."""
    now = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=1)
    mean, var = ((1 - momentum) * old + momentum * new for old, new in zip(before, now, strict=True))
    return mean, var


def _by_moments(x: Tensor, mean: Tensor, var: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    mean, var, gamma, beta = (v[:, None, None] for v in (mean, var, gamma, beta))
    return gamma * (x - mean) / (var + eps).sqrt() + beta


@final
class _Uses(TorchFunctionMode):
    """Counts the calls that read each of the tensors it is told to watch."""

    def __init__(self) -> None:
        super().__init__()
        self.watched: dict[int, Tensor] = {}  # the tensors stay alive, so that no other takes their id
        self.count: Counter[int] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") not in _QUESTIONS:
            self.count.update(id(t) for t in _tensors((args, kwargs)) if id(t) in self.watched)
        return func(*args, **(kwargs or {}))


def _tensors(tree: object) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, (list, tuple)):
        for part in tree:
            yield from _tensors(part)
    elif isinstance(tree, dict):
        yield from _tensors(list(tree.values()))


@torch.no_grad()
def pairs(network: nn.Module, example: Tensor) -> list[tuple[str, str]]:
    """Names of each convolution or matrix and the normalisation that alone reads what it computes, on one pass."""
    uses, made, met = _Uses(), {}, []
    calls: Counter[str] = Counter()
    handles = []

    def watch(name: str, layer: nn.Module) -> None:
        def look(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            calls[name] += 1
            if isinstance(layer, Affine):
                made[id(output)], uses.watched[id(output)] = name, output
            elif id(inputs[0]) in made:
                met.append((id(inputs[0]), name))

        handles.append(layer.register_forward_hook(look))

    for name, layer in network.named_modules():
        if isinstance(layer, Affine) or (isinstance(layer, Norm) and layer.running_var is not None):
            watch(name, layer)
    modes = [(layer, layer.training) for layer in network.modules()]
    network.eval()
    try:
        with uses:
            network(example)
    finally:
        for handle in handles:
            handle.remove()
        for layer, training in modes:
            layer.training = training
    return [(made[key], norm) for key, norm in met
            if uses.count[key] == 1 and calls[made[key]] == calls[norm] == 1 and _foldable(network, made[key])]


def _foldable(network: nn.Module, name: str) -> bool:
    layer = network.get_submodule(name)
    return getattr(layer, "groups", 1) == 1 or not getattr(layer, "transposed", False)


@torch.no_grad()
def folded(network: nn.Module, example: Tensor) -> nn.Module:
    """A copy of `network` for evaluation in which (3) has taken every normalisation away that it can.

    `example` is an input of any size that the network takes. Outputs differ by rounding; `network` is left as it is.
    """
    found, lean = pairs(network, example), copy.deepcopy(network).eval()
    for before, norm in found:
        layer, bn = lean.get_submodule(before), lean.get_submodule(norm)
        assert isinstance(layer, Affine) and isinstance(bn, Norm)  # noqa: S101 - for the type checker
        _fold(layer, bn)
        lean.set_submodule(norm, nn.Identity())
    return lean


def _fold(layer: Any, bn: Any) -> None:
    """(3), computed in float64."""
    weight, scale = layer.weight, (bn.running_var.double() + bn.eps).rsqrt()
    scale = scale if bn.weight is None else scale * bn.weight.double()
    maps = 1 if getattr(layer, "transposed", False) else 0
    shape = [1] * weight.dim()
    shape[maps] = -1
    bias = -bn.running_mean.double() if layer.bias is None else layer.bias.double() - bn.running_mean.double()
    bias = bias * scale if bn.bias is None else bias * scale + bn.bias.double()
    layer.weight = nn.Parameter((weight.double() * scale.view(shape)).to(weight.dtype), requires_grad=False)
    layer.bias = nn.Parameter(bias.to(weight.dtype), requires_grad=False)


def _batch() -> tuple[Tensor, Tensor, Tensor]:
    with drawing_from(0, "batch"):
        x, gamma, beta = 3 * torch.randn(4, 5, 6, 7) + 1, torch.randn(5), torch.randn(5)
    return x.double(), gamma.double(), beta.double()


def training_is_torchs() -> Check:
    """(1) equals torch's function in training, to 1e-12.

    Source: torch.nn.functional.batch_norm
    """
    x, gamma, beta = _batch()
    return at_most(float((normalised(x, gamma, beta) - F.batch_norm(x, None, None, gamma, beta, True)).abs().max()),
                   1e-12)


def _memories() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """What is remembered after three batches, by (2) and by torch."""
    x, *_ = _batch()
    ours, layer = (torch.zeros(5).double(), torch.ones(5).double()), nn.BatchNorm2d(5).double()
    for k in range(3):
        ours = remembered(ours, (k + 1) * x)
        layer((k + 1) * x)
    return ours, (layer.get_buffer("running_mean"), layer.get_buffer("running_var"))


def the_memory_is_torchs() -> Check:
    """After three batches (2) remembers what torch's layer does, to 1e-12.

    Source: equation (2)
    """
    ours, theirs = _memories()
    return at_most(max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True)), 1e-12)


def evaluation_is_torchs() -> Check:
    """(1) with what is remembered equals torch's function in evaluation, to 1e-12.

    Source: torch.nn.functional.batch_norm
    """
    x, gamma, beta = _batch()
    mean, var = _memories()[0]
    found = _by_moments(x, mean, var, gamma, beta, 1e-5)
    return at_most(float((found - F.batch_norm(x, mean, var, gamma, beta)).abs().max()), 1e-12)


def the_biased_variance_is_not_what_is_remembered() -> Check:
    """On 2 pictures of 1x1, with m = 1, the variance that is remembered is twice the one that normalised the batch.

    Source: equation (2) with N = 2; measured is the ratio
    """
    x = torch.tensor([0.0, 2.0], dtype=torch.float64).view(2, 1, 1, 1)
    _, var = remembered((torch.zeros(1).double(), torch.zeros(1).double()), x, momentum=1.0)
    return exactly(float(var / x.var(correction=0)), 2)


@final
class _Residual(nn.Module):
    """One addition, one pre-activation: of three normalisations two can go."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.BatchNorm2d(8)
        self.conv3, self.bn3 = nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = self.conv3(F.relu(x + self.bn2(self.conv2(x))))
        return x + F.relu(self.bn3(x))  # bn3 is not the only reader of conv3


def _example() -> tuple[nn.Module, Tensor]:
    with drawing_from(1, "network"):
        network, x = _Residual(), torch.randn(2, 3, 9, 9)
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.weight)
                nn.init.normal_(layer.bias)
                nn.init.normal_(layer.get_buffer("running_mean"))
                nn.init.uniform_(layer.get_buffer("running_var"), 0.2, 3.0)
    return network.eval(), x


def folding_changes_nothing() -> Check:
    """A folded network answers as before, to 1e-5 of the largest answer, in float32.

    Source: equation (3)
    """
    network, x = _example()
    before = network(x).detach()
    return at_most(float((folded(network, x)(x).detach() - before).abs().max() / before.abs().max()), 1e-5)


def what_two_layers_read_is_left_alone() -> Check:
    """Of three normalisations behind convolutions two are folded; the third's convolution is read by an addition, too.

    Source: equation (3) changes what the convolution computes
    """
    network, x = _example()
    return exactly(len(pairs(network, x)), 2)


def folding_it_anyway_would_be_wrong() -> Check:
    """Folded all the same, the answers would be off by more than a tenth of the largest.

    Source: measured
    """
    network, x = _example()
    wrong, before = folded(network, x), network(x)
    _fold(wrong.get_submodule("conv3"), wrong.get_submodule("bn3"))
    wrong.set_submodule("bn3", nn.Identity())
    return at_least(float((wrong(x) - before).detach().abs().max() / before.detach().abs().max()), 0.1)


CARD = Card(
    name="Folded batch normalisation",
    name_ja="バッチ正規化の畳み込みへの統合",
    paper="Ioffe and Szegedy 2015, Batch normalization, arXiv:1502.03167",
    equations=(
        r"y = \gamma (x - \mu)/\sqrt{\sigma^2 + \epsilon} + \beta,\quad \sigma^2 = \frac{1}{N} \sum (x - \mu)^2",
        r"\sigma_r^2 \leftarrow (1 - m)\,\sigma_r^2 + m\, \frac{N}{N - 1}\, \sigma^2",
        r"\gamma (W * x + b - \mu)/s + \beta = (\gamma W/s) * x + (\gamma (b - \mu)/s + \beta)",
    ),
    summary="After training, batch normalisation is part of the convolution before it: one layer less to compute.",
    summary_ja="学習を終えたバッチ正規化は直前の畳み込みに統合でき、計算する層が一つ減る。",
    topics=("vision.part.batch-norm-2d",),
    facts=(
        training_is_torchs,
        the_memory_is_torchs,
        evaluation_is_torchs,
        the_biased_variance_is_not_what_is_remembered,
        folding_changes_nothing,
        what_two_layers_read_is_left_alone,
        folding_it_anyway_would_be_wrong,
    ),
    notes=(
        "The course's formula shows neither gamma nor beta; without them a layer could not undo the normalisation.",
        "eps is 1e-5 in torch and 1e-3 in TensorFlow and Inception; Keras's momentum is 1 - torch's.",
    ),
    notes_ja=(
        "講義の式には gamma も beta もない。これらがないと、層は正規化を打ち消すことができない。",
        "eps はtorchでは 1e-5、TensorFlowとInceptionでは 1e-3 である。Kerasのmomentumは 1 - torchのmomentumである。",
    ),
)
