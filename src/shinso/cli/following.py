"""A run in the processes beside the first: they compute their part of every batch, write nothing and say nothing."""

from dataclasses import replace
from pathlib import Path

from torch import nn

from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.engine import checkpoint, launch, saving, team
from shinso.engine.hooks import Watch
from shinso.engine.interrupt import Interruptible
from shinso.engine.loop import run
from shinso.engine.program import Networked, Program


def follow(program: Program, place: Place, checkpoints: Path | None = None) -> int:
    """Steps with the first process until it ends the run; with `checkpoints` from where that one begins."""
    with team.joined(place):
        start = 0 if checkpoints is None else _caught_up(program, place, checkpoints)
        watch = Watch(every=1 if place.device == "cpu" else 50)
        wish = Interruptible()
        try:
            with wish:
                for _ in run(program, watch, team.EndTogether(place, wish, lambda: False), start=start):
                    pass
        except UserError as error:  # a file that went bad, say, in this one's part of the batch
            error.alone = True
            raise
    return 0


def start_together(place: Place, start: int) -> None:
    """Tells the others the step that the first one goes on from, and waits until they stand there."""
    team.largest([start], place.device)
    team.largest([0], place.device)


def _caught_up(program: Program, place: Place, checkpoints: Path) -> int:
    (start,) = team.largest([0], place.device)
    if start:
        saving.resume(program, {}, checkpoint.load(checkpoints, start))
    team.largest([0], place.device)  # only now may the first one write and tidy there
    return start


def normalises(program: Program) -> bool:
    """Whether batch statistics enter, which each process takes from its own part of the batch."""
    networks = program.networks().values() if isinstance(program, Networked) else ()
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    return any(isinstance(part, kinds) for network in networks for part in network.modules())


def same_number(path: Path, place: Place) -> Place:
    """`place` for this process; a run goes on with as many processes as it was started with."""
    here = launch.among_others(replace(place, processes=1, rank=0))
    if here.processes != place.processes:
        many = f"torchrun --nproc-per-node {place.processes} -m shinso"
        raise UserError(path, f"was started with {place.processes} processes, here are {here.processes}",
                        f"continue it with {many if place.processes > 1 else 'shinso'} run --resume {path}")
    return here
