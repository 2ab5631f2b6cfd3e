"""Every kernel has its equal in plain PyTorch, with the same parameters, in the same file."""

import ast
import importlib
import inspect

import pytest
from sources import FILES, package, parsed

PLAIN = "_plain"
KERNELS = [(name, node.name.removesuffix(PLAIN)) for name in FILES if package(name) == "kernels"
           for node in parsed(name).body if isinstance(node, ast.FunctionDef) and node.name.endswith(PLAIN)]
NATIVE = [name for name in FILES if package(name) == "kernels" and name.endswith("_native.py")]


def test_there_are_kernels():
    assert KERNELS


@pytest.mark.parametrize("name", NATIVE)
def test_a_native_form_stands_beside_a_file_with_its_plain_twin(name):
    assert name.replace("_native.py", ".py") in {file for file, _ in KERNELS}


@pytest.mark.parametrize(("file", "kernel"), KERNELS)
def test_kernel_and_twin_take_the_same_and_say_what_they_do(file, kernel):
    loaded = importlib.import_module(f"shinso.kernels.{file.split('/')[-1].removesuffix('.py')}")
    ours, twin = getattr(loaded, kernel), getattr(loaded, kernel + PLAIN)
    assert inspect.signature(ours) == inspect.signature(twin)
    assert ours.__doc__ and twin.__doc__


@pytest.mark.parametrize(("file", "kernel"), KERNELS)
def test_a_kernel_is_compared_with_its_twin_by_a_test(file, kernel):
    from test_house import TESTS

    tests = [f.read_text(encoding="utf-8") for f in (TESTS / "kernels").glob("test_*.py")]
    assert any(kernel in source and (kernel + PLAIN) in source for source in tests), f"no test compares {kernel}"
