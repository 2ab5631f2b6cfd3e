"""Methods that torch has too: equal over 300 steps and every option, the same state, the same words for errors."""

import copy
import itertools
import warnings

import pytest
import torch
from torch import nn

from shinso.kernels import elementwise
from shinso.optim.adadelta import Adadelta
from shinso.optim.adagrad import Adagrad
from shinso.optim.adam import Adam
from shinso.optim.adamax import Adamax
from shinso.optim.adamw import AdamW
from shinso.optim.nadam import NAdam
from shinso.optim.rmsprop import RMSprop
from shinso.optim.rprop import Rprop
from shinso.optim.sgd import SGD

METHODS = [SGD, Adagrad, Adadelta, RMSprop, Rprop, Adam, AdamW, Adamax, NAdam]
DECAY = {"weight_decay": (0, 0.1), "maximize": (False, True)}
CHOICES = {
    SGD: {"lr": (0.05,), "momentum": (0, 0.9), "dampening": (0, 0.3), "nesterov": (False, True), **DECAY},
    Adagrad: {"lr": (0.1,), "lr_decay": (0, 0.1), "initial_accumulator_value": (0, 0.1), "eps": (1e-10, 1e-7), **DECAY},
    Adadelta: {"lr": (1.0, 0.5), "rho": (0.9, 0.95), "eps": (1e-6, 1e-3), **DECAY},
    RMSprop: {"lr": (1e-3,), "alpha": (0.99, 0.9), "eps": (1e-7,), "momentum": (0, 0.5), "centered": (False, True),
              **DECAY},
    Rprop: {"lr": (0.01,), "etas": ((0.5, 1.2), (0.4, 1.1)), "step_sizes": ((1e-6, 50), (1e-3, 0.1)),
            "maximize": (False, True)},
    Adam: {"lr": (0.01,), "betas": ((0.9, 0.999), (0.5, 0.9), (0.0, 0.99)), "eps": (1e-8, 1e-4),
           "amsgrad": (False, True), "decoupled_weight_decay": (False, True), **DECAY},
    AdamW: {"lr": (0.01,), "betas": ((0.9, 0.999), (0.5, 0.9)), "amsgrad": (False, True), **DECAY},
    Adamax: {"lr": (0.01,), "betas": ((0.9, 0.999), (0.5, 0.9)), "eps": (1e-8, 1e-3), **DECAY},
    NAdam: {"lr": (0.01,), "betas": ((0.9, 0.999), (0.0, 0.9)), "momentum_decay": (4e-3, 0.1),
            "decoupled_weight_decay": (False, True), **DECAY},
}
CASES = [(method, dict(zip(options, values, strict=True))) for method, options in CHOICES.items()
         for values in itertools.product(*options.values())]
CASES = [(method, options) for method, options in CASES
         if not options.get("nesterov") or (options["momentum"] and not options["dampening"])]
USUAL = [next((m, o) for m, o in reversed(CASES) if m is method) for method in METHODS]


def weights(dtype=torch.float64):
    """Odd sizes, a scalar, nothing at all, channels_last, transposed."""
    draw = torch.Generator().manual_seed(3)
    made = [torch.randn(shape, generator=draw, dtype=dtype) for shape in ((7, 3), (), (0, 2), (2, 3, 4, 5), (6, 5))]
    made[3], made[4] = made[3].contiguous(memory_format=torch.channels_last), made[4].t()
    return [nn.Parameter(w) for w in made]


def descend(params, optimiser, steps, seed=5, skip=()):
    """Noisy gradients of a bowl, the same for the same seed."""
    noise = 0.3 * torch.randn(steps, len(params), generator=torch.Generator().manual_seed(seed))
    for i, row in enumerate(noise.tolist()):
        for j, w in enumerate(params):
            w.grad = None if (j, i % 3) in skip else w.detach().sin().add_(row[j])
        optimiser.step()


def differences(one, other):
    return max((float((a.detach() - b.detach()).abs().max()) for a, b in zip(one, other, strict=True) if a.numel()))


def torchs(method):
    return method.TWIN


@pytest.fixture
def native_only(monkeypatch):
    """Fails a test that leaves the native form."""
    if elementwise.native("elementwise") is None:
        pytest.skip("no Numba on this machine")
    monkeypatch.setattr(elementwise, "update_plain", None)


@pytest.mark.parametrize(("method", "options"), CASES)
def test_three_hundred_steps_equal_torchs(method, options, native_only):
    ours, theirs = weights(), weights()
    first, second = method(ours, **options), torchs(method)(theirs, **options, foreach=False)
    descend(ours, first, 300)
    descend(theirs, second, 300)
    assert differences(ours, theirs) <= 1e-12
    for a, b in zip(first.state.values(), second.state.values(), strict=True):
        assert a.keys() == {name for name in b if b[name] is not None}
        for name in a:
            assert a[name].shape == b[name].shape and a[name].dtype == b[name].dtype
            torch.testing.assert_close(a[name], b[name], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("method", "options"), USUAL)
def test_the_plain_form_equals_torchs_too(method, options, monkeypatch):
    monkeypatch.setattr(elementwise, "native", lambda name: None)
    ours, theirs = weights(), weights()
    descend(ours, method(ours, **options), 50)
    descend(theirs, torchs(method)(theirs, **options), 50)
    assert differences(ours, theirs) <= 1e-12


@pytest.mark.parametrize(("method", "options"), USUAL)
@pytest.mark.parametrize("flat", [False, True])
def test_weights_that_sit_out_some_steps_do_as_in_torch(method, options, flat, native_only):
    ours, theirs = weights(), weights()
    first = method(ours, **options)
    descend(ours, first.flatten() if flat else first, 60, skip={(0, 0), (1, 2), (4, 1), (4, 2)})
    descend(theirs, torchs(method)(theirs, **options), 60, skip={(0, 0), (1, 2), (4, 1), (4, 2)})
    assert differences(ours, theirs) <= 1e-12


@pytest.mark.parametrize(("method", "options"), USUAL)
def test_single_precision_stays_near_torchs(method, options, native_only):
    ours, theirs = weights(torch.float32), weights(torch.float32)
    descend(ours, method(ours, **options), 30)
    descend(theirs, torchs(method)(theirs, **options), 30)
    assert differences(ours, theirs) <= 1e-4


@pytest.mark.parametrize(("method", "options"), USUAL)
@pytest.mark.parametrize("flat", [False, True])
def test_a_state_goes_to_torch_and_back(method, options, flat):
    ours = weights()
    first = method(ours, **options)
    descend(ours, first.flatten() if flat else first, 7)
    theirs = copy.deepcopy(ours)
    second = torchs(method)(theirs, **options)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    again = copy.deepcopy(ours)
    third = method(again, **options)
    third.load_state_dict(copy.deepcopy(second.state_dict()))
    for params, optimiser in ((ours, first), (theirs, second), (again, third)):
        descend(params, optimiser, 5, seed=6)
    assert all(torch.equal(a, b) for a, b in zip(ours, again, strict=True))
    assert differences(ours, theirs) <= 1e-12


@pytest.mark.parametrize(("method", "options"), USUAL)
@pytest.mark.parametrize("asked", [{"foreach": True}, {"foreach": False}])
def test_what_is_asked_for_by_name_is_torchs_own(method, options, asked):
    ours, theirs = weights(), weights()
    first, second = method(ours, **options, **asked), torchs(method)(theirs, **options, **asked)
    descend(ours, first, 5)
    descend(theirs, second, 5)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.complex64, torch.float16, torch.bfloat16])
def test_other_types_are_torchs_own(method, dtype):
    ours, theirs = ([nn.Parameter(torch.linspace(-1, 1, 6).to(dtype))] for _ in range(2))
    for params, optimiser in ((ours, method(ours, lr=0.1)), (theirs, torchs(method)(theirs, lr=0.1))):
        for k in (1, -2, 3):
            params[0].grad = torch.full_like(params[0], k)
            optimiser.step()
    assert torch.equal(ours[0], theirs[0])


@pytest.mark.parametrize("method", METHODS)
def test_sparse_gradients_are_taken_or_refused_as_in_torch(method):
    ends = []
    for rule in (method, torchs(method)):
        w = nn.Parameter(torch.ones(3, 2))
        w.grad = torch.sparse_coo_tensor(torch.tensor([[0, 2]]), torch.tensor([[1.0, 2.0], [3.0, 4.0]]), (3, 2),
                                         check_invariants=True)
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            try:
                rule([w], lr=0.1).step()
            except RuntimeError as error:
                ends.append(str(error))
            else:
                ends.append(w.detach().tolist())
    assert ends[0] == ends[1]


@pytest.mark.parametrize("method", METHODS)
def test_a_step_handed_to_torch_leaves_no_state_behind(method):
    """The gradient of the second weight is sparse, or of half precision: the first must not have begun for nothing."""
    options = {"momentum": 0.9, "dampening": 0.5} if method is SGD else {}
    ends = []
    for rule in (method, torchs(method)):
        first, second = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2, dtype=torch.float16))
        optimiser = rule([{"params": [first]}, {"params": [second]}], lr=0.1, **options)
        for _ in range(2):
            first.grad, second.grad = torch.ones(3), torch.ones(2, dtype=torch.float16)
            optimiser.step()
        ends.append((first.detach(), second.detach()))
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_gradients_in_another_order_than_their_weights_are_taken_natively(native_only):
    ours, theirs = (nn.Parameter(torch.arange(6.0, dtype=torch.float64).view(2, 3).t()) for _ in range(2))
    first, second = SGD([ours], lr=0.1, momentum=0.9, dampening=0.5), torch.optim.SGD([theirs], 0.1, 0.9, 0.5)
    for w, optimiser in ((ours, first), (theirs, second)):
        for _ in range(3):
            w.grad = torch.arange(6.0, dtype=torch.float64).view(3, 2)
            optimiser.step()
    assert first._bundled is not None
    torch.testing.assert_close(ours, theirs)


BAD = [
    *[(method, {"lr": -1.0}) for method in METHODS],
    *[(method, {"weight_decay": -1.0}) for method in METHODS if method is not Rprop],
    *[(method, {"betas": betas}) for method in (Adam, AdamW, Adamax, NAdam) for betas in ((1.0, 0.9), (0.9, 1.0))],
    *[(method, {"eps": -1.0}) for method in (Adagrad, Adadelta, RMSprop, Adam, AdamW, Adamax, NAdam)],
    (SGD, {"momentum": -0.5}), (SGD, {"nesterov": True}), (SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
    (Adagrad, {"lr_decay": -0.5}), (Adagrad, {"initial_accumulator_value": -1.0}), (Adadelta, {"rho": 1.1}),
    (RMSprop, {"momentum": -1.0}), (RMSprop, {"alpha": -1.0}), (Rprop, {"etas": (1.0, 0.5)}),
    (NAdam, {"momentum_decay": -0.2}), (Adam, {"lr": torch.tensor(0.1), "foreach": True}),
    (Adam, {"lr": torch.tensor([0.1, 0.2])}), (SGD, {"fused": True, "foreach": True}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "options"), BAD)
def test_bad_options_are_refused_in_torchs_words(method, options):
    with pytest.raises((ValueError, RuntimeError)) as theirs:
        torchs(method)([nn.Parameter(torch.ones(1))], **options)
    with pytest.raises(theirs.type) as ours:
        method([nn.Parameter(torch.ones(1))], **options)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [
    lambda: [], lambda: torch.ones(1), lambda: [torch.ones(2, requires_grad=True) * 2],
    lambda: [{"params": [nn.Parameter(torch.ones(1))]}, {"params": iter(())}, {"params": "no"}],
    lambda: [{"params": {nn.Parameter(torch.ones(1))}}], lambda: [("a", nn.Parameter(torch.ones(1))), torch.ones(1)],
])
def test_bad_parameters_are_refused_in_torchs_words(method, bad):
    with pytest.raises((ValueError, TypeError)) as theirs:
        torchs(method)(bad(), lr=0.1)
    with pytest.raises(theirs.type) as ours:
        method(bad(), lr=0.1)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_weight_in_two_groups_is_refused_in_torchs_words(method):
    said = []
    for rule in (torchs(method), method):
        w = nn.Parameter(torch.ones(1))
        with pytest.raises(ValueError) as error:
            rule([{"params": [w]}, {"params": [w]}], lr=0.1)
        said.append(str(error.value))
    assert said[0] == said[1]


@pytest.mark.parametrize(("method", "options"), USUAL)
def test_a_rate_may_change_and_may_be_a_tensor(method, options, native_only):
    ours, theirs = weights(), weights()
    for params, rule in ((ours, method), (theirs, torchs(method))):
        optimiser = rule(params, **{**options, "lr": torch.tensor(0.05, dtype=torch.float64)}, foreach=None)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.9)
        for i in range(20):
            descend(params, optimiser, 2, seed=i)
            schedule.step()
    assert differences(ours, theirs) <= 1e-12


@pytest.mark.parametrize("method", METHODS)
def test_a_bowl_and_the_valley_of_rosenbrock_are_walked_down(method):
    def bowl(w):
        return (w[0] ** 2 + 100 * w[1] ** 2) / 2

    def valley(w):
        return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2

    for f, start in ((bowl, (4.0, 1.0)), (valley, (-1.2, 1.0))):
        w = nn.Parameter(torch.tensor(start, dtype=torch.float64))
        rate = {SGD: 1e-3, Adadelta: 1.0, Adagrad: 0.5}.get(method, 0.01)
        optimiser, first = method([w], lr=rate), float(f(w.detach()))
        for _ in range(1500):
            optimiser.zero_grad()
            f(w).backward()
            optimiser.step()
        assert float(f(w.detach())) < first / 4
