"""Run the notebooks of the documentation anew and keep their outputs: `python scripts/run_notebooks.py [name ...]`."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "docs" / "notebooks"


def run(path: Path) -> None:
    """Execute one notebook in place; progress and warnings, which tell of this machine, are not kept."""
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata.language_info.pop("version", None)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    chosen = [FOLDER / f"{name}.ipynb" for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb"))
    for found in chosen:
        run(found)
        print(f"{found.name}: {found.stat().st_size:,} bytes")
