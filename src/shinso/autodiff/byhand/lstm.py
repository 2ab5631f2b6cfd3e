r"""Long short-term memory: a cell that keeps what its gates let it keep.

    [f, g, i, o]_t = x_t W + h_{t-1} U + b,   then F = sigma(f), G = tanh(g), I = sigma(i), O = sigma(o)  (1)
    C_t = F * C_{t-1} + G * I                                                                      (2)
    h_t = O * tanh(C_t)                                                                            (3)
    dC_t = dh_t O (1 - tanh(C_t)^2) + dC_{t+1} F_{t+1}                                             (4)
    df = dC_t C_{t-1} F (1 - F),  dg = dC_t I (1 - G^2),  di = dC_t G I (1 - I),  do = dh_t tanh(C_t) O (1 - O)  (5)

dh_t is what comes from above plus [df, dg, di, do]_{t+1} U^T; the gradients of W, U and b are sums over all times. The
surprise is in (4): along the cell a gradient is multiplied by F alone, no weight and no bend, so with F = 1 it arrives
after a thousand steps as it set out. The order f, g, i, o of the columns is the document's; torch stacks i, f, g, o.

Hochreiter and Schmidhuber 1997; Gers, Schmidhuber, Cummins 2000 for F.
"""

from typing import final

import numpy as np

from shinso.autodiff._logistic import logistic
from shinso.autodiff.byhand.rnn import fit, over_time
from shinso.core.card import Card, Check, at_least, at_most, exactly


@final
class LSTM:
    """x (time, batch, features), h_0 and C_0 (batch, units) -> all h (time, batch, units).

    W is (features, 4 units), U (units, 4 units), b (4 units,), the gates in the order f, g, i, o. `cell` is C after the
    last time; whoever uses it hands its gradient to backward.
    """

    def __init__(self, input_weight: np.ndarray, state_weight: np.ndarray, bias: np.ndarray):
        self.params = {"input_weight": input_weight, "state_weight": state_weight, "bias": bias}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, x: np.ndarray, start: np.ndarray, cell: np.ndarray) -> np.ndarray:
        U, n = self.params["state_weight"], start.shape[1]
        fit("LSTM", x, start, self.params["input_weight"])
        self.x = x
        self.gates = x @ self.params["input_weight"] + self.params["bias"]  # all times in one product
        self.h, self.c = (np.empty((len(x) + 1, *first.shape), first.dtype) for first in (start, cell))
        self.h[0], self.c[0], self.bent = start, cell, np.empty_like(self.h[1:])
        for t, a in enumerate(self.gates):
            a += self.h[t] @ U  # (1)
            a[:, :n], a[:, 2 * n :] = logistic(a[:, :n]), logistic(a[:, 2 * n :])
            np.tanh(a[:, n : 2 * n], out=a[:, n : 2 * n])
            F, G, In, Out = np.split(a, 4, axis=1)
            self.c[t + 1] = F * self.c[t] + G * In  # (2)
            np.tanh(self.c[t + 1], out=self.bent[t])
            self.h[t + 1] = Out * self.bent[t]  # (3)
        return self.h[1:].copy()

    @property
    def cell(self) -> np.ndarray:
        """C after the last time."""
        return self.c[-1].copy()

    def backward(self, grad: np.ndarray, cell_grad: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
        W, U = self.params["input_weight"], self.params["state_weight"]
        da = np.empty_like(self.gates)
        dh, dc = np.zeros_like(self.h[0]), np.zeros_like(self.c[0]) if cell_grad is None else cell_grad
        for t in reversed(range(len(grad))):
            F, G, In, Out = np.split(self.gates[t], 4, axis=1)
            bent, dh = self.bent[t], grad[t] + dh
            dc = dh * Out * (1 - bent * bent) + dc  # (4)
            df, dg, di = dc * self.c[t] * F * (1 - F), dc * In * (1 - G * G), dc * G * In * (1 - In)  # (5)
            np.concatenate((df, dg, di, dh * bent * Out * (1 - Out)), axis=1, out=da[t])
            dh, dc = da[t] @ U.T, dc * F
        self.grads = {"input_weight": over_time(self.x, da), "state_weight": over_time(self.h[:-1], da),
                      "bias": da.sum((0, 1))}
        return da @ W.T, dh, dc.copy()


def example(rng: np.random.Generator) -> tuple[LSTM, tuple[np.ndarray, ...]]:
    """Four times, two examples, three features, five units."""
    layer = LSTM(rng.normal(size=(3, 20)), rng.normal(size=(5, 20)) / 2, rng.normal(size=20))
    return layer, (rng.normal(size=(4, 2, 3)), rng.normal(size=(2, 5)), rng.normal(size=(2, 5)))


def one_step_is_the_documents() -> Check:
    """One step equals F, G, I, O, C and H of the document, each gate with its own weights, to 1e-14.

    Source: equations (1) to (3)
    """
    draw = np.random.default_rng(0)
    layer, (x, h, c) = example(draw)
    W, U, b = (np.split(p, 4, axis=-1) for p in layer.params.values())
    f, g, i, o = (x[0] @ W[k] + h @ U[k] + b[k] for k in range(4))
    sigma = (1 / (1 + np.exp(-a)) for a in (f, i, o))
    F, In, Out = sigma
    C = F * c + np.tanh(g) * In
    got = layer.forward(x[:1], h, c)[0]
    return at_most(float(max(abs(got - Out * np.tanh(C)).max(), abs(layer.cell - C).max())), 1e-14)


def the_error_runs_in_a_circle() -> Check:
    """With F = 1 and the other gates closed, the gradient of the cell after 1000 steps is the one sent, exactly 1.

    Source: Hochreiter and Schmidhuber 1997, the constant error carousel; equation (4)
    """
    layer = LSTM(np.zeros((1, 4)), np.zeros((1, 4)), np.array([60.0, 0.0, -1e3, -1e3]))
    layer.forward(np.zeros((1000, 1, 1)), np.zeros((1, 1)), np.ones((1, 1)))
    return exactly(float(layer.backward(np.zeros((1000, 1, 1)), np.ones((1, 1)))[2][0, 0]), 1.0)


def gradients_are_sums_over_time() -> Check:
    """dU summed over the steps, each run backwards by itself, is the whole dU to 1e-12.

    Source: the weights are the same at every time
    """
    total, whole = _stepwise()
    return at_most(float(abs(sum(total) - whole).max()), 1e-12)


def the_last_step_alone_is_not_enough() -> Check:
    """What the document's class keeps, the gradient of the step run back last, misses more than a third of dU's norm.

    Source: its backward overwrites grads at every call
    """
    total, whole = _stepwise()
    return at_least(float(np.linalg.norm(total[-1] - whole) / np.linalg.norm(whole)), 1 / 3)


def _stepwise() -> tuple[list[np.ndarray], np.ndarray]:
    """dU of each of four steps, in the order they are run backwards, and the dU of the whole."""
    draw = np.random.default_rng(0)
    layer, (x, start, cell) = example(draw)
    h, grad = layer.forward(x, start, cell), draw.normal(size=(4, 2, 5))
    layer.backward(grad)
    whole, c = layer.grads["state_weight"], layer.c.copy()
    before = [start, *h[:-1]]
    found, dh, dc = [], np.zeros((2, 5)), np.zeros((2, 5))
    for t in reversed(range(4)):
        layer.forward(x[t : t + 1], before[t], c[t])
        _, dh, dc = layer.backward(grad[t : t + 1] + dh, dc)
        found.append(layer.grads["state_weight"])
    return found, whole


def parameters_are_counted() -> Check:
    """100 features and 100 units make 4H(D+H+1) = 80,400 parameters with H = D = 100.

    Source: the document's weights with one bias; libraries with two have 80,800
    """
    layer = LSTM(np.zeros((100, 400)), np.zeros((100, 400)), np.zeros(400))
    return exactly(sum(p.size for p in layer.params.values()), 80_400)


CARD = Card(
    name="LSTM",
    name_ja="LSTM(長・短期記憶)",
    paper="Hochreiter and Schmidhuber 1997, Neural Computation 9; Gers, Schmidhuber, Cummins 2000",
    equations=(
        r"[f, g, i, o]_t = x_t W + h_{t-1} U + b,\quad F = \sigma(f),\; G = \tanh g,\; I = \sigma(i),\; O = \sigma(o)",
        r"C_t = F \odot C_{t-1} + G \odot I",
        r"h_t = O \odot \tanh C_t",
        r"dC_t = dh_t \odot O \odot (1 - \tanh^2 C_t) + dC_{t+1} \odot F_{t+1}",
        r"df = dC_t\,C_{t-1} F (1-F),\; dg = dC_t\,I (1-G^2),\; di = dC_t\,G I (1-I),\; do = dh_t \tanh C_t\, O (1-O)",
    ),
    summary="A memory cell behind gates: along it a gradient meets no weight, only the forget gate.",
    summary_ja="ゲートの奥の記憶セル。セルに沿う勾配は重みに出会わず、忘却ゲートだけが掛かる。",
    topics=(),
    facts=(one_step_is_the_documents, the_error_runs_in_a_circle, gradients_are_sums_over_time,
           the_last_step_alone_is_not_enough, parameters_are_counted),
    notes=("The document's backward overwrites its gradients at every call: over several times they have to be summed.",
           "It prints H before C, which H needs, and uses a sigmoid that it does not define.",
           "Its columns are stacked f, g, i, o; torch stacks i, f, g, o and Keras i, f, c, o."),
    notes_ja=("資料の逆伝播は、呼ばれるたびに勾配を上書きする。複数の時刻では足し合わせなければならない。",
              "資料は H の式を、それに必要な C より先に書き、定義のないシグモイド関数を使う。",
              "資料の列の順序は f, g, i, o である。torch は i, f, g, o、Keras は i, f, c, o の順に並べる。"),
)
