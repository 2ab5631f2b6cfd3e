"""x <- T(x): what one step is, what is kept, when it ends."""

import copy

import pytest
import torch
from oracles import records

from shinso.core.errors import UserError
from shinso.engine.loop import run
from shinso.learn.iterate import Iterate, largest_change, settled


def halving(total: int = 60) -> Iterate:
    """x <- x/2 + 1 with the fixed point 2, and a counter that the map keeps."""
    start = {"x": torch.tensor([0.0, 10.0], dtype=torch.float64), "steps": 0}
    return Iterate(start, lambda x: {"x": x["x"] / 2 + 1, "steps": x["steps"] + 1},
                   lambda a, b: {"residual": largest_change(a, b), "steps": b["steps"]}, total)


def test_the_map_is_applied_once_per_step():
    program = halving()
    for k, row in enumerate(run(program), start=1):
        assert row.record["steps"] == k
        torch.testing.assert_close(program.x["x"], 2 + torch.tensor([-2.0, 8.0], dtype=torch.float64) / 2**k)
    assert k == program.total == 60


def test_a_settled_iteration_ends_at_its_tolerance_and_not_before():
    rows = [float(row.record["residual"]) for row in run(halving(), settled(1e-6))]
    assert len(rows) < 60
    assert rows[-1] <= 1e-6 < rows[-2]


def test_the_budget_ends_what_does_not_settle():
    assert len(list(run(halving(5), settled(0.0)))) == 5


@pytest.mark.parametrize("tolerance", [-1e-9, float("nan")])
def test_a_tolerance_below_zero_is_refused(tolerance):
    with pytest.raises(UserError, match="tolerance"):
        settled(tolerance)


@pytest.mark.parametrize("k", [0, 1, 7, 19, 20])
def test_resume_is_exact(k):
    whole = records(halving(20))
    first, second = halving(20), halving(20)
    head = records(first, 0, k)
    second.restore(copy.deepcopy(first.state()))
    assert head + records(second, k) == whole


def test_a_state_that_was_handed_out_does_not_move():
    program = halving()
    state = program.state()
    program.step(0)
    assert torch.equal(state["x"]["x"], torch.tensor([0.0, 10.0], dtype=torch.float64))
    assert state["x"]["steps"] == 0


def test_restore_keeps_the_number_format_of_the_program():
    program = halving()
    program.restore({"x": {"x": torch.zeros(2, dtype=torch.float32), "steps": 3}})
    assert program.x["x"].dtype == torch.float64
    assert program.x["steps"] == 3


def test_no_graph_grows_through_the_steps():
    weight = torch.tensor(0.5, requires_grad=True)
    program = Iterate({"x": torch.ones(1)}, lambda x: {"x": x["x"] * weight}, lambda a, b: {"x": b["x"].sum()}, 3)
    assert not any(torch.as_tensor(row.record["x"]).requires_grad for row in run(program))


def test_largest_change_looks_at_every_floating_tensor_and_at_nothing_else():
    a = {"u": torch.tensor([1.0, 2.0]), "v": torch.tensor([5.0]), "n": 3, "order": torch.tensor([9])}
    b = {"u": torch.tensor([1.5, 2.0]), "v": torch.tensor([2.0]), "n": 90, "order": torch.tensor([0])}
    assert float(largest_change(a, b)) == 3.0
