"""Every rule of the tensor engine, walked from the table of rules itself: a new rule without an example fails here."""

import numpy as np
import pytest

from shinso.autodiff import activations, functions, tensor  # noqa: F401 - their import fills the table of rules
from shinso.autodiff.rules import RULES, Elementwise
from shinso.autodiff.tensor import Tensor, grad

DRAW = np.random.default_rng(7)


def normal(*shape):
    return DRAW.normal(size=shape)


def positive(*shape):
    return DRAW.uniform(0.5, 2.0, shape)


def distinct(*shape):
    """No two entries closer than 0.1, none closer than 0.05 to zero."""
    n = int(np.prod(shape))
    return (DRAW.permutation(n) * 0.1 - 0.05 * n + 0.05).reshape(shape)


IMAGES = distinct(2, 3, 5, 4)
WINNERS = [((slice(None), slice(None), slice(k, k + 3, 2), slice(m, m + 3, 2)), DRAW.random((2, 3, 2, 2)) < 0.5)
           for k in range(2) for m in range(2)]
PAIRS = ((2, 2), (2, 2))
MOVES = [((3, 2), ((1, 1), (0, 0))), ((2, 3), ((2, 1), (1, 2)))]
OVERLAP = ((3, 2), (1, 2))
UNARY = ["negative", "square", "exp", "expm1", "sin", "cos", "tan", "arctan", "sinh", "cosh", "tanh", "sigmoid",
         "softplus", "normal_cdf"]  # fmt: skip
KEPT = [(None, False), (0, False), (1, True), ((0, 2), False), (-1, True)]
EXAMPLES = {
    **{name: [((normal(2, 3),), ()), ((normal(),), ())] for name in UNARY},
    **{name: [((positive(2, 3),), ())] for name in ("sqrt", "reciprocal", "log", "log1p")},
    **{name: [((distinct(4, 3),), ())] for name in ("relu", "absolute", "sign")},
    **{name: [((normal(*a), positive(*b)), ()) for a, b in (((2, 3), (2, 3)), ((2, 3), (3,)), ((1, 3), (2, 1)))]
       for name in ("add", "subtract", "multiply", "divide", "logaddexp", "arctan2")},
    "power": [((positive(2, 3), normal(3)), ())], "power_by": [((normal(2, 3),), (3,)), ((positive(3),), (-0.7,))],
    **{name: [((distinct(2, 3), distinct(2, 3) + 0.03), ())] for name in ("maximum", "minimum")},
    "leaky_relu": [((distinct(4, 3),), (0.1,))],
    "clip": [((distinct(4, 3),), (-0.21, 0.32)), ((distinct(3),), (None, 0.01))],
    "where": [((DRAW.random((2, 3)) < 0.5, normal(2, 3), normal(3)), ())],
    "sum": [((normal(2, 3, 2),), p) for p in KEPT], "mean": [((normal(2, 3, 2),), p) for p in KEPT],
    "max": [((distinct(2, 3, 2),), p) for p in KEPT], "min": [((distinct(2, 3, 2),), p) for p in KEPT],
    "prod": [((positive(2, 3, 2),), p) for p in KEPT] + [((np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 1.5]]),), (1, False))],
    "var": [((normal(2, 3, 2),), (*p, ddof)) for p in KEPT for ddof in (0, 1)],
    "logsumexp": [((normal(2, 3, 2),), p) for p in KEPT],
    "softmax": [((normal(2, 3, 2),), (axis,)) for axis in (0, 1, -1)],
    "log_softmax": [((normal(2, 3, 2),), (axis,)) for axis in (0, 1, -1)],
    "cross_entropy": [((normal(4, 3),), (np.array([0, 2, 1, 1]),)), ((normal(2, 2, 3),), (np.array([[0, 2], [1, 1]]),)),
                      ((normal(2, 3),), (np.array([[0.2, 0.5, 0.3], [0.0, 1.0, 0.0]]),))],
    "reshape": [((normal(2, 3),), ((3, 2),)), ((normal(2, 3),), ((-1,),))],
    "transpose": [((normal(2, 3, 4),), ((2, 0, 1),))], "swapaxes": [((normal(2, 3, 4),), (0, 2))],
    "broadcast_to": [((normal(1, 3),), ((2, 4, 3),))],
    "sum_to": [((normal(2, 4, 3),), ((1, 3),)), ((normal(2, 3),), ((),))],
    "getitem": [((normal(4, 3),), (key,)) for key in (
        1, slice(None, None, 2), (Ellipsis, 0), np.array([0, 2, 0, -1]), (np.array([0, 0, 3]), np.array([1, 1, 2])),
        normal(4, 3) > 0, (slice(None), np.array([2, 2])))],
    "put": [((normal(3, 2),), ((4, 2), np.array([0, 3, 0]))), ((normal(2),), ((3, 2), (np.array([0, 0]), 1)))],
    "concatenate": [((normal(2, 3), normal(2, 1), normal(2, 2)), (1,)), ((normal(2, 3), normal(1, 3)), (-2,))],
    "stack": [((normal(2, 3), normal(2, 3)), (1,)), ((normal(2), normal(2)), (-1,))],
    "pad": [((normal(2, 3),), (((1, 0), (2, 1)),))], "flip": [((normal(2, 3),), (1,))],
    "cumsum": [((normal(2, 3),), (1,)), ((normal(3),), (0,))], "astype": [((normal(2, 3),), (np.dtype(np.float64),))],
    "matmul": [((normal(*a), normal(*b)), ()) for a, b in (
        ((2, 3), (3, 4)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((4, 2, 3), (3, 5)), ((4, 2, 3), (4, 3, 2)),
        ((2, 1, 2, 3), (4, 3, 2)), ((3,), (2, 3, 2)), ((2, 2, 3), (3,)))],
    "affine": [((normal(4, 3), normal(3, 2), normal(2)), ()), ((normal(2, 4, 3), normal(3, 2), normal(2)), ()),
               ((normal(3), normal(3, 2), normal(2)), ())],
    "einsum": [((normal(2, 3), normal(3, 4)), (("ij", "jk"), "ik")), ((normal(2, 3), normal(2, 3)), (("ij", "ij"), "")),
               ((normal(2, 3),), (("ij",), "j")), ((normal(2), normal(3), normal(2, 3)), (("i", "j", "ij"), "i"))],
    "im2col": [((IMAGES,), ((3, 2), (1, 1), (0, 0))), ((IMAGES,), ((2, 3), (2, 1), (1, 2)))],
    "col2im": [((normal(3, 3, 2, 3, 3, 2),), ((2, 3, 5, 4), (3, 2), (1, 1), (0, 0))),
               ((normal(3, 2, 3, 3, 6, 2),), ((2, 3, 5, 4), (2, 3), (2, 1), (1, 2)))],
    "convolve": [((IMAGES, normal(4, 3, *kernel)), moves) for kernel, moves in MOVES],
    "conv2d": [((IMAGES, normal(4, 3, *kernel), normal(4)), moves) for kernel, moves in MOVES],
    "convolve_transposed": [((normal(2, 4, 3, 3), normal(4, 3, 3, 2)), ((5, 4), *MOVES[0][1])),
                            ((normal(2, 4, 3, 6), normal(4, 3, 2, 3)), ((5, 4), *MOVES[1][1]))],
    "convolve_filters": [((IMAGES, normal(2, 4, 3, 3)), ((3, 2), *MOVES[0][1])),
                         ((IMAGES, normal(2, 4, 3, 6)), ((2, 3), *MOVES[1][1]))],
    "max_pool": [((IMAGES,), PAIRS), ((IMAGES,), OVERLAP)], "avg_pool": [((IMAGES,), PAIRS), ((IMAGES,), OVERLAP)],
    "max_unpool": [((normal(2, 3, 2, 2),), ((2, 3, 5, 4), WINNERS, *PAIRS))],
    "max_gather": [((IMAGES,), (WINNERS, *PAIRS))], "avg_unpool": [((normal(2, 3, 2, 2),), ((2, 3, 5, 4), *PAIRS))],
}  # fmt: skip
CASES = [pytest.param(RULES[name], *case, id=f"{name}-{i}")
         for name, cases in EXAMPLES.items() for i, case in enumerate(cases)]


def wanted(rule, xs):
    """The inputs that have a derivative."""
    return [i for i in range(len(xs)) if xs[i].dtype.kind == "f" and (not isinstance(rule, Elementwise) or
                                                                     rule.d[i] is not None)]


def directions(rule, xs, seed=3):
    draw = np.random.default_rng(seed)
    some = wanted(rule, xs)
    return [draw.normal(size=x.shape) if i in some else None for i, x in enumerate(xs)]


def moved(xs, ts, h):
    return [x if t is None else x + h * t for x, t in zip(xs, ts, strict=True)]


def slope(f, xs, ts, h):
    """The central difference of fourth order of f along ts."""
    def at(k):
        return np.asarray(f(*moved(xs, ts, k * h)))

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h)


def test_every_rule_has_an_example():
    assert set(EXAMPLES) == set(RULES)


@pytest.mark.parametrize(("rule", "xs", "params"), CASES)
def test_forward_mode_is_the_slope_of_the_value(rule, xs, params):
    ts = directions(rule, xs)
    measured = slope(lambda *x: rule.f(*x, *params), xs, ts, 1e-3)
    y = np.asarray(rule.f(*xs, *params))
    pushed = rule.push(ts, y, xs, params)
    assert np.shape(pushed) == y.shape
    np.testing.assert_allclose(pushed, measured, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("rule", "xs", "params"), CASES)
def test_reverse_mode_is_the_transpose_of_forward_mode(rule, xs, params):
    y = np.asarray(rule.f(*xs, *params))
    g = np.random.default_rng(4).normal(size=y.shape)
    for i in wanted(rule, xs):
        ts = [t if j == i else None for j, t in enumerate(directions(rule, xs))]
        pulled = rule.pull(i, g, y, xs, params)
        assert np.shape(pulled) == xs[i].shape
        there, back = np.sum(g * rule.push(ts, y, xs, params)), np.sum(pulled * ts[i])
        size = max(1.0, np.sum(np.abs(pulled * ts[i])))
        assert abs(there - back) < 1e-13 * size


@pytest.mark.parametrize(("rule", "xs", "params"), CASES)
def test_the_gradient_is_itself_differentiable(rule, xs, params):
    """Run on Tensors the rule gives the same gradient to the last bit, and the slope of it is its derivative."""
    some, ts = wanted(rule, xs), directions(rule, xs)
    g = np.random.default_rng(5).normal(size=np.shape(rule.f(*xs, *params)))
    weights = directions(rule, xs, 6)

    def gradients(*arrays):
        y = np.asarray(rule.f(*arrays, *params))
        return [rule.pull(i, g, y, arrays, params) for i in some]

    leaves = [Tensor(x, requires_grad=i in some) for i, x in enumerate(xs)]
    found = grad(Tensor.apply(rule, leaves, params), [leaves[i] for i in some], g, create_graph=True)
    for ours, plain in zip(found, gradients(*xs), strict=True):
        np.testing.assert_allclose(ours.data, plain, rtol=1e-14, atol=1e-15)
    total = sum((x * weights[i]).sum() for i, x in zip(some, found, strict=True))

    def weighed(*arrays):
        return sum(np.sum(p * weights[i]) for i, p in zip(some, gradients(*arrays), strict=True))

    ours, measured = 0.0, slope(weighed, xs, ts, 1e-3)
    if total.requires_grad:
        second = grad(total, [leaves[i] for i in some])
        ours = sum(np.sum(s * ts[i]) for i, s in zip(some, second, strict=True))
    assert ours == pytest.approx(measured, rel=1e-7, abs=1e-8)


@pytest.mark.parametrize(("rule", "xs", "params"), CASES)
def test_the_derivative_reads_only_what_the_rule_says_that_it_keeps(rule, xs, params):
    """Values that are not kept may be changed in place before the backward pass: spoiling them changes nothing."""
    y = np.asarray(rule.f(*xs, *params))
    g = np.random.default_rng(8).normal(size=y.shape)
    spoilt = xs if "x" in rule.keeps else [np.full_like(x, np.nan) if x.dtype.kind == "f" else x for x in xs]
    for i in wanted(rule, xs):
        result = y if "y" in rule.keeps else np.full_like(y, np.nan)
        np.testing.assert_array_equal(rule.pull(i, g, result, spoilt, params), rule.pull(i, g, y, xs, params))


@pytest.mark.parametrize(("rule", "xs", "params"), [c for c in CASES if "astype" not in c.id])
def test_float32_stays_float32(rule, xs, params):
    small = [x.astype(np.float32) if x.dtype.kind == "f" else x for x in xs]
    leaves = [Tensor(x, requires_grad=x.dtype.kind == "f") for x in small]
    y = Tensor.apply(rule, leaves, params)
    assert y.dtype == np.float32
    for i in wanted(rule, xs):
        pulled = rule.pull(i, np.ones(y.shape, np.float32), y.data, small, params)
        assert pulled.dtype == np.float32, f"input {i}"
        long = rule.pull(i, np.ones(y.shape), np.asarray(rule.f(*xs, *params)), xs, params)
        np.testing.assert_allclose(pulled, long, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("rule", "xs", "params"), CASES)
def test_a_rule_changes_nothing_that_it_is_given(rule, xs, params):
    before = [x.copy() for x in xs]
    y = np.asarray(rule.f(*xs, *params))
    kept, g = y.copy(), np.ones(y.shape)
    for i in wanted(rule, xs):
        rule.pull(i, g, y, xs, params)
        rule.push(directions(rule, xs), y, xs, params)
    assert np.array_equal(y, kept) and np.array_equal(g, np.ones(y.shape))
    assert all(np.array_equal(a, b) for a, b in zip(xs, before, strict=True))


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_every_rule_says_its_equation(rule):
    assert rule.equation.startswith("y") or rule.equation.startswith("Y")
    assert ";" in rule.equation or "g_" in rule.equation
    assert set(rule.keeps) <= {"x", "y"}


@pytest.mark.parametrize(("rule", "xs", "params"), [c for c in CASES if isinstance(c.values[0], Elementwise)])
def test_the_local_derivative_times_the_direction_is_the_motion(rule, xs, params):
    y, ts = np.asarray(rule.f(*xs, *params)), directions(rule, xs)
    parts = [rule.local(i, y, xs, params) * ts[i] for i in wanted(rule, xs)]
    assert all(part.shape == y.shape for part in parts)
    np.testing.assert_allclose(sum(parts), rule.push(ts, y, xs, params), rtol=1e-14, atol=1e-15)
