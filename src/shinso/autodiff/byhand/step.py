r"""The step: a neuron that fires or does not.

    f(x) = 1 if x >= 0, else 0                                (1)
    f'(x) = 0                                                 (2)

The value at 0 is a choice; here it is 1, as in the perceptron: a neuron that reaches its threshold fires. The
derivative is 0 wherever there is one, and backward gives 0 at the jump too. That is the end of gradient descent:
whatever the loss says, nothing below a step ever hears of it.

McCulloch and Pitts 1943.
"""

from typing import final

import numpy as np

from shinso.core.card import Card, Check, exactly


@final
class Step:
    """Elementwise, any shape."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        return (x >= 0).astype(x.dtype)  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return np.zeros_like(grad)  # (2)


def example(rng: np.random.Generator) -> tuple[Step, tuple[np.ndarray]]:
    """A layer and inputs that keep away from the jump."""
    x = rng.uniform(0.1, 2, (4, 3))
    return Step(), (x * rng.choice([-1, 1], x.shape),)


def one_at_zero() -> Check:
    """At -1, -0.0, 0.0 and 1 the values are 0, 1, 1 and 1.

    Source: the convention of this file, equation (1)
    """
    return exactly(float(np.abs(Step().forward(np.array([-1, -0.0, 0.0, 1])) - [0, 1, 1, 1]).max()), 0)


def gradient_descent_stands_still() -> Check:
    """100 steps of gradient descent on a neuron with a step, wrong on half of its data, move its weights by 0.

    Source: equation (2) and the chain rule
    """
    draw = np.random.default_rng(0)
    x, w = draw.standard_normal((20, 2)), np.array([1.0, 1.0])
    target, start, neuron = 1 - Step().forward(x[:, 0]), w.copy(), Step()
    for _ in range(100):
        error = neuron.forward(x @ w) - target
        w -= 0.1 * (x.T @ neuron.backward(error))
    return exactly(float(np.abs(w - start).max()), 0)


CARD = Card(
    name="Step function",
    name_ja="ステップ関数",
    paper="McCulloch and Pitts 1943, A logical calculus of the ideas immanent in nervous activity",
    equations=(r"f(x) = 1 \ \mathrm{if}\ x \geq 0,\ \mathrm{else}\ 0", r"f'(x) = 0"),
    summary="A neuron that fires or does not; its derivative is 0, so gradients cannot train what lies below it.",
    summary_ja="発火するかしないかだけのニューロン。導関数が 0 なので、その下の重みは勾配では学習できない。",
    topics=("nn.step",),
    facts=(one_at_zero, gradient_descent_stands_still),
    notes=("The slides leave the value at 0 open; here it is 1, as in the perceptron.",),
    notes_ja=("スライドは 0 での値を定めていない。ここではパーセプトロンと同じく 1 とする。",),
)
