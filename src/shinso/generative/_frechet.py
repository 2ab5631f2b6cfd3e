"""A cheap distance between two sets of pictures: Frechet's, between Gaussians fitted to principal components.

It compares means and covariances of the leading components of the pixels, nothing else: blur that keeps them, and
which pictures occur together, go unseen. It is not FID, which uses an Inception network, and its values must not be
set beside published ones - only beside the same measure of held-out real pictures, with as many of them, because the
estimate is biased upwards by an amount that falls with the number of pictures.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True)
class Features:
    """Fixed linear features and the moments of the reference pictures in them, all float64."""

    centre: Tensor
    """(pixels,) mean picture"""
    axes: Tensor
    """(pixels, k) leading principal axes"""
    variances: Tensor
    """(k,) of the reference along them"""

    def __call__(self, pictures: Tensor) -> Tensor:
        """(n, ...) -> (n, k)."""
        return (_exact(pictures) - self.centre) @ self.axes


def fit_features(pictures: Tensor, k: int) -> Features:
    """Principal axes of the reference pictures (n, ...); k is cut to what they span."""
    flat = _exact(pictures)
    centre = flat.mean(0)
    covariance = (flat - centre).T @ (flat - centre) / max(1, len(flat) - 1)
    variances, axes = torch.linalg.eigh(covariance)
    k = min(k, len(flat) - 1, flat.shape[1])
    return Features(centre, axes[:, -k:], variances[-k:].clamp(min=0))


def frechet(features: Features, pictures: Tensor) -> float:
    """|m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)) between `pictures` and the reference, in squared pixel units."""
    found = features(pictures)
    mean, covariance = found.mean(0), torch.cov(found.T, correction=1).reshape(found.shape[1], -1)
    root = features.variances.sqrt()
    middle = torch.linalg.eigvalsh(root[:, None] * covariance * root[None, :]).clamp(min=0).sqrt().sum()
    return float(mean.square().sum() + features.variances.sum() + covariance.trace() - 2 * middle)


def _exact(pictures: Tensor) -> Tensor:
    """(n, pixels) in float64, on the CPU where the device is Metal, which has no such numbers."""
    flat = pictures.flatten(1)
    return (flat.cpu() if flat.device.type == "mps" else flat).double()
