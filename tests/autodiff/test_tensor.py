"""The tensor engine: what it accumulates, what it refuses, and that it forgets what nobody needs."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch

from shinso.autodiff import functions as F
from shinso.autodiff.forward import Dual, hessian, hvp, jacobian, jvp
from shinso.autodiff.tensor import Tensor, detect_anomaly, grad, no_grad
from shinso.core.errors import UserError

DRAW = np.random.default_rng(0)


def leaf(*shape, dtype=np.float64):
    return Tensor(DRAW.normal(size=shape).astype(dtype), requires_grad=True)


def refused(words, call):
    """The call raises one sentence with all of the words in it."""
    with pytest.raises(UserError) as caught:
        call()
    assert all(word in str(caught.value) for word in words.split("|")), str(caught.value)
    assert "\n" not in str(caught.value)


def test_importing_the_engine_imports_numpy_alone():
    code = ("import sys; import shinso.autodiff.scalar, shinso.autodiff.functions, shinso.autodiff.forward; "
            "assert not {'torch', 'scipy', 'numba', 'sympy', 'sklearn'} & set(sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Gradients


def test_the_course_example_gives_17_3_1_and_then_6_2():
    x, w, b = Tensor(3.0), Tensor(4.0, requires_grad=True), Tensor(5.0, requires_grad=True)
    y = w * x + b
    y.backward(retain_graph=True)
    assert (y.item(), w.grad, b.grad, x.grad) == (17, 3, 1, None)
    y.backward()
    assert (w.grad, b.grad) == (6, 2)
    w.zero_grad()
    assert w.grad is None


def test_gradients_accumulate_in_the_array_that_is_there():
    w = leaf(3, 2)
    (w * 2).sum().backward()
    first = w.grad
    (w * 3).sum().backward()
    assert w.grad is first and np.all(first == 5)


def test_a_gradient_that_somebody_holds_is_not_written_over():
    x, w, b = DRAW.normal(size=(4, 3)), leaf(3, 2), leaf(2)
    F.affine(x, w, b).sum().backward()
    held, kept = w.grad, w.grad.copy()
    w.zero_grad()
    (F.affine(x, w, b) * 5).sum().backward()
    assert np.array_equal(held, kept) and not np.array_equal(held, w.grad)


def test_the_memory_of_a_gradient_is_used_again():
    x, w, b = DRAW.normal(size=(4, 3)), leaf(3, 2), leaf(2)
    F.affine(x, w, b).sum().backward()
    place, value = w.grad.ctypes.data, w.grad.copy()
    w.zero_grad()
    F.affine(x, w, b).sum().backward()
    assert w.grad.ctypes.data == place and np.array_equal(w.grad, value)


def test_two_leaves_never_share_the_memory_of_a_gradient():
    a, b = leaf(3), leaf(3)
    (a + b).sum().backward()
    a.grad += 1
    assert np.array_equal(b.grad, np.ones(3))
    first, second = grad((a + b).sum(), (a, b))
    first += 1
    assert np.array_equal(second, np.ones(3))


def test_the_biases_of_two_vectors_do_not_share_a_gradient():
    x, w, a, b = DRAW.normal(size=3), leaf(3, 2), leaf(2), leaf(2)
    (F.affine(x, w, a) + F.affine(x, w, b)).sum().backward()
    a.grad += 1
    assert np.array_equal(b.grad, np.ones(2))


def test_an_input_that_plays_no_part_gets_zeros():
    a, b = leaf(3), leaf(2, 2)
    assert np.array_equal(grad((a * a).sum(), (a, b))[1], np.zeros((2, 2)))


def test_the_gradient_of_a_tensor_by_itself_and_by_what_lies_between():
    x = leaf(3)
    y = x * x
    z = (y * 3).sum()
    assert np.array_equal(grad(z, (y, x), retain_graph=True)[0], np.full(3, 3.0))
    assert grad(z, z) == 1


def test_retain_grad_keeps_the_gradient_of_a_computed_tensor():
    x = leaf(3)
    y = (x * 2).retain_grad()
    (y * y).sum().backward()
    np.testing.assert_allclose(y.grad, 2 * y.data)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_type_is_kept_beside_scalars_and_arrays_of_numbers(dtype):
    x = leaf(3, 4, dtype=dtype)
    y = (2.0 * x + 1 - np.float64(0.5) * x / np.sqrt(2.0) + np.int64(3) * x**2).mean() * 3.0
    y = F.maximum(y, 0.1) + F.where(y > 0, y, 0.0) + F.clip(y, -1, 1) + F.softplus(y) + abs(y)
    y.backward()
    assert y.dtype == x.grad.dtype == dtype


def test_mixed_types_give_each_leaf_a_gradient_of_its_own_type():
    a, b = leaf(3, dtype=np.float32), leaf(3)
    (a * b).sum().backward()
    assert (a.grad.dtype, b.grad.dtype) == (np.float32, np.float64)


def test_integer_and_boolean_tensors_take_part():
    x, ids = leaf(4), Tensor(np.array([0, 2, 2]))
    (x[ids] * ids * Tensor(np.array([True, True, False]))).sum().backward()
    np.testing.assert_array_equal(x.grad, [0, 0, 2, 0])


def test_ties_share_the_gradient_as_in_torch():
    values = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    for ours, theirs in ((lambda x: x.max(1), lambda x: x.amax(1)), (lambda x: x.min(), lambda x: x.amin()),
                         (lambda x: F.maximum(x, x[:, ::-1]), lambda x: torch.maximum(x, x.flip(1))),
                         (F.relu, torch.relu), (abs, torch.abs), (lambda x: x.clip(2, 3), lambda x: x.clamp(2, 3))):
        x, u = Tensor(values - 2, requires_grad=True), torch.tensor(values - 2, requires_grad=True)
        ours(x).sum().backward()
        theirs(u).sum().backward()
        np.testing.assert_array_equal(x.grad, u.grad.numpy())


def test_the_first_of_equal_entries_of_a_window_receives():
    x, u = Tensor(np.ones((1, 2, 4, 4)), requires_grad=True), torch.ones(1, 2, 4, 4, requires_grad=True)
    F.max_pool2d(x, 3, 1).sum().backward()
    torch.nn.functional.max_pool2d(u, 3, 1).sum().backward()
    np.testing.assert_array_equal(x.grad, u.grad.numpy())


@pytest.mark.parametrize(("kernel", "stride", "padding"),
                         [(1, 1, 0), (3, 1, 1), (2, 2, 0), ((3, 2), (1, 2), (0, 1)), (5, 3, 2)])
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_convolution_is_torchs(kernel, stride, padding, batch):
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    x, w, b = leaf(batch, 3, 7, 6), leaf(4, 3, *kernel), leaf(4)
    u, v, c = (torch.tensor(t.data, requires_grad=True) for t in (x, w, b))
    y, z = F.conv2d(x, w, b, stride, padding), torch.nn.functional.conv2d(u, v, c, stride, padding)
    g = DRAW.normal(size=y.shape)
    y.backward(g)
    z.backward(torch.as_tensor(g))
    for ours, theirs in ((y.data, z), (x.grad, u.grad), (w.grad, v.grad), (b.grad, c.grad)):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bias", [None, leaf(3)])
def test_second_derivatives_through_a_convolution_are_torchs(bias):
    x, w = leaf(2, 2, 6, 6), leaf(3, 2, 3, 3)
    u, v = (torch.tensor(t.data, requires_grad=True) for t in (x, w))
    c = None if bias is None else torch.tensor(bias.data)
    y = F.avg_pool2d(F.max_pool2d(F.tanh(F.conv2d(x, w, bias, padding=1)), 2), 2, 1)
    g = grad((y * y).sum(), (x, w), create_graph=True)
    (g[0] * g[0]).sum().backward()
    pool = torch.nn.functional.max_pool2d(torch.tanh(torch.nn.functional.conv2d(u, v, c, padding=1)), 2)
    z = torch.nn.functional.avg_pool2d(pool, 2, 1)
    h = torch.autograd.grad((z * z).sum(), (u, v), create_graph=True)
    (h[0] * h[0]).sum().backward()
    np.testing.assert_allclose(x.grad, u.grad.numpy(), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(w.grad, v.grad.numpy(), rtol=1e-11, atol=1e-12)


def test_a_convolution_is_one_node_and_never_holds_all_of_its_columns():
    x, w, b = leaf(32, 4, 32, 32), leaf(8, 4, 5, 5), leaf(8)
    columns = x.size * 25 * 8
    tracemalloc.start()
    y = F.conv2d(x, w, b, padding=2)
    assert [t.op for t in y.graph()] == ["conv2d"]
    y.backward(np.ones(y.shape))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < columns / 2


@pytest.mark.parametrize("text", ["ij,jk->ik", "bij,bjk->bik", "ii->i", "ii", "i,j->ij", "ijk->", "iij,j->i",
                                  "ij,ij->j", "bhqd,bhkd->bhqk"])
def test_einsum_is_torchs(text):
    sizes = dict(zip("bhqkdij", (2, 3, 4, 3, 2, 3, 3), strict=True))
    xs = [leaf(*(sizes[c] for c in term)) for term in text.split("->")[0].split(",")]
    us = [torch.tensor(x.data, requires_grad=True) for x in xs]
    y, z = F.einsum(text, *xs), torch.einsum(text, *us)
    np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-12)
    (y * y).sum().backward()
    (z * z).sum().backward()
    for x, u in zip(xs, us, strict=True):
        np.testing.assert_allclose(x.grad, u.grad.numpy(), rtol=1e-12, atol=1e-13)


def test_repeated_rows_of_an_embedding_add_up_and_absent_rows_stay_zero():
    w, ids = leaf(6, 3), np.array([[1, 4, 1], [1, 0, 4]])
    F.embedding(w, ids).sum().backward()
    np.testing.assert_array_equal(w.grad[:, 0], [1, 3, 0, 0, 2, 0])


def test_cross_entropy_is_torchs_and_stands_large_logits():
    x, t = Tensor(np.array([[1e4, 0.0, -1e4], [0.0, 1.0, 2.0]]), requires_grad=True), np.array([0, 2])
    u = torch.tensor(x.data, requires_grad=True)
    loss, other = F.cross_entropy(x, t), torch.nn.functional.cross_entropy(u, torch.as_tensor(t))
    loss.backward()
    other.backward()
    assert loss.item() == pytest.approx(other.item(), rel=1e-14)
    np.testing.assert_allclose(x.grad, u.grad.numpy(), rtol=1e-14)


@pytest.mark.parametrize("target", [np.array([0, 2, 1, 1]), np.full((4, 3), 1 / 3)])
def test_cross_entropy_goes_back_twice_by_its_note_and_without_it(target):
    x = leaf(4, 3)
    loss = F.cross_entropy(x, target)
    first, second = (grad(loss, x, retain_graph=True) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, grad(loss, x, create_graph=True).data, rtol=1e-14, atol=1e-16)
    assert loss.note is not None
    loss.backward()
    assert loss.note is None
    with no_grad():
        assert F.cross_entropy(x, target).note is None


def test_numpys_own_functions_answer_to_tensors():
    x = leaf(2, 3)
    y = np.exp(x) @ np.ones((3, 1)) + np.where(x > 0, x, 0).sum() - np.concatenate([x, x]).mean()
    y = y + np.maximum(x, 0.0).max()
    y.sum().backward()
    assert x.grad.shape == (2, 3) and isinstance(np.ones(3) * x, Tensor)


# Other modes


def test_jacobian_both_ways_and_hessian_are_torchs():
    a, x = DRAW.normal(size=(4, 3)), DRAW.normal(size=3)

    def f(v):
        return F.tanh(a @ v) * F.exp(v).sum()

    def g(v):
        return torch.tanh(torch.as_tensor(a) @ v) * v.exp().sum()

    expected = torch.autograd.functional.jacobian(g, torch.as_tensor(x)).numpy()
    np.testing.assert_allclose(jacobian(f, x), expected, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(jacobian(f, x, mode="forward"), expected, rtol=1e-13, atol=1e-14)
    twice = torch.autograd.functional.hessian(lambda v: g(v).square().sum(), torch.as_tensor(x)).numpy()
    np.testing.assert_allclose(hessian(lambda v: (f(v) ** 2).sum(), x), twice, rtol=1e-12, atol=1e-12)
    v = DRAW.normal(size=3)
    np.testing.assert_allclose(hvp(lambda v: (f(v) ** 2).sum(), x, v), twice @ v, rtol=1e-12, atol=1e-12)
    assert np.array_equal(hvp(lambda v: v.sum(), x, v), np.zeros(3))
    refused("no mode|sideways", lambda: jacobian(f, x, mode="sideways"))


def test_forward_mode_takes_constants_and_tensors_on_either_side():
    w, x, t = leaf(3, 3), DRAW.normal(size=3), DRAW.normal(size=3)
    value, slope = jvp(lambda v: w @ v + v * 2.0 - F.affine(v.reshape(1, -1), w, np.ones(3))[0], (x,), (t,))
    np.testing.assert_allclose(slope.data, w.data @ t + 2 * t - t @ w.data, rtol=1e-13)
    assert slope.requires_grad and value.requires_grad
    assert jvp(lambda v: 3.0, (x,), (t,))[1] == 0
    refused("Dual|(3,)|(2,)", lambda: Dual(x, np.ones(2)))
    refused("matmul|(2, 2)", lambda: jvp(lambda v: v @ np.ones((2, 2)), (x,), (t,)))


def test_a_third_derivative():
    x = Tensor(1.5, requires_grad=True)
    y = x**4
    for factor in (4 * 1.5**3, 12 * 1.5**2, 24 * 1.5):
        y = grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(factor, rel=1e-14)


# Long chains and memory


def test_long_chains_go_back_and_are_dropped_without_recursion():
    x = Tensor(1.0, requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y * 1.0
    y.backward()
    assert x.grad == 1.0
    for _ in range(200_000):
        y = y * 1.0
    del y


def test_nothing_is_kept_without_gradients_over_a_thousand_calls():
    w, b, x = leaf(50, 50), leaf(50), DRAW.normal(size=(20, 50))

    def calls(n):
        with no_grad():
            y = x
            for _ in range(n):
                y = F.tanh(F.affine(y, w, b))
        return y

    calls(10)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    y = calls(1000)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert not y.requires_grad and y.inputs == () and grown < 3 * y.data.nbytes


def test_backward_frees_the_graph_as_it_goes():
    def peak(retain):
        x = Tensor(np.ones(10_000), requires_grad=True)
        tracemalloc.start()
        y = x
        for _ in range(40):
            y = F.exp(y * 0.01)
        y.sum().backward(retain_graph=retain)
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        del y
        return after

    assert peak(False) < 0.2 * peak(True)


def test_recording_is_switched_back_on_after_an_error():
    with pytest.raises(ZeroDivisionError), no_grad():
        _ = 1 / 0
    assert (leaf(2) * 2).requires_grad


# What is refused


def test_shapes_that_do_not_fit_are_named_with_their_operation():
    refused("add|(2, 3)|(4,)", lambda: leaf(2, 3) + leaf(4))
    refused("matmul|(2, 3)|(2, 3)", lambda: leaf(2, 3) @ leaf(2, 3))
    refused("affine|(5, 3)|(2, 4)", lambda: F.affine(leaf(5, 3), leaf(2, 4), leaf(4)))
    refused("reshape|(2, 3)", lambda: leaf(2, 3).reshape(4))
    refused("concatenate|(2, 3)|(2,)", lambda: F.concatenate([leaf(2, 3), leaf(2)]))
    refused("conv2d|(1, 2, 5, 5)|(3, 4, 3, 3)", lambda: F.conv2d(leaf(1, 2, 5, 5), leaf(3, 4, 3, 3)))
    refused("im2col|(7, 7)|(1, 2, 5, 5)", lambda: F.im2col(leaf(1, 2, 5, 5), 7))
    refused("conv2d|(2,)|(3, 2, 2, 2)", lambda: F.conv2d(leaf(1, 2, 5, 5), leaf(3, 2, 2, 2), leaf(2)))
    refused("conv2d|(7, 7)|(1, 2, 5, 5)", lambda: F.conv2d(leaf(1, 2, 5, 5), leaf(3, 2, 7, 7)))
    refused("cross_entropy|(4, 3)|(3,)", lambda: F.cross_entropy(leaf(4, 3), np.array([0, 1, 2])))
    refused("cross_entropy|3 classes", lambda: F.cross_entropy(leaf(2, 3), np.array([0, 3])))
    refused("embedding|4 rows", lambda: F.embedding(leaf(4, 3), np.array([4])))
    refused("embedding|float64", lambda: F.embedding(leaf(4, 3), np.array([1.0])))
    refused("getitem|(3,)", lambda: leaf(3)[5])
    refused("einsum|(2, 3)", lambda: F.einsum("i->i", leaf(2, 3)))
    refused("backward|(2,)|(3,)", lambda: (leaf(3) * 2).backward(np.ones(2)))


def test_whole_numbers_have_no_gradient():
    refused("int64|(3,)", lambda: Tensor([1, 2, 3], requires_grad=True))
    refused("bool|()", lambda: Tensor(True, requires_grad=True))
    refused("grad|(3,)|int64", lambda: grad(leaf(3).sum(), Tensor([1, 2, 3])))


def test_a_missing_graph_and_a_missing_gradient_are_told():
    refused("backward|(2,)", lambda: Tensor(np.ones(2)).backward())
    refused("backward|(3,)|sum it up", lambda: (leaf(3) * 2).backward())
    with no_grad():
        y = leaf(3).sum()
    refused("not computed|no_grad", lambda: y.backward())


def test_a_second_backward_through_a_freed_graph_is_told():
    x = leaf(3)
    y = F.exp(x)
    z = y.sum()
    z.backward()
    refused("sum|freed|retain_graph", lambda: z.backward())
    refused("exp|(3,)|freed", lambda: (y * 2).sum().backward())


def test_a_value_changed_after_it_was_used_is_told():
    x, w = leaf(3), leaf(3)
    y = x * w
    with no_grad():
        w += 1.0
    refused("multiply|input 2|(3,)|in place", lambda: y.sum().backward())
    z = F.exp(x)
    with no_grad():
        z *= 2.0
    refused("exp|result|in place", lambda: z.sum().backward())
    v = leaf(2, 2)
    y = v * v
    row = v.detach()[0]
    row[0] = 5.0
    refused("multiply|(2, 2)", lambda: y.sum().backward())


def test_a_view_shares_its_changes_and_a_copy_does_not():
    x = leaf(4)
    y = x * x
    with no_grad():
        copy, view = x[np.array([0, 1])], x[:2]
        copy += 1.0
    y.backward(np.ones(4), retain_graph=True)
    with no_grad():
        view += 1.0
    refused("multiply|input 1|(4,)", lambda: y.sum().backward())


def test_what_is_not_needed_may_change():
    x, b = leaf(3), leaf(3)
    y = (x + b).sum()
    with no_grad():
        b -= 0.5
    y.backward()
    assert np.array_equal(b.grad, np.ones(3))


def test_in_place_on_a_leaf_and_item_assignment_in_a_graph_are_refused():
    x = leaf(3)

    def add():
        y = x
        y += 1.0

    def assign():
        y = x * 2
        y[0] = 1.0

    refused("in-place add|(3,)|no_grad", add)
    refused("item assignment|(3,)|no_grad", assign)
    total = Tensor(0.0)
    for _ in range(3):
        total += x.sum()  # nothing is lost: this records a new tensor
    total.backward()
    assert np.array_equal(x.grad, np.full(3, 3.0))
    refused("in-place add|(2,)|(3,)", lambda: Tensor(np.ones(2)).__iadd__(np.ones(3)))


def test_the_operation_that_made_the_first_nan_is_named():
    x = Tensor(np.array([-1.0, 2.0]), requires_grad=True)
    with np.errstate(all="ignore"), detect_anomaly():
        refused("log|NaN|(2,)", lambda: F.exp(F.log(x)))
        z = Tensor(np.array([0.0, 1.0]), requires_grad=True)
        refused("the gradient of sqrt|infinity|(2,)", lambda: F.sqrt(z).sum().backward())


def test_a_tensor_of_a_graph_is_not_taken_for_a_plain_array():
    refused("(3,)|tensor.data", lambda: np.asarray(leaf(3)))
    refused("svd|no rule", lambda: np.linalg.svd(leaf(3, 3)))
    refused("np.floor|no rule", lambda: np.floor(leaf(3)))
    assert np.array_equal(np.asarray(Tensor([1.0])), [1.0])


@pytest.mark.parametrize("values", ["abc", [[1, 2], [3]], [None], [1j]])
def test_what_is_no_array_of_real_numbers_is_refused_in_one_sentence(values):
    with pytest.raises(UserError, match="Tensor"):
        Tensor(values)
