"""Transport against SciPy's distances and its assignment solver."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.stats import wasserstein_distance

from shinso.core.errors import UserError
from shinso.maths.wasserstein import between_curves, on_the_line, transport


def test_on_the_line_it_is_scipys():
    rng = np.random.default_rng(0)
    for _ in range(50):
        x, y, p, q = rng.normal(size=9), rng.normal(size=7), rng.dirichlet(np.ones(9)), rng.dirichlet(np.ones(7))
        theirs = wasserstein_distance(x, y, p, q)
        assert on_the_line(x, y, p, q) == pytest.approx(theirs, abs=1e-12)
        assert between_curves(x, y, p, q) == pytest.approx(theirs, abs=1e-12)


def test_ties_and_zero_masses_do_no_harm():
    x, p, q = np.array([0.0, 0.0, 1.0]), [0.5, 0.0, 0.5], [0.25, 0.25, 0.5]
    assert on_the_line(x, x, p, q) == between_curves(x, x, p, q) == 0
    assert on_the_line([3.0], [3.0]) == 0


def test_equal_masses_are_an_assignment():
    rng = np.random.default_rng(1)
    C = rng.random((12, 12))
    rows, columns = linear_sum_assignment(C)
    uniform = np.full(12, 1 / 12)
    solved = transport(C, uniform, uniform)
    assert solved.cost == pytest.approx(C[rows, columns].mean(), abs=1e-12) and abs(solved.gap) < 1e-12


def test_higher_orders_are_transport_with_powers():
    rng = np.random.default_rng(2)
    x, y, p, q = rng.normal(size=6), rng.normal(size=5), rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(5))
    solved = transport(np.abs(x[:, None] - y) ** 2, p, q)
    assert on_the_line(x, y, p, q, order=2) == pytest.approx(solved.cost**0.5, abs=1e-10)


def test_laws_that_sum_to_one_up_to_rounding_are_solved():
    p = np.full(7, 1 / 7)
    q = p * (1 + 5e-10)
    assert transport(1 - np.eye(7), p, q).cost == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("call", "said"), [
    (lambda: on_the_line([], [1.0]), "empty"), (lambda: on_the_line([1.0, 2.0], [1.0], [1.0]), "masses"),
    (lambda: on_the_line([np.nan], [1.0]), "finite"), (lambda: on_the_line([1.0], [2.0], order=0.5), "order"),
    (lambda: transport([[1.0]], [1.0], [0.5, 0.5]), "costs"), (lambda: transport([[1.0]], [0.9], [1.0]), "sum"),
])  # fmt: skip
def test_wrong_input_is_one_sentence(call, said):
    with pytest.raises(UserError, match=said):
        call()
