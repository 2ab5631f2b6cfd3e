"""shinso: deep learning as one piece of real software."""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """Sub-packages load when first named, so that `import shinso` costs nothing; so does the version."""
    if name == "__version__":
        from importlib.metadata import version

        return version("shinso")
    try:
        return import_module(f"shinso.{name}")
    except ModuleNotFoundError as missing:
        if missing.name != f"shinso.{name}":
            raise
        raise AttributeError(f"module 'shinso' has no attribute '{name}'") from None
