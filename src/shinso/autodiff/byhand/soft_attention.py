r"""Soft attention: a weighted mean of all states, the weights asked from a query.

    e_t = h_t . q                               dot product                                        (1)
    e_t = v . tanh(h_t W + q U)                 additive                                           (2)
    a = softmax(e),     c = sum_t a_t h_t                                                          (3)
    da_t = dc . h_t,     de = a (da - sum_s a_s da_s),     dh_t = a_t dc + what comes through e_t   (4)

A decoder's query q asks the encoder's states h_1 .. h_T where to look; what it gets is not one of them but their mean
under a distribution, and so it has a gradient everywhere. The surprise: no order is stored, only similarity; shuffle
the states and the answer is the same. The encoder has to return all its states, not only the last.

Bahdanau, Cho, Bengio 2014 for (2); Luong, Pham, Manning 2015 for (1).
"""

from typing import final

import numpy as np

from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.errors import UserError


@final
class SoftAttention:
    """(1): states (batch, time, units) and queries (batch, units) -> contexts (batch, units); no parameters."""

    def __init__(self) -> None:
        self.params: dict[str, np.ndarray] = {}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, states: np.ndarray, query: np.ndarray) -> np.ndarray:
        if states.ndim != 3 or query.shape != (len(states), states.shape[2]):
            raise UserError("SoftAttention", f"a query {query.shape} does not fit states {states.shape}",
                            "give (batch, time, units) and (batch, units)")
        self.states, self.query = states, query
        self.weights = over_last(np.einsum("nth,nh->nt", states, query))  # (1)
        return np.einsum("nt,nth->nh", self.weights, states)  # (3)

    def backward(self, grad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        de = _scores_gradient(self.weights, self.states, grad)
        states = self.weights[:, :, None] * grad[:, None] + de[:, :, None] * self.query[:, None]  # (4)
        return states, np.einsum("nt,nth->nh", de, self.states)


@final
class AdditiveAttention:
    """(2): state_weight W and query_weight U (units, hidden), vector v (hidden,); otherwise as SoftAttention."""

    def __init__(self, state_weight: np.ndarray, query_weight: np.ndarray, vector: np.ndarray):
        self.params = {"state_weight": state_weight, "query_weight": query_weight, "vector": vector}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, states: np.ndarray, query: np.ndarray) -> np.ndarray:
        W, U, v = self.params.values()
        self.states, self.query = states, query
        self.bent = np.tanh(states @ W + (query @ U)[:, None])
        self.weights = over_last(self.bent @ v)  # (2)
        return np.einsum("nt,nth->nh", self.weights, states)  # (3)

    def backward(self, grad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        W, U, v = self.params.values()
        de = _scores_gradient(self.weights, self.states, grad)
        inside = de[:, :, None] * v * (1 - self.bent * self.bent)
        asked = inside.sum(1)
        self.grads = {"state_weight": np.einsum("nth,ntk->hk", self.states, inside),
                      "query_weight": self.query.T @ asked, "vector": np.einsum("nt,ntk->k", de, self.bent)}
        return self.weights[:, :, None] * grad[:, None] + inside @ W.T, asked @ U.T  # (4)


def over_last(scores: np.ndarray) -> np.ndarray:
    """softmax over the last axis; the largest score is taken away first, so that nothing overflows."""
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _scores_gradient(weights: np.ndarray, states: np.ndarray, grad: np.ndarray) -> np.ndarray:
    da = np.einsum("nth,nh->nt", states, grad)
    return weights * (da - (weights * da).sum(1, keepdims=True))  # (4)


def example(rng: np.random.Generator) -> tuple[AdditiveAttention, tuple[np.ndarray, ...]]:
    """The additive form; two examples, four times, three units."""
    layer = AdditiveAttention(rng.normal(size=(3, 5)), rng.normal(size=(3, 5)), rng.normal(size=5))
    return layer, (rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 3)))


def weights_are_a_distribution() -> Check:
    """The weights of both forms are not negative and sum to 1 for every query, to 1e-15.

    Source: equation (3)
    """
    layer, inputs = example(np.random.default_rng(0))
    worst = 0.0
    for one in (SoftAttention(), layer):
        one.forward(*inputs)
        worst = max(worst, float(abs(one.weights.sum(1) - 1).max()), float(-one.weights.min()))
    return at_most(worst, 1e-15)


def alike_states_are_averaged() -> Check:
    """A query of zeros gives the plain mean of the states, to 1e-15.

    Source: all scores of (1) are equal
    """
    states = np.random.default_rng(0).normal(size=(2, 4, 3))
    return at_most(float(abs(SoftAttention().forward(states, np.zeros((2, 3))) - states.mean(1)).max()), 1e-15)


def order_is_not_seen() -> Check:
    """Reversed states give the same contexts in both forms, to 1e-14.

    Source: (3) is a sum
    """
    layer, (states, query) = example(np.random.default_rng(0))
    turned = np.ascontiguousarray(states[:, ::-1])
    off = [abs(one.forward(states, query) - one.forward(turned, query)).max() for one in (SoftAttention(), layer)]
    return at_most(float(max(off)), 1e-14)


def a_loud_query_points_at_one() -> Check:
    """With the query a hundred times one of 4 orthonormal states, all weight lies on that state: 1 to 1e-15.

    Source: softmax of scores 100 apart
    """
    layer = SoftAttention()
    states = np.eye(4)[None]
    context = layer.forward(states, 100 * states[:, 2])
    return exactly(round(float(abs(context - states[:, 2]).max()), 15), 0.0)


CARD = Card(
    name="Soft attention",
    name_ja="ソフトアテンション",
    paper="Bahdanau, Cho, Bengio 2014, arXiv:1409.0473; Luong, Pham, Manning 2015, arXiv:1508.04025",
    equations=(
        r"e_t = h_t \cdot q",
        r"e_t = v \cdot \tanh(h_t W + q U)",
        r"a = \mathrm{softmax}(e),\quad c = \sum_t a_t h_t",
        r"da_t = dc \cdot h_t,\quad de = a \odot \left(da - \sum_s a_s\,da_s\right)",
    ),
    summary="A query asks all states where to look and gets their mean under a distribution.",
    summary_ja="問い合わせがすべての状態にどこを見るかを尋ね、分布で重みをつけた平均を受け取る。",
    topics=(),
    facts=(weights_are_a_distribution, alike_states_are_averaged, order_is_not_seen, a_loud_query_points_at_one),
    notes=("The encoder has to return the states of all times, not only the last.",),
    notes_ja=("エンコーダは最後の状態だけでなく、すべての時刻の状態を返さなければならない。",),
)
