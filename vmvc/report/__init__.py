"""A run's folder -> report.html, report.md, tables and plots; nothing here touches an engine.

The libraries that draw are imported when something is drawn, and ``vmvc run`` draws after the last trial.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from vmvc import checksums, durable
from vmvc.errors import StorageError
from vmvc.records_summary import Summary
from vmvc.report.view import View


def _html(view: View) -> str:
    from vmvc.report.page import page

    return page(view)


def _markdown(view: View) -> str:
    from vmvc.report.markdown import markdown

    return markdown(view)


def _latex(view: View) -> str:
    from vmvc.report.tables import latex

    return latex(view)


def _csv(view: View) -> str:
    from vmvc.report.tables import numbers_csv

    return numbers_csv(view)


FORMS: Final[Mapping[str, Callable[[View], str]]] = {
    ".html": _html,
    ".md": _markdown,
    ".tex": _latex,
    ".csv": _csv,
}
"""Suffix of a file -> what draws it."""
DERIVED: Final = ("report.html", "report.md")
"""The reports that stand in a run's folder."""


def view_of(folder: Path, summary: Summary | None = None) -> View:
    """Return everything that reports of a run show; ``summary``: its journal's, where it is known already.

    Raises: ResultsError where the folder holds no run that can be read.
    """
    from vmvc.report import gather

    return gather.view_of(folder, summary)


def write(folder: Path, summary: Summary | None = None) -> tuple[Path, ...]:
    """Write the reports of a run into its folder; the same journal and run.json give the same bytes.

    ``summary``: that of its journal, where it is known already.

    Raises: ResultsError where the run cannot be read; StorageError where a file cannot be written.
    """
    view = view_of(folder, summary)
    paths = tuple(folder / name for name in DERIVED)
    for path in paths:
        write_file(path, FORMS[path.suffix](view))
    try:
        checksums.write(folder, DERIVED, keep=True)
    except OSError as error:
        raise StorageError(
            f"{folder / checksums.NAME}: cannot be written: {error.strerror}", hint="make room"
        ) from error
    return paths


def write_file(path: Path, content: str | bytes) -> None:
    """Replace a file in one step.

    Raises: StorageError.
    """
    try:
        durable.write(path, content)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written: {error.strerror}", hint="make room, or name another file"
        ) from error
