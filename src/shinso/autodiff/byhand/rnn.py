r"""The simple recurrent network, and back-propagation through time written out.

    s_t = tanh(a_t),     a_t = x_t W + s_{t-1} U + b                                               (1)
    g_t = dE_t/ds_t + (g_{t+1} (1 - s_{t+1}^2)) U^T,     da_t = g_t (1 - s_t^2)                    (2)
    dW = sum_t x_t^T da_t,  dU = sum_t s_{t-1}^T da_t,  db = sum_t da_t,  dx_t = da_t W^T          (3)
    dE/dw = sum_t sum_{k <= t} dE_t/ds_t  ds_t/ds_k  d+s_k/dw                                      (4)
    ds_t/ds_k = product over i = k+1 .. t of ds_i/ds_{i-1},   ds_i/ds_{i-1} = diag(1 - s_i^2) U^T  (5)

(4) has a term for every pair of times; (2) and (3) gather them in one walk backwards. Here d+s_k/dw is the immediate
partial derivative: s_{k-1} is held fixed. The surprise: read as the total derivative, it already contains every
earlier time, and the sum counts most paths more than once - a formula that looks the same and is wrong.

Elman 1990; Werbos 1990 for (2) to (4).
"""

from typing import final

import numpy as np

from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.errors import UserError


@final
class RNN:
    """x (time, batch, features) and s_0 (batch, units) -> all states (time, batch, units)."""

    def __init__(self, input_weight: np.ndarray, state_weight: np.ndarray, bias: np.ndarray):
        self.params = {"input_weight": input_weight, "state_weight": state_weight, "bias": bias}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, x: np.ndarray, start: np.ndarray) -> np.ndarray:
        U = self.params["state_weight"]
        fit("RNN", x, start, self.params["input_weight"])
        self.x = x
        self.states = np.empty((len(x) + 1, *start.shape), start.dtype)  # s_0 too
        self.states[0] = start
        a = x @ self.params["input_weight"] + self.params["bias"]  # the inputs of all times in one product
        for t in range(len(x)):
            np.tanh(a[t] + self.states[t] @ U, out=self.states[t + 1])  # (1)
        return self.states[1:].copy()

    def backward(self, grad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        W, U = self.params["input_weight"], self.params["state_weight"]
        da = np.empty_like(grad)
        from_later = np.zeros_like(grad[:1]).sum(0)
        for t in reversed(range(len(grad))):
            da[t] = (grad[t] + from_later) * (1 - self.states[t + 1] ** 2)  # (2)
            from_later = da[t] @ U.T
        self.grads = {"input_weight": over_time(self.x, da), "state_weight": over_time(self.states[:-1], da),
                      "bias": da.sum((0, 1))}  # (3)
        return da @ W.T, from_later


def over_time(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """sum over times and examples of left^T right, as one product: (T, N, A), (T, N, B) -> (A, B)."""
    return left.reshape(-1, left.shape[2]).T @ right.reshape(-1, right.shape[2])


def fit(where: str, x: np.ndarray, start: np.ndarray, weight: np.ndarray) -> None:
    """Refuses inputs that are not (time, batch, features) beside a state (batch, units)."""
    if x.ndim != 3 or start.ndim != 2 or x.shape[1] != len(start) or x.shape[2] != len(weight):
        raise UserError(where, f"an input {x.shape} and a state {start.shape} do not fit {len(weight)} features",
                        "give (time, batch, features) and (batch, units)")


def example(rng: np.random.Generator) -> tuple[RNN, tuple[np.ndarray, ...]]:
    """Four times, two examples, three features, five units."""
    layer = RNN(rng.normal(size=(3, 5)), rng.normal(size=(5, 5)) / 2, rng.normal(size=5))
    return layer, (rng.normal(size=(4, 2, 3)), rng.normal(size=(2, 5)))


def double_sum(layer: RNN, grad: np.ndarray, *, immediate: bool) -> np.ndarray:
    """(4) for U, every pair of times by itself, for a batch of one; `immediate` False takes the total derivative."""
    U, s = layer.params["state_weight"], layer.states[:, 0]
    units = len(U)
    steps = [np.diag(1 - s[i] ** 2) @ U.T for i in range(1, len(s))]  # ds_i/ds_{i-1}
    # d+s_k/dU as (unit of s_k, row of U, column of U): only the unit's own column reaches it
    own = [np.einsum("i,j,im->ijm", 1 - s[k] ** 2, s[k - 1], np.eye(units)) for k in range(1, len(s))]
    total: list[np.ndarray] = []
    for k, part in enumerate(own):
        total.append(part + (np.tensordot(steps[k], total[-1], 1) if k else 0))
    result = np.zeros_like(U)
    for t in range(len(steps)):
        for k in range(t + 1):
            reach = np.eye(units)
            for i in range(k + 1, t + 1):
                reach = steps[i] @ reach  # (5): descending times from left to right
            result += np.tensordot(grad[t, 0] @ reach, own[k] if immediate else total[k], 1)  # (4)
    return result


def _unrolled() -> tuple[RNN, np.ndarray]:
    """A net after one backward over five times with a batch of one, and the gradient that was sent."""
    draw = np.random.default_rng(0)
    layer = RNN(draw.normal(size=(3, 4)), draw.normal(size=(4, 4)) / 2, draw.normal(size=4))
    grad = draw.normal(size=(5, 1, 4))
    layer.forward(draw.normal(size=(5, 1, 3)), draw.normal(size=(1, 4)))
    layer.backward(grad)
    return layer, grad


def the_double_sum_is_the_walk() -> Check:
    """All 15 terms of (4) over five times sum to the dU of one walk backwards (3), to 1e-12.

    Source: Werbos 1990; equations (2) to (5)
    """
    layer, grad = _unrolled()
    return at_most(float(abs(double_sum(layer, grad, immediate=True) - layer.grads["state_weight"]).max()), 1e-12)


def the_total_derivative_counts_twice() -> Check:
    """With the total derivative in place of the immediate one, the sum is off by more than a tenth of its norm.

    Source: the inner derivative of (4) holds s_{k-1} fixed
    """
    layer, grad = _unrolled()
    right = layer.grads["state_weight"]
    off = double_sum(layer, grad, immediate=False) - right
    return at_least(float(np.linalg.norm(off) / np.linalg.norm(right)), 0.1)


def two_halves_are_the_whole() -> Check:
    """The state carried over from 3 of 7 times to the other 4 gives the states of all 7, without rounding.

    Source: equation (1)
    """
    draw = np.random.default_rng(0)
    layer, (_, start) = example(draw)
    x = draw.normal(size=(7, 2, 3))
    first = layer.forward(x[:3], start)
    halves = np.concatenate([first, layer.forward(x[3:], first[-1])])
    return at_most(float(abs(layer.forward(x, start) - halves).max()), 1e-15)


def without_input_the_gradient_fades() -> Check:
    """Over 100 times with ||U|| = 0.9 the first state gets at most 0.9^100 = 2.7e-5 of the last gradient.

    Source: Bengio et al. 1994; (5) with 1 - s^2 at most 1
    """
    draw = np.random.default_rng(0)
    U = draw.normal(size=(6, 6))
    layer = RNN(np.zeros((1, 6)), 0.9 * U / np.linalg.norm(U, 2), np.zeros(6))
    layer.forward(np.zeros((100, 1, 1)), draw.normal(size=(1, 6)))
    grad = np.zeros((100, 1, 6))
    grad[-1] = draw.normal(size=(1, 6))
    return at_most(float(np.linalg.norm(layer.backward(grad)[1]) / np.linalg.norm(grad)), 2.7e-5)


CARD = Card(
    name="Simple RNN and back-propagation through time",
    name_ja="単純RNNと通時的誤差逆伝播 (BPTT)",
    paper="Elman 1990, Finding structure in time; Werbos 1990, Backpropagation through time, Proc. IEEE 78",
    equations=(
        r"s_t = \tanh(x_t W + s_{t-1} U + b)",
        r"g_t = \frac{\partial E_t}{\partial s_t} + \left(g_{t+1} \odot (1 - s_{t+1}^2)\right) U^T",
        r"dW = \sum_t x_t^T da_t,\quad dU = \sum_t s_{t-1}^T da_t,\quad db = \sum_t da_t",
        r"\frac{dE}{dw} = \sum_t \sum_{k \leq t} \frac{\partial E_t}{\partial s_t}"
        r"\frac{\partial s_t}{\partial s_k} \frac{\partial^+ s_k}{\partial w}",
        r"\frac{\partial s_t}{\partial s_k} = \prod_{i=k+1}^{t} \mathrm{diag}(1 - s_i^2)\, U^T",
    ),
    summary="A network that reads its own last state; its gradient is one walk backwards through time.",
    summary_ja="自分の直前の状態を読むネットワーク。その勾配は、時間を一度さかのぼるだけで求まる。",
    topics=("autodiff.bptt",),
    facts=(the_double_sum_is_the_walk, the_total_derivative_counts_twice, two_halves_are_the_whole,
           without_input_the_gradient_fades),
    notes=("The inner derivative of the document's double sum is the immediate partial one; the total derivative "
           "counts "
           "paths twice.",
           "The document's factor sigma'(.) W is a matrix product: diag(sigma'(.)) W, in descending order of time.",
           "The layer returns the states themselves: an output layer V s_t + c has to be put behind it."),
    notes_ja=("資料の二重和の内側の微分は、直前の状態を固定した偏微分である。全微分と読むと、"
              "経路を重ねて数えてしまう。",
              "資料の因子 sigma'(.) W は行列の積 diag(sigma'(.)) W であり、時刻の降順に掛ける。",
              "この層が返すのは状態そのものである。出力層 V s_t + c は別に付ける。"),
)
