"""A program that keeps every promise; its heirs in the contracts' own tests each break one."""

from typing import Any

import numpy as np
import torch

from shinso.core.figure import pixels, sheet
from shinso.core.seed import generator


class Walk:
    """A random walk that is drawn, judged, and every tenth step takes a longer stride."""

    total = 40
    rhythm = 5

    def __init__(self) -> None:
        self.random, self.place = generator(3, "walk"), torch.zeros(2)

    def step(self, i: int) -> dict[str, torch.Tensor]:
        self.place += (3 if i % 10 == 9 else 1) * torch.randn(2, generator=self.random)
        return {"distance": self.place.norm()}

    def state(self) -> dict[str, Any]:
        return {"place": self.place, "random": self.random.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        self.place = state["place"].clone()
        self.random.set_state(state["random"])

    def evaluate(self, split: str) -> dict[str, float]:
        return {"loss": float(self.place.square().sum())}

    def pictures(self) -> dict[str, np.ndarray]:
        return {"walk": self.drawn("Where it stands")}

    def drawn(self, title: str) -> np.ndarray:
        figure = sheet(120, 90)
        axes = figure.add_subplot(title=title)
        axes.plot(*self.place[:, None].tolist(), marker="o")
        return pixels(figure)
