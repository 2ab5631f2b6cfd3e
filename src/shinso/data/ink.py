"""Finding ink on paper in a photograph or scan: whatever the colours, the light, the size and the place.

1. The direction v in colour space in which the ink differs from its surroundings is the cubed mean of the difference
   from a large median, so that polarity and colour need no rule: v ~ sum D |D|^2.
2. Along v the paper is what remains after a morphological opening with a window wider than a stroke; it follows
   gradients and shadow edges, and the difference to it is ink (the top hat).
3. Otsu's threshold, connected parts, and only those that belong together with the heaviest one.
4. A small find in a large photograph is looked at again in its own neighbourhood, with more pixels.
"""

import numpy as np
from PIL import Image, ImageFilter

from shinso.core.errors import UserError
from shinso.data.parts import label

WORK = 240
"""pixels on the longer side of the working image"""


def find_ink(pixels: np.ndarray, where: object) -> np.ndarray:
    """Pixels uint8 (height, width[, 3]) to float32 ink in 0..1, cropped to the writing with a margin."""
    ink, mask = _ink(pixels, where)
    for _ in range(2):
        top, left, bottom, right = _extent(mask)
        size = max(bottom - top, right - left)
        scale = max(pixels.shape[:2]) / max(mask.shape)
        if size > 0.4 * WORK or scale <= 1.3:
            break
        margin = 0.7 * size
        pixels = pixels[max(0, int((top - margin) * scale)) : int((bottom + margin) * scale) + 1,
                        max(0, int((left - margin) * scale)) : int((right + margin) * scale) + 1]
        ink, mask = _ink(pixels, where)
    top, left, bottom, right = _extent(mask)
    cut = (slice(max(0, top - 3), bottom + 3), slice(max(0, left - 3), right + 3))
    return np.where(_spread(mask, 2)[cut], ink[cut], 0).astype(np.float32)


def thicken(ink: np.ndarray, *, thin: float = 2.2, thick: float = 4.2) -> np.ndarray:
    """Ink whose strokes, once fitted into 20 pixels, are between `thin` and `thick` pixels wide: as with a pen."""
    factor = 120 / max(ink.shape)
    size = max(1, round(ink.shape[1] * factor)), max(1, round(ink.shape[0] * factor))
    ink = np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BICUBIC)).clip(0, 1)
    ink = np.pad(ink, 20)
    width = stroke_width(ink > 0.5) * 20 / 114
    if width < thin:
        return _grow(ink, round((thin - width) / 2 * 6))
    if width > thick:
        return 1 - _grow(1 - ink, round((width - thick) / 2 * 5))
    return ink


def stroke_width(mask: np.ndarray) -> float:
    """Mean width of strokes in pixels: twice the area over the length of the outline."""
    edges = (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()
    outline = edges * np.pi / 4  # a staircase is longer than the line it follows, by 4 / pi on average
    return float(2 * mask.sum() / max(1.0, outline))


def _extent(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of what is set, half open."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _ink(pixels: np.ndarray, where: object) -> tuple[np.ndarray, np.ndarray]:
    """Ink strength 0..1 and the mask of the writing, at working size."""
    colour = _working(pixels)
    difference = colour - _median(colour)
    strength = np.linalg.norm(difference, axis=2, keepdims=True)
    direction = (difference * strength**2).sum((0, 1))
    direction /= max(1e-6, float(np.linalg.norm(direction)))
    along = colour @ direction
    rough = difference @ direction
    side = min(along.shape)
    window = int(np.clip(2.5 * stroke_width(rough > _otsu(rough)) + 3, 0.08 * side, 0.3 * side))
    raised = np.maximum(along - _paper(_box(along, 1), window), 0)
    noise = 1.4826 * float(np.median(np.abs(along - _box(along, 2))))
    peak = float(np.partition(raised, -24, axis=None)[-24])
    if peak < max(14.0, 5 * noise):
        raise UserError(where, "no writing found", "write with a darker pen or crop the picture to the digit")
    least = max(8.0, 3 * noise)
    threshold = _otsu(raised.clip(least, peak))
    mask = _writing(raised > max(least, 0.6 * threshold), raised, raised > threshold)
    if mask.sum() < 8:
        raise UserError(where, "no writing found", "write with a darker pen or crop the picture to the digit")
    typical = float(np.quantile(raised[mask], 0.6))
    return ((raised / typical - 0.2) / 0.6).clip(0, 1), mask


def _working(pixels: np.ndarray) -> np.ndarray:
    """float32 (height, width, 3) with the longer side at WORK pixels."""
    image = Image.fromarray(pixels).convert("RGB")
    factor = WORK / max(image.size)
    size = max(8, round(image.width * factor)), max(8, round(image.height * factor))
    image = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    return np.asarray(image, dtype=np.float32)


def _median(colour: np.ndarray) -> np.ndarray:
    """The median over a window of half the image, per channel, computed on a coarse copy."""
    height, width = colour.shape[:2]
    coarse = Image.fromarray(np.rint(colour).clip(0, 255).astype(np.uint8)).resize((32, 32), Image.Resampling.BOX)
    wide = Image.fromarray(np.pad(np.asarray(coarse), ((8, 8), (8, 8), (0, 0)), mode="edge"))
    smooth = wide.filter(ImageFilter.MedianFilter(17)).crop((8, 8, 40, 40))
    return np.asarray(smooth.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)


def _otsu(values: np.ndarray) -> float:
    """The threshold that makes the two sides most different (Otsu 1979)."""
    counts, edges = np.histogram(values, 128)
    middle = (edges[1:] + edges[:-1]) / 2
    below, total = counts.cumsum(), counts.sum()
    weighted = (counts * middle).cumsum()
    above = np.maximum(total - below, 1)
    between = below * above * (weighted / np.maximum(below, 1) - (weighted[-1] - weighted) / above) ** 2
    return float(edges[1:][between[:-1].argmax()])


def _writing(mask: np.ndarray, ink: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """The heaviest connected part and its companions, each with something `sure` in it.

    What lies along the border - a shadow, the edge of the table - goes if something else remains.
    """
    parts = [p for p in label(mask, ink) if any(sure[row, start:end].any() for row, start, end in p.runs)]
    if not parts:
        return mask & False
    inner = [p for p in parts if not p.along_border(*mask.shape)]
    heaviest = max(p.mass for p in parts)
    if inner and max(p.mass for p in inner) > 0.12 * heaviest:
        parts = inner
    main = max(parts, key=lambda p: p.mass)
    reach = 0.3 * max(main.bottom - main.top, main.right - main.left)
    kept = np.zeros_like(mask)
    for p in parts:
        if p is main or (p.mass > 0.06 * main.mass and p.gap(main) < reach):
            for row, start, end in p.runs:
                kept[row, start:end] = True
    return kept


def _paper(along: np.ndarray, window: int) -> np.ndarray:
    """The level of the paper below the ink: a smooth opening; beyond the border lies the paper nearest to it."""
    margin = window
    wide = np.pad(along, margin, mode="edge")
    reach = max(along.shape) // 2
    for strip in (wide[:margin], wide[-margin:], wide[:, :margin].T, wide[:, -margin:].T):
        strip[:] = _slide(strip[:1], reach, np.minimum)
    return _box(_opened(wide, window), window // 2)[margin:-margin, margin:-margin]


def _opened(values: np.ndarray, window: int) -> np.ndarray:
    """Grey opening by a square of `window` pixels."""
    return _slide(_slide(values, window, np.minimum), window, np.maximum)


def _slide(values: np.ndarray, window: int, best: np.ufunc) -> np.ndarray:
    """The best value in a square window around each pixel, in O(log window) passes per axis; edges are repeated."""
    for axis in (0, 1):
        before = window // 2
        pads = [(0, 0), (0, 0)]
        pads[axis] = (before, window - 1 - before)
        wide = np.pad(values, pads, mode="edge").swapaxes(0, axis)
        done = 1
        while done < window:
            step = min(done, window - done)
            wide = best(wide[:-step], wide[step:])
            done += step
        values = wide.swapaxes(0, axis)
    return values


def _grow(values: np.ndarray, radius: int) -> np.ndarray:
    """Grey dilation by an octagon of about `radius` pixels."""
    for i in range(radius):
        if i % 2:
            values = _slide(values, 3, np.maximum)
        else:
            wide = np.pad(values, 1, mode="edge")
            sides = np.maximum(np.maximum(wide[:-2, 1:-1], wide[2:, 1:-1]), np.maximum(wide[1:-1, :-2], wide[1:-1, 2:]))
            values = np.maximum(values, sides)
    return values


def _spread(mask: np.ndarray, radius: int) -> np.ndarray:
    return _slide(mask.astype(np.uint8), 2 * radius + 1, np.maximum) > 0


def _box(values: np.ndarray, radius: int) -> np.ndarray:
    """Mean over a square of side 2 radius + 1; edges are repeated."""
    if radius < 1:
        return values
    side = 2 * radius + 1
    for axis in (0, 1):
        pads = [(0, 0), (0, 0)]
        pads[axis] = (radius + 1, radius)
        sums = np.pad(values, pads, mode="edge").cumsum(axis, dtype=np.float64).swapaxes(0, axis)
        values = ((sums[side:] - sums[:-side]) / side).swapaxes(0, axis)
    return values.astype(np.float32)
