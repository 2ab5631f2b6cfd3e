"""Jensen-Shannon against SciPy's distance."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from shinso.core.errors import UserError
from shinso.maths.js import best_discriminator, game_value, js, js_distance


@pytest.mark.parametrize("base", [2, np.e])
def test_the_root_is_scipys(base):
    for p, q in np.random.default_rng(0).dirichlet(np.full(6, 0.5), (100, 2)):
        assert js_distance(p, q, base) == pytest.approx(jensenshannon(p, q, base), rel=1e-9)


def test_equal_laws_and_their_game():
    p = np.array([0.2, 0.0, 0.8])
    assert js(p, p) == 0 and game_value(p, p, best_discriminator(p, p)) == pytest.approx(-np.log(4), abs=1e-15)


def test_a_surely_wrong_discriminator_is_infinitely_bad():
    assert game_value([1.0, 0.0], [0.0, 1.0], [0.0, 0.5]) == -np.inf
    assert game_value([1.0, 0.0], [0.0, 1.0], best_discriminator([1.0, 0.0], [0.0, 1.0])) == 0


@pytest.mark.parametrize("D", [[0.5], [0.5, 1.5], [-0.1, 0.5], [np.nan, 0.5]])
def test_what_is_no_discriminator_is_refused(D):
    with pytest.raises(UserError):
        game_value([0.5, 0.5], [0.5, 0.5], D)
