"""A picture that can no longer be read once training has begun: one line, and nothing of the run is lost."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from shinso.data import folder
from shinso.data.batches import Batches

RUN = ("run", "vision.lenet", "--variant", "smoke", "--epochs", 3, "--batch-size", 8, "--threads", 1)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Too many to stay in memory, or so the machine says: they are read again in every epoch."""
    monkeypatch.setattr(folder, "resident_limit", lambda: 0)
    rng = np.random.default_rng(0)
    for part, count in (("train", 20), ("validation", 6), ("test", 6)):
        for title, level in (("犬", 90), ("猫", 160)):
            place = tmp_path / "photos" / part / title
            place.mkdir(parents=True)
            for i in range(count):
                pixels = rng.normal(level, 40, (28, 28, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{i:02}.png")
    return tmp_path / "photos"


def records(run) -> list[dict]:
    return [json.loads(line) for line in (run / "records.jsonl").read_text().splitlines()]


LOST = [("train/犬/03.png", 7), ("train/猫/11.png", 3), ("validation/猫/02.png", 2)]


@pytest.mark.parametrize(("name", "step"), LOST)
def test_a_run_whose_picture_is_lost_goes_on_where_it_stopped(name, step, real, photos, tmp_path, monkeypatch):
    assert real(*RUN, "--data", f"folder:{photos}", "--out", tmp_path / "whole").code == 0
    shutil.copy(photos / name, tmp_path / "kept.png")
    begin, calls = Batches.next, []

    def then_lost(self):
        calls.append(0)
        if len(calls) == step:
            (photos / name).write_bytes(b"no picture any more")
        return begin(self)

    monkeypatch.setattr(Batches, "next", then_lost)
    said = real(*RUN, "--data", f"folder:{photos}", "--out", tmp_path / "run")
    assert said.code == 2 and "Traceback" not in said.err
    assert said.err.splitlines()[-1].startswith(f"shinso: {photos / name}: it is not an image")
    assert f"shinso run --resume {tmp_path / 'run'}" in said.err
    done = len(records(tmp_path / "run"))
    assert step <= done < len(records(tmp_path / "whole"))
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["step"] == done

    again = real("run", "--resume", tmp_path / "run")  # nothing was mended: the same line, and still nothing lost
    assert again.code == 2 and again.err.splitlines()[-1].startswith(f"shinso: {photos / name}")
    shutil.copy(tmp_path / "kept.png", photos / name)
    assert real("run", "--resume", tmp_path / "run").code == 0
    whole, found = records(tmp_path / "whole"), records(tmp_path / "run")
    if name.startswith("validation"):  # what could not be measured is missing in the one row
        assert found[done - 1].items() < whole[done - 1].items()
        found[done - 1] = whole[done - 1]
    assert found == whole


def test_before_the_first_step_there_is_nothing_to_save(real, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(Batches, "next", _losing(photos / "train", Batches.next))
    said = real(*RUN, "--data", f"folder:{photos}", "--out", tmp_path / "run")
    assert said.code == 2 and said.err.splitlines()[-1].startswith("shinso: ")
    assert "--resume" not in said.err


def _losing(place, begin):
    def lost(self):
        for path in place.rglob("*.png"):
            path.unlink()
        return begin(self)

    return lost
