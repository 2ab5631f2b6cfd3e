"""Sets on which a method keeps its weights: the nearest point of each, and the corner that lies farthest along a slope.

A simplex is one for each row (the last dimension); the other sets take a tensor as one vector, or as one matrix.
"""

import torch
from torch import Tensor

CORNERED = ("l1", "l2", "simplex", "nuclear")
"""sets with a corner in every direction"""


def rows(w: Tensor) -> Tensor:
    """`w` as a matrix whose rows are its last dimension; a number is a row of one."""
    return w.reshape(-1, w.shape[-1]) if w.dim() else w.reshape(1, 1)


def nearest(z: Tensor, onto: str, radius: float) -> Tensor:
    """argmin |u - z|^2 over u in the set: simplex, ball (l2), box (|u_i| <= radius), space (all)."""
    if onto == "simplex":
        return _on_simplex(rows(z), radius).reshape(z.shape)
    if onto == "ball":
        length = torch.linalg.vector_norm(z)
        return z * (radius / length.clamp_min(radius))
    return z.clamp(-radius, radius) if onto == "box" else z


def _on_simplex(z: Tensor, total: float) -> Tensor:
    """Rows max(z - c, 0) with c such that each sums to `total`: c from the rows in falling order."""
    fallen = z.sort(-1, descending=True).values
    excess = fallen.cumsum(-1) - total
    count = torch.arange(1, z.shape[-1] + 1, dtype=z.dtype, device=z.device)
    kept = (fallen * count > excess).sum(-1, keepdim=True)
    return (z - excess.gather(-1, kept - 1) / kept).clamp_min(0)


def corner(g: Tensor, onto: str, radius: float) -> Tensor:
    """argmin <g, s> over s in the set: l1, l2, simplex, nuclear (sum of singular values), each of this radius."""
    if onto == "simplex":
        flat = rows(g)
        return torch.zeros_like(flat).scatter_(1, flat.argmin(1, keepdim=True), radius).reshape(g.shape)
    if onto == "l1":
        at = g.abs().reshape(-1).argmax()
        found = torch.zeros_like(g, memory_format=torch.contiguous_format)
        found.view(-1)[at] = -radius * g.reshape(-1)[at].sign()
        return found
    if onto == "l2":
        length = torch.linalg.vector_norm(g)
        return torch.where(length > 0, g * (-radius / length.clamp_min(torch.finfo(g.dtype).tiny)), 0)
    left, _, right = torch.linalg.svd(g, full_matrices=False)
    return -radius * torch.outer(left[:, 0], right[0])
