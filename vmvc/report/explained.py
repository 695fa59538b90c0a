"""The lesson's tables -> Markdown, each cell with the numbers of its sources."""

from __future__ import annotations

from collections.abc import Iterator

from vmvc.records_explain import Explained, ExplainedCell, ExplainedTable
from vmvc.report.markdown import escape, table


def markdown(explained: Explained) -> str:
    """Return the tables as GitHub-flavoured Markdown."""
    return "\n".join(_lines(explained)).rstrip() + "\n"


def _lines(explained: Explained) -> Iterator[str]:
    yield f"# {escape(explained.name)}: the lesson's tables for this host"
    yield ""
    yield f"Run `{explained.run}`, from its records alone. Numbers in brackets are sources, below each table."
    yield ""
    for note in explained.notes:
        yield f"> {escape(note)}."
        yield ""
    for one in explained.tables:
        yield from table_of(explained, one)


def table_of(explained: Explained, one: ExplainedTable) -> Iterator[str]:
    """Yield the lines of one table, its sources numbered below it."""
    sources: dict[str, int] = {}
    rows = [[f"{row.name}: {row.says}", *(_cell(cell, sources) for cell in row.cells)] for row in one.rows]
    yield f"## {escape(one.title)}"
    yield ""
    yield from table(["", *(escape(column.condition) for column in explained.columns)], rows)
    for source, number in sources.items():
        yield f"{number}. {escape(source)}"
    yield ""


def _cell(cell: ExplainedCell, sources: dict[str, int]) -> str:
    """Write a cell; its sources get the next numbers where they have none yet."""
    if not cell.text:
        return f"absent: {cell.reason}"
    numbers = [str(sources.setdefault(one, len(sources) + 1)) for one in cell.source]
    return f"{cell.text} [{', '.join(numbers)}]" if numbers else cell.text
