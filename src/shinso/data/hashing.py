"""Counter-based random numbers: the draw for (seed, epoch, index) never depends on what was drawn before.

Steele, Lea and Flood's SplitMix64 mixes a 64-bit counter into 64 random bits. Hashing the counter instead of advancing
a generator makes a draw independent of the batch an example sits in, so an interrupted epoch resumes exactly.
"""

import torch
from torch import Tensor

GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit number
FIRST, SECOND = -4658895280553007687, -7723592293110705685  # 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def splitmix(counter: Tensor) -> Tensor:
    """64 mixed bits for each int64 counter, as int64; arithmetic wraps around."""
    x = counter * GOLDEN
    x = (x ^ _shifted(x, 30)) * FIRST
    x = (x ^ _shifted(x, 27)) * SECOND
    return x ^ _shifted(x, 31)


def uniforms(index: Tensor, draws: int, *, seed: int, epoch: int) -> Tensor:
    """float32 (n, draws) in [0, 1): row i belongs to (seed, epoch, index[i]) alone."""
    key = splitmix(torch.tensor([seed, epoch, 0x5EED], dtype=torch.int64)).tolist()
    rows = splitmix((index.to(torch.int64) ^ key[0]) + (key[1] ^ key[2]))
    columns = torch.arange(1, draws + 1, dtype=torch.int64, device=index.device)
    bits = splitmix(rows[:, None] + columns)
    return _shifted(bits, 40).to(torch.float32) * 2.0**-24


def _shifted(x: Tensor, by: int) -> Tensor:
    """Logical right shift; torch shifts signed numbers arithmetically."""
    return (x >> by) & ((1 << (64 - by)) - 1)
