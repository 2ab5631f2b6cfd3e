"""The form of elementwise for CUDA: torch's compiler writes one Triton kernel for a rule and however many entries."""

import functools

import torch


def run(rule, places, columns, numbers, turn):
    """Updates in place, one kernel for each row of `places`; the numbers go along as a vector."""
    weights = columns[0][0]
    h = torch.tensor([*numbers, *turn], dtype=weights.dtype, device=weights.device)
    for w, g, *states in places.vectors(columns):
        if len(w):
            _loop(rule)(w, g, states, h)


@functools.cache
def _loop(rule):
    @torch.compile(dynamic=True, fullgraph=True)
    def loop(w, g, states, h):
        *numbers, sign, decay = h.unbind()
        y, after = rule(w, sign * g + decay * w, tuple(states), tuple(numbers))
        for old, new in zip((w, *states), (y, *after), strict=True):
            old.copy_(new)

    return loop
