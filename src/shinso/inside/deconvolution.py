r"""Deconvolution: what in the picture made one unit fire (Zeiler and Fergus 2013).

A unit's activity is sent back down to the pixels, through the transposed convolutions and to the places that won in
the maximum pooling. That is the gradient, but for what happens at a ReLU, y = max(x, 0), with R arriving from above:

    gradient:        R' = [x > 0] R                                                                (1)
    deconvolution:   R' = max(R, 0)                                                                (2)
    guided:          R' = [x > 0] max(R, 0)            (Springenberg, Dosovitskiy, Brox, Riedmiller 2014)   (3)

(2) and (3) keep only what excites the unit, so that their pictures look clean. The surprise is how little of the
picture (2) needs: it looks at x nowhere. Without pooling, whose switches do depend on it, every picture gets the same
reconstruction; what looks like a portrait of the input is one of the weights and the switches. Guided pictures, too,
mostly trace the edges of the input and hardly depend on which unit was asked (Adebayo et al. 2018).
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_least, at_most
from shinso.inside.watching import watching

Rule = Literal["gradient", "deconvolution", "guided"]


def reconstruct(network: nn.Module, pictures: Tensor, units: Tensor, *, layer: str = "",
                rule: Rule = "deconvolution") -> Tensor:
    """What of each picture (n, ...) excited one unit of `layer`, by its name; shaped as the pictures.

    `units` (n,) are places in the layer's flattened output; without a layer they are classes. A layer that works
    several times is named `relu`, `relu#2`, `relu#3`.
    """
    kept: list[Tensor] = []

    def see(name: str, module: nn.Module, output: Tensor) -> Tensor | None:
        if name != layer:
            return None
        kept[:] = [output]
        return output.clone()  # what comes next may write into its input

    with torch.enable_grad(), watching(network, see):
        x = pictures.detach().clone().requires_grad_()
        network(x)
        if not kept:
            raise ValueError(f"no layer '{layer}' is reached")
        activity = kept[0].flatten(1).gather(1, units.to(x.device)[:, None])
        if rule != "gradient" and activity.grad_fn is not None:
            _replace_relus(activity.grad_fn, _deconvolved if rule == "deconvolution" else _guided)
        (found,) = torch.autograd.grad(activity.sum(), x)
    return found


Hook = Callable[[tuple[Tensor, ...], tuple[Tensor, ...]], tuple[Tensor, ...]]


def _replace_relus(end: Node, hook: Hook) -> None:
    """Hangs `hook` on every ReLU of the graph, written as a module, a function or in place; it goes with the graph."""
    seen, waiting = {end}, [end]
    while waiting:
        node = waiting.pop()
        if _is_relu(node):
            node.register_hook(hook)
        below = {other for other, _ in node.next_functions if other is not None} - seen
        seen |= below
        waiting += below


def _is_relu(node: Node) -> bool:
    if node.name().startswith("Clamp"):
        return getattr(node, "_saved_min", None) == 0 and getattr(node, "_saved_max", None) is None
    return node.name() in ("ReluBackward0", "ThresholdBackward0")


def _deconvolved(down: tuple[Tensor, ...], above: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return above[0].clamp(min=0), *down[1:]  # (2)


def _guided(down: tuple[Tensor, ...], above: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return down[0].clamp(min=0), *down[1:]  # (3): down is (1) already


def _net(*, relu: bool = True, pool: bool = True) -> nn.Sequential:
    """A small network in float64, the same every time; some ReLUs in place."""
    draw = torch.Generator().manual_seed(0)
    act = (lambda: nn.ReLU(inplace=True)) if relu else nn.Identity
    net = nn.Sequential(nn.Conv2d(3, 8, 3), act(), nn.MaxPool2d(2) if pool else nn.Identity(), nn.Conv2d(8, 8, 3),
                        act(), nn.Conv2d(8, 4, 1))
    for weight in net.parameters():
        nn.init.normal_(weight, 0, 0.3, generator=draw)
    return net.double()


def _pictures() -> Tensor:
    return torch.randn(5, 3, 12, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


UNITS = torch.tensor([0, 7, 13, 20, 33])


def _found(net: nn.Module, x: Tensor, rule: Rule, layer: str = "") -> Tensor:
    return reconstruct(net, x, UNITS, layer=layer, rule=rule)


def without_relus_all_three_are_the_gradient() -> Check:
    """In a network without ReLUs all three are the gradient, exactly.

    Source: equations (1) to (3)
    """
    net, x = _net(relu=False), _pictures()
    right = _found(net, x, "gradient")
    return at_most(max(float((_found(net, x, rule) - right).abs().max()) for rule in ("deconvolution", "guided")), 0)


def with_them_each_is_its_own_rule() -> Check:
    """With them, each is its rule worked out layer by layer with transposed convolutions, to 1e-14.

    Source: equations (1) to (3); Zeiler and Fergus 2013, section 2.1
    """
    net, x = _net(pool=False), _pictures()
    return at_most(max(float((_found(net, x, rule) - _by_hand(net, x, rule)).abs().max())
                       for rule in ("gradient", "deconvolution", "guided")), 1e-14)


def the_way_back_through_pooling_is_unpooling() -> Check:
    """Back through maximum pooling goes what unpooling to the recorded switches gives, exactly.

    Source: Zeiler and Fergus 2013, section 2.1
    """
    x = _pictures()
    down, switches = F.max_pool2d(x, 2, return_indices=True)
    one = torch.zeros_like(down).flatten(1).scatter(1, UNITS[:, None], 1.0).view_as(down)
    unpooled = torch.zeros_like(x).flatten(2).scatter(2, switches.flatten(2), one.flatten(2)).view_as(x)
    return at_most(float((_found(nn.MaxPool2d(2), x, "deconvolution") - unpooled).abs().max()), 0)


def without_pooling_it_does_not_see_the_picture() -> Check:
    """Without pooling, the deconvolution of another picture differs by 0.

    Source: equation (2); Springenberg et al. 2014 on networks without pooling
    """
    net, x = _net(pool=False), _pictures()
    return at_most(float((_found(net, x, "deconvolution") - _found(net, x.flip(0), "deconvolution")).abs().max()), 0)


def with_switches_it_does() -> Check:
    """With pooling it differs by more than 0.1 of its largest entry.

    Source: Zeiler and Fergus 2013, section 2.1, the switches
    """
    net, x = _net(), _pictures()
    one, other = _found(net, x, "deconvolution"), _found(net, x.flip(0), "deconvolution")
    return at_least(float((one - other).abs().max() / one.abs().max()), 0.1)


def nothing_outside_the_field_is_shown() -> Check:
    """Outside the unit's receptive field, all three are 0.

    Source: the way back has the windows of the way there
    """
    from shinso.inside.receptive_field import receptive_fields

    net, x = _net(), _pictures()
    (high, wide), side = receptive_fields(net, x)[""], net(x).shape[2]
    shown = torch.stack([_found(net, x, rule) for rule in ("gradient", "deconvolution", "guided")])
    for i, unit in enumerate(UNITS.tolist()):
        row, column = divmod(unit % side**2, side)
        (top, bottom), (left, right) = high.pixels(row, 12), wide.pixels(column, 12)
        shown[:, i, :, top:bottom, left:right] = 0
    return at_most(float(shown.abs().max()), 0)


def _by_hand(net: nn.Sequential, x: Tensor, rule: Rule) -> Tensor:
    """The rule for a network without pooling, from the top down."""
    with torch.no_grad():
        a = F.conv2d(x, net[0].get_parameter("weight"), net[0].get_parameter("bias"))
        b = F.conv2d(a.relu(), net[3].get_parameter("weight"), net[3].get_parameter("bias"))
        top = net(x)
        sent = torch.zeros_like(top).flatten(1).scatter(1, UNITS[:, None], 1.0).view_as(top)
        for above, before in ((net[5], b), (net[3], a)):
            sent = F.conv_transpose2d(sent, above.get_parameter("weight"))
            sent = sent if rule == "gradient" else sent.clamp(min=0)
            sent = sent if rule == "deconvolution" else sent * (before > 0)
        return F.conv_transpose2d(sent, net[0].get_parameter("weight"))


CARD = Card(
    name="Deconvolution and guided backpropagation",
    name_ja="逆畳み込みによる可視化とガイド付き誤差逆伝播",
    paper="Zeiler, Fergus 2013, Visualizing and understanding convolutional networks, arXiv:1311.2901; Springenberg, "
          "Dosovitskiy, Brox, Riedmiller 2014, arXiv:1412.6806; Adebayo et al. 2018, arXiv:1810.03292",
    equations=(
        r"R' = [x > 0]\, R",
        r"R' = \max(R, 0)",
        r"R' = [x > 0]\, \max(R, 0)",
    ),
    summary="What in a picture made one unit fire: its activity sent back to the pixels, negative signals left out.",
    summary_ja="画像の何が一つのユニットを発火させたか。負の信号を除きながら、その活動を画素まで送り返す。",
    topics=(),
    facts=(
        without_relus_all_three_are_the_gradient,
        with_them_each_is_its_own_rule,
        the_way_back_through_pooling_is_unpooling,
        without_pooling_it_does_not_see_the_picture,
        with_switches_it_does,
        nothing_outside_the_field_is_shown,
    ),
    notes=("'Deconvolution' is here a transposed convolution; nothing is deconvolved as signal processing has it.",
           "Clean pictures are no better explanations: (2) and (3) draw edges even where the top layers are random."),
    notes_ja=("ここでの「逆畳み込み」は転置畳み込みのことで、信号処理でいう逆畳み込みではない。",
              "きれいな図がよい説明とは限らない。(2) と (3) は、上の層の重みが乱数のネットワークでも輪郭を描く。"),
)
