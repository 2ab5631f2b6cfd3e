"""Bad input of every kind through the command line: one line that says where, what and the cure; exit 2; nothing lost.

Each case is a function that spoils something under a fresh folder and returns the words to type. There are two runs to
spoil, copied anew for each case: `whole` is finished, `part` was stopped half-way.
"""

import contextlib
import gzip
import json
import os
import re
import shutil
import signal
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shinso.cli.main import run

ONE_LINE = re.compile(r"shinso: .+: .+[.?!] .+[.?!]\n")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A finished run and one that was stopped after 20 of 40 steps."""
    from shinso.engine.interrupt import Interruptible

    folder = tmp_path_factory.mktemp("runs")
    words = ["run", "vision.lenet", "--variant", "smoke", "--threads", "1", "--out"]
    assert run([*words, str(folder / "whole")]) == 0

    def wish(self, row, program):
        self.signal = signal.SIGINT if row.step == 20 else self.signal
        return self.signal is not None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Interruptible, "__call__", wish)
        assert run([*words, str(folder / "part")]) == 130
    return folder


@pytest.fixture
def place(runs, tmp_path) -> Path:
    """Fresh copies of both runs, a digit, and photographs of two classes."""
    for name in ("whole", "part"):
        shutil.copytree(runs / name, tmp_path / name)
    Image.fromarray(np.arange(784, dtype=np.uint8).reshape(28, 28)).save(tmp_path / "digit.png")
    draw = np.random.default_rng(0)
    for title in ("犬", "🐈 ねこ"):
        (tmp_path / "photos" / title).mkdir(parents=True)
        for i in range(12):
            pixels = draw.integers(0, 256, (30, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / title / f"{i}.png")
    return tmp_path


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*")
            if path.is_file() and path.name not in ("lock", "bomb.png")}


def told(shell, place: Path, words: Sequence[object]) -> str:
    """Types the words and demands one line, exit 2, and that no file changed."""
    before = contents(place)
    said = shell(*words)
    assert said.code == 2, said
    assert ONE_LINE.fullmatch(said.err), said.err
    assert "Traceback" not in said.err and "should not happen" not in said.err
    assert said.out in ("", "[]\n")
    after = contents(place)
    assert {path: after.get(path) for path in before} == before, "an earlier file changed"
    return said.err


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb(path: Path) -> None:
    """14,000 x 14,000 black pixels in 25 kB."""
    rows = zlib.compress(bytes(14_000 * (14_000 // 8 + 1)), 9)
    header = struct.pack(">IIBBBBB", 14_000, 14_000, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def flipped(path: Path, at: float = 0.5) -> None:
    raw = bytearray(path.read_bytes())
    raw[int(at * len(raw))] ^= 0x10
    path.write_bytes(bytes(raw))


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def changed(path: Path, **values: object) -> None:
    """A JSON file with some values replaced."""
    path.write_text(json.dumps(json.loads(path.read_bytes()) | values), encoding="utf-8")


# --- predict: what is no picture -----------------------------------------------------------------------------------


FILES: dict[str, Callable[[Path], object]] = {
    "zero bytes.png": lambda path: path.write_bytes(b""),
    "text.png": lambda path: path.write_text("no picture", encoding="utf-8"),
    "directory.png": lambda path: path.mkdir(),
    "fifo.png": lambda path: os.mkfifo(path),
    "absent.png": lambda path: None,
    "手書き✍️ 数字.png": lambda path: path.write_bytes(b"\x89PNG"),
    "two\nlines\x1b[2J.png": lambda path: path.write_bytes(b"x"),
    "bomb.png": bomb,
    "loop.png": lambda path: path.symlink_to(path),
    "half.png": lambda path: (Image.effect_noise((50, 50), 90).save(path), halved(path)),
    "flipped.png": lambda path: (Image.effect_noise((50, 50), 90).save(path), flipped(path)),
    "half.gif": lambda path: (Image.effect_noise((50, 50), 90).save(path), halved(path)),
    "half.jpg": lambda path: (Image.effect_noise((50, 50), 90).save(path), halved(path)),
    "movie.mp4": lambda path: path.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100)),
    "x" * 300: lambda path: None,
    "vector.svg": lambda path: path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>", encoding="utf-8"),
}


@pytest.mark.parametrize("name", FILES)
def test_predict_says_what_is_wrong_with_a_file(real, place, name):
    FILES[name](place / name)
    line = told(real, place, ["predict", place / "whole", place / name])
    assert ascii(name)[1:6] in line or name[:5] in line


def test_predict_answers_what_it_can_and_json_stays_json(real, place):
    (place / "bad.png").write_bytes(b"")
    said = real("predict", place / "whole", place / "bad.png", place / "digit.png", "--json")
    assert said.code == 2 and ONE_LINE.fullmatch(said.err)
    assert [answer["file"] for answer in json.loads(said.out)] == [str(place / "digit.png")]


@pytest.mark.parametrize("name", ["\ud800.png", "a\0b.png"])
def test_names_that_no_disk_has_are_refused(real, place, name):
    told(real, place, ["predict", place / "whole", name])


# --- folders of photographs ----------------------------------------------------------------------------------------


FOLDERS: dict[str, Callable[[Path], object]] = {
    "absent": shutil.rmtree,
    "empty": lambda root: (shutil.rmtree(root), root.mkdir()),
    "a file": lambda root: (shutil.rmtree(root), root.write_text("x")),
    "one class": lambda root: shutil.rmtree(root / "犬"),
    "an empty class": lambda root: (root / "空").mkdir(),
    "a class of text files": lambda root: ((root / "文").mkdir(), (root / "文/a.txt").write_text("x")),
    "images without class folders": lambda root: [path.rename(root / f"{path.parent.name}{path.name}")
                                                  for path in root.glob("*/*.png")],
    "three images": lambda root: [path.unlink() for path in sorted(root.glob("*/*.png")) if path.stem not in "1"],
    "a bomb": lambda root: bomb(root / "犬/bomb.png"),
    "zero bytes": lambda root: (root / "犬/0.png").write_bytes(b""),
    "a damaged image": lambda root: halved(root / "🐈 ねこ/3.png"),
    "a fifo": lambda root: os.mkfifo(root / "犬/pipe.png"),
    "test has a class of its own": lambda root: (shutil.copytree(root, root / "train"), (root / "test/馬").mkdir(
        parents=True), shutil.copy(root / "犬/0.png", root / "test/馬/0.png")),
    "test has no images": lambda root: (shutil.copytree(root, root / "train"), (root / "test/犬").mkdir(parents=True)),
}


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("verb", ["check", "run"])
def test_a_folder_that_cannot_be_trained_on_is_refused(real, place, verb, name):
    FOLDERS[name](place / "photos")
    spec = f"folder:{place / 'photos'}"
    words = ["data", "check", spec] if verb == "check" else ["run", "vision.lenet", "--data", spec, "--out", "new"]
    told(real, place, words)
    assert not (place / "new").exists()


SPECS = ["folder:", "folder", "folder:/nonexistent", "folder:.@0", "folder:.@99999", "folder:\0", "mnits", "", ":",
         "digits:x",
         "xor:3", "mnist:raw", "described", "described:nowhere.json", "../etc/passwd", "two-moons:many"]


@pytest.mark.parametrize("spec", SPECS)
def test_unknown_data_are_refused(real, place, spec):
    told(real, place, ["run", "vision.lenet", "--data", spec, "--out", "new"])
    told(real, place, ["data", "check", spec])


def test_data_of_another_form_are_refused(real, place):
    told(real, place, ["run", "vision.lenet", "--data", "xor", "--out", "new"])
    told(real, place, ["run", "generative.dcgan", "--data", "two-moons", "--out", "new"])


# --- IDX files -----------------------------------------------------------------------------------------------------


IMAGES = struct.pack(">HBBIII", 0, 8, 3, 60_000, 28, 28)
IDX: dict[str, bytes] = {
    "empty": b"", "half a header": IMAGES[:7], "no pixels": IMAGES, "some pixels": IMAGES + bytes(1000),
    "another magic number": b"\x89PNG" + bytes(100), "floats": struct.pack(">HBBI", 0, 13, 1, 5) + bytes(20),
    "sizes beyond memory": struct.pack(">HBBIII", 0, 8, 3, 1 << 31, 1 << 31, 1 << 31) + bytes(10),
    "200 dimensions": struct.pack(">HBB", 0, 8, 200) + bytes(800),
    "too few": struct.pack(">HBBIII", 0, 8, 3, 2, 28, 28) + bytes(2 * 784),
    "cut archive": gzip.compress(IMAGES + bytes(5000))[:-20],
    "flipped archive": gzip.compress(IMAGES + bytes(5000))[:-8] + bytes(8),
    "an archive that is none": b"\x1f\x8b" + bytes(100),
    "an archive with a bomb": gzip.compress(IMAGES[:8] + bytes(1 << 24)),
}


@pytest.mark.parametrize("name", IDX)
@pytest.mark.parametrize("family", ["mnist", "fashion-mnist"])
def test_damaged_idx_files_are_named(real, place, monkeypatch, family, name):
    folder = place / "own" / family
    folder.mkdir(parents=True)
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        suffix = ".gz" if "archive" in name else ""
        (folder / f"{part}-ubyte{suffix}").write_bytes(IDX[name])
    monkeypatch.setenv("SHINSO_DATA", str(place / "own"))
    assert "train-images-idx3-ubyte" in told(real, place, ["data", "check", family])


# --- the folder of a run -------------------------------------------------------------------------------------------


def _setup(**values: object) -> Callable[[Path], None]:
    return lambda path: changed(path / "setup.json", **values)


def _field(name: str, value: object) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        setup = json.loads((path / "setup.json").read_bytes())["setup"]
        changed(path / "setup.json", setup=setup | {name: value})

    return spoil


RUNS: dict[str, Callable[[Path], object]] = {
    "no folder": shutil.rmtree,
    "a file": lambda path: (shutil.rmtree(path), path.write_text("x")),
    "an empty folder": lambda path: (shutil.rmtree(path), path.mkdir()),
    "no setup": lambda path: (path / "setup.json").unlink(),
    "an empty setup": lambda path: (path / "setup.json").write_bytes(b""),
    "half a setup": lambda path: halved(path / "setup.json"),
    "a setup that is a folder": lambda path: ((path / "setup.json").unlink(), (path / "setup.json").mkdir()),
    "a setup of nulls": lambda path: (path / "setup.json").write_bytes(bytes(100)),
    "a list as setup": lambda path: (path / "setup.json").write_text("[1]"),
    "deep nesting": lambda path: (path / "setup.json").write_text("[" * 100_000),
    "another system": _setup(system="vision.lenett"),
    "a path as system": _setup(system="../../lenet"),
    "a number as system": _setup(system=3),
    "null as system": _setup(system=None),
    "a list as variant": _setup(variant=["smoke"]),
    "text as fields": _setup(setup="smoke"),
    "a list as place": _setup(place=[]),
    "an unknown device": _setup(place={"device": "tpu"}),
    "no threads": _setup(place={"threads": 0}),
    "threads as text": _setup(place={"threads": "two"}),
    "an unknown precision": _setup(place={"precision": "fp8"}),
    "an unknown field": _field("epoch", 3),
    "a negative seed": _field("seed", -1),
    "a seed beyond 64 bits": _field("seed", 10**30),
    "no batch": _field("batch_size", 0),
    "an infinite rate": _field("lr", float("inf")),
    "text as epochs": _field("epochs", "many"),
    "a number as data": _field("data", 3),
    "a truth as rate": _field("lr", True),
    "a list as seed": _field("seed", [1]),
    "no checkpoints that are good": lambda path: [file.write_bytes(b"") for file in
                                                  path.glob("checkpoints/step-*/state.safetensors")],
    "no manifests that are good": lambda path: [file.write_bytes(b"{}") for file in
                                                path.glob("checkpoints/step-*/manifest.json")],
    "flipped bits in every checkpoint": lambda path: [flipped(file) for file in
                                                      path.glob("checkpoints/step-*/state.safetensors")],
    "weights of another system": _setup(system="generative.vae", setup={}),
    "another form of the network": _field("form", "caffe"),
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("verb", ["resume", "predict", "export"])
def test_a_damaged_run_is_refused(real, place, verb, name):
    path = place / ("part" if verb == "resume" else "whole")
    RUNS[name](path)
    words = {"resume": ["run", "--resume", path], "predict": ["predict", path, place / "digit.png"],
             "export": ["export", path, "--to", "safetensors"]}[verb]  # fmt: skip
    if verb != "resume" and name in ("no threads", "an unknown device", "an unknown precision") and \
            real(*words).code == 0:  # whoever predicts has a place of his own
        return
    told(real, place, words)


DESCRIPTIONS: dict[str, object] = {
    "empty": "", "no object": "[]", "half": '{"name": "di', "no classes": {"classes": None},
    "numbers as classes": {"classes": [1, 2]}, "a class less": {"classes": ["0", "1"]}, "no shape": {"shape": []},
    "zeros as shape": {"shape": [0, 0, 0]}, "text as shape": {"shape": "1x28x28"},
    "a larger shape": {"shape": [3, 64, 64]},
    "no spread": {"std": [0.0]}, "two means": {"mean": [0.1, 0.2]}, "an unknown form": {"form": "sound"},
    "a field too many": {"colour": "red"}, "a huge shape": {"shape": [1, 10**9, 10**9]},
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
@pytest.mark.parametrize("verb", ["predict", "export"])
def test_a_damaged_description_is_refused(real, place, verb, name):
    path, spoilt = place / "whole/data.json", DESCRIPTIONS[name]
    if isinstance(spoilt, dict):
        changed(path, **spoilt)
    else:
        path.write_text(str(spoilt))
    rest = [place / "digit.png"] if verb == "predict" else ["--to", "onnx"]
    told(real, place, [verb, place / "whole", *rest])


SUMMARIES: dict[str, object] = {
    "empty": "", "a list": [], "finished without steps": {"finished": True},
    "text as times": {"finished": False, "timing": {"start": "long"}},
    "a list as times": {"finished": False, "timing": [3]},
    "text as metrics": {"finished": True, "step": 40, "total": 40, "metrics": "good"},
    "an unknown checkpoint": {"finished": False, "checkpoint": "newest"},
}


@pytest.mark.parametrize("name", SUMMARIES)
@pytest.mark.parametrize("verb", ["resume", "predict"])
def test_a_damaged_summary_is_one_line_or_no_matter(real, place, verb, name):
    path = place / "part"
    (path / "summary.json").write_text(json.dumps(SUMMARIES[name]) if SUMMARIES[name] != "" else "")
    before = contents(place)
    said = real(*(["run", "--resume", path] if verb == "resume" else ["predict", path, place / "digit.png"]))
    if said.code == 0:
        return
    assert said.code == 2 and ONE_LINE.fullmatch(said.err), said
    assert contents(place) == before


def test_one_bad_checkpoint_is_a_warning_and_the_one_before_is_used(real, place):
    folder = place / "part/checkpoints"
    shutil.copytree(folder / "step-20", folder / "step-30")
    said = real("run", "--resume", place / "part")
    assert said.code == 0, said
    (folder / "latest").write_text("step-40\n")
    flipped(folder / "step-40/state.safetensors")
    said = real("predict", place / "part", place / "digit.png")
    assert said.code == 0 and said.err.count("\n") == 1 and "step-40" in said.err


@pytest.mark.parametrize("words", [
    ["export", "{whole}"], ["export", "{whole}", "--to", "pickle"], ["export", "--to", "onnx"],
    ["export", "{whole}", "--to", "safetensors", "--out", "{place}/nowhere/x.safetensors"],
    ["export", "{whole}", "--to", "onnx", "--out", "{place}/nowhere/x.onnx"],
    ["export", "{whole}", "--to", "onnx", "--out", "{whole}"],
    ["export", "{whole}", "--to", "safetensors", "--out", "{whole}"],
    ["predict", "{whole}"], ["predict"], ["predict", "{place}/digit.png", "{place}/digit.png"],
    ["run", "vision.lenet", "--out", "{whole}"], ["run", "vision.lenet", "--out", "{place}/digit.png"],
    ["run", "vision.lenet", "--out", "{place}/digit.png/x"],
    ["run", "vision.lenet", "--out", ""], ["run", "--resume", ""],
    ["run", "--resume", "{part}", "--threads", "2"], ["run", "rl.dqn", "--resume", "{part}"],
    ["run", "vision.lenet", "--variant", "large"], ["run", "vision.lenet", "--device", "tpu"],
    ["run", "vision.lenet", "--device", ""], ["run", "vision.lenet", "--device", "cpu:x"],
    ["run", "vision.lenet", "--device", "mps"], ["run", "vision.lenet", "--threads", "100000"],
    ["run", "vision.lenet", "--threads", "-1"], ["run", "vision.lenet", "--keep", "0"],
    ["run", "vision.lenet", "--checkpoint-every", "0"], ["run", "vision.lenet", "--checkpoint-every", "1e3"],
    ["run", "vision.lenet", "--epoch", "3"], ["run", "vision.lenet", "--epochs", "0"],
    ["run", "vision.lenet", "--epochs", "-1"], ["run", "vision.lenet", "--batch-size", "0"],
    ["run", "vision.lenet", "--batch-size", "-5"], ["run", "vision.lenet", "--lr", "nan"],
    ["run", "vision.lenet", "--lr", "-1"], ["run", "vision.lenet", "--lr", "inf"],
    ["run", "vision.lenet", "--seed", "-1"],
    ["run", "vision.lenet", "--seed", "99999999999999999999999"], ["run", "vision.lenet", "--patience", "-1"],
    ["run", "vision.lenet", "extra"], ["run", "vision"], ["run", "vision.lenet.x"], ["run", "..lenet"],
    ["show", ""], ["check", "vision.alexnett"], ["data"], ["data", "check"], ["list", "x"], ["--jsn"], ["runn"],
])  # fmt: skip
def test_words_that_mean_nothing_are_refused(real, place, words):
    names = {"place": place, "whole": place / "whole", "part": place / "part"}
    typed = [word.format(**names) for word in words]
    if typed[0] == "run" and "--out" not in typed and "--resume" not in typed:
        typed += ["--out", str(place / "new")]
    if typed == ["data"]:
        typed += ["chekc"]
    told(real, place, typed)
    assert not (place / "new/setup.json").exists()
    with contextlib.suppress(FileNotFoundError):
        assert not list((place / "new").iterdir())
