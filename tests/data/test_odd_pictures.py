"""Pictures as people have them: any mode, any size, any turn; the command line trains on them or refuses in a line."""

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from shinso.cli.main import run
from shinso.data import folder
from shinso.data.batches import Batches
from shinso.data.examples import open_data


def photo(k: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    base = np.random.default_rng(k).integers(60, 200, (5, 6, 3), np.uint8)
    base[..., k % 2] //= 2
    return Image.fromarray(base).resize(size, Image.Resampling.BICUBIC)


def turned(image: Image.Image, path: Path) -> None:
    """Stored on its side, with the note that it is to be turned upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(path.with_suffix(".png"), exif=exif)


def deep(image: Image.Image, path: Path) -> None:
    Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(path.with_suffix(".png"))


KINDS = {
    "colour": lambda image, path: image.save(path.with_suffix(".png")),
    "grey": lambda image, path: image.convert("L").save(path.with_suffix(".png")),
    "one bit": lambda image, path: image.convert("1").save(path.with_suffix(".png")),
    "palette": lambda image, path: image.quantize(256).save(path.with_suffix(".gif")),
    "alpha": lambda image, path: image.convert("RGBA").save(path.with_suffix(".png")),
    "grey with alpha": lambda image, path: image.convert("LA").save(path.with_suffix(".png")),
    "CMYK": lambda image, path: image.convert("CMYK").save(path.with_suffix(".tif")),
    "16 bits": deep,
    "turned": turned,
    "one pixel": lambda image, path: image.resize((1, 1)).save(path.with_suffix(".png")),
    "a line": lambda image, path: image.resize((500, 1)).save(path.with_suffix(".png")),
}
GREY = ("grey", "one bit", "grey with alpha", "16 bits")


def fill(root: Path, kinds, count: int = 12) -> Path:
    for k, title in enumerate(("犬", "猫")):
        (root / title).mkdir(parents=True)
        for i in range(count):
            KINDS[kinds[i % len(kinds)]](photo(2 * i + k), root / title / f"{i:02}")
    return root


@pytest.fixture
def shinso(capsys, monkeypatch, tmp_path):
    """Runs a command; gives its exit code and what stands on standard error."""
    monkeypatch.setenv("SHINSO_LANG", "en")
    monkeypatch.chdir(tmp_path)

    def command(*words: object) -> tuple[int, str]:
        capsys.readouterr()
        return run([str(word) for word in words]), capsys.readouterr().err

    return command


def smoke(system: str, root: Path, out: str, *more: object) -> tuple[object, ...]:
    return ("run", system, "--variant", "smoke", "--data", f"folder:{root}", "--out", out, "--threads", 1, *more)


@pytest.mark.parametrize("system", ["vision.lenet", "vision.resnet"])
def test_a_folder_of_all_kinds_is_trained_on_and_predicted(system, shinso, tmp_path):
    root = fill(tmp_path / "photos", list(KINDS), 22)
    code, said = shinso(*smoke(system, root, "run"))
    assert code == 0, said
    about = json.loads((tmp_path / "run/data.json").read_text())
    assert about["shape"][0] == 3 and about["classes"] == ["犬", "猫"]
    assert json.loads((tmp_path / "run/summary.json").read_text())["step"] >= 1
    code, said = shinso("predict", "run", *sorted((root / "犬").iterdir()))
    assert code == 0, said


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_alone_is_the_same_picture(kind, tmp_path):
    plain = open_data(f"folder:{fill(tmp_path / 'plain', ['colour'])}@30")
    data = open_data(f"folder:{fill(tmp_path / 'kind', [kind])}@30")
    assert data.about.shape == (1 if kind in GREY else 3, 30, 30)
    assert torch.equal(data.train.targets, plain.train.targets)
    if kind in ("colour", "alpha", "turned"):
        assert torch.equal(data.train.inputs, plain.train.inputs)
    elif kind in ("grey", "grey with alpha", "16 bits"):
        weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        grey = (plain.train.inputs * weights).sum(1, keepdim=True)
        assert float((data.train.inputs - grey).abs().max()) < 3
    elif kind in ("CMYK", "palette"):
        assert float((data.train.inputs.float() - plain.train.inputs).abs().mean()) < 3


@pytest.mark.parametrize(("system", "side", "least"), [("vision.lenet", 8, "12x12"), ("vision.resnet", 8, "9x9")])
def test_images_below_the_smallest_size_are_refused_in_one_line(system, side, least, shinso, tmp_path):
    fill(tmp_path / "photos", ["colour"])
    code, said = shinso(*smoke(system, tmp_path / f"photos@{side}", "run"))
    assert code == 2 and said.count("\n") == 1 and f"at least {least}" in said
    assert not (tmp_path / "run").exists()


def test_another_number_of_channels_is_refused_and_the_run_is_kept(shinso, tmp_path, monkeypatch):
    root, begin, calls = fill(tmp_path / "photos", ["grey"]), Batches.next, []

    def then_stopped(self):
        calls.append(0)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return begin(self)

    monkeypatch.setattr(Batches, "next", then_stopped)
    code, said = shinso(*smoke("vision.lenet", root, "run", "--epochs", 4, "--batch-size", 10))
    assert code == 130, said
    (root / "犬" / "00.png").unlink()
    KINDS["colour"](photo(0), root / "犬" / "00")
    kept = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    code, said = shinso("run", "--resume", "run")
    assert code == 2 and len(said.splitlines()) == 1 and "Traceback" not in said, said
    assert all(path.read_bytes() == content for path, content in kept.items())
    (root / "犬" / "00.png").unlink()
    KINDS["grey"](photo(0), root / "犬" / "00")
    code, said = shinso("run", "--resume", "run")
    assert code == 0, said


def test_a_resnet_loses_nothing_when_a_picture_goes_bad(shinso, tmp_path, monkeypatch):
    """Read again in every epoch, as where memory is too small for all pictures."""
    monkeypatch.setattr(folder, "resident_limit", lambda: 0)
    root, begin, calls = fill(tmp_path / "photos", ["colour", "CMYK", "turned"]), Batches.next, []
    words = ("--epochs", 3, "--batch-size", 4)
    assert shinso(*smoke("vision.resnet", root, "whole", *words))[0] == 0
    shutil.copytree(root, tmp_path / "copy")
    lost = open_data(f"folder:{root}").train.paths[5]

    def then_lost(self):
        calls.append(0)
        if len(calls) == 4:
            for path in root.rglob(f"{lost.stem}.*"):
                path.write_bytes(path.read_bytes()[:100])
        return begin(self)

    monkeypatch.setattr(Batches, "next", then_lost)
    code, said = shinso(*smoke("vision.resnet", root, "run", *words))
    assert code == 2 and f"{lost.stem}." in said.splitlines()[-1] and "--resume run" in said, said
    shutil.rmtree(root)
    shutil.copytree(tmp_path / "copy", root)
    assert shinso("run", "--resume", "run")[0] == 0
    whole, found = ((tmp_path / name / "records.jsonl").read_text() for name in ("whole", "run"))
    assert found == whole
