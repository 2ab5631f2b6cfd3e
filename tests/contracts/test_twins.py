"""No two identical top-level functions or classes stand in two files."""

import ast

from sources import FILES, parsed


def bodies(tree: ast.Module) -> dict[str, str]:
    """Every top-level function and class without docstring, by what it does: its syntax tree as text -> its name."""
    found = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            statements = node.body
            if statements and isinstance(statements[0], ast.Expr) and isinstance(statements[0].value, ast.Constant):
                statements = statements[1:]
            parameters = ast.dump(node.args) if isinstance(node, ast.FunctionDef) else ast.dump(ast.Tuple(node.bases))
            if statements:
                found[parameters + "".join(ast.dump(s) for s in statements)] = node.name
    return found


def twins(trees: dict[str, ast.Module]) -> list[str]:
    seen: dict[str, str] = {}
    found = []
    for file, tree in trees.items():
        for body, name in bodies(tree).items():
            if body in seen:
                found.append(f"{seen[body]} and {file}: {name}")
            else:
                seen[body] = f"{file}: {name}"
    return found


def test_no_function_or_class_stands_in_two_files():
    assert not twins({name: parsed(name) for name in FILES})


def test_twins_are_found_under_other_names_and_docstrings():
    one = ast.parse('def f(x):\n    """One."""\n    return x + 1\n')
    two = ast.parse('def g(x):\n    """Another."""\n    return x + 1\n')
    other = ast.parse("def f(x):\n    return x + 2\n")
    assert len(twins({"a.py": one, "b.py": two, "c.py": other})) == 1
