"""What came out of a step: named scalars."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Record = Mapping[str, "float | Tensor"]
"""Named scalars. A program may leave them on its device as 0-dim tensors; whoever reads pays for the transfer."""


def plain(record: Record) -> dict[str, float]:
    """The same record as floats; the one place where a step waits for its device."""
    return {name: float(value) for name, value in record.items()}
