"""Methods by the names of their files: `method("lion")` is the class Lion of lion.py.

A file of this package that has an optimiser of its own name is a method; nothing has to be told about it.
"""

import importlib
import inspect
import pkgutil
from difflib import get_close_matches

import torch

from shinso import optim
from shinso.core.errors import UserError


def method(name: str) -> type[torch.optim.Optimizer]:
    """The optimiser of the file `name`; UserError with the closest names where there is none."""
    files = [module.name for module in pkgutil.iter_modules(optim.__path__) if not module.name.startswith("_")]
    found = _in_file(name) if name in files else None
    if found is None:
        near = get_close_matches(name.lower().replace("-", "_"), methods(), 3, 0.4)
        raise UserError("optimiser", f"there is no method {name!r}", f"did you mean {' or '.join(near)}?" if near else
                        f"choose one of {', '.join(methods())}")
    return found


def methods() -> dict[str, type[torch.optim.Optimizer]]:
    """Every method, by name in alphabetical order; imports all of them."""
    files = sorted(module.name for module in pkgutil.iter_modules(optim.__path__) if not module.name.startswith("_"))
    found = {name: _in_file(name) for name in files}
    return {name: kind for name, kind in found.items() if kind is not None}


def _in_file(name: str) -> type[torch.optim.Optimizer] | None:
    module = importlib.import_module(f"{optim.__name__}.{name}")
    kinds = [kind for title, kind in vars(module).items()
             if title.lower() == name.replace("_", "") and inspect.isclass(kind)]
    return kinds[0] if kinds and issubclass(kinds[0], torch.optim.Optimizer) else None
