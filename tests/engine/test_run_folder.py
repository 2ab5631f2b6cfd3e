"""A run folder has one writer, whole files, and rows that a resume continues exactly."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from faulty_disk import FaultyDisk

from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.engine.disk import atomic_write_bytes
from shinso.engine.folder import RunFolder, to_line
from shinso.engine.lock import Lock

HOLDER = "import sys, time; from pathlib import Path; from shinso.engine.lock import Lock; " \
         "lock = Lock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Setup:
    data: str = "folder:犬 と 猫/🎉"
    lr: float = 0.1
    clip: float = math.inf
    widths: tuple[int, ...] = (16, 32)


def made(path: Path) -> RunFolder:
    folder = RunFolder.create(path)
    folder.write_setup(system="tiny", variant="smoke", setup=Setup(), place=Place(), version="1")
    return folder


def test_what_is_written_is_read(tmp_path: Path):
    with made(tmp_path / "run") as folder:
        folder.write("summary.json", {"metrics": {"loss": math.nan, "名前": 1}, "path": "\udcff"})
    values = RunFolder(tmp_path / "run").read_setup()
    assert values["setup"] == {"data": Setup().data, "lr": 0.1, "clip": math.inf, "widths": [16, 32]}
    assert values["place"] == {"device": "cpu", "precision": "fp32", "compile": False, "threads": 1,
                               "processes": 1, "rank": 0}
    summary = folder.read("summary.json")
    assert math.isnan(summary["metrics"]["loss"]) and summary["metrics"]["名前"] == 1 and summary["path"] == "\udcff"


def test_a_second_writer_is_told_who_the_first_is(tmp_path: Path):
    path = tmp_path / "実行"
    made(path).close()
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path / "lock")], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        for attempt in (RunFolder.resume, RunFolder.create):
            with pytest.raises(UserError, match=f"process {holder.pid} on {socket.gethostname()} is writing here"):
                attempt(path)
        assert RunFolder(path).read_setup()["system"] == "tiny", "reading needs no lock"
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    RunFolder.resume(path).close()


def test_two_writers_in_one_process_are_refused(tmp_path: Path):
    with made(tmp_path), pytest.raises(UserError, match=f"process {os.getpid()}"):
        RunFolder.resume(tmp_path)
    RunFolder.resume(tmp_path).close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_worker_does_not_keep_its_dead_parents_lock(tmp_path: Path):
    code = "import os, signal, sys, time; from pathlib import Path; from shinso.engine.lock import Lock\n" \
           "lock = Lock(Path(sys.argv[1]))\n" \
           "child = os.fork()\n" \
           "os.write(1, b'%d\\n' % child)\n" \
           "time.sleep(60) if child == 0 else os.kill(os.getpid(), signal.SIGKILL)"  # fmt: skip
    done = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE)
    assert done.stdout is not None
    worker = max(int(done.stdout.readline()) for _ in range(2))  # both have come back from fork
    done.wait()
    try:
        Lock(tmp_path / "lock").release()
    finally:
        os.kill(worker, signal.SIGKILL)
        done.stdout.close()


def test_a_run_is_neither_overwritten_nor_resumed_where_none_is(tmp_path: Path):
    made(tmp_path / "run").close()
    with pytest.raises(UserError, match=r"a run here already.*--resume"):
        RunFolder.create(tmp_path / "run")
    RunFolder.resume(tmp_path / "run").close()
    with pytest.raises(UserError, match=r"setup\.json.*give the folder of a run"):
        RunFolder.resume(tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"system": "x"}', b"\xff\xfe", b"[" * 100_000])
def test_a_broken_setup_is_one_line(tmp_path: Path, content: bytes):
    (tmp_path / "setup.json").write_bytes(content)
    with pytest.raises(UserError) as caught:
        RunFolder.resume(tmp_path)
    assert f"{tmp_path}/setup.json" in caught.value.line() and "\n" not in caught.value.line()
    assert len(caught.value.line()) < 400


def test_rows_come_back_with_their_strange_numbers(tmp_path: Path):
    rows = [{"step": 1, "loss": 0.1 + 0.2, "n": 3}, {"step": 2, "loss": math.inf}, {"step": 3, "loss": -math.inf}]
    with made(tmp_path) as folder:
        for row in rows:
            folder.append(row)
            assert list(folder.records())[-1] == row, "readable at once"
        folder.append({"step": 4, "loss": math.nan})
    assert list(folder.records())[:3] == rows and math.isnan(list(folder.records())[3]["loss"])
    for line in folder.records_path.read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)
    assert to_line({"step": 1, "名": "犬"}) == '{"step": 1, "名": "犬"}'


@pytest.mark.parametrize("tail", [b"", b'{"step": 5, "lo', b"\x00\x00\x00", b'{"step": 9, "loss": 1.0}', b"null\n3\n",
                                  b'{"loss": 2}\n', b'\xff\xff\n{"step": 4, "loss": 4.0}\n'])  # fmt: skip
def test_a_resume_continues_behind_its_checkpoint(tmp_path: Path, tail: bytes):
    with made(tmp_path) as folder:
        for step in range(1, 5):
            folder.append({"step": step, "loss": step / 3})
    with open(folder.records_path, "ab") as file:
        file.write(tail)
    with RunFolder.resume(tmp_path) as folder:
        folder.truncate(3)
        folder.append({"step": 4, "loss": 0.5})
        folder.flush()
    assert [row["step"] for row in folder.records()] == [1, 2, 3, 4]
    assert folder.records_path.read_bytes().count(b"\n") == 4
    assert list(folder.records())[1]["loss"] == 2 / 3


def test_truncating_before_the_first_row_leaves_none(tmp_path: Path):
    with made(tmp_path) as folder:
        folder.truncate(0)
        folder.append({"step": 1})
        folder.truncate(0)
    assert list(folder.records()) == [] and list(RunFolder(tmp_path / "nowhere").records()) == []


@pytest.mark.parametrize("dead", [False, True])
def test_a_file_is_whole_or_as_before_at_every_fault(tmp_path: Path, dead: bool):
    path = tmp_path / "setup.json"
    with pytest.MonkeyPatch.context() as patch:
        clean = FaultyDisk(patch)
        atomic_write_bytes(path, b"old")
    assert [name for name, _ in clean.trace] == ["open", "write", "fsync", "close", "replace", "open", "fsync", "close"]
    for at in range(1, 9):
        with pytest.MonkeyPatch.context() as patch:
            FaultyDisk(patch, at, dead=dead)
            try:
                atomic_write_bytes(path, b"new content")
            except UserError as error:
                assert str(path) in error.line() and "11 bytes needed" in error.line()
        assert path.read_bytes() in (b"old", b"new content")
        path.write_bytes(b"old")
    with RunFolder(tmp_path)._locked():
        assert sorted(os.listdir(tmp_path)) == ["lock", "setup.json"], "leftovers are cleared"


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be written"):
        RunFolder.create(tmp_path / "file" / "run")
    with pytest.raises(UserError, match="cannot be written"):
        RunFolder.create(tmp_path / ("x" * 300))


def test_closing_twice_does_no_harm(tmp_path: Path):
    folder = made(tmp_path)
    folder.append({"step": 1})
    folder.close()
    folder.close()
