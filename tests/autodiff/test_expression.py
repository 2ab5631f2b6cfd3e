"""A typed formula becomes a tree that every kind of number walks through alike; what cannot be read says where."""

import cmath
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stopwatch import least_seconds

from shinso.autodiff.algebra import NUMBERS, symbols
from shinso.autodiff.expression import DEEPEST, FUNCTIONS, Apply, Name, Number, nodes, parse, walk, write
from shinso.core.errors import UserError

READ = {
    "exp(x*w)": lambda x, w: math.exp(x * w), "1/(1+exp(-x))": lambda x, w: 1 / (1 + math.exp(-x)),
    "x**2/2 + 5*w**2": lambda x, w: x**2 / 2 + 5 * w**2, "log(1+exp(x))": lambda x, w: math.log(1 + math.exp(x)),
    "-x**2": lambda x, w: -(x**2), "2**-x": lambda x, w: 2**-x, "x**w**2": lambda x, w: x ** (w**2),
    "x-(w-1)-x/(w*2)": lambda x, w: x - (w - 1) - x / (w * 2), "max(x, w, 1) - min(x, w)": lambda x, w: 1.0,
    "２＊ｘ＋１": lambda x, w: 2 * x + 1, "2×π÷e−x": lambda x, w: 2 * math.pi / math.e - x,
    "ln(x)+abs(-x)*sqrt(w)": lambda x, w: math.log(x) + x * math.sqrt(w), "1e-3*.5*x": lambda x, w: 5e-4 * x,
    "sigmoid(x)+softplus(x)+relu(-x)": lambda x, w: 1 / (1 + math.exp(-x)) + math.log(1 + math.exp(x)),
    "tan(x)+sinh(x)*cosh(w)+tanh(x)": lambda x, w: math.tan(x) + math.sinh(x) * math.cosh(w) + math.tanh(x),
}  # fmt: skip


@pytest.mark.parametrize("text", READ)
def test_a_formula_means_what_python_means(text):
    expression = parse(text)
    x, w = 0.7, 0.2 if "max" not in text else -0.3
    values = {name: {"x": x, "w": w}[name] for name in expression.names}
    expected = READ[text](x, w) if "max" not in text else 1.0 - w
    assert expression(values) == pytest.approx(expected, rel=1e-15)


REFUSED = [
    ("2 x", "character 3", "write * for a product"), ("2x", "character 2", "write *"), ("x^2", "character 2", "**"),
    ("(x", "character 1", "never closed"), ("x)", "character 2", "closes nothing"), ("x²", "character 2", "write **2"),
    ("lambda*2", "character 1", "word of Python"), ("x and y", "character 3", "word of Python"),
    ("expp(x)", "character 1", "did you mean 'exp'?"), ("1 + sni(x)", "character 5", "did you mean 'sin'?"),
    ("x.real", "character 2", "'.'"), ("[x]", "character 1", "round brackets"), ("x,y", "", "not part of a formula"),
    ("max(x)", "character 1", "2 to 8"), ("exp(x,y)", "character 1", "give it 1"), ("x +", "", "missing after"),
    ("x+*y", "character 3", "missing before"), ("", "", "empty"), ("exp x", "character 1", "write exp(x)"),
    ("sin", "character 1", "sin(x)"), ("x=2", "character 2", "right-hand side"), ("2(x+1)", "character 2", "write *"),
    ("sin(x)cos(x)", "character 7", "write *"), ("x//y", "character 3", "missing"), ("x@y", "character 2", "'@'"),
    ("'a'", "character 1", "not read"), ("1j*x", "character 2", "write *"), ("__import__('os')", "", "no function"),
    ("x.__class__", "character 2", ""), ("max(x,y=2)", "character 8", ""), ("x<y", "character 2", ""),
    ("x\0", "character 2", ""), ("1e999", "", "larger than any float"), ("1" * 400, "", "larger than any float"),
    ("9**9**9**9", "", "9**9**9"), ("0.5**(10**300)", "", "smaller than any float"), ("exp(1000)", "", "exp(1000)"),
    ("1/0", "", "1/0"), ("log(0)*x", "", "log(0)"), ("(" * 300 + "x" + ")" * 300, "", "nested too deeply"),
    ("-" * 300 + "x", "", "nested too deeply"), ("x" * 1001, "", "1001 characters"), ("[" * 900, "character 1", ""),
    ("sqrt(-1)", "", "sqrt(-1)"), ("max(x,x," * 61 + "x" + ")" * 61, "", "deeply"),
    ("+".join(["exp(x)"] * 120), "", "60 levels"),
    ("*".join(["(" + "+".join(["x"] * 25) + ")"] * 19), "", "at most 400"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "cure"), REFUSED, ids=[text[:12] for text, *_ in REFUSED])
def test_what_cannot_be_read_is_one_sentence_with_its_place(text, place, cure):
    def refused():
        with pytest.raises(UserError) as refusal:
            parse(text)
        said = str(refusal.value)
        assert place in said and cure in said and "\n" not in said and len(said) < 260, said

    assert least_seconds(lambda: refused, 0.5) < 0.5


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet="xyw0123456789.+-*/(),^ eπ²=expsinlogmax×[]'_", max_size=30))
def test_any_text_is_a_formula_or_a_sentence(text):
    try:
        expression = parse(text)
    except UserError as refused:
        assert "\n" not in str(refused)
    else:
        assert parse(write(expression.tree)).tree == expression.tree


TREES = st.recursive(
    st.one_of(st.sampled_from([Name("x"), Name("y")]), st.integers(1, 9).map(lambda n: Number(float(n), str(n)))),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["+", "-", "*", "/", "**"]), st.tuples(inner, inner)).map(lambda t: Apply(*t)),
        st.tuples(st.sampled_from(["neg", "exp", "tanh", "abs"]), st.tuples(inner)).map(lambda t: Apply(*t)),
        st.tuples(st.just("max"), st.tuples(inner, inner, inner)).map(lambda t: Apply(*t))),
    max_leaves=12)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(TREES)
def test_what_is_written_is_read_back(tree):
    try:
        assert parse(write(tree)).tree == tree
    except UserError as refused:  # 9**9**9**9 comes up by chance, too
        assert "float" in str(refused)


def test_names_stand_in_their_order_and_values_are_checked_with_the_nearest_name():
    expression = parse("weight*x + bias")
    assert expression.names == ("weight", "x", "bias")
    with pytest.raises(UserError, match="bias: this variable has no value"):
        expression({"weight": 1.0, "x": 2.0})
    with pytest.raises(UserError, match="did you mean 'bias'"):
        expression({"weight": 1.0, "x": 2.0, "bias": 0.0, "bais": 1.0})


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("x", [-1.3, -0.4, 0.6, 2.1])
def test_every_function_is_the_same_for_floats_arrays_complex_numbers_and_symbols(name, x):
    import sympy

    arguments = [Name("x")] if FUNCTIONS[name][0] == 1 else [Name("x"), Apply("*", (Name("x"), Number(0.5, "0.5")))]
    tree = Apply(name, tuple(arguments))
    value = walk(tree, {"x": x}, NUMBERS)
    if name in ("log", "sqrt") and x < 0:
        assert math.isnan(value)
        return
    symbol = sympy.Symbol("x", real=True)
    formula = walk(tree, {"x": symbol}, symbols())
    assert value == pytest.approx(float(formula.subs(symbol, x).evalf(30)), rel=1e-15)
    assert walk(tree, {"x": np.array([x, x])}, NUMBERS).tolist() == [value, value]
    assert walk(tree, {"x": np.float32(x)}, NUMBERS).dtype == np.float32
    turned = walk(tree, {"x": complex(x, 1e-30)}, NUMBERS)
    assert turned.imag / 1e-30 == pytest.approx(float(sympy.diff(formula, symbol).subs(symbol, x)), rel=1e-14)


@pytest.mark.parametrize("x", [-800.0, 800.0])
def test_far_out_nothing_overflows(x):
    for text in ("sigmoid(x)", "softplus(x)", "tanh(x)"):
        assert math.isfinite(parse(text)({"x": x}))


def test_constants_do_not_widen_float32():
    assert parse("exp(1)*x + pi*sqrt(2)")({"x": np.ones(3, dtype=np.float32)}).dtype == np.float32


def test_whole_powers_of_negative_numbers_keep_a_tiny_imaginary_part():
    for n in (2, 3, 5, 150, -3):
        turned = parse(f"x**{n}" if n > 0 else f"x**({n})")({"x": complex(-1.1, 1e-30)})
        assert turned.imag / 1e-30 == pytest.approx(n * (-1.1) ** (n - 1), rel=1e-13)
    assert parse("x**1.5")({"x": 2 + 1j}) == pytest.approx(cmath.exp(1.5 * cmath.log(2 + 1j)), rel=1e-14)


def test_a_tree_holds_no_more_than_its_bounds():
    deep = "exp(" * (DEEPEST - 1) + "x" + ")" * (DEEPEST - 1)
    assert sum(1 for _ in nodes(parse(deep).tree)) == DEEPEST


def test_importing_these_parts_imports_numpy_alone():
    code = ("import sys; "
            "from shinso.autodiff import algebra, backprop, compare, expression, graph, numerical, symbolic; "
            "found = {'torch', 'sympy', 'scipy', 'matplotlib', 'numba'} & set(sys.modules); assert not found, found")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
