"""A finished or saved run as a program again, without its data: for predict and export."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from shinso.cli.settings import restored_setup
from shinso.core.place import Place
from shinso.engine import checkpoint
from shinso.engine.folder import RunFolder
from shinso.engine.program import Program
from shinso.engine.saving import Loaded, resume


def rebuild(run: Path) -> tuple[Program, Loaded, dict[str, Any]]:
    """The program on the CPU with the weights that the run was tested with, the checkpoint, and setup.json."""
    folder = RunFolder(run)
    values = folder.read_setup()
    module, setup, _ = restored_setup(run, values)
    described = run / "data.json"
    if described.exists() and hasattr(setup, "data"):
        setup = dataclasses.replace(setup, data=f"described:{described}")
    program = module.build(setup, Place())
    which = "latest"
    if (run / "summary.json").exists():
        which = str(folder.read("summary.json").get("checkpoint", "latest"))
    loaded = checkpoint.load(folder.checkpoints, which, warn=lambda text: print(f"shinso: {text}", file=sys.stderr))
    resume(program, {}, loaded)
    return program, loaded, values
