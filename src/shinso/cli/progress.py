"""What a run says while it goes on: a bar on a terminal, a plain line now and then elsewhere; always on stderr."""

import sys
import time
from collections.abc import Mapping
from typing import Any, Self, final

from shinso.cli.phrases import say
from shinso.core.record import plain
from shinso.engine.loop import Row

BAR_EVERY, LINE_EVERY = 0.1, 5.0
SHOWN = 4


@final
class Progress:
    """A context around the loop; `tick` is called after every step and costs a clock reading."""

    def __init__(self, total: int, start: int):
        self.total, self.start = total, start
        self.bar: Any = None
        self.task: Any = None
        self.began = self.at = self.told = time.perf_counter()
        self.pause = LINE_EVERY

    def __enter__(self) -> Self:
        self.began = self.at = time.perf_counter()
        if sys.stderr.isatty():
            self.bar, self.pause = _bar(), BAR_EVERY
            self.task = self.bar.add_task(say("run.training"), total=self.total, completed=self.start, text="", rate="")
            self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.refresh()
            self.bar.stop()

    def tick(self, row: Row) -> None:
        """Redraws when it is time."""
        now = time.perf_counter()
        if now - self.at >= self.pause:
            self.at = now
            self._draw(row, now)

    def tell(self, step: int, values: Mapping[str, float], *, last: bool) -> None:
        """An evaluation's line; of a quick succession only some, and always the last."""
        now = time.perf_counter()
        if now - self.told >= 5 * BAR_EVERY or last:
            self.told = now
            self.print(f"{say('run.step', step=f'{step:>{len(str(self.total))}}')}  {figures(values)}")

    def finish(self, row: Row) -> None:
        """The bar as it stands after the last step."""
        if self.bar is not None:
            self._draw(row, time.perf_counter())

    def print(self, text: str) -> None:
        """A line above the bar."""
        if self.bar is not None:
            self.bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def _draw(self, row: Row, now: float) -> None:
        rate = (row.step - self.start) / max(now - self.began, 1e-9)
        text = figures({**plain(row.record), **row.added})
        if self.bar is not None:
            self.bar.update(self.task, completed=row.step, text=text, rate=f"{speed(rate)}/s")
            self.bar.refresh()
            return
        share = f"{100 * row.step / self.total:.0f} %"
        left = duration((self.total - row.step) / max(rate, 1e-9))
        self.print(f"{row.step:,}/{self.total:,}  {share}  {speed(rate)}/s  -{left}  {text}")


def figures(values: Mapping[str, float]) -> str:
    """The first few values of a row: `loss 0.2137  accuracy 0.962`."""
    return "  ".join(f"{name} {short(value)}" for name, value in list(values.items())[:SHOWN])


def short(value: float) -> str:
    """Four digits, without trailing noise."""
    return f"{value:.4f}" if 0.001 <= abs(value) < 10 else f"{value:.4g}"


def speed(rate: float) -> str:
    """Steps per second: 8.1, 412, 13,204."""
    return f"{rate:.1f}" if rate < 10 else f"{rate:,.0f}"


def duration(seconds: float) -> str:
    """0:41, 12:05, 2:03:11."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
               TextColumn("{task.fields[rate]}"), TimeRemainingColumn(compact=True), TextColumn("{task.fields[text]}"))
    return RichProgress(*columns, console=Console(stderr=True), auto_refresh=False)
