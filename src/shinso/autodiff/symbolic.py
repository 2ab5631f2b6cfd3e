r"""Symbolic differentiation: the derivative as a formula.

The rules are those of school,

    (u + v)' = u' + v',  (u v)' = u' v + u v',  (u / v)' = (u' v - u v') / v^2                           (1)
    (u^n)' = n u^(n-1) u',  (u^v)' = u^v (v' log u + v u' / u),  f(u)' = f'(u) u'                        (2)

and what comes out is exact wherever it is evaluated. The surprise is its length. The product rule copies both factors:
for the logistic map

    l_1 = x,   l_{n+1} = 4 l_n (1 - l_n)                                                                 (3)

written out with a_n operations, the derivative that (1) gives has d_n of them,

    a_{n+1} = 2 a_n + 3,   d_{n+1} = 2 d_n + 2 a_n + 7   from a_2 = 3, d_2 = 6 on                         (4)

so it grows like n 2^n, although no more than a few new subformulas come with each n. To keep those and work each out
once is automatic differentiation.

SymPy does the algebra here (`derivative`); `growth` counts what the bare rules give.

Nolan 1953 (by machine); Baydin, Pearlmutter, Radul, Siskind 2018 (the swelling, told with (3)).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from shinso.autodiff._by_the_rules import by_the_rules, distinct_operations, operations
from shinso.autodiff.algebra import NUMBERS, symbols
from shinso.autodiff.expression import Apply, Expression, Name, Node, parse, walk
from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.errors import UserError

DIGITS = 50
"""digits in which `exact` computes before it rounds once"""


def formula(expression: Expression) -> Any:
    """The expression in SymPy, its variables as real symbols."""
    import sympy

    return expression({name: sympy.Symbol(name, real=True) for name in expression.names}, symbols())


def derivative(expression: Expression, name: str, order: int = 1) -> Any:
    """The derivative of that order by one variable, as SymPy leaves it: tidied while it is made, not simplified."""
    import sympy

    if name not in expression.names:
        raise UserError(name, f"the formula {expression.text} has no such variable", "its derivative is 0")
    try:
        return sympy.diff(formula(expression), sympy.Symbol(name, real=True), order)
    except RecursionError:
        raise _too_deep(expression.text) from None


def latex(expression: Expression, name: str | None = None) -> str:
    """The formula, or its derivative by a variable, in LaTeX."""
    import sympy

    return sympy.latex(formula(expression) if name is None else derivative(expression, name))


def exact(what: Any, at: Mapping[str, float]) -> float:
    """A SymPy formula at floats taken as they are: computed in 50 digits, rounded once."""
    import sympy

    numbers = {sympy.Symbol(name, real=True): sympy.Float(float(x), DIGITS) for name, x in at.items()}
    try:
        value = float(what.xreplace(numbers).evalf(DIGITS))  # from the inside out: evalf(subs=...) is exponential
    except RecursionError:
        raise _too_deep("the derivative") from None
    except (TypeError, ArithmeticError, ValueError):  # zoo, a complex number, 1/0, more digits than there are
        value = float("nan")
    if not abs(value) < float("inf"):
        place = ", ".join(f"{name} = {x:g}" for name, x in at.items())
        raise UserError(place, "the derivative is not a number there", "choose another point")
    return value


def _too_deep(what: str) -> UserError:
    return UserError(what if len(what) <= 40 else what[:37] + "...", "it is nested too deeply for SymPy",
                     "use fewer levels of functions")


def gradient(expression: Expression, at: Mapping[str, float]) -> dict[str, float]:
    """Every first derivative at a point, each rounded once."""
    at = expression.complete(at)
    return {name: exact(derivative(expression, name), at) for name in at}


def growth(expression: Expression, name: str, orders: int) -> list[tuple[int, int]]:
    """For the derivatives of order 0 to `orders` by the bare rules (1), (2): operations written out, and distinct ones.

    The distinct ones are those of all lower orders together, each worked out once.
    """
    trees = [expression.tree]
    for _ in range(orders):
        trees.append(by_the_rules(trees[-1], name))
    return [(operations(tree), distinct_operations(*trees[: k + 1])) for k, tree in enumerate(trees)]


def logistic_map(n: int) -> Node:
    """l_n of (3) as a tree that shares what it repeats."""
    one, four = parse("1").tree, parse("4").tree
    tree: Node = Name("x")
    for _ in range(n - 1):
        tree = Apply("*", (Apply("*", (four, tree)), Apply("-", (one, tree))))  # (3)
    return tree


def _largest_difference(text: str, low: float, high: float) -> float:
    """SymPy's derivatives against reverse mode at 40 random points, relative to the larger of 1 and the derivative."""
    from shinso.autodiff.compare import reverse

    expression, rng, worst = parse(text), np.random.default_rng(0), 0.0
    derivatives = {name: derivative(expression, name) for name in expression.names}
    for _ in range(40):
        at = {name: float(rng.uniform(low, high)) for name in expression.names}
        _, found = reverse(expression, at)
        for name, what in derivatives.items():
            truth = exact(what, at)
            worst = max(worst, abs(found[name] - truth) / max(1.0, abs(truth)))
    return worst


def exp_of_a_product_equals_reverse_mode() -> Check:
    """SymPy's derivatives of exp(x w) equal those of reverse mode at 40 random points to 1e-12.

    Source: the course's own example; both are exact up to rounding
    """
    return at_most(_largest_difference("exp(x*w)", -2, 2), 1e-12)


def sigmoid_tanh_and_log_equal_reverse_mode() -> Check:
    """The same holds for the sigmoid, tanh and the logarithm, to 1e-12.

    Source: both are exact up to rounding
    """
    return at_most(max(_largest_difference("sigmoid(x)", -4, 4), _largest_difference("tanh(x)", -4, 4),
                       _largest_difference("log(x)", 0.1, 5)), 1e-12)  # fmt: skip


def the_bare_rules_equal_sympy() -> Check:
    """(1) and (2), applied literally to a formula with every kind of operation, give SymPy's value to 1e-12.

    Source: equations (1) and (2)
    """
    expression = parse("x**2*tanh(w)/(1+exp(-x*w)) + x**w - sqrt(x)*log(w) + sin(x)*cos(x)*tan(w) - 3*abs(x-w)")
    worst, at = 0.0, {"x": 0.7, "w": 1.3}
    for name, truth in gradient(expression, at).items():
        worst = max(worst, abs(walk(by_the_rules(expression.tree, name), at, NUMBERS) - truth))
    return at_most(worst, 1e-12)


def the_derivative_grows_as_predicted() -> Check:
    """For l_2 to l_20 of the logistic map the operations written out are exactly those of (4), 30,146,559 for l_20'.

    Source: equation (4), from the product rule
    """
    a, d, wrong = 3, 6, 0
    for n in range(2, 21):
        tree = logistic_map(n)
        wrong += abs(operations(tree) - a) + abs(operations(by_the_rules(tree, "x")) - d)
        a, d = 2 * a + 3, 2 * d + 2 * a + 7  # (4)
    return exactly(wrong, 0)


def distinct_operations_grow_by_a_constant() -> Check:
    """Each further n adds the same number of distinct operations to l_n and its derivative: the spread is 0.

    Source: what is shared is worked out once; this is automatic differentiation
    """
    trees = [logistic_map(n) for n in range(3, 21)]
    counts = [distinct_operations(tree, by_the_rules(tree, "x")) for tree in trees]
    return exactly(int(np.ptp(np.diff(counts))), 0)


def higher_orders_swell() -> Check:
    """Written out by the bare rules, the sixth derivative of tanh has more than 800 times the operations of the first.

    Source: Baydin, Pearlmutter, Radul, Siskind 2018, section 2.2, expression swell
    """
    counts = growth(parse("tanh(x)"), "x", 6)
    return at_least(counts[6][0] / counts[1][0], 800)


CARD = Card(
    name="Symbolic differentiation",
    name_ja="数式微分",
    paper="Baydin, Pearlmutter, Radul, Siskind 2018, Automatic differentiation in machine learning: a survey, JMLR 18",
    equations=(
        r"(u+v)' = u'+v',\quad (uv)' = u'v + uv',\quad (u/v)' = (u'v - uv')/v^2",
        r"(u^n)' = n u^{n-1}u',\quad (u^v)' = u^v (v' \log u + v u'/u),\quad f(u)' = f'(u) u'",
        r"l_1 = x,\quad l_{n+1} = 4 l_n (1 - l_n)",
        r"a_{n+1} = 2a_n + 3,\quad d_{n+1} = 2d_n + 2a_n + 7",
    ),
    summary="Works on the formula itself and is exact; without sharing, the derivative's formula swells exponentially.",
    summary_ja="数式そのものを操作して厳密な導関数を得る。共有しなければ、導関数の式は指数的に膨らむ。",
    topics=("autodiff.symbolic",),
    facts=(
        exp_of_a_product_equals_reverse_mode,
        sigmoid_tanh_and_log_equal_reverse_mode,
        the_bare_rules_equal_sympy,
        the_derivative_grows_as_predicted,
        distinct_operations_grow_by_a_constant,
        higher_orders_swell,
    ),
)
