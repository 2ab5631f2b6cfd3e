"""Opening a user's image: every mode, every orientation, and 300 damaged files that each say so in one line."""

import io
import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from shinso.core.errors import UserError
from shinso.data.images import UPRIGHT, decode, open_image


def saved(image: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def photo(mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(smooth).resize((40, 30), Image.Resampling.BICUBIC).convert(mode)


def test_every_mode_becomes_l_or_rgb():
    grey = np.linspace(0, 255, 40).astype(np.uint8)[None].repeat(30, 0)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
        ours = decode(saved(image, "PNG"), "x")
        assert ours.mode == ("RGB" if mode in ("RGB", "RGBA") else "L"), mode
        if mode != "1":
            assert np.abs(np.asarray(ours.convert("L")).astype(int) - grey).max() <= 1, mode
    for mode in ("CMYK", "YCbCr", "RGB", "L", "I;16", "F", "I"):
        image = Image.fromarray(grey.astype(np.float32)) if mode == "F" else None
        image = Image.fromarray(grey.astype(np.int32)) if mode == "I" else image
        image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else image
        image = image or Image.fromarray(grey).convert("RGB").convert(mode)
        ours = decode(saved(image, "TIFF"), "x")
        assert np.abs(np.asarray(ours.convert("L")).astype(int) - grey).max() <= 2, mode


def test_sixteen_bits_are_scaled_and_not_clipped():
    deep = Image.fromarray(np.array([[0, 300, 32768, 65535]], np.uint16))
    assert np.asarray(decode(saved(deep, "PNG"), "x")).tolist() == [[0, 1, 128, 255]]


def test_transparent_parts_become_paper():
    drawn = np.zeros((4, 4, 4), np.uint8)
    drawn[1, 1] = (200, 0, 0, 255)
    drawn[2, 2] = (0, 0, 0, 128)
    ours = np.asarray(decode(saved(Image.fromarray(drawn), "PNG"), "x"))
    assert ours[0, 0].tolist() == [255, 255, 255]
    assert ours[1, 1].tolist() == [200, 0, 0]
    assert abs(int(ours[2, 2, 0]) - 127) <= 1
    white = np.zeros((4, 4, 4), np.uint8)
    white[1, 1] = 255
    on_black = np.asarray(decode(saved(Image.fromarray(white), "PNG"), "x", contrast=True))
    assert on_black[0, 0, 0] == 0
    assert on_black[1, 1, 0] == 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation):
    image = photo("L")
    back = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    turned = image.transpose(back.get(orientation, UPRIGHT[orientation])) if orientation > 1 else image
    exif = Image.Exif()
    exif[0x0112] = orientation
    ours = np.asarray(decode(saved(turned, "PNG", exif=exif), "x"))
    assert np.array_equal(ours, np.asarray(image))


def bomb(side: int) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = zlib.compress(b"\0" * (side * (side // 8 + 1)), 9)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_000, 14_000])
def test_a_small_file_cannot_claim_a_large_memory(side, tmp_path):
    resource = pytest.importorskip("resource", reason="memory is measured with the resource module of Unix")
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(side))
    assert path.stat().st_size < 40_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="megapixels") as caught:
        open_image(path)
    assert caught.value.where == str(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def mutated(whole: bytes, rng: np.random.Generator) -> bytes:
    damaged = bytearray(whole)
    kind = rng.integers(4)
    if kind == 0:
        return bytes(damaged[: rng.integers(len(damaged))])
    for _ in range(rng.integers(1, 12)):
        at = int(rng.integers(len(damaged)))
        if kind == 1:
            damaged[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            damaged[at] = int(rng.integers(256))
        else:
            damaged[at:at] = rng.bytes(int(rng.integers(1, 9)))
    return bytes(damaged)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_damaged_images_load_or_name_themselves(kind, tmp_path):
    """100 mutants of each format: no other exception and no warning (warnings are errors here)."""
    rng = np.random.default_rng(7)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a description"
    options = {"exif": exif} if kind in ("PNG", "JPEG", "WEBP", "TIFF") else {}
    whole = saved(photo("P" if kind == "GIF" else "RGB"), kind, **options)
    path = tmp_path / "damaged"
    refused = 0
    for _ in range(100):
        path.write_bytes(mutated(whole, rng))
        try:
            image = open_image(path, most_pixels=1 << 22)
            assert image.mode in ("L", "RGB")
        except UserError as error:
            refused += 1
            assert error.where == str(path)
            assert "\n" not in error.line()
    assert refused > 10


def test_what_is_no_image_file_is_refused(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    cases = [tmp_path, tmp_path / "absent.png", tmp_path / "empty.png", tmp_path / "text.png", tmp_path / "loop.png",
             f"{tmp_path}/nul\0.png"]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        cases.append(tmp_path / "pipe.png")
    for path in cases:
        with pytest.raises(UserError) as caught:
            open_image(path)
        assert caught.value.where == str(path)


NAMES = ["犬.png", "\uff76\uff85.png", "が.png", "か\u3099.png", "😀 smile.png", "-rf.png", "a\nb.png",
         "x" * 200 + ".png"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_any_script_work_and_stay_on_one_line(name, tmp_path):
    path = tmp_path / name
    photo().save(path, "PNG")
    assert open_image(path).size == (40, 30)
    path.write_bytes(b"broken")
    with pytest.raises(UserError) as caught:
        open_image(path)
    assert len(caught.value.line().splitlines()) == 1


def test_the_filters_for_warnings_are_left_as_they_were():
    before = list(warnings.filters)
    decode(saved(photo(), "PNG"), "x")
    with pytest.raises(UserError):
        decode(b"x", "x")
    assert warnings.filters == before


def test_a_file_that_is_no_image_is_told_apart_from_a_damaged_one(tmp_path):
    (tmp_path / "notes.png").write_text("x\n")
    with pytest.raises(UserError, match="not an image in a known format"):
        open_image(tmp_path / "notes.png")
