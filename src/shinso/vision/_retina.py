"""What the neocognitron looks at, and the linear read-out by which its cells and pixels are compared."""

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

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


def read_out(X: Tensor, y: Tensor, asked: Tensor, classes: int) -> Tensor:
    """Classes that a linear map answers for `asked`, fitted to (X, y).

    Least squares to targets +-1, with the ridge of seven that is best at leaving one example out.
    """
    X, asked = (torch.cat([t.flatten(1), torch.ones(len(t), 1)], 1).double() for t in (X, asked))
    targets = 2 * F.one_hot(y, classes).double() - 1
    if X.shape[1] > len(X):  # the singular vectors of a wide matrix, in a fifth of the time of svd
        values, U = torch.linalg.eigh(X @ X.T)
        sizes = values.clamp_min(1e-12 * float(values.max())).sqrt()
        Vt = (U / sizes).T @ X
    else:
        U, sizes, Vt = torch.linalg.svd(X, full_matrices=False)
    along, best, chosen = U.T @ targets, -1.0, X[0]
    for power in range(-6, 1):
        ridge = 10.0**power * sizes.square().mean()
        kept = sizes.square() / (sizes.square() + ridge)
        left_out = targets - (targets - U @ (kept[:, None] * along)) / (1 - U.square() @ kept)[:, None]
        right = float((left_out.argmax(1) == y).double().mean())
        if right > best:
            best, chosen = right, Vt.T @ ((kept / sizes.clamp_min(1e-12))[:, None] * along)
    return (asked @ chosen).argmax(1)
