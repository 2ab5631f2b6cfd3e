"""Places boxes that point to one another in layers, with few crossings and no overlap (Sugiyama, Tagawa, Toda 1981).

Four steps: a layer for each box, before all that use it; stand-ins where an arrow passes a layer, so that it has
room there; an order in each layer that follows the neighbours' mean (barycentre), swept down and up, the order with
the fewest crossings kept; and coordinates that follow the neighbours as closely as the gaps allow, which is isotonic
regression (pool adjacent violators).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

GAP, STAND_IN, SWEEPS = 22.0, 14.0, 12


@dataclass
class Spot:
    """A box or a stand-in: which layer, how wide, where its middle is across the layers."""

    layer: int
    width: float
    box: int
    """index of the box; -1 for a stand-in"""
    across: float = 0.0
    before: list[int] = field(default_factory=list)
    after: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Placed:
    """Where everything is: layers run along, everything else across."""

    across: list[float]
    """the middle of each box"""
    layer: list[int]
    routes: dict[tuple[int, int], list[tuple[int, float]]]
    """for each arrow (from, to) the (layer, across) of the box, the stand-ins and the other box"""
    extent: float


def place(widths: Sequence[float], inputs: Sequence[Sequence[int]]) -> Placed:
    """Boxes in topological order with the indices of what points to each; each arrow counts once."""
    layer = _layers(inputs)
    spots = [Spot(layer[i], widths[i], i) for i in range(len(widths))]
    chains: dict[tuple[int, int], list[int]] = {}
    for i, sources in enumerate(inputs):
        for j in dict.fromkeys(sources):
            chains[j, i] = _chain(spots, j, i)
    rows = [[k for k, s in enumerate(spots) if s.layer == n] for n in range(max(layer, default=-1) + 1)]
    _reorder(spots, rows)
    _spread(spots, rows)
    left = min((s.across - s.width / 2 for s in spots), default=0.0)
    for s in spots:
        s.across -= left
    routes = {edge: [(spots[k].layer, spots[k].across) for k in chain] for edge, chain in chains.items()}
    boxes = spots[: len(widths)]
    return Placed([s.across for s in boxes], layer, routes, max((s.across + s.width / 2 for s in spots), default=0.0))


def _layers(inputs: Sequence[Sequence[int]]) -> list[int]:
    """As few layers as there can be, everything as late as its users allow: parameters stand beside them."""
    layer = [0] * len(inputs)
    for i, sources in enumerate(inputs):
        layer[i] = max((layer[j] + 1 for j in sources), default=0)
    latest = [max(layer, default=0)] * len(inputs)
    for i in range(len(inputs) - 1, -1, -1):
        for j in inputs[i]:
            latest[j] = min(latest[j], latest[i] - 1)
    return latest


def _chain(spots: list[Spot], source: int, target: int) -> list[int]:
    chain = [source]
    for n in range(spots[source].layer + 1, spots[target].layer):
        spots.append(Spot(n, STAND_IN, -1))
        chain.append(len(spots) - 1)
    chain.append(target)
    for a, b in zip(chain, chain[1:], strict=False):  # noqa: RUF007 - a list of numbers, nothing else is imported
        spots[a].after.append(b)
        spots[b].before.append(a)
    return chain


def _reorder(spots: list[Spot], rows: list[list[int]]) -> None:
    best, fewest = [list(row) for row in rows], _crossings(spots, rows)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            place = {k: at for other in rows for at, k in enumerate(other)}
            centre = {}
            for k in row:
                beside = spots[k].before if down else spots[k].after
                centre[k] = sum(place[b] for b in beside) / len(beside) if beside else float(place[k])
            row.sort(key=lambda k: centre[k])
        crossings = _crossings(spots, rows)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    for row, order in zip(rows, best, strict=True):
        row[:] = order


def _crossings(spots: list[Spot], rows: list[list[int]]) -> int:
    place = {k: at for row in rows for at, k in enumerate(row)}
    total = 0
    for row in rows:
        ends = [place[b] for a in row for b in sorted(spots[a].after, key=place.__getitem__)]
        total += sum(ends[i] > ends[j] for i in range(len(ends)) for j in range(i + 1, len(ends)))
    return total


def _spread(spots: list[Spot], rows: list[list[int]]) -> None:
    for row in rows:
        _at_least_apart(spots, row, [0.0] * len(row))
    for sweep in range(2 * SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            wished = []
            for k in row:
                beside = (spots[k].before if down else spots[k].after) or spots[k].after or spots[k].before
                wished.append(sum(spots[b].across for b in beside) / len(beside) if beside else spots[k].across)
            _at_least_apart(spots, row, wished)


def _at_least_apart(spots: list[Spot], row: list[int], wished: list[float]) -> None:
    """The positions nearest to those wished that keep the order and the gaps; a stand-in insists more than a box."""
    offset, groups = 0.0, []
    offsets = []
    for at, k in enumerate(row):
        if at:
            offset += (spots[row[at - 1]].width + spots[k].width) / 2 + GAP
        offsets.append(offset)
        weight = 4.0 if spots[k].box < 0 else 1.0
        groups.append([(wished[at] - offset) * weight, weight, 1])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] > groups[-1][0] / groups[-1][1]:
            total, weight, count = groups.pop()
            groups[-1] = [groups[-1][0] + total, groups[-1][1] + weight, groups[-1][2] + count]
    levels = [total / weight for total, weight, count in groups for _ in range(count)]
    for k, level, shift in zip(row, levels, offsets, strict=True):
        spots[k].across = level + shift
