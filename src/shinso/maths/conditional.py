r"""Conditional probability and the product rule, on tables (Kolmogorov 1933).

    P(A | B) = P(A and B) / P(B),   for P(B) > 0                                       (1)
    P(A and B) = P(A | B) P(B) = P(B | A) P(A)                                         (2)

A joint law of two variables is a table with P(A = a, B = b) in row a and column b. For P(B) = 0 nothing is defined,
and nothing is returned: a nan would travel on.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.errors import UserError
from shinso.maths.inputs import masses, numbers, share

WHERE = "conditional"


def conditional(both: float, condition: float) -> float:
    """(1) from P(A and B) and P(B); UserError where P(B) is 0 or smaller than P(A and B)."""
    both, condition = share(WHERE, "P(A and B)", both), share(WHERE, "P(B)", condition)
    if condition == 0:
        raise UserError(WHERE, "P(B) = 0, so P(A | B) is not defined", "condition on something that can happen")
    if both > condition:
        raise UserError(WHERE, f"P(A and B) = {both:g} is larger than P(B) = {condition:g}", "give P(A and B) <= P(B)")
    return both / condition


def marginals(joint: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """P(A) (rows,) and P(B) (columns,) of a joint table (rows, columns)."""
    table = masses(WHERE, "joint", joint, 2)
    return table.sum(1), table.sum(0)


def given(joint: ArrayLike, condition: Literal["A", "B"]) -> np.ndarray:
    """P(A | B), whose columns sum to 1, or P(B | A), whose rows do; UserError where a condition has the mass 0."""
    table = masses(WHERE, "joint", joint, 2)
    if condition not in ("A", "B"):
        raise UserError(WHERE, f"there is no condition {condition!r}", "give A (rows) or B (columns)")
    whole = table.sum(0 if condition == "B" else 1, keepdims=True)
    if whole.min() == 0:
        raise UserError(WHERE, f"P({condition} = {int(whole.argmin())}) = 0", "leave out what cannot happen")
    return table / whole


def product(conditioned: ArrayLike, marginal: ArrayLike, condition: Literal["A", "B"]) -> np.ndarray:
    """(2): the joint table from P(A | B) and P(B), or from P(B | A) and P(A)."""
    table, whole = numbers(WHERE, "conditioned", conditioned, 2), masses(WHERE, "marginal", marginal, 1)
    axis = 1 if condition == "B" else 0
    if table.shape[axis] != len(whole):
        raise UserError(WHERE, f"the table {table.shape} does not fit {len(whole)} conditions", "let them agree")
    return table * np.expand_dims(whole, 1 - axis)


def _tables(number: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.dirichlet(np.ones(12)).reshape(3, 4) for _ in range(number)]


def both_products_are_the_joint() -> Check:
    """P(A given B) P(B) and P(B given A) P(A) differ from the joint by at most 1e-15, over 1,000 random tables.

    Source: Kolmogorov 1933; equation (2)
    """
    worst = 0.0
    for joint in _tables(1000):
        a, b = marginals(joint)
        worst = max(worst, np.abs(product(given(joint, "B"), b, "B") - joint).max(),
                    np.abs(product(given(joint, "A"), a, "A") - joint).max())
    return at_most(float(worst), 1e-15)


def given_something_all_sums_to_one() -> Check:
    """Under every condition the probabilities sum to 1 up to 1e-15, over 1,000 random tables.

    Source: Kolmogorov 1933: a conditional probability is a probability
    """
    off = [abs(sums - 1).max() for joint in _tables(1000)
           for sums in (given(joint, "B").sum(0), given(joint, "A").sum(1))]
    return at_most(float(max(off)), 1e-15)


def the_impossible_is_no_condition() -> Check:
    """P(B) = 0 is refused in the number form and in both table forms: three refusals of three.

    Source: equation (1) is 0/0 there
    """
    refused = 0
    for ask in (lambda: conditional(0.0, 0.0), lambda: given([[0.5, 0], [0.5, 0]], "B"),
                lambda: given([[0.5, 0.5], [0, 0]], "A")):
        try:
            ask()
        except UserError:
            refused += 1
    return exactly(refused, 3)


CARD = Card(
    name="Conditional probability",
    name_ja="条件付き確率",
    paper="Kolmogorov 1933, Grundbegriffe der Wahrscheinlichkeitsrechnung",
    equations=(r"P(A \mid B) = \frac{P(A \cap B)}{P(B)},\quad P(B) > 0",
               r"P(A \cap B) = P(A \mid B)\,P(B) = P(B \mid A)\,P(A)"),
    summary="What one knows about A once B is seen, as tables; conditioning on the impossible is refused.",
    summary_ja="Bを見たあとでAについて言えること。表で計算し、起こりえない条件は受け付けない。",
    topics=("maths.conditional",),
    facts=(both_products_are_the_joint, given_something_all_sums_to_one, the_impossible_is_no_condition),
    notes=("The definition needs P(B) > 0, which is not said: here P(B) = 0 raises instead of giving nan.",),
    notes_ja=("定義には P(B) > 0 が要るが、書かれていない。ここでは P(B) = 0 は nan ではなくエラーになる。",),
)
