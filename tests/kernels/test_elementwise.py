"""update equals update_plain: every word of a rule, every layout, every number of states; and reads memory rightly."""

import numpy as np
import pytest
import torch

from shinso.kernels import elementwise
from shinso.kernels.elementwise import (
    Places,
    absolute,
    maximum,
    minimum,
    native,
    sign,
    sqrt,
    update,
    update_plain,
    where,
)


def plain_step(w, g, s, h):
    return w - h[0] * g, ()


def one_state(w, g, s, h):
    v = h[1] * s[0] + g
    return w - h[0] * v, (v,)


def every_word(w, g, s, h):
    a, b, c, d = s
    a = h[1] * a + h[0] * g
    b = maximum(minimum(b, absolute(a)), h[0])
    c = where((a > b) & (g > h[2]), a, c * g)
    d = maximum(d, sqrt(absolute(c)) + h[0])
    return w - h[0] * sign(g) * a / d, (a, b, c, d)


RULES = [(plain_step, 0, (0.1,)), (one_state, 1, (0.1, 0.9)), (every_word, 4, (0.1, 0.9, 0.0))]


@pytest.fixture
def runs(monkeypatch):
    """How many rows each native call was given."""
    module, count = native("elementwise"), []
    if module is None:
        pytest.skip("no Numba on this machine")
    original = module.run
    monkeypatch.setattr(module, "run", lambda *a: (count.append(len(a[1].rows)), original(*a))[1])
    return count


def columns(number, dtype, shapes=((5,), (), (0,), (3, 4, 2, 2), (70, 3)), layout=torch.contiguous_format):
    draw = torch.Generator().manual_seed(1)
    made = [[torch.randn(shape, generator=draw, dtype=dtype) for shape in shapes] for _ in range(2 + number)]
    return [[t.contiguous(memory_format=layout) if t.dim() == 4 else t for t in column] for column in made]


def copies(made):
    return [[torch.empty_like(t).copy_(t) for t in column] for column in made]


@pytest.mark.parametrize(("rule", "number", "numbers"), RULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("turn", [(1.0, 0.0), (-1.0, 0.01)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_native_form_equals_the_plain_one(rule, number, numbers, dtype, turn, layout, runs):
    ours, places = columns(number, dtype, layout=layout), Places()
    theirs = copies(ours)
    for _ in range(3):
        update(rule, ours, numbers, turn, places)
        update_plain(rule, theirs, numbers, turn)
    assert len(runs) == 3
    for mine, other in zip(ours, theirs, strict=True):
        for a, b in zip(mine, other, strict=True):
            within = (1e-5, 1e-6) if dtype == torch.float32 else (1e-13, 1e-14)
            torch.testing.assert_close(a, b, rtol=within[0], atol=within[1])


def test_gradients_are_only_read(runs):
    ours = columns(1, torch.float32)
    before = [g.clone() for g in ours[1]]
    update(one_state, ours, (0.1, 0.9), (-1.0, 0.5))
    assert runs and all(torch.equal(a, b) for a, b in zip(ours[1], before, strict=True))


def test_neighbours_in_memory_are_one_row(runs):
    together = [list(torch.randn(4, 6).unbind()) for _ in range(3)]
    expected = copies(together)
    update(one_state, together, (0.1, 0.9), (1.0, 0.0))
    update_plain(one_state, expected, (0.1, 0.9), (1.0, 0.0))
    assert runs == [1]
    for a, b in zip(together[0], expected[0], strict=True):
        torch.testing.assert_close(a, b)


def test_a_tensor_that_moved_is_found_where_it_is_now(runs):
    ours, places = columns(1, torch.float32), Places()
    update(one_state, ours, (0.1, 0.9), (1.0, 0.0), places)
    old = ours[0][0].clone()
    ours[0][0].data, kept = ours[0][0].clone(), ours[0][0].data
    update(one_state, ours, (0.1, 0.9), (1.0, 0.0), places)
    assert torch.equal(kept, old) and not torch.equal(ours[0][0], old)


@pytest.mark.parametrize("change", [
    lambda t: t.half(), lambda t: t.double(), lambda t: t[:, :2], lambda t: t.t(), lambda t: t[:, :1].expand(4, 6),
])
def test_what_does_not_fit_takes_the_plain_form_or_fails_as_it_does(change, runs):
    """A gradient of another type, shape or layout: never read as if it were the weight's."""
    weight = torch.zeros(4, 6)
    grad = change(torch.arange(24.0).view(4, 6))
    try:
        expected = weight - 0.1 * grad
    except RuntimeError:
        with pytest.raises(RuntimeError):
            update(plain_step, [[weight], [grad]], (0.1,), (1.0, 0.0))
    else:
        update(plain_step, [[weight], [grad]], (0.1,), (1.0, 0.0))
        torch.testing.assert_close(weight, expected.float())
    assert not runs


def test_a_view_with_gaps_is_updated_alone(runs):
    whole = torch.ones(6, 6)
    update(plain_step, [[whole[:, ::2]], [torch.ones(6, 3)]], (0.5,), (1.0, 0.0))
    assert not runs and whole.sum() == 27 and (whole[:, 1::2] == 1).all()


def test_complex_tensors_are_pairs():
    w, g = torch.tensor([1 + 2j, 3 - 1j]), torch.tensor([1j, 2 + 0j])
    update(plain_step, [[w], [g]], (0.5,), (1.0, 0.0))
    assert torch.equal(w, torch.tensor([1 + 1.5j, 2 - 1j]))


@pytest.mark.parametrize("word", [maximum, minimum])
def test_nan_goes_through_the_larger_and_the_smaller(word, runs):
    nan = float("nan")
    ours = [[torch.tensor([nan, 1.0, nan, 2.0])], [torch.tensor([1.0, nan, nan, 1.0])]]
    update(larger if word is maximum else smaller, ours, (), (1.0, 0.0))
    assert runs and torch.equal(ours[0][0].isnan(), torch.tensor([True, True, True, False]))
    assert ours[0][0][3] == (2 if word is maximum else 1)


def larger(w, g, s, h):
    return maximum(w, g), ()


def smaller(w, g, s, h):
    return minimum(w, g), ()


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_parts_hold_every_entry_once(count, runs):
    sizes = np.array([5, 1000, 1, 300, 44], np.int64)
    rows = np.array([[1_000_000 * (i + 1), 50_000_000 * (i + 1)] for i in range(5)])
    whole = {(a + 4 * k, b + 4 * k) for (a, b), n in zip(rows.tolist(), sizes.tolist(), strict=True) for k in range(n)}
    found = native("elementwise").parts(rows, sizes, count, 4)
    each = [[(a + 4 * k, b + 4 * k) for (a, b), n in zip(r.tolist(), s.tolist(), strict=True) for k in range(n)]
            for r, s in found]
    assert len(found) == count and set().union(*each) == whole and sum(map(len, each)) == len(whole)
    assert max(map(len, each)) - min(map(len, each)) <= 1


def test_several_threads_give_the_same_bits(runs):
    shapes = [(7,), (1100, 1000), (3, 5), (333, 1001)]
    one, two = (columns(1, torch.float32, shapes) for _ in range(2))
    update(one_state, one, (0.1, 0.9), (1.0, 0.0))
    torch.set_num_threads(3)
    try:
        update(one_state, two, (0.1, 0.9), (1.0, 0.0))
    finally:
        torch.set_num_threads(1)
    assert len(runs) == 2
    for mine, other in zip(one, two, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, other, strict=True))


def test_plain_on_request(monkeypatch, runs):
    monkeypatch.setattr(elementwise, "native", lambda name: None)
    ours = columns(0, torch.float32)
    expected = [w - 0.1 * g for w, g in zip(*ours, strict=True)]
    update(plain_step, ours, (0.1,), (1.0, 0.0))
    assert not runs and all(torch.equal(a, b) for a, b in zip(ours[0], expected, strict=True))
