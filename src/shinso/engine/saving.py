"""What a checkpoint of a run holds - program, hooks, global random streams - and when it is written."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, final, runtime_checkable

from shinso.core.errors import UserError
from shinso.engine import checkpoint, rng
from shinso.engine.checkpoint import Loaded
from shinso.engine.loop import Row
from shinso.engine.program import Program


@runtime_checkable
class Remembering(Protocol):
    """A hook whose memory must survive: it has state() and restore()."""

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


@final
class Checkpointing:
    """A hook that saves every `every` steps (0: never by itself), and at once when `better()` says so, as the best.

    It stands last among the hooks, behind the one that writes the records: then a checkpoint never knows of a step
    whose row is not yet on the disk. `hooks` names those whose memory is saved. The caller holds the run folder's
    lock; what killed writers left in `folder` is cleared here. `before()` runs ahead of each save (RunFolder.flush).
    """

    def __init__(self, folder: Path, every: int, hooks: Mapping[str, object] | None = None, *, keep: int = 3,
                 better: Callable[[], bool] | None = None, before: Callable[[], None] | None = None):  # fmt: skip
        self.folder, self.every, self.keep, self.better, self.before = folder, every, keep, better, before
        self.hooks = dict(hooks or {})
        self.step = self.saved = -1
        checkpoint.tidy(folder)

    def __call__(self, row: Row, program: Program) -> None:
        self.step = row.step
        best = self.better is not None and self.better()
        if best or (self.every > 0 and row.step % self.every == 0):
            self._save(program, best=best)

    def save_now(self, program: Program) -> None:
        """Saves the step that was last seen, unless that is done: for the end of a run and for interrupts."""
        if self.step > self.saved:
            self._save(program, best=False)

    def _save(self, program: Program, *, best: bool) -> None:
        if self.before is not None:
            self.before()
        checkpoint.save(self.folder, self.step, snapshot(program, self.hooks), keep=self.keep, best=best)
        self.saved = self.step


def snapshot(program: Program, hooks: Mapping[str, object]) -> dict[str, Any]:
    """The state tree of a run; it may alias live tensors."""
    remembered = {name: hook.state() for name, hook in hooks.items() if isinstance(hook, Remembering)}
    return {"program": program.state(), "hooks": remembered, "rng": rng.capture()}


def resume(program: Program, hooks: Mapping[str, object], loaded: Loaded) -> int:
    """Puts a run back to where `loaded` was saved and returns the steps done: the `start` of the loop.

    Hooks that were not there begin afresh. Raises UserError where the state is of another program.
    """
    try:
        program.restore(loaded.state["program"])
        for name, state in loaded.state["hooks"].items():
            hook = hooks.get(name)
            if isinstance(hook, Remembering):
                hook.restore(state)
        rng.restore(loaded.state["rng"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        lines = str(error).strip().splitlines() or [""]
        reason = f"{type(error).__name__}: {' '.join(line.strip() for line in lines[:2])}"
        raise UserError(loaded.path, f"does not fit this program ({reason})",
                        "resume with the setup it was saved with") from error  # fmt: skip
    return loaded.step
