"""A state tree as flat named tensors and a JSON plan, and back.

The plan repeats the tree with every array replaced by the name of its tensor. Plain values stand in it as themselves;
whatever JSON cannot say exactly is an object with a tag: {"dict": [[key, node], ...]}, {"tuple": [...]},
{"tensor": name}, {"array": name}, {"scalar": name, "dtype": ...}, {"int": hex}, {"float": hex of its 8 bytes},
{"bytes": base64}. The round trip is exact, signs of zero and payloads of NaN included.
"""

import base64
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

DEEPEST = 100
"""levels of nesting; more is a cycle or an attack"""

NATIVE = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "U16": torch.uint16, "U32": torch.uint32, "U64": torch.uint64, "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip
"""element types that safetensors files name; the others are kept as raw bytes with their type in the plan"""
_NATIVE_TYPES = frozenset(NATIVE.values())
_EXACT_INT = 2**53
_ARRAY_KINDS = "biufcSUmM"


def flatten(state: Any) -> tuple[dict[str, Tensor], Any]:
    """Contiguous CPU tensors by name, and the plan as JSON values; may alias `state`, so write before it changes.

    Raises TypeError naming the place of anything that is not a dict (str or int keys), list, tuple, dense tensor,
    numpy array or scalar, int, float, bool, str, bytes or None.
    """
    tensors: dict[str, Tensor] = {}
    return tensors, _down(state, (), tensors)


def unflatten(tensors: Mapping[str, Tensor], plan: Any) -> Any:
    """The tree that `plan` describes; tensors and arrays share memory with `tensors`.

    Raises ValueError where the plan is not one that `flatten` makes.
    """
    try:
        return _up(plan, tensors, 0)
    except (KeyError, TypeError, IndexError, AttributeError, OverflowError, RuntimeError, struct.error) as error:
        raise ValueError(f"not a tree plan: {error}") from error


def _down(value: Any, place: tuple[str | int, ...], tensors: dict[str, Tensor]) -> Any:
    if len(place) > DEEPEST:
        raise TypeError(f"{_path(place[:6])}...: nested deeper than {DEEPEST} levels")
    match value:
        case None | bool():
            return value
        case Tensor():
            return _tensor_node(value, place, tensors)
        case np.ndarray() | np.generic():
            return _array_node(value, place, tensors)
        case dict():
            return {"dict": [[_key(k, place), _down(v, (*place, k), tensors)] for k, v in value.items()]}
        case list():
            return [_down(v, (*place, i), tensors) for i, v in enumerate(value)]
        case tuple():
            return {"tuple": [_down(v, (*place, i), tensors) for i, v in enumerate(value)]}
        case _:
            return _plain_node(value, place)


def _plain_node(value: Any, place: tuple[str | int, ...]) -> Any:
    match value:
        case str():
            return str(value)
        case int():
            return int(value) if -_EXACT_INT <= value <= _EXACT_INT else {"int": hex(value)}
        case float():
            return float(value) if math.isfinite(value) else {"float": struct.pack(">d", value).hex()}
        case bytes():
            return {"bytes": base64.b64encode(value).decode("ascii")}
    raise TypeError(f"{_path(place)}: a {type(value).__name__} cannot be saved")


def _key(key: Any, place: tuple[str | int, ...]) -> str | int:
    if isinstance(key, bool) or not isinstance(key, (str, int)):
        raise TypeError(f"{_path(place)}: a key of type {type(key).__name__} cannot be saved, only str and int")
    return _plain_node(key, place)


def _tensor_node(value: Tensor, place: tuple[str | int, ...], tensors: dict[str, Tensor]) -> Any:
    if value.layout != torch.strided or value.is_quantized or value.is_meta:
        raise TypeError(f"{_path(place)}: only dense tensors with values can be saved, not {value.layout}")
    value = value.detach().resolve_conj().resolve_neg().cpu().contiguous()
    if value.dtype in _NATIVE_TYPES:
        return {"tensor": _put(value, place, tensors)}
    name = _put(value.reshape(-1).view(torch.uint8), place, tensors)
    return {"tensor": name, "dtype": str(value.dtype).removeprefix("torch."), "shape": list(value.shape)}


def _array_node(value: np.ndarray | np.generic, place: tuple[str | int, ...], tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, np.generic):
        return {"scalar": _put(_raw(np.asarray(value), place), place, tensors), "dtype": value.dtype.str}
    if type(value) not in (np.ndarray, np.memmap):
        raise TypeError(f"{_path(place)}: a {type(value).__name__} cannot be saved, only a plain numpy array")
    raw = _raw(value, place)
    try:
        tensor = torch.from_numpy(value.copy() if not value.flags.writeable else np.asarray(value, order="C"))
    except (TypeError, ValueError):  # a type or byte order that torch does not have
        return {"array": _put(raw, place, tensors), "dtype": value.dtype.str, "shape": list(value.shape)}
    if tensor.dtype in _NATIVE_TYPES:
        return {"array": _put(tensor.contiguous(), place, tensors)}
    return {"array": _put(raw, place, tensors), "dtype": value.dtype.str, "shape": list(value.shape)}


def _raw(array: np.ndarray, place: tuple[str | int, ...]) -> Tensor:
    if array.dtype.kind not in _ARRAY_KINDS:
        raise TypeError(f"{_path(place)}: a numpy array of {array.dtype} cannot be saved")
    if not array.nbytes:  # frombuffer refuses it
        return torch.empty(0, dtype=torch.uint8)
    return torch.frombuffer(bytearray(array.tobytes()), dtype=torch.uint8)


def _put(tensor: Tensor, place: tuple[str | int, ...], tensors: dict[str, Tensor]) -> str:
    name = _path(place)
    while name in tensors or name == "__metadata__":  # keys 1 and "1" may stand side by side
        name += "'"
    tensors[name] = tensor
    return name


def _path(place: tuple[str | int, ...]) -> str:
    return "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in place) or "state"


def _up(node: Any, tensors: Mapping[str, Tensor], depth: int) -> Any:
    if depth > DEEPEST:
        raise ValueError(f"not a tree plan: nested deeper than {DEEPEST} levels")
    if isinstance(node, list):
        return [_up(child, tensors, depth + 1) for child in node]
    if not isinstance(node, dict):
        return node
    match node:
        case {"dict": pairs}:
            return {_up(key, {}, depth): _up(child, tensors, depth + 1) for key, child in pairs}
        case {"tuple": children}:
            return tuple(_up(child, tensors, depth + 1) for child in children)
        case {"tensor": name}:
            return _tensor(tensors[name], node)
        case {"array": name}:
            return _array(tensors[name], node)
        case {"scalar": name, "dtype": dtype}:
            return np.ndarray((), _numpy_type(dtype), buffer=tensors[name].numpy())[()]
        case _:
            return _tagged(node)


def _tagged(node: dict[str, Any]) -> int | float | bytes:
    match node:
        case {"int": text}:
            return int(text, 16)
        case {"float": text}:
            return struct.unpack(">d", bytes.fromhex(text))[0]
        case {"bytes": text}:
            return base64.b64decode(text, validate=True)
    raise ValueError(f"not a tree plan: {list(node)[:3]}")


def _tensor(tensor: Tensor, node: dict[str, Any]) -> Tensor:
    if "dtype" not in node:
        return tensor
    dtype = getattr(torch, node["dtype"], None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"not a tree plan: no element type '{node['dtype']}'")
    return tensor.view(dtype).view(node["shape"])


def _array(tensor: Tensor, node: dict[str, Any]) -> np.ndarray:
    if "dtype" not in node:
        return tensor.numpy()
    dtype, shape = _numpy_type(node["dtype"]), tuple(node["shape"])
    if math.prod(shape) * dtype.itemsize != tensor.numel():
        raise ValueError("not a tree plan: an array's shape does not fit its bytes")
    return np.ndarray(shape, dtype, buffer=tensor.numpy())


def _numpy_type(text: str) -> np.dtype:
    dtype = np.dtype(text)
    if dtype.kind not in _ARRAY_KINDS:
        raise ValueError(f"not a tree plan: no array type '{text}'")
    return dtype
