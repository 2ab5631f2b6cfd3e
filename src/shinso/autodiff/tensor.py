r"""A tensor that remembers how it was made: reverse mode on NumPy, by recording the program as it runs.

Every operation on a Tensor computes its value at once and notes its rule and its inputs. The notes are the
computation graph. `backward` walks them from the end to the beginning and applies the chain rule at each:

    g_y = 1 at the end,    g_x += (dy/dx)^T g_y  for every operation y = f(x)       (1)

so that one pass gives the derivative with respect to all inputs, however many there are. A value that was used twice
receives twice: that is the +=. Where broadcasting repeated a value the gradient sums over the copies (2). The pass is
itself made of operations on arrays; run on Tensors (`create_graph=True`) it is recorded, and can be differentiated:

    Hv = d/dx (g(x) . v)                                                            (3)

The surprise: however the function was written - loops, branches, indexing - only the operations that really ran are
in the graph, and the pass costs at most a small multiple of them.

To look inside: a tensor that was computed has `rule` (its `name`, `equation`), `op` (that name), `inputs` (Tensors, or
plain arrays and numbers for constants), `params`, and `local(i)`, dy/dx_i entry by entry where that exists.

Linnainmaa 1970; Speelpenning 1980; Paszke et al. 2017 (recording while running).
"""

import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, final

import numpy as np

from shinso.autodiff._counted import Counted, counted
from shinso.autodiff._operators import Operators
from shinso.autodiff._tape import MODE, recorded, shapes, sweep, values, watch
from shinso.autodiff.rules import Rule
from shinso.core.card import Card, Check, about, at_most, exactly
from shinso.core.errors import UserError

_numbers = count()


@final
class Tensor(Operators):
    """An array, what it was computed from, and (for leaves that ask for it) the gradient that `backward` left.

    `Tensor(array, requires_grad=True)` is a leaf; it shares memory with the array. `data` and `grad` are ndarrays
    (after `backward(create_graph=True)` `grad` is a Tensor). Types are kept: float32 stays float32 beside Python and
    NumPy scalars. Integer and boolean tensors take part, but have no gradient. In-place operators and item assignment
    work where nothing is recorded (inside `no_grad`, or on tensors that need no gradient).
    """

    __slots__ = ("_spare", "data", "grad", "inputs", "keeps_grad", "note", "number", "params", "requires_grad", "rule",
                 "seen", "version")

    def __init__(self, data: Any, requires_grad: bool = False):
        self.data = data.data if type(data) is Tensor else values(data)
        self._leaf(requires_grad)
        self.version = data.version if type(data) is Tensor else [0]

    def _leaf(self, requires_grad: bool) -> None:
        if requires_grad and self.data.dtype.kind != "f":
            raise UserError("Tensor", f"values of type {self.data.dtype} and shape {self.data.shape} have no gradient",
                            "give floating point numbers, such as Tensor([1.0, 2.0], requires_grad=True)")
        self.requires_grad, self.keeps_grad = requires_grad, False
        self.grad: Any = None
        self.rule: Rule | None = None
        self.inputs: Any = ()
        self.params: tuple = ()
        self.seen = self.note = self._spare = None
        self.number = next(_numbers)
        self.version = [0]

    # What every operation goes through

    @staticmethod
    def apply(rule: Rule, inputs: Sequence[Any], params: tuple = ()) -> Any:
        """The rule applied to Tensors, arrays and numbers, recorded where an input needs its gradient."""
        note = None
        try:
            xs = [x.data if type(x) is Tensor else x for x in inputs]
            if rule.noted is not None and MODE.recording:
                y, note = rule.noted(*xs, *params)
            else:
                y = rule.f(*xs, *params)
        except (ValueError, IndexError, TypeError, UserError) as error:
            if (other := _other_kind(inputs)) is not None:
                return other.apply(rule, inputs, params)
            raise _misfit(rule, inputs, error) from error
        if type(y) is not np.ndarray:
            if isinstance(y, Operators):  # a dual number was among the inputs: it answers
                return y.apply(rule, inputs, params)
            y = np.asanyarray(y)
        out = Tensor.__new__(Tensor)
        out.data = y
        out.grad = out.seen = out.note = out._spare = out.rule = None
        out.requires_grad = out.keeps_grad = False
        out.inputs = out.params = ()
        out.number = next(_numbers)
        out.version = inputs[0].version if rule.view and y.base is not None and type(inputs[0]) is Tensor else [0]
        if MODE.recording:
            for x in inputs:
                if type(x) is Tensor and x.requires_grad:
                    if y.dtype.kind == "f":
                        out.requires_grad, out.rule, out.inputs, out.params = True, rule, tuple(inputs), params
                        out.note = note
                        if "x" in rule.keeps:
                            out.seen = [x.version[0] if type(x) is Tensor else None for x in inputs]
                    break
        if MODE.watching:
            watch(rule.name, out.data, inputs)
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The value alone, as NumPy asks for it; refused while it would cut a graph silently."""
        if self.requires_grad and MODE.recording:
            raise UserError("Tensor", f"a tensor of shape {self.shape} that needs a gradient was used as a plain array",
                            "write tensor.data, or use the functions of shinso.autodiff.functions")
        return np.array(self.data, dtype=dtype, copy=copy)

    # Looking

    @property
    def op(self) -> str:
        """The name of the operation that made this tensor; empty for leaves and constants."""
        return self.rule.name if self.rule is not None else ""

    @property
    def node(self) -> "Tensor | None":
        """The tensor itself where it was computed: it carries `op`, `rule`, `inputs` and `params`."""
        return self if self.rule is not None else None

    def local(self, i: int = 0) -> np.ndarray | None:
        """The derivative with respect to input i, entry by entry, in the shape of this tensor, or None."""
        if self.rule is None or self.inputs is None:
            return None
        xs = [x.data if type(x) is Tensor else x for x in self.inputs]
        return self.rule.local(i, self.data, xs, self.params)

    def pulls(self, gradient: np.ndarray) -> list[tuple["Tensor", np.ndarray]]:
        """What this node hands to each input that needs it, given the gradient with respect to its own value."""
        if self.rule is None or self.inputs is None:
            return []
        xs = [x.data if type(x) is Tensor else x for x in self.inputs]
        return [(x, np.asarray(self.rule.pull(i, gradient, self.data, xs, self.params)))
                for i, x in enumerate(self.inputs) if type(x) is Tensor and x.requires_grad]

    def graph(self) -> list["Tensor"]:
        """Every computed tensor behind this one, itself last: a topological order, inputs before what they made."""
        return recorded([self])

    def __repr__(self) -> str:
        body = np.array2string(self.data, separator=", ", prefix="Tensor(")
        made = f", op={self.op}" if self.rule is not None else ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({body}{made})"

    def item(self) -> float:
        """The only entry, as a Python number."""
        return self.data.item()

    def __float__(self) -> float:
        return float(self.data)

    # Gradients

    def backward(self, gradient: Any = None, *, retain_graph: bool = False, create_graph: bool = False) -> None:
        """Add the derivative of this tensor to `.grad` of every leaf behind it that asked for one.

        gradient: the gradient with respect to this tensor, of its shape; 1 where this is one number. The graph is
        freed on the way unless it is retained; `create_graph` records the pass itself.
        """
        seed = _seed(self, gradient, "backward")
        if self.rule is None:
            self.grad = seed if self.grad is None else self.grad + seed
            return
        order, before = recorded([self]), MODE.recording
        MODE.recording = create_graph
        try:
            seed = Tensor(seed) if create_graph and not isinstance(seed, Tensor) else seed
            sweep(order, {id(self): seed}, None, graph=create_graph, keep=retain_graph or create_graph)
        finally:
            MODE.recording = before

    def zero_grad(self) -> None:
        """Forget the gradient. Its memory is used again by the next one unless somebody else still holds it."""
        if type(self.grad) is np.ndarray:
            self._spare = self.grad
        self.grad = None

    def spare(self) -> np.ndarray | None:
        """The memory of the last gradient, if nobody but this tensor sees it any more."""
        buffer, self._spare = self._spare, None
        if buffer is None or sys.getrefcount(buffer) != 2 or not buffer.flags.owndata:
            return None
        return buffer if buffer.shape == self.data.shape else None

    def retain_grad(self) -> "Tensor":
        """Ask for `.grad` on a computed tensor too; returns the tensor."""
        self.keeps_grad = True
        return self

    def detach(self) -> "Tensor":
        """The same values (shared memory) outside of the graph."""
        return Tensor(self)


def _other_kind(inputs: Sequence[Any]) -> Any:
    """An operand that is neither a Tensor nor plain, such as a dual number."""
    return next((x for x in inputs if isinstance(x, Operators) and type(x) is not Tensor), None)


def _misfit(rule: Rule, inputs: Sequence[Any], error: Exception) -> UserError:
    """One sentence that names the operation and the shapes."""
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UserError(rule.name, f"inputs of shapes {shapes(inputs)} do not fit together ({said})",
                     "reshape or transpose them so that the axes agree")


def _seed(y: Tensor, gradient: Any, where: str) -> Any:
    """The gradient to begin with, in the shape and type of y."""
    if not y.requires_grad:
        raise UserError(where, f"this tensor of shape {y.shape} was not computed from one that needs a gradient",
                        "make the inputs with requires_grad=True, outside of no_grad")
    if gradient is None:
        if y.size != 1:
            raise UserError(where, f"a tensor of shape {y.shape} has no single derivative",
                            "sum it up first, or give the gradient with respect to it")
        return np.ones(y.shape, y.dtype)
    if type(gradient) is not Tensor:
        gradient = np.array(gradient, y.dtype)  # a copy: it may become somebody's .grad
    if gradient.shape != y.shape:
        raise UserError(where, f"the gradient has shape {gradient.shape}, the tensor has shape {y.shape}",
                        "give a gradient of the tensor's own shape")
    return gradient


@contextmanager
def _recording(on: bool) -> Iterator[None]:
    before, MODE.recording = MODE.recording, on
    try:
        yield
    finally:
        MODE.recording = before


def no_grad() -> Any:
    """Inside `with no_grad():` nothing is recorded: results need no gradient, and in-place changes are allowed."""
    return _recording(False)


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Inside, the first operation whose value or gradient is NaN or infinite raises a UserError that names it."""
    before, MODE.watching = MODE.watching, True
    try:
        yield
    finally:
        MODE.watching = before


def grad(output: Tensor, inputs: Tensor | Sequence[Tensor], gradient: Any = None, *, create_graph: bool = False,
         retain_graph: bool | None = None) -> Any:
    """The gradients of `output` with respect to `inputs` (one, or a sequence: then a tuple); `.grad` is not touched.

    ndarrays, or Tensors with create_graph. An input that the output does not depend on gets zeros.
    """
    single = isinstance(inputs, Tensor)
    sources: Sequence[Tensor] = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    for x in sources:
        if not x.requires_grad:
            raise UserError("grad", f"an input of shape {x.shape} and type {x.dtype} needs no gradient",
                            "make it with requires_grad=True before it is used")
    seed = _seed(output, gradient, "grad")
    order = recorded([output])
    with _recording(create_graph):
        seed = Tensor(seed) if create_graph and not isinstance(seed, Tensor) else seed
        gradients = {id(output): seed}
        sweep(order, gradients, {id(x) for x in sources}, graph=create_graph,
              keep=create_graph if retain_graph is None else retain_graph)
    found = [gradients.get(id(x)) for x in sources]
    zeros = [np.zeros(x.shape, x.dtype) if g is None else g for g, x in zip(found, sources, strict=True)]
    results = tuple((g if isinstance(g, Tensor) else Tensor(g)) if create_graph else _own(g, zeros) for g in zeros)
    return results[0] if single else results


def _own(g: Any, others: Sequence[Any]) -> np.ndarray:
    """An array that nobody else writes to: gradients may be views, or one array for several inputs."""
    g = np.asarray(g)
    shared = g.base is not None or not g.flags.writeable or sum(g is other for other in others) > 1
    return np.array(g) if shared else g


def gradients_of_two_bowls() -> Check:
    """At (1.5, -2) the gradient of x1^2 + x2^2 is (2 x1, 2 x2) and that of x1^2 / 2 + 5 x2^2 is (x1, 10 x2), exactly.

    Source: the course's gradient vectors
    """
    x = Tensor([1.5, -2.0], requires_grad=True)
    round_one, long_one = grad((x * x).sum(), x), grad((np.array([0.5, 5.0]) * x**2).sum(), x)
    return exactly(float(np.abs(round_one - [3, -4]).sum() + np.abs(long_one - [1.5, -20]).sum()), 0.0)


def the_gradient_is_normal_to_the_contour() -> Check:
    """On the ellipse x1^2 / 2 + 5 x2^2 = c the gradient times the tangent is 0 to 1e-14, at 100 places.

    Source: differentiating f(x(s)) = c along the contour
    """
    s = np.linspace(0, 2 * np.pi, 100)
    x = Tensor(np.stack([np.sqrt(2) * np.cos(s), np.sqrt(0.2) * np.sin(s)], 1), requires_grad=True)
    tangent = np.stack([-np.sqrt(2) * np.sin(s), np.sqrt(0.2) * np.cos(s)], 1)
    g = grad((np.array([0.5, 5.0]) * x * x).sum(), x)
    return at_most(float(np.abs((g * tangent).sum(1)).max()), 1e-14)


def the_exponential_of_a_product() -> Check:
    """At x = 2, w = 0.5 the derivative of exp(xw) by w is x exp(xw) = 5.436563656918090 (to 1e-14).

    Source: the chain rule; the course's example of reverse mode
    """
    x, w = Tensor(2.0), Tensor(0.5, requires_grad=True)
    np.exp(x * w).backward()
    return about(float(w.grad), 5.436563656918090, 1e-14)


def the_pass_back_costs_at_most_five_times_the_way_there() -> Check:
    """Counted in operations, the pass back costs at most 5 times the way there, with 10, 100 and 1000 inputs.

    Source: Baur and Strassen 1983; Griewank and Walther 2008, section 4.6
    """
    ratios = []
    for n in (10, 100, 1000):
        x, w = Tensor(np.linspace(0.1, 1, n), requires_grad=True), Tensor(np.full((n, 4), 0.1), requires_grad=True)
        x.data, w.data = counted(x.data), counted(w.data)
        start = Counted.work
        y = (np.exp(-x * x) / (1.0 + x * x) + np.sin(x) * np.tanh(x)).sum() + np.tanh(x @ w).sum()
        there = Counted.work
        y.backward()
        ratios.append((Counted.work - there) / (there - start))
    return Check(max(ratios), 1.0, 5.0)


def broadcasting_adds_on_the_way_back() -> Check:
    """x @ ones + 1 is 7 for (1, 2, 3) and (7, 16) with (4, 5, 6) below; the gradient of the 1 counts the rows.

    Source: the course's notebook on broadcasting; (2)
    """
    one, off = Tensor(np.ones(1), requires_grad=True), 0.0
    for x, wanted in ((np.array([1.0, 2, 3]), [7.0]), (np.array([[1.0, 2, 3], [4, 5, 6]]), [[7.0], [16.0]])):
        y = x @ Tensor(np.ones((3, 1))) + one
        off += float(np.abs(np.subtract(y.data, wanted)).sum() + np.abs(grad(y.sum(), one) - len(wanted)).sum())
    return exactly(off, 0.0)


def without_recording_nothing_stays() -> Check:
    """Under no_grad 1000 calls leave no more than the last result, which needs no gradient.

    Source: the course's evaluation under no_grad
    """
    w, y = Tensor(np.full((50, 50), 0.01), requires_grad=True), Tensor(np.ones((20, 50)))
    tracemalloc.start()
    with no_grad():
        for _ in range(1000):
            y = y @ w
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return exactly(float(grown > 3 * y.data.nbytes) + float(y.requires_grad) + len(y.inputs), 0.0)


CARD = Card(
    name="Tensor engine",
    name_ja="テンソルの自動微分",
    paper="Linnainmaa 1970, doi:10.1007/BF01931367; Speelpenning 1980; Baur and Strassen 1983",
    equations=(
        r"\bar y = 1,\qquad \bar x \;{+}{=}\; \left(\frac{\partial y}{\partial x}\right)^T \bar y",
        r"y = x + b\;:\quad \bar b = \sum_{\mathrm{rows}} \bar y",
        r"H v = \nabla_x\, (\nabla f(x) \cdot v)",
    ),
    summary="Records a program on arrays while it runs, and walks back over the record for derivatives of any order.",
    summary_ja="配列のプログラムを実行しながら記録し、その記録を逆にたどって、あらゆる入力による微分を何階でも求める。",
    topics=("autodiff.gradient-vector", "autodiff.reverse-mode", "autodiff.broadcast", "autodiff.no-grad"),
    facts=(
        gradients_of_two_bowls,
        the_gradient_is_normal_to_the_contour,
        the_exponential_of_a_product,
        the_pass_back_costs_at_most_five_times_the_way_there,
        broadcasting_adds_on_the_way_back,
        without_recording_nothing_stays,
    ),
    notes=(
        "The course writes one gradient with a transpose and the other without; here a gradient has its input's shape.",
        "The course's notebook calls the row-wise matrix product broadcasting; only the + 1 is broadcast.",
        "Some notebook cells evaluate without no_grad and then need detach; here a recorded tensor is no plain array.",
    ),
    notes_ja=(
        "講義では一方の勾配に転置があり、他方にはない。ここでは勾配は入力と同じ形をもつ。",
        "講義のノートブックは行ごとの行列積をブロードキャストと呼ぶが、ブロードキャストされるのは + 1 だけである。",
        "no_grad なしの評価には後で detach が要る。ここでは、記録中のテンソルは配列とみなされない。",
    ),
)
