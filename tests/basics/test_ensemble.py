"""A committee: who its members are, and why it beats them."""

import numpy as np
import pytest
import torch
from oracles import records

from shinso.basics import ensemble
from shinso.core.seed import generator


@pytest.mark.parametrize("seed", range(3))
def test_the_committee_beats_its_best_third(seed):
    program = ensemble.build(ensemble.Setup(seed=seed))
    rows = records(program)
    each = (program.answers - ensemble.truth(program.at)).square().mean(1).sort().values
    assert rows[-1]["error"] < each[len(each) // 3]
    assert rows[-1]["error"] < rows[0]["error"]


def test_the_parts_are_numpys_mean_and_variance():
    answers, y = np.random.default_rng(0).standard_normal((7, 5)), np.arange(5.0)
    error, members, spread = ensemble.ambiguity(torch.from_numpy(answers), torch.from_numpy(y))
    assert float(error) == pytest.approx(((answers.mean(0) - y) ** 2).mean(), rel=1e-14)
    assert float(members) == pytest.approx(((answers - y) ** 2).mean(), rel=1e-14)
    assert float(spread) == pytest.approx(answers.var(0).mean(), rel=1e-14)


def test_members_differ_by_their_draw_alone():
    x = torch.linspace(-1, 1, 20, dtype=torch.float64)
    y = ensemble.truth(x)
    one, again, other = (ensemble.answer(ensemble.member(x, y, 10, generator(0, name)), x) for name in "aab")
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
