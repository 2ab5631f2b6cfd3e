"""The GRU in both forms: reset after is torch's module, reset before the document's equations."""

import numpy as np
import torch
from torch import nn
from torch_oracle import agrees

from shinso.autodiff.byhand.gru import GRU


def sizes(seed=0):
    draw = np.random.default_rng(seed)
    return ((draw.normal(size=(3, 15)), draw.normal(size=(5, 15)), draw.normal(size=15), draw.normal(size=5)),
            (draw.normal(size=(4, 2, 3)), draw.normal(size=(2, 5))))


def test_reset_before_is_the_documents_equations_with_every_gradient():
    def reference(p, x, h):
        W, U, b = (torch.chunk(p[name], 3, -1) for name in ("input_weight", "state_weight", "bias"))
        states = []
        for at in x:
            R, Z = (torch.sigmoid(at @ W[k] + h @ U[k] + b[k]) for k in range(2))
            h = Z * h + (1 - Z) * torch.tanh(at @ W[2] + (R * h) @ U[2] + b[2])
            states.append(h)
        return torch.stack(states)

    (W, U, b, _), inputs = sizes()
    agrees(GRU(W, U, b), reference, *inputs)


def test_reset_after_is_torchs_module_with_every_gradient():
    (W, U, b, c), inputs = sizes()
    theirs = nn.GRU(3, 5).double()

    def reference(p, x, h):
        hidden = torch.cat((torch.zeros(10, dtype=torch.float64), p["state_bias"]))
        named = {"weight_ih_l0": p["input_weight"].T, "weight_hh_l0": p["state_weight"].T, "bias_ih_l0": p["bias"],
                 "bias_hh_l0": hidden}
        return torch.func.functional_call(theirs, named, (x, h[None]))[0]

    agrees(GRU(W, U, b, c, reset="after"), reference, *inputs)
