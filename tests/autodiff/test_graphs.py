"""Random programs of up to thirty operations: values, first and second derivatives are those of PyTorch.

Shapes are broadcast, viewed, indexed, empty and 0-dimensional. Operations with a kink are used away from it: ties have
a test of their own. HYPOTHESIS draws the programs, so that a wrong one is shrunk to its shortest form.
"""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shinso.autodiff import functions as F
from shinso.autodiff.forward import jvp
from shinso.autodiff.tensor import Tensor, grad

SHAPES = [(), (1,), (3,), (2, 3), (3, 1), (1, 3), (3, 3), (2, 1, 3), (0,), (0, 3), (2, 0), (2, 3, 3), (4,), (1, 1)]
Both = tuple[Tensor, torch.Tensor]


def axes(x, code):
    """None, one axis or two, from a number."""
    choices = [None, *range(-x.ndim, x.ndim), *([(0, -1)] if x.ndim > 1 else [])]
    return choices[code % len(choices)]


def full(x, axis):
    """torch wants every axis named."""
    return tuple(range(x.ndim)) if axis is None else axis


def apart(x, axis=None):
    """No two entries of a slice nearly equal."""
    if x.ndim == 0 or x.size == 0:
        return x.size > 0
    lines = np.sort(x.reshape(-1) if axis is None else np.moveaxis(x, axis, -1), axis=-1)
    return lines.shape[-1] < 2 or bool(np.all(np.diff(lines) > 1e-7))


def fits(a, b):
    try:
        return np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        return None


UNARY = {
    "negative": (lambda x: -x, lambda x: -x), "exp": (F.exp, torch.exp), "expm1": (F.expm1, torch.expm1),
    "tanh": (F.tanh, torch.tanh), "sin": (F.sin, torch.sin), "cos": (F.cos, torch.cos),
    "square": (F.square, torch.square),
    "sigmoid": (F.sigmoid, torch.sigmoid), "softplus": (F.softplus, torch.nn.functional.softplus),
    "sqrt": (lambda x: F.sqrt(x * x + 1), lambda x: (x * x + 1).sqrt()), "sinh": (F.sinh, torch.sinh),
    "log": (lambda x: F.log(x * x + 0.5), lambda x: (x * x + 0.5).log()), "cosh": (F.cosh, torch.cosh),
    "log1p": (lambda x: F.log1p(x * x), lambda x: (x * x).log1p()), "arctan": (F.arctan, torch.atan),
    "reciprocal": (lambda x: F.reciprocal(x * x + 1), lambda x: (x * x + 1).reciprocal()),
    "cube": (lambda x: x**3, lambda x: x**3), "power": (lambda x: (x * x + 1) ** 0.7, lambda x: (x * x + 1) ** 0.7),
    "quotient": (lambda x: 2.0 / (x * x + 1),) * 2, "base": (lambda x: 1.5**x,) * 2,
}  # fmt: skip
KINKED = {
    "relu": (F.relu, torch.relu, 0.0), "absolute": (abs, torch.abs, 0.0),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.1), lambda x: torch.nn.functional.leaky_relu(x, 0.1), 0.0),
    "clip": (lambda x: x.clip(None, 0.3), lambda x: x.clamp(None, 0.3), 0.3),
    "maximum": (lambda x: F.maximum(x, 0.2), lambda x: x.clamp(0.2), 0.2),
}  # fmt: skip
BINARY = {
    "add": (lambda a, b: a + b,) * 2, "subtract": (lambda a, b: a - b,) * 2, "multiply": (lambda a, b: a * b,) * 2,
    "divide": (lambda a, b: a / (b * b + 0.7),) * 2, "logaddexp": (F.logaddexp, torch.logaddexp),
    "power": (lambda a, b: (a * a + 0.5) ** b,) * 2,
    "arctan2": (lambda a, b: F.arctan2(a, b * b + 1), lambda a, b: torch.atan2(a, b * b + 1)),
}  # fmt: skip


def unary(pool, code):
    x, u = pool[code[1] % len(pool)]
    ours, theirs = list(UNARY.values())[code[2] % len(UNARY)]
    return ours(x), theirs(u)


def kinked(pool, code):
    x, u = pool[code[1] % len(pool)]
    ours, theirs, at = list(KINKED.values())[code[2] % len(KINKED)]
    return (ours(x), theirs(u)) if np.all(np.abs(x.data - at) > 1e-7) else None


def binary(pool, code):
    (a, u), (b, v) = pool[code[1] % len(pool)], pool[code[2] % len(pool)]
    if fits(a, b) is None:
        return None
    ours, theirs = list(BINARY.values())[code[3] % len(BINARY)]
    return ours(a, b), theirs(u, v)


def chosen(pool, code):
    (a, u), (b, v) = pool[code[1] % len(pool)], pool[code[2] % len(pool)]
    shape = fits(a, b)
    if shape is None:
        return None
    if code[3] % 3 == 0:
        c = np.arange(int(np.prod(shape))).reshape(shape) % 3 == 0
        return F.where(c, a, b), torch.where(torch.as_tensor(c), u, v)
    if not np.all(np.abs(a.data - b.data) > 1e-7):
        return None
    return (F.maximum(a, b), torch.maximum(u, v)) if code[3] % 3 == 1 else (F.minimum(a, b), torch.minimum(u, v))


def product(pool, code):
    (a, u), (b, v) = pool[code[1] % len(pool)], pool[code[2] % len(pool)]
    if not a.ndim or not b.ndim or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        return None
    return (a @ b, u @ v) if fits(np.zeros(a.shape[:-2]), np.zeros(b.shape[:-2])) is not None else None


def summation(pool, code):
    (a, u), (b, v) = pool[code[1] % len(pool)], pool[code[2] % len(pool)]
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        return None
    text = ["ij,kj->ik", "ij,kj->i", "ij,kj->", "ij,kj->ikj", "ij,kj->jk"][code[3] % 5]
    return F.einsum(text, a, b), torch.einsum(text, u, v)


def reduction(pool, code):
    x, u = pool[code[1] % len(pool)]
    axis, keep, kind = axes(x, code[2]), bool(code[3] & 1), code[3] // 2 % 6
    n = x.size if axis is None else int(np.prod([x.shape[i] for i in np.atleast_1d(axis)]))
    if kind == 0 or (n == 0 and kind != 4):
        return x.sum(axis, keepdims=keep), u.sum(full(x, axis), keep) if x.ndim else u.sum()
    if kind == 1:
        return x.mean(axis, keepdims=keep), u.mean(full(x, axis), keep) if x.ndim else u.mean()
    if kind == 2 and (axis is None or isinstance(axis, int)) and apart(x.data, axis):
        return x.max(axis, keepdims=keep), u.amax(full(x, axis), keep) if x.ndim else u.amax()
    if kind == 3 and n > 1 and x.size:
        return x.var(axis, 1, keepdims=keep), u.var(full(x, axis), keepdim=keep)
    if kind == 4 and isinstance(axis, int):
        return x.prod(axis, keepdims=keep), u.prod(axis, keep)
    return F.logsumexp(x, axis, keepdims=keep), torch.logsumexp(u, full(x, axis), keep) if x.ndim else u


def normalisation(pool, code):
    x, u = pool[code[1] % len(pool)]
    if not x.ndim or not x.size:
        return None
    axis = code[2] % x.ndim
    return (F.softmax(x, axis), u.softmax(axis)) if code[3] & 1 else (F.log_softmax(x, axis), u.log_softmax(axis))


def move(pool, code):
    x, u = pool[code[1] % len(pool)]
    kind, n = code[2] % 9, x.ndim
    if kind == 0:
        return x.reshape(-1) if x.size else x.reshape(x.shape), u.reshape(-1) if x.size else u
    if kind == 1 and n:
        return x.transpose(), u.permute(*range(n)[::-1])
    if kind == 2 and n > 1:
        return x.swapaxes(0, -1), u.swapaxes(0, -1)
    if kind == 3:
        return x[None], u[None]
    if kind == 4 and n and x.shape[0]:
        k = code[3] % x.shape[0]
        return [(x[k], u[k]), (x[k:], u[k:]), (x[::2], u[::2]), (x[..., -1:], u[..., -1:])][code[3] % 4]
    if kind == 5 and n and x.shape[0]:
        ids = np.array([0, code[3] % x.shape[0], -1, 0])
        return (x[ids], u[ids]) if code[3] & 1 else (F.embedding(x, ids % x.shape[0]), u[ids])
    if kind == 6 and n:
        mask = np.arange(x.shape[0]) % 2 == 0
        return x[mask], u[torch.as_tensor(mask)]
    if kind == 7 and n:
        return (F.cumsum(x, code[3] % n), u.cumsum(code[3] % n)) if code[3] & 1 else (F.flip(x, 0), u.flip(0))
    if kind == 8 and n > 1 and x.shape[0] and x.shape[1]:
        rows, columns = np.array([0, -1, 0]), np.array([0, 0, -1])
        return x[rows, columns], u[rows, columns]
    return F.pad(x, [(1, 0)] * n) if n else x * 1.0, torch.nn.functional.pad(u, (1, 0) * n) if n else u * 1.0


def joining(pool, code):
    (a, u), (b, v) = pool[code[1] % len(pool)], pool[code[2] % len(pool)]
    if a.shape != b.shape or a.ndim > 3:
        return None
    if code[3] & 1 or not a.ndim:
        return F.stack([a, b, a], -1), torch.stack([u, v, u], -1)
    return F.concatenate([a, b, b], 0), torch.cat([u, v, v], 0)


STEPS = [unary, unary, kinked, binary, binary, binary, chosen, product, product, summation, reduction, normalisation,
         move, move, move, joining]  # fmt: skip
CODES = st.lists(st.tuples(*[st.integers(0, 719)] * 4), min_size=1, max_size=30)
LEAVES = st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3)


def program(codes, leaves: list[Both]) -> list[Both]:
    """Each code is one more value, computed by both engines; codes that do not fit what is there are passed over."""
    pool = list(leaves)
    for code in codes:
        made = STEPS[code[0] % len(STEPS)](pool, code)
        if made is None or made[0].size > 300:
            continue
        x, u = made
        assert x.shape == tuple(u.shape), code
        if x.size and np.abs(x.data).max() > 4:
            x, u = F.tanh(x * 0.25), torch.tanh(u * 0.25)
        pool.append((x, u))
    return pool[len(leaves) :] or pool


def distance(ours, theirs) -> float:
    """The largest difference, beside the largest number."""
    theirs = np.zeros(ours.shape) if theirs is None else theirs.detach().numpy(force=True)
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    return float(np.abs(ours - theirs).max() / max(1.0, np.abs(theirs).max())) if ours.size else 0.0


def worst(codes, shapes, seed) -> float:
    """The largest error over the values, the gradients and the second derivatives of one program."""
    draw = np.random.default_rng(seed)
    arrays = [draw.uniform(-1.5, 1.5, shape) for shape in shapes]
    ours = [Tensor(x.copy(), requires_grad=True) for x in arrays]
    theirs = [torch.tensor(x, requires_grad=True) for x in arrays]
    results = program(codes, list(zip(ours, theirs, strict=True)))
    errors = [distance(x.data, u) for x, u in results]
    weights = [draw.normal(size=x.shape) for x, _ in results]
    loss = sum((x * w).sum() for (x, _), w in zip(results, weights, strict=True))
    other = sum((u * torch.as_tensor(w)).sum() for (_, u), w in zip(results, weights, strict=True))
    first = grad(loss, ours, create_graph=True)
    wanted = torch.autograd.grad(other, theirs, create_graph=True, allow_unused=True)
    errors += [distance(x.data, u) for x, u in zip(first, wanted, strict=True)]
    along = [draw.normal(size=x.shape) for x in arrays]
    pairs = [(g, u, v) for g, u, v in zip(first, wanted, along, strict=True) if u is not None and u.requires_grad]
    slope = sum((g * v).sum() for g, _, v in pairs)
    if pairs and isinstance(slope, Tensor) and slope.requires_grad:
        second = grad(slope, ours, retain_graph=True)
        other = sum((u * torch.as_tensor(v)).sum() for _, u, v in pairs)
        wanted = torch.autograd.grad(other, theirs, allow_unused=True)
        scale = max([1.0, *(float(np.abs(u.data).max()) for u in first if u.size)])
        errors += [distance(x / scale, None if u is None else u / scale) for x, u in zip(second, wanted, strict=True)]
    loss.backward()
    errors += [distance(x.grad, torch.as_tensor(g.data.copy())) for x, g in zip(ours, first, strict=True)
               if x.grad is not None]
    return max(errors)


def check(codes, shapes, seed):
    assert worst(codes, shapes, seed) < 1e-12


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(CODES, LEAVES, st.integers(0, 2**32 - 1))
def test_random_graphs_agree_with_torch_to_second_order(codes, shapes, seed):
    check(codes, shapes, seed)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(CODES, LEAVES, st.integers(0, 2**32 - 1))
def test_ten_thousand_random_graphs_agree_with_torch_to_second_order(codes, shapes, seed):
    check(codes, shapes, seed)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(CODES, LEAVES, st.integers(0, 2**32 - 1))
def test_forward_mode_equals_reverse_mode_on_random_graphs(codes, shapes, seed):
    draw = np.random.default_rng(seed)
    arrays, along = ([draw.uniform(-1.5, 1.5, shape) for shape in shapes] for _ in range(2))

    def loss(*xs):
        """The same program; torch's half runs along on plain numbers."""
        found = program(codes, [(x, torch.as_tensor(x.data)) for x in xs])
        return sum((x * np.cos(np.arange(x.size)).reshape(x.shape)).sum() for x, _ in found)

    leaves = [Tensor(x, requires_grad=True) for x in arrays]
    gradients = grad(loss(*leaves), leaves)
    terms = [g * t for g, t in zip(gradients, along, strict=True)]
    _, slope = jvp(loss, arrays, along)
    size = max([1.0, *(float(np.abs(t).sum()) for t in terms)])
    assert abs(float(slope) - sum(float(t.sum()) for t in terms)) < 1e-13 * size
