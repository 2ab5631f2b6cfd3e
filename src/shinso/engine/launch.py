"""Decides where a program computes, once, before it is built; and how many threads pay, by a short trial after."""

import copy
import os
import time
from dataclasses import replace
from typing import Literal

import torch

from shinso.core.errors import UserError
from shinso.core.place import Place, cores, process
from shinso.engine.program import Program

TRIAL_SECONDS = 0.4
WORTH_IT = 1.2
"""a second core must bring this factor, or it is left to the rest of the machine"""


def resolve(device: str = "auto", precision: str = "auto", compile: str = "auto", threads: int | None = None) -> Place:
    """The Place that the options mean here; what the machine does not have is refused with what to type instead.

    `auto`: the first of cuda, mps, cpu that is there; bf16 on CUDA devices that compute with it, else fp32;
    no compilation (it costs 5-30 s and seldom pays on small networks); without `threads` one, until `trial` says more.
    """
    kind = _device(device)
    number = _precision(precision, kind)
    most = 4 * cores()
    if threads is not None and not 1 <= threads <= most:
        raise UserError("--threads", f"{threads} is not between 1 and {most}", f"there are {cores()} cores here")
    return Place(device=kind, precision=number, compile=compile == "on", threads=threads or 1)


def among_others(place: Place) -> Place:
    """`place` as one of the processes that torchrun started: each has a rank, and a CUDA device of its own."""
    rank, processes = process()
    if processes == 1 or not place.device.startswith("cuda"):
        return replace(place, rank=rank, processes=processes)
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    if here > torch.cuda.device_count():
        raise UserError("torchrun", f"{here} processes need {here} CUDA devices, there are {torch.cuda.device_count()}",
                        "start fewer with --nproc-per-node, or use --device cpu")
    return replace(place, device=f"cuda:{os.environ['LOCAL_RANK']}", rank=rank, processes=processes)


def prepare(place: Place) -> None:
    """Applies a Place to the process: threads and deterministic algorithms."""
    use_threads(place.threads)
    if place.device.startswith("cuda"):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)


def use_threads(count: int) -> None:
    """So many threads inside one operation of torch, and of NumPy's linear algebra, which keeps a pool of its own."""
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(count)
    threadpool_limits(count, user_api="blas")


def trial(program: Program) -> int:
    """The number of threads with which `program` steps fastest here and now; its state is as before afterwards.

    One thread stands unless all cores are at least WORTH_IT times faster: beside a busy neighbour two spinning threads
    run at half the speed of one, and small networks gain nothing from a second.
    """
    every = cores()
    if every == 1 or program.total < 3:
        return 1
    before = copy.deepcopy(program.state())
    used = torch.get_num_threads()
    try:
        program.step(0)  # the first step loads libraries and compiles kernels
        speed = {}
        for threads in (1, every):
            use_threads(threads)
            program.step(1)
            began, steps = time.perf_counter(), 0
            while (elapsed := time.perf_counter() - began) < TRIAL_SECONDS and steps + 2 < program.total:
                program.step(2 + steps)
                steps += 1
            speed[threads] = steps / max(elapsed, 1e-9)
    finally:
        use_threads(used)
        program.restore(before)
    return every if speed[every] > WORTH_IT * speed[1] else 1


def _device(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise UserError("--device", f"'{device}' is not a device", "use auto, cpu, cuda, cuda:N or mps") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError("--device", "this torch sees no CUDA device", "use --device cpu, or install torch for CUDA")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UserError("--device", "this machine has no Metal device", "use --device cpu")
    if kind not in ("cpu", "cuda", "mps"):
        raise UserError("--device", f"'{device}' is not supported", "use auto, cpu, cuda or mps")
    if kind == "cuda" and (torch.device(device).index or 0) >= torch.cuda.device_count():
        raise UserError("--device", f"there is no '{device}' here", f"this machine has {torch.cuda.device_count()}")
    return device


def _precision(precision: str, device: str) -> Literal["fp32", "bf16"]:
    if precision == "auto":
        quick = device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16" if quick else "fp32"
    if precision not in ("fp32", "bf16"):
        raise UserError("--precision", f"'{precision}' is not a choice", "use auto, fp32 or bf16")
    return "bf16" if precision == "bf16" else "fp32"
