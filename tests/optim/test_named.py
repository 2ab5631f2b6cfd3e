"""Methods are found by the names of their files."""

import pytest
import torch

from shinso.core.errors import UserError
from shinso.optim.lion import Lion
from shinso.optim.named import method, methods


def test_a_file_is_a_method():
    assert method("lion") is Lion
    assert methods()["lion"] is Lion
    assert all(issubclass(kind, torch.optim.Optimizer) for kind in methods().values())
    assert {"adam", "adamw", "lbfgs", "sgd", "rmsprop_graves"} <= set(methods())
    assert "named" not in methods()


@pytest.mark.parametrize("name", ["lyon", "named", "_adam", "os"])
def test_a_name_that_is_no_method_gets_one_sentence(name):
    with pytest.raises(UserError, match=f"there is no method '{name}'"):
        method(name)


def test_the_closest_name_is_said():
    with pytest.raises(UserError, match="lion"):
        method("lyon")
