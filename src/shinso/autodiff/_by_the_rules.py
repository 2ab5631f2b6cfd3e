"""The derivative of a formula as one writes it at school: rule after rule, and nothing simplified but constants.

What comes out is as long as the rules make it. SymPy tidies up while it works; here it is left as it is, so that the
growth can be counted.
"""

from collections.abc import Callable

from shinso.autodiff.expression import Apply, Name, Node, Number

ZERO, ONE, TWO = Number(0.0, "0"), Number(1.0, "1"), Number(2.0, "2")


def by_the_rules(tree: Node, name: str) -> Node:
    """d tree / d name; subtrees are shared with `tree`, so its written length may be far above what is stored."""
    return _Differentiator(name).derivative(tree)


def operations(tree: Node) -> int:
    """Operations in the formula written out: what somebody without memory has to carry out."""
    counted: dict[int, int] = {}

    def count(node: Node) -> int:
        if id(node) not in counted:
            counted[id(node)] = 1 + sum(map(count, node.inputs)) if isinstance(node, Apply) else 0
        return counted[id(node)]

    return count(tree)


def distinct_operations(*trees: Node) -> int:
    """Operations when every subformula is worked out once, however often it stands in the trees."""
    names: dict[object, int] = {}
    seen: dict[int, int] = {}

    def number(node: Node) -> int:
        if id(node) not in seen:
            key = (node.operation, *map(number, node.inputs)) if isinstance(node, Apply) else node
            seen[id(node)] = names.setdefault(key, len(names))
        return seen[id(node)]

    for tree in trees:
        number(tree)
    return sum(isinstance(key, tuple) for key in names)


class _Differentiator:
    """Remembers what it has differentiated, by identity: a shared subtree keeps a shared derivative."""

    def __init__(self, name: str):
        self.name = name
        self.known: dict[int, tuple[Node, Node]] = {}
        """the node beside its derivative: as long as it is kept, no other node can have its identity"""

    def derivative(self, node: Node) -> Node:
        if id(node) not in self.known:
            self.known[id(node)] = node, self._derivative(node)
        return self.known[id(node)][1]

    def _derivative(self, node: Node) -> Node:
        if not isinstance(node, Apply):
            return ONE if node == Name(self.name) else ZERO
        moves = [self.derivative(part) for part in node.inputs]
        if all(move is ZERO for move in moves):
            return ZERO
        if node.operation in ("max", "min"):
            return self._chosen(node)
        if node.operation in _RULES:
            return _RULES[node.operation](*node.inputs, *moves)
        return _times(_SLOPES[node.operation](node.inputs[0], node), moves[0])

    def _chosen(self, node: Apply) -> Node:
        """max(a, b) = a + relu(b - a), min(a, b) = a - relu(a - b), from left to right."""
        whole, *others = node.inputs
        for part in others:
            if node.operation == "max":
                whole = Apply("+", (whole, Apply("relu", (Apply("-", (part, whole)),))))
            else:
                whole = Apply("-", (whole, Apply("relu", (Apply("-", (whole, part)),))))
        return self.derivative(whole)


def _plus(a: Node, b: Node) -> Node:
    return b if a is ZERO else a if b is ZERO else Apply("+", (a, b))


def _minus(a: Node, b: Node) -> Node:
    return _neg(b) if a is ZERO else a if b is ZERO else Apply("-", (a, b))


def _neg(a: Node) -> Node:
    return a if a is ZERO else Apply("neg", (a,))


def _times(a: Node, b: Node) -> Node:
    return ZERO if ZERO in (a, b) else b if a is ONE else a if b is ONE else Apply("*", (a, b))


def _over(a: Node, b: Node) -> Node:
    return a if a is ZERO else Apply("/", (a, b))


def _power(u: Node, v: Node, du: Node, dv: Node) -> Node:
    if dv is ZERO:
        return _times(_times(v, Apply("**", (u, Apply("-", (v, ONE))))), du)
    inside = _plus(_times(dv, Apply("log", (u,))), _over(_times(v, du), u))
    return _times(Apply("**", (u, v)), inside)


_RULES: dict[str, Callable[..., Node]] = {
    "+": lambda u, v, du, dv: _plus(du, dv), "-": lambda u, v, du, dv: _minus(du, dv), "neg": lambda u, du: _neg(du),
    "*": lambda u, v, du, dv: _plus(_times(du, v), _times(u, dv)), "**": _power,
    "/": lambda u, v, du, dv: _over(du, v) if dv is ZERO else _over(
        _minus(_times(du, v), _times(u, dv)), Apply("**", (v, TWO))),
}  # fmt: skip
_SLOPES: dict[str, Callable[[Node, Node], Node]] = {
    "exp": lambda u, y: y, "log": lambda u, y: Apply("/", (ONE, u)), "sin": lambda u, y: Apply("cos", (u,)),
    "sqrt": lambda u, y: Apply("/", (ONE, Apply("*", (TWO, y)))), "cos": lambda u, y: _neg(Apply("sin", (u,))),
    "tan": lambda u, y: Apply("/", (ONE, Apply("**", (Apply("cos", (u,)), TWO)))),
    "sinh": lambda u, y: Apply("cosh", (u,)), "cosh": lambda u, y: Apply("sinh", (u,)),
    "tanh": lambda u, y: Apply("-", (ONE, Apply("**", (y, TWO)))), "abs": lambda u, y: Apply("/", (y, u)),
    "sigmoid": lambda u, y: Apply("*", (y, Apply("-", (ONE, y)))), "softplus": lambda u, y: Apply("sigmoid", (u,)),
    "relu": lambda u, y: Apply("/", (y, u)),
}  # fmt: skip
