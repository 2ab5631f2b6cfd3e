"""What a run's setup.json says, as the objects that it was."""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from shinso.catalogue import index
from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.setup import from_json, sensible


def restored_setup(path: Path, values: Mapping[str, Any]) -> tuple[ModuleType, Any, Place]:
    """The module, setup and place that a run's setup.json names."""
    module = index.load(str(values["system"]))
    where = path / "setup.json"
    for name, kind in (("variant", str), ("setup", dict), ("place", dict)):
        if not isinstance(values[name], kind):
            raise UserError(where, f"'{name}' is not what a run writes there", "restore the file or start a new run")
    setup = sensible(from_json(module.Setup, values["setup"], where))
    place = from_json(Place, values["place"], where)
    return module, setup, place
