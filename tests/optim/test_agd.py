"""AGD equals Beck and Teboulle 2009, (4.1) to (4.3), and Jin et al. 2017, Algorithm 1, and gives its answer."""

import copy

import numpy as np
import pytest
import torch
from streams import follows, goes_on, is_used_as_torch_uses_it, noises, parameters, stepped, without_native

from shinso.optim.agd import AGD


def fista(y, lr=1e-3, theta=None, weight_decay=0.0):
    """x_k = y_k - lr g;  t_{k+1} = (1 + sqrt(1 + 4 t_k^2))/2;  y_{k+1} = x_k + (t_k - 1)/t_{k+1} (x_k - x_{k-1})"""
    before, t = y.copy(), 1.0
    while True:
        g = yield y
        x = y - lr * (g + weight_decay * y)
        after = (1 + np.sqrt(1 + 4 * t * t)) / 2
        y = x + ((t - 1) / after if theta is None else 1 - theta) * (x - before)
        before, t = x, after


@pytest.mark.parametrize("options", [{}, {"lr": 0.05}, {"lr": 0.05, "theta": 0.1}, {"lr": 0.05, "theta": 1.0},
                                     {"lr": 0.02, "weight_decay": 0.3}])
@pytest.mark.parametrize("plain", [False, True])
def test_three_hundred_steps_equal_the_papers(options, plain, monkeypatch):
    if plain:
        without_native(monkeypatch)
    follows(AGD, fista, options)


def test_maximize_goes_up():
    follows(AGD, fista, {"lr": 0.001}, maximize=True)


def test_it_goes_on_where_it_was_saved():
    goes_on(AGD, {"lr": 0.05})
    goes_on(AGD, {"lr": 0.05, "theta": 0.2})


def test_it_is_used_as_any_optimiser():
    is_used_as_torch_uses_it(AGD, {"lr": 0.01})


@pytest.mark.parametrize("flat", [False, True])
def test_eval_shows_x_and_train_gives_y_back_also_after_a_save(flat):
    ws = parameters()
    optimiser = AGD(ws.values(), lr=0.05)
    if flat:
        optimiser.flatten()
    for _ in stepped(ws, optimiser, noises(9)):
        pass
    y = {name: w.detach().clone() for name, w in ws.items()}
    x = {name: optimiser.state[w]["solution"].clone() for name, w in ws.items()}
    optimiser.eval()
    optimiser.eval()
    assert all(torch.equal(ws[name], x[name]) and not torch.equal(x[name], y[name]) for name in ws)
    with pytest.raises(RuntimeError, match=r"call optimizer\.train\(\)"):
        optimiser.step()
    again = AGD(list(ws.values()), lr=0.05)
    again.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    again.train()
    assert all(torch.equal(ws[name], y[name]) for name in ws)


def test_single_precision_keeps_its_type():
    ws = parameters(dtype=torch.float32)
    optimiser = AGD(ws.values(), lr=0.05)
    for _ in stepped(ws, optimiser, noises(50)):
        pass
    assert all(w.dtype == optimiser.state[w]["solution"].dtype == torch.float32 and w.isfinite().all()
               for w in ws.values())


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"theta": 0.0}, "Invalid theta: 0.0"),
    ({"theta": 1.5}, "Invalid theta: 1.5"), ({"weight_decay": -1}, "Invalid weight_decay value: -1"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        AGD([torch.zeros(2, requires_grad=True)], **options)
