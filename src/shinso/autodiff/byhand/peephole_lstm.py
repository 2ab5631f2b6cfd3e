r"""LSTM with peepholes: the gates see the cell that they guard.

    f = x_t W_f + h_{t-1} U_f + C_{t-1} p_f + b_f,   i likewise,   g without a peephole            (1)
    C_t = sigma(f) * C_{t-1} + tanh(g) * sigma(i)                                                  (2)
    o = x_t W_o + h_{t-1} U_o + C_t p_o + b_o,   h_t = sigma(o) * tanh(C_t)                        (3)
    dC_t = dh_t O (1 - tanh(C_t)^2) + do p_o^T + from t+1: dC F + df p_f^T + di p_i^T              (4)

The forget and input gates look at the cell as it was, the output gate at the cell as it has become: so C_t has to be
computed before o. In the paper each cell is seen by its own gates alone and p is a vector (`diagonal`); the document
writes a matrix product (`full`), which has the cells look at each other. The surprise: with p = 0 the LSTM is exactly
what remains, yet the peepholes are what lets it count and keep time to a single step.

Gers and Schmidhuber 2000; Gers, Schraudolph, Schmidhuber 2002.
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand.lstm import LSTM, logistic
from shinso.autodiff.byhand.rnn import fit, over_time
from shinso.core.card import Card, Check, at_least, at_most, exactly

PEEPHOLES = ("forget_peephole", "input_peephole", "output_peephole")


@final
class PeepholeLSTM:
    """As LSTM, gates in the order f, g, i, o; `peepholes` p_f, p_i, p_o: (3, units) diagonal or (3, units, units) full.

    A full one multiplies from the right, C p, as the weights do.
    """

    def __init__(self, input_weight: np.ndarray, state_weight: np.ndarray, bias: np.ndarray, peepholes: np.ndarray):
        self.full = peepholes.ndim == 3
        self.params = {"input_weight": input_weight, "state_weight": state_weight, "bias": bias}
        self.params |= {name: p.copy() for name, p in zip(PEEPHOLES, peepholes, strict=True)}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, x: np.ndarray, start: np.ndarray, cell: np.ndarray) -> np.ndarray:
        U, n = self.params["state_weight"], start.shape[1]
        fit("PeepholeLSTM", x, start, self.params["input_weight"])
        self.x = x
        self.gates = x @ self.params["input_weight"] + self.params["bias"]
        self.h, self.c = (np.empty((len(x) + 1, *first.shape), first.dtype) for first in (start, cell))
        self.h[0], self.c[0], self.bent = start, cell, np.empty_like(self.h[1:])
        for t, a in enumerate(self.gates):
            a += self.h[t] @ U
            F, G, In, Out = (a[:, k * n : (k + 1) * n] for k in range(4))
            F[:] = logistic(F + self._seen(self.c[t], "forget_peephole"))  # (1)
            In[:] = logistic(In + self._seen(self.c[t], "input_peephole"))
            np.tanh(G, out=G)
            self.c[t + 1] = F * self.c[t] + G * In  # (2)
            Out[:] = logistic(Out + self._seen(self.c[t + 1], "output_peephole"))  # (3)
            np.tanh(self.c[t + 1], out=self.bent[t])
            self.h[t + 1] = Out * self.bent[t]
        return self.h[1:].copy()

    def backward(self, grad: np.ndarray) -> tuple[np.ndarray, ...]:
        W, U = self.params["input_weight"], self.params["state_weight"]
        da = np.empty_like(self.gates)
        dh, dc = np.zeros_like(self.h[0]), np.zeros_like(self.c[0])
        for t in reversed(range(len(grad))):
            F, G, In, Out = np.split(self.gates[t], 4, axis=1)
            bent, dh = self.bent[t], grad[t] + dh
            do = dh * bent * Out * (1 - Out)
            dc = dh * Out * (1 - bent * bent) + self._sent(do, "output_peephole") + dc  # (4)
            df, dg, di = dc * self.c[t] * F * (1 - F), dc * In * (1 - G * G), dc * G * In * (1 - In)
            np.concatenate((df, dg, di, do), axis=1, out=da[t])
            dh = da[t] @ U.T
            dc = dc * F + self._sent(df, "forget_peephole") + self._sent(di, "input_peephole")  # (4)
        df, _, di, do = np.split(da, 4, axis=2)
        self.grads = {"input_weight": over_time(self.x, da), "state_weight": over_time(self.h[:-1], da),
                      "bias": da.sum((0, 1)), "forget_peephole": self._learned(self.c[:-1], df),
                      "input_peephole": self._learned(self.c[:-1], di),
                      "output_peephole": self._learned(self.c[1:], do)}
        return da @ W.T, dh, dc

    def _seen(self, cell: np.ndarray, name: str) -> np.ndarray:
        return cell @ self.params[name] if self.full else cell * self.params[name]

    def _sent(self, gate: np.ndarray, name: str) -> np.ndarray:
        return gate @ self.params[name].T if self.full else gate * self.params[name]

    def _learned(self, cells: np.ndarray, gates: np.ndarray) -> np.ndarray:
        return over_time(cells, gates) if self.full else (cells * gates).sum((0, 1))


def example(rng: np.random.Generator) -> tuple[PeepholeLSTM, tuple[np.ndarray, ...]]:
    """Full peepholes; four times, two examples, three features, four units."""
    layer = PeepholeLSTM(rng.normal(size=(3, 16)), rng.normal(size=(4, 16)) / 2, rng.normal(size=16),
                         rng.normal(size=(3, 4, 4)) / 2)
    return layer, (rng.normal(size=(4, 2, 3)), rng.normal(size=(2, 4)), rng.normal(size=(2, 4)))


def _closed_and_open(kind: str) -> tuple[np.ndarray, ...]:
    """h of the LSTM, of the peephole LSTM with p = 0, and with p not 0."""
    draw = np.random.default_rng(0)
    layer, inputs = example(draw)
    W, U, b = (layer.params[name] for name in ("input_weight", "state_weight", "bias"))
    shape = (3, 4) if kind == "diagonal" else (3, 4, 4)
    return (LSTM(W, U, b).forward(*inputs), PeepholeLSTM(W, U, b, np.zeros(shape)).forward(*inputs),
            PeepholeLSTM(W, U, b, draw.normal(size=shape)).forward(*inputs))


def closed_it_is_the_lstm() -> Check:
    """With p = 0, diagonal or full, it is the LSTM without rounding: the largest difference is 0.

    Source: equations (1) to (3)
    """
    pairs = [_closed_and_open(kind)[:2] for kind in ("diagonal", "full")]
    return exactly(float(max(abs(one - other).max() for one, other in pairs)), 0.0)


def open_it_is_another_network() -> Check:
    """With p not 0 the outputs differ from the LSTM's by more than 0.01.

    Source: equations (1) and (3)
    """
    one, _, other = _closed_and_open("diagonal")
    return at_least(float(abs(one - other).max()), 0.01)


def diagonal_is_full_with_a_diagonal() -> Check:
    """A vector p gives what the diagonal matrix of p gives: the largest difference is below 1e-15.

    Source: Gers and Schmidhuber 2000 beside the document's form
    """
    draw = np.random.default_rng(0)
    layer, inputs = example(draw)
    W, U, b = (layer.params[name] for name in ("input_weight", "state_weight", "bias"))
    p = draw.normal(size=(3, 4))
    narrow, wide = PeepholeLSTM(W, U, b, p), PeepholeLSTM(W, U, b, np.stack([np.diag(row) for row in p]))
    return at_most(float(abs(narrow.forward(*inputs) - wide.forward(*inputs)).max()), 1e-15)


def the_paper_adds_3h_and_the_document_3h_squared() -> Check:
    """100 units get 300 more parameters in the paper's form and 30,000 in the document's: together 30,300.

    Source: counts of p as a vector and as a matrix
    """
    shared = (np.zeros((1, 400)), np.zeros((100, 400)), np.zeros(400))
    counts = [sum(PeepholeLSTM(*shared, np.zeros(shape)).params[name].size for name in PEEPHOLES)
              for shape in ((3, 100), (3, 100, 100))]
    return exactly(sum(counts), 30_300)


CARD = Card(
    name="LSTM with peepholes",
    name_ja="覗き穴結合を持つLSTM",
    paper="Gers and Schmidhuber 2000, Recurrent nets that time and count; Gers, Schraudolph, Schmidhuber 2002",
    equations=(
        r"f = x_t W_f + h_{t-1} U_f + C_{t-1} p_f + b_f,\quad i = x_t W_i + h_{t-1} U_i + C_{t-1} p_i + b_i",
        r"C_t = \sigma(f) \odot C_{t-1} + \tanh(g) \odot \sigma(i)",
        r"o = x_t W_o + h_{t-1} U_o + C_t p_o + b_o,\quad h_t = \sigma(o) \odot \tanh C_t",
        r"dC_t = dh_t\,O (1 - \tanh^2 C_t) + do\,p_o^T + [dC\,F + df\,p_f^T + di\,p_i^T]_{t+1}",
    ),
    summary="An LSTM whose gates see the cell they guard, and so can count and keep time.",
    summary_ja="ゲートが自分の守るセルを覗くLSTM。数を数え、時間を計ることができる。",
    topics=(),
    facts=(closed_it_is_the_lstm, open_it_is_another_network, diagonal_is_full_with_a_diagonal,
           the_paper_adds_3h_and_the_document_3h_squared),
    notes=("The document writes the peephole as a matrix product; in the paper it is element-wise. Both stand here: "
           "diagonal and full.",
           "C_{t-1} for F and I and C_t for O is right, so C has to be computed before O."),
    notes_ja=("資料は覗き穴を行列の積で書くが、論文では要素ごとの積である。ここには diagonal (要素ごと) と full "
              "(行列) の両方がある。",
              "F と I が C_{t-1} を、O が C_t を見るのは正しい。したがって C は O より先に計算する。"),
)
