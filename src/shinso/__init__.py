"""shinso: deep learning as one piece of real software."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PACKAGES = ("core", "engine", "kernels", "data", "nn", "metrics", "learn", "basics", "vision", "generative", "rl", "sparse")


def __getattr__(name: str) -> Any:
    """Sub-packages load when first named, so that `import shinso` costs nothing."""
    if name in _PACKAGES:
        return import_module(f"shinso.{name}")
    raise AttributeError(f"module 'shinso' has no attribute '{name}'")
