r"""The gated recurrent unit: an LSTM's idea with two gates and no cell of its own.

    R = sigma(x_t W_r + h_{t-1} U_r + b_r),     Z = sigma(x_t W_z + h_{t-1} U_z + b_z)             (1)
    N = tanh(x_t W_n + (R * h_{t-1}) U_n + b_n)                          reset before the product  (2)
    N = tanh(x_t W_n + R * (h_{t-1} U_n + c) + b_n)                      reset after the product   (3)
    h_t = Z * h_{t-1} + (1 - Z) * N                                                                (4)
    dZ = dh (h_{t-1} - N),   dN = dh (1 - Z),   dh_{t-1} = dh Z + what comes through R, Z and N    (5)

(2) is the document's and the paper's, (3) what torch and cuDNN compute, because the three products with h then make
one. The surprise: they are different functions, so weights do not go from one to the other. In (4) Z keeps the past, as
in Cho et al., torch and Keras; others write it the other way round, which only flips the signs of Z's weights.

Cho et al. 2014; Chung et al. 2014 (with Z the other way round).
"""

from typing import Literal, final

import numpy as np

from shinso.autodiff._logistic import logistic
from shinso.autodiff.byhand.rnn import fit, over_time
from shinso.core.card import Card, Check, at_least, at_most, exactly


@final
class GRU:
    """x (time, batch, features) and h_0 (batch, units) -> all h (time, batch, units).

    W is (features, 3 units), U (units, 3 units), b (3 units,), in the order r, z, n; with reset "after" there is also
    `state_bias`, the c (units,) of (3).
    """

    def __init__(self, input_weight: np.ndarray, state_weight: np.ndarray, bias: np.ndarray,
                 state_bias: np.ndarray | None = None, *, reset: Literal["before", "after"] = "before"):
        self.reset = reset
        self.params = {"input_weight": input_weight, "state_weight": state_weight, "bias": bias}
        if reset == "after":
            self.params["state_bias"] = np.zeros_like(bias[: len(state_weight)]) if state_bias is None else state_bias
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, x: np.ndarray, start: np.ndarray) -> np.ndarray:
        U, n = self.params["state_weight"], start.shape[1]
        fit("GRU", x, start, self.params["input_weight"])
        self.x = x
        self.gates = x @ self.params["input_weight"] + self.params["bias"]  # R, Z, N of all times
        self.h = np.empty((len(x) + 1, *start.shape), start.dtype)
        self.inner = np.empty_like(self.h[1:])  # what stands before U_n in (2), what R multiplies in (3)
        self.h[0] = start
        for t, a in enumerate(self.gates):
            h = self.h[t]
            a[:, : 2 * n] = logistic(a[:, : 2 * n] + h @ U[:, : 2 * n])  # (1)
            R, Z, N = a[:, :n], a[:, n : 2 * n], a[:, 2 * n :]
            if self.reset == "before":
                self.inner[t] = R * h
                N += self.inner[t] @ U[:, 2 * n :]  # (2)
            else:
                self.inner[t] = h @ U[:, 2 * n :] + self.params["state_bias"]
                N += R * self.inner[t]  # (3)
            np.tanh(N, out=N)
            self.h[t + 1] = Z * h + (1 - Z) * N  # (4)
        return self.h[1:].copy()

    def backward(self, grad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        W, U, n = self.params["input_weight"], self.params["state_weight"], grad.shape[2]
        da, through = np.empty_like(self.gates), np.empty_like(grad)
        dh = np.zeros_like(self.h[0])
        for t in reversed(range(len(grad))):
            R, Z, N = np.split(self.gates[t], 3, axis=1)
            h, dh = self.h[t], grad[t] + dh
            dn = dh * (1 - Z) * (1 - N * N)  # (5)
            dz = dh * (h - N) * Z * (1 - Z)
            if self.reset == "before":
                inner = dn @ U[:, 2 * n :].T
                dr, back, through[t] = inner * h, inner * R, dn
            else:
                through[t] = dn * R
                dr, back = dn * self.inner[t], through[t] @ U[:, 2 * n :].T
            np.concatenate((dr * R * (1 - R), dz, dn), axis=1, out=da[t])
            dh = dh * Z + back + da[t, :, : 2 * n] @ U[:, : 2 * n].T
        before = self.inner if self.reset == "before" else self.h[:-1]
        state = np.concatenate((over_time(self.h[:-1], da[:, :, : 2 * n]), over_time(before, through)), axis=1)
        self.grads = {"input_weight": over_time(self.x, da), "state_weight": state, "bias": da.sum((0, 1))}
        if self.reset == "after":
            self.grads["state_bias"] = through.sum((0, 1))
        return da @ W.T, dh


def example(rng: np.random.Generator) -> tuple[GRU, tuple[np.ndarray, ...]]:
    """Reset before the product; four times, two examples, three features, five units."""
    layer = GRU(rng.normal(size=(3, 15)), rng.normal(size=(5, 15)) / 2, rng.normal(size=15))
    return layer, (rng.normal(size=(4, 2, 3)), rng.normal(size=(2, 5)))


def one_step_is_the_documents() -> Check:
    """One step equals R, Z, N and H of the document, each with its own weights, to 1e-14.

    Source: equations (1), (2) and (4)
    """
    layer, (x, h) = example(np.random.default_rng(0))
    W, U, b = (np.split(p, 3, axis=-1) for p in layer.params.values())
    R, Z = (1 / (1 + np.exp(-(x[0] @ W[k] + h @ U[k] + b[k]))) for k in range(2))
    N = np.tanh(x[0] @ W[2] + (R * h) @ U[2] + b[2])
    return at_most(float(abs(layer.forward(x[:1], h)[0] - (Z * h + (1 - Z) * N)).max()), 1e-14)


def before_and_after_are_two_functions() -> Check:
    """With the same weights, resetting before and after the product differ by more than 0.01.

    Source: equations (2) and (3)
    """
    layer, inputs = example(np.random.default_rng(0))
    after = GRU(*layer.params.values(), reset="after")
    return at_least(float(abs(layer.forward(*inputs) - after.forward(*inputs)).max()), 0.01)


def the_other_z_is_a_sign() -> Check:
    """With the weights of Z negated, the form h = (1 - Z) h + Z N gives the same states, to 1e-14.

    Source: 1 - sigma(a) = sigma(-a); Chung et al. 2014
    """
    layer, (x, h) = example(np.random.default_rng(0))
    W, U, b = (np.split(p, 3, axis=-1) for p in layer.params.values())
    ours = layer.forward(x, h)
    worst = 0.0
    for t in range(len(x)):
        R, Z = (logistic(s * (x[t] @ W[k] + h @ U[k] + b[k])) for k, s in ((0, 1.0), (1, -1.0)))
        h = (1 - Z) * h + Z * np.tanh(x[t] @ W[2] + (R * h) @ U[2] + b[2])
        worst = max(worst, float(abs(h - ours[t]).max()))
    return at_most(worst, 1e-14)


def parameters_are_counted() -> Check:
    """100 features and 100 units make 3H(D+H+1) = 60,300 parameters with H = D = 100.

    Source: the document's weights with one bias
    """
    layer = GRU(np.zeros((100, 300)), np.zeros((100, 300)), np.zeros(300))
    return exactly(sum(p.size for p in layer.params.values()), 60_300)


CARD = Card(
    name="GRU",
    name_ja="GRU(ゲート付き回帰ユニット)",
    paper="Cho et al. 2014, arXiv:1406.1078; Chung, Gulcehre, Cho, Bengio 2014, arXiv:1412.3555",
    equations=(
        r"R = \sigma(x_t W_r + h_{t-1} U_r + b_r),\quad Z = \sigma(x_t W_z + h_{t-1} U_z + b_z)",
        r"N = \tanh(x_t W_n + (R \odot h_{t-1}) U_n + b_n)",
        r"N = \tanh(x_t W_n + R \odot (h_{t-1} U_n + c) + b_n)",
        r"h_t = Z \odot h_{t-1} + (1 - Z) \odot N",
        r"dZ = dh \odot (h_{t-1} - N),\quad dN = dh \odot (1 - Z)",
    ),
    summary="Two gates decide how much of the past is kept and how much of it is read: fewer weights than an LSTM.",
    summary_ja="二つのゲートが、過去をどれだけ残し、どれだけ読むかを決める。LSTM より重みが少ない。",
    topics=(),
    facts=(one_step_is_the_documents, before_and_after_are_two_functions, the_other_z_is_a_sign,
           parameters_are_counted),
    notes=("The document resets before the product, torch and cuDNN after it: other functions, weights do not carry "
           "over.",
           "The document's Z keeps the past, as in Cho et al.; the book it cites and Chung et al. write 1 - Z for Z."),
    notes_ja=("資料は積の前にリセットし、torch と cuDNN は積の後にリセットする。別の関数なので、"
              "重みはそのままでは移せない。",
              "資料の Z は Cho et al. と同じく過去を残す。資料が引く本と Chung et al. では Z と 1 - Z が逆である。"),
)
