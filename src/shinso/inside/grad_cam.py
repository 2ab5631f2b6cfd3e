r"""Grad-CAM: where in the picture the evidence for a class lies (Selvaraju et al. 2017).

Of the maps A^k of a late layer, those count for class c that its score rises with:

    alpha_k = (1 / Z) sum_ij ds_c / dA^k_ij                                                        (1)
    L_ij = max(sum_k alpha_k A^k_ij, 0)                                                            (2)

Z is the number of places. It works for every network with maps in it, and needs no training. The surprise is that it
explains nothing new where an explanation already existed: behind global average pooling and one linear layer w,

    s_c = b_c + sum_ij M_ij,  M_ij = (1 / Z) sum_k w_ck A^k_ij                                     (3)

alpha_k is w_ck / Z, and what stands in (2) before the maximum is the class activation map of Zhou et al. 2016, which
adds up to the score. Elsewhere (1) averages a slope that changes from place to place, and nothing need add up.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_most, exactly
from shinso.inside.watching import watching


def grad_cam(network: nn.Module, pictures: Tensor, classes: Tensor | None = None, *, layer: str = "") -> Tensor:
    """(2): (n, height, width) of `layer`, by its name in the network, for pictures (n, channels, H, W), classes (n,).

    Without classes, those with the highest scores; without a layer, the last one with more than one place. A layer that
    works several times is named `relu`, `relu#2`, `relu#3`.
    """
    return evidence(network, pictures, classes, layer=layer).clamp(min=0)


def evidence(network: nn.Module, pictures: Tensor, classes: Tensor | None = None, *, layer: str = "") -> Tensor:
    """The same before the maximum: negative where the picture speaks against the class."""
    kept: list[Tensor] = []

    def see(name: str, module: nn.Module, output: Tensor) -> Tensor | None:
        wanted = name == layer if layer else output.dim() == 4 and output.shape[2] * output.shape[3] > 1
        if not wanted:
            return None
        kept[:] = [output]
        return output.clone()  # what comes next may write into its input

    with torch.enable_grad(), watching(network, see):
        scores = network(pictures.detach().clone().requires_grad_())
        if not kept:
            raise ValueError(f"no layer '{layer}' is reached" if layer else "no layer has more than one place")
        wanted = scores.argmax(1) if classes is None else classes.to(scores.device)
        (gradient,) = torch.autograd.grad(scores.gather(1, wanted[:, None]).sum(), kept)
        alpha = gradient.mean((2, 3), keepdim=True)  # (1)
        return (alpha * kept[0].detach()).sum(1)  # (2)


def over(heat: Tensor, side: tuple[int, int]) -> Tensor:
    """A map (n, height, width) enlarged to the pictures' height and width, bilinearly, and scaled to 0..1."""
    large = F.interpolate(heat[:, None], size=side, mode="bilinear", align_corners=False)[:, 0]
    return large / large.amax((1, 2), keepdim=True).clamp(min=torch.finfo(heat.dtype).tiny)


def _net(*, pooled: bool) -> nn.Sequential:
    """A small network, the same every time; with global average pooling or with a linear layer over all places."""
    draw = torch.Generator().manual_seed(0)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)] if pooled else [nn.Flatten(), nn.Linear(8 * 16, 4)]
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(inplace=True), nn.Conv2d(8, 8, 2), nn.ReLU(inplace=True), *head)
    for weight in net.parameters():
        nn.init.normal_(weight, 0, 0.3, generator=draw)
    return net.double()


def _pictures() -> Tensor:
    return torch.randn(6, 3, 11, 11, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


CLASSES = torch.tensor([0, 1, 2, 3, 2, 1])


def behind_global_pooling_it_is_the_class_activation_map() -> Check:
    """Behind global average pooling it equals the class activation map of Zhou et al. to 1e-14.

    Source: Selvaraju et al. 2017, section 3.1; Zhou et al. 2016, equation 2
    """
    net, x = _net(pooled=True), _pictures()
    with torch.no_grad():
        maps = net[:4](x)
    weight = cast(nn.Linear, net[6]).weight.detach()[CLASSES]
    expected = (weight[:, :, None, None] * maps).sum(1).clamp(min=0) / 16
    return at_most(float((grad_cam(net, x, CLASSES, layer="3") - expected).abs().max()), 1e-14)


def there_it_adds_up_to_the_score() -> Check:
    """There, without the maximum, the map and the bias add up to the score, to 1e-13.

    Source: equation (3)
    """
    net, x = _net(pooled=True), _pictures()
    with torch.no_grad():
        scores = net(x).gather(1, CLASSES[:, None])[:, 0]
    bias = cast(nn.Linear, net[6]).bias.detach()[CLASSES]
    return at_most(float((evidence(net, x, CLASSES).sum((1, 2)) + bias - scores).abs().max()), 1e-13)


def elsewhere_it_need_not() -> Check:
    """Behind a linear layer over all places the same sum misses the score by more than 0.1.

    Source: equation (1) averages slopes that differ from place to place
    """
    net, x = _net(pooled=False), _pictures()
    with torch.no_grad():
        scores = net(x).gather(1, CLASSES[:, None])[:, 0]
    bias = cast(nn.Linear, net[5]).bias.detach()[CLASSES]
    return Check(float((evidence(net, x, CLASSES).sum((1, 2)) + bias - scores).abs().max()), low=0.1)


def the_last_layer_with_places_is_the_default() -> Check:
    """Without a name, the last layer that has more than one place is taken.

    Source: Selvaraju et al. 2017, section 3
    """
    net, x = _net(pooled=True), _pictures()
    same = torch.equal(grad_cam(net, x, CLASSES), grad_cam(net, x, CLASSES, layer="3"))
    return exactly(float(same), 1)


def a_negated_class_shows_what_spoke_against_it() -> Check:
    """The map of -s_c is the negative part of that of s_c, exactly.

    Source: Selvaraju et al. 2017, section 3.3, counterfactual explanations
    """
    net, x = _net(pooled=True), _pictures()
    signed = evidence(net, x, CLASSES)
    with torch.no_grad():
        for weight in cast(nn.Linear, net[6]).parameters():
            weight.neg_()
    return at_most(float((grad_cam(net, x, CLASSES) - (-signed).clamp(min=0)).abs().max()), 0)


CARD = Card(
    name="Grad-CAM",
    name_ja="Grad-CAM",
    paper="Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra 2017, Grad-CAM: visual explanations from deep networks "
          "via gradient-based localization, arXiv:1610.02391; Zhou et al. 2016, arXiv:1512.04150",
    equations=(
        r"\alpha_k = \frac{1}{Z} \sum_{ij} \frac{\partial s_c}{\partial A^k_{ij}}",
        r"L_{ij} = \max\left(\sum_k \alpha_k A^k_{ij},\ 0\right)",
        r"s_c = b_c + \sum_{ij} M_{ij},\quad M_{ij} = \frac{1}{Z} \sum_k w_{ck} A^k_{ij}",
    ),
    summary="Where in a picture the evidence for a class lies, for any network with feature maps, without training.",
    summary_ja="クラスの根拠が画像のどこにあるか。特徴マップを持つ任意のネットワークについて、訓練なしで示す。",
    topics=(),
    facts=(
        behind_global_pooling_it_is_the_class_activation_map,
        there_it_adds_up_to_the_score,
        elsewhere_it_need_not,
        the_last_layer_with_places_is_the_default,
        a_negated_class_shows_what_spoke_against_it,
    ),
    notes=("The map is as coarse as its layer: 7x7 for most networks on ImageNet. Smooth borders are made by "
           "enlarging it.",
           "Class activation maps are usually drawn without 1 / Z, which changes no picture."),
    notes_ja=("マップはその層と同じ粗さであり、ImageNet 用の多くのネットワークでは7x7である。"
              "滑らかな境界は拡大によるものである。",
              "クラス活性化マップ (CAM) はふつう 1 / Z をつけずに描くが、図は変わらない。"),
)
