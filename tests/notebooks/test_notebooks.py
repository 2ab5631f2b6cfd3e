"""Every notebook runs from top to bottom in a fresh process, and stands beside its source as what Colab opens."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
sys.path.insert(0, str(FOLDER))

from build import SOURCES, notebook  # noqa: E402 - found through the line above


def cells(source: Path) -> list[dict]:
    return json.loads(notebook(source))["cells"]


def test_there_are_notebooks():
    assert len(SOURCES) >= 1


@pytest.mark.parametrize("source", SOURCES, ids=lambda file: file.stem)
def test_it_runs_from_top_to_bottom(source, tmp_path):
    environment = {**os.environ, "SHINSO_NOTEBOOKS": "smoke", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-W", "error", "-W", "ignore:FigureCanvasAgg is non-interactive", str(source)],
                          cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("source", SOURCES, ids=lambda file: file.stem)
def test_the_notebook_is_that_of_its_source(source):
    """If this fails: python notebooks/build.py"""
    assert source.with_suffix(".ipynb").read_text(encoding="utf-8") == notebook(source)


@pytest.mark.parametrize("source", SOURCES, ids=lambda file: file.stem)
def test_answers_are_folded_and_each_exercise_has_one(source):
    found = cells(source)
    answers = [cell for cell in found if cell["cell_type"] == "code" and "@title 解答" in "".join(cell["source"])]
    exercises = [cell for cell in found if cell["cell_type"] == "markdown" and "\n## Exercise" in "\n" + "".join(cell["source"])]
    assert len(answers) == len(exercises) >= 1
    for cell in answers:
        assert cell["metadata"] == {"jupyter": {"source_hidden": True}, "cellView": "form"}
        assert "assert " in "".join(cell["source"]), "an answer is checked"


@pytest.mark.parametrize("source", SOURCES, ids=lambda file: file.stem)
def test_headings_are_in_both_languages(source):
    for cell in cells(source):
        for line in cell["source"] if cell["cell_type"] == "markdown" else []:
            if line.startswith("#"):
                assert " / " in line, line
