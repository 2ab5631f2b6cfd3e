r"""Saliency: which pixels an answer rests on (Simonyan, Vedaldi, Zisserman 2013).

Near the picture x the score s_c of a class is nearly linear, and the size of its slope says how much each pixel counts:

    s_c(x') = s_c(x) + w (x' - x) + o(|x' - x|),  w = ds_c / dx                                    (1)
    M_ij = max_k |w_kij|                                   over the channels k                     (2)

The score is that before the softmax. The surprise: after it, a network that is sure of itself shows nothing, for

    dp_c / dx = p_c (ds_c / dx - sum_k p_k ds_k / dx)                                              (3)

goes to 0 with 1 - p_c; and the probability also rises when the other classes fall. A map is a slope, not a share: for
a network of ReLUs without biases, the slope times the picture does add up to the score.
"""

from typing import final

import torch
from torch import Tensor, nn

from shinso.core.card import Card, Check, at_most
from shinso.inside.watching import watching


def saliency(network: nn.Module, pictures: Tensor, classes: Tensor | None = None) -> Tensor:
    """(2): (n, height, width), not negative, for pictures (n, channels, height, width) and classes (n,).

    Without classes, those with the highest scores.
    """
    return slope(network, pictures, classes).abs().amax(1)


def slope(network: nn.Module, inputs: Tensor, classes: Tensor | None = None) -> Tensor:
    """w of (1), shaped as the inputs (n, ...); the network's own gradients are not touched."""
    with torch.enable_grad(), watching(network):
        x = inputs.detach().clone().requires_grad_()
        scores = network(x)
        wanted = scores.argmax(1) if classes is None else classes.to(scores.device)
        (gradient,) = torch.autograd.grad(scores.gather(1, wanted[:, None]).sum(), x)
    return gradient


@final
class _Net(nn.Module):
    """A small convolutional network in float64, the same every time."""

    def __init__(self, *, bias: bool = True, gain: float = 1.0):
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, bias=bias), nn.ReLU(), nn.MaxPool2d(2),
                                    nn.Conv2d(8, 8, 3, bias=bias), nn.ReLU(), nn.Flatten(), nn.Linear(32, 4, bias=bias))
        for weight in self.parameters():
            nn.init.normal_(weight, 0, weight[0].numel() ** -0.5, generator=draw)
        nn.init.normal_(self.layers[-1].get_parameter("weight"), 0, gain / 32**0.5, generator=draw)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def _pictures(n: int = 6) -> Tensor:
    return torch.randn(n, 3, 10, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def of_a_linear_model_it_is_its_weight() -> Check:
    """Of a linear model the slope is the class's weight, whatever the picture, exactly.

    Source: Simonyan et al. 2013, section 3
    """
    model = nn.Sequential(nn.Flatten(), nn.Linear(300, 4)).double()
    weight = model[1].get_parameter("weight").detach().view(4, 3, 10, 10)
    classes = torch.tensor([0, 1, 2, 3, 0, 1])
    return at_most(float((slope(model, _pictures(), classes) - weight[classes]).abs().max()), 0)


def it_foretells_a_small_change() -> Check:
    """What (1) leaves over of a change by 1e-7 is below 1e-14.

    Source: equation (1)
    """
    net, x = _Net(), _pictures()
    step = 1e-7 * torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=x.dtype)
    with torch.no_grad():
        change = (net(x + step) - net(x))[:, 0]
    return at_most(float((change - (slope(net, x, torch.zeros(6).long()) * step).sum((1, 2, 3))).abs().max()), 1e-14)


def without_biases_slope_times_picture_is_the_score() -> Check:
    """For ReLUs without biases, the slope times the picture sums to the score, to 1e-13.

    Source: Euler's theorem, the network being homogeneous of degree 1
    """
    net, x = _Net(bias=False), _pictures()
    with torch.no_grad():
        scores = net(x)[:, 1]
    return at_most(float(((slope(net, x, torch.ones(6).long()) * x).sum((1, 2, 3)) - scores).abs().max()), 1e-13)


def certainty_hides_the_probability() -> Check:
    """With scores 40 times as large, the slope of the probability falls below 1e-6 of that of the score.

    Source: equation (3)
    """
    net, x = _Net(gain=40.0), _pictures()
    sure = nn.Sequential(net, nn.Softmax(1))
    with torch.no_grad():
        best = sure(x).amax(1).argmax()
    one = x[best: best + 1]
    return at_most(float(saliency(sure, one).max() / saliency(net, one).max()), 1e-6)


def the_slope_of_the_probability_is_its_law() -> Check:
    """It is p_c (ds_c - sum p_k ds_k), to 1e-14.

    Source: equation (3)
    """
    net, x = _Net(), _pictures()
    with torch.no_grad():
        p = net(x).softmax(1)
    each = torch.stack([slope(net, x, torch.full((6,), k)) for k in range(4)], 1)
    expected = p[:, 2, None, None, None] * (each[:, 2] - (p[:, :, None, None, None] * each).sum(1))
    found = slope(nn.Sequential(net, nn.Softmax(1)), x, torch.full((6,), 2))
    return at_most(float((found - expected).abs().max()), 1e-14)


CARD = Card(
    name="Saliency map",
    name_ja="顕著性マップ",
    paper="Simonyan, Vedaldi, Zisserman 2013, Deep inside convolutional networks: visualising image classification "
          "models and saliency maps, arXiv:1312.6034",
    equations=(
        r"s_c(x') \approx s_c(x) + w\,(x' - x),\quad w = \partial s_c / \partial x",
        r"M_{ij} = \max_k |w_{kij}|",
        r"\frac{\partial p_c}{\partial x} = p_c \left(\frac{\partial s_c}{\partial x} - "
        r"\sum_k p_k \frac{\partial s_k}{\partial x}\right)",
    ),
    summary="Which pixels an answer rests on: the size of the score's slope at each of them.",
    summary_ja="答えがどの画素に基づくか。各画素でのスコアの傾きの大きさで示す。",
    topics=(),
    facts=(
        of_a_linear_model_it_is_its_weight,
        it_foretells_a_small_change,
        without_biases_slope_times_picture_is_the_score,
        certainty_hides_the_probability,
        the_slope_of_the_probability_is_its_law,
    ),
    notes=("A map shows a slope, not a contribution: a pixel of a black background can be bright in it.",
           "It must be taken of the score before the softmax; that of the probability vanishes with certainty."),
    notes_ja=("マップが示すのは傾きであって寄与ではない。黒い背景の画素も明るくなりうる。",
              "ソフトマックスの前のスコアについてとる。確率についてとると、確信しているときに消えてしまう。"),
)
