"""Every notebook of the documentation runs from top to bottom, and tells what its committed outputs tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent.parent / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def told(cells: list[Any]) -> list[list[str]]:
    """What the cells print and show as text; pictures differ by a pixel from one matplotlib to the next."""
    found = []
    for cell in cells:
        if cell["cell_type"] == "code":
            outputs = [
                o.get("text") or o.get("data", {}).get("text/plain", "")
                for o in cell["outputs"]
                if o.get("name") != "stderr"
            ]
            found.append([text for text in outputs if not text.startswith("<Figure")])
    return found


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
class TestEach:
    def test_it_runs_and_tells_the_same(self, path):
        committed = nbformat.read(path, as_version=4)
        fresh = nbformat.read(path, as_version=4)
        NotebookClient(
            fresh, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
        ).execute()
        assert told(fresh.cells) == told(committed.cells), "run it again and commit its outputs"

    def test_it_is_committed_with_its_outputs_and_without_traces_of_a_machine(self, path):
        text = path.read_text()
        notebook = nbformat.read(path, as_version=4)
        assert any(cell.get("outputs") for cell in notebook.cells)
        assert not [o for c in notebook.cells for o in c.get("outputs", ()) if o["output_type"] == "error"]
        assert "/home/" not in text
        assert "/tmp/" not in text
        assert len(text) < 600_000

    def test_each_picture_was_drawn(self, path):
        notebook = nbformat.read(path, as_version=4)
        drawing = [c for c in notebook.cells if c["cell_type"] == "code" and c["source"].rstrip().endswith(");")]
        assert all(any("image/png" in o.get("data", {}) for o in c["outputs"]) for c in drawing)
