"""Multi-head attention is torch's module with its weights, scaled; unscaled it is the document's formula."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch_oracle import agrees

from shinso.autodiff.byhand.multihead_attention import NAMES, MultiheadAttention, example
from shinso.core.errors import UserError


@pytest.mark.parametrize("heads", [1, 2, 3, 6])
def test_it_is_torchs_module_with_every_gradient(heads):
    draw = np.random.default_rng(0)
    layer = MultiheadAttention(draw.normal(size=(4, 6, 6)), draw.normal(size=(4, 6)), heads)
    theirs = nn.MultiheadAttention(6, heads, batch_first=True).double()

    def reference(p, q, k, v):
        named = {"in_proj_weight": torch.cat([p[f"{name}_weight"].T for name in NAMES[:3]]),
                 "in_proj_bias": torch.cat([p[f"{name}_bias"] for name in NAMES[:3]]),
                 "out_proj.weight": p["output_weight"].T, "out_proj.bias": p["output_bias"]}
        return torch.func.functional_call(theirs, named, (q, k, v))[0]

    agrees(layer, reference, *example(draw)[1])


def test_unscaled_it_is_torchs_attention_with_scale_one():
    layer, inputs = example(np.random.default_rng(0))
    layer = MultiheadAttention(np.stack([layer.params[f"{name}_weight"] for name in NAMES]),
                               np.stack([layer.params[f"{name}_bias"] for name in NAMES]), 2, "none")

    def reference(p, *inputs):
        parts = (x @ p[f"{name}_weight"] + p[f"{name}_bias"] for name, x in zip(NAMES, inputs, strict=False))
        heads = F.scaled_dot_product_attention(*(x.unflatten(2, (2, 3)).transpose(1, 2) for x in parts), scale=1.0)
        return heads.transpose(1, 2).flatten(2) @ p["output_weight"] + p["output_bias"]

    agrees(layer, reference, *inputs)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(UserError, match="cannot be cut into 4 heads"):
        MultiheadAttention(np.zeros((4, 6, 6)), np.zeros((4, 6)), 4)
