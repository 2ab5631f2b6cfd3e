"""Every update rule against torch's optimiser; what they all refuse; and the article's slips as programs."""

import numpy as np
import pytest
import torch

from shinso.autodiff.byhand.adadelta_update import AdaDelta
from shinso.autodiff.byhand.adagrad_update import AdaGrad
from shinso.autodiff.byhand.adam_update import Adam
from shinso.autodiff.byhand.momentum_update import Momentum
from shinso.autodiff.byhand.nesterov_update import Nesterov
from shinso.autodiff.byhand.rmsprop_update import RMSProp
from shinso.autodiff.byhand.sgd_update import SGD
from shinso.core.errors import UserError

PAIRS = {
    "sgd": (lambda: SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "momentum": (Momentum, lambda p: torch.optim.SGD(p, 0.01, momentum=0.9)),
    "nesterov": (Nesterov, lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, nesterov=True)),
    "adagrad": (AdaGrad, lambda p: torch.optim.Adagrad(p, 0.01, eps=1e-7)),
    "rmsprop": (RMSProp, lambda p: torch.optim.RMSprop(p, 0.01, alpha=0.99, eps=1e-7)),
    "adadelta": (AdaDelta, lambda p: torch.optim.Adadelta(p, 1.0, rho=0.95, eps=1e-6)),
    "adadelta with a rate": (lambda: AdaDelta(0.3, 0.9), lambda p: torch.optim.Adadelta(p, 0.3, rho=0.9, eps=1e-6)),
    "adam": (Adam, lambda p: torch.optim.Adam(p)),
    "adam with other constants": (lambda: Adam(0.01, (0.8, 0.95), 1e-4),
                                  lambda p: torch.optim.Adam(p, 0.01, (0.8, 0.95), 1e-4)),
}
RULES = {name: pair[0] for name, pair in PAIRS.items()}


@pytest.mark.parametrize("name", PAIRS)
def test_300_steps_are_torchs_to_1e_12(name):
    rule, draw = PAIRS[name][0](), np.random.default_rng(0)
    ours = {"w": draw.normal(size=(5, 4)), "b": draw.normal(size=4), "s": np.array(draw.normal())}
    theirs = [torch.tensor(a, requires_grad=True) for a in ours.values()]
    optimiser = PAIRS[name][1](theirs)
    for _ in range(300):
        grads = {key: a * draw.uniform(0, 2, a.shape) + draw.normal(0, 0.1, a.shape) for key, a in ours.items()}
        rule.update(ours, grads)
        for parameter, grad in zip(theirs, grads.values(), strict=True):
            parameter.grad = torch.tensor(grad)
        optimiser.step()
    for mine, other in zip(ours.values(), theirs, strict=True):
        np.testing.assert_allclose(mine, other.detach().numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", RULES)
def test_gradients_stay_and_parameters_keep_their_place_and_type(name):
    rule, weight = RULES[name](), np.ones((3, 2), np.float32)
    params, grad = {"w": weight}, np.full((3, 2), 0.5, np.float32)
    for _ in range(3):
        rule.update(params, {"w": grad})
    assert params["w"] is weight and weight.dtype == np.float32 and (weight < 1).all() and (grad == 0.5).all()
    memory = [kept for kept in vars(rule).values() if isinstance(kept, dict)]
    assert all(kept["w"].dtype == np.float32 for kept in memory)


@pytest.mark.parametrize("name", RULES)
def test_parts_of_arrays_are_updated_too(name):
    whole, part = np.ones((4, 3)), np.ones((6, 8))
    for params in ({"w": whole}, {"w": part[::2, ::3][:3]}):
        RULES[name]().update(params, {"w": np.full(params["w"].shape, 0.25)})
    assert (part[::2, ::3] == whole[0, 0]).all() and (part[1::2] == 1).all()


@pytest.mark.parametrize("name", RULES)
def test_what_does_not_fit_is_refused(name):
    rule = RULES[name]()
    with pytest.raises(UserError, match="no gradients"):
        rule.update({"w": np.ones(2)}, {})
    with pytest.raises(UserError, match="'b' has a gradient but is no parameter"):
        rule.update({"w": np.ones(2)}, {"b": np.ones(2)})
    with pytest.raises(UserError, match=r"the gradient of 'w' has the shape \(1,\), not \(2,\)"):
        rule.update({"w": np.ones(2)}, {"w": np.ones(1)})


@pytest.mark.parametrize("name", RULES)
def test_it_goes_down_a_valley(name):
    rule, params = RULES[name](), {"w": np.array([2.0, -1.0])}
    for _ in range(500):
        rule.update(params, {"w": params["w"] * [1, 10]})
    assert params["w"] @ (params["w"] * [1, 10]) < 0.5 * 14


@pytest.mark.parametrize("name", RULES)
def test_its_memory_is_all_there_is(name):
    draw, one, params = np.random.default_rng(1), RULES[name](), {"w": np.ones(3)}
    for _ in range(5):
        one.update(params, {"w": draw.normal(size=3)})
    two, copy = RULES[name](), {"w": params["w"].copy()}
    for key, kept in vars(one).items():
        if isinstance(kept, dict):
            getattr(two, key).update({name: array.copy() for name, array in kept.items()})
        elif isinstance(kept, (int, float)):
            setattr(two, key, kept)
    for grad in draw.normal(size=(5, 3)):
        one.update(params, {"w": grad})
        two.update(copy, {"w": grad})
    assert params["w"].tobytes() == copy["w"].tobytes()


def test_params_key_is_no_attribute_of_a_dict():
    with pytest.raises(AttributeError):
        for _ in {"W": 1}.key():
            pass


def test_the_mean_of_single_gradients_is_the_full_one_and_their_sum_is_not():
    draw = np.random.default_rng(2)
    x, y, w = draw.normal(size=(12, 3)), draw.normal(size=12), draw.normal(size=3)
    single = (x @ w - y)[:, None] * x
    full = x.T @ (x @ w - y) / 12
    np.testing.assert_allclose(single.mean(0), full, atol=1e-15)
    np.testing.assert_allclose(single.sum(0), 12 * full, atol=1e-13)
