"""A state tree survives flattening, JSON and unflattening exactly, in value and in type."""

import json
import math
import struct
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from shinso.engine.tree import NATIVE, flatten, unflatten


def through_json(state: Any) -> Any:
    tensors, plan = flatten(state)
    assert all(t.is_contiguous() and t.device.type == "cpu" and t.dtype in NATIVE.values() for t in tensors.values())
    return unflatten(tensors, json.loads(json.dumps(plan)))


def bits(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def same(a: Any, b: Any) -> bool:
    """Equal to the bit and of the same type; nan equals nan."""
    if type(a) is not type(b):
        return False
    match a:
        case Tensor():
            return a.dtype == b.dtype and a.shape == b.shape and bits(a) == bits(b)
        case np.ndarray() | np.generic():
            return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        case float():
            return struct.pack(">d", a) == struct.pack(">d", b)
        case dict():
            return list(map(repr, a)) == list(map(repr, b)) and all(same(a[k], b[k]) for k in a)
        case list() | tuple():
            return len(a) == len(b) and all(map(same, a, b))
    return a == b


ARRAYS = hnp.arrays(
    st.one_of(hnp.boolean_dtypes(), hnp.integer_dtypes(endianness="?"), hnp.unsigned_integer_dtypes(endianness="?"),
              hnp.floating_dtypes(endianness="?"), hnp.complex_number_dtypes(endianness="?"),
              hnp.unicode_string_dtypes(max_len=5), hnp.byte_string_dtypes(max_len=5), hnp.datetime64_dtypes()),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))  # fmt: skip
TENSOR_TYPES = [*NATIVE.values(), torch.complex64, torch.complex128]


@st.composite
def torch_tensors(draw: st.DrawFn) -> Tensor:
    dtype = draw(st.sampled_from(TENSOR_TYPES))
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    count = math.prod(shape) * dtype.itemsize
    raw = bytearray(draw(st.binary(min_size=count, max_size=count)))
    if dtype == torch.bool:
        raw = bytearray(b & 1 for b in raw)
    tensor = torch.frombuffer(raw, dtype=torch.uint8).view(dtype).view(shape) if count else torch.zeros(shape).to(dtype)
    return tensor.mT if tensor.ndim >= 2 and draw(st.booleans()) else tensor


LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.integers(-(2**200), 2**200), st.floats(), st.text(),
                   st.binary(max_size=40), ARRAYS, torch_tensors())  # fmt: skip
KEYS = st.one_of(st.text(max_size=8), st.integers(), st.sampled_from(["1", "a/b", "a~1b", "__metadata__", "tensor"]))
TREES = st.recursive(
    LEAVES,
    lambda inner: st.dictionaries(KEYS, inner, max_size=4) | st.lists(inner, max_size=4)
    | st.lists(inner, max_size=4).map(tuple), max_leaves=12)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(TREES)
def test_every_tree_comes_back_exactly(tree: Any):
    back = through_json(tree)
    assert same(back, tree), (back, tree)


@pytest.mark.parametrize("value", [
    0.1, -0.0, 5e-324, 1.7976931348623157e308, math.nan, -math.nan, math.inf, -math.inf, 1.0, 1,
    2**53, 2**53 + 1, 2**128 - 1, -(2**300), 10**5000, True, None, "", "\ud800 日本語 🎉", b"", b"\x00\xff",
    np.float64(0.1), np.float32(math.nan), np.int64(-3), np.bool_(True), np.str_("犬"), np.float16(1.5),
    np.float64(2).astype(">f8"), np.array(3.5), np.zeros((0, 3)), np.array(["a", "犬"]), np.arange(6)[::-2],
    np.arange(3, dtype=">i4"), np.longdouble(1) / 3, {}, [], (), {"": ()}, [[], [()]],
], ids=lambda v: f"{type(v).__name__}-{str(v)[:12]!a}" if not isinstance(v, int) else f"int-{hex(v)[:12]}")  # fmt: skip
def test_edge_values_come_back_exactly(value: Any):
    assert same(through_json(value), value)


def test_generator_states_come_back_exactly():
    for bits_of in (np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64):
        state = bits_of(5).state
        assert same(through_json(state), state)
    state = torch.Generator().manual_seed(3).get_state()
    assert same(through_json(state), state)


def test_awkward_tensors_come_back_by_value():
    base = torch.arange(24.0).reshape(4, 6)
    parameter = torch.nn.Parameter(base.clone())
    state = OrderedDict(view=base[1:3, ::2], same=base, again=base, wide=torch.ones(1).expand(5), turned=base.T,
                        conjugate=torch.randn(3, dtype=torch.complex64).conj(), parameter=parameter,
                        zero=torch.tensor(7),
                        negative=torch.randn(2, dtype=torch.complex128).conj().imag)  # fmt: skip
    back = through_json(state)
    for name, tensor in state.items():
        assert torch.equal(back[name], tensor) and back[name].dtype == tensor.dtype, name
    assert not back["parameter"].requires_grad


def test_read_only_and_mapped_arrays_are_kept(tmp_path):
    fixed = np.arange(5.0)
    fixed.flags.writeable = False
    mapped = np.memmap(tmp_path / "m", dtype=np.int32, shape=(3,), mode="w+")
    back = through_json({"fixed": fixed, "mapped": mapped})
    assert np.array_equal(back["fixed"], fixed) and np.array_equal(back["mapped"], mapped)


def test_names_of_equal_looking_keys_stay_apart():
    state = {1: torch.ones(1), "1": torch.zeros(1), "a": {"b": torch.full((1,), 2)}, "a/b": torch.full((1,), 3)}
    tensors, _ = flatten(state)
    assert len(tensors) == 4
    assert same(through_json(state), state)


@pytest.mark.parametrize(("state", "place"), [
    ({"a": [1, {2, 3}]}, "a/1"), ({"a": object()}, "a"), ({"deep": {"x": (1, torch.float32)}}, "deep/x/1"),
    ({"a": torch.ones(2).to_sparse()}, "a"), ({"a": torch.empty(2, device="meta")}, "a"), ({"b": 1j}, "b"),
    ({"o": np.array([object()])}, "o"), ({"m": np.ma.array([1.0])}, "m"), ({"r": np.zeros(2, "i4,f4")}, "r"),
    ({"k": {1.5: 2}}, "k"), ({"k": {True: 2}}, "k"), (torch.device("cpu"), "state"), ({"f": len}, "f"),
])  # fmt: skip
def test_what_cannot_be_saved_is_refused_by_its_place(state: Any, place: str):
    with pytest.raises(TypeError, match=f"^{place}: "):
        flatten(state)


def test_a_cycle_is_refused():
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(TypeError, match="nested deeper"):
        flatten(cycle)


@pytest.mark.parametrize("plan", [
    {}, {"pickle": "x"}, {"dict": 3}, {"dict": [[1, 2, 3]]}, {"dict": [[["a"], 1]]}, {"tensor": "missing"},
    {"tensor": []},
    {"tensor": "t", "dtype": "load", "shape": [1]}, {"tensor": "t", "dtype": "float64", "shape": [3]},
    {"tensor": "t", "dtype": "float32"}, {"array": "t", "dtype": "|O", "shape": [1]},
    {"array": "t", "dtype": "<f8", "shape": [2**60]}, {"array": "t", "dtype": "<f8", "shape": [-1, -1]},
    {"scalar": "t", "dtype": "|O"}, {"int": "zz"}, {"int": 5}, {"float": "00"}, {"bytes": "%%"}, {"bytes": 1},
])  # fmt: skip
def test_a_forged_plan_is_a_value_error(plan: Any):
    with pytest.raises(ValueError):
        unflatten({"t": torch.zeros(8, dtype=torch.uint8)}, plan)


def test_a_bottomless_plan_is_a_value_error():
    plan: Any = 1
    for _ in range(200):
        plan = [plan]
    with pytest.raises(ValueError, match="nested deeper"):
        unflatten({}, plan)
