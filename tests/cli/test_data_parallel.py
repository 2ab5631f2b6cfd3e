"""Two processes under torchrun against one: the same weights, one folder, and an end that both share."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from shinso.basics import mlp
from shinso.cli import main
from shinso.cli.following import normalises
from shinso.core.errors import Lost, UserError
from shinso.core.place import Place
from shinso.data.batches import Batches
from shinso.data.examples import open_data
from shinso.engine.checkpoint import load, steps
from shinso.vision import cifar_resnet, lenet

# 1,258 training digits: three batches of 419, and one of a single example that leaves nothing for the second process.
MLP = ("run", "basics.mlp", "--variant", "smoke", "--batch-size", "419")


def together(folder: Path, words: Sequence[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "shinso", *words]
    env = os.environ | {"SHINSO_LANG": "en", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                            start_new_session=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def weights(run_folder: Path) -> dict[str, Tensor]:
    return load(run_folder / "checkpoints").state["program"]["model"]


def wait_for_step(run_folder: Path, step: int) -> None:
    until = time.monotonic() + 60
    while not any(found >= step for found in steps(run_folder / "checkpoints")):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_two_processes_end_with_the_weights_of_one(tmp_path):
    # Adam would divide what differs in the last bit of a gradient of nearly 0 by as little: 1.3e-6 after 20 steps.
    short = (*MLP, "--epochs", "5", "--optimiser", "sgd", "--lr", "0.1", "--json")
    code, out, err = ended(together(tmp_path, [*short, "--out", "two"]))
    assert code == 0, err
    assert err.count("finished in") == 1 and "2 processes share every batch\n" in err
    assert out.count('"step": 20,') == 1, "only the first process tells"
    program = mlp.build(replace(mlp.VARIANTS["smoke"], batch_size=419, epochs=5, optimiser="sgd", lr=0.1))
    start = {name: weight.clone() for name, weight in program.state()["model"].items()}
    for i in range(program.total):
        program.step(i)
    one, two = program.state()["model"], weights(tmp_path / "two")
    assert one.keys() == two.keys()
    for name in one:
        assert float((one[name] - two[name]).abs().max()) < 1e-6
        assert float((one[name] - start[name]).abs().max()) > 1e-3, "it did learn"


@pytest.mark.slow
@pytest.mark.parametrize("words", [("vision.lenet",), ("vision.cifar_resnet", "--last", "0.3")],
                         ids=["bent_digits", "blocks_cut"])
def test_resumed_after_a_death_it_ends_as_if_nothing_had_happened(tmp_path, words):
    common = ("run", *words, "--variant", "smoke", "--epochs", "12", "--batch-size", "100", "--checkpoint-every", "10")
    whole = together(tmp_path, [*common, "--out", "whole"])
    assert ended(whole)[0] == 0
    broken = together(tmp_path, [*common, "--out", "broken"])
    wait_for_step(tmp_path / "broken", 20)
    victim = sorted(children(broken.pid))[-1]
    os.kill(victim, signal.SIGKILL)
    code, _, err = ended(broken)
    assert code != 0
    said = [line for line in err.splitlines() if line.startswith("shinso: ")]
    assert len(said) == 1 and "another process of this run has ended" in said[0]
    code, _, err = ended(together(tmp_path, ["run", "--resume", "broken"]))
    assert code == 0 and "continues after step" in err
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (tmp_path / "whole/records.jsonl").read_bytes() == (tmp_path / "broken/records.jsonl").read_bytes()


@pytest.mark.slow
def test_a_signal_to_one_process_ends_all_after_the_same_step_and_the_number_must_stay(tmp_path):
    common = (*MLP, "--epochs", "200", "--checkpoint-every", "20")
    process = together(tmp_path, [*common, "--out", "stopped"])
    wait_for_step(tmp_path / "stopped", 20)
    os.kill(sorted(children(process.pid))[-1], signal.SIGTERM)
    _, _, err = ended(process)
    assert "interrupted at step" in err and "another process" not in err
    alone = subprocess.run([sys.executable, "-m", "shinso", "run", "--resume", "stopped"], cwd=tmp_path, text=True,
                           capture_output=True, env=os.environ | {"SHINSO_LANG": "en"}, check=False)
    assert alone.returncode == 2 and "torchrun --nproc-per-node 2" in alone.stderr


@pytest.mark.slow
def test_a_program_that_does_not_share_is_refused_once(tmp_path):
    code, _, err = ended(together(tmp_path, ["run", "basics.perceptron", "--variant", "smoke"]))
    said = [line for line in err.splitlines() if line.startswith("shinso: ")]
    assert code != 0 and len(said) == 1 and "does not share its work" in said[0]


def children(parent: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=True)
    return [int(line) for line in listed.stdout.split()]


@pytest.mark.parametrize("processes", [2, 3, 5])
def test_the_parts_of_a_batch_are_the_batch(processes):
    data = open_data("digits")
    whole = Batches(data.train, data.about, 419, seed=3)
    parts = [Batches(data.train, data.about, 419, seed=3, part=(r, processes)) for r in range(processes)]
    for _ in range(whole.per_epoch + 1):
        inputs, targets = whole.next()
        given = [part.next() for part in parts]
        assert sum(part.share for part in parts) == pytest.approx(1.0)
        kept = [pair for pair, part in zip(given, parts, strict=True) if part.share > 0]
        assert torch.equal(torch.cat([x for x, _ in kept]), inputs)
        assert torch.equal(torch.cat([y for _, y in kept]), targets)
        assert all(len(y) > 0 for _, y in given), "a part without examples still has one, of share 0"


def test_what_normalises_over_a_batch_is_known():
    assert normalises(cifar_resnet.build(cifar_resnet.VARIANTS["smoke"], Place()))
    assert not normalises(lenet.build(lenet.VARIANTS["smoke"], Place()))


def test_what_all_meet_is_said_by_the_first_and_what_one_meets_by_that_one(monkeypatch, capsys):
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("RANK", "1"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    shared, own = UserError("--lr", "is no number", "give one"), UserError("a.png", "went bad", "take it out")
    own.alone = True
    assert main._explained(shared) == 2 and capsys.readouterr().err == ""
    assert main._explained(own) == 2 and "a.png: went bad" in capsys.readouterr().err
    assert main._explained(Lost(1)) == 2 and "another process of this run has ended" in capsys.readouterr().err
    monkeypatch.setenv("RANK", "0")
    assert main._explained(shared) == 2 and "--lr" in capsys.readouterr().err
