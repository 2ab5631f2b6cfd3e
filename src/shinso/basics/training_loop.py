r"""The training loop in four steps, on the smallest model there is (Rumelhart, Hinton, Williams 1986).

    1. write the output as a formula             f(x) = W x + b                                     (1)
    2. define the error                          J = 1/m sum_i (f(x_i) - y_i)^2                     (2)
    3. find its gradient                         dJ/dW = 2/m sum_i (f(x_i) - y_i) x_i^T             (3)
    4. search along it                           W <- W - lr dJ/dW                                  (4)

In PyTorch these are `model(x)`, the loss, `backward()` and `step()`, with `zero_grad()` before: `backward` adds to the
gradients that are there. The surprise of forgetting it is that the loop still runs and the loss still falls - at first.
The sum of all gradients so far is a momentum without friction, and the weights swing around the minimum for ever.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import drawing_from, generator
from shinso.core.setup import in_range

Step = Callable[[nn.Module, torch.optim.Optimizer, Tensor, Tensor], Tensor]
"""one turn of a loop: (model, optimiser, inputs, targets) -> loss"""


def four_steps(model: nn.Module, optimiser: torch.optim.Optimizer, x: Tensor, y: Tensor) -> Tensor:
    """One turn of the loop; returns the loss (2) before the update, detached."""
    optimiser.zero_grad()
    loss = F.mse_loss(model(x), y)  # (1), (2)
    loss.backward()  # (3)
    optimiser.step()  # (4)
    return loss.detach()


def without_zero_grad(model: nn.Module, optimiser: torch.optim.Optimizer, x: Tensor, y: Tensor) -> Tensor:
    """The slip: gradients add up over all turns."""
    loss = F.mse_loss(model(x), y)
    loss.backward()
    optimiser.step()
    return loss.detach()


def by_hand(W: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray, lr: float) -> float:
    """The same turn in NumPy, changing W (k, d) and b (k,) in place, for x (m, d), y (m, k); returns the loss."""
    error = x @ W.T + b - y  # (1)
    slope = 2 * error / error.size
    W -= lr * slope.T @ x  # (3), (4)
    b -= lr * slope.sum(0)
    return float((error**2).mean())  # (2)


def forgets(step: Step, model: nn.Module, x: Tensor, y: Tensor) -> bool:
    """Whether `step` leaves old gradients in place: with a rate of 0 a second turn must find what the first found."""
    probe = copy.deepcopy(model)
    optimiser = torch.optim.SGD(probe.parameters(), lr=0.0)
    found = []
    for _ in range(2):
        step(probe, optimiser, x, y)
        found.append([weight.grad.clone() for weight in probe.parameters() if weight.grad is not None])
    return not all(torch.allclose(a, b) for a, b in zip(*found, strict=True))


@final
class Loops:
    """Three loops on the same batches: PyTorch's, NumPy's, and the one that forgets."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        draw = generator(setup.seed, "data")
        self.x = torch.randn(setup.examples, setup.features, generator=draw, dtype=torch.float64)
        true = torch.randn(setup.features, 1, generator=draw, dtype=torch.float64)
        self.y = self.x @ true + 3 + 0.1 * torch.randn(setup.examples, 1, generator=draw, dtype=torch.float64)
        with drawing_from(setup.seed, "weights"):
            self.model = nn.Linear(setup.features, 1).double()
        self.forgetful = copy.deepcopy(self.model)
        self.W, self.b = (weight.detach().numpy().copy() for weight in self.model.parameters())
        self.rules = [torch.optim.SGD(net.parameters(), lr=setup.lr) for net in (self.model, self.forgetful)]

    def step(self, i: int) -> Record:
        rows = torch.randperm(len(self.x), generator=generator(self.setup.seed, f"batch/{i}"))[: self.setup.batch_size]
        x, y = self.x[rows], self.y[rows]
        loss = four_steps(self.model, self.rules[0], x, y)
        predicted = by_hand(self.W, self.b, x.numpy(), y.numpy(), self.setup.lr)
        wrong = without_zero_grad(self.forgetful, self.rules[1], x, y)
        return {"loss": loss, "loss_forgetful": wrong, "measured": loss, "predicted": predicted,
                "within": 1e-12 * (1 + predicted)}

    def state(self) -> dict[str, Any]:
        grads = {name: torch.zeros_like(weight) if weight.grad is None else weight.grad
                 for name, weight in self.forgetful.named_parameters()}
        return {"model": self.model.state_dict(), "forgetful": self.forgetful.state_dict(), "added_up": grads,
                "W": self.W.copy(), "b": self.b.copy()}

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.forgetful.load_state_dict(state["forgetful"])
        for name, weight in self.forgetful.named_parameters():
            weight.grad = state["added_up"][name].clone()
        self.W, self.b = state["W"].copy(), state["b"].copy()

    def networks(self) -> dict[str, nn.Module]:
        return {"model": self.model, "forgetful": self.forgetful}

    def example(self) -> dict[str, Tensor]:
        return {"model": self.x[:2]}

    def pictures(self) -> dict[str, np.ndarray]:
        """Both losses; the loops are run again, because a history in the state would grow with every step."""
        again = Loops(self.setup)
        rows = [again.step(i) for i in range(min(self.total, 300))]
        figure = sheet(800, 360)
        axes = figure.subplots()
        for name, label in (("loss", "four steps / 四つの手順"),
                            ("loss_forgetful", "without zero_grad / zero_grad なし")):
            axes.semilogy(range(1, len(rows) + 1), [float(row[name]) for row in rows], label=label, linewidth=1)
        axes.semilogy(range(1, len(rows) + 1), [row["predicted"] for row in rows], "k:", label="NumPy", linewidth=1)
        axes.set(xlabel="step", ylabel="loss / 損失")
        axes.legend()
        return {"four_steps": pixels(figure)}


def both_loops_are_equal() -> Check:
    """Over 300 steps the weights of PyTorch's loop and of the NumPy loop differ by less than 1e-12.

    Source: equations (1) to (4)
    """
    program = Loops(Setup())
    worst = 0.0
    for i in range(program.total):
        program.step(i)
        W, b = (weight.detach().numpy() for weight in program.model.parameters())
        worst = max(worst, float(np.abs(W - program.W).max()), float(np.abs(b - program.b).max()))
    return at_most(worst, 1e-12)


def a_missing_zero_grad_is_found() -> Check:
    """The detector names the loop without zero_grad, and not the loop with it.

    Source: backward adds to .grad
    """
    program = Loops(Setup())
    named = [forgets(step, program.model, program.x, program.y) for step in (four_steps, without_zero_grad)]
    return exactly(float(named == [False, True]), 1.0)


def two_turns_give_twice_the_gradient() -> Check:
    """Without zero_grad and with a rate of 0 the second turn leaves exactly twice the gradient of the first.

    Source: backward adds to .grad
    """
    program = Loops(Setup())
    rule = torch.optim.SGD(program.model.parameters(), lr=0.0)
    found = []
    for _ in range(2):
        without_zero_grad(program.model, rule, program.x, program.y)
        assert program.model.weight.grad is not None  # noqa: S101 - for the type checker
        found.append(program.model.weight.grad.clone())
    return exactly(float((found[1] - 2 * found[0]).abs().max()), 0.0)


def forgetting_swings() -> Check:
    """Over the last 100 of 300 steps the forgetful loop's mean loss is at least 50 times that of the right one.

    Source: w - lr sum of all gradients is momentum 1, a swing without friction
    """
    program = Loops(Setup())
    rows = [program.step(i) for i in range(program.total)][-100:]
    return at_least(sum(float(row["loss_forgetful"]) for row in rows) / sum(float(row["loss"]) for row in rows), 50.0)


def the_gradient_is_the_formula() -> Check:
    """What backward finds is (3), to 1e-14, on all examples.

    Source: equation (3)
    """
    program = Loops(Setup())
    (found,) = torch.autograd.grad(F.mse_loss(program.model(program.x), program.y), program.model.weight)
    formula = 2 * (program.model(program.x) - program.y).detach().T @ program.x / len(program.x)
    return at_most(float((found - formula).abs().max()), 1e-14)


CARD = Card(
    name="The training loop",
    name_ja="学習のループ (四つの手順)",
    paper="Rumelhart, Hinton, Williams 1986, Learning representations by back-propagating errors, Nature 323",
    equations=(
        r"f(x) = Wx + b",
        r"J = \frac{1}{m}\sum_i (f(x_i) - y_i)^2",
        r"\partial J/\partial W = \frac{2}{m}\sum_i (f(x_i) - y_i)\,x_i^T",
        r"W \leftarrow W - \eta\,\partial J/\partial W",
    ),
    summary="Output, error, gradient, step: the four steps of all training, beside the same loop in NumPy.",
    summary_ja="出力、誤差、勾配、更新。あらゆる学習に共通する四つの手順を、NumPy の同じループと並べて確かめる。",
    topics=("learn.training-loop",),
    facts=(
        both_loops_are_equal,
        a_missing_zero_grad_is_found,
        two_turns_give_twice_the_gradient,
        forgetting_swings,
        the_gradient_is_the_formula,
    ),
    notes=("The documents say gradient method and mean the stochastic one: each step sees a few examples only.",),
    notes_ja=("講義資料の「勾配法」は確率的勾配降下法を指す。各ステップは一部の例だけを見る。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A linear regression, three times."""

    examples: int = 100
    """points"""
    features: int = 3
    """inputs of each point"""
    batch_size: int = 20
    """points of each step"""
    lr: float = 0.05
    """learning rate"""
    steps: int = 300
    """turns of the loop"""
    seed: int = 0
    """of the points, the first weights and the batches"""


VARIANTS = {"smoke": Setup(steps=60), "default": Setup()}


def build(setup: Setup, place: Place = Place()) -> Loops:  # noqa: B008 - a frozen value
    """The loops, in float64 on the CPU."""
    in_range(setup, ("examples", "features", "batch_size", "lr", "steps"))
    return Loops(setup)
