"""Clipping in place, of whatever has a gradient, beside torch's."""

import pytest
import torch

from shinso.optim.clipping import clip_by_norm, clip_by_value


def given(dtype=torch.float32):
    torch.manual_seed(0)
    found = [torch.nn.Parameter(torch.zeros(shape, dtype=dtype)) for shape in ((4, 3), (7,), (), (0, 2))]
    for w in found:
        w.grad = torch.randn(w.shape, dtype=dtype)
    return [*found, torch.nn.Parameter(torch.zeros(2, dtype=dtype))]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("c", [0.0, 0.5, 3.0, 100.0])
def test_it_is_torchs_to_its_small_number(dtype, c):
    ours, theirs = given(dtype), given(dtype)
    norm = clip_by_norm(iter(ours), c)
    torch.testing.assert_close(norm, torch.nn.utils.clip_grad_norm_(theirs, c))
    for a, b in zip(ours[:-1], theirs[:-1], strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=2e-6, atol=1e-7)
    assert ours[-1].grad is None


def test_what_is_short_enough_is_left_alone_bit_for_bit():
    ours, untouched = given(), given()
    clip_by_norm(ours, 100.0)
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(ours[:-1], untouched[:-1], strict=True))


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_what_is_not_finite_is_returned_and_changes_nothing(bad):
    ours, untouched = given(), given()
    for ws in (ours, untouched):
        ws[1].grad[2] = bad
    norm = clip_by_norm(ours, 1.0)
    assert not norm.isfinite()
    assert all(torch.equal(a.grad.nan_to_num(7), b.grad.nan_to_num(7))
               for a, b in zip(ours[:-1], untouched[:-1], strict=True))


def test_nothing_to_clip_is_no_error():
    assert clip_by_norm([], 1.0) == 0 and clip_by_norm([torch.zeros(2, requires_grad=True)], 1.0) == 0


@pytest.mark.parametrize("c", [-1.0, float("nan")])
def test_an_impossible_norm_is_refused(c):
    with pytest.raises(ValueError, match="Invalid norm to clip to"):
        clip_by_norm(given(), c)


def test_precisions_may_be_mixed():
    ours = [*given(torch.float32), *given(torch.float64)]
    clip_by_norm(ours, 1.0)
    together = torch.cat([w.grad.double().flatten() for w in ours if w.grad is not None])
    assert float(together.norm()) == pytest.approx(1.0, rel=1e-6)


def test_by_value_is_torchs():
    assert clip_by_value is torch.nn.utils.clip_grad_value_
