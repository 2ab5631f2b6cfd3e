"""What the neocognitron looks at, the linear read-outs by which its cells and pixels are compared, and its pictures."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from shinso.core.axes import BLUE, INK, ORANGE, RED, bare, quiet
from shinso.core.figure import pixels, sheet
from shinso.core.seed import generator
from shinso.data.examples import Dataset, Split

Answer = Callable[[Tensor], Tensor]
"""from features (n, ...) to classes (n,)"""
Look = Callable[[Tensor], Tensor]
Views = Callable[[Tensor], dict[str, Tensor]]
"""from light (n, 1, 16, 16) to what is read of it, by name"""
LABELS = 1000
"""most labelled examples that a read-out gets"""
READ_TWICE = ("accuracy", "pixels")
SIDE = 16
"""of the retina, pixels"""
DRAWN = """
..####..  ....#...  ..####..  .#####..  .....#..
.#....#.  ...##...  .#....#.  #.....#.  ....##..
#......#  ..#.#...  #......#  .......#  ...#.#..
#......#  ....#...  .......#  ......#.  ..#..#..
#......#  ....#...  ......#.  ...###..  .#...#..
#......#  ....#...  ....##..  ......#.  #....#..
#......#  ....#...  ...#....  .......#  ########
#......#  ....#...  ..#.....  .......#  .....#..
.#....#.  ....#...  .#......  #.....#.  .....#..
..####..  ....#...  ########  .#####..  .....#..
"""


def falling(size: int, factor: float) -> Tensor:
    """factor^distance from the middle, (size, size)."""
    away = torch.arange(size) - (size - 1) / 2
    return factor ** (away[:, None] ** 2 + away**2).sqrt()


def blurs(d: Tensor, size: tuple[int, ...], stride: int, border: tuple[int, ...]) -> Tensor:
    """What one point makes of all places behind a window d: (points, height, width), a fast convolution."""
    height, width = size
    points = torch.eye(height * width).view(-1, 1, height, width)
    return F.conv2d(F.pad(points, border), d[None, None], stride=stride)[:, 0]


@cache
def drawings() -> Tensor:
    """The digits 0 to 4 as strokes of one pixel, (5, 10, 8)."""
    rows = [line.split() for line in DRAWN.split("\n") if line]
    return torch.tensor([[[float(c == "#") for c in row[k]] for row in rows] for k in range(5)])


def shown(k: int, down: int, right: int) -> Tensor:
    """Drawing k on the retina (1, 1, 16, 16), moved from the middle by up to 3 pixels."""
    retina = torch.zeros(1, 1, SIDE, SIDE)
    retina[0, 0, 3 + down : 13 + down, 4 + right : 12 + right] = drawings()[k]
    return retina


def retina(inputs: Tensor) -> Tensor:
    """uint8 pictures (n, channels, height, width) as light (n, 1, 16, 16) on the 0..1 scale."""
    grey = inputs.float().mean(1, keepdim=True) / 255
    return F.interpolate(grey, size=(SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)


def some(split: Split, draw: torch.Generator, most: int = LABELS) -> tuple[Tensor, Tensor]:
    """At most that many of a split, drawn: light on the retina and classes."""
    index = torch.randperm(len(split), generator=draw)[:most]
    return retina(split.pick(index)), split.targets[index]


def scattered(seed: int, i: int, far: int) -> Tensor:
    """The i-th of all drawings in turn, in an order that changes every round, up to `far` pixels from the middle."""
    down, right = torch.randint(-far, far + 1, (2,), generator=generator(seed, f"shown/{i}")).tolist()
    order = torch.randperm(5, generator=generator(seed, f"order/{i // 5}"))
    return shown(int(order[i % 5]), down, right)


def picture(source: Dataset | None, seed: int, i: int, far: int) -> Tensor:
    """The i-th picture to be shown, (1, 1, 16, 16): of a data set, or a drawing up to `far` pixels from the middle."""
    if source is None:
        return scattered(seed, i, far)
    index = torch.randint(len(source.train), (1,), generator=generator(seed, f"shown/{i}"))
    return retina(source.train.pick(index))


def everywhere() -> Tensor:
    """Each drawing at 25 places, up to two pixels from the middle, (125, 1, 16, 16)."""
    return torch.cat([shown(k, down, right) for k in range(5) for down in range(-2, 3) for right in range(-2, 3)])


def owners(winners: Tensor) -> tuple[float, float]:
    """How many different planes are the usual winners of the rows, and the share of answers that they give."""
    most = [Counter(row).most_common(1)[0] for row in winners.tolist()]
    return float(len({plane for plane, _ in most if plane >= 0})), sum(count for _, count in most) / winners.numel()


def winners(said: Tensor) -> Tensor:
    """Which plane answers most to each of (n, planes, 1, 1), (n,); -1 where none answers."""
    said = said.flatten(1)
    return torch.where(said.amax(1) > 0, said.argmax(1), -1)


def moved(light: Tensor) -> Tensor:
    """The same pictures one pixel of the retina further to the right."""
    return F.pad(light, (1, -1))


def _turned(X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean of X (n, features), axes (features, rank), and X seen from there along them, of mean square length 1.

    A linear map with a penalty on its squares has no part outside the span of what it is fitted to: nothing is lost.
    """
    X = X.flatten(1).double()
    mean = X.mean(0)
    X = X - mean
    values, U = torch.linalg.eigh(X @ X.T if X.shape[1] > len(X) else X.T @ X)
    kept = values > 1e-10 * float(values.max().clamp_min(1e-300))
    values, U = values[kept], U[:, kept]
    axes = X.T @ (U / values.sqrt()) if X.shape[1] > len(X) else U
    axes = axes / (values.sum() / len(X)).sqrt().clamp_min(1e-150)
    return mean, axes, X @ axes


def _linear(mean: Tensor, weights: Tensor, bias: Tensor) -> Answer:
    shift, weights = (bias - mean @ weights).float(), weights.float()
    return lambda asked: (asked.flatten(1) @ weights + shift).argmax(1)


def least_squares(X: Tensor, y: Tensor, classes: int) -> Answer:
    """A linear map fitted to targets +-1, with the ridge of nineteen that is best at leaving one example out."""
    mean, axes, A = _turned(X)
    targets = 2 * F.one_hot(y, classes).double() - 1
    bias, squares = targets.mean(0), A.square().sum(0)
    U = A / squares.sqrt()
    along, best, chosen = U.T @ targets, -1.0, U[:0].T @ targets[:0]
    for power in range(4, -15, -1):
        kept = squares / (squares + len(X) * 10 ** (power / 2))
        itself = (U.square() @ kept + 1 / len(X))[:, None]  # how far an example's own target moves its answer
        left_out = targets - (targets - bias - U @ (kept[:, None] * along)) / (1 - itself)
        right = float((left_out.argmax(1) == y).double().mean())
        if right > best:
            best, chosen = right, (kept / squares.sqrt())[:, None] * along
    return _linear(mean, axes @ chosen, bias)


def logistic(X: Tensor, y: Tensor, classes: int) -> Answer:
    """A softmax regression, with the penalty of eight that is best in five parts, each judged by the other four."""
    mean, axes, A = _turned(X)
    wide = np.concatenate([A.numpy(), np.ones((len(A), 1))], 1)
    part = np.arange(len(A)) % 5  # the labels come in no order
    right, penalties = np.zeros(8), 10.0 ** -np.arange(1, 9)
    for k in range(5):
        weights = np.zeros((wide.shape[1], classes))
        for j, penalty in enumerate(penalties):
            weights = _softmax_regression(wide[part != k], y.numpy()[part != k], weights, penalty, 60)
            right[j] += ((wide[part == k] @ weights).argmax(1) == y.numpy()[part == k]).sum()
    start = np.zeros((wide.shape[1], classes))
    weights = torch.from_numpy(_softmax_regression(wide, y.numpy(), start, penalties[right.argmax()], 500))
    return _linear(mean, axes @ weights[:-1], weights[-1])


def _softmax_regression(A: np.ndarray, y: np.ndarray, start: np.ndarray, penalty: float, most: int) -> np.ndarray:
    """Weights (features, classes) of the least mean cross-entropy + penalty sum of squares; the last row is free."""
    from scipy.optimize import minimize

    rows, held = np.arange(len(A)), np.full((A.shape[1], 1), 1.0)
    held[-1] = 0

    def measured(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(start.shape)
        said = A @ weights
        said -= said.max(1, keepdims=True)
        p = np.exp(said)
        total = p.sum(1, keepdims=True)
        loss = float((np.log(total[:, 0]) - said[rows, y]).mean() + penalty * (held * weights**2).sum())
        p /= total
        p[rows, y] -= 1
        return loss, (A.T @ p / len(A) + 2 * penalty * held * weights).ravel()

    least = minimize(measured, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": most})
    return least.x.reshape(start.shape)


def usual(said: Tensor, y: Tensor, classes: int) -> Tensor:
    """The class that each plane of (n, planes, ...) answers most to, (planes,); -1 for one that never answers most."""
    planes = winners(said)
    answered = planes >= 0
    votes = torch.zeros(said.shape[1], classes)
    votes.index_put_((planes[answered], y[answered]), torch.ones(()), accumulate=True)
    return torch.where(votes.amax(1) > 0, votes.argmax(1), -1)


def compared(views: Views, first: Look, data: Dataset, split: str, seed: int) -> dict[str, float]:
    """Shares of a split for which each view's read-out, fitted to the same few that have labels, is right.

    Of every view by least squares, of `accuracy` and `pixels` also by softmax regression, and these two again with the
    pictures, as `first` sees them, moved by a pixel, under the maps of those that were not. `own_class`: of the
    pictures to which a plane of `third` answers, those of the class that is usual for it; `least_gain`: of accuracy
    over pixels, the lesser of the two ways.
    """
    asked: Split = getattr(data, split)
    if not len(data.train) or not len(asked):
        return {"accuracy": 0.0, "pixels": 0.0, "least_gain": 0.0}
    X, y = some(data.train, generator(seed, "labels"))
    light, wanted = some(asked, generator(seed, split), 10_000 if split == "test" else 2000)
    classes = len(data.about.classes)
    parts = [views(u) for u in X.split(500)]
    seen = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    maps = {name: (name, least_squares(view, y, classes)) for name, view in seen.items()}
    maps |= {f"logistic_{name}": (name, logistic(seen[name], y, classes)) for name in READ_TWICE}
    named, right = usual(seen["third"], y, classes), Counter[str]()
    for u, t in zip(light.split(500), wanted.split(500), strict=True):
        plain, beside = views(u), {"pixels": moved(u), "accuracy": first(moved(u))}
        right.update({name: int((read(plain[view]) == t).sum()) for name, (view, read) in maps.items()})
        right.update({f"moved_{name}": int((maps[name][1](beside[name]) == t).sum()) for name in READ_TWICE})
        planes = winners(plain["third"])
        right.update(answered=int((planes >= 0).sum()), own_class=int(((planes >= 0) & (named[planes] == t)).sum()))
    share = {name: count / len(wanted) for name, count in right.items()}
    share["own_class"] /= max(share["answered"], 1e-9)
    return {**share, "least_gain": min(share[how + "accuracy"] - share[how + "pixels"] for how in ("", "logistic_"))}


def strokes(patterns: Tensor) -> np.ndarray:
    """Patterns (planes, height, width), eight in a row."""
    rows = -(-len(patterns) // 8)
    figure = sheet(800, 60 + 110 * rows)
    grid = list(figure.subplots(rows, 8, squeeze=False).flat)
    for axes in grid:
        axes.set_axis_off()
    for axes, pattern in zip(grid, patterns, strict=False):
        bare(axes, pattern.numpy(), colours="viridis")
    return pixels(figure)


def layered(seen: Sequence[Tensor], said: Sequence[Sequence[Tensor]]) -> np.ndarray:
    """Five pictures (1, 1, 16, 16) and what each of three layers says to them."""
    figure = sheet(800, 760)
    titles = ("picture / 画像", "C1", "C2", f"C3, {said[0][2].shape[1]} planes / 面")
    for k, row in enumerate(figure.subplots(5, 4, width_ratios=(1, 1, 1, 2))):
        images = (seen[k][0, 0], said[k][0][0].amax(0), said[k][1][0].amax(0))
        for j, (axes, image) in enumerate(zip(row[:3], images, strict=True)):
            bare(axes, image.numpy(), titles[j] if k == 0 else "", "inferno" if j else "gray")
        answers = said[k][2].flatten()
        row[3].bar(range(len(answers)), answers.numpy(), color=INK, width=1.0 if len(answers) > 30 else 0.8)
        top = max(float(answers.max()), 1e-3)
        row[3].set(ylim=(0, top), yticks=(0, top), yticklabels=("0", f"{top:.2g}"), title=titles[3] if k == 0 else "")
        row[3].spines[["top", "right"]].set_visible(False)
        row[3].tick_params(labelsize=8)
        row[3].title.set_fontsize(9)
    return pixels(figure)


def places(answering: Tensor) -> np.ndarray:
    """The five drawings, and below each which plane answers most at its 25 places (5, 25)."""
    figure = sheet(800, 380)
    names = {plane: k for k, plane in enumerate(dict.fromkeys(answering.flatten().tolist()))}
    above, below = figure.subplots(2, 5)
    for k in range(5):
        bare(above[k], shown(k, 0, 0)[0, 0].numpy())
        field = answering[k].view(5, 5)
        colours = torch.tensor([[names[p] for p in row] for row in field.tolist()])
        below[k].imshow(colours.numpy(), cmap="tab10", vmin=0, vmax=9, alpha=0.45)
        for y, row in enumerate(field.tolist()):
            for x, plane in enumerate(row):
                below[k].text(x, y, "-" if plane < 0 else str(plane), ha="center", va="center", fontsize=9, color=INK)
        below[k].set(xticks=(0, 2, 4), xticklabels=("-2", "0", "+2"), yticks=(0, 2, 4), yticklabels=("-2", "0", "+2"))
        below[k].tick_params(labelsize=8, length=0)
        for side in below[k].spines.values():
            side.set_visible(False)
    return pixels(figure)


def gallery(light: Tensor, said: Tensor, y: Tensor, classes: Sequence[str]) -> np.ndarray:
    """For up to ten classes the plane that answers for it most often, and the first ten pictures that it answers to."""
    named, answering = usual(said, y, len(classes)), winners(said)
    shown_classes = range(min(10, len(classes)))
    figure = sheet(800, 40 + 62 * len(shown_classes))
    for c, row in zip(shown_classes, figure.subplots(len(shown_classes), 11, squeeze=False), strict=True):
        for axes in row:
            axes.set_axis_off()
        planes = [int(((answering == k) & (y == c)).sum()) if named[k] == c else 0 for k in range(len(named))]
        if not max(planes):
            row[0].text(1, 0.5, f"{classes[c]}: -", ha="right", va="center", fontsize=11)
            continue
        plane = int(np.argmax(planes))
        own = (answering == plane).nonzero().flatten()
        share = float((y[own] == c).double().mean())
        row[0].text(1, 0.5, f"{plane}: {classes[c]}\n{share:.0%}", ha="right", va="center", fontsize=10)
        for axes, k in zip(row[1:], own[:10].tolist(), strict=False):
            bare(axes, light[k, 0].numpy(), colours="gray" if y[k] == c else "Reds")
    return pixels(figure)


ROWS = {"pixels": "pixels / 画素", "untaught": "C1, untaught / 学習前", "accuracy": "C1", "second": "C2", "third": "C3"}
MARKS = (("", "o", BLUE, "least squares / 最小二乗"), ("logistic_", "D", ORANGE, "logistic / ロジスティック"),
         ("moved_", "X", RED, "moved by one pixel / 一画素ずらす"))


def read_outs(found: Sequence[Mapping[str, float]]) -> np.ndarray:
    """The share of right answers by what is read and how, one mark for each start."""
    figure = sheet(800, 380)
    axes = quiet(figure.subplots(), "", "right answers, % / 正解率 (%)")
    for prefix, marker, colour, label in MARKS:
        for height, name in enumerate(ROWS):
            shares = [100 * one[prefix + name] for one in found if prefix + name in one]
            axes.scatter(shares, [height] * len(shares), s=46, marker=marker, color=colour, alpha=0.7, linewidths=0,
                         label=label if height == 0 else None)
            if shares and not prefix:
                at = sum(shares) / len(shares), height
                axes.annotate(f"{at[0]:.1f}", at, (0, 9), textcoords="offset points", ha="center", fontsize=9)
    axes.set_yticks(range(len(ROWS)), list(ROWS.values()))
    axes.set_ylim(len(ROWS) - 0.5, -0.6)
    axes.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.45, 1.14), ncols=3)
    return pixels(figure)
