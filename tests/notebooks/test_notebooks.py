"""Every notebook runs from top to bottom in a fresh process, and stands beside its source as what Colab opens.

A notebook's answers assert what its exercises ask for; a test by name for each of them says which notebook that is.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
sys.path.insert(0, str(FOLDER))

from build import SOURCES, notebook  # noqa: E402 - found through the line above

NAMES = [source.stem for source in SOURCES]
INSTALL = "# shinso を入れる (すでに入っていれば何もしなくてよい)\n# %pip install --quiet shinso"


def cells(source: Path) -> list[dict]:
    return json.loads(notebook(source))["cells"]


def run(name: str, folder: Path, *, size: str = "smoke", data: str | None = None, patience: float = 180) -> str:
    """What the notebook prints; its answers' assertions and every warning are errors."""
    environment = {**os.environ, "SHINSO_NOTEBOOKS": size, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    environment.pop("SHINSO_DATA", None)
    if data:
        environment["SHINSO_DATA"] = data
    shown = "ignore:FigureCanvasAgg is non-interactive"
    done = subprocess.run([sys.executable, "-W", "error", "-W", shown, FOLDER / f"{name}.py"], cwd=folder,
                          env=environment, capture_output=True, text=True, encoding="utf-8", timeout=patience)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_gradient_descent_by_prediction(tmp_path):
    assert "338350" in run("01_gradient_descent", tmp_path)


def test_logic_gates_learned(tmp_path):
    assert "parameters: 9" in run("02_logic_gates", tmp_path)


def test_digits_by_a_multilayer_perceptron(tmp_path):
    printed = run("03_mnist_mlp", tmp_path)
    assert "data: digits" in printed and "784-784-784-10: 1238730" in printed and "from -0.5 to 0.5" in printed


def test_digits_by_a_convolutional_network(tmp_path):
    printed = run("04_mnist_cnn", tmp_path)
    assert "28 -> 26 -> 24 -> 12" in printed and "parameters: 1199882" in printed and "data: digits" in printed


def test_regression_of_the_apples(tmp_path):
    assert "prediction 91.03124971" in run("05_regression", tmp_path)


def test_a_digit_of_ones_own(tmp_path):
    assert "answer 2" in run("06_own_digit", tmp_path)


def test_the_line_of_a_perceptron(tmp_path):
    assert re.search(r"x1 = 4\.20486\d+  x2 = 7\.05112", run("07_perceptron_line", tmp_path))


def test_learned_ista(tmp_path):
    assert "(sqrt m + sqrt n)^2 = 874.3" in run("08_learned_ista", tmp_path)


def test_neural_mimo_detection(tmp_path):
    printed = run("09_mimo_detection", tmp_path)
    rates = [float(rate) for rate in re.findall(r"^(?:zero forcing|network|exhaustive search) +(\S+)$", printed, re.M)]
    assert len(rates) == 3 and rates == sorted(rates, reverse=True)


def test_a_channel_autoencoder(tmp_path):
    printed = run("10_channel_autoencoder", tmp_path)
    assert "smallest distance 0.7654" in printed and "smallest distance 0.9277" in printed


def test_the_noisy_bit_flipping_decoder(tmp_path):
    assert "n 186, m 93, rank 91, k 95" in run("11_bit_flipping", tmp_path)


def test_complex_ista_with_the_fft(tmp_path):
    assert "with 0.70107: 0.9915" in run("12_fft_ista", tmp_path)


def test_power_control_learned(tmp_path):
    assert "after the map 100.0%" in run("13_power_control", tmp_path)


def test_every_notebook_has_a_test_of_its_own():
    here = Path(__file__).read_text(encoding="utf-8")
    assert NAMES and NAMES == sorted(re.findall(r'run\("(\d\d_\w+)", tmp_path\)', here))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_holds_at_full_size(name, tmp_path):
    """With the data that come along: the digits."""
    run(name, tmp_path, size="full", patience=900)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["03_mnist_mlp", "04_mnist_cnn"])
def test_it_holds_on_mnist(name, real_data, tmp_path):
    if not (real_data / "mnist").is_dir():
        pytest.skip("MNIST is not among the data sets on this machine")
    assert "mnist: " in run(name, tmp_path, size="full", data=str(real_data), patience=3600)


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_every_notebook_runs_in_a_fresh_kernel(source, tmp_path, monkeypatch):
    """The file that Colab opens, run by Jupyter's own client: no cell needs another program or another order."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient, which starts a kernel, is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel, the kernel to start, is not installed")
    import nbformat

    monkeypatch.setenv("SHINSO_NOTEBOOKS", "smoke")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("MPLBACKEND", raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    opened = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    client = nbclient.NotebookClient(opened, timeout=300, kernel_name="python3",
                                     resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    counted = [cell["execution_count"] for cell in opened.cells if cell.cell_type == "code" and cell.source.strip()]
    assert counted == list(range(counted[0], counted[0] + len(counted)))


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_the_notebook_is_that_of_its_source(source):
    """If this fails: python notebooks/build.py"""
    assert source.with_suffix(".ipynb").read_text(encoding="utf-8") == notebook(source)


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_one_line_installs_it(source):
    """The first cell with code is that line, and no other cell installs, downloads or calls a shell."""
    first, *others = ["".join(cell["source"]) for cell in cells(source) if cell["cell_type"] == "code"]
    assert first == INSTALL
    assert not [line for cell in others for line in cell.splitlines() if re.match(r"\s*#?\s*[!%]\w", line)]


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_answers_are_folded_and_each_exercise_has_one(source):
    found = cells(source)
    answers = [cell for cell in found if cell["cell_type"] == "code" and "@title 解答" in "".join(cell["source"])]
    headings = [line for cell in found if cell["cell_type"] == "markdown" for line in cell["source"]]
    exercises = [line for line in headings if line.startswith("## Exercise")]
    assert len(answers) == len(exercises) >= 1
    for cell in answers:
        assert cell["metadata"] == {"jupyter": {"source_hidden": True}, "cellView": "form"}
        assert "assert " in "".join(cell["source"]), "an answer is checked"


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_headings_are_in_both_languages(source):
    for cell in cells(source):
        for line in cell["source"] if cell["cell_type"] == "markdown" else []:
            if line.startswith("#"):
                assert " / " in line, line
