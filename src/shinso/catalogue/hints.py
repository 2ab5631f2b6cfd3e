"""The types of Setup fields from their text, so that a wrong value is refused before anything heavy is imported."""

import ast
import types
import typing
from typing import Any

from shinso.core.errors import UserError
from shinso.core.setup import parse

_NAMES: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str, "None": types.NoneType}


def hint(annotation: str) -> Any:
    """`int`, `Literal["a", "b"]`, `tuple[int, ...]`, `float | None` as typing objects; None for anything else."""
    try:
        return _read(ast.parse(annotation, mode="eval").body)
    except (SyntaxError, LookupError):
        return None


def check(annotation: str, text: str, where: str) -> None:
    """Refuses a text that does not fit the annotation; annotations beyond the plain ones are left to the import."""
    wanted = hint(annotation)
    if wanted is None:
        return
    try:
        parse(text, wanted, where)
    except (ValueError, TypeError):  # inside a tuple
        raise UserError(where, f"'{text}' is not of type {annotation}", f"give {annotation}") from None


def _read(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return _NAMES[node.id]
    if isinstance(node, ast.Constant) and node.value is None:
        return types.NoneType
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _read(node.left) | _read(node.right)
    if isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "Literal":
        choices = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return typing.Literal[tuple(ast.literal_eval(c) for c in choices)]  # pyright: ignore[reportInvalidTypeForm]
    if isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "tuple":
        inner = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) else node.slice
        return tuple[_read(inner), ...]
    raise LookupError(ast.dump(node))
