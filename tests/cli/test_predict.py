"""A real run of the first command's system, answered for files and exported."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from shinso.cli.main import run
from shinso.data.digits import load


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    words = ["--variant", "smoke", "--epochs", "4", "--threads", "1", "--out", str(folder)]
    assert run(["run", "vision.lenet", *words]) == 0
    return folder


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> list[tuple[Path, str]]:
    from PIL import Image

    folder, test = tmp_path_factory.mktemp("photographs"), load("").test
    found = []
    for i in range(20):
        path = folder / f"数字 {i}.png"
        Image.fromarray(255 - test.inputs[i, 0].numpy()).resize((140, 140)).save(path)
        found.append((path, str(int(test.targets[i]))))
    return found


def test_files_are_answered_with_label_and_probability(real, trained, photographs):
    said = real("predict", trained, *(path for path, _ in photographs), "--json")
    answers = json.loads(said.out)
    assert said.code == 0 and [a["file"] for a in answers] == [str(path) for path, _ in photographs]
    assert all(set(a) == {"file", "label", "probability"} and 0 < a["probability"] <= 1 for a in answers)
    right = sum(a["label"] == label for a, (_, label) in zip(answers, photographs, strict=True))
    assert right >= 16


def test_the_likeliest_answers_are_ranked(real, trained, photographs):
    files = [path for path, _ in photographs[:3]]
    one, three = (json.loads(real("predict", trained, *files, "--top", top, "--json").out) for top in (1, 3))
    assert all("top" not in a for a in one)
    for a, b in zip(one, three, strict=True):
        shares = [found["probability"] for found in b["top"]]
        assert len(shares) == 3 and shares == sorted(shares, reverse=True) and sum(shares) <= 1 + 1e-6
        assert {name: b[name] for name in a} == a and b["top"][0]["label"] == a["label"]
    every = json.loads(real("predict", trained, files[0], "--top", 99, "--json").out)[0]["top"]
    assert len(every) == 10 and sum(found["probability"] for found in every) == pytest.approx(1)
    (line,) = real("predict", trained, files[0], "--top", 2).out.splitlines()
    assert len(line.split("\t")) == 5
    said = real("predict", trained, files[0], "--top", 0)
    assert said.code == 2 and said.err.count("\n") == 1


def test_bad_files_are_a_line_each_and_the_others_are_answered(real, trained, photographs, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    good = photographs[0][0]
    said = real("predict", trained, tmp_path / "bad.png", good, tmp_path / "none.png", tmp_path)
    assert said.code == 2 and len(said.err.splitlines()) == 3
    assert all(line.startswith("shinso: ") for line in said.err.splitlines())
    assert said.out.splitlines()[0].split("\t")[0] == str(good)


def test_the_run_can_move_and_its_data_can_be_gone(real, trained, photographs, tmp_path):
    shutil.copytree(trained, tmp_path / "移動した run")
    path, _ = photographs[0]
    first = real("predict", trained, path, "--json").out
    assert real("predict", tmp_path / "移動した run", path, "--json").out == first


@pytest.mark.parametrize("name", ["setup.json", "data.json", "checkpoints/step-160/manifest.json",
                                  "checkpoints/step-160/state.safetensors", "summary.json"])
def test_a_damaged_run_is_one_line(real, trained, photographs, tmp_path, name):
    shutil.copytree(trained, tmp_path / "a")
    for path in (tmp_path / "a").rglob(Path(name).name):
        path.write_bytes(path.read_bytes()[:-40])
    said = real("predict", tmp_path / "a", photographs[0][0])
    assert said.code == 2 and said.out == "" and said.err.count("\n") == 1, said


def test_a_system_without_answers_says_so(shell):
    shell("run", "basics.line", "--steps", 5, "--threads", 1, "--out", "a")
    said = shell("predict", "a", "x.png")
    assert said.code == 2 and "does not answer for files" in said.err


def test_onnx_computes_the_same_for_any_batch_size(real, trained, tmp_path):
    import onnxruntime

    said = real("export", trained, "--to", "onnx", "--out", tmp_path / "net.onnx", "--json")
    (written,) = json.loads(said.out)
    assert said.code == 0 and written["same"] and written["difference"] < 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    for size in (1, 5):
        (found,) = session.run(None, {"input": np.zeros((size, 1, 28, 28), np.float32)})
        assert found.shape == (size, 10)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == [str(k) for k in range(10)]


def test_safetensors_holds_exactly_the_weights(real, trained):
    from safetensors.torch import load_file

    from shinso.engine import checkpoint

    assert real("export", trained, "--to", "safetensors").code == 0
    state = checkpoint.load(trained / "checkpoints").state["program"]["model"]
    written = load_file(trained / "model.safetensors")
    assert written.keys() == state.keys() and all(torch.equal(written[name], state[name]) for name in state)


def test_the_python_lines_of_the_report_repeat_the_run(real, trained, tmp_path):
    """The report's own lines, executed: the last row and the test are those of the run, to the last bit."""
    import re
    import subprocess
    import sys
    from html import unescape

    blocks = re.findall(r"<pre>(.*?)</pre>", (trained / "report.html").read_text(encoding="utf-8"), re.S)
    command, lines = (unescape(block) for block in blocks)
    assert command.startswith("shinso run vision.lenet --variant smoke --epochs 4")
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, cwd=tmp_path, timeout=100)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((trained / "summary.json").read_text())["metrics"]
    *_, last, test = done.stdout.splitlines()
    assert repr(metrics["test_accuracy"]) in test
    assert f"{metrics['loss']:.4f}"[:6] in last
