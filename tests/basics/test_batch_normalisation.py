"""Batch normalisation: the wide range of rates, and what it does to one layer."""

import torch
from oracles import records
from torch import nn

from shinso.basics import batch_normalisation
from shinso.core.seed import drawing_from


def test_it_trains_over_a_wider_range_of_rates():
    rows = records(batch_normalisation.build(batch_normalisation.Setup(rates=21)))
    wide = [sum(row[name] > 0.6 for row in rows) for name in ("accuracy", "accuracy_plain")]
    assert wide[0] >= 2 * wide[1] > 0


def test_a_layer_is_torchs_and_its_units_have_mean_0_and_deviation_1():
    with drawing_from(0, "net"):
        net = batch_normalisation.Deep((5, 8, 3), normalised=True)
        x = torch.randn(64, 5)
    z = net.norms[0](net.layers[0](x))
    theirs = nn.BatchNorm1d(8)(net.layers[0](x))
    torch.testing.assert_close(z, theirs)
    torch.testing.assert_close(z.mean(0), torch.zeros(8), rtol=0, atol=1e-6)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(8), rtol=0, atol=1e-3)


def test_the_plain_net_has_no_normalisation():
    net = batch_normalisation.Deep((5, 8, 8, 3), normalised=False)
    assert not [part for part in net.modules() if isinstance(part, nn.BatchNorm1d)]


def test_spreads_do_not_depend_on_the_weights_when_normalised():
    small, large = (batch_normalisation.spreads(10, 40, v, normalised=True) for v in (1.0, 100.0))
    torch.testing.assert_close(small, large, rtol=1e-3, atol=1e-3)
