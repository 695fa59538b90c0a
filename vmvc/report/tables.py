"""A view -> tables for papers and spreadsheets: LaTeX (booktabs) and CSV."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from vmvc.report.figures import Cell
from vmvc.report.view import View
from vmvc.sheet import SheetWriter, number
from vmvc.units import show

NUMBER_COLUMNS: Final = (
    *("condition", "quantity", "unit", "n", "median", "low", "high", "q1", "q3", "min", "max", "reason"),
)
"""Columns of the CSV of a report's numbers; values in ``unit``, absent ones empty."""
_LATEX: Final = {
    **{one: f"\\{one}" for one in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "µ": r"\textmu{}",
    "\ufffd": "?",
}


def numbers_csv(view: View) -> str:
    """Return a row a condition and quantity, with the values of the summary to the digit."""
    return rows_csv(NUMBER_COLUMNS, (_row(cell) for cell in view.cells.values()))


def rows_csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write rows as CSV; lines end with ``\\n``."""
    text = io.StringIO()
    writer = SheetWriter(text)
    writer.row(columns)
    writer.rows(rows)
    return text.getvalue()


def _row(cell: Cell) -> list[str]:
    row = cell.row
    values = (row.median, row.low, row.high, row.q1, row.q3, row.min, row.max)
    written = ("" if value is None else number(value) for value in values)
    return [row.condition, cell.key, row.unit, str(row.n), *written, row.reason]


def latex(view: View) -> str:
    """Return one table of the headline quantities: medians, intervals below them; needs package booktabs."""
    columns = "l" + "r" * len(view.headlines)
    words = f"medians with {view.confidence * 100:.3g}\\,\\% intervals by order statistics"
    lines = [
        f"% {view.name}, run {view.run}; needs \\usepackage{{booktabs}}",
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{tex(view.title)}: {words}}}",
        f"  \\label{{tab:{view.name}}}",
        f"  \\begin{{tabular}}{{{columns}}}",
        r"    \toprule",
        f"    {_line(['condition', *view.headlines])}",
        r"    \midrule",
    ]
    for one in view.conditions:
        cells = [view.cells[one.id, key] for key in view.headlines]
        lines.append(f"    {_line([one.label, *(_median(cell) for cell in cells)])}")
        if any(cell.interval for cell in cells):
            lines.append(
                f"    {_line(['', *(f'[{cell.interval}]' if cell.interval else '' for cell in cells)])}"
            )
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""])


def tex(text: str) -> str:
    """Return text that LaTeX sets as it is."""
    return "".join(_LATEX.get(one, one) for one in " ".join(text.split()))


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(tex, cells)) + r" \\"


def _median(cell: Cell) -> str:
    return "--" if cell.row.median is None else show(cell.row.median, cell.row.unit)


def points_csv(rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> str:
    """Return a chart's rows as CSV."""
    return rows_csv(columns, ([_text(row.get(column)) for column in columns] for row in rows))


def _text(value: object) -> str:
    if value is None:
        return ""
    return number(value) if isinstance(value, float) else str(value)
