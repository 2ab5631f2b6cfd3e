"""The program that steps through h: what it measures is what the formulas say, and bad input is one sentence."""

import math

import numpy as np
import pytest

from shinso.autodiff.expression import parse
from shinso.basics.derivatives import METHODS, VARIANTS, Setup, build, read_point
from shinso.core.errors import UserError


@pytest.mark.parametrize(("text", "point"), [
    ("x=2,w=0.5", {"x": 2, "w": 0.5}), (" x = -2 , w = pi/4 ", {"x": -2, "w": math.pi / 4}), ("x=1e-3", {"x": 1e-3}),
    ("x＝２、w＝０．５", {"x": 2, "w": 0.5}), ("x=2,", {"x": 2}), ("", {}), ("x=2/3", {"x": 2 / 3}),
])  # fmt: skip
def test_a_point_is_read(text, point):
    assert read_point(text) == point


@pytest.mark.parametrize(("fields", "said"), [
    ({"at": "x2"}, "'x2' gives no variable a value"), ({"at": "x=2,x=3"}, "x is given twice"),
    ({"at": "x=2"}, "w: this variable has no value"), ({"at": "x=2,w=0.5,v=1"}, "has no such variable"),
    ({"at": "x=a,w=1"}, "has a variable in it"), ({"at": "x=2^3,w=1"}, "write ** for a power"),
    ({"at": "x=,w=1"}, "at, value of x: it is empty"), ({"expression": "exp(x*w"}, "never closed"),
    ({"expression": "log(x)", "at": "x=-1"}, "not a finite number at x = -1"),
    ({"expression": "abs(x)", "at": "x=0"}, "has a corner"), ({"expression": "7", "at": ""}, "has no variable"),
    ({"expression": "9**9**9**9"}, "floats can hold"), ({"steps": 1}, "steps"), ({"points": 0}, "points"),
    ({"points": 5000}, "points"), ({"at": "x=1e400,w=1"}, "larger than any float"),
])  # fmt: skip
def test_bad_input_is_one_sentence(fields, said):
    with pytest.raises(UserError) as refused:
        build(Setup(**fields))
    assert said in str(refused.value) and "\n" not in str(refused.value)


def run(setup):
    program = build(setup)
    return program, [program.step(i) for i in range(program.total)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_runs_and_has_a_best_step_inside(variant):
    program, rows = run(VARIANTS[variant])
    forward = [row["forward_error"] for row in rows]
    assert 0 < int(np.argmin(forward)) < len(rows) - 1
    assert all(row["complex_error"] <= row["central_error"] * 1.001 + 1e-6 for row in rows)
    assert rows[0]["reverse_error"] < 1e-15
    assert program.errors.shape == (program.total, len(METHODS))


def test_neighbours_stay_where_the_formula_has_a_derivative():
    program, rows = run(Setup(expression="log(x)*abs(x-0.02)", at="x=0.03", points=6, steps=20))
    assert len(program.points) == 6 and program.points[0] == 0.03
    assert all(x[0] > 0 for x in program.points)
    assert rows[0]["central_error"] <= 1.0  # h is larger than x: what is no number counts as 1


def test_a_point_without_neighbours_is_enough():
    program, _ = run(Setup(expression="sqrt(x-1)", at="x=1.0000001", points=3, steps=5, spread=1e-20))
    assert len(program.points) >= 1


def test_the_graph_is_that_of_the_formula():
    program = build(Setup())
    assert [node.name for node in program.graph().nodes] == ["x", "w", "mul", "exp"]
    assert set(program.expression.names) == set(parse("exp(x*w)").names)


def test_many_variables_are_drawn_too():
    names = [f"v{k}" for k in range(9)]
    program, _ = run(Setup(expression=" * ".join(f"sin({n})" for n in names), steps=4, points=1,
                           at=",".join(f"{n}=0.{k + 1}" for k, n in enumerate(names))))  # fmt: skip
    for picture in program.pictures().values():
        assert picture.shape[1] <= 1200 and picture.shape[0] <= 1900
