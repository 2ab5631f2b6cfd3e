"""One vector against torch's parameters_to_vector."""

import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector

from shinso.autodiff.byhand.affine import drawn
from shinso.autodiff.byhand.parameter_vector import from_vector, to_vector, write
from shinso.autodiff.byhand.sequential import Sequential
from shinso.core.errors import UserError


def test_the_vector_is_torchs():
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Conv2d(2, 3, 2))
    params = {name: p.detach().numpy() for name, p in network.named_parameters()}
    vector = to_vector(params)
    assert vector.dtype == np.float32 and np.array_equal(vector, parameters_to_vector(network.parameters()).detach())
    back = from_vector(vector, params)
    assert all(np.array_equal(back[name], params[name]) for name in params)


def test_writing_reaches_the_network():
    draw = np.random.default_rng(0)
    one, two = (Sequential(drawn(3, 4, draw), drawn(4, 2, draw)) for _ in range(2))
    x = draw.normal(size=(5, 3)).astype(np.float32)
    write(to_vector(one.params), two.params)
    assert np.array_equal(one.forward(x), two.forward(x))
    write(np.zeros(26, np.float32), two.params)
    assert (two.forward(x) == 0).all() and (one.forward(x) != 0).any()


def test_arrays_that_are_not_contiguous_are_written_too():
    base = np.zeros((4, 6))
    write(np.arange(6.0), {"a": base[::2, ::2]})
    assert base[::2, ::2].ravel().tolist() == [0, 1, 2, 3, 4, 5] and base.sum() == 15


def test_nothing_is_a_vector_of_nothing_and_other_lengths_are_refused():
    assert to_vector({}).shape == (0,)
    with pytest.raises(UserError, match=r"parameter vector: the vector has the shape \(4,\), not \(3,\)"):
        from_vector(np.ones(4), {"a": np.ones(3)})
