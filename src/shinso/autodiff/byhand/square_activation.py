r"""The square as an activation: the bend for which theory can say most.

    f(u) = u^2                                                (1)
    f'(u) = 2u                                                (2)

A network of k hidden squares without biases is a quadratic form of rank at most k,

    sum_j v_j (w_j . x)^2 = x^T A x,  A = sum_j v_j w_j w_j^T (3)

which turns learning it into recovering a matrix of low rank: with enough units it has no bad local minimum.

Soltanolkotabi, Javanmard, Lee 2017.
"""

from typing import final

import numpy as np

from shinso.core.card import Card, Check, at_most, exactly


@final
class SquareActivation:
    """Elementwise, any shape."""

    def forward(self, u: np.ndarray) -> np.ndarray:
        self.u = u
        return u * u  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return grad * (2 * self.u)  # (2)


def example(rng: np.random.Generator) -> tuple[SquareActivation, tuple[np.ndarray]]:
    """A layer and inputs around 0."""
    return SquareActivation(), (rng.uniform(-2, 2, (2, 2, 3)),)


def the_network_is_a_quadratic_form() -> Check:
    """Three hidden squares on eight inputs equal x^T A x to 1e-12 for 100 inputs.

    Source: equation (3)
    """
    draw = np.random.default_rng(0)
    w, v, x = draw.standard_normal((3, 8)), draw.standard_normal(3), draw.standard_normal((100, 8))
    network = SquareActivation().forward(x @ w.T) @ v
    return at_most(float(np.abs(network - ((x @ (w.T * v @ w)) * x).sum(1)).max()), 1e-12)


def its_rank_is_the_width() -> Check:
    """The form that three hidden squares compute, found from their outputs alone, has rank 3.

    Source: equation (3); the form's matrix by polarisation, A_ij = (f(e_i + e_j) - f(e_i) - f(e_j)) / 2
    """
    draw = np.random.default_rng(1)
    w, v = draw.standard_normal((3, 8)), draw.standard_normal(3)
    one = np.eye(8)
    alone = SquareActivation().forward(one @ w.T) @ v
    pairs = SquareActivation().forward((one[:, None] + one) @ w.T) @ v
    matrix = (pairs - alone[:, None] - alone) / 2
    return exactly(int(np.linalg.matrix_rank(matrix, tol=1e-10)), 3)


CARD = Card(
    name="Square activation",
    name_ja="二乗活性化関数",
    paper="Soltanolkotabi, Javanmard, Lee 2017, Theoretical insights into the optimization landscape, arXiv:1707.04926",
    equations=(r"f(u) = u^2", r"f'(u) = 2u", r"\sum_j v_j (w_j^T x)^2 = x^T A x,\quad A = \sum_j v_j w_j w_j^T"),
    summary="u squared: a network of k such units is a quadratic form of rank at most k.",
    summary_ja="u の二乗。このユニット k 個のネットワークは、階数が k 以下の二次形式になる。",
    topics=("nn.square-activation",),
    facts=(the_network_is_a_quadratic_form, its_rank_is_the_width),
    twin="torch.square",
)
