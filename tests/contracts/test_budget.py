"""Files and functions stay small enough to be read, and are called what they are."""

import ast

import pytest
from sources import FILES, parsed, text

NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "handler", "base", "tools"}
MOST_LINES, MOST_FUNCTION_LINES, MOST_PARAMETERS = 400, 60, 8


def functions(tree: ast.AST) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def too_much(tree: ast.AST) -> list[str]:
    """Functions over the budget: length, number of parameters, flags by position, options passed through."""
    found = []
    for node in functions(tree):
        a = node.args
        number = len(a.posonlyargs) + len(a.args) + len(a.kwonlyargs)
        number -= bool(a.args) and a.args[0].arg in ("self", "cls")
        compiled = any("intrinsic" in ast.unparse(d) for d in node.decorator_list)  # machine code has no objects
        if (node.end_lineno or 0) - node.lineno + 1 > MOST_FUNCTION_LINES:
            found.append(f"{node.name} is longer than {MOST_FUNCTION_LINES} lines")
        if number > MOST_PARAMETERS and not compiled:
            found.append(f"{node.name} has {number} parameters")
        if not node.name.startswith("_"):
            found += [f"{node.name}: {flag} is a flag by position" for flag in flags_by_position(a)]
        if a.kwarg is not None and passed_through(node, a.kwarg.arg):
            found.append(f"{node.name} passes **{a.kwarg.arg} through")
    return found


def flags_by_position(a: ast.arguments) -> list[str]:
    """Parameters with a boolean default that a caller can give without their name."""
    positional = [*a.posonlyargs, *a.args]
    with_default = zip(positional[len(positional) - len(a.defaults) :], a.defaults, strict=True)
    return [x.arg for x, default in with_default if ast.unparse(default) in ("True", "False")]


def passed_through(function: ast.FunctionDef, name: str) -> bool:
    """Whether **name goes on to another call; filling the places of a text is no passing through."""
    calls = [n for n in ast.walk(function) if isinstance(n, ast.Call) and getattr(n.func, "attr", "") != "format"]
    return any(k.arg is None and ast.unparse(k.value) == name for call in calls for k in call.keywords)


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_at_most_400_lines(name):
    assert len(text(name).splitlines()) <= MOST_LINES


@pytest.mark.parametrize("name", FILES)
def test_no_line_is_longer_than_120(name):
    assert not [i for i, line in enumerate(text(name).splitlines(), 1) if len(line) > 120]


@pytest.mark.parametrize("name", FILES)
def test_functions_are_small_and_plain(name):
    assert not too_much(parsed(name))


@pytest.mark.parametrize("name", FILES)
def test_files_and_folders_have_names_that_say_something(name):
    assert not {part.strip("_") for part in name.removesuffix(".py").split("/")} & NAMES_THAT_SAY_NOTHING


def test_the_budget_sees_what_is_over_it():
    long = "def f():\n" + "    x = 1\n" * 60
    assert len(too_much(ast.parse(long))) == 1
    assert len(too_much(ast.parse("def f(a, b, c, d, e, f, g, h, i): ..."))) == 1
    assert not too_much(ast.parse("class C:\n    def f(self, a, b, c, d, e, f, g, *, h: bool): ..."))
    assert len(too_much(ast.parse("def f(a, b=False): ..."))) == 1
    assert not too_much(ast.parse("def f(a=1, *, b=False): ..."))
    assert len(too_much(ast.parse("def f(**options): g(**options)"))) == 1
    assert not too_much(ast.parse("def f(**values): return text.format(**values)"))
