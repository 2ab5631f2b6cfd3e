"""A straight line through noisy points by gradient descent: the smallest system that has every ability.

    y = w x + b                                                                                    (1)
"""

import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from shinso.core.card import Card, Check, about, exactly
from shinso.core.place import Place
from shinso.core.seed import generator


class Line:
    """Each step draws eight points and descends; `break_at` makes the loss infinite from that step on."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total, self.rhythm = setup, setup.steps, setup.rhythm
        self.model = nn.Linear(1, 1)
        nn.init.zeros_(self.model.weight)
        nn.init.zeros_(self.model.bias)
        self.noise = generator(setup.seed, "noise")

    def step(self, i: int) -> dict[str, Tensor]:
        time.sleep(self.setup.rest)
        x = torch.rand(8, 1, generator=self.noise)
        y = 3 * x + 1 + 0.1 * torch.randn(8, 1, generator=self.noise) + 0.01 * torch.rand(8, 1)  # the global stream
        loss = (self.model(x) - y).square().mean()  # (1)
        self.model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for weight in self.model.parameters():
                weight -= self.setup.lr * weight.grad
            if self.setup.break_at and i >= self.setup.break_at:
                self.model.bias.fill_(torch.inf)
        return {"loss": (self.model(x) - y).square().mean().detach()}

    @torch.no_grad()
    def evaluate(self, split: str) -> dict[str, float]:
        x = torch.linspace(0, 1, 11)[:, None]
        return {"loss": float((self.model(x) - 3 * x - 1).square().mean())}

    def state(self):
        return {"model": self.model.state_dict(), "noise": self.noise.get_state()}

    def restore(self, state) -> None:
        self.model.load_state_dict(state["model"])
        self.noise.set_state(state["noise"])

    def networks(self):
        return {"model": self.model}

    def example(self):
        return {"model": torch.zeros(2, 1)}

    def pictures(self):
        return {"samples": np.full((4, 6, 3), 200, dtype=np.uint8)}

    def files(self):
        return {"line.gif": b"GIF89a", "line.csv": f"w\n{self.model.weight.item()}\n".encode()}


def slope() -> Check:
    """The slope that generated the points is 3.

    Source: this file
    """
    program = Line(Setup(steps=400, lr=0.5))
    for i in range(400):
        program.step(i)
    return about(float(program.model.weight.detach()), 3.0, 0.3)


def parameters() -> Check:
    """A line has two parameters.

    Source: equation (1)
    """
    return exactly(sum(p.numel() for p in Line(Setup()).model.parameters()), 2)


CARD = Card(
    name="Line",
    name_ja="直線",
    paper="Gauss 1809",
    equations=(r"y = w x + b",),
    summary="A straight line <through> noisy points.",
    summary_ja="ノイズのある点を通る直線。",
    topics=("basics.line",),
    facts=(slope, parameters),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What can be chosen."""

    steps: int = 60
    """steps of descent"""
    lr: float = 0.2
    """step size"""
    rhythm: int = 10
    """steps between evaluations"""
    rest: float = 0.0
    """seconds slept in each step"""
    break_at: int = 0
    """step from which the loss is infinite; 0: never"""
    patience: int = 0
    """evaluations without improvement before stopping early; 0: never"""
    shape: Literal["line", "flat"] = "line"
    """a choice"""
    sizes: tuple[int, ...] = (1, 2)
    """a list"""
    limit: float | None = None
    """an optional number"""
    loud: bool = False
    """a switch"""
    seed: int = 0
    """of the noise"""


VARIANTS = {"smoke": Setup(steps=40), "default": Setup(), "<b>bold</b>": Setup(steps=20)}


def build(setup: Setup, place: Place = Place()) -> Line:  # noqa: B008
    return Line(setup)
