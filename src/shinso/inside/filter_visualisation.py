r"""What the filters of a network look for: first-layer kernels, and the patches that excite a unit most.

The kernels of the first layer are pictures themselves; deeper ones are not, for they add up maps, not colours. What
one of these looks for is shown by the patches of real pictures to which it answers loudest:

    (n, i, j) = argmax A^k_ij(x_n)                    for the k-th map, the best place of each picture   (1)
    patch = the pixels of x_n that unit (i, j) sees                                                (2)

(2) is the receptive field, taken back to the pixels: nothing outside of it can change the answer. The surprise: it is
not the unit that was built for faces or cats; they come out of the training, and of the choice of what is shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.inside.following import Field
from shinso.inside.receptive_field import receptive_fields
from shinso.inside.watching import watching


@dataclass(frozen=True)
class Patch:
    """Where in which picture a unit answered."""

    picture: int
    activity: float
    unit: int
    """place in the layer's flattened output"""
    rows: tuple[int, int]
    """begin and end (exclusive) of what it sees"""
    columns: tuple[int, int]

    def cut(self, pictures: Tensor) -> Tensor:
        """The patch (channels, height, width) out of the pictures (n, channels, height, width)."""
        return pictures[self.picture, :, slice(*self.rows), slice(*self.columns)]


def first_kernels(network: nn.Module) -> Tensor:
    """Weights (maps, channels, height, width) of the first convolution with more than one tap, in order of names.

    (0, 1, 1, 1) if the network has none.
    """
    kernels = (weight.detach() for weight in network.parameters() if weight.dim() == 4 and weight[0, 0].numel() > 1)
    return next(kernels, torch.zeros(0, 1, 1, 1))


def as_pictures(kernels: Tensor) -> Tensor:
    """Kernels to uint8 (maps, channels or 1, height, width): 0 is grey, the largest entry of each is black or white.

    Three channels stay colours; others are shown by their first, the sign kept.
    """
    shown = kernels if kernels.shape[1] == 3 else kernels[:, :1]
    largest = shown.abs().flatten(1).amax(1).clamp(min=torch.finfo(shown.dtype).tiny) if len(shown) else shown.sum()
    return (127.5 + 127.5 * shown / largest.view(-1, 1, 1, 1)).round().to(torch.uint8)


@torch.no_grad()
def stages(network: nn.Module, pictures: Tensor) -> dict[str, Tensor]:
    """The maps (n, channels, height, width) at each size, as they are before it shrinks, by the module's name."""
    last: dict[tuple[int, int], tuple[str, Tensor]] = {}

    def see(name: str, module: nn.Module, output: Tensor) -> None:
        if output.dim() == 4 and len(output) == len(pictures) and output.shape[2] * output.shape[3] > 1:
            size = (output.shape[2], output.shape[3])
            last.pop(size, None)  # a size that comes again stands later
            last[size] = (name, output)

    with watching(network, see):
        network(pictures)
    return dict(last.values())


def best_patches(maps: Tensor, fields: tuple[Field, Field], side: tuple[int, int], channels: Sequence[int],
                 count: int) -> list[list[Patch]]:
    """(1) and (2): for each channel of a layer's maps (n, channels, h, w) the best place of the `count` best pictures.

    `fields` are those of the layer, `side` is height and width of the pictures.
    """
    found = []
    _, _, height, width = maps.shape
    for channel in channels:
        best, place = maps[:, channel].flatten(1).max(1)
        order = best.argsort(descending=True, stable=True)[:count].tolist()
        found.append([Patch(n, float(best[n]), channel * height * width + int(place[n]),
                            fields[0].pixels(int(place[n]) // width, side[0]),
                            fields[1].pixels(int(place[n]) % width, side[1])) for n in order])
    return found


def _template(size: int = 5) -> Tensor:
    return torch.randn(size, size, generator=torch.Generator().manual_seed(0))


def _planted() -> tuple[nn.Sequential, Tensor, list[tuple[int, int]]]:
    """A network whose only unit looks for a template, pictures with the template in them, and where it is."""
    net = nn.Sequential(nn.Conv2d(1, 1, 5, bias=False), nn.ReLU())
    with torch.no_grad():
        net[0].get_parameter("weight")[0, 0] = _template()
    draw = torch.Generator().manual_seed(1)
    pictures = 0.1 * torch.randn(8, 1, 20, 24, generator=draw)
    corners = [(int(torch.randint(16, (), generator=draw)), int(torch.randint(20, (), generator=draw)))
               for _ in pictures]
    for n, (top, left) in enumerate(corners):
        pictures[n, 0, top:top + 5, left:left + 5] = (1 + n / 10) * _template()
    return net, pictures, corners


def _patches(net: nn.Module, pictures: Tensor, layer: str, count: int) -> list[Patch]:
    maps = dict(stages(net, pictures))
    side = (pictures.shape[2], pictures.shape[3])
    name = layer if layer in maps else next(reversed(maps))
    return best_patches(maps[name], receptive_fields(net, pictures[:1])[name], side, (0,), count)[0]


def what_was_planted_is_found() -> Check:
    """A template planted in 8 pictures is found in all 8, at its very pixels, the strongest first.

    Source: equations (1) and (2)
    """
    net, pictures, corners = _planted()
    found = _patches(net, pictures, "", 8)
    right = [(patch.rows[0], patch.columns[0]) == corners[patch.picture] and patch.picture == 7 - rank
             and torch.equal(patch.cut(pictures)[0], (1 + patch.picture / 10) * _template())
             for rank, patch in enumerate(found)]
    return exactly(sum(right), 8)


def nothing_outside_the_patch_counts() -> Check:
    """Behind three layers, noise outside the patch changes the unit's activity by 0.

    Source: equation (2)
    """
    net, pictures = _deep()
    changes = []
    for patch in _patches(net, pictures, "", 4):
        noise = torch.randn(pictures[:1].shape, generator=torch.Generator().manual_seed(3))
        noise[:, :, slice(*patch.rows), slice(*patch.columns)] = patch.cut(pictures)
        with torch.no_grad():
            changes.append(abs(float(net(noise).flatten()[patch.unit]) - patch.activity))
    return at_most(max(changes), 0)


def every_border_of_the_patch_counts() -> Check:
    """In weights that are positive, each of the patch's four borders changes it.

    Source: equation (2)
    """
    net, pictures = _deep()
    with torch.no_grad():
        for weight in net.parameters():
            weight.abs_()
    smallest = []
    for patch in _patches(net, pictures, "", 4):
        (top, bottom), (left, right) = patch.rows, patch.columns
        for rows, columns in (((top, top + 1), (left, right)), ((bottom - 1, bottom), (left, right)),
                              ((top, bottom), (left, left + 1)), ((top, bottom), (right - 1, right))):
            changed = pictures[patch.picture: patch.picture + 1].clone()
            changed[:, :, slice(*rows), slice(*columns)] += 1
            with torch.no_grad():
                smallest.append(abs(float(net(changed).flatten()[patch.unit]) - patch.activity))
    return at_least(min(smallest), 1e-4)


def first_kernels_of_alexnet_are_96_pictures() -> Check:
    """The first layer of AlexNet, 11x11 of 3 colours, renders as 96 pictures in which 0 is grey.

    Source: Krizhevsky et al. 2012, figure 3
    """
    draw = torch.Generator().manual_seed(0)
    layer = nn.Conv2d(3, 96, 11, 4)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=draw))
        layer.weight[:, :, 5, 5] = 0
    shown = as_pictures(first_kernels(nn.Sequential(layer, nn.ReLU(), nn.Conv2d(96, 256, 5))))
    right = shown.shape == (96, 3, 11, 11) and bool((shown[:, :, 5, 5] == 128).all())
    return exactly(len(shown) if right and bool((shown.amax((1, 2, 3)) - shown.amin((1, 2, 3)) > 127).all()) else 0, 96)


def _deep() -> tuple[nn.Sequential, Tensor]:
    draw = torch.Generator().manual_seed(2)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(4, 2, 3))
    for weight in net.parameters():
        nn.init.normal_(weight, 0, 0.5, generator=draw)
    return net, torch.rand(6, 1, 20, 20, generator=draw)


CARD = Card(
    name="First-layer filters and top patches",
    name_ja="特徴量の可視化 (第一層のフィルタと最大活性パッチ)",
    paper="Krizhevsky, Sutskever, Hinton 2012, ImageNet classification with deep convolutional neural networks, NIPS; "
          "Zeiler, Fergus 2013, Visualizing and understanding convolutional networks, arXiv:1311.2901",
    equations=(
        r"(n, i, j) = \mathrm{argmax}\ A^k_{ij}(x_n)",
        r"\mathrm{patch} = x_n[t_i : t_i + r,\ t_j : t_j + r]",
    ),
    summary="The kernels of the first layer as pictures, and for deeper units the patches that excite them most.",
    summary_ja="第一層のカーネルを画像として示し、より深いユニットについては最も強く反応するパッチを示す。",
    topics=("vision.part.filter-visualisation",),
    facts=(
        what_was_planted_is_found,
        nothing_outside_the_patch_counts,
        every_border_of_the_patch_counts,
        first_kernels_of_alexnet_are_96_pictures,
    ),
    notes=("Pictures of a 'layer 5' with a human and a cat face mix two sources: the unsupervised network of Le et al. "
           "2012 (arXiv:1112.6209), and AlexNet, which was trained on labels.",),
    notes_ja=("人の顔や猫の顔を「第5層」として示す図は、出典を混ぜている。顔の図は Le et al. 2012 (arXiv:1112.6209) の"
              "教師なしネットワークのもので、ラベルで訓練した AlexNet のものではない。",),
)
