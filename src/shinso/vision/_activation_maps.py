"""The picture of class activation maps: what was shown, and where the answer's evidence lay in it."""

import numpy as np
from torch import Tensor

from shinso.core.figure import pixels, sheet


def drawn(shown: Tensor, seen: Tensor, titles: list[str]) -> np.ndarray:
    """Pictures (n, channels, height, width) of 0..255 with titles; under each its map of `seen` (n, height, width)."""
    figure = sheet(800, 230)
    for k, (picture, there, title) in enumerate(zip(shown, seen, titles, strict=True)):
        for row in range(2):
            axes = figure.add_subplot(2, len(titles), row * len(titles) + k + 1)
            grey = picture.float().mean(0) if row or len(picture) == 1 else picture.permute(1, 2, 0)
            axes.imshow(grey.numpy(), cmap="gray", vmin=0, vmax=255)
            if row:
                axes.imshow(there.numpy(), cmap="magma")
                if grey.min() < 127 < grey.max():
                    axes.contour(grey.numpy(), levels=[127], colors="white", linewidths=1)
            else:
                axes.set_title(title, fontsize=11)
            axes.axis("off")
    return pixels(figure)
