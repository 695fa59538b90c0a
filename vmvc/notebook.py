"""A run's summary -> HTML for a notebook: what ran, medians with intervals, and what may spoil them."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Final

from vmvc.records_summary import Summary, SummaryRow
from vmvc.units import show

_SHOWN: Final = 40
"""Rows that are shown; a notebook stays small."""
_HEADS: Final = ("condition", "quantity", "n", "median", "95% interval")


def html_of(about: Sequence[tuple[str, str]], summary: Summary) -> str:
    """Return tables without script or style; every text is escaped."""
    rows = [row for row in summary.rows if row.n]
    left = len(rows) - len(rows[:_SHOWN])
    doubts = [f"{one.severity}: {one.what}" for one in summary.findings if one.severity != "info"]
    return "".join(
        [
            "<table>",
            *(f"<tr>{_cell(name, 'th')}{_cell(text)}</tr>" for name, text in about),
            f"</table><table><tr>{_cells(_HEADS, 'th')}</tr>",
            *(f"<tr>{_cells(_texts(row))}</tr>" for row in rows[:_SHOWN]),
            "</table>",
            f"<p>{left} more rows: <code>run.frame('summary')</code></p>" if left else "",
            f"<ul>{''.join(_cell(one, 'li') for one in doubts)}</ul>" if doubts else "",
        ]
    )


def _texts(row: SummaryRow) -> tuple[str, ...]:
    interval = ""
    if row.low is not None and row.high is not None:
        interval = f"{show(row.low, row.unit)} to {show(row.high, row.unit)}"
    median = show(row.median, row.unit) if row.median is not None else ""
    return (row.condition, f"{row.metric}.{row.quantity}", str(row.n), median, interval)


def _cells(texts: Iterable[str], tag: str = "td") -> str:
    return "".join(_cell(text, tag) for text in texts)


def _cell(text: str, tag: str = "td") -> str:
    return f"<{tag}>{html.escape(text)}</{tag}>"
