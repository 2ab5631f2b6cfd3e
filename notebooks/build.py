"""Writes the .ipynb beside every notebook source, for Jupyter and Colab: `python notebooks/build.py`.

The sources, `NN_name.py` in jupytext's percent format, are what is edited; answers are cells that open folded.
"""

import json
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCES = sorted(FOLDER.glob("[0-9]*.py"))


def notebook(source: Path) -> str:
    """The notebook of a source as JSON text, the same every time."""
    import jupytext

    found = jupytext.read(source)
    cells = []
    for cell in found.cells:
        plain = {"cell_type": cell.cell_type, "metadata": _kept(cell.metadata), "source": cell.source.splitlines(True)}
        cells.append(plain | ({"execution_count": None, "outputs": []} if cell.cell_type == "code" else {}))
    metadata = {
        "colab": {"name": source.with_suffix(".ipynb").name, "provenance": []},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    whole = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def _kept(metadata: dict) -> dict:
    """Without jupytext's own notes about blank lines."""
    return {name: value for name, value in metadata.items() if name != "lines_to_next_cell"}


def main() -> None:
    for source in SOURCES:
        source.with_suffix(".ipynb").write_text(notebook(source), encoding="utf-8")


if __name__ == "__main__":
    main()
