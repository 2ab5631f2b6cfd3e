"""Random deep networks at their start: what (2) and (3) say, measured anew."""

import numpy as np
import pytest
import torch
from oracles import records

from shinso.basics import initialisation
from shinso.core.seed import generator


def test_one_layer_is_a_product_with_a_random_matrix():
    h = torch.randn(3, 7, dtype=torch.float64)
    draw, again = generator(0, "W"), generator(0, "W")
    W = torch.randn(3, 7, 7, generator=again, dtype=torch.float64) * (1.5 / 7) ** 0.5
    expected = torch.stack([torch.relu(W[i] @ h[i]) for i in range(3)])
    torch.testing.assert_close(initialisation.layer(h, 1.5, draw), expected, rtol=1e-12, atol=1e-12)


def test_the_factor_of_one_layer_has_variance_5_over_n():
    n, draw = 40, np.random.default_rng(0)
    factors = 2 / n * np.maximum(draw.standard_normal((200_000, n)), 0) ** 2
    assert factors.sum(1).var() == pytest.approx(5 / n, rel=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_rows_stay_near_the_prediction(seed):
    rows = records(initialisation.build(initialisation.Setup(networks=150, width=60, depth=20, seed=seed)))
    assert all(abs(row["measured"] - row["predicted"]) <= row["within"] for row in rows)
    assert rows[-1]["within"] < rows[-1]["predicted"], "a bound that nothing can leave says nothing"


def test_a_single_network_gets_a_second_one_for_the_variance():
    assert initialisation.build(initialisation.Setup(networks=1, width=5, depth=2)).step(0)["measured"] >= 0
