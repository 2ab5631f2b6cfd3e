"""Clipping: what it may change, and what happens at a cliff without it."""

import pytest
import torch
from oracles import records

from shinso.basics import gradient_clipping
from shinso.core.errors import UserError


@pytest.mark.parametrize("seed", range(3))
def test_clipped_descents_stay_on_the_map_and_get_better(seed):
    program = gradient_clipping.build(gradient_clipping.Setup(seed=seed))
    rows = records(program)
    path = torch.tensor(program.paths["clipped"])
    assert (path - path[0]).norm(dim=1).max() < 2
    assert min(row["loss"] for row in rows[-30:]) < rows[0]["loss"] / 5


def test_a_short_gradient_and_zero_are_left_alone():
    short, zero = torch.tensor([0.3, -0.4]), torch.zeros(2)
    assert torch.equal(gradient_clipping.clip_by_norm([short], 1.0)[0], short)
    assert torch.equal(gradient_clipping.clip_by_norm([zero], 1.0)[0], zero)


def test_nothing_is_changed_in_place():
    given = torch.tensor([30.0, 40.0])
    clipped = gradient_clipping.clip_by_norm([given], 5.0)[0]
    assert given.tolist() == [30.0, 40.0]
    assert clipped.tolist() == pytest.approx([3.0, 4.0])


def test_the_slope_is_that_of_the_surface():
    def height(at):
        return gradient_clipping.surface(at[0], at[1])

    point = torch.tensor([3.5, -1.2], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(height, point)
    torch.testing.assert_close(gradient_clipping.slope(point), torch.autograd.grad(height(point), point)[0])


def test_a_start_far_off_the_map_is_refused():
    with pytest.raises(UserError, match="far off"):
        gradient_clipping.build(gradient_clipping.Setup(w=1e6))
