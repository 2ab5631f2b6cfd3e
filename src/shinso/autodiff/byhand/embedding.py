r"""Embedding: a word's number picks its row of a table that is learnt.

    y = W_{k, :} = e(k)^T W                                   (1)
    dL/dW_{k, :} = sum over the places i where word k stands of G_i      (2)

W is (words, size), e(k) the one-hot vector of word k. The product with a one-hot vector only copies a row, so nothing
is multiplied: (1) costs `size` copies instead of words * size multiplications. The surprise is in (2): a word that
stands twice adds two gradients, and a word that is absent gets exactly 0, so a batch moves only the words it has.

Bengio, Ducharme, Vincent, Jauvin 2003 (a neural probabilistic language model).
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand._shapes import fits, within
from shinso.autodiff.byhand.one_hot import one_hot
from shinso.core.card import Card, Check, at_most, exactly


@final
class Embedding:
    """Integers (...) -> (..., size); `weight` (words, size). The numbers themselves have no gradient."""

    def __init__(self, weight: np.ndarray):
        self.params = {"weight": weight}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, ids: np.ndarray) -> np.ndarray:
        weight = self.params["weight"]
        within("embedding", ids, len(weight))
        self.ids = ids
        return weight[ids]  # (1)

    def backward(self, grad: np.ndarray) -> None:
        weight = self.params["weight"]
        fits("embedding", "the gradient", grad.shape, (*self.ids.shape, weight.shape[1]))
        total = np.zeros(weight.shape, grad.dtype)
        np.add.at(total, self.ids.ravel(), grad.reshape(-1, weight.shape[1]))  # (2)
        self.grads = {"weight": total}


def example(rng: np.random.Generator) -> tuple[Embedding, tuple[np.ndarray]]:
    """A table of five words of three numbers each; word 2 stands twice, word 4 nowhere."""
    return Embedding(rng.normal(size=(5, 3))), (np.array([[2, 0, 2], [1, 3, 0]]),)


def it_is_the_one_hot_product() -> Check:
    """The rows of 100 words differ from the product of their one-hot vectors with the table by exactly 0.

    Source: equation (1)
    """
    draw = np.random.default_rng(0)
    table, ids = draw.normal(size=(20, 7)), draw.integers(0, 20, 100)
    return exactly(float(np.abs(Embedding(table).forward(ids) - one_hot(ids, 20) @ table).max()), 0)


def repeated_words_add_and_absent_ones_rest() -> Check:
    """With gradients of 1, the rows of five words get 2, 1, 2, 1 and 0: as often as each one stands there.

    Source: equation (2)
    """
    layer, (ids,) = example(np.random.default_rng(0))
    layer.backward(np.ones(layer.forward(ids).shape))
    return exactly(float(np.abs(layer.grads["weight"] - np.array([2, 1, 2, 1, 0])[:, None]).max()), 0)


def a_column_is_not_a_row() -> Check:
    """For a table of 4x4, W v is the column of word 2 and differs from its row; v^T W is the row: 4 of 4 entries.

    Source: the course's apple, mandarin and melon; a table that is not square has no W v at all
    """
    table = np.arange(16.0).reshape(4, 4)
    v, row = one_hot(np.array(2), 4), Embedding(table).forward(np.array(2))
    wrong = np.array_equal(table @ v, table[:, 2]) and not np.array_equal(table @ v, row)
    return exactly(float((v @ table == row).sum()) * wrong, 4)


def it_learns_its_table() -> Check:
    """500 steps down the squared error to given rows leave at most 1e-9 between table and rows.

    Source: each row is a least-squares problem of its own
    """
    draw = np.random.default_rng(1)
    layer, wanted, ids = Embedding(np.zeros((6, 3))), draw.normal(size=(6, 3)), np.arange(6)
    for _ in range(500):
        layer.backward(layer.forward(ids) - wanted)
        layer.params["weight"] -= 0.1 * layer.grads["weight"]
    return at_most(float(np.abs(layer.params["weight"] - wanted).max()), 1e-9)


CARD = Card(
    name="Embedding",
    name_ja="埋め込み (Embedding)",
    paper="Bengio, Ducharme, Vincent, Jauvin 2003, A neural probabilistic language model, JMLR 3",
    equations=(r"y = e(k)^T W = W_{k,:}", r"\frac{\partial L}{\partial W_{k,:}} = \sum_{i:\, k_i = k} G_i"),
    summary="A word's number picks its row of a table that is learnt; only the words of a batch are moved.",
    summary_ja="単語の番号が、学習される表の一行を選ぶ。動くのはバッチに現れた単語の行だけである。",
    topics=("nn.embedding",),
    facts=(
        it_is_the_one_hot_product,
        repeated_words_add_and_absent_ones_rest,
        a_column_is_not_a_row,
        it_learns_its_table,
    ),
    notes=("The slides write W v and say that it takes a row: W v takes a column, v^T W the row.",),
    notes_ja=("スライドは W v が行を取り出すと述べるが、W v が取り出すのは列である。行を取り出すのは v^T W である。",),
    twin="torch.nn.functional.embedding",
)
