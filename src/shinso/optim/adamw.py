r"""AdamW: Adam whose weight decay is not part of the gradient (Loshchilov and Hutter 2019, arXiv:1711.05101).

    w = (1 - lr wd) w - lr mhat / (sqrt(vhat) + eps)                                                     (1)

with mhat and vhat as in Adam.
"""

from typing import final

import torch

from shinso.optim._adam import AbstractAdam


@final
class AdamW(AbstractAdam, torch.optim.AdamW):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Drop-in for torch.optim.AdamW."""

    TWIN = torch.optim.AdamW
