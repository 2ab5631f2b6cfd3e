"""Parts that are put away."""

import numpy as np
import pytest

from shinso.core.errors import UserError
from shinso.metrics.holdout import holdout


def test_the_seed_decides():
    one, again, other = (holdout(100, 0.3, seed) for seed in (0, 0, 1))
    assert (one[1] == again[1]).all() and set(one[1]) != set(other[1])


def test_every_class_is_on_both_sides():
    labels = np.repeat([0, 1, 2], [50, 5, 2])
    train, test = holdout(57, 0.2, 0, labels)
    assert set(labels[train]) == {0, 1, 2} and np.bincount(labels[test], minlength=3)[0] in (10, 11)


@pytest.mark.parametrize(("n", "share", "classes"), [
    (10, 0.0, None), (10, 1.0, None), (1, 0.5, None), (10, np.nan, None), (3, 0.9, None), (4, 0.5, [0, 0, 0, 1]),
    (4, 0.5, [0, 1]), (3, 0.5, [[0], [1, 2], 0]), ("10", 0.5, None), (6, 0.2, [0, 0, 1, 1, 2, 2]),
])  # fmt: skip
def test_empty_parts_and_lonely_classes_are_refused(n, share, classes):
    with pytest.raises(UserError):
        holdout(n, share, 0, classes)
