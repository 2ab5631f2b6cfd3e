"""A signal ends the run after its step; a second Ctrl-C ends the process at once; afterwards all is as before."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from shinso.engine.interrupt import Interruptible
from shinso.engine.loop import Row, run

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")


class Counting:
    total = 100

    def __init__(self, at: int, number: int):
        self.at, self.number, self.done = at, number, 0

    def step(self, i: int) -> dict[str, float]:
        if i + 1 == self.at:
            os.kill(os.getpid(), self.number)
        self.done = i + 1
        return {}

    def state(self) -> dict[str, int]:
        return {}

    def restore(self, state: dict[str, int]) -> None: ...


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_step_is_finished_and_the_code_says_why(number: int, code: int):
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    program = Counting(7, number)
    with Interruptible() as interrupted:
        seen = [row.step for row in run(program, interrupted)]
    assert seen == [1, 2, 3, 4, 5, 6, 7] and program.done == 7
    assert interrupted.signal == number and interrupted.exit_code == code
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_quiet_run_ends_with_zero():
    with Interruptible() as interrupted:
        assert interrupted(Row(1, {}), Counting(0, 0)) is False
    assert interrupted.exit_code == 0 and signal.set_wakeup_fd(-1) == -1


def test_ctrl_c_is_again_an_exception_afterwards():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is born deaf to it
    try:
        with Interruptible():
            pass
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_listen_to_nothing_and_do_not_fail():
    seen = []

    def work() -> None:
        with Interruptible() as interrupted:
            seen.append(signal.getsignal(signal.SIGTERM))
            seen.append(interrupted.exit_code)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL, 0]


def test_no_thread_and_no_file_stays_behind():
    def count() -> tuple[int, int]:
        return threading.active_count(), len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    threads, files = count()  # those of the test before may still be leaving, so there may be fewer later
    for _ in range(20):
        with Interruptible():
            pass
    deadline = time.monotonic() + 5
    while (count()[0] > threads or count()[1] > files) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert count()[0] <= threads and count()[1] <= files


WAITING = """
import os, sys, time
from shinso.engine.interrupt import Interruptible
with Interruptible() as interrupted:
    print("ready", flush=True)
    {work}
print("left quietly", interrupted.exit_code, flush=True)
"""
SLEEPING = "time.sleep(30)"
COMPUTING = "import torch; m = torch.eye(4000); print('ready', flush=True); [m @ m for _ in range(1)]; " \
            "torch.linalg.svd(torch.randn(3000, 3000))"  # fmt: skip


def started(work: str, lines: int) -> subprocess.Popen[bytes]:
    child = subprocess.Popen([sys.executable, "-c", WAITING.format(work=work)], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)  # fmt: skip
    assert child.stdout is not None
    for _ in range(lines):
        assert child.stdout.readline() == b"ready\n"
    return child


@pytest.mark.parametrize(("work", "lines"), [(SLEEPING, 1), (COMPUTING, 2)], ids=["in Python", "in one long operation"])
@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_ctrl_c_leaves_within_a_second_without_a_trace(work: str, lines: int, first: int):
    child = started(work, lines)
    child.send_signal(first)
    time.sleep(0.2)
    assert child.poll() is None, "the first signal only asks"
    began = time.perf_counter()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert time.perf_counter() - began < 1.0
    assert child.returncode == 130 and out == b"" and err == b""


def test_a_repeated_sigterm_does_not_cut_the_saving_short():
    child = started("time.sleep(1)", 1)
    for _ in range(3):
        child.send_signal(signal.SIGTERM)
        time.sleep(0.1)
    out, err = child.communicate(timeout=20)
    assert child.returncode == 0 and out == b"left quietly 143\n" and err == b""


def test_a_forked_worker_leaves_the_terminals_ctrl_c_to_its_parent():
    # Each says when it has come back from fork: before that a signal finds the worker with its parent's handlers.
    work = "child = os.fork(); os.write(1, b'%d\\n' % child); time.sleep(1.5); child or os._exit(0)"
    child = started(work, 1)
    assert child.stdout is not None
    worker = max(int(child.stdout.readline()) for _ in range(2))
    os.kill(worker, signal.SIGINT)
    os.kill(worker, signal.SIGINT)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert child.returncode == 0 and out == b"left quietly 130\n" and err == b""
