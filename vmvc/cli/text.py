"""Rows -> aligned plain text for pipes, logs and narrow terminals; control characters are stripped."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import click

WIDE: Final = 500
"""Columns where no terminal sets a limit, so that pipes and logs get one line a row."""


def plain(text: str) -> str:
    """Return text without control characters, which guests and engines could use to draw on the terminal."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else "\ufffd" for character in text
    )


def write(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print a table to stdout; ``right`` names the columns that hold numbers."""
    if not sys.stdout.isatty() and (lines := _aligned(columns, rows, right)):
        click.echo("\n".join(lines))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    with console.capture() as captured:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _aligned(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str]) -> list[str]:
    """Return the lines that rich would print, in a tenth of its time; none where a cell must be folded."""
    from rich.cells import cell_len

    table = [[plain(cell) for cell in row] for row in (columns, *rows)]
    lengths = [[cell_len(cell) for cell in row] for row in table]
    widths = [max(column) for column in zip(*lengths, strict=True)]
    if sum(widths) + 2 * len(widths) > WIDE or any(
        "\n" in cell or "\t" in cell for row in table for cell in row
    ):
        return []
    lines = []
    for row, taken in zip(table, lengths, strict=True):
        cells = []
        for name, cell, length, width in zip(columns, row, taken, widths, strict=True):
            space = " " * (width - length)
            cells.append(space + cell if name in right else cell + space)
        lines.append("  ".join(cells).rstrip())
    return lines
