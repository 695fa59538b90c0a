"""Quantities about isolation -> a table of facts: a row a fact, a column a condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from vmvc.report.figures import Cell
from vmvc.report.view import Condition, Fact, Quantity
from vmvc.units import show

METRICS: Final = ("isolation", "limits", "interference")
"""Metrics whose quantities say what stands between guest and host, and whether it holds."""
_YES_OR_NO: Final = "1 where "
"""How the meaning of a quantity begins that is a fact: 1 or 0."""


def facts(
    quantities: Sequence[Quantity], conditions: Sequence[Condition], cells: Mapping[tuple[str, str], Cell]
) -> tuple[Fact, ...]:
    """Return a fact a quantity, with its words in every condition."""
    return tuple(
        Fact(
            one.key,
            _meaning(one.says),
            tuple(_words(one, cells[condition.id, one.key]) for condition in conditions),
        )
        for one in quantities
        if one.metric in METRICS
    )


def _meaning(says: str) -> str:
    """Return the meaning of a fact, with the words that the table has for 1 and 0."""
    if not says.startswith(_YES_OR_NO):
        return says
    return f"Yes where {says.removeprefix(_YES_OR_NO)}".replace("; else 0", "; else no").replace(
        "; 0 ", "; no "
    )


def _words(quantity: Quantity, cell: Cell) -> str:
    """Say what was found in all trials; where they differ, from which to which; else why there is nothing."""
    row = cell.row
    if row.median is None or row.min is None or row.max is None:
        return f"not known: {cell.reason}" if cell.reason else "not measured"
    if row.min != row.max:
        if quantity.says.startswith(_YES_OR_NO):
            return f"not in every trial ({row.n})"
        return f"{cell.median}, from {show(row.min, row.unit)} to {show(row.max, row.unit)}"
    if quantity.says.startswith(_YES_OR_NO) and row.median in (0, 1):
        return "yes" if row.median else "no"
    return cell.median
