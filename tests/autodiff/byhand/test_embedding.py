"""The table of words: what is refused, and numbers of any shape and type."""

import numpy as np
import pytest

from shinso.autodiff.byhand.embedding import Embedding
from shinso.core.errors import UserError


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_any_integers_of_any_shape_name_words(kind):
    layer = Embedding(np.arange(12.0).reshape(4, 3))
    assert layer.forward(np.array([[[3, 0]]], kind)).tolist() == [[[[9, 10, 11], [0, 1, 2]]]]


def test_the_gradient_of_a_word_that_stands_often_is_the_whole_sum():
    draw = np.random.default_rng(0)
    layer, ids, grad = Embedding(np.zeros((5, 3))), draw.integers(0, 4, (6, 7)), draw.normal(size=(6, 7, 3))
    layer.forward(ids)
    assert layer.backward(grad) is None
    wanted = [sum((grad[at] for at in zip(*np.nonzero(ids == word), strict=True)), np.zeros(3)) for word in range(5)]
    np.testing.assert_allclose(layer.grads["weight"], wanted, atol=1e-14)
    assert (layer.grads["weight"][4] == 0).all()


@pytest.mark.parametrize("bad", [np.array([4]), np.array([-1]), np.array([0.5])])
def test_what_is_no_word_is_refused(bad):
    with pytest.raises(UserError, match="embedding: classes"):
        Embedding(np.zeros((4, 3))).forward(bad)
