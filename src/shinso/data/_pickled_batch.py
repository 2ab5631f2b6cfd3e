"""CIFAR-10's python batches without unpickling: a reader of the one pickle that these files are.

A pickle is a program. This reader runs none of it: it walks the opcodes on a stack of plain values, knows four names
(how NumPy wrote an array) and what each may be applied to, and refuses everything else.
"""

import pickletools
from typing import Any

import numpy as np

from shinso.core.errors import UserError

RECONSTRUCT, ARRAY, DTYPE, ENCODE = "reconstruct", "ndarray", "dtype", "encode"
NAMES = {"numpy.core.multiarray _reconstruct": RECONSTRUCT, "numpy._core.multiarray _reconstruct": RECONSTRUCT,
         "numpy ndarray": ARRAY, "numpy dtype": DTYPE, "_codecs encode": ENCODE}
VALUES = frozenset({"BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "BINSTRING", "SHORT_BINSTRING", "STRING",
                    "BINBYTES", "SHORT_BINBYTES", "BINUNICODE", "SHORT_BINUNICODE", "UNICODE"})
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
MARK = object()
CURE = "put the published CIFAR-10 file in its place"


class _Name:
    def __init__(self, name: str):
        self.name = name


class _Array:
    """An array or a type under construction; BUILD hands it its state."""

    def __init__(self, kind: str, args: tuple[Any, ...]):
        self.kind, self.args = kind, args
        self.state: Any = ()


def read_batch(content: bytes, where: object) -> dict[str, Any]:
    """The dictionary in the file: text keys, lists of int or text, and uint8 arrays; else a UserError."""
    try:
        return {_text(key): _value(value) for key, value in _run(content, where).items()}
    except UserError:
        raise
    except Exception:  # pickletools and the stack raise a dozen unrelated types for damaged files
        raise UserError(where, "it is damaged or no CIFAR-10 batch", CURE) from None


def _run(content: bytes, where: object) -> dict[Any, Any]:
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    arg: Any
    for opcode, arg, _ in pickletools.genops(content):
        name = opcode.name
        if name in VALUES:
            stack.append(arg.encode("latin-1") if name in ("BINSTRING", "SHORT_BINSTRING", "STRING") else arg)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            memo[int(arg)] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(memo[int(arg)])
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            _combine(name, arg, stack, where)
    raise ValueError("no end")


def _combine(name: str, arg: Any, stack: list[Any], where: object) -> None:
    """The opcodes that join values; any other opcode or name is refused."""
    if name == "MARK":
        stack.append(MARK)
    elif name in ("EMPTY_DICT", "EMPTY_LIST"):
        stack.append({} if name == "EMPTY_DICT" else [])
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        count = int(name[-1])
        stack[-count:] = [tuple(stack[-count:])]
    elif name == "TUPLE":
        stack.append(tuple(_marked(stack)))
    elif name in ("APPEND", "APPENDS"):
        items = [stack.pop()] if name == "APPEND" else _marked(stack)
        stack[-1] += items
    elif name in ("SETITEM", "SETITEMS"):
        items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else _marked(stack)
        stack[-1].update(zip(items[::2], items[1::2], strict=True))
    elif name in ("GLOBAL", "STACK_GLOBAL"):
        wanted = arg if name == "GLOBAL" else " ".join([stack.pop(-2), stack.pop()])
        if wanted not in NAMES:
            raise UserError(where, f"it asks for {wanted.replace(' ', '.')[:60]}, which no image file needs", CURE)
        stack.append(_Name(NAMES[wanted]))
    elif name == "REDUCE":
        args, function = stack.pop(), stack.pop()
        stack.append(_applied(function.name, args))
    elif name == "BUILD":
        state = stack.pop()
        stack[-1].state = state
    else:
        raise UserError(where, f"it uses the pickle operation {name}, which no image file needs", CURE)


def _marked(stack: list[Any]) -> list[Any]:
    """Takes everything above the last mark off the stack, and the mark."""
    place = len(stack) - 1 - stack[::-1].index(MARK)
    items = stack[place + 1 :]
    del stack[place:]
    return items


def _applied(function: str, args: tuple[Any, ...]) -> Any:
    if function == ENCODE and args[1:] == ("latin1",):
        return args[0].encode("latin-1")
    if function in (RECONSTRUCT, DTYPE):
        return _Array(function, args)
    raise ValueError(function)


def _text(value: Any) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


def _value(value: Any) -> Any:
    """An array under construction becomes one; lists keep numbers and text; the rest becomes text."""
    if isinstance(value, _Array):
        _, shape, kind, fortran, raw = value.state
        if value.kind != RECONSTRUCT or _text(kind.args[0]) != "u1" or fortran:
            raise ValueError("no array of bytes")
        return np.frombuffer(raw, np.uint8).reshape(shape)
    if isinstance(value, list):
        return [item if isinstance(item, int) else _text(item) for item in value]
    return _text(value)
