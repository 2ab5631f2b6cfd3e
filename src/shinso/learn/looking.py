"""Pictures of a trained network from inside: layers, first filters, feature maps, evidence, what units look for.

For networks with maps in them; every picture is small and comes from a few examples of the test split.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from json import dumps
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from shinso.core.figure import pixels, sheet
from shinso.data.examples import Dataset, Description, Split, to_float
from shinso.inside.deconvolution import reconstruct
from shinso.inside.filter_visualisation import Patch, as_pictures, best_patches, first_kernels, stages
from shinso.inside.following import Fields
from shinso.inside.grad_cam import grad_cam, over
from shinso.inside.layer_table import Layer, grouped, layers
from shinso.inside.receptive_field import receptive_fields
from shinso.inside.saliency import saliency

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GAP = 2
MOST_ROWS = 36
COLUMNS = {"name": (14, "layer / 層"), "output": (320, "output / 出力"), "parameters": (585, "parameters / パラメータ"),
           "products": (765, "products (MAC) / 積"), "sees": (872, "sees / 受容野"), "memory": (985, "memory / メモリ")}
"""where the columns of the table stand, and what they are called"""
MOST_NUMBERS = 20_000_000
"""entries of the largest maps that are kept at once"""
TOLD = {
    "pictures": "uint8 (n, channels, height, width): up to eight test pictures, as many of each class, as seen",
    "targets": "int64 (n,): their classes, places in `classes`",
    "answers": "int64 (n,): what the network answers; the maps below are those of this answer",
    "saliency": "(n, height, width): size of the slope of the answer's score at each pixel",
    "grad_cam": "(n, rows, columns) of the last maps: evidence for the answer, not negative",
    "guided": "(n, channels, height, width): guided backpropagation of the answer's score",
    "first_kernels": "(maps, channels, height, width): weights of the first convolution with more than one tap",
    "maps/NAME": "float16 (channels, rows, columns): what layer NAME hands on for the first picture, see `stages`",
}
"""what is in the file of numbers; layers.json beside it has the same names of layers"""


Part = Callable[[Tensor], Tensor]
"""the part (..., height', width') that a network sees of pictures (..., height, width)"""


@dataclass(frozen=True)
class Sight:
    """The test pictures as the network sees them."""

    test: Split
    about: Description
    part: Part | None

    @classmethod
    def of(cls, data: Dataset, part: Part | None) -> "Sight":
        about = data.about
        if part is not None:
            about = replace(about, shape=tuple(part(torch.empty(about.shape, device="meta")).shape))
        return cls(data.test, about, part)

    def pick(self, index: Tensor) -> Tensor:
        """Those pictures, uint8 (n, channels, height, width)."""
        examples = self.test.pick(index.to(self.test.targets.device))
        return examples if self.part is None else self.part(examples)

    def few(self) -> tuple[Tensor, Tensor]:
        """Up to eight pictures, as many of each class, and their classes (n,)."""
        chosen = some_of_each_class(self.test.targets, 8)
        return self.pick(chosen), self.test.targets[chosen.to(self.test.targets.device)].cpu()


def inside(model: nn.Module, data: Dataset, part: Part | None = None) -> dict[str, np.ndarray]:
    """The pictures by name; none for a network without maps, or without test examples."""
    first = _first_look(model, data, part)
    if first is None:
        return {}
    sight, examples, targets, inputs, maps = first
    about = sight.about
    seen = receptive_fields(model, inputs[:1])
    kernels = as_pictures(first_kernels(model).float().cpu())
    shown = {"layers": draw_layers(layers(model, inputs[:1], containers=True), about.shape[1:])}
    if kernels.shape[-1] > 1:
        shown["first_filters"] = mosaic(_coloured(kernels[:64]), 16, 48)
    shown["feature_maps"] = draw_maps({name: m[0].cpu() for name, m in maps.items()}, _shown(examples[:1], about))
    shown["evidence"] = draw_evidence(model, inputs, examples, [about.classes[c] for c in targets.tolist()], about)
    shown["top_patches"] = draw_patches(model, sight, {name: seen[name] for name in maps if name in seen}, maps)
    return shown


def files(model: nn.Module, data: Dataset, part: Part | None = None) -> dict[str, bytes]:
    """`inside.safetensors`: what the pictures show, as numbers; its metadata `about` is JSON that says what is what."""
    first = _first_look(model, data, part)
    if first is None:
        return {}
    sight, examples, targets, inputs, maps = first
    answers = _answers(model, inputs)
    found = {
        "pictures": examples, "targets": targets, "answers": answers, "first_kernels": first_kernels(model),
        "saliency": saliency(model, inputs, answers), "grad_cam": grad_cam(model, inputs, answers),
        "guided": reconstruct(model, inputs, answers, rule="guided"),
        **{f"maps/{name}": m[0].half() for name, m in maps.items()},
    }  # fmt: skip
    told = dumps({"classes": sight.about.classes, "stages": list(maps), "tensors": TOLD}, ensure_ascii=False, indent=1)
    kept = {name: value.detach().cpu().contiguous() for name, value in found.items()}
    return {"inside.safetensors": save(kept, {"about": told})}  # under one name: several have no order of their own


def _first_look(model: nn.Module, data: Dataset,
                part: Part | None) -> tuple[Sight, Tensor, Tensor, Tensor, dict[str, Tensor]] | None:
    """What the network sees, a few pictures, their classes, what enters, and the maps of the first; or none of it."""
    if not len(data.test) or len(data.about.shape) != 3:
        return None
    sight = Sight.of(data, part)
    examples, targets = sight.few()
    inputs = to_float(examples.to(next(model.parameters()).device), sight.about)
    maps = stages(model, inputs[:1])
    return (sight, examples, targets, inputs, maps) if maps else None


def some_of_each_class(targets: Tensor, most: int) -> Tensor:
    """Places of the first examples of each class, as many of each, in the order of classes; at most `most`."""
    classes, counts = targets.unique(return_counts=True)
    each = max(1, min(most // len(classes), int(counts.min())))
    return torch.cat([(targets == c).nonzero()[:each, 0] for c in classes[:most]]).cpu()


def fit(tiles: np.ndarray, side: int) -> np.ndarray:
    """Tiles uint8 (n, height, width, 3) with a longer side of at most `side`: pixels repeated, or some left out."""
    longest = max(tiles.shape[1:3])
    scale = side // longest if side >= 3 * longest else side / longest
    rows, columns = (np.arange(max(1, round(n * scale))) * n // max(1, round(n * scale)) for n in tiles.shape[1:3])
    return tiles[:, rows][:, :, columns]


def mosaic(tiles: np.ndarray, columns: int, side: int) -> np.ndarray:
    """The tiles, fitted, in rows with light lines around them."""
    large = fit(tiles, side)
    n, height, width, _ = large.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    page = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), 222, np.uint8)
    for i, tile in enumerate(large):
        top, left = (i // columns) * (height + GAP) + GAP, (i % columns) * (width + GAP) + GAP
        page[top:top + height, left:left + width] = tile
    page[(rows - 1) * (height + GAP) + GAP:, ((n - 1) % columns + 1) * (width + GAP) + GAP:] = 255
    return page


Block = tuple[int, int, np.ndarray]
"""left, top, picture"""
Word = tuple[float, float, str, str, str]
"""x, y, text, horizontal alignment, colour"""


def page(width: int, height: int, blocks: Sequence[Block], words: Sequence[Word]) -> np.ndarray:
    """A white page with pictures and words at places in pixels from its top left."""
    canvas = np.full((height, width, 3), 255, np.uint8)
    for left, top, block in blocks:
        canvas[top:top + block.shape[0], left:left + block.shape[1]] = block[:height - top, :width - left]
    figure = sheet(width, height)
    figure.set_layout_engine("none")
    figure.figimage(canvas)
    for x, y, text, align, colour in words:
        figure.text(x / width, 1 - y / height, text, ha=align, va="center", fontsize=9, color=colour)
    return pixels(figure)


def draw_layers(rows: Sequence[Layer], side: Sequence[int]) -> np.ndarray:
    """The table, with bars for the shares of parameters and products."""
    shown = grouped(rows, MOST_ROWS)
    figure = sheet(1000, 24 * (len(shown) + 3) + 12)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, 1000)
    axes.set_ylim(len(shown) + 2.9, -0.6)
    axes.axis("off")
    for x, text in COLUMNS.values():
        axes.text(x, 0, text, ha="left" if x < 400 else "right", va="center", fontsize=8.5, color="#555555")
    largest = {name: max(1, *(getattr(row, name) for row in shown)) for name in ("parameters", "products")}
    for y, row in enumerate(shown, start=1):
        _draw_row(axes, y, row, largest, side)
    y = len(shown) + 1
    for line in (0.5, y - 0.5):
        axes.plot((10, 990), (line, line), color="#999999", linewidth=0.8)
    axes.text(14, y, "sum / 合計", va="center", fontsize=9)
    for name in ("parameters", "products", "memory"):
        total = sum(getattr(row, name) for row in rows)
        axes.text(COLUMNS[name][0], y, _bytes(total) if name == "memory" else f"{total:,}", ha="right", va="center",
                  fontsize=9)
    axes.text(14, y + 1.1, "for one picture; FLOPs = 2 x products / 画像一枚あたり。FLOPs は積の二倍", va="center",
              fontsize=8, color="#555555")
    return pixels(figure)


def draw_maps(maps: Mapping[str, Tensor], picture: np.ndarray) -> np.ndarray:
    """Up to 14 maps (channels, height, width) of each stage for one picture, dark where they are large."""
    blocks: list[Block] = [(8, 22, mosaic(picture, 1, 104))]
    words: list[Word] = []
    y = 10
    for name in _spread(list(maps), 5):
        few = maps[name][:14].float()
        low, high = few.flatten(1).amin(1)[:, None, None], few.flatten(1).amax(1)[:, None, None]
        grey = (255 - 255 * (few - low) / (high - low).clamp(min=1e-12)).to(torch.uint8)
        tiles = mosaic(_coloured(grey[:, None]), 14, 56)
        words.append((132, y, f"{name or 'network'}: {' x '.join(map(str, maps[name].shape))}", "left", "black"))
        blocks.append((132, y + 12, tiles))
        y += tiles.shape[0] + 32
    return page(1000, max(y - 8, 22 + blocks[0][2].shape[0] + 8), blocks, words)


def draw_evidence(model: nn.Module, inputs: Tensor, examples: Tensor, names: Sequence[str],
                  about: Description) -> np.ndarray:
    """Pictures above their saliency, Grad-CAM and guided reconstruction, all for the answer that the network gives."""
    answers = _answers(model, inputs)
    shown = _shown(examples, about)
    slopes = saliency(model, inputs, answers).float().cpu()
    heat = over(grad_cam(model, inputs, answers).float(), (inputs.shape[2], inputs.shape[3])).cpu().numpy()[..., None]
    warm = ((255 - (255 - shown) * 0.45) * (1 - 0.75 * heat) + np.array([214, 39, 40]) * 0.75 * heat).astype(np.uint8)
    guided = reconstruct(model, inputs, answers, rule="guided").float().cpu()
    strips = [mosaic(strip, 8, 104) for strip in (shown, _dark(slopes), warm, _signed(guided, about))]
    titles = ("picture\n画像", "saliency\n顕著性", "Grad-CAM", "guided\nガイド付き逆伝播")
    high, wide = strips[0].shape[:2]
    blocks = [(128, 24 + row * (high + 6), strip) for row, strip in enumerate(strips)]
    words: list[Word] = [(120, top + high / 2, title, "right", "black")
                         for (_, top, _), title in zip(blocks, titles, strict=True)]
    for column, (name, answer) in enumerate(zip(names, answers.tolist(), strict=True)):
        said = about.classes[answer]
        text, colour = (name, "black") if said == name else (f"{name} → {said}", "#d62728")
        words.append((128 + (column + 0.5) * wide / len(names), 13, _short(text), "center", colour))
    return page(128 + wide + 8, 24 + len(strips) * (high + 6), blocks, words)


def draw_patches(model: nn.Module, sight: Sight, seen: Mapping[str, Fields],
                 maps: Mapping[str, Tensor]) -> np.ndarray:
    """For up to six channels of the last two stages that do not see everything: the best patches, and why."""
    side, length = sight.about.shape[1:], len(sight.test)
    local = [name for name, (high, wide) in seen.items() if high.size < side[0] and wide.size < side[1]]
    chosen = local[-2:] or list(seen)[:1]
    largest = max(m.numel() for m in maps.values())
    count = max(8, min(100, length, MOST_NUMBERS // max(1, largest)))
    examples = sight.pick(torch.linspace(0, length - 1, min(count, length)).long())
    inputs = to_float(examples.to(next(model.parameters()).device), sight.about)
    found = stages(model, inputs)
    blocks: list[Block] = []
    words: list[Word] = []
    for place, name in enumerate(chosen):
        loudest = found[name].amax((0, 2, 3)).argsort(descending=True, stable=True)[:6].sort()[0].tolist()
        patches = best_patches(found[name], seen[name], (side[0], side[1]), loudest, 4)
        table = _patch_table(model, name, patches, inputs, examples, sight.about)
        sizes = " x ".join(str(min(round(f.size), n)) for f, n in zip(seen[name], side, strict=True))
        left, wide = 8 + 500 * place, table.shape[1]
        blocks.append((left, 26, table))
        words.append((left + wide / 4, 13, f"{_short(name or 'network')}: {sizes}", "center", "black"))
        words.append((left + 3 * wide / 4, 13, "deconvolution / 逆畳み込み", "center", "black"))
    return page(500 * len(chosen) - (0 if len(chosen) > 1 else 8), 34 + max(b.shape[0] for *_, b in blocks), blocks,
                words)


def _patch_table(model: nn.Module, layer: str, patches: Sequence[Sequence[Patch]], inputs: Tensor, examples: Tensor,
                 about: Description) -> np.ndarray:
    """One row for each channel: its patches, then what of each excited the unit."""
    flat = [patch for row in patches for patch in row]
    picks = torch.tensor([patch.picture for patch in flat])
    units = torch.tensor([patch.unit for patch in flat])
    why = _signed(reconstruct(model, inputs[picks.to(inputs.device)], units, layer=layer).float().cpu(), about)
    what = _shown(examples[picks.to(examples.device)], about)
    height = max(patch.rows[1] - patch.rows[0] for patch in flat)
    width = max(patch.columns[1] - patch.columns[0] for patch in flat)
    tiles = np.full((2, len(flat), height, width, 3), 222, np.uint8)
    for kind, pictures in enumerate((what, why)):
        for n, patch in enumerate(flat):
            part = pictures[n, slice(*patch.rows), slice(*patch.columns)]
            tiles[kind, n, :part.shape[0], :part.shape[1]] = part
    each = len(patches[0])
    beside = tiles.reshape(2, len(patches), each, height, width, 3).swapaxes(0, 1)
    return mosaic(beside.reshape(-1, height, width, 3), 2 * each, 56)


@torch.no_grad()
def _answers(model: nn.Module, inputs: Tensor) -> Tensor:
    training = [(module, module.training) for module in model.modules()]
    model.eval()
    answers = model(inputs).argmax(1)
    for module, mode in training:
        module.training = mode
    return answers


def _draw_row(axes: "Axes", y: int, row: Layer, largest: Mapping[str, int], side: Sequence[int]) -> None:
    sees = row.sees(side) if row.shape else None
    told = {"name": _short(f"{row.name or 'network'}  {row.kind}", 44),
            "output": " x ".join(map(str, row.shape)) or "-",
            "sees": " x ".join(map(str, sees or ())), "memory": _bytes(row.memory) if row.shape else ""}
    for name, colour in (("parameters", "#9ecae1"), ("products", "#fdd0a2")):
        value, right = getattr(row, name), COLUMNS[name][0]
        length = 130 * value / largest[name]
        axes.barh(y, length, left=right - length + 4, height=0.72, color=colour)
        told[name] = f"{value:,}" if value else ""
    for name, text in told.items():
        x = COLUMNS[name][0]
        axes.text(x, y, text, ha="left" if x < 400 else "right", va="center", fontsize=9)


def _short(text: str, most: int = 22) -> str:
    return text if len(text) <= most else text[:most - 2] + "…"


def _bytes(count: int) -> str:
    for size, unit in ((1e6, "MB"), (1e3, "kB")):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count} B"


def _spread(names: Sequence[str], most: int) -> list[str]:
    """At most `most` of them, the first and the last among them."""
    if len(names) <= most:
        return list(names)
    return [names[round(k * (len(names) - 1) / (most - 1))] for k in range(most)]


def _shown(examples: Tensor, about: Description) -> np.ndarray:
    """uint8 (n, height, width, 3); writing is dark on white."""
    values = examples.cpu()
    return _coloured(255 - values if about.form == "handwriting" else values)


def _coloured(values: Tensor) -> np.ndarray:
    """uint8 (n, 1 or 3, height, width) to (n, height, width, 3)."""
    kept = values[:, :3] if values.shape[1] >= 3 else values[:, :1].expand(-1, 3, -1, -1)
    return np.ascontiguousarray(kept.permute(0, 2, 3, 1).numpy())


def _dark(values: Tensor) -> np.ndarray:
    """(n, height, width), not negative: white where 0, black at the largest."""
    share = values / values.amax((1, 2), keepdim=True).clamp(min=1e-30)
    return _coloured((255 - 255 * share).to(torch.uint8)[:, None])


def _signed(values: Tensor, about: Description) -> np.ndarray:
    """(n, channels, height, width): grey where 0, each as strong as its largest entry allows; as dark as ink is."""
    return _coloured(as_pictures(-values if about.form == "handwriting" else values))
