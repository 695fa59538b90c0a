"""Rows of text -> CSV that programs read back and a spreadsheet takes for nothing but text and numbers.

A spreadsheet runs a cell that begins like a formula. Such text gets an apostrophe in front; numbers stay as
they are, and text that vmvc itself writes never begins so.

Source: OWASP, CSV Injection.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import Final, Protocol

_BEGINS: Final = frozenset("=+-@\t\r\n")


class _Target(Protocol):
    def write(self, text: str, /) -> object: ...


class SheetWriter:
    """A writer of CSV (commas, quotes where needed, lines end with ``\\n``)."""

    def __init__(self, file: _Target) -> None:
        self._writer = csv.writer(file, lineterminator="\n")

    def row(self, cells: Iterable[str]) -> None:
        """Write one row."""
        self._writer.writerow([cell if cell[:1] not in _BEGINS else safe(cell) for cell in cells])

    def rows(self, rows: Iterable[Iterable[str]]) -> None:
        """Write rows."""
        for cells in rows:
            self.row(cells)


def safe(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula; a number is none."""
    if cell[:1] not in _BEGINS:
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def number(value: float) -> str:
    """Write a number so that it reads back the same; whole numbers without a fraction."""
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
