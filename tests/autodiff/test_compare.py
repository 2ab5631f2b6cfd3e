"""Seven methods, one truth; counts, tables and sentences."""

import math

import pytest
from stopwatch import least_seconds

from shinso.autodiff.compare import METHODS, compare, compare_at
from shinso.autodiff.expression import FUNCTIONS, parse
from shinso.core.errors import UserError


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("x", [-1.3, 0.4, 2.2])
def test_every_method_knows_every_function(name, x):
    x = abs(x) if name in ("log", "sqrt") else x
    found = compare(f"{name}(x*w) + x" if FUNCTIONS[name] == (1, 1) else f"{name}(x, w, 0.25) * x", x=x, w=0.8)
    assert [row.method for row in found.rows] == list(METHODS)
    for row in found.rows:
        assert row.value == pytest.approx(found.rows[0].value, rel=1e-14)
        assert row.error < (1e-13 if row.exact else 1e-6), (row.method, row.error)


@pytest.mark.parametrize("text", ["x**3", "x**-2", "2**x", "x**w", "(x*w)**(x+w)", "x**0.5", "e**x", "1/x - x/w", "-x"])
def test_powers_and_signs(text):
    expression = parse(text)
    at = {name: {"x": 1.3, "w": 0.7}[name] for name in expression.names}
    assert max(row.error for row in compare_at(expression, at).rows if row.exact) < 1e-13


@pytest.mark.parametrize("text", ["min(x, w)*max(x, w)", "max(log(x), log(w))*abs(log(x*w))", "min(max(x, w, 1), 9)"])
def test_several_choices_in_one_formula(text):
    assert max(row.error for row in compare(text, x=0.7, w=1.01).rows if row.exact) < 1e-14


@pytest.mark.parametrize("text", [
    "x**x**x**x", "(1+x/10**9)**(10**9)", "1234567890123**(123456789/10**9)*x", "log(10**300+7)*x", "sqrt(10**300+7)*x",
    "cos(pi*0.1234567)*x", "(x**2+x+1)**50/(x+1)**49", "tanh(" * 40 + "x" + ")" * 40, "sigmoid(" * 40 + "x" + ")" * 40,
    "+".join(f"x**{k}" for k in range(55)), "max(" * 5 + "x" + ",x*x,sin(x))" * 5, "0*x", "x/x", "x**1000",
])  # fmt: skip
def test_nothing_takes_long(text):
    import sympy  # noqa: F401 - its import is not counted

    def compared():
        try:
            found = compare(text, x=0.7)
        except UserError as refused:
            assert "nested too deeply" in str(refused)
        else:
            assert max(row.error for row in found.rows if row.exact) < 1e-6

    assert least_seconds(lambda: compared, 5) < 5


def test_a_negative_base_has_whole_powers():
    assert max(row.error for row in compare("x**3 - x**2", x=-1.5).rows if row.exact) < 1e-14


def test_runs_and_operations_are_counted():
    found = compare("exp(x*w)", x=2, w=0.5)
    assert {row.method: row.evaluations for row in found.rows} == {
        "forward difference": 3, "central difference": 5, "complex step": 3, "symbolic": 3, "forward mode": 2,
        "reverse mode, scalars": 2, "reverse mode, tensors": 2}  # fmt: skip
    assert found.row("reverse mode, tensors").operations == 4


def test_the_table_has_a_line_for_each_method():
    lines = compare("exp(x*w)", x=2, w=0.5).table().splitlines()
    assert len(lines) == 1 + len(METHODS)
    assert lines[0].split() == ["method", "value", "d/dx", "d/dw", "error", "runs", "operations"]
    assert "5.43656365692" in lines[-1]


@pytest.mark.parametrize(("text", "at", "said"), [
    ("log(x)", {"x": -1}, "log(x): this is not a finite number at x = -1"), ("1/x", {"x": 0}, "1/x: this is not"),
    ("x*y", {"x": 1}, "y: this variable has no value"), ("x", {"x": 1, "y": 2}, "no such variable"),
    ("2", {}, "has no variable"), ("sqrt(x)", {"x": 0}, "the derivative is not a number"),
    ("abs(x-1)", {"x": 1}, "abs(x - 1): this has a corner"), ("max(x, w, 0)", {"x": 2, "w": 2}, "has a corner"),
    ("exp(exp(x))", {"x": 9}, "exp(exp(x)): this is not a finite number"), ("x", {"x": math.nan}, "not a finite"),
])  # fmt: skip
def test_where_it_makes_no_sense_one_sentence_says_so(text, at, said):
    with pytest.raises(UserError) as refused:
        compare(text, **at)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_a_tie_that_does_not_matter_is_no_corner():
    assert compare("max(x, w, 5) + min(x, w, -5)", x=2, w=2).row("forward mode").derivatives == {"x": 0, "w": 0}
