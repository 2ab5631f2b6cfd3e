"""Every layer written by hand has the gradient of its own forward, harms nobody's arrays, and agrees with torch's twin.

A file of autodiff/byhand that has a function `example(rng) -> (layer, inputs)` is held to this; another one needs a
test at its own path. Inputs that are integers have no gradient: backward gives None there. A loss has a scalar forward
and gives the gradient of its first input. The twin is called with the inputs, then with the parameters in their order.
"""

import copy
import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sources import FILES, text

HERE = "autodiff/byhand/"
NAMES = [name.removeprefix(HERE).removesuffix(".py") for name in FILES if name.startswith(HERE)]
NAMES = [name for name in NAMES if not name.startswith("_")]
TESTS = Path(__file__).parent.parent

STEP = 1e-4
RELATIVE, FLOOR = 1e-7, 1e-9
MOST = 150
"""entries of an array that are moved one by one; of more, so many are drawn"""


def module(name):
    return importlib.import_module(f"shinso.autodiff.byhand.{name}")


def layers():
    """Found by their text, so that a file that cannot be imported fails alone."""
    return [name for name in NAMES if "\ndef example(" in text(f"{HERE}{name}.py")]


def example(name):
    return module(name).example(np.random.default_rng(7))


def several(gradient, inputs):
    """What backward returned, as one gradient per input; a loss leaves those of its targets out."""
    gradients = gradient if isinstance(gradient, tuple) else (gradient,)
    return gradients + (None,) * (len(inputs) - len(gradients))


def is_float(array):
    return np.issubdtype(np.asarray(array).dtype, np.floating)


def upstream(value, dtype=None):
    """A gradient to send back that treats every entry of the output differently."""
    weights = np.random.default_rng(8).standard_normal(np.shape(value)) + 0.5
    return weights.astype(dtype or np.asarray(value).dtype) if np.ndim(value) else float(weights)


def moved(layer, inputs, array, index, by):
    """The forward value with one entry of `array` (one of the inputs or parameters) moved."""
    kept = array[index]
    array[index] = kept + by
    value = np.array(layer.forward(*inputs))
    array[index] = kept
    return value


def derivative(layer, inputs, array, grad, index):
    """Five points: the error is of fourth order in the step."""
    near = moved(layer, inputs, array, index, STEP) - moved(layer, inputs, array, index, -STEP)
    far = moved(layer, inputs, array, index, 2 * STEP) - moved(layer, inputs, array, index, -2 * STEP)
    return float(np.sum(grad * (8 * near - far)) / (12 * STEP))


def wrong_entries(layer, inputs):
    """Where the analytical gradient of an input or a parameter differs from central differences."""
    grad = upstream(layer.forward(*inputs))
    given = several(copy.deepcopy(layer.backward(grad)), inputs)
    pairs = [(f"input {k}", x, g) for k, (x, g) in enumerate(zip(inputs, given, strict=True)) if g is not None]
    parameters = getattr(layer, "params", {})
    pairs += [(name, parameters[name], copy.deepcopy(layer.grads[name])) for name in parameters]
    found, draw = [], np.random.default_rng(9)
    for name, array, analytical in pairs:
        assert analytical.shape == array.shape, f"{name}: gradient {analytical.shape} of an array {array.shape}"
        places = list(np.ndindex(array.shape))
        if len(places) > MOST:
            places = [places[k] for k in draw.choice(len(places), MOST, replace=False)]
        for index in places:
            numerical = derivative(layer, inputs, array, grad, index)
            if not abs(numerical - analytical[index]) <= RELATIVE * abs(numerical) + FLOOR:
                found.append((name, index, float(analytical[index]), numerical))
    return found


def broken_manners(layer, inputs):
    """What a layer does to arrays that are not its own, and what it does not do twice alike."""
    kept = copy.deepcopy(inputs)
    value = layer.forward(*inputs)
    grad = upstream(value)
    sent = copy.deepcopy(grad)
    first = several(layer.backward(grad), inputs)
    remembered = copy.deepcopy(first)
    parameters = copy.deepcopy(dict(getattr(layer, "grads", {})))
    second = several(layer.backward(grad), inputs)
    found = []
    if not np.array_equal(grad, sent):
        found.append("backward changes its argument")
    if not all(np.array_equal(a, b) for a, b in zip(inputs, kept, strict=True)):
        found.append("an input is changed")
    for k, (one, two, before) in enumerate(zip(first, second, remembered, strict=True)):
        if (one is None) != (two is None) or (one is not None and not np.array_equal(before, two)):
            found.append(f"the second backward gives another gradient of input {k}")
        elif one is not None and not np.array_equal(one, before):
            found.append(f"the second backward writes into the first gradient of input {k}")
        if one is not None and any(np.shares_memory(one, other) for other in (grad, two, *inputs)):
            found.append(f"the gradient of input {k} is not a new array")
        if one is None and is_float(inputs[k]) and np.ndim(value):
            found.append(f"input {k} has no gradient")
    if not all(np.array_equal(layer.grads[name], parameters[name]) for name in parameters):
        found.append("parameters' gradients are added to, not set")
    return found


def single(array):
    return array.astype(np.float32) if is_float(array) else array


def wrong_types(layer, inputs):
    """What is not float32 although everything given is."""
    inputs = tuple(single(x) for x in inputs)
    parameters = getattr(layer, "params", {})
    for name in parameters:
        parameters[name] = single(parameters[name])
    value = layer.forward(*inputs)
    given = several(layer.backward(upstream(value, np.float32)), inputs)
    made = {f"gradient of input {k}": g for k, g in enumerate(given) if g is not None}
    made |= {f"gradient of {name}": layer.grads[name] for name in parameters}
    if np.ndim(value):
        made["value"] = value
    return [f"{name} is {array.dtype}" for name, array in made.items() if array.dtype != np.float32]


@pytest.mark.parametrize("name", NAMES)
def test_it_has_an_example_or_a_test_of_its_own(name):
    assert name in layers() or (TESTS / "autodiff" / "byhand" / f"test_{name}.py").is_file()


@pytest.mark.parametrize("name", layers())
def test_the_example_is_in_float64_and_alike_for_a_seed(name):
    (_, one), (_, two) = example(name), example(name)
    assert all(np.asarray(x).dtype == np.float64 for x in one if is_float(x))
    assert all(np.array_equal(x, y) for x, y in zip(one, two, strict=True))


@pytest.mark.parametrize("name", layers())
def test_backward_is_the_derivative_of_forward(name):
    assert not wrong_entries(*example(name))


@pytest.mark.parametrize("name", layers())
def test_nobody_elses_array_is_touched_and_twice_is_alike(name):
    assert not broken_manners(*example(name))


@pytest.mark.parametrize("name", layers())
def test_single_precision_stays_single(name):
    assert not wrong_types(*example(name))


@pytest.mark.parametrize("name", layers())
def test_a_loss_needs_no_gradient_from_above_and_is_linear_in_it(name):
    layer, inputs = example(name)
    if np.ndim(layer.forward(*inputs)) == 0:
        given = layer.backward()
        np.testing.assert_array_equal(given, layer.backward(1.0))
        np.testing.assert_allclose(layer.backward(-3.0), -3 * given, rtol=1e-14)


@pytest.mark.parametrize("name", layers())
def test_an_elementwise_layer_takes_nothing_and_gives_nothing(name):
    layer, (x, *others) = example(name)
    if others or getattr(layer, "params", {}) or np.shape(layer.forward(x)) != x.shape:
        return
    nothing = np.empty((0, *x.shape[1:]))
    assert layer.forward(nothing).shape == nothing.shape
    assert layer.backward(nothing).shape == nothing.shape


def twin(name):
    """torch's function that the file's card names, if it names one."""
    dotted = re.search(r'^    twin="([\w.]+)"', text(f"{HERE}{name}.py"), re.MULTILINE)
    if dotted is None:
        return None
    place, _, last = dotted[1].rpartition(".")
    return getattr(importlib.import_module(place), last)


@pytest.mark.parametrize("name", [name for name in layers() if twin(name)])
def test_it_agrees_with_its_twin_forward_and_backward(name):
    layer, inputs = example(name)
    value = layer.forward(*inputs)
    grad = upstream(value)
    given = several(layer.backward(grad), inputs)
    parameters = getattr(layer, "params", {})
    theirs = [torch.tensor(x, requires_grad=is_float(x)) for x in (*inputs, *parameters.values())]
    out = twin(name)(*theirs)
    close = {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(value, out.detach().numpy(), **close)
    out.backward(torch.as_tensor(grad, dtype=out.dtype))
    for mine, other in zip((*given, *(layer.grads[n] for n in parameters)), theirs, strict=True):
        if mine is not None:
            assert other.grad is not None
            np.testing.assert_allclose(mine, other.grad.numpy(), **close)


def test_importing_them_imports_no_torch():
    modules = ", ".join(f"shinso.autodiff.byhand.{name}" for name in NAMES)
    code = f"import sys, {modules}; found = {{'torch', 'scipy', 'matplotlib'}} & set(sys.modules); assert not found"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


class Bend:
    """y = a x^3 elementwise, right in every way; its heirs each have one fault."""

    def __init__(self):
        self.params, self.grads = {"a": np.array([0.7])}, {}

    def forward(self, x):
        self.x = x
        return self.params["a"] * x**3

    def backward(self, grad):
        self.grads["a"] = np.sum(grad * self.x**3, keepdims=True).reshape(1)
        return grad * 3 * self.params["a"] * self.x**2


class Sign(Bend):
    def backward(self, grad):
        return -super().backward(grad)


class SignOfTheParameter(Bend):
    def backward(self, grad):
        result = super().backward(grad)
        self.grads["a"] = -self.grads["a"]
        return result


class OneEntry(Bend):
    def backward(self, grad):
        result = super().backward(grad)
        result[0, 1] *= 1 + 1e-6
        return result


class InPlace(Bend):
    def backward(self, grad):
        grad *= super().backward(np.ones_like(grad))
        return grad


class WritesItsInput(Bend):
    def forward(self, x):
        super().forward(x.copy())
        x[x < 0] = 0
        return self.params["a"] * self.x**3


class Adds(Bend):
    def backward(self, grad):
        before = self.grads.get("a", 0)
        result = super().backward(grad)
        self.grads["a"] = self.grads["a"] + before
        return result


class SameArray(Bend):
    def backward(self, grad):
        self.kept = getattr(self, "kept", np.zeros_like(grad))
        self.kept += super().backward(grad)
        return self.kept


class Double(Bend):
    def forward(self, x):
        return super().forward(x) * np.float64(1)


INPUTS = (np.array([[0.3, -1.2], [2.0, 0.9]]),)


@pytest.mark.parametrize("check", [wrong_entries, broken_manners, wrong_types])
def test_the_contract_accepts_what_is_right(check):
    assert not check(Bend(), copy.deepcopy(INPUTS))


@pytest.mark.parametrize(("fault", "check"), [
    (Sign, wrong_entries), (SignOfTheParameter, wrong_entries), (OneEntry, wrong_entries), (InPlace, broken_manners),
    (WritesItsInput, broken_manners), (Adds, broken_manners), (SameArray, broken_manners), (Double, wrong_types),
])
def test_the_contract_sees_a_planted_fault(fault, check):
    assert check(fault(), copy.deepcopy(INPUTS))
