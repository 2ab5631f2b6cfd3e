r"""Multi-head attention: several soft look-ups at once, each in its own small space.

    Q = x_q W_q + b_q,   K = x_k W_k + b_k,   V = x_v W_v + b_v,   each cut into heads of d columns  (1)
    A = softmax(s Q K^T),     H = A V,     s = 1/sqrt(d)  (`root`)  or  s = 1  (`none`)            (2)
    y = [H_1 .. H_h] W_o + b_o                                                                     (3)
    dV = A^T dH,   dA = dH V^T,   dS = A (dA - rowsum(A dA)),   dQ = s dS K,   dK = s dS^T Q        (4)

The document's formula softmax(Q K^T) V has no s; with random rows of width d the scores then grow like sqrt(d), the
softmax saturates and its gradient dies. Both scales are here under their names. The surprise: heads are no larger
network, the parameters are 4 D^2 + 4 D for any number of them; many narrow look-ups cost what one wide one costs.

Vaswani et al. 2017.
"""

from typing import Literal, final

import numpy as np

from shinso.autodiff.byhand.soft_attention import over_last
from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.errors import UserError

NAMES = ("query", "key", "value", "output")


@final
class MultiheadAttention:
    """Queries (batch, T, D), keys and values (batch, S, D) -> (batch, T, D).

    `weights` are W_q, W_k, W_v, W_o (4, D, D), `biases` (4, D); they multiply from the right.
    """

    def __init__(self, weights: np.ndarray, biases: np.ndarray, heads: int, scale: Literal["root", "none"] = "root"):
        width = weights.shape[1]
        if width % heads:
            raise UserError("MultiheadAttention", f"{width} columns cannot be cut into {heads} heads",
                            "choose a number of heads that divides the width")
        self.heads = heads
        self.scale = (width // heads) ** -0.5 if scale == "root" else 1.0
        self.params = {f"{name}_weight": weight.copy() for name, weight in zip(NAMES, weights, strict=True)}
        self.params |= {f"{name}_bias": bias.copy() for name, bias in zip(NAMES, biases, strict=True)}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
        self.inputs = query, key, value
        self.Q, self.K, self.V = (self._cut(x @ self.params[f"{name}_weight"] + self.params[f"{name}_bias"])
                                  for name, x in zip(NAMES, self.inputs, strict=False))  # (1)
        self.A = over_last(self.scale * (self.Q @ self.K.swapaxes(2, 3)))  # (2)
        self.H = self._joined(self.A @ self.V)
        return self.H @ self.params["output_weight"] + self.params["output_bias"]  # (3)

    def backward(self, grad: np.ndarray) -> tuple[np.ndarray, ...]:
        dH = self._cut(grad @ self.params["output_weight"].T)
        dA = dH @ self.V.swapaxes(2, 3)
        dS = self.scale * self.A * (dA - (self.A * dA).sum(3, keepdims=True))
        parts = dS @ self.K, dS.swapaxes(2, 3) @ self.Q, self.A.swapaxes(2, 3) @ dH  # (4)
        sent = [*(self._joined(part) for part in parts), grad]
        self.grads = {}
        for name, x, g in zip(NAMES, (*self.inputs, self.H), sent, strict=True):
            self.grads[f"{name}_weight"] = x.reshape(-1, x.shape[2]).T @ g.reshape(-1, g.shape[2])
            self.grads[f"{name}_bias"] = g.sum((0, 1))
        return tuple(g @ self.params[f"{name}_weight"].T for name, g in zip(NAMES[:3], sent[:3], strict=True))

    def _cut(self, x: np.ndarray) -> np.ndarray:
        """(batch, time, D) -> (batch, heads, time, d)."""
        return x.reshape(*x.shape[:2], self.heads, x.shape[2] // self.heads).swapaxes(1, 2)

    def _joined(self, x: np.ndarray) -> np.ndarray:
        """The inverse of `_cut`."""
        return x.swapaxes(1, 2).reshape(len(x), x.shape[2], x.shape[1] * x.shape[3])


def example(rng: np.random.Generator) -> tuple[MultiheadAttention, tuple[np.ndarray, ...]]:
    """Two heads of width 3; two queries look at three places."""
    layer = MultiheadAttention(rng.normal(size=(4, 6, 6)) / 2, rng.normal(size=(4, 6)), heads=2)
    return layer, (rng.normal(size=(2, 2, 6)), rng.normal(size=(2, 3, 6)), rng.normal(size=(2, 3, 6)))


def one_plain_head_is_the_formula() -> Check:
    """One head with identity projections is softmax(Q K^T / sqrt(d)) V, and with scale none softmax(Q K^T) V, to 1e-14.

    Source: Vaswani et al. 2017, equation (1); the document's formula
    """
    _, (Q, K, V) = example(np.random.default_rng(0))
    worst = 0.0
    same, none = np.stack([np.eye(6)] * 4), np.zeros((4, 6))
    scaled = (MultiheadAttention(same, none, 1, "root"), 6**-0.5), (MultiheadAttention(same, none, 1, "none"), 1.0)
    for layer, s in scaled:
        e = np.exp(s * np.einsum("ntd,nsd->nts", Q, K))
        written = np.einsum("nts,nsd->ntd", e / e.sum(2, keepdims=True), V)
        worst = max(worst, float(abs(layer.forward(Q, K, V) - written).max()))
    return at_most(worst, 1e-14)


def heads_are_single_heads_side_by_side() -> Check:
    """Two heads equal two layers of one head, each on its own columns, with their outputs added, to 1e-13.

    Source: equations (1) to (3)
    """
    layer, inputs = example(np.random.default_rng(0))
    total = layer.params["output_bias"].copy()
    for h in range(2):
        own = slice(3 * h, 3 * h + 3)
        W, b = (np.stack([layer.params[f"{name}_{kind}"] for name in NAMES[:3]]) for kind in ("weight", "bias"))
        Q, K, V = (x @ w[:, own] + c[own] for x, w, c in zip(inputs, W, b, strict=True))
        plain = MultiheadAttention(np.stack([np.eye(3)] * 4), np.zeros((4, 3)), 1)
        total = total + plain.forward(Q, K, V) @ layer.params["output_weight"][own]
    return at_most(float(abs(layer.forward(*inputs) - total).max()), 1e-13)


def without_the_root_scores_grow() -> Check:
    """Rows of width 256 with variance 1: unscaled, the largest weight of 16 is 0.9 on average, scaled below 0.5.

    Source: Vaswani et al. 2017, section 3.2.1: the scores' standard deviation is sqrt(d)
    """
    draw = np.random.default_rng(0)
    x = draw.normal(size=(4, 16, 256)), draw.normal(size=(4, 16, 256)), draw.normal(size=(4, 16, 256))
    same, none, largest = np.stack([np.eye(256)] * 4), np.zeros((4, 256)), []
    for layer in (MultiheadAttention(same, none, 1, "none"), MultiheadAttention(same, none, 1, "root")):
        layer.forward(*x)
        largest.append(float(layer.A.max(3).mean()))
    return at_least(min(largest[0] - 0.9, 0.5 - largest[1]), 0.0)


def parameters_are_counted() -> Check:
    """Width 64 has 4 D^2 + 4 D = 16,640 parameters with one head and as many with 8.

    Source: equations (1) and (3)
    """
    counts = {sum(p.size for p in MultiheadAttention(np.zeros((4, 64, 64)), np.zeros((4, 64)), h).params.values())
              for h in (1, 8)}
    return exactly(counts.pop() + len(counts), 16_640)


CARD = Card(
    name="Multi-head attention",
    name_ja="マルチヘッドアテンション",
    paper="Vaswani et al. 2017, Attention is all you need, arXiv:1706.03762",
    equations=(
        r"Q = x_q W_q + b_q,\quad K = x_k W_k + b_k,\quad V = x_v W_v + b_v",
        r"A = \mathrm{softmax}\left(\frac{Q K^T}{\sqrt{d}}\right),\quad H = AV",
        r"y = [H_1 \ldots H_h]\, W_o + b_o",
        r"dV = A^T dH,\quad dS = A \odot (dA - \mathrm{rowsum}(A \odot dA)),\quad dQ = \frac{dS\,K}{\sqrt{d}}",
    ),
    summary="Several soft look-ups at once, each in its own small space, joined by one more matrix.",
    summary_ja="それぞれの小さな空間で同時に行う複数のソフトアテンションを、もう一つの行列でまとめる。",
    topics=("nn.multihead-attention",),
    facts=(one_plain_head_is_the_formula, heads_are_single_heads_side_by_side, without_the_root_scores_grow,
           parameters_are_counted),
    notes=("The document lists it among activation functions; it is a layer with weights.",
           "The document's softmax(Q K^T) V has no 1/sqrt(d): without it wide rows saturate the softmax."),
    notes_ja=("資料はこれを活性化関数の一覧に置くが、重みを持つ層である。",
              "資料の softmax(Q K^T) V には 1/sqrt(d) がない。これがないと、幅の広い行ではソフトマックスが飽和する。"),
)
