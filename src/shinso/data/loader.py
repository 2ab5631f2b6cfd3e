"""A split whose images stay on disk: decoded by threads ahead of their use, in whatever order is asked for.

It holds no position of its own. The order and the place in it belong to `Batches`, so that a run resumes exactly,
however far the threads had read ahead when it ended.
"""

import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar, final

import torch
from torch import Tensor

from shinso.core.errors import UserError
from shinso.core.place import cores, process
from shinso.data.images import MOST_PIXELS, open_image
from shinso.data.prepare import picture

AT_ONCE = 16
"""pictures that a thread takes at a time: handing them over one by one costs as much as decoding a small one"""
Item = TypeVar("Item")
Answer = TypeVar("Answer")


def threads() -> int:
    """Threads that decode images: the cores this process may use, at most 8."""
    return min(8, cores())


def by_threads(one: Callable[[Item], Answer], items: Iterable[Item], title: str,
               total: int | None = None) -> Iterator[Answer]:
    """`one` of every item, in their order, never more than some hundreds of them begun; a terminal shows how far."""
    left = iter(items)

    def some(run: list[Item]) -> list[Answer]:
        return [one(item) for item in run]

    with ThreadPoolExecutor(threads(), thread_name_prefix="images") as pool, _bar(title, total) as advance:
        while runs := [run for _ in range(4 * threads()) if (run := list(islice(left, AT_ONCE)))]:
            for answers in pool.map(some, runs):
                yield from answers
                advance(len(answers))


@contextmanager
def _bar(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """What counts on the terminal, if there is one and this process is the one that speaks."""
    if not sys.stderr.isatty() or process()[0]:
        yield lambda count: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(title), total=total)
        yield lambda count: bar.advance(task, count)


def read_picture(path: Path, shape: tuple[int, ...], most_pixels: int = MOST_PIXELS) -> Tensor:
    """The image at `path` as uint8 of `shape`, the middle of it where its proportions differ."""
    channels, height, width = shape
    image = open_image(path, most_pixels=most_pixels, at_least=2 * max(height, width))
    return picture(image, channels, height, width)


@final
class Files:
    """One split on disk: image files and their targets int64 (n,); inputs are uint8 of `shape` once picked."""

    def __init__(self, paths: Sequence[Path], targets: Tensor, shape: tuple[int, ...], device: str = "cpu"):
        self.paths, self.targets, self.shape, self.device = paths, targets.to(device), shape, device
        self.pool: ThreadPoolExecutor | None = None
        self.coming: dict[int, Future[Tensor]] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return read_picture(self.paths[index], self.shape), self.targets[index]

    @property
    def inputs(self) -> Tensor:
        """Not to be had at once: these inputs are on disk because they do not fit into memory."""
        raise UserError(f"{len(self)} images", "they do not fit into memory at once", "ask for smaller ones: PATH@SIZE")

    def to(self, device: str) -> "Files":
        return Files(self.paths, self.targets, self.shape, device)

    def expect(self, index: Tensor) -> None:
        """Begins to read these; what was expected before and is not among them is forgotten."""
        wanted = index.tolist()
        for i in self.coming.keys() - set(wanted):
            self.coming.pop(i).cancel()
        for i in wanted:
            if i not in self.coming:
                self.coming[i] = self._submit(i)

    def pick(self, index: Tensor) -> Tensor:
        """uint8 (len(index), *shape) on the split's device; a file that went bad meanwhile is a UserError naming it."""
        asked = index.tolist()
        futures = [self.coming.pop(i, None) or self._submit(i) for i in asked]
        if not futures:
            return torch.zeros((0, *self.shape), dtype=torch.uint8, device=self.device)
        return torch.stack([future.result() for future in futures]).to(self.device)

    def _submit(self, i: int) -> Future[Tensor]:
        if self.pool is None:
            self.pool = ThreadPoolExecutor(threads(), thread_name_prefix="images")
            weakref.finalize(self, self.pool.shutdown, wait=False, cancel_futures=True)
        return self.pool.submit(read_picture, self.paths[i], self.shape)
