"""Derivatives as formulas: against mpmath and against the bare rules, for every function and for random formulas."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shinso.autodiff._by_the_rules import by_the_rules, distinct_operations, operations
from shinso.autodiff.algebra import NUMBERS
from shinso.autodiff.compare import reverse
from shinso.autodiff.expression import FUNCTIONS, Apply, Expression, Name, Number, parse, walk, write
from shinso.autodiff.symbolic import derivative, exact, gradient, growth, latex, logistic_map
from shinso.core.errors import UserError


@pytest.mark.parametrize("name", FUNCTIONS)
def test_sympy_the_bare_rules_and_mpmath_agree_on_every_function(name):
    import mpmath

    text = f"{name}(x)" if FUNCTIONS[name] == (1, 1) else f"{name}(x, 0.5*x, 1.5)"
    expression = parse(text)
    plain = {"sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)), "softplus": lambda x: mpmath.log(1 + mpmath.exp(x)),
             "relu": lambda x: max(x, 0), "abs": abs, "max": lambda x: max(x, 0.5 * x, 1.5),
             "min": lambda x: min(x, 0.5 * x, 1.5)}  # fmt: skip
    for x in (0.3, 1.2, 2.7) if name in ("log", "sqrt") else (-1.7, -0.4, 0.3, 1.2, 2.7):
        with mpmath.workdps(40):
            truth = float(mpmath.diff(plain.get(name, getattr(mpmath, name, None)), mpmath.mpf(x)))
        assert gradient(expression, {"x": x})["x"] == pytest.approx(truth, rel=1e-15, abs=1e-15)
        bare = walk(by_the_rules(expression.tree, "x"), {"x": x}, NUMBERS)
        assert bare == pytest.approx(truth, rel=1e-14, abs=1e-15)


X = st.sampled_from([Name("x"), Name("y"), Number(2.0, "2"), Number(0.5, "0.5")])
FORMULAS = st.recursive(X, lambda inner: st.one_of(
    st.tuples(st.sampled_from(["+", "-", "*", "/"]), st.tuples(inner, inner)).map(lambda t: Apply(*t)),
    st.tuples(st.sampled_from(["exp", "tanh", "sin", "cos", "sigmoid", "neg"]), st.tuples(inner)).map(
        lambda t: Apply(*t))), max_leaves=8)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(FORMULAS, st.floats(0.2, 2), st.floats(-2, -0.2))
def test_random_formulas_agree_with_reverse_mode_to_1e_12(tree, x, y):
    expression = Expression(tree, write(tree))
    at = {name: {"x": x, "y": y}[name] for name in expression.names}
    assume(at)
    value = walk(tree, at, NUMBERS)
    slopes = {name: walk(by_the_rules(tree, name), at, NUMBERS) for name in at}
    assume(math.isfinite(value) and all(math.isfinite(s) and abs(s) < 1e6 for s in slopes.values()))
    try:
        truth = gradient(expression, at)
    except UserError:
        assume(False)
    _, found = reverse(expression, at)
    for name in at:
        assert found[name] == pytest.approx(truth[name], rel=1e-10, abs=1e-10)
        assert slopes[name] == pytest.approx(truth[name], rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("text", ["exp(x*w)", "sigmoid(x*w)", "tanh(x+w)", "log(x*w)"])
def test_the_course_functions_equal_reverse_mode_to_1e_12(text):
    expression, rng = parse(text), np.random.default_rng(5)
    for _ in range(10):
        at = {"x": float(rng.uniform(0.1, 2)), "w": float(rng.uniform(0.1, 2))}
        _, found = reverse(expression, at)
        assert found == pytest.approx(gradient(expression, at), rel=1e-12)


def test_orders_and_latex():
    assert latex(parse("exp(x*w)"), "w") == "x e^{w x}"
    assert exact(derivative(parse("x**5"), "x", 3), {"x": 2.0}) == 240.0
    assert exact(derivative(parse("0.1*x"), "x"), {"x": 1.0}) == 0.1


@pytest.mark.parametrize(("text", "at"), [("1/x", {"x": 0}), ("sqrt(x)", {"x": 0}), ("x**w", {"x": -2, "w": 0.5})])
def test_where_there_is_no_derivative_it_says_so(text, at):
    with pytest.raises(UserError, match="the derivative is not a number there"):
        gradient(parse(text), at)


def test_a_variable_that_is_not_there_is_named():
    with pytest.raises(UserError, match="has no such variable"):
        derivative(parse("x**2"), "y")


def test_counting_follows_the_written_formula():
    for text in ("x*x + 2*x", "exp(-x)/(1+exp(-x))**2", "x"):
        tree = parse(text).tree
        assert operations(tree) == sum(text.count(sign) for sign in "*+-/") - text.count("**") + text.count("exp")
    assert distinct_operations(parse("exp(-x)/(1+exp(-x))**2").tree) == 5


def test_the_swelling_doubles_while_what_is_new_stays_eight():
    written = [operations(by_the_rules(logistic_map(n), "x")) for n in range(10, 16)]
    assert all(2 < b / a < 2.3 for a, b in pairwise(written))
    shared = [distinct_operations(logistic_map(n), by_the_rules(logistic_map(n), "x")) for n in range(10, 16)]
    assert {b - a for a, b in pairwise(shared)} == {8}
    counts = growth(parse("sigmoid(x)"), "x", 4)
    assert [a for a, _ in counts] == sorted(a for a, _ in counts) and counts[4][0] > 10 * counts[4][1]
