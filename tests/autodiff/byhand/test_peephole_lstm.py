"""The peephole LSTM beside torch's autograd on its equations, diagonal and full."""

import numpy as np
import pytest
import torch
from torch_oracle import agrees

from shinso.autodiff.byhand.peephole_lstm import PeepholeLSTM


def reference(p, x, h, c):
    """The equations gate by gate, with o after C; autograd does the rest."""
    W, U, b = (torch.chunk(p[name], 4, -1) for name in ("input_weight", "state_weight", "bias"))
    full = p["forget_peephole"].ndim == 2

    def seen(cell, name):
        return cell @ p[name] if full else cell * p[name]

    states = []
    for at in x:
        f, g, i, o = (at @ W[k] + h @ U[k] + b[k] for k in range(4))
        f, i = f + seen(c, "forget_peephole"), i + seen(c, "input_peephole")
        c = torch.sigmoid(f) * c + torch.tanh(g) * torch.sigmoid(i)
        h = torch.sigmoid(o + seen(c, "output_peephole")) * torch.tanh(c)
        states.append(h)
    return torch.stack(states)


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 4)])
def test_it_is_the_equations_with_every_gradient(shape):
    draw = np.random.default_rng(0)
    layer = PeepholeLSTM(draw.normal(size=(3, 16)), draw.normal(size=(4, 16)), draw.normal(size=16),
                         draw.normal(size=shape))
    agrees(layer, reference, draw.normal(size=(5, 2, 3)), draw.normal(size=(2, 4)), draw.normal(size=(2, 4)))
