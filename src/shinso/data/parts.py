"""Connected parts of a mask: runs of each row, joined where they touch, corners included."""

from dataclasses import dataclass, field

import numpy as np

Run = tuple[int, int, int]
"""(row, first column, one past the last column)"""


@dataclass
class Part:
    """One connected part: its runs, its bounding box (half open), its mass."""

    runs: list[Run] = field(default_factory=list)
    mass: float = 0.0
    top: int = 1 << 30
    left: int = 1 << 30
    bottom: int = 0
    right: int = 0

    def add(self, run: Run, mass: float) -> None:
        row, start, end = run
        self.runs.append(run)
        self.mass += mass
        self.top, self.bottom = min(self.top, row), max(self.bottom, row + 1)
        self.left, self.right = min(self.left, start), max(self.right, end)

    def gap(self, other: "Part") -> int:
        """Pixels between the two bounding boxes, along the axis where they are farther apart."""
        across = max(self.left - other.right, other.left - self.right, 0)
        return max(self.top - other.bottom, other.top - self.bottom, across)

    def along_border(self, height: int, width: int) -> bool:
        """Whether it touches one side of the image with half of its own length, or reaches from side to side."""
        if (self.left == 0 and self.right == width) or (self.top == 0 and self.bottom == height):
            return True
        touch = [0, 0, 0, 0]
        for row, start, end in self.runs:
            touch[0] += (end - start) * (row == 0)
            touch[1] += (end - start) * (row == height - 1)
            touch[2] += start == 0
            touch[3] += end == width
        return max(touch) > 0.5 * max(self.bottom - self.top, self.right - self.left)


def label(mask: np.ndarray, weight: np.ndarray) -> list[Part]:
    """The 8-connected parts of `mask` (height, width); a part's mass is the sum of `weight` over it."""
    runs = _runs(mask)
    parent = list(range(len(runs)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    above, current, first = [], [], 0
    for i, (row, start, end) in enumerate(runs):
        if current and runs[current[0]][0] != row:
            above, current, first = (current if runs[current[0]][0] == row - 1 else []), [], 0
        while first < len(above) and runs[above[first]][2] < start:
            first += 1
        for j in range(first, len(above)):
            if runs[above[j]][1] > end:
                break
            parent[root(i)] = root(above[j])
        current.append(i)
    sums = np.concatenate([np.zeros((mask.shape[0], 1)), weight.cumsum(1, dtype=np.float64)], 1)
    parts: dict[int, Part] = {}
    for i, run in enumerate(runs):
        parts.setdefault(root(i), Part()).add(run, float(sums[run[0], run[2]] - sums[run[0], run[1]]))
    return list(parts.values())


def _runs(mask: np.ndarray) -> list[Run]:
    """Maximal horizontal runs, row by row from left to right."""
    wide = np.pad(mask.astype(np.int8), ((0, 0), (1, 1)))
    change = np.diff(wide, axis=1)
    rows, starts = np.nonzero(change == 1)
    ends = np.nonzero(change == -1)[1]
    return list(zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True))
