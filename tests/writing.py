"""Digits that nobody prepared, made on the spot: photographs, print in many fonts, and strokes drawn with a mouse."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont


def photograph(digit: np.ndarray, rng: np.random.Generator) -> bytes:
    """A digit uint8 (28, 28) as a photograph: place, size, turn, colours, light, shadow, ruled lines, grain, format."""
    height, width = (int(v) for v in rng.integers(180, 900, 2))
    size = int(min(height, width) * rng.uniform(0.25, 0.8))
    large = Image.fromarray(digit).resize((size, size), Image.Resampling.BICUBIC)
    ink = np.zeros((height, width, 1), np.float32)
    y, x = int(rng.integers(0, height - size + 1)), int(rng.integers(0, width - size + 1))
    turned = large.rotate(rng.uniform(-10, 10), Image.Resampling.BICUBIC)
    ink[y : y + size, x : x + size, 0] = np.asarray(turned, np.float32) / 255
    dark = rng.random() < 0.7
    paper = rng.uniform(170, 250, 3) if dark else rng.uniform(10, 70, 3)
    pen = rng.uniform(0, 90, 3) if dark else rng.uniform(180, 255, 3)
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    light = 1 + rng.uniform(-0.3, 0.3) * (across - 0.5) + rng.uniform(-0.3, 0.3) * (down - 0.5)
    if rng.random() < 0.3:
        x0, y0 = rng.uniform(0.2, 0.8, 2)
        edge = (across - x0) * rng.uniform(-1, 1) + (down - y0) * rng.uniform(-1, 1)
        light = light * (1 - 0.3 / (1 + np.exp(-edge * rng.uniform(20, 120))))
    page = np.broadcast_to(paper, (height, width, 3)).copy()
    if dark and rng.random() < 0.3:
        step = int(rng.integers(30, 70))
        page[::step] *= 1 - 0.25 * np.array([1, 0.6, 0.2])
    shown = (page * (1 - ink) + pen * ink) * light[..., None]
    shown = (shown + rng.normal(0, rng.uniform(0, 8), (height, width, 1))).clip(0, 255).astype(np.uint8)
    return stored(Image.fromarray(shown), ink, pen, rng)


def stored(image: Image.Image, ink: np.ndarray, pen: np.ndarray, rng: np.random.Generator) -> bytes:
    """As PNG with or without transparency, or as JPEG, turned and said so in EXIF or grey."""
    out, kind = io.BytesIO(), rng.integers(0, 5)
    if kind == 0:
        image.save(out, "PNG")
    elif kind == 1:
        image.convert("RGBA").save(out, "PNG")
    elif kind == 2:
        drawn = np.dstack([np.broadcast_to(pen.astype(np.uint8), (*ink.shape[:2], 3)), (ink * 255).astype(np.uint8)])
        Image.fromarray(drawn).save(out, "PNG")
    elif kind == 3:
        orientation = int(rng.choice([3, 6, 8]))
        back = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.transpose(back).save(out, "JPEG", quality=int(rng.integers(40, 95)), exif=exif)
    else:
        image.convert("L").save(out, "JPEG", quality=int(rng.integers(40, 95)))
    return out.getvalue()


def printed(rng: np.random.Generator) -> Iterator[tuple[int, bytes]]:
    """Each digit in every text font that comes with matplotlib, on paper of some colour, a little turned."""
    import matplotlib

    fonts = sorted(Path(matplotlib.get_data_path(), "fonts", "ttf").glob("*.ttf"))
    for font in fonts:
        if not font.name.startswith(("DejaVu", "STIXGeneral")) or "Display" in font.name:
            continue
        for digit in range(10):
            width, height = (int(v) for v in rng.integers(150, 500, 2))
            size = int(min(width, height) * rng.uniform(0.35, 0.7))
            paper, pen = (tuple(int(v) for v in rng.uniform(low, high, 3)) for low, high in ((170, 255), (0, 90)))
            if rng.random() < 0.3:
                paper, pen = pen, paper
            page = Image.new("RGB", (width, height), paper)
            place = (rng.uniform(0.15, 0.5) * width, rng.uniform(0.05, 0.2) * height)
            ImageDraw.Draw(page).text(place, str(digit), font=ImageFont.truetype(font, size), fill=pen)
            page = page.rotate(rng.uniform(-8, 8), Image.Resampling.BICUBIC, fillcolor=paper)
            out = io.BytesIO()
            page.save(out, "JPEG", quality=80)
            yield digit, out.getvalue()


def drawn_with_a_mouse(count: int, rng: np.random.Generator) -> Iterator[tuple[int, bytes]]:
    """Digits as a few strokes with unsure corners, slanted and stretched, with a pen of some width."""
    for number in range(count):
        digit, side = number % 10, int(rng.integers(200, 420))
        page = Image.new("L", (side, side), 255)
        scale, (left, top) = side * rng.uniform(0.35, 0.7), rng.uniform(0.08, 0.25, 2) * side
        narrow, slant, pen = rng.uniform(0.55, 0.95), rng.uniform(-0.2, 0.25), int(rng.integers(4, 18))
        for stroke in _strokes(digit, rng):
            line = np.asarray(stroke) + rng.normal(0, 0.03, (len(stroke), 2))
            across = left + 0.1 * side + scale * (line[:, 0] * narrow - slant * (line[:, 1] - 0.5))
            points = np.stack([across, top + scale * line[:, 1]], 1)
            ImageDraw.Draw(page).line([tuple(point) for point in points], fill=0, width=pen, joint="curve")
        out = io.BytesIO()
        page.save(out, "PNG")
        yield digit, out.getvalue()


def _strokes(digit: int, rng: np.random.Generator) -> list[list[tuple[float, float]]]:
    def arc(x, y, wide, high, begin, end):
        turn = np.radians(np.linspace(begin, end, 14))
        return list(zip(x + wide * np.cos(turn), y + high * np.sin(turn), strict=True))

    plain_one = rng.random() < 0.6
    return {
        0: [arc(0.5, 0.5, 0.35, 0.5, -90, 270)],
        1: [[(0.5, 0), (0.5, 1)]] if plain_one else [[(0.3, 0.2), (0.5, 0), (0.5, 1)]],
        2: [[*arc(0.5, 0.28, 0.35, 0.28, 180, 380), (0.15, 1), (0.88, 1)]],
        3: [arc(0.45, 0.25, 0.33, 0.25, -150, 90) + arc(0.45, 0.75, 0.38, 0.25, -90, 150)],
        4: [[(0.6, 0), (0.1, 0.65), (0.9, 0.65)], [(0.65, 0.35), (0.65, 1)]],
        5: [[(0.85, 0), (0.25, 0), (0.2, 0.42), *arc(0.45, 0.68, 0.38, 0.32, -120, 140)]],
        6: [[(0.7, 0), (0.35, 0.35), *arc(0.5, 0.7, 0.33, 0.3, -150, 210)]],
        7: [[(0.12, 0), (0.88, 0), (0.4, 1)]],
        8: [arc(0.5, 0.25, 0.28, 0.25, 90, 450) + arc(0.5, 0.75, 0.35, 0.25, -90, 270)],
        9: [[*arc(0.5, 0.3, 0.32, 0.3, 0, 360), (0.82, 0.3), (0.72, 1)]],
    }[digit]
