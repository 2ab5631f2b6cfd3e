"""Checkpoints that survive: a kill at any moment, a full disk, a damaged file.

    checkpoints/step-40/state.safetensors, manifest.json
    checkpoints/latest, best                             one line each: the name of a folder

A checkpoint is written as `step-N.tmp-PID`, forced to the disk, and renamed; only then does `latest` name it. Where
`step-N` exists, the old one steps aside as `step-N.old-PID` for the moment between two renames, and is read in its
place if that moment is the last. The manifest carries the checksums of the files, and its first line its own.

One writer at a time: whoever saves or tidies holds the lock of the run folder.
"""

import contextlib
import functools
import hashlib
import json
import logging
import os
import platform
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shinso.core.errors import UserError
from shinso.engine.disk import atomic_write_text, explained, make_folder, remove_tree, sync_folder, write_through
from shinso.engine.tensors import Damaged, read_tensors, size_of, write_tensors
from shinso.engine.tree import flatten, unflatten

FORMAT = 1
_FILE = "state.safetensors"
_WHOLE = re.compile(r"step-(0|[1-9]\d{0,17})")
_ASIDE = re.compile(r"(step-(0|[1-9]\d{0,17}))\.old-\d+")
_UNDONE = re.compile(r"step-\d+\.(tmp|gone)-\d+|(latest|best)\.tmp-\d+")
_SEAL = '{{"sha256": "{}",\n'


@dataclass(frozen=True)
class Loaded:
    """A checkpoint in memory; tensors are on the CPU and share nothing."""

    step: int
    """steps done when it was saved"""
    state: Any
    path: Path
    about: dict[str, Any]
    """versions and machine that saved it"""


def save(folder: Path, step: int, state: Any, *, keep: int = 3, best: bool = False) -> Path:
    """Writes `state` as `folder/step-N`, makes it the latest (and the best), and lets older ones go.

    Returns when it is on the disk; `state` may change afterwards. There remain the newest `keep` up to this step and
    the best; those of later steps belong to a course that was given up. Raises TypeError for what no checkpoint can
    hold (see tree.flatten), UserError when the disk does not take it; then the earlier ones are as they were.
    """
    tensors, plan = flatten(state)
    final, temporary = folder / f"step-{step}", folder / f"step-{step}.tmp-{os.getpid()}"
    with explained(final, size_of(tensors)):
        make_folder(folder)
        try:
            remove_tree(temporary)
            temporary.mkdir()
            entry = write_tensors(temporary / _FILE, tensors)
            write_through(temporary / "manifest.json", [_sealed(_manifest(step, {_FILE: entry}, plan))])
            sync_folder(temporary)
            _publish(temporary, final)
        except BaseException:
            remove_tree(temporary)
            raise
        for name in ("best", "latest") if best else ("latest",):
            atomic_write_text(folder / name, f"{final.name}\n")
    _rotate(folder, step, max(1, keep))
    return final


def load(folder: Path, which: str | int = "latest", *, warn: Callable[[str], None] | None = None) -> Loaded:
    """The latest, the best, or the checkpoint of one step.

    A damaged latest or best is replaced by the newest good one, told to `warn` in one line (default: the log).
    Raises UserError when none is good, or the asked step is not.
    """
    faults = []
    for path in _candidates(folder, which):
        try:
            loaded = _load(path)
        except Damaged as damage:
            faults.append(f"{folder.name}/{path.name}: {damage.faults[0]}")
            continue
        if faults:
            (warn or logging.getLogger(__name__).warning)(f"{'; '.join(faults)}. using step-{loaded.step}")
        return loaded
    if faults:
        raise UserError(folder / f"step-{which}" if isinstance(which, int) else folder, f"damaged: {'; '.join(faults)}",
                        "resume from another step or start the run anew")  # fmt: skip
    raise UserError(folder, f"there is no checkpoint '{which}'", _existing(folder))


def verify(path: Path) -> list[str]:
    """The faults of one checkpoint folder, each beginning with the file's name; empty when all is as it was saved."""
    try:
        _load(path)
    except Damaged as damage:
        return damage.faults
    return []


def steps(folder: Path) -> list[int]:
    """The steps that have a checkpoint, ascending, good or not."""
    return sorted(_found(folder))


def tidy(folder: Path) -> None:
    """Clears what killed writers left; only for the holder of the run folder's lock, before the first save."""
    for path in _entries(folder):
        if (aside := _ASIDE.fullmatch(path.name)) and not (folder / aside[1]).exists():
            with contextlib.suppress(OSError):
                os.rename(path, folder / aside[1])
                sync_folder(folder)
        elif aside or _UNDONE.fullmatch(path.name):
            _remove(path)


def _publish(temporary: Path, final: Path) -> None:
    """Renames; at every moment `final`, or the old one beside it, is whole."""
    aside = final.with_name(f"{final.name}.old-{os.getpid()}")
    replaced = final.exists()
    if replaced:
        _remove(aside)
        os.rename(final, aside)
    try:
        os.rename(temporary, final)
    except BaseException:
        if replaced:
            os.rename(aside, final)
        raise
    sync_folder(final.parent)
    if replaced:
        _remove(aside)


def _rotate(folder: Path, step: int, keep: int) -> None:
    """Deletes what is not among the newest `keep` up to `step`, nor the best. What cannot be deleted waits."""
    kept = set(sorted((s for s in steps(folder) if s <= step), reverse=True)[:keep])
    best = _pointed(folder, "best")
    for path in _entries(folder):
        found = _WHOLE.fullmatch(path.name)
        if found and int(found[1]) not in kept and path != best:
            _remove(path)


def _remove(path: Path) -> None:
    """Deletes a file or folder; a folder first loses its name, so that a kill leaves no half of it behind."""
    with contextlib.suppress(OSError):
        if not path.is_dir() or path.is_symlink():
            os.unlink(path)
            return
        if not _UNDONE.fullmatch(path.name):
            gone = path.with_name(f"{path.name.partition('.')[0]}.gone-{os.getpid()}")
            remove_tree(gone)
            os.rename(path, gone)
            path = gone
        remove_tree(path)


def _candidates(folder: Path, which: str | int) -> Iterator[Path]:
    """Folders to try, the wanted one first."""
    found = _found(folder)
    if isinstance(which, int):
        yield from [found[which]] if which in found else []
        return
    if which not in ("latest", "best"):
        raise UserError(folder, f"there is no checkpoint '{which}'", "ask for latest, best or a step")
    order = [_pointed(folder, name) for name in dict.fromkeys((which, "latest"))]
    order += [found[step] for step in sorted(found, reverse=True)]
    yield from dict.fromkeys(path for path in order if path is not None)


def _pointed(folder: Path, name: str) -> Path | None:
    """The folder that `latest` or `best` names, if there is one."""
    try:
        with open(folder / name, "rb") as file:
            target = _WHOLE.fullmatch(file.read(64).decode("ascii", "replace").strip())
    except OSError:
        return None
    return _found(folder).get(int(target[1])) if target else None


def _found(folder: Path) -> dict[int, Path]:
    """Folder by step; one that stepped aside counts where its successor did not arrive."""
    found: dict[int, Path] = {}
    for path in _entries(folder):
        if match := _WHOLE.fullmatch(path.name):
            found[int(match[1])] = path
        elif match := _ASIDE.fullmatch(path.name):
            found.setdefault(int(match[2]), path)
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in sorted(os.listdir(folder))]
    except FileNotFoundError:
        return []
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise UserError(folder, f"cannot be read ({reason})", "give the folder of a run") from None


def _existing(folder: Path) -> str:
    known = ", ".join(map(str, steps(folder)))
    return f"there are steps {known}" if known else "start the run without --resume"


def _load(path: Path) -> Loaded:
    manifest = _read_manifest(path)
    match = _WHOLE.match(path.name)
    if match is None or manifest.get("step") != int(match[1]):
        raise Damaged(f"manifest.json: belongs to step {manifest.get('step')}, not to {path.name}")
    try:
        tensors = read_tensors(path / _FILE, manifest["files"][_FILE])
        state = unflatten(tensors, manifest["tree"])
    except OSError as error:
        raise Damaged(f"{_FILE}: cannot be read ({os.strerror(error.errno or 0)})") from None
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, RecursionError) as error:
        raise Damaged(f"manifest.json: is not one of this program ({type(error).__name__}: {error})") from None
    return Loaded(manifest["step"], state, path, {key: manifest.get(key) for key in ("versions", "machine")})


def _manifest(step: int, files: dict[str, Any], plan: Any) -> dict[str, Any]:
    return {"format": FORMAT, "step": step, "versions": dict(_versions()), "machine": _machine(),
            "files": files, "tree": plan}  # fmt: skip


def _sealed(manifest: dict[str, Any]) -> bytes:
    """JSON, one line for each part, behind a first line with the checksum of the rest."""
    parts = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in manifest.items())
    rest = (",\n".join(parts) + "}\n").encode("ascii")
    return _SEAL.format(hashlib.sha256(rest).hexdigest()).encode("ascii") + rest


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        with open(path / "manifest.json", "rb") as file:
            first, rest = file.readline(), file.read()
    except OSError as error:
        raise Damaged(f"manifest.json: {os.strerror(error.errno or 0)}") from None
    if first != _SEAL.format(hashlib.sha256(rest).hexdigest()).encode("ascii"):
        raise Damaged("manifest.json: is damaged, its checksum does not fit")
    try:
        manifest = json.loads(first + rest)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"manifest.json: is not JSON ({error})") from None
    if manifest.get("format") != FORMAT:
        raise Damaged(f"manifest.json: has format {manifest.get('format')}, this version reads {FORMAT}")
    return manifest


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    try:
        own = version("shinso")
    except PackageNotFoundError:
        own = "unknown"
    numbers = {"shinso": own, "torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
    return tuple(numbers.items())


def _machine() -> dict[str, Any]:
    device = torch.cuda.get_device_name() if torch.cuda.is_initialized() else "cpu"
    return {"system": platform.system(), "processor": platform.machine(), "device": device,
            "threads": torch.get_num_threads()}  # fmt: skip
