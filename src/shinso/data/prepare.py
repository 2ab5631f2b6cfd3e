"""A user's file in the form a network was trained on: one uint8 input of `about.shape`.

Handwriting takes the steps of `ink.py` and then MNIST's own: the ink of a photograph or scan, fitted into 20x20 and
centred by mass. Pictures are resized and cropped like those of a folder.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from shinso.core.errors import UserError
from shinso.data.examples import Description
from shinso.data.handwriting import fit_box, to_bytes
from shinso.data.images import open_image
from shinso.data.ink import find_ink, thicken


def prepare(path: Path | str, about: Description) -> Tensor:
    """The image at `path` as uint8 of `about.shape`; a UserError names a file that cannot become one."""
    if about.form == "points":
        raise UserError(path, f"{about.name} takes points, not images", "train on images to predict files")
    channels, height, width = about.shape
    if about.form == "handwriting":
        image = open_image(path, contrast=True)
        if about.shape == (1, 28, 28):
            return torch.from_numpy(handwriting(np.asarray(image), path))[None]
        small = handwriting(np.asarray(image), path)[4:24, 4:24]
        resized = Image.fromarray(small).resize((width, height), Image.Resampling.BOX)
        return torch.from_numpy(np.array(resized))[None].expand(channels, -1, -1).contiguous()
    return picture(open_image(path, at_least=2 * max(height, width)), channels, height, width)


def handwriting(pixels: np.ndarray, where: object) -> np.ndarray:
    """Pixels uint8 (height, width) or (height, width, 3) to uint8 (28, 28), light ink on black as in MNIST."""
    ink = thicken(find_ink(pixels, where))
    ready = fit_box(ink[None])[0]
    return to_bytes((ready / max(0.2, float(np.partition(ready, -20, axis=None)[-20]))).clip(0, 1))


def picture(image: Image.Image, channels: int, height: int, width: int) -> Tensor:
    """An upright image to uint8 (channels, height, width): the shorter side is fitted, the middle is kept."""
    scale = max(width / image.width, height / image.height)
    size = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:
        image = image.convert(mode)
    small = image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)
    pixels = np.array(small.crop((left, top, left + width, top + height)))
    return torch.from_numpy(pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1)))
