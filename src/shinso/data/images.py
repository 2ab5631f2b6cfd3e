"""One safe way to open a user's image: read once, checked before it is decoded, upright, and in 8 bits of L or RGB.

Whatever Pillow raises or warns about becomes one UserError that names the file; sizes are checked from the header, so
that a small file cannot claim a large memory.
"""

import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import (  # noqa: F401 - a plugin that is imported is registered; Pillow's own lazy way is not thread-safe
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from shinso.core.errors import UserError

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp",
                      ".ppm", ".pgm", ".pbm", ".pnm"})
MOST_PIXELS = 64 << 20
MOST_BYTES = 256 << 20
CURE = "save it again as PNG or JPEG, or remove it"
UPRIGHT = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
           5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
           8: Image.Transpose.ROTATE_90}
"""the EXIF orientations and what undoes them"""


def open_image(path: Path | str, *, most_pixels: int = MOST_PIXELS, at_least: int = 0,
               contrast: bool = False) -> Image.Image:
    """The file as an upright 8-bit image in mode L or RGB; every failure is a UserError that names it.

    Transparent parts become white; with `contrast`, black where what is visible is itself light. `at_least` > 0 lets
    a JPEG be decoded at a fraction of its size, no side smaller than that.
    """
    return decode(read_file(path), path, most_pixels=most_pixels, at_least=at_least, contrast=contrast)


def image_size(path: Path | str) -> tuple[int, int] | None:
    """Width and height from the header alone, as they are stored; None where there is no readable image."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return None
        with _quiet(), Image.open(path, formats=FORMATS) as image:
            return image.size
    except Exception:  # whoever needs the image opens it with open_image and learns the reason there
        return None


def read_file(path: Path | str) -> bytes:
    """The bytes of a regular file of bearable size."""
    try:
        about = os.stat(path)
        if not stat.S_ISREG(about.st_mode):
            raise UserError(path, "it is not a file", "give an image file")
        if about.st_size > MOST_BYTES:
            raise UserError(path, f"it has {about.st_size:,} bytes, more than any image here", CURE)
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(path, f"it cannot be read ({error.strerror})", "check its name and permissions") from None
    except ValueError:
        raise UserError(path, "this is no file name", "give the path of an image") from None


def decode(raw: bytes, where: object, *, most_pixels: int = MOST_PIXELS, at_least: int = 0,
           contrast: bool = False) -> Image.Image:
    """`open_image` for bytes already read; `where` names them in messages."""
    if not raw:
        raise UserError(where, "the file is empty", CURE)
    try:
        with _quiet(), Image.open(BytesIO(raw), formats=FORMATS) as image:
            _refuse_large(image.size, where, most_pixels)
            if at_least:
                image.draft(None, (at_least, at_least))
            image.load()
            return _upright(_eight_bits(image, contrast=contrast), _orientation(image))
    except UserError:
        raise
    except Image.UnidentifiedImageError:
        raise UserError(where, "it is not an image in a known format", CURE) from None
    except Image.DecompressionBombError:
        raise UserError(where, f"it has more than {most_pixels / 1e6:.0f} megapixels", "make it smaller") from None
    except MemoryError:
        raise UserError(where, "it does not fit into memory", "make it smaller") from None
    except Exception as error:  # Pillow's decoders raise a dozen unrelated types for damaged files
        raise UserError(where, f"the image is damaged ({_reason(error)})", CURE) from None


def _refuse_large(size: tuple[int, int], where: object, most_pixels: int) -> None:
    if size[0] * size[1] > most_pixels:
        most = f"{most_pixels / 1e6:.0f} megapixels"
        raise UserError(where, f"{size[0]} x {size[1]} is more than {most}", "make it smaller")


def _reason(error: Exception) -> str:
    text = str(error).split("\n")[0].strip() or type(error).__name__
    return text[:80]


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation 1..8; 1 where the EXIF data are damaged."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # damaged EXIF data are no reason to refuse a whole image
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)


def _eight_bits(image: Image.Image, *, contrast: bool) -> Image.Image:
    """Any mode to L or RGB without clipping and with transparent parts on paper."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return Image.fromarray(_scaled(np.asarray(image)))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        grey = image.mode in ("L", "LA", "La", "1")
        return _on_paper(image.convert("RGBA"), contrast=contrast).convert("L" if grey else "RGB")
    if image.mode in ("1", "L"):
        return image.convert("L")
    colour = image.convert("RGB")
    if image.mode == "P" and _is_grey(colour):
        return colour.convert("L")
    return colour


def _scaled(pixels: np.ndarray) -> np.ndarray:
    """16-bit, 32-bit and float pixels to uint8: the smallest of the ranges 1, 255, 65535 that holds them all."""
    pixels = np.nan_to_num(pixels.astype(np.float64), posinf=0, neginf=0)
    low, high = min(0.0, float(pixels.min())), float(pixels.max())
    whole = np.asarray(pixels == np.floor(pixels)).all()
    ranges = (255.0, 65535.0) if whole else (1.0, 255.0, 65535.0)
    top = next((r for r in ranges if high <= r), high)
    return np.rint((pixels - low) / max(top - low, 1e-12) * 255).astype(np.uint8)


def _on_paper(image: Image.Image, *, contrast: bool) -> Image.Image:
    """RGBA over white; with `contrast` over black where the visible part is light."""
    paper = (255, 255, 255)
    if contrast:
        pixels = np.asarray(image, dtype=np.float32)
        alpha = pixels[..., 3]
        seen = float((pixels[..., :3].mean(2) * alpha).sum() / max(1.0, float(alpha.sum())))
        paper = (0, 0, 0) if seen > 160 and float(alpha.mean()) < 0.7 * 255 else paper
    ground = Image.new("RGBA", image.size, (*paper, 255))
    ground.alpha_composite(image)
    return ground


def _is_grey(image: Image.Image) -> bool:
    red, green, blue = (np.asarray(band) for band in image.split())
    return np.array_equal(red, green) and np.array_equal(green, blue)


_lock = threading.Lock()
_silenced = 0
_filters = warnings.catch_warnings()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences Pillow while any thread decodes; filters are global, so the first one sets and the last one resets."""
    global _silenced, _filters
    with _lock:
        if _silenced == 0:
            _filters = warnings.catch_warnings()
            _filters.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
        _silenced += 1
    try:
        yield
    finally:
        with _lock:
            _silenced -= 1
            if _silenced == 0:
                _filters.__exit__(None, None, None)
