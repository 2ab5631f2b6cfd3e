r"""Reverse mode on single numbers, in about a hundred lines: everything that a large engine does, and nothing else.

A Value is a number that remembers which numbers it was computed from and how strongly it depends on each of them:

    y = f(a, b):    remember a with dy/da, and b with dy/db                    (1)

Going through the values backwards, from the last to the first, the chain rule is one line:

    dL/da += dL/dy dy/da       for each input a of y                           (2)

The order matters: y may hand its gradient on only when everything that used y has handed over to y. An order in which
every value stands after its inputs (3) is found by walking from the end.

The surprise: one pass gives the derivative with respect to every input. Gradients add up, because a number that is
used twice matters twice - and so they also add up over two passes, unless they are set to zero between them.

Linnainmaa 1970; the form of a class with a gradient in each number is that of Karpathy's micrograd, 2020.
"""

import math
from collections.abc import Iterator
from typing import final

from shinso.core.card import Card, Check, about, at_most, exactly


@final
class Value:
    """A number with its gradient; `op` names the operation, `inputs` what it was computed from, `slopes` are (1)."""

    __slots__ = ("data", "grad", "inputs", "op", "slopes")

    def __init__(self, data: float, inputs: tuple["Value", ...] = (), slopes: tuple[float, ...] = (), op: str = ""):
        self.data, self.grad = data, 0.0
        self.inputs, self.slopes, self.op = inputs, slopes, op

    def __add__(self, other: "Value | float") -> "Value":
        b = _value(other)
        return Value(self.data + b.data, (self, b), (1, 1), "+")

    def __mul__(self, other: "Value | float") -> "Value":
        b = _value(other)
        return Value(self.data * b.data, (self, b), (b.data, self.data), "*")

    def __truediv__(self, other: "Value | float") -> "Value":
        b = _value(other)
        y = self.data / b.data
        return Value(y, (self, b), (1 / b.data, -y / b.data), "/")

    def __pow__(self, p: "Value | float") -> "Value":
        if isinstance(p, Value):
            return (self.log() * p).exp()
        return Value(self.data**p, (self,), (p * self.data ** (p - 1) if p else 0.0,), "**")

    def __rpow__(self, base: float) -> "Value":
        return (self * math.log(base)).exp()

    def __neg__(self) -> "Value":
        return self * -1

    def __sub__(self, other: "Value | float") -> "Value":
        return self + (-_value(other))

    def __rsub__(self, other: float) -> "Value":
        return _value(other) + (-self)

    def __rtruediv__(self, other: float) -> "Value":
        return _value(other) / self

    __radd__, __rmul__ = __add__, __mul__

    def exp(self) -> "Value":
        """e^x; dy/dx = y."""
        y = math.exp(self.data)
        return Value(y, (self,), (y,), "exp")

    def log(self) -> "Value":
        """The natural logarithm; dy/dx = 1 / x."""
        return Value(math.log(self.data), (self,), (1 / self.data,), "log")

    def tanh(self) -> "Value":
        """dy/dx = 1 - y^2."""
        y = math.tanh(self.data)
        return Value(y, (self,), (1 - y * y,), "tanh")

    def sin(self) -> "Value":
        """dy/dx = cos x."""
        return Value(math.sin(self.data), (self,), (math.cos(self.data),), "sin")

    def cos(self) -> "Value":
        """dy/dx = -sin x."""
        return Value(math.cos(self.data), (self,), (-math.sin(self.data),), "cos")

    def sigmoid(self) -> "Value":
        """1 / (1 + e^-x); dy/dx = y (1 - y)."""
        y = 0.5 * math.tanh(0.5 * self.data) + 0.5
        return Value(y, (self,), (y * (1 - y),), "sigmoid")

    def relu(self) -> "Value":
        """max(x, 0); dy/dx = 1 for x > 0, else 0."""
        return Value(max(self.data, 0.0), (self,), (1.0 if self.data > 0 else 0.0,), "relu")

    def backward(self) -> None:
        """Add the derivative of this number with respect to every Value behind it to that Value's `grad`."""
        gradient = {id(self): 1.0}
        for y in reversed(self.graph()):
            g = gradient.pop(id(y))
            y.grad += g
            for a, slope in zip(y.inputs, y.slopes, strict=True):
                gradient[id(a)] = gradient.get(id(a), 0.0) + g * slope  # (2)

    def graph(self) -> list["Value"]:
        """Every Value behind this one, each after its inputs (3); found without recursion, however long the chain."""
        order: list[Value] = []
        seen = {id(self)}
        walk: list[tuple[Value, Iterator[Value]]] = [(self, iter(self.inputs))]
        while walk:
            value, rest = walk[-1]
            fresh = next((a for a in rest if id(a) not in seen), None)
            if fresh is None:
                order.append(value)
                walk.pop()
            else:
                seen.add(id(fresh))
                walk.append((fresh, iter(fresh.inputs)))
        return order

    def __repr__(self) -> str:
        return f"Value({self.data}, grad={self.grad})"


def _value(x: "Value | float") -> Value:
    return x if isinstance(x, Value) else Value(x)


def the_square_at_five_points() -> Check:
    """The derivative of x^2 at -3, -0.5, 0, 1 and 7 is exactly 2x.

    Source: the course's y = x^2
    """
    off = 0.0
    for at in (-3.0, -0.5, 0.0, 1.0, 7.0):
        x = Value(at)
        (x * x).backward()
        off += abs(x.grad - 2 * at)
    return exactly(off, 0.0)


def a_line_at_one_point() -> Check:
    """With x = 3, w = 4, b = 5 the value of wx + b is 17, and its derivatives by w and b are 3 and 1, exactly.

    Source: Paszke et al. 2017, as the course's notebook shows it
    """
    x, w, b = Value(3.0), Value(4.0), Value(5.0)
    y = w * x + b
    y.backward()
    return exactly(abs(y.data - 17) + abs(w.grad - 3) + abs(b.grad - 1), 0.0)


def gradients_add_up_over_two_passes() -> Check:
    """A second pass without setting the gradients to zero leaves 6 and 2 in the place of 3 and 1.

    Source: (2), the +=
    """
    x, w, b = Value(3.0), Value(4.0), Value(5.0)
    y = w * x + b
    y.backward()
    y.backward()
    return exactly(abs(w.grad - 6) + abs(b.grad - 2), 0.0)


def the_exponential_of_a_product() -> Check:
    """At x = 2, w = 0.5 the derivative of exp(xw) by w is x exp(xw) = 5.436563656918090 (to 1e-14).

    Source: the chain rule; the course's example of reverse mode
    """
    x, w = Value(2.0), Value(0.5)
    (x * w).exp().backward()
    return about(w.grad, 5.436563656918090, 1e-14)


def a_value_used_twice_receives_twice() -> Check:
    """The derivative of a b + a at a = 2, b = 3 by a is 4: the sum over both uses.

    Source: (2)
    """
    a, b = Value(2.0), Value(3.0)
    (a * b + a).backward()
    return exactly(a.grad, 4.0)


def every_value_stands_after_its_inputs() -> Check:
    """In the order (3) of a graph with 200 shared values no value comes before one that it was computed from.

    Source: Kahn 1962
    """
    values = [Value(0.9), Value(1.1)]
    for i in range(200):
        values.append(values[i // 2] * values[-1] + values[i])
    order = values[-1].graph()
    place = {id(value): i for i, value in enumerate(order)}
    return at_most(max(place[id(a)] - place[id(y)] for y in order for a in y.inputs), -1)


CARD = Card(
    name="Scalar engine",
    name_ja="スカラーの自動微分",
    paper="Linnainmaa 1970, doi:10.1007/BF01931367; Speelpenning 1980",
    equations=(
        r"y = f(a, b):\quad \partial y/\partial a,\ \partial y/\partial b",
        r"\frac{\partial L}{\partial a} = \sum_{y:\,a \rightarrow y} \frac{\partial L}{\partial y}"
        r"\frac{\partial y}{\partial a}",
        r"a \rightarrow y \;\Rightarrow\; \mathrm{place}(a) < \mathrm{place}(y)",
    ),
    summary="Reverse mode on single numbers: the whole of back-propagation in a file to read in one sitting.",
    summary_ja="一つ一つの数に対する逆方向の自動微分。誤差逆伝播法の全体を、一度に読み切れる一つのファイルで示す。",
    topics=("autodiff.derivative-1d", "autodiff.torch-scalar"),
    facts=(
        the_square_at_five_points,
        a_line_at_one_point,
        gradients_add_up_over_two_passes,
        the_exponential_of_a_product,
        a_value_used_twice_receives_twice,
        every_value_stands_after_its_inputs,
    ),
    notes=("Gradients add up: a second backward without zeroing gives 6 and 2 where 3 and 1 are right.",),
    notes_ja=("勾配は足し込まれる。0に戻さずに二度目の逆伝播を行うと、3と1であるべきところが6と2になる。",),
)
