"""The example notebook -> executed in a fresh kernel in its folder; as a program: kept with its outputs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "experiments/notebook.ipynb"


def executed() -> Any:
    """Return the notebook with the outputs that it has here and now.

    Raises: nbclient.exceptions.CellExecutionError.
    """
    made = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": str(NOTEBOOK.parent)}}
    NotebookClient(made, timeout=120, kernel_name="python3", resources=where).execute()
    for cell in made.cells:
        cell.metadata.pop("execution", None)
    return made


def outputs(made: Any) -> list[list[str]]:
    """Return what each code cell gives, as text; addresses in memory are left out."""
    found = []
    for cell in made.cells:
        if cell.cell_type == "code":
            texts = [one.get("text") or one.get("data", {}).get("text/plain", "") for one in cell.outputs]
            found.append([re.sub(r"0x[0-9a-f]+", "0x", text) for text in texts])
    return found


if __name__ == "__main__":
    nbformat.write(executed(), NOTEBOOK)
