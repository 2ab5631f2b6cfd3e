"""Where a program computes is decided once, from what is there; a trial of threads leaves no trace."""

import copy

import pytest
import torch
from oracles import records, same_tree
from tiny_run import Tiny

from shinso.core.errors import UserError
from shinso.engine import launch, rng


@pytest.fixture
def cuda(monkeypatch):
    """A machine with one CUDA device that only emulates bf16."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)


@pytest.mark.parametrize(("choice", "words"), [
    ({"device": "gpu"}, "not a device"), ({"device": "meta"}, "not supported"), ({"precision": "fp8"}, "fp8"),
    ({"threads": 0}, "threads"), ({"threads": 10**6}, "threads"),
])
def test_what_is_not_here_is_refused_with_what_to_type(choice, words):
    with pytest.raises(UserError, match=words):
        launch.resolve(**choice)


def test_a_device_that_only_emulates_bf16_computes_in_fp32(cuda):
    assert launch.resolve().device == "cuda" and launch.resolve().precision == "fp32"
    assert launch.resolve(precision="bf16").precision == "bf16"
    with pytest.raises(UserError, match="cuda:1"):
        launch.resolve("cuda:1")


def test_a_trial_leaves_program_streams_and_threads_as_they_were(monkeypatch):
    monkeypatch.setattr(launch, "TRIAL_SECONDS", 0.02)
    monkeypatch.setattr(launch, "cores", lambda: 2)
    tried, untouched = Tiny(10), Tiny(10)
    streams, threads = rng.capture(), torch.get_num_threads()
    before = copy.deepcopy(tried.state())
    assert launch.trial(tried) in (1, 2)
    assert same_tree(tried.state(), before) and torch.get_num_threads() == threads
    rng.restore(streams)
    expected = records(tried)
    rng.restore(streams)
    assert records(untouched) == expected


def test_numpys_linear_algebra_has_as_many_threads_as_torch():
    from threadpoolctl import threadpool_info

    before = torch.get_num_threads()
    try:
        for count in (2, 1):
            launch.use_threads(count)
            pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
            assert torch.get_num_threads() == count and pools and set(pools) == {count}
    finally:
        launch.use_threads(before)
