"""shinso: deep learning as one piece of real software."""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("shinso")


def __getattr__(name: str) -> Any:
    """Sub-packages load when first named, so that `import shinso` costs nothing."""
    try:
        return import_module(f"shinso.{name}")
    except ModuleNotFoundError as missing:
        if missing.name != f"shinso.{name}":
            raise
        raise AttributeError(f"module 'shinso' has no attribute '{name}'") from None
